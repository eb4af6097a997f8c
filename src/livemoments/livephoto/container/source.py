"""A run of bytes to read from: a whole file, the clip inside a photo, or a part of an archive."""

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from livemoments.errors import DamagedFileError, MissingFileError, UnsupportedFileError

FileKind = Literal["still", "video", "archive", "other"]

HEAD_BYTES = 64
# Opening takes some dozens of calls, a frame two or three and some hundred bytes.
FEWEST_CALLS, BYTES_A_CALL = 50_000, 16
STILL_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"}
STILL_BRANDS |= {b"avif", b"avis", b"miaf"}
# Old QuickTime files may start with any of these instead of 'ftyp'.
QUICKTIME_STARTS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
STILL_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM")
ARCHIVE_MAGIC = b"PK\x03\x04"
# Raw photos that do not call themselves a TIFF: where in the file their mark stands, and which.
RAW_MARKS = {
    "RAF": (0, (b"FUJIFILMCCD-RAW",)),
    "CR3": (4, (b"ftypcrx ",)),
    "CR2": (8, (b"CR\x02",)),
    "ORF": (0, (b"IIRO", b"IIRS", b"MMOR")),
    "RW2": (0, (b"IIU\0",)),
    "CRW": (6, (b"HEAPCCDR",)),
    "MRW": (0, (b"\0MRM",)),
    "X3F": (0, (b"FOVb",)),
}
RAW_SUFFIXES = {".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".raf"}
RAW_SUFFIXES |= {".orf", ".rw2", ".rwl", ".pef", ".srw", ".x3f", ".3fr", ".iiq", ".mrw", ".erf"}
ICLOUD = ".icloud"  # ends the name of what stands for a file that was not downloaded
ICLOUD_MAGIC = b"bplist"
IN_ICLOUD = "it is in iCloud and not on this computer; download it first"


class ByteStream(Protocol):
    """What the parsers need of a stream: a file, a slice of one, or bytes in memory."""

    def read(self, size: int = -1, /) -> bytes:
        """Read up to size bytes."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position and return it."""


class FileSlice(io.RawIOBase):
    """A read-only, seekable view of bytes [start, start + length) of a file, which it closes.

    Attributes:
        calls_left: How many more reads and moves it allows; None for any number. Then it plays
            dead, so that a decoder that goes in circles comes to an end.
    """

    def __init__(self, file: BinaryIO, start: int, length: int, calls: int | None = None) -> None:
        self._file = file
        self._start = start
        self._length = length
        self._position = 0
        self.calls_left = calls

    def readable(self) -> bool:
        """Say that this stream can be read."""
        return True

    def seekable(self) -> bool:
        """Say that this stream can be moved in."""
        return True

    def tell(self) -> int:
        """Return the position within the slice."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position within the slice and return it."""
        if not self._allowed():
            return -1
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Read up to size bytes, never past the end of the slice."""
        if not self._allowed():
            return b""
        left = max(0, self._length - self._position)
        wanted = left if size < 0 else min(size, left)
        self._file.seek(self._start + self._position)
        data = self._file.read(wanted)
        self._position += len(data)
        return data

    def _allowed(self) -> bool:
        if self.calls_left is None:
            return True
        self.calls_left = max(0, self.calls_left - 1)
        return self.calls_left > 0

    def close(self) -> None:
        """Close the file beneath."""
        self._file.close()
        super().close()


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where media bytes lie: a file, and a range of it."""

    path: Path  # the file
    start: int  # first byte
    length: int  # number of bytes
    # The bytes counted by start, where they were unpacked from the file; else None.
    data: bytes | None = field(default=None, repr=False)
    # The file's first bytes, where they were read with its length.
    head: bytes | None = field(default=None, repr=False, compare=False)

    @classmethod
    def whole(cls, path: Path) -> "Source":
        """Return the whole of a file, which must be there and not be empty; opens it once."""
        try:
            if path.exists() and not path.is_file():
                what = "a folder" if path.is_dir() else "not a regular file"
                raise UnsupportedFileError(f"{path}: is {what}, expected a picture or a video")
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
                length = file.seek(0, os.SEEK_END)
        except (OSError, ValueError) as error:
            raise _cannot_open(path, error) from error
        if path.name.endswith(ICLOUD) and (length == 0 or head.startswith(ICLOUD_MAGIC)):
            raise MissingFileError(f"{path}: {IN_ICLOUD}")
        if length == 0:
            raise DamagedFileError(f"{path.name}: the file is empty (0 bytes); copy it again")
        return cls(path=path, start=0, length=length, head=head)

    @property
    def kind(self) -> FileKind:
        """Still, video or archive, by the first bytes, whatever the name says."""
        head = self.head
        if head is None:
            with self.open() as stream:
                head = stream.read(HEAD_BYTES)
        return kind_of(head)

    @property
    def embedded(self) -> bool:
        """Whether these bytes are only a part of the file."""
        return self.start > 0

    @property
    def name(self) -> str:
        """The file's name, as messages say it."""
        return self.path.name

    def open(self, *, bounded: bool = False) -> FileSlice:
        """Open the bytes for reading; close the stream when done.

        Args:
            bounded: Allow as many calls as any honest reader needs, and no more.
        """
        calls = FEWEST_CALLS + self.length // BYTES_A_CALL if bounded else None
        try:
            file = self.path.open("rb") if self.data is None else io.BytesIO(self.data)
            return FileSlice(file, self.start, self.length, calls)
        except OSError as error:
            raise _cannot_open(self.path, error) from error


def kind_of(head: bytes) -> FileKind:
    """Tell a still from a video by its first bytes."""
    if head.startswith(STILL_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "still"
    if raw_mark(head):
        return "still"
    if head.startswith(ARCHIVE_MAGIC):
        return "archive"
    if head[4:8] == b"ftyp":
        return "still" if head[8:12] in STILL_BRANDS else "video"
    if head[4:8] in QUICKTIME_STARTS or video_format(head) != "mov":
        return "video"
    return "other"


def raw_mark(head: bytes) -> str | None:
    """Name the kind of raw photo by a file's first bytes; None for others, and for plain TIFFs."""
    for kind, (at, marks) in RAW_MARKS.items():
        if head[at:].startswith(marks) and (kind != "CR2" or head[:4] == b"II*\0"):
            return kind
    return None


def icloud_names(name: str) -> tuple[str, str]:
    """Return what a file that is in iCloud only may be called in its folder."""
    return f".{name}{ICLOUD}", f"{name}{ICLOUD}"


def video_format(head: bytes) -> str:
    """Name libavformat's demuxer for a file's first bytes; 'mov' also when nothing is known.

    The demuxer is always named: probing would let a text file be read as a playlist, which
    opens other files and addresses.
    """
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    return "mov"


def _cannot_open(path: Path, error: Exception) -> MissingFileError:
    if isinstance(error, FileNotFoundError):
        if any(os.path.exists(path.parent / name) for name in icloud_names(path.name)):
            return MissingFileError(f"{path}: {IN_ICLOUD}")
        return MissingFileError(f"{path}: no such file")
    reason = getattr(error, "strerror", None) or str(error)
    return MissingFileError(f"{path}: cannot be opened ({reason})")
