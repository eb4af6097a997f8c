"""What restores a poor clip: the main model in two ways, with the shipped weights."""

import numpy as np
import pytest
from support.face_bench import degraded_clip, measures
from support.faces import FakeModels

from livemoments.faces.detect import FaceFinder
from livemoments.faces.identity import Embedder
from livemoments.faces.references import read_references
from livemoments.faces.tracks import Track
from livemoments.lab.face_benchmark.methods import (
    INPUT,
    MAIN,
    Input,
    MainOnFaces,
    MainWhole,
    reference_of,
)


def test_the_input_is_the_enlarged_clip():
    clip = degraded_clip(3)
    assert [frame is found for frame, found in zip(clip.frames, Input().restore(clip), strict=True)]
    assert Input().name == INPUT and Input().borders(72) == []


@pytest.mark.parametrize("kind", ["whole", "faces"])
def test_the_main_model_gives_whole_pictures(kind):
    clip, reports = degraded_clip(2), []
    models = FakeModels()
    method = MainWhole() if kind == "whole" else MainOnFaces(FaceFinder(models), Embedder(models))
    found = list(method.restore(clip, lambda *report: reports.append(report)))
    assert [each.shape for each in found] == [frame.shape for frame in clip.frames]
    assert all(each.dtype == np.uint8 for each in found)
    assert reports == [(method.name, index, 2) for index in (1, 2)]
    assert method.name in MAIN and "seed 0" in method.about
    if kind == "faces":  # what is no face is as it was
        assert all(
            np.array_equal(each[:10], frame[:10])
            for each, frame in zip(found, clip.frames, strict=True)
        )


def test_a_stranger_has_no_reference():
    held = measures()
    known = read_references(degraded_clip(1).key_photo, "key", held.finder, held.embedder)

    def track(identity):
        return Track(number=0, sightings=(), identity=identity)

    assert reference_of(track(known[0].identity), known) is known[0]
    assert reference_of(track(known[0].identity + 1), known) is None
