"""The sd3 tier's bench: its official loop is another way to the same picture."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from support.tiny.sd3 import tiny_parts, write_tiny

from livemoments.lab.speed import sd3 as bench_sd3
from livemoments.lab.speed.made import make_tile
from livemoments.lab.speed.sd3 import measure_sd3, official_tile, plain_attention
from livemoments.models.sd3.config import Sd3Config
from livemoments.models.sd3.model import Sd3Model

ON_CPU = Sd3Config(device="cpu", precision="float32")


def test_the_plain_loop_and_ours_give_the_same_picture():
    """Diffusers' own forward, everything at every step, against what is worked out once."""
    model = Sd3Model(tiny_parts(3), replace(ON_CPU, sampler="euler"))
    tile = make_tile(96)
    before = dict(model.dual.restoration.attn_processors)
    with plain_attention(model.dual):
        expected = official_tile(model, tile)
    assert dict(model.dual.restoration.attn_processors) == before
    found = model.restore_tiles([tile], 6, [np.random.default_rng(0)])[0].image
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_all_rows_and_lines(tmp_path):
    write_tiny(tmp_path / "weights")
    told = []
    found = measure_sd3(
        replace(ON_CPU, weights=tmp_path / "weights"),
        random=False,
        tile_px=64,
        progress=lambda *step: told.append(step),
    )
    assert [row.name for row in found.rows][:2] == ["official loop", "ours"]
    assert found.rows[0].differs == 0 and found.rows[1].differs < 1e-5
    assert found.rows[3].name == "reference once per tile" and found.rows[3].differs > 1e-6
    assert all(row.seconds > 0 for row in found.rows) and found.tflops > 0
    assert found.tiles_of_picture == 64 * 85
    assert len(found.lines()) == 3 + len(found.rows) and told[-1][1] < told[-1][2]
    assert found.to_dict()["rows"][1]["name"] == "ours"


def test_the_full_size_autoencoder_is_the_papers():
    """Table 4; the other parts are held to it in test_networks_sd3.py."""
    with torch.device("meta"):
        autoencoder = bench_sd3.AutoencoderKL(**bench_sd3.AUTOENCODER)
    assert round(sum(p.numel() for p in autoencoder.parameters()) / 1e6, 2) == 83.82


@pytest.mark.gpu
@pytest.mark.parametrize("offload", ["none", "blocks"])
def test_a_gpu_gives_what_the_cpu_gives(offload):
    tile = make_tile(96)
    pictures = []
    for config in (ON_CPU, replace(ON_CPU, device="cuda", offload=offload)):
        model = Sd3Model(tiny_parts(3), config)
        assert model.placement.offload == (offload == "blocks" and config.device == "cuda")
        pictures.append(model.restore_tiles([tile], 6, [np.random.default_rng(0)])[0].image)
    np.testing.assert_allclose(pictures[0], pictures[1], atol=2e-3)
