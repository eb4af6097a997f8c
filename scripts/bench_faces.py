"""Measure faces of real clips, degraded at two strengths: input, main model, face restoration.

    python scripts/bench_faces.py --clips d0.mp4 d3.mp4 street-interview/ --out faces.json

    python scripts/bench_faces.py --clips ... --out faces.json --ablation --strengths severe

The first frame of each clip is the reference. Prints tables for each strength, of means over faces
and of each face, and what was to be reached. Run again, it goes on where it was stopped. Needs
the extras `faces` and `evaluate`, and weights that are fetched once (75 MB).
"""

import argparse
import logging
import sys
from pathlib import Path

from livemoments.cli.bars import StageProgress
from livemoments.errors import LiveMomentsError
from livemoments.faces.detect import FaceFinder
from livemoments.faces.identity import Embedder
from livemoments.faces.models import FaceModels
from livemoments.lab.face_benchmark.clips import FaceMeasures
from livemoments.lab.face_benchmark.figures import bars, table
from livemoments.lab.face_benchmark.judge import SecondJudge
from livemoments.lab.face_benchmark.methods import (
    INPUT,
    MAIN,
    Input,
    MainOnFaces,
    MainWhole,
    Method,
)
from livemoments.lab.face_benchmark.run import FRAMES, BenchmarkConfig, Results, measure
from livemoments.lab.face_benchmark.sheets import FaceSheets
from livemoments.lab.face_benchmark.strengths import STRENGTHS
from livemoments.lab.face_benchmark.tier import ABLATION, TIER, FaceTier, PeopleOf, variants
from livemoments.lab.face_benchmark.truths import clips_of
from livemoments.lab.metrics.catalogue import make_metrics
from livemoments.lab.metrics.metric import Metric
from livemoments.models.faces import SHIPPED

METRICS = ("PSNR-Y", "SSIM-Y", "LPIPS-AlexNet", "DISTS")
METHODS = ("input", "whole", "faces", "tier")  # whole, faces: ways of the main model
EVERY = 4  # frames between those whose identity and pictures are measured


def main() -> int:
    """Measure and print."""
    options = _options()
    models = FaceModels()
    finder, embedder = FaceFinder(models), Embedder(models)
    measures = FaceMeasures(
        finder=finder,
        embedder=embedder,
        metrics=_metrics(options.metrics),
        judges=_judges(options),
        identity_every=EVERY,
        metrics_every=EVERY,
    )
    config = BenchmarkConfig(
        frames=options.frames,
        seed=options.seed,
        strengths=tuple(STRENGTHS[name] for name in options.strengths),
    )
    methods = _methods(options, finder, embedder)
    sheets = FaceSheets(options.pictures) if options.pictures else None
    with StageProgress() as progress:
        results = measure(
            clips_of(options.clips), methods, measures, config, options.out,
            sheets=sheets, progress=progress,
        )  # fmt: skip
    names = [method.name for method in methods]
    for strength in options.strengths:
        _print(
            results, strength, names, [each.name for each in (*measures.metrics, *measures.judges)]
        )
        if sheets is not None:
            sheets.make(list(results.figures(strength, names)), strength, names)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--clips", nargs="+", type=Path, required=True, help="video files, folders of pictures")
    add("--out", type=Path, required=True, help="the file of results, JSON; continued if it exists")
    add("--frames", type=int, default=FRAMES, help=f"of each clip at most; {FRAMES}")
    add("--seed", type=int, default=0, help="of the noise")
    add("--strengths", nargs="+", choices=list(STRENGTHS), default=list(STRENGTHS))
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    add("--faces", type=Path, default=SHIPPED, help="the face tier's weights; the package's")
    add("--ablation", nargs="*", choices=list(ABLATION), help="rows of the ablation; all if none")
    add("--without-feedback", type=Path, help="weights trained without feedback: a row, too")
    add("--metrics", nargs="*", choices=METRICS, default=list(METRICS), help="of pictures")
    add("--second-judge", type=Path, help="fr_feature.onnx: identity by another network, too")
    add("--pictures", type=Path, help="a folder for sheets to look at")
    add("--threads", type=int, default=0, help="of the models; 0: one per core")
    return parser.parse_args()


def _metrics(names: list[str]) -> list[Metric]:
    """Return the metrics that can be had, and warn of the others."""
    found = []
    for metric in make_metrics(names):
        if isinstance(metric, Metric):
            found.append(metric)
        else:
            logging.warning("%s: %s", metric.name, getattr(metric, "reason", ""))
    return found


def _judges(options: argparse.Namespace) -> list[Metric]:
    return [SecondJudge(options.second_judge).metric()] if options.second_judge else []


def _methods(options: argparse.Namespace, finder: FaceFinder, embedder: Embedder) -> list[Method]:
    people, threads = PeopleOf(finder, embedder), options.threads
    made: list[Method] = []
    for name in options.methods:
        if name == "input":
            made.append(Input())
        elif name == "whole":
            made.append(MainWhole(threads=threads))
        elif name == "faces":
            made.append(MainOnFaces(finder, embedder, threads=threads))
        else:
            made.append(FaceTier(people, options.faces, threads=threads))
    if options.ablation is not None or options.without_feedback:
        made += variants(
            people, options.faces, options.ablation or None if options.ablation is not None else [],
            without_feedback=options.without_feedback, threads=threads,
        )  # fmt: skip
    return made


def _print(results: Results, strength: str, methods: list[str], metrics: list[str]) -> None:
    print(f"\n## {strength}\n")
    means = results.means(strength, methods)
    print("\n".join(table(means, "mean over faces", metrics)))
    for person, figures in results.figures(strength, methods).items():
        print()
        print("\n".join(table(figures, person, metrics)))
    if TIER in methods and INPUT in methods:
        print("\n".join(map(str, ["", *bars(strength, means, TIER, INPUT, MAIN)])))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LiveMomentsError as error:
        sys.exit(str(error))
