"""Encode pictures as H.264 or HEVC, through PyAV, into a MOV that holds them alone.

Made to be put in the place of a clip's own pictures: coded in the order in which they are shown,
key frames where they are asked for, so that a phone's index stays true of them. The quality is a
constant one (CRF), high enough that the coding cannot be seen; sizes follow from it.

The encoders are x264 and x265, which PyAV's wheels bring (GPL); they are called, and not shipped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livemoments.errors import ConfigError, OutputError, UnsupportedFileError
from livemoments.imaging.colour import ClipColour

if TYPE_CHECKING:
    import av

# By what libavcodec calls a coding: the encoder, and the tag that phones know it by.
ENCODERS = {"h264": ("libx264", "avc1"), "hevc": ("libx265", "hvc1")}
# Measured on phones' clips: what coding an unchanged clip anew loses lies 45 to 49 dB below it.
CRF = {"libx264": 14.0, "libx265": 14.0}
# x265's slower ones take two to three times as long for a file that is 5 % smaller.
PRESETS = {"libx264": "medium", "libx265": "veryfast"}
LONGEST_GROUP = 600  # pictures between two key frames, where none are asked for
MOST_PIXELS, MOST_SIDE = 35_600_000, 8192  # of both codings' highest levels


@dataclass(frozen=True, kw_only=True)
class CodingChoice:
    """How pictures are coded."""

    # Constant quality, 0 to 51, lower is better; None: what cannot be seen.
    crf: float | None = None
    # The encoder's own word for how long it searches; None: that of PRESETS.
    preset: str | None = None
    threads: int = 0  # 0: one per core

    def __post_init__(self) -> None:
        if self.crf is not None and not 0 <= self.crf <= 51:
            raise ConfigError(f"crf must be from 0 (best) to 51, got {self.crf:g}")
        if self.threads < 0:
            raise ConfigError(f"threads must not be negative, got {self.threads}")


@dataclass(frozen=True, kw_only=True)
class PictureForm:
    """What all pictures of a track have in common."""

    coding: str  # "h264" or "hevc"
    layout: str  # a key of planes.LAYOUTS
    width: int  # in pixels
    height: int  # in pixels
    rate: Fraction  # pictures a second, on average; a hint to players of the bare stream
    colour: ClipColour = field(default_factory=ClipColour)  # what the numbers mean, stated as it is


def coding_for(clip_codec: str) -> tuple[str, tuple[str, ...]]:
    """Choose the coding for a clip's new pictures: its own, where there is an encoder; with notes.

    Raises:
        OutputError: There is no encoder at all.
    """
    for coding in (clip_codec, "h264"):
        if coding in ENCODERS and _has(ENCODERS[coding][0]):
            if coding == clip_codec:
                return coding, ()
            return coding, (f"the clip's pictures were {clip_codec} and are H.264 now",)
    raise OutputError(
        "this build of PyAV has no H.264 encoder; pip install --force-reinstall av installs one"
        " that has"
    )


@contextmanager
def picture_encoder(
    path: Path, form: PictureForm, choice: CodingChoice
) -> Iterator["PictureEncoder"]:
    """Encode pictures into a MOV at a path; when the body ends, the file is whole.

    Raises:
        UnsupportedFileError: Pictures of this form cannot be coded.
        OutputError: The encoder fails.
    """
    import av

    if form.width * form.height > MOST_PIXELS or max(form.width, form.height) > MOST_SIDE:
        raise UnsupportedFileError(
            f"a video of {form.width} x {form.height} pixels cannot be played; at most"
            f" {MOST_SIDE} a side and {MOST_PIXELS / 1e6:.0f} million in all"
        )
    try:
        with av.open(str(path), "w", format="mov") as container:
            encoder = PictureEncoder(container, form, choice)
            yield encoder
            encoder.finish()
    except av.FFmpegError as error:
        raise OutputError(
            f"the video's pictures ({form.width} x {form.height}, {form.layout}) could not be"
            f" encoded as {form.coding} ({error.strerror or error})"
        ) from error


class PictureEncoder:
    """Takes pictures in the order in which they are shown."""

    def __init__(self, container: Any, form: PictureForm, choice: CodingChoice) -> None:  # noqa: ANN401
        """Set up the encoder; picture_encoder does it."""
        name, tag = ENCODERS[form.coding]
        self.count = 0
        self._container, self._step = container, 1 / form.rate
        self._stream = container.add_stream(name, rate=form.rate)
        context = self._stream.codec_context
        layouts = {each.name for each in context.codec.video_formats or ()}
        if form.layout not in layouts:
            raise UnsupportedFileError(f"{name} does not code pictures of the layout {form.layout}")
        context.width, context.height, context.pix_fmt = form.width, form.height, form.layout
        context.time_base, context.codec_tag = self._step, tag
        context.gop_size, context.max_b_frames = LONGEST_GROUP, 0
        context.thread_count = choice.threads
        self._colour = form.colour
        _state_colour(context, form.colour)
        crf = CRF[name] if choice.crf is None else choice.crf
        context.options = {
            "crf": f"{crf:g}",
            "preset": choice.preset or PRESETS[name],
            "forced-idr": "1",
        }
        if name == "libx264":
            context.options |= {"sc_threshold": "0"}
        else:
            threads = f":pools={choice.threads}" if choice.threads else ""
            context.options |= {
                "x265-params": "log-level=error:bframes=0:scenecut=0:open-gop=0"
                f":keyint={LONGEST_GROUP}{threads}"
            }

    def add(self, picture: "av.VideoFrame", *, key: bool) -> None:
        """Encode one picture; key: it can be decoded without others."""
        from av.video.frame import PictureType

        picture.pts, picture.time_base = self.count, self._step
        picture.pict_type = PictureType.I if key else PictureType.NONE
        _state_colour(picture, self._colour)
        self._container.mux(self._stream.encode(picture))
        self.count += 1

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self._stream.encode(None))


def _state_colour(place: Any, colour: ClipColour) -> None:  # noqa: ANN401 - a context or a picture
    """Say what the numbers mean, where the clip says it."""
    place.color_range = 2 if colour.full_range else 1
    place.colorspace = colour.matrix
    place.color_primaries = colour.primaries
    place.color_trc = colour.transfer


def _has(encoder: str) -> bool:
    import av

    try:
        av.codec.Codec(encoder, "w")
    except (av.FFmpegError, ValueError):  # UnknownCodecError is a ValueError
        return False
    return True
