"""Steadied placements: no lag, less trembling, outliers ignored, gaps bridged."""

import numpy as np
import pytest
from support.faces import placement, tremble

from livemoments.errors import InputError
from livemoments.faces.motion import Motion
from livemoments.faces.steady import steady

TIMES_S = np.arange(60) / 30


def moving(noise: float = 0.0, speed: float = 90.0) -> dict[float, object]:
    """A face that speeds up, grows and turns; noise in thousandths of its side."""
    rng = np.random.default_rng(0)
    trembling = noise * 0.1 * rng.standard_normal((len(TIMES_S), 4))
    return {
        t: placement(
            100 + speed * t**2 + dx, 100 + dy, 100 * np.exp(0.1 * t + dz / 100),
            0.3 * t + dr / 100,
        )
        for t, (dx, dy, dz, dr) in zip(TIMES_S, trembling, strict=True)
    }  # fmt: skip


def test_even_and_speeding_motion_is_followed_without_lag():
    true = moving()
    found = steady(true, TIMES_S)
    for time_s, at in zip(TIMES_S, found, strict=True):
        want = true[time_s]
        assert (at.x, at.y) == pytest.approx((want.x, want.y), abs=0.3)
        assert at.side_px == pytest.approx(want.side_px, rel=1e-3)
        assert at.roll == pytest.approx(want.roll, abs=3e-3)


def test_trembling_goes():
    seen = list(moving(noise=10, speed=0).values())
    found = steady(moving(noise=10, speed=0), TIMES_S)
    assert tremble(found) < 0.2 * tremble(seen)


def test_backwards_is_the_same():
    """Nothing depends on the direction of time, or it would lag."""
    seen = moving(noise=10)
    turned = {2 - t: at for t, at in seen.items()}
    ahead = steady(seen, TIMES_S)
    back = steady(turned, (2 - TIMES_S)[::-1])[::-1]
    assert [at.x for at in ahead] == pytest.approx([at.x for at in back], abs=0.02)


def test_an_outlier_is_ignored():
    seen = moving(noise=2)
    clean = steady(seen, TIMES_S)
    wild = dict(seen)
    wild[TIMES_S[30]] = placement(400, 20, 300, 2)
    found = steady(wild, TIMES_S)
    assert found[30].x == pytest.approx(clean[30].x, abs=1)
    assert found[30].side_px == pytest.approx(clean[30].side_px, rel=0.01)


def test_gaps_are_bridged():
    seen = {t: at for t, at in moving().items() if not 0.7 < t < 1.2}
    true, found = moving(), steady(seen, TIMES_S)
    assert all(
        abs(at.x - true[t].x) < 8 for t, at in zip(TIMES_S, found, strict=True)
    )  # fmt: skip


def test_a_face_that_turns_through_a_half_circle_is_not_torn():
    seen = {t: placement(0, 0, 100, np.angle(np.exp(1j * (3 + t)))) for t in TIMES_S}
    rolls = np.array([at.roll for at in steady(seen, TIMES_S)])
    assert np.abs(np.diff(rolls)).max() < 0.1


def test_one_sighting_and_no_smoothing():
    at = placement(3, 4, 50, 0.1)
    assert steady({0.5: at}, [0.5])[0].x == pytest.approx(3)
    seen = moving(noise=10)
    raw = steady(seen, TIMES_S, width_s=0)
    assert [each.x for each in raw] == pytest.approx([each.x for each in seen.values()])
    with pytest.raises(InputError, match="no placement"):
        steady({}, [0.0])


def test_tremble_counts_no_even_motion():
    assert tremble([placement(3 * t, t, 100) for t in range(9)]) == pytest.approx(0, abs=1e-9)
    assert tremble([placement(0, 0)]) == 0
    shaking = [placement(t % 2, 0, 100) for t in range(9)]
    assert tremble(shaking) == pytest.approx(10)


def test_a_shaking_hand_is_followed_by_the_textures_motion():
    """The face leaps from frame to frame, and the landmarks tremble besides."""
    rng = np.random.default_rng(1)
    true = [placement(100 + x, 100 + y, 100) for x, y in rng.normal(0, 8, (60, 2))]
    noise = rng.normal(0, 1, (60, 2))
    seen = [placement(at.x + dx, at.y + dy, 100) for at, (dx, dy) in zip(true, noise, strict=True)]
    motions = {}
    for index in range(1, 60):
        # From the square that was seen before to the one seen now, in shares of their side.
        dx, dy = noise[index - 1] - noise[index]
        motions[TIMES_S[index]] = Motion(turn=1 + 0j, shift=complex(dx, dy) / 100)

    def error(found):
        away = [np.hypot(a.x - b.x, a.y - b.y) for a, b in zip(found, true, strict=True)]
        return float(np.mean(away))

    pairs = dict(zip(TIMES_S, seen, strict=True))
    assert error(seen) > 1
    assert error(steady(pairs, TIMES_S, motions)) < 0.5
    assert error(steady(pairs, TIMES_S)) > 3  # smoothed away, with the shaking
    del motions[TIMES_S[30]]
    found = steady(pairs, TIMES_S, motions)
    assert (
        np.mean([np.hypot(a.x - b.x, a.y - b.y) for a, b in zip(found[:20], true, strict=False)])
        < 0.6
    )
