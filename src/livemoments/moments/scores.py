"""Score the moments of a clip: relative sharpness, and likeness to the key photo.

Sharpness is the energy of fine detail over the energy of coarse detail, so that exposure and
contrast cancel out, and it is measured where a frame has something to show. It compares frames of
one clip only: 1.0 is the sharpest of that clip, and says nothing about another clip. All of this is
advice. A sharp frame can still have its eyes closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from livemoments.errors import MomentError
from livemoments.imaging.pixels import fit_side, grey
from livemoments.progress import Progress

if TYPE_CHECKING:
    from livemoments.livephoto import LivePhoto

# Motion blur of a phone clip is 3 to 20 px at 1920 px: half of that still shows it, without noise.
MEASURE_SIDE_PX = 960
BLOCKS_ALONG_LONG_SIDE = 20
# A flat block has no sharpness to speak of, and its smallest energies are the clip's noise.
TEXTURED_QUANTILE = 0.5
NOISE_QUANTILE = 0.05
# Above the median: of a close subject before a soft background, the subject should count.
FOCUS_QUANTILE = 0.75

THUMBNAIL_SIDE_PX = 96
# On real pans, frames of another place reach 0.72; frames of the same place stay over 0.8.
LIKENESS_NEEDED = 0.8
EXPOSURE_ALLOWED_STOPS = 0.7

MIN_GAP_S = 0.3


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One frame of a clip, judged against the other frames of the same clip."""

    index: int  # of the frame, from 0
    time_s: float  # the frame's pts
    sharpness: float  # in [0, 1]; 1.0 is the sharpest frame of this clip
    is_key: bool  # the frame nearest to the key photo's time
    like_key: bool = True  # it seems to show the key photo's place in the key photo's light

    def to_dict(self) -> dict[str, float | int | bool]:
        """Return facts for JSON; the time to a tenth of a millisecond."""
        return {
            "index": self.index,
            "time_s": round(self.time_s, 4),
            "sharpness": round(self.sharpness, 3),
            "is_key": self.is_key,
            "like_key": self.like_key,
        }


def score_moments(live_photo: LivePhoto, progress: Progress | None = None) -> list[Moment]:
    """Judge every frame of the clip, in one decoding pass.

    Args:
        live_photo: what `livemoments.open` returns.
        progress: called as progress("looking at frames", done, total); what it raises cancels.

    Returns:
        One moment per frame that can be decoded, in the clip's order.
    """
    count = len(live_photo.clip.times_s)
    judged = []
    for done, frame in enumerate(live_photo.clip.frames(), start=1):
        luma = fit_side(grey(frame.image), MEASURE_SIDE_PX)
        judged.append((frame.index, frame.time_s, _detail_ratio(luma), _thumbnail(luma)))
        if progress:
            progress("looking at frames", done, count)
    key_index, _, _, key = min(judged, key=lambda j: abs(j[1] - live_photo.key_time_s))
    sharpest = max(max(detail for _, _, detail, _ in judged), 1e-6)
    return [
        Moment(
            index=index,
            time_s=time_s,
            sharpness=detail / sharpest,
            is_key=index == key_index,
            like_key=_shows_same_view(thumbnail, key),
        )
        for index, time_s, detail, thumbnail in judged
    ]


def best_moment(
    moments: Sequence[Moment], key_time_s: float, min_gap_s: float = MIN_GAP_S
) -> Moment:
    """Choose the sharpest moment that is not the key photo's own.

    Args:
        moments: what score_moments returned.
        key_time_s: the key photo's time in the clip.
        min_gap_s: how far from the key photo it must be; where the clip is too short for that, the
            farthest fifth of what it has.

    Returns:
        The sharpest of them that shows the key photo's place in its light; where none does, the
        sharpest of all of them.
    """
    if not moments:
        raise MomentError("there are no moments to choose from; the clip has no frames")
    gaps_s = [abs(moment.time_s - key_time_s) for moment in moments]
    gap_s = min(min_gap_s, 0.8 * max(gaps_s))
    away = [m for m, from_key_s in zip(moments, gaps_s, strict=True) if from_key_s >= gap_s]
    return max([m for m in away if m.like_key] or away, key=lambda moment: moment.sharpness)


def _detail_ratio(luma: np.ndarray) -> float:
    """Measure fine detail over coarse detail of one frame, in arbitrary units; 0 if it is flat.

    This is done in four directions and averaged geometrically, because motion blurs only one.
    """
    if min(luma.shape) < 16:
        return 0.0
    blurred = [cv2.GaussianBlur(luma, (0, 0), sigma) for sigma in (1.0, 2.0, 4.0)]
    block = max(4, round(max(luma.shape) / BLOCKS_ALONG_LONG_SIDE))
    block = min(block, min(luma.shape) - 2)
    fine = _directional_energy(blurred[0] - blurred[1], block)
    coarse = _directional_energy(blurred[2], block)
    contrast = coarse.sum(axis=0)
    textured = contrast >= np.quantile(contrast, TEXTURED_QUANTILE)
    noise = np.quantile(fine, NOISE_QUANTILE, axis=(1, 2), keepdims=True)
    ratio = np.sqrt(np.maximum(fine - noise, 0) / (coarse + 1e-8))[:, textured]
    in_focus = np.quantile(ratio, FOCUS_QUANTILE, axis=1)
    return float(np.exp(np.log(np.maximum(in_focus, 1e-6)).mean()))


def _directional_energy(band: np.ndarray, block: int) -> np.ndarray:
    """Average squared slopes of a band H x W by block, in x, y and both diagonals: 4 x h x w."""
    slopes = (
        band[1:-1, 2:] - band[1:-1, :-2],
        band[2:, 1:-1] - band[:-2, 1:-1],
        (band[2:, 2:] - band[:-2, :-2]) / np.sqrt(2),
        (band[2:, :-2] - band[:-2, 2:]) / np.sqrt(2),
    )
    rows, columns = (length // block for length in slopes[0].shape)
    tiles = (slope[: rows * block, : columns * block] ** 2 for slope in slopes)
    return np.stack([t.reshape(rows, block, columns, block).mean((1, 3)) for t in tiles])


def _thumbnail(luma: np.ndarray) -> np.ndarray:
    height, width = luma.shape
    scale = min(1.0, THUMBNAIL_SIDE_PX / max(height, width))
    size = max(4, round(width * scale)), max(4, round(height * scale))
    # The blur lets a hand's shake and small moving things pass.
    return cv2.GaussianBlur(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), (0, 0), 1.0)


def _shows_same_view(thumbnail: np.ndarray, key: np.ndarray) -> bool:
    """Return whether the key frame shows the middle half of a frame, about as bright."""
    height, width = thumbnail.shape
    middle = thumbnail[height // 4 : height - height // 4, width // 4 : width - width // 4]
    if middle.std() < 1e-3 or key.std() < 1e-3:
        likeness = 1.0  # nothing to match: do not hold that against the frame
        here = key
    else:
        likeness_map = cv2.matchTemplate(key, middle, cv2.TM_CCOEFF_NORMED)
        _, likeness, _, (x, y) = cv2.minMaxLoc(likeness_map)
        here = key[y : y + middle.shape[0], x : x + middle.shape[1]]
    # 0.01 keeps the logarithm of a black picture finite.
    stops = abs(np.log2((middle.mean() + 0.01) / (here.mean() + 0.01)))
    return bool(likeness >= LIKENESS_NEEDED and stops <= EXPOSURE_ALLOWED_STOPS)
