"""Does the reference ever do harm? Three measurements of a compact model, as it runs for users.

wrong reference   another scene's key photo: the result should be what it is without reference.
flow noise        Gaussian noise of 10 to 200 % of the flow's mean length (LiveMoments, Table 9):
                  the result should get worse gently, and never worse than without reference.
hidden places     where the truth cannot be seen in the key photo: the error should be no larger
                  than without reference.

The networks are shown all this directly. In the program, registration and the flow's confidence
stand before them and refuse most of it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import cv2
import numpy as np

from livemoments.align.estimators import grey
from livemoments.align.flow import confidence, inside, pixel_grid, sample
from livemoments.evaluation.sets import Pair, Quality, Scorer, mean_of
from livemoments.models.compact import CompactModel, TileInput
from livemoments.stages import Progress
from livemoments.training.whole import Views

NOISE_SHARES = (0.1, 0.2, 0.4, 0.8, 1.0, 2.0)
HIDDEN_BELOW = 0.1  # of visibility
CLOSE = 0.02  # how much worse than without reference the LPIPS with a wrong one may be


@dataclass(frozen=True, kw_only=True)
class Safety:
    """What was measured."""

    pairs: int
    with_reference: Quality
    without_reference: Quality
    wrong_reference: Quality
    flow_noise: dict[float, Quality]  # by share of the flow's mean length
    hidden_error: float | None  # mean absolute, of 255; None: no pair says what is hidden
    hidden_error_without: float | None
    hidden_share: float | None  # of the pixels

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """A table."""
        rows = {
            "with reference": self.with_reference,
            "without reference": self.without_reference,
            "wrong reference": self.wrong_reference,
            **{f"flow + {share:.0%} noise": q for share, q in self.flow_noise.items()},
        }
        lines = [f"{self.pairs} pairs               PSNR-Y SSIM-Y  LPIPS  DISTS"]
        lines += [f"{name:22s} {quality}" for name, quality in rows.items()]
        more = self.wrong_reference.lpips / self.without_reference.lpips - 1
        lines.append(f"wrong against without: LPIPS {more:+.1%} (at most {CLOSE:+.0%} asked)")
        if self.hidden_error is not None and self.hidden_share is not None:
            lines.append(
                f"hidden places ({self.hidden_share:.1%}): mean error of 255"
                f" {self.hidden_error:.3f} with reference, {self.hidden_error_without:.3f} without"
            )
        return lines


def measure_safety(
    model: CompactModel,
    pairs: Sequence[Pair],
    scorer: Scorer,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Safety:
    """Measure a model on pairs of one size or of several (two of a size for a wrong reference)."""
    plain, without, wrong = [], [], []
    noisy: dict[float, list[Quality]] = {share: [] for share in NOISE_SHARES}
    hidden: list[tuple[float, float, float]] = []
    for at, pair in enumerate(pairs):
        restored, alone = restore(model, pair.views), restore(model, pair.views, reference=False)
        plain.append(scorer(restored, pair.truth))
        without.append(scorer(alone, pair.truth))
        wrong.append(scorer(restore(model, _mistaken(pairs, at)), pair.truth))
        for share in NOISE_SHARES:
            rng = np.random.default_rng([seed, at])  # the same noise, more of it
            views = disturbed(pair.views, share, rng)
            noisy[share].append(scorer(restore(model, views), pair.truth))
        if pair.visible is not None:
            there = pair.visible < HIDDEN_BELOW
            error, error_alone = (
                float(np.abs(x - pair.truth).mean(-1)[there].sum()) for x in (restored, alone)
            )
            hidden.append((float(there.sum()), error, error_alone))
        if progress:
            progress("measuring safety", at + 1, len(pairs))
    count, error, error_without = np.sum(hidden, 0) if hidden else np.zeros(3)
    total = sum(pair.truth.shape[0] * pair.truth.shape[1] for pair in pairs)
    return Safety(
        pairs=len(pairs),
        with_reference=mean_of(plain),
        without_reference=mean_of(without),
        wrong_reference=mean_of(wrong),
        flow_noise={share: mean_of(found) for share, found in noisy.items()},
        hidden_error=255 * float(error / count) if count else None,
        hidden_error_without=255 * float(error_without / count) if count else None,
        hidden_share=float(count / total) if count else None,
    )


def restore(model: CompactModel, views: Views, *, reference: bool = True) -> np.ndarray:
    """One picture as one tile in one step; float32 RGB H x W x 3 in [0, 1]."""
    tile = TileInput(frame=views.frame, reference=None, positions=None, confidence=None)
    if reference:
        tile = TileInput(
            frame=views.frame,
            reference=views.key_photo,
            positions=pixel_grid(*views.flow.shape[:2]) + views.flow,
            confidence=views.confidence,
        )
    result = model.restore_tile(tile, 1, np.random.default_rng(0))
    return np.clip(result.image, 0, 1)


def disturbed(views: Views, share: float, rng: np.random.Generator) -> Views:
    """The flow with Gaussian noise of a share of its mean length, and the confidence of that flow.

    Independent from pixel to pixel, as the paper has it.
    """
    flow = views.flow
    length = float(np.hypot(flow[..., 0], flow[..., 1]).mean())
    noisy = flow + np.float32(share * length) * rng.standard_normal(flow.shape, np.float32)
    return replace(views, flow=noisy, confidence=_confidence(views, noisy))


def _mistaken(pairs: Sequence[Pair], at: int) -> Views:
    """A pair's frame with the next pair's key photo, brought to its size; the flow is its own."""
    views, other = pairs[at].views, pairs[(at + 1) % len(pairs)].views.key_photo
    height, width = views.frame.shape[:2]
    key_photo = cv2.resize(other, (width, height), interpolation=cv2.INTER_AREA)
    mistaken = replace(views, key_photo=key_photo)
    return replace(mistaken, confidence=_confidence(mistaken, views.flow))


def _confidence(views: Views, flow: np.ndarray) -> np.ndarray:
    """The program's confidence in a flow, by what frame and warped key photo look like."""
    frame, key_photo = grey(views.frame), grey(views.key_photo)
    soft = cv2.GaussianBlur(key_photo, (0, 0), 0.8)
    at = pixel_grid(*flow.shape[:2]) + flow
    warped = sample(soft, at, cv2.INTER_LINEAR)
    nothing: np.ndarray = np.zeros(flow.shape[:2], np.float32)
    found = confidence(frame, warped, flow, nothing, inside(flow, *flow.shape[:2]))
    # What the way there and back said of the flow as it was still holds.
    return np.minimum(found, np.maximum(views.confidence, 0))
