"""Export a training checkpoint to the files that restore."""

from pathlib import Path

import torch

from livemoments.lab.training.compact.export import export_compact
from livemoments.lab.training.run.checkpoint import UNREADABLE


def export(checkpoint: Path, folder: Path) -> list[Path]:
    """Turn a checkpoint into the files of its model; returns them.

    Raises:
        WeightsError: it is no checkpoint.
    """
    model = _model_of(checkpoint)
    if model == "sd3":
        from livemoments.lab.training.sd3.export import export_sd3

        return export_sd3(checkpoint, folder)
    if model == "faces":
        from livemoments.lab.training.faces.export import export_faces

        return export_faces(checkpoint, folder)
    return export_compact(checkpoint, folder)


def _model_of(checkpoint: Path) -> str:
    """Read the name of a checkpoint's model; empty where it cannot be read."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return str(state["config"].get("model", ""))
    except (*UNREADABLE, AttributeError):
        return ""
