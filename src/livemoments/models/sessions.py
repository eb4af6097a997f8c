"""Check ONNX files against their description, and open them with ONNX Runtime."""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from livemoments.errors import WeightsError, first_line

if TYPE_CHECKING:
    import onnxruntime


def read_about(path: Path, what: str) -> dict[str, object]:
    """Read a model's description, and check that the files next to it are those it describes.

    Args:
        path: the description, JSON with "sha256" of each file.
        what: the model's name in messages.

    Raises:
        WeightsError: it or a file is missing, or another one.
    """
    try:
        about = json.loads(path.read_text())
        for name, expected in about["sha256"].items():
            found = hashlib.sha256((path.parent / name).read_bytes()).hexdigest()
            if found != expected:
                raise WeightsError(
                    f"{path.parent / name}: not the file that {path.name} describes (SHA-256 "
                    f"{found[:12]}..., expected {expected[:12]}...); reinstall livemoments"
                )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path}: the {what}'s weights cannot be read ({error}); reinstall livemoments"
        ) from error
    return about


def open_session(
    path: Path, threads: int, *, keep_memory: bool = True
) -> "onnxruntime.InferenceSession":
    """Open a network with ONNX Runtime on the CPU.

    Args:
        path: of the network.
        threads: at most so many; 0: one per core.
        keep_memory: whether the session keeps a run's memory for the next one: quicker where runs
            are small and of one size, a waste where a large one is followed by small ones.

    Raises:
        WeightsError: the file is no network.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = options.enable_mem_pattern = keep_memory
    # Threads that spin while they wait slow everything else on a laptop, and gained nothing
    # measurable.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base class
        reason = first_line(error)
        raise WeightsError(f"{path}: not usable as model weights: {reason}") from error
