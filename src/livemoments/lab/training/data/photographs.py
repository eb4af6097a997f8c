"""The training photographs: freely licensed pictures inside packages, fetched, checked, prepared.

Each picture is named in photographs.json with the SHA-256 of its file and the reduction at which it
was measured to be sharp. They arrive through the package clients of this machine (apt-get, pip,
npm), so no address stands here. Prepared pictures are RGB PNG files, the same bytes for the same
OpenCV version, and for JPEG XL files the same imagecodecs version.
"""

import json
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from PIL import Image

from livemoments.errors import (
    DamagedFileError,
    MissingExtraError,
    MissingFileError,
    OutputError,
    UnsupportedFileError,
)
from livemoments.imaging.sharpness import (
    compression_reduction,
    measure_sharpness,
    reduce,
    reduce_until_sharp,
)
from livemoments.lab.fetch import Package, check_clients, fetch
from livemoments.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One photograph of a package."""

    name: str  # of the prepared file
    member: str  # path inside the archive
    sha256: str  # of the file as it comes in the package
    reduction: float  # both sides are divided by it
    licence: str


@dataclass(frozen=True, kw_only=True)
class PhotoPackage(Package):
    """A package with photographs in it. Its key is what the prepared pictures' names begin with."""

    pictures: tuple[Picture, ...]


@cache
def packages() -> tuple[PhotoPackage, ...]:
    """The table of photographs.json."""
    listed = files("livemoments.lab.training.data").joinpath("photographs.json")
    rows = json.loads(listed.read_text())
    return tuple(_package(row) for row in rows)


def _package(row: dict[str, Any]) -> PhotoPackage:
    """One package of the table; a picture may name itself and its licence."""
    key = row["name"].rpartition("/")[2]
    return PhotoPackage(
        client=row["client"],
        name=row["name"],
        version=row["version"],
        suite=row.get("suite", ""),
        source=row.get("source", False),
        pictures=tuple(
            Picture(
                name=f"{key}__{picture.get('name', Path(picture['file']).stem)}.png",
                member=row["root"] + picture["file"],
                sha256=picture["sha256"],
                reduction=picture["reduction"],
                licence=picture.get("licence", row["licence"]),
            )
            for picture in row["pictures"]
        ),
    )


def collect(folder: Path, progress: Progress | None = None) -> list[Path]:
    """Fetch, check and prepare every photograph into folder; returns the PNG files, by name.

    What is there already is kept. manifest.json beside them says where each one comes from.
    """
    check_clients(packages())
    absent = [p for each in packages() for p in each.pictures if not (folder / p.name).exists()]
    if any(_is_jpeg_xl(picture.member) for picture in absent):
        _jpeg_xl_codec()  # to fail before anything is fetched
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot make this folder: {error.strerror}") from error
    done = 0
    total = sum(len(package.pictures) for package in packages())
    with tempfile.TemporaryDirectory(prefix="livemoments-") as scratch:
        for package in packages():
            missing = [p for p in package.pictures if not (folder / p.name).exists()]
            by_member = {picture.member: picture for picture in missing}
            if missing:
                sha256 = {picture.member: picture.sha256 for picture in missing}
                for member, data in fetch(package, sha256, Path(scratch)):
                    prepare(data, by_member[member], folder)
            done += len(package.pictures)
            if progress is not None:
                progress("photographs", done, total)
    return _write_manifest(folder)


def prepare(data: bytes, picture: Picture, folder: Path) -> Path:
    """Decode a picture upright, reduce it, and write it into folder as an RGB PNG file."""
    image = _decode(data, picture.member)
    path = folder / picture.name
    _write_png(path, reduce(image, picture.reduction))
    return path


def prepare_own(source: Path, folder: Path) -> Path | None:
    """Prepare a photograph of one's own as those of the table were; None where it is never sharp.

    The reduction begins where its compression asks and goes on until it is sharp.
    """
    try:
        with Image.open(source) as header:
            tables = list(getattr(header, "quantization", {}).values())
        data = source.read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(f"{source}: no such file") from error
    except OSError as error:
        raise UnsupportedFileError(f"{source}: not a picture that can be read") from error
    image = _decode(data, str(source))
    at_least = compression_reduction(float(np.mean(tables[0])) if tables else None)
    reduced = reduce_until_sharp(image, at_least)
    if reduced is None:
        return None
    path = folder / f"own__{source.stem}.png"
    _write_png(path, reduced.image)
    return path


def _decode(data: bytes, what: str) -> np.ndarray:
    """A picture file as uint8 BGR, upright."""
    image: np.ndarray | None
    if _is_jpeg_xl(what):
        codec = _jpeg_xl_codec()
        try:
            image = cv2.cvtColor(codec.jpegxl_decode(data), cv2.COLOR_RGB2BGR)
        except (RuntimeError, cv2.error):  # codec.JpegxlError is a RuntimeError
            image = None
    else:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DamagedFileError(f"{what}: not a picture that can be decoded; fetch it again")
    return image


def _is_jpeg_xl(file: str) -> bool:
    """Whether a file is one that OpenCV and Pillow do not read by themselves."""
    return file.endswith(".jxl")


def _jpeg_xl_codec() -> ModuleType:
    """The package that decodes JPEG XL; MissingExtraError where it is not installed."""
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingExtraError(
            "some photographs are JPEG XL files, which need imagecodecs, and it is not installed; "
            "pip install imagecodecs"
        ) from error
    return imagecodecs


def _write_png(path: Path, image: np.ndarray) -> None:
    """Write a uint8 BGR picture as an RGB PNG file, compressed little and so read fast."""
    _, png = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    _write(path, png.tobytes())


def _write_manifest(folder: Path) -> list[Path]:
    """Write manifest.json: package, version, licence, size and sharpness of every picture."""
    rows: list[dict[str, Any]] = []
    for package in packages():
        for picture in package.pictures:
            image = cv2.imread(str(folder / picture.name), cv2.IMREAD_COLOR)
            if image is None:
                raise DamagedFileError(f"{folder / picture.name}: damaged; delete it and run again")
            rows.append(
                {
                    "name": picture.name,
                    "package": package.name,
                    "version": package.version,
                    "licence": picture.licence,
                    "file": picture.member,
                    "sha256": picture.sha256,
                    "reduction": picture.reduction,
                    "width": image.shape[1],
                    "height": image.shape[0],
                    "sharpness": round(measure_sharpness(image).ratio, 3),
                }
            )
    rows.sort(key=lambda row: row["name"])
    _write(folder / "manifest.json", json.dumps(rows, indent=1).encode() + b"\n")
    return [folder / row["name"] for row in rows]


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
