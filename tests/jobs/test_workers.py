"""Work in one process and in several: all of it, told as it is done, and ended when asked."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from livemoments.errors import ConfigError, LiveMomentsError
from livemoments.jobs.workers import Workers, cores


def square(number: int) -> int:
    return number**2


def whose(number: int) -> tuple[int, str]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS", "")


def fall(number: int) -> int:
    if number == 1:
        os._exit(9)
    return number


def sleep_or_note(path: Path) -> None:
    path.with_suffix(".begun").touch()
    time.sleep(60)
    path.touch()


def fails(number: int) -> int:
    raise ValueError(f"job {number}")


def test_one_process_is_this_one():
    with Workers(1) as workers:
        assert dict(workers.map(square, range(5))) == {n: n**2 for n in range(5)}
        (found,) = dict(workers.map(whose, [0])).values()
    assert found[0] == os.getpid()


def test_threads_are_shared_out():
    assert Workers(1, 6).threads == 6 and Workers(2, 6).threads == 3 and Workers(9, 6).threads == 1
    assert Workers(1).threads == cores() >= 1


@pytest.mark.parametrize(("options", "what"), [((0, 0), "jobs"), ((1, -1), "threads")])
def test_numbers_out_of_range_are_refused(options, what):
    with pytest.raises(ConfigError, match=f"{what} must be"):
        Workers(*options)


def test_jobs_are_asked_for_as_late_as_can_be():
    begun = []

    def jobs():
        for number in range(3):
            begun.append(number)
            yield number

    with Workers(1) as workers:
        for done, _ in workers.map(square, jobs()):
            assert begun == list(range(done + 1))


class TestSeveral:
    def test_all_jobs_are_done_elsewhere(self):
        before = {*multiprocessing.active_children()}
        with Workers(2, 4) as workers:
            assert dict(workers.map(square, range(20))) == {n: n**2 for n in range(20)}
            found = {pid for _, (pid, _) in workers.map(whose, range(6))}
            threads = {said for _, (_, said) in workers.map(whose, range(2))}
        assert os.getpid() not in found and threads == {"2"}
        assert {*multiprocessing.active_children()} == before

    def test_what_a_job_raises_is_raised(self):
        with pytest.raises(ValueError, match="job 3"), Workers(2) as workers:
            list(workers.map(fails, [3]))

    def test_a_process_that_is_ended_is_said(self):
        with pytest.raises(LiveMomentsError, match="ended from outside.*fewer processes"):
            with Workers(2) as workers:
                list(workers.map(fall, range(4)))

    def test_cancelling_ends_them_at_once(self, tmp_path):
        began_s = time.monotonic()
        paths = [tmp_path / "one", tmp_path / "two"]

        def jobs():
            yield from paths
            while not all(path.with_suffix(".begun").exists() for path in paths):
                time.sleep(0.05)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), Workers(2) as workers:
            list(workers.map(sleep_or_note, jobs()))
        assert time.monotonic() - began_s < 40
        assert not any(path.exists() for path in paths)
