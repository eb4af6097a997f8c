"""Fetch, check and prepare the training photographs: freely licensed pictures inside packages.

Each picture is named in photographs.json with the SHA-256 of its file and the reduction at which it
was measured to be sharp. They arrive through the package clients of this machine (apt-get, pip,
npm), so there is no address here. Prepared pictures are RGB PNG files, the same bytes for the same
OpenCV version, and for JPEG XL files the same imagecodecs version.
"""

import json
import tempfile
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from livemoments.errors import DamagedFileError, MissingExtraError, OutputError
from livemoments.files import atomic_output
from livemoments.imaging.sharpness import measure_sharpness
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


JPEG_XL = ".jxl"  # which OpenCV does not read by itself
FIELDS = {each.name for each in fields(Package)}


@cache
def packages() -> tuple[PhotoPackage, ...]:
    """Read the table of photographs.json."""
    listed = files("livemoments.lab.training.data").joinpath("photographs.json")
    rows = json.loads(listed.read_text())
    return tuple(_package(row) for row in rows)


def _package(row: dict[str, Any]) -> PhotoPackage:
    """Read one package of the table; a picture may name itself and its licence."""
    key = row["name"].rpartition("/")[2]
    about = {name: row[name] for name in row.keys() & FIELDS}
    return PhotoPackage(
        **about,
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

    What is there already stays. manifest.json next to them says where each one comes from.

    Raises:
        MissingExtraError: a package client, or the decoder of JPEG XL, is not installed.
        OutputError: the folder cannot be made, or a file in it not written.
        DamagedFileError: a picture cannot be decoded.
    """
    check_clients(packages())
    absent = [p for each in packages() for p in each.pictures if not (folder / p.name).exists()]
    if any(picture.member.endswith(JPEG_XL) for picture in absent):
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
    if picture.reduction != 1.0:
        height, width = image.shape[:2]
        size = (round(width / picture.reduction), round(height / picture.reduction))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    # Compressed little, and so read fast.
    _, png = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_bytes(png.tobytes())
    return path


def _decode(data: bytes, what: str) -> np.ndarray:
    """Decode a picture file to uint8 BGR, upright."""
    image: np.ndarray | None
    if what.endswith(JPEG_XL):
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


def _jpeg_xl_codec() -> ModuleType:
    """Import the package that decodes JPEG XL; MissingExtraError where it is not installed."""
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingExtraError(
            "some photographs are JPEG XL files, which need imagecodecs, and it is not installed; "
            "pip install imagecodecs"
        ) from error
    return imagecodecs


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
                    "sharpness": round(measure_sharpness(image), 3),
                }
            )
    rows.sort(key=lambda row: row["name"])
    with atomic_output(folder / "manifest.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(rows, indent=1) + "\n")
    return [folder / row["name"] for row in rows]
