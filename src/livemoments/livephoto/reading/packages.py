"""Read a Live Photo from a package: '.livp', a ZIP of still and video, or '.pvt', a folder of them.

Cloud services write '.livp', macOS '.pvt'. An archive's two members are unpacked into memory, and
only there: names in it are never used as paths. Nothing it states is trusted, and what would unpack
to far more than a Live Photo has is refused before it is unpacked.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from livemoments.errors import DamagedFileError, UnsupportedFileError
from livemoments.livephoto.container.source import HEAD_BYTES, ByteStream, FileKind, Source, kind_of
from livemoments.livephoto.reading.pairing import STILL_SUFFIXES, VIDEO_SUFFIXES

PVT_SUFFIX = ".pvt"
PVT_FACTS = "metadata.plist"

MAX_MEMBER = 128 * 1024 * 1024
# Pictures and videos are packed already: deflate saves them a few per cent.
MAX_RATIO = 20
MAX_DIRECTORY = 256 * 1024
MAX_MEMBERS = 1000
DIRECTORY_END, DIRECTORY_ENTRY, MEMBER_START = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
END_SIZE, ENTRY_SIZE, START_SIZE = 22, 46, 30
MAX_COMMENT = 65_535
STORED, DEFLATED = 0, 8
ENCRYPTED = 1


@dataclass(frozen=True, kw_only=True)
class Package:
    """The halves found in an archive."""

    still: Source  # bytes of the still
    video: Source  # bytes of the video
    notes: tuple[str, ...] = ()  # what is unusual about the archive


@dataclass(frozen=True, kw_only=True)
class _Member:
    """One entry of an archive's directory, as stated. Sizes in bytes."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    start: int  # of the member's own header


def in_pvt(path: Path) -> bool:
    """Return whether a file lies in a '.pvt' folder."""
    return path.absolute().parent.suffix.lower() == PVT_SUFFIX


def pvt_notes(path: Path) -> tuple[str, ...]:
    """List what is unusual about the '.pvt' folder that holds this file."""
    if (path.parent / PVT_FACTS).is_file():
        return ()
    return (f"the package has no {PVT_FACTS}, so Apple's programs may not open it",)


def unpack(path: Path) -> Package:
    """Unpack the still and the video of an archive.

    Raises:
        DamagedFileError: It is truncated or broken.
        UnsupportedFileError: It holds no Live Photo, is encrypted, or unpacks to far too much.
    """
    archive = Source.whole(path)
    with archive.open() as stream:
        members = [each for each in _directory(stream, archive) if _visible(each.name)]
        stills = [each for each in members if _suffix(each.name) in STILL_SUFFIXES]
        videos = [each for each in members if _suffix(each.name) in VIDEO_SUFFIXES]
        if not stills or not videos:
            raise UnsupportedFileError(
                f"{path.name}: an archive without a still and a video, so no Live Photo"
            )
        still = _half(stream, archive, stills[0], "still")
        video = _half(stream, archive, videos[0], "video")
    notes: tuple[str, ...] = ()
    if len(stills) > 1 or len(videos) > 1:
        notes = (
            f"the archive holds {len(stills)} stills and {len(videos)} videos;"
            " the first of each is used",
        )
    return Package(still=still, video=video, notes=notes)


def _half(stream: ByteStream, archive: Source, member: _Member, expected: FileKind) -> Source:
    data = _unpacked(stream, archive, member)
    if kind_of(data[:HEAD_BYTES]) != expected:
        raise UnsupportedFileError(
            f"{archive.name}: {_suffix(member.name)} in this archive is not a {expected}"
        )
    return Source(path=archive.path, start=0, length=len(data), data=data)


def _visible(name: str) -> bool:
    """Return whether a member is neither a folder nor one of the Finder's own files."""
    path = PurePosixPath(name)
    return bool(name) and name[-1] != "/" and "__MACOSX" not in path.parts and path.name[0] != "."


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _directory(stream: ByteStream, archive: Source) -> Iterator[_Member]:
    """Yield the members that the directory at the archive's end lists."""
    tail_start = max(0, archive.length - END_SIZE - MAX_COMMENT)
    stream.seek(tail_start)
    tail = stream.read(archive.length - tail_start)
    at = tail.rfind(DIRECTORY_END)
    if at < 0 or at + END_SIZE > len(tail):
        raise _broken(archive, "it has no directory at its end")
    size, offset = struct.unpack_from("<II", tail, at + 12)
    end = tail_start + at
    if size > min(MAX_DIRECTORY, end):
        raise _broken(archive, f"a directory of {size} bytes")
    stream.seek(end - size)
    directory = stream.read(size)
    moved = end - size - offset  # by what stands before the archive
    at = 0
    for _ in range(MAX_MEMBERS):
        if len(directory) - at < ENTRY_SIZE or directory[at : at + 4] != DIRECTORY_ENTRY:
            return
        flags, method = struct.unpack_from("<HH", directory, at + 8)
        crc, packed, unpacked, name, extra, comment = struct.unpack_from(
            "<III3H", directory, at + 16
        )
        (start,) = struct.unpack_from("<I", directory, at + 42)
        yield _Member(
            name=directory[at + ENTRY_SIZE : at + ENTRY_SIZE + name].decode("utf-8", "replace"),
            flags=flags,
            method=method,
            crc=crc,
            packed=packed,
            size=unpacked,
            start=start + moved,
        )
        at += ENTRY_SIZE + name + extra + comment


def _unpacked(stream: ByteStream, archive: Source, member: _Member) -> bytes:
    if member.flags & ENCRYPTED or member.method not in (STORED, DEFLATED):
        raise UnsupportedFileError(f"{archive.name}: this archive is encrypted or packed oddly")
    if member.size > MAX_MEMBER or member.size > MAX_RATIO * member.packed + 1024:
        raise UnsupportedFileError(
            f"{archive.name}: a member that unpacks from {member.packed} to {member.size} bytes"
            " is no half of a Live Photo"
        )
    stream.seek(max(0, member.start))
    header = stream.read(START_SIZE)
    if len(header) < START_SIZE or header[:4] != MEMBER_START:
        raise _broken(archive, "a member is not where the directory says")
    name, extra = struct.unpack_from("<HH", header, 26)
    stream.seek(member.start + START_SIZE + name + extra)
    data = stream.read(min(member.packed, MAX_MEMBER))
    if member.method == DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
        except zlib.error as error:
            raise _broken(archive, f"a member cannot be unpacked: {error}") from error
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise _broken(archive, "a member's bytes are not those that were packed")
    return data


def _broken(archive: Source, why: str) -> DamagedFileError:
    return DamagedFileError(f"{archive.name}: the archive is truncated or damaged ({why})")
