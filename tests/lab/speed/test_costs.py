"""Costs of a tile: of the compact model in a process of its own, of others as they are told."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from support.report_runs import read_run

from livemoments.errors import ConfigError, LiveMomentsError, WeightsError
from livemoments.lab.speed import costs, flops
from livemoments.lab.speed.costs import CostConfig, measure_costs
from livemoments.lab.speed.process import Watched
from livemoments.models.compact import SHIPPED


@pytest.fixture
def watched(monkeypatch) -> list[str]:
    """The compact model is measured for real; of the others it is told what they cost."""
    asked, real = [], costs.watch

    def watch(command):
        asked.append(command[3])
        if command[3] == "livemoments" and "128" in command:
            return real(command)
        if command[3] == "span":
            raise LiveMomentsError("the measured run failed: no network")
        found = {"seconds": 2.0, "parameters_m": 16.7, "tflops": 9.5}
        ours = command[3].startswith("livemoments")
        return Watched({"seconds": 2.0} if ours else found, 3.0, None if ours else 0.5)

    monkeypatch.setattr(costs, "watch", watch)
    return asked


@pytest.fixture
def uncounted(monkeypatch):
    """Operations are counted elsewhere, which takes a second."""
    counted = {"parameters_m": 6.0, "tflops": 0.1}
    monkeypatch.setattr(flops, "compact_costs", lambda folder, size_px, steps: counted)


@pytest.mark.slow
def test_every_method_is_measured(watched, tmp_path):
    found = measure_costs(CostConfig(output=tmp_path / "out", size_px=128, command="it"))
    assert watched == ["livemoments", "livemoments-6", "span", "real-esrgan"]
    methods = {method.name: method for method in found.run.methods}
    ours = methods["livemoments"].cost
    assert ours["parameters_m"] == pytest.approx(5.99, abs=0.01)
    assert ours["tflops"] == pytest.approx(0.0119 / 4, rel=0.01)
    assert 0.05 < ours["peak_gb"] < 2 and 0 < found.run.seconds("livemoments").mean < 20
    more = methods["livemoments-6"].cost
    assert ours["tflops"] < more["tflops"] < 6 * ours["tflops"] and "peak_gb" not in more
    assert "no network" in methods["span"].failed
    assert methods["real-esrgan"].cost == {"parameters_m": 16.7, "tflops": 9.5, "peak_gb": 0.5}
    kept = read_run(tmp_path / "out" / "run.json")
    assert kept.command == "it" and [m.name for m in kept.methods] == list(methods)
    assert "Table 5" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.usefixtures("watched", "uncounted")
def test_the_papers_costs_stand_below(tmp_path):
    lines = measure_costs(CostConfig(output=tmp_path / "out", size_px=64)).lines()
    at = next(i for i, line in enumerate(lines) if line.startswith("LiveMoments compact "))
    assert lines[at + 1].split()[-4:] == ["1.89", "4268.45", "98.91", "14.53"]
    assert lines[at + 1].startswith("> LiveMoments, NVIDIA H20")
    assert any(line.startswith("> CoSeR") and line.split()[-2] == "—" for line in lines)


@pytest.mark.usefixtures("watched", "uncounted")
def test_the_papers_model_is_measured_where_it_is_asked_for(tmp_path, monkeypatch):
    def measure_sd3(config, *, random, tile_px, batch, progress):
        if not random:
            raise WeightsError("weights: not there")
        rows = [SimpleNamespace(name="official loop", seconds=4.0, peak_gb=20.0)]
        rows.append(SimpleNamespace(name="ours", seconds=3.0, peak_gb=14.0))
        return SimpleNamespace(
            rows=rows, parameters_m={"a": 2000.0, "b": 84.0}, tflops=100.0, precision="float16",
            device="a GPU",
        )  # fmt: skip

    monkeypatch.setitem(
        sys.modules, "livemoments.lab.speed.sd3", SimpleNamespace(measure_sd3=measure_sd3)
    )
    asked = CostConfig(output=tmp_path / "out", size_px=64, sd3="random")
    run = measure_costs(asked).run
    sd3 = run.methods[-1]
    assert sd3.cost == {"parameters_m": 2084.0, "tflops": 100.0, "peak_gb": 14.0}
    assert run.seconds("sd3").mean == 3.0 and "float16, on a GPU" in sd3.detail
    asked = CostConfig(output=tmp_path / "other", size_px=64, sd3="weights")
    assert measure_costs(asked).run.methods[-1].failed == "weights: not there"


def test_weights_that_cannot_be_used_are_an_error(tmp_path):
    with pytest.raises(LiveMomentsError, match="the measured run failed"):
        measure_costs(CostConfig(output=tmp_path / "out", size_px=128, weights=tmp_path))


def test_a_size_that_the_networks_do_not_take_is_named(tmp_path):
    for size in (0, 100):
        with pytest.raises(ConfigError, match=f"multiple of 64, got {size}"):
            CostConfig(output=tmp_path, size_px=size)


def test_a_network_that_enlarges_is_counted_and_timed():
    conv, calls = torch.nn.Conv2d(3, 3, 1), []

    def enlarge(frame, height, width):
        calls.append((frame.shape, height, width))
        conv(torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)[None])))

    found = costs._enlarging(SimpleNamespace(enlarge=enlarge, parameters_m=1.5), 128)
    assert calls == [((64, 64, 3), 128, 128)] * (1 + costs.RUNS)
    assert found["tflops"] * 1e12 == 2 * 64 * 64 * 3 * 3
    assert found["parameters_m"] == 1.5 and 0 < found["seconds"] < 5


@pytest.mark.slow
def test_the_process_prints_what_it_measured():
    command = [
        sys.executable,
        "-m",
        "livemoments.lab.speed.costs",
        "livemoments",
        "64",
        str(SHIPPED),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["seconds"] < 10
