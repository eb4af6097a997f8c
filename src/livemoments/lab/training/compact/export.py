"""Export a checkpoint of the compact model to the ONNX files that the package ships."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from livemoments.lab.training.run.checkpoint import read_average
from livemoments.lab.training.run.exported import sizes_of
from livemoments.lab.training.run.onnx_files import Graphs, round_to_half, write_model
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


def load_average(checkpoint: Path) -> tuple[CompactNetworks, dict[str, Any]]:
    """Load the averaged model of a checkpoint, with its network's sizes, step and minutes.

    Raises:
        WeightsError: it is no checkpoint of the compact model.
    """
    return read_average(checkpoint, _network_of, "a compact checkpoint")


def _network_of(config: dict[str, Any]) -> tuple[CompactNetworks, dict[str, Any]]:
    network = sizes_of(config["network"])
    return CompactNetworks(CompactConfig(**network)), {"network": network}


def export_compact(checkpoint: Path, folder: Path) -> list[Path]:
    """Write the networks as ONNX files, and compact.json, into folder."""
    model, about = load_average(checkpoint)
    round_to_half(model)
    n = 128
    image, plane = torch.rand(1, 3, n, n), torch.rand(1, 1, n, n)
    small = torch.rand(1, 3, n // FOLD, n // FOLD)
    latent, t = torch.rand(1, LATENT, n // FOLD, n // FOLD), torch.full((1,), 0.2)
    jobs: Graphs = {
        "refiner": (
            model.refiner, (image, image, plane), ["frame", "warped", "confidence"], ["refined"],
        ),
    }  # fmt: skip
    names: list[str] = []
    features: tuple[Tensor, ...] = ()
    if model.config.branch == "windows":
        with torch.no_grad():
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
