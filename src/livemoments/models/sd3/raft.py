"""Estimate flow with RAFT (Teed and Deng, ECCV 2020), the paper's estimator, from torchvision.

LiveMoments runs it with the weights trained on Sintel and 20 iterations: key frame -> reselected
frame for the MotionEncoder, reselected frame -> key frame for patch correspondence retrieval (PCR).
torchvision is imported when a RaftFlow is made; livemoments needs it nowhere else.
"""

import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from livemoments.align.flow import resize_flow
from livemoments.errors import DeviceError, MissingExtraError, WeightsError, first_line
from livemoments.models.sd3.stored import differences, open_file

STRIDE_PX = 8  # of the features; torchvision takes only sides that are multiples of it
SMALLEST_SIDE_PX = 128  # below, the coarsest correlations are too small for torchvision
ITERATIONS = 20  # refinements of the flow, as in the paper
MAX_PIXELS = 1_600_000  # of the pictures compared; see RaftFlow
SOURCE = "give torchvision's raft_large_C_T_SKHT_V1-0b8c9e55.pth, or no file to have it downloaded"


class RaftFlow:
    """Dense flow by recurrent all-pairs field transforms, a FlowEstimator. One call at a time.

    It compares every 8 x 8 pixels of one picture with all of the other: (H W / 64)^2 numbers, for
    1.6 MP 2.5 GB, and twice that for a moment. Pictures of more than MAX_PIXELS are therefore
    reduced to about as many, and the flow is enlarged to their size.
    """

    def __init__(self, weights: Path | None = None, device: str = "cpu") -> None:
        """Build the network and read its weights.

        Args:
            weights: a .pth or .safetensors file in torchvision's names. None: the Sintel weights
                that torchvision publishes, out of torch.hub's cache or downloaded (20 MB).
            device: where PyTorch computes: cpu, cuda, cuda:1, mps. On cuda the features are found
                in half precision.

        Raises:
            DeviceError: the device is not there.
            MissingExtraError: a torchvision that fits PyTorch is not installed.
            WeightsError: the weights are missing, damaged, of another network, or not to be had.
        """
        if weights is not None and not weights.is_file():
            raise WeightsError(f"{weights}: no such file of RAFT weights; {SOURCE}")
        optical_flow = _optical_flow()
        with torch.random.fork_rng(devices=[]):  # its first weights are drawn, for nothing
            network = optical_flow.raft_large(weights=None, progress=False)
        state = (
            _download(optical_flow)
            if weights is None
            else open_file(weights).tensors(torch.float32)
        )
        shapes = [
            {name: tuple(tensor.shape) for name, tensor in tensors.items()}
            for tensors in (network.state_dict(), state)
        ]
        problems = "; ".join(differences(*shapes))
        if problems:
            source = weights or "torchvision's weights"
            raise WeightsError(f"{source}: not of RAFT's large network ({problems}); {SOURCE}")
        network.load_state_dict(state)
        try:
            self._network = network.eval().requires_grad_(False).to(device)
        except (RuntimeError, AssertionError) as error:
            raise DeviceError(f"device {device}: {first_line(error)}; use cpu") from error
        if device.startswith("cuda"):
            _halve_features(self._network, "cuda")
        self._device = device

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Estimate the flow first -> second: a pixel p of first is at p + flow[p] in second.

        first and second are uint8 luma, H x W. Returns float32 H x W x 2, x then y, in pixels.

        Raises:
            DeviceError: the device's memory does not suffice.
        """
        height, width = first.shape
        ratio = (MAX_PIXELS / (height * width)) ** 0.5
        if ratio < 1:
            size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
            first, second = (
                cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in (first, second)
            )
        return resize_flow(self._estimate(first, second), height, width)

    def _estimate(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Estimate the flow of two pictures no larger than MAX_PIXELS, as __call__ returns it."""
        h, w = first.shape
        rows, columns = _padding(h), _padding(w)
        try:
            with torch.inference_mode():
                batches = (self._batch(picture, rows, columns) for picture in (first, second))
                flow = self._network(*batches, num_flow_updates=ITERATIONS)[-1]
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"device {self._device}: too little memory for RAFT on {w} x {h} pixels "
                f"({first_line(error)}); use cpu, or flow dis",
                settings=("device", "flow"),
            ) from error
        finally:  # torchvision would hold the correlations until the next call
            self._network.corr_block.corr_pyramid.clear()
        within = flow[0, :, rows[0] : rows[0] + h, columns[0] : columns[0] + w]
        return np.ascontiguousarray(within.permute(1, 2, 0).float().cpu().numpy())

    def _batch(
        self, picture: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]
    ) -> Tensor:
        """Repeat a picture's edges and bring it to the device, float32 (1, 3, H, W) in [-1, 1]."""
        luma = torch.from_numpy(np.pad(picture, (rows, columns), mode="edge"))
        return luma.expand(1, 3, -1, -1).to(self._device).float() / 127.5 - 1


def _padding(side_px: int) -> tuple[int, int]:
    """Return how many pixels torchvision needs before and after a side, about as many each."""
    padded = max(SMALLEST_SIDE_PX, -(-side_px // STRIDE_PX) * STRIDE_PX)
    before = (padded - side_px) // 2
    return before, padded - side_px - before


def _optical_flow() -> Any:  # noqa: ANN401 - a module that may not be installed
    """Import torchvision.models.optical_flow."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about codecs of pictures, which are not needed
            from torchvision.models import optical_flow
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        raise MissingExtraError(
            f"RAFT needs a torchvision that fits the installed PyTorch; found PyTorch "
            f"{torch.__version__} and torchvision {_torchvision_version()} ({first_line(error)}); "
            "install the two together, as pytorch.org says, or use flow dis",
            settings=("flow",),
        ) from error
    return optical_flow


def _torchvision_version() -> str:
    try:
        return metadata.version("torchvision")
    except metadata.PackageNotFoundError:
        return "none"


def _download(optical_flow: Any) -> dict[str, Tensor]:  # noqa: ANN401
    """Get the weights that torchvision publishes, those of the authors' raft-sintel.pth."""
    published = optical_flow.Raft_Large_Weights.C_T_SKHT_V1
    try:
        state: dict[str, Tensor] = published.get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
    except Exception as error:  # noqa: BLE001 - a failed download or a damaged copy raises anything
        raise WeightsError(
            f"{published.url}: RAFT's weights could not be downloaded, or their copy in the cache "
            f"of torch.hub is damaged ({first_line(error)}); try again, or download that file by "
            "other means and name it"
        ) from error
    return state


def _halve_features(network: Any, device_type: str) -> None:  # noqa: ANN401
    """Let both encoders, and nothing else, compute in half precision.

    The rest needs more: correlations may pass 65504, where half precision ends, and beyond 512 px
    it has no quarters of a pixel.
    """

    def in_half(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def halved(picture: Tensor) -> Tensor:
            with torch.autocast(device_type, dtype=torch.float16):
                return forward(picture).float()

        return halved

    for encoder in (network.feature_encoder, network.context_encoder):
        encoder.forward = in_half(encoder.forward)
