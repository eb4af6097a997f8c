"""Settings of the compact model's objective, and of the parts that an ablation takes away."""

from dataclasses import dataclass

from livemoments.errors import ConfigError

OBJECTIVES = ("restoration", "velocity", "alignment")
EARLIEST = 0.003  # of t, as the official release's last sigma: at 0 the velocity is unbounded
USUAL_ERROR = 0.03  # of 1: of a degraded frame, the mean absolute one

WARPS = ("pixels", "latents", "keys and values", "nothing")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Which parts of the method take part; the defaults are the whole."""

    reference: bool = True  # False: RestorationNet alone
    warp: str = "pixels"  # what is warped to the frame: one of `WARPS`
    refine: bool = True  # the flow, by FlowRefiner
    copy_gate: bool = True
    motion: bool = True  # motion-guided keys (Eq. 4); False: they are told nothing
    beside: bool = True  # RestorationNet sees the warped reference's pixels beside the frame's

    def __post_init__(self) -> None:
        if self.warp not in WARPS:
            raise ConfigError(f"warp must be one of {', '.join(WARPS)}; got {self.warp!r}")
        if self.warp != "pixels" and (self.beside or self.copy_gate):
            raise ConfigError(
                "pixels that are not warped can be neither beside the frame's nor copied; "
                f"got warp {self.warp!r}"
            )


WHOLE = Parts()


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Weights of the terms, and how often the reference is taken away or wrong."""

    kind: str = "restoration"  # or "velocity", or "alignment": flow and trust alone
    frequency: float = 0.2  # L1 between spectra: sharpness without inventing
    perceptual: float = 0.12  # LPIPS of a part of some crops; 0 and 0 below do without VGG16
    dists: float = 0.04  # of the same parts
    perceptual_px: int = 64  # side of those parts: VGG16 costs more than all networks here
    perceptual_crops: int = 4  # of a batch
    # Of both on crops without a reference: what makes them sharper there also makes them untrue.
    perceptual_alone: float = 0.4
    flow: float = 0.02  # end-point error per pixel of the visible part
    trust: float = 0.02  # binary cross entropy
    no_reference: float = 0.2  # share of crops that must do without
    wrong_reference: float = 0.04  # share of crops with another scene's key photo
    at_start: float = 0.75  # share of crops at t = T, where one-step sampling stands
    parts: Parts = WHOLE  # what takes part, for ablations

    def __post_init__(self) -> None:
        if self.kind not in OBJECTIVES:
            raise ConfigError(
                f"objective {self.kind!r}: no such objective; there are {', '.join(OBJECTIVES)}"
            )
