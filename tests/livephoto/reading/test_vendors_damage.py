"""Laws of damaged and shuffled vendor files: an error of ours, or the same clip; never another."""

import re
import shutil
import zipfile
from pathlib import Path

import pytest
import support
from support import fuzz, fuzz_files, makers, rounds
from support import vendor_makers as vendors

from livemoments.errors import InputError, LiveMomentsError
from livemoments.livephoto import LivePhoto, open_live_photo
from livemoments.livephoto.reading.matching import Match

MADE = [name for name in fuzz_files.MADE if "by name" not in name]
PLACES = rounds(40, 8)  # at which a file is cut, and at some of its last bytes
END = 44
EVERY = 1 if support.SLOW else 4  # of the last bytes
KINDS = {
    "apple-pair", "vivo-pair", "pair-by-name", "pair-by-hand", "google-motion-photo", "microvideo",
    "samsung", "xiaomi", "oppo", "vivo", "huawei", "honor", "livp", "pvt",
}  # fmt: skip
SOURCES = {
    "still-image-time track", "XMP presentation timestamp", "footer frame number",
    "footer cover time", "vivo frame number", "vivo cover time", "matched",
}  # fmt: skip


@pytest.fixture(scope="module")
def samples():
    return fuzz_files.made_samples()


@pytest.fixture
def no_matching(monkeypatch):
    """Comparing pictures takes most of the time, and is not what these laws are about."""
    match = Match(index=0, time_s=0.0, likeness=0.0, scores={})
    monkeypatch.setattr(
        "livemoments.livephoto.reading.key_time.match_still", lambda still, clip: match
    )


def placed(sample: fuzz_files.Sample, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in sample.files.items():
        (folder / name).write_bytes(data)
    return folder / sample.entry


def check_sensible(live: LivePhoto, times_s: tuple[float, ...]) -> None:
    assert live.kind in KINDS and live.key_time_source in SOURCES
    assert set(live.clip.times_s) <= set(times_s)
    assert -0.001 <= live.key_time_s <= times_s[-1] + 1.1
    with live.clip.source.open() as stream:
        assert stream.read(8)[4:] == b"ftyp"


@pytest.mark.parametrize("name", MADE)
@pytest.mark.usefixtures("no_matching")
def test_truncated(tmp_path, samples, name):
    sample = samples[name]
    folder = tmp_path / ("a.pvt" if name == "pvt" else "a")
    whole = open_live_photo(placed(sample, folder))
    times_s, kind = whole.clip.times_s, whole.kind
    for victim, data in sample.files.items():
        ends = range(max(0, len(data) - END), len(data), EVERY)
        opened = 0
        for length in sorted({*range(0, len(data), len(data) // PLACES + 1), *ends}):
            (folder / victim).write_bytes(data[:length])
            try:
                live = open_live_photo(folder / sample.entry)
            except LiveMomentsError as error:
                assert isinstance(error, InputError) and "\n" not in str(error)
                continue
            opened += 1
            check_sensible(live, times_s)
        (folder / victim).write_bytes(data)
        if victim == "metadata.plist":
            assert opened
    assert open_live_photo(folder / sample.entry).kind == kind


@pytest.mark.parametrize("name", ["huawei jpeg", "honor", "vivo pair", "vivo", "oneplus"])
@pytest.mark.usefixtures("no_matching")
def test_bytes_of_the_end_changed(tmp_path, samples, name):
    """What vendors write stands at the end: any byte of it may be wrong."""
    sample = samples[name]
    folder = tmp_path / "a"
    times_s = open_live_photo(placed(sample, folder)).clip.times_s
    for victim, data in sample.files.items():
        for at in range(max(0, len(data) - 180), len(data), 2 * EVERY):
            changed = bytearray(data)
            changed[at] ^= 0x41
            (folder / victim).write_bytes(changed)
            try:
                check_sensible(open_live_photo(folder / sample.entry), times_s)
            except InputError as error:
                assert "\n" not in str(error)
        (folder / victim).write_bytes(data)


@pytest.mark.parametrize("tail", MADE)
@pytest.mark.parametrize("name", ["google jpeg", "oppo", "xiaomi", "microvideo", "vivo"])
def test_another_files_end_behind_it(tmp_path, samples, name, tail):
    """Words of XMP win over a stranger's trailer, or the clip is found by searching."""
    other = list(samples[tail].files.values())[-1]
    sample = samples[name]
    data = sample.files[sample.entry] + other[-70:]
    path = placed(fuzz_files.Sample(files={sample.entry: data}, entry=sample.entry), tmp_path / "a")
    live = open_live_photo(path)
    whole = open_live_photo(placed(sample, tmp_path / "b"))
    assert live.kind == whole.kind
    assert live.clip.times_s == whole.clip.times_s
    assert live.clip.source.start == whole.clip.source.start


@pytest.mark.parametrize("name", ["google jpeg", "oppo", "xiaomi", "vivo"])
def test_the_order_of_words_does_not_matter(tmp_path, samples, name):
    """XMP's attributes in any order mean the same."""
    sample = samples[name]
    data = sample.files[sample.entry]
    found = re.search(rb'(<rdf:Description rdf:about="")((?: [\w:]+="[^"]*")+)', data)
    words = re.findall(rb' [\w:]+="[^"]*"', found[2])
    turned = data[: found.start(2)] + b"".join(reversed(words)) + data[found.end(2) :]
    assert len(turned) == len(data) and turned != data
    path = placed(fuzz_files.Sample(files={"a.jpg": turned}, entry="a.jpg"), tmp_path / "a")
    live, whole = open_live_photo(path), open_live_photo(placed(sample, tmp_path / "b"))
    assert (live.kind, live.key_time_s, live.key_time_source, live.notes) == (
        (whole.kind, whole.key_time_s, whole.key_time_source, whole.notes)
    )
    assert live.clip.source.start == whole.clip.source.start


def test_the_order_of_files_does_not_matter(tmp_path, monkeypatch):
    """A folder may list its files in any order, and hold Live Photos of other kinds."""
    still, video = vendors.vivo_pair(tmp_path, stem="A")
    vendors.vivo_pair(tmp_path, stem="B", identifier=vendors.OTHER_VIVO_ID)
    apple, movie = makers.apple_pair(tmp_path, stem="C")
    vendors.honor_jpeg(tmp_path / "D.jpg")
    vendors.livp(tmp_path / "E.livp")
    video = video.rename(tmp_path / "Z.mp4")
    listed = Path.iterdir
    for order in (sorted, lambda each: sorted(each, reverse=True)):
        monkeypatch.setattr(Path, "iterdir", lambda path, order=order: iter(order(listed(path))))
        assert open_live_photo(still).clip.path == video
        assert open_live_photo(video).still.path == still
        assert open_live_photo(apple).clip.path == movie
        assert open_live_photo(tmp_path / "D").kind == "honor"
        assert open_live_photo(tmp_path / "E").kind == "livp"


def test_either_half_first_in_an_archive(tmp_path, samples):
    sample = samples["apple jpeg"]
    for order in (False, True):
        path = tmp_path / f"{order}.livp"
        with zipfile.ZipFile(path, "w") as archive:
            for name in sorted(sample.files, reverse=order):
                archive.writestr(name, sample.files[name])
        live = open_live_photo(path)
        assert live.kind == "livp" and live.key_time_s == pytest.approx(0.25)


@pytest.mark.slow
def test_reading_leaves_everything_as_it_was(tmp_path, samples):
    for name, sample in samples.items():
        path = placed(sample, tmp_path / ("a.pvt" if name == "pvt" else "a"))
        folder = path if path.is_dir() else path.parent
        before = {each.name: (each.stat().st_mtime_ns, each.read_bytes()) for each in
                  folder.iterdir()}  # fmt: skip
        assert fuzz.read(path, fuzz.Use(decode=True))
        after = {each.name: (each.stat().st_mtime_ns, each.read_bytes()) for each in
                 folder.iterdir()}  # fmt: skip
        assert after == before
