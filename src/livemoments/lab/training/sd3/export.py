"""Export a checkpoint of the sd3 tier to the published layout, which `restore` reads."""

from pathlib import Path
from typing import Any

import torch

from livemoments.errors import WeightsError, first_line
from livemoments.lab.training.run.checkpoint import UNREADABLE, average_of, take_trained
from livemoments.lab.training.run.config import Sd3TrainConfig
from livemoments.lab.training.sd3.lora import merge_lora
from livemoments.lab.training.sd3.task import begin, mark_trained
from livemoments.models.sd3.weights import save_sd3


def export_sd3(checkpoint: Path, folder: Path) -> list[Path]:
    """Write transformer, transformer_ref, vae, MotionEncoder and prompt into a new folder.

    The weights are the average where the run has one, adapters merged, as float16. What the run
    began with is read again, from where it was.

    Raises:
        WeightsError: no such checkpoint, or what it began with is not there or another model.
        OutputError: the folder holds something already.
    """
    try:
        state: dict[str, Any] = torch.load(
            checkpoint, map_location="cpu", weights_only=True, mmap=True
        )
        config = Sd3TrainConfig(**state["config"]["sd3"])
        weights = average_of(state)
    except UNREADABLE as error:
        raise WeightsError(f"{checkpoint}: not a checkpoint of sd3: {first_line(error)}") from error
    parts = begin(config)
    mark_trained(parts.dual, config)
    try:
        take_trained(parts.dual, weights)
    except RuntimeError as error:
        raise WeightsError(
            f"{checkpoint}: does not fit what it began with ({config.weights or config.base}): "
            f"{first_line(error)}"
        ) from error
    if config.lora:
        merge_lora(parts.dual)
    save_sd3(folder, parts.dual.half(), vae=parts.vae, prompt=parts.prompt)
    return sorted(path for path in folder.rglob("*") if path.is_file())
