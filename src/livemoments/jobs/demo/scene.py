"""Show the demo's world: a photograph seen by a moving hand, and a thing that flies over it."""

import io
from dataclasses import dataclass
from importlib import resources

import cv2
import numpy as np
from PIL import Image

from livemoments.imaging.pixels import reduce


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """The made-up recording. Lengths in pixels of the key photo, times in seconds of the clip."""

    width: int = 1600  # of the key photo
    height: int = 1200
    clip_scale: float = 0.5  # clip pixels per key photo pixel
    duration_s: float = 2.0
    fps: float = 28.0  # on average
    key_time_s: float = 1.35  # about when the key photo is taken: at the nearest frame
    moment_s: float = 0.55  # about the moment whose truth is stored: at the nearest frame
    exposure_s: float = 0.02
    readout_s: float = 0.018  # from the first row to the last: the rolling shutter
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class _Pose:
    """Where the camera looks, relative to the key photo's view; arrays of one shape."""

    x: np.ndarray
    y: np.ndarray
    angle: np.ndarray  # radians
    zoom: np.ndarray


def demo_photograph() -> np.ndarray:
    """Read the photograph that comes with the package: uint8 RGB, H x W x 3 (see PHOTOGRAPH.md)."""
    data = resources.files("livemoments.jobs.demo").joinpath("photograph.jpg").read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


class Scene:
    """A photograph as a world that a camera looks at; wider than its view on every side.

    Args:
        photo: uint8 RGB, larger than the key photo.
        config: The recording.
        key_time_s: The exact time of the key photo: there the view lies unturned in the middle.
        scale: Pixels of views per pixel of the key photo, 1 or clip_scale.
    """

    def __init__(
        self, photo: np.ndarray, config: SceneConfig, *, key_time_s: float, scale: float = 1.0
    ) -> None:
        rng = np.random.default_rng([config.seed, 1])
        self._phases = rng.uniform(0, 2 * np.pi, 10)
        self._config, self._scale, self._key_time_s = config, scale, key_time_s
        # The key photo is then cut out pixel by pixel, not interpolated.
        self._corner = ((photo.shape[1] - config.width) // 2, (photo.shape[0] - config.height) // 2)
        self._mover = reduce(_cut_out(photo), scale)
        self._world = reduce(photo, scale)
        self._key_pose = self._drift(np.array(key_time_s))

    def view(self, time_s: float, *, rolling: bool = True) -> np.ndarray:
        """Return the sharp view at a time, uint8 RGB; rolling: rows are seen one by one."""
        config, scale = self._config, self._scale
        height, width = round(config.height * scale), round(config.width * scale)
        rows = (np.arange(height, dtype=np.float64)[:, None] + 0.5) / height - 0.5
        pose = self._pose(time_s + rows * config.readout_s * rolling)
        # Pixels of this scale, to pixels of the key photo around its centre.
        x = (np.arange(width) + 0.5)[None] / scale - config.width / 2
        y = (np.arange(height) + 0.5)[:, None] / scale - config.height / 2
        cos, sin = np.cos(pose.angle) / pose.zoom, np.sin(pose.angle) / pose.zoom
        there_x = cos * x - sin * y + pose.x + config.width / 2 + self._corner[0]
        there_y = sin * x + cos * y + pose.y + config.height / 2 + self._corner[1]
        return cv2.remap(
            self._with_mover(time_s),
            (there_x * scale - 0.5).astype(np.float32),
            (there_y * scale - 0.5).astype(np.float32),
            cv2.INTER_LANCZOS4 if scale == 1 else cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )

    def _pose(self, time_s: np.ndarray) -> _Pose:
        """Return the hand's pose, zero at the key photo's time."""
        now, key = self._drift(time_s), self._key_pose
        return _Pose(
            x=now.x - key.x, y=now.y - key.y, angle=now.angle - key.angle, zoom=now.zoom / key.zoom
        )

    def _drift(self, time_s: np.ndarray) -> _Pose:
        """Return a slow pan with a turn and a step forward, and the hand's tremor at 3 to 8 Hz."""
        p = self._phases

        def wave(amplitude: float, hertz: float, phase: float) -> np.ndarray:
            return amplitude * np.sin(2 * np.pi * hertz * time_s + phase)

        return _Pose(
            x=55 * time_s + wave(12, 0.6, p[0]) + wave(1.6, 3.1, p[1]) + wave(0.5, 7.7, p[2]),
            y=-34 * time_s + wave(10, 0.5, p[3]) + wave(1.5, 3.7, p[4]) + wave(0.5, 6.9, p[5]),
            angle=np.deg2rad(0.7 * time_s + wave(0.5, 0.7, p[6]) + wave(0.05, 4.3, p[7])),
            zoom=1 + 0.008 * time_s + wave(0.004, 0.8, p[8]),
        )

    def _with_mover(self, time_s: float) -> np.ndarray:
        """Return the world with the flying thing where it is at a time."""
        since_key = time_s - self._key_time_s
        x = self._corner[0] + 1240 - 230 * since_key
        y = self._corner[1] + 900 + 260 * since_key + 25 * np.sin(5 * time_s)
        x, y = x * self._scale, y * self._scale
        side = self._mover.shape[0]
        left, top = int(x) - side // 2, int(y) - side // 2
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), 40 * since_key, 1.0)
        turn[:, 2] += x - int(x), y - int(y)
        patch = cv2.warpAffine(self._mover, turn, (side, side), flags=cv2.INTER_CUBIC)
        world = self._world.copy()
        place = world[max(top, 0) : top + side, max(left, 0) : left + side]
        patch = patch[max(-top, 0) :, max(-left, 0) :][: place.shape[0], : place.shape[1]]
        cover = patch[..., 3:] / np.float32(255)
        place[:] = np.rint(place * (1 - cover) + patch[..., :3] * cover).astype(np.uint8)
        return world


def _cut_out(photo: np.ndarray) -> np.ndarray:
    """Cut a ragged round piece with soft edges from the flower's heart: uint8 RGBA, a square."""
    side = 300
    left, top = round(photo.shape[1] * 0.31), round(photo.shape[0] * 0.27)
    piece = photo[top : top + side, left : left + side]
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    angle = np.arctan2(y, x)
    edge = 0.78 + 0.07 * np.sin(5 * angle) + 0.04 * np.sin(11 * angle + 1)
    cover = np.clip((edge - np.hypot(x, 1.15 * y)) / 0.05 + 0.5, 0, 1)
    return np.dstack([piece, np.rint(cover * 255).astype(np.uint8)])
