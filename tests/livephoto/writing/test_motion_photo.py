"""A restored moment written back as a motion photo: Google's, Samsung's, MicroVideo."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import makers
from support.motion_photos import (
    broken_rules,
    clip_bytes,
    exiftool_binary,
    exiftool_facts,
    needs_exiftool,
    packets,
    with_image_metadata,
)
from support.written import write_live

from livemoments.errors import ConfigError, InputError, MomentError, OutputError
from livemoments.livephoto import ColourSpace, LivePhoto, open_live_photo
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.hdr.gain_map import GainMap, from_apple
from livemoments.livephoto.hdr.ultra_hdr import gain_map_jpeg
from livemoments.livephoto.metadata.xmp import parse_motion_facts
from livemoments.livephoto.movie.video import open_clip
from livemoments.livephoto.reading.samsung import read_trailer
from livemoments.livephoto.still.encode import JPEG_XMP_ROOM
from livemoments.livephoto.still.gain_map import read_gain_map
from livemoments.livephoto.still.still import read_still
from livemoments.livephoto.writing.convert import with_other_clip
from livemoments.livephoto.writing.format import Format, Written
from livemoments.livephoto.writing.place import format_of_source, name_in_gallery

SOFTWARE = "livemoments 0.1: the moment at 0.250 s, restored"
MAKERS = {
    "google.MP.jpg": makers.google_jpeg,
    "google.MP.heic": makers.google_heic,
    "MVIMG_1.jpg": makers.micro_video_jpeg,
    "samsung.jpg": makers.samsung_jpeg,
    "samsung.heic": makers.samsung_heic,
}
OPENED_AS = {"google": "google-motion-photo", "samsung": "samsung", "microvideo": "microvideo"}
# What EXIF says of the file and of the key photo, and what goes with a clip or a thumbnail.
MUST_CHANGE = {
    "Orientation", "ModifyDate", "DateTimeOriginal", "CreateDate", "SubSecTime",
    "SubSecTimeOriginal", "SubSecTimeDigitized", "Software", "ImageUniqueID", "ExifImageWidth",
    "ExifImageHeight", "ImageWidth", "ImageHeight", "ExifVersion", "TimeStamp",
}  # fmt: skip


def picture() -> np.ndarray:
    return makers.enlarged(makers.moving(makers.scene())[4])


def source_of(folder: Path, name: str = "google.MP.jpg") -> LivePhoto:
    folder.mkdir(exist_ok=True)
    return open_live_photo(MAKERS[name](folder / name))


def write(live: LivePhoto, out: Path, kind: str | None = None, **options) -> Written:
    options = {"time_s": 0.25, "software": SOFTWARE, **options}
    kind = kind or format_of_source(live)
    return write_live(live, options.pop("image", picture()), out, kind, **options)


def clip_of(written: Written) -> Source:
    return open_live_photo(written.path).clip.source


# --- round trips ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_it_goes_back_the_way_it_came(tmp_path, name):
    live = source_of(tmp_path / "in", name)
    before = live.still.path.read_bytes()
    written = write(live, tmp_path / name)
    again = open_live_photo(written.path)
    assert again.kind == live.kind == OPENED_AS[written.format]
    assert again.key_time_s == pytest.approx(0.25, abs=1e-3)
    assert again.key_time_source == "XMP presentation timestamp"
    assert again.notes == tuple(n for n in live.notes if "past the" not in n and "XMP" not in n)
    assert clip_bytes(again.clip.source) == clip_bytes(live.clip.source)
    assert written.size_bytes == written.path.stat().st_size
    assert broken_rules(written.path) == []
    assert np.abs(again.still.pixels().astype(float) - picture()).mean() < 4
    assert live.still.path.read_bytes() == before


@pytest.mark.parametrize("kind", ["google", "samsung"])
@pytest.mark.parametrize("name", ["google.MP.jpg", "samsung.heic"])
def test_a_heic_of_any_kind_from_any_source(tmp_path, name, kind):
    """JPEGs: test_output.py."""
    live = source_of(tmp_path / "in", name)
    written = write(live, tmp_path / "a.heic", kind)
    again = open_live_photo(written.path)
    assert again.kind == OPENED_AS[kind]
    assert clip_bytes(again.clip.source) == clip_bytes(live.clip.source)
    assert broken_rules(written.path) == []
    assert bool(read_trailer(Source.whole(written.path))) == (kind == "samsung")


@pytest.mark.parametrize("name", MAKERS)
def test_written_twice_it_stays_the_same(tmp_path, name):
    """The result is a source like any other: nothing piles up."""
    first = write(source_of(tmp_path / "in", name), tmp_path / name)
    live = open_live_photo(first.path)
    (tmp_path / "again").mkdir()
    second = write(live, tmp_path / "again" / name)
    assert second.path.read_bytes() == first.path.read_bytes()


def test_an_apple_pair_becomes_a_motion_photo(tmp_path):
    photo, video = makers.apple_pair(tmp_path, sound=True)
    live = open_live_photo(photo)
    before = video.read_bytes()
    for kind, suffix in (("google", ".jpg"), ("google", ".heic"), ("samsung", ".jpg")):
        written = write(live, tmp_path / f"{kind}{suffix}", kind)
        again = open_live_photo(written.path)
        assert again.key_time_s == pytest.approx(0.25, abs=1e-3)
        assert packets(clip_bytes(again.clip.source)) == packets(before)
        assert broken_rules(written.path) == []
        assert again.still.identifier is None
    assert video.read_bytes() == before


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_another_clip_may_be_given(tmp_path, container):
    live = source_of(tmp_path / "in")
    clip = makers.encode_clip(makers.moving(makers.scene()), container=container)
    (tmp_path / f"clip.{container}").write_bytes(clip)
    other = open_clip(Source.whole(tmp_path / f"clip.{container}"), ColourSpace())
    written = with_other_clip(live, other, tmp_path / "a.jpg")
    assert clip_bytes(clip_of(written)) == clip


def test_a_quicktime_clip_in_a_photo_stays_one(tmp_path):
    clip = makers.encode_clip(makers.moving(makers.scene()), container="mov")
    live = open_live_photo(makers.google_jpeg(tmp_path / "a.jpg", clip=clip))
    written = write(live, tmp_path / "b.jpg")
    assert written.path.read_bytes().endswith(clip)
    facts = parse_motion_facts(read_still(written.path).xmp)
    assert facts.items[-1].mime == "video/quicktime"
    assert broken_rules(written.path) == []


def test_the_clips_own_track_follows_the_moment(tmp_path):
    clip = with_image_metadata(makers.motion_clip(), 400_000)
    live = open_live_photo(makers.google_jpeg(tmp_path / "a.jpg", clip=clip))
    assert broken_rules(tmp_path / "a.jpg") == []
    written = write(live, tmp_path / "b.jpg")
    again = clip_bytes(open_live_photo(written.path).clip.source)
    assert broken_rules(written.path) == []
    assert packets(again) == packets(clip) and len(again) == len(clip)


# --- what the file says -----------------------------------------------------------------------


def test_the_bytes_of_a_google_jpeg(tmp_path):
    live = source_of(tmp_path / "in")
    clip = clip_bytes(live.clip.source)
    written = write(live, tmp_path / "a.MP.jpg", time_s=0.3)
    data = written.path.read_bytes()
    assert data.endswith(clip) and data[: clip_of(written).start].endswith(b"\xff\xd9")
    facts = parse_motion_facts(read_still(written.path).xmp)
    assert facts.timestamp_us == 300_000
    assert [(i.mime, i.semantic, i.length, i.padding) for i in facts.items] == [
        ("image/jpeg", "Primary", 0, 0),
        ("video/mp4", "MotionPhoto", len(clip), 0),
    ]


def test_the_boxes_of_a_google_heic(tmp_path):
    live = source_of(tmp_path / "in", "google.MP.heic")
    written = write(live, tmp_path / "a.MP.heic")
    data = written.path.read_bytes()
    kind, start, end = makers.top_boxes(data)[-1]
    assert (kind, end) == (b"mpvd", len(data))
    assert data[start : start + 4] == (end - start).to_bytes(4, "big")
    assert data[start + 8 :] == clip_bytes(live.clip.source)
    items = parse_motion_facts(read_still(written.path).xmp).items
    assert [(i.mime, i.length, i.padding) for i in items] == [
        ("image/heic", 0, 8),
        ("video/mp4", clip_of(written).length, 0),
    ]


@pytest.mark.parametrize("suffix", [".jpg", ".heic"])
def test_samsungs_lengths_lead_to_the_clip(tmp_path, suffix):
    """Phones of Android 13 state other lengths; these let every reader find the clip."""
    live = source_of(tmp_path / "in", f"samsung{suffix}")
    written = write(live, tmp_path / f"a{suffix}")
    first, last = parse_motion_facts(read_still(written.path).xmp).items
    assert written.size_bytes - last.length == clip_of(written).start
    # Image_UTC_Data lies before the clip here: its 35 bytes, then the clip block's 24.
    assert first.padding == (35 + 24 if suffix == ".jpg" else 8)


def test_a_gain_map_lies_between_picture_and_clip(tmp_path):
    gain_map = a_gain_map()
    stored = gain_map_jpeg(gain_map, 95)
    live = source_of(tmp_path / "in")
    written = write(live, tmp_path / "a.MP.jpg", gain_map=gain_map)
    data = written.path.read_bytes()
    assert data[: clip_of(written).start].endswith(b"\xff\xd9" + stored)
    items = parse_motion_facts(read_still(written.path).xmp).items
    assert [(i.semantic, i.length) for i in items] == [
        ("Primary", 0),
        ("GainMap", len(stored)),
        ("MotionPhoto", clip_of(written).length),
    ]
    assert broken_rules(written.path) == [] and written.notes == ()
    assert open_live_photo(written.path).key_time_s == pytest.approx(0.25)
    assert_read_again(written.path, gain_map)


def a_gain_map() -> GainMap:
    """Of the test picture's shape: a ramp of gains."""
    values = np.linspace(0, 1, 96 * 128, dtype=np.float32).reshape(96, 128)
    return from_apple(values, headroom=4.0)


def assert_read_again(path, gain_map) -> None:
    found = read_gain_map(read_still(path))
    assert found.gain_map is not None, found.reason
    assert found.gain_map.values.shape == gain_map.values.shape
    assert np.abs(found.gain_map.stops() - gain_map.stops()).mean() < 0.02


def test_a_gain_map_in_heic(tmp_path):
    gain_map = a_gain_map()
    written = write(source_of(tmp_path / "in"), tmp_path / "a.MP.heic", gain_map=gain_map)
    assert broken_rules(written.path) == [] and written.notes == ()
    assert open_live_photo(written.path).key_time_s == pytest.approx(0.25)
    assert_read_again(written.path, gain_map)


@pytest.mark.parametrize("kind", ["samsung", "microvideo"])
def test_a_gain_map_for_which_there_is_no_place(tmp_path, kind):
    live = source_of(tmp_path / "in")
    written = write(live, tmp_path / "a.jpg", kind=kind, gain_map=a_gain_map())
    assert "the HDR gain map was left out" in written.notes[0]
    assert broken_rules(written.path) == []
    assert read_gain_map(read_still(written.path)).gain_map is None


def test_metadata_is_carried(tmp_path):
    clip = makers.motion_clip()
    other = b'xmlns:dc="urn:d" dc:rights="mine" xmlns:MiCamera="http://ns.xiaomi.com/x/" '
    xmp = makers.google_xmp(length=len(clip)).replace(b"Camera:MotionPhoto=", other + b"\\0", 1)
    xmp = xmp.replace(b"\\0", b"Camera:MotionPhoto=").replace(b"/>", b"/>", 1)
    still = makers.enlarged(makers.scene())
    exif, icc = makers.make_exif(make="Google", orientation=6), makers.rgb_profile("p3")
    path = makers.save_still(tmp_path / "a.jpg", still, exif=exif, xmp=xmp, icc_profile=icc)
    path.write_bytes(path.read_bytes() + clip)
    live = open_live_photo(path)
    for name in ("b.jpg", "b.heic"):
        written = write(live, tmp_path / name)
        after = read_still(written.path)
        assert after.colour == live.still.colour
        assert (after.make, after.software, after.orientation) == ("Google", SOFTWARE, 1)
        assert (after.taken - live.still.taken).total_seconds() == pytest.approx(-0.15)
        assert b'rights="mine"' in after.xmp and b"xiaomi" not in after.xmp
        assert written.notes == ()


def test_xmp_too_large_for_a_jpeg_gives_way(tmp_path):
    clip = makers.motion_clip()
    xmp = makers.google_xmp(length=len(clip))
    more = b'xmlns:a="urn:a" a:b="%s" rdf:about' % (b"x" * (JPEG_XMP_ROOM - len(xmp) - 30))
    xmp = xmp.replace(b"rdf:about", more)
    live = open_live_photo(makers.google_jpeg(tmp_path / "a.jpg", clip=clip, xmp=xmp))
    written = write(live, tmp_path / "b.jpg")
    assert "XMP was left out" in written.notes[0]
    assert broken_rules(written.path) == []
    assert write(live, tmp_path / "b.heic").notes == ()


@pytest.mark.parametrize(
    ("stem", "kind", "name"),
    [
        ("PXL_1-0.250s", "google", "PXL_1-0.250s.MP.jpg"),
        ("PXL_1.MP", "google", "PXL_1.MP.jpg"),
        ("IMG_1", "microvideo", "MVIMG_1.jpg"),
        ("MVIMG_1", "microvideo", "MVIMG_1.jpg"),
        ("20240101", "samsung", "20240101.jpg"),
    ],
)
def test_names_that_galleries_know(stem, kind, name):
    assert name_in_gallery(stem, ".jpg", Format(kind)) == name


# --- refusals -----------------------------------------------------------------------------------


def test_the_sources_files_are_never_replaced(tmp_path):
    live = source_of(tmp_path / "in")
    photo = live.still.path
    before = photo.read_bytes()
    (tmp_path / "link.jpg").symlink_to(photo)
    for out in (photo, tmp_path / "link.jpg"):
        with pytest.raises(OutputError, match="input"):
            write(live, out, overwrite=True)
    other = tmp_path / "other.jpg"
    other.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        write(live, other)
    with pytest.raises(OutputError, match="input"):
        write(live, other, overwrite=True, inputs=[other])
    assert (photo.read_bytes(), other.read_bytes()) == (before, b"precious")
    write(live, other, overwrite=True)
    assert broken_rules(other) == []


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (ConfigError, {"quality": 0}),
        (ConfigError, {"subsampling": "4:1:1"}),
        (MomentError, {"time_s": 9.0}),
        (MomentError, {"time_s": float("nan")}),
        (InputError, {"image": np.zeros((4, 4), np.uint8)}),
        (OutputError, {"out": "a.png"}),
        (OutputError, {"out": "nowhere/a.jpg"}),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, error, options):
    live = source_of(tmp_path / "in")
    out = tmp_path / options.pop("out", "a.jpg")
    with pytest.raises(error):
        write(live, out, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


KILLED = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from PIL import Image
from livemoments.livephoto import open_live_photo
from livemoments.livephoto.writing.format import Format
from livemoments.livephoto.writing.live_photo import write_live_photo
from livemoments.livephoto.writing.place import check_place
folder, photo = Path(sys.argv[1]), Path(sys.argv[2])
live = open_live_photo(photo)
image = np.asarray(Image.open(photo))
def write(name):
    place = check_place(folder / name, Format.GOOGLE, overwrite=True)
    write_live_photo(live, image, place, time_s=0.25, software="test")
began = time.perf_counter()
write("whole.jpg")
took = time.perf_counter() - began
for index in range(30):
    child = os.fork()
    if child == 0:
        for turn in range(1000):
            write(f"{index}-{turn % 3}.jpg")
        os._exit(0)
    while index % 3 and not (folder / f"{index}-0.jpg").exists():
        time.sleep(0.001)
    time.sleep(took * index / 15)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.slow
def test_thirty_kills_leave_whole_files_or_none(tmp_path):
    """Killed at any point of writing, new files and files written anew alike."""
    clip = makers.motion_clip() + makers.box(b"free", bytes(4_000_000))
    photo = makers.google_jpeg(tmp_path / "in.jpg", clip=clip)
    before = photo.read_bytes()
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-c", KILLED, str(out), str(photo)]
    subprocess.run(command, check=True, timeout=250)
    whole = (out / "whole.jpg").read_bytes()
    names = [path.name for path in out.iterdir() if not path.name.startswith(".")]
    assert len(names) >= 10
    assert all((out / name).read_bytes() == whole for name in names)
    assert broken_rules(out / "whole.jpg") == []
    assert photo.read_bytes() == before


# --- independent judges, and real phones ----------------------------------------------------


@needs_exiftool
@pytest.mark.parametrize("name", MAKERS)
def test_exiftool_reads_the_same(tmp_path, name):
    live = source_of(tmp_path / "in", name)
    written = write(live, tmp_path / name)
    clip = clip_bytes(live.clip.source)
    facts = exiftool_facts(written.path, "-validate", "-warning", "-error", "-all")
    assert "ExifTool:Error" not in facts
    assert "Missing" in facts.get("ExifTool:Warning", "Missing")
    form = "MicroVideo" if written.format == "microvideo" else "MotionPhoto"
    assert facts[f"XMP-GCamera:{form}"] == facts[f"XMP-GCamera:{form}Version"] == 1
    assert facts[f"XMP-GCamera:{form}PresentationTimestampUs"] == 250_000
    if name.endswith(".heic"):
        assert exiftool_binary(written.path, "MotionPhotoVideo").startswith(clip)
    elif written.format == "samsung":
        assert exiftool_binary(written.path, "EmbeddedVideoFile") == clip
    else:
        assert exiftool_binary(written.path, "Trailer") == clip


REAL = {
    "pixel3axl-keyboard": (7, ".jpg"),
    "samsung-s22-room": (3, ".heic"),
    "samsung-s22plus-dark": (20, ".heic"),
    "samsung-s22ultra-rabbit": (30, ".heic"),
}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_phones(tmp_path, samples, name):
    index, suffix = REAL[name]
    live = open_live_photo(samples / name)
    time_s = live.clip.times_s[index]
    image = np.asarray(Image.fromarray(live.still.pixels()).reduce(4))
    written = write(live, tmp_path / f"a{suffix}", time_s=time_s, image=image)
    again = open_live_photo(written.path)
    assert again.kind == live.kind
    assert again.key_time_s == pytest.approx(time_s, abs=1e-3)
    assert again.clip.times_s == live.clip.times_s
    new, old = clip_bytes(again.clip.source), clip_bytes(live.clip.source)
    assert packets(new) == packets(old)
    # A Pixel's clip states the moment itself: 8 bytes of its metadata track.
    changed = sum(a != b for a, b in zip(new, old, strict=True))
    assert changed <= (8 if name.startswith("pixel") else 0)
    assert broken_rules(written.path) == []
    if suffix == ".heic":  # the trailer lies within 'mpvd' or behind it, as it did
        last = [makers.top_boxes(p.read_bytes())[-1][0] for p in (written.path, live.still.path)]
        assert last[0] == last[1]


@needs_exiftool
@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_metadata_as_exiftool_sees_it(tmp_path, samples, name):
    index, suffix = REAL[name]
    live = open_live_photo(samples / name)
    image = picture()
    written = write(live, tmp_path / f"a{suffix}", time_s=live.clip.times_s[index], image=image)
    groups = ("-EXIF:all", "-GPS:all", "-ICC_Profile:all", "-MakerNotes:all")
    old = exiftool_facts(live.still.path, *groups)
    new = exiftool_facts(written.path, *groups)
    for tag, value in old.items():
        group, _, short = tag.partition(":")
        if short not in MUST_CHANGE and group not in ("IFD1", "System", "File", "SourceFile"):
            assert new.get(tag) == value, tag
    clip = clip_bytes(open_live_photo(written.path).clip.source)
    if suffix == ".heic":
        assert exiftool_binary(written.path, "MotionPhotoVideo").startswith(clip)
    else:
        assert exiftool_binary(written.path, "Trailer") == clip


@pytest.mark.real
@pytest.mark.parametrize("name", ["iphone15pro-mural", "iphone6s-train"])
def test_a_real_apple_pair_becomes_a_motion_photo(tmp_path, samples, name):
    live = open_live_photo(samples / name)
    time_s = live.clip.times_s[9]
    written = write(live, tmp_path / "a.MP.jpg", "google", time_s=time_s)
    again = open_live_photo(written.path)
    assert again.key_time_s == pytest.approx(time_s, abs=1e-3)
    assert packets(clip_bytes(again.clip.source)) == packets(clip_bytes(live.clip.source))
    assert broken_rules(written.path) == []
