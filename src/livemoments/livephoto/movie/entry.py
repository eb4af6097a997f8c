"""Write what a picture track states of its pictures: their coding, and their size.

The sample description ('stsd') gets the new coding's setup; colour, pixel shape, aperture and light
levels stay. What the old coding alone had (Dolby Vision's instructions, a second eye's pictures)
goes, with a note.
"""

import struct

from livemoments.livephoto.movie.edit import TABLES, Node, parse_box

PICTURE_HEAD = 78  # of a sample description: width and height at 24, then resolution, name, depth
WIDTH = 24
SETUPS = {b"avc1": b"avcC", b"hvc1": b"hvcC"}
# What describes the pictures, however they are coded.
UNCHANGED = (
    b"colr",
    b"pasp",
    b"clap",
    b"fiel",
    b"gama",
    b"clli",
    b"mdcv",
    b"amve",
    b"cclv",
    b"chrm",
)
DOLBY_VISION = {b"dvcC", b"dvvC", b"dvwC"}
SECOND_EYE = {b"lhvC", b"vexu"}


def describe_as(track: Node, coded: Node) -> tuple[str, ...]:
    """Say that a track's samples are coded as another track's; returns notes.

    Args:
        track: With one sample description, which is changed.
        coded: A track as the encoder's own file describes it.
    """
    table, made = track.find(f"{TABLES}/stsd"), coded.payload(f"{TABLES}/stsd")
    if table is None:
        return ()
    (entry,) = parse_box(b"", table.data[8:]).nodes
    (new,) = parse_box(b"", made[8:]).nodes
    old = parse_box(b"", entry.data[PICTURE_HEAD:]).nodes
    setup = [
        each for each in parse_box(b"", new.data[PICTURE_HEAD:]).nodes
        if each.type == SETUPS.get(new.type)
    ]  # fmt: skip
    unchanged = [each for each in old if each.type in UNCHANGED]
    head = entry.data[:PICTURE_HEAD]
    payload = head + b"".join(each.to_bytes() for each in (*setup, *unchanged))
    # A QuickTime description may end in four zeros; they are no box, and nothing needs them.
    table.data = table.data[:8] + Node(new.type, payload).to_bytes()
    gone = {each.type for each in old}
    notes: tuple[str, ...] = ()
    if gone & DOLBY_VISION:
        notes += ("Dolby Vision's instructions were left out: they hold for the old pictures",)
    if gone & SECOND_EYE:
        notes += ("the second eye's pictures were left out: one is written",)
    return notes


def enlarge_track(track: Node, scale: int) -> None:
    """Say everywhere that a track's pictures are scale times as wide and high."""
    if scale == 1:
        return
    header = track.find("tkhd")
    if header is not None:  # width and height are its last two numbers, 16.16
        sizes = [min(each * scale, 0xFFFF_FFFF) for each in struct.unpack(">II", header.data[-8:])]
        header.data = header.data[:-8] + struct.pack(">II", *sizes)
    for apertures in track.all("tapt"):
        boxes = parse_box(b"tapt", apertures.data)
        for each in boxes.nodes:
            sizes = [size * scale for size in struct.unpack_from(">II", each.data, 4)]
            each.data = each.data[:4] + struct.pack(">II", *sizes) + each.data[12:]
        apertures.data = boxes.to_bytes()[8:]
    table = track.find(f"{TABLES}/stsd")
    if table is not None:
        entries = parse_box(b"", table.data[8:]).nodes
        for entry in entries:
            _enlarge_entry(entry, scale)
        table.data = table.data[:8] + b"".join(each.to_bytes() for each in entries)


def _enlarge_entry(entry: Node, scale: int) -> None:
    sizes = [size * scale for size in struct.unpack_from(">HH", entry.data, WIDTH)]
    head = entry.data[:WIDTH] + struct.pack(">HH", *sizes) + entry.data[WIDTH + 4 : PICTURE_HEAD]
    boxes = parse_box(b"", entry.data[PICTURE_HEAD:]).nodes
    for each in boxes:
        if each.type == b"clap" and len(each.data) >= 32:
            numbers = list(struct.unpack_from(">8i", each.data))
            numbers[0::2] = [number * scale for number in numbers[0::2]]
            each.data = struct.pack(">8i", *numbers) + each.data[32:]
    entry.data = head + b"".join(each.to_bytes() for each in boxes)
