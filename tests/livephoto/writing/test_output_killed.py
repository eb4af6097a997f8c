"""The whole program killed outright while it writes: inputs intact, outputs absent or whole."""

import hashlib
import random
import signal
import subprocess
import sys
import time

import pytest
from support import makers

from livemoments.livephoto import open_live_photo
from livemoments.livephoto.checking.check import check_file

JOBS = {
    "restore apple": ("restore", "IN", "--at", "0.1", "-o", "OUT.heic", "--live"),
    "restore google": ("restore", "IN", "--at", "0.1", "-o", "OUT.jpg", "--to", "google"),
    "convert samsung": ("convert", "IN", "-o", "OUT.jpg", "--to", "samsung"),
    "convert apple": ("convert", "IN", "-o", "OUT.jpg", "--to", "apple"),
}


def hashes(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def started(job, still, out):
    """The program, at work on one of JOBS."""
    words = {"IN": str(still), "OUT.heic": f"{out}.heic", "OUT.jpg": f"{out}.jpg"}
    command = [sys.executable, "-m", "livemoments", *(words.get(word, word) for word in job)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_while_it_writes(program, folder, chance):
    """Kill it within milliseconds of its first temporary file; every third at any time at all."""
    any_time = chance.random() < 1 / 3
    end = time.monotonic() + chance.uniform(0, 1.5) if any_time else float("inf")
    while program.poll() is None and time.monotonic() < end:
        if not any_time and any(folder.iterdir()):
            time.sleep(chance.uniform(0, 0.004))
            break
        time.sleep(0.0002)
    program.send_signal(signal.SIGKILL)
    program.wait()


@pytest.mark.parametrize("rounds", [2, pytest.param(100, marks=pytest.mark.slow)])
def test_a_killed_program_leaves_nothing_half_written(tmp_path, rounds):
    """What appears under its own name is whole; a clip may be alone for lack of its still."""
    still, _ = makers.apple_pair(tmp_path / "in", sound=True)
    before = hashes(tmp_path / "in")
    chance = random.Random(0)
    names = list(JOBS)
    ends = {"nothing": 0, "a clip alone": 0, "whole": 0}
    for index in range(rounds):
        folder = tmp_path / str(index)
        folder.mkdir()
        program = started(JOBS[names[index % len(names)]], still, folder / "new")
        kill_while_it_writes(program, folder, chance)
        seen = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        assert hashes(tmp_path / "in") == before
        if not seen:
            ends["nothing"] += 1
        elif seen == ["new.mov"]:
            ends["a clip alone"] += 1
        else:
            ends["whole"] += 1
            photo = next(folder / name for name in seen if not name.endswith(".mov"))
            assert check_file(photo).passed, names[index % len(names)]
            assert open_live_photo(photo).still.pixels().size
    assert rounds < 100 or min(ends["nothing"], ends["whole"]) >= 10, ends
