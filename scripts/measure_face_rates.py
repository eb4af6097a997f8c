"""Print how often the limits of livemoments.faces.identity err, in Markdown, for docs/faces.md.

    python scripts/measure_face_rates.py d0=clips/d0.mp4 rgfvr=hq.mp4 rgfvr=ref.jpg --strangers DIR

NAME=PATH is a clip, a folder of frames or a photograph of that person; where there are several
people in it, they are NAME/0, NAME/1, ... in the order in which they are seen. Every picture in DIR
shows somebody else, once. Frames are degraded at two strengths: half the size, slight blur, noise
and JPEG 75; a quarter of the size, strong blur and noise, JPEG 45.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from livemoments.faces.detect import FaceFinder
from livemoments.faces.follow import follow
from livemoments.faces.identity import Embedder
from livemoments.faces.models import FaceModels
from livemoments.lab.face_benchmark.rates import (
    Look,
    distances_of_frames,
    distances_of_tracks,
    table,
)

LIMITS = (0.35, 0.40, 0.45, 0.50, 0.55, 0.60)
EVERY, FRAMES = 8, 96  # frames between looks, and of a clip at most
STRENGTHS = {  # times smaller, blur, noise, JPEG quality
    "clean": None,
    "mild, x2": (2, 0.8, 3.0, 75),
    "severe, x4": (4, 2.5, 7.0, 45),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("people", nargs="+")
    parser.add_argument("--strangers", type=Path)
    options = parser.parse_args()
    models = FaceModels()
    finder, embedder = FaceFinder(models), Embedder(models)
    looks: dict[str, list[Look]] = {name: [] for name in STRENGTHS}
    for each in options.people:
        person, _, path = each.partition("=")
        found = list(looks_of(person, Path(path), finder, embedder))
        for strength, look in found:
            looks[strength].append(look)
    strangers = pictures_of(options.strangers) if options.strangers else iter(())
    known = looks["clean"] + list(looks_of_strangers(strangers, finder, embedder))
    frames = {name: distances_of_frames(known, each) for name, each in looks.items()}
    tracks = {name: distances_of_tracks(known, each) for name, each in looks.items()}
    rows = [(f"one frame, {name}", found) for name, found in frames.items()]
    rows += [(f"a whole track, {name}", found) for name, found in tracks.items()]
    print(table(rows, LIMITS))  # noqa: T201
    for name, found in rows:
        print(f"nearest of two people, {name}: {found.nearest}")  # noqa: T201


def looks_of(
    person: str, path: Path, finder: FaceFinder, embedder: Embedder
) -> Iterator[tuple[str, Look]]:
    """Yield the looks of a clip or photograph at all strengths; photographs only clean."""
    pictures = [picture for _, picture in zip(range(FRAMES), pictures_of(path), strict=False)]
    times_s = [index / 25 for index in range(len(pictures))]
    followed = follow(zip(times_s, pictures, strict=True), finder, embedder)
    for track in followed.tracks:
        name = person if len(followed.tracks) == 1 else f"{person}/{track.number}"
        for index, view in track.views(times_s).items():
            if not view.seen or index % EVERY:
                continue
            for strength, how in STRENGTHS.items():
                if how and len(pictures) == 1:
                    continue
                picture = degraded(pictures[index], how, index) if how else pictures[index]
                placement = view.placement.scaled(picture.shape[1] / pictures[index].shape[1])
                identity = embedder.of_picture(picture, placement)
                yield (
                    strength,
                    Look(person=name, source=str(path), time_s=times_s[index], identity=identity),
                )


def looks_of_strangers(
    pictures: Iterator[np.ndarray], finder: FaceFinder, embedder: Embedder
) -> Iterator[Look]:
    """Yield one look at the largest face of each picture that has one."""
    for number, picture in enumerate(pictures):
        found = finder.find(picture).faces
        if found:
            identity = embedder.of_picture(picture, found[0].placement)
            name = f"stranger {number}"
            yield Look(person=name, source=name, time_s=0.0, identity=identity)


def pictures_of(path: Path) -> Iterator[np.ndarray]:
    """Yield the pictures of a clip, a folder or a photograph; RGB uint8."""
    if path.suffix.lower() in (".mp4", ".mov"):
        with av.open(path) as clip:
            for frame in clip.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
        return
    for each in sorted(path.iterdir()) if path.is_dir() else [path]:
        picture = cv2.imread(str(each))
        if picture is not None:
            yield np.ascontiguousarray(picture[..., ::-1])


def degraded(picture: np.ndarray, how: tuple[int, float, float, int], seed: int) -> np.ndarray:
    """Degrade a picture as a poor clip has it."""
    factor, blur_px, noise, quality = how
    height, width = picture.shape[:2]
    size = (width // factor, height // factor)
    small = cv2.resize(
        cv2.GaussianBlur(picture, (0, 0), blur_px), size, interpolation=cv2.INTER_AREA
    )  # fmt: skip
    noisy = small + np.random.default_rng(seed).normal(0, noise, small.shape)
    data = cv2.imencode(
        ".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


if __name__ == "__main__":
    main()
