import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from livemoments import files as atomic
from livemoments.errors import OutputError
from livemoments.files import atomic_output, atomic_pair, check_output


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fails_with(number):
    def call(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return call


def test_the_file_appears_whole_and_alone(tmp_path):
    target = tmp_path / "a.jpg"
    with atomic_output(target) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".jpg"
        temporary.write_bytes(b"half")
        assert not target.exists()
        temporary.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert names(tmp_path) == ["a.jpg"]


def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path):
    with atomic_output(tmp_path / "a") as temporary:
        temporary.write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_nothing_is_replaced_without_overwrite(tmp_path):
    target = tmp_path / "a.jpg"
    target.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists already.*allow overwriting"):
        with atomic_output(target):
            pytest.fail("the body must not run")
    assert target.read_bytes() == b"old"


def test_overwrite_replaces_and_keeps_the_mode(tmp_path):
    target = tmp_path / "a.jpg"
    target.write_bytes(b"old")
    target.chmod(0o600)
    with atomic_output(target, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["a.jpg"]


@pytest.mark.parametrize("how", ["same", "relative", "symlink", "hardlink"])
def test_an_input_is_never_replaced(tmp_path, monkeypatch, how):
    source = tmp_path / "in.jpg"
    source.write_bytes(b"input")
    target = source
    if how == "relative":
        monkeypatch.chdir(tmp_path)
        target = atomic.Path("in.jpg")
    elif how == "symlink":
        target = tmp_path / "link.jpg"
        target.symlink_to(source)
    elif how == "hardlink":
        target = tmp_path / "link.jpg"
        target.hardlink_to(source)
    with pytest.raises(OutputError, match="input"):
        with atomic_output(target, overwrite=True, inputs=[tmp_path / "gone", source]):
            pytest.fail("the body must not run")
    assert source.read_bytes() == b"input"


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    target = tmp_path / "a.jpg"
    with pytest.raises(OutputError, match="exists already"):
        with atomic_output(target) as temporary:
            temporary.write_bytes(b"ours")
            target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a.jpg"]


def test_a_dangling_link_is_not_followed(tmp_path):
    target = tmp_path / "a.jpg"
    target.symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(OutputError, match="exists already"):
        with atomic_output(target) as temporary:
            temporary.write_bytes(b"ours")
    assert not (tmp_path / "elsewhere.jpg").exists()


@pytest.mark.parametrize("appears", [False, True])
def test_file_systems_without_links(tmp_path, monkeypatch, appears):
    monkeypatch.setattr(os, "link", fails_with(errno.EPERM))
    target = tmp_path / "a.jpg"
    if not appears:
        with atomic_output(target) as temporary:
            temporary.write_bytes(b"ours")
        assert target.read_bytes() == b"ours"
    else:
        with pytest.raises(OutputError, match="exists already"):
            with atomic_output(target) as temporary:
                temporary.write_bytes(b"ours")
                target.write_bytes(b"theirs")
        assert target.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a.jpg"]


def test_without_links_a_failed_move_leaves_no_empty_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", fails_with(errno.EPERM))
    monkeypatch.setattr(os, "replace", fails_with(errno.EIO))
    with pytest.raises(OutputError, match="cannot be written"):
        with atomic_output(tmp_path / "a.jpg") as temporary:
            temporary.write_bytes(b"ours")
    assert names(tmp_path) == []


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, ValueError, MemoryError])
def test_a_failure_leaves_nothing_and_passes_through(tmp_path, failure):
    target = tmp_path / "a.jpg"
    with pytest.raises(failure):
        with atomic_output(target) as temporary:
            temporary.write_bytes(b"half")
            raise failure
    assert names(tmp_path) == []


def test_a_failure_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.jpg"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        with atomic_output(target, overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.jpg"]


def test_a_full_disk_while_writing(tmp_path):
    with pytest.raises(OutputError, match="full; nothing was written"):
        with atomic_output(tmp_path / "a.jpg") as temporary:
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []


def test_a_full_disk_while_flushing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", fails_with(errno.ENOSPC))
    with pytest.raises(OutputError, match="full"):
        with atomic_output(tmp_path / "a.jpg") as temporary:
            temporary.write_bytes(b"x")
    assert names(tmp_path) == []


def test_a_really_full_device():
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    with pytest.raises(OSError, match="space") as caught:
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")
    assert "full" in atomic._reason(caught.value, atomic.Path("/x/a.jpg"))


def test_the_error_of_another_file_is_not_ours(tmp_path):
    with pytest.raises(FileNotFoundError):
        with atomic_output(tmp_path / "a.jpg"):
            (tmp_path / "other").read_bytes()
    assert names(tmp_path) == []


def test_a_missing_folder(tmp_path):
    with pytest.raises(OutputError, match="nowhere does not exist; create it first"):
        check_output(tmp_path / "nowhere" / "a.jpg")


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        check_output(tmp_path / "file" / "a.jpg")


def test_a_folder_as_output(tmp_path):
    with pytest.raises(OutputError, match="folder"):
        check_output(tmp_path, overwrite=True)


def test_a_folder_without_permission_is_seen_early(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *args, **kwargs: False)  # root may write anywhere
    with pytest.raises(OutputError, match="no permission"):
        check_output(tmp_path / "a.jpg")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_without_permission_is_seen_late(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "open", fails_with(number))
    with pytest.raises(OutputError, match="no permission"):
        with atomic_output(tmp_path / "a.jpg"):
            pytest.fail("the body must not run")


@pytest.mark.parametrize("name", ["x" * 300 + ".jpg", "a\0b.jpg"])
def test_impossible_names(tmp_path, name):
    with pytest.raises(OutputError) as caught:
        with atomic_output(tmp_path / name) as temporary:
            temporary.write_bytes(b"x")
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_long_names_that_the_system_takes(tmp_path):
    target = tmp_path / ("x" * 250 + ".jpg")
    with atomic_output(target) as temporary:
        temporary.write_bytes(b"x")
    assert target.read_bytes() == b"x"


KILLED = """
import signal, sys, time
from pathlib import Path
from livemoments.files import atomic_output
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs us behind
with atomic_output(Path(sys.argv[1]), overwrite=True) as temporary:
    with open(temporary, "wb") as stream:
        stream.write(b"half" * 1000)
        stream.flush()
        print("half", flush=True)
        time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_killed_process_leaves_no_half_file_under_the_name(tmp_path, old):
    target = tmp_path / "a.jpg"
    if old is not None:
        target.write_bytes(old)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"half\n"
        process.kill()
        process.wait()
    assert (target.read_bytes() if target.exists() else None) == old


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_an_interrupted_process_leaves_nothing(tmp_path):
    target = tmp_path / "a.jpg"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"half\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert names(tmp_path) == []


# --- two files --------------------------------------------------------------------------------


def write_pair(folder, **options):
    first, second = folder / "a.mov", folder / "a.jpg"
    with atomic_pair(first, second, **options) as (one, other):
        one.write_bytes(b"clip")
        other.write_bytes(b"still")
    return first, second


def test_both_files_appear(tmp_path):
    with atomic_pair(tmp_path / "a.mov", tmp_path / "a.jpg") as (first, second):
        assert (first.suffix, second.suffix) == (".mov", ".jpg")
        first.write_bytes(b"clip")
        second.write_bytes(b"still")
        assert [name for name in names(tmp_path) if not name.startswith(".")] == []
    assert names(tmp_path) == ["a.jpg", "a.mov"]
    assert (tmp_path / "a.mov").read_bytes() == b"clip"


@pytest.mark.parametrize("there", ["a.mov", "a.jpg"])
def test_neither_is_written_where_one_is_there(tmp_path, there):
    (tmp_path / there).write_bytes(b"old")
    with pytest.raises(OutputError, match=rf"{there}: exists already"):
        write_pair(tmp_path)
    assert names(tmp_path) == [there]
    assert (tmp_path / there).read_bytes() == b"old"
    write_pair(tmp_path, overwrite=True)
    assert names(tmp_path) == ["a.jpg", "a.mov"]
    assert (tmp_path / there).read_bytes() in (b"clip", b"still")


@pytest.mark.parametrize("which", ["a.mov", "a.jpg"])
def test_neither_input_is_replaced(tmp_path, which):
    (tmp_path / which).write_bytes(b"input")
    with pytest.raises(OutputError, match="input"):
        write_pair(tmp_path, overwrite=True, inputs=[tmp_path / which])
    assert names(tmp_path) == [which]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_a_failing_body_leaves_neither(tmp_path, failure):
    with pytest.raises(failure):
        with atomic_pair(tmp_path / "a.mov", tmp_path / "a.jpg") as (first, _):
            first.write_bytes(b"clip")
            raise failure
    assert names(tmp_path) == []


def failing_on(number, call, at):
    """A system call that fails the at-th time."""
    count = 0

    def wrapped(*args, **kwargs):
        nonlocal count
        count += 1
        if count == at:
            raise OSError(number, os.strerror(number), str(args[0]))
        return call(*args, **kwargs)

    return wrapped


@pytest.mark.parametrize("at", [1, 2])
def test_if_one_cannot_be_moved_the_other_is_taken_back(tmp_path, monkeypatch, at):
    monkeypatch.setattr(os, "link", failing_on(errno.EIO, os.link, at))
    with pytest.raises(OutputError, match=["a.mov", "a.jpg"][at - 1]):
        write_pair(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("at", [1, 2])
def test_what_was_replaced_comes_back(tmp_path, monkeypatch, at, links):
    (tmp_path / "a.mov").write_bytes(b"old clip")
    (tmp_path / "a.jpg").write_bytes(b"old still")
    if not links:
        monkeypatch.setattr(os, "link", fails_with(errno.EPERM))
    monkeypatch.setattr(os, "replace", failing_on(errno.EIO, os.replace, at))
    with pytest.raises(OutputError, match="cannot be written"):
        write_pair(tmp_path, overwrite=True)
    assert names(tmp_path) == ["a.jpg", "a.mov"]
    assert (tmp_path / "a.mov").read_bytes() == b"old clip"
    assert (tmp_path / "a.jpg").read_bytes() == b"old still"


def test_a_still_that_appears_meanwhile_costs_the_clip(tmp_path):
    with pytest.raises(OutputError, match=r"a.jpg: exists already"):
        with atomic_pair(tmp_path / "a.mov", tmp_path / "a.jpg") as (first, second):
            first.write_bytes(b"clip")
            second.write_bytes(b"still")
            (tmp_path / "a.jpg").write_bytes(b"theirs")
    assert names(tmp_path) == ["a.jpg"]
    assert (tmp_path / "a.jpg").read_bytes() == b"theirs"


def test_a_full_disk_leaves_neither(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", fails_with(errno.ENOSPC))
    with pytest.raises(OutputError, match="full; nothing was written"):
        write_pair(tmp_path)
    assert names(tmp_path) == []
