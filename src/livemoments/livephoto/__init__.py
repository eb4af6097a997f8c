"""Read and write Live Photos and Motion Photos of real phones."""

from livemoments.imaging.colour import ColourSpace
from livemoments.livephoto.movie.video import Clip, Frame
from livemoments.livephoto.reading.live_photo import LivePhoto
from livemoments.livephoto.reading.opening import open_live_photo
from livemoments.livephoto.still.still import Still

__all__ = ["Clip", "ColourSpace", "Frame", "LivePhoto", "Still", "open_live_photo"]
