"""From a checkpoint to ONNX: the run time must compute what was trained."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.pictures import scene

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from support.tiny.compact import TINY

from livemoments import bridge
from livemoments.align.flow import pixel_grid
from livemoments.errors import WeightsError
from livemoments.lab.training.compact.aligning import align_batch, predict_truth, without_reference
from livemoments.lab.training.compact.export import load_average
from livemoments.lab.training.export import export
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.tasks import task_of
from livemoments.models.aligned import MAPS
from livemoments.models.compact import CompactModel
from livemoments.models.sessions import open_session
from livemoments.models.tile import TileInput
from livemoments.networks.blocks import decode, encode, opening
from livemoments.networks.compact import CompactNetworks
from livemoments.networks.compact_config import CompactConfig
from livemoments.networks.refiner import DELTA_SCALE

MARGIN = 16


DESIGNS = {"windows": TINY, "second": replace(TINY, branch="none")}


def write_checkpoint(folder: Path, network: CompactConfig = TINY) -> Path:
    """Of a network none of whose layers is zero, and whose average is not its model."""
    config = TrainConfig(photographs=folder, output=folder, network=network, seed=3)
    run = task_of(config).new_run()
    with torch.no_grad():
        for parameter in run.average.parameters():
            parameter += 0.03 * torch.randn_like(parameter)
        if network.branch == "windows":
            for layer in run.average.restoration.attend:  # so that motion counts
                layer.motion_key.weight.normal_(std=0.5)
                layer.out.weight.normal_(std=0.1)
        # The refiner adds no flow: OpenCV's remap knows 32 positions in a pixel, torch's any.
        run.average.refiner.out.weight[:2] = 0
        run.average.refiner.out.bias[:2] = 0
    run.step = 7
    run.save(folder / "last.pt", config)
    return folder / "last.pt"


@pytest.fixture(scope="module", params=DESIGNS)
def exported(request, tmp_path_factory) -> tuple[CompactNetworks, CompactModel, Path]:
    """The trained model, its weights rounded as in the files, and the files' run time."""
    folder = tmp_path_factory.mktemp("export")
    checkpoint = write_checkpoint(folder, DESIGNS[request.param])
    written = export(checkpoint, folder / "onnx")
    between = {"windows": ["reference"]}
    names = ["refiner", *between.get(request.param, []), "restoration"]
    assert [path.name for path in written] == [*(f"{n}.onnx" for n in names), "compact.json"]
    trained, _ = load_average(checkpoint)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.copy_(parameter.half().float())
    return trained, CompactModel(folder / "onnx", threads=1), folder / "onnx"


pytestmark = pytest.mark.usefixtures("one_thread")


def random_inputs(session, height: int, width: int) -> dict[str, np.ndarray]:
    """For every input of a session, by its name."""
    rng, (h, w) = np.random.default_rng(0), (height // 4, width // 4)
    shapes = {
        "frame": (3, height, width), "warped": (3, height, width), "reference": (3, height, width),
        "confidence": (1, height, width), "z": (48, h, w), "motion": (3, h, w),
        "feature_4": (16, h, w),
        "feature_8": (24, h // 2, w // 2), "feature_16": (32, h // 4, w // 4),
    }  # fmt: skip
    feed = {
        i.name: rng.random((1, *shapes[i.name]), np.float32)
        for i in session.get_inputs()
        if i.name != "t"
    }
    if any(i.name == "t" for i in session.get_inputs()):
        feed["t"] = np.array([0.13], np.float32)
    return feed


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (192, 64), (64, 320)])
def test_each_network_agrees_at_any_size(exported, size):
    """Also at sizes other than the one it was traced at."""
    trained, _, folder = exported
    for path in folder.glob("*.onnx"):
        session = open_session(path, 1)
        feed = random_inputs(session, *size)
        tensors = {key: torch.from_numpy(value) for key, value in feed.items()}
        if path.stem == "restoration":
            maps = tuple(tensors.pop(name) for name in MAPS if name in tensors)
            tensors["features"] = maps
        with torch.no_grad():
            expected = getattr(trained, path.stem)(**tensors)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for there, here in zip(session.run(None, feed), expected, strict=True):
            np.testing.assert_allclose(there, here.numpy(), atol=1e-4)


def crop_and_tile(n: int) -> tuple[dict[str, torch.Tensor], TileInput]:
    """The same moment as a training crop and as a run-time tile; flow in whole 32nds of a pixel."""
    key = scene(n + 2 * MARGIN, n + 2 * MARGIN)
    y, x = np.mgrid[:n, :n]
    wave = np.stack([5 * np.sin(y / 13) + 2, 4 * np.cos(x / 17) - 1], -1)
    flow = (np.round(wave * 32) / 32).astype(np.float32)
    frame = np.clip(scene(n, n, seed=1) * 0.8 + 0.1, 0, 1)
    trust = np.random.default_rng(0).random((n, n), np.float32)
    planes = {"key": key, "frame": frame, "flow": flow, "confidence": trust[..., None]}
    batch = {
        k: torch.from_numpy(np.ascontiguousarray(v.transpose(2, 0, 1)))[None]
        for k, v in planes.items()
    }
    positions = pixel_grid(n, n) + flow + MARGIN
    return batch, TileInput(frame=frame, reference=key, positions=positions, confidence=trust)


def trained_result(
    trained: CompactNetworks, batch: dict, steps: int, *, use_reference: bool = True
):
    """What training's own code makes of a crop: the bridge run down in exact steps."""
    frame = batch["frame"]
    with torch.no_grad():
        aligned = align_batch(trained, batch, MARGIN)
        if not use_reference:
            aligned = without_reference(aligned, frame, torch.tensor([True]))
        z_frame = encode(frame)
        noise = torch.from_numpy(
            np.random.default_rng(5).standard_normal(tuple(z_frame.shape), np.float32)
        )
        z, times = bridge.start(z_frame, noise), bridge.uniform_times(steps)
        for t, t_next in zip(times, times[1:], strict=False):
            truth = predict_truth(trained, aligned, frame, z, torch.tensor([t]))
            z = bridge.exact_step(z, truth, z_frame, t, t_next)
    return decode(z)[0].permute(1, 2, 0).numpy(), aligned


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("steps", [1, 3])
def test_restoring_a_tile_is_what_was_trained(exported, size, steps):
    trained, run_time, _ = exported
    batch, tile = crop_and_tile(size)
    expected, aligned = trained_result(trained, batch, steps)
    found = run_time.restore_tile(tile, steps, np.random.default_rng(5))
    np.testing.assert_allclose(found.image, expected, atol=5e-4)
    used = opening(torch.sigmoid(aligned.trust_logit))
    smooth = torch.nn.functional.interpolate(used, scale_factor=4.0, mode="bilinear")[0, 0].numpy()
    np.testing.assert_allclose(found.used, smooth, atol=1e-4)


def test_restoring_without_a_reference_is_what_was_trained(exported):
    trained, run_time, _ = exported
    batch, tile = crop_and_tile(64)
    expected, _ = trained_result(trained, batch, 1, use_reference=False)
    alone = TileInput(frame=tile.frame, reference=None, positions=None, confidence=None)
    found = run_time.restore_tile(alone, 1, np.random.default_rng(5))
    np.testing.assert_allclose(found.image, expected, atol=1e-4)


@pytest.mark.slow
def test_the_refiners_flow_moves_the_reference_alike(tmp_path):
    """With a refiner that moves: equal to what OpenCV's 32 positions in a pixel allow."""
    checkpoint = write_checkpoint(tmp_path)
    state = torch.load(checkpoint, weights_only=True)
    state["average"]["refiner.out.bias"][:2] = torch.tensor([1.5, -0.75]) / DELTA_SCALE
    torch.save(state, checkpoint)
    export(checkpoint, tmp_path / "onnx")
    trained, _ = load_average(checkpoint)
    batch, tile = crop_and_tile(64)
    expected, aligned = trained_result(trained, batch, 1)
    assert (aligned.flow - batch["flow"]).abs().mean() > 0.5
    found = CompactModel(tmp_path / "onnx", threads=1).restore_tile(
        tile, 1, np.random.default_rng(5)
    )
    still, _ = trained_result(trained, dict(batch, flow=batch["flow"] * 0), 1)
    gap = np.abs(found.image - expected)
    assert gap.mean() < 2e-3 and gap.mean() < np.abs(still - expected).mean() / 10


def test_the_averaged_weights_are_exported(exported, tmp_path):
    trained, _, _ = exported
    state = torch.load(write_checkpoint(tmp_path, trained.config), weights_only=True)
    name = "restoration.enter.weight"
    assert torch.equal(trained.state_dict()[name], state["average"][name].half().float())
    assert not torch.equal(state["average"][name], state["model"][name])


def test_weights_are_stored_in_half_their_size(exported):
    trained, _, folder = exported
    parameters = sum(p.numel() for p in trained.parameters())
    stored = sum(path.stat().st_size for path in folder.glob("*.onnx"))
    assert stored < 3 * parameters  # 2 bytes each, and the graphs: much in so small a network


def test_the_description_tells_network_and_training(exported):
    trained, run_time, folder = exported
    about = json.loads((folder / "compact.json").read_text())
    assert about == run_time.about and about["step"] == 7
    network = {k: tuple(v) if isinstance(v, list) else v for k, v in about["network"].items()}
    assert CompactConfig(**network) == trained.config


@pytest.mark.parametrize(
    "content", [None, b"", b"not a checkpoint"], ids=["missing", "empty", "text"]
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "some.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        export(path, tmp_path / "onnx")
    assert "some.pt" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "onnx").exists()


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="other.pt: not a compact checkpoint"):
        load_average(path)
