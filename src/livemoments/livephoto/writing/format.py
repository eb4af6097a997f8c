"""Name the formats of Live Photos that can be written, and describe what was written in them."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from livemoments.errors import ConfigError


class Format(StrEnum):
    """How a Live Photo is stored."""

    APPLE = "apple"  # a still and a MOV
    GOOGLE = "google"  # one file: Motion Photo 1.0
    SAMSUNG = "samsung"  # the same with Samsung's trailer
    MICROVIDEO = "microvideo"  # one file: Google's format before Motion Photo


def format_called(name: str) -> Format:
    """Return the format of a name.

    Raises:
        ConfigError: There is no such format.
    """
    if name not in [*Format]:
        raise ConfigError(
            f"the format must be one of {', '.join(Format)}; got {name!r}", settings=("to",)
        )
    return Format(name)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a picture or a Live Photo is written; made by check_place, so writers trust it."""

    path: Path  # of the still
    format: Format | None  # None: a picture alone
    overwrite: bool
    inputs: tuple[Path, ...]  # files that are never replaced


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written."""

    path: Path  # of the still, with its clip unless that has a file of its own
    movie: Path | None = None  # the clip, where it is a file of its own
    format: Format | None = None  # None: a picture alone
    size_bytes: int  # of all files together
    key_time_s: float = 0.0  # the still's time as the files state it, seconds of the clip
    identifier: str | None = None  # Apple's content identifier; None in other formats
    still_copied: bool = False  # the coded picture is the source's, byte for byte
    notes: tuple[str, ...] = ()  # what was lost or changed, one sentence each

    def to_dict(self) -> dict[str, Any]:
        """Return plain values of a converted Live Photo for JSON."""
        return {
            "to": self.format,
            "still": str(self.path),
            "movie": str(self.movie) if self.movie else None,
            "bytes": self.size_bytes,
            "key_time_s": round(self.key_time_s, 6),
            "identifier": self.identifier,
            "still_copied": self.still_copied,
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """Return the same for people."""
        files = f"{self.path} and {self.movie}" if self.movie else str(self.path)
        how = "copied as they were" if self.still_copied else "copied, the still encoded anew"
        what = "still and clip" if self.still_copied else "clip"
        return [f"{files}: {what} {how}; key photo: {self.key_time_s:.3f} s", *self.notes]
