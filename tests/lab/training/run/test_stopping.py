"""How runs end: by a finish, by a signal between two steps, or killed with all their helpers."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.pictures import write_photographs

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from support.tiny.run import tiny_config

from livemoments.errors import ConfigError
from livemoments.lab.training import loop
from livemoments.lab.training.loop import train
from livemoments.lab.training.run.stopping import hearing_signals
from livemoments.progress import Terminated

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"), [(260, 260)] * 3)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where scenes are kept, for all runs of these tests."""
    return tmp_path_factory.mktemp("kept")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def heeds_interrupts():
    """Also where the tests run in the background of a shell, which has them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def config(folder, kept, tmp_path):
    return tiny_config(folder, tmp_path / "run", cache=kept, schedule="constant", steps=4)


def state(config) -> dict:
    return torch.load(config.last, weights_only=True)


def assert_same_weights(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    assert not [name for name in first if not torch.equal(first[name], second[name])]


def signal_at(step: int, number: int):
    """A progress that sends this process a signal in a step."""
    seen = []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "training":
            seen.append(done)
            if len(seen) == step:
                os.kill(os.getpid(), number)

    return progress


# A finish


def test_in_a_finish_the_rate_falls_from_where_it_began(config):
    config = replace(config, finish=100, learning_rate=1e-3)
    assert config.learning_rate_at(500, 0.0) == 1e-3, "in no finish"
    rates = [config.learning_rate_at(step, 0.0, 500) for step in (499, 500, 550, 600, 700)]
    assert rates == pytest.approx([1e-3, 1e-3, 0.505e-3, 1e-5, 1e-5])
    assert config.share_done(550, 99.0, 500) == pytest.approx(550 / 600)
    with pytest.raises(ConfigError, match="finish must be positive"):
        replace(config, finish=0)


def test_a_finish_ends_a_run_that_had_further_to_go(config):
    train(config)
    before = state(config)
    # As a run that was stopped at its fourth step of a million.
    train(replace(config, steps=1_000_000, finish=3))
    ended = state(config)["position"]
    assert (before["position"]["finish_from"], ended["finish_from"], ended["step"]) == (None, 4, 7)
    train(replace(config, steps=1_000_000, finish=3))
    assert state(config)["position"] == ended, "it was over"


def test_a_new_run_may_be_all_finish(config):
    train(replace(config, steps=None, minutes=1e-6, finish=2))
    assert state(config)["position"]["step"] == 2
    assert state(config)["position"]["finish_from"] == 0


@pytest.mark.slow
def test_a_finish_stopped_and_resumed_is_the_same_finish(config):
    train(config)
    whole = replace(config, output=config.output.with_name("whole"), finish=4)
    shutil.copytree(config.output, whole.output)
    train(whole)
    halves = replace(config, finish=4)
    with pytest.raises(KeyboardInterrupt):
        train(halves, signal_at(2, signal.SIGINT))
    assert state(halves)["position"]["step"] == 6
    train(halves)
    assert state(halves)["position"]["finish_from"] == 4
    assert state(halves)["position"]["step"] == 8
    assert_same_weights(state(halves)["model"], state(whole)["model"])


@pytest.mark.slow
def test_without_its_finish_a_run_goes_on_and_may_finish_later(config):
    train(replace(config, steps=2, finish=2))
    train(replace(config, steps=3))
    assert state(config)["position"]["finish_from"] is None
    train(replace(config, steps=9, finish=2))
    assert state(config)["position"]["finish_from"] == 3
    assert state(config)["position"]["step"] == 5


def test_a_checkpoint_from_before_there_were_finishes_is_taken_up(config):
    train(replace(config, steps=2))
    old = state(config)
    del old["position"]["finish_from"]
    for name in ("finish", "perceptual_from_step", "snapshot_every"):
        del old["config"][name]
    torch.save(old, config.last)
    train(replace(config, finish=1))
    assert state(config)["position"]["step"] == 3
    with pytest.raises(ConfigError, match="another perceptual_from_step"):
        train(replace(config, perceptual_from_step=1))


def test_the_perceptual_terms_may_set_in_at_a_step(config):
    config = replace(config, perceptual_from=0.5, steps=100)
    assert [config.judges_at(step, 0.0) for step in (49, 50)] == [False, True]
    config = replace(config, perceptual_from_step=70)
    assert [config.judges_at(step, 0.0) for step in (50, 69, 70)] == [False, False, True]
    assert config.judges_at(0, 0.0) is replace(config, finish=3).judges_at(0, 0.0) is False


# Signals


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_signal_lets_the_step_end_and_saves(config, number, error):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(config, signal_at(2, number))
    assert type(caught.value) is error
    assert state(config)["position"]["step"] == 2
    assert signal.getsignal(number) is before


def test_a_signal_before_the_first_step_ends_at_once(config, monkeypatch):
    monkeypatch.setattr(loop, "_scenes", lambda *given: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Terminated):
        train(config)
    assert not config.last.exists()


def test_asked_a_second_time_it_ends_at_once(config):
    def twice(stage: str, done: int, total: int) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Terminated):
        train(config, twice)
    assert not config.last.exists()


def test_a_helper_that_heard_the_signal_too_is_no_fault():
    with pytest.raises(Terminated), hearing_signals() as stop:
        stop.waits = True
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("DataLoader worker exited unexpectedly")


def test_a_signal_that_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with hearing_signals() as stop:
            os.kill(os.getpid(), signal.SIGINT)
        assert not stop.asked
    finally:
        signal.signal(signal.SIGINT, before)


# Helpers


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def waited(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@LINUX
def test_a_helper_ends_with_a_killed_parent():
    """Though it waits for something else, and for ever."""
    program = (
        "import multiprocessing, time\n"
        "from livemoments.jobs.child_processes import follow_parent\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    with context.Pool(1, follow_parent) as pool:\n"
        "        pool.apply_async(time.sleep, (1000,))\n"
        "        pool.apply_async(time.sleep, (1000,))\n"
        "        print(pool._pool[0].pid, flush=True)\n"
        "        time.sleep(1000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        helper = int(process.stdout.readline())
        assert waited(lambda: os.getpgid(helper) == helper, 10), "it has not begun"
        process.kill()
    assert waited(lambda: not lives(helper), 5)


def program(folder: Path, output: Path) -> list[str]:
    """A real training without end, and two processes that cut crops."""
    return [
        sys.executable, "-m", "livemoments", "lab", "train", "--photographs", str(folder), "-o",
        str(output), "--objective", "velocity", "--scenes", "2", "--crop", "64", "--batch", "1",
        "--steps", "1000000", "--schedule", "constant", "--validate-every", "0", "--precision",
        "no", "--workers", "2", "--threads", "1",
    ]  # fmt: skip


def begin(folder: Path, output: Path) -> subprocess.Popen:
    """That program, in its first steps."""
    process = subprocess.Popen(
        program(folder, output),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A signal to its whole group must not reach these tests. Ctrl-C is ignored where a shell
        # runs them behind, and children inherit that.
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stderr:
        if line == "training ...\n":  # the first step is over
            return process
    raise AssertionError(f"it ended with {process.wait()}")


@LINUX
@pytest.mark.slow
def test_a_killed_training_leaves_no_process_behind(folder, tmp_path):
    with begin(folder, tmp_path / "run") as process:
        helpers = children(process.pid)
        assert len(helpers) >= 2
        process.kill()
    assert waited(lambda: not any(lives(pid) for pid in helpers), 5)


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_training_saves_and_leaves_no_process_behind(folder, tmp_path, number, code):
    """Its whole group hears the signal, as a terminal and `timeout` send it."""
    with begin(folder, tmp_path / "run") as process:
        helpers = children(process.pid)
        os.killpg(process.pid, number)
        _, said = process.communicate()
    assert process.returncode == code, said
    *_, written, cancelled = said.splitlines()
    assert written.startswith("step ") and written.endswith(", last.pt written")
    assert cancelled == "livemoments: cancelled; what was finished stays"
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["position"]["step"] >= 1
    assert waited(lambda: not any(lives(pid) for pid in helpers), 5)
