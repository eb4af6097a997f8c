"""Operations counted: against PyTorch on real tensors, and by hand."""

import json

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from livemoments.errors import WeightsError
from livemoments.lab.speed.flops import compact_costs, torch_tflops
from livemoments.models.compact import SHIPPED
from livemoments.networks.compact import CompactNetworks
from livemoments.networks.compact_config import SECOND, CompactConfig

N = 64


def restore(model: CompactNetworks, steps: int) -> None:
    picture, plane, h = torch.rand(1, 3, N, N), torch.rand(1, 1, N, N), N // 4
    with torch.inference_mode():
        model.refiner(picture, picture, plane)
        features = model.reference(picture, plane) if model.config.branch == "windows" else ()
        for _ in range(steps):
            z, motion = torch.rand(1, 48, h, h), torch.rand(1, 3, h, h)
            model.restoration(z, picture, picture, features, motion, torch.full((1,), 0.2))


@pytest.mark.parametrize("config", [CompactConfig(), SECOND], ids=["shipped", "second"])
def test_what_is_counted_is_what_runs(config, tmp_path):
    network, folder = CompactNetworks(config).eval(), SHIPPED
    if config == SECOND:
        folder = tmp_path
        (folder / "compact.json").write_text(
            json.dumps({"network": config.to_dict(), "sha256": {}})
        )
    found = compact_costs(folder, N, steps=2)
    counted = torch_tflops(lambda: restore(network, steps=2))
    assert found["tflops"] == pytest.approx(counted, rel=1e-9)
    parameters = sum(p.numel() for p in network.parameters())
    assert found["parameters_m"] == pytest.approx(parameters / 1e6)


def test_a_convolution_by_hand():
    conv = torch.nn.Conv2d(3, 8, 5, stride=2, padding=2, groups=1)
    found = torch_tflops(lambda: conv(torch.rand(1, 3, 32, 32)))
    assert found * 1e12 == 2 * (16 * 16 * 8) * (3 * 25)


def test_what_is_no_model_is_named(tmp_path):
    with pytest.raises(WeightsError, match="compact.json"):
        compact_costs(tmp_path, N)
    (tmp_path / "compact.json").write_text(json.dumps({"network": {"layers": 3}, "sha256": {}}))
    with pytest.raises(WeightsError, match="not a compact model of this version"):
        compact_costs(tmp_path, N)
