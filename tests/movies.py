"""What tests need to know of a MOV or MP4: its packets, its boxes."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from livemoments.livephoto.movie_edit import Node, read_editable
from livemoments.livephoto.source import Source

Packet = tuple[int | None, int | None, int, str]  # pts, dts, duration, hash


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A track as a player sees it."""

    codec: str
    packets: tuple[Packet, ...]


def streams(movie: Path | bytes) -> list[Stream]:
    """Every track's packets, in file order."""
    import av

    file = io.BytesIO(movie) if isinstance(movie, bytes) else str(movie)
    with av.open(file, format="mov") as container:
        found = {stream.index: [] for stream in container.streams}
        codecs = [s.codec_context.name if s.codec_context else "data" for s in container.streams]
        for packet in container.demux():
            if packet.size:
                sample = hashlib.sha256(bytes(packet)).hexdigest()
                entry = (packet.pts, packet.dts, packet.duration, sample)
                found[packet.stream_index].append(entry)
    return [Stream(codec=codec, packets=tuple(found[index])) for index, codec in enumerate(codecs)]


def decoded(movie: Path | bytes) -> str:
    """A hash of all pictures and sound."""
    import av

    file = io.BytesIO(movie) if isinstance(movie, bytes) else str(movie)
    digest = hashlib.sha256()
    with av.open(file, format="mov") as container:
        wanted = [s for s in container.streams if s.type in ("video", "audio")]
        for frame in container.decode(*wanted):
            digest.update(frame.to_ndarray().tobytes())
    return digest.hexdigest()


def media(path: Path) -> list[bytes]:
    """The payload of every 'mdat'."""
    data, movie = path.read_bytes(), read_editable(Source.whole(path))
    return [data[box.payload : box.end] for box in movie.boxes if box.type == b"mdat"]


def kinds(path: Path) -> list[str]:
    """The boxes at the top of a file."""
    movie = read_editable(Source.whole(path))
    return [box.type.decode("latin-1") for box in movie.boxes]


def index(path: Path) -> Node:
    """A movie's index."""
    return read_editable(Source.whole(path)).moov


def assert_same_media(before: Path, after: Path) -> None:
    """Every track's packets are as they were, but those of one still's time."""
    old, new = streams(before), streams(after)
    assert len(old) <= len(new)
    differing = [stream for index, stream in enumerate(old) if new[index] != stream]
    assert len(differing) <= 1
    assert all(each.codec == "data" and len(each.packets) == 1 for each in differing)
    assert media(before) == [each for each in media(after) if each in media(before)]
