"""Change a clip's pictures: its picture track is coded anew, all else stays bit for bit.

Sound, timed metadata, other tracks, edit lists, keys and user data are those of the clip, and so is
every picture's time. Only the shown picture track gets other samples and tables. It is decoded
sample by sample, those too that an edit list hides, so that as many come back.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from livemoments.errors import ConfigError, DamagedFileError, UnsupportedFileError
from livemoments.imaging.colour import from_still_space, to_still_space
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.brand import EditedMovie, is_quicktime, movie_as_mov, movie_as_mp4
from livemoments.livephoto.movie.edit import Movie, Node, naming_damage, read_editable
from livemoments.livephoto.movie.encode import (
    CodingChoice,
    PictureEncoder,
    PictureForm,
    coding_for,
    picture_encoder,
)
from livemoments.livephoto.movie.entry import describe_as, enlarge_track
from livemoments.livephoto.movie.frame import picture_to_rgb, turn
from livemoments.livephoto.movie.keys import shown_track
from livemoments.livephoto.movie.planes import (
    change_planes,
    enlarge,
    layout_of,
    read_planes,
    to_picture,
)
from livemoments.livephoto.movie.samples import (
    Sample,
    byte_runs,
    exchange_samples,
    media_box,
    read_samples,
)
from livemoments.livephoto.movie.tables import sample_count, sample_entries, timescale
from livemoments.livephoto.movie.video import Clip, opened_container

if TYPE_CHECKING:
    import av

    from livemoments.progress import Progress

# change(index, picture): index of the clip's frame; picture as Clip.frames gives it, enlarged by
# the scale. Returns one of the same kind and size, or the very same where nothing changes.
Change = Callable[[int, np.ndarray], np.ndarray]
SCALES = (1, 2, 4)


@dataclass(frozen=True, kw_only=True)
class RewriteChoice:
    """How a clip's pictures are written anew."""

    scale: int = 1  # the sides' length in the clip's; more than 1 enlarges by cubic interpolation
    quicktime: bool | None = None  # whether it becomes a MOV, else an MP4; None: what it is
    coding: CodingChoice = field(default_factory=CodingChoice)  # how they are coded

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ConfigError(f"scale must be one of {', '.join(map(str, SCALES))}; got"
                              f" {self.scale}")  # fmt: skip


def rewrite_pictures(
    clip: Clip,
    change: Change,
    scratch: Path,
    choice: RewriteChoice | None = None,
    progress: "Progress | None" = None,
) -> EditedMovie:
    """Change a clip's pictures, and nothing else of it.

    Args:
        clip: as open_clip gives it; itself it stays as it is.
        change: called once for every frame that is shown, in ascending order.
        scratch: a folder for the coded pictures until the movie is written.
        choice: how.
        progress: called for every picture, stage "writing".

    Raises:
        DamagedFileError: the clip's index is broken, or nothing of it can be decoded.
        UnsupportedFileError: it is no MOV or MP4, or is built so that it cannot be written anew.
        OutputError: it cannot be encoded.
    """
    choice = choice or RewriteChoice()
    converted = _in_brand(clip, choice.quicktime)
    movie, source = converted.movie, clip.source
    with naming_damage(source):
        track = shown_track(movie)
        if track is None or len(sample_entries(track)) != 1:
            raise UnsupportedFileError(
                f"{source.name}: the video's pictures are coded in more than one way, so they"
                " cannot be written anew"
            )
        samples = read_samples(track, source.name)
        numbers = _frame_numbers(clip, samples)
    coding, notes = coding_for(clip.codec)
    job = _Job(clip=clip, track=track, samples=samples, numbers=numbers, choice=choice)
    coded, missing = job.encode(change, coding, scratch / "pictures.mov", progress)
    if missing:
        notes += (f"{missing} pictures cannot be decoded; their neighbours stand in their place",)
    with naming_damage(source):
        notes += _put(movie, track, samples, coded)
        enlarge_track(track, choice.scale)
    return EditedMovie(movie=movie, notes=(*converted.notes, *notes))


def frame_in(clip: Clip, picture: "av.VideoFrame") -> np.ndarray:
    """Convert a decoded picture of a clip, of any size, as Clip.frames does its own."""
    rgb = picture_to_rgb(picture, clip.colour)
    return np.ascontiguousarray(turn(to_still_space(rgb, clip.colour, clip.target), clip.display))


def _in_brand(clip: Clip, quicktime: bool | None) -> EditedMovie:
    """Return the clip's index as the wanted kind of file."""
    source = clip.source
    if clip.movie is None:
        raise UnsupportedFileError(f"{source.name}: only a MOV or MP4 can be written anew")
    movie = read_editable(source)
    if quicktime is None or is_quicktime(movie) == quicktime:
        return EditedMovie(movie=movie)
    return movie_as_mov(source) if quicktime else movie_as_mp4(source)


def _frame_numbers(clip: Clip, samples: Sequence[Sample]) -> dict[int, int]:
    """Find the clip's frame that each sample's picture is shown as: show time -> index.

    Raises:
        UnsupportedFileError: The samples are not the clip's, or its edit list turns their order.
    """
    times = {each.offset: each.show_time for each in samples}
    index_of = {pts: index for index, pts in enumerate(clip.pts)}
    numbers: dict[int, int] = {}
    with opened_container(clip.source) as container:
        stream = next(each for each in container.streams.video if each.index == clip.stream_index)
        for packet in container.demux(stream):
            pts = packet.pts if packet.pts is not None else packet.dts
            if packet.pos in times and pts in index_of and not packet.is_discard:
                numbers.setdefault(times[packet.pos], index_of[pts])
    order = [numbers[time] for time in sorted(numbers)]
    if not order or order != sorted(order):
        raise UnsupportedFileError(
            f"{clip.source.name}: the video's edit list shows its pictures in another order than"
            " they were taken; that cannot be written anew"
        )
    return numbers


@dataclass(frozen=True, kw_only=True)
class _Job:
    """The pictures of one clip on their way from one coding to the other."""

    clip: Clip
    track: Node
    samples: list[Sample]
    numbers: dict[int, int]
    choice: RewriteChoice

    def encode(
        self, change: Change, coding: str, path: Path, progress: "Progress | None"
    ) -> tuple[Source, int]:
        """Decode, change and encode; returns the file, and how many could not be decoded."""
        missing = 0
        keys = {each.show_time: each.key for each in self.samples}
        times = sorted(keys)
        pictures = self._decoded()
        first, time = next(pictures, (None, 0))
        if first is None:
            raise DamagedFileError(f"{self.clip.source.name}: no frame of the clip can be decoded")
        last = first
        with picture_encoder(path, self._form(coding, first), self.choice.coding) as encoder:
            upcoming: tuple[av.VideoFrame | None, int] = (first, time)
            for count, time in enumerate(times):
                if upcoming[0] is not None and upcoming[1] == time:
                    last = upcoming[0]
                    upcoming = next(pictures, (None, 0))
                else:
                    missing += 1
                self._add(encoder, last, change, self.numbers.get(time), keys[time])
                if progress:
                    progress("writing", count + 1, len(times))
        return Source.whole(path), missing

    def _add(
        self,
        encoder: PictureEncoder,
        picture: "av.VideoFrame",
        change: Change,
        index: int | None,
        key: bool,
    ) -> None:
        """Hand one picture over, changed where it is shown."""
        clip = self.clip
        planes = enlarge(read_planes(picture), self.choice.scale)
        if index is not None:
            before = frame_in(clip, to_picture(planes))
            after = change(index, before)
            if after is not before:
                difference = self._as_coded(after) - self._as_coded(before)
                planes = change_planes(planes, difference, clip.colour, clip.coded_size)
        encoder.add(to_picture(planes), key=key)

    def _as_coded(self, picture: np.ndarray) -> np.ndarray:
        """Bring a frame back into the clip's own R'G'B', turned as it is coded."""
        a, b, c, d = self.clip.display
        turned = turn(picture, (a, c, b, d))
        return from_still_space(turned, self.clip.colour, self.clip.target)

    def _form(self, coding: str, picture: "av.VideoFrame") -> PictureForm:
        clip, scale = self.clip, self.choice.scale
        width, height = picture.width * scale, picture.height * scale
        colour = clip.colour
        if scale > 1:  # of an enlarged picture players would guess an unstated matrix otherwise
            colour = replace(colour, matrix=colour.assumed_matrix(*clip.coded_size))
        span = max(1, sum(each.duration for each in self.samples))
        header = self.track.find("mdia/mdhd")
        clock = timescale(header) if header is not None else 600
        rate = Fraction(len(self.samples) * clock, span).limit_denominator(1001)
        return PictureForm(
            coding=coding, layout=layout_of(picture.format.name), width=width, height=height,
            rate=max(rate, Fraction(1, 1000)), colour=colour,
        )  # fmt: skip

    def _decoded(self) -> Iterator[tuple["av.VideoFrame", int]]:
        """Yield every picture with the time at which it is shown, in that order."""
        import av

        # The container knows how many pictures wait for others, which has to be set in the decoder;
        # but it leaves out what an edit list hides, so the samples are read here.
        with (
            opened_container(self.clip.source) as container,
            self.clip.source.open() as stream_bytes,
        ):
            streams = container.streams.video
            decoder = next(s for s in streams if s.index == self.clip.stream_index).codec_context
            decoder.thread_type, decoder.thread_count = "AUTO", self.choice.coding.threads
            shape = (decoder.width, decoder.height)
            for each in [*self.samples, None]:
                packet = None
                if each is not None:
                    stream_bytes.seek(each.offset)
                    data = stream_bytes.read(each.size)
                    if not data or len(data) < each.size:
                        continue
                    # Not Packet(data), which keeps Python's bytes: a decoder's thread that lets go
                    # of them waits for Python's lock, for ever where the decoder is being closed.
                    packet = av.Packet(len(data))
                    packet.update(data)
                    packet.pts, packet.dts = each.show_time, each.decode_time
                try:
                    pictures = decoder.decode(packet)
                except (av.error.InvalidDataError, av.error.EOFError):
                    continue
                for picture in pictures:
                    if picture.pts is not None and (picture.width, picture.height) == shape:
                        yield picture, picture.pts


def _put(movie: Movie, track: Node, samples: Sequence[Sample], coded: Source) -> tuple[str, ...]:
    """Put coded pictures in the place of a track's own; returns notes."""
    made = read_editable(coded)
    pictures = made.tracks[0]
    box = media_box(made.boxes, pictures)
    if box is None or sample_count(pictures) != len(samples):
        raise UnsupportedFileError(
            f"{movie.source.name}: {len(samples)} pictures were encoded as"
            f" {sample_count(pictures)}; the clip cannot be written anew"
        )
    movie.brought = replace(coded, start=box.payload, length=box.size)
    movie.dropped = byte_runs(samples)
    exchange_samples(track, samples, pictures, box, movie.source.length)
    return describe_as(track, pictures)
