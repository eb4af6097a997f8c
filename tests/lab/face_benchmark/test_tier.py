"""The face tier in the benchmark, with a stand-in for its model; rows of the ablation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.face_bench import degraded_clip, measures
from support.tiny.faces import FakeFaces

from livemoments.errors import ConfigError
from livemoments.faces.settings import PolishConfig
from livemoments.lab.face_benchmark import tier as face_tier
from livemoments.lab.face_benchmark.tier import (
    ABLATION,
    TIER,
    WITHOUT_FEEDBACK,
    FaceTier,
    PeopleOf,
    variants,
)

# A plain square is as sharp as its reference: it would be left alone.
CONFIG = PolishConfig(spare_sharp=False)


@pytest.fixture
def loaded(monkeypatch):
    asked = []

    def load(folder, threads=0):
        asked.append(folder)
        model = FakeFaces()
        model.about = {"sha256": folder.name}
        return model

    monkeypatch.setattr(face_tier, "load_faces", load)
    return asked


def people() -> PeopleOf:
    held = measures()
    return PeopleOf(held.finder, held.embedder)


def test_faces_change_and_nothing_else(loaded):
    clip = degraded_clip(5)
    tier = FaceTier(people(), Path("weights"), CONFIG)
    found = list(tier.restore(clip))
    assert len(found) == 5 and tier.name == TIER and "weights" in tier.about
    for frame, restored in zip(clip.frames, found, strict=True):
        assert not np.array_equal(frame, restored)
        assert np.array_equal(frame[:10], restored[:10])


def test_people_are_found_once_for_all_rows(loaded):
    clip, finder = degraded_clip(4), people()
    first = finder(clip, CONFIG)
    assert finder(clip, replace(CONFIG, steps=2, aligned=False)) is first
    assert finder(clip, replace(CONFIG, limit=0.3)) is not first
    assert finder(degraded_clip(4), CONFIG) is not first


def test_every_row_changes_something(loaded):
    made = variants(people(), Path("weights"), config=CONFIG, without_feedback=Path("other"))
    assert made[0].name == WITHOUT_FEEDBACK and made[0].config == CONFIG
    assert loaded[0] == Path("other") and set(loaded[1:]) == {Path("weights")}
    rows = {each.name: each.config for each in made[1:]}
    assert set(rows) <= set(ABLATION)
    assert all(config != CONFIG for config in rows.values())
    assert len(set(map(str, rows.values()))) == len(rows)
    with pytest.raises(ConfigError, match="no row 'without sense'; there are without image"):
        variants(people(), Path("weights"), ["without sense"])


def test_borders_are_where_windows_begin(loaded):
    whole = FaceTier(people(), Path("weights"), CONFIG)
    without = variants(people(), Path("weights"), ["without blending"], config=CONFIG)[0]
    assert without.borders(72) == [24, 48]
    assert whole.borders(20) == []
    assert all(0 < each < 72 for each in whole.borders(72))
