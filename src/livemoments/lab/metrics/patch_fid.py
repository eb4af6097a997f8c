"""Measure patch-FID: the Frechet distance of two sets of pictures by 512 x 512 patches.

FID (Heusel et al., NeurIPS 2017) reduces each picture to 299 pixels, where a photo's detail is
gone; LiveMoments (section 4.1) therefore takes it of patches. They lie side by side; those at the
right and the bottom are moved inward, and a smaller picture is one patch.

Inception's weights are in no package: they are the TorchScript file that StyleGAN's authors
publish, which reduces the patches to 299 pixels itself. Without it there is the same distance on
the means of VGG16's last layer, which come with LPIPS: no published FID compares with that one.

A Frechet distance of few patches is too large, by an amount that depends on their number. So it is
compared only with those of as many patches, and comes with their number.
"""

import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from livemoments.errors import InputError, MissingFileError, WeightsError
from livemoments.imaging.pixels import as_bytes
from livemoments.lab.metrics.metric import Score
from livemoments.lab.metrics.perceptual import PerceptualMetrics

PATCH_PX = 512
BATCH = 8  # patches that Inception looks at together
ENOUGH = 10_000  # patches; what the authors of FID ask for
INCEPTION = "inception-2015-12-05.pt"
INCEPTION_SOURCE = (
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/" + INCEPTION
)


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Frechet distance of the Gaussians that fit features (n, d) and (m, d).

    |mean difference|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2). With factors C = R' R the last trace
    is the sum of the singular values of R1 R2', which loses no digits as roots of C1 C2 do.

    Raises:
        InputError: a set holds fewer than two features, or they differ in length.
    """
    for features in (first, second):
        if features.ndim != 2 or len(features) < 2 or features.shape[1] != first.shape[1]:
            raise InputError(
                f"a Frechet distance needs two sets of two or more features of one length, "
                f"got {first.shape} and {second.shape}; give more pictures"
            )
    means = [features.mean(axis=0, dtype=np.float64) for features in (first, second)]
    roots = [_root(each, mean) for each, mean in zip((first, second), means, strict=True)]
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    traces = sum(float(np.sum(root * root)) for root in roots)
    return max(float(np.sum((means[0] - means[1]) ** 2) + traces - 2 * shared), 0.0)


def frechet_score(first: np.ndarray, second: np.ndarray) -> Score:
    """Return the distance as a score, with a caution where there are few patches."""
    value, dimensions = frechet_distance(first, second), first.shape[1]
    least = min(len(first), len(second))
    if least >= ENOUGH:
        return Score(value=value)
    few = f", fewer than the {dimensions} dimensions" if least <= dimensions else ""
    caution = f"of {len(first)} and {len(second)} patches{few}: too large for so few"
    return Score(value=value, message=f"{caution}; compare with as many alone")


def patches(picture: np.ndarray) -> Iterator[np.ndarray]:
    """Cut H x W x 3 into patches row by row; the last of each are moved inward."""
    height, width = picture.shape[:2]
    for y in _starts(height):
        for x in _starts(width):
            yield np.ascontiguousarray(picture[y : y + PATCH_PX, x : x + PATCH_PX])


class InceptionFeatures:
    """The 2048 features of Inception's last pooling layer, which FID is defined on."""

    def __init__(self, path: Path | None, device: str = "cpu") -> None:
        """Read the TorchScript file.

        Raises:
            MissingFileError: it is not there.
            WeightsError: it is something else.
        """
        if path is None or not path.is_file():
            found = "no file was given" if path is None else f"{path} is not there"
            raise MissingFileError(
                f"patch-FID needs Inception as TorchScript, and {found}; "
                f"get {INCEPTION} (96 MB) from {INCEPTION_SOURCE} and name it"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # there is no other form of it
                self._network = torch.jit.load(str(path), map_location=device).eval()
        except (RuntimeError, ValueError, pickle.UnpicklingError) as error:
            raise WeightsError(f"{path}: not a TorchScript file; get {INCEPTION} again") from error
        # Others publish Inception in this form too, with classes as its only output.
        arguments = [each.name for each in self._network.forward.schema.arguments]
        if "return_features" not in arguments:
            raise WeightsError(f"{path}: a network that gives no features; get {INCEPTION}")
        self._path, self._device = path, device

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Return the features of each patch of RGB in [0, 1]; float32 (patches, 2048)."""
        images = [
            torch.from_numpy(as_bytes(patch).transpose(2, 0, 1)) for patch in patches(picture)
        ]
        with torch.inference_mode():
            starts = range(0, len(images), BATCH)
            found = [self._features(torch.stack(images[i : i + BATCH])) for i in starts]
        return torch.cat(found).cpu().numpy()

    def _features(self, images: Tensor) -> Tensor:
        """Return the features (B, d) of uint8 images (B, 3, h, w)."""
        features = self._network(images.to(self._device), return_features=True)
        if not isinstance(features, Tensor) or features.shape != (len(images), features.shape[-1]):
            raise WeightsError(f"{self._path}: gives no row of features; get {INCEPTION}")
        return features.float()


class Vgg16Features:
    """The means of VGG16's last layer, a stand-in for Inception's features."""

    def __init__(self, metrics: PerceptualMetrics) -> None:
        self._metrics = metrics

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Return the features of each patch of RGB in [0, 1]; float32 (patches, 512)."""
        return np.stack([self._metrics.vgg16_features(patch) for patch in patches(picture)])


def _starts(length: int) -> list[int]:
    """List where patches begin along a side."""
    last = max(length - PATCH_PX, 0)
    return sorted({min(start, last) for start in range(0, length, PATCH_PX)})


def _root(features: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return R with R' R the covariance of features (n, d); at most d rows."""
    centred = (features - mean) / np.sqrt(len(features) - 1)
    if len(centred) <= centred.shape[1]:
        return centred
    return np.asarray(np.linalg.qr(centred, mode="r"))
