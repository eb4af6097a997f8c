"""The MotionEncoder against numbers of the official release."""

import numpy as np
import pytest
from support import DATA

torch = pytest.importorskip("torch")

from livemoments.errors import ConfigError
from livemoments.networks.motion_encoder import MotionEncoder, MotionEncoderConfig, normed


def by_formula(encoder: MotionEncoder) -> dict:
    """The weights that the stored numbers were made with: too many to store, so a formula."""
    found = {}
    for k, (name, parameter) in enumerate(sorted(encoder.named_parameters())):
        wave = np.sin(np.arange(parameter.numel(), dtype=np.float64) * 0.7390851 + k)
        if name.endswith("weight"):
            wave *= np.sqrt(3 / np.prod(parameter.shape[1:]))
        else:
            wave *= 0.1 * np.sqrt(3 / 9)
        found[name] = torch.from_numpy(wave.reshape(parameter.shape).astype(np.float32))
    return found


@pytest.mark.slow
def test_embeddings_are_the_releases():
    encoder = MotionEncoder()
    encoder.load_state_dict(by_formula(encoder), strict=True)
    with np.load(DATA / "official_motion_encoder.npz") as stored:
        numbers = {name: torch.from_numpy(stored[name]) for name in stored}
    with torch.no_grad():
        found = encoder(numbers["flow"])
    assert len(found) == 24
    for i in range(0, 24, 2):
        expected = numbers[f"embedding.{i}"]
        for embedding in found[i : i + 2]:  # two blocks share one
            torch.testing.assert_close(embedding[..., ::64], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (64, 16)])
def test_a_token_is_sixteen_pixels_a_side(size):
    config = MotionEncoderConfig(channels=(4, 4, 4, 8), embeddings=3, blocks_per_embedding=1)
    found = MotionEncoder(config)(torch.zeros(2, 2, *size))
    assert [e.shape for e in found] == [(2, size[0] * size[1] // 256, 8)] * 3


def test_normed_is_a_layer_norm_without_weights():
    x = normed(3 + 5 * torch.randn(2, 6, 64))
    assert x.mean(-1).abs().max() < 1e-5 and (x.std(-1, correction=0) - 1).abs().max() < 1e-3


@pytest.mark.parametrize("settings", [{"channels": (4, 4)}, {"embeddings": 0}])
def test_impossible_sizes_are_refused(settings):
    with pytest.raises(ConfigError):
        MotionEncoderConfig(**settings)
