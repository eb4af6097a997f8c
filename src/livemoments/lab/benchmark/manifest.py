"""Read, check and describe a set: a folder of NAME/{frame,key,truth}.png with a manifest.json.

The truth is missing where it is not known, as in sets of real Live Photos. A folder of such
pictures without a manifest is a set too, of which nothing else is known.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from livemoments.align.alignment import SAME_SHAPE
from livemoments.errors import DamagedFileError, InputError, MissingFileError, OutputError
from livemoments.progress import Progress

FORMAT = 1  # of manifest.json
MANIFEST = "manifest.json"
PICTURES = ("frame", "key", "truth")
OTHER_SHAPE = 0.05  # of width by height: from here on, frame and truth show different views
AGAIN = "make the set again, or copy it again"


@dataclass(frozen=True, kw_only=True)
class SetFile:
    """A picture of a set."""

    width: int
    height: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SetImage:
    """One image of a set."""

    name: str  # of its folder
    files: Mapping[str, SetFile]  # "frame", "key" and, where it is known, "truth"
    source: str = ""  # the file it was made of
    licence: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)  # motion, times, degradation

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a method's picture: the truth's, if it is known.

        Else the key photo's where frame and key photo have one shape, else the frame's view at the
        key photo's density.
        """
        if "truth" in self.files:
            return self.files["truth"].height, self.files["truth"].width
        frame, key = self.files["frame"], self.files["key"]
        down, across = key.height / frame.height, key.width / frame.width
        if abs(across / down - 1) < SAME_SHAPE and down >= 1:
            return key.height, key.width
        density = max(min(down, across), 1.0)
        return round(frame.height * density), round(frame.width * density)


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """A set of images."""

    kind: str  # "synthetic" or "real"; "pairs" without a manifest
    images: Sequence[SetImage]
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # of what made it
    notes: Sequence[str] = ()  # on how it differs from what was asked for

    @property
    def with_truth(self) -> list[SetImage]:
        """The images whose truth is known."""
        return [image for image in self.images if "truth" in image.files]

    def to_json(self) -> str:
        """Write the manifest, as open_set reads it."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, allow_nan=False) + "\n"


def open_set(folder: Path, limit: int | None = None, progress: Progress | None = None) -> ImageSet:
    """Open a set, or its first images, and check every file of it.

    Raises:
        MissingFileError: there is no set, or a file of it is missing.
        DamagedFileError: the manifest or a file of it is not what it should be.
        InputError: frame and truth of an image cannot belong together.
    """
    path = folder / MANIFEST
    found = _read_manifest(path) if path.exists() else _unlisted(folder)
    images = []
    chosen = found.images[:limit]
    for done, image in enumerate(chosen, 1):
        files = {
            name: _checked(folder / image.name / f"{name}.png", expected)
            for name, expected in image.files.items()
        }
        checked = replace(image, files=files)
        _check_shapes(folder / image.name, checked)
        images.append(checked)
        if progress:
            progress("checking the set", done, len(chosen))
    return replace(found, images=tuple(images))


def read_picture(path: Path) -> np.ndarray:
    """Read a picture file, uint8 RGB H x W x 3.

    Raises:
        MissingFileError: it is not there.
        DamagedFileError: it cannot be decoded.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise MissingFileError(f"{path}: cannot be read ({error.strerror})") from error
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None:
        raise DamagedFileError(f"{path}: not a picture that can be decoded")
    return np.ascontiguousarray(picture[..., ::-1])


def write_picture(path: Path, picture: np.ndarray) -> SetFile:
    """Write uint8 RGB H x W x 3 as PNG; the same picture gives the same bytes."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    if not done:
        raise OutputError(f"{path}: a picture of shape {picture.shape} cannot be written as PNG")
    path.write_bytes(data.tobytes())
    height, width = picture.shape[:2]
    return SetFile(width=width, height=height, sha256=hashlib.sha256(data.tobytes()).hexdigest())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; MissingFileError where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MissingFileError(f"{path}: cannot be read ({error.strerror})") from error


def _read_manifest(path: Path) -> ImageSet:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        images = [_image(**each) for each in values.pop("images")]
        names = [image.name for image in images]
        if not names or len({*names}) < len(names):
            raise ValueError("it lists no images" if not names else "it lists an image twice")
        return ImageSet(images=images, **values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFileError(f"{path}: not the manifest of a set ({error}); {AGAIN}") from error


def _image(name: str, files: dict[str, dict[str, Any]], **others: Any) -> SetImage:  # noqa: ANN401
    # A name is joined to the folder's path, so it must not lead elsewhere.
    if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
        raise ValueError(f"{name!r} is no name of an image")
    if not {"frame", "key"} <= {*files} <= {*PICTURES}:
        raise ValueError(f"{name} has {', '.join(files)}; frame and key are needed")
    return SetImage(name=name, files={n: SetFile(**each) for n, each in files.items()}, **others)


def _unlisted(folder: Path) -> ImageSet:
    """List the images of a folder without a manifest; their SHA-256 are not known."""
    images = []
    for place in sorted(each for each in folder.glob("*") if each.is_dir()):
        there = [name for name in PICTURES if (place / f"{name}.png").exists()]
        if there and not {"frame", "key"} <= {*there}:
            missing = next(name for name in ("frame", "key") if name not in there)
            raise MissingFileError(f"{place / missing}.png: not there, though {there[0]}.png is")
        if there:
            unknown = SetFile(width=0, height=0, sha256="")
            images.append(SetImage(name=place.name, files=dict.fromkeys(there, unknown)))
    if not images:
        raise MissingFileError(
            f"{folder}: no set of the benchmark; one has a {MANIFEST}, or folders"
            " NAME/{frame,key,truth}.png; make one with `livemoments lab make-set`"
        )
    return ImageSet(kind="pairs", images=images)


def _checked(path: Path, expected: SetFile) -> SetFile:
    """Describe a picture file; raise DamagedFileError where it is not the expected one."""
    sha256 = sha256_of(path)
    if not expected.sha256:
        height, width = read_picture(path).shape[:2]
        return SetFile(width=width, height=height, sha256=sha256)
    if sha256 != expected.sha256:
        raise DamagedFileError(
            f"{path}: its SHA-256 is {sha256[:12]}..., the manifest says"
            f" {expected.sha256[:12]}...; {AGAIN}"
        )
    return expected


def _check_shapes(place: Path, image: SetImage) -> None:
    """Raise InputError where frame and truth cannot be of one view."""
    truth, frame = image.files.get("truth"), image.files["frame"]
    if truth and abs(truth.width / truth.height / (frame.width / frame.height) - 1) > OTHER_SHAPE:
        raise InputError(
            f"{place}: frame.png is {frame.width} x {frame.height} pixels and truth.png"
            f" {truth.width} x {truth.height}; they must show the same view"
        )
