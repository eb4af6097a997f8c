"""Restore tiles with the sd3 tier, the paper's model, a few tiles of 1024 pixels at a time.

The default is ours: exact bridge steps, the autoencoder's mode, motion from the whole picture's
alignment. `official` does as the release does: Euler steps, sampled latents, the tile's own flow.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from livemoments import bridge
from livemoments.align.dense import shrink
from livemoments.align.estimators import DisFlow, FlowEstimator, equalised
from livemoments.align.flow import invert, pixel_grid
from livemoments.errors import ConfigError
from livemoments.imaging.pixels import grey
from livemoments.models.cache import ModelCache
from livemoments.models.sd3.config import Sd3Config
from livemoments.models.sd3.memory import (
    Placement,
    explain_out_of_memory,
    place,
    resolve_device,
    resolve_dtype,
)
from livemoments.models.sd3.raft import RaftFlow
from livemoments.models.sd3.weights import Sd3Parts, load_sd3
from livemoments.models.tile import TileConfig, TileInput, TileResult
from livemoments.networks import autoencoder
from livemoments.networks.motion_encoder import PIXELS_PER_TOKEN
from livemoments.networks.sd3 import Prompt

CELL_PX = 8  # side of a cell of the autoencoder's latents
PLACED = ("weights", "base", "device", "precision", "offload")  # settings of a loaded model


@dataclass(frozen=True, kw_only=True)
class Latents:
    """What the networks are given of B tiles of one size, H x W = 8 h x 8 w pixels."""

    frame: Tensor  # (B, 16, h, w) float32
    key: Tensor  # (B, 16, h, w) float32, of PCR's crop of the key photo
    flow: Tensor  # (B, 2, H, W) key photo -> frame, in pixels, of the transformers' type
    noise: Tensor  # (B, 16, h, w) float32, standard normal


class Sd3Model:
    """Autoencoder, ReferenceNet, RestorationNet and MotionEncoder, placed on a device."""

    name = "sd3"
    tiles = TileConfig(size=1024, overlap=64)  # as it was trained
    steps = 6

    def __init__(self, parts: Sd3Parts, config: Sd3Config) -> None:
        """Move the parts to where the config wants them.

        Raises:
            DeviceError: no such device, or its memory does not suffice.
        """
        self.dual, self.vae = parts.dual, parts.vae
        # The table of positions goes no further; a published model's reaches 3072 pixels.
        self.largest_px = PIXELS_PER_TOKEN * parts.dual.restoration.config.pos_embed_max_size
        if self.largest_px < self.tiles.size:
            self.tiles = TileConfig(size=self.largest_px, overlap=min(64, self.largest_px // 4))
        self.placement: Placement = place(parts, config, self.tiles.size)
        device = self.placement.device
        self.prompt = Prompt(parts.prompt.tokens.to(device), parts.prompt.pooled.to(device))
        self._configure(config)

    def with_config(self, config: Sd3Config) -> "Sd3Model":
        """Return a model of other settings that shares this one's networks.

        `compile` is of the networks: once compiled, they are so for both models.

        Raises:
            ConfigError: weights, base, device, precision or offload differ.
        """
        fixed = [name for name in PLACED if getattr(config, name) != getattr(self.config, name)]
        if fixed:
            raise ConfigError(f"{', '.join(fixed)} of a loaded model cannot change; load another")
        other = copy.copy(self)
        other._configure(config)
        return other

    def _configure(self, config: Sd3Config) -> None:
        self.config, self.batch = config, config.batch
        self.estimator: FlowEstimator | None = None
        if config.flow == "raft":
            self.estimator = RaftFlow(config.raft, str(self.placement.device))
        # None: a tile's flow follows from the whole picture's alignment.
        self._flow = DisFlow() if config.tile_flow == "dis" else self.estimator
        if config.compile and not self.placement.offload:
            self.compile()

    def compile(self) -> None:
        """Have torch.compile make faster code of the blocks; their first run then takes minutes."""
        for net in (self.dual.reference, self.dual.restoration):
            for block in net.transformer_blocks:
                block.compile()

    def restore_tiles(
        self, tiles: Sequence[TileInput], steps: int, rngs: Sequence[np.random.Generator]
    ) -> list[TileResult]:
        """Restore tiles of one size together; each rng draws its own tile's noise.

        Raises:
            ConfigError: the tiles are larger than the model's table of positions.
            DeviceError: the device runs out of memory.
        """
        n, m = tiles[0].frame.shape[:2]
        if max(n, m) > self.largest_px:
            raise ConfigError(
                f"tiles of {m} x {n} pixels are too large for this model: {self.largest_px} a side "
                "at most; make them smaller"
            )
        with torch.inference_mode(), explain_out_of_memory(self.config, self.placement):
            single = [self.latents(*each) for each in zip(tiles, rngs, strict=True)]
            z = self._sample(_join(single), steps)
            pictures = self.decode(z)[:, :n, :m]
        return [
            TileResult(
                image=np.ascontiguousarray(picture),
                used=np.zeros((n, m), np.float32) if tile.confidence is None else tile.confidence,
            )
            for tile, picture in zip(tiles, pictures, strict=True)
        ]

    @torch.inference_mode()
    def latents(self, tile: TileInput, rng: np.random.Generator) -> Latents:
        """Encode the frame of one tile and PCR's crop of its key photo, and draw the noise.

        Both are extended to multiples of 16 pixels. Without a reference, the frame is its own: the
        model was not made to do without one.
        """
        frame, key, flow = self._views(tile)
        z_frame, z_key = self._encode(frame, rng), self._encode(key, rng)
        noise = torch.from_numpy(rng.standard_normal(z_frame.shape, np.float32))
        return Latents(
            frame=z_frame,
            key=z_key,
            flow=self._tensor(flow, self.placement.dtype),
            noise=noise.to(z_frame.device),
        )

    @torch.inference_mode()
    def decode(self, z: Tensor) -> np.ndarray:
        """Decode latents (B, 16, h, w) to pictures B x H x W x 3, float32, not clipped."""
        planes = torch.cat([autoencoder.decode(self.vae, one[None]) for one in z])
        pictures: np.ndarray = planes.permute(0, 2, 3, 1).cpu().numpy()
        return pictures

    def _sample(self, given: Latents, steps: int) -> Tensor:
        """Walk the bridge from the frames' latents to the restored ones, (B, 16, h, w) float32."""
        dual, dtype = self.dual, self.placement.dtype
        key = given.key.to(dtype)
        motion = dual.motion_keys(given.flow)
        z = bridge.start(given.frame, given.noise)
        read = None
        times = bridge.sampling_times(steps)
        for t, t_next in zip(times, times[1:], strict=False):
            at = torch.full((len(z),), t, device=z.device)
            if read is None or self.config.reference_per == "step":
                read = dual.read_reference(key, self.prompt, at)
            velocity = dual.velocity(z.to(dtype), self.prompt, at, read, motion).float()
            if self.config.euler:
                z = bridge.euler_step(z, velocity, t, t_next)
            else:
                truth = bridge.truth_from_velocity(z, velocity, given.frame, t)
                z = bridge.exact_step(z, truth, given.frame, t, t_next)
        return z

    def _encode(self, picture: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Encode a picture in [0, 1] to latents (1, 16, h, w) float32."""
        planes = self._tensor(picture, torch.float32)
        draw = None
        if self.config.official:
            cells = (1, 16, *(side // CELL_PX for side in planes.shape[-2:]))
            draw = torch.from_numpy(rng.standard_normal(cells, np.float32))
        return autoencoder.encode(self.vae, planes, draw)

    def _views(self, tile: TileInput) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the frame, PCR's crop of the key photo and the flow key -> frame between them."""
        n, m = tile.frame.shape[:2]
        height, width = (-(-side // PIXELS_PER_TOKEN) * PIXELS_PER_TOKEN for side in (n, m))
        frame = _extend(tile.frame, height, width)
        if tile.reference is None or tile.positions is None:
            return frame, frame, np.zeros((height, width, 2), np.float32)
        top, left = tile.corner
        key = _extend(tile.reference[top : top + n, left : left + m], height, width)
        if self._flow is None:
            to_key = tile.positions - np.array([left, top], np.float32) - pixel_grid(n, m)
            return frame, key, invert(_extend(to_key, height, width))
        # In training the key frame is degraded like the frame: sharp against soft misleads.
        small = shrink(grey(key), round(height / tile.enlarged), round(width / tile.enlarged))
        key_frame = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        return frame, key, self._flow(equalised(key_frame), equalised(grey(frame)))

    def _tensor(self, values: np.ndarray, dtype: torch.dtype) -> Tensor:
        """Bring H x W x C to the device, as (1, C, H, W)."""
        planes = np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)
        return torch.from_numpy(planes).to(self.placement.device, dtype)


def _join(single: list[Latents]) -> Latents:
    fields = vars(single[0])
    return Latents(**{name: torch.cat([vars(each)[name] for each in single]) for name in fields})


def _load(config: Sd3Config) -> Sd3Model:
    dtype = resolve_dtype(config, resolve_device(config))
    return Sd3Model(load_sd3(config, dtype), config)


MODELS = ModelCache(_load, size=1)


def load_sd3_model(config: Sd3Config) -> Sd3Model:
    """Return the model of a config, loaded once.

    Raises:
        WeightsError: weights that are missing or cannot be used.
        DeviceError: no such device, or its memory does not suffice.
    """
    return MODELS.get(config)


def _extend(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Repeat the last row and column of H x W x C up to a size."""
    bottom, right = height - plane.shape[0], width - plane.shape[1]
    if not bottom and not right:
        return plane
    return cv2.copyMakeBorder(plane, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
