"""The gain maps of real iPhones: read upright, and theirs again after a round trip."""

import numpy as np
import pytest
from PIL import Image
from support import makers

from livemoments.livephoto.hdr.apple import noted_headroom
from livemoments.livephoto.hdr.gain_map import from_apple
from livemoments.livephoto.still.gain_map import read_gain_map
from livemoments.livephoto.still.still import read_still
from livemoments.livephoto.writing.picture import write_picture

SAMPLES = makers.samples_folder()
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(SAMPLES is None, reason="no sample files beside the checkout"),
]
# Folder, headroom in XMP, and how bright the map is as a whole, stops.
PHOTOS = {
    "iphone15plus-asakusa": (6.902454, 1.50),
    "iphone15pro-acorn": (2.675215, 0.90),
    "iphone15pro-magnolia": (2.786103, 0.59),
    "iphone15pro-mural": (3.362963, 0.99),
}


def still_of(folder):
    return read_still(next(path for path in (SAMPLES / folder).iterdir() if path.suffix == ".HEIC"))


@pytest.mark.parametrize("folder", PHOTOS)
def test_apples_map_is_read_upright(folder):
    headroom, mean = PHOTOS[folder]
    still = still_of(folder)
    found = read_gain_map(still)
    assert found.reason is None
    gain_map = found.gain_map
    assert gain_map.max_stops[0] == pytest.approx(np.log2(headroom), abs=1e-6)
    assert noted_headroom(still.exif) == pytest.approx(headroom, rel=2e-4)
    assert (gain_map.width * 2, gain_map.height * 2) == (still.width, still.height)
    stops = gain_map.stops()
    assert stops.mean() == pytest.approx(mean, abs=0.01)
    # Phones lift what is bright: a map on its side would not go with the picture.
    small = still.thumbnail(256).max(-1).astype(np.float32)
    beside = Image.fromarray(stops).resize(small.shape[::-1], Image.Resampling.BOX)
    assert np.corrcoef(small.ravel(), np.asarray(beside).ravel())[0, 1] > 0.7


def test_a_round_trip_through_ultra_hdr(tmp_path):
    still = still_of("iphone15pro-mural")
    gain_map = read_gain_map(still).gain_map
    small = Image.fromarray(gain_map.values).resize((378, 504), Image.Resampling.BOX)
    gain_map = from_apple(np.clip(np.asarray(small), 0, 1), 3.362963)
    picture = still.thumbnail(1008)
    written = write_picture(
        picture, tmp_path / "x.jpg", still=still, software="x", gain_map=gain_map
    )
    again = read_gain_map(read_still(written.path)).gain_map
    assert np.abs(again.stops() - gain_map.stops()).mean() < 0.01


@pytest.mark.parametrize("folder", ["iphone6s-train", "pixel3axl-keyboard", "samsung-s22-room"])
def test_the_others_have_none(folder):
    stills = [p for p in (SAMPLES / folder).iterdir() if p.suffix.lower() in (".jpg", ".heic")]
    found = read_gain_map(read_still(stills[0]))
    assert (found.gain_map, found.reason) == (None, None)
