"""XMP: the facts, both spellings, and hostile packets."""

import time

import pytest
from support import makers

from livemoments.livephoto.metadata.xmp import MAX_XMP, MotionFacts, parse_motion_facts


@pytest.mark.parametrize("children", [False, True])
@pytest.mark.parametrize("camera", ["Camera", "GCamera"])
def test_motion_photo_facts(children, camera):
    xmp = makers.google_xmp(length=1234, padding=8, children=children, camera=camera)
    facts = parse_motion_facts(xmp)
    assert facts.motion_photo and not facts.micro_video
    assert facts.timestamp_us == 400_000
    item = facts.video_item
    assert item is not None
    assert (item.mime, item.semantic, item.length, item.padding) == (
        "video/mp4",
        "MotionPhoto",
        1234,
        8,
    )
    assert [each.semantic for each in facts.items] == ["Primary", "MotionPhoto"]


def test_micro_video_facts():
    facts = parse_motion_facts(makers.micro_video_xmp(777, 123))
    assert facts.micro_video and not facts.motion_photo
    assert (facts.micro_video_offset, facts.timestamp_us) == (777, 123)


@pytest.mark.parametrize("stamp", [-1, None])
def test_unset_timestamp(stamp):
    facts = parse_motion_facts(makers.google_xmp(length=1, timestamp_us=stamp))
    assert facts.timestamp_us is None


def test_packet_wrapping_is_ignored():
    xmp = makers.google_xmp(length=5)
    begin = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'.encode()
    assert parse_motion_facts(begin + xmp + b'\n<?xpacket end="w"?>' + b"\0" * 9).motion_photo


BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">'.encode() for i in range(12))
    + b"]><x>&m;</x>"
)


@pytest.mark.parametrize(
    "xmp",
    [
        None,
        b"",
        b"no xml at all",
        b"<x:xmpmeta",
        b"\xff\xfe<\0x\0>\0",
        BOMB,
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        b"<a>" * 100_000,
        b"<a/>" + b" " * MAX_XMP,
    ],
)
def test_broken_and_hostile_packets_yield_nothing(xmp):
    begin = time.perf_counter()
    assert parse_motion_facts(xmp) == MotionFacts()
    assert time.perf_counter() - begin < 1


def test_numbers_that_are_none():
    xmp = makers.google_xmp(length=5).replace(b'"5"', b'"' + b"9" * 5000 + b'"')
    item = parse_motion_facts(xmp).video_item
    assert item is not None and item.length == 0


def test_a_document_type_is_never_read():
    """Even a harmless one: entities live there, and XMP has none."""
    xmp = makers.google_xmp(length=5)
    hostile = b'<!DOCTYPE x [<!ENTITY a "1">]>' + xmp.replace(b'Photo="1"', b'Photo="&a;"')
    assert parse_motion_facts(xmp).motion_photo
    assert parse_motion_facts(hostile) == MotionFacts()
