"""What a training run is: its settings, and its learning rate at every moment."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from livemoments.errors import ConfigError
from livemoments.networks.compact import CompactConfig
from livemoments.training.objective import ObjectiveConfig
from livemoments.training.pairs import PairConfig

SCHEDULES = ("cosine", "constant")
PRECISIONS = ("bf16", "no")
# What may differ between a run and its resumption: everything else makes it another run.
MAY_CHANGE = frozenset(
    {
        "output", "kept", "photographs", "clips", "minutes", "steps", "resume", "start", "threads",
        "compile", "checkpoint_every_s", "validate_every",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A run. Times in minutes of training, resumed runs counted together."""

    output: Path
    photographs: Path | None = None  # a folder of `livemoments photographs`, or one's own *.png
    clips: Path | None = None  # a folder of clips; with photographs, every other scene from each
    minutes: float = 60.0  # of training; ignored where steps are given
    steps: int | None = None  # so many steps: a run that repeats exactly, however fast the machine
    batch: int = 8  # of each process
    learning_rate: float = 1e-3
    schedule: str = "cosine"  # falls at the end, over decay_share; "constant" only warms up
    warm_up_steps: int = 200
    clip: float = 0.3  # of the gradient's norm
    decay_share: float = 0.4  # of the run, over which the rate falls to a hundredth
    perceptual_from: float = 0.55  # share of the run done when the perceptual terms set in
    ema: float = 0.999
    seed: int = 0
    workers: int = 1
    threads: int = 0  # 0: as many as there are cores
    precision: str = "bf16"  # or "no" for float32
    compile: bool = False  # torch.compile: steps in 0.7 of the time, after a minute; needs g++
    checkpoint_every_s: float = 120.0
    validate_every: int = 1000  # steps; 0: never
    resume: bool = True
    kept: Path | None = None  # where scenes and VGG16 are kept, for runs to share; None: output
    start: Path | None = None  # a checkpoint whose weights to begin with; those of other shape stay
    network: CompactConfig = field(default_factory=CompactConfig)
    pairs: PairConfig = field(default_factory=PairConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)

    def __post_init__(self) -> None:
        for name in ("minutes", "steps", "batch", "learning_rate", "warm_up_steps", "decay_share"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name} must be positive, got {value}")
        for name in ("workers", "threads", "validate_every", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")
        for name, known in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}"
                )
        for name in ("ema", "perceptual_from"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if self.objective.perceptual_px > self.pairs.crop:
            raise ConfigError(
                f"perceptual_px must be at most the crop's {self.pairs.crop}, "
                f"got {self.objective.perceptual_px}"
            )
        if self.photographs is None and self.clips is None:
            raise ConfigError("nothing to learn from: give a folder of photographs or of clips")

    @property
    def last(self) -> Path:
        """The run's last checkpoint."""
        return self.output / "last.pt"

    @property
    def resumes(self) -> bool:
        """Whether there is a checkpoint that it is to go on from."""
        return self.resume and self.last.exists()

    def share_done(self, step: int, minutes: float) -> float:
        """How much of the run is over, 0 to 1 or a little more."""
        return step / self.steps if self.steps else minutes / self.minutes

    def learning_rate_at(self, step: int, minutes: float) -> float:
        """Warm up, stay, then fall along a cosine in the last `decay_share` of the run."""
        warm = min(1.0, (step + 1) / self.warm_up_steps)
        if self.schedule == "constant":
            return self.learning_rate * warm
        past = (self.share_done(step, minutes) - (1 - self.decay_share)) / self.decay_share
        fall = 0.505 + 0.495 * math.cos(math.pi * min(max(past, 0.0), 1.0))
        return self.learning_rate * warm * fall

    def fixed(self) -> dict[str, Any]:
        """What a resumed run must have in common with its beginning."""
        return {name: value for name, value in self.to_dict().items() if name not in MAY_CHANGE}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as checkpoints and the dry run have them."""
        return dict(json.loads(json.dumps(asdict(self), default=str)))
