"""Clips with changed pictures, for the tests of recoding."""

import numpy as np

from livemoments.livephoto.checking.movie import check_movie
from livemoments.livephoto.movie.planes import read_planes


def broken(source):
    return {each.rule for each in check_movie(source) if each.passed is False}


def coded(path, hole=np.s_[0:0, 0:0]):
    """The planes of every picture in one row of numbers each, but for a hole."""
    import av

    with av.open(str(path), format="mov") as container:
        found = [read_planes(frame) for frame in container.decode(video=0)]
    result = []
    for planes in found:
        parts = []
        for plane, share in zip((planes.luma, *planes.chroma), (1, 2, 2), strict=True):
            kept = np.ones(plane.shape, bool)
            kept[tuple(slice(s.start // share, s.stop // share) for s in hole)] = False
            parts.append(plane[kept])
        result.append(np.concatenate(parts))
    return result


def psnr(one, other):
    return 10 * np.log10(255**2 / max(np.mean((one.astype(float) - other) ** 2), 1e-9))
