"""The sd3 tier at run time: the paper's model, a few tiles of 1024 pixels at a time. PyTorch.

Default mode is ours: exact bridge steps, the autoencoder's mode, motion from the whole picture's
alignment. `official` does as the release does: Euler steps, sampled latents, the tile's own flow.
"""

from collections.abc import Sequence
from copy import copy

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
from livemoments.models.sd3.weights import Sd3Parts, load_sd3
from livemoments.models.tile import TileConfig, TileInput, TileResult
from livemoments.networks.autoencoder import decode, encode
from livemoments.networks.motion_encoder import PIXELS_PER_TOKEN
from livemoments.networks.sd3 import Prompt

CELL_PX = 8  # of the autoencoder's latents, a side


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
        self.config = config
        self.batch = config.batch
        self.dual, self.vae = parts.dual, parts.vae
        # The table of positions goes no further; a published model's reaches 3072 pixels.
        self.largest_px = PIXELS_PER_TOKEN * parts.dual.restoration.config.pos_embed_max_size
        if self.largest_px < self.tiles.size:
            self.tiles = TileConfig(size=self.largest_px, overlap=min(64, self.largest_px // 4))
        self.placement: Placement = place(parts, config, self.tiles.size)
        device = self.placement.device
        self.prompt = Prompt(parts.prompt.tokens.to(device), parts.prompt.pooled.to(device))
        self.estimator = _raft(config, device) if config.flow == "raft" else None
        # None: a tile's flow follows from the whole picture's alignment.
        self._flow = DisFlow() if config.tile_flow == "dis" else self.estimator
        if config.compile and not self.placement.offload:
            self.compile()

    def with_config(self, config: Sd3Config) -> "Sd3Model":
        """Return the same networks, where they are, with other settings of sampling."""
        other = copy(self)
        other.config, other.batch = config, config.batch
        if config.compile and not self.config.compile:
            other.compile()
        return other

    def compile(self) -> None:
        """Have torch.compile make faster code of the blocks; their first run then takes minutes."""
        for net in (self.dual.reference, self.dual.restoration):
            for block in net.transformer_blocks:
                block.compile()

    def restore_tiles(
        self, tiles: Sequence[TileInput], steps: int, rngs: Sequence[np.random.Generator]
    ) -> list[TileResult]:
        """Restore tiles of one size together; each rng draws its own tile's noise."""
        with torch.inference_mode(), explain_out_of_memory(self.config, self.placement):
            return self._restore_tiles(tiles, steps, rngs)

    def _restore_tiles(
        self, tiles: Sequence[TileInput], steps: int, rngs: Sequence[np.random.Generator]
    ) -> list[TileResult]:
        n, m = tiles[0].frame.shape[:2]
        if max(n, m) > self.largest_px:
            raise ConfigError(
                f"tiles of {m} x {n} pixels are too large for this model: {self.largest_px} a side "
                "at most; make them smaller"
            )
        z_frame, z_key, flow = self.latents(tiles, rngs)
        shape = z_frame.shape[1:]
        noise = np.stack([rng.standard_normal(shape, np.float32) for rng in rngs])
        z = self._sample(z_frame, z_key, flow, torch.from_numpy(noise).to(z_frame.device), steps)
        pictures = self.decode(z)[:, :n, :m]
        return [
            TileResult(
                image=np.ascontiguousarray(picture),
                used=np.zeros((n, m), np.float32) if tile.confidence is None else tile.confidence,
            )
            for tile, picture in zip(tiles, pictures, strict=True)
        ]

    def latents(
        self, tiles: Sequence[TileInput], rngs: Sequence[np.random.Generator]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the bridge begins with, of tiles of one size, on the device.

        The latents of the frames and of the key photo's crops, (B, 16, h, w) float32, and the flow
        key -> frame (B, 2, H, W) in pixels. In official mode each rng draws its tile's latents.
        """
        views = [self._views(tile) for tile in tiles]
        z_frame = self._encode([frame for frame, _, _ in views], rngs)
        z_key = self._encode([key for _, key, _ in views], rngs)
        flow = np.stack([flow for _, _, flow in views]).transpose(0, 3, 1, 2)
        return z_frame, z_key, self._tensor(flow)

    def decode(self, z: Tensor) -> np.ndarray:
        """Return the pictures B x H x W x 3 float32 of latents, not clipped."""
        planes = torch.cat([decode(self.vae, one[None]) for one in z])
        pictures: np.ndarray = planes.permute(0, 2, 3, 1).cpu().numpy()
        return pictures

    def _sample(
        self, z_frame: Tensor, z_key: Tensor, flow: Tensor, noise: Tensor, steps: int
    ) -> Tensor:
        """Walk the bridge from the frame's latents to the restored ones, (B, 16, h, w) float32."""
        dual, dtype = self.dual, self.placement.dtype
        key = z_key.to(dtype)
        motion = dual.motion_keys(flow)
        z = bridge.start(z_frame, noise)
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
                truth = bridge.truth_from_velocity(z, velocity, z_frame, t)
                z = bridge.exact_step(z, truth, z_frame, t, t_next)
        return z

    def _encode(self, pictures: list[np.ndarray], rngs: Sequence[np.random.Generator]) -> Tensor:
        """Latents (B, 16, h, w) float32 of pictures in [0, 1]; one at a time, to spare memory."""
        latents = []
        for picture, rng in zip(pictures, rngs, strict=True):
            planes = self._tensor(picture.transpose(2, 0, 1)[None], torch.float32)
            draw = None
            if self.config.official:
                cells = (1, 16, *(side // CELL_PX for side in planes.shape[-2:]))
                draw = torch.from_numpy(rng.standard_normal(cells, np.float32))
            latents.append(encode(self.vae, planes, draw))
        return torch.cat(latents)

    def _views(self, tile: TileInput) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The frame, PCR's crop of the key photo and the flow key -> frame between them.

        All of the frame's size extended to multiples of 16. Without a reference, the frame is its
        own: the model was not made to do without one.
        """
        n, m = tile.frame.shape[:2]
        height, width = (-(-side // PIXELS_PER_TOKEN) * PIXELS_PER_TOKEN for side in (n, m))
        frame = _extended(tile.frame, height, width)
        if tile.reference is None or tile.positions is None:
            return frame, frame, np.zeros((height, width, 2), np.float32)
        top, left = tile.corner
        key = _extended(tile.reference[top : top + n, left : left + m], height, width)
        if self._flow is None:
            to_key = tile.positions - np.array([left, top], np.float32) - pixel_grid(n, m)
            return frame, key, invert(_extended(to_key, height, width))
        # As in training, where the key frame is degraded too: sharp against soft misleads.
        small = shrink(grey(key), round(height / tile.enlarged), round(width / tile.enlarged))
        key_frame = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        return frame, key, self._flow(equalised(key_frame), equalised(grey(frame)))

    def _tensor(self, values: np.ndarray, dtype: torch.dtype | None = None) -> Tensor:
        """On the device; in the transformers' type, if in no other."""
        tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))
        return tensor.to(self.placement.device, dtype or self.placement.dtype)


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


def _raft(config: Sd3Config, device: torch.device) -> FlowEstimator:
    """RAFT, or the error that says what it needs."""
    from livemoments.models.sd3.raft import RaftFlow

    return RaftFlow(config.raft, str(device))


def _extended(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """H x W x C with its last row and column repeated up to a size."""
    bottom, right = height - plane.shape[0], width - plane.shape[1]
    if not bottom and not right:
        return plane
    return cv2.copyMakeBorder(plane, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
