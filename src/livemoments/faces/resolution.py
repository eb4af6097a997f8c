"""How finely a face is restored: the side of its canonical square in pixels.

The canonical square of a small face is enlarged, GAIN times what the clip recorded of it: more
only blurs what the network sees, less throws away what the clip has. Measured on clips at half and
a quarter of their size (docs/faces_results.md).
"""

import numpy as np

from livemoments.faces.tracks import Track

GAIN = 2.5  # pixels of the canonical square for one of the clip's, a side
STEP_PX = 64  # what the networks' scales need


def canonical_side(track: Track, *, least: int, most: int, enlarged: float = 1.0) -> int:
    """The side at which a track's faces are restored, in pixels: one for all its frames.

    Args:
        track: of the face.
        least: side that the model can restore, at least.
        most: and at most.
        enlarged: how many pixels of the frames a pixel of the clip became, a side.
    """
    sides = [each.face.placement.side_px for each in track.sightings]
    wanted = GAIN * float(np.median(sides)) / enlarged
    return int(np.clip(STEP_PX * round(wanted / STEP_PX), least, most))
