"""Measure how well the faces of a restored clip are a person's, and stay so between frames.

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

import numpy as np

from livemoments.align.estimators import DisFlow
from livemoments.align.flow import forward_backward_error, warp
from livemoments.errors import InputError
from livemoments.faces.crops import SIZE_PX, cut, face_mask
from livemoments.faces.detect import FaceFinder
from livemoments.faces.face import eyes_apart
from livemoments.faces.follow import Recogniser
from livemoments.faces.identity import apart
from livemoments.faces.tracks import View
from livemoments.imaging.pixels import grey
from livemoments.lab.metrics.metric import Metric

CLIP_FRAMES = 24  # of IP-FVR's clips
IDENTITY_EVERY = 4  # frames: an identity takes 0.3 s
TRUSTED_PX = 0.5  # of the flow's way there and back, for a pixel to count in the warp error


class FaceRecogniser(Recogniser, Protocol):
    """The interface of identity.Embedder."""

    def of_face(self, face: np.ndarray) -> np.ndarray:
        """Compute the identity of a canonical face."""
        ...


@dataclass(frozen=True, kw_only=True)
class FaceMeasures:
    """The measures of faces."""

    finder: FaceFinder
    embedder: FaceRecogniser
    metrics: Sequence[Metric] = ()  # of a picture and its truth, on the face alone
    judges: Sequence[Metric] = ()  # likewise, of the whole canonical square
    size_px: int = SIZE_PX
    identity_every: int = IDENTITY_EVERY
    metrics_every: int = 1  # frames


@dataclass(frozen=True, kw_only=True)
class FaceRow:
    """The measures of one frame; None: not measured in this frame."""

    index: int
    identity_to_truth: float | None  # distance of embeddings
    identity_to_reference: float | None
    truth_to_reference: float | None  # the truth's own, to compare that with
    landmark_error: float  # mean distance to the truth's, in distances between its eyes
    warp_error: float | None  # against the frame before, in grey levels of 255
    truth_warp_error: float | None
    unrest: float | None = None  # the warp error of result - truth: 0 for the truth, however lively
    metrics: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The change of an identity's distance over time; above 0 it gets stranger."""

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
        pairs: (result, truth) of each frame from the first on; RGB uint8 of one size.
        views: where the face is, from the truth's track.
        measures: what to measure with.
        reference: the identity (128,) of the reference photograph; None: none.

    Raises:
        InputError: a pair differs in size, or is not of pictures.
    """
    before: tuple[np.ndarray, np.ndarray] | None = None
    for index, pair in enumerate(pairs):
        view = views.get(index)
        if view is None or not view.seen:
            before = None
            continue
        result, truth = pair
        if result.shape != truth.shape:
            raise InputError(
                f"frame {index}: the result is {result.shape}, the truth {truth.shape}; "
                "bring them to one size first"
            )
        place, size_px = view.placement, measures.size_px
        faces = cut(result, place, size_px), cut(truth, place, size_px)
        yield _row(index, faces, before, measures, reference)
        before = faces


def drift(rows: Sequence[FaceRow], name: str) -> Drift:
    """Measure the drift of a distance of FaceRow, such as "identity_to_reference".

    Raises:
        InputError: it was measured in fewer than two frames.
    """
    measured = [row for row in rows if getattr(row, name) is not None]
    at = np.array([row.index for row in measured])
    values = np.array([getattr(row, name) for row in measured])
    if len(at) < 2:
        raise InputError(f"{name} was measured in {len(at)} frames; a drift needs two or more")
    clips = at // CLIP_FRAMES
    parts = [(at[clips == clip], values[clips == clip]) for clip in np.unique(clips)]
    slopes = [slope(part, value) for part, value in parts if len(part) > 1]
    means = np.array([value.mean() for _, value in parts])
    return Drift(
        inside=float(np.mean(slopes)) if slopes else 0.0,
        between=slope(np.unique(clips), means) if len(means) > 1 else 0.0,
    )


def mean(rows: Sequence[FaceRow], name: str) -> float | None:
    """Average a number of FaceRow over the frames that have it; None where none has."""
    values = [getattr(row, name) for row in rows if getattr(row, name) is not None]
    return float(np.mean(values)) if values else None


def on_face(result: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut two canonical faces, RGB uint8 S x S x 3, to the part in which a face lies.

    Both are float32 in [0, 1], and show the truth outside the face's soft mask.
    """
    one, other = (face.astype(np.float32) / 255 for face in (result, truth))
    mask = face_mask(len(other))
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    mixed = other + mask[..., None] * (one - other)
    return mixed[part], other[part]


def slope(at: np.ndarray, values: np.ndarray) -> float:
    """Return the slope of the least-squares line through values (n,) at `at` (n,), n > 1."""
    centred = at - np.mean(at)
    return float(centred @ (values - np.mean(values)) / (centred @ centred))


def landmark_error(found: np.ndarray, true: np.ndarray) -> float:
    """Average the distance of landmarks (68, 2), in distances between the true eyes."""
    return float(np.linalg.norm(found - true, axis=1).mean() / eyes_apart(true))


def warp_error(
    now: np.ndarray, before: np.ndarray, flow_now_to_before: np.ndarray, trust: np.ndarray
) -> float | None:
    """Measure how much a face changes beyond its motion: mean difference in grey levels of 255.

    Args:
        now: RGB float32 S x S x 3 in [0, 1].
        before: the frame before, likewise.
        flow_now_to_before: the truth's, S x S x 2.
        trust: float32 S x S: how much each pixel counts; None is returned where none does.
    """
    total = float(trust.sum())
    if total <= 0:
        return None
    gap = np.abs(now - warp(before, flow_now_to_before)).mean(axis=2)
    return float(255 * (gap * trust).sum() / total)


def _row(
    index: int, faces: tuple[np.ndarray, np.ndarray], before: tuple[np.ndarray, np.ndarray] | None,
    measures: FaceMeasures, reference: np.ndarray | None,
) -> FaceRow:  # fmt: skip
    to_truth = to_reference = own = None
    if index % measures.identity_every == 0:
        one, other = (measures.embedder.of_face(face) for face in faces)
        to_truth = apart(one, other)
        if reference is not None:
            to_reference, own = apart(one, reference), apart(other, reference)
    scores: dict[str, float | None] = {}
    if index % measures.metrics_every == 0:
        scores = {metric.name: metric(*on_face(*faces)).value for metric in measures.metrics}
        scores |= {judge.name: judge(*faces).value for judge in measures.judges}
    found, true = (measures.finder.landmarks_of_canonical(face) for face in faces)
    error, own_error, unrest = _warp_errors(faces, before) if before else (None, None, None)
    return FaceRow(
        index=index, identity_to_truth=to_truth, identity_to_reference=to_reference,
        truth_to_reference=own, landmark_error=landmark_error(found, true), warp_error=error,
        truth_warp_error=own_error, unrest=unrest, metrics=scores,
    )  # fmt: skip


def _warp_errors(
    now: tuple[np.ndarray, np.ndarray], before: tuple[np.ndarray, np.ndarray]
) -> tuple[float | None, float | None, float | None]:
    """Measure the warp errors of a result, its truth, and their difference, by true motion."""
    one_grey, other_grey = grey(now[1]), grey(before[1])
    flow_to = DisFlow()
    there, back = flow_to(one_grey, other_grey), flow_to(other_grey, one_grey)
    trust = face_mask(len(one_grey)) * (forward_backward_error(there, back) <= TRUSTED_PX)
    one, other = (np.stack(faces).astype(np.float32) / 255 for faces in (now, before))
    result, truth = (warp_error(one[which], other[which], there, trust) for which in (0, 1))
    unrest = warp_error(one[0] - one[1], other[0] - other[1], there, trust)
    return result, truth, unrest
