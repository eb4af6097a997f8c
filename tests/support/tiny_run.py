"""The shortest training run that still is one; needs PyTorch."""

from pathlib import Path

from livemoments.lab.training.data.pairs import PairConfig
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.objective_config import ObjectiveConfig
from support.tiny import TINY


def tiny_config(photographs: Path, output: Path, **given) -> TrainConfig:
    """A run of two scenes by a tiny network, in this process alone."""
    usual = {
        "batch": 2, "workers": 0, "threads": 1, "warm_up_steps": 1, "network": TINY,
        "pairs": PairConfig(
            crop=64, margin=16, scene=128, scenes=2, crops_per_scene=2, scenes_mixed=2
        ),
        "objective": ObjectiveConfig(perceptual=0.0, dists=0.0),  # VGG16 would be fetched
        "validate_every": 0, "precision": "no",
    }  # fmt: skip
    return TrainConfig(photographs=photographs, output=output, **(usual | given))
