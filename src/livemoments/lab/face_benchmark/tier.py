"""The face tier as a method of the benchmark, whole and with each of its mechanisms switched off.

It is given what a user has, the enlarged poor clip and the key photo: it finds and follows the
faces in the poor clip itself, matches them with the key photo's, and its changes are made in the
pictures. So a face that is not found, or is taken for a stranger's, is measured as it came.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from livemoments.errors import ConfigError
from livemoments.faces.blending import BlendConfig, windows
from livemoments.faces.detect import FaceFinder
from livemoments.faces.guidance import Guidance
from livemoments.faces.identity import Embedder
from livemoments.faces.people import ClipPeople, find_people
from livemoments.faces.polish import apply_changes, polish
from livemoments.faces.references import read_references
from livemoments.faces.settings import PolishConfig
from livemoments.lab.face_benchmark.methods import PoorClip
from livemoments.models.face_window import Streams
from livemoments.models.faces import load_faces
from livemoments.progress import Progress

TIER = "face tier"
WITHOUT_FEEDBACK = "without feedback: other weights"
Change = Callable[[PolishConfig], PolishConfig]


def _streams(image: bool = True, identity: bool = True) -> Change:
    there = Streams(image=image, identity=identity, attributes=identity)
    return lambda config: replace(config, streams=there)


def _blend(window: int, overlap: int) -> Change:
    return lambda config: replace(config, blend=BlendConfig(window=window, overlap=overlap))


def _guided(**scales: float) -> Change:
    return lambda config: replace(config, guidance=Guidance(**scales))


# What the rows of the ablation change. Streams, blending and guidance are IP-FVR's mechanisms; the
# others tell what they are measured against.
ABLATION: dict[str, Change] = {
    "without image stream": _streams(image=False),
    "without identity stream": _streams(identity=False),
    "without both streams": _streams(image=False, identity=False),
    "without the aligned reference": lambda config: replace(config, aligned=False),
    "without the aligned reference and image stream": lambda config: replace(
        config, aligned=False, streams=Streams(image=False)
    ),
    "without blending": _blend(24, 0),
    "windows of one frame": _blend(1, 0),
    "without guidance": _guided(),
    "guidance, low quality 0.5": _guided(low_quality=0.5),
    "guidance, low quality 1": _guided(low_quality=1.0),
    "guidance, identity 1": _guided(identity=1.0),
    "guidance, identity 3": _guided(identity=3.0),
    "guidance, image 1": _guided(image=1.0),
    "guidance, image 3": _guided(image=3.0),
    "guidance, no reference 0.5": _guided(reference=0.5),
    "guidance, all 0.5": _guided(low_quality=0.5, identity=0.5, image=0.5, reference=0.5),
    "two steps": lambda config: replace(config, steps=2),
}


@dataclass(eq=False)
class PeopleOf:
    """Who is in a poor clip, found once for all variants of the face tier."""

    finder: FaceFinder
    embedder: Embedder
    _clip: PoorClip | None = None
    _config: PolishConfig | None = None
    _found: ClipPeople | None = None

    def __call__(
        self, clip: PoorClip, config: PolishConfig, progress: Progress | None = None
    ) -> ClipPeople:
        """The people of a clip."""
        # What does not change who is found.
        plain = replace(
            PolishConfig(), limit=config.limit, smallest_px=config.smallest_px,
            spare_sharp=config.spare_sharp,
        )  # fmt: skip
        if self._found is None or self._clip is not clip or self._config != plain:
            known = read_references(clip.key_photo, "the key photo", self.finder, self.embedder)
            self._found = find_people(
                lambda: moments(clip), known, self.finder, self.embedder, plain, progress,
                count=len(clip.frames),
            )  # fmt: skip
            self._clip, self._config = clip, plain
        return self._found


class FaceTier:
    """The face tier with one configuration and one folder of weights."""

    def __init__(
        self,
        people: PeopleOf,
        weights: Path,
        config: PolishConfig | None = None,
        *,
        name: str = TIER,
        threads: int = 0,
    ) -> None:
        """Choose the weights and what is switched off.

        Args:
            people: finds them.
            weights: the model's folder.
            config: how to polish; None: as a user would.
            name: in the tables.
            threads: of the model; 0: one per core.
        """
        self.name = name
        self.config = config or PolishConfig()
        self._people = people
        self._model = load_faces(weights, threads)

    @property
    def about(self) -> str:
        """See `Method`."""
        return f"{self._model.about['sha256']}, {self.config}"

    def borders(self, count: int) -> list[int]:
        """The frames of a clip of so many with which a window begins, other than the first."""
        return [window.start for window in windows(count, self.config.blend)[1:]]

    def restore(self, clip: PoorClip, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """See `Method`."""
        people = self._people(clip, self.config, progress)
        enlarged = clip.key_photo.shape[1] / clip.small[0].shape[1]
        config = replace(self.config, enlarged=enlarged)
        changes = polish(lambda: moments(clip), people, self._model, config, progress)
        for frame, changed in zip(clip.frames, changes, strict=True):
            yield apply_changes(frame, changed.changes)


def moments(clip: PoorClip) -> Iterator[tuple[float, np.ndarray]]:
    """(time_s, picture) of the enlarged poor clip, from its beginning."""
    return zip(clip.times_s, clip.frames, strict=True)


def variants(
    people: PeopleOf,
    weights: Path,
    names: list[str] | None = None,
    *,
    config: PolishConfig | None = None,
    without_feedback: Path | None = None,
    threads: int = 0,
) -> list[FaceTier]:
    """The face tier with its mechanisms switched off in turn.

    Args:
        people: finds them.
        weights: the model's folder.
        names: of ABLATION; None: all.
        config: of the whole face tier, which each row changes; None: as a user would.
        without_feedback: a folder of weights that were trained without it; None: no such row.
        threads: of the models.

    Raises:
        ConfigError: a name is unknown.
    """
    names = list(ABLATION) if names is None else names
    unknown = [name for name in names if name not in ABLATION]
    if unknown:
        raise ConfigError(f"no row {unknown[0]!r}; there are {', '.join(ABLATION)}")
    whole = config or PolishConfig()
    # A row that changes nothing would only be the whole once more.
    made = [
        FaceTier(people, weights, changed, name=name, threads=threads)
        for name in names
        if (changed := ABLATION[name](whole)) != whole
    ]
    if without_feedback is not None:
        made.insert(
            0, FaceTier(people, without_feedback, whole, name=WITHOUT_FEEDBACK, threads=threads)
        )
    return made
