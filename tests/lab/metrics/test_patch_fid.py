"""Patch-FID: the Frechet distance against closed forms, the patches, and a small stand-in."""

import warnings

import numpy as np
import pytest
from support.pictures import noise_picture, scene

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from support.tiny.weights import metric_weights

from livemoments.errors import InputError, MissingFileError, WeightsError
from livemoments.lab.metrics.patch_fid import (
    ENOUGH,
    InceptionFeatures,
    Vgg16Features,
    frechet_distance,
    frechet_score,
    patches,
)
from livemoments.lab.metrics.perceptual import PerceptualMetrics


class TinyInception(torch.nn.Module):
    """Called as the real one: uint8 in, and four features of each picture."""

    def forward(self, images, return_features: bool = False):
        means = images.float().mean((2, 3))
        return torch.cat([means, means[:, :1] ** 2], 1) if return_features else means


class OnlyClasses(torch.nn.Module):
    def forward(self, images):
        return images.float().mean((2, 3))


class WholeMaps(torch.nn.Module):
    def forward(self, images, return_features: bool = False):
        return images.float()


@pytest.fixture
def save(tmp_path):
    def write(network: torch.nn.Module):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(torch.jit.script(network), tmp_path / "network.pt")
        return tmp_path / "network.pt"

    return write


def gaussian(mean, covariance, count: int, seed: int = 0) -> np.ndarray:
    """As many samples whose own mean and covariance are exactly these."""
    mean, covariance = np.asarray(mean, float), np.asarray(covariance, float)
    raw = np.random.default_rng(seed).standard_normal((count, len(mean)))
    white = np.linalg.qr(raw - raw.mean(0))[0] * np.sqrt(count - 1)
    return white @ np.linalg.cholesky(covariance).T + mean


def random_covariance(size: int, seed: int) -> np.ndarray:
    root = np.random.default_rng(seed).standard_normal((size, size))
    return root @ root.T / size + 0.1 * np.eye(size)


class TestFrechetDistance:
    def test_it_is_zero_for_the_same_set_in_any_order(self):
        features = np.random.default_rng(0).standard_normal((60, 24))
        assert frechet_distance(features, features) == pytest.approx(0, abs=1e-12)
        assert frechet_distance(features, features[::-1]) == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize("count", [7, 200])
    def test_it_is_exact_for_gaussians_along_the_axes(self, count):
        one, other = np.array([1.0, 4.0, 0.25]), np.array([9.0, 1.0, 0.25])
        found = frechet_distance(
            gaussian([0, 0, 0], np.diag(one), count),
            gaussian([3, -4, 0], np.diag(other), count + 3, 1),
        )
        assert found == pytest.approx(25 + np.sum((one**0.5 - other**0.5) ** 2), rel=1e-10)

    def test_it_is_exact_for_any_two_gaussians(self):
        """The trace of (C1 C2)^(1/2) is the sum of the roots of C1 C2's eigenvalues."""
        one, other = random_covariance(6, 0), random_covariance(6, 1)
        root = np.sqrt(np.linalg.eigvals(one @ other).real).sum()
        expected = 6 * 0.5**2 + np.trace(one) + np.trace(other) - 2 * root
        found = frechet_distance(
            gaussian(np.zeros(6), one, 50), gaussian(np.full(6, 0.5), other, 80, 1)
        )
        assert found == pytest.approx(expected, rel=1e-10)

    def test_the_two_sets_may_change_places(self):
        one = np.random.default_rng(0).standard_normal((30, 40))
        other = 0.5 + 2 * np.random.default_rng(1).standard_normal((50, 40))
        assert frechet_distance(one, other) == pytest.approx(
            frechet_distance(other, one), rel=1e-12
        )

    def test_turning_and_moving_both_sets_changes_nothing(self):
        rng = np.random.default_rng(0)
        one, other = rng.standard_normal((30, 8)), 2 * rng.standard_normal((9, 8)) + 1
        turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]
        assert frechet_distance(one @ turn + 5, other @ turn + 5) == pytest.approx(
            frechet_distance(one, other), rel=1e-9
        )

    def test_fewer_samples_than_dimensions(self):
        """Dimensions in which nothing varies add nothing."""
        one, other = (
            gaussian([0, k], random_covariance(2, k), 5, k).astype(np.float32) for k in (0, 1)
        )
        wide = [np.pad(each, ((0, 0), (0, 30))) for each in (one, other)]
        assert frechet_distance(*wide) == pytest.approx(frechet_distance(one, other), rel=1e-9)

    def test_few_samples_make_it_too_large_and_are_told(self):
        rng = np.random.default_rng(0)
        drawn = [
            frechet_score(rng.standard_normal((n, 16)), rng.standard_normal((n, 16)))
            for n in (8, 40, 400)
        ]
        assert drawn[0].value > drawn[1].value > drawn[2].value > 0
        assert "of 8 and 8 patches, fewer than the 16 dimensions: too large" in drawn[0].message
        assert "of 400 and 400 patches: too large for so few" in drawn[2].message

    def test_many_samples_need_no_warning(self):
        many = np.random.default_rng(0).standard_normal((ENOUGH, 2))
        assert frechet_score(many, many).message == ""

    @pytest.mark.parametrize("shape", [(1, 4), (9, 5), (9,)])
    def test_sets_that_cannot_be_compared_are_refused(self, shape):
        with pytest.raises(InputError, match="two sets of two or more features of one length"):
            frechet_distance(np.zeros((9, 4)), np.zeros(shape))


class TestPatches:
    @pytest.mark.parametrize(
        "shape, count", [((512, 512), 1), ((100, 700), 2), ((513, 1025), 6), ((1024, 1536), 6)]
    )
    def test_they_cover_a_picture(self, shape, count):
        places = np.arange(shape[0] * shape[1]).reshape(*shape, 1)
        found = list(patches(places))
        assert len(found) == count
        assert {each.shape[:2] for each in found} == {tuple(min(side, 512) for side in shape)}
        seen = np.zeros(places.size, bool)
        for each in found:
            seen[each.ravel()] = True
        assert seen.all()

    def test_a_photograph_of_12_mp_has_48_that_do_not_overlap(self):
        assert len(list(patches(np.zeros((3072, 4096, 3), np.uint8)))) == 48

    def test_a_small_picture_is_one(self):
        picture = noise_picture(40, 60)
        (found,) = patches(picture)
        np.testing.assert_array_equal(found, picture)


class TestInception:
    def test_each_patch_gives_features(self, save):
        look = InceptionFeatures(save(TinyInception()))
        picture = scene(600, 520)
        found = look(np.rint(picture * 255) / 255)
        assert found.shape == (4, 4) and found.dtype == np.float32
        expected = np.rint(np.float64(picture[:512, :512]) * 255).mean((0, 1))
        np.testing.assert_allclose(found[0, :3], expected, rtol=1e-5)

    def test_no_file_is_told_with_where_to_get_it(self, tmp_path):
        with pytest.raises(MissingFileError, match=r"no file was given; get inception-2015-12-05"):
            InceptionFeatures(None)
        with pytest.raises(MissingFileError, match=r"none\.pt is not there; get .* from https"):
            InceptionFeatures(tmp_path / "none.pt")

    @pytest.mark.parametrize("content", [b"", b"not a network"])
    def test_another_file_is_named(self, tmp_path, content):
        path = tmp_path / "inception.pt"
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"inception\.pt: not a TorchScript file"):
            InceptionFeatures(path)

    def test_another_network_is_named(self, save):
        with pytest.raises(WeightsError, match=r"network\.pt: a network that gives no features"):
            InceptionFeatures(save(OnlyClasses()))
        look = InceptionFeatures(save(WholeMaps()))
        with pytest.raises(WeightsError, match=r"network\.pt: gives no row of features"):
            look(scene(40, 40))


def test_vgg16_stands_in(tmp_path):
    look = Vgg16Features(PerceptualMetrics(metric_weights(tmp_path / "weights")))
    one, other = scene(530, 40, seed=1), scene(530, 40, seed=2)
    assert look(one).shape == (2, 8)
    assert frechet_distance(look(one), look(one)) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(look(one), look(other)) > 0
