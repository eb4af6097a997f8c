"""Make the metrics of the benchmark by name, or say why one cannot be had.

Fidelity to a truth: PSNR-Y, SSIM-Y, LPIPS, DISTS, FLIP, SSIMULACRA2. As good as the key photo:
NIQE_re, MUSIQ_re, CLIPIQA_re, MANIQA_re (Eq. 7), CLIP-Q, DINO-Q. Of a whole set: patch-FID and
patch-FD (VGG16). Of faces: identity.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from livemoments.errors import ConfigError, DeviceError, LiveMomentsError
from livemoments.files import cache_folder
from livemoments.imaging.fidelity import psnr_y, ssim_y
from livemoments.lab.metrics.metric import (
    Against,
    AnyMetric,
    Better,
    Metric,
    Missing,
    SetMetric,
    need_package,
)
from livemoments.lab.metrics.packaged import flip, ssimulacra2


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where weights come from, and where the networks run."""

    folder: Path | None = None  # of weights that are fetched; None: this user's cache
    inception: Path | None = None  # inception-2015-12-05.pt, for patch-FID
    clip: str | None = None  # a folder, or a name in the Hugging Face cache; None: ViT-B/32
    dino: str | None = None  # likewise; None: ViT-S/16
    device: str = "cpu"  # where PyTorch computes: cpu, cuda, cuda:1


def make_metrics(
    names: Sequence[str] | None = None, sources: Sources | None = None
) -> list[AnyMetric | Missing]:
    """Make metrics ready, in the order of their names; one that cannot be had says why.

    Args:
        names: of METRICS; None: all.
        sources: where their weights are. What packages bring is fetched on first use.

    Raises:
        ConfigError: a name is unknown.
    """
    names = list(METRICS) if names is None else names
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise ConfigError(f"no metric {unknown[0]!r}; there are {', '.join(METRICS)}")
    parts = _Parts(sources or Sources())
    return [_make(name, parts) for name in names]


def _make(name: str, parts: "_Parts") -> AnyMetric | Missing:
    row = METRICS[name]
    try:
        measure = row.load(parts)
    except LiveMomentsError as error:
        return Missing(name=name, reason=f"not available: {error}")
    if row.against == "set":
        from livemoments.lab.metrics.patch_fid import frechet_score

        return SetMetric(name=name, extract=measure, distance=frechet_score)
    return Metric(name=name, better=row.better, against=row.against, measure=measure)


class _Parts:
    """The parts that metrics are made of; what several share is made once, or fails once."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.folder = sources.folder or cache_folder()

    def perceptual(self) -> Any:  # noqa: ANN401 - PerceptualMetrics, which needs PyTorch
        """Return the part of four metrics; without a network only the first waits for it."""
        if isinstance(self._perceptual, LiveMomentsError):
            raise self._perceptual
        return self._perceptual

    @cached_property
    def _perceptual(self) -> object:
        try:
            device = self.device("LPIPS and DISTS")
            from livemoments.lab.metrics.perceptual import PerceptualMetrics, fetch_weights

            return PerceptualMetrics(fetch_weights(self.folder), device)
        except LiveMomentsError as error:
            return error

    def device(self, job: str) -> str:
        """Return the device, where PyTorch is installed and has it."""
        torch = need_package("torch", "torch", job)
        try:
            torch.zeros(1, device=self.sources.device)
        except (RuntimeError, AssertionError) as error:
            raise DeviceError(
                f"{job}: PyTorch cannot compute on {self.sources.device!r} here; choose cpu"
            ) from error
        return self.sources.device

    def niqe(self) -> Callable:
        from livemoments.lab.metrics.niqe import fetch_pristine, niqe, read_pristine
        from livemoments.lab.metrics.relative import relative_metric

        pristine = read_pristine(fetch_pristine(self.folder))
        return relative_metric("NIQE", partial(niqe, pristine=pristine))

    def learned(self, name: str) -> Callable:
        device = self.device(name)
        from livemoments.lab.metrics.learned import learned_grade
        from livemoments.lab.metrics.relative import relative_metric

        return relative_metric(name, learned_grade(name, device))

    def clip(self) -> Callable:
        device = self.device("CLIP-Q")
        from livemoments.lab.metrics.embedding import CLIP, ImageEmbedding, similarity

        return similarity(ImageEmbedding("CLIP", self.sources.clip or CLIP, device))

    def dino(self) -> Callable:
        device = self.device("DINO-Q")
        from livemoments.lab.metrics.embedding import DINO, ImageEmbedding, similarity

        return similarity(ImageEmbedding("DINO", self.sources.dino or DINO, device))

    def inception(self) -> Callable:
        device = self.device("patch-FID")
        from livemoments.lab.metrics.patch_fid import InceptionFeatures

        return InceptionFeatures(self.sources.inception, device)

    def vgg16(self) -> Callable:
        metrics = self.perceptual()
        from livemoments.lab.metrics.patch_fid import Vgg16Features

        return Vgg16Features(metrics)

    def identity(self) -> Callable:
        from livemoments.lab.metrics.identity import FaceIdentity

        return FaceIdentity()


@dataclass(frozen=True)
class _Row:
    better: Better
    against: Against
    load: Callable[[_Parts], Callable]


METRICS = {
    "PSNR-Y": _Row("higher", "truth", lambda _: psnr_y),
    "SSIM-Y": _Row("higher", "truth", lambda _: ssim_y),
    "LPIPS-AlexNet": _Row("lower", "truth", lambda parts: parts.perceptual().lpips),
    "LPIPS-VGG": _Row("lower", "truth", lambda parts: parts.perceptual().lpips_vgg),
    "DISTS": _Row("lower", "truth", lambda parts: parts.perceptual().dists),
    "FLIP": _Row("lower", "truth", lambda _: flip()),
    "SSIMULACRA2": _Row("higher", "truth", lambda _: ssimulacra2()),
    "NIQE_re": _Row("lower", "key photo", _Parts.niqe),
    "MUSIQ_re": _Row("lower", "key photo", lambda parts: parts.learned("MUSIQ")),
    "CLIPIQA_re": _Row("lower", "key photo", lambda parts: parts.learned("CLIPIQA")),
    "MANIQA_re": _Row("lower", "key photo", lambda parts: parts.learned("MANIQA")),
    "CLIP-Q": _Row("higher", "key photo", _Parts.clip),
    "DINO-Q": _Row("higher", "key photo", _Parts.dino),
    "patch-FID": _Row("lower", "set", _Parts.inception),
    "patch-FD (VGG16)": _Row("lower", "set", _Parts.vgg16),
    "identity": _Row("lower", "faces", _Parts.identity),
}
