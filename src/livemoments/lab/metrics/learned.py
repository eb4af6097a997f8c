"""Grade a picture by itself with MUSIQ, CLIPIQA or MANIQA, learned networks from pyiqa.

No package but pyiqa has them. It is under PolyForm-Noncommercial-1.0.0, downloads its weights, and
requires much, torchvision too, so livemoments does not: they are used where it is installed. In
its release 0.1.16 none of the three draws at random; MANIQA did before.
"""

import pickle

import numpy as np
import torch

from livemoments.errors import MissingFileError, first_line
from livemoments.lab.metrics.metric import need_package
from livemoments.lab.metrics.relative import Grade

PYIQA = {"MUSIQ": "musiq", "CLIPIQA": "clipiqa", "MANIQA": "maniqa"}
BROKEN_DOWNLOAD = (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError)


def learned_grade(name: str, device: str = "cpu") -> Grade:
    """Load MUSIQ, CLIPIQA or MANIQA from pyiqa.

    Raises:
        MissingExtraError: pyiqa is not installed, or does not work.
        MissingFileError: it cannot get its weights.
    """
    package = need_package("pyiqa", "pyiqa", f"{name} (PolyForm-Noncommercial)")
    try:
        network = package.create_metric(PYIQA[name], device=torch.device(device))
    except BROKEN_DOWNLOAD as error:
        raise MissingFileError(
            f"{name}: pyiqa could not get its weights ({first_line(error)});"
            " run it once with a network"
        ) from error

    def grade(picture: np.ndarray) -> float:
        image = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))
        with torch.inference_mode():
            return float(network(image.to(device)))

    return grade
