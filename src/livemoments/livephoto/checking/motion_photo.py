"""Check a motion photo against the rules of its format: Google's 1.0, MicroVideo, Samsung's.

Rules are Google's. Where Samsung adds bytes by design (its trailer behind the clip) the rule does
not apply; where its phones state wrong numbers the rule is broken, which is a quirk where the clip
can be found by Samsung's own words: readers of such files go by those.

developer.android.com/media/platform/motion-photo-format
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from livemoments.errors import InputError
from livemoments.imaging.colour import ColourSpace
from livemoments.livephoto.checking.findings import Finding, Verdict, with_quirk
from livemoments.livephoto.checking.samsung import check_trailer
from livemoments.livephoto.container.boxes import Box, find_box, iter_boxes
from livemoments.livephoto.container.jpeg_parts import picture_end
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.metadata.xmp import CAMERA, ContainerItem, MotionFacts, harmless_text
from livemoments.livephoto.movie.video import Clip, open_clip
from livemoments.livephoto.reading.motion_photo import find_embedded_clip, find_unannounced_clip
from livemoments.livephoto.reading.samsung import read_trailer
from livemoments.livephoto.still.still import read_still
from livemoments.livephoto.writing.motion_photo_track import stated_time_us

MIMES = {"JPEG": "image/jpeg", "HEIC": "image/heic", "AVIF": "image/avif"}
VIDEO_MIMES = ("video/mp4", "video/quicktime")
NAME = re.compile(r"[^\s/\\][^/\\]*MP\.(JPG|jpg|JPEG|jpeg|HEIC|heic|AVIF|avif)")
XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
MOST_SEARCHED = 64 * 1024 * 1024
# Phones press the shutter some frames after the last one that they keep.
SOME_FRAMES_S = 0.2
NO_CLIP = "no clip was found in the file"

LENGTH = "Length leads from the end of the file to the clip"
ONE_PADDING = "only the Primary item has a Padding"
PACKED = "items are tightly packed, in the directory's order"
BOX_PADDING = "a HEIC's Padding is the 8 bytes of the header of 'mpvd'"
ANDROID_13 = (
    "Samsung's phones of Android 13 count to the end of their own trailer's words here; readers go"
    " by 'mpvd' and by that trailer"
)
# What Samsung's phones write otherwise, and why the clip is found all the same.
SAMSUNG_QUIRKS = {
    LENGTH: ANDROID_13,
    PACKED: ANDROID_13,
    BOX_PADDING: ANDROID_13,
    ONE_PADDING: "Samsung's phones of Android 14 state the length of their trailer here; readers"
    " go by Length, which is right",
}


@dataclass(frozen=True, kw_only=True)
class _Photo:
    """What the rules look at."""

    source: Source
    format: str
    xmp: bytes | None
    facts: MotionFacts
    camera: dict[str, str] | None  # properties of Google's camera; None: XMP cannot be parsed
    clip: Source | None
    samsung: bool
    micro: bool

    @cached_property
    def opened(self) -> Clip | str:
        """The clip, or why it cannot be opened."""
        if self.clip is None:
            return NO_CLIP
        try:
            return open_clip(self.clip, ColourSpace())
        except InputError as error:
            return str(error)

    @cached_property
    def video_box(self) -> Box | None:
        """'mpvd' at the top of a HEIC."""
        if self.format == "JPEG":
            return None
        with self.source.open() as stream:
            return find_box(stream, 0, self.source.length, "mpvd")

    @cached_property
    def picture_end(self) -> int | None:
        """Where the still's own bytes end, by its own structure."""
        if self.format != "JPEG":
            return self.video_box.start if self.video_box else None
        with self.source.open() as stream:
            return picture_end(stream, self.source.length)

    @property
    def padding(self) -> int:
        """Bytes between the still and the next item, as stated."""
        return self.facts.items[0].padding if self.facts.items else 0

    def item(self, semantic: str) -> ContainerItem | None:
        """Return the first item of the directory with this meaning."""
        return next((each for each in self.facts.items if each.semantic == semantic), None)


def check_motion_photo(path: Path) -> list[Finding]:
    """Hold every rule of its format against a motion photo; never raises over what it finds.

    Args:
        path: A JPEG, HEIC or AVIF that should hold a clip.
    """
    rule = "the file holds a picture and a clip"
    try:
        photo = _read(Path(path))
    except InputError as error:
        return [Finding(rule=rule, passed=False, found=str(error))]
    clip = photo.clip
    found = f"{clip.length} bytes of clip at {clip.start}" if clip else NO_CLIP
    findings = [Finding(rule=rule, passed=clip is not None, found=found)]
    excused = SAMSUNG_QUIRKS if photo.samsung and clip is not None else {}
    for rule, verdict_on in RULES.items():
        passed, found = verdict_on(photo)
        finding = Finding(rule=rule, passed=passed, found=found)
        findings.append(with_quirk(finding, excused.get(rule, "")))
    return [*findings, *check_trailer(photo.source, clip)]


def _read(path: Path) -> _Photo:
    still, source = read_still(path), Source.whole(path)
    facts = still.motion_facts
    embedded = find_embedded_clip(source, facts) or find_unannounced_clip(source, facts)
    return _Photo(
        source=source,
        format=still.format,
        xmp=still.xmp,
        facts=facts,
        camera=_camera_properties(still.xmp),
        clip=embedded.source if embedded else None,
        samsung=bool(read_trailer(source)),
        micro=facts.micro_video and not facts.motion_photo,
    )


def _camera_properties(xmp: bytes | None) -> dict[str, str] | None:
    try:
        root = ElementTree.fromstring(harmless_text(xmp) or "")
    except (ElementTree.ParseError, ValueError):
        return None
    found: dict[str, str] = {}
    for element in root.iter():
        for name, value in [*element.attrib.items(), (element.tag, element.text or "")]:
            if name.startswith(f"{{{CAMERA}}}"):
                found.setdefault(name.removeprefix(f"{{{CAMERA}}}"), value.strip())
    return found


# --- XMP ------------------------------------------------------------------------------------


def _xmp_is_whole(photo: _Photo) -> Verdict:
    if photo.xmp is None:
        return False, "no XMP"
    whole = photo.camera is not None
    return whole, f"{len(photo.xmp)} bytes" + ("" if whole else " that cannot be parsed")


def _wrapper(photo: _Photo) -> Verdict:
    found = re.match(rb"\s*<\?xpacket begin=([\"'])(.{0,3}?)\1", photo.xmp or b"", re.DOTALL)
    if found is None:
        return None, "no wrapper"
    return found[2] == "\ufeff".encode(), f"begin = {found[2]!r}"


def _marked(photo: _Photo) -> Verdict:
    name = "MicroVideo" if photo.micro else "MotionPhoto"
    value = (photo.camera or {}).get(name)
    if value is None and photo.facts.promises_clip:
        return False, f"{name} is stated in the extended XMP alone, where few readers look"
    return value == "1", f"{name} is {value or 'not stated'}"


def _version(photo: _Photo) -> Verdict:
    name = "MicroVideoVersion" if photo.micro else "MotionPhotoVersion"
    value = (photo.camera or {}).get(name)
    return value == "1", f"{name} is {value or 'not stated'}"


def _time_stamp(photo: _Photo) -> Verdict:
    which = "MicroVideo" if photo.micro else "MotionPhoto"
    text = (photo.camera or {}).get(f"{which}PresentationTimestampUs")
    if text is None:
        return None, "not stated: the clip's middle is meant"
    stamp = int(text) if re.fullmatch(r"-?\d{1,18}", text) else None
    if stamp is None or stamp == -1:
        return stamp == -1, f"{text}: {'unset' if stamp else 'not a number'}"
    if isinstance(photo.opened, str):
        return None, photo.opened
    end_s = photo.opened.duration_s
    inside = 0 <= stamp / 1e6 <= end_s + SOME_FRAMES_S
    return inside, f"{stamp / 1e6:.6f} s, the clip ends at {end_s:.3f} s"


def _track_time(photo: _Photo) -> Verdict:
    stated = None
    if photo.clip is not None:
        with photo.clip.open() as stream:
            stated = stated_time_us(stream, photo.clip.length)
    if stated is None:
        return None, "no such track"
    stamp = photo.facts.timestamp_us
    return stated == (-1 if stamp is None else stamp), f"{stated} us by it, {stamp} by XMP"


# --- the directory --------------------------------------------------------------------------


def _of_version_1(rule: Callable[[_Photo], Verdict]) -> Callable[[_Photo], Verdict]:
    """Apply the rule only where the file has a directory, or should have one."""

    def verdict(photo: _Photo) -> Verdict:
        if photo.micro:
            return None, "a MicroVideo has no directory"
        return rule(photo) if photo.facts.items else (False, "no Container:Directory")

    return verdict


def _order(photo: _Photo) -> Verdict:
    semantics = [item.semantic for item in photo.facts.items]
    right = semantics[0] == "Primary" and semantics[-1] == "MotionPhoto"
    once = semantics.count("Primary") == semantics.count("MotionPhoto") == 1
    return right and once, ", ".join(semantics)


def _mime_types(photo: _Photo) -> Verdict:
    expected = {"Primary": (MIMES.get(photo.format),), "MotionPhoto": VIDEO_MIMES}
    expected["GainMap"] = ("image/jpeg",)
    right = all(
        item.mime in expected.get(item.semantic, (item.mime,)) for item in photo.facts.items
    )
    return right, ", ".join(item.mime for item in photo.facts.items)


def _length(photo: _Photo) -> Verdict:
    item = photo.item("MotionPhoto")
    if item is None or photo.clip is None:
        return False, "no MotionPhoto item" if item is None else NO_CLIP
    distance = photo.source.length - photo.clip.start
    found = f"{item.length} stated, {distance} from the clip to the end of the file"
    return item.length == distance, found


def _padding_once(photo: _Photo) -> Verdict:
    others = [item for item in photo.facts.items[1:] if item.padding]
    found = ", ".join(f"{item.semantic} has {item.padding}" for item in others)
    return not others, found or "no other item has one"


def _primary_length(photo: _Photo) -> Verdict:
    length = photo.facts.items[0].length
    return length in (0, photo.picture_end), f"{length}, the still has {photo.picture_end}"


def _tightly_packed(photo: _Photo) -> Verdict:
    if photo.clip is None or photo.picture_end is None:
        return False, NO_CLIP if photo.clip is None else "the picture has no end"
    between = photo.padding + sum(item.length for item in photo.facts.items[1:-1])
    right = photo.picture_end + between == photo.clip.start
    found = f"the still ends at {photo.picture_end}, {between} bytes follow by XMP"
    return right, f"{found}, the clip begins at {photo.clip.start}"


def _gain_map(photo: _Photo) -> Verdict:
    item = photo.item("GainMap")
    if item is None or photo.format != "JPEG":
        return None, "no GainMap item" if item is None else "not in a JPEG"
    if photo.picture_end is None:
        return False, "the picture has no end"
    start = photo.picture_end + photo.padding
    if start < 0 or item.length < 0 or start + item.length > photo.source.length:
        return False, f"{item.length} bytes at {start} are not in the file"
    held = replace(photo.source, start=start, length=item.length)
    with held.open() as stream:
        end = picture_end(stream, item.length)
    if end is None:
        return False, f"no whole JPEG of {item.length} bytes at {start}"
    return end == item.length, f"a JPEG of {end} bytes at {start}, {item.length} stated"


# --- the bytes ------------------------------------------------------------------------------


def _micro_offset(photo: _Photo) -> Verdict:
    offset = photo.facts.micro_video_offset
    if not photo.micro or photo.clip is None:
        return None, "no MicroVideo" if not photo.micro else NO_CLIP
    distance = photo.source.length - photo.clip.start
    found = f"{offset} stated, {distance} from the clip to the end of the file"
    return offset == distance, found


def _clip_is_whole(photo: _Photo) -> Verdict:
    opened = photo.opened
    if isinstance(opened, str):
        return False, opened
    with opened.source.open() as stream:
        boxes = list(iter_boxes(stream, 0, opened.source.length))
    whole = boxes[0].type == b"ftyp" and all(box.complete for box in boxes)
    whole = whole and boxes[-1].end == opened.source.length
    listed = " ".join(box.type.decode("latin-1") for box in boxes)
    return whole, f"{listed}; {'; '.join(opened.tracks)}"


def _nothing_behind(photo: _Photo) -> Verdict:
    if photo.clip is None:
        return None, NO_CLIP
    behind = photo.source.length - photo.clip.start - photo.clip.length
    if behind and photo.samsung:
        return None, f"{behind} bytes, with Samsung's trailer"
    return behind == 0, f"{behind} bytes"


def _video_box(photo: _Photo) -> Verdict:
    if photo.format == "JPEG":
        return None, "a JPEG"
    box = photo.video_box
    if box is None or photo.clip is None:
        return False, "no 'mpvd'" if box is None else NO_CLIP
    with photo.source.open() as stream:
        stream.seek(box.start)
        sized = stream.read(4) != bytes(4)
        behind = [each.type for each in iter_boxes(stream, box.end, photo.source.length)]
    # Samsung's trailer may stand behind the clip within the box, or behind the box.
    filled = box.size == photo.clip.length or photo.samsung
    alone = not behind or behind == [b"sefd"]
    found = f"{box.size} bytes of payload at {box.payload}, the clip has {photo.clip.length}"
    return sized and filled and alone and box.payload == photo.clip.start, found


def _box_padding(photo: _Photo) -> Verdict:
    if photo.format == "JPEG":
        return None, "a JPEG"
    return photo.padding == 8, f"{photo.padding}"


def _no_late_xmp(photo: _Photo) -> Verdict:
    end, clip = photo.picture_end, photo.clip
    if photo.format != "JPEG" or clip is None or end is None:
        return None, "not a JPEG with a clip behind its end"
    item = photo.item("GainMap")
    end += photo.padding + item.length if item else 0  # which has XMP of its own
    start = min(max(0, end), clip.start)
    with photo.source.open() as stream:
        stream.seek(start)
        between = stream.read(min(clip.start - start, MOST_SEARCHED))
    late = XMP_IN_JPEG in between
    return not late, f"{len(between)} bytes between, {'with' if late else 'no'} XMP"


def _name(photo: _Photo) -> Verdict:
    if photo.micro:
        return photo.source.name.startswith("MV") or None, photo.source.name
    return bool(NAME.fullmatch(photo.source.name)) or None, photo.source.name  # only advised


RULES: dict[str, Callable[[_Photo], Verdict]] = {
    "XMP is there and well-formed": _xmp_is_whole,
    "a wrapper of XMP begins with U+FEFF": _wrapper,
    "XMP marks a motion photo": _marked,
    "XMP states version 1": _version,
    "the time stamp lies within the clip, or is -1": _time_stamp,
    "the clip's metadata track states the same time": _track_time,
    "the directory begins with the one Primary, ends with the one MotionPhoto": _of_version_1(
        _order
    ),
    "MIME types are those of the contents": _of_version_1(_mime_types),
    LENGTH: _of_version_1(_length),
    ONE_PADDING: _of_version_1(_padding_once),
    "the Primary item's Length is 0, or true": _of_version_1(_primary_length),
    PACKED: _of_version_1(_tightly_packed),
    "the GainMap item is a whole JPEG": _gain_map,
    "MicroVideoOffset leads from the end of the file to the clip": _micro_offset,
    "the clip begins with ftyp, all its boxes are whole, its index can be read": _clip_is_whole,
    "nothing follows the clip": _nothing_behind,
    "a HEIC's clip fills 'mpvd', behind all boxes of the picture": _video_box,
    BOX_PADDING: _of_version_1(_box_padding),
    "a JPEG has no XMP behind the picture's end": _no_late_xmp,
    "the file's name ends in MP (advised), a MicroVideo's begins with MV": _name,
}
