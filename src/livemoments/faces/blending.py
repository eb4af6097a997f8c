"""Blend overlapping windows of a long clip exponentially, while they are sampled.

The model sees at most 24 frames at a time. Windows restored apart would differ where they meet. So
they overlap, and at every step of the bridge what the present window predicts (z_Hs) is blended
with what earlier windows predicted at that same step, frame by frame. The paper gives exponential
weights at every denoising step, and no formula; this one is our choice. At a frame d frames after
the window's start

    share(d) = exp(-d / decay_frames)

of the blend is the earlier windows', and of that share a window of age a = 1, 2, ... (the latest is
1) has exp(-(a - 1) / decay_windows) in proportion. So a window begins with the prediction of those
before and fades to its own, and an error in one is not passed on for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from livemoments.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class BlendConfig:
    """The division of a clip into windows, and their blending. Lengths in frames."""

    window: int = 24  # frames that the model sees at a time, at most
    overlap: int = 8  # shared with the window before; 0: windows are independent
    decay_frames: float = 3.0  # over which the earlier windows' share falls to 37 %
    decay_windows: float = 1.0  # likewise with a window's age

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ConfigError(f"window must be at least 1, got {self.window}")
        if not 0 <= self.overlap < self.window:
            raise ConfigError(f"overlap must be in [0, window={self.window}), got {self.overlap}")
        if self.decay_frames <= 0 or self.decay_windows <= 0:
            raise ConfigError(
                f"decays must be above 0, got {self.decay_frames} and {self.decay_windows}"
            )


def windows(count: int, config: BlendConfig) -> list[range]:
    """Divide `count` frames into windows, each overlapping the one before by config.overlap.

    They are about equally long, so that the last has enough to see, and never longer than
    config.window.
    """
    if count <= 0:
        return []
    number = max(-(-(count - config.overlap) // (config.window - config.overlap)), 1)
    ends = [round(i * (count - config.overlap) / number) for i in range(number + 1)]
    if number == 1:
        return [range(count)]
    return [range(start, end + config.overlap) for start, end in pairwise(ends)]


def share_of_earlier(frames_from_start: np.ndarray, config: BlendConfig) -> np.ndarray:
    """Return the earlier windows' share of a frame, in [0, 1]; 1 at the window's first frame."""
    return np.exp(-np.asarray(frames_from_start, np.float64) / config.decay_frames)


def weights(frames_from_start: int, ages: Sequence[int], config: BlendConfig) -> np.ndarray:
    """Return the weights (n,) of the earlier windows that hold a frame, by their age from 1.

    They are in [0, 1], and their sum is share_of_earlier; the present window has the rest.
    """
    if not ages:
        return np.zeros(0)
    relative = np.exp(-(np.asarray(ages, np.float64) - 1) / config.decay_windows)
    return share_of_earlier(np.array(frames_from_start), config) * relative / relative.sum()


class Earlier:
    """The predictions of earlier windows for frames that are still to come, step by step.

    Only frames of the next window are stored: overlap x steps latents of 0.8 MB for each earlier
    window that reaches so far.
    """

    def __init__(self, config: BlendConfig) -> None:
        """Choose how windows are blended."""
        self._config = config
        # Of each earlier window, the latest last: per step, the latents by frame.
        self._windows: list[list[dict[int, np.ndarray]]] = []

    def blend(self, step: int, window: range, predicted: np.ndarray) -> np.ndarray:
        """Blend the present window's predictions with the earlier windows'.

        Args:
            step: of the bridge, from 0.
            window: the numbers of its frames.
            predicted: z_Hs of them by the network and guidance, T x 48 x n x n.
        """
        blended = predicted
        for at, frame in enumerate(window):
            held = [
                (age, steps[step][frame])
                for age, steps in enumerate(reversed(self._windows), start=1)
                if frame in steps[step]
            ]
            if not held:
                continue
            if blended is predicted:
                blended = predicted.copy()
            shares = weights(at, [age for age, _ in held], self._config)
            for share, (_, latent) in zip(shares, held, strict=True):
                # Not (1 - sum) z + ...: where both are equal, nothing changes by a bit.
                blended[at] += np.float32(share) * (latent - predicted[at])
        return blended

    def keep(self, window: range, blended: Sequence[np.ndarray], next_start: int | None) -> None:
        """Store what the next windows need of a window that is done.

        Args:
            window: the numbers of its frames.
            blended: of each step, T x 48 x n x n.
            next_start: the first frame of the next window; None: there is none.
        """
        if next_start is None or not self._config.overlap:
            self._windows = []
            return
        mine = [
            {frame: z[at].copy() for at, frame in enumerate(window) if frame >= next_start}
            for z in blended
        ]
        self._windows = [
            [{n: z for n, z in step.items() if n >= next_start} for step in steps]
            for steps in [*self._windows, mine]
        ]
        self._windows = [steps for steps in self._windows if any(steps)]
