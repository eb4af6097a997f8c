"""Write a picture alone: what formats with a clip build on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from livemoments.files import atomic_output
from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.still.encode import EncodedPicture, Subsampling, encode_picture
from livemoments.livephoto.still.moment_metadata import CarriedMetadata
from livemoments.livephoto.still.still import Still
from livemoments.livephoto.writing.format import Place, Written
from livemoments.livephoto.writing.place import check_place


@dataclass(frozen=True, kw_only=True)
class PicturePlan:
    """What goes into the files besides the still's picture: of a picture alone, nothing."""

    place: Place
    notes: tuple[str, ...] = ()  # what was left out or changed, one sentence each

    @property
    def gain_map_in_still(self) -> bool:
        """Whether encoding the still also stores its gain map."""
        return True

    def edit(self, metadata: CarriedMetadata) -> CarriedMetadata:
        """Return the metadata of a still encoded anew, with what the format adds to them."""
        return metadata

    def finish(self, still: EncodedPicture, gain_map: GainMap | None) -> EncodedPicture:
        """Return a still encoded anew with what needs its final bytes."""
        return still

    def write(self, still: EncodedPicture) -> Written:
        """Write all files, or none.

        Raises:
            OutputError: They cannot be written; then nothing has changed.
        """
        return self.write_pieces(still, [still.data])

    def write_pieces(self, still: EncodedPicture, pieces: Sequence[bytes]) -> Written:
        """Write one file of several pieces, of which the still is the first."""
        place = self.place
        files = atomic_output(place.path, overwrite=place.overwrite, inputs=place.inputs)
        with files as temporary, temporary.open("wb") as stream:
            stream.writelines(pieces)
        return Written(
            path=place.path,
            format=place.format,
            size_bytes=sum(map(len, pieces)),
            notes=(*still.notes, *self.notes),
        )


def write_picture(
    image: np.ndarray,
    path: Path,
    *,
    still: Still | None = None,
    software: str,
    quality: int = 95,
    subsampling: Subsampling = "4:2:0",
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
    time_shift_s: float = 0.0,
    gain_map: GainMap | None = None,
) -> Written:
    """Write a picture in the format that the path's suffix names.

    The still's own file is never replaced. All else is as in encode_picture and check_place, and
    so are the errors.
    """
    protected = [*inputs, still.path] if still is not None and still.path else inputs
    place = check_place(path, overwrite=overwrite, inputs=protected)
    # Encoded in memory: Pillow hides why a write failed, and a full disk should be named.
    encoded = encode_picture(
        image, place.path, still=still, software=software, quality=quality,
        subsampling=subsampling, time_shift_s=time_shift_s, gain_map=gain_map,
    )  # fmt: skip
    return PicturePlan(place=place).write(encoded)
