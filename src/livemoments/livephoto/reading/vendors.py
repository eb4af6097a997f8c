"""Tell vendors' versions of Google's Motion Photo apart: vivo, Xiaomi, OPPO, OnePlus and realme.

All store the clip as Google does and add words of their own, which only name the form.
"""

import json
import struct
from typing import Any

from livemoments.livephoto.container.source import Source
from livemoments.livephoto.metadata.exif import BrokenExif, ExifEditor
from livemoments.livephoto.metadata.xmp import OPLUS, VIVO, XIAOMI, MotionFacts

GOOGLE_FORMS = ("google-motion-photo", "microvideo")
XIAOMI_TAG = 0x8897  # EXIF: 1 where the photo holds a clip

ONEPLUS_END = b"jxrs"
MAX_ONEPLUS_LIST = 1 << 20


def vendor_form(kind: str, facts: MotionFacts, exif: bytes | None) -> str:
    """Return the vendor's name for a clip stored as Google does; otherwise the kind as it is.

    Programs that convert write the words of several vendors at once. vivo's come first, as
    vivo's own gallery adds OPPO's to what it shares; Xiaomi's next, as OPPO never adds them.
    """
    if kind not in GOOGLE_FORMS:
        return kind
    if VIVO in facts.namespaces:
        return "vivo"
    if XIAOMI in facts.namespaces or _has_xiaomi_tag(exif):
        return "xiaomi"
    return "oppo" if OPLUS in facts.namespaces else kind


def _has_xiaomi_tag(exif: bytes | None) -> bool:
    if not exif:
        return False
    try:
        editor = ExifEditor(exif)
    except (BrokenExif, struct.error):
        return False
    values = (editor.get("main", XIAOMI_TAG), editor.get("details", XIAOMI_TAG))
    return any(value is not None and any(value) for value in values)


def oneplus_trailer_length(source: Source) -> int:
    """Return the length of the trailer some OnePlus phones write at a file's end, or 0.

    It is a run of blobs, a JSON list that says how far before the list each starts, 'jxrs' and
    the u32 length of the list with these eight bytes. Source: exiftool, Trailer.pm.
    """
    if source.length < 16:
        return 0
    with source.open() as stream:
        stream.seek(source.length - 8)
        end, length = struct.unpack("<4sI", stream.read(8))
        if end != ONEPLUS_END or not 8 < length <= min(MAX_ONEPLUS_LIST, source.length):
            return 0
        stream.seek(source.length - length)
        text = stream.read(length - 8).rstrip(b"\0").decode("utf-8", "replace")
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return 0
    return length + max(map(_offset, entries), default=0) if isinstance(entries, list) else 0


def _offset(entry: Any) -> int:  # noqa: ANN401 - JSON holds anything
    offset = entry.get("offset") if isinstance(entry, dict) else None
    return offset if isinstance(offset, int) and offset > 0 else 0
