"""Choose how to restore: the settings, and the model that they name."""

from dataclasses import dataclass, field
from pathlib import Path

from livemoments.errors import ConfigError
from livemoments.extras import need_sd3
from livemoments.models.compact import SHIPPED, load_compact
from livemoments.models.sd3.config import Sd3Config
from livemoments.models.tile import Restorer, TileConfig

MODELS = ("compact", "sd3")
LOOKS = ("frame", "key")


@dataclass(frozen=True, kw_only=True)
class RestoreConfig:
    """How to restore. The defaults are what `livemoments restore` uses."""

    model: str = "compact"  # or "sd3", the paper's: needs the extra, weights and a GPU
    steps: int | None = None  # of the bridge, 1 to 6; None: the model's own, 1 or for sd3 6
    seed: int = 0  # of the bridge's noise: same seed, same bytes on one machine
    use_reference: bool = True  # False: restore from the frame alone
    look: str = "key"  # tone and colour of the key photo, where they can be learned; or "frame"
    hdr: bool = True  # bring the key photo's gain map along, where it has one
    faces: bool = False  # restore the faces that the key photo shows, too
    tiles: TileConfig | None = None  # None: the model's own
    threads: int = 0  # of the compact model; 0: one per core
    weights: Path | None = None  # a compact model of your own; None: that of the package
    sd3: Sd3Config = field(default_factory=Sd3Config)

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ConfigError(f"model must be one of {', '.join(MODELS)}; got {self.model!r}")
        if self.look not in LOOKS:
            raise ConfigError(f"look must be one of {', '.join(LOOKS)}; got {self.look!r}")
        if self.steps is not None and not 1 <= self.steps <= 6:
            raise ConfigError(f"steps must be from 1 to 6, got {self.steps}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a configuration means for one model: nothing is left open."""

    steps: int
    seed: int
    tiles: TileConfig
    use_reference: bool
    learn_look: bool  # the key photo's


def settings_for(config: RestoreConfig, model: Restorer) -> Settings:
    """Fill in what a configuration leaves to the model."""
    # The official release gives the frame's look, and its option is there to repeat it.
    official = config.model == "sd3" and config.sd3.official
    return Settings(
        steps=config.steps or model.steps,
        seed=config.seed,
        tiles=config.tiles or model.tiles,
        use_reference=config.use_reference,
        learn_look=config.look == "key" and config.use_reference and not official,
    )


def load_model(config: RestoreConfig) -> Restorer:
    """Return the model that a configuration names, from the cache where it is there.

    `livemoments.models.cache.unload_models` lets go of it.

    Raises:
        MissingExtraError: the paper's model without its extra.
        WeightsError: weights that are missing or cannot be used.
        DeviceError: no such device, or too little memory for the paper's model.
    """
    if config.model == "compact":
        return load_compact(config.weights or SHIPPED, config.threads)
    need_sd3("restoring with the sd3 model")
    from livemoments.models.sd3.model import load_sd3_model

    return load_sd3_model(config.sd3)
