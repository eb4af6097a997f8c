"""Read the convolutions in ncnn's files, in which packages bring networks of others.

The .param is text, one layer a line. The .bin holds, for each layer that has weights, in the order
of the lines: of a convolution a tag of 4 bytes, the kernel in the form that the tag says, padded to
4 bytes, and the biases in float32; of a constant its float32 values alone.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from livemoments.files import reading

NCNN_MAGIC = "7767517"  # the first line of a .param
HALF_FLOATS, FLOATS = 0x01306B47, 0  # tags of kernels


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The weights of a convolution."""

    kernel: Tensor  # out x in x side x side
    bias: Tensor  # (out,)


def read_ncnn(param: Path, weights: Path) -> list[Layer]:
    """Read the convolutions in a pair of ncnn's files, in their order, without the constants.

    Raises:
        MissingFileError: one of the files is not there.
        DamagedFileError: a file is cut short, too long, or not one of ncnn's.
    """
    with reading(param, "a network of ncnn"):
        lines = param.read_text(encoding="utf-8").splitlines()
        if not lines or lines[0].strip() != NCNN_MAGIC:
            raise ValueError(f"its first line is not {NCNN_MAGIC}")
        words = [line.split() for line in lines]
        stored = [each for each in words if each and each[0] in ("Convolution", "MemoryData")]
        settings = [_settings(each) for each in stored]
    with reading(weights, f"the weights of {param.name}"):
        data, at, layers = weights.read_bytes(), 0, []
        for words_, known in zip(stored, settings, strict=True):
            if words_[0] == "MemoryData":
                at += 4 * int(np.prod([value for value in known.values() if value]))
                continue
            layer, at = _convolution(data, at, known)
            layers.append(layer)
        if at != len(data):
            raise ValueError(f"it has {len(data)} bytes, expected {at}")
    return layers


def _settings(words: list[str]) -> dict[int, int]:
    """Read the settings of a layer by their numbers, from its line of the .param."""
    pairs = (word.split("=", 1) for word in words if "=" in word)
    if words[0] == "MemoryData":
        return {int(number): int(value) for number, value in pairs}
    needed = {int(n): int(v) for n, v in pairs if n in ("0", "1", "5", "6")}
    if needed.get(5) != 1 or not needed.keys() >= {0, 1, 6}:
        raise ValueError(f"{words[1]} is not a convolution with biases")
    return needed


def _convolution(data: bytes, at: int, settings: dict[int, int]) -> tuple[Layer, int]:
    """Read the convolution that begins at a byte; return it and where the next layer begins."""
    out, side, count = settings[0], settings[1], settings[6]
    (tag,) = struct.unpack_from("<I", data, at)
    if tag not in (HALF_FLOATS, FLOATS):
        raise ValueError(f"a kernel has the tag {tag:#010x}, expected 16 or 32 bit floats")
    kind = np.dtype("<f2" if tag == HALF_FLOATS else "<f4")
    kernel = np.frombuffer(data, kind, count, at + 4).astype(np.float32)
    at += 4 + -(-count * kind.itemsize // 4) * 4
    bias = np.frombuffer(data, "<f4", out, at).astype(np.float32)
    kernel = kernel.reshape(out, -1, side, side)
    layer = Layer(kernel=torch.from_numpy(kernel), bias=torch.from_numpy(bias))
    return layer, at + 4 * out


def conv3(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a convolution of 3 x 3 that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def give_weights(network: nn.Module, layers: list[Layer]) -> None:
    """Put the weights of layers into a network's convolutions, which may be on the meta device.

    Raises:
        ValueError: there are more or fewer of them, or a shape is not the convolution's.
    """
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if len(convs) != len(layers):
        name = type(network).__name__
        raise ValueError(f"{len(layers)} convolutions make no {name}, which has {len(convs)}")
    for conv, layer in zip(convs, layers, strict=True):
        if conv.weight.shape != layer.kernel.shape:
            found, expected = tuple(layer.kernel.shape), tuple(conv.weight.shape)
            raise ValueError(f"a kernel has the shape {found}, expected {expected}")
        conv.weight = nn.Parameter(layer.kernel, requires_grad=False)
        conv.bias = nn.Parameter(layer.bias, requires_grad=False)
