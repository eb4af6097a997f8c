"""RAFT (Teed and Deng, ECCV 2020), the flow estimator of the paper, on torchvision's network.

LiveMoments runs it with the weights trained on Sintel and 20 iterations: key frame -> reselected
frame for the MotionEncoder, reselected frame -> key frame for patch correspondence retrieval (PCR).

PyTorch and torchvision are imported when a RaftFlow is made; livemoments needs neither without it.
"""

import pickle
import re
import struct
import warnings
from collections.abc import Callable, Mapping
from http.client import HTTPException
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from livemoments.align.flow import resize_flow
from livemoments.errors import ConfigError, DeviceError, InputError, MissingExtraError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

STRIDE_PX = 8  # of the features; torchvision takes only sides that are multiples of it
SMALLEST_SIDE_PX = 128  # below, the coarsest correlations are too small for torchvision
MAX_PIXELS = 1_600_000  # of the pictures compared; see RaftFlow
SHOWN = 3  # names of weights in an error message

SOURCE = "get raft-sintel.pth of github.com/princeton-vl/RAFT (BSD-3)"

# The layers of the original RAFT and the same ones of torchvision's, both without their encoder.
ENCODERS = {"fnet": "feature_encoder", "cnet": "context_encoder"}
ENCODER_LAYERS = (
    (r"conv1", r"convnormrelu.0"),
    (r"norm1", r"convnormrelu.1"),
    (r"(layer\d\.\d)\.conv(\d)", r"\1.convnormrelu\2.0"),
    (r"(layer\d\.\d)\.norm([12])", r"\1.convnormrelu\2.1"),
    (r"(layer\d\.\d\.downsample\.\d)", r"\1"),
    (r"conv2", r"conv"),
)
UPDATE_LAYERS = (
    (r"encoder\.convc(\d)", r"update_block.motion_encoder.convcorr\1.0"),
    (r"encoder\.convf(\d)", r"update_block.motion_encoder.convflow\1.0"),
    (r"encoder\.conv", r"update_block.motion_encoder.conv.0"),
    (r"gru\.conv([zrq])(\d)", r"update_block.recurrent_block.convgru\2.conv\1"),
    (r"flow_head\.conv(\d)", r"update_block.flow_head.conv\1"),
    (r"mask\.0", r"mask_predictor.convrelu.0"),
    (r"mask\.2", r"mask_predictor.conv"),
)
# The original registers the norm of a shortcut twice; this is its second name.
REPEATED = re.compile(r"[fc]net\.layer\d\.\d\.norm3\.\w+")

BROKEN_IMPORT = (ImportError, RuntimeError, OSError, AttributeError)
UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError,
    IndexError, AttributeError, struct.error,
)  # fmt: skip


class RaftFlow:
    """Dense flow by recurrent all-pairs field transforms, a FlowEstimator. One call at a time.

    It compares every 8 x 8 pixels of one picture with all of the other: (H W / 64)^2 numbers, for
    1.6 MP 2.5 GB, and twice that for a moment. Pictures of more than MAX_PIXELS are therefore
    reduced to about as many, and the flow is enlarged to their size.
    """

    def __init__(
        self, weights: Path | None = None, device: str = "cpu", iterations: int = 20
    ) -> None:
        """Build the network and read its weights.

        Args:
            weights: a .pth or .safetensors file, named as torchvision or as the original RAFT names
                its layers. None: the original's Sintel weights as torchvision publishes them, out
                of the cache of torch.hub or downloaded (20 MB).
            device: where PyTorch computes: cpu, cuda, cuda:1, mps. On cuda the features are found
                in half precision.
            iterations: refinements of the flow; the paper runs 20.

        Raises:
            ConfigError: iterations is below 1.
            DeviceError: the device is not there.
            MissingExtraError: PyTorch or a torchvision that fits it is not installed.
            WeightsError: the weights are missing, damaged, of another network, or not to be had.
        """
        if iterations < 1:
            raise ConfigError(f"iterations of RAFT must be at least 1, got {iterations}")
        if weights is not None and not weights.is_file():
            raise WeightsError(f"{weights}: no such file of RAFT weights; {SOURCE}")
        optical_flow = _optical_flow()
        import torch

        with torch.random.fork_rng(devices=[]):  # its first weights are drawn, for nothing
            network = optical_flow.raft_large(weights=None, progress=False)
        state = _published(optical_flow) if weights is None else _read(weights)
        _check(network.state_dict(), state, "torchvision's weights" if weights is None else weights)
        network.load_state_dict(state)
        try:
            self._network = network.eval().requires_grad_(False).to(device)
        except (RuntimeError, AssertionError) as error:
            raise DeviceError(f"device {device}: {_said(error)}; use cpu") from error
        if device.startswith("cuda"):
            _halve_features(self._network, "cuda")
        self._device = device
        self._iterations = iterations

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The flow first -> second: a pixel p of first is at p + flow[p] in second.

        first and second are uint8 of one size, H x W (grey) or H x W x 3 (RGB). Returns float32
        H x W x 2, x then y, in pixels.

        Raises:
            InputError: the pictures are of another kind, or of two sizes.
            DeviceError: the device's memory does not suffice.
        """
        _check_pair(first, second)
        height, width = first.shape[:2]
        ratio = (MAX_PIXELS / (height * width)) ** 0.5
        if ratio < 1:
            size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
            first, second = (
                cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in (first, second)
            )
        return resize_flow(self._estimate(first, second), height, width)

    def _estimate(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The flow of two pictures no larger than MAX_PIXELS, as __call__ returns it."""
        import torch

        h, w = first.shape[:2]
        rows, columns = _padding(h), _padding(w)
        try:
            with torch.inference_mode():
                batches = (self._batch(picture, rows, columns) for picture in (first, second))
                flow = self._network(*batches, num_flow_updates=self._iterations)[-1]
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"device {self._device}: too little memory for RAFT on {w} x {h} pixels "
                f"({_said(error)}); use cpu, or flow dis",
                settings=("device", "flow"),
            ) from error
        finally:  # torchvision would keep the correlations until the next call
            self._network.corr_block.corr_pyramid.clear()
        within = flow[0, :, rows[0] : rows[0] + h, columns[0] : columns[0] + w]
        return np.ascontiguousarray(within.permute(1, 2, 0).float().cpu().numpy())

    def _batch(
        self, picture: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]
    ) -> "Tensor":
        """A picture with its edges repeated, as float32 (1, 3, H, W) in [-1, 1]."""
        import torch

        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, axis=2)
        padded = np.pad(picture, (rows, columns, (0, 0)), mode="edge")
        batch = torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1)[None]))
        return batch.to(self._device).float() / 127.5 - 1


def raft_available() -> bool:
    """Whether RaftFlow would find PyTorch and a torchvision that fits it; imports both."""
    try:
        _optical_flow()
    except MissingExtraError:
        return False
    return True


def torchvision_name(name: str) -> str:
    """What torchvision calls a weight of the original RAFT; a name that is not of RAFT stays.

    "cnet.layer2.0.norm1.bias" is "context_encoder.layer2.0.convnormrelu1.1.bias".
    """
    path, _, weight = name.rpartition(".")
    part, _, layer = path.partition(".")
    begin = f"{ENCODERS[part]}." if part in ENCODERS else ""
    table = ENCODER_LAYERS if begin else UPDATE_LAYERS if part == "update_block" else ()
    for pattern, replacement in table:
        found = re.fullmatch(pattern, layer)
        if found:
            return f"{begin}{found.expand(replacement)}.{weight}"
    return name


def _check_pair(first: np.ndarray, second: np.ndarray) -> None:
    for picture in (first, second):
        layers = picture.shape[2:]
        of_kind = picture.dtype == np.uint8 and picture.ndim > 1 and layers in ((), (3,))
        if not of_kind or not picture.size or picture.shape != first.shape:
            raise InputError(
                f"RAFT cannot compare {first.dtype} {first.shape} and {second.dtype} "
                f"{second.shape}; give two uint8 pictures of one size, H x W or H x W x 3"
            )


def _padding(side_px: int) -> tuple[int, int]:
    """Pixels to add before and after a side, about as many, for torchvision to take it."""
    padded = max(SMALLEST_SIDE_PX, -(-side_px // STRIDE_PX) * STRIDE_PX)
    before = (padded - side_px) // 2
    return before, padded - side_px - before


def _optical_flow() -> Any:  # noqa: ANN401 - a module that may not be installed
    """torchvision.models.optical_flow."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about codecs of pictures, which are not needed
            import torch  # noqa: F401 - what torchvision is about to need, for a better message
            from torchvision.models import optical_flow
    except BROKEN_IMPORT as error:
        raise MissingExtraError(
            f"RAFT needs a torchvision that fits the installed PyTorch; found PyTorch "
            f"{_version('torch')} and torchvision {_version('torchvision')} ({_said(error)}); "
            "install the two together, as pytorch.org says, or use flow dis",
            settings=("flow",),
        ) from error
    return optical_flow


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def _published(optical_flow: Any) -> "Mapping[str, Tensor]":  # noqa: ANN401
    """The weights that torchvision publishes: raft-sintel.pth in its own names."""
    published = optical_flow.Raft_Large_Weights.C_T_SKHT_V1
    try:
        return published.get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
    except (HTTPException, *UNREADABLE) as error:
        raise WeightsError(
            f"{published.url}: RAFT's weights could not be downloaded, or their copy in the cache "
            f"of torch.hub is damaged ({_said(error)}); try again, or {SOURCE} and name the file"
        ) from error


def _read(path: Path) -> "dict[str, Tensor]":
    """The weights in a file, in torchvision's names."""
    import torch

    try:
        state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pth(path)
    except UNREADABLE as error:
        raise WeightsError(f"{path}: not a file of weights ({_said(error)}); {SOURCE}") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise WeightsError(f"{path}: not a file of named weights alone; {SOURCE}")
    state = {name.removeprefix("module."): value for name, value in state.items()}
    if any(name.startswith(tuple(f"{part}." for part in ENCODERS)) for name in state):
        state = {
            torchvision_name(name): value
            for name, value in state.items()
            if not REPEATED.fullmatch(name)
        }
    return state


def _read_pth(path: Path) -> object:
    """What torch.save wrote; runs nothing of it."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an odd form; what matters about it is raised
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's own words advise to read the file without that protection.
        raise ValueError("it is damaged, or holds more than weights") from error


def _read_safetensors(path: Path) -> object:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: reading it needs safetensors, which is not installed; pip install safetensors"
        ) from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _check(own: "Mapping[str, Tensor]", given: "Mapping[str, Tensor]", what: str | Path) -> None:
    """Whether the weights given are those of the network: the same names and shapes.

    Raises:
        WeightsError: they are not.
    """
    faults = {
        "missing": own.keys() - given.keys(),
        "unexpected": given.keys() - own.keys(),
        "of another shape": {n for n in own.keys() & given if own[n].shape != given[n].shape},
    }
    if any(faults.values()):
        found = "; ".join(
            f"{len(names)} {fault}: {', '.join(sorted(names)[:SHOWN])}"
            + (" ..." if len(names) > SHOWN else "")
            for fault, names in faults.items()
            if names
        )
        raise WeightsError(f"{what}: not of RAFT's large network ({found}); {SOURCE}")


def _halve_features(network: Any, device_type: str) -> None:  # noqa: ANN401
    """Let both encoders, and nothing else, compute in half precision.

    The rest needs more: correlations may pass 65504, where half precision ends, and beyond 512 px
    it has no quarters of a pixel.
    """

    def in_half(forward: "Callable[[Tensor], Tensor]") -> "Callable[[Tensor], Tensor]":
        import torch

        def halved(picture: "Tensor") -> "Tensor":
            with torch.autocast(device_type, dtype=torch.float16):
                return forward(picture).float()

        return halved

    for encoder in (network.feature_encoder, network.context_encoder):
        encoder.forward = in_half(encoder.forward)


def _said(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
