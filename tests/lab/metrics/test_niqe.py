"""NIQE: its parts by hand, its laws, and the authors' numbers where their model was fetched."""

import math

import cv2
import numpy as np
import pytest
from support.pictures import noise_picture, scene, spoil
from support.tiny.weights import fetching_nothing

from livemoments.errors import DamagedFileError, InputError, MissingFileError
from livemoments.files import cache_folder
from livemoments.jobs.demo.scene import demo_photograph
from livemoments.lab.metrics import niqe as niqe_file
from livemoments.lab.metrics.niqe import (
    HALVING,
    Pristine,
    block_features,
    fetch_pristine,
    halved,
    niqe,
    read_pristine,
)

FETCHED = cache_folder() / "mmagic" / "niqe_pris_params.npz"


@pytest.fixture(scope="module")
def pristine():
    """A model of scenes made here, each as another camera would see it."""
    pictures = [
        spoil(
            scene(288, 384, seed=seed), blur_px=0.4 + seed / 20, noise=0.01 + seed / 400, seed=seed
        )
        for seed in range(8)
    ]
    found = np.concatenate([block_features(picture) for picture in pictures])
    return Pristine(mean=found.mean(0), covariance=np.cov(found, rowvar=False))


def bicubic(distance: float) -> float:
    """Keys' kernel with a = -1/2, which MATLAB calls bicubic."""
    x = abs(distance)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


class TestHalving:
    def test_the_weights_are_the_kernel_at_twice_its_width(self):
        expected = [bicubic((i - 3.5) / 2) / 2 for i in range(8)]
        np.testing.assert_allclose(HALVING, expected, atol=1e-15)

    def test_a_pixel_by_hand(self):
        grey = noise_picture(20, 24, channels=1)[..., 0].astype(np.float64)
        window = grey[2 * 4 - 3 : 2 * 4 + 5, 2 * 5 - 3 : 2 * 5 + 5]
        assert halved(grey).shape == (10, 12)
        assert halved(grey)[4, 5] == pytest.approx(HALVING @ window @ HALVING)

    def test_borders_are_mirrored_and_a_flat_picture_stays(self):
        grey = noise_picture(8, 8, channels=1)[..., 0].astype(np.float64)
        mirrored = np.pad(grey, 4, mode="symmetric")
        np.testing.assert_allclose(halved(grey), halved(mirrored)[2:-2, 2:-2])
        np.testing.assert_allclose(halved(np.full((6, 8), 77.0)), 77)


class TestFeatures:
    @pytest.mark.parametrize("shape", [0.5, 1.0, 2.0])
    def test_the_shape_of_a_known_distribution_is_found(self, shape):
        """Generalised Gaussians are powers of gamma-distributed values."""
        rng = np.random.default_rng(0)
        values = rng.gamma(1 / shape, size=(1, 500, 500)) ** (1 / shape)
        values *= rng.choice([-1, 1], size=values.shape)
        found, mean, left, right = (each[0] for each in niqe_file._fitted(3 * values))
        assert found == pytest.approx(shape, rel=0.03)
        assert left == pytest.approx(3, rel=0.05) and right == pytest.approx(3, rel=0.05)
        assert mean == pytest.approx(0, abs=0.1 * math.gamma(2 / shape) / math.gamma(1 / shape))

    def test_leaning_to_one_side_is_found(self):
        """Twice as wide to the right, where there is twice as much."""
        rng = np.random.default_rng(0)
        values = np.abs(rng.standard_normal((1, 400, 400)))
        values *= rng.choice([2, 2, -1], size=values.shape)
        shape, mean, left, right = (each[0] for each in niqe_file._fitted(values))
        assert shape == pytest.approx(2, rel=0.03)
        assert right == pytest.approx(2 * left, rel=0.03)
        assert mean == pytest.approx(values.mean(), rel=0.03)

    def test_each_block_has_36_and_the_rest_is_left_out(self):
        picture = scene(200, 310, seed=3)
        found = block_features(picture)
        assert found.shape == (6, 36)
        np.testing.assert_array_equal(found, block_features(picture[:192, :288]))

    def test_a_flat_block_has_none(self):
        picture = scene(192, 192, seed=3)
        picture[:110, :110] = 0.4  # what is around a block counts too
        missing = np.isnan(block_features(picture)).any(axis=1)
        assert missing.tolist() == [True, False, False, False]


class TestNiqe:
    @pytest.mark.slow
    def test_it_grows_with_blur_noise_and_blocks(self, pristine):
        clean = spoil(scene(288, 384, seed=100), noise=0.02)
        own = niqe(clean, pristine)
        blurred = [niqe(spoil(clean, blur_px=px, noise=0), pristine) for px in (0.7, 1.2, 2, 4)]
        assert own < blurred[0] < blurred[1] < blurred[2] < blurred[3]
        noisy = [niqe(spoil(clean, blur_px=0, noise=share), pristine) for share in (0.05, 0.1, 0.3)]
        assert own < noisy[0] < noisy[1] < noisy[2]

    def test_a_picture_of_the_model_is_near_it(self, pristine):
        assert niqe(spoil(scene(288, 384, seed=100), noise=0.02), pristine) < 4
        assert niqe(noise_picture(288, 384), pristine) > 10

    def test_flat_parts_are_passed_over(self, pristine):
        picture = scene(288, 384, seed=100)
        picture[:96] = 0.25
        assert np.isfinite(niqe(picture, pristine))

    @pytest.mark.parametrize(
        "picture, message",
        [
            (noise_picture(95, 300), "sides of at least 96 pixels, got 300 x 95"),
            (noise_picture(100, 100), "two blocks of 96 x 96 .* found 1 in 100 x 100"),
            (np.full((200, 200, 3), 0.5), "that are not flat, found 0 in 200 x 200"),
        ],
    )
    def test_too_small_or_flat_a_picture_is_refused(self, pristine, picture, message):
        with pytest.raises(InputError, match=message):
            niqe(picture, pristine)


class TestModel:
    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not an archive", b"nothing"])
    def test_a_damaged_file_is_named(self, tmp_path, content):
        path = tmp_path / "niqe_pris_params.npz"
        path.write_bytes(content)
        with pytest.raises(DamagedFileError, match=r"npz: not the pristine model of NIQE"):
            read_pristine(path)

    def test_a_file_without_the_model_is_named(self, tmp_path):
        path = tmp_path / "model.npz"
        np.savez(path, mu_pris_param=np.zeros(36))
        with pytest.raises(DamagedFileError, match="not the pristine model"):
            read_pristine(path)
        np.savez(path, mu_pris_param=np.zeros(36), cov_pris_param=np.zeros((4, 4)))
        with pytest.raises(DamagedFileError, match="not the pristine model"):
            read_pristine(path)
        with pytest.raises(MissingFileError, match="must be fetched first"):
            read_pristine(tmp_path / "none.npz")

    def test_it_is_fetched_once(self, tmp_path, monkeypatch):
        asked = fetching_nothing(monkeypatch)
        for _ in range(2):
            assert fetch_pristine(tmp_path) == tmp_path / "mmagic" / "niqe_pris_params.npz"
        assert asked == ["mmagic 1.2.0"]


@pytest.mark.skipif(not FETCHED.exists(), reason="the pristine model of NIQE was not fetched")
class TestAuthorsModel:
    """The numbers are those of BasicSR 1.4.2, run on the same grey with its resizing in float64.

    BasicSR states 5.7295763 for a picture of which the authors' release for MATLAB has 5.72957338.
    """

    @pytest.fixture
    def model(self):
        return read_pristine(FETCHED)

    def test_numbers_of_basicsr(self, model):
        assert niqe(noise_picture(192, 288), model) == pytest.approx(29.6932821492782)
        assert niqe(spoil(scene(300, 400), noise=0.05), model) == pytest.approx(10.313480339822592)

    def test_a_photograph_gets_worse_with_blur_noise_and_compression(self, model):
        clean = np.float32(demo_photograph()[400:784, 500:980]) / 255
        own = niqe(clean, model)
        assert 2 < own < 6
        blurred = [niqe(spoil(clean, blur_px=px, noise=0), model) for px in (1, 2, 4)]
        assert own < blurred[0] < blurred[1] < blurred[2]
        noisy = [niqe(spoil(clean, blur_px=0, noise=share), model) for share in (0.1, 0.2, 0.4)]
        assert own < noisy[0] < noisy[1] < noisy[2]
        packed = []
        for quality in (40, 20, 8):
            data = cv2.imencode(".jpg", np.rint(clean * 255), [cv2.IMWRITE_JPEG_QUALITY, quality])
            packed.append(niqe(cv2.imdecode(data[1], cv2.IMREAD_COLOR) / 255, model))
        assert packed[0] < packed[1] < packed[2]
