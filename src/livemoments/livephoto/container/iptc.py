"""Read IPTC-IIM in a JPEG and move its dates: authors, captions, keywords of photo agencies.

APP13 holds Photoshop's resources, each '8BIM', u16 number, a padded name, u32 size and a padded
value; number 0x0404 is a run of data sets: 0x1C, record, number, u16 size, value (IPTC-IIM 4.2).
"""

import struct
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from livemoments.livephoto.container.jpeg_parts import APP13, segment_bytes

IPTC_RESOURCE = 0x0404
RESOURCES_NAME = b"Photoshop 3.0\0"
MARK = 0x1C
LONG_SIZE = 0x8000
JPEG_IPTC_ROOM = 65_533 - len(RESOURCES_NAME) - 13  # what one segment holds of it
CREATED = (2, 55), (2, 60)  # date and time
DIGITISED = (2, 62), (2, 63)

DataSet = tuple[int, int, bytes]  # record, number, value


def iptc_of(resources: Any) -> bytes | None:  # noqa: ANN401 - Pillow's info holds anything
    """Return the IPTC among Photoshop's resources, which Pillow lists by number; or None."""
    value = resources.get(IPTC_RESOURCE) if isinstance(resources, Mapping) else None
    return value if isinstance(value, bytes) and value[:1] == bytes([MARK]) else None


def iptc_segment(iptc: bytes) -> bytes:
    """Return the APP13 segment of a JPEG with this IPTC, of at most JPEG_IPTC_ROOM bytes."""
    resource = b"8BIM" + struct.pack(">H2xI", IPTC_RESOURCE, len(iptc)) + iptc
    return segment_bytes(APP13, RESOURCES_NAME + resource + bytes(len(iptc) % 2))


def data_sets(iptc: bytes) -> list[DataSet]:
    """Yield the data sets up to the first that is broken."""
    found, at = [], 0
    while at + 5 <= len(iptc) and iptc[at] == MARK:
        size = int.from_bytes(iptc[at + 3 : at + 5], "big")
        if size & LONG_SIZE or at + 5 + size > len(iptc):
            break
        found.append((iptc[at + 1], iptc[at + 2], iptc[at + 5 : at + 5 + size]))
        at += 5 + size
    return found


def moved_iptc(iptc: bytes, shift_s: float) -> bytes:
    """Move the dates of IPTC, to whole seconds; dates without a time of day stay."""
    sets = data_sets(iptc)
    for names in (CREATED, DIGITISED):
        places = [next((i for i, s in enumerate(sets) if s[:2] == name), None) for name in names]
        if None in places:
            continue
        date, time = (sets[place] for place in places if place is not None)
        try:
            moment = datetime.strptime((date[2] + time[2][:6]).decode("ascii"), "%Y%m%d%H%M%S")
            moment += timedelta(seconds=shift_s)
        except (ValueError, OverflowError):
            continue
        moved = moment.strftime("%Y%m%d").encode(), moment.strftime("%H%M%S").encode() + time[2][6:]
        for place, value in zip(places, moved, strict=True):
            if place is not None:
                sets[place] = (*sets[place][:2], value)
    return b"".join(
        bytes([MARK, record, number]) + struct.pack(">H", len(value)) + value
        for record, number, value in sets
    )
