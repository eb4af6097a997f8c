"""Read and edit the QuickTime keys of a movie."""

import struct

from livemoments.livephoto.movie.edit import Movie, Node
from livemoments.livephoto.movie.tables import handler, sample_count
from livemoments.livephoto.movie.tracks import small_boxes

CONTENT_IDENTIFIER = "com.apple.quicktime.content.identifier"


def shown_track(movie: Movie) -> Node | None:
    """Return the picture track with the most samples: the one that is shown, as in video.py."""
    pictures = [track for track in movie.tracks if handler(track) == "vide"]
    return max(pictures, key=sample_count, default=None)


def drop_movie_keys(moov: Node, prefixes: tuple[str, ...]) -> None:
    """Remove the QuickTime keys whose names begin so, wherever a movie has them."""
    for place in ("meta", "udta/meta"):
        meta = moov.find(place)
        keys, values = (meta.find("keys"), meta.find("ilst")) if meta else (None, None)
        if keys is None or values is None:
            continue
        named = [
            (kind, keys.data[start:end])
            for kind, start, end in small_boxes(keys.data, 8, len(keys.data))
        ]
        remaining = [
            index for index, (_, name) in enumerate(named)
            if not name.decode("utf-8", "replace").startswith(prefixes)
        ]  # fmt: skip
        numbers = {struct.pack(">I", old + 1): new + 1 for new, old in enumerate(remaining)}
        entries = [struct.pack(">I4s", 8 + len(named[i][1]), named[i][0]) + named[i][1]
                   for i in remaining]  # fmt: skip
        keys.data = keys.data[:4] + struct.pack(">I", len(remaining)) + b"".join(entries)
        values.children = [node for node in values.nodes if node.type in numbers]
        for node in values.nodes:
            node.type = struct.pack(">I", numbers[node.type])


def quicktime_handler(component: bytes, kind: bytes, name: str) -> Node:
    """Return a 'hdlr' as QuickTime has it: a component type, and a name with its length first."""
    counted = bytes([len(name)]) + name.encode("ascii", "replace")
    return Node(b"hdlr", bytes(4) + component + kind + b"appl" + bytes(8) + counted)


def _key_store(moov: Node) -> Node:
    """Return the box with a movie's QuickTime keys; make it where there is none."""
    for meta in moov.all("meta"):
        if meta.payload("hdlr")[8:12] == b"mdta":
            return meta
    meta = Node(b"meta", b"", [Node(b"hdlr", bytes(8) + b"mdta" + bytes(14))])
    moov.nodes.append(meta)
    return meta
