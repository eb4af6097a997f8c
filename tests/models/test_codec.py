"""The lossless codec."""

import numpy as np
import pytest
from support.pictures import noise_picture

from livemoments.models.codec import FOLD, decode, encode


def planes(batch: int, height: int, width: int) -> np.ndarray:
    return np.stack([noise_picture(height, width, seed=i).transpose(2, 0, 1) for i in range(batch)])


@pytest.mark.parametrize("size", [(1, 4, 4), (2, 64, 32), (1, 12, 20)])
def test_decoding_undoes_encoding_exactly(size):
    image = planes(*size)
    latent = encode(image)
    assert latent.shape == (size[0], 3 * FOLD**2, size[1] // FOLD, size[2] // FOLD)
    np.testing.assert_array_equal(decode(latent), image)


def test_a_cell_holds_its_sixteen_pixels_row_by_row():
    image = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
    np.testing.assert_array_equal(encode(image)[0, :, 1, 0], image[0, 0, 4:, :4].ravel())


def test_agrees_with_torch():
    torch = pytest.importorskip("torch", reason="the train extra is not installed")
    image = planes(2, 16, 24)
    expected = torch.nn.functional.pixel_unshuffle(torch.from_numpy(image), FOLD).numpy()
    np.testing.assert_array_equal(encode(image), expected)
    back = torch.nn.functional.pixel_shuffle(torch.from_numpy(expected), FOLD).numpy()
    np.testing.assert_array_equal(decode(expected), back)
