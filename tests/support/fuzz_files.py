"""Very small files of every kind, and random damage to them: what the fuzzer feeds the readers."""

import io
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from livemoments.livephoto.writing.convert import convert_file
from support import gain_maps, makers, vendor_makers

TIMES_S = makers.TIMES_S[:6]
# Words near which structure lies; damage goes there more often than elsewhere.
TOKENS = re.compile(
    rb"ftyp|moov|mvhd|tkhd|mdhd|elst|stsd|stts|stsz|stsc|stco|ctts|hdlr|keys|ilst|mebx|avcC|hvcC"
    rb"|meta|iloc|iinf|iprp|ispe|irot|pitm|mpvd|uuid|mdat|Exif|II\*\0|MM\0\*|Apple iOS|ICC_PROFILE"
    rb"|SEFH|SEFT|MotionPhoto|Item:|Length|Offset|LIVE_|v\d_f|vivo|cameralbum!|\xff{4}|jxrs"
    rb"|MPF\0|hdrgm|HDRGainMap|iso:std|GainMap|auxC|ipma|ipco|iref|auxl|cdsc|infe"
    rb"|HiHonor|PK\x01\x02|PK\x03\x04|PK\x05\x06|\xff[\xc0-\xc4\xda-\xe2]|IHDR|IDAT|VP8|RIFF"
)
NUMBERS = re.compile(rb"\d{1,15}")
EXTREMES = (0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# No mutant is much larger than a file: the fuzzer is about structure, not about size.
MOST_GROWTH = 3


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Files of one Live Photo by name, and which of them (or "." for the folder) is opened."""

    files: dict[str, bytes]
    entry: str


@cache
def small_frames() -> list[np.ndarray]:
    return makers.moving(makers.scene(64, 48), count=len(TIMES_S))


@cache
def small_clip(container: str = "mp4", codec: str = "libx264", sound: bool = False) -> bytes:
    return makers.encode_clip(
        small_frames(), TIMES_S, codec=codec, container=container, sound=sound
    )


def small_picture() -> np.ndarray:
    return makers.enlarged(small_frames()[4])


def apple(folder: Path, suffix: str = ".JPG", codec: str = "libx264", **options: object) -> str:
    """An Apple pair; identifier=None makes it one by name."""
    identifier = options.get("identifier", makers.IDENTIFIER)
    clip = small_clip("mov", codec, bool(options.get("sound")))
    if identifier:
        clip = makers.with_keys(clip, {"com.apple.quicktime.content.identifier": identifier})
        clip = makers.with_still_time(clip, 0.25, np.eye(3), (64.0, 48.0))
    exif = makers.make_exif(identifier)
    icc = makers.rgb_profile("p3") if suffix != ".heic" else None
    makers.save_still(folder / f"IMG_1{suffix}", small_picture(), exif=exif, icc_profile=icc)
    (folder / "IMG_1.MOV").write_bytes(clip)
    return f"IMG_1{suffix}" if suffix != ".heic" else "IMG_1.MOV"


def motion_photo(folder: Path, name: str, micro: bool = False, samsung: bool = False) -> str:
    """Google's, MicroVideo's and Samsung's files, JPEG or HEIC."""
    clip, path = small_clip(), folder / name
    heic = name.endswith("heic")
    mime = "image/heic" if heic else "image/jpeg"
    xmp = makers.google_xmp(length=80 if samsung else len(clip), mime=mime, timestamp_us=250_000)
    if micro:
        xmp = makers.micro_video_xmp(len(clip), 250_000)
    make = "samsung" if samsung else "Google"
    makers.save_still(path, small_picture(), xmp=xmp, exif=makers.make_exif(make=make))
    tail = clip
    if samsung:
        held = (0x0A31, b"MotionPhoto_Version", b"mpv3")
        held = held if heic else (0x0A30, b"MotionPhoto_Data", clip)
        tail = makers.sef_trailer([(0x0A01, b"Image_UTC_Data", b"17"), held])
        tail = clip + makers.box(b"sefd", tail) if heic else tail
    path.write_bytes(path.read_bytes() + (makers.box(b"mpvd", tail) if heic else tail))
    return name


def vendor(make: Callable[..., Path], name: str, **options: object) -> Callable[[Path], str]:
    def made(folder: Path) -> str:
        make(folder / name, clip=small_clip(), picture=small_picture(), **options)
        return name

    return made


def vivo_pair(folder: Path, **options: object) -> str:
    vendor_makers.vivo_pair(folder, clip=small_clip(), picture=small_picture(), **options)
    return "IMG_0001.jpg"


def livp(folder: Path, method: int) -> str:
    apple(folder)
    halves = (folder / "IMG_1.JPG", folder / "IMG_1.MOV")
    vendor_makers.livp(folder / "IMG_1.livp", method=method, halves=halves)
    for half in halves:
        half.unlink()
    return "IMG_1.livp"


def hdr_pair(folder: Path, suffix: str, make: Callable[[Path], Path]) -> str:
    """A pair by name whose still has a gain map."""
    still = make(folder / f"IMG_1{suffix}")
    (folder / "IMG_1.MOV").write_bytes(small_clip("mov"))
    return still.name


def hdr_motion_photo(folder: Path, suffix: str, make: Callable[[Path], Path]) -> str:
    """Google's file of such a pair."""
    with tempfile.TemporaryDirectory() as pair:
        still = Path(pair, hdr_pair(Path(pair), suffix, make))
        return convert_file(still, folder / f"a.MP{suffix}", to="google").path.name


def ultra_hdr(path: Path) -> Path:
    return gain_maps.written(path, gain_maps.colour_map())


def apple_hdr(path: Path) -> Path:
    return gain_maps.written(path, gain_maps.apple_map())


def pvt(folder: Path) -> str:
    apple(folder)
    (folder / "metadata.plist").write_bytes(vendor_makers.PLIST)
    return "."


MADE: dict[str, Callable[[Path], str]] = {
    "apple jpeg": lambda folder: apple(folder, sound=True),
    "apple heic": lambda folder: apple(folder, ".heic", "libx265"),
    "by name": lambda folder: apple(folder, identifier=None),
    "by name, png": lambda folder: apple(folder, ".png", identifier=None),
    "by name, tiff": lambda folder: apple(folder, ".tif", identifier=None),
    "by name, webp": lambda folder: apple(folder, ".webp", identifier=None),
    "google jpeg": lambda folder: motion_photo(folder, "a.MP.jpg"),
    "google heic": lambda folder: motion_photo(folder, "a.heic"),
    "microvideo": lambda folder: motion_photo(folder, "MV_a.jpg", micro=True),
    "samsung jpeg": lambda folder: motion_photo(folder, "s.jpg", samsung=True),
    "samsung heic": lambda folder: motion_photo(folder, "s.heic", samsung=True),
    "xiaomi": vendor(vendor_makers.xiaomi_jpeg, "x.jpg"),
    "oppo": vendor(vendor_makers.oppo_jpeg, "o.jpg", google=False),
    "oneplus": vendor(vendor_makers.oppo_jpeg, "1.jpg", trailer=vendor_makers.oneplus_trailer()),
    "vivo": vendor(vendor_makers.vivo_jpeg, "v.jpg", timestamp_us=None, frame=4),
    "vivo pair": vivo_pair,
    "vivo pair B1": lambda folder: vivo_pair(
        folder, signature=vendor_makers.B1, marker=False, cover_ms=250
    ),
    "huawei jpeg": vendor(vendor_makers.huawei_photo, "h.jpg", cinemagraph=bytes(99)),
    "huawei heic": vendor(vendor_makers.huawei_photo, "h.heic", version="v3_f4"),
    "honor": vendor(vendor_makers.honor_jpeg, "honor.jpg"),
    "livp deflated": lambda folder: livp(folder, zipfile.ZIP_DEFLATED),
    "livp stored": lambda folder: livp(folder, zipfile.ZIP_STORED),
    "pvt": pvt,
    "heic, gain map": lambda folder: hdr_pair(folder, ".heic", apple_hdr),
    "jpeg, apple's gain map": lambda folder: hdr_pair(folder, ".jpg", gain_maps.apple_jpeg),
    "jpeg, ultra hdr": lambda folder: hdr_pair(folder, ".jpg", ultra_hdr),
    "google heic, gain map": lambda folder: hdr_motion_photo(folder, ".heic", apple_hdr),
    "google jpeg, ultra hdr": lambda folder: hdr_motion_photo(folder, ".jpg", ultra_hdr),
}


def made_samples() -> dict[str, Sample]:
    """One sample of every kind, made afresh."""
    samples = {}
    for name, make in MADE.items():
        folder = Path(tempfile.mkdtemp(suffix=".pvt" if name == "pvt" else ""))
        try:
            entry = make(folder)
            files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        finally:
            shutil.rmtree(folder)
        samples[name] = Sample(files=files, entry=entry)
    return samples


def real_samples(folder: Path | None, largest: int = 8_000_000) -> dict[str, Sample]:
    """The small ones among files of real phones; read where they are, written nowhere."""
    samples = {}
    for place in sorted(folder.iterdir()) if folder and folder.is_dir() else ():
        paths = sorted(path for path in place.iterdir() if path.is_file()) if place.is_dir() else []
        if paths and sum(path.stat().st_size for path in paths) <= largest:
            files = {path.name: path.read_bytes() for path in paths}
            samples[f"real {place.name}"] = Sample(files=files, entry=".")
    return samples


def damaged(sample: Sample, samples: dict[str, Sample], rng: np.random.Generator) -> Sample:
    """The sample with one to four random changes to one or more of its files."""
    files = dict(sample.files)
    most = MOST_GROWTH * max(map(len, files.values()))
    names = sorted(files)
    others = [data for other in samples.values() for data in other.files.values()]
    for _ in range(int(rng.choice([1, 1, 1, 2, 3, 4]))):
        name = names[int(rng.integers(len(names)))]
        donor = others[int(rng.integers(len(others)))]
        change = CHANGES[int(rng.integers(len(CHANGES)))]
        files[name] = change(files[name], donor, rng)[:most]
    return Sample(files=files, entry=sample.entry)


def _place(data: bytes, rng: np.random.Generator) -> int:
    """A position: anywhere, near an end, or near a word of structure."""
    if not data:
        return 0
    kind = rng.random()
    if kind < 0.5:
        found = [match.start() for match in TOKENS.finditer(data)]
        if found:
            at = found[int(rng.integers(len(found)))] + int(rng.integers(-12, 40))
            return min(max(at, 0), len(data) - 1)
    if kind < 0.75:
        reach = min(len(data), int(rng.choice([20, 200, 2000])))
        at = int(rng.integers(reach))
        return at if rng.random() < 0.5 else len(data) - 1 - at
    return int(rng.integers(len(data)))


def _bytes(data: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 10)) if data else 0):
        value = EXTREMES[int(rng.integers(7))] if rng.random() < 0.6 else int(rng.integers(256))
        changed[_place(data, rng)] = value
    return bytes(changed)


def _word(data: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    """A number of two, four or eight bytes becomes an extreme one, or nearly."""
    at, size = _place(data, rng), int(rng.choice([2, 4, 4, 4, 8]))
    number = EXTREMES[int(rng.integers(len(EXTREMES)))] + int(rng.integers(-1, 2))
    order = "big" if rng.random() < 0.7 else "little"
    value = (number % (1 << 8 * size)).to_bytes(size, order)
    return data[:at] + value + data[at + size :]


def _text_number(data: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    found = [match.span() for match in NUMBERS.finditer(data)]
    if not found:
        return data
    start, end = found[int(rng.integers(len(found)))]
    value = b"%d" % (EXTREMES[int(rng.integers(len(EXTREMES)))] * int(rng.choice([1, 1, 10**9])))
    if rng.random() < 0.5:  # of the same length: nothing behind it moves
        value = value[: end - start].rjust(end - start, b"0")
    return data[:start] + value + data[end:]


def _truncated(data: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] if rng.random() < 0.7 else data[at:]


def _cut_out(data: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + _length(rng) :]


def _repeated(data: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at : at + _length(rng)] * int(rng.integers(2, 9)) + data[at:]


def _filled(data: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    at, length = _place(data, rng), _length(rng)
    return data[:at] + rng.choice([b"\0", b"\xff", b" ", b"9"]) * length + data[at + length :]


def _spliced(data: bytes, donor: bytes, rng: np.random.Generator) -> bytes:
    """A piece of another file over this one's, or into it; or that file's end on this one's."""
    at, start, length = _place(data, rng), _place(donor, rng), _length(rng)
    if rng.random() < 0.3:
        return data[:at] + donor[start:]
    over = length if rng.random() < 0.5 else 0
    return data[:at] + donor[start : start + length] + data[at + over :]


def _with_tail(data: bytes, donor: bytes, rng: np.random.Generator) -> bytes:
    return data + donor[-_length(rng) :]


def _length(rng: np.random.Generator) -> int:
    return int(2 ** rng.uniform(0, 14))


CHANGES = (
    _bytes, _bytes, _word, _word, _text_number, _truncated, _cut_out, _repeated, _filled,
    _spliced, _spliced, _with_tail,
)  # fmt: skip


def pictures() -> Iterator[bytes]:
    """Still pictures of every format read, for tests of single readers."""
    for form in ("JPEG", "PNG", "TIFF", "WEBP"):
        file = io.BytesIO()
        Image.fromarray(small_picture()).save(file, form)
        yield file.getvalue()
