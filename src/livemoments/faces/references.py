"""Read the reference faces of photographs, and judge how well they suit a face of the clip.

A reference helps where it shows the face from about the same side and with about the same
expression; misaligned ones hurt (IP-FVR's authors say the same). So the one whose landmarks lie
nearest in the canonical square is best, and of about equal ones the sharper.
"""

from dataclasses import dataclass

import numpy as np

from livemoments.errors import InputError
from livemoments.faces.crops import SIZE_PX, cut
from livemoments.faces.detect import FaceFinder
from livemoments.faces.face import EYES_APART, Face, Placement
from livemoments.faces.identity import Embedder
from livemoments.faces.pose import Pose, pose
from livemoments.imaging.sharpness import measure_sharpness

FINEST_PX = 512  # largest side at which a face is restored
SOFT = 0.5  # sharpness below which a reference has little to give at its size
TURNED_DEGREES = 25.0  # between both directions of sight: beyond, a reference is misaligned
SMALL_PX = 100  # height of a reference's face; less has fewer pixels than a restored face
SOFT_COSTS = 0.05  # misalignment that the sharpest reference may have more than the softest


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """A person's face in a photograph."""

    name: str  # of the photograph, for messages
    face: np.ndarray  # canonical, RGB uint8, square: at the finest that a face is restored at
    landmarks: np.ndarray  # (68, 2) in shares of the canonical square
    identity: np.ndarray  # (128,)
    pose: Pose
    sharpness: float  # of the canonical face: about 1 where sharp, near 0 where enlarged or blurred
    height_px: int  # of the face in the photograph

    def at(self, side: int) -> np.ndarray:
        """Return the canonical face with a side of `side` pixels, RGB uint8."""
        if side == self.face.shape[0]:
            return self.face
        return cut(self.face, Placement.of_canonical(self.face.shape[0]), side)


def read_references(
    picture: np.ndarray, name: str, finder: FaceFinder, embedder: Embedder
) -> list[Reference]:
    """Read the faces of a photograph, upright RGB uint8 H x W x 3, the largest first.

    Raises:
        InputError: there is no face in it.
    """
    found = finder.find(picture)
    if not found.faces:
        why = f" ({found.skipped[0].reason})" if found.skipped else ""
        raise InputError(
            f"{name}: no face of {found.smallest_px:.0f} pixels or more was found{why}; "
            "give a photograph that shows the face larger and from the front"
        )
    return [_reference(picture, face, name, embedder) for face in found.faces]


def advice(reference: Reference, face: Face) -> str | None:
    """Say what would make a better reference for a face of the clip; None: this one is good."""
    degrees = pose(face.landmarks).away_from(reference.pose)
    if degrees > TURNED_DEGREES:
        return (
            f"{reference.name} shows the face from {degrees:.0f} degrees away; one from nearer the "
            "clip's side would help more"
        )
    if reference.height_px < SMALL_PX:
        return (
            f"{reference.name} shows the face only {reference.height_px} pixels high; "
            "a larger one would help more"
        )
    if reference.sharpness < SOFT:
        return f"{reference.name} is soft; a sharper photograph would help more"
    return None


def misalignment(one: np.ndarray, other: np.ndarray) -> float:
    """Measure how far two faces' landmarks (68, 2), in shares of the canonical square, lie apart.

    Root mean square in distances between the eyes: below 0.1 for one pose and expression.
    """
    return float(np.sqrt(((one - other) ** 2).sum(axis=1).mean()) / EYES_APART)


def face_sharpness(face: np.ndarray) -> float:
    """Measure a canonical face's sharpness, RGB uint8 from 128 pixels on: about 1 where sharp."""
    return measure_sharpness(np.ascontiguousarray(face[..., ::-1]))


def _reference(picture: np.ndarray, face: Face, name: str, embedder: Embedder) -> Reference:
    placement = face.placement
    return Reference(
        name=name,
        face=cut(picture, placement, FINEST_PX),
        landmarks=placement.to_square(face.landmarks),
        identity=embedder.of_picture(picture, placement),
        pose=pose(face.landmarks),
        sharpness=face_sharpness(cut(picture, placement, SIZE_PX)),
        height_px=face.box.height,
    )
