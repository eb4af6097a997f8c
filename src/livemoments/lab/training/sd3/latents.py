"""Store what the sd3 tier learns from: each crop's latents and motion, encoded once.

The autoencoder is frozen: to encode a crop at every step would give the same each time. The crops
are those of `PairStream`, once round all scenes; a crop of 1024 pixels takes 6 MB.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import KW_ONLY, asdict, dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import IterableDataset, default_collate, get_worker_info

from livemoments.align.flow import invert
from livemoments.errors import DamagedFileError
from livemoments.files import atomic_output
from livemoments.lab.training.data.pairs import PairConfig, PairStream
from livemoments.lab.training.data.scenes import SceneStore
from livemoments.lab.training.run.task import hash_of
from livemoments.networks.autoencoder import encode
from livemoments.progress import Progress

RECIPE = 1  # of what is stored: one more makes stored files out of date
PICTURES = ("truth", "frame", "key")


def digest(module: nn.Module) -> str:
    """Hash a network's weights."""
    found = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        found.update(name.encode())
        found.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


class LatentStore:
    """Crops 0 to count - 1 of a store of scenes as latents and motion, each a file.

    A crop is truth, frame and key (16, n/8, n/8) and flow (2, n, n), key crop -> frame crop in
    pixels; all float16.
    """

    def __init__(self, folder: Path, scenes: SceneStore, pairs: PairConfig, vae: nn.Module) -> None:
        """Store under a folder what depends on these scenes, crops and autoencoder."""
        self.scenes, self.pairs = scenes, pairs
        self.groups = -(-pairs.scenes // pairs.scenes_mixed)
        self.count = self.groups * pairs.crops_mixed
        about = repr([RECIPE, scenes.name, asdict(pairs), digest(vae)])
        self.folder = folder / hashlib.sha256(about.encode()).hexdigest()[:12]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return crop number `index`, float32."""
        path = self._path(index)
        try:
            return {name: plane.float() for name, plane in load_file(path).items()}
        except (OSError, SafetensorError) as error:
            raise DamagedFileError(
                f"{path}: cannot be read ({error}); delete it and start again"
            ) from error

    def prepare(
        self,
        vae: nn.Module,
        progress: Progress | None = None,
        *,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        """Encode the crops that are not there yet; of several processes each takes its groups."""
        size = self.pairs.crops_mixed
        own = [
            group
            for group in range(process, self.groups, processes)
            if not all(self._path(group * size + i).exists() for i in range(size))
        ]
        self.folder.mkdir(parents=True, exist_ok=True)
        for done, group in enumerate(own, 1):
            # A batch of so many crops is a group.
            crops = next(iter(PairStream(self.scenes, self.pairs, batch=size, first_step=group)))
            for i in range(size):
                crop = {name: plane[i] for name, plane in crops.items()}
                self._write(group * size + i, crop, vae)
            if progress:
                progress("encoding crops", done, len(own))

    @torch.no_grad()
    def _write(self, index: int, crop: dict[str, Tensor], vae: nn.Module) -> None:
        """Encode one crop of `pairs.crops_of` and write it."""
        planes = {name: encode(vae, crop[name][None])[0] for name in PICTURES}
        to_key = crop["flow"].permute(1, 2, 0).contiguous().numpy()
        planes["flow"] = torch.from_numpy(invert(to_key)).permute(2, 0, 1)
        half = {name: plane.half().cpu().contiguous() for name, plane in planes.items()}
        with atomic_output(self._path(index), overwrite=True) as temporary:
            save_file(half, temporary)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:07d}.safetensors"


@dataclass(eq=False)
class LatentStream(IterableDataset):
    """Endless batches of stored crops from step `first_step` on; the same wherever it is started.

    All crops come once in every round, in an order of that round, and at each step the processes
    take neighbouring pieces of it: two with batches of 4 are shown what one with batches of 8 is.
    Each crop comes with the seed of its random draws, `draw`.
    """

    store: LatentStore
    _: KW_ONLY
    batch: int
    first_step: int = 0
    process: int = 0
    processes: int = 1

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield dictionaries of tensors (batch, C, n, n), see `LatentStore`, and draw (batch)."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        if info:
            torch.set_num_threads(1)
        for step in count(self.first_step + worker, workers):
            first = (step * self.processes + self.process) * self.batch
            yield default_collate([self._crop(first + i) for i in range(self.batch)])

    def _crop(self, position: int) -> dict[str, Any]:
        """Return the crop at a position of the endless order, and its seed."""
        seed, crops = self.store.scenes.seed, self.store.count
        turn, at = divmod(position, crops)
        crop = self.store[int(_order(seed, turn, crops)[at])]
        return {**crop, "draw": hash_of(seed, position)}


@lru_cache(maxsize=2)
def _order(seed: int, turn: int, crops: int) -> np.ndarray:
    """Draw the order of all crops in one round."""
    return np.random.default_rng([seed, turn, 2]).permutation(crops)
