"""Live Photos written from a path, as the library writes them to a checked place."""

from livemoments.livephoto.writing.format import Format, Written
from livemoments.livephoto.writing.live_photo import write_live_photo
from livemoments.livephoto.writing.place import check_place


def write_live(
    live, image, path, file_format: str = "apple", *, overwrite=False, inputs=(), **options
) -> Written:
    place = check_place(
        path, Format(file_format), overwrite=overwrite, inputs=[*inputs, *live.files]
    )
    return write_live_photo(live, image, place, **{"software": "x", **options})
