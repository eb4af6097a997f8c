"""Write Ultra HDR: a JPEG that any viewer shows, and behind it the JPEG of its gain map.

Three notices say that it is there, since readers go by different ones: Google's directory with
Adobe's word in the picture's XMP (Android 14), ISO 21496-1's segments (Android 15, Apple from iOS
18 on), and the index of MPF, which all of them find the second picture by. The picture's own pixels
and metadata are untouched. Where a clip follows, it comes last.

developer.android.com/media/platform/hdr-image-format
"""

import io

from PIL import Image

from livemoments.errors import OutputError
from livemoments.imaging.pixels import as_bytes
from livemoments.livephoto.container.jpeg_parts import (
    APP1,
    APP2,
    START,
    XMP_NAME,
    behind_metadata,
    segment_bytes,
)
from livemoments.livephoto.container.mpf import mpf_segment
from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.hdr.iso import NAMESPACE as ISO_NAME
from livemoments.livephoto.hdr.iso import VERSION as ISO_VERSION
from livemoments.livephoto.hdr.iso import iso_metadata
from livemoments.livephoto.hdr.xmp import hdrgm_packet

NOTICE = segment_bytes(APP2, ISO_NAME + ISO_VERSION)


def gain_map_jpeg(gain_map: GainMap, quality: int = 95) -> bytes:
    """Encode a gain map as a JPEG that says what its values mean, to follow the picture's at once.

    Args:
        gain_map: Upright, like the picture.
        quality: 1 to 100.
    """
    stream = io.BytesIO()
    try:
        # Full chroma: its three channels are gains, not colours.
        Image.fromarray(as_bytes(gain_map.values)).save(
            stream, format="JPEG", quality=quality, subsampling="4:4:4"
        )
    except (OSError, ValueError) as error:
        raise OutputError(f"the gain map cannot be encoded: {error}") from error
    meaning = segment_bytes(APP1, XMP_NAME + hdrgm_packet(gain_map))
    meaning += segment_bytes(APP2, ISO_NAME + iso_metadata(gain_map))
    return START + meaning + stream.getvalue()[len(START) :]


def with_gain_map_index(picture: bytes, gain_map_length: int) -> bytes:
    """Announce in a picture's JPEG that a gain map's JPEG is right behind its end.

    The XMP is not touched: see ultra_hdr_packet for what it needs.

    Args:
        picture: A JPEG.
        gain_map_length: Bytes of the gain map's JPEG.
    """
    at = behind_metadata(picture)  # MPF wants to be behind EXIF; XMP is an APP1 too
    index = mpf_segment(len(picture) + len(NOTICE), at + len(NOTICE), gain_map_length)
    return picture[:at] + NOTICE + index + picture[at:]
