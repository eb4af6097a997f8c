"""Make the XMP of a still true for a picture restored from its clip."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from livemoments.livephoto.metadata.xmp import harmless_text

XMLNS = "http://www.w3.org/2000/xmlns/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP = "http://ns.adobe.com/xap/1.0/"
EXIF = "http://ns.adobe.com/exif/1.0/"
TIFF = "http://ns.adobe.com/tiff/1.0/"
PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"

# Declarations of clips, containers, gain maps, depth maps and extended packets, all of which stay
# behind, and regions (faces, focus), which are places in the key photo's view.
LEFT_BEHIND = (
    "http://ns.google.com/photos/",
    "http://ns.adobe.com/hdr-gain-map/",
    "http://ns.adobe.com/hdr-metadata/",
    "http://ns.adobe.com/xmp/note/",
    "http://ns.apple.com/",
    "http://ns.samsung.com/",
    "http://ns.xiaomi.com/",
    "http://ns.oplus.com/",
    "http://ns.vivo.com/",
    "http://ns.hihonor.com/",
    "http://www.metadataworkinggroup.com/schemas/regions/",
)
# What EXIF says again, and says right.
STALE = {(TIFF, "Orientation"), (TIFF, "ImageWidth"), (TIFF, "ImageLength")}
STALE |= {(EXIF, "PixelXDimension"), (EXIF, "PixelYDimension"), (XMP, "Thumbnails")}
DATES = {(XMP, "CreateDate"), (XMP, "ModifyDate"), (PHOTOSHOP, "DateCreated")}
DATES |= {(EXIF, "DateTimeOriginal"), (EXIF, "DateTimeDigitized")}
CREATOR_TOOL = (XMP, "CreatorTool")
ISO_DATE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?")


def carry_xmp(
    xmp: bytes | None, *, time_shift_s: float, software: str, moved: Mapping[str, str] | None = None
) -> bytes | None:
    """Return the packet for the new picture; None without one to read, empty if nothing is left.

    Args:
        xmp: the still's packet.
        time_shift_s: how far its dates move, seconds.
        software: replaces the creator tool, where one is named.
        moved: dates of EXIF, old -> new, both "YYYY-MM-DDTHH:MM:SS[.f]": a date that XMP has only
            to the second follows EXIF's.
    """
    root = parse_packet(xmp)
    if root is None:
        return None
    try:
        _clean(root)
        for name, node in list(_values(root)):
            if name in DATES:
                _set(node, moved_iso_date(_get(node), time_shift_s, moved or {}))
            elif name == CREATOR_TOOL:
                _set(node, software)
        if not _says_something(root):
            return b""
        body = root.toxml()
    except RecursionError:  # nested thousands deep: nobody's metadata
        return None
    return as_packet(body)


def as_packet(body: str) -> bytes:
    """XML wrapped as the specification wants a packet of XMP; its first sign is U+FEFF."""
    packet = f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{body}<?xpacket end="w"?>'
    return packet.encode("utf-8", "replace")


def moved_iso_date(text: str, shift_s: float, moved: Mapping[str, str]) -> str:
    """Move an XMP date with a time of day; others stay as they are."""
    match = ISO_DATE.fullmatch(text.strip())
    if match is None or shift_s == 0:
        return text
    if not match[2] and match[1] in moved:
        return moved[match[1]] + (match[3] or "")
    fraction = match[2] or ""
    try:
        moment = datetime.fromisoformat(match[1])
        moment += timedelta(seconds=shift_s + float(f"0.{fraction or 0}"))
    except (ValueError, OverflowError):
        return text
    digits = min(6, max(len(fraction), 3)) if fraction or shift_s % 1 else 0
    unit = 10 ** (6 - digits)
    whole = moment.replace(microsecond=0)
    moment = whole + timedelta(microseconds=round(moment.microsecond / unit) * unit)
    decimals = f".{moment.microsecond:06d}"[: digits + 1] if digits else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + decimals + (match[3] or "")


def parse_packet(xmp: bytes | None) -> minidom.Element | None:
    """Return the root element of a packet, or None where there is none or it cannot be read."""
    text = harmless_text(xmp)
    if text is None:
        return None
    try:
        return minidom.parseString(text.encode()).documentElement
    except (ExpatError, ValueError, LookupError, RecursionError):
        return None


def element_of(text: str) -> minidom.Element:
    """Return the root element of XML that was written here."""
    root = minidom.parseString(text).documentElement
    if root is None:
        raise ValueError("text without an element")
    return root


def rdf_of(root: minidom.Element) -> minidom.Element | None:
    """Return the element that holds a packet's descriptions: it may be the root itself."""
    if (root.namespaceURI, root.localName) == (RDF, "RDF"):
        return root
    found = root.getElementsByTagNameNS(RDF, "RDF")
    return found[0] if found else None


def _name(node: minidom.Element | minidom.Attr) -> tuple[str, str]:
    return (node.namespaceURI or "", node.localName or "")


def _is_left_behind(namespace: str) -> bool:
    return namespace.startswith(LEFT_BEHIND)


def _clean(element: minidom.Element) -> None:
    """Remove what does not hold for the new picture, from the inside out."""
    for child in [node for node in element.childNodes if isinstance(node, minidom.Element)]:
        if _is_left_behind(child.namespaceURI or "") or _name(child) in STALE:
            element.removeChild(child)
        else:
            _clean(child)
    for attribute in list((element.attributes or {}).values()):
        declares = attribute.namespaceURI == XMLNS and _is_left_behind(attribute.value)
        stale = _is_left_behind(attribute.namespaceURI or "") or _name(attribute) in STALE
        if declares or stale:
            element.removeAttributeNode(attribute)


def _values(element: minidom.Element) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield attributes and elements that hold text alone: XMP allows both spellings."""
    for attribute in (element.attributes or {}).values():
        yield _name(attribute), attribute
    if len(element.childNodes) == 1 and isinstance(element.childNodes[0], minidom.Text):
        yield _name(element), element.childNodes[0]
    for child in element.childNodes:
        if isinstance(child, minidom.Element):
            yield from _values(child)


def _get(node: minidom.Attr | minidom.Text) -> str:
    return node.value if isinstance(node, minidom.Attr) else node.data


def _set(node: minidom.Attr | minidom.Text, text: str) -> None:
    if isinstance(node, minidom.Attr):
        node.value = text
    else:
        node.data = text


def _says_something(root: minidom.Element) -> bool:
    """Return whether any description still has a property."""
    for element in root.getElementsByTagNameNS(RDF, "Description"):
        properties = [a for a in element.attributes.values() if a.namespaceURI not in (XMLNS, RDF)]
        children = any(isinstance(node, minidom.Element) for node in element.childNodes)
        if properties or children:
            return True
    return False
