"""Boxes, tracks and byte ranges."""

import io
import struct
from pathlib import Path

import pytest
from support import makers

from livemoments.errors import DamagedFileError, MissingFileError
from livemoments.livephoto.container.boxes import find_box, iter_boxes, media_end, read_payload
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.tracks import read_movie


def walk(data: bytes) -> list[tuple[bytes, int, int]]:
    return [(box.type, box.payload, box.end) for box in iter_boxes(io.BytesIO(data), 0, len(data))]


def test_sizes_of_32_and_64_bits_and_to_the_end():
    long = struct.pack(">I4sQ", 1, b"long", 18) + b"ab"
    last = struct.pack(">I4s", 0, b"last") + b"xyz"
    data = makers.box(b"ftyp", b"1234") + long + last
    assert walk(data) == [(b"ftyp", 8, 12), (b"long", 28, 30), (b"last", 38, 41)]


def test_a_size_beyond_the_file_is_cut_and_marked():
    data = struct.pack(">I4s", 1 << 31, b"mdat") + b"abc"
    (box,) = iter_boxes(io.BytesIO(data), 0, len(data))
    assert (box.end, box.complete) == (len(data), False)
    with pytest.raises(DamagedFileError, match="'mdat' is cut short"):
        read_payload(io.BytesIO(data), box)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_a_size_smaller_than_the_header_ends_the_walk(size):
    data = makers.box(b"ftyp", b"") + struct.pack(">I4s", size, b"evil") + bytes(100)
    assert [kind for kind, _, _ in walk(data)] == [b"ftyp"]


def test_a_million_empty_boxes_end_the_walk():
    assert len(walk(makers.box(b"free", b"") * 100_000)) == 4096


def test_a_large_payload_is_not_read():
    data = struct.pack(">I4s", 1 << 30, b"keys") + bytes(64)
    box = next(iter_boxes(io.BytesIO(data), 0, 1 << 30))
    with pytest.raises(DamagedFileError, match="at most 33554432"):
        read_payload(io.BytesIO(data), box)


@pytest.mark.parametrize("full_box", [False, True])
def test_meta_of_quicktime_and_of_mp4(full_box):
    inner = makers.box(b"hdlr", bytes(8)) + makers.box(b"keys", b"K")
    data = makers.box(b"moov", makers.box(b"meta", (bytes(4) if full_box else b"") + inner))
    found = find_box(io.BytesIO(data), 0, len(data), "moov/meta/keys")
    assert found is not None
    assert data[found.payload : found.end] == b"K"


def test_media_ends_before_a_vendor_trailer():
    media = makers.box(b"ftyp", b"") + makers.box(b"moov", b"") + makers.box(b"mdat", b"12")
    data = media + makers.box(b"sefd", b"xx") + b"SEFT"
    assert media_end(io.BytesIO(data), 0, len(data)) == len(media)


def test_media_may_have_boxes_of_other_names_between():
    data = makers.box(b"fty\0", b"") + makers.box(b"mdat", b"12") + makers.box(b"moov", b"")
    assert media_end(io.BytesIO(data + b"LIVE_1"), 0, len(data) + 6) == len(data)


def test_slice_never_leaves_its_range(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789")
    with Source(path=path, start=3, length=4).open() as stream:
        assert stream.read() == b"3456"
        assert stream.read(5) == b""
        assert stream.seek(-2, 2) == 2
        assert stream.read(100) == b"56"
        assert stream.seek(-50, 1) == 0
        assert stream.read(1) == b"3"


def test_missing_empty_and_folder(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        Source.whole(tmp_path / "none.mov")
    (tmp_path / "empty.mov").touch()
    with pytest.raises(DamagedFileError, match="empty.mov: the file is empty"):
        Source.whole(tmp_path / "empty.mov")
    with pytest.raises(Exception, match="is a folder"):
        Source.whole(tmp_path)


def test_kind_is_told_by_content(tmp_path):
    def kind(data: bytes) -> str:
        path = tmp_path / "file.xyz"
        path.write_bytes(data)
        return Source.whole(path).kind

    assert kind(b"\xff\xd8\xff\xe0") == "still"
    assert kind(makers.box(b"ftyp", b"heic")) == "still"
    assert kind(makers.box(b"ftyp", b"qt  ")) == "video"
    assert kind(makers.box(b"wide", b"")) == "video"
    assert kind(b"\x1aE\xdf\xa3") == "video"
    assert kind(b"#EXTM3U\nhttp://example.org/a.ts") == "other"


def test_tracks_of_a_made_pair(tmp_path):
    _, video = makers.apple_pair(tmp_path, key_time_s=0.4, display=(0, 1, -1, 0), sound=True)
    movie = read_movie(Source.whole(video))
    assert [track.handler for track in movie.tracks] == ["vide", "soun", "meta"]
    assert movie.tracks[0].matrix == (0, 1, -1, 0)
    assert movie.tracks[2].start_s == pytest.approx(0.4, abs=1e-3)
    assert movie.metadata == {"com.apple.quicktime.content.identifier": makers.IDENTIFIER}


def test_a_file_without_index_says_so(tmp_path):
    path = Path(tmp_path / "cut.mov")
    path.write_bytes(makers.box(b"ftyp", b"qt  ") + makers.box(b"mdat", bytes(50)))
    with pytest.raises(DamagedFileError, match=r"cut.mov: .*'moov' box is missing"):
        read_movie(Source.whole(path))
