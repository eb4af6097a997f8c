"""Find the homography between a frame's view and the key photo's."""

from dataclasses import dataclass

import cv2
import numpy as np

from livemoments.align.estimators import equalised
from livemoments.align.flow import photometric_agreement
from livemoments.imaging.pixels import fit_side, grey

WORKING_SIDE_PX = 1280  # longer side at which features are found
MATCH_RATIO = 0.8  # Lowe's ratio test
MIN_INLIERS = 16
INLIER_PX = 3.0  # at the working size


@dataclass(frozen=True, kw_only=True)
class Registration:
    """How the frame's view lies in the key photo's."""

    homography: np.ndarray  # float64 3 x 3, pixels of the frame -> pixels of the key photo
    method: str  # "features", "still-image transform" or "same view"
    agreement: float  # median local correlation of the two views after it, 0 to 1
    error_px: float | None  # of matched features, median, in the frame's pixels; if measured


def scaling(from_size: tuple[int, int], to_size: tuple[int, int]) -> np.ndarray:
    """Return the 3 x 3 from a picture's pixels to its resized version's; sizes (height, width)."""
    sy, sx = to_size[0] / from_size[0], to_size[1] / from_size[1]
    return np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1]])


@dataclass(frozen=True, kw_only=True)
class View:
    """A picture prepared for registration: reduced luma, features, the way back to its pixels."""

    luma: np.ndarray  # float32 h x w in [0, 1]
    keypoints: np.ndarray  # N x 2
    descriptors: np.ndarray | None  # N x 128
    size: tuple[int, int]  # height, width of the picture itself

    @property
    def to_own_pixels(self) -> np.ndarray:
        """The 3 x 3 from reduced pixels to the picture's own."""
        return scaling(self.luma.shape, self.size)


def prepare(image: np.ndarray) -> View:
    """Find the features of a picture: float32 RGB, or its luma alone."""
    luma = grey(fit_side(image, WORKING_SIDE_PX))
    sift = cv2.SIFT.create(nfeatures=4000)
    found, descriptors = sift.detectAndCompute(equalised(luma), None)
    points = np.array([k.pt for k in found], np.float32).reshape(-1, 2)
    return View(luma=luma, keypoints=points, descriptors=descriptors, size=image.shape[:2])


def match_homography(first: View, second: View) -> tuple[np.ndarray, float] | None:
    """Find the homography first -> second in their own pixels, and its error in first's.

    None: too few features agree on one.
    """
    if first.descriptors is None or second.descriptors is None or len(second.descriptors) < 2:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(first.descriptors, second.descriptors, k=2)
    good = [p[0] for p in pairs if len(p) == 2 and p[0].distance < MATCH_RATIO * p[1].distance]
    if len(good) < MIN_INLIERS:
        return None
    src = first.keypoints[[g.queryIdx for g in good]]
    dst = second.keypoints[[g.trainIdx for g in good]]
    found, inliers = cv2.findHomography(src, dst, _magsac())
    if found is None or int(inliers.sum()) < MIN_INLIERS:
        return None
    agreed = inliers.ravel() > 0
    moved = cv2.perspectiveTransform(src[agreed][:, None], found)[:, 0]
    error = float(np.median(np.linalg.norm(moved - dst[agreed], axis=1)))
    homography = second.to_own_pixels @ found @ np.linalg.inv(first.to_own_pixels)
    if not plausible(homography, first.size):
        return None
    error_px = error * second.to_own_pixels[0, 0] / _scale(homography, first.size)
    return homography / homography[2, 2], round(float(error_px), 3)


def _magsac() -> cv2.UsacParams:
    """Return the settings of cv2.USAC_MAGSAC with a random state of the call's own.

    cv2.setRNGSeed would set that of the whole process, where other threads may be at work.
    """
    params = cv2.UsacParams()
    params.threshold, params.confidence, params.maxIterations = INLIER_PX, 0.999, 4000
    params.sampler, params.score = cv2.SAMPLING_UNIFORM, cv2.SCORE_METHOD_MAGSAC
    params.loMethod, params.loIterations, params.loSampleSize = cv2.LOCAL_OPTIM_SIGMA, 10, 50
    params.final_polisher, params.final_polisher_iterations = cv2.MAGSAC, 5
    params.randomGeneratorState = 0
    return params


def _scale(homography: np.ndarray, size: tuple[int, int]) -> float:
    """Compute how many pixels a side one at the centre of a view (height, width) becomes."""
    y, x = (size[0] - 1) / 2, (size[1] - 1) / 2
    around = np.array([[[x, y]], [[x + 1, y]], [[x, y + 1]]], np.float64)
    p = cv2.perspectiveTransform(around, homography)[:, 0]
    return float(np.sqrt(abs(np.linalg.det(np.stack([p[1] - p[0], p[2] - p[0]])))))


def plausible(homography: np.ndarray, size: tuple[int, int]) -> bool:
    """Return whether views of one hand-held phone can differ so.

    That is without a flip, and with little turn and perspective.
    """
    h, w = size
    corners = np.array([[[0, 0]], [[w, 0]], [[w, h]], [[0, h]]], np.float64)
    depth = np.hstack([corners[:, 0], np.ones((4, 1))]) @ np.asarray(homography)[2]
    if not np.isfinite(homography).all() or (depth * depth[0] <= 1e-12).any():
        return False
    p = cv2.perspectiveTransform(corners, np.asarray(homography, np.float64))[:, 0]
    sides = np.linalg.norm(np.roll(p, -1, 0) - p, axis=1) / np.array([w, h, w, h])
    turn = np.degrees(np.arctan2(*(p[1] - p[0])[::-1]))
    edges = np.roll(p, -1, 0) - p
    after = np.roll(edges, -1, 0)
    crosses = edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0]
    return bool((crosses > 0).all() and abs(turn) < 40 and sides.max() < 1.8 * sides.min())


def agreement(homography: np.ndarray, frame: View, key: View) -> float:
    """Take the median local correlation of two reduced views where they overlap, 0 to 1."""
    to_key = np.linalg.inv(key.to_own_pixels) @ homography @ frame.to_own_pixels
    h, w = frame.luma.shape
    soft = cv2.GaussianBlur(key.luma, (0, 0), 1.5)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(soft, to_key, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpPerspective(np.ones_like(soft), to_key, (w, h), flags=flags) > 0.5
    if inside.mean() < 0.05:
        return 0.0
    luma = cv2.GaussianBlur(frame.luma, (0, 0), 1.5)
    local = photometric_agreement(luma, warped, sigma_px=max(h, w) / 60)
    contrast = cv2.GaussianBlur(luma * luma, (0, 0), 8) - cv2.GaussianBlur(luma, (0, 0), 8) ** 2
    textured = inside & (contrast >= np.median(contrast[inside]))
    return float(np.median(local[textured])) if textured.any() else 0.0


def register(
    frame: np.ndarray, key_photo: np.ndarray, *, key_frame: np.ndarray | None = None,
    key_transform: np.ndarray | None = None,
) -> Registration:  # fmt: skip
    """Find the homography of the frame (float32 RGB h x w x 3) to the key photo (H x W x 3).

    The luma alone of either is enough. Candidates are matched features; the file's own still-image
    transform (key_transform: pixels of the key frame -> pixels of the key photo), carried to this
    frame by features between frame and key frame; and the same view. The one after which the
    pictures agree best is taken; its agreement says how well.
    """
    here, there = prepare(frame), prepare(key_photo)
    candidates: list[tuple[str, np.ndarray, float | None]] = [
        ("same view", scaling(here.size, there.size), None)
    ]
    direct = match_homography(here, there)
    if direct is not None:
        candidates.append(("features", *direct))
    if key_transform is not None and key_frame is not None:
        to_key_frame = match_homography(here, prepare(key_frame))
        if to_key_frame is not None:
            total = np.asarray(key_transform) @ to_key_frame[0]
            if plausible(total, here.size):
                candidates.append(("still-image transform", total / total[2, 2], to_key_frame[1]))
    return max(
        (
            Registration(homography=h, method=m, agreement=agreement(h, here, there), error_px=e)
            for m, h, e in candidates
        ),
        key=lambda r: r.agreement,
    )
