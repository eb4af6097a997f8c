"""How each method of the benchmark makes its picture, from the files of a frame and a key photo."""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from livemoments.align.alignment import align
from livemoments.align.flow import warp
from livemoments.errors import LiveMomentsError, MissingFileError
from livemoments.files import cache_folder
from livemoments.imaging.pixels import as_float
from livemoments.lab.benchmark.manifest import read_picture
from livemoments.models.compact import SHIPPED, load_compact
from livemoments.models.sd3.config import PUBLISHED, Sd3Config
from livemoments.restoration.config import RestoreConfig, load_model
from livemoments.restoration.moment import restore_frame

if TYPE_CHECKING:
    from livemoments.models.compact import CompactModel

PLACES = ("{frame}", "{key}", "{output}")  # in a program's command


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a method gets."""

    name: str  # of the image
    frame: Path
    key: Path
    height: int  # of the picture that is wanted
    width: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a method is loaded with."""

    threads: int = 0  # 0: one per core
    seed: int = 0  # of noise


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A method that is ready."""

    restore: Callable[[Case], np.ndarray]  # RGB H x W x 3, uint8 or float in [0, 1]
    parameters_m: float | None = None  # millions


def fit(picture: np.ndarray, case: Case) -> np.ndarray:
    """A picture at the size wanted: averaged where it shrinks, else bicubic; float32 in [0, 1]."""
    picture, size = as_float(picture), (case.width, case.height)
    if picture.shape[:2] == (case.height, case.width):
        return picture
    shrinks = picture.shape[0] >= case.height and picture.shape[1] >= case.width
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.clip(cv2.resize(picture, size, interpolation=how), 0, 1)


def load_frame(argument: str, settings: Settings) -> Loaded:
    """The frame itself."""
    return Loaded(restore=lambda case: fit(read_picture(case.frame), case))


def load_key(argument: str, settings: Settings) -> Loaded:
    """The key photo, moved to where the frame shows things."""

    def restore(case: Case) -> np.ndarray:
        frame, key = as_float(read_picture(case.frame)), as_float(read_picture(case.key))
        flow = align(frame, key).flow_frame_to_key
        return fit(frame if flow is None else np.clip(warp(key, flow), 0, 1), case)

    return Loaded(restore=restore)


def load_livemoments(argument: str, settings: Settings, *, use_reference: bool = True) -> Loaded:
    """The compact model of a folder, or the one in the package."""
    model = load_compact(Path(argument) if argument else SHIPPED, settings.threads)
    config = RestoreConfig(seed=settings.seed, use_reference=use_reference, look="frame")
    restore = partial(_restored, config=config, model=model)
    return Loaded(restore=restore, parameters_m=_parameters_m(model))


def load_sd3(argument: str, settings: Settings) -> Loaded:
    """The paper's model, of a folder or the Hugging Face cache."""
    sd3 = Sd3Config(weights=argument or PUBLISHED)
    config = RestoreConfig(model="sd3", sd3=sd3, seed=settings.seed, look="frame")
    model: Any = load_model(config)
    count = sum(p.numel() for net in (model.dual, model.vae) for p in net.parameters())
    restore = partial(_restored, config=config, model=model)
    return Loaded(restore=restore, parameters_m=count / 1e6)


def _restored(case: Case, *, config: RestoreConfig, model: Any) -> np.ndarray:  # noqa: ANN401
    frame, key = read_picture(case.frame), read_picture(case.key)
    return fit(restore_frame(frame, key, config=config, model=model).image, case)


def _parameters_m(model: "CompactModel") -> float | None:
    """Millions of parameters; None where PyTorch is not there to make the networks of."""
    if find_spec("torch") is None:
        return None
    from livemoments.networks.compact import CompactNetworks
    from livemoments.networks.compact_config import CompactConfig

    sizes: Any = model.about["network"]
    return sum(p.numel() for p in CompactNetworks(CompactConfig(**sizes)).parameters()) / 1e6


def load_real_esrgan(argument: str, settings: Settings) -> Loaded:
    """Real-ESRGAN x4plus, in float32."""
    from livemoments.lab.benchmark.baselines import RealEsrgan, fetch_real_esrgan

    return _enlarging(RealEsrgan(fetch_real_esrgan(cache_folder()), settings.threads))


def load_span(argument: str, settings: Settings) -> Loaded:
    """SPAN, twice or four times."""
    from livemoments.lab.benchmark.span import Span, fetch_span

    return _enlarging(Span(fetch_span(cache_folder()), settings.threads))


def _enlarging(network: Any) -> Loaded:  # noqa: ANN401 - RealEsrgan or Span
    def restore(case: Case) -> np.ndarray:
        return network.enlarge(as_float(read_picture(case.frame)), case.height, case.width)

    return Loaded(restore=restore, parameters_m=network.parameters_m)


def load_folder(argument: str, settings: Settings) -> Loaded:
    """Pictures that were made before."""
    return Loaded(restore=lambda case: read_picture(Path(argument) / f"{case.name}.png"))


def load_program(argument: str, settings: Settings) -> Loaded:
    """A command with PLACES in it, which is run without a shell."""
    return Loaded(restore=partial(run_program, argument, threads=settings.threads))


def run_program(template: str, case: Case, *, threads: int = 0) -> np.ndarray:
    """What a program writes for a case. It gets copies: what it does to them harms nothing.

    Raises:
        MissingFileError: it cannot be started, or wrote nothing.
        LiveMomentsError: it ended with another code than 0.
    """
    with tempfile.TemporaryDirectory(prefix="livemoments-") as scratch:
        files = {place: Path(scratch) / f"{place[1:-1]}.png" for place in PLACES}
        shutil.copyfile(case.frame, files["{frame}"])
        shutil.copyfile(case.key, files["{key}"])
        words = shlex.split(template)
        for place, path in files.items():
            words = [word.replace(place, str(path)) for word in words]
        code, message = _run(words, threads, case.name)
        if code:
            raise LiveMomentsError(f"{case.name}: {words[0]} ended with code {code}{message}")
        if not files["{output}"].exists():
            raise MissingFileError(f"{case.name}: {words[0]} wrote no {{output}}{message}")
        return read_picture(files["{output}"])


def _run(words: list[str], threads: int, name: str) -> tuple[int, str]:
    """Run a command; returns its exit code and the last line that it message."""
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    try:
        done = subprocess.run(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    except OSError as error:
        reason = f"{words[0]} cannot be started ({error.strerror})"
        raise MissingFileError(f"{name}: {reason}") from error
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    return done.returncode, f": {lines[-1].strip()}" if lines else ""
