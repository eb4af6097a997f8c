"""Measure what each part of the method is worth (LiveMoments, Tables 3 and 7).

Every row is a network of its own, trained in the same way from the same first weights on the same
crops, and scored on the same pairs. The last rows change nothing but the sampler of the whole
method.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
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
    tables: dict[str, dict[str, Quality]]

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
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
    sets: dict[str, Sequence[TruthPair]],
    scorer: Scorer,
    progress: Progress | None = None,
) -> Ablation:
    """Train every row for base.steps steps and score it on every set of pairs, in one process.

    Rows are trained in folders of their own under base.output, and taken up where they were left
    when the same command is given again.
    """
    tables: dict[str, dict[str, Quality]] = {name: {} for name in sets}
    whole: CompactNetworks | None = None

    def score(
        row: str, model: CompactNetworks, parts: Parts, sampler: Sampler | None = None
    ) -> None:
        for name, pairs in sets.items():
            tables[name][row] = scorer.mean(
                lambda pair: restore_whole(model, pair.views, parts, sampler),
                pairs,
                progress,
                f"scoring {row.strip()}",
            )

    for name, pairs in sets.items():
        tables[name]["the frame, enlarged"] = scorer.mean(lambda pair: pair.views.frame, pairs)
    for row, parts in ROWS.items():
        whole = train_row(base, parts, progress)
        score(row, whole, parts)
        if row == UNMOVED:
            score(f"{row}, without PCR", whole, parts, Sampler(retrieve=False))
    if whole is not None:
        for row, sampler in SAMPLERS.items():
            score(row, whole, Parts(), sampler)
    return Ablation(steps=base.steps or 0, tables=tables)


def ablate_designs(
    base: TrainConfig,
    sets: dict[str, Sequence[TruthPair]],
    scorer: Scorer,
    progress: Progress | None = None,
    *,
    designs: Mapping[str, Mapping[str, Any]] = DESIGNS,
) -> Ablation:
    """Train every design on from base.start, and score it with its reference and without.

    As `ablate` does; perceptual terms are on from the first step, since the weights have learned.
    """
    tables: dict[str, dict[str, Quality]] = {name: {} for name in sets}
    for name, pairs in sets.items():
        tables[name]["the frame, enlarged"] = scorer.mean(lambda pair: pair.views.frame, pairs)
    for row, changes in designs.items():
        model = train_row(replace(base, perceptual_from_step=0, **changes), progress=progress)
        for what, parts in ((row, WHOLE), (f"{row}, alone", Parts(reference=False))):
            restore = partial(_restored, model, parts)
            for name, pairs in sets.items():
                tables[name][what] = scorer.mean(restore, pairs, progress, f"scoring {row.strip()}")
    return Ablation(steps=base.steps or 0, tables=tables)


def _restored(model: CompactNetworks, parts: Parts, pair: TruthPair) -> np.ndarray:
    return restore_whole(model, pair.views, parts)


def train_row(
    base: TrainConfig, parts: Parts = WHOLE, progress: Progress | None = None
) -> CompactNetworks:
    """Return the network of a row: trained for base.steps steps, or taken up where it was left.

    It has a folder of its own under base.output; scenes are shared.
    """
    # Here, because training needs more of PyTorch than scoring.
    from livemoments.lab.training.loop import train

    config = replace(
        base,
        cache=base.cache_folder,
        objective=replace(base.objective, parts=parts),
        validate_every=0,
    )
    # By everything that makes it: never another row's network under this row's name.
    about = repr([config.steps, config.fixed()])
    name = hashlib.sha256(about.encode()).hexdigest()[:12]
    model, _ = load_average(train(replace(config, output=base.output / name), progress))
    return model
