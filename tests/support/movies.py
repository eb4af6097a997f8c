"""What tests need to know of a MOV or MP4: its packets, its boxes."""

import hashlib
import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.edit import Node, chunk_offsets, parse_box, read_editable
from support import makers

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


def forms():
    """Clips whose boxes lie in every order that is met."""
    last = clip(sound=True)
    first = makers.index_first(last)
    tail = makers.top_boxes(last)
    mdat = next((start, end) for kind, start, end in tail if kind == b"mdat")
    moov = next((start, end) for kind, start, end in tail if kind == b"moov")
    # The index first, and an 'mdat' that runs to the end of the file.
    start = first.index(b"mdat") - 4
    to_end = first[:start] + bytes(4) + first[start + 4 :]
    assert mdat[1] <= moov[0]
    return {"last": last, "first": first, "to the end": to_end, "large": with_large_mdat(last)}


def out_of_order_clip(count=12):
    """A clip with B-frames at uneven times: decoded in another order than shown."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mov") as output:
        stream = output.add_stream("libx264", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 600)
        stream.codec_context.max_b_frames = 2
        stream.options = {"crf": "8", "b-pyramid": "0", "b_strategy": "0"}
        for index, picture in enumerate(makers.moving(makers.scene(96, 64), count)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 20 * index + 5 * (index > 4), Fraction(1, 600)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def clip(**options):
    return makers.encode_clip(makers.moving(makers.scene(96, 64)), **options)


def with_large_mdat(data):
    """An 'mdat' with a 64-bit size, and 64-bit chunk offsets."""
    boxes = {kind: (start, end) for kind, start, end in makers.top_boxes(data)}
    start, end = boxes[b"mdat"]
    media = struct.pack(">I4sQ", 1, b"mdat", end - start + 8) + data[start + 8 : end]
    moov = parse_box(b"moov", data[boxes[b"moov"][0] + 8 : boxes[b"moov"][1]])
    for track in moov.all("trak"):
        offsets = [offset + 8 for offset in chunk_offsets(track)]
        tables = track.find("mdia/minf/stbl")
        tables.drop("stco")
        packed = struct.pack(f">II{len(offsets)}Q", 0, len(offsets), *offsets)
        tables.nodes.append(Node(b"co64", packed))
    return data[:start] + media + moov.to_bytes()
