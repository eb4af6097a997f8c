"""Tables of a video's index that state more than they hold."""

import io
import struct
import time

import pytest
from support import makers

from livemoments.errors import DamagedFileError, InputError, UnsupportedFileError
from livemoments.livephoto import open_live_photo
from livemoments.livephoto.movie.index_counts import MAX_RUN, check_counts


def check(data: bytes) -> None:
    check_counts(io.BytesIO(data), 0, len(data))


def table(kind: bytes, count: int, entries: bytes, before: bytes = b"") -> bytes:
    return makers.box(
        b"moov", makers.box(kind, bytes(4) + before + struct.pack(">I", count) + entries)
    )


SIZES = {b"stts": 8, b"ctts": 8, b"stsc": 12, b"stco": 4, b"co64": 8, b"stss": 4, b"elst": 12}
SIZES |= {b"keys": 8, b"stsd": 8}


@pytest.mark.parametrize("kind", SIZES)
def test_counts(kind):
    check(table(kind, 3, bytes(3 * SIZES[kind])))
    check(table(kind, 2, bytes(3 * SIZES[kind])))  # room to spare is no danger
    for count in (4, 0x08000001, 0xFFFFFFFF):
        with pytest.raises(DamagedFileError, match=f"{kind.decode()}' states {count} entries"):
            check(table(kind, count, bytes(3 * SIZES[kind])))


def test_samples():
    check(table(b"stsz", 3, bytes(12), bytes(4)))
    check(table(b"stsz", 150_000, b"", struct.pack(">I", 4)))  # 3 s of PCM sound
    check(table(b"stz2", 3, bytes(2), bytes(4)))
    for data in (
        table(b"stsz", 4, bytes(12), bytes(4)),
        table(b"stsz", 0xFFFFFFF0, b"", struct.pack(">I", 4)),
        table(b"stz2", 0xFFFFFFF0, bytes(2), bytes(4)),
        makers.box(
            b"moof", makers.box(b"traf", makers.box(b"trun", struct.pack(">II", 0, MAX_RUN + 1)))
        ),
    ):
        with pytest.raises(DamagedFileError, match="more than there can be"):
            check(data)


def test_boxes_too_short_for_a_count():
    for kind in (*SIZES, b"stsz", b"stz2", b"trun"):
        for length in range(12):
            check(makers.box(b"moov", makers.box(kind, bytes(length))))


def test_depth_is_bounded():
    data = b""
    for _ in range(5000):
        data = makers.box(b"moov", data)
    check(data)


def test_a_compressed_index(tmp_path):
    still, video = makers.apple_pair(tmp_path)
    video.write_bytes(video.read_bytes() + makers.box(b"moov", makers.box(b"cmov", bytes(90))))
    with pytest.raises(UnsupportedFileError, match="IMG_0001.MOV: the video's index is compressed"):
        open_live_photo(still, video)


@pytest.mark.parametrize("kind", [b"keys", b"stsz", b"stts", b"stsc", b"stco", b"stss", b"elst"])
def test_found_a_count_that_costs_gigabytes(tmp_path, kind):
    """--seed 5 --case 18846: 'keys' of 62 bytes stated 0x08000001 entries; 1.1 GB were taken."""
    still, video = makers.apple_pair(tmp_path)
    data = bytearray(video.read_bytes())
    at = (data.find(kind) if kind == b"keys" else data.rfind(kind)) + (12 if kind == b"stsz" else 8)
    data[at : at + 4] = b"\x08\0\0\x01"
    video.write_bytes(data)
    begin = time.process_time()
    with pytest.raises(InputError, match=f"IMG_0001.MOV: .*'{kind.decode()}' states 1342177"):
        open_live_photo(still, video)
    assert time.process_time() - begin < 0.5
