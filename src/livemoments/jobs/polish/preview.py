"""Draw a clip and its polished version side by side, as a video to look at.

Left the clip, right the result, a thin line between; below, both at the largest restored face.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from livemoments.errors import OutputError
from livemoments.faces.crops import cut
from livemoments.faces.face import Placement
from livemoments.imaging.pixels import as_bytes, resize

if TYPE_CHECKING:
    from av.container import OutputContainer

MOST_PX = 1920  # width
LINE_PX = 2
LINE = np.array((236, 236, 236), np.uint8)
CLOCK = 90_000  # of its times, units per second
CRF, PRESET = "17", "veryfast"
BT709, LIMITED, FULL = 1, 1, 2


class FacePreview:
    """A preview that takes pictures in order; `face_preview` opens one."""

    def __init__(
        self, container: "OutputContainer", size: tuple[int, int], places: Mapping[int, Placement]
    ) -> None:
        """Lay it out.

        Args:
            container: an MP4 or MOV opened for writing.
            size: width and height of the pictures.
            places: of the face that is shown below, by frame; empty: nothing below.
        """
        width, height = size
        self._half = min(width, (MOST_PX - LINE_PX) // 2) // 2 * 2
        self._high = max(2, round(height * self._half / width) // 2 * 2)
        self._places, self._numbers = places, np.array(sorted(places))
        self._container = container
        self._stream = container.add_stream("libx264", rate=30)
        self._stream.width = 2 * self._half + LINE_PX
        self._stream.height = self._high + (self._half + LINE_PX if places else 0)
        context = self._stream.codec_context
        context.pix_fmt, context.time_base = "yuv420p", Fraction(1, CLOCK)
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        context.options = {"crf": CRF, "preset": PRESET}

    def add(self, index: int, time_s: float, before: np.ndarray, after: np.ndarray) -> None:
        """Add a frame of both: float32 RGB in [0, 1] of the size given."""
        import av

        pictures = [as_bytes(each) for each in (before, after)]
        rows = [_side_by_side(*(resize(each, self._high, self._half) for each in pictures))]
        if self._places:
            nearest = int(self._numbers[np.abs(self._numbers - index).argmin()])
            place = replace(self._places[nearest], roll=0.0)
            rows.append(np.broadcast_to(LINE, (LINE_PX, rows[0].shape[1], 3)))
            rows.append(_side_by_side(*(cut(each, place, self._half) for each in pictures)))
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.concatenate(rows)), "rgb24")
        frame = rgb.reformat(
            format="yuv420p", dst_colorspace=BT709, src_color_range=FULL, dst_color_range=LIMITED
        )
        frame.pts, frame.time_base = round(time_s * CLOCK), Fraction(1, CLOCK)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self._stream.encode(None))


@contextmanager
def face_preview(
    path: Path, size: tuple[int, int], places: Mapping[int, Placement]
) -> Iterator[FacePreview]:
    """Write a preview at a path, .mp4 or .mov; when the body ends, the file is whole.

    Raises:
        OutputError: it cannot be encoded.
    """
    import av

    try:
        with av.open(str(path), "w", format=path.suffix[1:]) as container:
            preview = FacePreview(container, size, places)
            yield preview
            preview.finish()
    except av.FFmpegError as error:
        raise OutputError(f"the preview cannot be encoded ({error.strerror or error})") from error


def _side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    line = np.broadcast_to(LINE, (left.shape[0], LINE_PX, 3))
    return np.concatenate([left, line, right], axis=1)
