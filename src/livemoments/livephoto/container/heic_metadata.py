"""Read and replace a HEIC's EXIF and XMP, and list what other pictures it holds."""

import io
from dataclasses import dataclass

from livemoments.livephoto.container.boxes import iter_boxes
from livemoments.livephoto.container.heic_edit import HeicEditor
from livemoments.livephoto.container.heif_items import HeifItem, item_bytes
from livemoments.livephoto.container.heif_tables import XMP_MIME

EXIF_HEAD = b"\0\0\0\6Exif\0\0"  # of the item: how far TIFF is away, then a name
MOST_METADATA = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class HeicMetadata:
    """What a HEIC says of its primary picture: EXIF as TIFF bytes and an XMP packet, or None."""

    exif: bytes | None
    xmp: bytes | None


def heic_metadata(data: bytes) -> HeicMetadata:
    """Read the metadata of a HEIC's primary picture, as the file has it.

    Raises:
        DamagedFileError: Its tables are broken.
    """
    editor, stream = HeicEditor(data), io.BytesIO(data)
    exif, xmp = _about_primary(editor, b"Exif"), _about_primary(editor, b"mime")
    stored = item_bytes(stream, exif, MOST_METADATA) if exif is not None else None
    return HeicMetadata(
        exif=stored[len(_exif_head(stored)) :] if stored is not None else None,
        xmp=item_bytes(stream, xmp, MOST_METADATA) if xmp is not None else None,
    )


def heic_with_metadata(data: bytes, *, exif: bytes | None, xmp: bytes | None) -> bytes:
    """Give a HEIC's primary picture this EXIF and XMP; None leaves what there is.

    Raises:
        DamagedFileError: Its tables are broken.
        UnsupportedFileError: It is built so that nothing in it can be moved safely.
    """
    editor = HeicEditor(data)
    if exif is not None:
        item = _about_primary(editor, b"Exif")
        old = item_bytes(io.BytesIO(data), item, MOST_METADATA) if item else b""
        _put(editor, item, b"Exif", _exif_head(old) + exif)
    if xmp is not None:
        _put(editor, _about_primary(editor, b"mime"), b"mime", xmp)
    return editor.to_bytes()


def auxiliary_kinds(data: bytes) -> tuple[str, ...]:
    """URNs of a HEIC's auxiliary pictures: HDR gain map, depth, mattes."""
    found, stream = [], io.BytesIO(data)
    for meta in [box for box in iter_boxes(stream, 0, len(data)) if box.type == b"meta"]:
        for place in (b"iprp", b"ipco"):
            start = meta.payload + (4 if meta.type == b"meta" else 0)
            inner = [b for b in iter_boxes(stream, start, meta.end) if b.type == place]
            if not inner:
                break
            meta = inner[0]
        for box in iter_boxes(stream, meta.payload, meta.end):
            if box.type == b"auxC":
                urn = data[box.payload + 4 : box.end].split(b"\0")[0]
                found.append(urn.decode("ascii", "replace"))
    return tuple(dict.fromkeys(found))


def _about_primary(editor: HeicEditor, kind: bytes) -> HeifItem | None:
    """Return the item of this kind that describes the primary picture; or the only one, if EXIF."""
    for item in editor.items.describing(editor.primary):
        if item.type == kind and (kind != b"mime" or item.content_type == XMP_MIME):
            return item
    others = [item for item in editor.items.items.values() if item.type == kind]
    return others[0] if kind == b"Exif" and len(others) == 1 else None


def _put(editor: HeicEditor, item: HeifItem | None, kind: bytes, payload: bytes) -> None:
    if item is not None:
        editor.put(item, payload)
    else:
        editor.add(kind, payload, link=b"cdsc", target=editor.primary)


def _exif_head(stored: bytes) -> bytes:
    """Return what stands before TIFF in an EXIF item: u32 its distance, then so many bytes."""
    end = 4 + int.from_bytes(stored[:4], "big")
    return stored[:end] if stored[end : end + 4] in (b"II*\0", b"MM\0*") else EXIF_HEAD
