"""Put into a MOV what makes it half of a Live Photo: the identifier, and when the still was taken.

The identifier is a QuickTime key of the movie ('moov/meta': 'keys' names it, 'ilst' holds it).
The time is that of the one sample of a timed-metadata track ('mebx'): an empty edit of that
length, then 1/600 s. The sample's own value for the time is always -1.
"""

import struct

import numpy as np

from livemoments.livephoto.movie.edit import TABLES, Movie, Node, parse_box
from livemoments.livephoto.movie.keys import _key_store, quicktime_handler, shown_track
from livemoments.livephoto.movie.tables import (
    Edit,
    edits,
    first_sample,
    fit_header,
    movie_scale,
    refine_scale,
    sample_count,
    set_edits,
    set_one_sample,
    track_id,
)
from livemoments.livephoto.movie.tracks import metadata_keys, small_boxes
from livemoments.livephoto.reading.apple import MAX_SAMPLE, STILL_IMAGE_TIME, TRANSFORM

TEXT, INT8 = 1, 65
MEDIA_SCALE = 600  # of a new track, as phones write it
LEAST_SCALE = 500  # of the movie's clock: to half of this a time is rounded, 1 ms
TRACK_FLAGS = 0xF  # enabled, in movie, in preview, in poster
NO_LANGUAGE = 0x55C4  # "und", packed
IDENTITY = np.eye(3).astype(">f8").tobytes()


def set_movie_text(moov: Node, name: str, text: str) -> None:
    """Set a QuickTime key of a movie to a text; all other keys stay as they are."""
    meta = _key_store(moov)
    keys = meta.find("keys") or Node(b"keys", bytes(8))
    values = meta.find("ilst") or parse_box(b"ilst", b"")
    meta.put(keys, after=("hdlr",))
    meta.put(values, after=("hdlr", "keys"))
    names = [keys.data[start:end] for _, start, end in small_boxes(keys.data, 8, len(keys.data))]
    wanted = name.encode()
    if wanted not in names:
        names.append(wanted)
        keys.data = keys.data[:4] + struct.pack(">I", len(names)) + keys.data[8:]
        keys.data += struct.pack(">I4s", 8 + len(wanted), b"mdta") + wanted
    number = struct.pack(">I", names.index(wanted) + 1)
    value = Node(b"data", struct.pack(">II", TEXT, 0) + text.encode())
    entry = next((node for node in values.nodes if node.type == number), None)
    if entry is None:
        values.nodes.append(Node(number, b"", [value]))
    else:
        entry.put(value)


def set_still_time(movie: Movie, time_s: float) -> float:
    """Say that the still was taken at a time of the clip, and that it has that frame's view.

    A track that is there keeps its keys; a stored transform becomes the identity, which in its
    units (the whole frame on the whole still) is pure scaling. Without a track, one is made.

    Returns:
        The time as stored: a whole number of ticks of the movie's clock.
    """
    refine_scale(movie.moov, LEAST_SCALE)
    found = [track for track in movie.tracks if STILL_IMAGE_TIME in still_keys(track).values()]
    for spare in found[1:]:
        movie.moov.nodes.remove(spare)
    track = found[0] if found else _new_track(movie)
    if found:
        _renew_sample(movie, track)
    scale = movie_scale(movie.moov)
    ticks = max(0, round(time_s * scale))
    wait = [Edit(duration=ticks, media_time=-1)] if ticks else []
    shown = [edit for edit in edits(track) if edit.media_time >= 0][:1]
    set_edits(track, [*wait, *(shown or [Edit(duration=_tick(scale), media_time=0)])])
    _refer(movie, track)
    fit_header(movie.moov)
    return ticks / scale


def still_keys(track: Node) -> dict[int, str]:
    """Read a track's timed-metadata keys by their number in samples; none of other tracks."""
    return metadata_keys(track.payload(f"{TABLES}/stsd"))


def sample_items(sample: bytes) -> list[tuple[int, bytes]]:
    """Split a timed-metadata sample, a run of {u32 size, u32 key, value}, into (key, value)."""
    return [
        (int.from_bytes(key, "big"), sample[start:end])
        for key, start, end in small_boxes(sample, 0, len(sample))
    ]


def read_first_sample(movie: Movie, track: Node) -> bytes:
    """Read a track's first sample; empty where there is none, or one too long."""
    place = first_sample(track)
    if place is None or place[1] > MAX_SAMPLE:
        return b""
    with movie.source.open() as stream:
        stream.seek(place[0])
        return stream.read(place[1])


def _renew_sample(movie: Movie, track: Node) -> None:
    """Make the sample say -1 and the identity; it stays where it is if it says so already."""
    keys, old = still_keys(track), read_first_sample(movie, track)
    values = dict(sample_items(old))
    for number, name in keys.items():
        if name == STILL_IMAGE_TIME:
            values[number] = b"\xff"
        elif name == TRANSFORM and number in values:
            values[number] = IDENTITY
    new = b"".join(
        struct.pack(">II", 8 + len(value), number) + value for number, value in values.items()
    )
    if new != old or sample_count(track) != 1:
        set_one_sample(track, movie.add_media(new), len(new))


def _refer(movie: Movie, track: Node) -> None:
    """Make the track describe ('cdsc') the picture track, where it does not."""
    shown = shown_track(movie)
    if shown is None:
        return
    number = struct.pack(">I", track_id(shown))
    known = {struct.pack(">I", track_id(each)) for each in movie.tracks}
    if track.payload("tref/cdsc")[:4] not in known:
        track.put(parse_box(b"tref", Node(b"cdsc", number).to_bytes()), after=("tkhd", "edts"))


def _new_track(movie: Movie) -> Node:
    """Add a still-image-time track as phones write it, with the time alone."""
    header = movie.moov.find("mvhd")
    number = max((track_id(track) for track in movie.tracks), default=0) + 1
    sample = struct.pack(">II", 9, 1) + b"\xff"
    header_data = header.data if header is not None else b""
    dates = header_data[4:12] if header_data[:1] == b"\0" else bytes(8)
    track = Node(b"trak", b"", _track_boxes(number, dates))
    set_one_sample(track, movie.add_media(sample), len(sample))
    nodes = movie.moov.nodes
    last = max((index for index, node in enumerate(nodes) if node.type == b"trak"), default=-1)
    nodes.insert(last + 1, track)
    return track


def _track_boxes(number: int, dates: bytes) -> list[Node]:
    """Return the content of a 'trak' with one still-image-time key, without tables of samples."""
    matrix = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 1 << 30)
    header = struct.pack(">I", TRACK_FLAGS) + dates + struct.pack(">III", number, 0, 0)
    name = Node(b"keyd", b"mdta" + STILL_IMAGE_TIME.encode()).to_bytes()
    key = Node(b"\0\0\0\1", name + Node(b"dtyp", struct.pack(">II", 0, INT8)).to_bytes())
    entry = Node(b"mebx", bytes(6) + b"\0\1" + Node(b"keys", key.to_bytes()).to_bytes())
    graphics = struct.pack(">IHHHHHH", 0, 0x40, 0x8000, 0x8000, 0x8000, 0, 0)
    own_file = Node(b"alis", struct.pack(">I", 1)).to_bytes()
    information = [
        Node(b"gmhd", b"", [Node(b"gmin", graphics)]),
        quicktime_handler(b"dhlr", b"alis", "Core Media Data Handler"),
        Node(b"dinf", b"", [Node(b"dref", struct.pack(">II", 0, 1) + own_file)]),
        Node(b"stbl", b"", [Node(b"stsd", struct.pack(">II", 0, 1) + entry.to_bytes())]),
    ]
    clock = bytes(4) + dates + struct.pack(">IIHH", MEDIA_SCALE, 1, NO_LANGUAGE, 0)
    media = [
        Node(b"mdhd", clock),
        quicktime_handler(b"mhlr", b"meta", "Core Media Metadata"),
        Node(b"minf", b"", information),
    ]
    return [Node(b"tkhd", header + bytes(16) + matrix + bytes(8)), Node(b"mdia", b"", media)]


def _tick(scale: int) -> int:
    """Return a sample's 1/600 s in a movie's clock, at least one tick."""
    return max(1, round(scale / MEDIA_SCALE))
