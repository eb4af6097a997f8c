"""Pictures of what methods made of faces, side by side, for looking at.

Each method's canonical faces are kept at 100 %, as it is measured; sheets are put together of what
is there: a row for each frame, a column for each method, then the truth and the reference.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from livemoments.errors import OutputError
from livemoments.faces.crops import SIZE_PX, cut

if TYPE_CHECKING:
    from livemoments.lab.face_benchmark.truths import Person, TrueClip

SHOWN = 6  # frames of a face
TRUTH, REFERENCE = "truth", "reference"
PARTS = "parts"  # the folder of single columns
HEAD_PX = 18  # of the line with the columns' names


class FaceSheets:
    """A folder of sheets."""

    def __init__(self, folder: Path) -> None:
        """Make the folder.

        Raises:
            OutputError: it cannot be made.
        """
        self.folder = folder
        try:
            (folder / PARTS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error

    def keep(
        self, clip: "TrueClip", strength: str, method: str, frames: Sequence[np.ndarray]
    ) -> None:
        """Keep the faces of a clip as a method made them, of pictures RGB uint8."""
        for person in clip.people:
            at = shown(person)
            self._write(_name(person.name, strength, method), _faces(person, at, frames))
            self._write(_name(person.name, strength, TRUTH), _faces(person, at, clip.frames))
            self._write(_name(person.name, strength, REFERENCE), [person.reference] * len(at))

    def has(self, person: str, strength: str, method: str) -> bool:
        """Whether a method's faces were kept."""
        return self._part(_name(person, strength, method)).exists()

    def make(self, people: Sequence[str], strength: str, methods: Sequence[str]) -> list[Path]:
        """Put sheets together, FOLDER/PERSON-STRENGTH.png; returns them."""
        made = []
        for person in people:
            columns = []
            for method in (*methods, TRUTH, REFERENCE):
                column = cv2.imread(str(self._part(_name(person, strength, method))))
                if column is not None:
                    columns.append(_headed(column, method))
            if columns:
                path = self.folder / f"{_plain(person)}-{strength}.png"
                _written(path, np.hstack(columns))
                made.append(path)
        return made

    def _part(self, name: str) -> Path:
        return self.folder / PARTS / f"{name}.png"

    def _write(self, name: str, faces: Sequence[np.ndarray]) -> None:
        _written(self._part(name), np.ascontiguousarray(np.vstack(faces)[..., ::-1]))


def shown(person: "Person") -> list[int]:
    """The frames that are shown of a face, evenly apart."""
    seen = [index for index, view in sorted(person.views.items()) if view.seen]
    picked = np.linspace(0, len(seen) - 1, min(SHOWN, len(seen)))
    return [seen[round(each)] for each in picked]


def _faces(person: "Person", at: Sequence[int], frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [cut(frames[index], person.views[index].placement, SIZE_PX) for index in at]


def _headed(column: np.ndarray, text: str) -> np.ndarray:
    """A column, BGR, with its name above."""
    head = np.full((HEAD_PX, column.shape[1], 3), 255, np.uint8)
    cv2.putText(
        head, text[:34], (2, HEAD_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA
    )
    return np.vstack([head, column])


def _written(path: Path, picture: np.ndarray) -> None:
    if not cv2.imwrite(str(path), picture):
        raise OutputError(f"{path}: cannot be written; give another folder")


def _name(person: str, strength: str, column: str) -> str:
    return f"{_plain(person)}-{strength}-{_plain(column)}"


def _plain(text: str) -> str:
    """A text as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9+]+", "-", text).strip("-")
