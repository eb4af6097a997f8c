"""Read a track's samples one by one, and exchange them for others of the same times.

Each sample has two times in the track's media, in its time scale: when it is decoded, which is the
sum of the durations before it ('stts'), and when it is shown, which is later where samples are
coded out of order ('ctts'). What follows a track into its edit list counts from the media's start.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from livemoments.errors import DamagedFileError
from livemoments.livephoto.container.boxes import Box
from livemoments.livephoto.movie.edit import TABLES, Node, chunk_offsets, set_chunk_offsets
from livemoments.livephoto.movie.tables import (
    chunks,
    sample_count,
    sample_durations,
    sample_sizes,
    samples_per_chunk,
)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sample of a track."""

    offset: int  # its first byte in the file
    size: int  # in bytes
    decode_time: int  # in the track's time scale
    show_time: int  # in the track's time scale
    duration: int  # until the next one is decoded
    key: bool  # whether it can be decoded without others


def read_samples(track: Node, name: str) -> list[Sample]:
    """Return the samples of a track, in the order in which they are decoded.

    Args:
        track: Of a movie.
        name: Of the file, for messages.

    Raises:
        DamagedFileError: The track's tables do not agree with each other.
    """
    count, sizes = sample_count(track), sample_sizes(track)
    durations = [each for runs, each in sample_durations(track) for _ in range(min(runs, count))]
    delays = [each for runs, each in _delays(track) for _ in range(min(runs, count))] or [0] * count
    keys = _key_numbers(track)
    offsets: list[int] = []
    for offset, in_chunk in zip(chunk_offsets(track), samples_per_chunk(track), strict=False):
        for _ in range(in_chunk):
            if len(offsets) == count:
                break
            offsets.append(offset)
            offset += sizes[len(offsets) - 1]
    if not count or {len(sizes), len(durations), len(delays), len(offsets)} != {count}:
        raise DamagedFileError(
            f"{name}: the tables of the video's pictures do not agree with each other, so they"
            " cannot be written anew; copy the file again"
        )
    found, at = [], 0
    for index in range(count):
        found.append(
            Sample(
                offset=offsets[index], size=sizes[index], decode_time=at,
                show_time=at + delays[index], duration=durations[index],
                key=keys is None or index + 1 in keys,
            )
        )  # fmt: skip
        at += durations[index]
    return found


def byte_runs(samples: Sequence[Sample]) -> tuple[tuple[int, int], ...]:
    """Return where samples lie, (start, end) ascending, those that touch as one."""
    runs: list[tuple[int, int]] = []
    for each in sorted(samples, key=lambda sample: sample.offset):
        start, end = each.offset, each.offset + each.size
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(runs[-1][1], end))
        else:
            runs.append((start, end))
    return tuple(runs)


def exchange_samples(
    track: Node, old: Sequence[Sample], coded: Node, box: Box, first_offset: int
) -> None:
    """Give a track another one's coded samples; every picture keeps its time.

    The new samples are decoded in the order in which they are shown. Where the old ones were too,
    their durations stay as they were; where not, each lasts until the next one is shown. What the
    old coding stated of single samples (dependencies, groups, shortest delays) goes.

    Args:
        track: its tables of samples are replaced.
        old: its samples.
        coded: a track of another file with as many samples, in the order of showing.
        box: where that file's media lie.
        first_offset: of the first byte of those media in this movie.
    """
    tables = track.find(TABLES)
    if tables is None:
        return
    times = sorted(each.show_time for each in old)
    if times == [each.show_time for each in old]:
        durations = [each.duration for each in old]
        delays = [each.show_time - each.decode_time for each in old]
    else:
        total = sum(each.duration for each in old)
        durations = [later - earlier for earlier, later in pairwise(times)]
        durations.append(max(0, total - sum(durations)))
        delays = [times[0]] * len(times)
    new = [_counted(b"stts", durations)]
    if any(delays):
        new.append(_counted(b"ctts", delays))
    new += [node for kind in ("stss", "stsc", "stsz") for node in _tables(coded).all(kind)]
    wide = tables.all("co64")
    tables.children = [*tables.all("stsd"), *new, *wide]
    set_chunk_offsets(
        track, [offset - box.payload + first_offset for offset in chunk_offsets(coded)]
    )


def media_box(boxes: Sequence[Box], track: Node) -> Box | None:
    """Return the one 'mdat' that holds all of a track's chunks, or None."""
    places = list(chunks(track))
    for box in boxes:
        if box.type == b"mdat" and all(
            box.payload <= offset and offset + size <= box.end for offset, size in places
        ):
            return box
    return None


def _tables(track: Node) -> Node:
    return track.find(TABLES) or Node(b"stbl", b"", [])


def _delays(track: Node) -> list[tuple[int, int]]:
    """Return runs of (samples, from decoding to showing each)."""
    data = track.payload(f"{TABLES}/ctts")
    if len(data) < 8:
        return []
    count = min(struct.unpack_from(">I", data, 4)[0], (len(data) - 8) // 8)
    # Version 0 has no negative numbers by the standard; QuickTime's own programs write them there.
    return list(struct.iter_unpack(">Ii", data[8 : 8 + 8 * count]))


def _key_numbers(track: Node) -> set[int] | None:
    """Numbers of the samples that can be decoded alone, from 1; None: all of them."""
    data = track.payload(f"{TABLES}/stss")
    if len(data) < 8:
        return None
    count = min(struct.unpack_from(">I", data, 4)[0], (len(data) - 8) // 4)
    return set(struct.unpack_from(f">{count}I", data, 8))


def _counted(kind: bytes, values: Sequence[int]) -> Node:
    """Return a table of runs of equal numbers; those below 0 make it one of version 1."""
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][1] == value:
            runs[-1][0] += 1
        else:
            runs.append([1, value])
    version = int(min(values, default=0) < 0)
    rows = b"".join(struct.pack(">Ii" if version else ">II", *run) for run in runs)
    return Node(kind, struct.pack(">BxxxI", version, len(runs)) + rows)
