"""Make and store clips of faces to train on, numbered and fixed by seed, and cut them into crops.

Every other clip is made of a portrait, the others of any photograph's detail: that what is copied
is the reference's detail has nothing to do with faces. Portraits are canonical faces with a margin,
as `faces.portraits` prepares them next to a list, faces.json, of who they show.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from livemoments.errors import DamagedFileError, MissingFileError
from livemoments.lab.training.data.pairs import PairStream, error_in_places
from livemoments.lab.training.data.scenes import HELD_OUT_EVERY, SceneStore, photographs, pool_of
from livemoments.lab.training.data.synthesis import retone
from livemoments.lab.training.faces.synthesis import (
    MARGIN_PX,
    SEVERE,
    SIZE_PX,
    Content,
    FaceClip,
    make_face_clip,
)

if TYPE_CHECKING:
    from livemoments.lab.training.run.config import FaceTrainConfig

LIST = "faces.json"
PICTURES = ("truths", "frames", "reference")  # stored with 8 bits


@dataclass(frozen=True)
class Portrait:
    """One prepared portrait."""

    path: Path
    identity: tuple[float, ...]
    attributes: tuple[float, float, float, float]  # degrees yaw, pitch, roll; sharpness


def read_portraits(folder: Path, *, held_out: bool = False) -> tuple[Portrait, ...]:
    """Read the portraits to train on, or those held out; a person is on one side only.

    Raises:
        MissingFileError: there is no list of them.
        DamagedFileError: it cannot be read.
    """
    path = folder / LIST
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text())
        portraits = [
            (
                row["person"] % HELD_OUT_EVERY == HELD_OUT_EVERY - 1,
                Portrait(
                    folder / row["file"],
                    tuple(row["identity"]),
                    (row["yaw"], row["pitch"], row["roll"], row["sharpness"]),
                ),
            )
            for row in rows
        ]
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: not there; give a folder of prepared portraits") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{path}: cannot be read ({error}); make it again") from error
    chosen = tuple(portrait for side, portrait in portraits if side == held_out)
    return chosen or tuple(portrait for _, portrait in portraits)


@dataclass(frozen=True)
class FaceClips:
    """Makes clips of portraits and, every other one, of photographs."""

    portraits: tuple[Portrait, ...]
    photographs: tuple[Path, ...]  # none: portraits alone
    frames: int
    severe: float = SEVERE

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that clips are made of."""
        return tuple(portrait.path for portrait in self.portraits) + self.photographs

    def identity(self) -> object:
        """See `SceneMaker`."""
        files = [(path.name, path.stat().st_size) for path in self.paths]
        return ["faces", 3, self.frames, self.severe, files]

    def scene(self, seed: int, index: int) -> FaceClip:
        """Make clip number `index` of a seed."""
        rng = np.random.default_rng([seed, index])
        face = index % 2 == 0 or not self.photographs
        content = self._face(rng) if face else self._detail(rng)
        # Another face lies where this one does, and is as plausible.
        another = face and (rng.random() < 0.7 or not self.photographs)
        other = self._face(rng) if another or not self.photographs else self._detail(rng)
        return make_face_clip(content, other.picture, self.frames, rng, self.severe)

    def _face(self, rng: np.random.Generator) -> Content:
        """Draw a portrait, mirrored and toned at random."""
        portrait = self.portraits[int(rng.integers(len(self.portraits)))]
        picture = _read(portrait.path)
        attributes = np.array(portrait.attributes) / (30, 30, 30, 1)
        if rng.random() < 0.5:
            picture, attributes = picture[:, ::-1], attributes * (-1, 1, -1, 1)
        if rng.random() < 0.5:  # another camera
            picture = retone(np.ascontiguousarray(picture), rng)
        return Content(
            picture=np.ascontiguousarray(picture), identity=np.array(portrait.identity),
            attributes=attributes,
        )  # fmt: skip

    def _detail(self, rng: np.random.Generator) -> Content:
        """Draw a crop of a photograph."""
        picture = pool_of(self.photographs).crop(SIZE_PX + 2 * MARGIN_PX, rng)
        return Content(picture=picture, identity=np.zeros(128), attributes=np.zeros(4))


def face_clips(
    config: "FaceTrainConfig", folder: Path | None, *, held_out: bool = False
) -> FaceClips:
    """Make the maker of a run's clips, or of those held out; folder holds photographs."""
    if config.portraits is None:
        raise MissingFileError("no portraits to learn from; give a folder of prepared portraits")
    return FaceClips(
        read_portraits(config.portraits, held_out=held_out),
        photographs(folder, held_out=held_out) if folder else (),
        config.frames,
    )


class FaceStore(SceneStore):
    """Clips 0, 1, 2, ... of a seed, stored as files of 6 MB."""

    def packed(self, scene: FaceClip) -> dict[str, np.ndarray]:
        """See `SceneStore`."""
        return {
            name: np.clip(a * 255 + 0.5, 0, 255).astype(np.uint8)
            if name in PICTURES
            else a.astype(np.float16 if a.ndim > 1 else np.float32)
            for name, a in vars(scene).items()
        }

    def unpacked(self, arrays: dict[str, np.ndarray]) -> FaceClip:
        """See `SceneStore`."""
        planes = {
            name: a.astype(np.float32) / (255 if name in PICTURES else 1)
            for name, a in arrays.items()
        }
        return FaceClip(**planes)


class FaceStream(PairStream):
    """Endless batches of crops of clips: tensors (B, T, C, n, n), and those of a whole clip."""

    def crops(self, index: int, rng: np.random.Generator) -> Iterator[dict[str, Tensor]]:
        """Cut one clip near its middle; the reference stays whole, `corner` is the crop's place."""
        clip, n = self.scenes[index], self.config.crop
        size = clip.reference.shape[0]
        for _ in range(self.config.crops_per_scene):
            # Of two draws the one nearer the middle: there the face is.
            draws = rng.integers(0, size - n + 1, (2, 2))
            corner = draws[np.abs(draws - (size - n) / 2).sum(1).argmin()]
            flow = clip.flow
            if rng.random() < self.config.led_astray:
                flow = flow + error_in_places(size, rng)
            yield crop_of(replace(clip, flow=flow), int(corner[0]), int(corner[1]), n)


def crop_of(clip: FaceClip, left: int, top: int, n: int) -> dict[str, Tensor]:
    """Cut an n x n crop of a clip at a place; flows lead into the whole reference."""
    here = (slice(None), slice(top, top + n), slice(left, left + n))
    corner = np.array([left, top], np.float32)
    planes = {
        "truth": clip.truths[here],
        "frame": clip.frames[here],
        "flow": clip.flow[here] + corner,
        "true_flow": clip.flows[here] + corner,
        "confidence": clip.confidence[here][..., None],
        "visible": clip.visible[here][..., None],
        "steps": clip.steps[here],
    }
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(plane.transpose(0, 3, 1, 2), np.float32))
        for name, plane in planes.items()
    }
    whole = torch.from_numpy(np.ascontiguousarray(clip.truths.transpose(0, 3, 1, 2)))
    reference = torch.from_numpy(np.ascontiguousarray(clip.reference.transpose(2, 0, 1)))
    return tensors | {
        "whole": whole,
        "reference": reference,
        "corner": torch.from_numpy(corner),
        "identity": torch.from_numpy(clip.identity.copy()),
        "attributes": torch.from_numpy(clip.attributes.copy()),
    }


@lru_cache(maxsize=64)
def _read(path: Path) -> np.ndarray:
    """Read a prepared portrait, float32 RGB in [0, 1]."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    side = SIZE_PX + 2 * MARGIN_PX
    if picture is None or picture.shape[:2] != (side, side):
        raise DamagedFileError(f"{path}: not a portrait of {side} x {side} pixels; make it again")
    return picture[..., ::-1].astype(np.float32) / 255
