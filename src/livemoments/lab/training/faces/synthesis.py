"""Make clips of a face out of one photograph: frames, truths and a reference, all motion known.

A content of the canonical face (or any photograph's detail) is seen at T moments and at one more,
the reference's: each view reads it through a displacement that varies smoothly over time. The head
turns as a cylinder about its two axes, mouth and brows move as soft bumps, the crop's placement
trembles a little. The reference has another tone, and in places another content, as an opened
mouth or a hand has. All frames of a clip are degraded by one draw, with noise of their own.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from livemoments.align.dense import estimate_flow
from livemoments.align.flow import pixel_grid, resize_flow, sample
from livemoments.imaging.pixels import reduce
from livemoments.lab.training.data.degrade import Degradation, draw_live_photo
from livemoments.lab.training.data.synthesis import (
    blob,
    draw_grain,
    inside,
    invert_field,
    retone,
    smooth_field,
)

SIZE_PX = 256  # of a canonical face
MARGIN_PX = 32  # more content around it, which shows when it moves
FLOW_SHARE = 0.5  # of a frame's side, for the estimate of its flow: finer is no better, measured
SEVERE = 0.6  # share of clips that are degraded severely
HEAD_MIDDLE, HEAD_RADIUS = (0.5, 0.56), 0.42  # in shares of the canonical side
# Middle, spread and direction of what moves in a face, in shares of the side.
BUMPS = (
    ((0.50, 0.80), (0.12, 0.07), (0.0, 0.022)),  # the jaw
    ((0.50, 0.70), (0.08, 0.03), (0.0, 0.006)),  # the upper lip
    ((0.41, 0.73), (0.05, 0.04), (0.014, -0.006)),  # the corners of the mouth
    ((0.59, 0.73), (0.05, 0.04), (-0.014, -0.006)),
    ((0.37, 0.39), (0.08, 0.03), (0.003, 0.009)),  # the brows
    ((0.63, 0.39), (0.08, 0.03), (-0.003, 0.009)),
    ((0.375, 0.475), (0.05, 0.02), (0.0, 0.004)),  # the eyes
    ((0.625, 0.475), (0.05, 0.02), (0.0, 0.004)),
)


@dataclass(frozen=True, kw_only=True)
class FaceClip:
    """T frames of N x N pixels and a reference; pictures float32 RGB in [0, 1]."""

    truths: np.ndarray  # T x N x N x 3
    frames: np.ndarray  # T x N x N x 3, degraded, enlarged to N x N
    reference: np.ndarray  # N x N x 3
    flows: np.ndarray  # T x N x N x 2, frame -> reference, pixels
    visible: np.ndarray  # T x N x N in [0, 1]: the reference shows the place
    steps: np.ndarray  # (T - 1) x N x N x 2, frame t -> frame t + 1
    identity: np.ndarray  # (128,), of the photograph's face; zeros where it shows none
    attributes: np.ndarray  # (4,): yaw, pitch, roll in units of 30 degrees, sharpness
    flow: np.ndarray  # T x N x N x 2, px: the estimate of align.dense, frame -> reference
    confidence: np.ndarray  # T x N x N in [0, 1], of that estimate


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a clip is made of: a picture with a margin, and whose face it shows."""

    picture: np.ndarray  # (N + 2 MARGIN_PX) squared x 3
    identity: np.ndarray  # (128,); zeros where it shows no face
    attributes: np.ndarray  # (4,)


def course(frames: int, rng: np.random.Generator, pace: float = 1.0) -> np.ndarray:
    """Draw a quantity at so many moments, smooth over time, and the reference's: (frames + 1,)."""
    at = pace * np.arange(frames)
    slow, quick = rng.uniform(10, 60), rng.uniform(4, 10)
    phases = rng.uniform(0, 2 * np.pi, 2)
    wave = np.sin(2 * np.pi * at / slow + phases[0])
    wave += 0.25 * np.sin(2 * np.pi * at / quick + phases[1])
    return np.append(wave, rng.normal(0, 0.8)).astype(np.float32)


def head_turn(size: int, yaw: float, pitch: float) -> np.ndarray:
    """Return the displacement by which a turned head is read, radians; size x size x 2, px.

    What the placement takes out, the mean over the face, is taken out.
    """
    shares = (pixel_grid(size, size) + 0.5) / size - np.array(HEAD_MIDDLE, np.float32)
    across = np.clip(shares / HEAD_RADIUS, -0.95, 0.95)
    angles = np.arcsin(across)
    moved = np.sin(angles + np.array([yaw, pitch], np.float32)) - np.sin(angles)
    away = np.hypot(shares[..., 0], shares[..., 1]) / HEAD_RADIUS
    ramp = np.clip((1.15 - away) / 0.6, 0, 1)[..., None]
    weight = ramp * ramp * (3 - 2 * ramp)
    moved = moved - (moved * weight).sum((0, 1)) / weight.sum()
    return (size * HEAD_RADIUS * weight * moved).astype(np.float32)


def expression(size: int, strengths: np.ndarray) -> np.ndarray:
    """Return the displacement of BUMPS, each so strong; size x size x 2, px."""
    shares = (pixel_grid(size, size) + 0.5) / size
    total = np.zeros((size, size, 2), np.float32)
    for (middle, spread, direction), strength in zip(BUMPS, strengths, strict=True):
        away = (shares - np.array(middle, np.float32)) / np.array(spread, np.float32)
        bump = np.exp(-0.5 * (away**2).sum(-1, keepdims=True))
        total += size * strength * bump * np.array(direction, np.float32)
    return total


def placement(size: int, shift: np.ndarray, turn: float, zoom: float) -> np.ndarray:
    """Return the displacement of a placement that is off; size x size x 2, px."""
    xy = pixel_grid(size, size) - (size - 1) / 2
    cos, sin = (1 + zoom) * np.cos(turn), (1 + zoom) * np.sin(turn)
    x, y = cos * xy[..., 0] - sin * xy[..., 1], sin * xy[..., 0] + cos * xy[..., 1]
    return np.stack([x - xy[..., 0] + shift[0], y - xy[..., 1] + shift[1]], -1).astype(np.float32)


def draw_fields(
    size: int, frames: int, rng: np.random.Generator, *, face: bool = True
) -> np.ndarray:
    """Draw displacements at each moment and the reference's: (frames + 1) x size x size x 2, px.

    Without a face there are none of its bumps, but more bending at random.
    """
    pace = float(rng.choice([1.0, 2.0, 3.0]))  # a few frames in place of a longer clip's
    yaw, pitch = (np.radians(abs(rng.normal(0, s))) * course(frames, rng, pace) for s in (9, 6))
    turn, zoom = 0.012 * course(frames, rng, pace), 0.012 * course(frames, rng, pace)
    shift = np.stack([1.5 * course(frames, rng, pace), 1.5 * course(frames, rng, pace)], -1)
    shift = shift + rng.normal(0, 0.3, shift.shape)  # the placements tremble
    strength = abs(rng.normal(0, 1.2))
    strengths = strength * np.stack([course(frames, rng, pace) for _ in BUMPS], -1)
    bend = smooth_field(size, 1.2 if face else 3.0, 5, rng)
    other = smooth_field(size, 1.0 if face else 3.0, 6, rng)
    bends = course(frames, rng, pace)
    found = []
    for at in range(frames + 1):
        field = placement(size, shift[at], turn[at], zoom[at]) + bends[at] * bend
        field += head_turn(size, yaw[at], pitch[at])
        if face:
            field += expression(size, strengths[at])
        found.append(field + other if at == frames else field)
    return np.stack(found)


def draw_strength(rng: np.random.Generator, severe: float = SEVERE) -> Degradation:
    """Draw a clip's degradation: mild, about half the size, or severe, about a quarter.

    Of a canonical face: a large one is reduced less. Blur is in proportion to the scale: small
    pictures are about equally soft.
    """
    how = draw_live_photo(rng, scale=2.0)
    if rng.random() < severe:
        scale = rng.uniform(1.6, 4.2)
        return replace(
            how, scale=scale, blur_px=scale * rng.uniform(0.4, 0.85),
            motion_px=how.motion_px * 0.6, noise=rng.uniform(4, 9) / 255,
            denoise=how.denoise * 0.5, temporal=0.0,
            codec=str(rng.choice(["h264", "jpeg", "none"], p=[0.25, 0.6, 0.15])),
            bits_per_pixel=rng.uniform(0.06, 0.2), quality=int(rng.integers(30, 61)),
        )  # fmt: skip
    # Large faces lack next to nothing at the canonical size: those, too, must be left alone.
    large = rng.random() < 0.45
    scale = rng.uniform(1.0, 1.25) if large else rng.uniform(1.2, 2.4)
    return replace(
        how, scale=scale, blur_px=scale * rng.uniform(0.12, 0.45),
        motion_px=0.0 if large else how.motion_px * 0.5, noise=rng.uniform(0.5, 4) / 255,
        temporal=0.0,
        codec=str(rng.choice(["h264", "jpeg", "none"], p=[0.3, 0.5, 0.2])),
        quality=int(rng.integers(60, 91)),
    )  # fmt: skip


def make_face_clip(
    content: Content,
    other: np.ndarray,
    frames: int,
    rng: np.random.Generator,
    severe: float = SEVERE,
) -> FaceClip:
    """Make a clip of a content, parts of which the reference hides by other, of the same size.

    A face is best hidden by another: its mouth and eyes lie where this one's do, look as good, and
    are not to be copied.
    """
    size = content.picture.shape[0] - 2 * MARGIN_PX
    face = bool(content.identity.any())
    fields = draw_fields(size, frames, rng, face=face)
    grid = pixel_grid(size, size)
    views = [sample(content.picture, grid + field + MARGIN_PX) for field in fields]
    views = [np.clip(view, 0, 1) for view in views]
    flows = np.stack([invert_field(fields[-1], grid + field) - grid for field in fields[:-1]])
    steps = [
        invert_field(after, grid + before) - grid
        for before, after in zip(fields[:-2], fields[1:-1], strict=True)
    ]
    hidden = np.zeros((size, size), np.float32)
    if rng.random() < 0.6:
        hidden = np.clip(blob(size, rng), 0, 1) * (rng.random() < 0.4)
        for _ in range(int(rng.integers(1, 4))):
            hidden = np.maximum(hidden, _spot(size, rng))
    inner = other[MARGIN_PX : MARGIN_PX + size, MARGIN_PX : MARGIN_PX + size]
    reference = views[-1] + hidden[..., None] * (inner - views[-1])
    how, grain = draw_strength(rng, severe), draw_grain(rng)
    if rng.random() < 0.75:
        reference = retone(reference, rng)
    degraded = []
    for at in range(frames):
        motion = steps[min(at, len(steps) - 1)] if steps else -flows[at]
        small = replace(how, seed=how.seed + at)(views[at], motion)
        degraded.append(cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC))
    truths = np.stack([grain.put_on(view, rng) for view in views[:-1]]).astype(np.float32)
    pictures = np.clip(np.stack(degraded), 0, 1).astype(np.float32)
    reference = grain.put_on(np.clip(reference, 0, 1), rng)
    flow, confidence = zip(*(_estimate(picture, reference) for picture in pictures), strict=True)
    visible = [inside(f) * (1 - sample(hidden, grid + f, cv2.INTER_LINEAR)) for f in flows]
    return FaceClip(
        truths=truths,
        frames=pictures,
        reference=reference,
        flows=flows.astype(np.float32),
        visible=np.stack(visible).astype(np.float32),
        steps=np.array(steps, np.float32).reshape(frames - 1, size, size, 2),
        identity=content.identity.astype(np.float32),
        attributes=content.attributes.astype(np.float32),
        flow=np.stack(flow),
        confidence=np.stack(confidence),
    )


def _estimate(frame: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the flow of a frame as the program does, and its confidence."""
    dense = estimate_flow(reduce(frame, FLOW_SHARE), reference)
    side = frame.shape[0]
    confidence = cv2.resize(dense.confidence, (side, side), interpolation=cv2.INTER_LINEAR)
    return resize_flow(dense.flow_frame_to_key, side, side), confidence


def _spot(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw where eyes or mouth are another's: a soft ellipse, size x size in [0, 1]."""
    middle, _, _ = BUMPS[int(rng.integers(len(BUMPS)))]
    shares = (pixel_grid(size, size) + 0.5) / size - np.array(middle, np.float32)
    away = np.hypot(
        shares[..., 0] / rng.uniform(0.04, 0.14), shares[..., 1] / rng.uniform(0.03, 0.08)
    )
    return np.clip(3 * (1 - away), 0, 1).astype(np.float32)
