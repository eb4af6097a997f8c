"""Find the frame of the wanted moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livemoments.errors import ConfigError, MomentError
from livemoments.moments.scores import best_moment, score_moments
from livemoments.progress import Progress

if TYPE_CHECKING:
    from livemoments.livephoto import LivePhoto


@dataclass(frozen=True, kw_only=True)
class MomentChoice:
    """Which moment is wanted; exactly one of the three is given."""

    at_s: float | None = None  # the frame nearest to this time, seconds of the clip's clock
    frame: int | None = None  # the frame with this number, from 0
    best: bool = False  # what best_moment chooses; only this decodes the clip

    def __post_init__(self) -> None:
        if (self.at_s is not None) + (self.frame is not None) + self.best != 1:
            raise ConfigError(
                "pick one moment: by its time, its frame's number, or the best",
                settings=("at_s", "frame", "best"),
            )


def pick_time(
    live_photo: LivePhoto, choice: MomentChoice, progress: Progress | None = None
) -> float:
    """Return the time of the chosen moment's frame, in seconds of the clip's clock.

    Raises:
        MomentError: the clip has no such time or frame.
    """
    clip, key_time_s = live_photo.clip, live_photo.key_time_s
    if choice.at_s is not None:
        # Some phones note a key time past the clip's last frame: a fair one to ask for.
        return clip.times_s[clip.nearest_index(choice.at_s, latest_s=key_time_s)]
    if choice.frame is None:
        return best_moment(score_moments(live_photo, progress), key_time_s).time_s
    last = len(clip.times_s) - 1
    if not 0 <= choice.frame <= last:
        raise MomentError(
            f"{live_photo.name}: no frame {choice.frame}; the clip has frames 0 to {last}"
        )
    return clip.times_s[choice.frame]
