"""Read and set the key photo's time in a motion photo's own metadata track.

A Pixel's clip has a track of MIME type application/motionphoto-image-meta with one sample of
nested descriptors {u8 tag, size in groups of 7 bits, payload}: 0xC0 {0xC1 {u32 model, 0xC3
{float32 score, int64 time}, ...}, ...}. The format demands that this time, in microseconds,
equals XMP's time stamp.
"""

import io
import struct

from livemoments.errors import DamagedFileError
from livemoments.livephoto.container.boxes import Box, find_box, iter_boxes, read_payload
from livemoments.livephoto.container.source import ByteStream
from livemoments.livephoto.movie.tracks import first_sample

MIME = b"application/motionphoto-image-meta"
METADATA, SCORES, FRAME_SCORE = 0xC0, 0xC1, 0xC3
MAX_SAMPLE = 1 << 20


def stated_time_us(stream: ByteStream, length: int) -> int | None:
    """Read the key photo's time in the clip's metadata track; None where there is no such track."""
    at = _time_at(stream, length)
    if at is None:
        return None
    stream.seek(at)
    return int(struct.unpack(">q", stream.read(8))[0])


def with_stated_time(clip: bytes, time_us: int) -> bytes:
    """Set the time in the clip's metadata track, where it has one; all else is as it was."""
    at = _time_at(io.BytesIO(clip), len(clip))
    if at is None:
        return clip
    return clip[:at] + struct.pack(">q", time_us) + clip[at + 8 :]


def _time_at(stream: ByteStream, length: int) -> int | None:
    """Find the byte at which the time stands in the clip."""
    moov = find_box(stream, 0, length, "moov")
    if moov is None:
        return None
    for trak in iter_boxes(stream, moov.payload, moov.end):
        if trak.type != b"trak":
            continue
        try:
            sample = _image_metadata(stream, trak)
        except (DamagedFileError, struct.error):
            continue
        if sample is not None and sample[0] + sample[1] <= length:
            stream.seek(sample[0])
            at = _time_in(stream.read(sample[1]))
            return None if at is None else sample[0] + at
    return None


def _image_metadata(stream: ByteStream, trak: Box) -> tuple[int, int] | None:
    """Return offset and size of a track's sample, if the track is the one wanted."""
    box = find_box(stream, trak.payload, trak.end, "mdia/minf/stbl/stsd")
    description = b"" if box is None else read_payload(stream, box)
    if description[12:16] != b"mett" or MIME not in description:
        return None
    sample = first_sample(stream, trak)
    return sample if sample is not None and sample[1] <= MAX_SAMPLE else None


def _time_in(sample: bytes) -> int | None:
    """Find where the primary picture's time stands in the sample."""
    at = 0
    for tag, skipped in ((METADATA, 0), (SCORES, 4), (FRAME_SCORE, 4)):
        if sample[at : at + 1] != bytes([tag]):
            return None
        at += 1
        while at < len(sample) and sample[at] & 0x80:
            at += 1
        at += 1 + skipped  # the last byte of the size; then the model's version, the score
    return at if at + 8 <= len(sample) else None
