"""Edit the index of a MOV or MP4 while its media stay as they are, bit for bit.

The index ('moov') is read into a tree of nodes that can be changed at will. Writing copies every
other box of the file and puts right what says where media lie ('stco', 'co64'): a box before the
media may have grown, or a whole clip may have moved. New samples go into an 'mdat' of their own
before the index; media that are no longer wanted can be left out of theirs.

    movie = read_editable(source)
    ...                              change movie.ftyp and movie.moov
    movie.write(stream)              or movie.to_bytes()

QuickTime File Format (developer.apple.com/documentation/quicktime-file-format); ISO/IEC 14496-12.
"""

import io
import struct
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from livemoments.errors import DamagedFileError, UnsupportedFileError
from livemoments.livephoto.container.boxes import Box, iter_boxes, read_payload
from livemoments.livephoto.container.source import Source

# Boxes that hold boxes which hold boxes, those of interest; all numbered entries of 'ilst' do too.
CONTAINERS: dict[bytes, set[bytes]] = {
    b"moov": {b"trak", b"udta", b"meta"},
    b"trak": {b"mdia", b"edts", b"tref", b"udta", b"meta"},
    b"mdia": {b"minf"},
    b"minf": {b"stbl", b"gmhd", b"dinf"},
    b"udta": {b"meta"},
    b"meta": {b"ilst"},
}
TABLES = "mdia/minf/stbl"
OFFSETS = (b"stco", b"co64")
MOST_32 = 0xFFFF_FFFF
CHUNK = 1 << 20


@dataclass(eq=False)
class Node:
    """A box in memory."""

    type: bytes  # four letters, or the number of an 'ilst' entry
    # A leaf's payload; of a box that holds boxes, what comes before the first of them.
    data: bytes = b""
    children: list["Node"] | None = None  # the boxes in it, or None for a leaf
    tail: bytes = b""  # what follows the last whole child: a terminator, padding, or damage

    @property
    def nodes(self) -> list["Node"]:
        """The boxes in it; none for a leaf."""
        return self.children if self.children is not None else []

    def to_bytes(self) -> bytes:
        """Return the whole box."""
        payload = self.data + b"".join(child.to_bytes() for child in self.nodes) + self.tail
        return struct.pack(">I4s", 8 + len(payload), self.type) + payload

    def all(self, kind: str) -> list["Node"]:
        """Return its children of one type."""
        return [child for child in self.nodes if child.type == kind.encode("latin-1")]

    def find(self, path: str) -> "Node | None":
        """Return the first box below at a path such as 'mdia/minf/stbl', or None."""
        kind, _, rest = path.partition("/")
        for child in self.all(kind):
            found = child.find(rest) if rest else child
            if found is not None:
                return found
        return None

    def payload(self, path: str) -> bytes:
        """Return the payload of the first leaf at a path; empty where there is none."""
        found = self.find(path)
        return found.data if found is not None else b""

    def put(self, node: "Node", *, after: tuple[str, ...] = ()) -> None:
        """Replace the child of the node's type; a new one goes behind the last one of `after`."""
        children = self.children = self.nodes
        for index, child in enumerate(children):
            if child.type == node.type:
                children[index] = node
                return
        kinds = [name.encode("latin-1") for name in after]
        places = [index for index, child in enumerate(children) if child.type in kinds]
        children.insert(places[-1] + 1 if places else len(children), node)

    def drop(self, kind: str) -> None:
        """Remove its children of one type."""
        self.children = [child for child in self.nodes if child.type != kind.encode("latin-1")]


def parse_box(kind: bytes, payload: bytes) -> Node:
    """Read a box that holds boxes, and those in it.

    Args:
        kind: Its type.
        payload: What follows its header.
    """
    head = b""
    if kind == b"meta" and payload[4:8] not in (b"hdlr", b"keys", b"ilst"):
        head, payload = payload[:4], payload[4:]  # MP4 has version and flags here, QuickTime not
    node = Node(kind, head, [])
    at = 0
    for box in iter_boxes(io.BytesIO(payload), 0, len(payload)):
        if not box.complete or not any(box.type):
            break
        inner = payload[box.payload : box.end]
        holds = kind == b"ilst" or box.type in CONTAINERS.get(kind, set())
        node.nodes.append(parse_box(box.type, inner) if holds else Node(box.type, inner))
        at = box.end
    node.tail = payload[at:]
    return node


@dataclass(eq=False)
class Movie:
    """A MOV or MP4: its index in memory, its media in the file."""

    source: Source  # the file's bytes
    boxes: tuple[Box, ...]  # the boxes at its top
    ftyp: bytes  # payload of 'ftyp', empty for none
    # The index. Chunk offsets in it count in the source, beyond its end in `brought`, and beyond
    # that in `media`.
    moov: Node
    media: bytearray = field(default_factory=bytearray)  # new samples
    # Samples of another file. To be set before anything is added to `media`.
    brought: Source | None = None
    # Runs of bytes (start, end) of the source's media that are left out, ascending.
    dropped: tuple[tuple[int, int], ...] = ()

    @property
    def tracks(self) -> list[Node]:
        """Its tracks, in file order."""
        return self.moov.all("trak")

    def add_media(self, sample: bytes) -> int:
        """Add a sample; returns its offset as the index counts until it is written."""
        self.media += sample
        return self.added_at + len(self.media) - len(sample)

    @property
    def added_at(self) -> int:
        """Offset of the first byte of `media`, as the index counts until it is written."""
        return self.source.length + (self.brought.length if self.brought else 0)

    def to_bytes(self) -> bytes:
        """Return the whole file."""
        stream = io.BytesIO()
        self.write(stream)
        return stream.getvalue()

    def write(self, stream: BinaryIO) -> int:
        """Write the whole file and return its length; the movie itself stays as it is.

        Raises:
            DamagedFileError: A track's media lie outside the file, or it changed meanwhile.
        """
        written = 0
        for part in _laid_out(self):
            if isinstance(part, bytes):
                written += stream.write(part)
                continue
            with part.source.open() as source:
                source.seek(part.start)
                _copy(source, stream, part)
            written += part.end - part.start
        return written


def read_editable(source: Source) -> Movie:
    """Read a movie whose index shall be changed.

    Raises:
        DamagedFileError: It has no index, or is cut short.
        UnsupportedFileError: Its index is spread over fragments.
    """
    with source.open() as stream:
        boxes = tuple(iter_boxes(stream, 0, source.length))
        kinds = [box.type for box in boxes]
        if kinds.count(b"moov") != 1 or not all(box.complete for box in boxes):
            found = "cut short" if b"moov" in kinds else "without an index ('moov')"
            raise DamagedFileError(
                f"{source.name}: the video is {found}, so it cannot be written anew; copy it again"
            )
        if b"moof" in kinds:
            raise UnsupportedFileError(
                f"{source.name}: a fragmented video ('moof') cannot be written anew"
            )
        payloads = {
            box.type: read_payload(stream, box) for box in boxes if box.type in (b"ftyp", b"moov")
        }
    moov = parse_box(b"moov", payloads[b"moov"])
    return Movie(source=source, boxes=boxes, ftyp=payloads.get(b"ftyp", b""), moov=moov)


@contextmanager
def naming_damage(source: Source) -> Iterator[None]:
    """Turn what goes wrong in an index that is cut short into an error that names the file."""
    try:
        yield
    except (struct.error, IndexError) as error:
        raise DamagedFileError(
            f"{source.name}: the video's index is damaged ({error}); copy the file again"
        ) from error


def chunk_offsets(track: Node) -> list[int]:
    """Return where a track's chunks lie, as its 'stco' or 'co64' states."""
    wide = track.payload(f"{TABLES}/co64")
    table, letter = (wide, "Q") if wide else (track.payload(f"{TABLES}/stco"), "I")
    if len(table) < 8:
        return []
    room = (len(table) - 8) // struct.calcsize(letter)
    count = min(struct.unpack_from(">I", table, 4)[0], room)
    return list(struct.unpack_from(f">{count}{letter}", table, 8))


def set_chunk_offsets(track: Node, offsets: list[int]) -> None:
    """Set them: as 'co64' where that was there or an offset needs it, else as 'stco'."""
    tables = track.find(TABLES)
    if tables is None:
        return
    wide = tables.find("co64") is not None or max(offsets, default=0) > MOST_32
    kind, letter = (b"co64", "Q") if wide else (b"stco", "I")
    table = Node(kind, struct.pack(f">II{len(offsets)}{letter}", 0, len(offsets), *offsets))
    tables.children = [table if node.type in OFFSETS else node for node in tables.nodes]
    if table not in tables.nodes:
        tables.nodes.append(table)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """Bytes of a file to be copied; `box`: from a box's header on."""

    source: Source
    start: int
    end: int
    box: bool = False


def _laid_out(movie: Movie) -> list[bytes | _Run]:
    """Return the parts of the file in order: boxes to copy, and bytes.

    The index's length decides where media lie, and how far away they lie decides the length of
    the index's own tables: so it is laid out until it no longer grows.
    """
    moov = movie.moov.to_bytes()
    while True:
        index = parse_box(b"moov", moov[8:])
        parts, moves = _places(movie, moov)
        for old, new in zip(movie.tracks, index.all("trak"), strict=True):
            offsets = [moves.new(offset) for offset in chunk_offsets(old)]
            if offsets:
                set_chunk_offsets(new, offsets)
        laid = index.to_bytes()
        if len(laid) == len(moov):
            return [laid if part is moov else part for part in parts]
        moov = laid


@dataclass(frozen=True, kw_only=True)
class _Moves:
    """Where runs of bytes come to lie: old starts, ascending, old ends and new starts."""

    name: str
    starts: list[int]
    ends: list[int]
    news: list[int]

    def new(self, offset: int) -> int:
        """Return the new place of a byte."""
        index = bisect_right(self.starts, offset) - 1
        if index < 0 or offset > self.ends[index]:
            raise DamagedFileError(
                f"{self.name}: the video's index points outside its media (byte {offset}),"
                " so it cannot be written anew; copy it again"
            )
        return self.news[index] + offset - self.starts[index]


def _places(movie: Movie, moov: bytes) -> tuple[list[bytes | _Run], _Moves]:
    """Return the parts of the file with this index, and where each run of its media lies then."""
    parts: list[bytes | _Run] = []
    runs: list[tuple[int, int, int]] = []
    at = 0

    def put(part: bytes | _Run, old: int | None = None) -> None:
        nonlocal at
        length = len(part) if isinstance(part, bytes) else part.end - part.start
        if old is not None:
            runs.append((old, old + length, at))
        parts.append(part)
        at += length

    if movie.ftyp:
        put(Node(b"ftyp", movie.ftyp).to_bytes())
    for box in movie.boxes:
        if box.type == b"moov":
            if movie.brought is not None:
                put(_mdat_header(movie.brought.length))
                whole = _Run(source=movie.brought, start=0, end=movie.brought.length)
                put(whole, movie.source.length)
            if movie.media:
                put(_mdat_header(len(movie.media)))
                put(bytes(movie.media), movie.added_at)
            put(moov)
        elif box.type == b"mdat" and _loses(box, movie.dropped):
            remaining = _remaining(box, movie.dropped)
            if remaining:
                put(_mdat_header(sum(end - start for start, end in remaining)))
            for start, end in remaining:
                put(_Run(source=movie.source, start=start, end=end), start)
        elif box.type != b"ftyp":
            put(_Run(source=movie.source, start=box.start, end=box.end, box=True), box.start)
    runs.sort()
    moves = _Moves(
        name=movie.source.name,
        starts=[start for start, _, _ in runs],
        ends=[end for _, end, _ in runs],
        news=[new for _, _, new in runs],
    )
    return parts, moves


def _loses(box: Box, dropped: tuple[tuple[int, int], ...]) -> bool:
    """Return whether some of a box's payload is left out."""
    return any(start < box.end and end > box.payload for start, end in dropped)


def _remaining(box: Box, dropped: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """Return the runs of a box's payload that are not left out."""
    remaining, at = [], box.payload
    for start, end in dropped:
        if end <= at or start >= box.end:
            continue
        if start > at:
            remaining.append((at, start))
        at = min(end, box.end)
    if at < box.end:
        remaining.append((at, box.end))
    return remaining


def _mdat_header(length: int) -> bytes:
    """Return the header of an 'mdat' with so many bytes of media."""
    if length + 8 > MOST_32:
        return struct.pack(">I4sQ", 1, b"mdat", length + 16)
    return struct.pack(">I4s", length + 8, b"mdat")


def _copy(source: io.RawIOBase, stream: BinaryIO, run: _Run) -> None:
    """Copy; a box that runs "to the end of the file" gets its size: other boxes may follow."""
    left = run.end - run.start
    if run.box:
        head = source.read(min(8, left)) or b""
        if head[:4] == bytes(4) and left <= MOST_32:
            head = struct.pack(">I", left) + head[4:]
        left -= stream.write(head)
    while left > 0:
        data = source.read(min(CHUNK, left))
        if not data:
            raise DamagedFileError(
                f"{run.source.name}: the video became shorter while it was copied"
            )
        left -= stream.write(data)
