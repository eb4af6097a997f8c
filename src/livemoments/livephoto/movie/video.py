"""Read the clip: which track is shown, when each frame is, and frames decoded upright by time.

Frames are found by their presentation times (pts), never by number / rate: phones write
variable frame timing. Opening reads the index and the packets' times, and decodes nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from livemoments.errors import DamagedFileError, LiveMomentsError, MomentError, UnsupportedFileError
from livemoments.imaging.colour import ClipColour, ColourSpace, to_still_space
from livemoments.livephoto.container.source import HEAD_BYTES, Source, video_format
from livemoments.livephoto.movie.frame import picture_to_rgb, turn
from livemoments.livephoto.movie.tracks import IDENTITY, MovieFacts, read_movie

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_FRAME_PIXELS = 64_000_000
MAX_FRAMES = 1_000_000
SLACK_S = 0.05  # a time this little outside the clip means its first or last frame


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One picture of the clip."""

    image: np.ndarray  # float32 (H, W, 3) RGB in [0, 1], upright, in the still's colour space
    time_s: float  # seconds of the clip
    index: int  # number among the clip's frames, from 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A clip, opened but not decoded. Sizes are those of the upright frame."""

    source: Source  # where its bytes are
    width: int  # pixels
    height: int  # pixels
    codec: str  # such as "h264" or "hevc"
    # Presentation time of every frame of the chosen track, seconds, ascending.
    times_s: tuple[float, ...]
    duration_s: float  # length of the clip, seconds: at least the last frame's time
    # Display matrix (a, b, c, d): x' = a x + c y, y' = b x + d y, y downwards.
    display: tuple[float, float, float, float] = IDENTITY
    colour: ClipColour = field(default_factory=ClipColour)  # what the clip's numbers mean
    # Colour space in which frames come out: the still's.
    target: ColourSpace = field(default_factory=ColourSpace)
    audio_codec: str | None = None  # such as "aac"; None without sound
    tracks: tuple[str, ...] = ()  # a word on every track, such as "hevc 1920x1440, 42 frames"
    # What the index says; None where the container is not MOV or MP4.
    movie: MovieFacts | None = None
    pts: tuple[int, ...] = ()  # times of times_s in units of the track's time base
    stream_index: int = 0  # which track is shown
    video_tracks: int = 1  # how many tracks hold pictures
    pixel_format: str = ""  # libavutil's name

    @property
    def path(self) -> Path:
        """The file that holds the clip."""
        return self.source.path

    @property
    def rotation(self) -> int:
        """Degrees clockwise by which the coded picture is turned: 0, 90, 180 or 270."""
        a, b, _, d = self.display
        if abs(a) >= abs(b):
            return 0 if (a >= 0 or d > 0) else 180
        return 90 if b > 0 else 270

    @property
    def coded_size(self) -> tuple[int, int]:
        """Width and height before the picture is turned, pixels."""
        turned = self.rotation in (90, 270)
        return (self.height, self.width) if turned else (self.width, self.height)

    def nearest_index(self, time_s: float, *, latest_s: float | None = None) -> int:
        """Return the frame nearest to a time.

        Args:
            time_s: Seconds of the clip.
            latest_s: A time that exists although no frame is near it, such as a key time past
                the last frame: times up to there mean that frame.

        Raises:
            MomentError: The time lies outside the clip.
        """
        known = self.times_s[0] if latest_s is None else latest_s
        start, end = min(self.times_s[0], known), max(self.duration_s, self.times_s[-1], known)
        if not isfinite(time_s) or not start - SLACK_S <= time_s <= end + SLACK_S:
            raise MomentError(
                f"{self.source.name}: no moment at {time_s:.3f} s; the clip runs from"
                f" {start:.3f} to {end:.3f} s"
            )
        return int(np.abs(np.array(self.times_s) - time_s).argmin())

    def frame(self, time_s: float, *, latest_s: float | None = None) -> Frame:
        """Decode the frame nearest to a time; see nearest_index."""
        return self.frame_at(self.nearest_index(time_s, latest_s=latest_s))

    def frame_at(self, index: int) -> Frame:
        """Decode frame number `index`, from 0.

        Raises:
            MomentError: There is no such frame.
            DamagedFileError: It cannot be decoded.
        """
        self._check_index(index)
        for start in (self.pts[index], None):
            found = next(self._decode({self.pts[index]: index}, start), None)
            if found is not None:
                return found
        raise DamagedFileError(
            f"{self.source.name}: frame {index} at {self.times_s[index]:.3f} s cannot be decoded"
        )

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[Frame]:
        """Decode frames in one pass, in ascending order; every frame where indices is None.

        Frames that cannot be decoded are left out; if none can, DamagedFileError is raised.
        """
        yield from self._pass(sorted(set(range(len(self.pts)) if indices is None else indices)))

    def previews(self, side: int, indices: Iterable[int] | None = None) -> Iterator[Frame]:
        """Decode frames in one pass as small pictures; otherwise as frames().

        Args:
            side: Longer side in pixels, at most that of the clip.
            indices: Which frames; None for all.
        """
        wanted = sorted(set(range(len(self.pts)) if indices is None else indices))
        scale = min(1.0, side / max(self.width, self.height))
        width, height = self.coded_size
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        yield from self._pass(wanted, size)

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self.pts):
            raise MomentError(
                f"{self.source.name}: no frame {index}; the clip has frames"
                f" 0 to {len(self.pts) - 1}"
            )

    def _pass(self, wanted: list[int], size: tuple[int, int] | None = None) -> Iterator[Frame]:
        """Decode frames of ascending numbers in one pass, at a coded size (width, height)."""
        for index in wanted:
            self._check_index(index)
        if not wanted:
            return
        count = 0
        start = self.pts[wanted[0]] if wanted[0] > 0 else None
        for frame in self._decode({self.pts[index]: index for index in wanted}, start, size):
            count += 1
            yield frame
        if count == 0:
            raise DamagedFileError(f"{self.source.name}: no frame of the clip can be decoded")

    def _decode(
        self, wanted: dict[int, int], start: int | None, size: tuple[int, int] | None = None
    ) -> Iterator[Frame]:
        """Yield the frames with these pts -> index, from the key frame before start on."""
        last = max(wanted)
        with opened_container(self.source) as container:
            streams = {each.index: each for each in container.streams.video}
            stream = streams[self.stream_index]
            stream.thread_type = "AUTO"
            if start is not None:
                container.seek(start, stream=stream, backward=True)
            for picture in iter_pictures(container, stream):
                pts = picture.pts
                if pts in wanted:
                    index = wanted[pts]
                    image = self._image(picture, size)
                    yield Frame(image=image, time_s=self.times_s[index], index=index)
                if pts is not None and pts >= last:
                    return

    def _image(self, picture: "av.VideoFrame", size: tuple[int, int] | None) -> np.ndarray:
        if picture.width * picture.height > MAX_FRAME_PIXELS:
            raise UnsupportedFileError(
                f"{self.source.name}: frames of {picture.width} x {picture.height} pixels"
            )
        size = size or self.coded_size
        if size != (picture.width, picture.height):  # a stream may change its size on the way
            from av.video.reformatter import Interpolation

            picture = picture.reformat(*size, interpolation=Interpolation.AREA)
        rgb = to_still_space(picture_to_rgb(picture, self.colour), self.colour, self.target)
        return np.ascontiguousarray(turn(rgb, self.display))


def open_clip(source: Source, target: ColourSpace) -> Clip:
    """Open a clip; its frames will come out in the colour space `target`.

    Raises:
        DamagedFileError: It is truncated or broken.
        UnsupportedFileError: It is no video, or of a kind that is not read.
    """
    movie = _movie_facts(source)
    with opened_container(source) as container:
        stream, times = _shown_track(container, movie, source)
        codec = stream.codec_context
        if codec.width < 1 or codec.height < 1 or codec.width * codec.height > MAX_FRAME_PIXELS:
            raise UnsupportedFileError(
                f"{source.name}: frames of {codec.width} x {codec.height} pixels are not read"
            )
        display = _display(movie, stream.id)
        turned = abs(display[0]) < abs(display[1])
        seconds = tuple(float(pts * _time_base(stream)) for pts in times)
        audio = [each.codec_context for each in container.streams.audio if each.codec_context]
        return Clip(
            source=source,
            width=codec.height if turned else codec.width,
            height=codec.width if turned else codec.height,
            codec=codec.name,
            times_s=seconds,
            duration_s=max(_duration_s(stream, container), seconds[-1]),
            display=display,
            colour=_clip_colour(codec),
            target=target,
            audio_codec=audio[0].name if audio else None,
            tracks=tuple(_describe(each) for each in container.streams),
            movie=movie,
            pts=tuple(times),
            stream_index=stream.index,
            video_tracks=len(container.streams.video),
            pixel_format=str(codec.pix_fmt),
        )


@contextmanager
def opened_container(source: Source) -> Iterator["InputContainer"]:
    """Open a clip's container on its bytes; any fault of libav becomes one of our errors."""
    import av

    with source.open(bounded=True) as stream:
        head = stream.read(HEAD_BYTES)
        stream.seek(0)
        try:
            form = video_format(head)
            with av.open(stream, "r", format=form, metadata_errors="replace") as container:
                if stream.calls_left == 0:
                    raise ValueError("its parts refer to each other")
                yield container
        except LiveMomentsError:
            raise
        except (av.FFmpegError, ValueError, LookupError, OSError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DamagedFileError(
                f"{source.name}: the video is damaged or not of a kind that is read ({reason})"
            ) from error


def iter_pictures(container: "InputContainer", stream: "VideoStream") -> Iterator["av.VideoFrame"]:
    """Decode one track; a packet that cannot be decoded is passed over."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
            pictures = packet.decode()
        except StopIteration:
            return
        except (av.error.InvalidDataError, av.error.EOFError):
            continue
        yield from pictures


def _movie_facts(source: Source) -> MovieFacts | None:
    with source.open() as stream:
        head = stream.read(HEAD_BYTES)
    if video_format(head) != "mov":
        return None
    return read_movie(source)


def _shown_track(
    container: "InputContainer", movie: MovieFacts | None, source: Source
) -> tuple["VideoStream", list[int]]:
    """Choose the picture track with the most frames; return it with its frames' times.

    The largest picture is the wrong rule: a Pixel adds a one-frame track of high resolution,
    an iPhone adds auxiliary mattes (handler 'auxv').
    """
    handlers = {track.id: track.handler for track in movie.tracks} if movie else {}
    streams = [
        stream
        for stream in container.streams.video
        if handlers.get(stream.id, "vide") == "vide" and stream.codec_context is not None
    ]
    if not streams:
        raise UnsupportedFileError(f"{source.name}: the file has no video track")
    times: dict[int, set[int]] = {stream.index: set() for stream in streams}
    for packet in _packets(container, streams):
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is not None and not packet.is_discard and packet.size > 0:
            times[packet.stream_index].add(pts)
    best = max(streams, key=lambda stream: len(times[stream.index]))
    if not times[best.index]:
        raise DamagedFileError(f"{source.name}: the video has no frames; it is truncated")
    return best, sorted(times[best.index])


def _packets(
    container: "InputContainer", streams: Sequence["VideoStream"]
) -> Iterator["av.Packet"]:
    import av

    try:
        for count, packet in enumerate(container.demux(*streams)):
            if count > MAX_FRAMES:
                return
            yield packet
    except (av.error.InvalidDataError, av.error.EOFError):
        return


def _display(movie: MovieFacts | None, track_id: int) -> tuple[float, float, float, float]:
    if movie is not None:
        for track in movie.tracks:
            if track.id == track_id and any(track.matrix):
                return _quarter_turn(track.matrix)
    return IDENTITY


def _quarter_turn(matrix: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Return the turns and mirrors nearest to a display matrix: a damaged one may be singular."""
    a, b, c, d = (-1.0 if value < 0 else 1.0 for value in matrix)
    return (a, 0.0, 0.0, d) if abs(matrix[0]) >= abs(matrix[1]) else (0.0, b, c, 0.0)


def _time_base(stream: "VideoStream") -> Fraction:
    return stream.time_base or Fraction(1, 1_000_000)


def _duration_s(stream: "VideoStream", container: "InputContainer") -> float:
    if stream.duration is not None:
        return float((stream.duration + (stream.start_time or 0)) * _time_base(stream))
    return (container.duration or 0) / 1_000_000


def _clip_colour(codec: Any) -> ClipColour:  # noqa: ANN401 - av.VideoCodecContext
    full = int(codec.color_range) == 2 or str(codec.pix_fmt).startswith("yuvj")
    return ClipColour(
        primaries=int(codec.color_primaries),
        transfer=int(codec.color_trc),
        matrix=int(codec.colorspace),
        full_range=full,
    )


def _describe(stream: Any) -> str:  # noqa: ANN401 - av.stream.Stream
    codec = stream.codec_context
    if stream.type == "video" and codec is not None:
        return f"{codec.name} {codec.width}x{codec.height}, {stream.frames} frames"
    return f"{stream.type} {codec.name}" if codec is not None else stream.type
