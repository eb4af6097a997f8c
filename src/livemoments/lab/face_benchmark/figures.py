"""Compute figures of restored faces: of one face through a clip, their means, and the bars.

The bars are those that were set before the model was made: identity away from the truth at least
40 % less than the input's; where the clip is badly degraded at least 15 % less than the main
model's, and LPIPS below it; no more drift than the truth's own; no more flicker (warp error) than
the input's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from livemoments.errors import InputError
from livemoments.lab.face_benchmark.clips import CLIP_FRAMES, FaceRow, drift, mean

Figures = Mapping[str, float | None]
BELOW_INPUT, BELOW_MAIN = 0.40, 0.15  # what identity's distance must fall by
LPIPS = "LPIPS-AlexNet"
PER_THOUSAND = 1000  # drift is given per thousand frames or clips

COLUMNS = (  # key, head of the column, digits
    ("identity", "identity to truth", 3),
    ("to_reference", "to reference", 3),
    ("own_to_reference", "truth's own", 3),
    ("drift_inside", "drift inside, /1000 frames", 2),
    ("own_drift_inside", "truth's own", 2),
    ("drift_between", "drift between, /1000 windows", 1),
    ("own_drift_between", "truth's own", 1),
    ("landmarks", "landmarks, % of eye distance", 2),
    ("warp_error", "warp error, /255", 2),
    ("own_warp_error", "truth's own", 2),
    ("unrest", "of errors", 2),
    ("border_jump", "more at window borders", 2),
)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A figure that was to be reached."""

    text: str
    figure: str
    met: bool

    def __str__(self) -> str:
        return f"{'met   ' if self.met else 'MISSED'}  {self.text}: {self.figure}"


def figures_of(rows: Sequence[FaceRow], borders: Sequence[int] = ()) -> dict[str, float | None]:
    """Compute the figures of one face; metrics of pictures have their own names.

    Args:
        rows: of its frames.
        borders: frames with which the method's windows begin.

    Raises:
        InputError: its identity was measured in fewer than two frames.
    """
    if not rows:
        raise InputError("no frames were measured; figures need some")
    found: dict[str, float | None] = {
        "identity": mean(rows, "identity_to_truth"),
        "to_reference": mean(rows, "identity_to_reference"),
        "own_to_reference": mean(rows, "truth_to_reference"),
        "landmarks": 100 * float(np.mean([row.landmark_error for row in rows])),
        "warp_error": mean(rows, "warp_error"),
        "own_warp_error": mean(rows, "truth_warp_error"),
        "unrest": mean(rows, "unrest"),
        "border_jump": _jump(rows, borders),
    }
    for key, name in (("", "identity_to_reference"), ("own_", "truth_to_reference")):
        away = drift(rows, name)
        several = len({row.index // CLIP_FRAMES for row in rows}) > 1
        found[f"{key}drift_inside"] = PER_THOUSAND * away.inside
        found[f"{key}drift_between"] = PER_THOUSAND * away.between if several else None
    return found | mean_figures([dict(sorted(row.metrics.items())) for row in rows])


def mean_figures(each: Sequence[Figures]) -> dict[str, float | None]:
    """Average figures over faces; None where no face has one."""
    found: dict[str, float | None] = {}
    for key in dict.fromkeys(key for figures in each for key in figures):
        values = [value for figures in each if (value := figures.get(key)) is not None]
        found[key] = float(np.mean(values)) if values else None
    return found


def bars(
    strength: str, means: Mapping[str, Figures], tier: str, given: str, main: Sequence[str]
) -> list[Bar]:
    """Compare face restoration with its bars at a strength.

    Args:
        strength: its name; the bars against the main model count at "severe" alone.
        means: by method.
        tier: the method that is judged.
        given: the input.
        main: ways of the main model that were measured; the best one counts, figure by figure.
    """
    own, degraded = means[tier], means[given]
    found = [_less(f"{strength}: identity against the input", own, [degraded], BELOW_INPUT)]
    others = [means[name] for name in main if name in means]
    if strength == "severe" and others:
        found.append(_less(f"{strength}: identity against the main model", own, others, BELOW_MAIN))
        if own.get(LPIPS) is not None:
            found.append(_less(f"{strength}: LPIPS against the main model", own, others, 0, LPIPS))
    for key, name in (("drift_inside", "inside windows"), ("drift_between", "between windows")):
        if own.get(key) is not None:
            found.append(_at_most(f"{strength}: drift {name}", own, key, own, f"own_{key}"))
    found.append(_at_most(f"{strength}: warp error", own, "warp_error", degraded, "warp_error"))
    if own.get("own_warp_error") is not None:
        # A soft clip hardly changes: the truth itself may miss the bar.
        found[-1] = replace(
            found[-1], figure=f"{found[-1].figure}; the truth's own {own['own_warp_error']:.2f}"
        )
    return found


def table(rows: Mapping[str, Figures], first: str, more: Sequence[str] = ()) -> list[str]:
    """Write figures in Markdown, a line for each row.

    Args:
        rows: by name.
        first: what the rows are.
        more: names of metrics, in the order of their columns.
    """
    columns = [*COLUMNS, *((name, name, 2 if name.startswith("PSNR") else 4) for name in more)]
    lines = [
        f"| {first} | " + " | ".join(head for _, head, _ in columns) + " |",
        "|---" * (1 + len(columns)) + "|",
    ]
    for name, figures in rows.items():
        values = [(figures.get(key), digits) for key, _, digits in columns]
        cells = ["-" if value is None else f"{value:.{digits}f}" for value, digits in values]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _less(
    text: str, own: Figures, others: Sequence[Figures], by: float, key: str = "identity"
) -> Bar:
    """Check that a figure is below the least of others by a share of it."""
    mine, least = _value(own, key), min(_value(each, key) for each in others)
    fall = 1 - mine / least if least else 0.0
    return Bar(
        text=f"{text}, at least {by:.0%} less" if by else f"{text}, less",
        figure=f"{mine:.3f} of {least:.3f}, {abs(fall):.1%} {'less' if fall >= 0 else 'more'}",
        met=fall >= by if by else mine < least,
    )


def _at_most(text: str, own: Figures, key: str, other: Figures, limit: str) -> Bar:
    """Check that a figure is no more than another."""
    mine, most = _value(own, key), _value(other, limit)
    return Bar(text=f"{text}, no more", figure=f"{mine:.2f} of {most:.2f}", met=mine <= most)


def _value(figures: Figures, key: str) -> float:
    found = figures.get(key)
    if found is None:
        raise InputError(f"{key} was not measured; bars need it")
    return found


def _jump(rows: Sequence[FaceRow], borders: Sequence[int]) -> float | None:
    """Measure how much more errors change where a window begins than elsewhere."""
    at_borders = mean([row for row in rows if row.index in borders], "unrest")
    elsewhere = mean([row for row in rows if row.index not in borders], "unrest")
    return None if at_borders is None or elsewhere is None else at_borders - elsewhere
