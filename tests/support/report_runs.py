"""Runs of a benchmark for tests of its report: made of formulas, with pictures where asked."""

import dataclasses
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

from livemoments.lab.benchmark.results import (
    BenchmarkRun,
    ImageInfo,
    ImageScore,
    MethodInfo,
    MetricInfo,
)
from support.pictures import as_bytes, scene

PSNR = MetricInfo(name="PSNR-Y", better="higher", against="truth")
LPIPS = MetricInfo(name="LPIPS-AlexNet", better="lower", against="truth")
NIQE = MetricInfo(name="NIQE_re", better="lower", against="key photo")
FID = MetricInfo(name="patch-FID", better="lower", against="set")
MUSIQ = MetricInfo(name="MUSIQ_re", better="lower", against="key photo", missing="needs pyiqa")
OURS = MethodInfo(
    name="livemoments", label="livemoments", detail="compact tier", cost={"parameters_m": 7.3}
)
CUBIC = MethodInfo(name="bicubic", label="Bicubic")
GAN = MethodInfo(name="gan", label="Real-ESRGAN", cost={"parameters_m": 16.7})
VOID = ("area", "base", "br", "col", "hr", "img", "input", "link", "meta")


def image(name: str, width: int = 64, height: int = 48, *, truth: bool = True) -> ImageInfo:
    return ImageInfo(
        name=name, width=width, height=height, frame=f"{name}/frame.png", key=f"{name}/key.png",
        truth=f"{name}/truth.png" if truth else None, source="made of numbers",
    )  # fmt: skip


def score(method: str, of: str, messages=None, seconds=1.5, **values) -> ImageScore:
    """Values by the metric's name with its hyphens as underscores."""
    names = {m.name.replace("-", "_"): m.name for m in (PSNR, LPIPS, NIQE)}
    return ImageScore(
        method=method, image=of, values={names[k]: v for k, v in values.items()},
        messages=messages or {}, seconds=seconds, picture=f"{method}/{of}.png",
    )  # fmt: skip


def make_run(images=5, **changes) -> BenchmarkRun:
    """Three methods: ours clearly the best by PSNR and LPIPS, not clearly by NIQE."""
    names = [f"image {i}" for i in range(images)]
    scores = []
    for i, name in enumerate(names):
        wave = 0.1 * (-1) ** i
        scores += [
            score("bicubic", name, PSNR_Y=28.0 + i, LPIPS_AlexNet=0.30 + 0.01 * i, NIQE_re=0.3),
            score("gan", name, PSNR_Y=29.0 + i, LPIPS_AlexNet=0.20 + 0.01 * i, NIQE_re=0.2 + wave),
            score("livemoments", name, PSNR_Y=31.0 + i, LPIPS_AlexNet=0.10 + 0.01 * i, NIQE_re=0.2),
        ]
    run = BenchmarkRun(
        title="A test", set_name="made", set_folder="sets/made", command="livemoments benchmark",
        environment={"Python": "3.11", "date": "2025-11-21"}, metrics=[PSNR, LPIPS, NIQE, MUSIQ],
        methods=[CUBIC, GAN, OURS], images=[image(name) for name in names], scores=scores,
        notes=["The frames were made."], seed=3,
    )  # fmt: skip
    return dataclasses.replace(run, **changes)


def read_run(path: Path) -> BenchmarkRun:
    """What a run.json holds, in which messages are "said"."""
    values = json.loads(path.read_text(encoding="utf-8"))
    assert values.pop("format") == 1
    for each in values["scores"]:
        each["messages"] = each.pop("said")
    kinds = (MetricInfo, MethodInfo, ImageInfo, ImageScore)
    for name, kind in zip(("metrics", "methods", "images", "scores"), kinds, strict=True):
        values[name] = [kind(**each) for each in values[name]]
    return BenchmarkRun(**values)


def only(run: BenchmarkRun, *methods: str) -> BenchmarkRun:
    """The same run of these methods alone."""
    return dataclasses.replace(
        run,
        methods=[m for m in run.methods if m.name in methods],
        scores=[s for s in run.scores if s.method in methods],
    )


def write_pictures(run: BenchmarkRun, folder: Path, size: tuple[int, int] | None = None) -> Path:
    """All pictures of a run and its set, in one folder; the frame at half the size (w, h)."""
    for number, each in enumerate(run.images):
        width, height = size or (each.width, each.height)
        truth = Image.fromarray(as_bytes(scene(height, width, seed=number)))
        frame = truth.resize((width // 2, height // 2))
        pictures = {each.frame: frame, each.key: truth.rotate(3)}
        if each.truth:
            pictures[each.truth] = truth
        for place, found in enumerate(s for s in run.scores if s.image == each.name):
            pictures[found.picture] = worse(truth, place)
        for name, picture in pictures.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            picture.save(folder / name)
    return folder


def worse(picture: Image.Image, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, 6, np.asarray(picture).shape)
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


class Page(HTMLParser):
    """A page, checked while it is read: every element ends, and in the right order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute twice: {attrs}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> within {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]
