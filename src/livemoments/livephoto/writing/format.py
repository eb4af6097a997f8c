"""The formats in which a Live Photo is written."""

from enum import StrEnum


class Format(StrEnum):
    """How a Live Photo is stored; the values are what the command line calls them."""

    APPLE = "apple"  # a still and a MOV, paired by an identifier
    GOOGLE = "google"  # one file, Motion Photo 1.0
    SAMSUNG = "samsung"  # the same, with Samsung's trailer
    MICROVIDEO = "microvideo"  # Google's format before Motion Photo


MOTION_PHOTOS = (Format.GOOGLE, Format.SAMSUNG, Format.MICROVIDEO)  # one file each
