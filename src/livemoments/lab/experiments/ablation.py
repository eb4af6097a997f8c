"""Measure what each part of the method is worth (LiveMoments, Tables 3 and 7).

Every row is a network of its own, trained in the same way from the same first weights on the same
crops, and scored on the same pairs. The last rows change nothing but the sampler of the whole
method.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from livemoments.lab.benchmark.sets import Quality, Scorer, TruthPair
from livemoments.lab.training.compact.export import load_average
from livemoments.lab.training.compact.restorer import Sampler, restore_whole
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.objective_config import WHOLE, ObjectiveConfig, Parts
from livemoments.networks.compact import CompactNetworks
from livemoments.networks.compact_config import SECOND, CompactConfig
from livemoments.progress import Progress

# Half as wide as the shipped networks: rows are for comparing, and there are many.
NETWORK = CompactConfig(channels=(32, 48, 80), refiner_channels=(32, 48))
_BARE = Parts(refine=False, copy_gate=False, motion=False, reference_pixels=False)
ROWS = {
    "RestorationNet": replace(_BARE, reference=False),
    "+ ReferenceNet": replace(_BARE, warp="nothing"),
    "+ ReferenceNet, motion-guided attention": replace(_BARE, warp="nothing", motion=True),
    "+ ReferenceNet, warp keys and values": replace(_BARE, warp="keys and values"),
    "+ ReferenceNet, warp latents": replace(_BARE, warp="latents"),
    "+ ReferenceNet, warp pixels": _BARE,
    "  and motion-guided attention": replace(_BARE, motion=True),
    "  and those pixels beside the frame's": Parts(refine=False, copy_gate=False),
    "  and flow refinement": Parts(copy_gate=False),
    "  and copy gate: the whole method": Parts(),
}
# Designs of the compact model, each trained on from weights of the first one.
_EVEN = ObjectiveConfig(perceptual_alone=1.0)
_BARE_TRUNK = CompactConfig(branch="none")
DESIGNS: dict[str, dict[str, Any]] = {
    "the first design, trained on": {"network": CompactConfig(), "objective": _EVEN},
    "without its reference branch": {"network": _BARE_TRUNK, "objective": _EVEN},
    "  and softer where alone": {"network": _BARE_TRUNK},
    "  and a deeper trunk: the second": {"network": SECOND},
}
ENLARGED = "the frame, enlarged"  # the first row of every table
UNMOVED = "+ ReferenceNet"  # the row whose key photo PCR alone moves
SAMPLERS = {
    f"the whole, {'Euler' if euler else 'exact'} steps: {steps}": Sampler(steps=steps, euler=euler)
    for euler in (False, True)
    for steps in (1, 2, 4, 6)
}


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """Scores by set of pairs and row."""

    steps: int  # of training
    tables: dict[str, dict[str, Quality]] = field(default_factory=dict)

    def score(
        self,
        row: str,
        restore: Callable[[TruthPair], np.ndarray],
        sets: Mapping[str, Sequence[TruthPair]],
        scorer: Scorer,
        progress: Progress | None = None,
    ) -> None:
        """Score a way to restore on every set of pairs, as a row of their tables."""
        for name, pairs in sets.items():
            found = scorer.mean(restore, pairs, progress, f"scoring {row.strip()}")
            self.tables.setdefault(name, {})[row] = found

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return a table for each set."""
        lines = [f"each row trained for {self.steps} steps"]
        for name, rows in self.tables.items():
            lines += ["", f"{name:42s} PSNR-Y SSIM-Y  LPIPS  DISTS"]
            lines += [f"{row:42s} {quality}" for row, quality in rows.items()]
        return lines


def ablate(
    base: TrainConfig,
    sets: Mapping[str, Sequence[TruthPair]],
    scorer: Scorer,
    progress: Progress | None = None,
) -> Ablation:
    """Train every row for base.steps steps and score it on every set of pairs, in one process.

    Rows are trained in folders of their own under base.output, and taken up where they were left
    when the same command is given again.
    """
    found = Ablation(steps=base.steps or 0)
    found.score(ENLARGED, lambda pair: pair.views.frame, sets, scorer)
    for row, parts in ROWS.items():
        model = train_row(base, parts, progress)
        ways: dict[str, Sampler | None] = {row: None}
        if row == UNMOVED:
            ways[f"{row}, without PCR"] = Sampler(retrieve=False)
        if parts == WHOLE:
            ways |= SAMPLERS
        for way, sampler in ways.items():
            found.score(way, _restorer(model, parts, sampler), sets, scorer, progress)
    return found


def ablate_designs(
    base: TrainConfig,
    sets: Mapping[str, Sequence[TruthPair]],
    scorer: Scorer,
    progress: Progress | None = None,
    *,
    designs: Mapping[str, Mapping[str, Any]] = DESIGNS,
) -> Ablation:
    """Train every design on from base.start, and score it with its reference and without.

    As `ablate` does; perceptual terms are on from the first step, since the weights have learned.
    """
    found = Ablation(steps=base.steps or 0)
    found.score(ENLARGED, lambda pair: pair.views.frame, sets, scorer)
    for row, changes in designs.items():
        model = train_row(replace(base, perceptual_from_step=0, **changes), progress=progress)
        for way, parts in ((row, WHOLE), (f"{row}, alone", Parts(reference=False))):
            found.score(way, _restorer(model, parts), sets, scorer, progress)
    return found


def _restorer(
    model: CompactNetworks, parts: Parts, sampler: Sampler | None = None
) -> Callable[[TruthPair], np.ndarray]:
    return lambda pair: restore_whole(model, pair.views, parts, sampler)


def train_row(
    base: TrainConfig, parts: Parts = WHOLE, progress: Progress | None = None
) -> CompactNetworks:
    """Return the network of a row: trained for base.steps steps, or taken up where it was left.

    It has a folder of its own under base.output; scenes are shared.
    """
    # Here, because training needs more of PyTorch than scoring.
    from livemoments.lab.training.loop import train

    objective = replace(base.objective, parts=parts)
    config = replace(base, cache=base.cache_folder, objective=objective, validate_every=0)
    # By everything that makes it: never another row's network under this row's name.
    about = repr([config.steps, config.fixed()])
    name = hashlib.sha256(about.encode()).hexdigest()[:12]
    model, _ = load_average(train(replace(config, output=base.output / name), progress))
    return model
