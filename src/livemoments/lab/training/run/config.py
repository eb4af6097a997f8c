"""Describe a training run: its settings, and its learning rate at every moment."""

import json
import math
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from livemoments.errors import ConfigError
from livemoments.lab.training.data.pairs import PairConfig
from livemoments.lab.training.run.objective_config import ObjectiveConfig
from livemoments.models.sd3.config import SD3_MEDIUM
from livemoments.networks.compact_config import SECOND, CompactConfig
from livemoments.networks.faces import FaceConfig

MODELS = ("compact", "sd3", "faces")
SCHEDULES = ("cosine", "constant")
PRECISIONS = ("bf16", "no")
ADDED = {"perceptual_from_step": None}  # settings that older checkpoints were made without
POSITIVE = (
    "minutes", "steps", "finish", "batch", "learning_rate", "warm_up_steps", "decay_share",
)  # fmt: skip
NOT_NEGATIVE = (
    "workers", "threads", "validate_every", "snapshot_every", "seed", "perceptual_from_step",
)  # fmt: skip


def _resumable(default: Any, **metadata: Any) -> Any:  # noqa: ANN401 - of any field
    """Make a field that may differ between a run and its resumption: others make another run."""
    return field(default=default, metadata={"resumable": True} | metadata)


@dataclass(frozen=True, kw_only=True)
class Sd3TrainConfig:
    """Settings of the sd3 tier alone: where it begins, and how it fits a GPU."""

    weights: Path | str | None = None  # a LiveMoments model to go on from; None: from base alone
    base: Path | str = SD3_MEDIUM  # its autoencoder, and without weights both transformers
    no_reference: float = 0.1  # share of crops whose frame stands in as its own reference
    lora: int = 0  # rank of adapters learned in place of the image branches' weights; 0: none
    accumulate: int = _resumable(1)  # parts that a batch is cut into: less memory
    checkpointing: bool = _resumable(False)  # activations are worked out twice: far less memory

    def __post_init__(self) -> None:
        _check_shares(self, "no_reference")
        if self.lora < 0:
            raise ConfigError(f"lora must be a rank or 0 for none, got {self.lora}")
        if self.accumulate < 1:
            raise ConfigError(f"accumulate must be at least 1, got {self.accumulate}")


@dataclass(frozen=True, kw_only=True)
class FaceTrainConfig:
    """Settings of the face tier alone. Shares are of clips."""

    portraits: Path | None = _resumable(None)  # of `faces.portraits`
    identity_network: Path | None = _resumable(None)  # dlib's file, to reward and measure by
    identity_reward: float = 0.0  # weight of the feedback, 0 for none
    reward_of_truth: float = 0.5  # share of it that is the distance to each frame's truth
    frames: int = 6  # of a clip
    network: FaceConfig = field(default_factory=FaceConfig)
    compact_share: float = 0.15  # of the learning rate, for what the compact model has learned
    time: float = 0.3  # weight of the temporal consistency
    unaligned: float = 0.2  # with no aligned reference, the unwarped one alone
    no_image: float = 0.12  # without what is seen in the unwarped references
    no_identity: float = 0.12
    no_attributes: float = 0.12
    low_quality: float = 0.1  # whose target is the degraded frame itself

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ConfigError(f"frames must be at least 1, got {self.frames}")
        _check_shares(self, "unaligned", "no_image", "no_identity", "no_attributes")
        _check_shares(self, "low_quality", "reward_of_truth")
        if self.identity_reward and self.identity_network is None:
            raise ConfigError("an identity reward needs dlib's network: give identity_network")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a run. Times in minutes of training, resumed runs counted together."""

    output: Path = field(metadata={"resumable": True})
    model: str = "compact"  # or another of `MODELS`, whose usual values `settings` gives
    photographs: Path | None = _resumable(None)  # a folder of prepared *.png files
    clips: Path | None = _resumable(None)  # a folder; with photographs, scenes from both in turn
    minutes: float = _resumable(60.0)  # of training, unless steps are given
    steps: int | None = _resumable(None)  # in place of minutes: a run that repeats exactly
    finish: int | None = _resumable(None)  # steps from here to the end, while the rate falls
    batch: int = 8  # of each process
    learning_rate: float = 1e-3
    schedule: str = "cosine"  # falls at the end, over decay_share; "constant" only warms up
    warm_up_steps: int = 200
    clip: float = 0.3  # of the gradient's norm
    decay_share: float = 0.4  # of the run, over which the rate falls to a hundredth
    perceptual_from: float = 0.55  # share of the run done when the perceptual terms set in
    perceptual_from_step: int | None = None  # the step when they do, whatever the share
    ema: float = 0.999  # of the weights; 0: no average (which is a second model, in memory too)
    seed: int = 0
    workers: int = 1
    threads: int = _resumable(0)  # 0: as many as there are cores
    precision: str = "bf16"  # or "no" for float32
    compile: bool = _resumable(False)  # torch.compile: steps in 0.7 of the time; needs g++
    checkpoint_every_s: float = _resumable(120.0)
    validate_every: int = _resumable(1000)  # steps; 0: never
    snapshot_every: int = _resumable(5000)  # steps between files of the average; 0: none
    resume: bool = _resumable(True)
    cache: Path | None = _resumable(None, stored_as="kept")  # of scenes and VGG16; None: output
    start: Path | None = _resumable(None)  # a checkpoint or model, whose weights to begin with
    network: CompactConfig = field(default_factory=CompactConfig)
    pairs: PairConfig = field(default_factory=PairConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)  # of the compact model
    sd3: Sd3TrainConfig = field(default_factory=Sd3TrainConfig)
    faces: FaceTrainConfig = field(default_factory=FaceTrainConfig)

    def __post_init__(self) -> None:
        for name in POSITIVE:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name} must be positive, got {value}")
        for name in NOT_NEGATIVE:
            if (getattr(self, name) or 0) < 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")
        for name, known in (
            ("model", MODELS), ("schedule", SCHEDULES), ("precision", PRECISIONS),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}"
                )
        _check_shares(self, "ema", "perceptual_from")
        if self.objective.perceptual_px > self.pairs.crop:
            raise ConfigError(
                f"perceptual_px must be at most the crop's {self.pairs.crop}, "
                f"got {self.objective.perceptual_px}"
            )
        self._check_model()

    def _check_model(self) -> None:
        """Raise ConfigError where settings do not fit the model."""
        if self.model == "faces" and self.faces.portraits is None:
            raise ConfigError("no faces to learn from: give a folder of portraits")
        if self.model != "faces" and self.photographs is None and self.clips is None:
            raise ConfigError("nothing to learn from: give a folder of photographs or of clips")
        if self.pairs.margin and self.model != "compact":
            tier = "face tier, whose reference is whole"
            if self.model == "sd3":
                tier = "sd3 tier, whose reference is not warped"
            raise ConfigError(f"margin must be 0 for the {tier}; got {self.pairs.margin}")
        if self.model == "sd3" and self.batch % self.sd3.accumulate:
            raise ConfigError(
                f"batch must be a multiple of accumulate={self.sd3.accumulate}, got {self.batch}"
            )

    @property
    def last(self) -> Path:
        """The run's last checkpoint."""
        return self.output / "last.pt"

    @property
    def cache_folder(self) -> Path:
        """The folder of scenes, latents and the weights of VGG16."""
        return self.cache or self.output

    @property
    def parts(self) -> int:
        """How many parts a batch is worked through in."""
        return self.sd3.accumulate if self.model == "sd3" else 1

    @property
    def resumes(self) -> bool:
        """Whether there is a checkpoint that it is to go on from."""
        return self.resume and self.last.exists()

    def share_done(self, step: int, minutes: float, finish_from: int | None = None) -> float:
        """Return how much of the run is over, 0 to 1 or a little more.

        finish_from is the step at which the run's finish began: then a finish alone decides where
        the run ends.
        """
        if self.finish and finish_from is not None:
            return step / (finish_from + self.finish)
        return step / self.steps if self.steps else minutes / self.minutes

    def judges_at(self, step: int, minutes: float) -> bool:
        """Check whether the perceptual terms have set in: costly, and no use without detail.

        A finish does not hasten them: at most it ends the run before.
        """
        if self.perceptual_from_step is not None:
            return step >= self.perceptual_from_step
        return self.share_done(step, minutes) >= self.perceptual_from

    def learning_rate_at(self, step: int, minutes: float, finish_from: int | None = None) -> float:
        """Warm up, stay, then fall along a cosine in the last `decay_share` of the run.

        In a finish it falls from what it would be otherwise.
        """
        rate = self.learning_rate * min(1.0, (step + 1) / self.warm_up_steps)
        if self.schedule != "constant":
            share = self.share_done(step, minutes)
            rate *= _fall((share - (1 - self.decay_share)) / self.decay_share)
        if self.finish and finish_from is not None:
            rate *= _fall((step - finish_from) / self.finish)
        return rate

    def fixed(self) -> dict[str, Any]:
        """Return what a resumed run must have in common with its beginning."""
        return fixed(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values by the names that checkpoints and the dry run have for them."""
        return dict(json.loads(json.dumps(self, default=_plain)))


def _plain(value: Any) -> object:  # noqa: ANN401 - whatever JSON does not know
    """Turn a configuration into a dictionary by its stored names, and a path into text."""
    if not is_dataclass(value):
        return str(value)
    return {_stored_name(each): getattr(value, each.name) for each in fields(value)}


def _stored_name(setting: Any) -> str:  # noqa: ANN401 - dataclasses.Field of any type
    """Return a field's name in checkpoints: an earlier one where the field was renamed."""
    return str(setting.metadata.get("stored_as", setting.name))


def _check_shares(config: object, *names: str) -> None:
    """Raise ConfigError where one of these settings is no share."""
    for name in names:
        if not 0 <= getattr(config, name) <= 1:
            raise ConfigError(f"{name} must be in [0, 1], got {getattr(config, name)}")


def _fall(past: float) -> float:
    """Fall from 1 to a hundredth along a cosine, while past goes from 0 to 1."""
    return 0.505 + 0.495 * math.cos(math.pi * min(max(past, 0.0), 1.0))


def fixed(settings: dict[str, Any]) -> dict[str, Any]:
    """Return those plain values of a configuration that make it another run if they differ."""
    settings = ADDED | settings
    model = settings.get("model")
    # Settings of other models, which this one does not read.
    unread = {"sd3": {"network", "objective", "faces"}, "faces": {"sd3"}}
    left = _without_resumable(TrainConfig, settings)
    left = {
        name: value
        for name, value in left.items()
        if name not in unread.get(str(model), {"model", "sd3", "faces"})
    }
    for name, tier in (("faces", FaceTrainConfig), ("sd3", Sd3TrainConfig)):
        if name in left:
            left[name] = _without_resumable(tier, left[name])
    return left


def _without_resumable(kind: type, settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out the plain values of a configuration that may change when a run is resumed."""
    resumable = {_stored_name(each) for each in fields(kind) if each.metadata.get("resumable")}
    return {name: value for name, value in settings.items() if name not in resumable}


# The usual settings of each model. Of sd3 the paper gives rate, batch, side and optimiser (appendix
# B.2); the rest is ours.
USUAL: dict[str, dict[str, Any]] = {
    "compact": {"network": SECOND},
    "faces": {
        "batch": 2,  # clips
        "learning_rate": 1e-3,
        "perceptual_from": 0.1,  # it begins with the trained compact model
        "pairs": PairConfig(
            crop=128,
            margin=0,
            scene=256,
            scenes=600,
            crops_per_scene=2,
            scenes_mixed=8,
            led_astray=0.35,
            trembling=0.0,
        ),
        "objective": ObjectiveConfig(no_reference=0.08, wrong_reference=0.04, perceptual_crops=6),
    },
    "sd3": {
        "batch": 8,
        "learning_rate": 5e-5,
        "schedule": "constant",
        "clip": 1.0,
        "ema": 0.0,
        "checkpoint_every_s": 1800.0,  # it holds 26 GB
        # A flow that trembles has no inverse, and MotionEncoder is given the inverse.
        "pairs": PairConfig(
            crop=1024, margin=0, scene=1280, crops_per_scene=2, scenes_mixed=4, trembling=0.0
        ),
    },
}


def settings(
    model: str, *, preset: str, crop: int | None = None, scenes: int | None = None,
    **changes: Any,  # noqa: ANN401 - fields of TrainConfig
) -> TrainConfig:  # fmt: skip
    """Return the run of a model with its usual settings and these changes, if not None.

    A scene is as much larger than another crop as it is than the usual one.
    """
    if model not in MODELS:
        raise ConfigError(f"model must be one of {', '.join(MODELS)}; got {model!r}")
    usual = USUAL[model]
    pairs = replace(usual.get("pairs", PairConfig()), preset=preset)
    if crop is not None:
        more = 0 if model == "faces" else crop - pairs.crop  # a canonical face is one size
        pairs = replace(pairs, crop=crop, scene=pairs.scene + more)
    if scenes is not None:
        pairs = replace(pairs, scenes=scenes)
    changes = {name: value for name, value in changes.items() if value is not None}
    if model != "sd3" and changes.get("sd3", Sd3TrainConfig()) != Sd3TrainConfig():
        raise ConfigError(
            "weights, base, lora, accumulate and checkpointing are settings of the model sd3 alone",
            settings=("model",),
        )
    return TrainConfig(model=model, **(usual | {"pairs": pairs} | changes))
