"""A MOV becomes an MP4, an MP4 a MOV: the same media in other words."""

import io
import struct
from fractions import Fraction

import numpy as np
import pytest
from support import makers, movies

from livemoments.errors import DamagedFileError
from livemoments.livephoto.checking.movie import check_movie
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.metadata.xmp import parse_motion_facts
from livemoments.livephoto.movie.brand import is_quicktime, movie_as_mov, movie_as_mp4
from livemoments.livephoto.movie.edit import Node, read_editable
from livemoments.livephoto.movie.tables import handler, sample_entries
from livemoments.livephoto.movie.tracks import read_movie
from livemoments.livephoto.reading.motion_photo import find_embedded_clip
from livemoments.livephoto.still.still import read_still

KEYS = {
    "com.apple.quicktime.content.identifier": makers.IDENTIFIER,
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.live-photo.auto": "1",
    "com.apple.quicktime.location.ISO6709": "+35.7+139.8/",
}


def frames():
    return makers.moving(makers.scene(96, 64))


def written(folder, data, name="a.mov"):
    path = folder / name
    path.write_bytes(data)
    return Source.whole(path)


def converted(folder, movie, name):
    path = folder / name
    path.write_bytes(movie.to_bytes())
    return path


def formats(path):
    index = read_editable(Source.whole(path))
    return [sample_entries(track)[0][0] for track in index.tracks]


def pcm_clip(codec="pcm_s16le", rate=44100, channels="mono"):
    """A MOV with a picture track and uncompressed sound."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mov") as output:
        video = output.add_stream("libx264", rate=Fraction(30))
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        sound = output.add_stream(codec, rate=rate, layout=channels)
        for picture in frames()[:3]:
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(video.encode(None))
        form = {"pcm_s16le": "s16", "pcm_s16be": "s16", "pcm_f32le": "flt"}[codec]
        count = 2 if channels == "stereo" else 1
        samples = np.arange(2000 * count).reshape(1, -1) % 999
        samples = samples.astype(np.int16 if form == "s16" else np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format=form, layout=channels)
        frame.sample_rate, frame.pts = rate, 0
        output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    return file.getvalue()


def with_long_description(folder, data, *, big_endian=False):
    """The clip with its 16-bit PCM described as phones do: 'lpcm', in version 2."""
    movie = read_editable(written(folder, data, "short.mov"))
    track = next(track for track in movie.tracks if handler(track) == "soun")
    table = track.find("mdia/minf/stbl/stsd")
    channels = struct.unpack_from(">H", table.data, 8 + 24)[0]
    flags = 0xE if big_endian else 0xC  # signed, packed
    entry = table.data[16:24] + struct.pack(">HHIHHhHI", 2, 0, 0, 3, 16, -2, 0, 0x10000)
    entry += struct.pack(">Id6I", 72, 44100.0, channels, 0x7F000000, 16, flags, 2 * channels, 1)
    table.data = table.data[:8] + makers.box(b"lpcm", entry)
    return movie.to_bytes()


# --- MP4 to MOV -----------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("order", ["last", "first"])
def test_an_mp4_becomes_a_mov_of_the_same_media(tmp_path, codec, order):
    data = makers.motion_clip(codec=codec, sound=True, full_range=codec == "libx264")
    data = makers.index_first(data) if order == "first" else data
    source = written(tmp_path, data, "a.mp4")
    result = movie_as_mov(source)
    path = converted(tmp_path, result.movie, "b.mov")
    assert result.notes == ()
    assert is_quicktime(read_editable(Source.whole(path)))
    assert formats(path) == ["hvc1" if codec == "libx265" else "avc1", "mp4a"]
    assert movies.streams(path) == movies.streams(source.path)
    assert movies.decoded(path) == movies.decoded(source.path)
    assert movies.media(path) == movies.media(source.path)
    assert [f for f in check_movie(Source.whole(path)) if f.passed is False] == []
    for track in movies.index(path).all("trak"):
        assert track.payload("mdia/hdlr")[4:8] == b"mhlr"
        assert track.payload("mdia/minf/hdlr")[4:8] == b"dhlr"
    assert b"wave" in path.read_bytes()


def test_a_mov_stays_as_it_is(tmp_path):
    data = makers.with_still_time(makers.encode_clip(frames(), sound=True), 0.3)
    result = movie_as_mov(written(tmp_path, data))
    assert result.movie.to_bytes() == data
    assert result.notes == ()


def test_the_oldest_mov_gets_a_brand(tmp_path):
    data = makers.encode_clip(frames())
    source = written(tmp_path, data)
    bare = read_editable(source)
    bare.ftyp = b""
    source = written(tmp_path, bare.to_bytes())
    assert is_quicktime(read_editable(source))
    path = converted(tmp_path, movie_as_mov(source).movie, "b.mov")
    assert movies.kinds(path)[0] == "ftyp"
    assert movies.streams(path) == movies.streams(source.path)


def test_hevc_without_all_its_sets_keeps_its_name(tmp_path):
    data = makers.motion_clip(codec="libx265", full_range=False)
    at = data.index(b"hvcC") + 4
    data = data[: at + 22] + b"\0" + data[at + 23 :]  # no sets are in the description
    result = movie_as_mov(written(tmp_path, data, "a.mp4"))
    assert sample_entries(result.movie.tracks[0])[0][0] == "hev1"
    assert any("may not play" in note and "hev1" in note for note in result.notes)


def test_another_picture_track_is_switched_off(tmp_path):
    data = makers.motion_clip(extra_track=[makers.scene(192, 128)])
    source = written(tmp_path, data, "a.mp4")
    result = movie_as_mov(source)
    flags = [track.payload("tkhd")[3] & 1 for track in result.movie.tracks]
    assert flags == [1, 0]
    assert any("switched off" in note for note in result.notes)
    assert movies.streams(result.movie.to_bytes()) == movies.streams(source.path)


# --- MOV to MP4 -----------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_live_photos_clip_becomes_an_mp4(tmp_path, codec):
    data = makers.encode_clip(frames(), codec=codec, sound=True, full_range=codec == "libx264")
    data = makers.with_keys(makers.with_still_time(data, 0.3), KEYS)
    source = written(tmp_path, data)
    result = movie_as_mp4(source)
    path = converted(tmp_path, result.movie, "b.mp4")
    assert path.read_bytes()[:24] == makers.box(b"ftyp", b"mp42\0\0\0\0isommp42")
    before = [stream for stream in movies.streams(source.path) if stream.codec != "data"]
    assert movies.streams(path) == before
    assert movies.decoded(path) == movies.decoded(source.path)
    assert movies.media(path) == movies.media(source.path)
    assert [f for f in check_movie(Source.whole(path)) if f.passed is False] == []
    assert read_movie(Source.whole(path)).metadata == {
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.location.ISO6709": "+35.7+139.8/",
    }
    assert [note for note in result.notes if "1 track of timed metadata" in note]
    assert b"wave" not in path.read_bytes() and b"mhlr" not in path.read_bytes()


def test_an_mp4_stays_as_it_is(tmp_path):
    data = makers.motion_clip(sound=True)
    result = movie_as_mp4(written(tmp_path, data, "a.mp4"))
    assert (result.movie.to_bytes(), result.notes) == (data, ())


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("channels", ["mono", "stereo"])
def test_pcm_of_phones_gets_the_short_description_that_android_reads(
    tmp_path, big_endian, channels
):
    codec = "pcm_s16be" if big_endian else "pcm_s16le"
    data = pcm_clip(codec, channels=channels)
    source = written(tmp_path, with_long_description(tmp_path, data, big_endian=big_endian))
    assert formats(source.path)[1] == "lpcm"
    result = movie_as_mp4(source)
    path = converted(tmp_path, result.movie, "b.mp4")
    assert formats(path)[1] == ("twos" if big_endian else "sowt")
    assert movies.streams(path) == movies.streams(source.path)
    assert movies.decoded(path) == movies.decoded(source.path)
    assert any("uncompressed (PCM)" in note for note in result.notes)


def test_other_pcm_is_kept_as_it_is(tmp_path):
    source = written(tmp_path, pcm_clip("pcm_f32le"))
    before = formats(source.path)
    result = movie_as_mp4(source)
    path = converted(tmp_path, result.movie, "b.mp4")
    assert formats(path) == before
    assert movies.streams(path) == movies.streams(source.path)
    assert any("uncompressed (PCM)" in note for note in result.notes)


def test_there_and_back_plays_the_same(tmp_path):
    source = written(tmp_path, makers.encode_clip(frames(), sound=True))
    there = converted(tmp_path, movie_as_mp4(source).movie, "b.mp4")
    back = converted(tmp_path, movie_as_mov(Source.whole(there)).movie, "c.mov")
    assert movies.streams(back) == movies.streams(source.path)
    assert movies.decoded(back) == movies.decoded(source.path)


def test_references_to_tracks_left_out_go_too(tmp_path):
    data = makers.with_still_time(makers.encode_clip(frames()), 0.3)
    movie = read_editable(written(tmp_path, data))
    reference = Node(b"cdsc", struct.pack(">I", 99)), Node(b"cdep", struct.pack(">I", 1))
    movie.tracks[0].put(Node(b"tref", b"", list(reference)))
    result = movie_as_mp4(written(tmp_path, movie.to_bytes()))
    kept = result.movie.tracks[0].find("tref")
    assert [node.type for node in kept.nodes] == [b"cdep"]


def test_a_damaged_index_is_named(tmp_path):
    data = makers.motion_clip(extra_track=[makers.scene(192, 128)])
    movie = read_editable(written(tmp_path, data, "a.mp4"))
    movie.tracks[1].find("tkhd").data = b""
    with pytest.raises(DamagedFileError, match="a.mp4: the video's index is damaged"):
        movie_as_mov(written(tmp_path, movie.to_bytes(), "a.mp4"))


# --- real phones ----------------------------------------------------------------------------


@pytest.mark.real
def test_real_clips_of_both_kinds(tmp_path, samples):
    sources = [
        Source.whole(path)
        for path in sorted(samples.glob("*/*"))
        if path.suffix.lower() in (".mov", ".mp4")
    ]
    for path in sorted(samples.glob("*/*")):
        if path.suffix.lower() in (".heic", ".jpg"):
            facts = parse_motion_facts(read_still(path).xmp)
            embedded = find_embedded_clip(Source.whole(path), facts)
            sources += [embedded.source] if embedded is not None else []
    assert len(sources) >= 12
    for source in sources:
        with source.open() as stream:
            before = stream.read()
        played = movies.streams(before)
        for convert in (movie_as_mov, movie_as_mp4):
            after = convert(source).movie.to_bytes()
            kept = movies.streams(after)
            assert [s for s in kept if s.codec != "data"] == [
                s for s in played if s.codec != "data"
            ], source.name
            path = tmp_path / "after"
            path.write_bytes(after)
            assert [f for f in check_movie(Source.whole(path)) if f.passed is False] == []
