"""The identifier's key and the still's time, put into an index."""

import struct

import pytest
from support import makers

from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.edit import Node, parse_box, read_editable
from livemoments.livephoto.movie.keys import drop_movie_keys
from livemoments.livephoto.movie.tables import duration, edits
from livemoments.livephoto.movie.tracks import read_movie
from livemoments.livephoto.writing.apple_track import set_movie_text, set_still_time

NEW = "5EED0000-1111-4222-8333-444455556666"


@pytest.mark.parametrize("place", ["none", "other handler", "without ilst", "in udta"])
def test_a_key_finds_its_place(place):
    text = {"com.apple.quicktime.content.identifier": makers.OTHER_IDENTIFIER}
    moov = parse_box(b"moov", makers.box(b"mvhd", bytes(100)))
    if place == "other handler":
        moov.nodes.append(parse_box(b"meta", makers.box(b"hdlr", bytes(8) + b"mdir" + bytes(14))))
    elif place == "without ilst":
        moov.nodes.append(parse_box(b"meta", makers.box(b"hdlr", bytes(8) + b"mdta" + bytes(14))))
    elif place == "in udta":
        whole = makers.with_keys(makers.box(b"moov", b""), text)
        moov.nodes.append(Node(b"udta", b"", parse_box(b"moov", whole[8:]).nodes))
    set_movie_text(moov, "com.apple.quicktime.content.identifier", NEW)
    set_movie_text(moov, "com.apple.quicktime.title", "a title")
    set_movie_text(moov, "com.apple.quicktime.title", "another, longer title")
    stored = [meta for meta in moov.all("meta") if meta.find("keys")]
    assert len(stored) == 1
    names = stored[0].payload("keys")
    assert names[4:8] == struct.pack(">I", 2)
    values = [node.payload("data")[8:] for node in stored[0].find("ilst").nodes]
    assert values == [NEW.encode(), b"another, longer title"]


def test_a_coarse_clock_is_made_finer(tmp_path):
    """A movie that counts in 1/30 s cannot state a time to the millisecond."""
    _, video = makers.apple_pair(tmp_path / "in", sound=True)
    movie = read_editable(Source.whole(video))
    header = movie.moov.find("mvhd")
    header.data = header.data[:12] + struct.pack(">I", 30) + header.data[16:]
    stored = set_still_time(movie, 1.2345)
    assert stored == pytest.approx(1.2345, abs=1e-3)
    assert struct.unpack_from(">I", header.data, 12)[0] == 510


@pytest.mark.parametrize("time_s", [0.0, 0.25, 1.5])
def test_an_empty_edit_then_one_tick(tmp_path, time_s):
    _, video = makers.apple_pair(tmp_path / "in")
    movie = read_editable(Source.whole(video))
    stored_s = set_still_time(movie, time_s)
    track = movie.tracks[-1]
    *wait, shown = edits(track)
    assert (shown.media_time, shown.duration) == (0, 1)
    assert [edit.media_time for edit in wait] == ([-1] if time_s else [])
    assert stored_s == pytest.approx(time_s, abs=1e-3)
    assert duration(track.find("tkhd")) == sum(edit.duration for edit in edits(track))
    length = duration(movie.moov.find("mvhd"))
    assert length == max(duration(each.find("tkhd")) for each in movie.tracks)


def test_a_reference_to_a_track_that_is_not_there_is_put_right(tmp_path):
    _, video = makers.apple_pair(tmp_path / "in")
    movie = read_editable(Source.whole(video))
    movie.tracks[-1].put(Node(b"tref", b"", [Node(b"cdsc", struct.pack(">I", 1581))]))
    set_still_time(movie, 0.5)
    assert movie.tracks[-1].payload("tref/cdsc") == struct.pack(">I", 1)


def test_keys_go_by_the_beginning_of_their_name(tmp_path):
    keys = {"com.a.one": "1", "com.b.two": "2", "com.a.three": "3", "com.c.four": "4"}
    data = makers.with_keys(makers.encode_clip([makers.scene(96, 64)]), keys)
    (tmp_path / "a.mov").write_bytes(data)
    movie = read_editable(Source.whole(tmp_path / "a.mov"))
    drop_movie_keys(movie.moov, ("com.a.", "com.c.f"))
    (tmp_path / "b.mov").write_bytes(movie.to_bytes())
    assert read_movie(Source.whole(tmp_path / "b.mov")).metadata == {"com.b.two": "2"}
