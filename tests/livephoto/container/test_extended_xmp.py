"""XMP's extension: joined by its name, never trusted, and without old words when written again."""

import hashlib
import io
import re
import struct

import pytest
from support import makers

from livemoments.errors import PairingError
from livemoments.livephoto import open_live_photo
from livemoments.livephoto.checking.check import check_file
from livemoments.livephoto.container.extended_xmp import (
    EXTENSION_NAME,
    extension_of,
    extension_segments,
    without_extension,
)
from livemoments.livephoto.container.jpeg_parts import behind_metadata, segments
from livemoments.livephoto.metadata.xmp import MAX_XMP, parse_motion_facts
from livemoments.livephoto.still.still import read_still
from livemoments.livephoto.writing import convert
from livemoments.livephoto.writing.convert import convert_file

NOTE = "http://ns.adobe.com/xmp/note/"
DEPTH = 'xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/" GDepth:Data="{}"'


def packet(words: str) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {words}/></rdf:RDF></x:xmpmeta>'
    ).encode()


def guid(extension: bytes) -> bytes:
    return hashlib.md5(extension).hexdigest().upper().encode()


def main_packet(name: bytes) -> bytes:
    return packet(f'xmlns:xmpNote="{NOTE}" xmpNote:HasExtendedXMP="{name.decode()}"')


def chunk(name: bytes, whole: int, at: int, data: bytes) -> bytes:
    payload = EXTENSION_NAME + name + struct.pack(">II", whole, at) + data
    return b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload


def chunks(extension: bytes, room: int = 300) -> list[bytes]:
    name, whole = guid(extension), len(extension)
    return [chunk(name, whole, at, extension[at : at + room]) for at in range(0, whole, room)]


def photo(path, extension: bytes, stored=None, *, name: bytes | None = None, clip: bytes = b""):
    """A JPEG with this extension, and a clip behind it."""
    picture = makers.enlarged(makers.moving(makers.scene())[6])
    xmp = main_packet(name or guid(extension))
    makers.save_still(path, picture, exif=makers.make_exif(None), xmp=xmp)
    data = path.read_bytes()
    at = behind_metadata(data)
    stored = chunks(extension) if stored is None else stored
    path.write_bytes(data[:at] + b"".join(stored) + data[at:] + clip)
    return path


def motion_words(clip: bytes) -> bytes:
    return makers.google_xmp(length=len(clip), camera="GCamera")


@pytest.mark.parametrize("room", [60, 300, 60_000])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_clip_is_found_by_the_extension(tmp_path, room, backwards):
    clip = makers.motion_clip()
    words = motion_words(clip)
    stored = chunks(words, room)[:: -1 if backwards else 1]
    live = open_live_photo(photo(tmp_path / "a.jpg", words, stored, clip=clip))
    assert live.key_time_source == "XMP presentation timestamp" and live.key_time_s == 0.4
    assert live.notes == ("the clip has no sound",)
    found = {each.rule: each for each in check_file(tmp_path / "a.jpg").findings}
    assert "in the extended XMP alone" in found["XMP marks a motion photo"].found


def test_the_name_may_be_an_element_or_in_small_letters():
    words = b"<x/>"
    parts = list(segments(io.BytesIO(b"\xff\xd8" + b"".join(chunks(words)))))
    name = guid(words).decode()
    for xmp in (f'a:HasExtendedXMP = "{name.lower()}"', f"<a:HasExtendedXMP>{name}<"):
        assert extension_of(parts, xmp.encode()) == words


WORDS = b"<a>" + b"b" * 500 + b"</a>"
BROKEN = {
    "another name": (chunks(WORDS), b"0" * 32),
    "a hole": (chunks(WORDS)[1:], None),
    "cut short": (chunks(WORDS)[:-1], None),
    "overlapping": ([*chunks(WORDS)[:1], chunk(guid(WORDS), len(WORDS), 299, WORDS[299:])], None),
    "two lengths": ([chunks(WORDS)[0], chunk(guid(WORDS), 9, 300, WORDS[300:])], None),
    "too long": ([chunk(guid(WORDS), len(WORDS) + 9, 0, WORDS)], None),
    "gigabytes": ([chunk(guid(WORDS), 2**32 - 1, 0, WORDS)], None),
    "no head": (
        [b"\xff\xe1" + struct.pack(">H", len(EXTENSION_NAME) + 7) + EXTENSION_NAME + b"abcde"],
        None,
    ),
    "none": ([], None),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_not_all_there_is_not_read(tmp_path, what):
    stored, name = BROKEN[what]
    path = photo(tmp_path / "a.jpg", WORDS, stored, name=name)
    assert read_still(path).xmp_extension is None
    with pytest.raises(PairingError):
        open_live_photo(path)


def test_the_main_packets_words_come_first():
    main = makers.google_xmp(length=7, timestamp_us=1)
    facts = parse_motion_facts(main, makers.google_xmp(length=9, timestamp_us=2))
    assert (facts.timestamp_us, facts.video_item.length) == (1, 7)
    facts = parse_motion_facts(packet(""), makers.google_xmp(length=9, timestamp_us=2))
    assert (facts.timestamp_us, facts.video_item.length) == (2, 9)


def test_a_picture_in_the_extension_does_not_hide_its_words():
    words = makers.google_xmp(length=9).replace(
        b"<rdf:Description", b"<rdf:Description " + b"%b", 1
    )
    depth = words % DEPTH.format("QUJD" * (MAX_XMP // 2)).encode()
    assert len(depth) > MAX_XMP and parse_motion_facts(None, depth).motion_photo
    hostile = b'<!DOCTYPE x [<!ENTITY a "1">]>' + words % b""
    assert not parse_motion_facts(None, hostile).motion_photo


def stored_words(path) -> bytes:
    """All XMP of a written still, the extension too."""
    with path.open("rb") as stream:
        parts = [each.payload for each in segments(stream) if b"adobe.com/x" in each.payload[:40]]
    return b"".join(parts)


@pytest.mark.parametrize("to", ["apple", "google", "samsung", "microvideo"])
def test_old_words_about_a_clip_do_not_survive(tmp_path, to):
    clip = makers.motion_clip()
    path = photo(tmp_path / "a.jpg", motion_words(clip), clip=clip)
    written = convert_file(path, tmp_path / "b.jpg", to=to)
    words = stored_words(written.path)
    assert b"xmp/extension" not in words and b"HasExtendedXMP" not in words
    assert words.count(b'Item:Semantic="MotionPhoto"') == (to in ("google", "samsung"))
    assert len(re.findall(rb"PresentationTimestampUs", words)) == (to != "apple")
    assert open_live_photo(written.path).key_time_s == pytest.approx(0.4, abs=2e-3)


@pytest.mark.parametrize("to", ["apple", "google"])
def test_other_words_of_that_extension_stay(tmp_path, to):
    clip = makers.motion_clip()
    title = b' xmlns:a="http://example.org/" a:Title="a long story"'
    words = motion_words(clip).replace(b' rdf:about=""', b' rdf:about=""' + title)
    path = photo(tmp_path / "a.jpg", words, clip=clip)
    still = read_still(convert_file(path, tmp_path / "b.jpg", to=to).path)
    assert still.xmp_extension and b"a long story" in still.xmp_extension
    assert guid(still.xmp_extension) in still.xmp
    assert not parse_motion_facts(still.xmp_extension).promises_clip
    assert b"MotionPhoto" not in still.xmp_extension and b"Container" not in still.xmp_extension


@pytest.mark.parametrize("to", ["apple", "google"])
def test_an_extension_about_other_things_stays_byte_for_byte(tmp_path, to):
    depth = packet(DEPTH.format("QUJD" * 40_000))
    path = photo(tmp_path / "a.jpg", depth, chunks(depth, 60_000), clip=makers.motion_clip())
    still = read_still(convert_file(path, tmp_path / "b.jpg", to=to).path)
    assert still.xmp_extension == depth
    assert b"".join(chunks(depth, 60_000)) in (tmp_path / "b.jpg").read_bytes()


@pytest.mark.parametrize("whole", [True, False])
def test_old_words_that_cannot_be_edited_go_with_a_note(tmp_path, monkeypatch, whole):
    clip = makers.motion_clip()
    words = motion_words(clip)
    path = photo(tmp_path / "a.jpg", words, None if whole else chunks(words)[:-1], clip=clip)
    monkeypatch.setattr(convert, "parse_packet", lambda packet: None)  # as if too large
    written = convert_file(path, tmp_path / "b.jpg", to="apple")
    assert any("extended XMP was left out" in note for note in written.notes)
    assert b"HasExtendedXMP" not in stored_words(written.path)
    assert b"MotionPhoto" not in stored_words(written.path)


def test_splitting_and_joining_are_each_others_inverse():
    extension = bytes(range(32, 127)) * 2000
    xmp, stored = extension_segments(extension, main_packet(b"0" * 32))
    assert len(stored) == 3 and all(len(each) <= 65_537 for each in stored)
    parts = list(segments(io.BytesIO(b"\xff\xd8" + b"".join(stored))))
    assert extension_of(parts, xmp) == extension
    assert b"Extended" not in without_extension(xmp)
