"""Learn the key photo's tone and colour from the clip's own picture of its instant.

Still and clip come out of different pipelines: the still is tone-mapped region by region, the clip
is not. What the one made of the other's values is learned as a mapping of values, not of places, so
that it holds for another moment of the same clip.

Letters: y luma in [0, 1], b its local mean (the base), so that y - b is local contrast.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from livemoments.align.alignment import Alignment, align
from livemoments.align.flow import resize_flow, warp
from livemoments.imaging.pixels import as_float, fit_side, reduce

BINS = 24  # of the base, over [0, 1]
BASE_SHARE = 0.04  # sigma of the local mean, of the picture's longer side
ALIGNED_PX = 640  # longer side at which still and clip are aligned; at 1920 nothing changes
LEARNED_PX = 480  # at which they are compared
CONTRAST = (0.6, 1.8)  # within which local contrast may change
CHROMA = (0.5, 1.8)  # likewise colourfulness
MIN_SHARE = 0.15  # of the picture that must be trusted to learn from
# Differences of values in [0, 1]:
MAX_RESIDUAL = 0.06  # mean error of the mapping where it was learned
MAX_LIGHT = 0.08  # how far the picked frame's light may have moved from the key frame's
MAX_ERROR_GROWTH = 0.025  # from where the mapping was learned to the moment
BAND = 512  # rows worked on at a time
# BT.601 luma and the two colour differences, of R, G, B.
TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
FROM_YCC = np.linalg.inv(TO_YCC).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class KeyLook:
    """A mapping from the clip's values to the key photo's.

    y' = tone(b) + contrast(b) (y - b), which never turns the order of y around; colour differences
    are scaled by chroma(b) and shifted by tint(b).
    """

    tone: np.ndarray  # (BINS,), rising: the base's new value at the middle of each bin
    contrast: np.ndarray  # (BINS,)
    chroma: np.ndarray  # (BINS,)
    tint: np.ndarray  # (BINS, 2)
    residual: float  # mean error in [0, 1] on what it was learned from

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Return a picture (float32 RGB H x W x 3 in [0, 1]) in this look, not clipped."""
        base = local_mean(picture @ TO_YCC[0])
        values = np.concatenate(
            [self.tone[:, None], self.contrast[:, None], self.chroma[:, None], self.tint], 1
        )
        changed = np.empty_like(picture)
        for top in range(0, len(picture), BAND):  # a large picture's planes are many megabytes
            rows = slice(top, top + BAND)
            ycc = picture[rows] @ TO_YCC.T
            tone, contrast, chroma, *tint = np.moveaxis(_looked_up(values, base[rows]), -1, 0)
            ycc[..., 0] = tone + contrast * (ycc[..., 0] - base[rows])
            ycc[..., 1:] *= chroma[..., None]
            ycc[..., 1:] += np.stack(tint, -1)
            changed[rows] = ycc @ FROM_YCC.T
        return changed


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A look, or why there is none."""

    look: KeyLook | None = None
    reason: str = ""


def learn_look(key_frame: np.ndarray, key_photo: np.ndarray, trust: np.ndarray) -> Learned:
    """Compare the clip's picture of the key photo's instant with the aligned key photo.

    Args:
        key_frame: float32 RGB h x w x 3 in [0, 1].
        key_photo: the key photo brought to its view, likewise.
        trust: h x w in [0, 1], of that alignment.
    """
    frame, photo, weight = (_small(x) for x in (key_frame, key_photo, trust))
    one, two = frame @ TO_YCC.T, photo @ TO_YCC.T
    base, target = local_mean(one[..., 0]), local_mean(two[..., 0])
    # Where a value is burnt out or black, it says nothing about the other.
    seen = (weight > 0.5) & (frame.max(-1) < 0.985) & (frame.max(-1) > 0.02)
    share = float(seen.mean())
    if share < MIN_SHARE:
        reason = f"too little of the key photo is found in its own frame ({share:.0%})"
        return Learned(reason=reason)
    look = _fit(one[seen], two[seen], base[seen], target[seen])
    error = np.abs(look.apply(frame)[seen] - photo[seen]).mean()
    look = replace(look, residual=float(error))
    if look.residual > MAX_RESIDUAL:
        reason = f"clip and key photo differ by more than a look (error {look.residual:.3f})"
        return Learned(reason=reason)
    return Learned(look=look)


def look_of_key(
    frame: np.ndarray, key_frame: np.ndarray | None, key_photo: np.ndarray, alignment: Alignment
) -> Learned:
    """Learn the key photo's look for a moment, or find out why it would be wrong there.

    Args:
        frame: the picked frame, float32 RGB h x w x 3 in [0, 1].
        key_frame: the clip's picture of the key photo's instant, likewise; None: there is none.
        key_photo: uint8 or float RGB.
        alignment: of the frame with the key photo.
    """
    if key_frame is None:
        return Learned(reason="the clip's picture of the key photo's instant is needed")
    key_frame = fit_side(key_frame, ALIGNED_PX)
    photo = as_float(fit_side(key_photo, ALIGNED_PX))
    own = align(key_frame, photo, key_frame=key_frame)
    if own.flow_frame_to_key is None or own.confidence is None:
        return Learned(reason=own.reason or "the key photo is not found in its own frame")
    seen = cv2.resize(key_frame, (own.width, own.height), interpolation=cv2.INTER_LINEAR)
    learned = learn_look(seen, warp(photo, own.flow_frame_to_key), own.confidence)
    if learned.look is None:
        return learned
    changed = _changed(learned.look, frame, key_frame, key_photo, alignment)
    return Learned(reason=changed) if changed else learned


def _changed(
    look: KeyLook,
    frame: np.ndarray,
    key_frame: np.ndarray,
    key_photo: np.ndarray,
    alignment: Alignment,
) -> str:
    """Say why the light of the moment is not that of the key photo; empty: it is."""
    flow, trust = alignment.flow_frame_to_key, alignment.confidence
    if flow is not None and trust is not None:
        # Where both show the same thing, the mapping must fit at the moment too.
        sure = reduce(trust, min(0.5, LEARNED_PX / max(trust.shape)))
        height, width = sure.shape
        there = width / flow.shape[1], height / flow.shape[0]
        size = [max(1, round(n * s)) for n, s in zip(key_photo.shape[1::-1], there, strict=True)]
        photo = as_float(cv2.resize(key_photo, size, interpolation=cv2.INTER_AREA))
        expected = warp(photo, resize_flow(flow, height, width))
        found = look.apply(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA))
        sure = sure > 0.5
        if sure.mean() > MIN_SHARE:
            error = float(np.abs(found - expected)[sure].mean())
            if error - look.residual > MAX_ERROR_GROWTH:
                return f"the light changed since the key photo (error {error:.3f})"
            return ""
    moved = light_moved(frame, key_frame)
    return f"the light changed since the key photo (by {moved:.2f})" if moved > MAX_LIGHT else ""


def light_moved(frame: np.ndarray, key_frame: np.ndarray) -> float:
    """Measure how far the light of a moment is from that of the key photo's instant, in [0, 1].

    That is the largest difference of a quantile of luma or of a mean of colour; both pictures are
    RGB of any size.
    """
    a, b = (_small(x).reshape(-1, 3) @ TO_YCC.T for x in (frame, key_frame))
    levels = [10, 25, 50, 75, 90]
    luma = np.abs(np.percentile(a[:, 0], levels) - np.percentile(b[:, 0], levels)).max()
    colour = np.abs(a[:, 1:].mean(0) - b[:, 1:].mean(0)).max()
    return float(max(luma, 2 * colour))


def local_mean(luma: np.ndarray) -> np.ndarray:
    """Compute the base of a luma plane H x W: a mean that keeps edges, guided by the plane itself.

    A plain blur would draw halos along the skyline (He et al., Guided Image Filtering, 2010).
    """
    height, width = luma.shape
    small = fit_side(luma, LEARNED_PX)
    sigma = BASE_SHARE * max(small.shape)
    mean, square = (cv2.GaussianBlur(x, (0, 0), sigma) for x in (small, small * small))
    variance = np.maximum(square - mean * mean, 0)
    share = variance / (variance + 0.02)
    slope, offset = (
        cv2.resize(cv2.GaussianBlur(x, (0, 0), sigma), (width, height))
        for x in (share, mean - share * mean)
    )
    return slope * luma + offset


def _fit(one: np.ndarray, two: np.ndarray, base: np.ndarray, target: np.ndarray) -> KeyLook:
    """Fit the mapping between two lists of YCC values (n x 3) with their bases (n,)."""
    position = np.clip(base, 0, 1) * (BINS - 1)
    # Every value counts for the two bins around it.
    low = np.minimum(position.astype(int), BINS - 2)
    share = position - low

    def gathered(values: np.ndarray) -> np.ndarray:
        return np.bincount(low, (1 - share) * values, BINS) + np.bincount(
            low + 1, share * values, BINS
        )

    weight = gathered(np.ones_like(base))
    middle = np.linspace(0, 1, BINS)
    shift = _smoothed(gathered(target - base), weight)
    tone = _rising(middle + shift, weight)
    local, wanted = one[:, 0] - base, two[:, 0] - target
    contrast = _ratio(gathered(local * wanted), gathered(local * local), weight, 1e-4, CONTRAST)
    colours = one[:, 1:], two[:, 1:]
    products = gathered((colours[0] * colours[1]).sum(1))
    squares = gathered((colours[0] * colours[0]).sum(1))
    chroma = _ratio(products, squares, weight, 1e-3, CHROMA)
    factor = np.interp(np.clip(base, 0, 1), middle, chroma)
    tint = np.stack(
        [
            _smoothed(gathered(b - factor * a), weight)
            for a, b in zip(colours[0].T, colours[1].T, strict=True)
        ],
        1,
    )
    return KeyLook(
        tone=tone.astype(np.float32), contrast=contrast.astype(np.float32),
        chroma=chroma.astype(np.float32), tint=tint.astype(np.float32), residual=0.0,
    )  # fmt: skip


def _smoothed(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Take the mean of each bin; those of few values are drawn to their neighbours and to zero."""
    few = 0.002 * weight.sum()
    return _blurred(total, 1.5) / (_blurred(weight, 1.5) + few)


def _ratio(
    product: np.ndarray, square: np.ndarray, weight: np.ndarray, floor: float,
    limits: tuple[float, float],
) -> np.ndarray:  # fmt: skip
    """Take the slope of each bin, drawn to 1 where there is little to measure it by."""
    steady = floor * (weight + 0.01 * weight.sum())
    return np.clip(_blurred(product + steady, 2.0) / _blurred(square + steady, 2.0), *limits)


def _blurred(bins: np.ndarray, sigma: float) -> np.ndarray:
    """Blur numbers per bin with their neighbours'."""
    return cv2.GaussianBlur(bins.reshape(1, -1), (0, 0), sigma, borderType=cv2.BORDER_REFLECT)[0]


def _rising(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Find the nearest sequence that never falls: isotonic regression, by pooling neighbours."""
    blocks: list[list[float]] = []  # value, weight, count
    for value, heavy in zip(values, weight + 1e-6, strict=True):
        blocks.append([float(value), float(heavy), 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            b, a = blocks.pop(), blocks.pop()
            total = a[1] + b[1]
            blocks.append([(a[0] * a[1] + b[0] * b[1]) / total, total, a[2] + b[2]])
    return np.concatenate([np.full(int(n), value) for value, _, n in blocks])


def _looked_up(values: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Interpolate values (BINS x k) at the bases (H x W): H x W x k."""
    position = np.clip(base, 0, 1) * np.float32(BINS - 1)
    low = np.minimum(position.astype(np.int32), BINS - 2)
    share = (position - low)[..., None].astype(np.float32)
    values = values.astype(np.float32)
    return values[low] * (1 - share) + values[low + 1] * share


def _small(picture: np.ndarray) -> np.ndarray:
    """Reduce a picture: looks are not about detail, which clips do not have."""
    return fit_side(picture, min(LEARNED_PX, max(picture.shape[:2]) / 2))
