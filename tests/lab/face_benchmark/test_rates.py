"""Error rates of a limit: counted on distances that are known."""

import numpy as np
import pytest

from livemoments.errors import InputError
from livemoments.lab.face_benchmark.rates import (
    Look,
    distances_of_frames,
    distances_of_tracks,
    table,
)


def look(person: str, at: float, time_s: float = 0.0, source: str = "clip") -> Look:
    return Look(person=person, source=source, time_s=time_s, identity=np.array([at]))


ANN, BOB = look("Ann", 0.0), look("Bob", 1.0)


def test_pairs_too_near_in_time_do_not_count():
    near, late = look("Ann", 0.1, 0.1), look("Ann", 0.2, 1.0)
    found = distances_of_frames([ANN], [near, late, BOB])
    assert found.same == pytest.approx([0.2]) and found.others == pytest.approx([1.0])
    elsewhere = look("Ann", 0.3, 0.1, source="another clip")
    assert len(distances_of_frames([ANN], [elsewhere, late, BOB]).same) == 2


def test_a_track_is_its_mean():
    track = [look("Ann", 0.1, 1.0), look("Ann", 0.3, 2.0), look("Ann", 9.0, 0.1)]
    found = distances_of_tracks([ANN], [*track, BOB])
    assert found.same == pytest.approx([0.2])
    assert found.nearest == ("Ann", "Bob", pytest.approx(1.0))


def test_rates_and_their_table():
    queries = [look("Ann", x, 1.0) for x in (0.1, 0.5)] + [look("Bob", x, 1.0) for x in (0.4, 1.1)]
    found = distances_of_frames([ANN], queries)
    assert found.rates(0.3) == (0.5, 0.0)
    assert found.rates(0.6) == (0.0, 0.5)
    lines = table([("one frame", found)], [0.3, 0.6]).splitlines()
    assert lines[2].endswith("| 50.0 / 0.0 | 0.0 / 50.0 |")
    assert all(line.count("|") == lines[0].count("|") for line in lines)


def test_both_kinds_of_pairs_are_needed():
    with pytest.raises(InputError, match="1 pairs of one person and 0 of two"):
        distances_of_frames([ANN], [look("Ann", 0, 1.0)])
