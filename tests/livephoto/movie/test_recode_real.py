"""Real phones' clips coded anew: what a demuxer and our own rules say of the results."""

import numpy as np
import pytest
from support import movies
from support.recoded import broken, coded, psnr

from livemoments.livephoto import open_live_photo
from livemoments.livephoto.checking.check import check_file
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.encode import CodingChoice
from livemoments.livephoto.movie.recode import RewriteChoice, rewrite_pictures
from livemoments.livephoto.movie.tracks import read_movie
from livemoments.livephoto.movie.video import open_clip
from livemoments.livephoto.writing.convert import with_other_clip

pytestmark = pytest.mark.real

# An iPhone's H.264 as an editor exported it, one's own HEVC, a Pixel with two picture tracks, a
# Samsung's HEVC, an MP4 of the web.
DEFAULT = "iphone17pro-cosplay-reexport"
SLOW = (
    "iphone15plus-asakusa", "iphone15pro-acorn", "pixel3axl-keyboard", "samsung-s22ultra-rabbit",
    "unknown-cat",
)  # fmt: skip
NAMES = [DEFAULT, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def opened(samples, name):
    files = sorted(path for path in (samples / name).iterdir() if path.is_file())
    return open_live_photo(files[0], files[1] if name == "unknown-cat" else None)


def darker_middle(index, picture):
    height, width = picture.shape[:2]
    result = picture.copy()
    result[height // 3 : height // 2, width // 3 : width // 2] *= 0.8
    return result


@pytest.mark.parametrize("name", NAMES)
def test_everything_but_the_pictures_stays(tmp_path, samples, name):
    live = opened(samples, name)
    clip = live.clip
    choice = RewriteChoice(coding=CodingChoice(preset="ultrafast"))
    made = rewrite_pictures(clip, darker_middle, tmp_path, choice)
    assert made.notes == ()
    before, after = tmp_path / "before.mov", tmp_path / "after.mov"
    with clip.source.open() as stream:
        before.write_bytes(stream.read())
    with after.open("wb") as stream:
        made.movie.write(stream)
    assert broken(Source.whole(after)) <= broken(clip.source)
    old, new = movies.streams(before), movies.streams(after)
    assert len(old) == len(new)
    for index, (one, other) in enumerate(zip(old, new, strict=True)):
        if index != clip.stream_index:
            assert one == other, f"track {index}"
    times = sorted(packet[0] for packet in old[clip.stream_index].packets)
    assert [packet[0] for packet in new[clip.stream_index].packets] == times
    assert read_movie(Source.whole(after)).metadata == read_movie(Source.whole(before)).metadata
    again = open_clip(Source.whole(after), clip.target)
    for fact in ("times_s", "duration_s", "display", "colour", "pixel_format", "tracks"):
        assert getattr(again, fact) == getattr(clip, fact), fact
    height, width = clip.coded_size[1], clip.coded_size[0]
    hole = np.s_[height // 4 : height * 5 // 6, width // 4 : width * 5 // 6]
    if clip.stream_index == 0:
        pairs = zip(coded(before, hole), coded(after, hole), strict=True)
        assert min(psnr(one, other) for one, other in pairs) > 43
    one, other = clip.frame_at(3).image, again.frame_at(3).image
    rows = slice(clip.height * 3 // 8, clip.height * 7 // 16)
    inside = rows, slice(clip.width * 2 // 5, clip.width * 9 // 20)
    assert np.abs(other[inside] - 0.8 * one[inside]).mean() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", [DEFAULT, *SLOW])
def test_the_whole_live_photo_comes_back(tmp_path, samples, name):
    if name == "unknown-cat":
        pytest.skip("its halves are paired by hand")
    live = opened(samples, name)
    choice = RewriteChoice(coding=CodingChoice(preset="ultrafast", crf=30))
    made = rewrite_pictures(live.clip, lambda index, picture: picture, tmp_path, choice)
    file = tmp_path / "clip.mov"
    with file.open("wb") as stream:
        made.movie.write(stream)
    suffix = ".jpg" if live.still.format == "JPEG" else ".heic"
    name = "IMG_1.MP" if live.clip.source.embedded else "IMG_1"
    out = tmp_path / "out" / f"{name}{suffix}"
    out.parent.mkdir()
    with_other_clip(live, open_clip(Source.whole(file), live.clip.target), out)
    again = open_live_photo(out)
    assert check_file(out).passed
    assert again.clip.times_s == live.clip.times_s
    assert again.key_time_s == pytest.approx(live.key_time_s, abs=2e-3) or live.key_time_s > 2.9
    assert np.array_equal(again.still.thumbnail(200), live.still.thumbnail(200))
