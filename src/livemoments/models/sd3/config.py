"""The settings of the sd3 tier; they need no PyTorch, so that the core can read them."""

from dataclasses import dataclass
from pathlib import Path

from livemoments.errors import ConfigError

PUBLISHED = "Clara-7/LiveMoments"  # transformer, transformer_ref and the motion encoder
SD3_MEDIUM = "stabilityai/stable-diffusion-3-medium-diffusers"  # the autoencoder; licence to accept
DEVICES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "bf16", "fp16", "float32")
FLOWS = ("alignment", "dis", "raft")
PER = ("step", "tile")
OFFLOADS = ("auto", "none", "blocks")
SAMPLERS = ("exact", "euler")


@dataclass(frozen=True, kw_only=True)
class Sd3Config:
    """Where the weights are and how they are used.

    weights and base are folders, or names of repositories in the Hugging Face cache.
    """

    weights: Path | str = PUBLISHED
    base: Path | str = SD3_MEDIUM  # not read where weights has a `vae` folder of its own
    official: bool = False  # the release's choices: Euler, its times, sampled latents, tile flow
    sampler: str = "exact"  # exact bridge steps, or the release's "euler"
    flow: str = "alignment"  # of the whole picture, for the MotionEncoder; or a tile's: dis, raft
    raft: Path | None = None  # RAFT's weights; None: torchvision's own
    device: str = "auto"
    precision: str = "auto"  # bf16 on CUDA and CPU, fp16 on MPS
    batch: int = 1  # tiles at a time
    reference_per: str = "step"  # or "tile": ReferenceNet runs once, at the bridge's start; faster
    compile: bool = False  # torch.compile: a minute or two first, then faster
    offload: str = "auto"  # "blocks": they visit the GPU one by one; auto: if they do not fit

    def __post_init__(self) -> None:
        for name, known in (
            ("flow", FLOWS), ("device", DEVICES), ("precision", PRECISIONS),
            ("reference_per", PER), ("offload", OFFLOADS), ("sampler", SAMPLERS),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}"
                )
        if self.batch < 1:
            raise ConfigError(f"batch must be at least 1 tile, got {self.batch}")

    @property
    def euler(self) -> bool:
        """Return whether the bridge is walked in Euler's steps."""
        return self.official or self.sampler == "euler"

    @property
    def tile_flow(self) -> str:
        """The source of a tile's motion: the release has no flow of the whole picture for it."""
        return "dis" if self.official and self.flow == "alignment" else self.flow
