"""The compact model in training: its networks, objective and validation, for the loop."""

from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from livemoments.lab.training.compact.objective import Losses, compact_losses
from livemoments.lab.training.compact.perceptual import Perceptual, fetch_vgg16
from livemoments.lab.training.compact.validate import Validation
from livemoments.lab.training.data.pairs import PairStream
from livemoments.lab.training.data.scenes import SceneStore
from livemoments.lab.training.run.checkpoint import Run, take_weights
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.task import Score, Scorer
from livemoments.networks.compact import CompactNetworks
from livemoments.progress import Progress


class Objective(nn.Module):
    """The losses as one module, so that accelerate can spread it over devices and processes."""

    def __init__(self, model: CompactNetworks, config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.judge: list[Perceptual] = []  # in a list: its weights are none of the model's

    def forward(self, batch: dict[str, Tensor], seed: int, seen: bool) -> Losses:
        """The losses of a batch; seed draws its noise, seen asks for the perceptual terms."""
        return compact_losses(
            self.model,
            batch,
            self.config.pairs.margin,
            self.config.objective,
            torch.Generator().manual_seed(seed),
            self.judge[0] if seen and self.judge else None,
        )


class CompactTask:
    """See `Task`."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config

    def new_run(self) -> Run:
        """See `Task`."""
        config = self.config
        torch.manual_seed(config.seed)
        model = CompactNetworks(config.network)
        # PyTorch's stubs leave this form of `to` out.
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.start and not config.resumes:
            take_weights(model, config.start)
        average = CompactNetworks(config.network)
        average.load_state_dict(model.state_dict())
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), eps=1e-12,
            weight_decay=0.01,
        )  # fmt: skip
        return Run(model=model, average=average.requires_grad_(False), optimiser=optimiser)

    def objective(self, run: Run, accelerator: Accelerator) -> nn.Module:
        """See `Task`."""
        whole = Objective(cast(CompactNetworks, run.model), self.config)
        wanted = self.config.objective
        if wanted.kind == "restoration" and (wanted.perceptual or wanted.dists):
            with accelerator.main_process_first():
                weights = fetch_vgg16(self.config.keeps)
            whole.judge.append(Perceptual(weights).to(accelerator.device))
        if self.config.compile:
            for network in run.model.children():
                network.compile()
        return whole

    def batches(
        self, scenes: SceneStore, run: Run, accelerator: Accelerator, progress: Progress | None
    ) -> IterableDataset:
        """See `Task`."""
        return PairStream(
            scenes, self.config.pairs, batch=self.config.batch, first_step=run.step,
            process=accelerator.process_index, processes=accelerator.num_processes,
        )  # fmt: skip

    def validation(self, scenes: SceneStore, accelerator: Accelerator) -> Scorer:
        """See `Task`."""
        validation = Validation(scenes, self.config.pairs)

        def score(run: Run, objective: nn.Module) -> Score:
            judge = cast(Objective, objective).judge
            average = cast(CompactNetworks, run.average)
            return Score(
                validation.loss(average, self.config.objective, judge[0] if judge else None),
                validation.picture(average, self.config.objective),
            )

        return score
