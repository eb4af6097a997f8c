"""What a restoration costs, alone and beside Real-ESRGAN; the latter on small random weights."""

import importlib.util
import json
import sys

import numpy as np
import pytest
from PIL import Image
from support.tiny.weights import real_esrgan_weights
from typer.testing import CliRunner

from livemoments import cli
from livemoments.errors import ConfigError, LiveMomentsError
from livemoments.lab.speed import made, process
from livemoments.lab.speed.restore import BenchJob, measure
from livemoments.livephoto import open_live_photo


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(made, "STILL_SIZE", (384, 288))
    monkeypatch.setattr(made, "CLIP_SIZE", (192, 144))


def test_the_made_photo_is_a_motion_photo(tmp_path, small):
    told = []
    path = made.make_motion_photo(tmp_path / "made.jpg", lambda *step: told.append(step))
    live = open_live_photo(path)
    assert live.kind == "google-motion-photo"
    assert (live.still.width, live.still.height) == (384, 288)
    assert (live.clip.width, live.clip.height) == (192, 144)
    assert len(live.clip.times_s) == made.CLIP_FRAMES
    assert live.key_index == made.KEY_FRAME
    assert told[-1] == ("making a photo", made.CLIP_FRAMES, made.CLIP_FRAMES)
    assert [p.name for p in tmp_path.iterdir()] == ["made.jpg"]


def test_its_key_photo_is_what_the_clip_shows_then(tmp_path, small):
    live = open_live_photo(made.make_motion_photo(tmp_path / "made.jpg"))
    frame = live.clip.frame_at(made.KEY_FRAME).image
    still = Image.fromarray(live.still.pixels()).resize((192, 144), Image.Resampling.BOX)
    difference = abs(frame - np.asarray(still) / 255).mean()
    assert difference < 0.04


@pytest.mark.slow
def test_a_run_is_measured(small):
    result = measure()
    assert result.megapixels == pytest.approx(384 * 288 / 1e6, abs=0.06)
    assert result.total_seconds == pytest.approx(
        sum(result.seconds.values()) + result.other_seconds, abs=0.05
    )
    assert result.other_seconds > 0
    assert result.reference_used


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_the_peak_memory_is_the_runs_own():
    allocate = "a = b'x' * 800_000_000; print('{}')"
    _, seconds, memory = process.watch([sys.executable, "-c", allocate])
    assert memory > 0.8 and seconds > 0


def test_a_run_that_fails_says_why():
    fail = 'import sys; print(\'{"error": "no such file"}\'); sys.exit(1)'
    with pytest.raises(LiveMomentsError, match="the measured run failed: no such file"):
        process.watch([sys.executable, "-c", fail])


def test_a_run_that_dies_says_so():
    with pytest.raises(LiveMomentsError, match="it ended with code 3"):
        process.watch([sys.executable, "-c", "raise SystemExit(3)"])


# --- against Real-ESRGAN --------------------------------------------------------------------


@pytest.fixture
def against(tmp_path, monkeypatch):
    """The module, with small random weights where the real ones would be fetched."""
    torch = pytest.importorskip("torch", reason="the train extra is not installed")
    from livemoments.lab.speed import against

    weights = real_esrgan_weights(tmp_path / "weights")
    monkeypatch.setattr(against, "fetch_real_esrgan", lambda folder: weights)
    monkeypatch.setattr(against, "has_bfloat16", lambda: True)
    threads = torch.get_num_threads()
    yield against
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_both_are_measured_side_by_side(small, against, monkeypatch):
    monkeypatch.setattr(against, "TIMED_TILES", 3)
    order = []
    monkeypatch.setattr(
        against._Clock, "time", watched(against._Clock.time, lambda clock: clock.precision, order)
    )
    monkeypatch.setattr(BenchJob, "watch", watched(BenchJob.watch, lambda job: "restore", order))
    result = CliRunner().invoke(cli.app, ["lab", "bench", "--against", "real-esrgan", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    both = ["float32", "bfloat16"]
    assert order == [*both, "restore", *both, *both]
    assert (found["frame_width"], found["frame_height"]) == (192, 144)
    assert found["width"] >= 384 and found["restore_seconds"] > 0 and found["threads"] >= 1
    assert [rival["precision"] for rival in found["real_esrgan"]] == both
    for rival in found["real_esrgan"]:
        assert (rival["tiles_timed"], rival["tiles"], rival["extrapolated"]) == (3, 4, True)
        ratio = rival["seconds"] / found["restore_seconds"]
        assert rival["times_as_long"] == pytest.approx(ratio, abs=0.05)


def watched(function, name, order):
    """The function, which notes its name in order when it is called."""

    def call(first, *rest, **named):
        order.append(name(first))
        return function(first, *rest, **named)

    return call


def test_all_tiles_and_a_processor_without_bfloat16(small, against, monkeypatch, tmp_path):
    monkeypatch.setattr(against, "TIMED_TILES", 1)
    monkeypatch.setattr(against, "has_bfloat16", lambda: False)
    photo = made.make_motion_photo(tmp_path / "made.jpg")
    report = {"width": 384, "height": 288, "steps": 1}
    restored = process.Watched(report=report, seconds=2.0, memory_gb=None)
    monkeypatch.setattr(BenchJob, "watch", lambda *run: restored)
    told = []
    job = against.RivalJob(all_tiles=True)
    found = against.compare(job, BenchJob(photo=photo), progress=lambda *step: told.append(step))
    (rival,) = found.real_esrgan
    assert (rival.precision, rival.tiles_timed, rival.tiles) == ("float32", 4, 4)
    assert found.photo == "made.jpg" and not rival.extrapolated
    assert rival.times_as_long == pytest.approx(rival.seconds / 2, abs=0.05)
    assert [step for step in told if step[0] == "Real-ESRGAN"][-1] == ("Real-ESRGAN", 4, 4)


def test_a_model_of_ones_own_is_measured_beside_it_too(small, against, monkeypatch, tmp_path):
    """And a photo of the size that was asked for."""
    monkeypatch.setattr(against, "TIMED_TILES", 1)
    monkeypatch.setattr(against, "has_bfloat16", lambda: False)
    asked = {}

    def restored(job, photo, *run):
        still = open_live_photo(photo).still
        asked.update(weights=job.weights, size=(still.width, still.height))
        report = {"width": 384, "height": 288, "steps": 1}
        return process.Watched(report=report, seconds=2.0, memory_gb=None)

    monkeypatch.setattr(BenchJob, "watch", restored)
    against.compare(against.RivalJob(), BenchJob(weights=tmp_path, megapixels=1.2))
    assert asked["weights"] == tmp_path and asked["size"] == (1264, 948)


def test_it_says_what_was_extrapolated(against):
    rival = against.Rival(
        precision="float32", seconds=900.0, tiles_timed=24, tiles=180, times_as_long=90.0
    )
    found = against.Comparison(
        photo="a.jpg", width=4032, height=3024, frame_width=1920, frame_height=1440, threads=2,
        steps=1, restore_seconds=10.0, real_esrgan=(rival,),
    )  # fmt: skip
    assert found.lines() == [
        "photo: a.jpg; from a frame of 1920 x 1440 to 4032 x 3024, 2 threads",
        "livemoments restore: 10.0 s, the whole command",
        "Real-ESRGAN x4plus, float32: 900.0 s, extrapolated from 24 of 180 tiles;"
        " 90.0 times as long",
    ]


def test_a_share_of_the_tiles_stands_for_all_by_its_pixels(against):
    from livemoments.lab.benchmark.baselines import cut

    tiles = cut(300, 300)
    clock = against._Clock(precision="float32", network=None, seconds=6.0, timed=tiles[:2])
    # Of 3 x 3 tiles, the first is seen as 138 x 138 px, the second as 138 x 148.
    assert clock.whole_s(tiles, 300, 300) == pytest.approx(6 * (138 + 148 + 54) ** 2 / 138 / 286)
    clock.timed = tiles
    assert clock.whole_s(tiles, 300, 300) == pytest.approx(6)


@pytest.mark.parametrize("count", [8, 24, 50])
def test_timed_tiles_are_spread_over_the_frame_before_and_after(against, count):
    from livemoments.lab.benchmark.baselines import cut

    tiles = cut(1440, 1920)
    chosen = against.distribute(tiles, count, 1440, 1920)
    assert len(set(chosen)) == len(chosen) == count and set(chosen) <= set(tiles)
    for half in (chosen[: count // 2], chosen[count // 2 :]):
        upper, left = sum(t.top < 720 for t in half), sum(t.left < 896 for t in half)
        assert upper == pytest.approx(len(half) / 2, abs=2)
        assert left == pytest.approx(len(half) * 7 / 15, abs=2)
    assert against.distribute(tiles, 180, 1440, 1920) == tiles


def test_another_rival_is_refused(against):
    with pytest.raises(ConfigError, match="the rival must be real-esrgan, got 'esrgan'"):
        against.RivalJob(name="esrgan")
    result = CliRunner().invoke(cli.app, ["lab", "bench", "--all-tiles"])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "livemoments: the rival must be real-esrgan, which timing all tiles needs"
        " (--against, --all-tiles)"
    ]


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(cli.app, ["lab", "bench", "--against", "real-esrgan"])
    assert result.exit_code == 1
    assert "measuring Real-ESRGAN needs PyTorch" in result.stderr
    assert "pip install 'livemoments[train]'" in result.stderr


@pytest.mark.slow
def test_a_photo_of_other_megapixels_is_made(tmp_path):
    size = made.still_size(1.2)
    path = made.make_motion_photo(tmp_path / "made.jpg", still_size=size)
    still = open_live_photo(path).still
    assert (still.width, still.height) == size == (1264, 948)


@pytest.mark.parametrize("megapixels", [0.5, 300, -1])
def test_megapixels_that_no_phone_has_are_refused(megapixels):
    with pytest.raises(ConfigError, match="megapixels must be from 1 to 200"):
        made.still_size(megapixels)
