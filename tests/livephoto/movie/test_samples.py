"""Samples of a track one by one: their places and times, and others put in their place."""

import struct

import pytest
from support import makers
from support.movies import out_of_order_clip

from livemoments.errors import DamagedFileError
from livemoments.livephoto.container.boxes import Box
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.edit import TABLES, Node, chunk_offsets, read_editable
from livemoments.livephoto.movie.samples import (
    Sample,
    byte_runs,
    exchange_samples,
    media_box,
    read_samples,
)
from livemoments.livephoto.movie.tables import sample_durations, sample_sizes


def pictures(folder, data):
    path = folder / "a.mov"
    path.write_bytes(data)
    movie = read_editable(Source.whole(path))
    return movie, movie.tracks[0]


def test_places_and_times_are_those_that_a_demuxer_says(tmp_path):
    import av

    _, track = pictures(tmp_path, out_of_order_clip())
    samples = read_samples(track, "a.mov")
    data = (tmp_path / "a.mov").read_bytes()
    options = {"ignore_editlist": "1"}
    with av.open(str(tmp_path / "a.mov"), options=options) as container:
        packets = [packet for packet in container.demux() if packet.size]
    assert [data[s.offset : s.offset + s.size] for s in samples] == [bytes(p) for p in packets]
    assert [s.key for s in samples] == [packet.is_keyframe for packet in packets]
    gaps = {s.show_time - p.pts for s, p in zip(samples, packets, strict=True)}
    assert len(gaps) == 1, "the same times but for where they begin"
    assert [s.duration for s in samples] == [packet.duration for packet in packets]
    assert [s.show_time for s in samples] != sorted(s.show_time for s in samples)


def test_runs_of_bytes_that_touch_are_one():
    def sample(offset, size):
        return Sample(offset=offset, size=size, decode_time=0, show_time=0, duration=1, key=True)

    assert byte_runs([sample(30, 5), sample(10, 10), sample(20, 4)]) == ((10, 24), (30, 35))
    assert byte_runs([]) == ()


def test_tables_that_disagree_are_damage(tmp_path):
    _, track = pictures(tmp_path, makers.encode_clip(makers.moving(makers.scene(96, 64))))
    durations = track.find(f"{TABLES}/stts")
    durations.data = struct.pack(">IIII", 0, 1, 3, 20)
    with pytest.raises(DamagedFileError, match="a.mov: the tables of the video's pictures"):
        read_samples(track, "a.mov")
    track.find(f"{TABLES}/stsz").data = bytes(12)
    with pytest.raises(DamagedFileError):
        read_samples(track, "a.mov")


def test_times_stay_when_samples_are_exchanged(tmp_path):
    for name, data in {
        "in order": makers.encode_clip(makers.moving(makers.scene(96, 64)), codec="mpeg4"),
        "out of order": out_of_order_clip(),
    }.items():
        _, track = pictures(tmp_path, data)
        old = read_samples(track, name)
        made, coded = pictures(tmp_path, makers.encode_clip(makers.moving(makers.scene(64, 64))))
        box = media_box(made.boxes, coded)
        exchange_samples(track, old, coded, box, 10_000)
        new = read_samples(track, name)
        assert [s.show_time for s in new] == sorted(s.show_time for s in old), name
        assert sum(s.duration for s in new) == sum(s.duration for s in old), name
        assert [s.show_time - s.decode_time for s in new] == [new[0].show_time] * len(new)
        assert sample_sizes(track) == sample_sizes(coded)
        assert min(chunk_offsets(track)) == 10_000 + min(chunk_offsets(coded)) - box.payload
        kinds = {node.type for node in track.find(TABLES).nodes}
        assert not kinds & {b"sdtp", b"sgpd", b"sbgp", b"cslg"}
        if name == "in order":
            assert [s.duration for s in new] == [s.duration for s in old]
            assert sample_durations(track)


def test_times_before_the_start_get_a_table_that_can_hold_them(tmp_path):
    data = makers.encode_clip(makers.moving(makers.scene(96, 64)), codec="mpeg4")
    _, track = pictures(tmp_path, data)
    old = read_samples(track, "a.mov")
    table = Node(b"ctts", struct.pack(">IIIi", 1 << 24, 1, len(old), -7))
    track.find(TABLES).put(table, after=("stts",))
    early = read_samples(track, "a.mov")
    assert [s.show_time for s in early] == [s.show_time - 7 for s in old]
    made, coded = pictures(tmp_path, makers.encode_clip(makers.moving(makers.scene(64, 64))))
    exchange_samples(track, early, coded, media_box(made.boxes, coded), 0)
    assert [s.show_time for s in read_samples(track, "a")] == sorted(s.show_time for s in early)
    assert track.payload(f"{TABLES}/ctts")[0] == 1


def test_media_in_no_one_box():
    track = Node(b"trak", b"", [])
    box = Box(type=b"mdat", start=0, payload=8, end=20)
    assert media_box([box], track) is box
    assert media_box([], track) is None
