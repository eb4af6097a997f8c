"""List the methods that the benchmark compares: our models, others' networks, programs, folders.

A method's name is a kind of METHODS, with what is in the kind's words after a colon; with
"NAME=KIND:..." it has a name of its own.
"""

import hashlib
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from livemoments.errors import ConfigError, MissingFileError
from livemoments.extras import need_sd3
from livemoments.lab.benchmark import restorers
from livemoments.lab.benchmark.manifest import sha256_of
from livemoments.lab.benchmark.restorers import PLACES, LoadedMethod, MethodInput, Settings
from livemoments.models.compact import SHIPPED
from livemoments.version import __version__

OWN_NAME = re.compile(r"([\w.+-]+)=(.+)", re.DOTALL)
MAX_NAME, MAX_LABEL = 60, 40  # characters of a folder's name, and of an argument in a label


@dataclass(frozen=True)
class Kind:
    """A row of METHODS. The argument of a method is what its name has after the colon."""

    label: str
    detail: str
    load: Callable[[str, Settings], LoadedMethod]
    words: str = ""  # the argument: must be there (":X"), may ("[:X]"), or may not
    identity: Callable[[str, MethodInput], object] = lambda argument, inputs: []
    prepare: Callable[[str], object] = lambda argument: None
    ours: bool = True  # made by this program, another version of which may make it otherwise


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method by its name, not loaded: plain data, which other processes can take."""

    name: str  # as it was asked for, or its own
    kind: str
    argument: str = ""

    @property
    def label(self) -> str:
        """The name that people read."""
        if self.name != self.kind and not self.name.startswith(f"{self.kind}:"):
            return self.name
        label = METHODS[self.kind].label
        short = self.argument if self.kind == "program" else Path(self.argument).name
        return f"{label}: {short[:MAX_LABEL]}" if self.argument else label

    @property
    def detail(self) -> str:
        """A description, with where it comes from."""
        row = METHODS[self.kind]
        return f"{row.detail}: {self.argument}" if self.argument else row.detail

    @property
    def made_before(self) -> bool:
        """Whether its pictures are there already, so that the seconds they took are not known."""
        return self.kind == "folder"

    @property
    def folder(self) -> str:
        """Its name as a folder's."""
        plain = re.sub(r"[^\w.+-]+", "-", self.name, flags=re.ASCII).strip("-.")
        if plain == self.name and len(plain) <= MAX_NAME:
            return plain
        return f"{plain[:MAX_NAME]}-{hashlib.sha256(self.name.encode()).hexdigest()[:6]}"

    def prepare(self) -> None:
        """Fetch what it needs, once; raise an error that says why it cannot run here."""
        METHODS[self.kind].prepare(self.argument)

    def load(self, settings: Settings) -> LoadedMethod:
        """Make it ready."""
        return METHODS[self.kind].load(self.argument, settings)

    def identity(self, inputs: MethodInput, settings: Settings) -> object:
        """Return what its picture depends on besides the input's files, as plain values."""
        row = METHODS[self.kind]
        version = [__version__, settings.seed] if row.ours else []
        return [self.kind, version, row.identity(self.argument, inputs)]


def parse_method(text: str) -> Method:
    """Read a method from the command line.

    Raises:
        ConfigError: there is no such method, or its argument is missing or wrong.
    """
    found = OWN_NAME.fullmatch(text)
    own, plain = (found[1], found[2]) if found else ("", text)
    kind, colon, argument = plain.partition(":")
    if kind not in METHODS:
        known = ", ".join(name + row.words for name, row in METHODS.items())
        raise ConfigError(f"no method {plain!r}; there are {known}")
    words = METHODS[kind].words
    if (colon and not (words and argument)) or (not colon and words.startswith(":")):
        raise ConfigError(f"method {plain!r}: give it as {kind}{words}")
    if kind == "program":
        _check_command(argument)
    return Method(name=own or plain, kind=kind, argument=argument)


def _check_command(template: str) -> None:
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise ConfigError(f"program {template!r} cannot be split into words: {error}") from error
    for place in ("{frame}", "{output}"):
        if not any(place in word for word in words):
            raise ConfigError(
                f"program {template!r}: {place} is not in it; there are {', '.join(PLACES)}"
            )


def _weights_identity(argument: str, inputs: MethodInput) -> object:
    # This file names the SHA-256 of the networks next to it.
    return sha256_of((Path(argument) if argument else SHIPPED) / "compact.json")


def _folder_identity(argument: str, inputs: MethodInput) -> object:
    """List the sizes and times of a folder's files: reading gigabytes would take too long."""
    found = sorted(path for path in Path(argument).rglob("*") if path.is_file()) if argument else []
    return [argument, [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in found]]


def _command_identity(argument: str, inputs: MethodInput) -> object:
    """Return the command with a digest of each file that it names, such as a script."""
    named = [Path(word) for word in shlex.split(argument) if "{" not in word]
    return [argument, [sha256_of(path) for path in named if path.is_file()]]


def _need_folder(argument: str) -> None:
    if not Path(argument).is_dir():
        raise MissingFileError(f"{argument}: no such folder; it must hold NAME.png of each image")


METHODS = {
    "frame": Kind(
        "frame, bicubic", "The frame itself, enlarged by OpenCV's cubic", restorers.load_frame,
    ),
    "key": Kind(
        "key photo, aligned",
        "The key photo warped by our alignment's flow; without one, the frame", restorers.load_key,
    ),
    "restoration-only": Kind(
        "LiveMoments compact, no reference", "Our compact model on the frame alone",
        partial(restorers.load_livemoments, use_reference=False), identity=_weights_identity,
    ),
    "livemoments": Kind(
        "LiveMoments compact", "Our compact model with the key photo as reference",
        restorers.load_livemoments, words="[:FOLDER]", identity=_weights_identity,
    ),
    "sd3": Kind(
        "LiveMoments sd3", "The paper's model on SD3-medium", restorers.load_sd3,
        words="[:FOLDER]", identity=_folder_identity,
        prepare=lambda argument: need_sd3("the method sd3"),
    ),
    "real-esrgan": Kind(
        "Real-ESRGAN x4plus",
        "On the frame alone, brought down to the size (Wang et al., ICCVW 2021)",
        partial(restorers.load_enlarger, name="Real-ESRGAN"),
        prepare=partial(restorers.fetch_enlarger, name="Real-ESRGAN"),
    ),
    "span": Kind(
        "SPAN", "On the frame alone, a small network (Wan et al., CVPRW 2024)",
        partial(restorers.load_enlarger, name="SPAN"),
        prepare=partial(restorers.fetch_enlarger, name="SPAN"),
    ),
    "program": Kind(
        "program", "A program, run once for each image", restorers.load_program,
        words=":COMMAND", identity=_command_identity, ours=False,
    ),
    "folder": Kind(
        "folder", "Pictures made before", restorers.load_folder, words=":FOLDER",
        identity=lambda argument, inputs: sha256_of(Path(argument) / f"{inputs.name}.png"),
        prepare=_need_folder, ours=False,
    ),
}  # fmt: skip
