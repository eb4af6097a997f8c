"""From a clip to the polished clip.

The clip comes back as it was, with other pictures: same times, sound and metadata; outside the
faces its pictures are those that were decoded, coded once more. A Live Photo can come back whole.
"""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from livemoments.errors import ConfigError, InputError
from livemoments.faces.detect import FaceFinder
from livemoments.faces.face import Placement
from livemoments.faces.identity import Embedder
from livemoments.faces.models import FaceModels
from livemoments.faces.polish import (
    ClipPeople,
    FaceChange,
    PolishConfig,
    apply_changes,
    find_people,
    polish,
)
from livemoments.files import atomic_output, atomic_pair
from livemoments.jobs.polish.background import RestRestorer, around_faces
from livemoments.jobs.polish.preview import FacePreview, face_preview
from livemoments.jobs.polish.report import PolishedClip, nothing_restored, report_of
from livemoments.jobs.polish.request import (
    Subject,
    becomes_quicktime,
    check_places,
    is_still,
    open_subject,
)
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.encode import CodingChoice
from livemoments.livephoto.movie.recode import (
    SCALES,
    RewriteChoice,
    RewrittenMovie,
    rewrite_pictures,
)
from livemoments.livephoto.movie.video import Clip, open_clip
from livemoments.livephoto.writing.convert import with_other_clip
from livemoments.models.face_window import FaceRestorer
from livemoments.models.faces import SHIPPED, load_faces
from livemoments.progress import Progress, Stages

RESTS = ("keep", "model")


@dataclass(frozen=True, kw_only=True)
class ClipFacesConfig:
    """How a clip's faces are polished. The defaults are what `livemoments faces` uses."""

    polish: PolishConfig = field(default_factory=PolishConfig)
    scale: int = 1  # of the result's sides: 1, 2 or 4; enlarged by cubic interpolation
    rest: str = "keep"  # of the pictures; or "model": restored by the main model, slowly
    crf: float | None = None  # of the coding, 0 (best) to 51; None: what cannot be seen
    threads: int = 0  # 0: one per core
    weights: Path | None = None  # a face model of your own; None: that of the package

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            known = ", ".join(map(str, SCALES))
            raise ConfigError(f"scale must be one of {known}; got {self.scale}")
        if self.rest not in RESTS:
            raise ConfigError(f"rest must be one of {', '.join(RESTS)}; got {self.rest!r}")
        _ = self.coding  # says what is wrong with its numbers

    @property
    def coding(self) -> CodingChoice:
        """How pictures are coded."""
        return CodingChoice(crf=self.crf, threads=self.threads)


def polish_clip(
    photo: Path,
    output: Path,
    *,
    video: Path | None = None,
    references: Sequence[Path] = (),
    preview: Path | None = None,
    config: ClipFacesConfig | None = None,
    overwrite: bool = False,
    model: FaceRestorer | None = None,
    progress: Progress | None = None,
) -> PolishedClip:
    """Restore the faces of a clip by the key photo and by further photographs of the same people.

    People who are in none of the photographs are left alone, and so are faces that have nothing to
    gain.

    Args:
        photo: What open_live_photo opens, or with references a clip alone.
        output: .mov or .mp4: the clip. .jpg or .heic: the whole Live Photo in its own form, with
            the key photo as it was.
        video: The clip, where `photo` does not lead to it.
        references: Photographs of the people, besides the key photo.
        preview: Where to put a video of before and after side by side, .mp4 or .mov.
        config: How.
        overwrite: Whether files that are there already may be replaced; inputs never are.
        model: One that was loaded before, in place of the config's.
        progress: Told of every stage; what it raises cancels, and then nothing has been written.

    Raises:
        InputError: A file cannot be read; or no face is restored, with the reason for each.
        MissingExtraError: dlib or its models are not installed.
        WeightsError: The face model's weights cannot be used.
        OutputError: A path is refused, or cannot be written.
    """
    config, stages, output = config or ClipFacesConfig(), Stages(progress), Path(output)
    subject = open_subject(photo, video, references)
    check_places(subject, output, preview, overwrite=overwrite)
    rest_by = subject.rest_reference() if config.rest == "model" else None
    with stages.stage("loading"):
        models = FaceModels()
        finder, embedder = FaceFinder(models, config.polish.smallest_px), Embedder(models)
        model = model or load_faces(config.weights or SHIPPED, config.threads)
        faces, notes = subject.read_references(finder, embedder)
    began_s = time.perf_counter()
    frames = _ClipFrames(subject.clip)
    people = find_people(
        frames, faces, finder, embedder, config.polish, progress, count=len(subject.clip.pts)
    )
    if not people.restored:
        raise InputError(nothing_restored(subject.name, people))
    found_s = time.perf_counter()
    job = _Polishing(subject.clip, people, frames, model, config, rest_by, progress)
    with tempfile.TemporaryDirectory(prefix="livemoments-") as scratch:
        made = job.run(Path(scratch), becomes_quicktime(output), preview)
        place = _Place(output=output, preview=preview, overwrite=overwrite)
        movie, more = place.fill(subject, made, Path(scratch))
    seconds = {"finding faces": found_s - began_s, "restoring": time.perf_counter() - found_s}
    return PolishedClip(
        path=output, movie=movie, preview=preview, width=subject.clip.width * config.scale,
        height=subject.clip.height * config.scale, frames=len(subject.clip.pts),
        people=tuple(report_of(each, job.restored[each.number]) for each in people.people),
        seconds=stages.seconds | {name: round(each, 3) for name, each in seconds.items()},
        notes=(*notes, *made.notes, *more),
    )  # fmt: skip


class _ClipFrames:
    """A clip's frames as faces.polish takes them; each call reads them anew."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self.indices: list[int] = []  # of those that can be decoded, after the first reading

    def __call__(self) -> Iterator[tuple[float, np.ndarray]]:
        indices = []
        for frame in self._clip.frames():
            indices.append(frame.index)
            yield frame.time_s, np.rint(frame.image * 255).astype(np.uint8)
        self.indices = indices


class _Polishing:
    """One clip's pictures on their way from what they were to what is written."""

    def __init__(
        self,
        clip: Clip,
        people: ClipPeople,
        frames: _ClipFrames,
        model: FaceRestorer,
        config: ClipFacesConfig,
        rest_by: np.ndarray | None,
        progress: Progress | None,
    ) -> None:
        self.restored: Counter[int] = Counter()  # frames by person
        self._clip, self._people, self._config = clip, people, config
        self._progress, self._rest_by = progress, rest_by
        # A frame that cannot be decoded is none to faces.polish, and is one to the clip.
        self._places = {index: place for place, index in enumerate(frames.indices)}
        self._changes = polish(frames, people, model, config.polish, progress)
        self._preview: FacePreview | None = None
        self._rest: RestRestorer | None = None

    def run(self, scratch: Path, quicktime: bool | None, preview: Path | None) -> RewrittenMovie:
        """Code the polished pictures into a scratch folder, and draw the preview there."""
        clip, config = self._clip, self._config
        size = (clip.width * config.scale, clip.height * config.scale)
        if self._rest_by is not None:
            self._rest = RestRestorer(
                self._rest_by, size, scale=config.scale, count=len(clip.pts),
                seed=config.polish.seed, threads=config.threads, progress=self._progress,
            )  # fmt: skip
        choice = RewriteChoice(scale=config.scale, quicktime=quicktime, coding=config.coding)
        with ExitStack() as stack:
            if preview is not None:
                faces = self._largest_face()
                drawn = face_preview(drawn_in(scratch, preview), size, faces)
                self._preview = stack.enter_context(drawn)
            return rewrite_pictures(clip, self._change, scratch, choice, self._progress)

    def _change(self, index: int, picture: np.ndarray) -> np.ndarray:
        """A frame with its faces restored; what rewrite_pictures asks for, in ascending order."""
        changes = self._changes_of(index)
        result = apply_changes(picture, changes)
        if self._rest is not None:
            result = around_faces(result, self._rest.restore(picture), changes)
        if self._preview is not None:
            self._preview.add(index, self._clip.times_s[index], picture, result)
        return result

    def _changes_of(self, index: int) -> tuple[FaceChange, ...]:
        """What changes in a frame, at its places in the enlarged picture."""
        place = self._places.get(index)
        if place is None:
            return ()
        frame = next(each for each in self._changes if each.index == place)
        self.restored.update(each.person for each in frame.changes if each.strength > 0)
        scale = self._config.scale
        return tuple(
            replace(each, placement=each.placement.scaled(scale)) for each in frame.changes
        )

    def _largest_face(self) -> Mapping[int, Placement]:
        """Where the largest restored face lies in the enlarged pictures, by the clip's frame."""
        largest = max(self._people.restored, key=lambda person: person.track.height_px)
        index_of = {place: index for index, place in self._places.items()}
        return {
            index_of[place]: view.placement.scaled(self._config.scale)
            for place, view in largest.track.views(self._people.times_s).items()
        }


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where the results go."""

    output: Path
    preview: Path | None
    overwrite: bool

    def fill(
        self, subject: Subject, made: RewrittenMovie, scratch: Path
    ) -> tuple[Path | None, tuple[str, ...]]:
        """Write the files; returns where a Live Photo's clip is, and notes."""
        overwrite, inputs = self.overwrite, subject.files
        if subject.live is not None and is_still(self.output):
            file = scratch / "clip.mov"
            with file.open("wb") as stream:
                made.movie.write(stream)
            clip = open_clip(Source.whole(file), subject.clip.target)
            done = with_other_clip(subject.live, clip, self.output, overwrite=overwrite)
            if self.preview is not None:
                preview = atomic_output(self.preview, overwrite=overwrite, inputs=inputs)
                with preview as path:
                    shutil.copyfile(drawn_in(scratch, self.preview), path)
            return done.movie, done.notes
        with ExitStack() as stack:
            if self.preview is None:
                files = atomic_output(self.output, overwrite=overwrite, inputs=inputs)
                path = stack.enter_context(files)
            else:
                pair = atomic_pair(self.output, self.preview, overwrite=overwrite, inputs=inputs)
                path, preview_path = stack.enter_context(pair)
                shutil.copyfile(drawn_in(scratch, self.preview), preview_path)
            with path.open("wb") as stream:
                made.movie.write(stream)
        return None, ()


def drawn_in(scratch: Path, preview: Path) -> Path:
    """Where a preview is drawn before it goes to its place."""
    return scratch / f"preview{preview.suffix.lower()}"
