"""A clip's pictures coded anew: everything else of it stays, bit for bit."""

import io
import struct
from fractions import Fraction

import numpy as np
import pytest
from support import makers, movies
from support.movies import forms, out_of_order_clip
from support.recoded import broken, coded, psnr

from livemoments.errors import ConfigError, DamagedFileError, OutputError, UnsupportedFileError
from livemoments.imaging.colour import ColourSpace
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie import encode
from livemoments.livephoto.movie.edit import Node, parse_box, read_editable
from livemoments.livephoto.movie.encode import CodingChoice
from livemoments.livephoto.movie.recode import RewriteChoice, rewrite_pictures
from livemoments.livephoto.movie.samples import read_samples
from livemoments.livephoto.movie.tables import Edit, edits, handler, sample_entries, set_edits
from livemoments.livephoto.movie.tracks import read_movie
from livemoments.livephoto.movie.video import open_clip

PATCH = np.s_[40:80, 60:120]  # what the tests change, of 192 x 144
AROUND = np.s_[32:88, 52:128]  # a coding's blocks carry it a little further
KEYS = {"com.apple.quicktime.content.identifier": makers.IDENTIFIER, "a.key": "its value"}


def no_change(index, picture):
    return picture


def brighter(index, picture):
    result = picture.copy()
    result[PATCH] = np.clip(result[PATCH] + 0.1, 0, 1)
    return result


def opened(folder, data, name="in.mov"):
    path = folder / name
    path.write_bytes(data)
    return open_clip(Source.whole(path), ColourSpace())


def rewritten(folder, clip, change=no_change, name="out.mov", **options):
    """The clip written anew: path and notes. It breaks no rule that the clip keeps."""
    scratch = folder / f"{name}-scratch"
    scratch.mkdir()
    made = rewrite_pictures(clip, change, scratch, RewriteChoice(**options))
    path = folder / name
    with path.open("wb") as stream:
        made.movie.write(stream)
    assert broken(Source.whole(path)) <= broken(clip.source)
    return path, made.notes


def pictures(path):
    import av

    with av.open(str(path), format="mov") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def outside(picture):
    hole = picture.astype(float)
    hole[36:84, 56:124] = 0
    return hole


def phone_clip(codec="libx264", **options):
    """Pictures at uneven times, sound, keys, and Apple's track of timed metadata."""
    frames = makers.moving(makers.scene())
    data = makers.encode_clip(frames, codec=codec, sound=True, **options)
    return makers.with_still_time(makers.with_keys(data, KEYS), 0.4)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_all_but_the_pictures_stays(tmp_path, codec):
    clip = opened(tmp_path, phone_clip(codec))
    path, notes = rewritten(tmp_path, clip, brighter)
    assert notes == ()
    before, after = movies.streams(tmp_path / "in.mov"), movies.streams(path)
    assert after[1:] == before[1:], "sound and metadata, bit for bit"
    times = sorted(p[0] for p in before[0].packets)
    assert [p[0] for p in after[0].packets] == times
    assert [p[2] for p in after[0].packets[:-1]] == np.diff(times).tolist()
    assert not {p[3] for p in after[0].packets} & {p[3] for p in before[0].packets}
    assert after[0].codec == before[0].codec == clip.codec
    assert read_movie(Source.whole(path)).metadata == read_movie(clip.source).metadata
    old, new = movies.index(tmp_path / "in.mov"), movies.index(path)
    for mine, theirs in zip(new.all("trak"), old.all("trak"), strict=True):
        for place in ("tkhd", "mdia/mdhd", "mdia/hdlr", "edts/elst"):
            assert mine.payload(place) == theirs.payload(place)
    again = open_clip(Source.whole(path), ColourSpace())
    facts = ("times_s", "colour", "display", "duration_s", "pixel_format", "tracks", "audio_codec")
    assert all(getattr(again, name) == getattr(clip, name) for name in facts)


@pytest.mark.parametrize("full_range", [True, False])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_only_what_was_changed_changes(tmp_path, codec, full_range):
    clip = opened(tmp_path, phone_clip(codec, full_range=full_range))
    path, _ = rewritten(tmp_path, clip, brighter)
    for before, after in zip(coded(tmp_path / "in.mov", AROUND), coded(path, AROUND), strict=True):
        assert psnr(before, after) > 45
    for before, after in zip(pictures(tmp_path / "in.mov"), pictures(path), strict=True):
        gain = np.median(after[PATCH].astype(float) - before[PATCH])
        assert 0.1 * 255 - 2 < gain < 0.1 * 255 + 2


def test_the_old_pictures_are_gone_from_the_file(tmp_path):
    clip = opened(tmp_path, phone_clip())
    path, _ = rewritten(tmp_path, clip)
    old = (tmp_path / "in.mov").read_bytes()
    data = path.read_bytes()
    for sample in read_samples(read_editable(clip.source).tracks[0], "in.mov"):
        assert old[sample.offset : sample.offset + sample.size] not in data


@pytest.mark.parametrize("form", ["last", "first", "to the end", "large"])
def test_wherever_index_and_media_lie(tmp_path, form):
    clip = opened(tmp_path, forms()[form])
    path, _ = rewritten(tmp_path, clip)
    assert movies.streams(path)[1:] == movies.streams(tmp_path / "in.mov")[1:]
    before, after = coded(tmp_path / "in.mov"), coded(path)
    assert min(psnr(a, b) for a, b in zip(before, after, strict=True)) > 45
    assert len(movies.kinds(path)) == len(set(movies.kinds(path))) + 1, "one more 'mdat'"


def test_every_turn_changes_the_right_place(tmp_path):
    """What is changed upright is found changed upright, however the coded picture lies."""
    for number, display in enumerate(
        [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (0, 1, 1, 0)]
    ):
        frames = makers.moving(makers.scene())[:2]
        data = makers.encode_clip(frames, display=display)
        clip = opened(tmp_path, data, f"{number}.mov")
        path, _ = rewritten(tmp_path, clip, brighter, f"out{number}.mov")
        again = open_clip(Source.whole(path), ColourSpace())
        assert again.display == clip.display
        one, other = clip.frame_at(0).image, again.frame_at(0).image
        assert np.median(other[PATCH] - one[PATCH]) == pytest.approx(0.1, abs=0.01)
        assert np.abs(outside(other) - outside(one)).mean() < 0.01


def test_pictures_shown_in_another_order_than_coded_keep_their_times(tmp_path):
    clip = opened(tmp_path, out_of_order_clip())
    seen = []
    path, _ = rewritten(tmp_path, clip, lambda index, x: seen.append(index) or x)
    assert seen == list(range(len(clip.pts)))
    again = open_clip(Source.whole(path), ColourSpace())
    assert again.pts == clip.pts and again.duration_s == clip.duration_s
    before, after = coded(tmp_path / "in.mov"), coded(path)
    assert min(psnr(a, b) for a, b in zip(before, after, strict=True)) > 45


def test_what_an_edit_list_hides_stays_hidden(tmp_path):
    """A clip trimmed in Photos: its first frames are there, and not shown."""
    path = tmp_path / "in.mov"
    path.write_bytes(phone_clip())
    movie = read_editable(Source.whole(path))
    track = movie.tracks[0]
    set_edits(track, [Edit(duration=400, media_time=6000), *edits(track)[1:]])
    header = track.find("mdia/mdhd")
    scale = struct.unpack_from(">I", header.data, 12)[0]
    set_edits(track, [Edit(duration=300, media_time=round(0.15 * scale))])
    path.write_bytes(movie.to_bytes())
    clip = open_clip(Source.whole(path), ColourSpace())
    assert 0 < len(clip.pts) < len(makers.TIMES_S)
    seen = []
    out, _ = rewritten(tmp_path, clip, lambda index, x: seen.append(index) or brighter(index, x))
    assert seen == list(range(len(clip.pts)))
    again = open_clip(Source.whole(out), ColourSpace())
    assert again.times_s == clip.times_s
    assert len(movies.streams(out)[0].packets) == len(movies.streams(path)[0].packets)
    for one, other in zip(pictures(path), pictures(out), strict=True):
        assert np.median(other[PATCH].astype(float) - one[PATCH]) == pytest.approx(25.5, abs=2.5)


def hdr_clip(transfer):
    """HEVC of 10 bits in BT.2020 with sound."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mov") as output:
        stream = output.add_stream("libx265", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = 192, 144, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, transfer, 9
        context.color_range, context.codec_tag = 1, "hvc1"
        stream.options = {"crf": "8", "x265-params": "log-level=none"}
        for picture in makers.moving(makers.scene())[:4]:
            frame = av.VideoFrame.from_ndarray(picture // 2 + 30, format="rgb24")
            output.mux(stream.encode(frame.reformat(format="yuv420p10le", dst_colorspace=9)))
        output.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_of_ten_bits_stays_that(tmp_path, transfer):
    clip = opened(tmp_path, hdr_clip(transfer))
    assert clip.colour.is_hdr
    path, notes = rewritten(tmp_path, clip, brighter)
    again = open_clip(Source.whole(path), ColourSpace())
    assert (again.pixel_format, again.colour) == ("yuv420p10le", clip.colour)
    assert notes == () and sample_entries(movies.index(path).all("trak")[0])[0][0] == "hvc1"
    one, other = clip.frame_at(0).image, again.frame_at(0).image
    grey = (one[PATCH].min(axis=2) > 0.1) & (one[PATCH].max(axis=2) < 0.8)
    assert np.median((other[PATCH] - one[PATCH])[grey]) == pytest.approx(0.1, abs=0.015)
    assert np.abs(outside(other) - outside(one)).mean() < 0.01


def test_enlarged(tmp_path):
    data = phone_clip(display=(0, 1, -1, 0))
    path = tmp_path / "in.mov"
    path.write_bytes(data)
    movie = read_editable(Source.whole(path))
    track = movie.tracks[0]
    sizes = struct.pack(">I", 0) + struct.pack(">II", 192 << 16, 144 << 16)
    track.put(Node(b"tapt", Node(b"clef", sizes).to_bytes()), after=("tkhd",))
    table = track.find("mdia/minf/stbl/stsd")
    (entry,) = parse_box(b"", table.data[8:]).nodes
    entry.data += Node(b"clap", struct.pack(">8i", 192, 1, 144, 1, 0, 1, -2, 1)).to_bytes()
    table.data = table.data[:8] + entry.to_bytes()
    path.write_bytes(movie.to_bytes())
    clip = open_clip(Source.whole(path), ColourSpace())

    def change(index, picture):
        assert picture.shape == (384, 288, 3)
        return picture

    out, _ = rewritten(tmp_path, clip, change, scale=2)
    again = open_clip(Source.whole(out), ColourSpace())
    assert (again.width, again.height) == (288, 384) and again.times_s == clip.times_s
    made = movies.index(out).all("trak")[0]
    assert struct.unpack(">II", made.payload("tkhd")[-8:]) == (384 << 16, 288 << 16)
    assert made.payload("tapt").endswith(struct.pack(">II", 384 << 16, 288 << 16))
    (entry,) = parse_box(b"", made.payload("mdia/minf/stbl/stsd")[8:]).nodes
    clap = parse_box(b"", entry.data[78:]).payload("clap")
    assert struct.unpack(">8i", clap) == (384, 1, 288, 1, 0, 1, -4, 1)
    enlarged = makers.enlarged(pictures(tmp_path / "in.mov")[0])
    assert psnr(pictures(out)[0], enlarged) > 28
    assert movies.streams(out)[1:] == movies.streams(path)[1:]


@pytest.mark.parametrize(("name", "quicktime"), [("out.mp4", False), ("out.mov", True)])
def test_into_the_other_kind_of_file(tmp_path, name, quicktime):
    data = phone_clip(container="mov" if not quicktime else "mp4") if not quicktime else (
        makers.encode_clip(makers.moving(makers.scene()), container="mp4", sound=True)
    )  # fmt: skip
    clip = opened(tmp_path, data)
    path, notes = rewritten(tmp_path, clip, name=name, quicktime=quicktime)
    movie = read_editable(Source.whole(path))
    assert (movie.ftyp[:4] == b"qt  ") is quicktime
    assert open_clip(Source.whole(path), ColourSpace()).times_s == clip.times_s
    kinds = [handler(track) for track in movie.tracks]
    assert kinds[:2] == ["vide", "soun"]
    assert bool(notes) is not quicktime, "a track of timed metadata is left out of an MP4"


def test_what_belonged_to_the_old_coding_goes_and_is_said(tmp_path):
    path = tmp_path / "in.mov"
    path.write_bytes(hdr_clip(18))
    movie = read_editable(Source.whole(path))
    table = movie.tracks[0].find("mdia/minf/stbl/stsd")
    (entry,) = parse_box(b"", table.data[8:]).nodes
    entry.data += Node(b"dvvC", bytes(24)).to_bytes() + Node(b"amve", bytes(8)).to_bytes()
    table.data = table.data[:8] + entry.to_bytes() + bytes(4)
    tables = movie.tracks[0].find("mdia/minf/stbl")
    tables.nodes.append(Node(b"sdtp", bytes(8)))
    path.write_bytes(movie.to_bytes())
    out, notes = rewritten(tmp_path, open_clip(Source.whole(path), ColourSpace()))
    assert [note for note in notes if "Dolby Vision" in note]
    made = movies.index(out).all("trak")[0]
    (entry,) = parse_box(b"", made.payload("mdia/minf/stbl/stsd")[8:]).nodes
    kinds = [node.type for node in parse_box(b"", entry.data[78:]).nodes]
    assert b"hvcC" in kinds and b"amve" in kinds and b"dvvC" not in kinds
    assert made.find("mdia/minf/stbl/sdtp") is None


def test_without_an_hevc_encoder_it_becomes_h264(tmp_path, monkeypatch):
    clip = opened(tmp_path, phone_clip("libx265"))
    monkeypatch.setattr(encode, "_has", lambda name: name == "libx264")
    path, notes = rewritten(tmp_path, clip)
    assert movies.streams(path)[0].codec == "h264"
    assert notes == ("the clip's pictures were hevc and are H.264 now",)
    monkeypatch.setattr(encode, "_has", lambda name: False)
    with pytest.raises(OutputError, match="no H.264 encoder"):
        rewritten(tmp_path, clip, name="b.mov")


def test_another_coding_becomes_h264(tmp_path):
    clip = opened(tmp_path, makers.encode_clip(makers.moving(makers.scene()), codec="mpeg4"))
    path, notes = rewritten(tmp_path, clip)
    before, after = movies.streams(tmp_path / "in.mov")[0], movies.streams(path)[0]
    assert after.codec == "h264" and "mpeg4" in notes[0]
    assert [p[:3] for p in after.packets] == [p[:3] for p in before.packets], "were in order"


def test_a_picture_that_cannot_be_decoded_does_not_move_the_others(tmp_path):
    data = bytearray(makers.encode_clip(makers.moving(makers.scene()), codec="libx264"))
    (tmp_path / "whole.mov").write_bytes(data)
    track = read_editable(Source.whole(tmp_path / "whole.mov")).tracks[0]
    sample = read_samples(track, "a")[5]  # a key frame
    data[sample.offset + 4 : sample.offset + sample.size] = bytes(sample.size - 4)
    clip = opened(tmp_path, bytes(data))
    path, notes = rewritten(tmp_path, clip)
    assert len(movies.streams(path)[0].packets) == len(makers.TIMES_S)
    assert any("cannot be decoded" in note for note in notes)
    assert open_clip(Source.whole(path), ColourSpace()).times_s == clip.times_s


def test_files_that_cannot_be_written_anew(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    data = makers.encode_clip(makers.moving(makers.scene()), container="matroska")
    clip = opened(tmp_path, data, "a.mkv")
    with pytest.raises(UnsupportedFileError, match="only a MOV or MP4"):
        rewrite_pictures(clip, no_change, scratch)
    clip = opened(tmp_path, phone_clip())
    movie = read_editable(clip.source)
    movie.tracks[0].find("mdia/minf/stbl/stts").data = struct.pack(">IIII", 0, 1, 2, 20)
    broken = opened(tmp_path, movie.to_bytes(), "b.mov")
    with pytest.raises(DamagedFileError):
        rewrite_pictures(broken, no_change, scratch)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RewriteChoice(scale=3), "scale must be one of 1, 2, 4; got 3"),
        (lambda: CodingChoice(crf=60), "crf must be from 0"),
        (lambda: CodingChoice(threads=-1), "threads must not be negative"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_too_large_to_be_played(tmp_path, monkeypatch):
    clip = opened(tmp_path, phone_clip())
    monkeypatch.setattr(encode, "MOST_SIDE", 300)
    with pytest.raises(UnsupportedFileError, match="384 x 288 pixels cannot be played"):
        rewritten(tmp_path, clip, scale=2)


def test_progress_and_cancelling(tmp_path):
    clip = opened(tmp_path, phone_clip())
    told = []
    rewrite_pictures(clip, no_change, tmp_path, progress=lambda *facts: told.append(facts))
    count = len(makers.TIMES_S)
    assert told == [("writing", done, count) for done in range(1, count + 1)]

    def stop(stage, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rewrite_pictures(clip, no_change, tmp_path, progress=stop)


def test_the_same_twice(tmp_path):
    clip = opened(tmp_path, phone_clip())
    one, _ = rewritten(tmp_path, clip, brighter, "one.mov")
    other, _ = rewritten(tmp_path, clip, brighter, "other.mov")
    assert one.read_bytes() == other.read_bytes()
