"""Train the sd3 tier: the paper's dual branch and its objective, for the loop.

Trained are the image branches of both transformers and the MotionEncoder (paper, B.2), or with
LoRA adapters in the place of the former. The text stream and the autoencoder are frozen.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.utils.data import IterableDataset, default_collate

from livemoments.lab.training.data.pairs import PairConfig
from livemoments.lab.training.data.scenes import SceneStore
from livemoments.lab.training.run.checkpoint import Run, take_weights
from livemoments.lab.training.run.config import Sd3TrainConfig, TrainConfig
from livemoments.lab.training.run.distribute import in_shards
from livemoments.lab.training.run.task import Score, Scorer, Task, hash_of, move_batch
from livemoments.lab.training.sd3.latents import LatentStore, LatentStream
from livemoments.lab.training.sd3.lora import add_lora, lora_trained
from livemoments.lab.training.sd3.velocity import VelocityObjective, sample
from livemoments.models.sd3.config import Sd3Config
from livemoments.models.sd3.weights import Sd3Parts, load_sd3, new_parts
from livemoments.networks.autoencoder import decode
from livemoments.networks.sd3 import DualBranch
from livemoments.progress import Progress

VALIDATED = 8  # scenes; two crops of each
SHOWN = 2  # of them, restored whole


def begin(config: Sd3TrainConfig) -> Sd3Parts:
    """Make the networks that a run begins with, float32; with adapters where it asks for them.

    Raises:
        WeightsError: weights that are missing or cannot be used.
    """
    if config.weights is None:
        parts = new_parts(config.base, torch.float32)
    else:
        chosen = Sd3Config(weights=config.weights, base=config.base)
        parts = load_sd3(chosen, torch.float32)
    if config.lora:
        add_lora(parts.dual, config.lora)
    return parts


def mark_trained(dual: DualBranch, config: Sd3TrainConfig) -> list[nn.Parameter]:
    """Let those parameters alone ask for gradients that such a run changes; returns them."""
    dual.requires_grad_(False)
    chosen = [p for _, p in (lora_trained(dual) if config.lora else dual.trained())]
    for parameter in chosen:
        parameter.requires_grad_(True)
    return chosen


class Sd3Task(Task):
    """The sd3 tier in training. It begins one run: networks are read once, and trained in place."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        torch.manual_seed(config.seed)
        self.parts = begin(config.sd3)

    def new_run(self) -> Run:
        """See `Task`."""
        config, dual = self.config, self.parts.dual
        learned = mark_trained(dual, config.sd3)
        if config.sd3.lora and config.precision == "bf16":
            for parameter in dual.parameters():
                if not parameter.requires_grad:  # never changes: half the memory, and no loss
                    parameter.data = parameter.data.bfloat16()
        if config.start and not config.resumes:
            take_weights(dual, config.start)
        dual.checkpointing = config.sd3.checkpointing
        optimiser = torch.optim.AdamW(
            learned, lr=config.learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01
        )
        average = copy.deepcopy(dual).requires_grad_(False) if config.ema else None
        return Run(model=dual, average=average, optimiser=optimiser)

    def objective(self, run: Run, accelerator: Accelerator) -> nn.Module:
        """See `Task`."""
        dual = cast(DualBranch, run.model)
        if self.config.compile:
            for net in (dual.restoration, dual.reference):
                for block in net.transformer_blocks:
                    block.compile()
        return VelocityObjective(dual, self.parts.prompt, self.config.sd3.no_reference)

    def batches(
        self, scenes: SceneStore, run: Run, accelerator: Accelerator, progress: Progress | None
    ) -> IterableDataset:
        """See `Task`."""
        process, processes = accelerator.process_index, accelerator.num_processes
        with _at(self.parts.vae, accelerator.device) as vae:
            store = self._latents(scenes, self.config.pairs, vae)
            store.prepare(vae, progress, process=process, processes=processes)
        accelerator.wait_for_everyone()
        return LatentStream(
            store, batch=self.config.batch, first_step=run.step, process=process,
            processes=processes,
        )  # fmt: skip

    def _latents(self, scenes: SceneStore, pairs: PairConfig, vae: AutoencoderKL) -> LatentStore:
        return LatentStore(self.config.cache_folder / "latents", scenes, pairs, vae)

    def validation(self, scenes: SceneStore, accelerator: Accelerator) -> Scorer:
        """See `Task`."""
        few = replace(self.config.pairs, scenes=VALIDATED, crops_per_scene=2, scenes_mixed=4)
        device = accelerator.device
        with _at(self.parts.vae, device) as vae:
            store = self._latents(scenes, few, vae)
            store.prepare(vae)
        size = self.config.batch // self.config.parts

        @torch.no_grad()
        def score(run: Run, objective: nn.Module) -> Score:
            judged = cast(VelocityObjective, objective)
            if run.average is not None:
                average = cast(DualBranch, run.average)
                judged = VelocityObjective(average, self.parts.prompt, judged.no_reference)
                judged.to(device)
            found = [
                float(judged(move_batch(batch, device), 0, False).total)
                for batch in _fixed(store, size)
            ]
            losses = {"total": sum(found) / len(found)}
            if in_shards(objective):  # only the whole of it can be called, not its parts
                return Score(losses, None)
            left, picture = self._shown(judged, move_batch(next(_fixed(store, SHOWN)), device))
            return Score(losses | {"left": left}, picture)

        return score

    def _shown(self, judged: VelocityObjective, crops: dict[str, Tensor]) -> tuple[float, Tensor]:
        """Restore crops; returns what is left of the squared error, as a share, and pictures."""
        truth, frame = crops["truth"], crops["frame"]
        z = sample(judged.model, judged.prompt, crops)
        error, before = ((x - truth).square().mean() for x in (z, frame))
        with _at(self.parts.vae, truth.device) as vae:
            columns = [
                torch.cat([decode(vae, one[None]).cpu() for one in latents])
                for latents in (frame, z, truth, crops["key"])
            ]
        rows = torch.cat(columns, 3).clamp(0, 1)
        return float(error / before), torch.cat(list(rows), 1)


@contextmanager
def _at(vae: AutoencoderKL, device: torch.device) -> Iterator[AutoencoderKL]:
    """Put the autoencoder on a device for a while; at other times it takes none of its memory."""
    vae.to(device)
    try:
        yield vae
    finally:
        vae.to("cpu")


def _fixed(store: LatentStore, size: int) -> Iterator[dict[str, Tensor]]:
    """Yield the crops of a store in batches, with the same draws every time."""
    for first in range(0, store.count, size):
        crops = range(first, min(first + size, store.count))
        yield default_collate([{**store[i], "draw": hash_of(i)} for i in crops])
