"""From a training checkpoint to the ONNX files that the package ships.

Weights are stored as float16 and cast back when a session is made: half the size, and the
arithmetic stays float32. The checkpoint's weights are rounded first, so that PyTorch and ONNX agree
to rounding.
"""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from livemoments.errors import MissingExtraError, WeightsError
from livemoments.models.aligned import MAPS
from livemoments.networks.blocks import FOLD, LATENT
from livemoments.networks.compact import RestorationNet
from livemoments.networks.compact_config import CompactConfig
from livemoments.training.aligning import CompactModel
from livemoments.training.checkpoint import UNREADABLE, said

OPSET = 18
PROMPT = {"prompt_8", "prompt_16"}  # inputs of the face tier
FIXED = {"identity", "attributes", "streams"}
Jobs = dict[str, tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]]]


class _FlatRestoration(nn.Module):
    """RestorationNet with the reference branch's maps as separate inputs, as ONNX wants them."""

    def __init__(self, net: RestorationNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, z: Tensor, frame: Tensor, reference: Tensor, motion: Tensor, t: Tensor,
        *features: Tensor,
    ) -> Tensor:  # fmt: skip
        return self.net(z, frame, reference, features, motion, t)


def load_average(checkpoint: Path) -> tuple[CompactModel, dict[str, object]]:
    """The averaged model of a checkpoint, and the configuration and position it was saved with."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in state["config"]["network"].items()
        }
        model = CompactModel(CompactConfig(**network))
        model.load_state_dict(state["average"])
        position = {name: state["position"][name] for name in ("step", "minutes")}
    except UNREADABLE as error:
        raise WeightsError(f"{checkpoint}: not a compact checkpoint: {said(error)}") from error
    return model.eval(), {"network": network, **position}


def export(checkpoint: Path, folder: Path) -> list[Path]:
    """Turn a checkpoint into the files of its model; returns them."""
    model = _model_of(checkpoint)
    if model == "sd3":
        from livemoments.training.export_sd3 import export_sd3

        return export_sd3(checkpoint, folder)
    if model == "faces":
        from livemoments.training.export_faces import export_faces

        return export_faces(checkpoint, folder)
    return export_compact(checkpoint, folder)


def _model_of(checkpoint: Path) -> str:
    """Which model it says it is of; what cannot be read says nothing."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return str(state["config"].get("model", ""))
    except (*UNREADABLE, AttributeError):
        return ""


def export_compact(checkpoint: Path, folder: Path) -> list[Path]:
    """Write the networks as ONNX files, and compact.json, into folder."""
    model, about = load_average(checkpoint)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    folder.mkdir(parents=True, exist_ok=True)
    n = 128
    image, plane, small = (
        torch.rand(1, 3, n, n),
        torch.rand(1, 1, n, n),
        torch.rand(1, 3, n // FOLD, n // FOLD),
    )
    latent, t = torch.rand(1, LATENT, n // FOLD, n // FOLD), torch.full((1,), 0.2)
    jobs: Jobs = {
        "refiner": (
            model.refiner, (image, image, plane), ["frame", "warped", "confidence"], ["refined"],
        ),
    }  # fmt: skip
    names: list[str] = []
    features: tuple[Tensor, ...] = ()
    with torch.no_grad():
        if model.config.branch == "windows":
            names, features = list(MAPS), model.reference(image, plane)
            jobs["reference"] = (
                model.reference, (image, plane), ["reference", "confidence"], names,
            )  # fmt: skip
    jobs["restoration"] = (
        _FlatRestoration(model.restoration).eval(),
        (latent, image, image, small, t, *features),
        ["z", "frame", "reference", "motion", "t", *names],
        ["truth"],
    )
    return write_model(jobs, folder, about, "compact.json")


def write_model(
    jobs: Jobs,
    folder: Path,
    about: dict[str, object],
    described_in: str,
) -> list[Path]:
    """Write the networks of a model into a folder, and what describes them beside.

    Args:
        jobs: by name, each network with an example, its inputs' names and its outputs'.
        folder: where they go; it exists.
        about: what the description holds besides the files' SHA-256.
        described_in: its name.
    """
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
    # The references of the face tier are as many as they are, whatever the frames.
    axes |= {name: axes[name] | {0: "references"} for name in PROMPT & set(axes)}
    with warnings.catch_warnings():
        # The tracing exporter warns of being old and of sizes it takes as constants; parity tests
        # guard both.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, example, str(path), input_names=inputs, output_names=outputs,
            dynamic_axes=axes, opset_version=OPSET, dynamo=False,
        )  # fmt: skip


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
