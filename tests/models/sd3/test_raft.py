"""RAFT: what it is fed and gives back, whose weights it takes; on a made network but for the end.

What needs torchvision itself is left out where it does not fit the PyTorch at hand.
"""

import pickle
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock
from urllib.error import URLError

import cv2
import numpy as np
import pytest
from support.pictures import as_bytes, scene

torch = pytest.importorskip("torch", reason="the sd3 extra is not installed")

from livemoments.errors import DeviceError, MissingExtraError, WeightsError
from livemoments.models.sd3 import raft
from livemoments.models.sd3.raft import RaftFlow


def luma(height: int, width: int, seed: int = 0) -> np.ndarray:
    return as_bytes(scene(height, width, seed=seed))[..., 0]


@pytest.fixture
def made(monkeypatch):
    """torchvision with a network whose flow is first's red in x and second's blue in y."""

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = torch.nn.Parameter(torch.rand(2))
            self.corr_block = SimpleNamespace(corr_pyramid=[0])
            self.flow, self.asked = None, []

        def forward(self, first, second, num_flow_updates):
            assert not self.training and not torch.is_grad_enabled()
            self.asked.append((tuple(first.shape), num_flow_updates))
            self.corr_block.corr_pyramid = [first]
            if self.flow is not None:
                flow = torch.tensor(self.flow).view(1, 2, 1, 1).expand(1, 2, *first.shape[2:])
            else:
                flow = torch.stack([first[:, 0], second[:, 2]], 1) * self.gain.view(1, 2, 1, 1)
            return [torch.zeros(1), flow]

    network = Network()
    published = SimpleNamespace(url="https://example.org/raft.pth", get_state_dict=None)
    published.get_state_dict = lambda **options: {"gain": torch.ones(2)}
    module = SimpleNamespace(
        raft_large=lambda weights, progress: network,
        Raft_Large_Weights=SimpleNamespace(C_T_SKHT_V1=published),
        network=network,
        published=published,
    )
    monkeypatch.setattr(raft, "_optical_flow", lambda: module)
    return module


# What the network is fed


@pytest.mark.parametrize("size", [(128, 128), (1, 1), (131, 170), (90, 201), (200, 30)])
def test_pictures_of_any_size_come_back_in_place(made, size):
    first, second = luma(*size), luma(*size, seed=1)
    flow = RaftFlow()(first, second)
    assert flow.shape == (*size, 2) and flow.dtype == np.float32 and flow.flags.c_contiguous
    expected = np.stack([first, second], -1) / 127.5 - 1
    np.testing.assert_allclose(flow, expected, atol=1e-6)
    [((one, three, height, width), iterations)] = made.network.asked
    assert (one, three, iterations) == (1, 3, 20)
    assert height % 8 == 0 and width % 8 == 0
    assert height == max(128, -(-size[0] // 8) * 8) and width == max(128, -(-size[1] // 8) * 8)
    assert made.network.corr_block.corr_pyramid == []  # 2.5 GB, of large pictures


def test_the_edge_is_repeated_on_both_sides(made):
    seen = []
    made.network.register_forward_pre_hook(lambda network, given: seen.append(given[0]))
    RaftFlow()(*[np.tile(np.arange(100, dtype=np.uint8), (131, 1))] * 2)
    red = ((seen[0][0, 0].numpy() + 1) * 127.5).round()
    assert red.shape == (136, 128)
    np.testing.assert_array_equal(red[7], [0] * 14 + list(range(100)) + [99] * 14)
    assert (red == red[7]).all()


@pytest.mark.parametrize("size", [(400, 600), (397, 611), (160, 1500)])
def test_large_pictures_are_reduced_and_the_flow_is_enlarged(made, monkeypatch, size):
    monkeypatch.setattr(raft, "MAX_PIXELS", 60_000)
    made.network.flow = (3.0, -2.0)
    flow = RaftFlow()(*[luma(*size)] * 2)
    ratio = (60_000 / (size[0] * size[1])) ** 0.5
    assert flow.shape == (*size, 2)
    np.testing.assert_allclose(flow[..., 0], 3 / ratio, rtol=0.01)
    np.testing.assert_allclose(flow[..., 1], -2 / ratio, rtol=0.01)
    [((_, _, height, width), _)] = made.network.asked
    assert height - 8 < max(128, size[0] * ratio) < height + 1
    assert width - 8 < size[1] * ratio < width + 1


def test_up_to_the_limit_nothing_is_reduced(made, monkeypatch):
    monkeypatch.setattr(raft, "MAX_PIXELS", 160 * 200)
    RaftFlow()(*[np.zeros((160, 200), np.uint8)] * 2)
    assert made.network.asked[0][0] == (1, 3, 160, 200)


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_named(made, device):
    with pytest.raises(DeviceError, match=rf"device {device}: .*; use cpu"):
        RaftFlow(device=device)


def test_too_little_memory_is_a_clear_error_and_leaves_nothing_behind(made):
    def run_out(network, given):
        network.corr_block.corr_pyramid = [1, 2]
        raise torch.OutOfMemoryError("tried to allocate 2.5 GiB")

    made.network.register_forward_pre_hook(run_out)
    with pytest.raises(DeviceError, match=r"cpu: too little memory .* 40 x 30 .*flow dis"):
        RaftFlow()(*[np.zeros((30, 40), np.uint8)] * 2)
    assert made.network.corr_block.corr_pyramid == []


def test_only_the_encoders_compute_in_half_precision():
    seen = []

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 4, 1)

        def forward(self, picture):
            x = self.layer(picture)
            seen.append(x.dtype)
            return x

    network = SimpleNamespace(feature_encoder=Encoder(), context_encoder=Encoder())
    raft._halve_features(network, "cpu")
    for encoder in (network.feature_encoder, network.context_encoder):
        assert encoder(torch.ones(1, 3, 8, 8)).dtype == torch.float32
    assert seen == [torch.float16] * 2


# PyTorch and torchvision


@pytest.fixture
def put(monkeypatch, tmp_path):
    """Puts a package of some source in torchvision's place."""

    def write_package(source: str, models: str = "") -> None:
        for name, content in (("torchvision", source), ("torchvision/models", models)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text(content)

    with mock.patch.dict(sys.modules):
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        monkeypatch.syspath_prepend(tmp_path)
        yield write_package


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operator torchvision::nms does not exist"),
        AttributeError("partially initialized module 'torchvision' has no attribute 'extension'"),
        OSError("libcudart.so.12: cannot open shared object file"),
        ImportError("cannot import name 'ops' from 'torch'"),
    ],
)
def test_a_torchvision_that_does_not_fit_is_a_clear_error(put, error):
    put(f"raise {error!r}\n")
    with pytest.raises(MissingExtraError) as raised:
        RaftFlow()
    message = str(raised.value)
    assert message.startswith("RAFT needs a torchvision that fits the installed PyTorch; found")
    assert str(error) in message and message.endswith("or use flow dis")
    assert "\n" not in message


def test_without_torchvision_there_is_no_raft(monkeypatch, put):
    put("")
    sys.modules["torchvision"] = None  # until put ends
    monkeypatch.setattr(raft.metadata, "version", version_of({}))
    with pytest.raises(MissingExtraError, match="found PyTorch .* and torchvision none .*dis$"):
        RaftFlow()


def version_of(installed: dict[str, str]):
    def version(package: str) -> str:
        if package not in installed:
            raise raft.metadata.PackageNotFoundError(package)
        return installed[package]

    return version


def test_the_versions_that_were_found_are_named(monkeypatch, put):
    put("raise RuntimeError('operator is gone')")
    monkeypatch.setattr(raft.metadata, "version", version_of({"torchvision": "0.11.1"}))
    found = rf"{re.escape(torch.__version__)} and torchvision 0\.11\.1 \(operator is"
    with pytest.raises(MissingExtraError, match=found):
        RaftFlow()


def test_warnings_of_an_import_do_not_matter(put):
    put("import warnings\nwarnings.warn('no codecs')\n", models="optical_flow = 1\n")
    assert raft._optical_flow() == 1


# Weights


def test_a_missing_file_is_named_before_anything_is_imported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(WeightsError, match=r"raft\.pth: no such file.*raft_large_C_T_SKHT_V1"):
        RaftFlow(tmp_path / "raft.pth")
    with pytest.raises(WeightsError, match="no such file"):
        RaftFlow(tmp_path)


def write(path: Path, state: object) -> Path:
    if path.suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["raft.pth", "raft.safetensors"])
def test_weights_are_read_from_a_file(made, tmp_path, name):
    path = write(tmp_path / name, {"gain": torch.tensor([2.0, 3.0])})
    RaftFlow(path)
    assert made.network.gain.tolist() == [2, 3]


@pytest.mark.parametrize("name", ["raft.pth", "raft.safetensors"])
@pytest.mark.parametrize("keep", [0, 0.3, 0.99])
def test_a_truncated_file_is_named(made, tmp_path, name, keep):
    path = write(tmp_path / name, {"gain": torch.rand(500)})
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(WeightsError, match=rf"{name}: not (a file of tensors|readable as)"):
        RaftFlow(path)


@pytest.mark.parametrize("content", [b"<html>not found</html>", pickle.dumps(Path), b"\x80\x02}q."])
def test_what_is_no_weights_is_refused_and_not_run(made, tmp_path, content):
    (tmp_path / "raft.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"raft\.pth: not a file of tensors"):
        RaftFlow(tmp_path / "raft.pth")


@pytest.mark.parametrize("state", [{"step": 3}, {3: 4}, [1, 2]])
def test_a_file_of_something_else_is_refused(made, tmp_path, state):
    path = write(tmp_path / "raft.pth", state)
    with pytest.raises(WeightsError, match=r"raft\.pth: holds something else than named tensors"):
        RaftFlow(path)


def test_weights_of_another_network_are_refused(made, tmp_path):
    state = {f"layer{i}.weight": torch.ones(2) for i in range(5)}
    path = write(tmp_path / "raft.pth", state)
    with pytest.raises(WeightsError) as raised:
        RaftFlow(path)
    message = str(raised.value)
    assert message.startswith(
        f"{path}: not of RAFT's large network (missing: gain; unexpected: "
        "layer0.weight, layer1.weight, layer2.weight and 2 more)"
    )
    assert "raft_large_C_T_SKHT_V1" in message
    write(path, {"gain": torch.ones(3)})
    with pytest.raises(WeightsError, match=r"\(of another shape: gain \[3\] instead of \[2\]\)"):
        RaftFlow(path)


def test_without_a_file_the_published_weights_are_read_without_a_word(made, capfd):
    asked = {}
    made.published.get_state_dict = lambda **options: (
        asked.update(options) or {"gain": torch.tensor([4.0, 5.0])}
    )
    RaftFlow()
    assert made.network.gain.tolist() == [4, 5]
    assert asked["progress"] is False and asked["check_hash"] and asked["weights_only"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "error", [URLError("no route"), RuntimeError("invalid hash value"), EOFError("no route")]
)
def test_a_failed_download_is_a_clear_error(made, error):
    def fail(**options):
        raise error

    made.published.get_state_dict = fail
    with pytest.raises(WeightsError, match=r"example\.org/raft\.pth: .*(no route|invalid hash)"):
        RaftFlow()


def test_making_one_draws_nothing_from_the_common_generator(made):
    large = made.raft_large
    made.raft_large = lambda **options: torch.rand(3) is None or large(**options)
    torch.manual_seed(5)
    RaftFlow()
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert drawn == torch.rand(1)


# torchvision itself


def test_half_precision_of_the_features_changes_little(tmp_path, monkeypatch):
    """Of random weights, where there is a torchvision that fits PyTorch."""
    try:
        network = raft._optical_flow().raft_large()
    except MissingExtraError as error:
        pytest.skip(str(error))
    path = write(tmp_path / "own.pth", network.state_dict())
    first = luma(131, 170)
    second = cv2.GaussianBlur(first, (0, 0), 1.0)
    monkeypatch.setattr(raft, "ITERATIONS", 2)
    raft_flow = RaftFlow(path)
    full = raft_flow(first, second)
    assert full.shape == (131, 170, 2) and np.isfinite(full).all() and np.ptp(full) > 0
    raft._halve_features(raft_flow._network, "cpu")
    half = raft_flow(first, second)
    assert 0 < np.abs(half - full).mean() < 0.05 * np.abs(full).mean()
