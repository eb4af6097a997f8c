"""Choose other flow estimators in place of the usual one (LiveMoments, Table 9)."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from livemoments.align.estimators import DisFlow, FlowEstimator
from livemoments.errors import ConfigError
from livemoments.models.sd3.raft import RaftFlow


class DisPreset(DisFlow):
    """Dense inverse search with one of OpenCV's presets; medium is the usual one's."""

    def __init__(self, preset: int) -> None:
        self._dis = cv2.DISOpticalFlow.create(preset)


class FarnebackFlow:
    """Polynomial expansion (Farneback, SCIA 2003), OpenCV's."""

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Estimate the flow first -> second (uint8 H x W), float32 H x W x 2 in pixels."""
        start: np.ndarray = np.zeros((*first.shape, 2), np.float32)
        # A wider window and more levels than in OpenCV's example: motions here are large.
        found = cv2.calcOpticalFlowFarneback(
            first, second, start, pyr_scale=0.5, levels=5, winsize=21, iterations=3, poly_n=7,
            poly_sigma=1.5, flags=0,
        )  # fmt: skip
        return np.asarray(found, np.float32)


# By name, what makes one out of the file of RAFT's weights.
ESTIMATORS: dict[str, Callable[[Path | None], FlowEstimator]] = {
    "dis-ultrafast": lambda _: DisPreset(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
    "dis-fast": lambda _: DisPreset(cv2.DISOPTICAL_FLOW_PRESET_FAST),
    "dis-medium": lambda _: DisPreset(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    "farneback": lambda _: FarnebackFlow(),
    "raft": lambda weights: RaftFlow(weights),
}


def make_estimator(name: str, raft_weights: Path | None = None) -> FlowEstimator:
    """Make one of ESTIMATORS; raft_weights None: those that torchvision publishes, see RaftFlow.

    Raises:
        ConfigError: there is none of that name.
        MissingExtraError: RAFT without PyTorch or a torchvision that fits it.
        WeightsError: RAFT's weights cannot be had.
    """
    if name not in ESTIMATORS:
        raise ConfigError(f"no flow estimator {name!r}; there are {', '.join(ESTIMATORS)}")
    return ESTIMATORS[name](raft_weights)
