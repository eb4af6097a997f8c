"""Polish a clip from file to file.

The result is the clip with other pictures: same times, sound and metadata; outside the faces its
pictures are the decoded ones, coded once more. A Live Photo can be written whole.
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
from livemoments.faces.people import ClipPeople, find_people
from livemoments.faces.polish import FaceChange, apply_changes, polish
from livemoments.faces.settings import PolishConfig
from livemoments.files import atomic_output, atomic_pair
from livemoments.imaging.pixels import as_bytes
from livemoments.jobs.polish.background import BackgroundRestorer, around_faces
from livemoments.jobs.polish.preview import FacePreview, face_preview
from livemoments.jobs.polish.report import PolishedClip, nothing_restored, report_of
from livemoments.jobs.polish.request import (
    PolishRequest,
    becomes_quicktime,
    check_places,
    is_still,
    open_request,
)
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.brand import EditedMovie
from livemoments.livephoto.movie.encode import CodingChoice
from livemoments.livephoto.movie.recode import SCALES, RewriteChoice, rewrite_pictures
from livemoments.livephoto.movie.video import Clip, open_clip
from livemoments.livephoto.writing.convert import with_other_clip
from livemoments.models.face_window import FaceRestorer
from livemoments.models.faces import SHIPPED, load_faces
from livemoments.progress import Progress, Stages

RESTS = ("keep", "model")


@dataclass(frozen=True, kw_only=True)
class ClipFacesConfig:
    """The settings of polishing a clip; the defaults are those of `livemoments faces`."""

    polish: PolishConfig = field(default_factory=PolishConfig)
    scale: int = 1  # of the result's sides: 1, 2 or 4; enlarged by cubic interpolation
    rest: str = "keep"  # the background; or "model": restored by the main model, slowly
    crf: float | None = None  # of the coding, 0 (best) to 51; None: a loss that cannot be seen
    threads: int = 0  # 0: one per core
    weights: Path | None = None  # of a face model; None: the package's

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            known = ", ".join(map(str, SCALES))
            raise ConfigError(f"scale must be one of {known}; got {self.scale}")
        if self.rest not in RESTS:
            raise ConfigError(f"rest must be one of {', '.join(RESTS)}; got {self.rest!r}")
        _ = self.coding  # raises ConfigError where its numbers are wrong

    @property
    def coding(self) -> CodingChoice:
        """The settings of coding pictures."""
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

    People who are in none of the photographs are left alone, and so are faces that are as sharp.

    Args:
        photo: for open_live_photo, or with references a clip alone.
        output: .mov or .mp4: the clip. .jpg or .heic: the whole Live Photo in its own format, with
            the key photo as it was.
        video: the clip, where `photo` does not lead to it.
        references: photographs of the people, besides the key photo.
        preview: path of a video of before and after side by side, .mp4 or .mov.
        config: how.
        overwrite: whether files that are there already may be replaced; inputs never are.
        model: one that was loaded before, in place of the config's.
        progress: called in every stage; whatever it raises cancels, and nothing is written.

    Raises:
        InputError: a file cannot be read; or no face is restored, with the reason for each.
        MissingExtraError: dlib or its models are not installed.
        WeightsError: the face model's weights cannot be used.
        OutputError: a path is refused, or cannot be written.
    """
    config, stages, output = config or ClipFacesConfig(), Stages(progress), Path(output)
    request = open_request(photo, video, references)
    check_places(request, output, preview, overwrite=overwrite)
    background_by = request.background_reference() if config.rest == "model" else None
    with stages.stage("loading"):
        models = FaceModels()
        finder, embedder = FaceFinder(models, config.polish.smallest_px), Embedder(models)
        model = model or load_faces(config.weights or SHIPPED, config.threads)
        faces, notes = request.read_references(finder, embedder)
    began_s, clip = time.perf_counter(), request.clip
    frames = _ClipFrames(clip)
    people = find_people(
        frames, faces, finder, embedder, config.polish, progress, count=len(clip.pts)
    )
    if not people.restored:
        raise InputError(nothing_restored(request.name, people))
    found_s = time.perf_counter()
    job = _Polishing(clip, people, frames, model, config, background_by, progress)
    with tempfile.TemporaryDirectory(prefix="livemoments-") as scratch:
        made = job.run(Path(scratch), becomes_quicktime(output), preview)
        movie, more = _write(request, made, output, preview, Path(scratch), overwrite=overwrite)
    seconds = {"finding faces": found_s - began_s, "restoring": time.perf_counter() - found_s}
    return PolishedClip(
        path=output, movie=movie, preview=preview, width=clip.width * config.scale,
        height=clip.height * config.scale, frames=len(clip.pts),
        people=tuple(report_of(each, job.restored[each.number]) for each in people.people),
        seconds=stages.seconds | {name: round(each, 3) for name, each in seconds.items()},
        notes=(*notes, *made.notes, *more),
    )  # fmt: skip


class _ClipFrames:
    """A clip's frames for faces.polish; each call reads them anew."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self.indices: list[int] = []  # of those that can be decoded, after the first reading

    def __call__(self) -> Iterator[tuple[float, np.ndarray]]:
        indices = []
        for frame in self._clip.frames():
            indices.append(frame.index)
            yield frame.time_s, as_bytes(frame.image)
        self.indices = indices


class _Polishing:
    """The work on one clip's pictures."""

    def __init__(
        self,
        clip: Clip,
        people: ClipPeople,
        frames: _ClipFrames,
        model: FaceRestorer,
        config: ClipFacesConfig,
        background_by: np.ndarray | None,
        progress: Progress | None,
    ) -> None:
        self.restored: Counter[int] = Counter()  # frames by person
        self._clip, self._people, self._config = clip, people, config
        self._progress, self._background_by = progress, background_by
        # faces.polish does not count frames that cannot be decoded, and the clip does.
        self._places = {index: place for place, index in enumerate(frames.indices)}
        self._changes = polish(frames, people, model, config.polish, progress)
        self._preview: FacePreview | None = None
        self._background: BackgroundRestorer | None = None

    def run(self, scratch: Path, quicktime: bool | None, preview: Path | None) -> EditedMovie:
        """Code the polished pictures into a scratch folder, and draw the preview there."""
        clip, config = self._clip, self._config
        size = (clip.width * config.scale, clip.height * config.scale)
        if self._background_by is not None:
            self._background = BackgroundRestorer(
                self._background_by, size, scale=config.scale, count=len(clip.pts),
                seed=config.polish.seed, threads=config.threads, progress=self._progress,
            )  # fmt: skip
        choice = RewriteChoice(scale=config.scale, quicktime=quicktime, coding=config.coding)
        with ExitStack() as stack:
            if preview is not None:
                drawn = _drawn_in(scratch, preview)
                opened = face_preview(drawn, size, self._largest_face())
                self._preview = stack.enter_context(opened)
            return rewrite_pictures(clip, self._change, scratch, choice, self._progress)

    def _change(self, index: int, picture: np.ndarray) -> np.ndarray:
        """Restore the faces of a frame; rewrite_pictures asks for frames in ascending order."""
        changes = self._changes_of(index)
        result = apply_changes(picture, changes)
        if self._background is not None:
            result = around_faces(result, self._background.restore(picture), changes)
        if self._preview is not None:
            self._preview.add(index, self._clip.times_s[index], picture, result)
        return result

    def _changes_of(self, index: int) -> tuple[FaceChange, ...]:
        """Return the changes of a frame, at their places in the enlarged picture."""
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
        """Return the largest restored face's places in the enlarged pictures, by frame."""
        largest = max(self._people.restored, key=lambda person: person.track.height_px)
        index_of = {place: index for index, place in self._places.items()}
        return {
            index_of[place]: view.placement.scaled(self._config.scale)
            for place, view in largest.track.views(self._people.times_s).items()
        }


def _write(
    request: PolishRequest,
    made: EditedMovie,
    output: Path,
    preview: Path | None,
    scratch: Path,
    *,
    overwrite: bool,
) -> tuple[Path | None, tuple[str, ...]]:
    """Write the files; returns where a Live Photo's clip is, and notes."""
    inputs = request.files
    if request.live is not None and is_still(output):
        file = scratch / "clip.mov"
        _write_movie(made, file)
        clip = open_clip(Source.whole(file), request.clip.target)
        done = with_other_clip(request.live, clip, output, overwrite=overwrite)
        if preview is not None:
            with atomic_output(preview, overwrite=overwrite, inputs=inputs) as path:
                shutil.copyfile(_drawn_in(scratch, preview), path)
        return done.movie, done.notes
    if preview is None:
        with atomic_output(output, overwrite=overwrite, inputs=inputs) as path:
            _write_movie(made, path)
    else:
        both = atomic_pair(output, preview, overwrite=overwrite, inputs=inputs)
        with both as (path, preview_path):
            shutil.copyfile(_drawn_in(scratch, preview), preview_path)
            _write_movie(made, path)
    return None, ()


def _write_movie(made: EditedMovie, path: Path) -> None:
    with path.open("wb") as stream:
        made.movie.write(stream)


def _drawn_in(scratch: Path, preview: Path) -> Path:
    """Return where a preview is drawn before it is copied to its place."""
    return scratch / f"preview{preview.suffix.lower()}"
