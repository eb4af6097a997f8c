"""Measures of a clip's faces: zero for the truth itself, and rising with what is wrong."""

import numpy as np
import pytest
from support.faces import FakeModels, placement
from support.pictures import as_bytes, smooth_picture

from livemoments.errors import InputError
from livemoments.faces.detect import FaceFinder
from livemoments.faces.identity import Embedder
from livemoments.faces.tracks import View
from livemoments.imaging.fidelity import psnr_y
from livemoments.lab.face_benchmark.clips import (
    FaceMeasures,
    FaceRow,
    drift,
    landmark_error,
    mean,
    score_faces,
    slope,
    warp_error,
)
from livemoments.lab.metrics.metric import Metric

COUNT = 9


@pytest.fixture
def measures():
    models = FakeModels()
    psnr = Metric(name="PSNR-Y", better="higher", against="truth", measure=psnr_y)
    return FaceMeasures(finder=FaceFinder(models), embedder=Embedder(models), metrics=(psnr,))


@pytest.fixture
def truths():
    """A picture that moves a pixel a frame."""
    wide = as_bytes(smooth_picture(120, 200))
    return [np.ascontiguousarray(wide[:, index : index + 160]) for index in range(COUNT)]


VIEWS = {
    index: View(placement=placement(80 - index, 60, 100), seen=index != 4, strength=1.0)
    for index in range(1, COUNT)
}


def test_the_truth_itself_has_no_errors(measures, truths):
    rows = list(score_faces(zip(truths, truths, strict=True), VIEWS, measures, np.zeros(128)))
    assert [row.index for row in rows] == [1, 2, 3, 5, 6, 7, 8]  # not seen: not measured
    assert mean(rows, "identity_to_truth") == 0
    assert mean(rows, "landmark_error") == 0
    assert rows[-1].identity_to_reference == rows[-1].truth_to_reference
    assert [row.identity_to_truth is None for row in rows] == [True] * 6 + [False]
    assert [row.warp_error is None for row in rows] == [True, False, False, True] + [False] * 3
    assert rows[1].warp_error == rows[1].truth_warp_error < 0.5


def test_flicker_and_another_face_are_seen(measures, truths):
    def flickering(index, truth):
        return np.clip(truth.astype(int) + 20 * (index % 2), 0, 255).astype(np.uint8)

    results = [flickering(index, truth) for index, truth in enumerate(truths)]
    rows = list(score_faces(zip(results, truths, strict=True), VIEWS, measures))
    assert rows[1].warp_error > 15 > 10 * rows[1].truth_warp_error
    assert rows[0].identity_to_reference is None
    assert rows[0].metrics["PSNR-Y"] < 30
    with pytest.raises(InputError, match="bring them to one size"):
        list(score_faces([(truths[0][:50], truths[0])] * 2, VIEWS, measures))


def row(index: int, value: float | None) -> FaceRow:
    return FaceRow(
        index=index, identity_to_truth=value, identity_to_reference=None,
        truth_to_reference=None, landmark_error=0.0, warp_error=None, truth_warp_error=None,
    )  # fmt: skip


def test_drift_inside_and_between_clips():
    inside = [row(i, 0.1 + 0.01 * (i % 24)) for i in range(72)]
    found = drift(inside, "identity_to_truth")
    assert found.inside == pytest.approx(0.01) and found.between == pytest.approx(0)
    between = [row(i, 0.1 * (i // 24)) for i in range(72)]
    found = drift(between, "identity_to_truth")
    assert found.inside == pytest.approx(0) and found.between == pytest.approx(0.1)
    one = drift([row(0, 0.1), row(4, None), row(8, 0.2)], "identity_to_truth")
    assert one.inside == pytest.approx(0.1 / 8) and one.between == 0
    with pytest.raises(InputError, match="measured in 1 frames"):
        drift([row(0, 0.1)], "identity_to_truth")
    assert mean([row(0, None)], "identity_to_truth") is None


def test_parts():
    assert slope(np.arange(5), 3.0 * np.arange(5) + 1) == pytest.approx(3)
    points = np.zeros((68, 2))
    points[42:48, 0] = 10.0
    assert landmark_error(points + (1, 0), points) == pytest.approx(0.1)
    grey = np.full((8, 8, 3), 0.5, np.float32)
    flow, trust = np.zeros((8, 8, 2), np.float32), np.ones((8, 8), np.float32)
    assert warp_error(grey, grey + np.float32(0.1), flow, trust) == pytest.approx(25.5, rel=1e-4)
    assert warp_error(grey, grey, flow, 0 * trust) is None
