"""Draw what methods made of faces, next to each other, for looking at.

Each method's canonical faces are stored at 100 %, as they are measured. A sheet is put together of
what is stored: a row for each frame, a column for each method, then the truth and the reference.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from livemoments.errors import OutputError
from livemoments.faces.crops import SIZE_PX, cut
from livemoments.lab.face_benchmark.truths import TrueClip

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

    def store(
        self, clip: TrueClip, strength: str, method: str, frames: Sequence[np.ndarray]
    ) -> None:
        """Store the faces of a clip as a method made them, of pictures RGB uint8."""
        for person in clip.people:
            seen = [index for index, view in sorted(person.views.items()) if view.seen]
            picked = np.linspace(0, len(seen) - 1, min(SHOWN, len(seen)))
            shown = [seen[round(each)] for each in picked]
            places = [person.views[index].placement for index in shown]
            for column, pictures in ((method, frames), (TRUTH, clip.frames)):
                faces = [
                    cut(pictures[at], place, SIZE_PX)
                    for at, place in zip(shown, places, strict=True)
                ]
                _write(self._part(person.name, strength, column), np.vstack(faces)[..., ::-1])
            references = np.vstack([person.reference] * len(shown))
            _write(self._part(person.name, strength, REFERENCE), references[..., ::-1])

    def has(self, person: str, strength: str, method: str) -> bool:
        """Return whether a method's faces are stored."""
        return self._part(person, strength, method).exists()

    def make(self, people: Sequence[str], strength: str, methods: Sequence[str]) -> list[Path]:
        """Put sheets together and return their paths, FOLDER/PERSON-STRENGTH.png."""
        made = []
        for person in people:
            columns = []
            for method in (*methods, TRUTH, REFERENCE):
                column = cv2.imread(str(self._part(person, strength, method)))
                if column is not None:
                    columns.append(_with_name(column, method))
            if columns:
                made.append(self.folder / f"{_plain(person)}-{strength}.png")
                _write(made[-1], np.hstack(columns))
        return made

    def _part(self, person: str, strength: str, column: str) -> Path:
        return self.folder / PARTS / f"{_plain(person)}-{strength}-{_plain(column)}.png"


def _with_name(column: np.ndarray, text: str) -> np.ndarray:
    """Write a column's name above it; BGR."""
    head = np.full((HEAD_PX, column.shape[1], 3), 255, np.uint8)
    cv2.putText(
        head, text[:34], (2, HEAD_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA
    )
    return np.vstack([head, column])


def _write(path: Path, picture: np.ndarray) -> None:
    if not cv2.imwrite(str(path), np.ascontiguousarray(picture)):
        raise OutputError(f"{path}: cannot be written; give another folder")


def _plain(text: str) -> str:
    """Return a text as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9+]+", "-", text).strip("-")
