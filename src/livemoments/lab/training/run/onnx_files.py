"""Write networks as ONNX files.

Weights are stored as float16 and cast back when a session is made: half the size, and the
arithmetic stays float32.
"""

import hashlib
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from livemoments.errors import MissingExtraError

# By file name: a network, example inputs, names of the inputs and of the outputs.
Graphs = dict[str, tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]]]
OPSET = 18
PROMPT = {"prompt_8", "prompt_16"}  # inputs of the face tier, one row a reference
FIXED = {"identity", "attributes", "streams"}  # inputs of it whose sizes are always the same


def write_model(
    jobs: Graphs, folder: Path, about: dict[str, object], described_in: str
) -> list[Path]:
    """Write the networks of a model into a folder, and their description next to them.

    Args:
        jobs: by name, each network with an example, its inputs' names and its outputs'.
        folder: where they go; it is made where it is not there.
        about: what the description holds apart from the files' SHA-256.
        described_in: its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (network, example, inputs, outputs) in jobs.items():
        path = folder / f"{name}.onnx"
        to_onnx(network, example, inputs, outputs, path)
        store_half(path)
        written.append(path)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in written}
    about_path = folder / described_in
    about_path.write_text(json.dumps(about | {"sha256": sums}, indent=1) + "\n")
    return [*written, about_path]


def to_onnx(
    network: nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    path: Path,
) -> None:
    """Write a network as ONNX; batch, height and width are free."""
    axes = {
        name: {0: "batch"} if name == "t" else {0: "batch", 2: f"{name}_h", 3: f"{name}_w"}
        for name in inputs + outputs
        if name not in FIXED
    }
    # The face tier has any number of references, whatever the number of frames.
    axes |= {name: axes[name] | {0: "references"} for name in PROMPT & set(axes)}
    with warnings.catch_warnings():
        # The tracing exporter warns of being old and of sizes it takes as constants; parity tests
        # guard both.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, example, str(path), input_names=inputs, output_names=outputs,
            dynamic_axes=axes, opset_version=OPSET, dynamo=False,
        )  # fmt: skip


def round_to_half(model: nn.Module) -> None:
    """Round weights as their files will have them, so that PyTorch and ONNX agree to rounding."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())


def store_half(path: Path) -> None:
    """Store larger float32 weights as float16 behind a Cast, which the run time folds away."""
    try:
        import numpy as np
        import onnx
        from onnx import helper, numpy_helper
    except ImportError as error:
        raise MissingExtraError("exporting needs onnx: pip install 'livemoments[train]'") from error
    model = onnx.load(str(path))
    graph = model.graph
    casts = []
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 64:
            continue
        half = numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}_half")
        graph.initializer.remove(tensor)
        graph.initializer.append(half)
        casts.append(
            helper.make_node("Cast", [half.name], [tensor.name], to=onnx.TensorProto.FLOAT)
        )
    for node in reversed(casts):
        graph.node.insert(0, node)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
