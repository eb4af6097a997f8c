"""The sample files of real phones: all of them open, and say what they are."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from support import makers

from livemoments.livephoto import LivePhoto, open_live_photo

SAMPLES = makers.samples_folder()
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(SAMPLES is None, reason="no sample files beside the checkout"),
]


@dataclass(frozen=True, kw_only=True)
class Expected:
    kind: str
    key_s: float
    still: tuple[int, int]
    clip: tuple[int, int]
    frames: int
    space: str = "sRGB"
    source: str = "still-image-time track"
    difference: float = 25.0  # mean colour difference of key frame and still, levels
    make: str | None = "Apple"


XMP = "XMP presentation timestamp"
APPLE, SAMSUNG = "apple-pair", "samsung"
P3 = "Display P3"
TALL, WIDE = (1440, 1920), (1920, 1440)
EXPECTED = {
    "iphone15plus-asakusa": Expected(
        kind=APPLE, key_s=0.9, still=(5712, 4284), clip=WIDE, frames=42, space=P3
    ),
    "iphone15pro-acorn": Expected(
        kind=APPLE, key_s=1.333, still=(3024, 4032), clip=TALL, frames=59, space=P3
    ),
    "iphone15pro-mural": Expected(
        kind=APPLE, key_s=1.233, still=(3024, 4032), clip=TALL, frames=53, space=P3
    ),
    "iphone15pro-magnolia": Expected(
        kind=APPLE, key_s=1.332, still=(4284, 5712), clip=TALL, frames=55, space=P3
    ),
    "iphone6s-ferriswheel": Expected(
        kind=APPLE, key_s=1.202, still=(3024, 4032), clip=(1080, 1440), frames=64
    ),
    "iphone6s-train": Expected(
        kind=APPLE, key_s=0.48, still=(4032, 3024), clip=(1440, 1080), frames=22
    ),
    # Measured here: correlation and ECC both peak at this frame, at every scale.
    "iphone17pro-cosplay-reexport": Expected(
        kind=APPLE, key_s=0.9, still=(3072, 4096), clip=(1080, 1440), frames=48, source="matched"
    ),
    "unknown-cat": Expected(
        kind="pair-by-name",
        key_s=1.4,
        still=(3072, 2304),
        clip=(1080, 808),
        frames=91,
        source="matched",
        make=None,
    ),
    "samsung-s22ultra-rabbit": Expected(
        kind=SAMSUNG,
        key_s=2.991,
        still=(3000, 4000),
        clip=(1080, 1440),
        frames=55,
        source=XMP,
        make="samsung",
    ),
    "samsung-s22-room": Expected(
        kind=SAMSUNG,
        key_s=2.057,
        still=(3000, 4000),
        clip=(1080, 1440),
        frames=62,
        source=XMP,
        make="samsung",
    ),
    "samsung-s22plus-dark": Expected(
        kind=SAMSUNG,
        key_s=3.0,
        still=(3000, 4000),
        clip=(1080, 1440),
        frames=42,
        source=XMP,
        difference=50.0,  # the torch flashes
        make="samsung",
    ),
    "pixel3axl-keyboard": Expected(
        kind="google-motion-photo",
        key_s=0.0,
        still=(4032, 3024),
        clip=(1024, 768),
        frames=18,
        source=XMP,
        make="Google",
    ),
}


@cache
def opened(name: str) -> LivePhoto:
    assert SAMPLES is not None
    return open_live_photo(SAMPLES / name)


@pytest.mark.parametrize("name", EXPECTED)
def test_facts(name):
    live, expected = opened(name), EXPECTED[name]
    assert live.kind == expected.kind
    assert live.key_time_s == pytest.approx(expected.key_s, abs=0.02)
    assert live.key_time_source == expected.source
    assert (live.still.width, live.still.height) == expected.still
    assert (live.clip.width, live.clip.height) == expected.clip
    assert len(live.clip.times_s) == expected.frames
    assert live.still.colour.name == expected.space
    assert live.still.make == expected.make
    if expected.kind == APPLE:
        assert live.identifiers["still"] == live.identifiers["video"]


@pytest.mark.parametrize("name", EXPECTED)
def test_key_frame_has_the_stills_colours(name):
    live, expected = opened(name), EXPECTED[name]
    image = live.frame(live.key_time_s).image
    assert image.shape == (live.clip.height, live.clip.width, 3)
    still = live.still.thumbnail(400)
    difference = image.mean((0, 1)) * 255 - still.mean((0, 1))
    assert np.abs(difference).max() < expected.difference
    # No colour cast beside the change of brightness.
    if name != "samsung-s22plus-dark":
        assert np.ptp(difference) < 6


@pytest.mark.parametrize(
    "name", ["iphone15plus-asakusa", pytest.param("iphone15pro-acorn", marks=pytest.mark.slow)]
)
def test_stored_transform_fits(name):
    """Features of still and key frame agree with Apple's transform, not with none."""
    import cv2

    live = opened(name)
    frame = (live.frame(live.key_time_s).image * 255).astype(np.uint8)
    still = live.still.pixels()
    size = (frame.shape[1], frame.shape[0])
    scale = size[0] / still.shape[1]
    small = cv2.resize(still, size, interpolation=cv2.INTER_AREA)
    finder = cv2.SIFT_create(2000)
    clahe = cv2.createCLAHE(2, (8, 8))

    def features(image: np.ndarray) -> tuple[tuple[cv2.KeyPoint, ...], np.ndarray]:
        return finder.detectAndCompute(clahe.apply(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)), None)

    (key, of_key), (other, of_other) = features(frame), features(small)
    pairs = cv2.BFMatcher().knnMatch(of_key, of_other, k=2)
    good = [a for a, b in pairs if a.distance < 0.7 * b.distance]
    source = np.float32([key[a.queryIdx].pt for a in good])
    target = np.float32([other[a.trainIdx].pt for a in good])
    to_small = np.array([[scale, 0, 0.5 * scale - 0.5], [0, scale, 0.5 * scale - 0.5], [0, 0, 1]])
    matrix = to_small @ live.key_transform
    moved = cv2.perspectiveTransform(source[None], matrix)[0]
    with_transform = float(np.median(np.linalg.norm(moved - target, axis=1)))
    without = float(np.median(np.linalg.norm(source - target, axis=1)))
    assert with_transform < 4.5  # 0.3 to 3.9 px measured; the acorn's parallax is the most
    assert with_transform < 0.2 * without


def test_what_is_unusual():
    def notes(name: str) -> str:
        return " / ".join(opened(name).notes)

    assert "2 video tracks" in notes("pixel3axl-keyboard")
    assert "no sound" in notes("pixel3axl-keyboard")
    assert "past the last frame" in notes("samsung-s22ultra-rabbit")
    assert "XMP states a clip of 104 bytes" in notes("samsung-s22ultra-rabbit")
    assert "re-encoded" in notes("iphone17pro-cosplay-reexport")
    assert "says 0.000 s" in notes("iphone17pro-cosplay-reexport")
    assert "no EXIF" in notes("unknown-cat")
    assert notes("iphone15pro-acorn") == ""
