"""Live Photos and Motion Photos of real phones: reading and writing."""

from livemoments.livephoto.colour import ColourSpace
from livemoments.livephoto.live_photo import LivePhoto
from livemoments.livephoto.opening import open_live_photo
from livemoments.livephoto.still import Still
from livemoments.livephoto.video import Clip, Frame

__all__ = ["Clip", "ColourSpace", "Frame", "LivePhoto", "Still", "open_live_photo"]
