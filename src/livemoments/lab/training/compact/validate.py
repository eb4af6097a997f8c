"""Score a run on photographs it never sees: the same crops every time."""

from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from livemoments import bridge
from livemoments.lab.training.compact.aligning import align_batch, predict_truth
from livemoments.lab.training.compact.objective import Losses, compact_losses
from livemoments.lab.training.compact.perceptual import Perceptual
from livemoments.lab.training.data.pairs import PairConfig, PairStream
from livemoments.lab.training.data.scenes import SceneStore
from livemoments.lab.training.run.objective_config import ObjectiveConfig
from livemoments.lab.training.run.task import device_of, mean_losses, move_batch
from livemoments.networks.blocks import decode, encode
from livemoments.networks.compact import CompactNetworks

BATCHES = 6
BATCH = 4
SHOWN = 4  # crops in the sample picture


class Validation:
    """A few fixed batches of held-out crops, and what a model makes of them."""

    def __init__(self, scenes: SceneStore, pairs: PairConfig) -> None:
        """Cut the batches; scenes are made of held-out photographs or clips."""
        few = replace(pairs, scenes=BATCHES * BATCH // 2, crops_per_scene=2, scenes_mixed=BATCH)
        self.margin = pairs.margin
        self.batches = list(islice(PairStream(scenes, few, batch=BATCH), BATCHES))

    @torch.no_grad()
    def loss(
        self, model: CompactNetworks, objective: ObjectiveConfig, judge: Perceptual | None
    ) -> dict[str, float]:
        """Return the mean of each term; the draws of noise and times are the same every time."""
        # Every crop as users meet it: from the bridge's start, with its own reference.
        # For the paper's objective too, whose own loss hangs on a few draws of small t.
        usual = replace(
            objective, kind="restoration", no_reference=0.0, wrong_reference=0.0, at_start=1.0
        )

        def losses(batch: dict[str, Tensor], draws: torch.Generator) -> Losses:
            batch = move_batch(batch, device_of(model))
            return compact_losses(model, batch, self.margin, usual, draws, judge)

        return mean_losses(self.batches, losses)

    @torch.no_grad()
    def picture(self, model: CompactNetworks, objective: ObjectiveConfig) -> Tensor:
        """Put frame, restored, truth and aligned reference side by side: (3, rows, columns)."""
        batch = {name: plane[:SHOWN] for name, plane in self.batches[0].items()}
        batch = move_batch(batch, device_of(model))
        frame, parts = batch["frame"], objective.parts
        aligned = align_batch(model, batch, self.margin, parts)
        z, t = start_of(frame)
        inner = slice(self.margin, -self.margin or None)
        key = batch["key"][..., inner, inner]
        restored = decode(predict_truth(model, aligned, frame, z, t, parts=parts, key=key))
        columns = [frame, restored.clamp(0, 1), batch["truth"], aligned.reference]
        rows = torch.cat(columns, 3).float().cpu()
        return torch.cat(list(rows), 1)


def start_of(frame: Tensor) -> tuple[Tensor, Tensor]:
    """Return z and t where sampling begins from frames (B, 3, n, n), the same every time."""
    z_frame = encode(frame)
    noise = torch.randn(z_frame.shape, generator=torch.Generator().manual_seed(0))
    t = frame.new_full((len(frame),), bridge.HORIZON)
    return bridge.start(z_frame, noise.to(frame.device)), t
