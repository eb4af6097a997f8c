"""Read the few facts of a motion photo's XMP; the XML may come from anywhere, so it is not trusted.

Google Motion Photo 1.0 and MicroVideo v1: developer.android.com/media/platform/motion-photo-format
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass

CAMERA = "http://ns.google.com/photos/1.0/camera/"
ITEM = "http://ns.google.com/photos/1.0/container/item/"
OPLUS = "http://ns.oplus.com/photos/1.0/camera/"  # OPPO, OnePlus, realme
VIVO = "http://ns.vivo.com/photos/1.0/camera/"
XIAOMI = "http://ns.xiaomi.com/photos/1.0/camera/"
MAX_XMP = 1024 * 1024
# Of an extension, values so long hold a picture or a depth map, no word about a clip.
RUN = re.compile(rb"[A-Za-z0-9+/=\s]{64,}")
LONGEST_WORD = 4096


@dataclass(frozen=True, kw_only=True)
class ContainerItem:
    """One entry of Container:Directory; lengths in bytes, as stated."""

    mime: str
    semantic: str
    length: int
    padding: int


@dataclass(frozen=True, kw_only=True)
class MotionFacts:
    """What XMP says about a clip inside the photo; nothing here is verified yet."""

    motion_photo: bool = False  # camera:MotionPhoto is 1
    switched_off: bool = False  # camera:MotionPhoto is 0: its owner wants no clip to be seen
    micro_video: bool = False  # camera:MicroVideo is 1 (the form before version 1.0)
    # Bytes from the clip's first byte to the end of the file, or None.
    micro_video_offset: int | None = None
    # The key photo's time in the clip, microseconds; None when absent or -1.
    timestamp_us: int | None = None
    items: tuple[ContainerItem, ...] = ()  # the container's directory, in order
    # Bytes of the clip as OPPO's own words state them, or None.
    oplus_video_length: int | None = None
    namespaces: frozenset[str] = frozenset()  # every namespace that a word of the packet belongs to

    @property
    def promises_clip(self) -> bool:
        """Whether anything here says that there is a clip in the photo."""
        return self.motion_photo or self.micro_video or self.oplus_video_length is not None

    @property
    def video_item(self) -> ContainerItem | None:
        """The directory's entry for the clip, or None."""
        for item in self.items:
            if item.semantic == "MotionPhoto" or item.mime.startswith("video/"):
                return item
        return None


def parse_motion_facts(xmp: bytes | None, extension: bytes | None = None) -> MotionFacts:
    """Read a packet of XMP; a packet that is absent, hostile or broken yields no facts.

    Args:
        xmp: The main packet, whose words come before those of its extension.
        extension: The extension's packet (container/extended_xmp.py).
    """
    packets = (xmp, _without_pictures(extension) if extension else None)
    roots = [root for root in map(_parse, packets) if root is not None]
    values: dict[str, str] = {}
    for root in roots:
        values = dict(_values(root)) | values
    stamps = [
        _number(values.get(name))
        for name in (
            f"{{{CAMERA}}}MotionPhotoPresentationTimestampUs",
            f"{{{OPLUS}}}MotionPhotoPrimaryPresentationTimestampUs",
            f"{{{CAMERA}}}MicroVideoPresentationTimestampUs",
        )
    ]
    return MotionFacts(
        motion_photo=values.get(f"{{{CAMERA}}}MotionPhoto") == "1",
        switched_off=values.get(f"{{{CAMERA}}}MotionPhoto") == "0",
        micro_video=values.get(f"{{{CAMERA}}}MicroVideo") == "1",
        micro_video_offset=_number(values.get(f"{{{CAMERA}}}MicroVideoOffset")),
        timestamp_us=next((stamp for stamp in stamps if stamp is not None and stamp >= 0), None),
        items=next((items for items in map(tuple, map(_items, roots)) if items), ()),
        oplus_video_length=_number(values.get(f"{{{OPLUS}}}VideoLength")),
        namespaces=frozenset(name[1:].split("}")[0] for name in values if name.startswith("{")),
    )


def _without_pictures(packet: bytes) -> bytes:
    """Empty the values of a packet that hold pictures, so that its words can be read."""
    return RUN.sub(lambda run: run[0] if len(run[0]) < LONGEST_WORD else b"", packet)


def harmless_text(xmp: bytes | None) -> str | None:
    """Return the packet as text for an XML parser; None if there is none, or a hostile one."""
    if not xmp or len(xmp) > MAX_XMP:
        return None
    text = xmp.decode("utf-8", "replace").strip("\ufeff\0 \r\n\t")
    # A document type is where entity bombs live, and XMP never has one.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    return text


def _parse(xmp: bytes | None) -> ElementTree.Element | None:
    text = harmless_text(xmp)
    if text is None:
        return None
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return None


def _values(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """Yield every attribute and every childless element: XMP allows both spellings."""
    for element in root.iter():
        yield from element.attrib.items()
        if len(element) == 0 and element.text:
            yield element.tag, element.text.strip()


def _items(root: ElementTree.Element) -> Iterator[ContainerItem]:
    for element in root.iter():
        fields = dict(element.attrib)
        fields.update({child.tag: (child.text or "").strip() for child in element})
        if f"{{{ITEM}}}Semantic" not in fields:
            continue
        yield ContainerItem(
            mime=fields.get(f"{{{ITEM}}}Mime", ""),
            semantic=fields[f"{{{ITEM}}}Semantic"],
            length=_number(fields.get(f"{{{ITEM}}}Length")) or 0,
            padding=_number(fields.get(f"{{{ITEM}}}Padding")) or 0,
        )


def _number(text: str | None) -> int | None:
    # The length bound keeps a megabyte of digits from being turned into a number.
    if text is None or len(text) > 20:
        return None
    try:
        return int(text)
    except ValueError:
        return None
