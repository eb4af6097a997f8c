"""Portraits prepared for training: canonical, with a margin, and each of a person."""

import json

import cv2
import numpy as np
import pytest
from support.faces import FakeModels, box, picture_of

from livemoments.errors import InputError
from livemoments.faces.detect import FaceFinder
from livemoments.faces.identity import Embedder
from livemoments.faces.portraits import LIST, MARGIN_PX, SMALLEST_PX, prepare_portraits

SIDE = 256 + 2 * MARGIN_PX


def prepare(folder, out, *names: str):
    models = FakeModels()
    paths = [folder / name for name in names]
    return prepare_portraits(paths, out, FaceFinder(models), Embedder(models))


def write(path, *, side: int = 240, blue: int = 0) -> None:
    picture = picture_of(box(120, 120, side), blue=blue, height=500, width=500)
    cv2.imwrite(str(path), picture[..., ::-1])


def test_portraits_are_written_with_a_list(tmp_path):
    write(tmp_path / "ann.png")
    write(tmp_path / "ann-again.png", blue=20)
    write(tmp_path / "bob.png", blue=250)
    out = tmp_path / "out"
    rows = prepare(tmp_path, out, "ann.png", "ann-again.png", "bob.png")
    assert [row.person for row in rows] == [0, 0, 1]
    assert json.loads((out / LIST).read_text())[2]["file"] == "bob.png"
    assert cv2.imread(str(out / "bob.png")).shape == (SIDE, SIDE, 3)
    assert len(rows[0].identity) == 128


def test_what_shows_no_large_face_is_left_out(tmp_path):
    write(tmp_path / "small.png", side=100)
    write(tmp_path / "large.png")
    cv2.imwrite(str(tmp_path / "none.png"), np.zeros((300, 300, 3), np.uint8))
    (tmp_path / "text.png").write_text("no picture")
    names = ("small.png", "none.png", "text.png")
    with pytest.raises(InputError, match=f"no face of {SMALLEST_PX} pixels"):
        prepare(tmp_path, tmp_path / "out", *names)
    rows = prepare(tmp_path, tmp_path / "out", *names, "large.png")
    assert [row.file for row in rows] == ["large.png"]


def test_margins_are_those_that_training_reads():
    synthesis = pytest.importorskip("livemoments.lab.training.faces.synthesis")
    assert (synthesis.MARGIN_PX, synthesis.SIZE_PX) == (MARGIN_PX, 256)
