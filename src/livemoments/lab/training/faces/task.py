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
from livemoments.lab.training.run.task import Objective, Score, Scorer
from livemoments.networks.face_identity import read_face_identity
from livemoments.networks.faces import FaceNet


class FaceTask(CompactTask):
    """The face tier in training: the compact networks with more, on clips."""

    store, stream = FaceStore, FaceStream
    judges = Judges()  # of the objective, once it is made

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
        model, file = cast(FaceNet, run.model), self.config.faces.identity_network
        self.compile_networks(model.refiner, model.reference, model.restoration)
        self.judges = Judges(
            self.perceptual_judge(accelerator),
            read_face_identity(file).to(accelerator.device) if file else None,
        )
        perceptual, identity, config = self.judges.perceptual, self.judges.identity, self.config
        rewarding = identity if config.faces.identity_reward > 0 else None

        def losses(batch: dict[str, Tensor], draws: torch.Generator, seen: bool) -> FaceLosses:
            judges = Judges(perceptual if seen else None, rewarding)
            return face_losses(model, batch, config.objective, config.faces, draws, judges)

        return Objective(model, losses)

    def validation(self, scenes: SceneStore, accelerator: Accelerator) -> Scorer:
        """See `Task`."""
        validation = FaceValidation(scenes, self.config)

        def score(run: Run, objective: nn.Module) -> Score:
            average = cast(FaceNet, run.average)
            return Score(validation.losses(average, self.judges), validation.picture(average))

        return score
