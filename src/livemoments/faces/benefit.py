"""Decide how much a face of the clip can gain, so that a good one is not made worse.

A canonical face has 256 pixels a side. Where a track's faces are about as sharp at that size as the
reference is, there is nothing for the reference to give, and all that a network would add is its
own errors: skin a little smoother, an eye a little displaced. That is so of large faces (side above
256 pixels: reduced to the canonical size they are sharp) and of small photographs as references. So
the change is faded by how sharp the track is, as one weight for the whole track: a weight for each
frame would flicker with every blurred one.

Measured on five clips, first frame as reference (face_sharpness of the frames over the reference's,
means): as they are 1.00 to 1.04, mild (half the size, a little blur and noise, JPEG 75) 0.79 to
0.91, severe (a quarter) 0.56 to 0.71.
"""

from collections.abc import Sequence

import numpy as np

from livemoments.faces.references import face_sharpness

FULL_BELOW, NOTHING_FROM = 0.93, 1.03  # sharpness in shares of the reference's
LEAST = 0.02  # weights below count as 0: such a change is not worth its time


def benefit(sharpness: float, reference_sharpness: float) -> float:
    """Return how much of a change is made, 0 to 1, by a track's sharpness and its reference's.

    1 where the track is clearly softer, 0 where it is as sharp, smooth between. A reference that is
    soft itself has nothing to give to a track that is as soft.
    """
    share = sharpness / max(reference_sharpness, 1e-6)
    ramp = float(np.clip((NOTHING_FROM - share) / (NOTHING_FROM - FULL_BELOW), 0, 1))
    weight = ramp * ramp * (3 - 2 * ramp)
    return weight if weight >= LEAST else 0.0


def track_sharpness(faces: Sequence[np.ndarray]) -> float:
    """Return the median sharpness of a track's canonical faces, RGB uint8; 0 of none.

    One blurred face does not count in a median.
    """
    return float(np.median([face_sharpness(face) for face in faces])) if len(faces) else 0.0
