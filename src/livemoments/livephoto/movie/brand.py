"""Make a MOV of an MP4 and an MP4 of a MOV: the same media, described in the other's words.

Pictures and sound stay bit for bit. What differs: the brand in 'ftyp', how handlers are named,
how sound is described (QuickTime wraps AAC's setup in 'wave'; ISO files have no such box), and
which tracks of timed metadata anybody on the other side reads. Apple's programs play HEVC under
the name 'hvc1' alone.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from livemoments.errors import DamagedFileError
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.edit import (
    TABLES,
    Movie,
    Node,
    naming_damage,
    parse_box,
    read_editable,
)
from livemoments.livephoto.movie.keys import (
    CONTENT_IDENTIFIER,
    drop_movie_keys,
    quicktime_handler,
    shown_track,
)
from livemoments.livephoto.movie.tables import (
    fit_header,
    handler,
    sample_durations,
    sample_entries,
    track_id,
)

QUICKTIME = b"qt  " + bytes(4) + b"qt  "
MP4 = b"mp42" + bytes(4) + b"isommp42"
APPLE_CODECS = ("avc1", "hvc1", "jpeg", "apch", "apcn", "apcs", "apco", "ap4h")
PCM = ("lpcm", "sowt", "twos", "in24", "in32", "fl32", "fl64", "raw ", "ipcm", "fpcm")
# Sample description of sound: what all versions share, and what each version adds to it.
SOUND_HEAD = 28
SOUND_MORE = {0: 0, 1: 16, 2: 36}
PICTURE_HEAD = 78
ENABLED = 1  # flag of a 'tkhd'
PCM_FLOAT, PCM_BIG_ENDIAN, PCM_SIGNED = 1, 2, 4
VPS_SPS_PPS = {32, 33, 34}
LIVE_PHOTO_KEYS = (CONTENT_IDENTIFIER, "com.apple.quicktime.live-photo.")


@dataclass(frozen=True, kw_only=True)
class EditedMovie:
    """An edited movie, ready to be written, and what is worth knowing about it.

    Files that hold its new samples must still be there when it is written.
    """

    movie: Movie
    notes: tuple[str, ...] = ()


def is_quicktime(movie: Movie) -> bool:
    """Return whether a movie is a MOV; the oldest have no 'ftyp'."""
    return not movie.ftyp or movie.ftyp[:4] == b"qt  "


def movie_as_mov(source: Source) -> EditedMovie:
    """Describe a clip as a MOV that Apple's programs play.

    Raises:
        DamagedFileError: It has no index, or is cut short.
        UnsupportedFileError: Its index is spread over fragments.
    """
    movie = read_editable(source)
    notes: list[str] = []
    with naming_damage(source):
        shown = _picture_track(movie)
        for track in movie.tracks:
            _edit_entries(track, _as_hvc1)
        if not is_quicktime(movie):
            notes += _quicktime_index(movie, shown)
        if movie.ftyp[:4] != QUICKTIME[:4]:
            movie.ftyp = QUICKTIME
        codec = _format(shown)
    if codec not in APPLE_CODECS:
        notes.append(f"Apple's programs may not play the clip's pictures ({codec})")
    return EditedMovie(movie=movie, notes=tuple(notes))


def movie_as_mp4(source: Source) -> EditedMovie:
    """Describe a clip as an MP4 that Android's programs play, without what binds it to a still.

    Raises:
        DamagedFileError: It has no index, or is cut short.
        UnsupportedFileError: Its index is spread over fragments.
    """
    movie = read_editable(source)
    notes: list[str] = []
    with naming_damage(source):
        drop_movie_keys(movie.moov, LIVE_PHOTO_KEYS)
        if is_quicktime(movie):
            notes += _iso_index(movie)
            movie.ftyp = MP4
        _picture_track(movie)
        if any(_format(track) in PCM for track in movie.tracks):
            notes.append(
                "the clip's sound is uncompressed (PCM) and is kept so; some Android programs play"
                " an MP4 with such sound silently"
            )
    return EditedMovie(movie=movie, notes=tuple(notes))


def _picture_track(movie: Movie) -> Node:
    """Return the track that is shown; unlike some decoders, none whose boxes have wrong sizes."""
    shown = shown_track(movie)
    if shown is None:
        raise DamagedFileError(
            f"{movie.source.name}: the index of the video's pictures is damaged, so it cannot be"
            " written anew; copy the file again"
        )
    return shown


def _quicktime_index(movie: Movie, shown: Node) -> list[str]:
    """Describe an ISO file's tracks as QuickTime does; returns notes."""
    notes = _without_tracks(movie, lambda track: _format(track) in ("mett", "metx"), "Android")
    for track in movie.tracks:
        _quicktime_names(track)
        _edit_entries(track, _as_quicktime)
        header = track.find("tkhd")
        if handler(track) == "vide" and track is not shown and header is not None:
            # QuickTime lays all enabled pictures over each other.
            header.data = header.data[:3] + bytes([header.data[3] & ~ENABLED]) + header.data[4:]
            notes.append("another picture track of the clip is kept, but switched off")
    for meta in movie.moov.all("meta"):
        if meta.payload("hdlr")[8:12] == b"mdta":
            meta.data = b""
    return notes


def _iso_index(movie: Movie) -> list[str]:
    """Describe a QuickTime file's tracks as ISO files do; returns notes."""
    others = "Apple's programs"
    notes = _without_tracks(movie, lambda t: handler(t) not in ("vide", "soun"), others)
    for track in movie.tracks:
        _iso_names(track)
        _edit_entries(track, _as_iso)
    for user_data in movie.moov.all("udta"):
        user_data.tail = b""  # QuickTime may end it with a zero, which is no box
    return notes


def _without_tracks(movie: Movie, spare: Callable[[Node], bool], reader: str) -> list[str]:
    """Leave tracks out of the index, and whatever refers to them; returns notes."""
    gone = [track for track in movie.tracks if spare(track)]
    if not gone:
        return []
    nodes = movie.moov.nodes
    movie.moov.children = [node for node in nodes if node not in gone]
    left = {track_id(track) for track in movie.tracks}
    for track in movie.tracks:
        references = track.find("tref")
        if references is not None:
            references.children = [
                each for each in references.nodes
                if set(struct.unpack(f">{len(each.data) // 4}I", each.data[:len(each.data) & ~3]))
                <= left
            ]  # fmt: skip
            if not references.nodes:
                track.drop("tref")
    fit_header(movie.moov)
    count = f"{len(gone)} track{'s' if len(gone) > 1 else ''}"
    return [f"left out of the clip: {count} of timed metadata that only {reader} would read"]


def _format(track: Node) -> str:
    """Four letters that say how a track's samples are coded."""
    entries = sample_entries(track)
    return entries[0][0] if entries else ""


def _quicktime_names(track: Node) -> None:
    """Name a track's handlers as QuickTime does."""
    media, information = track.find("mdia"), track.find("mdia/minf")
    if media is None or information is None:
        return
    kind = handler(track).encode("latin-1")
    name = {b"vide": "Core Media Video", b"soun": "Core Media Audio"}.get(kind, "Core Media")
    media.put(quicktime_handler(b"mhlr", kind, name), after=("mdhd",))
    data_handler = quicktime_handler(b"dhlr", b"alis", "Core Media Data Handler")
    information.put(data_handler, after=("vmhd", "smhd", "gmhd", "nmhd"))


def _iso_names(track: Node) -> None:
    """Name a track's handlers, and where its data are, as ISO files do."""
    media, information = track.find("mdia"), track.find("mdia/minf")
    if media is None or information is None:
        return
    kind = handler(track).encode("latin-1")
    name = {b"vide": b"VideoHandle", b"soun": b"SoundHandle"}.get(kind, b"Handle")
    media.put(Node(b"hdlr", bytes(8) + kind + bytes(12) + name + b"\0"), after=("mdhd",))
    information.drop("hdlr")
    references = information.find("dinf/dref")
    own_file = Node(b"alis", b"\0\0\0\1").to_bytes()
    if references is not None:
        references.data = references.data.replace(own_file, Node(b"url ", b"\0\0\0\1").to_bytes())


def _edit_entries(track: Node, edit: Callable[[Node, int], None]) -> None:
    """Change a track's sample descriptions; edit also gets the duration of its first sample."""
    table = track.find(f"{TABLES}/stsd")
    if table is None or len(table.data) < 8:
        return
    each = next((length for _, length in sample_durations(track)), 0)
    entries = parse_box(b"", table.data[8:])
    for entry in entries.nodes:
        edit(entry, each)
    table.data = table.data[:8] + b"".join(e.to_bytes() for e in entries.nodes) + entries.tail


def _as_hvc1(entry: Node, _: int) -> None:
    """Name HEVC as Apple's programs know it, where its description has all that name promises."""
    if entry.type == b"hev1" and _has_all_sets(entry.data):
        entry.type = b"hvc1"


def _as_quicktime(entry: Node, sample_duration: int) -> None:
    """Wrap AAC's setup in 'wave'."""
    if entry.type != b"mp4a" or _sound_version(entry) != 0:
        return
    boxes = parse_box(b"", entry.data[SOUND_HEAD:])
    setup = boxes.find("esds")
    if setup is None:
        return
    wave = Node(b"wave", b"", [Node(b"frma", b"mp4a"), Node(b"mp4a", bytes(4)), setup])
    wave.nodes.append(Node(bytes(4)))
    boxes.children = [wave, *(box for box in boxes.nodes if box is not setup)]
    head = entry.data[:8] + struct.pack(">HHI", 1, 0, 0) + entry.data[16:20]
    head += struct.pack(">hH", -2, 0) + entry.data[24:28]
    head += struct.pack(">IIII", sample_duration or 1024, 1, 2, 2)
    entry.data = head + boxes.to_bytes()[8:]


def _as_iso(entry: Node, _: int) -> None:
    """Take AAC's setup out of 'wave', and describe 16-bit PCM in the short form."""
    version, data = _sound_version(entry), entry.data
    if entry.type == b"mp4a" and version == 1:
        boxes = parse_box(b"", data[SOUND_HEAD + SOUND_MORE[1] :])
        wave = boxes.find("wave")
        setup = parse_box(b"", wave.data).find("esds") if wave is not None else None
        if setup is not None:
            boxes.children = [setup, *(box for box in boxes.nodes if box is not wave)]
            head = data[:8] + bytes(8) + data[16:20] + bytes(4) + data[24:28]
            entry.data = head + boxes.to_bytes()[8:]
    elif entry.type == b"lpcm" and version == 2 and len(data) >= SOUND_HEAD + SOUND_MORE[2]:
        _, rate, channels, _, bits, flags, _, frames = struct.unpack_from(">Id6I", data, SOUND_HEAD)
        plain = flags & (PCM_FLOAT | PCM_SIGNED) == PCM_SIGNED and (bits, frames) == (16, 1)
        if plain and 0 < rate < 65536 and rate % 1 == 0 and channels < 65536:
            entry.type = b"twos" if flags & PCM_BIG_ENDIAN else b"sowt"
            head = data[:8] + struct.pack(">QHHII", 0, channels, bits, 0, int(rate) << 16)
            entry.data = head + data[SOUND_HEAD + SOUND_MORE[2] :]


def _sound_version(entry: Node) -> int:
    return int.from_bytes(entry.data[8:10], "big") if len(entry.data) >= SOUND_HEAD else -1


def _has_all_sets(entry: bytes) -> bool:
    """Return whether an HEVC description holds every parameter set, as the name 'hvc1' promises."""
    setup = parse_box(b"", entry[PICTURE_HEAD:]).payload("hvcC")
    if len(setup) < 23:
        return False
    found, at = set(), 23
    for _ in range(setup[22]):
        if at + 3 > len(setup):
            return False
        kind, count = setup[at] & 0x3F, int.from_bytes(setup[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            at += 2 + int.from_bytes(setup[at : at + 2], "big")
        if count and at <= len(setup):
            found.add(kind)
    return found >= VPS_SPS_PPS
