"""Make the rows of the paper's ablations: ways to restore an image, with the paper's own row.

The design's and the degradation's rows are networks of ours, trained in the same way and half as
wide as the shipped ones; the flow's rows run a finished compact model.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from livemoments.errors import LiveMomentsError
from livemoments.lab.experiments.ablation import ROWS, UNMOVED, train_row
from livemoments.lab.experiments.aligned import AlignedImage, realigned
from livemoments.lab.experiments.estimators import ESTIMATORS, make_estimator
from livemoments.lab.experiments.safety import NOISE_SHARES, disturbed
from livemoments.lab.training.compact.restorer import Sampler, restore_views, restore_whole
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.objective_config import WHOLE, Parts
from livemoments.models.compact import CompactModel
from livemoments.networks.compact import CompactNetworks
from livemoments.progress import Progress
from livemoments.restoration.look import match_look
from livemoments.version import __version__

WHOLE_METHOD = "livemoments"  # as the benchmark calls it; a report compares the others with it
FULL = "LiveMoments (full model)"  # as Tables 3 and 7 call it
DESIGN_PAPER_ROWS = {  # rows of ablation.ROWS and of Tables 3 and 7
    "RestorationNet": "RestorationNet",
    "+ ReferenceNet": "RestorationNet + ReferenceNet",
    "+ ReferenceNet, motion-guided attention": FULL,
    "+ ReferenceNet, warp keys and values": "RestorationNet + ReferenceNet + warp RefKV",
    "+ ReferenceNet, warp latents": "RestorationNet + ReferenceNet + warp RefLatent",
    "+ ReferenceNet, warp pixels": "RestorationNet + ReferenceNet + warp RefImage",
}
DEGRADATION_PAPER_ROWS = {  # presets of training and rows of Table 8
    "stablesr-moderate": "Moderate-StableSR",
    "stablesr": "StableSR",
    "seesr": "SeeSR",
    "live-photo": "Customized Live Photo Degradation",
}

Restore = Callable[[AlignedImage], np.ndarray]  # float32 RGB in [0, 1], of the image's size


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to restore."""

    name: str  # as a method of the benchmark
    label: str  # for people
    restore: Restore | None  # None: it cannot be had, and failed tells why
    identity: object = None  # what its pictures depend on besides the image, as plain values
    detail: str = ""
    failed: str = ""
    paper_row: str = ""  # the paper's row; empty: there is none


def design_rows(base: TrainConfig, progress: Progress | None = None) -> Iterator[Row]:
    """Train a network for each row that lacks parts of the method (Tables 3 and 7)."""
    for label, parts in ROWS.items():
        model = train_row(base, parts, progress)
        row = Row(
            name=WHOLE_METHOD if parts == WHOLE else slug(label),
            label=label.strip(),
            restore=_by(model, parts),
            identity=_trained(base, parts),
            detail=f"a network of its own, trained for {base.steps} steps",
            paper_row=DESIGN_PAPER_ROWS.get(label, ""),
        )
        yield row
        if label == UNMOVED:
            label = f"{label}, without PCR"
            yield replace(
                row, name=slug(label), label=label, paper_row="", identity=[row.identity, label],
                restore=_by(model, parts, Sampler(retrieve=False)),
            )  # fmt: skip


def degradation_rows(base: TrainConfig, progress: Progress | None = None) -> Iterator[Row]:
    """Train one network for each degradation of training (Table 8)."""
    for preset, paper_row in DEGRADATION_PAPER_ROWS.items():
        config = replace(base, pairs=replace(base.pairs, preset=preset))
        yield Row(
            name=WHOLE_METHOD if preset == base.pairs.preset else preset,
            label=f"trained with {preset}",
            restore=_by(train_row(config, WHOLE, progress), WHOLE),
            identity=_trained(config, WHOLE),
            detail=f"the whole method, trained for {base.steps} steps",
            paper_row=paper_row,
        )


def flow_rows(
    model: CompactModel, *, raft_weights: Path | None = None, seed: int = 0
) -> Iterator[Row]:
    """Make rows with noise in the flow, and with other estimators of it (Table 9).

    The networks get the confidence of the flow as it was, so that nothing but they themselves
    can refuse the noise, as in the paper, which has no confidence.
    """
    about = [__version__, model.about["sha256"]]
    yield Row(
        name=WHOLE_METHOD, label="the usual flow (DIS, medium)", identity=about,
        restore=lambda image: restore_compact(model, image), paper_row="LiveMoments",
    )  # fmt: skip
    yield Row(
        name="without-reference", label="without reference", identity=[about, "alone"],
        restore=lambda image: restore_compact(model, image, reference=False),
    )  # fmt: skip
    for share in NOISE_SHARES:
        yield Row(
            name=f"noise-{100 * share:.0f}",
            label=f"+ {share:.0%} noise",
            restore=_with_noise(model, share, seed),
            identity=[about, share, seed],
            detail="Gaussian noise of that share of the flow's mean length, pixel by pixel",
            paper_row=f"LiveMoments + {share:.0%} noise",
        )
    for name in ESTIMATORS:
        yield _estimator_row(model, name, raft_weights, [about, name, str(raft_weights)])


def restore_compact(
    model: CompactModel, image: AlignedImage, *, reference: bool = True
) -> np.ndarray:
    """Restore an image as users have it, but for where its flow comes from."""
    views, reference = image.views, reference and not image.reason
    restored = restore_views(model, views, reference=reference, steps=model.steps)
    return image.fit(match_look(restored, views.frame))


def slug(label: str) -> str:
    """Turn a label into a method's name."""
    return re.sub(r"[^\w.]+", "-", label, flags=re.ASCII).strip("-")


def _by(model: CompactNetworks, parts: Parts, sampler: Sampler | None = None) -> Restore:
    return lambda image: image.fit(restore_whole(model, image.views, parts, sampler))


def _trained(config: TrainConfig, parts: Parts) -> object:
    """Return what the pictures of a row's network depend on."""
    return [__version__, config.steps, config.fixed(), repr(parts)]


def _with_noise(model: CompactModel, share: float, seed: int) -> Restore:
    def restore(image: AlignedImage) -> np.ndarray:
        rng = np.random.default_rng([seed, *image.name.encode()])  # of all shares the same noise
        return restore_compact(model, replace(image, views=disturbed(image.views, share, rng)))

    return restore


def _estimator_row(
    model: CompactModel, name: str, raft_weights: Path | None, identity: object
) -> Row:
    row = Row(
        name=name,
        label=f"flow by {name}",
        restore=None,
        identity=identity,
        detail="the coarse flow and its way back; the fine pass is that of DIS, medium, in all",
        # The paper's own estimator is RAFT; its two others are not to be had here.
        paper_row="LiveMoments" if name == "raft" else "",
    )
    try:
        estimator = make_estimator(name, raft_weights)
    except LiveMomentsError as error:
        return replace(row, failed=str(error))
    return replace(row, restore=lambda image: restore_compact(model, realigned(image, estimator)))
