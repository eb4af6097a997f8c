"""An endless stream of training crops, deterministic by (seed, scene index)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, default_collate, get_worker_info

from livemoments.errors import DamagedFileError, MissingFileError
from livemoments.training.synthesis import MARGIN_PX, Scene, make_scene

HELD_OUT_EVERY = 9  # one photograph in nine is never trained on
DEMO_PHOTOGRAPH = "lomiri-wallpapers-16.04__seeding_by_Clements_Engelhardt.png"  # nor is the demo's


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """What a training crop is. Lengths in pixels."""

    crop: int = 192  # side of a crop; a multiple of 64
    margin: int = 32  # more of the key photo on every side, for the flow to reach into
    scene: int = 448  # side of a scene, from which several crops are cut
    crops_per_scene: int = 6
    scenes_mixed: int = 12  # whose crops are shuffled together, so that a batch shows many scenes

    @property
    def crops_mixed(self) -> int:
        """Crops in one group of mixed scenes."""
        return self.scenes_mixed * self.crops_per_scene


def photographs(folder: Path, *, held_out: bool = False) -> list[Path]:
    """The prepared photographs of a folder: those to train on, or those held out for validation."""
    found = sorted(folder.glob("*.png"))
    if len(found) < 2:
        raise MissingFileError(
            f"{folder}: {len(found)} photographs (*.png) found; "
            "make them with `livemoments photographs FOLDER`"
        )
    # By name, so that a photograph keeps its side when others come or go.
    return [p for p in found if _is_held_out(p.name) == held_out]


def _is_held_out(name: str) -> bool:
    return name == DEMO_PHOTOGRAPH or crc32(name.encode()) % HELD_OUT_EVERY == 0


def _read(path: Path) -> np.ndarray:
    """A prepared photograph, uint8 RGB H x W x 3."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DamagedFileError(f"{path}: not a picture that can be decoded; make it again")
    return image[..., ::-1]


class PhotoPool:
    """Photographs in memory, and detailed square crops of them."""

    def __init__(self, paths: list[Path]) -> None:
        self.images = [_read(path) for path in paths]
        sides = np.array([min(image.shape[:2]) for image in self.images], float)
        self.weights = np.clip(sides, 0, 1600) / np.clip(sides, 0, 1600).sum()

    def crop(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """A size x size crop, float32 RGB in [0, 1], reduced 1 to 2 times, turned and mirrored."""
        for _attempt in range(40):
            image = self.images[rng.choice(len(self.images), p=self.weights)]
            height, width = image.shape[:2]
            reduction = 1.0 if rng.random() < 0.4 else rng.uniform(1.0, 2.0)
            side = min(int(size * reduction), height, width)
            top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
            crop = np.ascontiguousarray(image[top : top + side, left : left + side])
            if side != size:
                method = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
                crop = cv2.resize(crop, (size, size), interpolation=method)
            detail = cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_32F).std()
            if detail > 9 or rng.random() < 0.04:  # flat sky teaches little
                break
        crop = np.rot90(crop, int(rng.integers(4)) if rng.random() < 0.3 else 0)
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        return np.ascontiguousarray(crop, np.float32) / 255


def scene_of(pool: PhotoPool, config: PairConfig, seed: int, index: int) -> Scene:
    """Scene number `index` of a seed: always the same."""
    rng = np.random.default_rng([seed, index])
    side = config.scene + 2 * MARGIN_PX
    background = pool.crop(side, rng)
    thing = pool.crop(side, rng) if rng.random() < 0.5 else None
    return make_scene(background, thing, rng)


def crops_of(
    scene: Scene, config: PairConfig, rng: np.random.Generator
) -> Iterator[dict[str, Tensor]]:
    """Crops of a scene as tensors (C, n, n); the key photo's is PCR's (Eq. 5-6), with a margin.

    `flow` and `true_flow` are what remains after that shift, frame -> key crop, with (0, 0) for a
    pixel that lies at its own place plus the margin.
    """
    n, m, size = config.crop, config.margin, config.scene
    for _ in range(config.crops_per_scene):
        top, left = rng.integers(m, size - n - m + 1, 2)
        here = (slice(top, top + n), slice(left, left + n))
        shift = scene.flow[here].mean((0, 1)).round().astype(int)
        x = int(np.clip(left + shift[0], m, size - n - m))
        y = int(np.clip(top + shift[1], m, size - n - m))
        moved = np.array([x - left, y - top], np.float32)
        planes = {
            "truth": scene.truth[here],
            "frame": scene.frame[here],
            "key": scene.key_photo[y - m : y + n + m, x - m : x + n + m],
            "flow": scene.flow[here] - moved,
            "true_flow": scene.true_flow[here] - moved,
            "confidence": scene.confidence[here][..., None],
            "visible": scene.visible[here][..., None],
        }
        yield {
            k: torch.from_numpy(np.ascontiguousarray(v.transpose(2, 0, 1)))
            for k, v in planes.items()
        }


class PairStream(IterableDataset):
    """Endless batches of crops from step `first_step` on; the same for any step it is started at.

    Scenes are made in groups and the crops of a group are shuffled, so that no state but the step
    is needed to go on. Of W workers, worker w makes the batches of steps w, w + W, ... from groups
    of its own.
    """

    def __init__(
        self, paths: list[Path], config: PairConfig, *, seed: int, batch: int, first_step: int = 0
    ) -> None:
        self.paths, self.config, self.seed = paths, config, seed
        self.batch, self.first_step = batch, first_step

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
        pool, waiting = PhotoPool(self.paths), []
        while True:
            waiting += self._group(pool, group * workers + worker)[skip:]
            group, skip = group + 1, 0
            while len(waiting) >= self.batch:
                batch, waiting = waiting[: self.batch], waiting[self.batch :]
                yield default_collate(batch)

    def _group(self, pool: PhotoPool, group: int) -> list[dict[str, Tensor]]:
        """The shuffled crops of one group of scenes."""
        rng = np.random.default_rng([self.seed, group, 1])
        first = group * self.config.scenes_mixed
        crops = [
            crop
            for index in range(first, first + self.config.scenes_mixed)
            for crop in crops_of(scene_of(pool, self.config, self.seed, index), self.config, rng)
        ]
        return [crops[i] for i in rng.permutation(len(crops))]
