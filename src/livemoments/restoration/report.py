"""Report what was done to a moment."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was done to a moment, for people and programs."""

    model: str
    width: int
    height: int
    reference_used: bool
    reason: str | None  # why the reference was not used
    share_from_reference: float  # 0 to 1: pixels restored with the reference's help
    look: str  # "frame" or "key"
    look_reason: str | None  # why it is not the key photo's, where that was asked for
    hdr: bool  # whether it has a gain map
    hdr_reason: str | None  # why not, where the key photo has one
    faces: int | None  # restored; None: not asked for
    faces_reason: str | None  # why none was
    registration: str  # how the views were brought together
    agreement: float  # 0 to 1, of the views after registration
    registration_error_px: float | None  # median, in the frame's pixels; None: not measured
    steps: int
    seed: int
    seconds: dict[str, float]  # per stage

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)
