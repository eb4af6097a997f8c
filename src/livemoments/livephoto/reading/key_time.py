"""Find when in the clip the still was taken: as the file states, checked where that is doubtful."""

from collections.abc import Iterable
from dataclasses import dataclass

from livemoments.livephoto.metadata.xmp import MotionFacts
from livemoments.livephoto.movie.video import Clip
from livemoments.livephoto.reading.apple import StillImageTime
from livemoments.livephoto.reading.huawei import LiveFooter
from livemoments.livephoto.reading.matching import match_still
from livemoments.livephoto.reading.vivo import VivoTail
from livemoments.livephoto.still.still import Still

APPLE = "still-image-time track"
XMP = "XMP presentation timestamp"
FOOTER_FRAME, FOOTER_COVER = "footer frame number", "footer cover time"
VIVO_FRAME, VIVO_COVER = "vivo frame number", "vivo cover time"
MATCHED = "matched"
# Phones take the still up to some frames after the clip's last one; more is not believed.
MOST_PAST_END_S = 1.0
# How much better another frame must fit before a stated time of zero is called wrong.
CLEARLY_BETTER = 0.05
CERTAIN = 0.8
# Below this likeness no frame is the still's: neighbouring moments of one scene reach 0.8.
SIMILAR = 0.4
# Two statements about one moment differ by at most a frame or so.
SAME_MOMENT_S = 0.1


@dataclass(frozen=True, kw_only=True)
class KeyTime:
    """The key photo's time, how it is known, and what is unusual about it."""

    time_s: float
    source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StatedTime:
    """One statement of a file about the key photo's time: in seconds, or as a frame's number."""

    source: str
    time_s: float | None = None
    frame: int | None = None

    def resolve(self, clip: Clip) -> float | None:
        """Return the time in seconds of the clip, or None where that cannot be."""
        time_s = self.time_s
        if self.frame is not None:
            time_s = clip.times_s[self.frame] if self.frame < len(clip.times_s) else None
        return time_s if time_s is not None and _plausible(time_s, clip) else None

    def __str__(self) -> str:
        if self.frame is not None:
            return f"the {self.source} is {self.frame}"
        return f"the {self.source} says {self.time_s or 0:.3f} s"


def apple_key_time(still: Still, clip: Clip, track: StillImageTime | None) -> KeyTime:
    """Take the time of a still-image-time track.

    A phone records before the shutter too, so its track never starts at zero. Programs that
    re-encode a clip drop the track's offset, which leaves zero.
    """
    if track is None or not _plausible(track.time_s, clip):
        why = "has no still-image-time track" if track is None else "states no usable key time"
        return _matched(still, clip, f"the clip {why}")
    return _compared_if_zero(still, clip, track.time_s, APPLE, "the clip was probably re-exported")


def stated_key_time(
    still: Still, clip: Clip, stated: Iterable[StatedTime], where: str = "XMP"
) -> KeyTime:
    """Take the first statement that can be; match the pictures where there is none.

    stated is what the file states, the most trusted first; `where` names what should have stated
    it.
    """
    statements = list(stated)
    possible = [(each, each.resolve(clip)) for each in statements]
    times = [(each, time_s) for each, time_s in possible if time_s is not None]
    if not times:
        reasons = "; ".join(f"{each}, which the clip has not" for each in statements)
        return _matched(still, clip, reasons or f"{where} states no key time")
    (first, time_s), *others = times
    key = _compared_if_zero(still, clip, time_s, first.source, "zero was probably written unasked")
    notes = tuple(
        f"the {first.source} says {time_s:.3f} s, the {other.source} {other_s:.3f} s"
        for other, other_s in others
        if abs(other_s - time_s) > SAME_MOMENT_S
    )
    return KeyTime(time_s=key.time_s, source=key.source, notes=(*notes, *key.notes))


def xmp_times(facts: MotionFacts) -> tuple[StatedTime, ...]:
    """Return what XMP states."""
    stamp = facts.timestamp_us
    return () if stamp is None else (StatedTime(source=XMP, time_s=stamp / 1e6),)


def footer_times(footer: LiveFooter | None) -> tuple[StatedTime, ...]:
    """Return what Huawei's or Honor's footer states: HarmonyOS itself goes by the frame number."""
    if footer is None:
        return ()
    cover_s = None if footer.cover_ms is None else footer.cover_ms / 1000
    return _given(
        StatedTime(source=FOOTER_FRAME, frame=footer.frame),
        StatedTime(source=FOOTER_COVER, time_s=cover_s),
    )


def tail_times(tail: VivoTail | None) -> tuple[StatedTime, ...]:
    """Return what vivo's tail states: a cover chosen later replaces the frame of the shutter."""
    if tail is None:
        return ()
    cover_s = None if tail.cover_ms is None else tail.cover_ms / 1000
    return _given(
        StatedTime(source=VIVO_COVER, time_s=cover_s),
        StatedTime(source=VIVO_FRAME, frame=tail.frame),
    )


def matched_key_time(still: Still, clip: Clip) -> KeyTime:
    """Find the time by the pictures alone."""
    return _matched(still, clip, None)


def _given(*statements: StatedTime) -> tuple[StatedTime, ...]:
    """Return those that state something."""
    return tuple(each for each in statements if each.time_s is not None or each.frame is not None)


def _compared_if_zero(still: Still, clip: Clip, time_s: float, source: str, why: str) -> KeyTime:
    """Take a stated time; one of zero, which programs write unasked, if the pictures agree."""
    if time_s > 0:
        return _stated(time_s, clip, source)
    match = match_still(still, clip)
    first = match.scores.get(0, -1.0)
    if match.likeness < CERTAIN or match.likeness - first <= CLEARLY_BETTER:
        return _stated(time_s, clip, source)
    note = (
        f"the {source} says 0.000 s, but the frame at {match.time_s:.3f} s fits the"
        f" still better (likeness {match.likeness:.2f} against {first:.2f}): {why}"
    )
    return KeyTime(time_s=match.time_s, source=MATCHED, notes=(note,))


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
    if match.likeness < SIMILAR:
        notes += ("no frame of the clip looks like the still; the key time is a guess",)
    return KeyTime(time_s=match.time_s, source=MATCHED, notes=notes)
