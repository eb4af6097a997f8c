"""A clip for the benchmark of faces: a red square that moves, and FakeModels takes for a face."""

from pathlib import Path

import cv2
import numpy as np

from livemoments.faces.detect import FaceFinder
from livemoments.faces.identity import Embedder
from livemoments.imaging.fidelity import psnr_y
from livemoments.lab.face_benchmark.clips import FaceMeasures
from livemoments.lab.face_benchmark.methods import DegradedClip
from livemoments.lab.metrics.metric import Metric
from support.faces import FakeModels
from support.pictures import as_bytes, smooth_picture

HEIGHT, WIDTH, FACE_PX = 120, 168, 56


def frames(count: int, blue: int = 40) -> list[np.ndarray]:
    """Pictures with one face each, RGB uint8, that moves half a pixel a frame."""
    ground = as_bytes(smooth_picture(HEIGHT, WIDTH))
    ground[..., 0] //= 3
    found = []
    for index in range(count):
        picture = ground.copy()
        left, top = 40 + index // 2, 30
        picture[top : top + FACE_PX, left : left + FACE_PX] = (255, 0, blue)
        found.append(picture)
    return found


def write_clip(folder: Path, count: int) -> Path:
    """A folder of numbered pictures."""
    folder.mkdir(parents=True)
    for index, picture in enumerate(frames(count)):
        cv2.imwrite(str(folder / f"{index}.png"), picture[..., ::-1])
    return folder


def degraded_clip(count: int) -> DegradedClip:
    """A clip that is not degraded at all."""
    pictures = frames(count)
    times_s = [index / 25 for index in range(count)]
    return DegradedClip(small=pictures, frames=pictures, times_s=times_s, key_photo=pictures[0])


def measures(every: int = 4) -> FaceMeasures:
    models = FakeModels()
    psnr = Metric(name="PSNR-Y", better="higher", against="truth", measure=psnr_y)
    return FaceMeasures(
        finder=FaceFinder(models), embedder=Embedder(models), metrics=(psnr,), size_px=64,
        identity_every=every, metrics_every=every,
    )  # fmt: skip
