"""Export a checkpoint of the compact model to the ONNX files that the package ships."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from livemoments.errors import WeightsError
from livemoments.lab.training.run.checkpoint import UNREADABLE, said
from livemoments.lab.training.run.onnx_files import Graphs, write_model
from livemoments.models.aligned import MAPS
from livemoments.networks.blocks import FOLD, LATENT
from livemoments.networks.compact import CompactNetworks, RestorationNet
from livemoments.networks.compact_config import CompactConfig


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


def load_average(checkpoint: Path) -> tuple[CompactNetworks, dict[str, object]]:
    """The averaged model of a checkpoint, and the configuration and position it was saved with."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in state["config"]["network"].items()
        }
        model = CompactNetworks(CompactConfig(**network))
        model.load_state_dict(state["average"])
        position = {name: state["position"][name] for name in ("step", "minutes")}
    except UNREADABLE as error:
        raise WeightsError(f"{checkpoint}: not a compact checkpoint: {said(error)}") from error
    return model.eval(), {"network": network, **position}


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
    jobs: Graphs = {
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
