"""The comparison of the training's degradation with real clips: its numbers, tables and plot."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from support import makers
from support.pictures import as_bytes, scene, smooth_picture
from typer.testing import CliRunner

from livemoments import cli
from livemoments.align.alignment import Alignment
from livemoments.align.registration import Registration, scaling
from livemoments.errors import ConfigError, MissingFileError, OutputError, PairingError
from livemoments.lab.reality.appearance import (
    BANDS,
    STATISTICS,
    frequencies,
    match_tone,
    measure_appearance,
)
from livemoments.lab.reality.measure import (
    COMPARED,
    RealityConfig,
    bring_together,
    check_files,
    compare,
    draw_at_scale,
    find_live_photos,
)
from livemoments.lab.reality.plot import COLOURS, plot, write_plot
from livemoments.lab.reality.report import ClipReality, Range, Reality
from livemoments.lab.training.data.codec import compress_jpeg
from livemoments.lab.training.data.degrade import PRESETS

SIZE = (256, 320)
EVERYWHERE = np.ones(SIZE, bool)
SAMPLES = makers.samples_folder()


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def values(picture, places=EVERYWHERE):
    return measure_appearance(picture.astype(np.float32), places).values


def noisy(picture, sigma):
    noise = np.random.default_rng(1).standard_normal((*picture.shape[:2], 1))
    return np.clip(picture + sigma / 255 * noise, 0, 1).astype(np.float32)


def sharpened(picture, amount):
    return np.clip(picture + amount * (picture - cv2.GaussianBlur(picture, (0, 0), 1.2)), 0, 1)


@pytest.fixture(scope="module")
def sharp():
    return scene(*SIZE)


@pytest.fixture(scope="module")
def soft(sharp):
    """As sharp as a camera's picture: edges a pixel or two wide."""
    return cv2.GaussianBlur(sharp, (0, 0), 0.8)


# --- the statistics ---------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0, 8.0])
def test_the_noise_is_that_which_was_added(sigma):
    assert values(noisy(smooth_picture(*SIZE), sigma))["noise"] == pytest.approx(sigma, rel=0.15)


def test_detail_hardly_counts_as_noise(soft):
    assert values(soft)["noise"] < 0.6
    assert values(noisy(soft, 4))["noise"] == pytest.approx(4, rel=0.25)


def test_noise_is_measured_in_the_places_alone():
    picture = smooth_picture(*SIZE)
    picture[:, 160:] = noisy(picture, 8)[:, 160:]
    left = EVERYWHERE.copy()
    left[:, 160:] = False
    assert values(picture, left)["noise"] < 0.5
    assert values(picture, ~left)["noise"] == pytest.approx(8, rel=0.15)


def test_blocks_of_jpeg_are_seen_wherever_they_begin(soft):
    blocky = compress_jpeg(as_bytes(soft), 20) / 255
    assert values(soft)["blockiness"] == pytest.approx(1, abs=0.06)
    assert values(blocky)["blockiness"] > 1.15
    moved = blocky[3:, 5:]
    there = values(moved, np.ones(moved.shape[:2], bool))["blockiness"]
    assert there == pytest.approx(values(blocky)["blockiness"], abs=0.06)


def test_more_blur_leaves_less_in_every_band(sharp):
    blurred = [values(cv2.GaussianBlur(sharp, (0, 0), sigma)) for sigma in (0.4, 0.7, 1.0, 1.6)]
    for name in (*BANDS, "slope"):
        falling = [each[name] for each in [values(sharp), *blurred]]
        assert all(b < a for a, b in zip(falling, falling[1:], strict=False)), (name, falling)


def test_more_sharpening_makes_more_halo(soft):
    rising = [values(sharpened(soft, amount))["halo"] for amount in (0, 0.3, 0.6, 1.0)]
    assert all(b > a + 0.01 for a, b in zip(rising, rising[1:], strict=False)), rising


def test_a_lone_edge_has_no_halo_and_overshoots_by_what_was_added():
    x = np.arange(SIZE[1], dtype=np.float32)
    level = 0.5 + 0.2 * np.tanh((x - 160) / 1.4)
    edge = np.broadcast_to(level[None, :, None], (*SIZE, 3)).astype(np.float32)
    assert values(edge)["halo"] < 0.01
    over = values(sharpened(edge, 1.0))["halo"]
    peak = (sharpened(edge, 1.0).max() - 0.7) / 0.4
    assert over == pytest.approx(peak, abs=0.03)


def test_the_spectrum_shows_a_wave_at_its_frequency():
    wave = 0.5 + 0.2 * np.cos(2 * np.pi * 0.25 * np.arange(SIZE[1]))
    picture = np.broadcast_to(wave[None, :, None], (*SIZE, 3))
    spectrum = measure_appearance(picture.astype(np.float32), EVERYWHERE).spectrum
    assert spectrum.shape == frequencies().shape == (32,)
    assert frequencies()[spectrum.argmax()] == 0.25


@pytest.mark.parametrize("tone", [lambda x: 0.6 * x + 0.1, lambda x: x**0.8, lambda x: x**1.25])
def test_tone_does_not_count(soft, tone):
    picture = noisy(soft, 2)
    before, after = (values(p) for p in (picture, match_tone(tone(picture), picture, EVERYWHERE)))
    assert after["noise"] == pytest.approx(before["noise"], rel=0.15)
    for name in BANDS:
        assert after[name] == pytest.approx(before[name], abs=0.6)
    assert after["slope"] == pytest.approx(before["slope"], abs=0.1)
    for name in ("blockiness", "halo"):
        assert after[name] == pytest.approx(before[name], abs=0.02)


def test_a_denser_picture_takes_the_tone_of_its_model(soft):
    large = cv2.resize(soft, (640, 512), interpolation=cv2.INTER_CUBIC)
    matched = match_tone(np.clip(large, 0, 1), 0.5 * soft + 0.2, EVERYWHERE)
    assert matched.shape == (512, 640, 3) and matched.dtype == np.float32
    assert matched.mean() == pytest.approx((0.5 * soft + 0.2).mean(), abs=0.005)
    assert matched.std() == pytest.approx((0.5 * soft).std(), rel=0.05)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_plain_pictures_and_no_places_have_finite_values(level):
    for places in (EVERYWHERE, ~EVERYWHERE):
        found = values(np.full((*SIZE, 3), level), places)
        assert list(found) == [s.name for s in STATISTICS]
        assert np.isfinite(list(found.values())).all()


# --- the key photo in the frame's view ----------------------------------------------------------


def aligned(size, key_size, trusted):
    flow = np.zeros((*key_size, 2), np.float32)
    found = Registration(
        homography=scaling(size, key_size), method="same view", agreement=1.0, error_px=None
    )
    return Alignment(
        height=key_size[0], width=key_size[1], enlarged=1.0, registration=found,
        flow_frame_to_key=flow, confidence=trusted.astype(np.float32),
    )  # fmt: skip


@pytest.mark.parametrize("scale", [1.5, 2.0, 2.975])
def test_the_key_photo_lies_under_the_frame_in_the_window(scale):
    key_size = (round(240 * scale), round(320 * scale))
    key = smooth_picture(*key_size)
    frame = cv2.resize(key, (320, 240), interpolation=cv2.INTER_AREA)
    trusted = np.zeros(key_size)
    trusted[:, key_size[1] // 2 :] = 1  # the window must go there
    view = bring_together(frame, key, aligned((240, 320), key_size, trusted), 128)
    assert view.scale == pytest.approx(scale, rel=0.002)
    assert view.frame.shape == (128, 128, 3) and view.places.mean() == 1
    assert view.truth.shape == (round(128 * view.scale), round(128 * view.scale), 3)
    under = cv2.resize(view.truth, (128, 128), interpolation=cv2.INTER_AREA)
    assert np.abs(under - view.frame)[4:-4, 4:-4].max() < 0.02


def test_where_hardly_anything_is_trusted_nothing_is_compared():
    key = smooth_picture(480, 640)
    trusted = np.zeros((480, 640))
    trusted[:120] = 1
    assert bring_together(key[::2, ::2], key, aligned((240, 320), (480, 640), trusted), 128) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_draws_have_the_size_of_the_frame(preset):
    rng = np.random.default_rng(0)
    assert draw_at_scale(preset, 2.975, rng)(scene(286, 286)).shape == (96, 96, 3)


# --- whole runs ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Live Photo and a plain picture beside it."""
    top = tmp_path_factory.mktemp("photos")
    makers.apple_pair(top / "holiday")
    makers.save_still(top / "plain.png", makers.scene())
    return top


QUICK = RealityConfig(presets=("live-photo", "stablesr"), draws=2, frames=2)


@pytest.fixture(scope="module")
def result(folder):
    return check_files([folder], QUICK)


@pytest.mark.slow
def test_a_live_photo_is_compared(result):
    (clip,) = result.clips
    assert clip.name == "holiday/IMG_0001.JPG"
    assert clip.scale == pytest.approx(2.0)
    assert len(clip.times_s) == 2 and clip.times_s[0] == pytest.approx(0.4)
    assert set(clip.drawn) == {"live-photo", "stablesr"}
    for ranges in clip.drawn.values():
        for name, spread in ranges.items():
            assert np.isfinite(clip.real[name])
            assert spread.low <= spread.median <= spread.high


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(folder, result):
    assert check_files([folder], QUICK).to_dict() == result.to_dict()


def test_the_report_has_a_table_per_statistic_and_a_summary(result):
    lines = result.lines()
    for statistic in STATISTICS:
        assert any(line.startswith(statistic.name) for line in lines)
    assert sum("holiday/IMG_0001.JPG" in line for line in lines) == len(STATISTICS)
    assert any(line.startswith("summary over 1 clips") for line in lines)
    assert all(line.isascii() and len(line) < 180 for line in lines)


def test_named_twice_it_is_compared_once(folder):
    pair = folder / "holiday"
    found = find_live_photos([folder, pair / "IMG_0001.JPG", pair / "IMG_0001.MOV"])
    assert [name for name, _ in found] == ["holiday/IMG_0001.JPG"]


def test_the_verdict_counts_and_measures():
    def clip(real):
        spread = Range(low=1.0, median=2.0, high=3.0)
        return ClipReality(
            name="a", scale=2.0, times_s=(0.0,), real={s.name: real for s in STATISTICS},
            drawn={"seesr": {s.name: spread for s in STATISTICS}},
            real_spectrum=np.ones(32), drawn_spectra={"seesr": np.ones(32)},
        )  # fmt: skip

    found = Reality(clips=(clip(2.5), clip(0.0)), presets=("seesr",), draws=8, seed=0)
    verdict = found.verdict("seesr", "noise")
    assert (verdict.inside, verdict.distance, verdict.offset) == (1, 0.625, -0.375)


def test_a_folder_without_live_photos_is_an_error(tmp_path):
    makers.save_still(tmp_path / "plain.png", makers.scene())
    with pytest.raises(MissingFileError, match="no Live Photo in this folder or below it"):
        check_files([tmp_path])
    done = run("lab", "degradation", tmp_path, "--json")
    assert done.exit_code == 1 and len(done.stderr.splitlines()) == 1
    assert json.loads(done.stdout)["kind"] == "MissingFileError"


def test_a_key_photo_of_something_else_cannot_be_compared(tmp_path):
    makers.apple_pair(tmp_path, still=makers.enlarged(makers.scene(seed=7)))
    with pytest.raises(PairingError, match="none of 1 Live Photos can be compared; IMG_0001.JPG"):
        compare(find_live_photos([tmp_path]), QUICK)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"presets": ("gentle",)}, "degradation 'gentle': no such preset; there are live-photo"),
        ({"presets": ()}, "at least one preset"),
        ({"draws": 1}, "draws must be 2 or more, got 1"),
        ({"frames": 0}, "frames must be 1 or more, got 0"),
        ({"window_px": 32}, "window_px must be 64 or more, got 32"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        RealityConfig(**change)


def test_the_scale_being_the_clips_live_photo_is_compared_once():
    assert COMPARED == tuple(preset for preset in PRESETS if preset != "live-photo-x2")


# --- the plot -----------------------------------------------------------------------------------


def test_the_plot_shows_every_preset(result):
    drawn = plot(result, width=1200)
    assert drawn.dtype == np.uint8 and drawn.shape[1:] == (1200, 3)
    for colour in (*COLOURS[:2], (0, 0, 0)):
        assert (drawn == colour).all(-1).sum() > 100
    assert not (drawn == COLOURS[2]).all(-1).any()


def test_a_narrow_plot_would_not_be_legible(result):
    with pytest.raises(ConfigError, match="900 px wide or more, got 400"):
        plot(result, width=400)


def test_a_plot_is_a_picture_file(tmp_path):
    with pytest.raises(OutputError, match=r"a plot is a .png or .jpg file"):
        write_plot(np.zeros((8, 8, 3), np.uint8), tmp_path / "plot.pdf")


@pytest.mark.slow
def test_the_command_draws_and_never_overwrites_unasked(tmp_path, folder):
    target = tmp_path / "plot.png"
    arguments = ("degradation", folder, "-o", target, "--draws", 2, "--preset", "live-photo")
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["plot"] == str(target) and list(facts["summary"]) == ["live-photo"]
    with Image.open(target) as picture:
        assert picture.mode == "RGB"
    before = target.read_bytes()
    refused = run(*arguments)
    assert refused.exit_code == 1 and "--overwrite" in refused.stderr
    assert target.read_bytes() == before
    target.write_bytes(b"old")
    assert run(*arguments, "--overwrite").exit_code == 0
    assert target.read_bytes() == before


@pytest.mark.real
@pytest.mark.skipif(SAMPLES is None, reason="no sample files beside the checkout")
@pytest.mark.slow
def test_a_real_live_photo_is_compared():
    config = RealityConfig(presets=("live-photo",), draws=4, frames=1)
    (clip,) = check_files([SAMPLES / "iphone6s-train"], config).clips
    assert clip.scale == pytest.approx(2.8, abs=0.05)
    assert 0.1 < clip.real["noise"] < 10
    assert 0.9 < clip.real["blockiness"] < 1.3
    assert -20 < clip.real["low band"] < 0 > clip.real["high band"]
