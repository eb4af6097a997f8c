"""Run dlib's face recognition network in PyTorch, with gradients.

The weights are those of dlib's own file (CC0). Its layers are written one after the other, each
parameter as a name, a tensor's version and sizes, and float32 values; integers as a count of bytes
and those bytes, the least first. The architecture is that of dlib's dnn_face_recognition_ex.cpp
(after He et al., Deep Residual Learning for Image Recognition, 2015, with fewer, thinner layers).
"""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments.errors import WeightsError

SIDE_PX = 150
MEAN = (122.782, 117.001, 104.298)  # of R, G, B in 0..255
SCALE = 256.0
LENGTH = 128
# Where what the network looks at lies in a canonical face (`faces.identity.chip_placement`), in
# shares of its side.
CHIP_MIDDLE, CHIP_SIDE = (0.504664, 0.604152), 0.708524
# (channels, blocks, whether the first one halves the picture), from the input on.
LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))


class Block(nn.Module):
    """Two 3 x 3 convolutions and a short cut; channels that it lacks are zero."""

    def __init__(self, before: int, channels: int, *, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = nn.Conv2d(before, channels, 3, 2 if halves else 1, 0 if halves else 1)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1)
        self.scales = nn.ParameterList([torch.ones(2, channels), torch.ones(2, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """Turn x (B, before, h, w) into (B, max(before, channels), h', w')."""
        short = F.avg_pool2d(x, 2, 2) if self.halves else x
        y = F.relu(_affine(self.first(x), self.scales[0]))
        y = _affine(self.second(y), self.scales[1])
        height, width = (max(a, b) for a, b in zip(y.shape[2:], short.shape[2:], strict=True))
        channels = max(y.shape[1], short.shape[1])
        return F.relu(_padded(y, channels, height, width) + _padded(short, channels, height, width))


class FaceIdentity(nn.Module):
    """Turns faces into 128 numbers, whose distance is small for one person, above 0.6 for two."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 7, 2)
        self.scale = nn.Parameter(torch.ones(2, 32))
        before, blocks = 32, []
        for channels, count, halves in LEVELS:
            for index in range(count):
                blocks.append(Block(before, channels, halves=halves and index == 0))
                before = max(before, channels)
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Linear(before, LENGTH, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) / SCALE)

    def forward(self, faces: Tensor) -> Tensor:
        """Turn faces (B, 3, 150, 150), RGB in [0, 1], cut as dlib cuts them, into (B, 128)."""
        x = F.relu(_affine(self.first(faces * (255 / SCALE) - self.mean), self.scale))
        x = self.blocks(F.max_pool2d(x, 3, 2))
        return self.last(x.mean((2, 3)))


def chips(faces: Tensor) -> Tensor:
    """Cut canonical faces (B, 3, N, N) for the network, (B, 3, 150, 150); with gradients.

    This is done as by `faces.crops.cut`: cubic, and where that reduces, on a grid twice as fine
    that is averaged.
    """
    size = faces.shape[-1]
    over = max(1, math.ceil(CHIP_SIDE * size / SIDE_PX - 0.25))
    count = SIDE_PX * over
    steps = ((torch.arange(count, device=faces.device) + 0.5) / count - 0.5) * CHIP_SIDE
    x, y = (2 * (steps + middle) - 1 for middle in CHIP_MIDDLE)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).expand(len(faces), -1, -1, -1)
    found = F.grid_sample(
        faces.float(), grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    return F.avg_pool2d(found, over) if over > 1 else found


def _affine(x: Tensor, scale: Tensor) -> Tensor:
    """Multiply each channel and add to it, by scale (2, C)."""
    return x * scale[0].view(1, -1, 1, 1) + scale[1].view(1, -1, 1, 1)


def _padded(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    more = (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1])
    return F.pad(x, more)


def read_face_identity(path: Path) -> FaceIdentity:
    """Build the network from dlib's file; parameters want no gradient.

    Raises:
        WeightsError: It is not that file.
    """
    data = path.read_bytes()
    convolutions = [_tensor(data, m.end()) for m in re.finditer(rb"\x05con_4", data)]
    scales = [_tensor(data, m.end()) for m in re.finditer(rb"\x07affine_", data)]
    # Between its name and its tensor, this layer has the counts of its outputs and inputs.
    last = [_tensor(data, m.end()) for m in re.finditer(rb"\x04fc_2\x01\x80\x02\x00\x01", data)]
    network = FaceIdentity().requires_grad_(False).eval()
    layers = [network.first]
    places = [network.scale]
    for block in cast(Iterable[Block], network.blocks):
        layers += [block.first, block.second]
        places += list(block.scales)
    if (len(convolutions), len(scales), len(last)) != (len(layers), len(places), 1):
        raise WeightsError(f"{path.name}: not dlib's face recognition network")
    for layer, values in zip(layers, convolutions, strict=True):
        count = layer.weight.numel()
        _fill(layer.weight, values[:count], path)
        _fill(cast(nn.Parameter, layer.bias), values[count:], path)
    for place, values in zip(places, scales, strict=True):
        _fill(place, values, path)
    _fill(network.last.weight.T, last[0], path)
    return network


def _fill(parameter: Tensor, values: np.ndarray, path: Path) -> None:
    if parameter.numel() != values.size:
        raise WeightsError(
            f"{path.name}: a layer has {values.size} numbers, expected {parameter.numel()}"
        )
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values.copy()).view(parameter.shape))


def _tensor(data: bytes, at: int) -> np.ndarray:
    """Read the tensor behind a layer's name: float32, flat."""
    numbers = []
    for _ in range(5):  # version, and four sizes
        size = data[at] & 0x0F
        numbers.append(int.from_bytes(data[at + 1 : at + 1 + size], "little"))
        at += 1 + size
    count = int(np.prod(numbers[1:]))
    if numbers[0] != 2 or at + 4 * count > len(data):
        return np.zeros(0, np.float32)
    return np.frombuffer(data, "<f4", count, at)
