"""The design and sizes of the compact networks; stored with the weights."""

from dataclasses import asdict, dataclass

from livemoments.errors import ConfigError

BRANCHES = ("windows", "none")


@dataclass(frozen=True, kw_only=True)
class CompactConfig:
    """Sizes of the compact networks.

    The defaults are the first design, that of FaceNet and the weights of 0.1.0; `SECOND` is the
    design that is trained now.
    """

    channels: tuple[int, int, int] = (64, 96, 160)  # at 1/4, 1/8 and 1/16
    encoder_blocks: tuple[int, int, int] = (2, 3, 4)
    decoder_blocks: tuple[int, int] = (3, 3)  # at 1/4 and 1/8
    reference_blocks: tuple[int, int, int] = (1, 2, 2)
    refiner_channels: tuple[int, int] = (48, 64)
    heads: int = 4
    time_features: int = 64
    # How features of the aligned key photo reach the frame: within windows, or not at all, so that
    # only its pixels are seen.
    branch: str = "windows"

    def __post_init__(self) -> None:
        if self.branch not in BRANCHES:
            raise ConfigError(f"branch must be one of {', '.join(BRANCHES)}; got {self.branch!r}")

    def to_dict(self) -> dict[str, object]:
        """Return plain values, for the file next to the weights."""
        return asdict(self)


# What is trained now: no reference branch, whose features earned .1 dB for a quarter of the time,
# and a deeper trunk for a part of what that saved (docs/training.md).
SECOND = CompactConfig(branch="none", encoder_blocks=(2, 4, 6))
