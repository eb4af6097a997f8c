"""Restore a degraded clip's faces, for the benchmark: not at all, and by the main model, two ways.

Each method is given what a user has: the small degraded clip and one key photo. It returns the
whole pictures of the clip, at the key photo's size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from livemoments.align.dense import estimate_flow
from livemoments.align.flow import pixel_grid, resize_flow
from livemoments.faces.crops import SIZE_PX, cut, paste
from livemoments.faces.detect import FaceFinder
from livemoments.faces.follow import follow
from livemoments.faces.identity import Embedder, match_identity
from livemoments.faces.references import Reference, read_references
from livemoments.faces.tracks import Track, View
from livemoments.imaging.pixels import as_bytes, as_float
from livemoments.models.compact import SHIPPED, load_compact
from livemoments.models.tile import TileInput
from livemoments.progress import Progress
from livemoments.restoration.config import RestoreConfig
from livemoments.restoration.moment import restore_frame

INPUT, WHOLE, ON_FACES = "input", "main model, whole picture", "main model, face by face"
MAIN = (WHOLE, ON_FACES)
SEED = 0  # of the main model's noise
FLOW_PX = SIZE_PX // 2  # side of a face for the estimate of its flow, as in face restoration


@dataclass(frozen=True, kw_only=True, eq=False)
class DegradedClip:
    """A degraded clip. Pictures are RGB uint8."""

    small: list[np.ndarray]  # as the camera would have stored it
    frames: list[np.ndarray]  # enlarged to the key photo's size
    times_s: list[float]
    key_photo: np.ndarray  # the sharp picture of its first frame
    strength: str = ""  # the name of the degradation
    bits_per_pixel: float | None = None  # of the small pictures, where a video codec was used


class Method:
    """A way to restore a clip."""

    name: str  # in the tables
    about: str  # what its results depend on; where it changes, they are measured again

    def borders(self, count: int) -> list[int]:
        """Return the frames of a clip of `count` at which a window begins, without the first."""
        return []

    def restore(self, clip: DegradedClip, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """Restore the whole clip, in order; RGB uint8 of the key photo's size."""
        raise NotImplementedError


class Input(Method):
    """The degraded clip, enlarged."""

    name, about = INPUT, "cubic"

    def restore(self, clip: DegradedClip, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """Return the enlarged frames."""
        yield from clip.frames


class MainWhole(Method):
    """The main model on whole pictures, as `livemoments restore` does it at each moment."""

    name = WHOLE

    def __init__(self, threads: int = 0) -> None:
        """Load the model, to compute with so many threads; 0: one per core."""
        self._model = load_compact(SHIPPED, threads)
        self.about = f"{self._model.about['sha256']}, seed {SEED}"

    def restore(self, clip: DegradedClip, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """Restore frame by frame, with the first frame as key photo."""
        height, width = clip.key_photo.shape[:2]
        for index, frame in enumerate(clip.small):
            image = restore_frame(
                frame, clip.key_photo, config=RestoreConfig(seed=SEED), model=self._model,
                key_frame=clip.small[0],
            ).image  # fmt: skip
            if image.shape[:2] != (height, width):
                image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            if progress:
                progress(self.name, index + 1, len(clip.small))
            yield as_bytes(image)


class MainOnFaces(Method):
    """The main model on canonical faces, frame by frame, as face restoration cuts them out.

    Faces are found and followed in the enlarged degraded clip, and matched with the key photo's.
    """

    name = ON_FACES

    def __init__(self, finder: FaceFinder, embedder: Embedder, threads: int = 0) -> None:
        """Choose what finds faces, and load the model."""
        self._finder, self._embedder = finder, embedder
        self._model = load_compact(SHIPPED, threads)
        self.about = f"{self._model.about['sha256']}, flow at {FLOW_PX}, seed {SEED}"

    def restore(self, clip: DegradedClip, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """Restore the faces of people whom the key photo shows."""
        known = read_references(clip.key_photo, "the key photo", self._finder, self._embedder)
        moments = zip(clip.times_s, clip.frames, strict=True)
        tracks = follow(moments, self._finder, self._embedder).tracks
        found = [
            (track.views(clip.times_s), as_float(reference.at(SIZE_PX)))
            for track in tracks
            if (reference := reference_of(track, known)) is not None
        ]
        for index, frame in enumerate(clip.frames):
            picture = as_float(frame)
            for views, face in found:
                picture = self._with_face(picture, views.get(index), face, index)
            if progress:
                progress(self.name, index + 1, len(clip.frames))
            yield as_bytes(picture)

    def _with_face(
        self, picture: np.ndarray, view: View | None, reference: np.ndarray, index: int
    ) -> np.ndarray:
        """Restore the face of a view in a picture, by a reference."""
        if view is None or not view.strength:
            return picture
        face = np.clip(cut(picture, view.placement, SIZE_PX), 0, 1)
        small = cv2.resize(face, (FLOW_PX, FLOW_PX), interpolation=cv2.INTER_AREA)
        dense = estimate_flow(small, reference)
        flow = resize_flow(dense.flow_frame_to_key, SIZE_PX, SIZE_PX)
        tile = TileInput(
            frame=face, reference=reference, positions=pixel_grid(SIZE_PX, SIZE_PX) + flow,
            confidence=cv2.resize(dense.confidence, (SIZE_PX, SIZE_PX)),
        )  # fmt: skip
        rng = np.random.default_rng([SEED, index])
        image = np.clip(self._model.restore_tile(tile, self._model.steps, rng).image, 0, 1)
        return paste(picture, image, view.placement, strength=view.strength)


def reference_of(track: Track, known: list[Reference]) -> Reference | None:
    """Return the face of the key photo that a track shows; None: it shows a stranger."""
    people = {str(number): [each.identity] for number, each in enumerate(known)}
    name = match_identity(track.identity, people).name
    return None if name is None else known[int(name)]
