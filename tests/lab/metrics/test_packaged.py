"""FLIP and SSIMULACRA2 as their packages compute them: their laws."""

import sys

import numpy as np
import pytest
from support.pictures import noise_picture, scene, spoil

from livemoments.errors import InputError, MissingExtraError
from livemoments.lab.metrics.metric import as_stored
from livemoments.lab.metrics.packaged import flip, ssimulacra2

PACKAGES = {"flip": "flip_evaluator", "ssimulacra2": "ssimulacra2"}
MAKERS = {"flip": flip, "ssimulacra2": ssimulacra2}


@pytest.fixture(params=list(PACKAGES))
def metric(request):
    pytest.importorskip(PACKAGES[request.param], reason="the evaluate extra is not installed")
    return request.param, MAKERS[request.param]()


@pytest.fixture
def picture():
    return as_stored(scene(96, 128, seed=2), "the picture")


def test_alike_is_perfect(metric, picture):
    name, measure = metric
    assert measure(picture, picture) == pytest.approx(0 if name == "flip" else 100, abs=1e-6)


def test_it_gets_worse_with_blur_and_with_noise(metric, picture):
    name, measure = metric
    sign = 1 if name == "flip" else -1
    blurred = [sign * measure(spoil(picture, blur_px=px, noise=0), picture) for px in (0.5, 1, 3)]
    assert sign * measure(picture, picture) < blurred[0] < blurred[1] < blurred[2]
    noisy = [sign * measure(spoil(picture, blur_px=0, noise=n), picture) for n in (0.01, 0.05, 0.2)]
    assert sign * measure(picture, picture) < noisy[0] < noisy[1] < noisy[2]


def test_flip_is_symmetric(picture):
    pytest.importorskip("flip_evaluator", reason="the evaluate extra is not installed")
    other = spoil(picture)
    assert flip()(picture, other) == pytest.approx(flip()(other, picture), abs=1e-6)


def test_flip_of_black_and_white_is_nearly_one():
    """As the paper has it: the largest difference of colours is 1."""
    pytest.importorskip("flip_evaluator", reason="the evaluate extra is not installed")
    black, white = np.zeros((64, 64, 3), np.float32), np.ones((64, 64, 3), np.float32)
    assert 0.9 < flip()(black, white) <= 1


def test_ssimulacra2_needs_8_pixels():
    pytest.importorskip("ssimulacra2", reason="the evaluate extra is not installed")
    with pytest.raises(InputError, match="at least 8 pixels, got 40 x 7"):
        ssimulacra2()(noise_picture(7, 40), noise_picture(7, 40))


@pytest.mark.parametrize("name", list(PACKAGES))
def test_without_the_package(monkeypatch, name):
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    with pytest.raises(MissingExtraError, match=r"which is not installed; pip install (flip|ssi)"):
        MAKERS[name]()
