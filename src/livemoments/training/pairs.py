"""An endless stream of training crops, deterministic by (seed, scene index)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from livemoments.errors import MissingFileError
from livemoments.training.synthesis import MARGIN_PX, Scene, make_scene

HELD_OUT_EVERY = 9  # one photograph in nine is never trained on


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """What a training crop is. Lengths in pixels."""

    crop: int = 192  # side of a crop; a multiple of 64
    margin: int = 32  # more of the key photo on every side, for the flow to reach into
    scene: int = 448  # side of a scene, from which several crops are cut
    crops_per_scene: int = 6
    shuffle: int = 72  # crops mixed before they are given out, so that a batch shows many scenes


def photographs(folder: Path, *, held_out: bool = False) -> list[Path]:
    """The prepared photographs of a folder: those to train on, or those held out for validation."""
    found = sorted(folder.glob("*.png"))
    if len(found) < 2:
        raise MissingFileError(
            f"{folder}: {len(found)} photographs (*.png) found; "
            "make them with `livemoments photographs FOLDER`"
        )
    # By name, so that a photograph keeps its side when others come or go.
    return [p for p in found if (crc32(p.name.encode()) % HELD_OUT_EVERY == 0) == held_out]


class PhotoPool:
    """Photographs in memory, and detailed square crops of them."""

    def __init__(self, paths: list[Path]) -> None:
        self.images = [cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1] for path in paths]
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
        crop = np.rot90(crop, rng.integers(4) if rng.random() < 0.3 else 0)
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


def crops_of(scene: Scene, config: PairConfig, rng: np.random.Generator) -> Iterator[dict[str, Tensor]]:
    """Crops of a scene as tensors (C, n, n); the key photo's is PCR's (Eq. 5-6), with a margin.

    `flow` and `true_flow` are what remains after that shift, frame -> key crop, with (0, 0) for a pixel that
    lies at its own place plus the margin.
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
        yield {k: torch.from_numpy(np.ascontiguousarray(v.transpose(2, 0, 1))) for k, v in planes.items()}


class PairStream(IterableDataset):
    """Endless crops; worker w of W makes scenes first + w, first + w + W, ..."""

    def __init__(self, paths: list[Path], config: PairConfig, seed: int, first: int = 0) -> None:
        self.paths, self.config, self.seed, self.first = paths, config, seed, first

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield dictionaries of tensors, see `crops_of`."""
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        pool, waiting = PhotoPool(self.paths), []
        index = self.first + worker
        while True:
            rng = np.random.default_rng([self.seed, index, 1])
            waiting += crops_of(scene_of(pool, self.config, self.seed, index), self.config, rng)
            index += workers
            while len(waiting) > self.config.shuffle:
                yield waiting.pop(rng.integers(len(waiting)))
