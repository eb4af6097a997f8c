"""Safety measured: on the shipped weights, with pairs made here; the perceptual scores stand in."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from support.pictures import scene

pytest.importorskip("torch", reason="the train extra is not installed")

from livemoments.errors import ConfigError, DamagedFileError, MissingFileError
from livemoments.lab.benchmark.sets import (
    Quality,
    Scorer,
    TruthPair,
    mean_of,
    stored_pairs,
    synthetic_pairs,
)
from livemoments.lab.experiments.safety import NOISE_SHARES, disturbed, measure_safety, restore
from livemoments.lab.training.compact.restorer import Views
from livemoments.models.compact import load_compact

N = 128


def error(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).mean())


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(SimpleNamespace(lpips=error, dists=error))


def pair(seed: int, shift: int = 4) -> TruthPair:
    wide = cv2.GaussianBlur(scene(N, N + shift, seed=seed), (0, 0), 0.6)
    truth, key_photo = np.ascontiguousarray(wide[:, :N]), np.ascontiguousarray(wide[:, shift:])
    small = cv2.resize(truth, (N // 2, N // 2), interpolation=cv2.INTER_AREA)
    flow = np.zeros((N, N, 2), np.float32)
    flow[..., 0] = -shift
    visible = np.ones((N, N), np.float32)
    visible[:, :shift] = 0
    return TruthPair(
        name=str(seed),
        views=Views(
            frame=np.clip(cv2.resize(small, (N, N), interpolation=cv2.INTER_CUBIC), 0, 1),
            key_photo=key_photo, flow=flow, confidence=visible,
        ),
        truth=truth,
        visible=visible,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pairs() -> list[TruthPair]:
    return [pair(seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def found(pairs, scorer):
    return measure_safety(load_compact(), pairs, scorer)


@pytest.mark.slow
def test_the_reference_helps_and_a_wrong_one_does_not_harm(found):
    assert found.with_reference.psnr_y > found.without_reference.psnr_y + 1
    for quality in found.wrong_reference.values():
        assert quality.psnr_y > found.without_reference.psnr_y - 0.2


def test_a_disturbed_flow_takes_the_help_away_and_no_more(found):
    for by_share in found.flow_noise.values():
        # On the densest texture there is; the noise is 0.4 to 8 pixels.
        scores = [by_share[share].psnr_y for share in NOISE_SHARES]
        assert all(more < less for less, more in zip(scores, scores[1:], strict=False)), scores
        assert scores[0] > found.with_reference.psnr_y - 2
        assert scores[2] > found.without_reference.psnr_y + 1


def test_hidden_places_are_measured_apart(found):
    assert found.hidden_share == pytest.approx(4 / N)
    assert 0 < found.hidden_error < 60 and 0 < found.hidden_error_without < 60


def test_the_measurement_can_be_printed_and_kept(found):
    lines = "\n".join(found.lines())
    for words in ("wrong reference, trusting", "flow + 200% noise, doubting", "hidden places"):
        assert words in lines
    assert found.to_dict()["pairs"] == 2


def test_more_noise_is_the_same_noise_larger(pairs):
    views = pairs[0].views
    small, large = (disturbed(views, s, np.random.default_rng(0)) for s in (0.1, 0.2))
    np.testing.assert_allclose(2 * (small.flow - views.flow), large.flow - views.flow, atol=1e-4)
    spread = (large.flow - views.flow).std()
    assert spread == pytest.approx(0.2 * 4, rel=0.05)  # of the flow's length


def test_a_wrong_reference_takes_two_pairs(pairs, scorer):
    with pytest.raises(ConfigError, match="two pairs or more"):
        measure_safety(load_compact(), pairs[:1], scorer)


def test_without_reference_the_key_photo_does_not_count(pairs):
    model = load_compact()
    first, second = (p.views for p in pairs)
    from dataclasses import replace

    other = replace(first, key_photo=second.key_photo)
    np.testing.assert_array_equal(
        restore(model, first, reference=False), restore(model, other, reference=False)
    )


# Sets of pairs


def write_pair(folder, name: str, truth: np.ndarray, size: tuple[int, int]) -> None:
    place = folder / name
    place.mkdir(parents=True)
    for file, picture in (("truth", truth), ("key", truth), ("frame", cv2.resize(truth, size))):
        cv2.imwrite(str(place / f"{file}.png"), (picture[..., ::-1] * 255).astype(np.uint8))


def test_kept_pairs_are_read_and_aligned(tmp_path):
    truth = cv2.GaussianBlur(scene(192, 256, seed=3), (0, 0), 0.8)
    write_pair(tmp_path, "one", truth, (128, 96))
    (pair,) = stored_pairs(tmp_path)
    assert pair.name == "one" and pair.views.frame.shape == pair.truth.shape == (192, 256, 3)
    assert pair.visible is None
    sure = pair.views.confidence > 0.5
    assert sure.mean() > 0.5 and np.abs(pair.views.flow[sure]).mean() < 0.5


def test_what_is_wrong_with_kept_pairs_is_named(tmp_path):
    with pytest.raises(MissingFileError, match="no pairs found"):
        stored_pairs(tmp_path)
    write_pair(tmp_path, "one", scene(96, 96), (48, 48))
    (tmp_path / "one" / "key.png").unlink()
    with pytest.raises(DamagedFileError, match=r"key\.png: missing"):
        stored_pairs(tmp_path)


def test_synthetic_pairs_repeat(tmp_path):
    from support.pictures import write_photographs

    folder = write_photographs(tmp_path, [(260, 260)] * 3)
    first, again = (synthetic_pairs(folder, 2, size=128) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.truth, b.truth)
        assert a.visible is not None and a.truth.shape == (128, 128, 3)


def test_means_are_score_by_score(scorer):
    rows = [Quality(psnr_y=30, ssim_y=0.9, lpips=0.1, dists=0.2)]
    rows.append(Quality(psnr_y=40, ssim_y=0.8, lpips=0.3, dists=0.4))
    mean = mean_of(rows)
    assert (mean.psnr_y, mean.ssim_y) == (35, pytest.approx(0.85))
    assert str(mean) == " 35.00 0.8500 0.2000 0.3000"
