"""A short run of the fuzzer, the cases it found, and whether it would find any."""

import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import fuzz, fuzz_files, gain_maps, makers, rounds

from livemoments.errors import DamagedFileError, PairingError
from livemoments.livephoto import open_live_photo
from livemoments.livephoto.container.heif_items import read_items
from livemoments.livephoto.still.gain_map import read_gain_map
from livemoments.livephoto.still.still import read_still
from livemoments.livephoto.writing.convert import convert_file

CASES = rounds(300, 60)


@pytest.fixture(scope="module")
def samples():
    return fuzz_files.made_samples()


def test_the_samples_are_read(tmp_path, samples):
    """Undamaged, each is what it is called: otherwise the fuzzer would test nothing."""
    kinds = {}
    for name, sample in samples.items():
        folder = tmp_path / ("a.pvt" if name == "pvt" else name)
        folder.mkdir()
        kinds[name] = fuzz.run_case(sample, fuzz.Use(decode=True, check=True), folder).end
        assert sum(map(len, sample.files.values())) < 60_000
    expected = {
        "apple jpeg": "apple-pair",
        "apple heic": "apple-pair",
        "by name": "pair-by-name",
        "by name, png": "pair-by-name",
        "by name, tiff": "pair-by-name",
        "by name, webp": "pair-by-name",
        "google jpeg": "google-motion-photo",
        "google heic": "google-motion-photo",
        "microvideo": "microvideo",
        "samsung jpeg": "samsung",
        "samsung heic": "samsung",
        "xiaomi": "xiaomi",
        "oppo": "oppo",
        "oneplus": "oppo",
        "vivo": "vivo",
        "vivo pair": "vivo-pair",
        "vivo pair B1": "vivo-pair",
        "huawei jpeg": "huawei",
        "huawei heic": "huawei",
        "honor": "honor",
        "livp deflated": "livp",
        "livp stored": "livp",
        "pvt": "pvt",
        "heic, gain map": "pair-by-name",
        "jpeg, apple's gain map": "pair-by-name",
        "jpeg, ultra hdr": "pair-by-name",
        "google heic, gain map": "google-motion-photo",
        "google jpeg, ultra hdr": "google-motion-photo",
    }
    assert kinds == expected


def test_some_hundred_cases(samples):
    outcome = fuzz.run(samples, seed=20_000, cases=iter(range(CASES)), workers=2)
    assert outcome.failures == []
    assert outcome.cases == CASES
    # Enough get past the first bytes of a file to say something about what follows.
    opened = sum(count for end, count in outcome.ends.items() if not end.endswith("Error"))
    assert 0.15 * CASES < opened < 0.85 * CASES


def test_a_case_is_made_of_its_numbers_alone(samples):
    again = fuzz_files.made_samples()
    for case in (0, 17, 299):
        name, sample, use = fuzz.case_sample(samples, 7, case)
        assert (name, use) == fuzz.case_sample(samples, 7, case)[::2]
        assert sample == fuzz.case_sample(samples, 7, case)[1]
        if samples == again:  # encoders may write the time into a file
            assert sample == fuzz.case_sample(again, 7, case)[1]


# --- would it find anything? ----------------------------------------------------------------


def raises(path: Path, use: fuzz.Use) -> str:
    raise KeyError("moov")


def says_two_lines(path: Path, use: fuzz.Use) -> str:
    raise DamagedFileError("one\ntwo")


def writes(path: Path, use: fuzz.Use) -> str:
    (path.parent / "left.tmp").write_bytes(b"x")
    return "apple-pair"


def overwrites(path: Path, use: fuzz.Use) -> str:
    next(each for each in path.parent.iterdir() if each.is_file()).write_bytes(b"x")
    return "apple-pair"


def warns(path: Path, use: fuzz.Use) -> str:
    warnings.warn("mean of nothing", RuntimeWarning, stacklevel=1)
    return "apple-pair"


def prints(path: Path, use: fuzz.Use) -> str:
    os.write(2, b"[mov,mp4] moov atom not found")
    return "apple-pair"


def eats(path: Path, use: fuzz.Use) -> str:
    return "apple-pair" if np.ones(220 << 20, np.uint8).any() else ""


def burns(path: Path, use: fuzz.Use) -> str:
    begin = time.process_time()
    while time.process_time() - begin < 0.25:
        pass
    return "apple-pair"


def hangs(path: Path, use: fuzz.Use) -> str:
    time.sleep(60)
    return "apple-pair"


def leaves_a_temporary_file(path: Path, use: fuzz.Use) -> str:
    tempfile.mkstemp()
    return "apple-pair"


def dies(path: Path, use: fuzz.Use) -> str:
    os.kill(os.getpid(), signal.SIGSEGV)
    return "apple-pair"


@pytest.mark.parametrize(
    ("reader", "match"),
    [
        (raises, "KeyError: 'moov'"),
        (says_two_lines, "one"),
        (writes, "wrote .*left.tmp"),
        (overwrites, "wrote"),
        (warns, "RuntimeWarning: mean of nothing"),
        (prints, "printed .*moov atom not found"),
        pytest.param(eats, "MiB of memory", marks=pytest.mark.slow),
        pytest.param(burns, "s of processor time", marks=pytest.mark.slow),
        pytest.param(hangs, "hangs|Timeout", marks=pytest.mark.slow),
        pytest.param(leaves_a_temporary_file, "left .*tmp", marks=pytest.mark.slow),
        pytest.param(dies, "Segmentation fault", marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_fault_is_found(samples, reader, match):
    few = {name: samples[name] for name in ("google jpeg", "honor")}
    limits = fuzz.Limits(
        seconds=0.2 if reader is burns else 30.0,
        hang_seconds=0.5 if reader is hangs else 60.0,
        bytes=200 << 20,
    )
    outcome = fuzz.run(few, seed=3, cases=iter(range(2)), workers=1, reader=reader, limits=limits)
    assert [failure.case for failure in outcome.failures] == [0, 1]
    for failure in outcome.failures:
        assert failure.seed == 3 and failure.sample in few
        assert re.search(match, failure.what), failure.what


# --- what it found --------------------------------------------------------------------------


def test_found_an_identifier_of_two_lines(tmp_path):
    """--seed 2 --case 6924: a message held whatever the maker note's text did."""
    still, _ = makers.apple_pair(tmp_path, still_suffix=".heic")
    data = still.read_bytes()
    at = data.find(makers.IDENTIFIER.encode())
    still.write_bytes(data[: at + 26] + b"\n\x0b\t\0x\xff\n" + data[at + 33 :])
    with pytest.raises(PairingError) as caught:
        open_live_photo(tmp_path / "IMG_0001.MOV")
    assert str(caught.value).isprintable()
    _, video = makers.apple_pair(tmp_path / "b", video_identifier="a\nb\t" + "c" * 500)
    with pytest.raises(PairingError) as caught:
        open_live_photo(video)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


def test_found_a_word_on_standard_error(tmp_path):
    """--seed 5 --case 8492: Pillow logged about a TIFF, which Python prints if nothing listens."""
    still = makers.save_still(tmp_path / "a.tif", makers.scene())
    data = bytearray(still.read_bytes())
    fields = int.from_bytes(data[4:8], "little") + 2
    count = int.from_bytes(data[fields - 2 : fields], "little")
    samples = next(
        at for at in range(fields, fields + 12 * count, 12) if data[at : at + 2] == b"\x15\x01"
    )
    data[samples + 8] = 111
    still.write_bytes(data)
    code = (
        "import sys\n"
        "from livemoments.livephoto import open_live_photo\n"
        "from livemoments.errors import InputError\n"
        "try: open_live_photo(sys.argv[1])\n"
        "except InputError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, still], capture_output=True, text=True)
    assert done.stdout.startswith("a.tif: ") and done.stderr == ""


@pytest.mark.parametrize("shape", [(20, 1200), (1200, 20), (3, 3)])
def test_found_a_still_that_is_a_strip(tmp_path, shape):
    """--seed 3: comparing it with a frame took the mean of nothing, and warned."""
    options = {"identifier": None, "video_identifier": None, "track": False}
    still, _ = makers.apple_pair(tmp_path, still=np.zeros((*shape, 3), np.uint8), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        live = open_live_photo(still)
    assert live.key_time_source == "matched"
    assert not any("nan" in note for note in live.notes)


@pytest.mark.parametrize("size", [(np.nan, 144.0), (192.0, np.inf), (-np.inf, 1.0), (3e38, 3e38)])
def test_found_a_reference_size_that_is_no_number(tmp_path, size):
    """--seed 6 --case 9763: it passed for one above 1, and made a transform of NaN."""
    still, video = makers.apple_pair(tmp_path, transform=np.eye(3))
    data = bytearray(video.read_bytes())
    at = data.rfind(struct.pack(">ff", 192.0, 144.0))
    data[at : at + 8] = struct.pack(">ff", *size)
    video.write_bytes(data)
    json.dumps(open_live_photo(still).to_dict(), allow_nan=False)


@pytest.mark.parametrize("value", [0.0, 1e300, 1e-300, -1e308])
@pytest.mark.parametrize("place", [(0, 0), (2, 2), (2, 0)])
def test_transforms_beyond_use(tmp_path, value, place):
    matrix = np.eye(3)
    matrix[place] = value
    still, _ = makers.apple_pair(tmp_path, transform=matrix)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        live = open_live_photo(still)
    json.dumps(live.to_dict(), allow_nan=False)


def test_found_a_picture_behind_a_video(tmp_path):
    """--seed 6 --case 15561: libavformat read the two in turns, without end."""
    still, video = makers.apple_pair(tmp_path)
    heic = makers.save_still(tmp_path / "other.heic", makers.scene()).read_bytes()
    video.write_bytes(video.read_bytes() + heic)
    begin = time.process_time()
    with pytest.raises(DamagedFileError, match="IMG_0001.MOV: .*refer to each other"):
        open_live_photo(still, video)
    assert time.process_time() - begin < 3


@pytest.mark.parametrize(
    ("matrix", "display"),
    [
        ((0, 1, 0, 0), (0, 1, 1, 0)),
        ((1, 0, 0, 0), (1, 0, 0, 1)),
        ((0, 0, 0, -1), (1, 0, 0, -1)),
        ((1, 1, 1, 1), (1, 0, 0, 1)),
        ((0, 2, -3, 0), (0, 1, -1, 0)),
    ],
)
def test_found_a_display_matrix_that_is_singular(tmp_path, matrix, display):
    """--seed 11 --case 25660: no transform between upright pictures could be computed."""
    still, _ = makers.apple_pair(tmp_path, transform=np.eye(3), display=matrix)
    live = open_live_photo(still)
    assert live.clip.display == display
    assert live.frame(0.0).image.shape == (live.clip.height, live.clip.width, 3)


def test_found_a_stream_that_changes_its_size(tmp_path):
    """--seed 22 --case 8883: a frame came out larger than the clip said."""
    _, video = makers.apple_pair(tmp_path)
    clip = replace(open_live_photo(video).clip, width=40, height=30)
    assert clip.frame(0.0).image.shape == (30, 40, 3)


def test_found_a_decoders_reason_of_two_lines(tmp_path):
    """--seed 33 --case 1836: libheif ends its messages with a line break."""
    path = gain_maps.written(tmp_path / "a.heic", gain_maps.apple_map())
    data = path.read_bytes()
    items = read_items(io.BytesIO(data), len(data))
    number = next(each.source for each in items.references if each.kind == b"auxl")
    ((start, length),) = items.items[number].extents
    path.write_bytes(data.replace(struct.pack(">II", start, length), b"\0\7" * 4, 1))
    found = read_gain_map(read_still(path))
    assert found.reason is not None and found.reason.isprintable()


@pytest.mark.parametrize("target", ["google", "samsung", "microvideo"])
def test_found_a_box_of_no_name_before_the_index(tmp_path, target):
    """--seed 22 --case 5226: the clip in the converted file ended there."""
    options = {"identifier": None, "video_identifier": None, "track": False}
    still, video = makers.apple_pair(tmp_path, **options)
    video.write_bytes(video.read_bytes().replace(b"ftyp", b"fty\0", 1))
    done = convert_file(still, tmp_path / "x.jpg", to=target)
    assert len(open_live_photo(done.path).clip.times_s) == len(open_live_photo(still).clip.times_s)


@pytest.mark.parametrize("target", ["google", "apple"])
def test_found_a_track_that_only_a_decoder_finds(tmp_path, target):
    """--seed 22 --case 16006, 24 4490: the converted clip had no track of pictures, or no time."""
    options = {"identifier": None, "video_identifier": None, "track": False}
    still, video = makers.apple_pair(tmp_path, **options)
    data = bytearray(video.read_bytes())
    data[data.index(b"mdia") - 4] = 0xFF
    video.write_bytes(data)
    assert open_live_photo(still).clip.times_s
    with pytest.raises(DamagedFileError, match="index of the video's pictures is damaged"):
        convert_file(still, tmp_path / "x.jpg", to=target)
    assert not list(tmp_path.glob("x.*"))
