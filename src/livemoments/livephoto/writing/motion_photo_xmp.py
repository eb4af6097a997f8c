"""Write XMP that says where in a photo's file its clip lies: Google's properties, in a packet.

Written as Google's camera writes them, by attributes, with the prefixes GCamera, Container and
Item: Android's own reader (media3) goes by these names, and only looks at the first description.
"""

from collections.abc import Sequence
from typing import Any
from xml.dom import minidom

from livemoments.livephoto.hdr.xmp import CONTAINER, HDRGM, META, packet_of
from livemoments.livephoto.metadata.xmp import CAMERA, ITEM, OPLUS, VIVO, XIAOMI, ContainerItem
from livemoments.livephoto.metadata.xmp_edit import RDF, XMLNS, element_of, parse_packet, rdf_of

NAMESPACES = {"GCamera": CAMERA, "Container": CONTAINER, "Item": ITEM}
# What speaks of a clip, or of the places of all that is in the file: these words of Google's
# camera, and whatever its containers, Xiaomi, OPPO or vivo say.
ABOUT_CLIP = ("MotionPhoto", "MicroVideo")
ABOUT_FILE = frozenset({CONTAINER, ITEM, OPLUS, VIVO, XIAOMI})
SIGNS = tuple(word.encode() for word in (*ABOUT_CLIP, *sorted(ABOUT_FILE)))
FORM = {RDF, XMLNS, META, None}  # namespaces of a packet that says nothing
EMPTY = (
    f'<x:xmpmeta xmlns:x="{META}"><rdf:RDF xmlns:rdf="{RDF}">'
    '<rdf:Description rdf:about=""/></rdf:RDF></x:xmpmeta>'
)


def motion_photo_packet(
    xmp: bytes | None, items: Sequence[ContainerItem], timestamp_us: int
) -> bytes:
    """Return a packet of Motion Photo 1.0.

    Args:
        xmp: A packet to add to, whose properties of clips and containers are replaced; or None.
        items: The container's directory: the primary picture first, the clip last.
        timestamp_us: The picture's time in the clip, microseconds.
    """
    properties = {
        "MotionPhoto": 1,
        "MotionPhotoVersion": 1,
        "MotionPhotoPresentationTimestampUs": timestamp_us,
    }
    return _packet(xmp, properties, items)


def packet_of_jpeg_and_clip(clip_length: int, timestamp_us: int) -> bytes:
    """Return the packet of a JPEG that an MP4 of so many bytes follows at once."""
    first = ContainerItem(mime="image/jpeg", semantic="Primary", length=0, padding=0)
    last = ContainerItem(mime="video/mp4", semantic="MotionPhoto", length=clip_length, padding=0)
    return motion_photo_packet(None, [first, last], timestamp_us)


def micro_video_packet(xmp: bytes | None, offset: int, timestamp_us: int) -> bytes:
    """Return a packet of MicroVideo version 1.

    Args:
        xmp: A packet to add to, whose properties of clips and containers are replaced; or None.
        offset: Bytes from the clip's first one to the end of the file.
        timestamp_us: The picture's time in the clip, microseconds.
    """
    properties = {
        "MicroVideo": 1,
        "MicroVideoVersion": 1,
        "MicroVideoOffset": offset,
        "MicroVideoPresentationTimestampUs": timestamp_us,
    }
    return _packet(xmp, properties, ())


def packet_without_clip(xmp: bytes | None, items: Sequence[ContainerItem] = ()) -> bytes | None:
    """Remove what promises a clip from a packet; one that never did stays, byte for byte.

    Args:
        xmp: A packet, or None.
        items: The container's directory without the clip, where other pictures follow the first.

    Returns:
        None where there is none, or nothing of it is left.
    """
    if xmp is None:
        return None
    try:
        root = parse_packet(xmp)
        if root is None or rdf_of(root) is None or not _remove_stale(root, ABOUT_FILE):
            return xmp
        if not items and _namespaces(root) <= FORM:
            return None
        return _with_properties(root, {}, items)
    except RecursionError:  # nested thousands deep: no one writes such metadata
        return None


def speaks_of_clip(packet: bytes) -> bool:
    """Return whether a packet may hold words about a clip; it need not be one that can be read."""
    return any(sign in packet for sign in SIGNS)


def _packet(xmp: bytes | None, properties: dict[str, int], items: Sequence[ContainerItem]) -> bytes:
    try:
        root = parse_packet(xmp)
        if root is not None and rdf_of(root) is not None:
            return _with_properties(root, properties, items)
    except RecursionError:  # nested thousands deep: no one writes such metadata
        pass
    return _with_properties(element_of(EMPTY), properties, items)


def _with_properties(
    root: minidom.Element, properties: dict[str, int], items: Sequence[ContainerItem]
) -> bytes:
    rdf = rdf_of(root) or root
    in_heic = bool(items) and items[0].mime != "image/jpeg"
    keeps_gain_map = in_heic or any(item.semantic == "GainMap" for item in items)
    _remove_stale(root, ABOUT_FILE if keeps_gain_map else ABOUT_FILE | {HDRGM})
    description = _only_description(rdf)
    used = ("GCamera",) if properties else ()
    for prefix in (*used, "Container", "Item") if items else used:
        description.setAttributeNS(XMLNS, f"xmlns:{prefix}", NAMESPACES[prefix])
    if rdf.prefix != "rdf":
        description.setAttributeNS(XMLNS, "xmlns:rdf", RDF)
    for name, value in properties.items():
        description.setAttributeNS(CAMERA, f"GCamera:{name}", str(value))
    if items:
        _append_directory(description, items)
    return packet_of(root)


def _only_description(rdf: minidom.Element) -> minidom.Element:
    """Merge a packet's descriptions of the same thing into the first, and return that.

    Apart they mean the same, but readers give up at one without the properties that they want.
    """
    found = [
        node
        for node in rdf.childNodes
        if isinstance(node, minidom.Element) and node.localName == "Description"
    ]
    if not found:
        empty = element_of(EMPTY).getElementsByTagNameNS(RDF, "Description")[0]
        return rdf.appendChild(empty)
    first, *others = found
    for other in others:
        attributes = list(other.attributes.values())
        if any(first.getAttribute(each.name) not in ("", each.value) for each in attributes):
            continue  # the same prefix for two namespaces, or two values: left as it is
        for each in attributes:
            first.setAttributeNS(each.namespaceURI, each.name, each.value)
        for child in list(other.childNodes):
            first.appendChild(child)
        rdf.removeChild(other)
    return first


def _remove_stale(root: minidom.Element, stale: frozenset[str]) -> bool:
    """Remove what speaks of a clip or in one of these namespaces; return if anything did."""
    removed = _remove_properties(root, stale)
    if removed:
        _remove_declarations(root, {CAMERA, *stale} - _namespaces(root))
    return removed


def _remove_properties(element: minidom.Element, stale: frozenset[str]) -> bool:
    removed = False
    for child in [node for node in element.childNodes if isinstance(node, minidom.Element)]:
        if _is_stale(child, stale):
            element.removeChild(child)
            removed = True
        else:
            removed |= _remove_properties(child, stale)
    attributes: Any = element.attributes
    for attribute in [each for each in attributes.values() if _is_stale(each, stale)]:
        element.removeAttributeNode(attribute)
        removed = True
    return removed


def _is_stale(node: minidom.Element | minidom.Attr, stale: frozenset[str]) -> bool:
    if node.namespaceURI == CAMERA:
        return (node.localName or "").startswith(ABOUT_CLIP)
    return node.namespaceURI in stale


def _namespaces(element: minidom.Element) -> set[str | None]:
    """Return the namespaces of all that an element states."""
    attributes: Any = element.attributes
    found = {element.namespaceURI, *(each.namespaceURI for each in attributes.values())}
    for child in element.childNodes:
        if isinstance(child, minidom.Element):
            found |= _namespaces(child)
    return found


def _remove_declarations(element: minidom.Element, mute: set[str]) -> None:
    """Remove the declarations of namespaces in which nothing is stated any more."""
    attributes: Any = element.attributes
    for attribute in list(attributes.values()):
        if attribute.namespaceURI == XMLNS and attribute.value in mute:
            element.removeAttributeNode(attribute)
    for child in element.childNodes:
        if isinstance(child, minidom.Element):
            _remove_declarations(child, mute)


def _append_directory(description: minidom.Element, items: Sequence[ContainerItem]) -> None:
    """Add Container:Directory; Padding only where the format wants it, at the primary item."""
    listed = "".join(_item(item) for item in items)
    names = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    text = (
        f'<Container:Directory xmlns:rdf="{RDF}"{names}>'
        f"<rdf:Seq>{listed}</rdf:Seq></Container:Directory>"
    )
    directory = element_of(text)
    for name in (*NAMESPACES, "rdf"):
        directory.removeAttribute(f"xmlns:{name}")  # declared by the description
    description.appendChild(directory)


def _item(item: ContainerItem) -> str:
    padding = f' Item:Padding="{item.padding}"' if item.padding or item.length == 0 else ""
    return (
        f'<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="{item.mime}"'
        f' Item:Semantic="{item.semantic}" Item:Length="{item.length}"{padding}/></rdf:li>'
    )
