"""Networks' weights in files: found, compared by their headers, fitted in, written whole."""

import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from livemoments.errors import OutputError, WeightsError, list_some
from livemoments.files import atomic_folder
from livemoments.models.sd3.config import PUBLISHED, SD3_MEDIUM

LICENCE = (
    "LiveMoments' code is Apache-2.0; its weights derive from SD3-medium, so the Stability AI"
    " Community License applies to both"
)
AGAIN = "download it again, or give another folder"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SHARD_BYTES = 4 << 30  # of weights in one file, at most
WEIGHTS = "diffusion_pytorch_model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
# As diffusers names them, in the order of preference.
WEIGHT_FILES = (
    WEIGHTS,
    INDEX,
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

    def tensors(self, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
        """Every name with its tensor, one after the other."""
        for file in self.files():
            names = [name for name, entry in self.entries.items() if entry.file == file]
            if file.suffix == ".safetensors":
                with _safe_file(file) as opened:
                    yield from ((name, opened.get_tensor(name).to(dtype)) for name in names)
            else:
                state = _state_dict(file)
                yield from ((name, state[name].to(dtype)) for name in names)

    def files(self) -> list[Path]:
        """The files they lie in."""
        return sorted({entry.file for entry in self.entries.values()})

    def facts(self) -> dict[str, object]:
        """How they are stored, for people."""
        return {
            "dtype": ", ".join(sorted({entry.dtype for entry in self.entries.values()})),
            "bytes": sum(file.stat().st_size for file in self.files()),
            "files": [file.name for file in self.files()],
        }


def find_folder(value: Path | str) -> Path:
    """A folder of weights, or that of a repository in the Hugging Face cache.

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
        raise WeightsError(
            f"{name}: neither a folder nor in the Hugging Face cache; {_how_to_get(name)}"
        ) from error


def _how_to_get(name: str) -> str:
    command = f"`hf download {name}`, or give a folder"
    if name == SD3_MEDIUM:
        return f"accept its licence at https://huggingface.co/{name}, then {command} ({LICENCE})"
    return f"{command} ({LICENCE})" if name == PUBLISHED else command


def open_weights(folder: Path) -> Stored:
    """The weights in one of diffusers' folders, by their headers."""
    for name in WEIGHT_FILES:
        path = folder / name
        if os.path.isfile(path):
            entries = _indexed(path) if path.suffix == ".json" else open_file(path).entries
            return Stored(folder, entries)
    found = "no such folder" if not folder.is_dir() else f"no {WEIGHTS} in it"
    raise WeightsError(f"{folder}: {found}; {AGAIN}")


def open_file(path: Path) -> Stored:
    """The tensors of one file: safetensors by the header, others by unpickling nothing else."""
    if path.suffix == ".safetensors":
        with _safe_file(path) as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            entries = {
                name: Entry(path, tuple(each.get_shape()), _named(each.get_dtype()))
                for name, each in slices.items()
            }
    else:
        entries = {
            name: Entry(path, tuple(each.shape), str(each.dtype).removeprefix("torch."))
            for name, each in _state_dict(path).items()
        }
    return Stored(path, entries)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"bad JSON: {error}"
        raise WeightsError(f"{path}: cannot be read ({reason}); {AGAIN}") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: holds no JSON object; {AGAIN}")
    return values


def unpickle(path: Path) -> object:
    """What a file of torch.save holds, which may be tensors and plain values only."""
    try:
        mapped = zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # noqa: BLE001 - a damaged pickle may raise anything
        kind = type(error).__name__
        raise WeightsError(
            f"{path}: not a file of tensors that torch.load(weights_only=True) reads ({kind});"
            f" {AGAIN}"
        ) from error


def compare(module: nn.Module, stored: Stored, fresh: str | None = None) -> None:
    """Raise WeightsError unless names and shapes are the network's; no values are read.

    Args:
        module: The network, which may be on the meta device.
        stored: The weights for it.
        fresh: How the names end that may be absent; None: none may.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = stored.entries
    problems = {
        "missing": [
            name for name in wanted if name not in found and not (fresh and name.endswith(fresh))
        ],
        "unexpected": [name for name in found if name not in wanted],
        "of another shape": [
            f"{name} {list(entry.shape)} instead of {list(wanted[name])}"
            for name, entry in found.items()
            if name in wanted and entry.shape != wanted[name]
        ],
        "not floating point": [
            f"{name} ({entry.dtype})" for name, entry in found.items() if "float" not in entry.dtype
        ],
    }
    differences = "; ".join(
        f"{what}: {list_some(names)}" for what, names in problems.items() if names
    )
    if differences:
        kind = type(module).__name__
        raise WeightsError(
            f"{stored.source}: not the weights of this {kind}; {differences}; {AGAIN}"
        )


def fill(module: nn.Module, stored: Stored, dtype: torch.dtype, fresh: str | None = None) -> Any:  # noqa: ANN401 - the module
    """Give a network of the meta device its weights, on the CPU; those that are fresh get zeros.

    Returns the network in evaluation mode, with nothing to train.
    """
    compare(module, stored, fresh)
    state = dict(stored.tensors(dtype))
    for name, tensor in module.state_dict().items():
        if name not in state:
            state[name] = torch.zeros(tensor.shape, dtype=dtype)
    module.load_state_dict(state, strict=True, assign=True)
    tensors = [*module.named_parameters(), *module.named_buffers()]
    empty = [name for name, tensor in tensors if tensor.is_meta]
    if empty:
        raise WeightsError(
            f"{stored.source}: holds no values for {list_some(empty)}; {AGAIN},"
            " or another version of diffusers"
        )
    return module.eval().requires_grad_(False)


def write_model(folder: Path, module: Any) -> None:  # noqa: ANN401 - diffusers' ModelMixin
    """One of diffusers' folders: config.json and safetensors, in several files where large."""
    module.save_config(folder)
    shards: list[dict[str, Tensor]] = [{}]
    for name, tensor in module.state_dict().items():
        if shards[-1] and _size(shards[-1].values()) + tensor.nbytes > SHARD_BYTES:
            shards.append({})
        shards[-1][name] = tensor
    if len(shards) == 1:
        write_file(folder / WEIGHTS, shards[0])
        return
    files = {}
    for number, shard in enumerate(shards, 1):
        suffix = f"-{number:05d}-of-{len(shards):05d}.safetensors"
        files[WEIGHTS.removesuffix(".safetensors") + suffix] = shard
    for file, shard in files.items():
        write_file(folder / file, shard)
    size = sum(_size(shard.values()) for shard in shards)
    mapped = {name: file for file, shard in files.items() for name in shard}
    index = {"metadata": {"total_size": size}, "weight_map": mapped}
    (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


@contextmanager
def model_folder(folder: Path, ours: Callable[[str], object], *, overwrite: bool) -> Iterator[Path]:
    """Give the body a folder to fill, as files.atomic_folder does; safetensors' errors count too.

    Raises:
        OutputError: the place is refused, or cannot be written.
    """
    try:
        with atomic_folder(folder, ours, overwrite=overwrite) as temporary:
            yield temporary
    except SafetensorError as error:
        raise OutputError(f"{folder}: cannot be written ({error})") from error


def write_file(path: Path, tensors: dict[str, Tensor]) -> None:
    """A safetensors file."""
    whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(whole, path, metadata={"format": "pt"})


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _indexed(index: Path) -> dict[str, Entry]:
    """The entries of the files that an index names."""
    mapped = read_json(index).get("weight_map")
    if not isinstance(mapped, dict) or not all(map(_is_plain_name, mapped.values())):
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


def _is_plain_name(file: object) -> bool:
    return isinstance(file, str) and Path(file).name == file != ""


def _named(dtype: str) -> str:
    return DTYPES.get(dtype, dtype.lower())


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
