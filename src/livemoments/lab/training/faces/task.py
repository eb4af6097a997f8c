"""The face tier in training: its network, objective and validation, for the loop."""

from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from livemoments.lab.training.compact.perceptual import Perceptual, fetch_vgg16
from livemoments.lab.training.data.scenes import SceneStore
from livemoments.lab.training.faces.clips import FaceStream
from livemoments.lab.training.faces.objective import FaceLosses, Judges, face_losses
from livemoments.lab.training.faces.validate import FaceValidation
from livemoments.lab.training.run.checkpoint import Run, take_weights
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.task import Score, Scorer
from livemoments.networks.face_identity import FaceIdentity, read_face_identity
from livemoments.networks.faces import FaceNet
from livemoments.progress import Progress


class Objective(nn.Module):
    """The losses as one module, so that accelerate can spread it over devices and processes."""

    def __init__(self, model: FaceNet, config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        # In lists: their weights are none of the model's.
        self.perceptual: list[Perceptual] = []
        self.identity: list[FaceIdentity] = []

    def forward(self, batch: dict[str, Tensor], seed: int, seen: bool) -> FaceLosses:
        """The losses of a batch; seed draws what is random, seen asks for the perceptual terms."""
        rewarded = self.config.faces.identity_reward > 0
        judges = Judges(
            self.perceptual[0] if seen and self.perceptual else None,
            self.identity[0] if rewarded and self.identity else None,
        )
        generator = torch.Generator().manual_seed(seed)
        return face_losses(
            self.model, batch, self.config.objective, self.config.faces, generator, judges
        )


class FaceTask:
    """See `Task`."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config

    def new_run(self) -> Run:
        """See `Task`."""
        config = self.config
        torch.manual_seed(config.seed)
        model = FaceNet(config.network, config.faces.network)
        # PyTorch's stubs leave this form of `to` out.
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.start and not config.resumes:
            take_weights(model, config.start)
        average = FaceNet(config.network, config.faces.network)
        average.load_state_dict(model.state_dict())
        added = model.added()
        new = {id(weight) for weight in added}
        known = [weight for weight in model.parameters() if id(weight) not in new]
        optimiser = torch.optim.AdamW(
            [
                {"params": added, "share": 1.0},
                {"params": known, "share": config.faces.compact_share},
            ],
            lr=config.learning_rate, betas=(0.9, 0.98), eps=1e-12, weight_decay=0.01,
        )  # fmt: skip
        return Run(model=model, average=average.requires_grad_(False), optimiser=optimiser)

    def objective(self, run: Run, accelerator: Accelerator) -> nn.Module:
        """See `Task`."""
        whole, config = Objective(cast(FaceNet, run.model), self.config), self.config
        if config.objective.perceptual or config.objective.dists:
            with accelerator.main_process_first():
                weights = fetch_vgg16(config.keeps)
            whole.perceptual.append(Perceptual(weights).to(accelerator.device))
        if config.faces.identity_network is not None:
            judge = read_face_identity(config.faces.identity_network)
            whole.identity.append(judge.to(accelerator.device))
        if config.compile:
            for network in (whole.model.refiner, whole.model.reference, whole.model.restoration):
                network.compile()
        return whole

    def batches(
        self, scenes: SceneStore, run: Run, accelerator: Accelerator, progress: Progress | None
    ) -> IterableDataset:
        """See `Task`."""
        return FaceStream(
            scenes, self.config.pairs, batch=self.config.batch, first_step=run.step,
            process=accelerator.process_index, processes=accelerator.num_processes,
        )  # fmt: skip

    def validation(self, scenes: SceneStore, accelerator: Accelerator) -> Scorer:
        """See `Task`."""
        validation = FaceValidation(scenes, self.config)

        def score(run: Run, objective: nn.Module) -> Score:
            whole = cast(Objective, objective)
            judges = Judges(
                whole.perceptual[0] if whole.perceptual else None,
                whole.identity[0] if whole.identity else None,
            )
            average = cast(FaceNet, run.average)
            return Score(validation.losses(average, judges), validation.picture(average))

        return score
