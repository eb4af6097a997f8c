"""Read networks' weights from files, compared by their headers first, and write them."""

import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from livemoments.errors import OutputError, WeightsError, list_some
from livemoments.models.sd3.config import PUBLISHED, SD3_MEDIUM

LICENCE = (
    "LiveMoments' code is Apache-2.0; its weights derive from SD3-medium, so the Stability AI"
    " Community License applies to both"
)
AGAIN = "download it again, or give another one"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SHARD_BYTES = 4 << 30  # of weights in one file, at most
WEIGHTS = "diffusion_pytorch_model.safetensors"
# As diffusers names them, in the order of preference.
WEIGHT_FILES = (
    WEIGHTS,
    f"{WEIGHTS}.index.json",
    "diffusion_pytorch_model.fp16.safetensors",
    "diffusion_pytorch_model.safetensors.index.fp16.json",
    "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.bin.index.json",
    "diffusion_pytorch_model.fp16.bin",
)
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class Entry:
    """What a header says of one tensor."""

    file: Path
    shape: tuple[int, ...]
    dtype: str  # PyTorch's name


@dataclass(frozen=True)
class Stored:
    """Named tensors in one file, or in the several files of a folder; not yet read."""

    source: Path  # the file or the folder: what messages name
    entries: dict[str, Entry]

    @property
    def files(self) -> list[Path]:
        """The files that hold the tensors."""
        return sorted({entry.file for entry in self.entries.values()})

    def tensors(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Read every tensor, one after the other."""
        found: dict[str, Tensor] = {}
        for file in self.files:
            names = [name for name, entry in self.entries.items() if entry.file == file]
            if file.suffix == ".safetensors":
                with _safe_file(file) as opened:
                    found |= {name: opened.get_tensor(name).to(dtype) for name in names}
            else:
                state = _state_dict(file)
                found |= {name: state[name].to(dtype) for name in names}
        return found


@dataclass(frozen=True)
class Part:
    """A network on the meta device, and weights of its names and shapes, not yet read.

    Raises:
        WeightsError: the weights are of another network.
    """

    network: Any
    stored: Stored
    fresh: str | None = None  # how names end that may be absent, and are then zeros; None: none may

    def __post_init__(self) -> None:
        found, fresh = self.stored.entries, self.fresh
        wanted = {name: tuple(each.shape) for name, each in self.network.state_dict().items()}
        optional = {name for name in wanted if fresh and name.endswith(fresh)} - found.keys()
        shapes = {name: entry.shape for name, entry in found.items()}
        kinds = [
            f"{name} ({each.dtype})" for name, each in found.items() if "float" not in each.dtype
        ]
        problems = differences({n: s for n, s in wanted.items() if n not in optional}, shapes)
        problems += [f"not floating point: {list_some(kinds)}"] if kinds else []
        if problems:
            raise WeightsError(
                f"{self.stored.source}: not the weights of this {type(self.network).__name__};"
                f" {'; '.join(problems)}; {AGAIN}"
            )

    def load(self, dtype: torch.dtype) -> Any:  # noqa: ANN401 - the network
        """Return the network with its values, on the CPU, in evaluation mode, frozen.

        Raises:
            WeightsError: the files cannot be read, or some values are not in them.
        """
        network, state = self.network, self.stored.tensors(dtype)
        for name, tensor in network.state_dict().items():
            if name not in state:
                state[name] = torch.zeros(tensor.shape, dtype=dtype)
        network.load_state_dict(state, strict=True, assign=True)
        tensors = [*network.named_parameters(), *network.named_buffers()]
        empty = [name for name, tensor in tensors if tensor.is_meta]
        if empty:
            raise WeightsError(
                f"{self.stored.source}: holds no values for {list_some(empty)}; {AGAIN},"
                " or another version of diffusers"
            )
        return network.eval().requires_grad_(False)

    def facts(self) -> dict[str, Any]:
        """Describe the network and its files; the table of positions is no parameter."""
        count = sum(parameter.numel() for parameter in self.network.parameters())
        return {
            "million_parameters": round(count / 1e6, 3),
            "dtype": ", ".join(sorted({entry.dtype for entry in self.stored.entries.values()})),
            "bytes": sum(file.stat().st_size for file in self.stored.files),
            "files": [file.name for file in self.stored.files],
        }


def differences(
    wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> list[str]:
    """List what is wrong with the names and shapes that were found; nothing if they fit."""
    problems = {
        "missing": [name for name in wanted if name not in found],
        "unexpected": [name for name in found if name not in wanted],
        "of another shape": [
            f"{name} {list(shape)} instead of {list(wanted[name])}"
            for name, shape in found.items()
            if wanted.get(name, shape) != shape
        ],
    }
    return [f"{problem}: {list_some(names)}" for problem, names in problems.items() if names]


def find_folder(value: Path | str) -> Path:
    """Return a folder of weights, or that of a repository in the Hugging Face cache.

    Nothing is downloaded: licences are for people to accept.

    Raises:
        WeightsError: there is neither.
    """
    name = Path(value).as_posix()
    if os.path.isdir(value):
        return Path(value)
    if os.path.exists(value) or not REPOSITORY.fullmatch(name):
        raise WeightsError(
            f"{value}: not a folder; give one, or the name of a repository in the Hugging Face"
            f" cache, such as {PUBLISHED}"
        )
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (OSError, ValueError) as error:  # among them LocalEntryNotFoundError
        partial = getattr(error, "snapshot_path", None)
        if partial:  # some of its files, as `hf download --include` leaves them
            return Path(partial)
        how = f"`hf download {name}`, or give a folder"
        if name == SD3_MEDIUM:
            how = f"accept its licence at https://huggingface.co/{name}, then {how}"
        licence = f" ({LICENCE})" if name in (SD3_MEDIUM, PUBLISHED) else ""
        raise WeightsError(
            f"{name}: neither a folder nor in the Hugging Face cache; {how}{licence}"
        ) from error


def open_weights(folder: Path) -> Stored:
    """Read the headers of the weights in one of diffusers' folders."""
    for name in WEIGHT_FILES:
        path = folder / name
        if os.path.isfile(path):
            entries = _indexed(path) if path.suffix == ".json" else open_file(path).entries
            return Stored(folder, entries)
    found = "no such folder" if not folder.is_dir() else f"no {WEIGHTS} in it"
    raise WeightsError(f"{folder}: {found}; {AGAIN}")


def open_file(path: Path) -> Stored:
    """Read the headers of one file: a safetensors file, or a pickle of tensors alone."""
    if path.suffix == ".safetensors":
        with _safe_file(path) as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            found = {name: (each.get_shape(), each.get_dtype()) for name, each in slices.items()}
    else:
        state = _state_dict(path).items()
        found = {name: (each.shape, str(each.dtype).removeprefix("torch.")) for name, each in state}
    return Stored(
        path,
        {
            name: Entry(path, tuple(shape), DTYPES.get(dtype, dtype.lower()))
            for name, (shape, dtype) in found.items()
        },
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"bad JSON: {error}"
        raise WeightsError(f"{path}: cannot be read ({reason}); {AGAIN}") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: holds no JSON object; {AGAIN}")
    return values


def unpickle(path: Path) -> object:
    """Read a file of torch.save, which may hold tensors and plain values only."""
    try:
        mapped = zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # noqa: BLE001 - a damaged pickle may raise anything
        kind = type(error).__name__
        raise WeightsError(
            f"{path}: not a file of tensors that torch.load(weights_only=True) reads ({kind});"
            f" {AGAIN}"
        ) from error


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn safetensors' own error of writing, a full disk's for one, into an OutputError."""
    try:
        yield
    except SafetensorError as error:
        raise OutputError(f"{path}: cannot be written ({error})") from error


def write_file(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(whole, path, metadata={"format": "pt"})


def _indexed(index: Path) -> dict[str, Entry]:
    """Read the headers of the files that an index names."""
    mapped = read_json(index).get("weight_map")
    if not isinstance(mapped, dict) or not all(
        isinstance(file, str) and Path(file).name == file != "" for file in mapped.values()
    ):
        raise WeightsError(f"{index}: not an index of weights; {AGAIN}")
    files = sorted(set(mapped.values()))
    absent = [file for file in files if not os.path.isfile(index.parent / file)]
    if absent:
        raise WeightsError(f"{index}: names files that are not there: {list_some(absent)}; {AGAIN}")
    return {
        name: entry
        for file in files
        for name, entry in open_file(index.parent / file).entries.items()
        if mapped.get(name, file) == file
    }


@contextmanager
def _safe_file(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as opened:
            yield opened
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: not readable as safetensors ({error}); {AGAIN}") from error


def _state_dict(path: Path) -> dict[str, Tensor]:
    state = unpickle(path)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) and value.layout is torch.strided
        for name, value in state.items()
    ):
        raise WeightsError(f"{path}: holds something else than named tensors; {AGAIN}")
    return state
