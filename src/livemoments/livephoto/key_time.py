"""When in the clip the still was taken: what the file says, checked where it cannot be believed."""

from dataclasses import dataclass

from livemoments.livephoto.apple import StillImageTime
from livemoments.livephoto.matching import match_still
from livemoments.livephoto.still import Still
from livemoments.livephoto.video import Clip
from livemoments.livephoto.xmp import MotionFacts

APPLE = "still-image-time track"
XMP = "XMP presentation timestamp"
MATCHED = "matched"
# Phones take the still up to some frames after the last one kept; more is not believed.
MOST_PAST_END_S = 1.0
# How much better another frame must fit before a stated time of zero is called wrong.
CLEARLY_BETTER = 0.05
CERTAIN = 0.8
# Below this likeness no frame is the still's: neighbouring moments of one scene reach 0.8.
ALIKE = 0.4


@dataclass(frozen=True, kw_only=True)
class KeyTime:
    """The key photo's time, how it is known, and what is unusual about it."""

    time_s: float
    source: str
    notes: tuple[str, ...] = ()


def apple_key_time(still: Still, clip: Clip, track: StillImageTime | None) -> KeyTime:
    """Take the time of a still-image-time track; a time of zero is compared with the pictures.

    A phone records before the shutter too, so its track never starts at zero. Programs that
    re-encode a clip drop the track's offset, which leaves zero.
    """
    if track is None or not _plausible(track.time_s, clip):
        why = "has no still-image-time track" if track is None else "states no usable key time"
        return _matched(still, clip, f"the clip {why}")
    if track.time_s > 0:
        return _stated(track.time_s, clip, APPLE)
    match = match_still(still, clip)
    first = match.scores.get(0, -1.0)
    if match.likeness < CERTAIN or match.likeness - first <= CLEARLY_BETTER:
        return _stated(track.time_s, clip, APPLE)
    note = (
        f"the still-image-time track says 0.000 s, but the frame at {match.time_s:.3f} s fits the"
        f" still better (likeness {match.likeness:.2f} against {first:.2f}): the clip was"
        " probably re-exported"
    )
    return KeyTime(time_s=match.time_s, source=MATCHED, notes=(note,))


def embedded_key_time(still: Still, clip: Clip, facts: MotionFacts) -> KeyTime:
    """Take XMP's time stamp; match the pictures where there is none, or none to believe."""
    stamp = facts.timestamp_us
    if stamp is None:
        return _matched(still, clip, "XMP states no key time")
    if not _plausible(stamp / 1e6, clip):
        return _matched(still, clip, f"XMP states a key time of {stamp / 1e6:.3f} s")
    return _stated(stamp / 1e6, clip, XMP)


def matched_key_time(still: Still, clip: Clip) -> KeyTime:
    """Find the time by the pictures alone."""
    return _matched(still, clip, None)


def _plausible(time_s: float, clip: Clip) -> bool:
    return 0 <= time_s <= clip.duration_s + MOST_PAST_END_S


def _stated(time_s: float, clip: Clip, source: str) -> KeyTime:
    notes: tuple[str, ...] = ()
    if time_s > clip.times_s[-1] + 1e-3:
        notes = (
            f"the key time {time_s:.3f} s lies past the last frame at {clip.times_s[-1]:.3f} s",
        )
    return KeyTime(time_s=time_s, source=source, notes=notes)


def _matched(still: Still, clip: Clip, why: str | None) -> KeyTime:
    match = match_still(still, clip)
    found = f"the key time was found by comparing pictures (likeness {match.likeness:.2f})"
    notes: tuple[str, ...] = (f"{why}; {found}" if why else found,)
    if match.likeness < ALIKE:
        notes += ("no frame of the clip looks like the still; the key time is a guess",)
    return KeyTime(time_s=match.time_s, source=MATCHED, notes=notes)
