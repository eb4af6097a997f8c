"""Read what names a half's Live Photo: Apple's content identifier, or vivo's."""

import struct
from pathlib import Path

from livemoments.errors import InputError
from livemoments.livephoto.container.boxes import find_box
from livemoments.livephoto.container.heif_items import item_bytes, read_items
from livemoments.livephoto.container.jpeg_edit import EXIF_NAME
from livemoments.livephoto.container.jpeg_parts import APP1, START, segments
from livemoments.livephoto.container.source import ByteStream, Source
from livemoments.livephoto.metadata.apple_note import MAKER_NOTE_START, maker_note_identifier
from livemoments.livephoto.metadata.exif import MAKER_NOTE, BrokenExif, ExifEditor
from livemoments.livephoto.movie.tracks import movie_texts, read_movie
from livemoments.livephoto.reading.apple import identifier_in, movie_identifier
from livemoments.livephoto.reading.vivo import photo_tail, video_tail
from livemoments.livephoto.still.raw import raw_kind, raw_maker_note
from livemoments.livephoto.still.still import Still, read_still

NOTE_WITHIN = 64 * 1024  # bytes of an iPhone's file, where following its tables takes far longer
MAX_EXIF = 4 * 1024 * 1024


def still_identifier(still: Still) -> str | None:
    """Return a still's Apple content identifier, else vivo's, else None."""
    if still.identifier or still.path is None:
        return still.identifier
    tail = photo_tail(still.source)
    return tail.identifier if tail is not None else None


def video_identifier(video: Source, *, strict: bool = False) -> str | None:
    """Return a video's Apple content identifier, else vivo's, else None.

    strict raises on a file that cannot be read, instead of returning None.
    """
    try:
        tail = video_tail(video)
        return movie_identifier(read_movie(video)) or (tail.identifier if tail else None)
    except InputError:
        if strict:
            raise
        return None


def same_identifier(one: str | None, other: str | None) -> bool:
    """Return whether two content identifiers are there and equal, whatever their case."""
    return bool(one and other) and str(one).upper() == str(other).upper()


def glimpsed_identifier(path: Path, half: str) -> str | None:
    """Return the identifier of a file that may be this half ("still" or "video"), by few reads.

    A tenth of the time that opening it takes, which counts among thousands of files. What cannot
    be read, or is no such half, has none.
    """
    try:
        source = Source.whole(path)
        if source.kind != half:
            return None
        return _glimpsed_movie(source) if half == "video" else _glimpsed_still(source)
    except (InputError, BrokenExif, struct.error, OSError):
        return None


def _glimpsed_movie(source: Source) -> str | None:
    with source.open() as stream:
        moov = find_box(stream, 0, source.length, "moov")
        named = identifier_in(movie_texts(stream, moov)) if moov is not None else None
    tail = video_tail(source) if named is None else None
    return named or (tail.identifier if tail else None)


def _glimpsed_still(source: Source) -> str | None:
    if raw_kind(source):
        return maker_note_identifier(raw_maker_note(source))
    if not (source.head or b"").startswith(START) and (source.head or b"")[4:8] != b"ftyp":
        return still_identifier(read_still(source.path, file=source))
    with source.open() as stream:
        start = stream.read(NOTE_WITHIN)
        at = start.find(MAKER_NOTE_START)
        exif = _exif(stream, source) if at < 0 else None
    note = start[at:] if at >= 0 else None
    if exif is not None:
        note = ExifEditor(exif).get("details", MAKER_NOTE)
    named = maker_note_identifier(note) if note else None
    tail = photo_tail(source) if named is None else None
    return named or (tail.identifier if tail else None)


def _exif(stream: ByteStream, source: Source) -> bytes | None:
    """Return the EXIF of a JPEG or a HEIC, as TIFF bytes; or None."""
    stream.seek(0)
    if (source.head or b"").startswith(START):
        for part in segments(stream):
            if part.marker == APP1 and part.payload.startswith(EXIF_NAME):
                return part.payload[len(EXIF_NAME) :]
    else:
        for item in read_items(stream, source.length).items.values():
            if item.type == b"Exif":
                data = item_bytes(stream, item, MAX_EXIF)
                return data[4 + int.from_bytes(data[:4], "big") :]
    return None
