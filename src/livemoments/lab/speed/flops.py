"""Count what networks compute in convolutions and matrix products: two operations a product.

PyTorch's counter leaves out what is done once per value: activations, norms, warps.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from livemoments.errors import WeightsError
from livemoments.lab.training.run.exported import sizes_of
from livemoments.models.sessions import read_about
from livemoments.networks.blocks import FOLD, LATENT
from livemoments.networks.compact import CompactNetworks
from livemoments.networks.compact_config import CompactConfig


def torch_tflops(work: Callable[[], object]) -> float:
    """Count the 10^12 operations of the networks of PyTorch that some work runs."""
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return counter.get_total_flops() / 1e12


def compact_costs(folder: Path, size_px: int, steps: int = 1) -> dict[str, float]:
    """Count the compact model's parameters_m (10^6), and the tflops (10^12) of a tile.

    size_px is a multiple of 64. The networks are those that compact.json describes; nothing is
    computed.

    Raises:
        WeightsError: the folder has no compact.json, or it is not of such networks.
    """
    about: dict[str, Any] = read_about(folder / "compact.json", "compact model")
    n, h = size_px, size_px // FOLD
    with torch.device("meta"), torch.inference_mode():
        try:
            model = CompactNetworks(CompactConfig(**sizes_of(about.get("network", {}))))
        except TypeError as error:
            raise WeightsError(f"{folder}: not a compact model of this version") from error
        picture, plane = torch.empty(1, 3, n, n), torch.empty(1, 1, n, n)
        z, motion, t = torch.empty(1, LATENT, h, h), torch.empty(1, 3, h, h), torch.empty(1)

        def work() -> None:
            model.refiner(picture, picture, plane)
            has_branch = model.config.branch == "windows"
            features = model.reference(picture, plane) if has_branch else ()
            for _ in range(steps):
                model.restoration(z, picture, picture, features, motion, t)

        tflops = torch_tflops(work)
    return {"parameters_m": sum(p.numel() for p in model.parameters()) / 1e6, "tflops": tflops}
