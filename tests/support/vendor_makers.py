"""Small files in the forms of phone makers beside Apple, Google and Samsung, made byte by byte."""

import io
import json
import shutil
import struct
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from support import makers

VIVO_ID = "1718000000000a1b2c3d00000000"
OTHER_VIVO_ID = "1718999999999fffffff00000000"
B1, B3 = b"\xb1", b"\xb3"
NAMESPACES = {
    "MiCamera": "http://ns.xiaomi.com/photos/1.0/camera/",
    "OpCamera": "http://ns.oplus.com/photos/1.0/camera/",
    "VCamera": "http://ns.vivo.com/photos/1.0/camera/",
}
KEY_FRAME = 6  # the still shows this frame of the clip


@cache
def clip_bytes() -> bytes:
    return makers.motion_clip()


def key_picture() -> np.ndarray:
    return makers.enlarged(makers.moving(makers.scene())[KEY_FRAME])


# --- Google's form with a vendor's words ----------------------------------------------------


def vendor_xmp(
    words: dict[str, object],
    length: int | None,
    *,
    timestamp_us: int | None = 400_000,
    padding: int = 0,
    motion_photo: int | None = 1,
    micro: bool = False,
) -> bytes:
    """XMP of a Motion Photo with a vendor's words, such as {"VCamera:VMotionPhotoVersion": 1}."""
    prefixes = dict.fromkeys(name.split(":")[0] for name in words)
    facts = {name: value for name, value in words.items() if value is not None}
    if motion_photo is not None:
        facts |= {"GCamera:MotionPhoto": motion_photo, "GCamera:MotionPhotoVersion": 1}
        if timestamp_us is not None:
            facts["GCamera:MotionPhotoPresentationTimestampUs"] = timestamp_us
    if micro:
        facts |= {"GCamera:MicroVideo": 1, "GCamera:MicroVideoVersion": 1}
        facts |= {"GCamera:MicroVideoOffset": length}
        facts |= {"GCamera:MicroVideoPresentationTimestampUs": timestamp_us}
    spaces = "".join(f' xmlns:{prefix}="{NAMESPACES[prefix]}"' for prefix in prefixes)
    values = "".join(f' {name}="{value}"' for name, value in facts.items())
    items = ""
    if motion_photo is not None and length is not None:
        items = (
            '<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource">'
            '<Container:Item Item:Mime="image/jpeg" Item:Semantic="Primary"/></rdf:li>'
            '<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="video/mp4"'
            f' Item:Semantic="MotionPhoto" Item:Length="{length}" Item:Padding="{padding}"/>'
            "</rdf:li></rdf:Seq></Container:Directory>"
        )
    return makers._xmp(spaces + values, items, "GCamera")


def still_bytes(
    make: str, *, xmp: bytes | None = None, picture: np.ndarray | None = None, **tags: int
) -> bytes:
    """A JPEG of a vendor; tags are EXIF main fields by number, such as x8897=1."""
    exif = Image.Exif()
    exif.load(makers.make_exif(make=make, model="Phone 99"))
    for tag, value in tags.items():
        exif[int(tag[1:], 16)] = value
    file = io.BytesIO()
    image = Image.fromarray(key_picture() if picture is None else picture)
    options = {"xmp": xmp} if xmp else {}
    image.save(file, "JPEG", quality=95, subsampling=0, exif=exif.tobytes(), **options)
    return file.getvalue()


def written(path: Path, *parts: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(parts))
    return path


def xiaomi_jpeg(
    path: Path,
    *,
    clip: bytes | None = None,
    picture: np.ndarray | None = None,
    words: bool = True,
    tag: int = 1,
    **options: object,
) -> Path:
    """Google 1.0 and MicroVideo words, MiCamera's, EXIF 0x8897."""
    clip = clip_bytes() if clip is None else clip
    own = {"MiCamera:XMPMeta": "&lt;?xml version='1.0'?&gt;"} if words else {}
    xmp = vendor_xmp(own, len(clip), micro=True, **options)
    return written(path, still_bytes("Xiaomi", xmp=xmp, picture=picture, x8897=tag), clip)


def oneplus_trailer() -> bytes:
    """Blobs, a JSON list that says how far before itself each starts, 'jxrs', u32 length."""
    device, empty = b"\0\1\2\3\4CPH2000\0", bytes(300)
    entries = [
        {"offset": len(device), "length": len(device), "name": "watermark.device", "version": 1},
        {"offset": len(device) + 300, "length": 300, "name": "private.emptyspace", "version": 1},
    ]
    listed = json.dumps(entries).encode() + b"\0"
    return empty + device + listed + b"jxrs" + struct.pack("<I", len(listed) + 8)


def oppo_jpeg(
    path: Path,
    *,
    clip: bytes | None = None,
    picture: np.ndarray | None = None,
    make: str = "OPPO",
    trailer: bytes = b"",
    google: bool = True,
    stamp_us: int | None = 400_000,
    own_stamp_us: int | None = 400_000,
) -> Path:
    """OpCamera's words, with Google's or (google=False) alone; a trailer behind the clip."""
    clip = clip_bytes() if clip is None else clip
    words = {
        "OpCamera:MotionPhotoPrimaryPresentationTimestampUs": own_stamp_us,
        "OpCamera:MotionPhotoOwner": "oplus",
        "OpCamera:OLivePhotoVersion": 2,
        "OpCamera:VideoLength": len(clip),
    }
    options = {} if google else {"motion_photo": None}
    xmp = vendor_xmp(words, len(clip), timestamp_us=stamp_us, **options)
    return written(path, still_bytes(make, xmp=xmp, picture=picture), clip, trailer)


# --- vivo -----------------------------------------------------------------------------------


def vivo_tail(
    values: dict[str, object], identifier: str = VIVO_ID, signature: bytes = B3, marker: bool = True
) -> bytes:
    """'vivo', JSON, its length, 'cameralbum!', length, identifier, FF FF FF FF, signature."""
    text = json.dumps(values, separators=(",", ":")).encode()
    tail = b"vivo" + text + struct.pack(">I", len(text))
    if marker:
        tail += b"cameralbum!" + struct.pack(">I", 19 + len(identifier)) + identifier.encode()
    return tail + b"\xff" * 4 + bytes.fromhex("1b2a39485766758493a2") + signature


def vivo_video_box(
    *,
    identifier: str = VIVO_ID,
    frame: int | None = KEY_FRAME,
    cover_ms: int | None = None,
    signature: bytes = B3,
    marker: bool = True,
) -> bytes:
    values: dict[str, object] = {"com.android.camera.livephoto": identifier, "version": 2104}
    if frame is not None:
        values["com.android.camera.imageTime"] = frame
    if cover_ms is not None:
        values |= {"version": 2200, "com.vivo.gallery.livePhoto.newCoverTime": cover_ms}
    tail = vivo_tail(values, identifier, signature, marker)
    return makers.box(b"uuid", b"vivoMediaExtInfo" + tail)


def vivo_pair(
    folder: Path,
    *,
    stem: str = "IMG_0001",
    clip: bytes | None = None,
    picture: np.ndarray | None = None,
    identifier: str = VIVO_ID,
    video_identifier: str | None = None,
    signature: bytes = B3,
    marker: bool = True,
    **video: object,
) -> tuple[Path, Path]:
    """The two files of phones up to the X200: tails with one identifier."""
    clip = clip_bytes() if clip is None else clip
    values = {"com.android.camera.livephoto": identifier, "version": 2104}
    tail = vivo_tail(values, identifier, signature, marker)
    options = {"signature": signature, "marker": marker, **video}
    stream = makers.box(b"uuid", b"vivoMediaEStream" + bytes(60))
    box = vivo_video_box(identifier=video_identifier or identifier, **options)
    photo = written(folder / f"{stem}.jpg", still_bytes("vivo", picture=picture), tail)
    return photo, written(folder / f"{stem}.mp4", clip, stream, box)


def vivo_jpeg(
    path: Path,
    *,
    clip: bytes | None = None,
    picture: np.ndarray | None = None,
    timestamp_us: int | None = 400_000,
    motion_photo: int = 1,
    signature: bytes = B3,
    frame: int | None = None,
) -> Path:
    """The one file of later phones: VCamera's words, private bytes, MP4, tail in a box."""
    values: dict[str, object] = {"com.vivo.gallery.file.convert": 10004}
    if frame is not None:
        values["com.android.camera.imageTime"] = frame
    fixed = "motionphoto".ljust(28, "0")
    values["com.android.camera.livephoto"] = fixed
    payload = b"vivoMediaExtInfo" + vivo_tail(values, fixed, signature)
    clip = (clip_bytes() if clip is None else clip) + makers.box(b"uuid", payload)
    words = {
        "VCamera:VMotionPhotoVersion": 1,
        "VCamera:VMotionPhotoSource": 1,
        "VCamera:VMediaKitVersion": "1.0.0.9",
    }
    xmp = vendor_xmp(words, len(clip), timestamp_us=timestamp_us, motion_photo=motion_photo)
    still = still_bytes("vivo", xmp=xmp, picture=picture)
    return written(path, still, b"streamdata" + bytes(500), clip)


# --- Huawei and Honor -----------------------------------------------------------------------


def live_footer(
    length: int, version: str | None = f"v6_f{KEY_FRAME}", play: str = "0:400"
) -> bytes:
    """Texts of 20 bytes: version and frame, start and cover in ms, LIVE_ and the length."""
    fields = [play, f"LIVE_{length}"] if version is None else [version, play, f"LIVE_{length}"]
    return b"".join(field.encode().ljust(20) for field in fields)


def huawei_photo(
    path: Path,
    *,
    clip: bytes | None = None,
    picture: np.ndarray | None = None,
    version: str | None = f"v6_f{KEY_FRAME}",
    play: str = "0:400",
    cinemagraph: bytes = b"",
    wrong_by: int = 0,
) -> Path:
    """[JPEG or HEIC][MP4][cinemagraph][footer]."""
    clip = clip_bytes() if clip is None else clip
    if path.suffix.lower() == ".heic":
        exif = makers.make_exif(make="HUAWEI")
        makers.save_still(path, key_picture() if picture is None else picture, exif=exif)
        still = path.read_bytes()
    else:
        still = still_bytes("HUAWEI", picture=picture)
    length = len(clip) + len(cinemagraph) + (0 if version is None else 20) + wrong_by
    return written(path, still, clip, cinemagraph, live_footer(length, version, play))


def honor_jpeg(
    path: Path,
    *,
    clip: bytes | None = None,
    picture: np.ndarray | None = None,
    wrong_by: int = 0,
    version: str = f"v3_f{KEY_FRAME}",
) -> Path:
    """[JPEG with 'LivePhoto' in an APP segment][marker][MP4][uuid box][60-byte footer]."""
    still = still_bytes("HONOR", picture=picture)
    segment = b"\xff\xe7" + struct.pack(">H", 2 + 10) + b"LivePhoto\0"
    marker = b"HiHonor_OfflineData\0"
    boxes = (clip_bytes() if clip is None else clip) + makers.box(b"uuid", bytes(200))
    footer = live_footer(len(marker) + len(boxes) + wrong_by, version, "0:0")
    return written(path, still[:2], segment, still[2:], marker, boxes, footer)


# --- packages -------------------------------------------------------------------------------


def livp(
    path: Path,
    *,
    still_suffix: str = ".HEIC",
    method: int = zipfile.ZIP_DEFLATED,
    folder: str = "",
    extra: dict[str, bytes] | None = None,
    halves: tuple[Path, Path] | None = None,
    **pair: object,
) -> Path:
    """A ZIP of an Apple pair, with the Finder's own files beside them."""
    place = path.parent / f".{path.name}-parts"
    still, video = halves or makers.apple_pair(place, still_suffix=still_suffix, **pair)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
        archive.writestr(f"__MACOSX/._{still.name}", b"resource fork")
        archive.writestr(f"{folder}{still.name}.heic"[: -len(".heic")], still.read_bytes())
        archive.writestr(f"{folder}{video.name.lower()}", video.read_bytes())
    if halves is None:
        shutil.rmtree(place)
    return path


PLIST = b"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" \
"http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>PFVideoComplementMetadataVersionKey</key><string>1</string></dict>
</plist>
"""


def pvt(folder: Path, *, plist: bool = True, **pair: object) -> Path:
    """A package folder: an Apple pair and metadata.plist."""
    makers.apple_pair(folder, **pair)
    if plist:
        (folder / "metadata.plist").write_bytes(PLIST)
    return folder
