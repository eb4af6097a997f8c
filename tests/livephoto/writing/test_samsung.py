"""Samsung's trailer: what of it is carried, how it is laid out, and what a check finds broken."""

import struct

import pytest
from support import makers

from livemoments.livephoto.checking.findings import Finding
from livemoments.livephoto.checking.samsung import (
    BOXED,
    CLIP,
    HEADERS,
    PACKED,
    WHOLE,
    check_trailer,
)
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.reading.samsung import read_trailer
from livemoments.livephoto.writing.samsung import (
    CLIP_BLOCK,
    VERSION_BLOCK,
    SefTrailer,
    around_heic_clip,
    around_jpeg_clip,
    carried_trailer,
)

UTC = (0x0A01, b"Image_UTC_Data", b"1700000000000")
MCC = (0x0AA1, b"MCC_Data", b"404")
VERSION = (0x0A31, b"MotionPhoto_Version", b"mpv2")
DATA = (0x0A30, b"MotionPhoto_Data", b"the clip of the source")
STALE = (
    (0x0C81, b"Watermark_Info", b"x"),
    (0x0BA1, b"PhotoEditor_Re_Edit_Data", b"{}"),
    (0x0A33, b"MotionPhoto_AutoPlay", b"a short clip"),
    (0x0100, b"Sound", bytes(5000)),
)
CLIP_BYTES = b"a clip of some length"


def trailer_of(path, blocks, *, before=b"picture"):
    path.write_bytes(before + makers.sef_trailer(list(blocks)))
    return Source.whole(path)


def written(path, head: bytes, before: bytes, after: bytes) -> tuple[Source, Source]:
    path.write_bytes(head + before + CLIP_BYTES + after)
    start = len(head) + len(before)
    return Source.whole(path), Source(path=path, start=start, length=len(CLIP_BYTES))


def verdicts(findings: list[Finding]) -> dict[str, bool | None]:
    return {finding.rule: finding.passed for finding in findings}


def test_blocks_are_carried_in_their_order(tmp_path):
    photo = trailer_of(tmp_path / "a.jpg", [UTC, DATA, MCC, VERSION])
    trailer = carried_trailer(photo, heic=False, time_shift_s=-1.2345)
    assert [block.name for block in trailer.blocks] == [
        "Image_UTC_Data",
        "MotionPhoto_Data",
        "MCC_Data",
        "MotionPhoto_Version",
    ]
    assert trailer.blocks[0].data == b"1699999998766"  # moved with the moment, whole milliseconds
    assert trailer.blocks[1] == CLIP_BLOCK
    assert (trailer.blocks[2].data, trailer.blocks[3].data) == (b"404", b"mpv2")
    assert (trailer.version, trailer.in_video_box, trailer.notes) == (106, False, ())


def test_what_is_not_true_of_the_new_picture_is_left_out_and_noted(tmp_path):
    photo = trailer_of(tmp_path / "a.jpg", [*STALE, UTC, DATA, DATA])
    trailer = carried_trailer(photo, heic=False, time_shift_s=0)
    assert [block.type for block in trailer.blocks] == [0x0A01, 0x0A30]
    assert trailer.notes == (
        "left out of Samsung's trailer, as not true of this picture: Watermark_Info,"
        " PhotoEditor_Re_Edit_Data, MotionPhoto_AutoPlay, Sound",
    )


def test_a_source_without_a_trailer_gets_the_common_blocks(tmp_path):
    plain = makers.save_still(tmp_path / "a.jpg", makers.scene())
    trailer = carried_trailer(Source.whole(plain), heic=False, time_shift_s=0)
    assert trailer == SefTrailer() == carried_trailer(None, heic=True, time_shift_s=0)
    assert trailer.blocks == (CLIP_BLOCK, VERSION_BLOCK)


def test_the_source_decides_where_the_trailer_lies(tmp_path):
    path = makers.samsung_heic(tmp_path / "inside.heic")
    trailer = carried_trailer(Source.whole(path), heic=True, time_shift_s=0)
    assert trailer.in_video_box
    assert [block.type for block in trailer.blocks] == [0x0A31, 0x0A30]
    heic = makers.google_heic(tmp_path / "behind.heic").read_bytes()
    blocks = makers.sef_trailer([UTC, (*DATA[:2], b"mpv2" + bytes(8))])
    (tmp_path / "behind.heic").write_bytes(heic + makers.box(b"sefd", blocks))
    behind = Source.whole(tmp_path / "behind.heic")
    trailer = carried_trailer(behind, heic=True, time_shift_s=0)
    assert not trailer.in_video_box and VERSION_BLOCK not in trailer.blocks
    # As a JPEG it says its version, which a HEIC's clip block does itself.
    assert VERSION_BLOCK in carried_trailer(behind, heic=False, time_shift_s=0).blocks


def test_around_the_clip_of_a_jpeg(tmp_path):
    photo = trailer_of(tmp_path / "a.jpg", [UTC, DATA, MCC])
    trailer = carried_trailer(photo, heic=False, time_shift_s=0)
    around = around_jpeg_clip(trailer, len(CLIP_BYTES))
    new, clip = written(tmp_path / "b.jpg", b"new picture", around.before, around.after)
    blocks = read_trailer(new)
    assert [(block.type, block.length) for block in blocks] == [
        (0x0A01, 13),
        (0x0A30, len(CLIP_BYTES)),
        (0x0AA1, 3),
    ]
    assert blocks[1].start == clip.start
    expected = {WHOLE: True, PACKED: True, HEADERS: True, CLIP: True, BOXED: None}
    assert verdicts(check_trailer(new, clip)) == expected
    only = around_jpeg_clip(SefTrailer(), 5)
    assert len(only.before) == 24  # what Samsung's own XMP states as padding


@pytest.mark.parametrize("inside", [False, True])
def test_around_the_clip_of_a_heic(tmp_path, inside):
    head = makers.save_still(tmp_path / "a.heic", makers.scene()).read_bytes()
    trailer = SefTrailer(in_video_box=inside)
    around = around_heic_clip(trailer, len(CLIP_BYTES), len(head))
    new, clip = written(tmp_path / "b.heic", head, around.before, around.after)
    tops = [kind for kind, _, _ in makers.top_boxes(tmp_path.joinpath("b.heic").read_bytes())]
    assert tops[-2:] == ([b"mdat", b"mpvd"] if inside else [b"mpvd", b"sefd"])
    block = read_trailer(new)[0]
    data = tmp_path.joinpath("b.heic").read_bytes()[block.start : block.start + block.length]
    assert data == b"mpv2" + struct.pack(">II", clip.start, clip.length)
    assert set(verdicts(check_trailer(new, clip)).values()) == {True}


@pytest.fixture
def good(tmp_path) -> tuple[Source, Source, bytearray]:
    around = around_jpeg_clip(SefTrailer(), len(CLIP_BYTES))
    new, clip = written(tmp_path / "b.jpg", b"new picture", around.before, around.after)
    return new, clip, bytearray(new.path.read_bytes())


@pytest.mark.parametrize(
    ("at", "rule"),
    [
        (-4, WHOLE),  # SEFT: then there is no trailer at all
        (-44, WHOLE),  # SEFH
        (-36, WHOLE),  # the count
        (-16, PACKED),  # an offset
        (-12, PACKED),  # a size
        (-18, HEADERS),  # a type
        (len("new picture") + 4, HEADERS),  # a name's length
    ],
)
def test_what_is_broken_is_told(good, at, rule):
    new, clip, data = good
    data[at] ^= 0x7F
    new.path.write_bytes(data)
    assert verdicts(check_trailer(new, clip))[rule] in ((None,) if at == -4 else (False,))


def test_a_clip_elsewhere_is_told(good):
    new, clip, _ = good
    other = Source(path=clip.path, start=clip.start - 1, length=clip.length)
    assert verdicts(check_trailer(new, other))[CLIP] is False
    assert verdicts(check_trailer(new, None))[CLIP] is False


@pytest.mark.parametrize("length", range(0, 60, 3))
def test_cut_files_are_no_reason_to_raise(good, length):
    new, clip, data = good
    new.path.write_bytes(data[-length - 1 :])
    assert check_trailer(Source.whole(new.path), clip)
