"""A clip inside the photo's own file: Google Motion Photo, MicroVideo, Samsung.

Stated lengths are hints: every candidate is checked for a real video before it is believed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from livemoments.livephoto.boxes import find_box, iter_boxes, media_end
from livemoments.livephoto.jpeg import picture_end
from livemoments.livephoto.samsung import motion_photo_block, read_trailer
from livemoments.livephoto.source import ByteStream, Source
from livemoments.livephoto.xmp import MotionFacts

SEARCH_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class EmbeddedClip:
    """A clip found inside a photo.

    Attributes:
        source: Its bytes.
        kind: "google-motion-photo", "microvideo" or "samsung".
        notes: What is unusual about how it is stored.
    """

    source: Source
    kind: str
    notes: tuple[str, ...] = ()


def find_embedded_clip(photo: Source, facts: MotionFacts) -> EmbeddedClip | None:
    """Find the clip inside a photo, or None where there is none.

    Order: the 'mpvd' box (HEIC), Samsung's trailer, XMP's length, XMP's MicroVideo offset, and
    last any MP4 behind the picture. XMP alone does not make a motion photo.
    """
    blocks = read_trailer(photo)
    with photo.open() as stream:
        boxed = find_box(stream, 0, photo.length, "mpvd")
        if boxed is not None and _video_at(stream, boxed.payload, boxed.end):
            kind = "samsung" if blocks else "google-motion-photo"
            found = EmbeddedClip(source=_slice(photo, stream, boxed.payload, boxed.end), kind=kind)
            return _with_length_note(found, photo, facts)
        block = motion_photo_block(blocks)
        if block is not None and _video_at(stream, block.start, block.start + block.length):
            source = _slice(photo, stream, block.start, block.start + block.length)
            return _with_length_note(EmbeddedClip(source=source, kind="samsung"), photo, facts)
        for start, kind in _stated_starts(photo.length, facts):
            if _video_at(stream, start, photo.length):
                source = _slice(photo, stream, start, photo.length)
                return EmbeddedClip(source=source, kind=kind)
        if facts.motion_photo or facts.micro_video:
            return _search(photo, stream, facts)
    return None


def _stated_starts(length: int, facts: MotionFacts) -> Iterator[tuple[int, str]]:
    """Yield where XMP says the clip starts, and what kind that makes the file."""
    item = facts.video_item
    if item is not None and 0 < item.length < length:
        yield length - item.length, "google-motion-photo"
        yield length - item.length - item.padding, "google-motion-photo"
    offset = facts.micro_video_offset
    if facts.micro_video and offset is not None and 0 < offset < length:
        yield length - offset, "microvideo"


def _video_at(stream: ByteStream, start: int, end: int) -> bool:
    """Whether an MP4 with an index starts at this byte."""
    if start < 0:
        return False
    first = next(iter_boxes(stream, start, end), None)
    return (
        first is not None
        and first.type == b"ftyp"
        and (find_box(stream, start, end, "moov") is not None)
    )


def _slice(photo: Source, stream: ByteStream, start: int, end: int) -> Source:
    return replace(photo, start=start, length=media_end(stream, start, end) - start)


def _search(photo: Source, stream: ByteStream, facts: MotionFacts) -> EmbeddedClip | None:
    """Look for an MP4 behind the picture, where XMP promises one but not at the right place."""
    at = picture_end(stream, photo.length) or 0
    while at < photo.length:
        stream.seek(at)
        chunk = stream.read(SEARCH_CHUNK + 8)
        index = chunk.find(b"ftyp", 4)
        while index > 0:
            if _video_at(stream, at + index - 4, photo.length):
                source = _slice(photo, stream, at + index - 4, photo.length)
                return EmbeddedClip(
                    source=source,
                    kind="google-motion-photo" if facts.motion_photo else "microvideo",
                    notes=("XMP states a wrong place for the clip; found by searching",),
                )
            index = chunk.find(b"ftyp", index + 4)
        at += SEARCH_CHUNK
    return None


def _with_length_note(clip: EmbeddedClip, photo: Source, facts: MotionFacts) -> EmbeddedClip:
    """Say so where XMP's length is neither the clip's nor the way to the end of the file."""
    item = facts.video_item
    lengths = (clip.source.length, photo.length - clip.source.start)
    if item is None or item.length in lengths:
        return clip
    note = f"XMP states a clip of {item.length} bytes, it has {clip.source.length}"
    return replace(clip, notes=(*clip.notes, note))
