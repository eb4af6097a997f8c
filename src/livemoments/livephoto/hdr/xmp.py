"""Read and write what XMP says of gain maps: Adobe's words, which Ultra HDR uses, and Apple's.

Each word may be an attribute or an element, and of three channels an rdf:Seq.
developer.android.com/media/platform/hdr-image-format
"""

from typing import Any
from xml.dom import minidom

from livemoments.errors import DamagedFileError, UnsupportedFileError
from livemoments.livephoto.hdr.gain_map import RGB, GainMap
from livemoments.livephoto.hdr.iso import GainMapNumbers
from livemoments.livephoto.metadata.xmp import ITEM
from livemoments.livephoto.metadata.xmp_edit import (
    RDF,
    XMLNS,
    as_packet,
    element_of,
    parse_packet,
    rdf_of,
)

HDRGM = "http://ns.adobe.com/hdr-gain-map/1.0/"
CONTAINER = "http://ns.google.com/photos/1.0/container/"
APPLE_MAP = "http://ns.apple.com/HDRGainMap/1.0/"
META = "adobe:ns:meta/"
VERSION = "1.0"
APPLE_VERSION = 131072  # of iOS 18: 2.0
DEFAULT_OFFSET = "0.015625"
MAX_NUMBER = 40  # letters


def read_hdrgm(xmp: bytes | None) -> GainMapNumbers | None:
    """Read the numbers of a gain map in its own packet, or None where it has none of them.

    Raises:
        DamagedFileError: A number is missing or is none.
        UnsupportedFileError: The picture itself is the HDR one.
    """
    words = _words(xmp, HDRGM)
    if "Version" not in words:
        return None
    if words.get("BaseRenditionIsHDR", ["False"])[0] == "True":
        raise UnsupportedFileError("its gain map leads from HDR to SDR, which is not read")
    return GainMapNumbers(
        min_stops=_rgb(words, "GainMapMin", "0"),
        max_stops=_rgb(words, "GainMapMax", None),
        gamma=_rgb(words, "Gamma", "1"),
        offset_sdr=_rgb(words, "OffsetSDR", DEFAULT_OFFSET),
        offset_hdr=_rgb(words, "OffsetHDR", DEFAULT_OFFSET),
        capacity_min=_rgb(words, "HDRCapacityMin", "0")[0],
        capacity_max=_rgb(words, "HDRCapacityMax", None)[0],
    )


def has_hdr_version(xmp: bytes | None) -> bool:
    """Return whether a picture's packet says that a gain map belongs to it."""
    return "Version" in _words(xmp, HDRGM)


def apple_words(xmp: bytes | None) -> dict[str, str]:
    """Read Apple's words about a gain map: HDRGainMapVersion and, since iOS 18, its headroom."""
    return {name: values[0] for name, values in _words(xmp, APPLE_MAP).items()}


def apple_packet(headroom: float) -> bytes:
    """Return the packet of Apple's auxiliary picture, in the words of iOS 18."""
    return _described(
        f'xmlns:HDRGainMap="{APPLE_MAP}"',
        f"<HDRGainMap:HDRGainMapVersion>{APPLE_VERSION}</HDRGainMap:HDRGainMapVersion>"
        f"<HDRGainMap:HDRGainMapHeadroom>{headroom:.6f}</HDRGainMap:HDRGainMapHeadroom>",
    )


def hdrgm_packet(gain_map: GainMap) -> bytes:
    """Return the packet of a gain map's own JPEG."""
    texts = {
        "Version": [VERSION],
        "GainMapMin": _texts(gain_map.min_stops),
        "GainMapMax": _texts(gain_map.max_stops),
        "Gamma": _texts(gain_map.gamma),
        "OffsetSDR": _texts(gain_map.offset_sdr),
        "OffsetHDR": _texts(gain_map.offset_hdr),
        "HDRCapacityMin": [f"{gain_map.capacity_min:.6g}"],
        "HDRCapacityMax": [f"{gain_map.capacity_max:.6g}"],
        "BaseRenditionIsHDR": ["False"],
    }
    # libultrahdr knows attributes alone: lists only where they are needed.
    attributes = [f'hdrgm:{name}="{each[0]}"' for name, each in texts.items() if len(each) == 1]
    lists = [
        f"<hdrgm:{name}><rdf:Seq>{''.join(f'<rdf:li>{text}</rdf:li>' for text in each)}"
        f"</rdf:Seq></hdrgm:{name}>"
        for name, each in texts.items()
        if len(each) > 1
    ]
    return _described(f'xmlns:hdrgm="{HDRGM}" {" ".join(attributes)}', "".join(lists))


def _described(attributes: str, content: str) -> bytes:
    """Return the packet of one description."""
    return as_packet(
        f'<x:xmpmeta xmlns:x="{META}"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about=""'
        f" {attributes}>{content}</rdf:Description></rdf:RDF></x:xmpmeta>"
    )


def ultra_hdr_packet(xmp: bytes | None, gain_map_length: int) -> bytes:
    """Return a picture's packet that says that a gain map of so many bytes follows.

    Args:
        xmp: A packet to add to, without a container's directory; or None.
        gain_map_length: Bytes of the gain map's JPEG.
    """
    items = "".join(
        f'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="{semantic}"'
        f' Item:Mime="image/jpeg"{length}/></rdf:li>'
        for semantic, length in (("Primary", ""), ("GainMap", f' Item:Length="{gain_map_length}"'))
    )
    # A description of its own, and the first: readers look no further.
    added = element_of(
        f'<rdf:Description rdf:about="" xmlns:rdf="{RDF}" xmlns:hdrgm="{HDRGM}"'
        f' xmlns:Container="{CONTAINER}" xmlns:Item="{ITEM}" hdrgm:Version="{VERSION}">'
        f"<Container:Directory><rdf:Seq>{items}</rdf:Seq></Container:Directory></rdf:Description>"
    )
    root = parse_packet(xmp)
    rdf = rdf_of(root) if root is not None else None
    if root is None or rdf is None:
        root = rdf = element_of(f'<rdf:RDF xmlns:rdf="{RDF}"/>')
    rdf.insertBefore(added, rdf.firstChild)
    return packet_of(root)


def packet_of(root: minidom.Element) -> bytes:
    """Return the packet of parsed XMP, wrapped in 'x:xmpmeta' where it is not yet."""
    body = root.toxml()
    if root.tagName != "x:xmpmeta":
        body = f'<x:xmpmeta xmlns:x="{META}">{body}</x:xmpmeta>'
    return as_packet(body)


def with_hdr_version(packet: bytes) -> bytes:
    """Add to a picture's packet that a gain map belongs to this picture.

    Args:
        packet: A packet with a description, such as the one with the container's directory, to
            which the word is added.
    """
    root = parse_packet(packet)
    found = root.getElementsByTagNameNS(RDF, "Description") if root is not None else []
    if root is None or not found:
        return packet
    found[0].setAttributeNS(XMLNS, "xmlns:hdrgm", HDRGM)
    found[0].setAttributeNS(HDRGM, "hdrgm:Version", VERSION)
    return as_packet(root.toxml())


def _words(xmp: bytes | None, namespace: str) -> dict[str, list[str]]:
    """Return every word of a namespace with its one or more values."""
    found: dict[str, list[str]] = {}
    root = parse_packet(xmp)
    if root is None:
        return found
    try:
        elements = [root, *root.getElementsByTagName("*")]
    except RecursionError:  # nested thousands deep: no one writes such metadata
        return found
    for element in elements:
        attributes: Any = element.attributes
        for attribute in attributes.values():
            if attribute.namespaceURI == namespace:
                found.setdefault(attribute.localName, [attribute.value])
        if element.namespaceURI == namespace:
            listed = element.getElementsByTagNameNS(RDF, "li")
            texts = [_text(node) for node in listed] if listed else [_text(element)]
            found.setdefault(element.localName, texts)
    return found


def _text(element: minidom.Element) -> str:
    nodes = [node.data for node in element.childNodes if isinstance(node, minidom.Text)]
    return "".join(nodes).strip()


def _rgb(words: dict[str, list[str]], name: str, default: str | None) -> RGB:
    texts = words.get(name) or ([default] if default is not None else [])
    if len(texts) not in (1, 3):
        raise DamagedFileError(f"its gain map states no {name}")
    try:
        numbers = [float(text[:MAX_NUMBER]) for text in texts]
    except ValueError as error:
        raise DamagedFileError(f"its gain map's {name} is no number") from error
    return (numbers[0], numbers[-2], numbers[-1]) if len(numbers) == 3 else (numbers[0],) * 3


def _texts(numbers: RGB) -> list[str]:
    texts = [f"{number:.6g}" for number in numbers]
    return texts[:1] if len(set(texts)) == 1 else texts
