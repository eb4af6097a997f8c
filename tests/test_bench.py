import sys

import pytest
from PIL import Image

from livemoments import bench
from livemoments.errors import LiveMomentsError
from livemoments.livephoto import open_live_photo


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(bench, "STILL_SIZE", (384, 288))
    monkeypatch.setattr(bench, "CLIP_SIZE", (192, 144))


def test_the_made_photo_is_a_motion_photo(tmp_path, small):
    told = []
    path = bench.make_motion_photo(tmp_path / "made.jpg", lambda *step: told.append(step))
    live = open_live_photo(path)
    assert live.kind == "google-motion-photo"
    assert (live.still.width, live.still.height) == (384, 288)
    assert (live.clip.width, live.clip.height) == (192, 144)
    assert len(live.clip.times_s) == bench.CLIP_FRAMES
    assert live.key_index == bench.KEY_FRAME
    assert told[-1] == ("making a photo", bench.CLIP_FRAMES, bench.CLIP_FRAMES)
    assert [p.name for p in tmp_path.iterdir()] == ["made.jpg"]


def test_its_key_photo_is_what_the_clip_shows_then(tmp_path, small):
    live = open_live_photo(bench.make_motion_photo(tmp_path / "made.jpg"))
    frame = live.clip.frame_at(bench.KEY_FRAME).image
    still = Image.fromarray(live.still.pixels()).resize((192, 144), Image.Resampling.BOX)
    difference = abs(frame - bench.np.asarray(still) / 255).mean()
    assert difference < 0.04


def test_a_run_is_measured(small):
    result = bench.measure()
    assert result.megapixels == pytest.approx(384 * 288 / 1e6, abs=0.06)
    assert result.total_seconds == pytest.approx(
        sum(result.seconds.values()) + result.other_seconds, abs=0.05
    )
    assert result.other_seconds > 0
    assert result.reference_used


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_the_peak_memory_is_the_runs_own():
    allocate = "a = b'x' * 800_000_000; print('{}')"
    _, seconds, memory = bench._watch([sys.executable, "-c", allocate])
    assert memory > 0.8 and seconds > 0


def test_a_run_that_fails_says_why():
    fail = 'import sys; print(\'{"error": "no such file"}\'); sys.exit(1)'
    with pytest.raises(LiveMomentsError, match="the measured run failed: no such file"):
        bench._watch([sys.executable, "-c", fail])


def test_a_run_that_dies_says_so():
    with pytest.raises(LiveMomentsError, match="it ended with code 3"):
        bench._watch([sys.executable, "-c", "raise SystemExit(3)"])
