"""Train the face tier: its network, objective and validation, for the loop."""

from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from livemoments.lab.training.compact.task import CompactTask
from livemoments.lab.training.data.scenes import SceneMaker, SceneStore
from livemoments.lab.training.faces.clips import FaceStore, FaceStream, face_clips
from livemoments.lab.training.faces.objective import FaceLosses, Judges, face_losses
from livemoments.lab.training.faces.validate import FaceValidation
from livemoments.lab.training.run.checkpoint import Run
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.task import Score, Scorer
from livemoments.networks.face_identity import read_face_identity
from livemoments.networks.faces import FaceNet


class FaceObjective(nn.Module):
    """The losses as one module, so that accelerate can distribute it."""

    def __init__(self, model: FaceNet, config: TrainConfig, judges: Judges) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.judges = judges  # in a dataclass, their weights are not the model's

    def forward(self, batch: dict[str, Tensor], seed: int, seen: bool) -> FaceLosses:
        """Work out the losses of a batch; seed draws, seen asks for the perceptual terms."""
        config = self.config
        judges = Judges(
            self.judges.perceptual if seen else None,
            self.judges.identity if config.faces.identity_reward > 0 else None,
        )
        generator = torch.Generator().manual_seed(seed)
        return face_losses(self.model, batch, config.objective, config.faces, generator, judges)


class FaceTask(CompactTask):
    """The face tier in training: the compact networks with more, on clips."""

    store, stream = FaceStore, FaceStream

    @property
    def unused_parameters(self) -> bool:
        """Whether some of the weights get no gradient."""
        return False

    def scene_maker(self, *, held_out: bool = False) -> SceneMaker:
        """See `Task`."""
        return face_clips(self.config.faces, self.config.photographs, held_out=held_out)

    def make_network(self) -> nn.Module:
        """See `CompactTask`."""
        return FaceNet(self.config.network, self.config.faces.network)

    def groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Let what the compact model has learned change more slowly."""
        added = cast(FaceNet, model).added()
        new = {id(weight) for weight in added}
        known = [weight for weight in model.parameters() if id(weight) not in new]
        return [
            {"params": added, "share": 1.0},
            {"params": known, "share": self.config.faces.compact_share},
        ]

    def objective(self, run: Run, accelerator: Accelerator) -> nn.Module:
        """See `Task`."""
        model, identity = cast(FaceNet, run.model), None
        perceptual = self.perceptual_judge(accelerator)
        if self.config.faces.identity_network is not None:
            identity = read_face_identity(self.config.faces.identity_network)
            identity.to(accelerator.device)
        self.compile_networks(model.refiner, model.reference, model.restoration)
        return FaceObjective(model, self.config, Judges(perceptual, identity))

    def validation(self, scenes: SceneStore, accelerator: Accelerator) -> Scorer:
        """See `Task`."""
        validation = FaceValidation(scenes, self.config)

        def score(run: Run, objective: nn.Module) -> Score:
            average = cast(FaceNet, run.average)
            judges = cast(FaceObjective, objective).judges
            return Score(validation.losses(average, judges), validation.picture(average))

        return score
