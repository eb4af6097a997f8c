"""When the still was taken: metadata, and matching where that cannot be believed."""

import numpy as np
import pytest
from support import makers

from livemoments.livephoto import open_live_photo
from livemoments.livephoto.reading.matching import match_still


@pytest.mark.parametrize("index", [0, 3, 6, 11])
def test_matching_finds_the_frame(tmp_path, index):
    still = makers.enlarged(makers.moving(makers.scene())[index])
    photo, _ = makers.apple_pair(
        tmp_path, identifier=None, video_identifier=None, track=False, still=still
    )
    live = open_live_photo(photo)
    assert live.key_time_source == "matched"
    assert live.key_time_s == pytest.approx(makers.TIMES_S[index])


def test_matching_sees_through_another_tone_and_a_small_shift(tmp_path):
    # A thing moves before a still background; the still is darker, bent and moved by a pixel.
    background = makers.scene(192, 144, seed=3)
    thing = makers.scene(40, 40, seed=9)
    frames = []
    for index in range(12):
        frame = background.copy()
        frame[50:90, 10 + 12 * index : 50 + 12 * index] = thing[:, : 192 - 10 - 12 * index]
        frames.append(frame)
    clip = makers.encode_clip(frames)
    still = np.roll(makers.enlarged(frames[7]), 3, axis=1) / 255.0
    still = (255 * 0.7 * still**1.4).astype(np.uint8)
    makers.save_still(tmp_path / "a.jpg", still)
    (tmp_path / "a.mov").write_bytes(clip)
    live = open_live_photo(tmp_path / "a.jpg")
    assert live.key_index == 7


def test_a_wrong_zero_is_found_out(tmp_path):
    photo, _ = makers.apple_pair(tmp_path, key_time_s=None)
    live = open_live_photo(photo)
    assert live.kind == "apple-pair"
    assert live.key_time_source == "matched" and live.key_time_s == pytest.approx(0.4)
    assert any("says 0.000 s, but the frame at 0.400 s fits" in note for note in live.notes)


def test_a_true_zero_is_kept(tmp_path):
    still = makers.enlarged(makers.moving(makers.scene())[0])
    photo, _ = makers.apple_pair(tmp_path, key_time_s=None, still=still)
    live = open_live_photo(photo)
    assert live.key_time_s == 0 and live.key_time_source == "still-image-time track"


def test_a_transform_for_another_time_is_dropped(tmp_path):
    photo, _ = makers.apple_pair(tmp_path, key_time_s=None, transform=np.eye(3))
    live = open_live_photo(photo)
    assert live.key_time_source == "matched" and live.key_transform is None
    assert any("for another time" in note for note in live.notes)


def test_an_impossible_time_is_matched(tmp_path):
    photo, _ = makers.apple_pair(tmp_path, key_time_s=30.0)
    assert open_live_photo(photo).key_time_source == "matched"


def test_a_still_like_no_frame_is_said_so(tmp_path):
    photo, _ = makers.apple_pair(
        tmp_path, track=False, still=makers.scene(384, 288, seed=77), identifier=None
    )
    live = open_live_photo(photo)
    assert any("no frame of the clip looks like the still" in note for note in live.notes)


def test_likeness_is_a_correlation(tmp_path):
    photo, _ = makers.apple_pair(tmp_path)
    live = open_live_photo(photo)
    match = match_still(live.still, live.clip)
    assert match.index == 6 and 0.8 < match.likeness <= 1
    assert sorted(match.scores) == list(range(12))


def test_opening_decodes_nothing_where_metadata_tells(tmp_path, monkeypatch):
    photo, _ = makers.apple_pair(tmp_path)

    def fail(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("livemoments.livephoto.movie.video.iter_pictures", fail)
    monkeypatch.setattr("livemoments.livephoto.still.still.Still._decode", fail)
    assert open_live_photo(photo).key_time_s == pytest.approx(0.4, abs=1e-3)
