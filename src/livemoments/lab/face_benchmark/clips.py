"""How well the faces of a restored clip are a person's, and stay so from frame to frame.

Both clips are cut out at the same steadied places, those of the truth's track, so what is compared
are faces and not the luck of a detector. For each frame: the identity's distance to the truth's and
to a reference's, the landmarks' error, the warp error, how errors flicker, and any metric of
pictures on the face itself. Over frames: the drift of the identity, inside clips of 24 frames and
between them (IP-FVR's two kinds).

A metric of pictures sees the face alone: what is outside the soft mask under which faces are pasted
shows the truth. Else what counts most would be the background, which a face's restoration leaves.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np

from livemoments.align.estimators import DisFlow
from livemoments.align.flow import forward_backward_error, warp
from livemoments.errors import InputError
from livemoments.faces.crops import SIZE_PX, cut, face_mask
from livemoments.faces.detect import FaceFinder
from livemoments.faces.face import Placement, eyes_apart
from livemoments.faces.identity import apart
from livemoments.faces.tracks import View
from livemoments.imaging.pixels import as_bytes
from livemoments.lab.metrics.metric import Metric, as_stored

CLIP_FRAMES = 24  # of IP-FVR's clips
IDENTITY_EVERY = 4  # frames: an identity takes 0.3 s
TRUSTED_PX = 0.5  # of the flow's way there and back, for a pixel to count in the warp error


class Recogniser(Protocol):
    """What identity.Embedder does."""

    def of_picture(self, picture: np.ndarray, placement: Placement) -> np.ndarray:
        """The identity of a face in a picture."""
        ...

    def of_face(self, face: np.ndarray) -> np.ndarray:
        """The identity of a canonical face."""
        ...


@dataclass(frozen=True, kw_only=True)
class FaceMeasures:
    """What faces are measured with."""

    finder: FaceFinder
    embedder: Recogniser
    metrics: Sequence[Metric] = ()  # of a picture and its truth, on the face alone
    judges: Sequence[Metric] = ()  # likewise, of the whole canonical square
    size_px: int = SIZE_PX
    identity_every: int = IDENTITY_EVERY
    metrics_every: int = 1  # frames


@dataclass(frozen=True, kw_only=True)
class FaceRow:
    """What was measured of one frame; None: not of this frame."""

    index: int
    identity_to_truth: float | None  # distance of embeddings
    identity_to_reference: float | None
    truth_to_reference: float | None  # the truth's own, to hold that against
    landmark_error: float  # mean distance to the truth's, in distances between its eyes
    warp_error: float | None  # against the frame before, in grey levels of 255
    truth_warp_error: float | None
    unrest: float | None = None  # the warp error of result - truth: 0 for the truth, however lively
    metrics: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How an identity's distance changes over time; above 0 it gets stranger."""

    inside: float  # per frame, mean over clips of CLIP_FRAMES
    between: float  # per clip, over the clips' means; 0 for fewer than two clips


def score_faces(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
    views: Mapping[int, View],
    measures: FaceMeasures,
    reference: np.ndarray | None = None,
) -> Iterator[FaceRow]:
    """Measure one person's face in every frame where it was seen, with two frames in memory.

    Args:
        pairs: (result, truth) of each frame from the first on; RGB of one size, uint8 or float in
            [0, 1].
        views: where the face is, from the truth's track.
        measures: what to measure with.
        reference: the identity (128,) of the reference photograph; None: none.

    Raises:
        InputError: a pair differs in size, or is no picture.
    """
    before: tuple[np.ndarray, np.ndarray] | None = None
    for index, pair in enumerate(pairs):
        view = views.get(index)
        if view is None or not view.seen:
            before = None
            continue
        faces = _cut_pair(pair, index, view, measures.size_px)
        yield _row(index, faces, before, measures, reference)
        before = faces


def drift(rows: Sequence[FaceRow], name: str, clip_frames: int = CLIP_FRAMES) -> Drift:
    """The drift of a distance of FaceRow, such as "identity_to_reference".

    Raises:
        InputError: it was measured in fewer than two frames.
    """
    at = np.array([row.index for row in rows if getattr(row, name) is not None])
    values = np.array([getattr(row, name) for row in rows if getattr(row, name) is not None])
    if len(at) < 2:
        raise InputError(f"{name} was measured in {len(at)} frames; a drift needs two or more")
    clips = at // clip_frames
    parts = [(at[clips == clip], values[clips == clip]) for clip in np.unique(clips)]
    slopes = [slope(part, value) for part, value in parts if len(part) > 1]
    means = np.array([value.mean() for _, value in parts])
    return Drift(
        inside=float(np.mean(slopes)) if slopes else 0.0,
        between=slope(np.unique(clips), means) if len(means) > 1 else 0.0,
    )


def mean(rows: Sequence[FaceRow], name: str) -> float | None:
    """The mean of a number of FaceRow over the frames that have it; None where none has."""
    values = [getattr(row, name) for row in rows if getattr(row, name) is not None]
    return float(np.mean(values)) if values else None


def on_face(result: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of two canonical faces in which a face lies, with the truth outside its soft mask.

    Args:
        result: RGB uint8 S x S x 3.
        truth: likewise.

    Returns:
        Both, float32 in [0, 1], as large as the mask's ellipse.
    """
    one, other = (face.astype(np.float32) / 255 for face in (result, truth))
    mask = face_mask(len(other))
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    mixed = other + mask[..., None] * (one - other)
    return mixed[part], other[part]


def slope(at: np.ndarray, values: np.ndarray) -> float:
    """Of the line of least squares through values (n,) at (n,), two or more."""
    centred = at - np.mean(at)
    return float(centred @ (values - np.mean(values)) / (centred @ centred))


def landmark_error(found: np.ndarray, true: np.ndarray) -> float:
    """Mean distance of landmarks (68, 2) in distances between the true eyes."""
    return float(np.linalg.norm(found - true, axis=1).mean() / eyes_apart(true))


def warp_error(
    now: np.ndarray, before: np.ndarray, flow_now_to_before: np.ndarray, trust: np.ndarray
) -> float | None:
    """How much a face changes beyond its motion: mean difference in grey levels of 255.

    Args:
        now: RGB float32 S x S x 3 in [0, 1].
        before: the frame before, likewise.
        flow_now_to_before: the truth's, S x S x 2.
        trust: float32 S x S: how much each pixel counts.

    Returns:
        None where no pixel counts.
    """
    total = float(trust.sum())
    if total <= 0:
        return None
    gap = np.abs(now - warp(before, flow_now_to_before)).mean(axis=2)
    return float(255 * (gap * trust).sum() / total)


def _cut_pair(
    pair: tuple[np.ndarray, np.ndarray], index: int, view: View, size_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """The canonical faces of a result and its truth, uint8."""
    result, truth = (as_bytes(as_stored(picture, f"frame {index}")) for picture in pair)
    if result.shape != truth.shape:
        raise InputError(
            f"frame {index}: the result is {result.shape}, the truth {truth.shape}; "
            "bring them to one size first"
        )
    return cut(result, view.placement, size_px), cut(truth, view.placement, size_px)


def _row(
    index: int,
    faces: tuple[np.ndarray, np.ndarray],
    before: tuple[np.ndarray, np.ndarray] | None,
    measures: FaceMeasures,
    reference: np.ndarray | None,
) -> FaceRow:
    result, truth = faces
    away: dict[str, float | None] = dict.fromkeys(("truth", "reference", "own"))
    if index % measures.identity_every == 0:
        one, other = (measures.embedder.of_face(face) for face in faces)
        away["truth"] = apart(one, other)
        if reference is not None:
            away["reference"], away["own"] = apart(one, reference), apart(other, reference)
    scores: dict[str, float | None] = {}
    if index % measures.metrics_every == 0:
        scores = {metric.name: metric(*on_face(result, truth)).value for metric in measures.metrics}
        scores |= {judge.name: judge(result, truth).value for judge in measures.judges}
    found, true = (measures.finder.landmarks_of_canonical(face) for face in faces)
    error, own_error, unrest = _warp_errors(faces, before) if before else (None, None, None)
    return FaceRow(
        index=index,
        identity_to_truth=away["truth"],
        identity_to_reference=away["reference"],
        truth_to_reference=away["own"],
        landmark_error=landmark_error(found, true),
        warp_error=error,
        truth_warp_error=own_error,
        unrest=unrest,
        metrics=scores,
    )


def _warp_errors(
    now: tuple[np.ndarray, np.ndarray], before: tuple[np.ndarray, np.ndarray]
) -> tuple[float | None, float | None, float | None]:
    """The warp errors of a result, its truth, and their difference, with the truth's motion."""
    grey = [cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY) for truth in (now[1], before[1])]
    flow_to = DisFlow()
    there, back = flow_to(grey[0], grey[1]), flow_to(grey[1], grey[0])
    trust = face_mask(len(grey[0])) * (forward_backward_error(there, back) <= TRUSTED_PX)
    one, other = (np.stack(faces).astype(np.float32) / 255 for faces in (now, before))
    result, truth = (warp_error(one[which], other[which], there, trust) for which in (0, 1))
    unrest = warp_error(one[0] - one[1], other[0] - other[1], there, trust)
    return result, truth, unrest
