"""Raw photos: recognised, a full-size preview as the key photo, and never a thumbnail."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import makers
from typer.testing import CliRunner

from livemoments import cli
from livemoments.errors import DamagedFileError, InputError, UnsupportedFileError
from livemoments.livephoto import open_live_photo
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.metadata.exif import ExifEditor
from livemoments.livephoto.still.raw import raw_kind
from livemoments.livephoto.still.still import read_still
from livemoments.livephoto.writing.convert import convert_file

MARKS = {
    "RAF": b"FUJIFILMCCD-RAW 0201",
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1",
    "CR2": b"II*\0\x10\0\0\0CR\x02\0",
    "ORF": b"IIRO\x08\0\0\0",
    "RW2": b"IIU\0\x18\0\0\0",
    "X3F": b"FOVb\0\0\2\0",
    "MRW": b"\0MRM\0\0\0\0",
    "CRW": b"II\x1a\0\0\0HEAPCCDR",
}


RAW_SIZE = (384, 288)
SHORT, LONG, ASCII, BYTE, UNDEFINED = 3, 4, 2, 1, 7
SIZES = {BYTE: 1, ASCII: 1, SHORT: 2, LONG: 4, UNDEFINED: 1}


def jpeg(picture: np.ndarray, size: tuple[int, int] | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(picture)
    image = image.resize(size) if size else image
    image.save(file, "JPEG", quality=95, subsampling=0, **options)
    return file.getvalue()


class Tiff:
    """A TIFF whose directories are added one by one; each value goes before its directory."""

    def __init__(self, magic: bytes = b"II*\0") -> None:
        self.data = bytearray(magic + bytes(4) + bytes(8))

    def put(self, value: bytes) -> int:
        at = len(self.data)
        self.data += value + bytes(len(value) % 2)
        return at

    def directory(self, fields: dict[int, tuple[int, bytes]]) -> int:
        rows = b""
        for tag, (kind, value) in sorted(fields.items()):
            stored = (
                value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", self.put(value))
            )
            rows += struct.pack("<HHI", tag, kind, len(value) // SIZES[kind]) + stored
        return self.put(struct.pack("<H", len(fields)) + rows + bytes(4))

    def finish(self, first: int) -> bytes:
        struct.pack_into("<I", self.data, 4, first)
        return bytes(self.data)


def short(*values: int) -> tuple[int, bytes]:
    return SHORT, struct.pack(f"<{len(values)}H", *values)


def long(*values: int) -> tuple[int, bytes]:
    return LONG, struct.pack(f"<{len(values)}I", *values)


def dng(
    path: Path,
    *,
    preview: bytes | None = None,
    preview_size: tuple[int, int] = RAW_SIZE,
    identifier: str | None = makers.IDENTIFIER,
    orientation: int = 1,
    version: bool = True,
    note: bytes | None = None,
    colour: int | None = None,
    photometric: int = 6,
) -> Path:
    """Write a DNG: a thumbnail that Pillow can read first, then the raw picture, then a preview."""
    tiff = Tiff()
    thumbnail = makers.scene(48, 36, seed=9)  # a wrong picture, were it taken for the photo
    described = {0x0100: short(48), 0x0101: short(36), 0x0102: short(8, 8, 8), 0x0103: short(1)}
    described |= {0x0106: short(2), 0x0111: long(tiff.put(thumbnail.tobytes())), 0x0115: short(3)}
    described |= {0x0116: short(36), 0x0117: long(thumbnail.nbytes), 0x00FE: long(1)}
    sensor = tiff.put(b"\xff\xd8\xff\xc3" + bytes(2000))
    raw = {0x00FE: long(0), 0x0100: short(RAW_SIZE[0]), 0x0101: short(RAW_SIZE[1])}
    raw |= {0x0103: short(7), 0x0106: short(34892), 0x0111: long(sensor), 0x0117: long(2004)}
    below = [tiff.directory(raw)]
    if preview is not None:
        width, height = preview_size
        shown = {0x00FE: long(1), 0x0100: short(width), 0x0101: short(height), 0x0103: short(7)}
        shown |= {
            0x0106: short(photometric),
            0x0111: long(tiff.put(preview)),
            0x0117: long(len(preview)),
        }
        if colour is not None:
            shown[0xC71A] = long(colour)
        below.append(tiff.directory(shown))
    details = {0x9003: (ASCII, b"2024:05:06 07:08:09\0"), 0x9011: (ASCII, b"+02:00\0")}
    if identifier or note:
        details[0x927C] = (UNDEFINED, note or makers.maker_note(identifier or ""))
    gps = tiff.directory({0x0001: (ASCII, b"N\0")})
    main = described | {0x010F: (ASCII, b"Apple\0"), 0x0110: (ASCII, b"iPhone 99\0")}
    main |= {
        0x0112: short(orientation),
        0x014A: long(*below),
        0x8769: long(tiff.directory(details)),
    }
    main |= {0x8825: long(gps)}
    if version:
        main[0xC612] = (BYTE, bytes([1, 6, 0, 0]))
    path.write_bytes(tiff.finish(tiff.directory(main)))
    return path


def picture() -> np.ndarray:
    return makers.enlarged(makers.moving(makers.scene())[6])


def pair(folder, stem="IMG_0001", **options):
    """A DNG with a full preview, and its clip."""
    still, _ = makers.apple_pair(folder, stem=stem)
    still.unlink()
    return dng(folder / f"{stem}.DNG", preview=jpeg(picture()), **options)


@pytest.mark.parametrize("given", ["still", "video", "stem", "folder"])
def test_the_full_preview_is_the_key_photo(tmp_path, given):
    photo = pair(tmp_path)
    video = photo.with_suffix(".MOV")
    paths = {"still": photo, "video": video, "stem": photo.with_suffix(""), "folder": tmp_path}
    live = open_live_photo(paths[given])
    assert (live.kind, live.still.path, live.clip.path) == ("apple-pair", photo, video)
    assert (live.still.width, live.still.height) == RAW_SIZE
    assert np.abs(live.still.pixels().astype(int) - picture()).mean() < 3
    assert live.notes[0].startswith("the key photo is the preview in a raw photo (DNG), 384 x 288")


def test_its_metadata_are_the_raw_photos(tmp_path):
    still = read_still(pair(tmp_path, orientation=3))
    assert (still.make, still.model, still.identifier) == ("Apple", "iPhone 99", makers.IDENTIFIER)
    assert still.taken.isoformat() == "2024-05-06T07:08:09+02:00"
    assert still.orientation == 3
    turned = picture()[::-1, ::-1].astype(int)
    assert np.abs(still.pixels() - turned).mean() < 3
    with Image.open(io.BytesIO(still.data)) as image:
        assert image.getexif().get_ifd(0x8825)[1] == "N"


def test_a_preview_that_was_turned_already_is_not_turned_again(tmp_path):
    upright = np.rot90(picture(), -1)
    path = dng(tmp_path / "a.DNG", preview=jpeg(upright), preview_size=(288, 384), orientation=6)
    still = read_still(path)
    assert (still.width, still.height, still.orientation) == (288, 384, 1)
    assert np.abs(still.pixels().astype(int) - upright).mean() < 3


@pytest.mark.parametrize("icc", ["p3", None])
def test_its_colours_are_the_previews(tmp_path, icc):
    options = {"icc_profile": makers.rgb_profile(icc)} if icc else {}
    preview = jpeg(picture(), **options)
    still = read_still(dng(tmp_path / "a.DNG", preview=preview, colour=3))
    assert still.colour.name == ("Display P3" if icc else "sRGB")
    assert any("wide colour space" in note for note in still.notes) == (icc is None)


@pytest.mark.parametrize(("size", "found"), [(None, "no preview"), ((192, 144), "192 x 144")])
def test_a_thumbnail_is_never_the_key_photo(tmp_path, size, found):
    preview = jpeg(picture(), size) if size else None
    path = dng(tmp_path / "a.DNG", preview=preview, preview_size=size or (1, 1))
    with Image.open(path) as image:  # what any reader of TIFFs would take
        assert image.size == (48, 36)
    with pytest.raises(UnsupportedFileError, match=rf"a raw photo \(DNG\) .*{found}.*JPEG or HEIC"):
        read_still(path)


@pytest.mark.parametrize("photometric", [52527, 51177, 34892])
def test_masks_depth_and_sensors_values_are_no_preview(tmp_path, photometric):
    path = dng(tmp_path / "a.DNG", preview=jpeg(picture()), photometric=photometric)
    with pytest.raises(UnsupportedFileError, match="no preview"):
        read_still(path)


def test_a_grey_jpeg_is_no_preview(tmp_path):
    path = dng(tmp_path / "a.DNG", preview=jpeg(picture()[..., 0]))
    with pytest.raises(UnsupportedFileError, match="no preview"):
        read_still(path)


def test_nine_tenths_are_full_and_less_is_not(tmp_path):
    for share, serves in ((0.9, True), (0.85, False)):
        size = (round(384 * share + 0.4), round(288 * share))
        preview = jpeg(picture(), size)
        path = dng(tmp_path / "a.DNG", preview=preview, preview_size=size)
        if serves:
            assert read_still(path).width == size[0]
        else:
            with pytest.raises(UnsupportedFileError):
                read_still(path)


def test_a_raw_photo_is_recognised_by_its_bytes(tmp_path):
    for kind, mark in MARKS.items():
        path = tmp_path / "a.jpg"
        path.write_bytes(mark + bytes(200))
        assert (Source.whole(path).kind, raw_kind(Source.whole(path))) == ("still", kind)
        with pytest.raises(UnsupportedFileError, match=rf"a raw photo \({kind}\)"):
            open_live_photo(path)
    path = dng(tmp_path / "b.tif", version=False)
    assert raw_kind(Source.whole(path)) == "TIFF"  # its picture is a sensor's


def test_a_suffix_helps_with_a_bare_tiff_and_nothing_else(tmp_path):
    tiff = makers.save_still(tmp_path / "a.tif", picture())
    assert raw_kind(Source.whole(tiff)) is None and read_still(tiff).format == "TIFF"
    assert raw_kind(Source.whole(tiff.rename(tmp_path / "a.nef"))) == "NEF"
    named = makers.save_still(tmp_path / "b.jpg", picture()).rename(tmp_path / "b.DNG")
    assert raw_kind(Source.whole(named)) is None and read_still(named).format == "JPEG"


def test_a_raf_shows_its_own_preview(tmp_path):
    preview = jpeg(np.zeros((64, 3840, 3), np.uint8), exif=makers.make_exif(model="X"))
    head = b"FUJIFILMCCD-RAW ".ljust(84, b"\0") + struct.pack(">II", 100, len(preview))
    (tmp_path / "a.RAF").write_bytes(head.ljust(100, b"\0") + preview)
    still = read_still(tmp_path / "a.RAF")
    assert (still.width, still.model) == (3840, "X")
    (tmp_path / "a.RAF").write_bytes(head.ljust(100, b"\0") + preview[:-400])
    with pytest.raises(InputError):
        read_still(tmp_path / "a.RAF").pixels()


def test_another_makers_note_is_left_behind(tmp_path):
    still = read_still(pair(tmp_path, note=b"Nikon\0" + bytes(40)))
    assert still.exif and ExifEditor(still.exif).get("details", 0x927C) is None


def test_a_heic_or_jpeg_of_the_same_name_comes_first(tmp_path):
    raw = pair(tmp_path)
    still = makers.save_still(
        tmp_path / "IMG_0001.heic", picture(), exif=makers.make_exif(makers.IDENTIFIER)
    )
    for given in (raw.with_suffix(".MOV"), tmp_path / "IMG_0001", tmp_path):
        assert open_live_photo(given).still.path == still
    assert open_live_photo(raw).still.path == raw  # who names it, means it


def test_a_raw_photo_without_a_preview_is_no_half_of_anothers_clip(tmp_path):
    pair(tmp_path, identifier=None)
    dng(tmp_path / "IMG_0001.DNG")
    with pytest.raises(UnsupportedFileError, match="IMG_0001.DNG: a raw photo"):
        open_live_photo(tmp_path / "IMG_0001.MOV")
    makers.save_still(tmp_path / "IMG_0001.JPG", picture(), exif=makers.make_exif())
    assert open_live_photo(tmp_path / "IMG_0001.MOV").still.path == tmp_path / "IMG_0001.JPG"


@pytest.mark.parametrize("command", ["info", "frames", "check", "convert"])
@pytest.mark.parametrize("whole", [True, False])
def test_every_command_works_or_says_why_not(tmp_path, command, whole):
    photo = pair(tmp_path)
    if not whole:
        dng(photo)
    options = ["--to", "google"] if command == "convert" else []
    done = CliRunner().invoke(cli.app, [command, str(photo), *options])
    if not whole:
        assert done.exit_code == 1
        assert done.stderr.startswith("livemoments: IMG_0001.DNG: a raw photo (DNG)")
    elif command == "check":  # two rules of tracks are broken by the clip that makers write
        assert "21 rules hold, 2 broken" in done.stdout
    else:
        assert done.exit_code == 0, done.output


def test_in_an_archive_it_is_the_same(tmp_path):
    photo = pair(tmp_path)
    thumbnail_only = dng(tmp_path / "b.DNG")
    for name, still in (("a.livp", photo), ("b.livp", thumbnail_only)):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.write(still, "a.DNG")
            archive.write(photo.with_suffix(".MOV"), "a.MOV")
    live = open_live_photo(tmp_path / "a.livp")
    assert live.still.width == 384 and "a raw photo (DNG)" in live.notes[0]
    with pytest.raises(UnsupportedFileError, match=r"b.livp: a raw photo \(DNG\)"):
        open_live_photo(tmp_path / "b.livp")


def test_a_converted_raw_photo_is_its_preview_with_all_metadata(tmp_path):
    photo = pair(tmp_path)
    written = convert_file(photo, to="google")
    assert written.notes[0].startswith("the key photo is the preview in a raw photo")
    live = open_live_photo(written.path)
    assert live.path.name == "IMG_0001.MP.jpg"
    assert live.kind == "google-motion-photo" and live.still.model == "iPhone 99"
    assert np.abs(live.still.pixels().astype(int) - picture()).mean() < 3


@pytest.mark.parametrize("seed", range(3))
def test_damage_raises_our_errors_alone(tmp_path, seed):
    whole = bytearray(dng(tmp_path / "a.DNG", preview=jpeg(picture(), (96, 72))).read_bytes())
    rng = np.random.default_rng(seed)
    for case in range(25):
        data = bytearray(whole)
        tables = range(len(whole) - 900, len(whole))
        for at in rng.choice(tables if case % 2 else len(whole), 8):
            data[at] = rng.integers(256)
        path = tmp_path / "b.DNG"
        path.write_bytes(data[: rng.integers(8, len(data))] if case % 5 == 0 else data)
        try:
            read_still(path).pixels()
        except InputError:
            continue


def test_a_broken_preview_is_named(tmp_path):
    path = dng(tmp_path / "a.DNG", preview=jpeg(picture())[:-900])
    with pytest.raises(DamagedFileError, match="a.DNG: "):
        read_still(path).pixels()
