"""Prepare portraits for training face restoration: faces with a margin, and who they show.

Next to the pictures is faces.json, which `lab.training.faces` reads: for each picture the identity,
the pose, the sharpness, and a number of the person, by which some are held out.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from livemoments.errors import InputError
from livemoments.faces.crops import SIZE_PX, cut
from livemoments.faces.detect import FaceFinder
from livemoments.faces.face import Face
from livemoments.faces.identity import TRUSTED, Embedder, apart
from livemoments.faces.pose import pose
from livemoments.faces.references import face_sharpness
from livemoments.files import atomic_output

MARGIN_PX = 32  # as `lab.training.faces.synthesis` reads them
SMALLEST_PX = 200  # of the canonical square in the photograph: smaller ones would be soft
LIST = "faces.json"


@dataclass(frozen=True, kw_only=True)
class PreparedPortrait:
    """A row of faces.json. Degrees; the canonical face has no roll."""

    file: str
    person: int
    identity: list[float]
    yaw: float
    pitch: float
    roll: float
    sharpness: float


def prepare_portraits(
    photographs: Iterable[Path], folder: Path, finder: FaceFinder, embedder: Embedder
) -> list[PreparedPortrait]:
    """Write the largest face of each photograph into a folder, with its list.

    Photographs without a face, or with one whose canonical square is below 200 pixels, are left
    out.

    Raises:
        InputError: no face is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[PreparedPortrait] = []
    for path in photographs:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            continue
        picture = np.ascontiguousarray(image[..., ::-1])
        faces = [f for f in finder.find(picture).faces if f.placement.side_px >= SMALLEST_PX]
        if faces:
            rows.append(_prepare(picture, faces[0], folder / f"{path.stem}.png", embedder, rows))
    if not rows:
        raise InputError(
            f"{folder}: no face of {SMALLEST_PX} pixels in these photographs; give larger portraits"
        )
    with atomic_output(folder / LIST, overwrite=True) as temporary:
        temporary.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return rows


def _prepare(
    picture: np.ndarray,
    face: Face,
    path: Path,
    embedder: Embedder,
    before: Sequence[PreparedPortrait],
) -> PreparedPortrait:
    """Write one portrait; `before` are those that are there already."""
    side = SIZE_PX + 2 * MARGIN_PX
    wider = replace(face.placement, side_px=face.placement.side_px * side / SIZE_PX)
    cv2.imwrite(str(path), cut(picture, wider, side)[..., ::-1])
    identity = embedder.of_picture(picture, face.placement)
    same = [row.person for row in before if apart(np.array(row.identity), identity) < TRUSTED]
    looks = pose(face.landmarks)
    return PreparedPortrait(
        file=path.name,
        person=same[0] if same else max((row.person for row in before), default=-1) + 1,
        identity=[float(number) for number in identity],
        yaw=looks.yaw,
        pitch=looks.pitch,
        roll=0.0,
        sharpness=face_sharpness(cut(picture, face.placement, SIZE_PX)),
    )
