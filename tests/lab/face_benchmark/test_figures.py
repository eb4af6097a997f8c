"""Figures of faces, their means, and the arithmetic of what was to be reached."""

import numpy as np
import pytest

from livemoments.errors import InputError
from livemoments.lab.face_benchmark.clips import FaceRow
from livemoments.lab.face_benchmark.figures import (
    COLUMNS,
    LPIPS,
    bars,
    figures_of,
    mean_figures,
    table,
)


def row(index: int, **given) -> FaceRow:
    known = {
        "identity_to_truth": None, "identity_to_reference": None, "truth_to_reference": None,
        "landmark_error": 0.02, "warp_error": 1.0, "truth_warp_error": 0.5, "unrest": 1.0,
    }  # fmt: skip
    return FaceRow(index=index, **{**known, **given})


def rows(count: int) -> list[FaceRow]:
    return [
        row(
            index, identity_to_truth=0.2, identity_to_reference=0.1 + 0.002 * (index % 24),
            truth_to_reference=0.1, metrics={LPIPS: 0.1} if index % 4 == 0 else {},
        )
        for index in range(count)
    ]  # fmt: skip


def test_figures_of_a_face():
    found = figures_of(rows(48), borders=(16,))
    assert found["identity"] == pytest.approx(0.2) and found["landmarks"] == pytest.approx(2)
    assert found["drift_inside"] == pytest.approx(2) and found["own_drift_inside"] == 0
    assert found["drift_between"] == pytest.approx(0, abs=1e-9)
    assert found["border_jump"] == pytest.approx(0) and found[LPIPS] == pytest.approx(0.1)
    assert figures_of(rows(20))["drift_between"] is None  # of one clip there is none
    jumping = [*rows(16), row(16, unrest=4.0), *rows(48)[17:]]
    assert figures_of(jumping, borders=(16,))["border_jump"] == pytest.approx(3)
    assert figures_of(jumping)["border_jump"] is None
    with pytest.raises(InputError, match="no frames were measured"):
        figures_of([])


def test_means_leave_out_what_is_not_known():
    found = mean_figures([{"a": 1.0, "b": None}, {"a": 3.0, "b": None, "c": 5.0}])
    assert found == {"a": 2.0, "b": None, "c": 5.0}


INPUT = {"identity": 0.3, "warp_error": 1.0, LPIPS: 0.2}
MAIN = {"identity": 0.2, "warp_error": 1.0, LPIPS: 0.1}


def tier(**changes):
    return {
        "identity": 0.16, LPIPS: 0.09, "warp_error": 0.9, "own_warp_error": 0.8,
        "drift_inside": 1.0, "own_drift_inside": 1.1, "drift_between": 2.0,
        "own_drift_between": 2.0, **changes,
    }  # fmt: skip


def met(strength: str = "severe", **changes) -> list[bool]:
    means = {"tier": tier(**changes), "input": INPUT, "main": MAIN, "worse": INPUT}
    return [each.met for each in bars(strength, means, "tier", "input", ["main", "worse", "no"])]


def test_bars_are_met_or_missed_one_by_one():
    # Identity against the input and the main model, LPIPS, drift inside and between, warp error.
    assert met() == [True] * 6
    assert met(identity=0.181) == [False, False, True, True, True, True]
    assert met(identity=0.171) == [True, False, True, True, True, True]
    assert met(**{LPIPS: 0.1}) == [True, True, False, True, True, True]
    assert met(drift_inside=1.2) == [True, True, True, False, True, True]
    assert met(drift_between=2.1) == [True, True, True, True, False, True]
    assert met(warp_error=1.1) == [True, True, True, True, True, False]
    assert met("mild", identity=0.171) == [True] * 4  # no bar against the main model
    assert met(drift_between=None) == [True] * 5


def test_bars_say_their_figures():
    means = {"tier": tier(identity=0.19), "input": INPUT, "main": MAIN}
    first, second, *_, last = bars("severe", means, "tier", "input", ["main"])
    assert str(first) == (
        "MISSED  severe: identity against the input, at least 40% less: 0.190 of 0.300, 36.7% less"
    )
    assert "0.190 of 0.200, 5.0% less" in str(second)
    assert str(last).startswith("met     severe: warp error, no more: 0.90 of 1.00; the truth's")
    with pytest.raises(InputError, match="identity was not measured"):
        bars("mild", {"tier": {}, "input": INPUT}, "tier", "input", [])


def test_the_table_has_a_cell_for_each_column():
    lines = table({"one": figures_of(rows(48)), "two": {}}, "method", [LPIPS])
    assert len({line.count("|") for line in lines}) == 1
    assert lines[0].count("|") == len(COLUMNS) + 3
    assert lines[2].startswith("| one | 0.200 |") and lines[2].endswith("| 0.1000 |")
    assert set(lines[3][8:].replace("|", "").split()) == {"-"}
    assert np.isfinite([float(cell) for cell in lines[2].split("|")[2:6]]).all()
