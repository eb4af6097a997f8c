"""Clips inside a photo's file of which no XMP speaks, and what only looks like one."""

import io
from functools import cache

import numpy as np
import pytest
from PIL import Image
from support import makers

from livemoments.errors import PairingError
from livemoments.livephoto import open_live_photo
from livemoments.livephoto.checking.check import check_file
from livemoments.livephoto.container.jpeg_parts import behind_metadata
from livemoments.livephoto.container.mpf import mpf_segment
from livemoments.livephoto.writing.convert import convert_file

FOUND = "nothing in the file announces a clip; one was found behind the picture"


def still(path, **options):
    picture = makers.enlarged(makers.moving(makers.scene())[6])
    return makers.save_still(path, picture, exif=makers.make_exif(None), **options)


def append(path, *pieces):
    path.write_bytes(path.read_bytes() + b"".join(pieces))
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.heic"])
@pytest.mark.parametrize("fill", [b"", b"private ftyp bytes" * 9])
def test_an_mp4_behind_the_picture_is_found(tmp_path, name, fill):
    clip = makers.motion_clip()
    path = append(still(tmp_path / name), fill, clip)
    live = open_live_photo(path)
    assert live.kind == "google-motion-photo" and live.notes[0] == FOUND
    assert live.clip.source.start == path.stat().st_size - len(clip)
    assert live.clip.source.length == len(clip)
    assert live.key_time_source == "matched" and live.key_time_s == pytest.approx(0.4)


def test_a_trailer_behind_it_is_not_part_of_it(tmp_path):
    clip = makers.motion_clip()
    live = open_live_photo(append(still(tmp_path / "a.jpg"), clip, b"trailer" * 40))
    assert live.clip.source.length == len(clip)


def test_an_mpvd_box_without_xmp_is_found_and_noted(tmp_path):
    path = append(still(tmp_path / "a.heic"), makers.box(b"mpvd", makers.motion_clip()))
    assert open_live_photo(path).notes[0] == "no XMP announces the clip in the HEIC's 'mpvd' box"


def test_check_says_that_the_xmp_is_missing(tmp_path):
    checked = check_file(append(still(tmp_path / "a.jpg"), makers.motion_clip()))
    assert checked.form == "Motion Photo" and not checked.passed
    rules = {each.rule: each for each in checked.findings}
    assert rules["the file holds a picture and a clip"].passed


def test_converting_announces_it(tmp_path):
    path = append(still(tmp_path / "a.jpg"), makers.motion_clip())
    live = open_live_photo(convert_file(path, tmp_path / "b.MP.jpg", to="google").path)
    assert FOUND not in live.notes and live.still.motion_facts.motion_photo


NO_CLIPS = ("brand alone", "no index", "sound", "a picture", "a picture and a brand", "text")


@cache
def no_clips() -> dict[str, bytes]:
    """What may stand behind a picture and is no clip of it."""
    clip = makers.motion_clip()
    boxes = {kind: clip[start:end] for kind, start, end in makers.top_boxes(clip)}
    sound = io.BytesIO()
    import av

    with av.open(sound, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    picture = io.BytesIO()
    Image.fromarray(makers.scene()).save(picture, "JPEG")
    return {
        "brand alone": boxes[b"ftyp"],
        "no index": boxes[b"ftyp"] + boxes[b"mdat"],
        "sound": sound.getvalue(),
        "a picture": picture.getvalue(),
        "a picture and a brand": picture.getvalue() + b"\0\0\0\x18ftypmp42" + bytes(64),
        "text": b"\0\0\0\x18ftypmp42moovmdat" * 30,
    }


@pytest.mark.parametrize("what", NO_CLIPS)
@pytest.mark.parametrize("name", ["a.jpg", "a.heic"])
def test_what_is_no_clip_is_not_taken(tmp_path, what, name):
    path = append(still(tmp_path / name), no_clips()[what])
    with pytest.raises(PairingError, match="no video next to it"):
        open_live_photo(path)


def test_a_movie_within_the_picture_is_not_behind_it(tmp_path):
    path = still(tmp_path / "a.jpg")
    data, clip = path.read_bytes(), makers.motion_clip()
    comment = b"\xff\xfe" + (len(clip) + 2).to_bytes(2, "big") + clip
    at = behind_metadata(data)
    path.write_bytes(data[:at] + comment + data[at:])
    with pytest.raises(PairingError):
        open_live_photo(path)
    path.write_bytes(data[:-2] + clip)  # a picture without an end has nothing behind it
    with pytest.raises(PairingError):
        open_live_photo(path)


def test_a_second_picture_before_the_clip_does_not_hide_it(tmp_path):
    path = still(tmp_path / "a.jpg")
    data, second, clip = path.read_bytes(), no_clips()["a picture"], makers.motion_clip()
    at = behind_metadata(data)
    index = mpf_segment(len(data), at, len(second))
    path.write_bytes(data[:at] + index + data[at:] + second)
    with pytest.raises(PairingError):
        open_live_photo(path)
    live = open_live_photo(append(path, clip))
    assert live.clip.source.length == len(clip) and live.notes[0] == FOUND


def test_switched_off_stays_off(tmp_path):
    xmp = makers.google_xmp(length=5).replace(b'MotionPhoto="1"', b'MotionPhoto="0"')
    with pytest.raises(PairingError, match="no video next to it; .* switched off"):
        open_live_photo(append(still(tmp_path / "a.jpg", xmp=xmp), makers.motion_clip()))


def test_an_identifier_comes_before_it_and_a_name_after_it(tmp_path):
    photo, video = makers.apple_pair(tmp_path)
    append(photo, makers.motion_clip())
    assert open_live_photo(photo).clip.path == video
    photo, video = makers.apple_pair(tmp_path, stem="B", identifier=None)
    append(photo, makers.motion_clip())
    assert open_live_photo(photo).clip.path == photo
    photo, video = makers.apple_pair(tmp_path / "other", video_identifier=makers.OTHER_IDENTIFIER)
    append(photo, makers.motion_clip())
    assert open_live_photo(photo).clip.path == photo
