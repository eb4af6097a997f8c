"""Set how the faces of a clip are polished; each mechanism can be switched off."""

from dataclasses import dataclass, field

from livemoments import bridge
from livemoments.errors import ConfigError
from livemoments.faces.blending import BlendConfig
from livemoments.faces.detect import SMALLEST_PX
from livemoments.faces.guidance import Guidance
from livemoments.faces.identity import TRUSTED
from livemoments.models.face_window import Streams


@dataclass(frozen=True, kw_only=True)
class PolishConfig:
    """The settings of polishing; the defaults are those of `livemoments faces`."""

    limit: float = TRUSTED  # distance of identities up to which a reference is trusted
    smallest_px: int = SMALLEST_PX  # height of a face; smaller ones are left alone
    enlarged: float = 1.0  # pixels of the frames for one of the clip's, a side
    strength: float = 1.0  # 0 to 1: how much of the change is made
    steps: int = 1  # of the bridge
    seed: int = 0  # of its noise: same seed, same bytes on one machine
    streams: Streams = field(default_factory=Streams)  # of the prompt; for ablations
    aligned: bool = True  # bring the reference to each frame; False: attention alone
    guidance: Guidance = field(default_factory=Guidance)  # away from the negative streams
    blend: BlendConfig = field(default_factory=BlendConfig)  # of windows
    spare_sharp: bool = True  # fade the change where faces are about as sharp as their reference

    def __post_init__(self) -> None:
        if self.limit <= 0:
            raise ConfigError(f"limit must be above 0, got {self.limit}")
        if self.enlarged <= 0:
            raise ConfigError(f"enlarged must be above 0, got {self.enlarged}")
        if self.smallest_px < 20:
            raise ConfigError(f"smallest_px must be at least 20, got {self.smallest_px}")
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"strength must be in [0, 1], got {self.strength}")
        if not 1 <= self.steps <= bridge.MAX_STEPS:
            raise ConfigError(f"steps must be from 1 to {bridge.MAX_STEPS}, got {self.steps}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")
