"""Ultra HDR JPEGs: what is written is found by our reader, by Pillow and by exiftool."""

import io
import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from support import gain_maps

from livemoments.livephoto.container.jpeg_parts import picture_end, segments
from livemoments.livephoto.container.mpf import further_pictures
from livemoments.livephoto.hdr.ultra_hdr import gain_map_jpeg, with_gain_map_index
from livemoments.livephoto.hdr.xmp import ultra_hdr_packet, with_hdr_version
from livemoments.livephoto.metadata.xmp import ContainerItem, parse_motion_facts
from livemoments.livephoto.still.gain_map import read_gain_map
from livemoments.livephoto.still.still import read_still
from livemoments.livephoto.writing.motion_photo_xmp import motion_photo_packet
from livemoments.livephoto.writing.picture import write_picture

needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is absent")


def exiftool(path, *options):
    run = subprocess.run(
        ["exiftool", "-j", "-n", "-G1", *options, str(path)], capture_output=True, check=True
    )
    return json.loads(run.stdout)[0]


@pytest.mark.parametrize("make", [gain_maps.apple_map, gain_maps.colour_map])
def test_written_and_read(tmp_path, make):
    gain_map = make()
    path = gain_maps.written(tmp_path / "x.jpg", gain_map)
    found = read_gain_map(read_still(path)).gain_map
    for name in ("min_stops", "max_stops", "gamma", "offset_sdr", "offset_hdr"):
        assert getattr(found, name) == pytest.approx(getattr(gain_map, name), abs=1e-5)
    assert found.capacity_max == pytest.approx(gain_map.capacity_max, abs=1e-5)
    assert np.abs(found.values - gain_map.values).mean() < 0.01


def test_the_sdr_picture_is_the_same_scan(tmp_path):
    plain = gain_maps.written(tmp_path / "plain.jpg", None).read_bytes()
    hdr = gain_maps.written(tmp_path / "hdr.jpg", gain_maps.apple_map()).read_bytes()
    assert gain_maps.scan(hdr) == gain_maps.scan(plain)
    first = hdr[: picture_end(io.BytesIO(hdr), len(hdr))]
    assert gain_maps.scan(first) == gain_maps.scan(plain)


def test_pillow_shows_the_picture_and_knows_the_map(tmp_path):
    path = gain_maps.written(tmp_path / "x.jpg", gain_maps.apple_map())
    plain = gain_maps.written(tmp_path / "plain.jpg", None)
    with Image.open(path) as image, Image.open(plain) as reference:
        # Pillow reads no map yet, and takes an Ultra HDR file for the JPEG that it also is.
        assert (image.format, image.size) == ("JPEG", (96, 64))
        assert (np.asarray(image) == np.asarray(reference)).all()
        assert image._getmp()[0xB001] == 2


def test_mpf_leads_to_the_map(tmp_path):
    data = gain_maps.written(tmp_path / "x.jpg", gain_maps.apple_map()).read_bytes()
    end = picture_end(io.BytesIO(data), len(data))
    assert further_pictures(list(segments(io.BytesIO(data)))) == [(end, len(data) - end)]
    facts = parse_motion_facts(Image.open(io.BytesIO(data)).info["xmp"])
    assert [(item.semantic, item.length) for item in facts.items] == [
        ("Primary", 0),
        ("GainMap", len(data) - end),
    ]


@needs_exiftool
def test_exiftool_agrees(tmp_path):
    path = gain_maps.written(tmp_path / "x.jpg", gain_maps.apple_map(4.0))
    facts = exiftool(path, "-a", "-MPF:all", "-XMP:all")
    data = path.read_bytes()
    end = picture_end(io.BytesIO(data), len(data))
    assert facts["MPF0:NumberOfImages"] == 2
    assert facts["MPImage2:MPImageStart"] == end
    assert facts["MPImage2:MPImageLength"] == len(data) - end
    assert facts["XMP-hdrgm:Version"] == 1
    assert facts["XMP-Container:DirectoryItemLength"] == len(data) - end
    second = tmp_path / "second.jpg"
    second.write_bytes(data[end:])
    words = exiftool(second, "-XMP-hdrgm:all")
    assert words["XMP-hdrgm:GainMapMax"] == words["XMP-hdrgm:HDRCapacityMax"] == 2
    assert words["XMP-hdrgm:Gamma"] == 1 and words["XMP-hdrgm:OffsetSDR"] == 0


def test_metadata_stays(tmp_path):
    """EXIF, profile and the still's own XMP are what they are without a map."""
    source = tmp_path / "still.jpg"
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf'
        b'-syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        b'dc:format="kept"/></rdf:RDF></x:xmpmeta>'
    )
    Image.new("RGB", (96, 64)).save(source, xmp=xmp, exif=gain_maps_exif())
    still = read_still(source)
    plain = gain_maps.written(tmp_path / "plain.jpg", None, still=still)
    hdr = gain_maps.written(tmp_path / "hdr.jpg", gain_maps.apple_map(), still=still)
    with Image.open(plain) as first, Image.open(hdr) as second:
        assert first.info["exif"] == second.info["exif"]
        assert b'dc:format="kept"' in second.info["xmp"]
        assert b"hdrgm:Version" not in first.info["xmp"]
    assert read_gain_map(read_still(hdr)).gain_map is not None


def gain_maps_exif():
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    return exif.tobytes()


def test_xmp_too_long_for_both_makes_way(tmp_path):
    source = tmp_path / "still.jpg"
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf'
        b'-syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        b'dc:format="' + b"x" * 64_900 + b'"/></rdf:RDF></x:xmpmeta>'
    )
    Image.new("RGB", (96, 64)).save(source, xmp=packet)
    written = write_picture(
        gain_maps.picture(),
        tmp_path / "x.jpg",
        still=read_still(source),
        software="x",
        gain_map=gain_maps.apple_map(),
    )
    assert written.notes == (
        "the key photo's XMP was left out: with the gain map's it does not fit",
    )
    assert read_gain_map(read_still(written.path)).gain_map is not None


def test_a_png_goes_without_and_says_so(tmp_path):
    written = write_picture(
        gain_maps.picture(), tmp_path / "x.png", software="x", gain_map=gain_maps.apple_map()
    )
    assert written.notes == ("the HDR gain map was left out: write a .jpg to keep it",)


def test_with_a_clip_behind_it(tmp_path):
    """[picture][gain map][clip]: the parts that a motion photo is put together from."""
    behind = gain_map_jpeg(gain_maps.apple_map())
    items = [
        ContainerItem(mime="image/jpeg", semantic="Primary", length=0, padding=0),
        ContainerItem(mime="image/jpeg", semantic="GainMap", length=len(behind), padding=0),
        ContainerItem(mime="video/mp4", semantic="MotionPhoto", length=5000, padding=0),
    ]
    packet = with_hdr_version(motion_photo_packet(None, items, 400_000))
    stream = io.BytesIO()
    Image.fromarray((gain_maps.picture() * 255).astype(np.uint8)).save(stream, "JPEG", xmp=packet)
    first = with_gain_map_index(stream.getvalue(), len(behind))
    path = tmp_path / "x.MP.jpg"
    path.write_bytes(first + behind + bytes(5000))
    still = read_still(path)
    assert b'hdrgm:Version="1.0"' in still.xmp
    assert [item.semantic for item in parse_motion_facts(still.xmp).items] == [
        "Primary",
        "GainMap",
        "MotionPhoto",
    ]
    assert parse_motion_facts(still.xmp).timestamp_us == 400_000
    found = read_gain_map(still).gain_map
    assert np.abs(found.stops() - gain_maps.apple_map().stops()).mean() < 0.02


@pytest.mark.parametrize("xmp", [None, b"broken <", b"<a/>"])
def test_a_packet_is_made_from_anything(xmp):
    facts = parse_motion_facts(ultra_hdr_packet(xmp, 1234))
    assert [item.length for item in facts.items] == [0, 1234]
