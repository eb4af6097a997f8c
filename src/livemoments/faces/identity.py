"""Recognise faces: embed canonical faces, and match the embeddings with known people's.

dlib's network gives 128 numbers of an upright face; those of one person lie near each other. The
limit was measured (docs/faces.md), on clean and on degraded faces; a face that is farther than that
from everyone known is a stranger.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from livemoments.errors import InputError
from livemoments.faces.crops import cut
from livemoments.faces.face import CORNER, EXTENT, Placement
from livemoments.faces.models import FaceModels

NUMBERS = 128
CHIP_PX = 150  # what the network looks at
CHIP_PADDING = 0.25  # around the mean face's unit square, on each side, in its width
SAME_PERSON = 0.6  # the network's author's: farther apart, two pictures show two people
# For a reference to be put to use: stricter, see docs/faces.md for how often each errs.
TRUSTED = 0.45
CLEARLY_NEARER = 0.05  # the next person known must be so much farther away


@dataclass(frozen=True, kw_only=True)
class Match:
    """The person whom a face was taken for."""

    name: str | None  # None: a stranger, or it could be two
    distance: float  # to the nearest person; infinite where no person is known
    reason: str  # one line for people


class Embedder:
    """Canonical faces to 128 numbers each, with dlib's network."""

    def __init__(self, models: FaceModels | None = None) -> None:
        """Take dlib's models; None: those of the installed package.

        Raises:
            MissingExtraError: dlib or its models are not installed.
        """
        self._models = models or FaceModels()

    def of_picture(self, picture: np.ndarray, placement: Placement) -> np.ndarray:
        """Compute the identity of a face in a picture, RGB uint8 H x W x 3; float64 (128,).

        It is the mean of the face's and its mirror image's numbers, which errs less: 0.2 to 0.5 s.
        """
        chip = cut(picture, chip_placement(placement), CHIP_PX)
        both = [np.ascontiguousarray(each) for each in (chip, chip[:, ::-1])]
        with self._models.lock:
            embed = self._models.network.compute_face_descriptor
            return np.mean([embed(each) for each in both], axis=0)

    def of_face(self, face: np.ndarray) -> np.ndarray:
        """Compute the identity of a canonical face from crops.cut, RGB uint8; float64 (128,)."""
        return self.of_picture(face, Placement.of_canonical(face.shape[0]))


def chip_placement(placement: Placement) -> Placement:
    """Return where the network's square lies, for a face at a placement."""
    middle = placement.to_picture((np.array([[0.5, 0.5]]) - CORNER) / EXTENT)[0]
    side_px = placement.side_px * (1 + 2 * CHIP_PADDING) / EXTENT
    return Placement(x=float(middle[0]), y=float(middle[1]), side_px=side_px, roll=placement.roll)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Measure the distance of two identities (128,): 0 for one picture, 0.8 for two people."""
    return float(np.linalg.norm(np.asarray(one) - other))


def mean_identity(identities: Iterable[np.ndarray]) -> np.ndarray:
    """Average the identities (128,) of one person, without outliers.

    Outliers are farther from the median than twice the median distance from it.

    Raises:
        InputError: there are none.
    """
    every = np.array(list(identities), np.float64)
    if every.ndim != 2 or not len(every):
        raise InputError("no identities were given; a mean needs some")
    away = np.linalg.norm(every - np.median(every, axis=0), axis=1)
    return every[away <= 2 * np.median(away) + 1e-9].mean(axis=0)


def match_identity(
    identity: np.ndarray, known: Mapping[str, Sequence[np.ndarray]], limit: float = TRUSTED
) -> Match:
    """Find the known person whose face it is.

    Args:
        identity: (128,), of a face or the mean of a track.
        known: identities of each person's references, by name.
        limit: the distance up to which a face is that person's.
    """
    if not any(known.values()):
        return Match(name=None, distance=float("inf"), reason="nobody is known")
    # Of several references the mean is the steadiest, and the nearest may be the best aligned.
    away = {
        name: min(apart(identity, each) for each in [*references, mean_identity(references)])
        for name, references in known.items()
        if len(references)
    }
    order = sorted(away, key=lambda name: away[name])
    nearest = order[0]
    distance = away[nearest]
    if distance > limit:
        return Match(
            name=None, distance=distance,
            reason=f"a stranger: {distance:.2f} from {nearest}, at most {limit:.2f} are allowed",
        )  # fmt: skip
    if len(order) > 1 and away[order[1]] - distance < CLEARLY_NEARER:
        return Match(
            name=None, distance=distance,
            reason=f"as near to {nearest} as to {order[1]}, {distance:.2f}",
        )  # fmt: skip
    return Match(name=nearest, distance=distance, reason=f"{distance:.2f} from {nearest}")
