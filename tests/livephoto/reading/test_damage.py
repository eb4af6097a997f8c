"""Damaged files: only errors of the tree, one line, naming the file; no hangs, no noise."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import makers, rounds

from livemoments.errors import InputError, LiveMomentsError
from livemoments.livephoto import open_live_photo

POINTS = rounds(50, 15)
MUTANTS = rounds(40, 12)


def pair_jpeg(folder: Path) -> Path:
    return makers.apple_pair(folder, transform=np.eye(3), sound=True)[0]


def pair_heic(folder: Path) -> Path:
    return makers.apple_pair(folder, still_suffix=".heic", codec="libx265")[0]


WHOLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "still of a pair, JPEG": (pair_jpeg, "IMG_0001.JPG"),
    "still of a pair, HEIC": (pair_heic, "IMG_0001.heic"),
    "video of a pair": (pair_jpeg, "IMG_0001.MOV"),
    "video of a pair, HEVC": (pair_heic, "IMG_0001.MOV"),
    "google jpeg": (lambda folder: makers.google_jpeg(folder / "a.jpg"), "a.jpg"),
    "google heic": (lambda folder: makers.google_heic(folder / "a.heic"), "a.heic"),
    "microvideo": (lambda folder: makers.micro_video_jpeg(folder / "a.jpg"), "a.jpg"),
    "samsung jpeg": (lambda folder: makers.samsung_jpeg(folder / "a.jpg"), "a.jpg"),
    "samsung heic": (lambda folder: makers.samsung_heic(folder / "a.heic"), "a.heic"),
}


def use(path: Path, damaged: Path) -> str:
    """Open a Live Photo and decode both halves; return the error's message, or nothing."""
    try:
        live = open_live_photo(path)
        live.still.pixels()
        live.frame(live.key_time_s)
        live.to_dict()
    except LiveMomentsError as error:
        message = str(error)
        assert "\n" not in message and len(message) < 500
        assert damaged.name in message
        return message
    return ""


@pytest.mark.parametrize("what", WHOLE)
def test_truncated(tmp_path, what):
    make, name = WHOLE[what]
    path = make(tmp_path)
    damaged = tmp_path / name
    data = damaged.read_bytes()
    messages = []
    for length in np.linspace(0, len(data) - 1, POINTS).astype(int).tolist():
        damaged.write_bytes(data[:length])
        messages.append(use(path, damaged))
    assert all(messages[:5])  # what is left cannot be read
    damaged.write_bytes(data)
    assert use(path, damaged) == ""


@pytest.mark.parametrize("what", WHOLE)
def test_mutated(tmp_path, what):
    """Bytes changed at random, more of them near the start and the end, where structure is."""
    make, name = WHOLE[what]
    path = make(tmp_path)
    damaged = tmp_path / name
    data = np.frombuffer(damaged.read_bytes(), np.uint8)
    rng = np.random.default_rng(sum(map(ord, what)))
    for _ in range(MUTANTS):
        changed = data.copy()
        for _ in range(int(rng.integers(1, 12))):
            reach = int(rng.choice([200, 3000, len(data)]))
            at = int(rng.integers(0, min(reach, len(data))))
            at = len(data) - 1 - at if rng.random() < 0.5 else at
            changed[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(0, 256))])
        damaged.write_bytes(changed.tobytes())
        try:
            use(path, damaged)
        except AssertionError:
            # A changed identifier or name: the message is about the pair, not the file.
            with pytest.raises(InputError):
                open_live_photo(path)


def test_holes_of_zeros(tmp_path):
    path = pair_jpeg(tmp_path)
    for name in ("IMG_0001.JPG", "IMG_0001.MOV"):
        data = (tmp_path / name).read_bytes()
        for start in range(0, len(data), len(data) // 12):
            (tmp_path / name).write_bytes(data[:start] + bytes(2000) + data[start + 2000 :])
            use(path, tmp_path / name)
        (tmp_path / name).write_bytes(data)


@pytest.mark.parametrize("name", ["IMG_0001.MOV", "IMG_0001.JPG", "IMG_0001.HEIC"])
@pytest.mark.parametrize("content", [b"hello\n" * 500, b"\0" * 5000, b"\xff" * 5000, b"<?xml?>"])
def test_other_things_named_as_media(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        open_live_photo(tmp_path / name)


def test_a_box_of_four_gigabytes(tmp_path):
    _, video = makers.apple_pair(tmp_path)
    data = bytearray(video.read_bytes())
    at = data.find(b"moov") - 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    video.write_bytes(data)
    with pytest.raises(InputError, match="IMG_0001.MOV"):
        open_live_photo(video)


def test_a_clip_cut_behind_its_index_keeps_its_first_frames(tmp_path):
    """Index first, as editors write it: what is there of the frames can still be had."""
    photo, video = makers.apple_pair(tmp_path)
    data = makers.index_first(video.read_bytes())
    video.write_bytes(data)
    assert len(open_live_photo(photo).clip.times_s) == 12
    video.write_bytes(data[: -len(data) // 3])
    live = open_live_photo(photo)
    assert 2 <= len(live.clip.times_s) < 12
    assert any("cut short" in note for note in live.notes)
    assert live.clip.frame_at(1).index == 1


def test_nothing_reaches_standard_error(tmp_path):
    """FFmpeg, libheif and Pillow print; a program that uses livemoments does not want that."""
    photo = pair_jpeg(tmp_path)
    data = (tmp_path / "IMG_0001.MOV").read_bytes()
    (tmp_path / "IMG_0001.MOV").write_bytes(data[:3000] + bytes(9000) + data[12000:])
    still = photo.read_bytes()
    photo.write_bytes(still[:2000] + bytes(500) + still[2500:])
    code = (
        "import sys\n"
        "from livemoments.errors import LiveMomentsError\n"
        "from livemoments.livephoto import open_live_photo\n"
        "live = open_live_photo(sys.argv[1])\n"
        "for act in (live.still.pixels, lambda: list(live.clip.frames())):\n"
        "    try: act()\n"
        "    except LiveMomentsError: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(photo)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_importing_stays_light():
    code = (
        "import sys, livemoments.livephoto\n"
        "heavy = {'av', 'cv2', 'pillow_heif', 'torch', 'onnxruntime'} & set(sys.modules)\n"
        "raise SystemExit(' '.join(heavy) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")
