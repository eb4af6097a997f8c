"""What tests read from converted files."""

import io
from pathlib import Path

from PIL import Image

from livemoments.livephoto import open_live_photo
from livemoments.livephoto.checking.apple import check_apple
from livemoments.livephoto.checking.findings import broken
from livemoments.livephoto.container.heif_items import item_bytes, read_items
from livemoments.livephoto.container.jpeg_edit import split_jpeg
from livemoments.livephoto.container.source import kind_of
from livemoments.livephoto.metadata.exif import MAKER_NOTE
from livemoments.livephoto.metadata.xmp import parse_motion_facts
from livemoments.livephoto.reading.motion_photo import find_embedded_clip
from livemoments.livephoto.still.still import read_still
from livemoments.livephoto.still.still_bytes import StillFile, read_still_file
from support.motion_photos import broken_rules


def coded_still(path: Path) -> dict[int, bytes] | bytes:
    """The coded picture in a still's file: a JPEG's scans, a HEIC's items but metadata."""
    file = still_file(path)
    if file.format == "JPEG":
        return split_jpeg(file.data).picture
    stream = io.BytesIO(file.data)
    items = read_items(stream, len(file.data)).items.values()
    kept = [item for item in items if item.type not in (b"Exif", b"mime")]
    return {item.id: item_bytes(stream, item, 1 << 30) for item in kept}


def rules_broken(done) -> list:
    if done.movie is None:
        return broken_rules(done.path)
    return [f"{each.rule}: {each.found}" for each in broken(check_apple(done.path, done.movie))]


def tags(path: Path) -> tuple:
    """EXIF by table, as stored, without Apple's identifier."""
    tree = Image.Exif()
    tree.load(still_file(path).exif or b"MM\0*\0\0\0\x08\0\0\0\0\0\0")
    details = dict(tree.get_ifd(0x8769))
    note = details.pop(MAKER_NOTE, b"")
    if note.startswith(b"Apple iOS"):
        note = b""
    return {k: v for k, v in tree.items() if k != 0x8769}, details, tree.get_ifd(0x8825), note


def still_file(path: Path) -> StillFile:
    """A photo's own bytes, wherever its clip is."""
    still = read_still(path) if kind_of(path.read_bytes()[:64]) == "still" else None
    if still is None:  # a package
        still = open_live_photo(path).still
    embedded = find_embedded_clip(still.source, parse_motion_facts(still.xmp))
    return read_still_file(still, embedded.source if embedded else still.source)
