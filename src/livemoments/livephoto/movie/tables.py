"""Read and set numbers of a movie's index: time scales, durations, edit lists, tables of samples.

Every header has a short form (version 0, 32-bit numbers) and a long one (version 1, 64-bit).
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from livemoments.livephoto.movie.edit import (
    MOST_32,
    TABLES,
    Node,
    chunk_offsets,
    parse_box,
    set_chunk_offsets,
)

# (place of the time scale or track number, place of the duration) in the short and long form.
_SCALED = {0: (12, 16), 1: (20, 24)}  # mvhd, mdhd
_TRACK = {0: (12, 20), 1: (20, 28)}  # tkhd


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One entry of an edit list."""

    duration: int  # of the movie, in its time scale
    # Where in the track's media it starts, in the media's time scale; -1: nothing is shown.
    media_time: int
    rate: int = 0x10000  # 16.16 fixed point; 0x10000 is normal speed


def timescale(header: Node) -> int:
    """Units per second of an 'mvhd' or 'mdhd', at least 1."""
    return max(1, _long(header.data, _places(header)[0]))


def duration(header: Node) -> int:
    """Duration that an 'mvhd', 'mdhd' or 'tkhd' states, in its units."""
    return _long(header.data, _places(header)[1], wide=header.data[:1] == b"\1")


def set_duration(header: Node, value: int) -> None:
    """Set it; the short form becomes a long one where the number needs it."""
    if value > MOST_32 and header.data[:1] != b"\1":
        header.data = _long_form(header)
    data = bytearray(header.data)
    struct.pack_into(">Q" if data[0] == 1 else ">I", data, _places(header)[1], value)
    header.data = bytes(data)


def track_id(track: Node) -> int:
    """Return a track's number."""
    header = track.find("tkhd")
    return _long(header.data, _places(header)[0]) if header is not None else 0


def handler(track: Node) -> str:
    """Return what a track is: 'vide', 'soun', 'meta', ..."""
    return track.payload("mdia/hdlr")[8:12].decode("latin-1")


def edits(track: Node) -> list[Edit]:
    """Return a track's edit list; empty where it has none."""
    data = track.payload("edts/elst")
    if len(data) < 8:
        return []
    form = ">QqI" if data[0] == 1 else ">IiI"
    room = (len(data) - 8) // struct.calcsize(form)
    count = min(_long(data, 4), room)
    return [
        Edit(duration=length, media_time=start, rate=rate)
        for length, start, rate in struct.iter_unpack(
            form, data[8 : 8 + count * struct.calcsize(form)]
        )
    ]


def set_edits(track: Node, entries: Sequence[Edit]) -> None:
    """Set a track's edit list, and its duration to the list's."""
    wide = any(e.duration > MOST_32 or e.media_time > MOST_32 >> 1 for e in entries)
    form = ">QqI" if wide else ">IiI"
    packed = struct.pack(">BxxxI", int(wide), len(entries))
    packed += b"".join(struct.pack(form, e.duration, e.media_time, e.rate) for e in entries)
    edit_box = track.find("edts")
    if edit_box is None:
        edit_box = parse_box(b"edts", b"")
        track.put(edit_box, after=("tkhd", "tapt", "clip", "matt"))
    edit_box.put(Node(b"elst", packed))
    header = track.find("tkhd")
    if header is not None:
        set_duration(header, sum(each.duration for each in entries))


def movie_scale(moov: Node) -> int:
    """Units per second of a movie's own clock."""
    header = moov.find("mvhd")
    return timescale(header) if header is not None else 1


def fit_header(moov: Node) -> None:
    """Make a movie as long as its longest track, and the next track's number a free one."""
    header = moov.find("mvhd")
    if header is None:
        return
    tracks = moov.all("trak")
    headers = [track.find("tkhd") for track in tracks]
    lengths = [duration(each) for each in headers if each is not None]
    known = [length for length in lengths if length not in (MOST_32, 2**64 - 1)]
    if known:
        set_duration(header, max(known))
    following = max((track_id(track) for track in tracks), default=0) + 1
    if following > _long(header.data, len(header.data) - 4):
        header.data = header.data[:-4] + struct.pack(">I", min(following, MOST_32))


def refine_scale(moov: Node, least: int) -> None:
    """Make a movie's clock at least so fine, by a whole factor: every time stays exact."""
    header = moov.find("mvhd")
    if header is None or timescale(header) >= least:
        return
    factor = -(-least // timescale(header))
    data = bytearray(header.data)
    struct.pack_into(">I", data, _places(header)[0], timescale(header) * factor)
    header.data = bytes(data)
    set_duration(header, duration(header) * factor)
    for track in moov.all("trak"):
        entries = [
            Edit(duration=each.duration * factor, media_time=each.media_time, rate=each.rate)
            for each in edits(track)
        ]
        track_header = track.find("tkhd")
        if entries:
            set_edits(track, entries)
        elif track_header is not None:
            set_duration(track_header, duration(track_header) * factor)


def sample_count(track: Node) -> int:
    """Return how many samples a track has, by the table of their sizes."""
    fixed, sizes = _sizes(track)
    return len(sizes) if fixed == 0 else _long(track.payload(f"{TABLES}/stsz"), 8)


def sample_sizes(track: Node) -> list[int]:
    """Bytes of every sample of a track."""
    fixed, sizes = _sizes(track)
    return [fixed] * sample_count(track) if fixed else list(sizes)


def sample_durations(track: Node) -> list[tuple[int, int]]:
    """Return runs of (samples, duration of each) of a track, in its media's time scale."""
    data = track.payload(f"{TABLES}/stts")
    return [(count, each) for count, each in _rows(data, ">II")]


def chunks(track: Node) -> Iterator[tuple[int, int]]:
    """Yield (offset, bytes) of every chunk of a track."""
    fixed, sizes = _sizes(track)
    at = 0
    for offset, count in zip(chunk_offsets(track), samples_per_chunk(track), strict=False):
        yield offset, fixed * count if fixed else sum(sizes[at : at + count])
        at += count


def first_sample(track: Node) -> tuple[int, int] | None:
    """Return (offset, bytes) of a track's first sample, or None."""
    fixed, sizes = _sizes(track)
    offsets = chunk_offsets(track)
    if not offsets or not (fixed or sizes):
        return None
    return offsets[0], fixed or sizes[0]


def samples_per_chunk(track: Node) -> list[int]:
    """Return how many samples each chunk of a track holds."""
    rows = list(_rows(track.payload(f"{TABLES}/stsc"), ">III"))
    total = len(chunk_offsets(track))
    counts: list[int] = []
    for index, (first, count, _) in enumerate(rows):
        end = rows[index + 1][0] if index + 1 < len(rows) else total + 1
        counts += [count] * max(0, min(end - 1, total) - (first - 1))
    return counts


def set_one_sample(track: Node, offset: int, size: int) -> None:
    """Make a track hold one sample, as long as the track's media."""
    tables, header = track.find(TABLES), track.find("mdia/mdhd")
    if tables is None or header is None:
        return
    for kind, numbers in (
        (b"stts", (0, 1, 1, max(1, duration(header)))),
        (b"stsc", (0, 1, 1, 1, 1)),
        (b"stsz", (0, 0, 1, size)),
    ):
        table = Node(kind, struct.pack(f">{len(numbers)}I", *numbers))
        tables.put(table, after=("stsd", "stts", "stsc"))
    set_chunk_offsets(track, [offset])


def sample_entries(track: Node) -> list[tuple[str, bytes]]:
    """Return (format, what follows it) of every sample description of a track."""
    data = track.payload(f"{TABLES}/stsd")
    box = parse_box(b"", data[8:])
    return [(node.type.decode("latin-1"), node.data) for node in box.nodes]


def _sizes(track: Node) -> tuple[int, Sequence[int]]:
    """Bytes that every sample has, or 0 and the bytes of each."""
    data = track.payload(f"{TABLES}/stsz")
    if len(data) < 12:
        return 0, ()
    fixed, count = struct.unpack_from(">II", data, 4)
    if fixed:
        return fixed, ()
    return 0, struct.unpack_from(f">{min(count, (len(data) - 12) // 4)}I", data, 12)


def _rows(data: bytes, form: str) -> Iterator[tuple[int, ...]]:
    """Yield the rows of a table {version and flags, count, rows}."""
    if len(data) < 8:
        return
    size = struct.calcsize(form)
    count = min(_long(data, 4), (len(data) - 8) // size)
    yield from struct.iter_unpack(form, data[8 : 8 + count * size])


def _places(header: Node) -> tuple[int, int]:
    table = _TRACK if header.type == b"tkhd" else _SCALED
    return table[1 if header.data[:1] == b"\1" else 0]


def _long(data: bytes, at: int, *, wide: bool = False) -> int:
    """Return a number, 0 where the data end before it."""
    size = 8 if wide else 4
    return int.from_bytes(data[at : at + size], "big") if at + size <= len(data) else 0


def _long_form(header: Node) -> bytes:
    """Rewrite a short header's payload with 64-bit times."""
    data = header.data
    created, modified = struct.unpack_from(">II", data, 4)
    times = b"\1" + data[1:4] + struct.pack(">QQ", created, modified)
    if header.type == b"tkhd":  # number, reserved, then the duration
        return times + data[12:20] + bytes(4) + data[20:]
    return times + data[12:16] + bytes(4) + data[16:]
