"""Feed damaged files of every kind to the readers: only our own errors, quickly, in little memory.

    PYTHONPATH=src:tests python -m support.fuzz --cases 20000 --seed 1
    PYTHONPATH=src:tests python -m support.fuzz --seed 1 --case 4711    # one case again

Every case is made from (seed, number) alone, runs in a worker process, and must end in a Live
Photo with sensible facts or in one of our errors, of one line. Using more than 5 s of processor
time or 1 GiB of memory, a warning, printing, ending the process, writing beside the input and
leaving a temporary file are failures too. A share of the cases is also checked against the rules
of its form, and a share converted: then the output is absent, or a Live Photo again. With --real,
the small ones of the real phones' files are damaged as well; they are only read.
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

import numpy as np

from support import fuzz_files, makers

ADDRESS_BYTES = 8 << 30  # so that a mistake does not take the machine along
DECODED = 0.25  # share of the cases in which a frame is decoded and the still made small
CHECKED, CONVERTED = 0.1, 0.1  # shares of those held against their form's rules, and converted
TARGETS = ("apple", "google", "samsung", "microvideo")
# In a folder a still is copied where it can be; under these names it may be encoded anew.
OUTPUTS = (".", ".", "x.jpg", "x.heic")
SAME_TIME_S = 0.1  # a form states a time in its own units, or as a frame
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


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a case ended, by its kind or its error's name, and what it used."""

    end: str
    seconds: float = 0.0  # of processor time
    bytes: int = 0


@dataclass(kw_only=True)
class Outcome:
    """What came of a run; the most that one case used."""

    seconds: float = 0.0
    most_seconds: float = 0.0
    most_bytes: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return sum(self.ends.values())


@dataclass(frozen=True, kw_only=True)
class Use:
    """What is done with a case's files besides opening them."""

    decode: bool = False
    check: bool = False
    to: str | None = None  # the form that they are converted to
    out: str = "."  # under this name in an empty folder


def read(path: Path, use: Use) -> str:
    """Open a file as users do; returns its kind. What must hold of every Live Photo is checked."""
    from livemoments.livephoto import open_live_photo
    from livemoments.livephoto.still.gain_map import read_gain_map

    if use.check:
        check(path)
    live = open_live_photo(path)
    facts = json.dumps(live.to_dict(), allow_nan=False)
    assert "\\u0000" not in facts
    assert math.isfinite(live.key_time_s) and live.clip.times_s
    assert 0 <= live.key_index < len(live.clip.times_s)
    assert all("\n" not in note for note in live.notes)
    found = read_gain_map(live.still)
    assert found.gain_map is None or np.isfinite(found.gain_map.stops()).all()
    assert "\n" not in (found.reason or "")
    if use.decode:
        image = live.frame(live.key_time_s).image
        assert image.shape == (live.clip.height, live.clip.width, 3)
        assert np.isfinite(image).all()
        small = live.still.thumbnail(32)
        assert max(small.shape[:2]) <= 32
    return live.kind + (convert(path, use) if use.to else "")


def check(path: Path) -> None:
    """Hold a file against its form's rules, where it has one."""
    from livemoments.errors import LiveMomentsError
    from livemoments.livephoto.checking.check import check_file

    try:
        found = check_file(path)
    except LiveMomentsError as error:
        assert_message(error)
        return
    json.dumps(found.to_dict(), allow_nan=False)
    assert all("\n" not in line for line in found.lines())


def convert(path: Path, use: Use) -> str:
    """Convert a file into an empty folder, where nothing half-done may be left; returns its end."""
    from livemoments.errors import LiveMomentsError
    from livemoments.livephoto import open_live_photo
    from livemoments.livephoto.writing.convert import convert_file

    with tempfile.TemporaryDirectory() as name:
        out = Path(name, use.out)
        try:
            done = convert_file(path, out, to=use.to or "")
        except LiveMomentsError as error:
            assert_message(error)
            assert not os.listdir(name), f"not converted ({error}), yet left {os.listdir(name)}"
            return ", not converted"
        written = {done.path, done.movie} - {None}
        assert written == set(Path(name).iterdir()), f"left {os.listdir(name)}"
        assert done.size_bytes == sum(each.stat().st_size for each in written if each)
        assert all("\n" not in note for note in done.notes)
        try:
            again = open_live_photo(done.path)
        except LiveMomentsError as error:
            raise AssertionError(f"converted to {use.to}, but unreadable: {error}") from error
        assert abs(again.key_time_s - done.key_time_s) < SAME_TIME_S, "the key time moved"
        return ", converted"


def assert_message(error: Exception) -> None:
    message = str(error)
    assert "\n" not in message and 0 < len(message) < MOST_LETTERS, repr(message)


Reader = Callable[[Path, Use], str]


def case_sample(
    samples: dict[str, fuzz_files.Sample], seed: int, case: int
) -> tuple[str, fuzz_files.Sample, Use]:
    """The name of the sample, its damaged files, and what is done with them."""
    rng = np.random.default_rng([seed, case])
    name = str(rng.choice(sorted(samples)))
    decode = bool(rng.random() < DECODED)
    sample = fuzz_files.damaged(samples[name], samples, rng)
    check, converted = (bool(rng.random() < share) for share in (CHECKED, CONVERTED))
    to = str(rng.choice(TARGETS)) if converted else None
    # Encoding a phone's twelve megapixels takes longer than a case may.
    out = "." if name.startswith("real ") else str(rng.choice(OUTPUTS))
    return name, sample, Use(decode=decode, check=check, to=to, out=out)


def run_case(
    sample: fuzz_files.Sample,
    use: Use,
    folder: Path,
    reader: Reader = read,
    limits: Limits = Limits(),
) -> Ending:
    """Read one sample in an empty folder.

    Raises:
        AssertionError: It did what no reader may.
    """
    from livemoments.errors import LiveMomentsError

    for name, data in sample.files.items():
        (folder / name).write_bytes(data)
    begin_s, begin_bytes = time.process_time(), _memory_bytes()[0]
    try:
        end = reader(folder / sample.entry, use)
    except LiveMomentsError as error:
        end = type(error).__name__
        assert_message(error)
    used_s = time.process_time() - begin_s
    assert used_s < limits.seconds, f"{used_s:.1f} s of processor time"
    used_bytes = _memory_bytes()[1] - begin_bytes
    assert used_bytes < limits.bytes, f"{used_bytes >> 20} MiB of memory"
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == sample.files, f"wrote {sorted(found)}"
    return Ending(end=end, seconds=used_s, bytes=used_bytes)


def _memory_bytes() -> tuple[int, int]:
    """Memory in use, and the most since the last call: since the start where Linux' way is not."""
    try:
        status = Path("/proc/self/status").read_text()
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return 0, most
    in_use, most = (int(status.split(name)[1].split()[0]) * 1024 for name in ("VmRSS:", "VmHWM:"))
    return in_use, most


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
    tempfile.tempdir = home
    warnings.simplefilter("error")
    with log.open("a") as stack:
        for output in (1, 2):
            os.dup2(stack.fileno(), output)
        faulthandler.enable(stack)
        connection.send(home)
        while (case := connection.recv()) is not None:
            name, sample, use = case_sample(samples, seed, case)
            # Named as a package, so that what is in it may be one.
            folder = Path(home, "a.pvt" if name == "pvt" else "a")
            folder.mkdir()
            faulthandler.dump_traceback_later(limits.hang_seconds, exit=True, file=stack)
            try:
                result = (run_case(sample, use, folder, reader, limits), "")
                assert os.listdir(home) == [folder.name], f"left {os.listdir(home)}"
                printed = log.read_text(errors="replace")
                assert not printed, f"printed {printed[:500]!r}"
            except BaseException:  # noqa: B036 - whatever it is, it is what is looked for
                result = (Ending(end="failure"), traceback.format_exc(limit=-6))
            faulthandler.cancel_dump_traceback_later()
            os.ftruncate(stack.fileno(), 0)
            shutil.rmtree(home)
            Path(home).mkdir()
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
        self.home: str = self.connection.recv()
        self.case = -1

    def begin(self, case: int) -> None:
        self.case = case
        self.connection.send(case)

    def result(self) -> tuple[Ending, str]:
        """How the case ended, and what went wrong."""
        try:
            ending, fault = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            stack = self.log.read_text().strip()
            fault = f"the process ended ({self.process.exitcode})\n{stack}"
            return Ending(end="failure"), fault
        return ending, fault

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
            ending, fault = worker.result()
            outcome.ends[ending.end] += 1
            outcome.most_seconds = max(outcome.most_seconds, ending.seconds)
            outcome.most_bytes = max(outcome.most_bytes, ending.bytes)
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
        name, sample, use = case_sample(samples, args.seed, args.case)
        folder = Path(tempfile.mkdtemp(suffix=".pvt" if name == "pvt" else ""))
        _say(f"{name}: {folder / sample.entry}, {use}")
        _say(str(run_case(sample, use, folder)))
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
    peak = f"{outcome.most_seconds:.1f} s and {outcome.most_bytes >> 20} MiB"
    _say(f"{len(outcome.failures)} failures; one case used at most {peak}")
    for end, count in outcome.ends.most_common():
        _say(f"{count:8d} {end}")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
