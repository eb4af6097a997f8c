"""A writer that is killed outright: the source is intact, every still has its whole clip."""

import hashlib
import random
import signal
import subprocess
import sys
import time

import pytest
from support import makers
from support.written import write_live

from livemoments.livephoto import open_live_photo

WRITER = """
import itertools, sys
from pathlib import Path
import numpy as np
from livemoments.livephoto import open_live_photo
from livemoments.livephoto.writing.format import Format
from livemoments.livephoto.writing.live_photo import write_live_photo
from livemoments.livephoto.writing.place import check_place
live = open_live_photo(sys.argv[1])
image = live.frame(0.25).image
print("ready", flush=True)
for number in itertools.count():
    place = check_place(Path(sys.argv[2]) / f"{number}.jpg", Format.APPLE)
    write_live_photo(live, image, place, time_s=0.25, software="x",
                     identifier=f"{number:08X}-1111-4222-8333-444455556666")
"""


def hashes(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("rounds", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_a_killed_writer_leaves_whole_pairs(tmp_path, rounds):
    """Killed at a random moment: inputs intact, every still has its whole clip.

    Between the two moves a clip may be alone, the last one written; never a still.
    """
    pair = makers.apple_pair(tmp_path / "in", sound=True)
    live, before = open_live_photo(pair[0]), hashes(tmp_path / "in")
    image = live.frame(0.25).image
    known: dict[int, tuple[bytes, bytes]] = {}

    def expected(number: int) -> tuple[bytes, bytes]:
        if number not in known:
            written = write_live(
                live, image, tmp_path / "known.jpg", time_s=0.25, overwrite=True,
                identifier=f"{number:08X}-1111-4222-8333-444455556666",
            )  # fmt: skip
            known[number] = written.path.read_bytes(), written.movie.read_bytes()
        return known[number]

    chance = random.Random(0)
    for index in range(rounds):
        folder = tmp_path / str(index)
        folder.mkdir()
        command = [sys.executable, "-c", WRITER, str(pair[0]), str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0, 0.15))
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        stills = {int(p.stem) for p in folder.glob("[0-9]*.jpg")}
        clips = {int(p.stem) for p in folder.glob("[0-9]*.mov")}
        assert stills <= clips and len(clips - stills) <= 1
        assert clips == set(range(len(clips)))
        for number in clips:
            still, clip = expected(number)
            assert (folder / f"{number}.mov").read_bytes() == clip
            assert number not in stills or (folder / f"{number}.jpg").read_bytes() == still
        assert hashes(tmp_path / "in") == before
