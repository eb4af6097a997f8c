"""What tests of written motion photos share: a clip's packets, exiftool, a Pixel's own track."""

import hashlib
import io
import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from livemoments.livephoto.checking.findings import broken
from livemoments.livephoto.checking.motion_photo import check_motion_photo
from livemoments.livephoto.container.source import Source
from support import makers

needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")


def clip_bytes(source: Source) -> bytes:
    with source.open() as stream:
        return stream.read()


def packets(clip: bytes) -> list[list[tuple]]:
    """Times and hashes of every packet of picture and sound, track by track."""
    import av

    found: dict[int, list[tuple]] = {}
    with av.open(io.BytesIO(clip)) as container:
        streams = [s for s in container.streams if s.type in ("video", "audio")]
        for packet in container.demux(streams):
            if packet.size:
                digest = hashlib.sha256(bytes(packet)).hexdigest()
                found.setdefault(packet.stream_index, []).append((packet.pts, packet.dts, digest))
    return [found[index] for index in sorted(found)]


def broken_rules(path: Path) -> list[str]:
    return [f"{finding.rule}: {finding.found}" for finding in broken(check_motion_photo(path))]


def exiftool_facts(path: Path, *options: str) -> dict:
    command = ["exiftool", "-j", "-n", "-G1", "-a", *options, str(path)]
    done = subprocess.run(command, capture_output=True, check=True)
    return json.loads(done.stdout)[0]


def exiftool_binary(path: Path, tag: str) -> bytes:
    command = ["exiftool", "-b", f"-{tag}", str(path)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def with_image_metadata(clip: bytes, time_us: int, *, long_sizes: bool = True) -> bytes:
    """Add the metadata track of a Pixel's clip, which states the key photo's time."""

    def descriptor(tag: int, payload: bytes) -> bytes:
        size = b"\x80\x80\x80" if long_sizes else b""
        return bytes([tag]) + size + bytes([len(payload)]) + payload

    score = descriptor(0xC3, struct.pack(">fq", 0.5, time_us))
    sample = descriptor(0xC0, descriptor(0xC1, struct.pack(">I", 3) + score))
    start, end = next(
        (start, end) for kind, start, end in makers.top_boxes(clip) if kind == b"moov"
    )
    mime = b"application/motionphoto-image-meta\0"
    zero = bytes(4)
    table = (
        makers.box(b"stsd", zero + struct.pack(">I", 1) + makers.box(b"mett", mime + mime))
        + makers.box(b"stts", zero + struct.pack(">III", 1, 1, 1))
        + makers.box(b"stsc", zero + struct.pack(">IIII", 1, 1, 1, 1))
        + makers.box(b"stsz", zero + struct.pack(">III", 0, 1, len(sample)))
        + makers.box(b"stco", zero + struct.pack(">II", 1, start + 8))
    )
    head = struct.pack(">IIIII", 15, 0, 0, 98, 0) + bytes(20)
    head += struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30) + bytes(8)
    media = (
        makers.box(b"mdhd", bytes(12) + struct.pack(">IIHH", 600, 1, 0x55C4, 0))
        + makers.box(b"hdlr", bytes(8) + b"meta" + bytes(13))
        + makers.box(b"minf", makers.box(b"nmhd", zero) + makers.box(b"stbl", table))
    )
    track = makers.box(b"trak", makers.box(b"tkhd", head) + makers.box(b"mdia", media))
    moov = makers.box(b"moov", clip[start + 8 : end] + track)
    return clip[:start] + makers.box(b"mdat", sample) + moov + clip[end:]
