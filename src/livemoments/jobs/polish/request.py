"""Open what is polished, a Live Photo or a clip alone, and check where the result may go."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from livemoments.errors import InputError, OutputError, PairingError
from livemoments.faces.detect import FaceFinder
from livemoments.faces.identity import Embedder
from livemoments.faces.references import Reference, read_references
from livemoments.files import check_output
from livemoments.imaging.colour import between_stills
from livemoments.imaging.pixels import as_bytes
from livemoments.livephoto import Clip, ColourSpace, LivePhoto, open_live_photo
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.edit import read_editable
from livemoments.livephoto.movie.video import open_clip
from livemoments.livephoto.still.still import Still, read_still
from livemoments.livephoto.writing.place import check_place, format_of_source

MOV, MP4, STILLS = (".mov", ".qt"), (".mp4", ".m4v"), (".jpg", ".jpeg", ".heic", ".heif")
PREVIEWS = (".mp4", ".mov")


@dataclass(frozen=True, kw_only=True, eq=False)
class PolishRequest:
    """A clip, and the photographs that its faces are restored by."""

    clip: Clip  # its frames are read in the key photo's colour space
    live: LivePhoto | None  # the Live Photo of the clip; None for a clip alone
    photographs: tuple[Still, ...]  # besides the key photo
    files: tuple[Path, ...]  # all of them; none is ever written over

    @property
    def name(self) -> str:
        """The name in messages."""
        return self.live.name if self.live is not None else self.clip.source.name

    def read_references(
        self, finder: FaceFinder, embedder: Embedder
    ) -> tuple[list[Reference], tuple[str, ...]]:
        """Read the faces of the key photo and of the photographs; returns them and notes.

        Raises:
            InputError: a photograph shows no face, or the key photo where there are no others; or
                one cannot be read.
        """
        found: list[Reference] = []
        notes: tuple[str, ...] = ()
        if self.live is not None:
            still = self.live.still
            try:
                found += read_references(still.pixels(), still.name, finder, embedder)
            except InputError as error:
                if not self.photographs:
                    raise
                notes = (f"the key photo is not used: {error}",)
        for still in self.photographs:
            picture = _in_space(still.pixels(), still.colour, self.clip.target)
            found += read_references(picture, still.name, finder, embedder)
        return found, notes

    def background_reference(self) -> np.ndarray:
        """Return the key photo's pixels, by which the main model restores the background.

        Raises:
            InputError: it is a clip alone.
        """
        if self.live is None:
            raise InputError(
                f"{self.name}: this clip has no key photo, and the main model needs it; keep the"
                " rest of the frames as it is",
                settings=("rest",),
            )
        return self.live.still.pixels()


def open_request(photo: Path, video: Path | None, references: Sequence[Path]) -> PolishRequest:
    """Open what is to be polished.

    Args:
        photo: for open_live_photo, or with references a clip alone.
        video: the clip, where `photo` does not lead to it.
        references: photographs.

    Raises:
        InputError: a file cannot be read, or the clip cannot be written anew.
    """
    photographs = tuple(read_still(Path(each)) for each in references)
    live, clip = _opened(Path(photo), video, alone=bool(photographs))
    read_editable(clip.source)  # raises now what would else be raised after minutes
    files = [*references, clip.path, *(live.files if live is not None else [])]
    return PolishRequest(
        clip=clip, live=live, photographs=photographs, files=tuple(map(Path, files))
    )


def check_places(
    request: PolishRequest, output: Path, preview: Path | None, *, overwrite: bool = False
) -> None:
    """Check the paths of the results, before long work.

    Raises:
        OutputError: a path is refused.
    """
    suffix = output.suffix.lower()
    if suffix in STILLS and request.live is not None:
        own = format_of_source(request.live)
        check_place(output, own, overwrite=overwrite, inputs=request.live.files)
    elif suffix in STILLS:
        raise OutputError(
            f"{output}: {request.name} is a clip alone and has no still; end it in .mov or .mp4"
        )
    elif suffix not in (*MOV, *MP4) and not output.is_dir():
        raise OutputError(
            f"{output}: end it in .mov or .mp4 for the clip, in .jpg or .heic for the whole Live"
            " Photo"
        )
    check_output(output, overwrite=overwrite, inputs=request.files)
    if preview is None:
        return
    check_output(preview, overwrite=overwrite, inputs=request.files)
    if preview.suffix.lower() not in PREVIEWS:
        raise OutputError(f"{preview}: a preview is a video; end it in {' or '.join(PREVIEWS)}")
    if preview.absolute() in (output.absolute(), output.with_suffix(".mov").absolute()):
        raise OutputError(f"{preview}: the result goes there; give the preview another name")


def is_still(output: Path) -> bool:
    """Return whether a path asks for a whole Live Photo."""
    return output.suffix.lower() in STILLS


def becomes_quicktime(output: Path) -> bool | None:
    """Return whether a path asks for a MOV; False: for an MP4; None: for the clip's own format."""
    suffix = output.suffix.lower()
    return None if suffix in STILLS else suffix in MOV


def _opened(photo: Path, video: Path | None, *, alone: bool) -> tuple[LivePhoto | None, Clip]:
    """Open a Live Photo and its clip; or, where that is allowed, a clip alone."""
    try:
        live = open_live_photo(photo, video)
        return live, live.clip
    except PairingError as error:
        if video is not None or not photo.is_file() or Source.whole(photo).kind != "video":
            raise
        if not alone:
            raise PairingError(
                f"{error}; or give photographs of the people as references",
                settings=("references",),
            ) from error
    clip = open_clip(Source.whole(photo), ColourSpace())
    if clip.colour.primaries_name == "p3" and not clip.colour.is_hdr:
        clip = open_clip(Source.whole(photo), ColourSpace(name="Display P3"))
    return None, clip


def _in_space(picture: np.ndarray, now: ColourSpace, wanted: ColourSpace) -> np.ndarray:
    """Convert a photograph's pixels, uint8, to another colour space."""
    if now.name == wanted.name:
        return picture
    return as_bytes(between_stills(picture.astype(np.float32) / 255, now, wanted))
