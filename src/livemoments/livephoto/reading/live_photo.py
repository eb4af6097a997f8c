"""A Live Photo: a still, a clip, and when in the clip the still was taken."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from livemoments.livephoto.movie.video import Clip, Frame
from livemoments.livephoto.still.still import Still

# The lengths at which still and clip count as showing the same shape of picture.
SHAPE_TOLERANCE = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class LivePhoto:
    """A still and its clip."""

    still: Still  # the key photo
    clip: Clip  # the clip; its frames come out in the still's colour space
    key_time_s: float  # when the still was taken, seconds of the clip. May lie past the last frame
    # How that is known: "still-image-time track", "XMP presentation timestamp", "footer frame
    # number", "footer cover time" (Huawei, Honor), "vivo cover time", "vivo frame number" or
    # "matched" (to the frame most like the still).
    key_time_source: str
    # How it is stored. Two files: "apple-pair", "vivo-pair", "pair-by-name" or "pair-by-hand". One
    # file: "google-motion-photo", "microvideo", "samsung", "xiaomi", "oppo" (OnePlus and realme
    # too), "vivo", "huawei" (HarmonyOS too) or "honor". A package of two: "livp" or "pvt".
    # docs/formats.md describes each.
    kind: str
    # What names the halves: {"still": ..., "video": ...}; empty without any.
    identifiers: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what is unusual, one sentence each
    # 3x3 float64 homography: pixel (x, y) of the upright clip frame at the key time -> pixel of the
    # upright still, pixel centres at whole numbers; None where the file has none.
    key_transform: np.ndarray | None = None

    @property
    def name(self) -> str:
        """The still's file name, as messages say it."""
        return self.still.name

    @property
    def key_index(self) -> int:
        """The frame nearest to the key time."""
        return self.clip.nearest_index(self.key_time_s, latest_s=self.key_time_s)

    @property
    def path(self) -> Path:
        """The file it is known by: the still's, or the clip's where the still has none."""
        return self.still.path or self.clip.path

    @property
    def files(self) -> list[Path]:
        """The files it lies in, none of which must be written over."""
        return [self.clip.path, *([self.still.path] if self.still.path else [])]

    def frame(self, time_s: float) -> Frame:
        """Decode the clip's frame nearest to a time.

        Args:
            time_s: Seconds, from the clip's start to its end or to the key time.

        Raises:
            MomentError: The time lies outside the clip.
        """
        return self.clip.frame(time_s, latest_s=self.key_time_s)

    def to_dict(self) -> dict[str, Any]:
        """Facts for `info`, ready for JSON."""
        still, clip = self.still, self.clip
        return {
            "kind": self.kind,
            "make": still.make,
            "model": still.model,
            "software": still.software,
            "taken": still.taken.isoformat() if still.taken else None,
            "still": {
                "file": str(still.path) if still.path else None,
                "format": still.format,
                "width": still.width,
                "height": still.height,
                "orientation": still.orientation,
                "colour_space": still.colour.name,
                "exif": still.exif is not None,
            },
            "video": _video_facts(clip),
            "key_time_s": round(self.key_time_s, 6),
            "key_time_source": self.key_time_source,
            "key_frame": self.key_index,
            "key_transform": None if self.key_transform is None else self.key_transform.tolist(),
            "identifiers": dict(self.identifiers),
            "notes": list(self.notes),
        }


def _video_facts(clip: Clip) -> dict[str, Any]:
    gaps = np.diff(clip.times_s)
    return {
        "file": str(clip.path),
        "embedded_at": clip.source.start if clip.source.embedded else None,
        "bytes": clip.source.length,
        "codec": clip.codec,
        "width": clip.width,
        "height": clip.height,
        "rotation": clip.rotation,
        "frames": len(clip.times_s),
        "first_s": round(clip.times_s[0], 6),
        "last_s": round(clip.times_s[-1], 6),
        "duration_s": round(clip.duration_s, 6),
        "mean_fps": round(1 / float(gaps.mean()), 3) if len(gaps) else None,
        "pixel_format": clip.pixel_format,
        "colour": clip.colour.to_dict(),
        "audio_codec": clip.audio_codec,
        "tracks": list(clip.tracks),
    }


def same_shape(still: Still, clip: Clip) -> bool:
    """Return whether still and clip have the same aspect ratio, within what rounding explains."""
    return abs(still.width / still.height / (clip.width / clip.height) - 1) <= SHAPE_TOLERANCE


def unusual(still: Still, clip: Clip) -> tuple[str, ...]:
    """List what is unusual about a still and a clip, whatever holds them."""
    notes = list(still.notes)
    # The standard-gamut primaries differ too little to speak of.
    wide = still.colour.name != "sRGB" or clip.colour.primaries_name in ("p3", "bt2020")
    if clip.video_tracks > 1:
        notes.append(
            f"the clip has {clip.video_tracks} video tracks; the one with"
            f" {len(clip.times_s)} frames is used"
        )
    if clip.movie is not None and clip.movie.cut_short:
        notes.append("the video is cut short; its last frames may be missing")
    if not same_shape(still, clip):
        notes.append(
            f"still ({still.width} x {still.height}) and clip ({clip.width} x {clip.height})"
            " have different shapes: one of them was cropped or turned"
        )
    if not clip.colour.full_range and still.make == "Apple":
        notes.append("the clip has limited range, unlike a phone's own: it was re-encoded")
    if still.exif is None:
        notes.append("the still has no EXIF: no date, no camera")
    if clip.colour.is_hdr:
        notes.append("the clip is HDR; its frames are brought to the still's range")
    elif still.colour.name == "unknown":
        notes.append("the still's colour profile is not a known one; the clip's colours are kept")
    elif wide and not clip.colour.same_as(still.colour):
        notes.append(
            f"the clip's primaries ({clip.colour.primaries_name}) differ from the still's"
            f" ({still.colour.name}); its frames are converted"
        )
    if still.mode not in ("RGB", "YCbCr"):
        notes.append(f"the still's pixels are {still.mode}; they are read as 8-bit RGB")
    if clip.audio_codec is None:
        notes.append("the clip has no sound")
    return tuple(notes)
