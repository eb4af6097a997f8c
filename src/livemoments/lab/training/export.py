"""From a training checkpoint to the ONNX files that the package ships.

Weights are stored as float16 and cast back when a session is made: half the size, and the
arithmetic stays float32. The checkpoint's weights are rounded first, so that PyTorch and ONNX agree
to rounding.
"""

from pathlib import Path

import torch

from livemoments.lab.training.compact.export import export_compact
from livemoments.lab.training.run.checkpoint import UNREADABLE


def export(checkpoint: Path, folder: Path) -> list[Path]:
    """Turn a checkpoint into the files of its model; returns them."""
    model = _model_of(checkpoint)
    if model == "sd3":
        from livemoments.lab.training.sd3.export import export_sd3

        return export_sd3(checkpoint, folder)
    if model == "faces":
        from livemoments.lab.training.faces.export import export_faces

        return export_faces(checkpoint, folder)
    return export_compact(checkpoint, folder)


def _model_of(checkpoint: Path) -> str:
    """Which model it says it is of; what cannot be read says nothing."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return str(state["config"].get("model", ""))
    except (*UNREADABLE, AttributeError):
        return ""
