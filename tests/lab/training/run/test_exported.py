"""Exported models read back: every weight, under the name it has in training."""

import json
import shutil
from pathlib import Path

import pytest
from support import ROOT

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from support.tiny.run import tiny_config

from livemoments.errors import WeightsError
from livemoments.lab.training.export import export
from livemoments.lab.training.run.exported import read_exported
from livemoments.lab.training.tasks import task_of
from livemoments.networks.compact import CompactConfig, CompactNetworks
from livemoments.networks.faces import FaceConfig, FaceNet

SHIPPED = ROOT / "src" / "livemoments" / "weights"


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[dict, Path]:
    """The averaged weights of a run, none of them zero, and the folder of its model."""
    folder = tmp_path_factory.mktemp("exported")
    config = tiny_config(folder, folder)
    run = task_of(config).new_run()
    with torch.no_grad():
        for parameter in run.average.parameters():
            parameter += 0.03 * torch.randn_like(parameter)
    run.save(folder / "last.pt", config)
    export(folder / "last.pt", folder / "model")
    return run.average.state_dict(), folder / "model"


@pytest.mark.slow
def test_every_weight_comes_back_rounded_to_half(exported):
    weights, folder = exported
    found = read_exported(folder)
    assert found.keys() == weights.keys()
    for name, weight in weights.items():
        assert torch.equal(found[name], weight.half().float()), name


@pytest.mark.slow
def test_equal_weights_come_back_too(tmp_path):
    """Of equal ones, as zeros are at the start, the exporter keeps one."""
    config = tiny_config(tmp_path, tmp_path)
    run = task_of(config).new_run()
    run.save(tmp_path / "last.pt", config)
    export(tmp_path / "last.pt", tmp_path / "model")
    found = read_exported(tmp_path / "model")
    for name, weight in run.average.state_dict().items():
        assert torch.equal(found[name], weight.half().float()), name


@pytest.mark.parametrize("kind", ["compact", "faces"])
def test_the_shipped_weights_read_whole(kind):
    about = json.loads((SHIPPED / kind / f"{kind}.json").read_text())
    sizes = {n: tuple(v) if isinstance(v, list) else v for n, v in about["network"].items()}
    config = CompactConfig(**sizes)
    model = CompactNetworks(config) if kind == "compact" else FaceNet(config, FaceConfig())
    model.load_state_dict(read_exported(SHIPPED / kind))
    position = model.state_dict()["restoration.attend.0.position"]
    assert position.abs().max() > 0, "tables of constants were found too"


def test_a_run_may_begin_with_an_exported_model(exported, tmp_path, caplog):
    weights, folder = exported
    with caplog.at_level("INFO", "livemoments"):
        begun = task_of(tiny_config(tmp_path, tmp_path / "run", start=folder, seed=8)).new_run()
    assert caplog.messages == [f"{folder}: {len(weights)} of {len(weights)} weights taken"]
    for name, weight in begun.average.state_dict().items():
        assert torch.equal(weight, weights[name].half().float()), name


def changed(folder: Path, to: Path, **described) -> Path:
    """A copy of a model that is described otherwise."""
    shutil.copytree(folder, to)
    about = json.loads((to / "compact.json").read_text())
    (to / "compact.json").write_text(json.dumps(about | described))
    return to


def test_what_is_no_model_is_named(exported, tmp_path):
    _, folder = exported
    with pytest.raises(WeightsError, match=r"no exported model; expected compact\.json"):
        read_exported(tmp_path)
    with pytest.raises(WeightsError, match=r"compact\.json: does not describe a model"):
        read_exported(changed(folder, tmp_path / "a", sha256=3))
    with pytest.raises(WeightsError, match="describes a network of another kind"):
        read_exported(changed(folder, tmp_path / "b", network={"depth": 3}))
    (changed(folder, tmp_path / "c") / "refiner.onnx").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"refiner\.onnx: damaged"):
        read_exported(tmp_path / "c")
    (changed(folder, tmp_path / "d") / "refiner.onnx").unlink()
    with pytest.raises(WeightsError, match=r"refiner\.onnx: cannot be read"):
        read_exported(tmp_path / "d")


def test_weights_that_cannot_be_found_are_named(exported, tmp_path):
    """A table of another size than described fits nowhere."""
    import hashlib

    import onnx
    from onnx import numpy_helper

    _, folder = exported
    path = changed(folder, tmp_path / "model") / "restoration.onnx"
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name.startswith("onnx::Add"):
            table = numpy_helper.to_array(tensor)[..., :-1]
            tensor.CopyFrom(numpy_helper.from_array(table.copy(), tensor.name))
    onnx.save(model, path)
    about = json.loads((path.parent / "compact.json").read_text())
    about["sha256"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / "compact.json").write_text(json.dumps(about))
    with pytest.raises(WeightsError, match=r"2 weights cannot be found .*attend\.0\.position"):
        read_exported(path.parent)
