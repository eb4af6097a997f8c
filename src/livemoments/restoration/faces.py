"""Restore the faces of one moment from the frames around it.

The main model restores a moment from one frame. For a face that the key photo shows, too, face
restoration sees the frames before and after, and knows whose face it is. What it makes of the
moment's frame goes into the restored picture at the canonical face's fineness; finer detail stays.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from livemoments.errors import InputError
from livemoments.faces.crops import add_change, cut
from livemoments.faces.detect import FaceFinder
from livemoments.faces.identity import Embedder
from livemoments.faces.models import FaceModels
from livemoments.faces.people import find_people
from livemoments.faces.polish import FaceChange, PolishConfig, polish
from livemoments.faces.references import read_references
from livemoments.imaging.pixels import as_bytes, as_float
from livemoments.models.faces import FaceModel, load_faces
from livemoments.progress import Progress

if TYPE_CHECKING:
    from livemoments.livephoto import LivePhoto

AROUND = 5  # frames on each side: attention over time takes all that are farther for that far


@dataclass(frozen=True, kw_only=True, eq=False)
class MomentFaces:
    """A moment's picture with its faces restored."""

    image: np.ndarray  # float32 H x W x 3 in [0, 1]
    restored: int  # number of restored faces
    reason: str | None  # why there is none


def restore_faces(
    image: np.ndarray,
    live_photo: "LivePhoto",
    index: int,
    key_photo: np.ndarray,
    *,
    config: PolishConfig | None = None,
    threads: int = 0,
    model: FaceModel | None = None,
    progress: Progress | None = None,
) -> MomentFaces:
    """Restore the faces of a moment that the key photo shows, too.

    Args:
        image: the moment as the main model restored it, float32 RGB in [0, 1]: the clip's view,
            enlarged, with the clip's tone.
        live_photo: its clip gives the frames around the moment.
        index: of the moment's frame in the clip.
        key_photo: RGB, uint8 or float in [0, 1]: its faces are the references.
        config: how faces are restored.
        threads: of the networks; 0: one per core.
        model: loaded before; None: the shipped one.
        progress: called as progress(stage, done, total).

    Returns:
        The picture, a new one where a face was restored. Strangers to the key photo are left alone.

    Raises:
        MissingExtraError: the extra `faces` is not installed.
        WeightsError: the weights of face restoration cannot be used.
    """
    models = FaceModels()
    model = model or load_faces(threads=threads)
    config = config or PolishConfig()
    finder, embedder = FaceFinder(models), Embedder(models)
    try:
        references = read_references(as_bytes(key_photo), live_photo.name, finder, embedder)
    except InputError as error:
        return MomentFaces(image=image, restored=0, reason=str(error))
    count = len(live_photo.clip.times_s)
    around = range(max(index - AROUND, 0), min(index + AROUND + 1, count))
    known = {frame.index: frame for frame in live_photo.clip.frames(around)}
    pictures = [(frame.time_s, as_bytes(frame.image)) for frame in known.values()]
    people = find_people(lambda: iter(pictures), references, finder, embedder, config, progress)
    if not people.restored:
        why = next((each.why for each in people.people if each.why), "the frame shows no face")
        return MomentFaces(image=image, restored=0, reason=why)
    moment = list(known).index(index)
    changes = list(polish(lambda: iter(pictures), people, model, config, progress))[moment].changes
    for change in changes:
        image = put_in(image, as_float(known[index].image), change)
    missed = None if changes else "the frame itself shows none of them"
    return MomentFaces(image=image, restored=len(changes), reason=missed)


def put_in(image: np.ndarray, frame: np.ndarray, change: FaceChange) -> np.ndarray:
    """Put a frame's restored face into a restored picture, and return the new picture.

    The picture shows the frame's view, enlarged. It gets the difference between the restored face
    and its own at the same place, both canonical: what is finer than that is the main model's.

    Args:
        image: float32 H x W x 3 in [0, 1].
        frame: float32 h x w x 3 in [0, 1], of the same view.
        change: of the frame.
    """
    size_px = change.change.shape[0]
    place = change.placement.scaled(image.shape[1] / frame.shape[1])
    restored = np.clip(cut(frame, change.placement, size_px) + change.change, 0, 1)
    return add_change(image, restored - cut(image, place, size_px), place, change.strength)
