"""Read a Live Photo from a package: '.livp', a ZIP of still and video, or '.pvt', a folder of them.

Cloud services write '.livp', macOS '.pvt'. An archive's two members are unpacked into memory, and
only there: names in it are never used as paths. Nothing it states is trusted, and what would unpack
to far more than a Live Photo has is refused before it is unpacked.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from livemoments.errors import DamagedFileError, UnsupportedFileError
from livemoments.livephoto.container.source import RAW_SUFFIXES, FileKind, FileSlice, Source
from livemoments.livephoto.reading.neighbours import STILL_SUFFIXES, VIDEO_SUFFIXES

PVT_SUFFIX = ".pvt"
PVT_FACTS = "metadata.plist"

MAX_MEMBER = 128 * 1024 * 1024
# Pictures and videos are packed already: deflate saves them a few per cent.
MAX_RATIO = 20
MAX_DIRECTORY = 256 * 1024
MAX_MEMBERS = 1000
ENCRYPTED = 1  # a bit of a member's flags
# What zipfile raises on bytes that are no archive, or not a whole one.
FAULTS = (BadZipFile, EOFError, OSError, ValueError, RuntimeError, struct.error, zlib.error)


@dataclass(frozen=True, kw_only=True)
class Package:
    """The halves found in an archive."""

    still: Source  # bytes of the still
    video: Source  # bytes of the video
    notes: tuple[str, ...] = ()  # what is unusual about the archive


class _Bounded(FileSlice):
    """An archive's bytes, of which zipfile reads a directory of at most MAX_DIRECTORY bytes."""

    most = MAX_DIRECTORY  # bytes at a time

    def read(self, size: int = -1) -> bytes:
        """Read up to size bytes, or raise BadZipFile where that is too many."""
        if size > self.most:
            raise BadZipFile(f"a directory of {size} bytes")
        return super().read(size)


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
    try:
        with _Bounded(path.open("rb"), 0, archive.length) as stream, ZipFile(stream) as zipped:
            stream.most = MAX_MEMBER
            members = [
                each for each in zipped.infolist()[:MAX_MEMBERS] if _visible(each.orig_filename)
            ]
            stills = [each for each in members if _suffix(each) in STILL_SUFFIXES]
            videos = [each for each in members if _suffix(each) in VIDEO_SUFFIXES]
            if not stills or not videos:
                raise UnsupportedFileError(
                    f"{path.name}: an archive without a still and a video, so no Live Photo"
                )
            # The photo that the phone developed comes before a raw one.
            stills.sort(key=lambda each: _suffix(each) in RAW_SUFFIXES)
            still = _half(zipped, archive, stills[0], "still")
            video = _half(zipped, archive, videos[0], "video")
    except FAULTS as error:
        raise DamagedFileError(
            f"{path.name}: the archive is truncated or damaged ({error})"
        ) from error
    notes: tuple[str, ...] = ()
    if len(stills) > 1 or len(videos) > 1:
        notes = (
            f"the archive holds {len(stills)} stills and {len(videos)} videos;"
            " the first of each is used",
        )
    return Package(still=still, video=video, notes=notes)


def _half(zipped: ZipFile, archive: Source, member: ZipInfo, expected: FileKind) -> Source:
    if member.flag_bits & ENCRYPTED or member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise UnsupportedFileError(f"{archive.name}: this archive is encrypted or packed oddly")
    size, packed = member.file_size, member.compress_size
    if size > MAX_MEMBER or size > MAX_RATIO * packed + 1024:
        raise UnsupportedFileError(
            f"{archive.name}: a member that unpacks from {packed} to {size} bytes"
            " is no half of a Live Photo"
        )
    with zipped.open(member) as stream:
        data = stream.read(size + 1)  # at the end, zipfile compares the checksum
    if len(data) != size:
        raise BadZipFile("a member's bytes are not those that were packed")
    half = Source(path=archive.path, start=0, length=len(data), data=data)
    if half.kind != expected:
        raise UnsupportedFileError(
            f"{archive.name}: {_suffix(member)} in this archive is not a {expected}"
        )
    return half


def _visible(name: str) -> bool:
    """Return whether a member is neither a folder nor one of the Finder's own files."""
    path = PurePosixPath(name)
    return bool(name) and name[-1] != "/" and "__MACOSX" not in path.parts and path.name[0] != "."


def _suffix(member: ZipInfo) -> str:
    return PurePosixPath(member.orig_filename).suffix.lower()
