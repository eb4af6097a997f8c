"""Stream training crops without end, deterministic by (seed, scene index)."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, default_collate, get_worker_info

from livemoments.align.flow import pixel_grid
from livemoments.errors import ConfigError
from livemoments.lab.training.data.degrade import check_preset
from livemoments.lab.training.data.scenes import SceneStore
from livemoments.lab.training.data.synthesis import Scene, smooth_field


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """What a training crop is. Lengths in pixels."""

    crop: int = 128  # side of a crop; a multiple of 64
    margin: int = 32  # more of the key photo on every side, for the flow to reach into
    scene: int = 448  # side of a scene, from which several crops are cut
    scenes: int = 1500  # different ones; a run that is longer comes back to them, cut differently
    crops_per_scene: int = 8  # each time round
    preset: str = "live-photo"  # of the degradation, see `data.degrade`
    led_astray: float = 0.35  # share of crops whose estimated flow is made wrong in places
    trembling: float = 0.1  # share of crops whose flow is made to tremble from pixel to pixel
    scenes_mixed: int = 16  # whose crops are shuffled together, so that a batch shows many scenes

    def __post_init__(self) -> None:
        check_preset(self.preset)
        if self.crop < 64 or self.crop % 64:
            raise ConfigError(f"crop must be a multiple of 64, got {self.crop}")
        if self.scene < self.crop + 2 * self.margin:
            raise ConfigError(
                f"scene must be at least crop + 2 margin = {self.crop + 2 * self.margin}, "
                f"got {self.scene}"
            )

    @property
    def crops_mixed(self) -> int:
        """Crops in one group of mixed scenes."""
        return self.scenes_mixed * self.crops_per_scene


def crops_of(
    scene: Scene, config: PairConfig, rng: np.random.Generator
) -> Iterator[dict[str, Tensor]]:
    """Cut crops of a scene as tensors (C, n, n), the key photo's by PCR (Eq. 5-6), with a margin.

    `flow` and `true_flow` are what remains after that shift, frame -> key crop, with (0, 0) for a
    pixel that lies at its own place plus the margin; `visible` says what the key crop shows, beyond
    which a thing that moved far may lie. Crops are mirrored at random.
    """
    n, m, size = config.crop, config.margin, config.scene
    for _ in range(config.crops_per_scene):
        top, left = rng.integers(m, size - n - m + 1, 2)
        here = (slice(top, top + n), slice(left, left + n))
        shift = scene.flow[here].mean((0, 1), dtype=np.float32).round().astype(int)
        x = int(np.clip(left + shift[0], m, size - n - m))
        y = int(np.clip(top + shift[1], m, size - n - m))
        moved = np.array([x - left, y - top], np.float32)
        flow, true_flow = scene.flow[here] - moved, scene.true_flow[here] - moved
        there = pixel_grid(n, n) + true_flow
        shown = ((there >= -m) & (there <= n + m - 1)).all(-1, keepdims=True)
        if rng.random() < config.led_astray:
            flow = flow + error_in_places(n, rng)
        if rng.random() < config.trembling:
            flow = flow + tremble(n, rng)
        planes = {
            "truth": scene.truth[here],
            "frame": scene.frame[here],
            "key": scene.key_photo[y - m : y + n + m, x - m : x + n + m],
            "flow": flow,
            "true_flow": true_flow,
            "confidence": scene.confidence[here][..., None],
            "visible": scene.visible[here][..., None] * shown,
        }
        mirrored = rng.integers(0, 2, 2) == 1  # rows, columns
        yield {name: _as_tensor(_mirror(plane, mirrored)) for name, plane in planes.items()}


def error_in_places(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw what is wrong with an estimated flow; size x size x 2, px, 0 in most places.

    On real clips an estimator errs more, and more plausibly, than on made-up scenes: what it leads
    to looks like what it should have led to. A network must learn to see that from the pictures.
    """
    amplitude_px = np.exp(rng.uniform(np.log(0.7), np.log(12)))
    error = smooth_field(size, amplitude_px, int(rng.integers(2, 9)), rng)
    places = smooth_field(size, 1.0, int(rng.integers(3, 10)), rng)[..., :1]
    return error * np.clip(2 * (places - rng.uniform(0, 0.8)), 0, 1)


def tremble(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw noise of a flow, a number for each few pixels; size x size x 2, px.

    No estimator used here makes such flows, but others may, and what they lead to must not be
    copied.
    """
    cell = int(rng.choice([1, 1, 2, 4]))
    deviation_px = np.exp(rng.uniform(np.log(0.15), np.log(8)))
    coarse = rng.normal(0, deviation_px, (-(-size // cell), -(-size // cell), 2))
    return np.kron(coarse, np.ones((cell, cell, 1)))[:size, :size].astype(np.float32)


def _mirror(plane: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Turn H x W x C over in rows and columns; two channels are a flow, whose signs change."""
    plane = plane[:: -1 if mirrored[0] else 1, :: -1 if mirrored[1] else 1]
    if plane.shape[2] == 2:
        plane = plane * np.where(mirrored[::-1], -1, 1).astype(np.float32)
    return plane


def _as_tensor(plane: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(plane.transpose(2, 0, 1), np.float32))


@dataclass(eq=False)
class PairStream(IterableDataset):
    """Endless batches of crops from step `first_step` on; the same for any step it is started at.

    Scenes come in groups and the crops of a group are shuffled, so that no state but the step is
    needed to go on. Of W workers, worker w makes the batches of steps w, w + W, ... from groups of
    its own; each of several training processes has groups of its own, too.
    """

    scenes: SceneStore
    config: PairConfig
    _: KW_ONLY
    batch: int
    first_step: int = 0
    process: int = 0
    processes: int = 1

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield dictionaries of tensors (batch, C, n, n), see `crops_of`."""
        info = get_worker_info()
        workers = info.num_workers if info else 1
        if info:
            cv2.setNumThreads(1)
            torch.set_num_threads(1)
        worker = ((info.id if info else 0) + self.first_step) % workers
        batches_done = (self.first_step - worker + workers - 1) // workers  # by this worker
        group, skip = divmod(batches_done * self.batch, self.config.crops_mixed)
        waiting: list[dict[str, Tensor]] = []
        while True:
            stream = worker * self.processes + self.process
            waiting += self._group(group * workers * self.processes + stream)[skip:]
            group, skip = group + 1, 0
            while len(waiting) >= self.batch:
                batch, waiting = waiting[: self.batch], waiting[self.batch :]
                yield default_collate(batch)

    def _group(self, group: int) -> list[dict[str, Tensor]]:
        """Cut and shuffle the crops of one group of scenes."""
        rng = np.random.default_rng([self.scenes.seed, group, 1])
        first = group * self.config.scenes_mixed
        crops = [
            crop
            for index in range(first, first + self.config.scenes_mixed)
            for crop in self.crops(index % self.config.scenes, rng)
        ]
        return [crops[i] for i in rng.permutation(len(crops))]

    def crops(self, index: int, rng: np.random.Generator) -> Iterator[dict[str, Tensor]]:
        """Cut the crops of one scene."""
        return crops_of(self.scenes[index], self.config, rng)
