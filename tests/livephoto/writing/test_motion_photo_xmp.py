"""Packets of XMP with Google's properties: what is put in, what is kept, what goes."""

import xml.etree.ElementTree as ElementTree

import pytest
from support import makers

from livemoments.livephoto.metadata.xmp import ContainerItem, parse_motion_facts
from livemoments.livephoto.writing.motion_photo_xmp import micro_video_packet, motion_photo_packet

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
ITEMS = (
    ContainerItem(mime="image/jpeg", semantic="Primary", length=0, padding=0),
    ContainerItem(mime="image/jpeg", semantic="GainMap", length=55, padding=0),
    ContainerItem(mime="video/mp4", semantic="MotionPhoto", length=1234, padding=0),
)


def rdf(*descriptions: str, prefix: str = "rdf") -> bytes:
    inside = "".join(descriptions).replace("rdf:", f"{prefix}:")
    return f'<{prefix}:RDF xmlns:{prefix}="{RDF}">{inside}</{prefix}:RDF>'.encode()


def text(xmp: bytes) -> str:
    return xmp.decode().split("?>", 1)[1].rsplit("<?", 1)[0]


@pytest.mark.parametrize("children", [None, False, True])
def test_motion_photo(children):
    old = makers.google_xmp(length=9, children=children) if children is not None else None
    packet = motion_photo_packet(old, ITEMS, 280_367)
    facts = parse_motion_facts(packet)
    assert facts.motion_photo and not facts.micro_video
    assert facts.timestamp_us == 280_367
    assert facts.items == ITEMS
    assert packet.startswith('<?xpacket begin="\ufeff"'.encode())
    assert packet.endswith(b'<?xpacket end="w"?>')
    assert packet.count(b"MotionPhotoPresentationTimestampUs") == 1


def test_as_googles_camera_writes_it():
    """Android's reader goes by these very names, in attributes, below x:xmpmeta."""
    packet = text(motion_photo_packet(None, ITEMS[:1], 5))
    assert packet.startswith("<x:xmpmeta ")
    assert 'GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"' in packet
    item = '<Container:Item Item:Mime="image/jpeg" Item:Semantic="Primary" Item:Length="0"'
    assert f'<rdf:li rdf:parseType="Resource">{item} Item:Padding="0"/></rdf:li>' in packet
    padded = motion_photo_packet(None, [ITEMS[2]], 5)
    assert b"Padding" not in padded  # the format allows it at the primary item alone


def test_micro_video_replaces_a_directory():
    packet = micro_video_packet(makers.google_xmp(length=9), 777, 5)
    facts = parse_motion_facts(packet)
    assert facts.micro_video and not facts.motion_photo
    assert (facts.micro_video_offset, facts.timestamp_us, facts.items) == (777, 5, ())
    assert b"Container" not in packet and b"MotionPhoto" not in packet
    back = motion_photo_packet(packet, ITEMS, 6)
    assert b"MicroVideo" not in back and parse_motion_facts(back).items == ITEMS


@pytest.mark.parametrize("prefix", ["rdf", "r"])
def test_what_else_the_packet_says_is_kept(prefix):
    old = rdf(
        '<rdf:Description rdf:about="" xmlns:a="urn:a" a:x="1"><a:z>&lt;é&gt;</a:z>'
        "</rdf:Description>",
        prefix=prefix,
    )
    root = ElementTree.fromstring(text(motion_photo_packet(old, ITEMS, 5)))
    found = [element for element in root.iter() if element.tag == f"{{{RDF}}}Description"]
    assert len(found) == 1 and found[0].attrib["{urn:a}x"] == "1"
    assert found[0].find("{urn:a}z").text == "<é>"
    assert root.tag == "{adobe:ns:meta/}xmpmeta"


def test_descriptions_become_one():
    """Android's reader gives up at the first without its properties."""
    old = rdf(
        '<rdf:Description rdf:about="" xmlns:a="urn:a" a:x="1"/>',
        '<rdf:Description rdf:about="" xmlns:b="urn:b" b:y="2"><b:z>3</b:z></rdf:Description>',
    )
    packet = text(motion_photo_packet(old, ITEMS, 5))
    assert packet.count("<rdf:Description") == 1
    root = ElementTree.fromstring(packet)
    description = root.find(f".//{{{RDF}}}Description")
    assert (description.get("{urn:a}x"), description.get("{urn:b}y")) == ("1", "2")
    assert description.find("{urn:b}z").text == "3"


def test_descriptions_that_would_collide_stay_apart():
    old = rdf(
        '<rdf:Description rdf:about="" xmlns:a="urn:a" a:x="1"/>',
        '<rdf:Description rdf:about="" xmlns:a="urn:b" a:x="2"/>',
    )
    packet = motion_photo_packet(old, ITEMS, 5)
    root = ElementTree.fromstring(text(packet))
    first, second = root.iter(f"{{{RDF}}}Description")
    assert (first.get("{urn:a}x"), second.get("{urn:b}x")) == ("1", "2")
    assert parse_motion_facts(packet).items == ITEMS


DEEP = rdf('<rdf:Description rdf:about="">' + "<a>" * 5000 + "</a>" * 5000 + "</rdf:Description>")


@pytest.mark.parametrize("old", [b"", b"no xml", b"<a><b/></a>", rdf(), b"<!DOCTYPE x><x/>", DEEP])
def test_nothing_to_add_to(old):
    assert parse_motion_facts(motion_photo_packet(old, ITEMS, 5)).items == ITEMS
