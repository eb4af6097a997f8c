"""What one restoration costs: the real command, run in a process of its own and watched."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from PIL import Image

from livemoments.errors import ConfigError, LiveMomentsError
from livemoments.progress import Progress

STILL_SIZE = (4032, 3024)  # width, height: what most phones take
CLIP_SIZE = (1920, 1440)
CLIP_FRAMES = 30
CLIP_FPS = 30
KEY_FRAME = 15
PICKED_FRAME = 26  # 0.37 s after the key photo

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:Camera="http://ns.google.com/photos/1.0/camera/"
 xmlns:Container="http://ns.google.com/photos/1.0/container/"
 xmlns:Item="http://ns.google.com/photos/1.0/container/item/"
 Camera:MotionPhoto="1" Camera:MotionPhotoVersion="1"
 Camera:MotionPhotoPresentationTimestampUs="{time_us}">
<Container:Directory><rdf:Seq>
<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="image/jpeg" Item:Semantic="Primary"
 Item:Length="0" Item:Padding="0"/></rdf:li>
<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="video/mp4"
 Item:Semantic="MotionPhoto" Item:Length="{length}" Item:Padding="0"/></rdf:li>
</rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"""


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """One measured run of `livemoments restore`."""

    photo: str  # file name, or that it was made here
    megapixels: float  # of the restored picture
    seconds: dict[str, float]  # per stage, as the run itself reports them
    other_seconds: float  # starting, opening, picking, writing, and anything else
    total_seconds: float  # of the process, from start to end
    peak_memory_gb: float | None  # 10^9 bytes resident at most; None where that is not told
    threads: int  # that the machine gives this process
    steps: int
    reference_used: bool
    share_from_reference: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Watched(NamedTuple):
    """A run of a command that prints JSON."""

    report: dict[str, Any]  # what it printed
    seconds: float  # of the process, from start to end
    memory_gb: float | None  # 10^9 bytes resident at most; None where that is not told


def measure(
    photo: Path | None = None,
    *,
    video: Path | None = None,
    steps: int = 1,
    weights: Path | None = None,
    megapixels: float | None = None,
    progress: Progress | None = None,
) -> BenchResult:
    """Restore one moment of a photo, or of a made one of 12 megapixels, and measure it.

    Args:
        photo: a Live Photo of one's own; its sharpest moment away from the key photo is taken.
        video: its clip, where it does not lead to it by itself.
        steps: of the restoration.
        weights: the folder of another compact model than the shipped one.
        megapixels: of the photo that is made; None: 12, as most phones'.
        progress: called while the photo is made; the run then shows its own progress on stderr.
    """
    with tempfile.TemporaryDirectory(prefix="livemoments-bench-") as scratch:
        folder = Path(scratch)
        moment = ["--best"] if photo else ["--frame", str(PICKED_FRAME)]
        size = None if megapixels is None else still_size(megapixels)
        source = photo or make_motion_photo(folder / "made.jpg", progress, still_size=size)
        report, seconds, memory = watch_restore(
            source, moment, folder, video=video, steps=steps, weights=weights
        )
    return BenchResult(
        photo=photo.name if photo else "made here",
        megapixels=round(report["width"] * report["height"] / 1e6, 1),
        seconds=report["seconds"],
        other_seconds=round(seconds - sum(report["seconds"].values()), 2),
        total_seconds=round(seconds, 2),
        peak_memory_gb=memory,
        threads=_threads(),
        steps=report["steps"],
        reference_used=report["reference_used"],
        share_from_reference=report["share_from_reference"],
    )


def still_size(megapixels: float) -> tuple[int, int]:
    """Return width and height, even and 4 : 3, of a still of so many megapixels.

    Raises:
        ConfigError: it would be too small to measure by, or larger than any phone's.
    """
    if not 1 <= megapixels <= 200:
        raise ConfigError(f"megapixels must be from 1 to 200, got {megapixels:g}")
    height = 2 * round((megapixels * 1e6 * 3 / 4) ** 0.5 / 2)
    return 2 * round(height * 4 / 3 / 2), height


def watch_restore(
    photo: Path,
    moment: list[str],
    folder: Path,
    *,
    video: Path | None,
    steps: int,
    weights: Path | None = None,
) -> Watched:
    """Run `livemoments restore` in a process of its own; it writes into folder.

    Args:
        photo: as for the command.
        moment: its arguments that pick one, such as ["--frame", "26"].
        folder: for the restored picture.
        video: the clip, where the photo does not lead to it.
        steps: of the restoration.
        weights: the folder of another compact model than the shipped one.
    """
    command = [sys.executable, "-m", "livemoments", "restore", str(photo), *moment]
    command += ["-o", str(folder / "restored.jpg"), "--steps", str(steps), "--json"]
    if weights:
        command += ["--weights", str(weights)]
    return watch([*command, "--video", str(video)] if video else command)


def watch(command: list[str]) -> Watched:
    """Run a command that prints JSON, and watch what it takes.

    Raises:
        LiveMomentsError: the command failed; the message holds what it said.
    """
    began_s = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            output = process.stdout.read() if process.stdout else ""
            memory = _wait(process)
        except BaseException:
            process.kill()
            raise
    seconds = time.perf_counter() - began_s
    report = json.loads(output or "{}")
    if process.returncode != 0:
        reason = report.get("error", f"it ended with code {process.returncode}")
        raise LiveMomentsError(f"the measured run failed: {reason}")
    return Watched(report, seconds, memory)


def _threads() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _wait(process: subprocess.Popen[str]) -> float | None:
    """Wait for a process; returns the most memory it held, in 10^9 bytes, where that is told."""
    if not hasattr(os, "wait4"):  # Windows
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kibibytes
    return round(usage.ru_maxrss * unit / 1e9, 2)


def make_motion_photo(
    path: Path, progress: Progress | None = None, *, still_size: tuple[int, int] | None = None
) -> Path:
    """Write a Motion Photo: detail at all scales, seen by a slowly moving camera.

    Its still has 12 megapixels, or still_size (width, height). Nothing in it is worth looking at;
    it costs what a phone's picture costs.
    """
    width, height = still_size or STILL_SIZE
    scene = _scene(width + 400, height + 300)
    shrink = CLIP_SIZE[0] / width
    small = cv2.resize(scene, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    clip = path.with_suffix(".mp4")
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=CLIP_FPS)
        stream.width, stream.height = CLIP_SIZE
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 15_000_000  # as phones do
        for index in range(CLIP_FRAMES):
            view = _view(small, index, CLIP_SIZE)
            picture = av.VideoFrame.from_ndarray(view.astype(np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
            if progress:
                progress("making a photo", index + 1, CLIP_FRAMES)
        container.mux(stream.encode(None))
    xmp = XMP.format(time_us=KEY_FRAME * 1_000_000 // CLIP_FPS, length=clip.stat().st_size)
    still = Image.fromarray(_view(scene, KEY_FRAME, (width, height)))
    still.save(path, "JPEG", quality=95, xmp=xmp.encode())
    with path.open("ab") as photo:
        photo.write(clip.read_bytes())
    clip.unlink()
    return path


def _scene(width: int, height: int) -> np.ndarray:
    """A picture uint8 height x width x 3 with detail at every scale, and some hard edges."""
    rng = np.random.default_rng(0)
    scene = np.zeros((height, width), np.float32)
    for octave in range(10):
        rough = rng.standard_normal((-(-height >> octave) + 1, -(-width >> octave) + 1), np.float32)
        # At every scale about as much as in photographs, where amplitude falls with frequency.
        scene += 2.0 ** (0.5 * octave) * cv2.resize(rough, (width, height))
    scene /= 5 * scene.std()
    scene += 0.12 * np.sign(cv2.GaussianBlur(scene, (0, 0), 4))  # as of leaves against the sky
    tint = rng.uniform(0.7, 1.0, (12, 16, 3)).astype(np.float32)
    picture = (0.6 + scene)[..., None] * cv2.resize(tint, (width, height))
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _view(scene: np.ndarray, index: int, size: tuple[int, int]) -> np.ndarray:
    """What the camera sees in a frame: the scene, panned and turned a little more each time."""
    width, height = size
    late = index - KEY_FRAME
    centre = scene.shape[1] / 2, scene.shape[0] / 2
    turn = cv2.getRotationMatrix2D(centre, 0.05 * late, 1.0)
    turn[:, 2] += width / 2 - centre[0] - width * 0.001 * late, height / 2 - centre[1]
    return cv2.warpAffine(scene, turn, size, borderMode=cv2.BORDER_REFLECT)
