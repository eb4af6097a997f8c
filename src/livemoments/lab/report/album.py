"""Encode the report's pictures as data URIs, within the bytes that a page should have."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image

BUDGET = 9_000_000  # characters of all crops together
SMALL_QUALITY = 86  # of whole pictures, made small
# From the best on; a report takes one for all crops, so that none looks worse for its size.
QUALITIES = (97, 95, 92, 88, 82, 75)
LOSSLESS = "without loss"


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Pictures as a page holds them, by their numbers."""

    uris: tuple[str, ...]
    how: str  # the crops were stored


@dataclass(kw_only=True)
class Album:
    """Pictures by their numbers, encoded together."""

    pictures: list[Image.Image] = field(default_factory=list)
    small: set[int] = field(default_factory=set)

    def add(self, picture: Image.Image, *, small: bool = False) -> int:
        """Take a picture, RGB; return its number. small: of a whole image, where loss is fine."""
        number = len(self.pictures)
        self.pictures.append(picture)
        if small:
            self.small.add(number)
        return number

    def encode(self, budget: int = BUDGET) -> Encoded:
        """Encode all: without loss where that fits, else at the best quality that does."""
        for quality in (None, *QUALITIES[:-1]):
            uris = list(self._within(quality, budget))
            if len(uris) == len(self.pictures):
                break
        else:
            quality = QUALITIES[-1]
            uris = list(self._within(quality, None))
        how = LOSSLESS if quality is None else f"as JPEG of quality {quality}"
        return Encoded(uris=tuple(uris), how=how)

    def _within(self, quality: int | None, budget: int | None) -> Iterator[str]:
        """Encode pictures as data URIs, until the budget is spent."""
        spent = 0
        for number, picture in enumerate(self.pictures):
            uri = _uri(picture, SMALL_QUALITY if number in self.small else quality)
            spent += len(uri)
            if budget is not None and spent > budget:
                return
            yield uri


def _uri(picture: Image.Image, quality: int | None) -> str:
    """Encode a JPEG without colour subsampling; without a quality a lossless WebP."""
    icc = picture.info.get("icc_profile", b"")
    out = io.BytesIO()
    if quality is None:
        kind = "webp"
        picture.save(out, "WEBP", lossless=True, quality=0, method=1, icc_profile=icc)
    else:
        kind = "jpeg"
        picture.save(out, "JPEG", quality=quality, subsampling=0, icc_profile=icc)
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
