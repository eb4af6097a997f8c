"""Measure face restoration, whole and with each of its mechanisms switched off.

It is given what a user has, the enlarged degraded clip and the key photo: it finds and follows the
faces in the degraded clip itself, matches them with the key photo's, and its changes are made in
the pictures. So a face that is not found, or is not recognised, is measured as it came.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from livemoments.lab.face_benchmark.methods import DegradedClip, Method
from livemoments.models.face_window import Streams
from livemoments.models.faces import load_faces
from livemoments.progress import Progress

TIER = "face tier"
WITHOUT_FEEDBACK = "without feedback: other weights"
NO_IDENTITY = {"identity": False, "attributes": False}

# What the rows of the ablation change in PolishConfig. Streams, blending and guidance are IP-FVR's
# mechanisms; the others show what those are measured against.
ABLATION: dict[str, dict[str, Any]] = {
    "without image stream": {"streams": Streams(image=False)},
    "without identity stream": {"streams": Streams(**NO_IDENTITY)},
    "without both streams": {"streams": Streams(image=False, **NO_IDENTITY)},
    "without the aligned reference": {"aligned": False},
    "without the aligned reference and image stream": {
        "aligned": False,
        "streams": Streams(image=False),
    },
    "without blending": {"blend": BlendConfig(window=24, overlap=0)},
    "windows of one frame": {"blend": BlendConfig(window=1, overlap=0)},
    "without guidance": {"guidance": Guidance()},
    "guidance, low quality 0.5": {"guidance": Guidance(low_quality=0.5)},
    "guidance, low quality 1": {"guidance": Guidance(low_quality=1.0)},
    "guidance, identity 1": {"guidance": Guidance(identity=1.0)},
    "guidance, identity 3": {"guidance": Guidance(identity=3.0)},
    "guidance, image 1": {"guidance": Guidance(image=1.0)},
    "guidance, image 3": {"guidance": Guidance(image=3.0)},
    "guidance, no reference 0.5": {"guidance": Guidance(reference=0.5)},
    "guidance, all 0.5": {
        "guidance": Guidance(low_quality=0.5, identity=0.5, image=0.5, reference=0.5)
    },
    "two steps": {"steps": 2},
}


class PeopleOf:
    """The people of a degraded clip, found once for all variants of face restoration."""

    def __init__(self, finder: FaceFinder, embedder: Embedder) -> None:
        """Choose what finds and recognises faces."""
        self._finder, self._embedder = finder, embedder
        self._last: tuple[DegradedClip, PolishConfig, ClipPeople] | None = None

    def __call__(
        self, clip: DegradedClip, config: PolishConfig, progress: Progress | None = None
    ) -> ClipPeople:
        """Find the people of a clip, or return those of the call before."""
        # Nothing else of the configuration changes who is found.
        plain = PolishConfig(
            limit=config.limit, smallest_px=config.smallest_px, spare_sharp=config.spare_sharp
        )
        if self._last is None or self._last[0] is not clip or self._last[1] != plain:
            known = read_references(clip.key_photo, "the key photo", self._finder, self._embedder)
            people = find_people(
                lambda: moments(clip), known, self._finder, self._embedder, plain, progress,
                count=len(clip.frames),
            )  # fmt: skip
            self._last = (clip, plain, people)
        return self._last[2]


class FaceTier(Method):
    """Face restoration with one configuration and one folder of weights."""

    def __init__(
        self, people: PeopleOf, weights: Path, config: PolishConfig | None = None, *,
        name: str = TIER, threads: int = 0,
    ) -> None:  # fmt: skip
        """Load the weights in a folder, and choose what is switched off; None: nothing."""
        self.name, self.config = name, config or PolishConfig()
        self._people = people
        self._model = load_faces(weights, threads)
        self.about = f"{self._model.about['sha256']}, {self.config}"

    def borders(self, count: int) -> list[int]:
        """Return the frames of a clip of `count` at which a window begins, without the first."""
        return [window.start for window in windows(count, self.config.blend)[1:]]

    def restore(self, clip: DegradedClip, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """Restore the faces of people whom the key photo shows."""
        people = self._people(clip, self.config, progress)
        enlarged = clip.key_photo.shape[1] / clip.small[0].shape[1]
        config = replace(self.config, enlarged=enlarged)
        changes = polish(lambda: moments(clip), people, self._model, config, progress)
        for frame, changed in zip(clip.frames, changes, strict=True):
            yield apply_changes(frame, changed.changes)


def moments(clip: DegradedClip) -> Iterator[tuple[float, np.ndarray]]:
    """Return (time_s, picture) of the enlarged degraded clip, from its beginning."""
    return zip(clip.times_s, clip.frames, strict=True)


def variants(
    people: PeopleOf, weights: Path, names: list[str] | None = None, *,
    config: PolishConfig | None = None, without_feedback: Path | None = None, threads: int = 0,
) -> list[FaceTier]:  # fmt: skip
    """Load face restoration with its mechanisms switched off in turn.

    Args:
        people: finds them.
        weights: the model's folder.
        names: of ABLATION; None: all.
        config: of the whole, which each row changes; None: as a user would.
        without_feedback: a folder of weights that were trained without it; None: no such row.
        threads: of the models; 0: one per core.

    Raises:
        ConfigError: a name is unknown.
    """
    names = list(ABLATION) if names is None else names
    unknown = [name for name in names if name not in ABLATION]
    if unknown:
        raise ConfigError(f"no row {unknown[0]!r}; there are {', '.join(ABLATION)}")
    whole = config or PolishConfig()
    rows = [(name, weights, replace(whole, **ABLATION[name])) for name in names]
    # A row that changes nothing would only be the whole once more.
    rows = [row for row in rows if row[2] != whole]
    if without_feedback is not None:
        rows.insert(0, (WITHOUT_FEEDBACK, without_feedback, whole))
    return [
        FaceTier(people, folder, changed, name=name, threads=threads)
        for name, folder, changed in rows
    ]
