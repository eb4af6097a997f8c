"""Read the tracks of a MOV or MP4: what each is, how it is turned, when it starts."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from livemoments.errors import DamagedFileError, UnsupportedFileError
from livemoments.livephoto.container.boxes import Box, find_box, iter_boxes, read_payload
from livemoments.livephoto.container.source import ByteStream, Source
from livemoments.livephoto.movie.index_counts import check_counts

IDENTITY = (1.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Track:
    """One track."""

    id: int  # track number, as libavformat gives it in Stream.id
    handler: str  # 'vide' picture, 'auxv' auxiliary picture, 'soun' sound, 'meta' timed metadata
    start_s: float  # when its first sample is shown, seconds, by its edit list
    # Display matrix (a, b, c, d): x' = a x + c y, y' = b x + d y, y downwards.
    matrix: tuple[float, float, float, float] = IDENTITY
    # Timed-metadata keys by their number in the samples ('mebx' tracks only).
    keys: dict[int, str] = field(default_factory=dict)
    # Where the first sample lies in the stream: (offset, size) in bytes, or None.
    sample: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class MovieFacts:
    """What the index ('moov') of a MOV or MP4 says, read without decoding."""

    tracks: tuple[Track, ...]  # every readable track, in file order
    # QuickTime keys with text values, such as 'com.apple.quicktime.content.identifier'.
    metadata: dict[str, str]
    cut_short: bool = False  # whether the file ends within a box: its last frames may be missing


def read_movie(source: Source) -> MovieFacts:
    """Read tracks and keys of a MOV or MP4.

    Raises:
        DamagedFileError: The file has no index, or a broken one: truncated, or not a video at all.
        UnsupportedFileError: Its index is compressed.
    """
    with source.open() as stream:
        moov = find_box(stream, 0, source.length, "moov")
        if moov is None or not moov.complete:
            raise DamagedFileError(
                f"{source.name}: the video has no complete index (its 'moov' box is missing or"
                " cut short); the file is truncated or not a video, copy it again"
            )
        try:
            check_counts(stream, 0, source.length)
            timescale = _timescale(_payload(stream, moov, "mvhd"))
            tracks = tuple(_iter_tracks(stream, moov, timescale))
            cut = not all(box.complete for box in iter_boxes(stream, 0, source.length))
            return MovieFacts(tracks=tracks, metadata=movie_texts(stream, moov), cut_short=cut)
        except UnsupportedFileError as error:
            raise UnsupportedFileError(f"{source.name}: {error}") from error
        except (DamagedFileError, struct.error) as error:
            raise DamagedFileError(
                f"{source.name}: the video's index is damaged ({error})"
            ) from error


def _timescale(header: bytes) -> int:
    """Return the time scale of an 'mvhd' or 'mdhd' payload, units per second, at least 1."""
    at = 20 if header[:1] == b"\x01" else 12
    if len(header) < at + 4:
        return 1
    return max(1, struct.unpack_from(">I", header, at)[0])


def _iter_tracks(stream: ByteStream, moov: Box, timescale: int) -> Iterator[Track]:
    for box in iter_boxes(stream, moov.payload, moov.end):
        if box.type != b"trak":
            continue
        try:
            yield _read_track(stream, box, timescale)
        except (struct.error, DamagedFileError):
            # One broken track need not cost the clip: libavformat decides about the picture.
            continue


def _read_track(stream: ByteStream, trak: Box, timescale: int) -> Track:
    header = _payload(stream, trak, "tkhd")
    long_form = header[:1] == b"\x01"
    track_id = struct.unpack_from(">I", header, 20 if long_form else 12)[0]
    a, b, _, c, d = struct.unpack_from(">5i", header, 52 if long_form else 40)
    handler = _payload(stream, trak, "mdia/hdlr")[8:12].decode("latin-1")
    media_scale = _timescale(_payload(stream, trak, "mdia/mdhd"))
    return Track(
        id=track_id,
        handler=handler,
        start_s=_start_s(_payload(stream, trak, "edts/elst"), timescale, media_scale),
        matrix=(a / 65536, b / 65536, c / 65536, d / 65536),
        keys=metadata_keys(_payload(stream, trak, "mdia/minf/stbl/stsd")),
        sample=first_sample(stream, trak),
    )


def _payload(stream: ByteStream, parent: Box, path: str) -> bytes:
    """Payload of a box below parent; empty where there is none."""
    box = find_box(stream, parent.payload, parent.end, path)
    return b"" if box is None else read_payload(stream, box)


def _start_s(edits: bytes, movie_scale: int, media_scale: int) -> float:
    """Return when a track's first sample is shown: its empty edits, less the media skipped then."""
    if len(edits) < 8:
        return 0.0
    long_form, count = edits[0] == 1, struct.unpack_from(">I", edits, 4)[0]
    size = 20 if long_form else 12
    start = 0.0
    for index in range(min(count, (len(edits) - 8) // size)):
        at = 8 + index * size
        duration, media_time = struct.unpack_from(">Qq" if long_form else ">Ii", edits, at)
        if media_time >= 0:
            return max(0.0, start - media_time / media_scale)
        start += duration / movie_scale
    return start


def metadata_keys(description: bytes) -> dict[int, str]:
    """Keys of a 'mebx' sample description: number in the samples -> name."""
    if description[12:16] != b"mebx":
        return {}
    keys: dict[int, str] = {}
    # stsd: version, count; mebx entry: size, type, 6 reserved, index; then the 'keys' box.
    for kind, start, end in small_boxes(description, 24, len(description)):
        if kind != b"keys":
            continue
        for number, key_start, key_end in small_boxes(description, start, end):
            for name, at, stop in small_boxes(description, key_start, key_end):
                if name == b"keyd":
                    text = description[at + 4 : stop].decode("utf-8", "replace")
                    keys[int.from_bytes(number, "big")] = text
    return keys


def small_boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, payload start, end) of the boxes in data[start:end]."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > end:
            return
        yield kind, start + 8, start + size
        start += size


def first_sample(stream: ByteStream, trak: Box) -> tuple[int, int] | None:
    """Return where a track's first sample lies in the stream, (offset, size) in bytes; or None."""
    sizes = _payload(stream, trak, "mdia/minf/stbl/stsz")
    offsets = _payload(stream, trak, "mdia/minf/stbl/stco")
    width = ">I"
    if not offsets:
        offsets, width = _payload(stream, trak, "mdia/minf/stbl/co64"), ">Q"
    if len(sizes) < 12 or len(offsets) < 8 + struct.calcsize(width):
        return None
    fixed, count = struct.unpack_from(">II", sizes, 4)
    if fixed == 0 and (count == 0 or len(sizes) < 16):
        return None
    size = fixed or struct.unpack_from(">I", sizes, 12)[0]
    return struct.unpack_from(width, offsets, 8)[0], size


def movie_texts(stream: ByteStream, moov: Box) -> dict[str, str]:
    """Return the QuickTime 'mdta' keys of a movie with text or number values.

    Apple keeps them in moov/meta; ffmpeg writes moov/udta/meta.
    """
    found: dict[str, str] = {}
    for place in ("meta", "udta/meta"):
        try:
            names = _key_names(_payload(stream, moov, f"{place}/keys"))
            values = _payload(stream, moov, f"{place}/ilst")
        except DamagedFileError:
            continue
        for number, start, end in small_boxes(values, 0, len(values)):
            name = names.get(int.from_bytes(number, "big"))
            for kind, at, stop in small_boxes(values, start, end):
                if name and kind == b"data" and stop - at >= 8:
                    found.setdefault(name, _value(values[at:stop]))
    return found


def _key_names(keys: bytes) -> dict[int, str]:
    boxes = list(small_boxes(keys, 8, len(keys)))
    return {
        index: keys[start:end].decode("utf-8", "replace")
        for index, (_, start, end) in enumerate(boxes, start=1)
    }


def _value(data: bytes) -> str:
    """Text of an 'ilst' value: u32 type (1 text, 21 and 65-67 signed integers), u32 locale."""
    kind = struct.unpack_from(">I", data)[0] & 0xFFFFFF
    if kind in (21, 65, 66, 67):
        return str(int.from_bytes(data[8:], "big", signed=True))
    if kind in (22, 75, 76, 77):
        return str(int.from_bytes(data[8:], "big"))
    if kind == 23 and len(data) >= 12:
        return f"{struct.unpack_from('>f', data, 8)[0]:g}"
    return data[8:].decode("utf-8", "replace").rstrip("\0")
