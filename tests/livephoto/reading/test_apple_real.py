"""Real Live Photos, written back: they open at the picked moment, and nothing else is lost."""

import shutil

import numpy as np
import pytest
from support import movies
from support.tools import exiftool
from support.written import write_live

from livemoments.livephoto import open_live_photo
from livemoments.livephoto.checking.apple import check_apple
from livemoments.livephoto.checking.findings import broken
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.tracks import read_movie

pytestmark = pytest.mark.real

NEW = "5EED0000-1111-4222-8333-444455556666"
# What exiftool may report otherwise of a still that was restored: pixels and what counts them,
# dates, software, what names the pair or the picture, what is about a gain map or a thumbnail.
CHANGED = {
    "Orientation", "Software", "ModifyDate", "DateTimeOriginal", "CreateDate", "SubSecTime",
    "SubSecTimeOriginal", "SubSecTimeDigitized", "ExifImageWidth", "ExifImageHeight",
    "ImageUniqueID", "PhotoIdentifier", "MediaGroupUUID", "ContentIdentifier",
    "LivePhotoVideoIndex", "HDRHeadroom", "HDRGain",
}  # fmt: skip
KEPT_GROUPS = ("IFD0", "ExifIFD", "GPS", "Apple", "ICC-header", "ICC_Profile")


def real_pairs(samples):
    for folder in sorted(samples.glob("iphone*")):
        still = next(p for p in folder.iterdir() if p.suffix.lower() in (".heic", ".jpg", ".jpeg"))
        yield still, next(p for p in folder.iterdir() if p.suffix.lower() == ".mov")


def picked(live):
    """A frame far from the key photo, and its time."""
    index = 1 if live.key_index > len(live.clip.times_s) // 2 else len(live.clip.times_s) - 2
    frame = live.clip.frame_at(index)
    return frame.time_s, np.ascontiguousarray(frame.image[::4, ::4])


@pytest.mark.parametrize("suffix", [".HEIC", pytest.param(".jpg", marks=pytest.mark.slow)])
def test_real_live_photos_round_trip(tmp_path, samples, suffix):
    count = 0
    for still, movie in real_pairs(samples):
        live = open_live_photo(still, movie)
        time_s, image = picked(live)
        path = tmp_path / f"{still.parent.name}{suffix}"
        written = write_live(live, image, path, time_s=time_s, software="x", identifier=NEW)
        assert written.notes == (), still.name
        again = open_live_photo(written.path)
        assert (again.kind, again.key_time_source) == ("apple-pair", "still-image-time track")
        assert again.key_time_s == pytest.approx(time_s, abs=1e-3)
        assert again.clip.times_s == live.clip.times_s
        assert again.key_index == live.clip.nearest_index(time_s)
        assert (again.key_transform is None) == (live.key_transform is None)
        if again.key_transform is not None:
            x = again.still.width / again.clip.width
            y = again.still.height / again.clip.height
            expected = [[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1]]
            np.testing.assert_allclose(again.key_transform, expected, atol=1e-9)
        assert broken(check_apple(written.path, written.movie)) == [], still.name
        movies.assert_same_media(movie, written.movie)
        old, new = (read_movie(Source.whole(each)).metadata for each in (movie, written.movie))
        assert {**old, "com.apple.quicktime.content.identifier": NEW} == new
        count += 1
    assert count == 7


@pytest.mark.slow
def test_real_motion_photos_become_live_photos(tmp_path, samples):
    for name in ("pixel3axl-keyboard", "samsung-s22-room", "samsung-s22ultra-rabbit"):
        live = open_live_photo(samples / name)
        time_s, image = picked(live)
        path = tmp_path / f"{name}.jpg"
        written = write_live(live, image, path, time_s=time_s, software="x", identifier=NEW)
        again = open_live_photo(written.path)
        assert again.kind == "apple-pair"
        assert again.key_time_s == pytest.approx(time_s, abs=1e-3)
        assert again.clip.times_s == live.clip.times_s
        assert broken(check_apple(written.path, written.movie)) == [], name
        assert movies.decoded(written.movie)


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
@pytest.mark.parametrize("suffix", [".HEIC", pytest.param(".jpg", marks=pytest.mark.slow)])
def test_exiftool_reads_both_halves_of_real_ones(tmp_path, samples, suffix):
    for still, movie in real_pairs(samples):
        live = open_live_photo(still, movie)
        time_s, image = picked(live)
        path = tmp_path / f"{still.parent.name}{suffix}"
        written = write_live(live, image, path, time_s=time_s, software="x", identifier=NEW)
        facts = exiftool(written.path)
        named = {tag: value for group, tag, value in facts if group == "Apple"}
        assert NEW in (named.get("ContentIdentifier"), named.get("MediaGroupUUID"))
        kept = [f for f in exiftool(still) if f[0] in KEPT_GROUPS and f[1] not in CHANGED]
        assert kept and [fact for fact in kept if fact not in facts] == [], still.name
        of_movie = exiftool(written.movie, "-ee")
        assert ("Keys", "ContentIdentifier", NEW) in of_movie
        (still_time,) = [fact for fact in of_movie if fact[1] == "StillImageTime"]
        assert still_time[2] == "-1"
        # Of the clip, only its place in the file, the identifier and the track's time are new.
        changed = {"ContentIdentifier", "MediaDataSize", "MediaDataOffset", "NextTrackID"}
        apart = ("System", "Composite", still_time[0])
        old = [fact for fact in exiftool(movie, "-ee") if fact[0] not in apart]
        lost = [f for f in old if f not in of_movie and f[1] not in changed]
        assert [f for f in lost if "Transform" not in f[1]] == [], movie.name
        problems = [fact for fact in [*facts, *of_movie] if fact[1] in ("Warning", "Error")]
        assert problems == [], still.name
