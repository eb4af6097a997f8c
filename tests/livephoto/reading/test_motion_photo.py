"""Clips inside the photo's own file: Google, MicroVideo, Samsung."""

import json

import numpy as np
import pytest
from support import makers

from livemoments.errors import PairingError
from livemoments.livephoto import LivePhoto, open_live_photo
from livemoments.livephoto.container.jpeg_parts import picture_end
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.reading.samsung import motion_photo_block, read_trailer

MAKERS = {
    "google.MP.jpg": (makers.google_jpeg, "google-motion-photo", 0.4),
    "google.heic": (makers.google_heic, "google-motion-photo", 0.4),
    "MVIMG_1.jpg": (makers.micro_video_jpeg, "microvideo", 0.4),
    "samsung.jpg": (makers.samsung_jpeg, "samsung", 0.75),
    "samsung.heic": (makers.samsung_heic, "samsung", 0.75),
}


def check_frames(live: LivePhoto) -> None:
    """The clip's frames are the ones that were put in."""
    pictures = makers.moving(makers.scene())
    assert live.clip.times_s == pytest.approx(makers.TIMES_S)
    for index in (0, 6, 11):
        assert np.abs(live.clip.frame_at(index).image * 255 - pictures[index]).mean() < 9
    assert live.still.pixels().shape == (288, 384, 3)


@pytest.mark.parametrize("name", MAKERS)
def test_each_container(tmp_path, name):
    make, kind, key_time_s = MAKERS[name]
    live = open_live_photo(make(tmp_path / name))
    assert live.kind == kind
    assert live.key_time_s == pytest.approx(key_time_s)
    assert live.key_time_source == "XMP presentation timestamp"
    check_frames(live)
    facts = json.loads(json.dumps(live.to_dict()))
    assert facts["video"]["embedded_at"] > 0 and facts["video"]["frames"] == 12


@pytest.mark.parametrize("name", ["samsung.jpg", "samsung.heic"])
def test_samsung_key_time_past_the_end(tmp_path, name):
    live = open_live_photo(MAKERS[name][0](tmp_path / name))
    assert any("past the last frame" in note for note in live.notes)
    assert any("XMP states a clip of" in note for note in live.notes)
    assert live.key_index == 11
    assert live.frame(live.key_time_s).index == 11


def test_a_trailer_inside_mpvd_is_not_part_of_the_clip(tmp_path):
    clip = makers.motion_clip()
    path = makers.google_heic(tmp_path / "a.heic", clip=clip, trailer=b"rubbish" * 9)
    assert open_live_photo(path).clip.source.length == len(clip)


def test_children_spelling_and_padding(tmp_path):
    clip = makers.motion_clip()
    xmp = makers.google_xmp(length=len(clip), padding=0, children=True)
    check_frames(open_live_photo(makers.google_jpeg(tmp_path / "a.jpg", clip=clip, xmp=xmp)))


@pytest.mark.parametrize("length", [0, 17, 10_000_000, None])
def test_a_wrong_length_is_searched_for(tmp_path, length):
    path = makers.google_jpeg(tmp_path / "a.jpg", xmp=makers.google_xmp(length=length))
    live = open_live_photo(path)
    assert any("wrong place" in note for note in live.notes)
    check_frames(live)


def test_private_bytes_between_picture_and_clip(tmp_path):
    clip = makers.motion_clip()
    fill = b"ftyp" * 500 + bytes(1000)
    path = makers.google_jpeg(
        tmp_path / "a.jpg", clip=fill + clip, xmp=makers.google_xmp(length=len(clip))
    )
    check_frames(open_live_photo(path))
    path = makers.google_jpeg(tmp_path / "b.jpg", clip=fill + clip, xmp=makers.google_xmp(length=3))
    check_frames(open_live_photo(path))


def test_xmp_without_a_clip(tmp_path):
    path = makers.google_jpeg(tmp_path / "a.jpg", clip=b"", xmp=makers.google_xmp(length=5000))
    with pytest.raises(PairingError, match="a.jpg: XMP says that a clip is inside, but there is"):
        open_live_photo(path)


def test_a_clip_that_xmp_does_not_mention_is_no_motion_photo(tmp_path):
    xmp = makers.google_xmp(length=5).replace(b'MotionPhoto="1"', b'MotionPhoto="0"')
    path = makers.google_jpeg(tmp_path / "a.jpg", xmp=xmp)
    with pytest.raises(PairingError, match="no video next to it"):
        open_live_photo(path)


@pytest.mark.parametrize("stamp", [None, -1, 90_000_000])
def test_key_time_absent_or_impossible_is_matched(tmp_path, stamp):
    clip = makers.motion_clip()
    xmp = makers.google_xmp(length=len(clip), timestamp_us=stamp)
    live = open_live_photo(makers.google_jpeg(tmp_path / "a.jpg", clip=clip, xmp=xmp))
    assert live.key_time_source == "matched"
    assert live.key_time_s == pytest.approx(0.4)
    assert any("comparing pictures" in note for note in live.notes)


def test_end_of_a_jpeg(tmp_path):
    path = makers.save_still(tmp_path / "a.jpg", makers.scene(), exif=makers.make_exif())
    data = path.read_bytes()
    path.write_bytes(data + b"\xff\xd9tail")
    with path.open("rb") as stream:
        assert picture_end(stream, len(data) + 6) == len(data)
    path.write_bytes(data[:-2])
    with path.open("rb") as stream:
        assert picture_end(stream, len(data) - 2) is None
    progressive = makers.save_still(tmp_path / "b.jpg", makers.scene(), progressive=True)
    with progressive.open("rb") as stream:
        assert picture_end(stream, progressive.stat().st_size) == progressive.stat().st_size


def test_samsung_trailer(tmp_path):
    path = tmp_path / "a.bin"
    blocks = [(0x0A01, b"Image_UTC_Data", b"17"), (0x0A30, b"MotionPhoto_Data", b"MP4!")]
    path.write_bytes(b"picture" + makers.sef_trailer(blocks))
    found = read_trailer(Source.whole(path))
    assert [(block.type, block.name) for block in found] == [
        (0x0A01, "Image_UTC_Data"),
        (0x0A30, "MotionPhoto_Data"),
    ]
    block = motion_photo_block(found)
    assert block is not None
    assert path.read_bytes()[block.start : block.start + block.length] == b"MP4!"


@pytest.mark.parametrize("at", range(-40, 0, 3))
def test_samsung_trailer_damaged(tmp_path, at):
    data = bytearray(b"picture" + makers.sef_trailer([(0x0A30, b"MotionPhoto_Data", b"MP4!")]))
    data[at] ^= 0xFF
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    for block in read_trailer(Source.whole(path)):
        assert 0 <= block.start <= block.start + block.length <= len(data)
