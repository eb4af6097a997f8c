"""Operations counted: against PyTorch's counter, and by hand."""

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
onnx = pytest.importorskip("onnx", reason="the train extra is not installed")

from onnx import TensorProto, helper, numpy_helper

from livemoments.errors import WeightsError
from livemoments.lab.speed.flops import compact_tflops, onnx_parameters_m, onnx_tflops, torch_tflops
from livemoments.models.compact import SHIPPED
from livemoments.networks.compact import CompactNetworks
from livemoments.networks.compact_config import CompactConfig

N = 64


@pytest.fixture(scope="module")
def network() -> CompactNetworks:
    return CompactNetworks(CompactConfig()).eval()


def restore(model: CompactNetworks, steps: int) -> None:
    picture, plane, h = torch.rand(1, 3, N, N), torch.rand(1, 1, N, N), N // 4
    with torch.inference_mode():
        model.refiner(picture, picture, plane)
        features = model.reference(picture, plane)
        for _ in range(steps):
            z, motion = torch.rand(1, 48, h, h), torch.rand(1, 3, h, h)
            model.restoration(z, picture, picture, features, motion, torch.full((1,), 0.2))


def test_the_shipped_networks_cost_what_pytorch_counts(network):
    counted = torch_tflops(lambda: restore(network, steps=2))
    assert compact_tflops(SHIPPED, N, steps=2) == pytest.approx(counted, rel=1e-9)


def test_parameters_are_those_of_the_networks(network):
    count = sum(p.numel() for p in network.parameters())
    assert onnx_parameters_m(SHIPPED) == pytest.approx(count / 1e6, rel=1e-3)


def test_a_convolution_by_hand():
    conv = torch.nn.Conv2d(3, 8, 5, stride=2, padding=2, groups=1)
    found = torch_tflops(lambda: conv(torch.rand(1, 3, 32, 32)))
    assert found * 1e12 == 2 * (16 * 16 * 8) * (3 * 25)


def test_products_of_matrices_by_hand(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Gemm", ["y", "v"], ["z"], transB=1),
        helper.make_node("Relu", ["z"], ["out"]),
    ]
    weights = [("w", (7, 5)), ("v", (11, 5))]
    graph = helper.make_graph(
        nodes, "two products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 7])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 11])],
        [numpy_helper.from_array(torch.rand(*size).numpy(), name) for name, size in weights],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "two.onnx")
    found = onnx_tflops(tmp_path / "two.onnx", {"x": (3, 7)})
    assert found * 1e12 == pytest.approx(2 * (3 * 5 * 7 + 3 * 11 * 5))
    assert onnx_parameters_m(tmp_path) * 1e6 == pytest.approx(7 * 5 + 11 * 5)
    with pytest.raises(WeightsError, match=r"two\.onnx: it cannot be run on"):
        onnx_tflops(tmp_path / "two.onnx", {"x": (3, 8)})


def test_what_is_no_network_is_named(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"bad\.onnx: not a network"):
        onnx_tflops(tmp_path / "bad.onnx", {})
