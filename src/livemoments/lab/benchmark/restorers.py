"""Make the picture of each method of the benchmark, from the files of a frame and a key photo."""

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
from typing import Any

import numpy as np

from livemoments.align.alignment import align
from livemoments.align.flow import warp
from livemoments.errors import LiveMomentsError, MissingFileError
from livemoments.files import cache_folder
from livemoments.imaging.pixels import as_float, fit_size
from livemoments.lab.benchmark.manifest import read_picture
from livemoments.lab.metrics.metric import need_package
from livemoments.models.compact import SHIPPED, CompactModel, load_compact
from livemoments.models.sd3.config import PUBLISHED, Sd3Config
from livemoments.restoration.config import RestoreConfig, load_model
from livemoments.restoration.moment import restore_frame

PLACES = ("{frame}", "{key}", "{output}")  # in a program's command


@dataclass(frozen=True, kw_only=True)
class MethodInput:
    """The files that a method gets, and the size of the picture that it is to give."""

    name: str  # of the image
    frame: Path
    key: Path
    height: int
    width: int

    def fit(self, picture: np.ndarray) -> np.ndarray:
        """Bring a picture to the size, float32 in [0, 1]."""
        return fit_size(picture, self.height, self.width)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings that a method is loaded with."""

    threads: int = 0  # 0: one per core
    seed: int = 0  # of noise


@dataclass(frozen=True, kw_only=True)
class LoadedMethod:
    """A method that is ready to run."""

    restore: Callable[[MethodInput], np.ndarray]  # RGB H x W x 3, uint8 or float in [0, 1]
    parameters_m: float | None = None  # millions


def load_frame(argument: str, settings: Settings) -> LoadedMethod:
    """Take the frame itself."""
    return LoadedMethod(restore=lambda inputs: inputs.fit(read_picture(inputs.frame)))


def load_key(argument: str, settings: Settings) -> LoadedMethod:
    """Take the key photo, moved to where the frame shows things."""

    def restore(inputs: MethodInput) -> np.ndarray:
        frame, key = (as_float(read_picture(path)) for path in (inputs.frame, inputs.key))
        flow = align(frame, key).flow_frame_to_key
        return inputs.fit(frame if flow is None else np.clip(warp(key, flow), 0, 1))

    return LoadedMethod(restore=restore)


def load_livemoments(
    argument: str, settings: Settings, *, use_reference: bool = True
) -> LoadedMethod:
    """Load the compact model of a folder, or the one in the package."""
    model = load_compact(Path(argument) if argument else SHIPPED, settings.threads)
    config = RestoreConfig(seed=settings.seed, use_reference=use_reference, look="frame")
    return LoadedMethod(
        restore=partial(_restored, config=config, model=model), parameters_m=_parameters_m(model)
    )


def load_sd3(argument: str, settings: Settings) -> LoadedMethod:
    """Load the paper's model, of a folder or the Hugging Face cache."""
    sd3 = Sd3Config(weights=argument or PUBLISHED)
    config = RestoreConfig(model="sd3", sd3=sd3, seed=settings.seed, look="frame")
    model: Any = load_model(config)
    count = sum(p.numel() for net in (model.dual, model.vae) for p in net.parameters())
    restore = partial(_restored, config=config, model=model)
    return LoadedMethod(restore=restore, parameters_m=count / 1e6)


def _restored(inputs: MethodInput, *, config: RestoreConfig, model: Any) -> np.ndarray:  # noqa: ANN401
    frame, key = read_picture(inputs.frame), read_picture(inputs.key)
    return inputs.fit(restore_frame(frame, key, config=config, model=model).image)


def _parameters_m(model: CompactModel) -> float | None:
    """Count millions of parameters; None where PyTorch is not there to make the networks of."""
    if find_spec("torch") is None:
        return None
    from livemoments.networks.compact import CompactNetworks
    from livemoments.networks.compact_config import CompactConfig

    sizes: Any = model.about["network"]
    return sum(p.numel() for p in CompactNetworks(CompactConfig(**sizes)).parameters()) / 1e6


def fetch_enlarger(argument: str, *, name: str) -> Path:
    """Fetch the weights of Real-ESRGAN or SPAN, once; return their folder."""
    need_package("torch", "torch", name)
    from livemoments.lab.benchmark import baselines, span

    fetch = baselines.fetch_real_esrgan if name == "Real-ESRGAN" else span.fetch_span
    return fetch(cache_folder())


def load_enlarger(argument: str, settings: Settings, *, name: str) -> LoadedMethod:
    """Load Real-ESRGAN x4plus, in float32, or SPAN, for twice and four times."""
    folder = fetch_enlarger(argument, name=name)
    from livemoments.lab.benchmark import baselines, span

    read = baselines.read_real_esrgan if name == "Real-ESRGAN" else span.read_span
    baselines.use_threads(settings.threads)
    network = read(folder)

    def restore(inputs: MethodInput) -> np.ndarray:
        frame = as_float(read_picture(inputs.frame))
        return network.enlarge(frame, inputs.height, inputs.width)

    return LoadedMethod(restore=restore, parameters_m=network.parameters_m)


def load_folder(argument: str, settings: Settings) -> LoadedMethod:
    """Take pictures that were made before."""
    folder = Path(argument)
    return LoadedMethod(restore=lambda inputs: read_picture(folder / f"{inputs.name}.png"))


def load_program(argument: str, settings: Settings) -> LoadedMethod:
    """Take a command with PLACES in it, which is run without a shell."""
    return LoadedMethod(restore=partial(run_program, argument, threads=settings.threads))


def run_program(template: str, inputs: MethodInput, *, threads: int = 0) -> np.ndarray:
    """Return the picture that a program writes; it gets copies of the files, to do as it likes.

    Raises:
        MissingFileError: it cannot be started, or wrote nothing.
        LiveMomentsError: it ended with another code than 0.
    """
    with tempfile.TemporaryDirectory(prefix="livemoments-") as scratch:
        files = {place: Path(scratch) / f"{place[1:-1]}.png" for place in PLACES}
        shutil.copyfile(inputs.frame, files["{frame}"])
        shutil.copyfile(inputs.key, files["{key}"])
        words = shlex.split(template)
        for place, path in files.items():
            words = [word.replace(place, str(path)) for word in words]
        program = f"{inputs.name}: {words[0]}"
        environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
        try:
            done = subprocess.run(
                words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        except OSError as error:
            raise MissingFileError(f"{program} cannot be started ({error.strerror})") from error
        lines = done.stdout.decode(errors="replace").strip().splitlines()
        printed = f": {lines[-1].strip()}" if lines else ""
        if done.returncode:
            raise LiveMomentsError(f"{program} ended with code {done.returncode}{printed}")
        if not files["{output}"].exists():
            raise MissingFileError(f"{program} wrote no {{output}}{printed}")
        return read_picture(files["{output}"])
