"""Estimate optical flow between two pictures of one size."""

from typing import Protocol

import cv2
import numpy as np


class FlowEstimator(Protocol):
    """What finds the dense flow between two 8-bit grey pictures of one size."""

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Estimate the flow first -> second (uint8 H x W), float32 H x W x 2 in pixels."""
        ...


class DisFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016), OpenCV's: 0.1 s for 2 MP on two cores."""

    smallest_side_px = 32  # OpenCV refuses less than its patch pyramid needs

    def __init__(self, finest_scale: int = 1, *, smoothness: float = 20.0) -> None:
        """Find the flow at 1 / 2 ** finest_scale of the pictures' size, and enlarge it.

        smoothness weighs the variational refinement's smooth term; the medium preset, whose other
        settings are the most exact ones measured, has 20.
        """
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._dis.setFinestScale(finest_scale)
        self._dis.setVariationalRefinementAlpha(smoothness)

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Estimate the flow first -> second (uint8 H x W), float32 H x W x 2 in pixels."""
        h, w = first.shape
        pad_h, pad_w = max(0, self.smallest_side_px - h), max(0, self.smallest_side_px - w)
        if pad_h or pad_w:
            edge = ((0, pad_h), (0, pad_w))
            first, second = np.pad(first, edge, mode="edge"), np.pad(second, edge, mode="edge")
        # OpenCV's stubs leave out that there need be no flow to begin with.
        flow = self._dis.calc(  # type: ignore[call-overload]
            np.ascontiguousarray(first), np.ascontiguousarray(second), None
        )
        return np.ascontiguousarray(flow[:h, :w])


def equalised(luma: np.ndarray) -> np.ndarray:
    """Convert luma (float32 H x W in [0, 1]) to uint8 with its local contrast levelled (CLAHE).

    The clip and the key photo come out of different tone pipelines; flow compares brightness.
    """
    eight_bit = np.clip(luma * 255 + 0.5, 0, 255).astype(np.uint8)
    return cv2.createCLAHE(2.0, (8, 8)).apply(eight_bit)
