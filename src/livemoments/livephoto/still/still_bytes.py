"""Copy a key photo's file without its clip, and with other metadata.

Never decoded, never encoded: the coded picture, and what else a file holds (HDR gain map, depth,
thumbnails, colour profile), come out as they went in.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from livemoments.errors import DamagedFileError, UnsupportedFileError
from livemoments.livephoto.container.boxes import find_box
from livemoments.livephoto.container.heic_metadata import (
    auxiliary_kinds,
    heic_metadata,
    heic_with_metadata,
)
from livemoments.livephoto.container.jpeg_edit import (
    AttachedPicture,
    attached_pictures,
    split_jpeg,
    with_index,
    with_metadata,
)
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.still.still import Still

FORMATS = ("JPEG", "HEIC")
ENCODE_ANEW = "end the output in the other format, .jpg or .heic, to have it encoded anew"


@dataclass(frozen=True, kw_only=True)
class StillFile:
    """A key photo's file, without its clip."""

    name: str  # of the file, for messages
    format: str  # "JPEG" or "HEIC"
    data: bytes  # the picture's; of a JPEG those of its first picture
    exif: bytes | None  # as TIFF bytes
    xmp: bytes | None  # a packet
    extension: bytes | None = None  # the extension of that packet of a JPEG, or None
    # Segments in the place of the extension's; None: they stay.
    new_extension: tuple[bytes, ...] | None = None
    attached: tuple[AttachedPicture, ...] = ()  # whole pictures behind a JPEG's own, in order

    def auxiliary(self) -> tuple[str, ...]:
        """List what encoding the picture anew loses of the file, in its own words."""
        if self.format == "HEIC":
            return auxiliary_kinds(self.data)
        return tuple(_named(each) for each in self.attached)

    def with_metadata(
        self, *, exif: bytes | None, xmp: bytes | None, attached: Sequence[AttachedPicture] = ()
    ) -> bytes:
        """Return the picture's bytes with this metadata.

        Args:
            exif: TIFF bytes, or None for none.
            xmp: A packet, or None for none; a HEIC keeps its own where it is None.
            attached: Of the attached pictures, those that will follow right behind.

        Raises:
            DamagedFileError: The file's tables are broken.
            UnsupportedFileError: It is built so that nothing in it can be moved.
        """
        with _naming(self.name):
            if self.format == "HEIC":
                changed = (exif if exif != self.exif else None, xmp if xmp != self.xmp else None)
                return heic_with_metadata(self.data, exif=changed[0], xmp=changed[1])
            old = split_jpeg(self.data)
            new = with_metadata(old, exif=exif, xmp=xmp, extension=self.new_extension)
            return with_index(new, old, attached).to_bytes()


def read_still_file(still: Still, clip: Source) -> StillFile:
    """Read a key photo's bytes, without a clip that lies in the same file.

    Args:
        still: The key photo, a JPEG or HEIC.
        clip: Where its clip lies, in this file or in another.

    Raises:
        DamagedFileError: Its structure is broken.
        UnsupportedFileError: It is of another format.
    """
    if still.format not in FORMATS:
        raise UnsupportedFileError(f"{still.name}: a {still.format}, where JPEG or HEIC is needed")
    source = still.source
    with source.open() as stream:
        end = source.length
        if clip.path == source.path and clip.embedded and still.data is None:
            end = clip.start
            box = find_box(stream, 0, source.length, "mpvd") if still.format == "HEIC" else None
            end = box.start if box is not None else end
        stream.seek(0)
        data = stream.read(end)
    with _naming(still.name):
        if still.format == "HEIC":
            found = heic_metadata(data)
            return StillFile(
                name=still.name, format="HEIC", data=data, exif=found.exif, xmp=found.xmp
            )
        picture = split_jpeg(data).to_bytes()
        items = still.motion_facts.items
        return StillFile(
            name=still.name,
            format="JPEG",
            data=picture,
            exif=still.exif,
            xmp=still.xmp,
            extension=still.xmp_extension,
            attached=attached_pictures(data, items),
        )


def _named(picture: AttachedPicture) -> str:
    return picture.item.semantic if picture.item else "a second picture"


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Give errors of a file's structure the file's name, and a way out."""
    try:
        yield
    except (DamagedFileError, UnsupportedFileError) as error:
        kind = type(error)
        raise kind(f"{name}: it cannot be copied without a loss: {error}; {ENCODE_ANEW}") from error
