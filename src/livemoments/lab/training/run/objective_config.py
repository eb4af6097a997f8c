"""Settings of the compact model's objective, and of the parts that an ablation takes away."""

from dataclasses import dataclass, field

from livemoments.errors import ConfigError

OBJECTIVES = ("restoration", "velocity", "alignment")
EARLIEST = 0.003  # of t, as the official release's last sigma: at 0 the velocity is unbounded
USUAL_ERROR = 0.03  # of 1: the mean absolute error of a degraded frame

WARPS = ("pixels", "latents", "keys and values", "nothing")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Which parts of the method take part; the defaults are the whole method."""

    reference: bool = True  # False: RestorationNet alone
    warp: str = "pixels"  # what is warped to the frame: one of `WARPS`
    refine: bool = True  # the flow, by FlowRefiner
    copy_gate: bool = True
    motion: bool = True  # motion-guided keys (Eq. 4); False: keys without motion
    # RestorationNet is given the warped reference's pixels together with the frame's.
    reference_pixels: bool = field(default=True, metadata={"stored_as": "beside"})

    def __post_init__(self) -> None:
        if self.warp not in WARPS:
            raise ConfigError(f"warp must be one of {', '.join(WARPS)}; got {self.warp!r}")
        if self.warp != "pixels" and (self.reference_pixels or self.copy_gate):
            raise ConfigError(
                "pixels that are not warped can be neither given with the frame's nor copied; "
                f"got warp {self.warp!r}"
            )


WHOLE = Parts()


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Weights of the terms, and how often the reference is taken away or wrong."""

    kind: str = "restoration"  # or "velocity", or "alignment": flow and trust alone
    frequency: float = 0.2  # L1 between spectra: sharpness without inventing
    perceptual: float = 0.12  # LPIPS of a part of some crops; VGG16 is fetched for this and DISTS
    dists: float = 0.04  # DISTS of the same parts
    perceptual_px: int = 64  # side of those parts: VGG16 costs more than all networks here
    perceptual_crops: int = 4  # crops of a batch that have such a part
    # Weight of LPIPS and DISTS on crops without a reference, where looking sharper means being
    # less true.
    perceptual_alone: float = 0.4
    flow: float = 0.02  # end-point error per pixel of the visible part
    trust: float = 0.02  # binary cross entropy
    no_reference: float = 0.2  # share of crops without a reference
    wrong_reference: float = 0.04  # share of crops with another scene's key photo
    at_start: float = 0.75  # share of crops at t = T, where one-step sampling is
    parts: Parts = WHOLE  # what takes part, for ablations

    def __post_init__(self) -> None:
        if self.kind not in OBJECTIVES:
            raise ConfigError(
                f"objective {self.kind!r}: no such objective; there are {', '.join(OBJECTIVES)}"
            )
