"""Find the clip in the photo's own file: Google Motion Photo, MicroVideo, Samsung, Huawei, Honor.

Stated lengths are hints: every candidate is checked for a real video before it is believed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from livemoments.errors import InputError
from livemoments.livephoto.container.boxes import find_box, iter_boxes, media_end
from livemoments.livephoto.container.jpeg_parts import START, picture_end
from livemoments.livephoto.container.source import ByteStream, Source
from livemoments.livephoto.metadata.xmp import MotionFacts
from livemoments.livephoto.movie.tracks import read_movie
from livemoments.livephoto.reading.huawei import (
    LiveFooter,
    before_private_box,
    is_honor,
    read_footer,
)
from livemoments.livephoto.reading.key_time import StatedTime, footer_times, tail_times, xmp_times
from livemoments.livephoto.reading.samsung import motion_photo_block, read_trailer
from livemoments.livephoto.reading.vendors import oneplus_trailer_length
from livemoments.livephoto.reading.vivo import photo_tail

SEARCH_CHUNK = 1 << 20
# A search looks at so many places that could be a video's start; their first box is a short one.
MAX_TRIES = 50
# What the file of a HEIC has at its top.
PICTURE_BOXES = {b"ftyp", b"meta", b"mdat", b"free", b"skip", b"idat", b"moov", b"uuid"}
FIRST_BOX = re.compile(rb"\0\0[\0-\x0f][\0-\xff]ftyp")


@dataclass(frozen=True, kw_only=True)
class EmbeddedClip:
    """A clip found inside a photo."""

    source: Source  # its bytes
    kind: str  # "google-motion-photo", "microvideo", "samsung", "huawei" or "honor"
    # What the file says of the key photo's time, the most trusted first.
    stated: tuple[StatedTime, ...] = ()
    notes: tuple[str, ...] = ()  # what is unusual about how it is stored


def find_embedded_clip(photo: Source, facts: MotionFacts) -> EmbeddedClip | None:
    """Find the clip inside a photo, or None where there is none.

    Order: the 'mpvd' box (HEIC), Samsung's trailer, Huawei's and Honor's footer, XMP's lengths,
    and last, where one of these promises it, any MP4 behind the picture. XMP alone does not make a
    motion photo, nor does a footer.
    """
    footer = read_footer(photo)
    with photo.open() as stream:
        found = (
            _in_box_or_trailer(photo, stream, facts)
            or _before_footer(photo, stream, footer)
            or _where_xmp_says(photo, stream, facts)
        )
        if found is None and (footer is not None or facts.promises_clip):
            found = _search(photo, stream, facts, footer)
    if found is None:
        return None
    stated = xmp_times(facts)
    if found.kind in ("huawei", "honor"):
        stated = (*footer_times(footer), *stated)
    return replace(found, stated=(*stated, *tail_times(photo_tail(photo))))


def find_unannounced_clip(photo: Source, facts: MotionFacts) -> EmbeddedClip | None:
    """Find a clip behind a JPEG's or a HEIC's picture of which nothing in the file speaks.

    Programs lose the XMP of a motion photo and leave the clip. Only a whole movie with pictures
    counts, and none in a photo whose XMP says that its clip is switched off.
    """
    if facts.switched_off:
        return None
    with photo.open() as stream:
        end = _end_of_picture(photo, stream)
        for start in _possible_starts(stream, end, photo.length) if end else ():
            if not _video_at(stream, start, photo.length):
                continue
            source = _slice(photo, stream, start, photo.length)
            if _shows_pictures(source):
                note = "nothing in the file announces a clip; one was found behind the picture"
                return EmbeddedClip(source=source, kind="google-motion-photo", notes=(note,))
    return None


def _end_of_picture(photo: Source, stream: ByteStream) -> int | None:
    """Return the byte behind a JPEG's or a HEIC's picture; None of others, or where it has none."""
    stream.seek(0)
    head = stream.read(12)
    if head.startswith(START):
        return picture_end(stream, photo.length)
    if head[4:8] != b"ftyp":
        return None
    end = 0
    for box in iter_boxes(stream, 0, photo.length):
        if box.type not in PICTURE_BOXES or (box.type == b"ftyp" and box.start):
            break
        end = box.end
    return end


def _shows_pictures(clip: Source) -> bool:
    try:
        return any(track.handler == "vide" for track in read_movie(clip).tracks)
    except InputError:
        return False


def _in_box_or_trailer(
    photo: Source, stream: ByteStream, facts: MotionFacts
) -> EmbeddedClip | None:
    blocks = read_trailer(photo)
    boxed = find_box(stream, 0, photo.length, "mpvd")
    if boxed is not None and _video_at(stream, boxed.payload, boxed.end):
        kind = "samsung" if blocks else "google-motion-photo"
        found = EmbeddedClip(source=_slice(photo, stream, boxed.payload, boxed.end), kind=kind)
        if not blocks and not facts.promises_clip:
            found = replace(found, notes=("no XMP announces the clip in the HEIC's 'mpvd' box",))
        return _with_length_note(found, photo, facts)
    block = motion_photo_block(blocks)
    if block is not None and _video_at(stream, block.start, block.start + block.length):
        source = _slice(photo, stream, block.start, block.start + block.length)
        return _with_length_note(EmbeddedClip(source=source, kind="samsung"), photo, facts)
    return None


def _before_footer(
    photo: Source, stream: ByteStream, footer: LiveFooter | None
) -> EmbeddedClip | None:
    if footer is None or not _video_at(stream, footer.start, footer.end):
        return None
    return _with_footer(photo, stream, footer.start, footer)


def _with_footer(photo: Source, stream: ByteStream, start: int, footer: LiveFooter) -> EmbeddedClip:
    """Return the clip that starts here and has Huawei's or Honor's footer behind it."""
    end, kind = footer.end, "huawei"
    if is_honor(stream, start):
        kind, clean = "honor", before_private_box(stream, start, end)
        end = clean if _video_at(stream, start, clean) else end
    return EmbeddedClip(source=_slice(photo, stream, start, end), kind=kind)


def _where_xmp_says(photo: Source, stream: ByteStream, facts: MotionFacts) -> EmbeddedClip | None:
    for start, kind in _stated_starts(photo, facts):
        if _video_at(stream, start, photo.length):
            return EmbeddedClip(source=_slice(photo, stream, start, photo.length), kind=kind)
    return None


def _stated_starts(photo: Source, facts: MotionFacts) -> Iterator[tuple[int, str]]:
    """Yield where XMP says the clip starts, and what kind that makes the file."""
    item, oplus = facts.video_item, facts.oplus_video_length
    offset = facts.micro_video_offset if facts.micro_video else None
    for end in dict.fromkeys((photo.length, photo.length - oneplus_trailer_length(photo))):
        if item is not None and 0 < item.length < end:
            yield end - item.length, "google-motion-photo"
            yield end - item.length - item.padding, "google-motion-photo"
        if oplus is not None and 0 < oplus < end:
            yield end - oplus, "google-motion-photo"
        if offset is not None and 0 < offset < end:
            yield end - offset, "microvideo"


def _video_at(stream: ByteStream, start: int, end: int) -> bool:
    """Return whether an MP4 with an index starts at this byte."""
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


def _search(
    photo: Source, stream: ByteStream, facts: MotionFacts, footer: LiveFooter | None
) -> EmbeddedClip | None:
    """Look for an MP4 behind the picture, where one is promised but not at the right place."""
    only_micro = facts.micro_video and not facts.motion_photo
    for start in _possible_starts(stream, picture_end(stream, photo.length) or 0, photo.length):
        if not _video_at(stream, start, photo.length):
            continue
        if facts.promises_clip:
            found = EmbeddedClip(
                source=_slice(photo, stream, start, photo.length),
                kind="google-motion-photo" if not only_micro else "microvideo",
            )
        elif footer is not None:
            found = _with_footer(photo, stream, start, footer)
        who = "XMP" if facts.promises_clip else "the footer"
        note = f"{who} states a wrong place for the clip; found by searching"
        return replace(found, notes=(note,))
    return None


def _possible_starts(stream: ByteStream, at: int, end: int) -> Iterator[int]:
    """Yield the places from `at` on where a short 'ftyp' box may begin; at most MAX_TRIES."""
    tries = 0
    while at < end and tries < MAX_TRIES:
        stream.seek(at)
        chunk = stream.read(SEARCH_CHUNK + len(b"sizeftyp") - 1)
        for found in islice(FIRST_BOX.finditer(chunk), MAX_TRIES - tries):
            tries += 1
            yield at + found.start()
        at += SEARCH_CHUNK


def _with_length_note(clip: EmbeddedClip, photo: Source, facts: MotionFacts) -> EmbeddedClip:
    """Say so where XMP's length is neither the clip's nor the way to the end of the file."""
    item = facts.video_item
    lengths = (clip.source.length, photo.length - clip.source.start)
    if item is None or item.length in lengths:
        return clip
    note = f"XMP states a clip of {item.length} bytes, it has {clip.source.length}"
    return replace(clip, notes=(*clip.notes, note))
