"""A movie's index is edited; its media never change."""

import io
import struct
from dataclasses import replace

import numpy as np
import pytest
from support import makers, movies, rounds
from support.movies import clip, forms

from livemoments.errors import DamagedFileError, UnsupportedFileError
from livemoments.livephoto.checking.movie import check_movie
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.edit import (
    Node,
    chunk_offsets,
    parse_box,
    read_editable,
    set_chunk_offsets,
)
from livemoments.livephoto.movie.tables import (
    Edit,
    chunks,
    duration,
    edits,
    fit_header,
    handler,
    movie_scale,
    refine_scale,
    sample_count,
    sample_durations,
    sample_entries,
    samples_per_chunk,
    set_duration,
    set_edits,
    set_one_sample,
    timescale,
    track_id,
)

FREE = 5000  # bytes by which an index grows here


def editable(folder, data):
    path = folder / "a.mov"
    path.write_bytes(data)
    return read_editable(Source.whole(path))


@pytest.fixture(scope="module")
def clips():
    return forms()


FORMS = ["last", "first", "to the end", "large"]


@pytest.mark.parametrize("form", FORMS)
def test_written_unchanged_it_is_the_same_file(tmp_path, clips, form):
    movie = editable(tmp_path, clips[form])
    written = movie.to_bytes()
    start = written.index(b"mdat") - 4
    same = written if form != "to the end" else written[:start] + bytes(4) + written[start + 4 :]
    assert same == clips[form]
    assert movie.write(io.BytesIO()) == len(written)


@pytest.mark.parametrize("form", FORMS)
def test_a_grown_index_moves_the_media_and_says_so(tmp_path, clips, form):
    movie = editable(tmp_path, clips[form])
    before = movies.streams(tmp_path / "a.mov")
    movie.moov.nodes.insert(1, Node(b"free", bytes(FREE)))
    movie.ftyp += b"isom"
    written = tmp_path / "b.mov"
    written.write_bytes(movie.to_bytes())
    assert movies.streams(written) == before
    assert movies.media(written) == movies.media(tmp_path / "a.mov")
    assert [f for f in check_movie(Source.whole(written)) if f.passed is False] == []


@pytest.mark.parametrize("form", FORMS)
def test_new_media_lie_in_a_box_of_their_own_before_the_index(tmp_path, clips, form):
    movie = editable(tmp_path, clips[form])
    before = movies.media(tmp_path / "a.mov")
    assert movie.add_media(b"abc") == len(clips[form])
    track = movie.tracks[1]
    set_one_sample(track, movie.add_media(b"defgh"), 5)
    written = tmp_path / "b.mov"
    written.write_bytes(movie.to_bytes())
    kinds = movies.kinds(written)
    assert kinds[kinds.index("moov") - 1] == "mdat"
    assert sorted(movies.media(written)) == sorted([*before, b"abcdefgh"])
    (packet,) = movies.streams(written)[1].packets
    assert list(chunks(movies.index(written).all("trak")[1]))[0][1] == 5
    assert packet[0] is not None


def test_an_embedded_clip_counts_from_its_own_first_byte(tmp_path, clips):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"J" * 1000 + clips["last"] + b"trailer")
    source = replace(Source.whole(path), start=1000, length=len(clips["last"]))
    assert read_editable(source).to_bytes() == clips["last"]


def test_offsets_beyond_four_gigabytes_get_long_numbers():
    track = parse_box(b"trak", makers.box(b"mdia", makers.box(b"minf", makers.box(b"stbl", b""))))
    set_chunk_offsets(track, [1, 2])
    assert track.find("mdia/minf/stbl/stco") is not None
    set_chunk_offsets(track, [1, 1 << 33])
    assert track.find("mdia/minf/stbl/stco") is None
    assert chunk_offsets(track) == [1, 1 << 33]
    set_chunk_offsets(track, [7])
    assert track.find("mdia/minf/stbl/co64") is not None


def test_a_clip_that_grows_beyond_four_gigabytes(tmp_path, clips, monkeypatch):
    """The longer tables move the media once more."""
    from livemoments.livephoto.movie import edit as movie_edit

    movie = editable(tmp_path, clips["first"])
    before = movies.streams(tmp_path / "a.mov")
    monkeypatch.setattr(movie_edit, "MOST_32", 100)  # no file of that size is needed
    written = movie.to_bytes()
    assert b"co64" in written
    assert movies.streams(written) == before


@pytest.mark.parametrize("where", [0, -1])
def test_an_index_that_points_outside_the_file(tmp_path, clips, where):
    movie = editable(tmp_path, clips["first"])
    offsets = chunk_offsets(movie.tracks[0])
    offsets[where] = len(clips["first"]) + 100
    set_chunk_offsets(movie.tracks[0], offsets)
    with pytest.raises(DamagedFileError, match="a.mov: .*outside its media"):
        movie.to_bytes()


def test_what_cannot_be_written_anew(tmp_path, clips):
    whole = clips["last"]
    with pytest.raises(DamagedFileError, match=r"without an index \('moov'\)"):
        editable(tmp_path, whole[: len(whole) // 2])
    with pytest.raises(DamagedFileError, match="cut short"):
        editable(tmp_path, clips["first"][:-10])
    with pytest.raises(UnsupportedFileError, match="moof"):
        editable(tmp_path, whole + makers.box(b"moof", b""))


def test_a_file_that_shrinks_meanwhile(tmp_path, clips):
    movie = editable(tmp_path, clips["last"])
    (tmp_path / "a.mov").write_bytes(clips["last"][:2000])
    with pytest.raises(DamagedFileError, match="shorter while it was copied"):
        movie.to_bytes()


# --- nodes ----------------------------------------------------------------------------------


def test_terminators_and_padding_stay():
    user_data = makers.box(b"udta", makers.box(b"name", b"x") + bytes(4))
    payload = user_data + makers.box(b"free", b"abc") + bytes(12)
    node = parse_box(b"moov", payload)
    assert node.to_bytes() == makers.box(b"moov", payload)
    assert node.find("udta").tail == bytes(4)


@pytest.mark.parametrize("head", [b"", bytes(4)])
def test_meta_of_quicktime_and_of_mp4(head):
    inner = makers.box(b"hdlr", bytes(20)) + makers.box(b"ilst", makers.box(b"\0\0\0\1", b""))
    node = parse_box(b"moov", makers.box(b"meta", head + inner))
    assert node.find("meta").data == head
    assert [entry.type for entry in node.find("meta/ilst").nodes] == [b"\0\0\0\1"]
    assert node.to_bytes()[8:] == makers.box(b"meta", head + inner)


def test_nested_boxes_end(tmp_path):
    """Boxes within boxes of one type, thousands deep, are not followed."""
    data = b""
    for _ in range(5000):
        data = makers.box(b"moov", data)
    assert parse_box(b"moov", data).to_bytes()[8:] == data


def test_random_damage_is_kept_or_refused(tmp_path, clips):
    whole = np.frombuffer(clips["last"], np.uint8)
    start = clips["last"].index(b"moov") - 4
    rng = np.random.default_rng(0)
    for _ in range(rounds(300, 80)):
        data = whole.copy()
        data[rng.integers(start, len(data), 5)] = rng.integers(0, 256, 5)
        source = tmp_path / "a.mov"
        source.write_bytes(data.tobytes())
        findings = check_movie(Source.whole(source))
        assert all(isinstance(finding.found, str) for finding in findings)
        try:
            assert len(read_editable(Source.whole(source)).to_bytes()) >= len(data) - 100
        except (DamagedFileError, UnsupportedFileError) as error:
            assert "a.mov" in str(error)


# --- tables ---------------------------------------------------------------------------------


def header(kind, *, long, scale=600, length=1000, number=3):
    times = struct.pack(">QQ" if long else ">II", 1, 2)
    wide = "Q" if long else "I"
    middle = struct.pack(">II", number, 0) if kind == b"tkhd" else struct.pack(">I", scale)
    data = bytes([int(long), 0, 0, 7]) + times + middle + struct.pack(f">{wide}", length)
    return Node(kind, data + b"rest" * 15)


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("kind", [b"mvhd", b"mdhd", b"tkhd"])
def test_headers_in_both_forms(kind, long):
    node = header(kind, long=long)
    assert duration(node) == 1000
    if kind == b"tkhd":
        assert track_id(Node(b"trak", b"", [node])) == 3
    else:
        assert timescale(node) == 600
    set_duration(node, 77)
    assert duration(node) == 77 and node.data.endswith(b"rest" * 15)
    set_duration(node, 1 << 40)
    assert duration(node) == 1 << 40 and node.data[:1] == b"\1"
    assert node.data[3] == 7 and node.data.endswith(b"rest" * 15)
    if kind == b"tkhd":
        assert track_id(Node(b"trak", b"", [node])) == 3
    else:
        assert timescale(node) == 600


@pytest.mark.parametrize("wait", [0, 5, 1 << 35])
def test_edits_come_back_and_set_the_tracks_length(tmp_path, clips, wait):
    movie = editable(tmp_path, clips["last"])
    track = movie.tracks[0]
    entries = [Edit(duration=wait, media_time=-1), Edit(duration=10, media_time=3, rate=0x8000)]
    set_edits(track, entries)
    assert edits(track) == entries
    assert duration(track.find("tkhd")) == wait + 10
    order = [node.type for node in track.nodes]
    assert order.index(b"tkhd") < order.index(b"edts") < order.index(b"mdia")


def test_the_movie_is_as_long_as_its_longest_track(tmp_path, clips):
    movie = editable(tmp_path, clips["last"])
    set_edits(movie.tracks[1], [Edit(duration=12345, media_time=0)])
    movie.moov.find("mvhd").data = movie.moov.find("mvhd").data[:-4] + bytes(4)
    fit_header(movie.moov)
    assert duration(movie.moov.find("mvhd")) == 12345
    assert movie.moov.find("mvhd").data[-4:] == struct.pack(">I", 3)


def test_a_finer_clock_keeps_every_time(tmp_path):
    path = tmp_path / "a.mov"
    path.write_bytes(makers.with_still_time(clip(sound=True), 0.4))
    before = movies.streams(path)
    movie = read_editable(Source.whole(path))
    scale, length = movie_scale(movie.moov), duration(movie.moov.find("mvhd"))
    refine_scale(movie.moov, scale)
    assert movie.to_bytes() == path.read_bytes()
    refine_scale(movie.moov, 3 * scale - 1)
    assert movie_scale(movie.moov) == 3 * scale
    assert duration(movie.moov.find("mvhd")) == 3 * length
    assert movies.streams(movie.to_bytes()) == before


def test_tables_say_what_libav_says(tmp_path, clips):
    movie = editable(tmp_path, clips["last"])
    video, sound = movies.streams(tmp_path / "a.mov")
    assert [handler(track) for track in movie.tracks] == ["vide", "soun"]
    assert [sample_entries(track)[0][0] for track in movie.tracks] == ["avc1", "mp4a"]
    for track, stream in zip(movie.tracks, (video, sound), strict=True):
        assert sample_count(track) == len(stream.packets) == sum(samples_per_chunk(track))
        assert sum(count for count, _ in sample_durations(track)) == len(stream.packets)
    data = clips["last"]
    assert sum(size for track in movie.tracks for _, size in chunks(track)) == len(
        next(
            data[start + 8 : end] for kind, start, end in makers.top_boxes(data) if kind == b"mdat"
        )
    )


@pytest.mark.parametrize("count", [0, 1, 0xFFFFFFFF])
def test_a_count_that_is_not_true_costs_no_memory(count):
    tables = [
        (b"stsz", struct.pack(">III", 0, 2, count)),
        (b"stco", struct.pack(">III", 0, count, 9)),
        (b"stsc", struct.pack(">5I", 0, count, 1, count, 1)),
        (b"stts", struct.pack(">4I", 0, count, count, 1)),
    ]
    stbl = makers.box(b"stbl", b"".join(makers.box(*table) for table in tables))
    track = parse_box(b"trak", makers.box(b"mdia", makers.box(b"minf", stbl)))
    assert sample_count(track) == count
    assert list(chunks(track)) in ([], [(9, 2 * count)])
    assert len(sample_durations(track)) <= 1


# --- real phones ----------------------------------------------------------------------------


@pytest.mark.real
def test_real_clips_are_kept_to_the_byte(samples):
    found = [p for p in sorted(samples.glob("*/*")) if p.suffix.lower() in (".mov", ".mp4")]
    assert len(found) >= 8
    for path in found:
        source = Source.whole(path)
        assert read_editable(source).to_bytes() == path.read_bytes(), path.name
        assert [f for f in check_movie(source) if f.passed is False] == [], path.name
