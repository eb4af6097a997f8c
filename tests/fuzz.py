"""Feed damaged files of every kind to the readers: only our own errors, quickly, in little memory.

    PYTHONPATH=src python tests/fuzz.py --cases 20000 --seed 1
    PYTHONPATH=src python tests/fuzz.py --seed 1 --case 4711    # one case again, with its files

Every case is made from (seed, number) alone, runs in a worker process, and must end in a Live
Photo with sensible facts or in one of our errors, of one line. Using more than 5 s of processor
time or 1 GiB of memory, a warning, printing, ending the process and writing a file are failures
too. With --real, the small ones of the real phones' files are damaged as well; they are only read.
"""

import argparse
import faulthandler
import json
import math
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

import fuzz_files
import makers
import numpy as np

ADDRESS_BYTES = 8 << 30  # so that a mistake does not take the machine along
DECODED = 0.25  # share of the cases in which a frame is decoded and the still made small
MOST_LETTERS = 500


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one case may use."""

    seconds: float = 5.0  # of processor time
    hang_seconds: float = 40.0  # by the clock, which runs for other programs too
    bytes: int = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A case that ended as none may."""

    seed: int
    case: int
    sample: str
    what: str


@dataclass(kw_only=True)
class Outcome:
    """What came of a run."""

    seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return sum(self.ends.values())


def read(path: Path, decode: bool) -> str:
    """Open a file as users do; returns its kind. What must hold of every Live Photo is checked."""
    from livemoments.livephoto import open_live_photo

    live = open_live_photo(path)
    facts = json.dumps(live.to_dict(), allow_nan=False)
    assert "\\u0000" not in facts
    assert math.isfinite(live.key_time_s) and live.clip.times_s
    assert 0 <= live.key_index < len(live.clip.times_s)
    assert all("\n" not in note for note in live.notes)
    if decode:
        image = live.frame(live.key_time_s).image
        assert image.shape == (live.clip.height, live.clip.width, 3)
        assert np.isfinite(image).all()
        small = live.still.thumbnail(32)
        assert max(small.shape[:2]) <= 32
    return live.kind


Reader = Callable[[Path, bool], str]


def case_sample(
    samples: dict[str, fuzz_files.Sample], seed: int, case: int
) -> tuple[str, fuzz_files.Sample, bool]:
    """The name of the sample, its damaged files, and whether a frame is decoded."""
    rng = np.random.default_rng([seed, case])
    name = str(rng.choice(sorted(samples)))
    decode = bool(rng.random() < DECODED)
    return name, fuzz_files.damaged(samples[name], samples, rng), decode


def run_case(
    sample: fuzz_files.Sample,
    decode: bool,
    folder: Path,
    reader: Reader = read,
    limits: Limits = Limits(),
) -> str:
    """Read one sample in an empty folder; returns its kind or its error's name.

    Raises:
        AssertionError: It did what no reader may.
    """
    from livemoments.errors import LiveMomentsError

    for name, data in sample.files.items():
        (folder / name).write_bytes(data)
    begin_s = time.process_time()
    try:
        end = reader(folder / sample.entry, decode)
    except LiveMomentsError as error:
        end = type(error).__name__
        message = str(error)
        assert "\n" not in message and 0 < len(message) < MOST_LETTERS, repr(message)
    used_s = time.process_time() - begin_s
    assert used_s < limits.seconds, f"{used_s:.1f} s of processor time"
    used_bytes = _peak_bytes()
    assert used_bytes < limits.bytes, f"{used_bytes >> 20} MiB of memory"
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == sample.files, f"wrote {sorted(found)}"
    return end


def _peak_bytes() -> int:
    """The most memory since the last call; since the process began where Linux' way is not."""
    try:
        status = Path("/proc/self/status").read_text()
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def work(
    connection: Connection,
    samples: dict[str, fuzz_files.Sample],
    seed: int,
    reader: Reader,
    limits: Limits,
    log: Path,
) -> None:
    """A worker: takes numbers of cases, gives back how they ended, until it is told to stop."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    memory = Path("/dev/shm")
    home = tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
    warnings.simplefilter("error")
    with log.open("a") as stack:
        for output in (1, 2):
            os.dup2(stack.fileno(), output)
        faulthandler.enable(stack)
        connection.send((-1, "", home))
        while (case := connection.recv()) is not None:
            name, sample, decode = case_sample(samples, seed, case)
            # Named as a package, so that what is in it may be one.
            folder = Path(home, "a.pvt" if name == "pvt" else "a")
            folder.mkdir()
            faulthandler.dump_traceback_later(limits.hang_seconds, exit=True, file=stack)
            try:
                result = (case, run_case(sample, decode, folder, reader, limits), "")
                printed = log.read_text(errors="replace")
                assert not printed, f"printed {printed[:500]!r}"
            except BaseException:  # noqa: B036 - whatever it is, it is what is looked for
                result = (case, "", traceback.format_exc(limit=-6))
            faulthandler.cancel_dump_traceback_later()
            os.ftruncate(stack.fileno(), 0)
            shutil.rmtree(folder)
            connection.send(result)


class Worker:
    """A worker process and the case it is at."""

    def __init__(
        self, samples: dict[str, fuzz_files.Sample], seed: int, reader: Reader, limits: Limits
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        handle, name = tempfile.mkstemp()
        os.close(handle)
        self.log = Path(name)
        self.process = context.Process(
            target=work, args=(other, samples, seed, reader, limits, self.log), daemon=True
        )
        self.process.start()
        other.close()
        self.home: str = self.connection.recv()[2]
        self.case = -1

    def begin(self, case: int) -> None:
        self.case = case
        self.connection.send(case)

    def result(self) -> tuple[str, str]:
        """How the case ended: a kind or an error's name, or what went wrong."""
        try:
            _, end, fault = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            stack = self.log.read_text().strip()
            return "", f"the process ended ({self.process.exitcode})\n{stack}"
        return end, fault

    def stop(self) -> None:
        if self.process.is_alive():
            self.connection.send(None)
            self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.log.unlink(missing_ok=True)
        shutil.rmtree(self.home, ignore_errors=True)


def run(
    samples: dict[str, fuzz_files.Sample],
    *,
    seed: int,
    cases: Iterator[int],
    seconds: float = math.inf,
    workers: int = 2,
    reader: Reader = read,
    limits: Limits = Limits(),
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Run cases until they or the seconds end."""
    outcome, begin_s = Outcome(), time.monotonic()
    busy: list[Worker] = []

    def feed(worker: Worker) -> None:
        case = next(cases, None) if time.monotonic() - begin_s < seconds else None
        if case is None:
            busy.remove(worker)
            worker.stop()
        else:
            worker.begin(case)

    for _ in range(workers):
        busy.append(Worker(samples, seed, reader, limits))
    for worker in list(busy):
        feed(worker)
    while busy:
        for connection in wait([worker.connection for worker in busy]):
            worker = next(each for each in busy if each.connection is connection)
            end, fault = worker.result()
            outcome.ends[end or "failure"] += 1
            if fault:
                name = case_sample(samples, seed, worker.case)[0]
                failure = Failure(seed=seed, case=worker.case, sample=name, what=fault)
                outcome.failures.append(failure)
                say(f"--seed {seed} --case {failure.case} ({failure.sample}): {fault}")
            if not worker.process.is_alive():
                worker.stop()
                busy[busy.index(worker)] = worker = Worker(samples, seed, reader, limits)
            feed(worker)
            if outcome.cases % 1000 == 0:
                say(f"{outcome.cases} cases, {len(outcome.failures)} failures")
    outcome.seconds = time.monotonic() - begin_s
    return outcome


def all_samples(real: bool) -> dict[str, fuzz_files.Sample]:
    samples = fuzz_files.made_samples()
    return samples | fuzz_files.real_samples(makers.samples_folder()) if real else samples


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--real", action="store_true", help="damage real phones' files too")
    parser.add_argument("--case", type=int, help="this one alone; its files are kept")
    args = parser.parse_args()
    samples = all_samples(args.real)
    if args.case is not None:
        name, sample, decode = case_sample(samples, args.seed, args.case)
        folder = Path(tempfile.mkdtemp(suffix=".pvt" if name == "pvt" else ""))
        _say(f"{name}: {folder / sample.entry}, decode: {decode}")
        _say(run_case(sample, decode, folder))
        return 0
    outcome = run(
        samples,
        seed=args.seed,
        cases=iter(range(args.cases)),
        seconds=args.seconds,
        workers=args.workers,
        say=_say,
    )
    rate = outcome.cases / outcome.seconds
    _say(f"{outcome.cases} cases in {outcome.seconds:.0f} s, {rate:.0f} a second")
    for end, count in outcome.ends.most_common():
        _say(f"{count:8d} {end}")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
