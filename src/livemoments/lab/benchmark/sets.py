"""Make or read pairs whose truth is known, and give restored frames of them four scores."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from livemoments.align.alignment import align
from livemoments.errors import DamagedFileError, InputError, MissingFileError
from livemoments.imaging.fidelity import psnr_y, ssim_y
from livemoments.imaging.pixels import as_bytes, as_float, enlarge
from livemoments.lab.benchmark.manifest import read_picture
from livemoments.lab.metrics.perceptual import PerceptualMetrics
from livemoments.lab.training.compact.restorer import Views
from livemoments.lab.training.data.scenes import PhotoScenes, photographs
from livemoments.progress import Progress

NAMES = ("frame.png", "key.png", "truth.png")


@dataclass(frozen=True, kw_only=True)
class TruthPair:
    """A frame and a key photo with what the frame should have been."""

    name: str
    views: Views
    truth: np.ndarray  # float32 RGB H x W x 3 in [0, 1]
    visible: np.ndarray | None = None  # H x W in [0, 1]: in the key photo; None: not known


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The four scores, of one picture or their means."""

    psnr_y: float  # dB
    ssim_y: float
    lpips: float
    dists: float

    def __str__(self) -> str:
        return f"{self.psnr_y:6.2f} {self.ssim_y:.4f} {self.lpips:.4f} {self.dists:.4f}"


Restorer = Callable[[TruthPair], np.ndarray]  # float32 RGB H x W x 3 in [0, 1]


class Scorer:
    """What scores pictures."""

    def __init__(self, metrics: PerceptualMetrics) -> None:
        self.metrics = metrics

    def __call__(self, picture: np.ndarray, truth: np.ndarray) -> Quality:
        """Score a picture, rounded to 8 bits as it would be stored."""
        picture = as_bytes(picture).astype(np.float32) / 255
        return Quality(
            psnr_y=psnr_y(picture, truth),
            ssim_y=ssim_y(picture, truth),
            lpips=self.metrics.lpips(picture, truth),
            dists=self.metrics.dists(picture, truth),
        )

    def mean(
        self, restorer: Restorer, pairs: Sequence[TruthPair], progress: Progress | None = None,
        stage: str = "scoring",
    ) -> Quality:  # fmt: skip
        """Average the scores of what a restorer makes of pairs."""
        found = []
        for done, pair in enumerate(pairs, 1):
            found.append(self(restorer(pair), pair.truth))
            if progress:
                progress(stage, done, len(pairs))
        return mean_of(found)


def mean_of(qualities: Iterable[Quality]) -> Quality:
    """Average each of the scores."""
    rows = np.array([list(vars(q).values()) for q in qualities])
    return Quality(**dict(zip(Quality.__annotations__, map(float, rows.mean(0)), strict=True)))


def synthetic_pairs(
    folder: Path, count: int, *, size: int = 448, preset: str = "live-photo", seed: int = 1000
) -> list[TruthPair]:
    """Make scenes of size x size pixels of photographs that training holds out."""
    maker, pairs = PhotoScenes(photographs(folder, held_out=True), size, preset), []
    for i in range(count):
        scene = maker.scene(seed, i)
        names = ("frame", "key_photo", "flow", "confidence")
        views = Views(**{name: getattr(scene, name) for name in names})
        pair = TruthPair(name=f"scene {i}", views=views, truth=scene.truth, visible=scene.visible)
        pairs.append(pair)
    return pairs


def stored_pairs(folder: Path) -> list[TruthPair]:
    """Read pairs FOLDER/NAME/{frame,key,truth}.png; the frame may be smaller than the others.

    Raises:
        MissingFileError: there are none.
        DamagedFileError: a picture cannot be read, or key and truth differ in size.
    """
    places = sorted(path.parent for path in folder.glob("*/truth.png"))
    if not places:
        raise MissingFileError(f"{folder}: no pairs found; a pair is NAME/{{{','.join(NAMES)}}}")
    return [_read_pair(place) for place in places]


def _read_pair(place: Path) -> TruthPair:
    frame, key_photo, truth = (_read(place / name) for name in NAMES)
    height, width = truth.shape[:2]
    if key_photo.shape != truth.shape:
        raise DamagedFileError(
            f"{place}: key.png and truth.png differ in size; make them of one size"
        )
    found = align(frame, key_photo)
    flow, confidence = found.flow_frame_to_key, found.confidence
    if flow is None or confidence is None or flow.shape[:2] != (height, width):
        flow = np.zeros((height, width, 2), np.float32)
        confidence = np.zeros((height, width), np.float32)
    views = Views(
        frame=enlarge(frame, height, width), key_photo=key_photo, flow=flow, confidence=confidence
    )
    return TruthPair(name=place.name, views=views, truth=truth)


def _read(path: Path) -> np.ndarray:
    try:
        return as_float(read_picture(path))
    except InputError as error:
        raise DamagedFileError(f"{path}: missing, or not a picture that can be decoded") from error
