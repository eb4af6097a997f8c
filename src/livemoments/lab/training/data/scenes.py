"""Make scenes to train on once from photographs, store them in a folder, and read them back.

Making a scene takes 0.2 s of a core, as long as several steps of training on it.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile
from zlib import crc32

import cv2
import numpy as np

from livemoments.errors import DamagedFileError, MissingFileError
from livemoments.files import atomic_output
from livemoments.jobs.child_processes import follow_parent
from livemoments.lab.training.data.codec import read_picture
from livemoments.lab.training.data.synthesis import MARGIN_PX, Scene, make_scene
from livemoments.progress import Progress

HELD_OUT_EVERY = 9  # one photograph in nine is never trained on
DEMO_PHOTOGRAPH = "lomiri-wallpapers-16.04__seeding_by_Clements_Engelhardt.png"  # nor is the demo's
RECIPE = 7  # of synthesis and degradation: one more makes stored scenes out of date
THINGS = (0.4, 0.4, 0.2)  # shares of scenes with none, one and two things that move on their own
PICTURES = ("truth", "frame", "key_photo")  # stored with 8 bits, as cameras do


def photographs(folder: Path, *, held_out: bool = False) -> tuple[Path, ...]:
    """Find the prepared photographs of a folder: those to train on, or those held out.

    Raises:
        MissingFileError: there are fewer than two.
    """
    found = sorted(folder.glob("*.png"))
    if len(found) < 2:
        raise MissingFileError(
            f"{folder}: {len(found)} photographs (*.png) found; "
            "make them with `livemoments lab photographs FOLDER`"
        )
    # By name, so that a photograph keeps its side when others come or go.
    chosen = tuple(p for p in found if _is_held_out(p.name) == held_out)
    # Of a handful none may fall to validation, or all: then both use what there is.
    return chosen or tuple(found)


def _is_held_out(name: str) -> bool:
    return name == DEMO_PHOTOGRAPH or crc32(name.encode()) % HELD_OUT_EVERY == 0


class PhotoPool:
    """Photographs in memory, and detailed square crops of them."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.images = [read_picture(path) for path in paths]
        sides = np.array([min(image.shape[:2]) for image in self.images], float)
        self.weights = np.clip(sides, 0, 1600) / np.clip(sides, 0, 1600).sum()

    def crop(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Draw a size x size crop, float32 RGB in [0, 1]: reduced 1 to 2 times, turned."""
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


class SceneMaker(Protocol):
    """Makes scenes by number, always the same by (seed, index)."""

    @property
    def paths(self) -> Sequence[Path]:
        """The photographs and clips that scenes are made of."""
        ...

    def identity(self) -> object:
        """Return everything a scene depends on apart from seed and index, as plain values."""
        ...

    def scene(self, seed: int, index: int) -> Any:  # noqa: ANN401
        """Make scene number `index` of a seed: a `Scene`, or what another store takes."""
        ...


@dataclass(frozen=True)
class PhotoScenes:
    """Scenes of size x size pixels synthesised from photographs; `preset` degrades the frame."""

    paths: tuple[Path, ...]
    size: int
    preset: str = "live-photo"

    def identity(self) -> object:
        """See `SceneMaker`."""
        files = [(path.name, path.stat().st_size) for path in self.paths]
        return ["photographs", self.size, self.preset, files]

    def scene(self, seed: int, index: int) -> Scene:
        """See `SceneMaker`."""
        rng, pool = np.random.default_rng([seed, index]), pool_of(self.paths)
        side = self.size + 2 * MARGIN_PX
        background = pool.crop(side, rng)
        count = int(rng.choice(len(THINGS), p=THINGS))
        return make_scene(
            background, [pool.crop(side, rng) for _ in range(count)], rng, self.preset
        )


@dataclass(frozen=True)
class TurnsOf:
    """Scenes of several makers in turn."""

    makers: tuple[SceneMaker, ...]

    @property
    def paths(self) -> list[Path]:
        """See `SceneMaker`."""
        return [path for maker in self.makers for path in maker.paths]

    def identity(self) -> object:
        """See `SceneMaker`."""
        return [maker.identity() for maker in self.makers]

    def scene(self, seed: int, index: int) -> Scene:
        """See `SceneMaker`."""
        return self.makers[index % len(self.makers)].scene(seed, index)


class SceneStore:
    """Scenes 0, 1, 2, ... of a seed, each made when it is first asked for and stored as a file."""

    def __init__(self, folder: Path, maker: SceneMaker, *, seed: int) -> None:
        """Store a maker's scenes under a folder."""
        self.maker, self.seed = maker, seed
        about = repr([RECIPE, seed, maker.identity()])
        self.name = hashlib.sha256(about.encode()).hexdigest()[:12]  # of all they depend on
        self.folder = folder / self.name

    def __getitem__(self, index: int) -> Any:  # noqa: ANN401 - a `Scene`, of this store itself
        """Return scene number `index`: the same whether it was stored or is made now."""
        path = self.folder / f"{index:06d}.npz"
        try:
            with path.open("rb") as file, np.load(file) as arrays:
                return self.unpacked(dict(arrays))
        except FileNotFoundError:
            packed = self.packed(self.maker.scene(self.seed, index))
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise DamagedFileError(f"{path}: cannot be read ({error}); delete it") from error
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_output(path, overwrite=True) as temporary, temporary.open("wb") as written:
            np.savez(written, **packed)  # type: ignore[arg-type]  # NumPy's stubs
        return self.unpacked(packed)

    def packed(self, scene: Any) -> dict[str, np.ndarray]:  # noqa: ANN401 - of another maker
        """Pack a scene for its file: uint8 N x N x 9 and float16 N x N x 6."""
        planes = {f.name: getattr(scene, f.name) for f in fields(Scene)}
        pictures = np.concatenate([planes.pop(name) for name in PICTURES], -1)
        rest = np.concatenate([p.reshape(*p.shape[:2], -1) for p in planes.values()], -1)
        eight_bit = np.clip(pictures * 255 + 0.5, 0, 255).astype(np.uint8)
        return {"pictures": eight_bit, "fields": rest.astype(np.float16)}

    def unpacked(self, arrays: dict[str, np.ndarray]) -> Any:  # noqa: ANN401
        """Undo `packed`."""
        floats = arrays["pictures"].astype(np.float32) / 255
        rest = arrays["fields"].astype(np.float32)
        return Scene(
            truth=floats[..., :3], frame=floats[..., 3:6], key_photo=floats[..., 6:],
            true_flow=rest[..., :2], visible=rest[..., 2],
            flow=rest[..., 3:5], confidence=rest[..., 5],
        )  # fmt: skip

    def prepare(self, count: int, processes: int, progress: Progress | None = None) -> None:
        """Make the first `count` scenes that are not there yet, in several processes."""
        missing = [i for i in range(count) if not (self.folder / f"{i:06d}.npz").exists()]
        if not missing:
            return
        with ProcessPoolExecutor(processes, get_context("spawn"), follow_parent) as pool:
            try:
                for done, _ in enumerate(pool.map(_make, repeat(self), missing, chunksize=4), 1):
                    if progress:
                        progress("making scenes", done, len(missing))
            finally:
                pool.shutdown(cancel_futures=True)  # else one that is cancelled makes all of them


def _make(store: SceneStore, index: int) -> None:
    """Make and store one scene, on one core."""
    cv2.setNumThreads(1)
    store[index]


@lru_cache(maxsize=2)
def pool_of(paths: tuple[Path, ...]) -> PhotoPool:
    """Read photographs, once per process."""
    return PhotoPool(paths)
