"""Read the weights of an exported model back from its ONNX files, to begin a run with.

Initialisers are named as the parameters were, but for those that the exporter has worked into
constants: these are found by the module whose operations use them, and by their shape.
"""

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from livemoments.errors import MissingExtraError, WeightsError, list_some
from livemoments.networks.compact import CompactNetworks
from livemoments.networks.compact_config import CompactConfig
from livemoments.networks.faces import FaceConfig, FaceNet

if TYPE_CHECKING:
    from onnx import ModelProto

DESCRIBED_IN = ("compact.json", "faces.json")
HALF = "_half"  # ends the name of what `onnx_files.store_half` has stored as float16
WRAPPED = "net."  # begins the names of a network that is exported within another


def read_exported(folder: Path) -> dict[str, Tensor]:
    """Read the weights of an exported model, float32, by the names they have in training.

    Of a network that has grown since, those that the files know.

    Raises:
        WeightsError: no such model, a file that is missing or damaged, or a weight whose place
            cannot be found.
    """
    about = _description(folder)
    expected = {name: tuple(weight.shape) for name, weight in _network(folder, about).items()}
    weights: dict[str, Tensor] = {}
    left = 0  # constants whose place is not known
    for file, sha256 in about["sha256"].items():
        model = _load(folder / file, sha256)
        stem = Path(file).stem
        values = _values(model)
        for name in [name for name in values if "::" not in name]:
            bare = name.removeprefix(WRAPPED)
            weights[bare if bare in expected else f"{stem}.{bare}"] = values.pop(name)
        missing = {name: shape for name, shape in expected.items() if name not in weights}
        found = _unnamed(model, values, stem, missing)
        weights |= found
        left += len(values) - len(found)
    # A module may be new as a whole; of one that the files know, a constant may be what is missing.
    modules = {name: name.rpartition(".")[0] + "." for name in expected if name not in weights}
    lost = [n for n, module in modules.items() if any(o.startswith(module) for o in weights)]
    if lost and left:
        raise WeightsError(
            f"{folder}: {len(lost)} weights cannot be found in its files: {list_some(lost)}; "
            "begin with a checkpoint instead"
        )
    return weights


def _description(folder: Path) -> dict[str, Any]:
    """Read what describes the model in a folder."""
    for name in DESCRIBED_IN:
        try:
            about: dict[str, Any] = json.loads((folder / name).read_text())
            if not isinstance(about["network"], dict) or not isinstance(about["sha256"], dict):
                raise ValueError("of another form")
            return about
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"{folder / name}: does not describe a model ({error})") from error
    raise WeightsError(
        f"{folder}: no exported model; expected {' or '.join(DESCRIBED_IN)} in it, "
        "as `livemoments lab export` writes them"
    )


def _network(folder: Path, about: dict[str, Any]) -> dict[str, Tensor]:
    """Make the weights of a network of the described sizes; their values mean nothing."""
    try:
        with torch.device("meta"):
            config = CompactConfig(**sizes_of(about["network"]))
            model: nn.Module = CompactNetworks(config)
            if "faces" in about:
                model = FaceNet(config, FaceConfig(**sizes_of(about["faces"])))
    except (TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{folder}: describes a network of another kind ({error})") from error
    return model.state_dict()


def sizes_of(plain: dict[str, Any]) -> dict[str, Any]:
    """Turn a network's sizes back from plain values: lists were tuples."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in plain.items()}


def _load(path: Path, sha256: str) -> "ModelProto":
    """Read an ONNX file of this SHA-256."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(
            "beginning with an exported model needs onnx: pip install 'livemoments[train]'"
        ) from error
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise WeightsError(f"{path}: damaged, or not of this model: its SHA-256 is another one")
    return onnx.load_model_from_string(content)


def _values(model: "ModelProto") -> dict[str, Tensor]:
    """Return all initialisers that are no whole numbers, by their names in operations."""
    from onnx import TensorProto, numpy_helper

    found = {
        tensor.name.removesuffix(HALF): torch.from_numpy(
            numpy_helper.to_array(tensor).astype(np.float32)
        )
        for tensor in model.graph.initializer
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16)
    }
    for node in model.graph.node:
        # Of equal weights the exporter stores one, and hands it on under the others' names.
        if node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]].clone()
    return found


def _unnamed(
    model: "ModelProto", values: dict[str, Tensor], stem: str, missing: dict[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Find the weights that constants, the values, hold: each in the module that uses it."""
    used: dict[str, dict[str, Tensor]] = defaultdict(dict)  # by module, then by name
    for node in model.graph.node:
        for name in node.input:
            if name in values:
                # An operation is called by its place: /net/attend.0/Add.
                module = node.name.rpartition("/")[0].strip("/").replace("/", ".")
                used[module][name] = values[name]
    found: dict[str, Tensor] = {}
    for name, shape in missing.items():
        module = name.rpartition(".")[0].removeprefix(stem).removeprefix(".")
        fitting = [
            shaped
            for place, constants in used.items()
            if f".{place}".endswith(f".{module}")
            for constant in constants.values()
            if (shaped := _shaped(constant, shape)) is not None
        ]
        if len(fitting) == 1:
            found[name] = fitting[0]
    return found


def _shaped(value: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Turn a constant back into the weight of this shape; None if it was made of another."""
    if len(shape) == 2 and value.shape == (shape[1], shape[0]) and shape[0] != shape[1]:
        return value.T.contiguous()
    if [n for n in value.shape if n != 1] == [n for n in shape if n != 1]:
        return value.reshape(shape)
    return None
