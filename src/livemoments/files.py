"""Write files and folders whole or not at all, and find the folder for what can be fetched again.

Everything is written next to its place, flushed to the disk, and moved there when it is finished.
"""

import errno
import os
import pickle
import secrets
import shutil
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from livemoments.errors import DamagedFileError, MissingFileError, OutputError, list_some

FULL = (errno.ENOSPC, errno.EDQUOT)
# What file systems without hard links (FAT network shares) answer to a link.
NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL}
NO_LINKS |= {errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def atomic_output(
    path: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()
) -> Iterator[Path]:
    """Give the body a temporary path to write; when it ends well, move that file to `path`.

    The temporary file lies in the same folder, is empty at first, and has the same suffix. On
    any failure, Ctrl-C included, it is removed and `path` is as it was. The body should do
    nothing but write: its system errors are reported as errors of the output.

    Args:
        path: Where the file shall be.
        overwrite: Whether a file that is there already may be replaced.
        inputs: Files that are never replaced, even with overwrite.

    Raises:
        OutputError: `path` exists, is an input or a folder, or cannot be written.
    """
    with _atomic([Path(path)], overwrite, inputs) as (temporary,):
        yield temporary


@contextmanager
def atomic_pair(
    first: Path, second: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()
) -> Iterator[tuple[Path, Path]]:
    """Give the body two temporary paths to write; when it ends well, both files appear.

    As atomic_output for each of them, and together: if the second cannot be moved, the first is
    taken back, and a file that it replaced is put back. No file system moves two files in one
    step, so one window stays: a process killed outright (SIGKILL, power) between the two moves
    leaves the first without the second. What the first replaced then lies next to it, hidden.

    Args:
        first: The file that appears first: the one that does less harm alone.
        second: The other one.
        overwrite: Whether files that are there already may be replaced.
        inputs: Files that are never replaced, even with overwrite.

    Raises:
        OutputError: Either path is refused, or cannot be written. Then neither has changed.
    """
    with _atomic([Path(first), Path(second)], overwrite, inputs) as (one, other):
        yield one, other


@contextmanager
def _atomic(paths: list[Path], overwrite: bool, inputs: Iterable[Path]) -> Iterator[list[Path]]:
    """Do what atomic_output and atomic_pair promise, for one path or two."""
    inputs = tuple(inputs)
    for path in paths:
        check_output(path, overwrite=overwrite, inputs=inputs)
    temporaries, spare = [_hidden_name(path) for path in paths], _hidden_name(paths[0])
    try:
        try:
            for temporary in temporaries:
                # Not tempfile: its files are private, and would stay so after the move.
                os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            yield temporaries
            for temporary in temporaries:
                _flush(temporary)
            if len(paths) == 1:
                _move(temporaries[0], paths[0], overwrite)
            else:
                _move_both(temporaries, paths, spare, overwrite)
        finally:
            for left in (*temporaries, spare):
                with suppress(OSError):
                    os.unlink(left)
    except OSError as error:
        # An error without a name comes from a write.
        names = {None: paths[0], os.fspath(spare): paths[0]}
        for path, temporary in zip(paths, temporaries, strict=True):
            names |= {os.fspath(path): path, os.fspath(temporary): path}
        about = names.get(error.filename and str(error.filename))
        if error.errno is None or about is None:
            raise
        raise OutputError(f"{about}: {_reason(error, about)}") from error


def check_output(path: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()) -> None:
    """Raise OutputError where atomic_output would refuse; for a look before long work.

    Args:
        path: Where a file shall be.
        overwrite: Whether a file that is there already may be replaced.
        inputs: Files that are never replaced.
    """
    path = Path(path)
    if "\0" in str(path):
        raise OutputError(f"{str(path)!r}: a file name cannot hold a zero byte")
    try:
        if path.is_dir():
            raise OutputError(f"{path}: this is a folder; give the name of a file in it")
        for source in inputs:
            if path.exists() and Path(source).exists() and os.path.samefile(path, source):
                raise OutputError(f"{path}: this is an input, and inputs are never replaced")
        if os.path.lexists(path) and not overwrite:
            raise _exists(path)
        folder = path.parent
        if not folder.is_dir():
            found = "is not a folder" if folder.exists() else "does not exist; create it first"
            raise OutputError(f"{path}: the folder {folder} {found}")
    except OSError as error:  # such as a name too long for the system
        raise OutputError(f"{path}: {_reason(error, path)}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: no permission to write in the folder {folder}")


def _hidden_name(path: Path) -> Path:
    """Return a free, hidden name in the same folder, of the same suffix."""
    return path.with_name(f".livemoments-{secrets.token_hex(4)}{path.suffix}")


def _move_both(temporaries: list[Path], paths: list[Path], spare: Path, overwrite: bool) -> None:
    """Give two finished files their names, or neither; spare is a free name next to the first."""
    replaced = overwrite and os.path.lexists(paths[0])
    if replaced:
        try:
            os.link(paths[0], spare, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            shutil.copy2(paths[0], spare)
    moved = False
    try:
        _move(temporaries[0], paths[0], overwrite)
        moved = True
        _move(temporaries[1], paths[1], overwrite)
    except BaseException:
        if moved and replaced:
            os.replace(spare, paths[0])
        elif moved:
            os.unlink(paths[0])
        raise


def _flush(temporary: Path) -> None:
    """Make the bytes reach the disk; a full one may say so only here."""
    with open(temporary, "rb+") as written:
        os.fsync(written.fileno())


def _move(temporary: Path, path: Path, overwrite: bool) -> None:
    """Give the finished file its name; without overwrite only if the name is still free."""
    if overwrite:
        with suppress(FileNotFoundError):
            # A private picture must not become public by being written again.
            os.chmod(temporary, os.stat(path).st_mode & 0o777)
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _claim_and_replace(temporary, path)


def _claim_and_replace(temporary: Path, path: Path) -> None:
    """Take a free name by creating it, then replace our own empty file."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        raise _exists(path) from None
    try:
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise


def _exists(path: Path) -> OutputError:
    message = f"{path}: exists already; give another name, or allow overwriting it"
    return OutputError(message, settings=("overwrite",))


def _reason(error: OSError, path: Path) -> str:
    if error.errno in FULL:
        return f"the disk of {path.parent} is full; nothing was written"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to write in the folder {path.parent}"
    return f"cannot be written ({error.strerror or error})"


@contextmanager
def reading(path: Path, what: str, package: str | None = None) -> Iterator[None]:
    """Turn whatever reading a fetched or installed file may raise into an error that names it.

    Args:
        path: the file that the body reads.
        what: what it should be, such as "the weights of VGG16".
        package: the installed package that brings the file; None: it was fetched.
    """
    install = f"reinstall the package {package}"
    damage = (pickle.UnpicklingError, struct.error, EOFError, LookupError, TypeError, ValueError)
    try:
        yield
    except FileNotFoundError as error:
        missing = install if package else f"{what} must be fetched first"
        raise MissingFileError(f"{path}: not there; {missing}") from error
    # RuntimeError is what torch raises for shapes that do not fit and for archives of its own.
    except (*damage, AttributeError, RuntimeError) as error:
        cure = install if package else "delete it, it is fetched again"
        raise DamagedFileError(f"{path}: not {what} ({error}); {cure}") from error


def cache_folder() -> Path:
    """Return this user's folder for what can be fetched again; it may not exist yet."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "livemoments"


@contextmanager
def atomic_folder(
    folder: Path, ours: Callable[[str], object], *, overwrite: bool
) -> Iterator[Path]:
    """Give the body a temporary folder to fill; when it ends well, that takes `folder`'s place.

    Args:
        folder: Where it shall be.
        ours: Whether a file of that path in the folder may be replaced.
        overwrite: Whether a folder that holds such files is replaced.

    Raises:
        OutputError: there is something else, or it cannot be written.
    """
    folder = Path(folder).resolve()
    _check_folder(folder, ours, overwrite)
    temporary = folder.with_name(f".livemoments-{secrets.token_hex(4)}")
    try:
        try:
            temporary.mkdir()
            yield temporary
            for file in _files(temporary):
                _flush(temporary / file)
            _take_place(temporary, folder, overwrite)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error


def _check_folder(folder: Path, ours: Callable[[str], object], overwrite: bool) -> None:
    """Raise OutputError where the folder must not be made."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: this is a file; give the name of a folder")
    if not folder.parent.is_dir():
        raise OutputError(f"{folder}: the folder {folder.parent} does not exist; create it first")
    found = _files(folder)
    if found and not overwrite:
        raise OutputError(f"{folder}: is not empty; give another name, or overwrite it")
    others = [file for file in found if not ours(file)]
    if others:
        raise OutputError(
            f"{folder}: holds other files too ({list_some(others)}), which would be lost;"
            " give another name"
        )


def _take_place(temporary: Path, folder: Path, overwrite: bool) -> None:
    """Move the finished folder to its place; what was there goes when that is done."""
    before = temporary.with_name(f"{temporary.name}-before")
    if folder.exists() and not overwrite:
        folder.rmdir()  # refused by the system if something came into it meanwhile
    if not folder.exists():
        os.rename(temporary, folder)
        return
    os.rename(folder, before)
    try:
        os.rename(temporary, folder)
    except BaseException:
        os.rename(before, folder)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()
    )


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give the body a temporary folder to fill; when it ends well, that becomes `folder`.

    Raises:
        OutputError: there is something of that name, or it cannot be written.
    """
    if os.path.lexists(folder):
        raise OutputError(f"{folder}: exists already; give another name")
    with atomic_folder(folder, bool, overwrite=False) as temporary:
        yield temporary
