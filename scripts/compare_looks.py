"""Restore a moment of every Live Photo of a folder in both looks, beside its key photo.

    python scripts/compare_looks.py FOLDER OUT [--at-share 0.3]

Writes OUT/NAME.jpg: the key photo, the moment with --look frame, the moment with --look key. Prints
how far each is from the key photo: of tone (mean difference of the quantiles of luma), of colour
(distance of the mean colour differences), and where both show the same (mean difference of RGB).
All of 1, at 480 pixels.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from livemoments.align.alignment import align
from livemoments.align.flow import warp
from livemoments.errors import LiveMomentsError
from livemoments.imaging.pixels import as_float
from livemoments.livephoto import LivePhoto, open_live_photo
from livemoments.restoration.config import LOOKS, RestoreConfig
from livemoments.restoration.key_look import TO_YCC
from livemoments.restoration.moment import restore

SIDE_PX, SHOWN_PX = 480, 900
HEADER = "| photo | moment | look | tone | colour | where both agree |"


def main() -> int:
    """Print the table and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--at-share", type=float, default=0.3, help="of the clip's length")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(HEADER, "|".join(["", *["---"] * 6, ""]), sep="\n")
    for each in sorted(path for path in options.folder.rglob("*") if path.is_dir()):
        try:
            live = open_live_photo(each)
        except LiveMomentsError as error:
            print(f"({each.name}: {error})", file=sys.stderr)
            continue
        times = live.clip.times_s
        _compare(live, times[round(options.at_share * (len(times) - 1))], options.out, each.name)
    return 0


def _compare(live: LivePhoto, time_s: float, out: Path, name: str) -> None:
    """Print the rows of one Live Photo and write its picture."""
    shown = [as_float(_reduced(live.still.pixels(), SHOWN_PX))]
    for look in LOOKS:
        done = restore(live, time_s=time_s, config=RestoreConfig(look=look))
        shown.append(_reduced(done.image, SHOWN_PX))
        why = f" ({done.report.look_reason})" if done.report.look_reason else ""
        tone, colour, same = _distances(shown[-1], shown[0])
        print(
            f"| {name} | {time_s:.2f} s | {look}{why} | {tone:.4f} | {colour:.4f} | {same} |",
            flush=True,
        )
    height = min(len(picture) for picture in shown)
    sheet = np.hstack([picture[:height] for picture in shown])
    cv2.imwrite(str(out / f"{name}.jpg"), np.uint8(np.rint(sheet[..., ::-1].clip(0, 1) * 255)))


def _distances(picture: np.ndarray, key: np.ndarray) -> tuple[float, float, str]:
    """Of tone, of colour, and of RGB where both show the same ("-": nowhere)."""
    small, of_key = (_reduced(each, SIDE_PX) for each in (picture, key))
    one, two = (each.reshape(-1, 3) @ TO_YCC.T for each in (small, of_key))
    levels = np.arange(1, 100)
    tone = np.abs(np.percentile(one[:, 0], levels) - np.percentile(two[:, 0], levels)).mean()
    colour = np.linalg.norm(one[:, 1:].mean(0) - two[:, 1:].mean(0))
    found = align(small, of_key)
    if found.flow_frame_to_key is None or found.confidence is None:
        return float(tone), float(colour), "-"
    moved, sure = warp(of_key, found.flow_frame_to_key), found.confidence > 0.5
    small = cv2.resize(small, sure.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return float(tone), float(colour), f"{np.abs(small - moved)[sure].mean():.4f}"


def _reduced(picture: np.ndarray, side_px: int) -> np.ndarray:
    scale = side_px / max(picture.shape[:2])
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    sys.exit(main())
