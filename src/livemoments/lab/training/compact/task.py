"""Train the compact model: its networks, objective and validation, for the loop."""

from typing import Any, ClassVar, cast

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
from livemoments.lab.training.run.task import Objective, Score, Scorer, Task
from livemoments.networks.compact import CompactNetworks
from livemoments.progress import Progress


class CompactTask(Task):
    """The compact model in training, and what the face tier has in common with it."""

    stream: ClassVar[type[PairStream]] = PairStream
    judge: Perceptual | None = None  # of the objective, once it is made

    @property
    def unused_parameters(self) -> bool:
        """Whether some of the weights get no gradient: where a part is taken away."""
        parts = self.config.objective.parts
        return not (parts.refine and parts.reference and parts.motion and parts.reference_pixels)

    def make_network(self) -> nn.Module:
        """Make the network, with weights drawn at random."""
        return CompactNetworks(self.config.network)

    def groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Group the weights for the optimiser."""
        return [{"params": list(model.parameters())}]

    def new_run(self) -> Run:
        """See `Task`."""
        config = self.config
        torch.manual_seed(config.seed)
        model = self.make_network()
        # PyTorch's stubs leave this form of `to` out.
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.start and not config.resumes:
            take_weights(model, config.start)
        average = self.make_network()
        average.load_state_dict(model.state_dict())
        optimiser = torch.optim.AdamW(
            self.groups(model), lr=config.learning_rate, betas=(0.9, 0.98), eps=1e-12,
            weight_decay=0.01,
        )  # fmt: skip
        return Run(model=model, average=average.requires_grad_(False), optimiser=optimiser)

    def objective(self, run: Run, accelerator: Accelerator) -> nn.Module:
        """See `Task`."""
        self.compile_networks(*run.model.children())
        self.judge = self.perceptual_judge(accelerator)
        model, config = cast(CompactNetworks, run.model), self.config

        def losses(batch: dict[str, Tensor], draws: torch.Generator, seen: bool) -> Losses:
            judge = self.judge if seen else None
            return compact_losses(model, batch, config.pairs.margin, config.objective, draws, judge)

        return Objective(model, losses)

    def perceptual_judge(self, accelerator: Accelerator) -> Perceptual | None:
        """Make the judge of the perceptual terms, if there are any; VGG16 is fetched once."""
        asked = self.config.objective
        if asked.kind != "restoration" or not (asked.perceptual or asked.dists):
            return None
        with accelerator.main_process_first():
            weights = fetch_vgg16(self.config.cache_folder)
        return Perceptual(weights).to(accelerator.device)

    def compile_networks(self, *networks: nn.Module) -> None:
        """Compile networks where the run asks for it."""
        if self.config.compile:
            for network in networks:
                network.compile()

    def batches(
        self, scenes: SceneStore, run: Run, accelerator: Accelerator, progress: Progress | None
    ) -> IterableDataset:
        """See `Task`."""
        return self.stream(
            scenes, self.config.pairs, batch=self.config.batch, first_step=run.step,
            process=accelerator.process_index, processes=accelerator.num_processes,
        )  # fmt: skip

    def validation(self, scenes: SceneStore, accelerator: Accelerator) -> Scorer:
        """See `Task`."""
        validation = Validation(scenes, self.config.pairs)

        def score(run: Run, objective: nn.Module) -> Score:
            average, config = cast(CompactNetworks, run.average), self.config.objective
            losses = validation.loss(average, config, self.judge)
            return Score(losses, validation.picture(average, config))

        return score
