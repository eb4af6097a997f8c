"""Read the footer of Huawei, HarmonyOS and Honor: texts of 20 bytes, padded, at the file's end.

    [picture][MP4][cinemagraph]['v3_f<frame>'][<start>:<cover> in ms]['LIVE_<n>']

n counts the MP4, the cinemagraph (most files have none) and the first text, so the MP4 starts at
file size - n - 40. Old systems leave the first text out. Honor writes 'HiHonor_OfflineData' and a
zero byte before the MP4 and counts those, as long as the first text, instead of it; behind the
MP4 stands a private 'uuid' box. Source: openharmony, moving_photo_file_utils.cpp.
"""

import re
from dataclasses import dataclass

from livemoments.livephoto.container.boxes import iter_boxes
from livemoments.livephoto.container.source import ByteStream, Source

FIELD = 20
FOOTER = 3 * FIELD
HONOR_MARKER = b"HiHonor_OfflineData\0"
LIVE = re.compile(rb"LIVE_(\d{1,15})")
VERSION = re.compile(rb"[vV]\d{1,9}_[fF](\d{1,8})")
PLAY = re.compile(rb"\d{1,9}:(\d{1,9})\b")


@dataclass(frozen=True, kw_only=True)
class LiveFooter:
    """What the footer says; nothing here is verified yet."""

    start: int  # where the clip starts
    end: int  # first byte of the footer
    frame: int | None = None  # number of the clip's frame that is the key photo, from 0; or None
    # Time of the key photo, milliseconds of the clip; None when absent or unset.
    cover_ms: int | None = None


def read_footer(source: Source) -> LiveFooter | None:
    """Read the footer of a file, or return None where there is none."""
    if source.length <= FOOTER:
        return None
    with source.open() as stream:
        stream.seek(source.length - FOOTER)
        footer = stream.read(FOOTER)
    live = LIVE.match(footer[-FIELD:])
    if live is None:
        return None
    version = VERSION.match(footer[:FIELD])
    play = PLAY.match(footer[FIELD : 2 * FIELD])
    # '0:0' is what is written where nothing is known.
    cover_ms = int(play[1]) if play is not None else 0
    return LiveFooter(
        start=source.length - 2 * FIELD - int(live[1]),
        end=source.length - (2 * FIELD if version is None else FOOTER),
        frame=None if version is None else int(version[1]),
        cover_ms=cover_ms or None,
    )


def is_honor(stream: ByteStream, start: int) -> bool:
    """Return whether Honor's marker stands before the clip that starts at this byte."""
    if start < len(HONOR_MARKER):
        return False
    stream.seek(start - len(HONOR_MARKER))
    return stream.read(len(HONOR_MARKER)) == HONOR_MARKER


def before_private_box(stream: ByteStream, start: int, end: int) -> int:
    """Return where the clip in bytes [start, end) ends: before its first 'uuid' box, if any."""
    boxes = iter_boxes(stream, start, end)
    return next((box.start for box in boxes if box.type == b"uuid"), end)
