"""Choose the resolution at which a face is restored: the side of its canonical square in pixels.

The canonical square of a small face is enlarged, by ENLARGEMENT from the clip's own pixels: more
only blurs what the network sees, less loses detail of the clip. Measured on clips at half and a
quarter of their size (docs/faces_results.md).
"""

import numpy as np

from livemoments.faces.tracks import Track

ENLARGEMENT = 2.5  # pixels of the canonical square for one of the clip's, a side
STEP_PX = 64  # what the networks' scales need


def canonical_side(track: Track, *, least: int, most: int, enlarged: float = 1.0) -> int:
    """Choose the side at which a track's faces are restored, in pixels: one for all its frames.

    Args:
        track: of the face.
        least: smallest side that the model can restore.
        most: largest side that it can restore.
        enlarged: how many pixels of the frames a pixel of the clip became, a side.
    """
    sides = [each.face.placement.side_px for each in track.sightings]
    wanted = ENLARGEMENT * float(np.median(sides)) / enlarged
    return int(np.clip(STEP_PX * round(wanted / STEP_PX), least, most))
