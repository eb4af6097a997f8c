"""Measure whether the reference ever does harm, with a compact model as it runs for users.

wrong reference   another scene's key photo: the result should be what it is without reference.
flow noise        Gaussian noise of 10 to 200 % of the flow's mean length (LiveMoments, Table 9):
                  the result should get worse gently, and never worse than without reference.
hidden places     where the truth cannot be seen in the key photo: the error should be no larger
                  than without reference.

The first two are measured twice. "trusting": the networks get the confidence of the right key
photo and of the flow as it was, so that nothing but they themselves can refuse. "doubting": they
get the confidence that the program has in what it then sees, as users have it; registration,
which refuses most wrong key photos before, is in neither.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product

import cv2
import numpy as np

from livemoments.align.flow import confidence, inside, pixel_grid, sample
from livemoments.errors import ConfigError
from livemoments.imaging.pixels import grey
from livemoments.lab.benchmark.sets import Quality, Scorer, TruthPair, mean_of
from livemoments.lab.training.compact.restorer import Views, restore_views
from livemoments.models.compact import CompactModel
from livemoments.progress import Progress

TRUST = ("trusting", "doubting")  # which confidence in the reference the networks get
NOISE_SHARES = (0.1, 0.2, 0.4, 0.8, 1.0, 2.0)
HIDDEN_BELOW = 0.1  # of visibility
CLOSE = 0.02  # how much worse than without reference the LPIPS with a wrong one may be


@dataclass(frozen=True, kw_only=True)
class Safety:
    """What was measured."""

    pairs: int
    with_reference: Quality
    without_reference: Quality
    wrong_reference: dict[str, Quality]  # "trusting" and "doubting"
    flow_noise: dict[str, dict[float, Quality]]  # likewise; by share of the flow's mean length
    hidden_error: float | None  # mean absolute, of 255; None: no pair says what is hidden
    hidden_error_without: float | None
    hidden_share: float | None  # of the pixels

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return a table."""
        rows = {"with reference": self.with_reference, "without reference": self.without_reference}
        for how in TRUST:
            rows[f"wrong reference, {how}"] = self.wrong_reference[how]
            for share, quality in self.flow_noise[how].items():
                rows[f"flow + {share:.0%} noise, {how}"] = quality
        lines = [f"{f'{self.pairs} pairs':30s} PSNR-Y SSIM-Y  LPIPS  DISTS"]
        lines += [f"{name:30s} {quality}" for name, quality in rows.items()]
        for how in TRUST:
            more = self.wrong_reference[how].lpips / self.without_reference.lpips - 1
            lines.append(
                f"wrong against without reference, {how}: LPIPS {more:+.1%} (at most {CLOSE:+.0%})"
            )
        if self.hidden_error is not None and self.hidden_share is not None:
            lines.append(
                f"hidden places ({self.hidden_share:.1%}): mean error of 255"
                f" {self.hidden_error:.3f} with reference, {self.hidden_error_without:.3f} without"
            )
        return lines


def measure_safety(
    model: CompactModel,
    pairs: Sequence[TruthPair],
    scorer: Scorer,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Safety:
    """Measure a model on pairs, two or more.

    Raises:
        ConfigError: there is but one pair, so that no key photo is wrong.
    """
    if len(pairs) < 2:
        raise ConfigError("to have a wrong reference takes two pairs or more, got 1")
    scores: defaultdict[tuple[object, ...], list[Quality]] = defaultdict(list)
    hidden: list[tuple[float, float, float, float]] = []
    for at, pair in enumerate(pairs):
        restored, alone = restore(model, pair.views), restore(model, pair.views, reference=False)
        scores["with",].append(scorer(restored, pair.truth))
        scores["without",].append(scorer(alone, pair.truth))
        disturbances: dict[tuple[object, ...], Views] = {("wrong",): _mistaken(pair, pairs)}
        for share in NOISE_SHARES:
            rng = np.random.default_rng([seed, at])  # the same noise, more of it
            disturbances["noise", share] = disturbed(pair.views, share, rng)
        for how, (what, views) in product(TRUST, disturbances.items()):
            picture = restore(model, _with_confidence(how, views))
            scores[how, *what].append(scorer(picture, pair.truth))
        if pair.visible is not None:
            there = pair.visible < HIDDEN_BELOW
            errors = [np.abs(x - pair.truth).mean(-1)[there].sum() for x in (restored, alone)]
            hidden.append((there.sum(), there.size, float(errors[0]), float(errors[1])))
        if progress:
            progress("measuring safety", at + 1, len(pairs))
    found = {what: mean_of(scored) for what, scored in scores.items()}
    count, total, error, error_without = map(float, np.sum(hidden, 0) if hidden else np.zeros(4))
    return Safety(
        pairs=len(pairs),
        with_reference=found["with",],
        without_reference=found["without",],
        wrong_reference={how: found[how, "wrong"] for how in TRUST},
        flow_noise={how: {s: found[how, "noise", s] for s in NOISE_SHARES} for how in TRUST},
        hidden_error=255 * error / count if count else None,
        hidden_error_without=255 * error_without / count if count else None,
        hidden_share=count / total if count else None,
    )


def restore(model: CompactModel, views: Views, *, reference: bool = True) -> np.ndarray:
    """Restore one picture as one tile in one step; float32 RGB H x W x 3 in [0, 1]."""
    return np.clip(restore_views(model, views, reference=reference), 0, 1)


def disturbed(views: Views, share: float, rng: np.random.Generator) -> Views:
    """Add Gaussian noise to the flow, a share of its mean length, pixel by pixel (Table 9)."""
    flow = views.flow
    length = float(np.hypot(flow[..., 0], flow[..., 1]).mean())
    noise = np.float32(share * length) * rng.standard_normal(flow.shape, np.float32)
    return replace(views, flow=flow + noise)


def _with_confidence(how: str, views: Views) -> Views:
    """Return the views with the confidence that the networks get."""
    return views if how == "trusting" else replace(views, confidence=_confidence(views))


def _mistaken(pair: TruthPair, pairs: Sequence[TruthPair]) -> Views:
    """Give a pair's frame the key photo, mirrored, that is the least like its own."""
    height, width = pair.views.frame.shape[:2]
    mirrored = [
        cv2.resize(other.views.key_photo[:, ::-1], (width, height), interpolation=cv2.INTER_AREA)
        for other in pairs
        if other is not pair
    ]
    likeness = [_likeness(pair.views.key_photo, picture) for picture in mirrored]
    return replace(pair.views, key_photo=mirrored[int(np.argmin(likeness))])


def _likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of two pictures of one size, coarsely."""
    small = [cv2.resize(grey(x), (16, 16), interpolation=cv2.INTER_AREA) for x in (first, second)]
    return float(np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1])


def _confidence(views: Views) -> np.ndarray:
    """Return the program's confidence in a flow, by what frame and warped key photo look like."""
    flow = views.flow
    frame, key_photo = grey(views.frame), grey(views.key_photo)
    soft = cv2.GaussianBlur(key_photo, (0, 0), 0.8)
    warped = sample(soft, pixel_grid(*flow.shape[:2]) + flow, cv2.INTER_LINEAR)
    nothing: np.ndarray = np.zeros(flow.shape[:2], np.float32)
    found = confidence(frame, warped, flow, nothing, inside(flow, *flow.shape[:2]))
    # What the way there and back found of the flow as it was still holds.
    return np.minimum(found, np.maximum(views.confidence, 0))
