import importlib
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from livemoments.errors import OutputError
from livemoments.jobs.demo import before_after, make_live_photo, run_demo
from livemoments.jobs.demo.clip import clip_tone, frame_times, record
from livemoments.jobs.demo.compare import LABELS, fit
from livemoments.jobs.demo.scene import Scene, SceneConfig, demo_photograph
from livemoments.livephoto import open_live_photo

# A short clip of a small view: the demo itself takes a dozen seconds.
SMALL = SceneConfig(
    width=480, height=360, duration_s=0.5, key_time_s=0.4, moment_s=0.15, exposure_s=0.01
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_live_photo(tmp_path_factory.mktemp("demo"), config=SMALL)


@pytest.fixture(scope="module")
def live_photo(made):
    return open_live_photo(made.path)


def correlation(one, other):
    """Normalised cross-correlation of two grey pictures."""
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum()))


def grey(picture):
    return np.asarray(picture, np.float32).mean(axis=2)


def detail(picture):
    return float(np.std(grey(picture) - cv2.GaussianBlur(grey(picture), (0, 0), 1.5)))


# --- the file -------------------------------------------------------------------------------


def test_the_file_is_a_motion_photo_byte_by_byte(made):
    data = made.path.read_bytes()
    assert made.path.name.endswith(".MP.jpg")
    assert data[:3] == b"\xff\xd8\xff"
    assert data.count(b"http://ns.adobe.com/xap/1.0/\0") == 1
    assert b'Camera:MotionPhoto="1"' in data and b'Camera:MotionPhotoVersion="1"' in data
    stated = round(made.key_time_s * 1e6)
    assert f'MotionPhotoPresentationTimestampUs="{stated}"'.encode() in data
    # Length of the second item: from the MP4's first byte to the last of the file.
    length = int(data.split(b'Item:Length="')[2].split(b'"')[0])
    assert data[-length + 4 : -length + 8] == b"ftyp"
    assert data[-length - 2 : -length] == b"\xff\xd9"
    at, boxes = len(data) - length, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        boxes.append(data[at + 4 : at + 8])
        at += size
    assert at == len(data)
    assert boxes[0] == b"ftyp" and b"moov" in boxes and b"mdat" in boxes


def test_it_opens_like_a_phones(made, live_photo):
    assert live_photo.kind == "google-motion-photo"
    assert live_photo.key_time_s == pytest.approx(made.key_time_s, abs=1e-6)
    assert live_photo.key_time_source == "XMP presentation timestamp"
    still, clip = live_photo.still, live_photo.clip
    assert (still.width, still.height) == (480, 360)
    assert (clip.width, clip.height) == (240, 180)
    assert (still.make, still.model) == ("livemoments", "demo")
    assert still.taken is not None and still.colour.name == "sRGB"
    assert clip.codec == "h264"


def test_its_timing_is_uneven_and_what_was_asked_for(live_photo):
    times = frame_times(SMALL)
    assert live_photo.clip.times_s == pytest.approx(times, abs=1e-5)
    steps = np.diff(times)
    assert steps.min() > 0 and steps.max() > 1.2 * steps.min()
    whole = frame_times(SceneConfig())
    assert len(whole) / 2.0 == pytest.approx(28, abs=2)


def test_it_is_compressed_as_phones_compress(live_photo):
    config = SceneConfig(width=480, height=360)
    size = live_photo.to_dict()["video"]["bytes"]
    bits = 8 * size / (len(live_photo.clip.times_s) * 240 * 180)
    assert config.clip_scale == 0.5 and 0.05 < bits < 0.6


# --- the truth ------------------------------------------------------------------------------


def test_the_truth_is_the_frame_in_better(made, live_photo):
    frame = live_photo.frame(made.time_s)
    truth = np.asarray(Image.open(made.truth_path), np.float32) / 255
    assert frame.time_s == pytest.approx(made.time_s, abs=1e-5)
    assert truth.shape == (360, 480, 3)
    reduced = cv2.resize(truth, (240, 180), interpolation=cv2.INTER_AREA)
    assert correlation(grey(frame.image), grey(reduced)) > 0.98
    reduced = clip_tone(reduced)
    # The same tone but for the clip's own, to a hundredth; and no pixel of shift fits better.
    assert np.abs((frame.image - reduced).mean(axis=(0, 1))).max() < 0.01
    errors = {
        (dy, dx): float(
            ((np.roll(frame.image, (dy, dx), (0, 1)) - reduced)[4:-4, 4:-4] ** 2).mean()
        )
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    }
    assert min(errors, key=errors.get) == (0, 0)
    assert detail(truth) > 1.5 * detail(fit(frame.image, 360, 480))


def test_the_key_photo_is_cut_from_the_photograph(made, live_photo):
    photo, key = demo_photograph(), live_photo.still.pixels()
    top, left = (photo.shape[0] - 360) // 2, (photo.shape[1] - 480) // 2
    cut = photo[top : top + 360, left : left + 480]
    difference = np.abs(cut.astype(int) - key).mean(axis=2)
    # Equal but for JPEG, and for the thing that flies through.
    assert np.median(difference) < 4


def test_the_key_photo_differs_from_the_moment(made, live_photo):
    """Camera motion and another tone: restoring is not copying."""
    truth = np.asarray(Image.open(made.truth_path), np.float32)
    key = live_photo.still.pixels().astype(np.float32)
    assert correlation(grey(truth), grey(key)) < 0.95
    frame = live_photo.frame(made.time_s).image
    assert grey(truth).std() > 1.1 * 255 * grey(frame).std()


def test_the_thing_moves_on_its_own():
    config = SceneConfig()
    photo = demo_photograph()
    scene = Scene(photo, config, key_time_s=1.35)
    still = Scene(photo, config, key_time_s=1.35)
    still._mover = np.zeros_like(still._mover)
    place = []
    for time_s in (0.55, 1.35):
        gap = np.abs(scene.view(time_s).astype(int) - still.view(time_s)).max(axis=2) > 20
        assert gap.sum() > 10_000, "the thing is in the view"
        place.append(np.argwhere(gap).mean(axis=0))
    assert np.linalg.norm(place[0] - place[1]) > 150


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_view_never_leaves_the_photograph(seed):
    config = SceneConfig(seed=seed)
    photo = demo_photograph()
    scene = Scene(np.full_like(photo, 255), config, key_time_s=1.35, scale=0.25)
    scene._mover[:] = 0
    # A dark rim where reflection would begin: no view may see it.
    scene._world[[0, -1]] = 0
    scene._world[:, [0, -1]] = 0
    for time_s in np.arange(-0.02, 2.05, 0.15):
        assert scene.view(float(time_s)).min() == 255


def test_the_same_seed_gives_the_same_and_another_another():
    def first(seed):
        config = SceneConfig(width=240, height=180, seed=seed)
        scene = Scene(demo_photograph(), config, key_time_s=0.4, scale=0.5)
        return next(record(scene, frame_times(config), config))

    assert np.array_equal(first(0), first(0))
    assert not np.array_equal(first(0), first(1))


def test_its_files_are_not_replaced_unasked(made):
    with pytest.raises(OutputError, match="exists already"):
        make_live_photo(made.path.parent, config=SMALL)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="folder cannot be made"):
        make_live_photo(tmp_path / "file" / "demo", config=SMALL)


# --- the verdict ----------------------------------------------------------------------------


def test_the_sheet_shows_all_four_at_full_size():
    rng = np.random.default_rng(0)
    truth = np.full((600, 1300, 3), 0.5, np.float32)
    truth[100:300, 200:400] = rng.random((200, 200, 3))
    restored = truth.copy()
    restored[420:480, 900:960] = 1  # the worst place, far from the detailed one
    frame = cv2.resize(truth, (650, 300), interpolation=cv2.INTER_AREA)
    key = np.zeros((600, 1300, 3), np.uint8)
    sheet = before_after(frame, restored, truth, key)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    assert sheet.shape[1] > len(LABELS) * 400
    patch = np.rint(truth[100:300, 200:400] * 255).astype(np.uint8)
    rows = np.flatnonzero((sheet == patch[0, 0]).all(axis=2).any(axis=1))
    found = [
        (row, column)
        for row in rows
        for column in np.flatnonzero((sheet[row] == patch[0, 0]).all(axis=1))
        if np.array_equal(sheet[row : row + 200, column : column + 200], patch)
    ]
    assert len(found) == 2, "restored and truth show the detailed place, pixel by pixel"
    white = (sheet == 255).all(axis=2)
    assert white.sum() == 60 * 60, "the restored one alone shows the worst place"


def test_small_pictures_have_a_sheet_too():
    picture = np.random.default_rng(0).random((70, 90, 3)).astype(np.float32)
    assert before_after(picture[::2, ::2], picture, picture, picture).size


def test_the_photograph_is_small_and_its_licence_stated():
    from importlib import resources

    folder = resources.files("livemoments.jobs.demo")
    assert len(folder.joinpath("photograph.jpg").read_bytes()) <= 700_000
    text = folder.joinpath("PHOTOGRAPH.md").read_text()
    assert "CC0 1.0" in text and "Clemens Engelhardt" in text


# --- the whole ------------------------------------------------------------------------------


RESTORED = ("restoring", 1, 1)


BLACK_WHITE = np.float32([[0, 0, 0], [1, 1, 1]])


def enlarge_only(live_photo, *, time_s, progress=None):
    """Stands for restore: the frame at the key photo's size."""
    if progress:
        progress(*RESTORED)
    still = live_photo.still
    image = fit(live_photo.frame(time_s).image, still.height, still.width)
    image = (image - clip_tone(np.zeros(3, np.float32))) / np.ptp(clip_tone(BLACK_WHITE), axis=0)
    image = np.clip(image, 0, 1)  # in the key photo's tone
    return SimpleNamespace(image=image, report=SimpleNamespace(share_from_reference=0.0))


def test_the_whole_demo(tmp_path, monkeypatch):
    module = importlib.import_module("livemoments.restoration.moment")
    monkeypatch.setattr(module, "restore", enlarge_only)
    stages = []
    for _twice in range(2):
        result = run_demo(tmp_path / "new", lambda *told: stages.append(told), config=SMALL)
    frames = len(frame_times(SMALL))
    assert stages == 2 * ([("making", n, frames) for n in range(1, frames + 1)] + [RESTORED])
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "demo-before-after.png",
        "demo-restored.jpg",
        "demo-truth.png",
        "demo.MP.jpg",
    ]
    # Nothing was restored: the scores are the frame's, but for JPEG and the clip's tone.
    assert result.restored_scores.psnr_y == pytest.approx(result.frame_scores.psnr_y, abs=1.3)
    assert 20 < result.frame_scores.psnr_y < 45
    facts = json.loads(json.dumps(result.to_dict()))
    assert facts["restored_path"] == str(result.restored_path)
    with Image.open(result.restored_path) as picture:
        assert "restored frame" in picture.getexif()[0x0131]
        assert picture.size == (480, 360)


def test_a_cancelled_demo_leaves_no_half_file(tmp_path, monkeypatch):
    def cancel(stage, done, total):
        if stage == "restoring":
            raise KeyboardInterrupt

    monkeypatch.setattr(
        importlib.import_module("livemoments.restoration.moment"), "restore", enlarge_only
    )
    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path, cancel, config=SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo-truth.png", "demo.MP.jpg"]
