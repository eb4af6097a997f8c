"""Damaged files with gain maps: a map with sound numbers or a reason, quickly."""

import numpy as np
import pytest
from support import gain_maps, rounds

from livemoments.errors import InputError
from livemoments.livephoto.still.gain_map import read_gain_map
from livemoments.livephoto.still.still import read_still


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut short, bytes changed, a piece taken out or doubled, a length made huge."""
    at, size = int(rng.integers(2, len(data))), int(rng.integers(1, 64))
    kind = rng.integers(5)
    if kind == 0:
        return data[:at]
    if kind == 1:
        places = rng.integers(0, len(data), int(rng.integers(1, 12)))
        changed = np.frombuffer(data, np.uint8).copy()
        changed[places] = rng.integers(0, 256, len(places))
        return changed.tobytes()
    if kind == 2:
        return data[:at] + data[at + size :]
    if kind == 3:
        return data[:at] + data[at : at + size] * 2 + data[at + size :]
    return data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]


@pytest.mark.parametrize("name", ["x.jpg", "x.heic"])
def test_damage_is_a_reason_or_harmless(tmp_path, name):
    rng = np.random.default_rng(7)
    path = gain_maps.written(tmp_path / name, gain_maps.apple_map())
    good = path.read_bytes()
    # Where the tables are: in the pixels, damage says nothing of the reader.
    head = good[: good.index(b"\xff\xda")] if name == "x.jpg" else good[:2500]
    behind = good.index(b"\xff\xd9\xff\xd8") if name == "x.jpg" else len(good)
    outcomes = set()
    for case in range(rounds(300, 100)):
        if case % 3 == 0 and name == "x.jpg":
            data = good[:behind] + damaged(good[behind:], rng)
        else:
            data = damaged(head, rng) + good[len(head) :]
        if case % 10 == 9:
            data = good[: int(rng.integers(20, len(good)))]
        path.write_bytes(data)
        try:
            found = read_gain_map(read_still(path))
        except InputError:
            outcomes.add("no still")
            continue
        assert found.gain_map is None or found.reason is None
        if found.gain_map is not None:
            stops = found.gain_map.stops()
            assert np.isfinite(stops).all() and np.abs(stops).max() <= 16
        outcomes.add("map" if found.gain_map is not None else "reason" if found.reason else "none")
    assert {"map", "reason"} <= outcomes
