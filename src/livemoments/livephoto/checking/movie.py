"""Check whether a MOV or MP4 is sound: its boxes whole, its index true of its media.

For the clip of any Live or Motion Photo; rules of both QuickTime and ISO/IEC 14496-12.
"""

from collections.abc import Callable, Iterator

from livemoments.errors import InputError
from livemoments.livephoto.checking.findings import Finding, Verdict, judge
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.edit import TABLES, Movie, Node, chunk_offsets, read_editable
from livemoments.livephoto.movie.tables import (
    chunks,
    duration,
    edits,
    handler,
    movie_scale,
    sample_count,
    sample_durations,
    sample_entries,
    samples_per_chunk,
    timescale,
    track_id,
)

READ = "the clip is a whole file with one index ('moov')"
NEEDED = ["tkhd", "mdia/mdhd", "mdia/hdlr"]
NEEDED += [f"{TABLES}/{kind}" for kind in ("stsd", "stts", "stsc", "stsz")]
SLACK_TICKS = 1.5  # of the coarser clock: durations are rounded from one clock to another
UNKNOWN = (0xFFFF_FFFF, 2**64 - 1)
SELF_CONTAINED = 1


def check_movie(source: Source) -> list[Finding]:
    """Hold a clip against the rules of its container; never raises for what is in the file.

    Args:
        source: The clip's bytes: a file, or the part of one.
    """
    try:
        movie = read_editable(source)
    except InputError as error:
        return [Finding(rule=READ, passed=False, found=str(error))]
    end = movie.boxes[-1].end
    trailing = f", then {source.length - end} bytes that are no box" if end < source.length else ""
    kinds = " ".join(box.type.decode("latin-1") for box in movie.boxes)
    whole = Finding(rule=READ, passed=not trailing, found=kinds + trailing)
    return [whole, *judge(RULES, movie)]


def _whole_boxes(movie: Movie) -> Verdict:
    damaged = [name for name, node in _below(movie.moov, "moov") if any(node.tail)]
    if damaged:
        return False, f"bytes that are no box end {', '.join(damaged)}"
    return True, f"{sum(1 for _ in _below(movie.moov, 'moov'))} boxes"


def _track_numbers(movie: Movie) -> Verdict:
    numbers = [track_id(track) for track in movie.tracks]
    following = int.from_bytes(movie.moov.payload("mvhd")[-4:], "big")
    unique = len(set(numbers)) == len(numbers) and 0 not in numbers
    found = f"tracks {', '.join(map(str, numbers)) or 'none'}; next {following}"
    return unique and bool(numbers) and following > max(numbers, default=0), found


def _tables(movie: Movie) -> Verdict:
    for track in movie.tracks:
        missing = [path for path in NEEDED if track.find(path) is None]
        if not any(track.find(f"{TABLES}/{kind}") for kind in ("stco", "co64")):
            missing.append(f"{TABLES}/stco")
        if missing:
            return False, f"track {track_id(track)} lacks {', '.join(missing)}"
        if not sample_entries(track):
            return False, f"track {track_id(track)} does not say how its samples are coded"
    described = [f"{handler(t)} {sample_entries(t)[0][0]}" for t in movie.tracks]
    return True, ", ".join(described)


def _sample_counts(movie: Movie) -> Verdict:
    counts = []
    for track in movie.tracks:
        stated = sample_count(track)
        timed = sum(count for count, _ in sample_durations(track))
        chunked = sum(samples_per_chunk(track))
        if not stated == timed == chunked:
            return False, (
                f"track {track_id(track)} has {stated} sizes, {timed} durations and"
                f" {chunked} samples in its chunks"
            )
        counts.append(stated)
    return True, f"{', '.join(map(str, counts))} samples"


def _chunks_in_media(movie: Movie) -> Verdict:
    media = [(box.payload, box.end) for box in movie.boxes if box.type == b"mdat"]
    count = 0
    for track in movie.tracks:
        for start, size in chunks(track):
            if size and not any(low <= start and start + size <= high for low, high in media):
                return False, (
                    f"track {track_id(track)}: a chunk of {size} bytes at {start} lies outside the"
                    " media ('mdat')"
                )
        count += len(chunk_offsets(track))
    return True, f"{count} chunks in {len(media)} 'mdat'"


def _durations(movie: Movie) -> Verdict:
    header, scale = movie.moov.find("mvhd"), movie_scale(movie.moov)
    if header is None:
        return False, "no 'mvhd'"
    longest = 0
    for track in movie.tracks:
        track_header, media = track.find("tkhd"), track.find("mdia/mdhd")
        if track_header is None or media is None or duration(track_header) in UNKNOWN:
            continue
        name, stated, clock = f"track {track_id(track)}", duration(track_header), timescale(media)
        longest = max(longest, stated)
        expected = sum(each.duration for each in edits(track))
        if not edits(track):
            expected = round(duration(media) * scale / clock)
        if abs(stated - expected) > SLACK_TICKS * max(1.0, scale / clock):
            return False, f"{name} says {stated}, what it shows lasts {expected}"
        total = sum(count * each for count, each in sample_durations(track))
        # Android counts a late start into a track's media; more samples than media are wrong.
        if total - duration(media) > SLACK_TICKS * max(1.0, clock / scale):
            return False, f"{name}'s media say {duration(media)}, their samples last {total}"
    if duration(header) not in UNKNOWN and abs(duration(header) - longest) > SLACK_TICKS:
        return False, f"the movie says {duration(header)}, its longest track {longest}"
    return True, f"{longest / scale:.3f} s"


def _own_media(movie: Movie) -> Verdict:
    for track in movie.tracks:
        references = track.payload("mdia/minf/dinf/dref")
        at = 8
        while at + 12 <= len(references):
            size = max(12, int.from_bytes(references[at : at + 4], "big"))
            if not references[at + 11] & SELF_CONTAINED:
                return False, f"track {track_id(track)} keeps its media in another file"
            at += size
    return True, "in the file itself"


def _below(node: Node, name: str) -> Iterator[tuple[str, Node]]:
    """Yield a box and all in it, with their places."""
    yield name, node
    for child in node.nodes:
        yield from _below(child, f"{name}/{child.type.decode('latin-1')}")


RULES: dict[str, Callable[[Movie], Verdict]] = {
    "every box of the index is whole": _whole_boxes,
    "tracks have numbers of their own, below the next one": _track_numbers,
    "every track has its tables": _tables,
    "a track's tables agree on the number of its samples": _sample_counts,
    "every chunk lies in the media ('mdat')": _chunks_in_media,
    "movie, tracks, edits and media agree on their durations": _durations,
    "the media are in the file itself": _own_media,
}
