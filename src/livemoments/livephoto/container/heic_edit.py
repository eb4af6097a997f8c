"""Replace the metadata of a HEIC and add items, while every picture stays byte for byte.

Metadata that got no longer is written where it was; what grew or is new goes into an 'mdat' of its
own at the end, and its old place is blanked. As 'meta' grows by that, whatever lies behind it
moves, and 'iloc' is written anew.
"""

import io
import struct
from dataclasses import replace

from livemoments.errors import DamagedFileError, UnsupportedFileError
from livemoments.livephoto.container.boxes import iter_boxes
from livemoments.livephoto.container.heif_items import HeifItem, read_items
from livemoments.livephoto.container.heif_tables import (
    IN_FILE,
    XMP_MIME,
    Extent,
    ItemEntry,
    ItemPlace,
    Reference,
    box_bytes,
    iloc_bytes,
    read_iloc,
    with_entries,
    with_references,
)

HEADER = 8  # bytes of a box's
MOST_SHORT = 0x7FFF_FFFF  # above, offsets take eight bytes
NO_REFERENCES = bytes(4)


class HeicEditor:
    """A HEIC while its items are replaced and added to.

    Attributes:
        items: What there was at first.
        primary: The number of the picture that is shown; 0 where none is named.
    """

    def __init__(self, data: bytes) -> None:
        """Take a whole file apart.

        Raises:
            DamagedFileError: It is cut short, or its tables are broken.
        """
        stream = io.BytesIO(data)
        self._boxes = list(iter_boxes(stream, 0, len(data)))
        meta = next((box for box in self._boxes if box.type == b"meta"), None)
        if meta is None or not all(box.complete for box in self._boxes):
            raise DamagedFileError("it is cut short" if meta else "it has no index of its pictures")
        self._data, self._meta = bytearray(data), meta
        self.items = read_items(stream, len(data))
        children = list(iter_boxes(stream, meta.payload + 4, meta.end))
        self._children = [(box.type, data[box.payload : box.end]) for box in children]
        self._places = read_iloc(self.table(b"iloc") or b"")
        self.primary = int.from_bytes((self.table(b"pitm") or b"")[4:], "big")
        self._added = bytearray()  # bytes that go behind all else
        self._in_added: set[int] = set()  # items that lie there
        self._edited = False

    def table(self, kind: bytes) -> bytes | None:
        """Return the payload of a box in 'meta', or None."""
        return next((payload for name, payload in self._children if name == kind), None)

    def put_table(self, kind: bytes, payload: bytes) -> None:
        """Set the payload of a box in 'meta', which comes last if it is new."""
        places = [at for at, (name, _) in enumerate(self._children) if name == kind]
        at = places[0] if places else len(self._children)
        self._children[at : at + 1] = [(kind, payload)]

    def add(self, kind: bytes, payload: bytes, *, link: bytes, target: int) -> int:
        """Add an item that is no picture to be shown; returns its number.

        Args:
            kind: Its type; a "mime" item is XMP.
            payload: Its bytes.
            link: What it is to another item: "cdsc", "auxl".
            target: That item's number.
        """
        number = max([*self.items.items, *(place.id for place in self._places.places)], default=0)
        number += 1
        mime = XMP_MIME if kind == b"mime" else b""
        entry = ItemEntry(id=number, type=kind, content_type=mime)
        reference = Reference(kind=link, source=number, target=target)
        self.put_table(b"iinf", with_entries(self.table(b"iinf") or bytes(6), [entry]))
        self.put_table(b"iref", with_references(self.table(b"iref") or NO_REFERENCES, [reference]))
        self._append(number, payload)
        return number

    def put(self, item: HeifItem, payload: bytes) -> None:
        """Replace an item's bytes: where the old ones are if they fit there, else at the end."""
        if len(item.extents) != 1 or self._is_shared(item):
            self._append(item.id, payload)
            return
        start, length = item.extents[0]
        fits = len(payload) <= length
        blanked = payload if fits else b""
        self._data[start : start + length] = blanked.ljust(length, b"\0")
        if not fits:
            self._append(item.id, payload)
        elif len(payload) < length:
            row = next(each for each in self._places.places if each.id == item.id)
            extent = replace(row.extents[0], length=len(payload))
            self._place(replace(row, extents=(extent,)))

    def to_bytes(self) -> bytes:
        """Return the file, its tables written anew where anything moved.

        Raises:
            DamagedFileError: Its tables hold numbers that no file has.
            UnsupportedFileError: It is built so that nothing in it can be moved safely.
        """
        if not self._edited:
            return bytes(self._data)
        wide = len(self._data) + len(self._added) > MOST_SHORT
        # The table's length does not depend on the numbers in it, so one guess places everything.
        blank = iloc_bytes(self._places, wide=wide)
        grown = len(self._meta_bytes(blank)) - (self._meta.end - self._meta.start)
        places = tuple(self._at_new_place(each, grown) for each in self._places.places)
        meta = self._meta_bytes(iloc_bytes(replace(self._places, places=places), wide=wide))
        parts = [
            meta if box is self._meta else bytes(self._data[box.start : box.end])
            for box in self._boxes
        ]
        last = self._boxes[-1]
        if self._data[last.start : last.start + 4] == bytes(4):  # "to the end of the file": no more
            parts[-1] = struct.pack(">I", len(parts[-1])) + parts[-1][4:]
        if self._added:
            parts.append(box_bytes(b"mdat", bytes(self._added)))
        return b"".join(parts)

    def _append(self, number: int, payload: bytes) -> None:
        extent = Extent(index=0, start=len(self._added), length=len(payload))
        self._added += payload
        self._in_added.add(number)
        self._place(ItemPlace(id=number, method=IN_FILE, reference=0, extents=(extent,)))

    def _place(self, place: ItemPlace) -> None:
        """Set where an item lies."""
        rows = list(self._places.places)
        at = next((n for n, each in enumerate(rows) if each.id == place.id), len(rows))
        rows[at : at + 1] = [place]
        self._places = replace(self._places, places=tuple(rows))
        self._edited = True

    def _is_shared(self, item: HeifItem) -> bool:
        """Return whether another item has bytes of this one."""
        start, length = item.extents[0]
        return any(
            other.id != item.id and low < start + length and start < low + size
            for other in self.items.items.values()
            for low, size in other.extents
        )

    def _meta_bytes(self, iloc: bytes) -> bytes:
        head = bytes(self._data[self._meta.payload : self._meta.payload + 4])
        held = [(kind, iloc if kind == b"iloc" else payload) for kind, payload in self._children]
        return box_bytes(b"meta", head + b"".join(box_bytes(*each) for each in held))

    def _at_new_place(self, place: ItemPlace, grown: int) -> ItemPlace:
        """Return an item's place in the file when 'meta' has grown by so many bytes."""
        if place.method != IN_FILE or place.reference:
            return place
        if grown and any(box.type == b"moov" for box in self._boxes):
            raise UnsupportedFileError("it holds a sequence of pictures too")
        added, extents = place.id in self._in_added, []
        for each in place.extents:
            start = each.start
            if added:
                start += self._boxes[-1].end + grown + HEADER
            elif start >= self._meta.end:
                start += grown
            elif start >= self._meta.start:
                raise UnsupportedFileError("a picture lies within the index of its pictures")
            if not each.length:
                raise UnsupportedFileError("a picture of no stated length")
            extents.append(replace(each, start=start))
        return replace(place, extents=tuple(extents))
