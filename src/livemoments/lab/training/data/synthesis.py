"""Make training scenes out of still photographs: two moments of one, the motion known.

A photograph becomes a background that moves by a similarity and a smooth field (camera, parallax,
deformation); pieces of other photographs, or of the same, become things that move on their own
and cover different parts at the two moments. The truth and the key photo are two views of that
scene; the frame is the truth degraded; the tone of the key photo differs, as phones' two pipelines
do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from livemoments.align.dense import estimate_flow
from livemoments.align.flow import pixel_grid, resize_flow, sample
from livemoments.lab.training.data.codec import through_jpeg
from livemoments.lab.training.data.degrade import Degrader, draw_degradation

MARGIN_PX = 48  # more content around a scene, which shows when things move
FAR_THINGS = 0.35  # share of the moving things that travel far


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One training scene of N x N pixels; pictures float32 RGB in [0, 1], N x N x 3."""

    truth: np.ndarray
    frame: np.ndarray  # the degraded truth, enlarged (bicubic) to N x N
    key_photo: np.ndarray
    true_flow: np.ndarray  # N x N x 2, frame -> key photo, pixels
    visible: np.ndarray  # N x N in [0, 1]: seen in the key photo as well
    flow: np.ndarray  # N x N x 2, the estimate of align.dense from frame and key photo
    confidence: np.ndarray  # N x N in [0, 1], of that estimate


def smooth_field(
    size: int, amplitude_px: float, cells: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw a smooth displacement, size x size x 2, from a coarse grid of normal draws."""
    coarse = rng.normal(0, amplitude_px, (cells, cells, 2)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def similarity_field(size: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a shift, turn and zoom about the centre; size x size x 2, px."""
    shift = rng.normal(0, 3 * strength, 2)
    turn, zoom = rng.normal(0, 0.006 * strength), 1 + rng.normal(0, 0.006 * strength)
    xy = pixel_grid(size, size) - (size - 1) / 2
    x = zoom * (np.cos(turn) * xy[..., 0] - np.sin(turn) * xy[..., 1])
    y = zoom * (np.sin(turn) * xy[..., 0] + np.cos(turn) * xy[..., 1])
    return np.stack([x - xy[..., 0] + shift[0], y - xy[..., 1] + shift[1]], -1).astype(np.float32)


def invert_field(field: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Find positions q with q + field(q) = target by fixed-point steps: fields change slowly."""
    q = target - field
    for _ in range(5):
        q = target - sample(field, q, cv2.INTER_LINEAR)
    return q


def inside(flow: np.ndarray) -> np.ndarray:
    """Find where a flow (N x N x 2) leads into the picture: N x N."""
    size = flow.shape[0]
    at = pixel_grid(size, size) + flow
    return ((at > 0) & (at < size - 1)).all(-1)


def blob(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the soft mask (size x size in [0, 1]) of an irregular thing somewhere in the middle."""
    coarse = rng.normal(0, 1, (6, 6)).astype(np.float32)
    wobble = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    centre, radius = rng.uniform(0.25, 0.75, 2), rng.uniform(0.08, 0.32)
    xy = pixel_grid(size, size) / size - centre.astype(np.float32)
    stretch = np.exp(rng.normal(0, 0.3))
    distance = radius - np.hypot(xy[..., 0] * stretch, xy[..., 1] / stretch) + 0.06 * wobble
    return cv2.GaussianBlur((distance > 0).astype(np.float32), (0, 0), rng.uniform(0.6, 1.6))


def retone(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw another pipeline's tone: gains, offset, gamma, sometimes local contrast or light."""
    gain, offset = 1 + rng.normal(0, 0.06, 3), rng.normal(0, 0.02, 3)
    out = np.clip(image, 0, 1) ** np.exp(rng.normal(0, 0.12)) * gain + offset
    size = image.shape[0]
    if rng.random() < 0.35:  # smart tone mapping: local contrast
        base = cv2.GaussianBlur(out, (0, 0), size / 12)
        out = base + (out - base) * rng.uniform(0.8, 1.35)
    if rng.random() < 0.2:  # a lamp that changed between the moments
        light = smooth_field(size, 0.35, 4, rng)[..., :1]
        out = out * np.exp(light * rng.normal(0, 1, 3))
    return np.clip(out, 0, 1).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Grain:
    """Noise and compression of the phone's photographs, the same for those of one scene."""

    noise: float  # of 1; 0 for none
    coarse_px: float  # sigma by which the phone's denoiser has smeared it, 0 for none
    jpeg_quality: int  # 0 for none

    def put_on(self, photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Make a photograph of this phone: float32 RGB in [0, 1], new noise each time."""
        if self.noise:
            noise = rng.standard_normal(photo.shape, np.float32)
            noise = noise + rng.standard_normal((*photo.shape[:2], 1), np.float32)
            if self.coarse_px:
                noise = (2 * cv2.GaussianBlur(noise, (0, 0), self.coarse_px)).astype(np.float32)
            photo = np.clip(photo + np.float32(self.noise) * noise, 0, 1)
        if self.jpeg_quality:
            photo = through_jpeg(photo, self.jpeg_quality)
        return photo.astype(np.float32, copy=False)


def draw_grain(rng: np.random.Generator) -> Grain:
    """Draw a phone's grain, mostly little: a key photo is a good photograph."""
    return Grain(
        noise=rng.uniform(0, 2.5) / 255 if rng.random() < 0.5 else 0.0,
        coarse_px=0.7 if rng.random() < 0.5 else 0.0,
        jpeg_quality=int(rng.integers(85, 98)) if rng.random() < 0.4 else 0,
    )


def wind(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a fine irregular displacement in one part, as of leaves; size x size x 2, px.

    Of a kind that dense flow follows badly, while what it finds instead looks much the same.
    """
    cell_px = rng.uniform(10, 40)
    field = smooth_field(size, rng.uniform(0.03, 0.13) * cell_px, max(3, int(size / cell_px)), rng)
    where = np.ones((size, size), np.float32) if rng.random() < 0.3 else blob(size, rng)
    return field * cv2.GaussianBlur(where, (0, 0), 6)[..., None]


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """Content (with margin) and its displacement at the two moments, each N x N x 2."""

    content: np.ndarray
    field_truth: np.ndarray
    field_key: np.ndarray

    def view(self, field: np.ndarray, image: np.ndarray | None = None) -> np.ndarray:
        """Read the content, or another image of its size, through a displacement."""
        size = field.shape[0]
        image = self.content if image is None else image
        return sample(image, pixel_grid(size, size) + field + MARGIN_PX)

    def true_flow(self) -> np.ndarray:
        """Return the flow from the truth's moment to the key photo's."""
        grid = pixel_grid(*self.field_truth.shape[:2])
        return invert_field(self.field_key, grid + self.field_truth) - grid


def clip_geometry(size: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Draw how the clip's view differs by the way it is made; size x size x 2, px.

    A rolling shutter shears a moving camera's picture by what moves while it is read out, and the
    clip is cut a little closer than the key photo: what registration leaves of both.
    """
    across = pixel_grid(size, size) / (size - 1) - np.float32(0.5)
    sheared = across[..., 1:] * rng.normal(0, 0.7 * strength, 2)
    closer = rng.normal(0, 0.004) if rng.random() < 0.25 else 0.0
    return (sheared - closer * size * across).astype(np.float32)


def moving_layer(
    content: np.ndarray, background: _Layer, strength: float, rng: np.random.Generator
) -> _Layer:
    """Let a thing move on its own in front of a background: shift, turn, grow and deform.

    Most things move a little, as hands and heads do. A third travels far, up to 64 pixels between
    the two moments, and turns and deforms more: what a flow that begins at rest does not find.
    """
    size = background.field_truth.shape[0]
    far = rng.random() < FAR_THINGS
    if far:
        angle, length_px = rng.uniform(0, 2 * np.pi), rng.uniform(12, 64)
        shift = length_px / 2 * np.array([np.cos(angle), np.sin(angle)])
    else:
        shift = rng.normal(0, 5 * max(strength, 0.5), 2)
    turned = np.zeros((size, size, 2), np.float32)
    if rng.random() < 0.5:
        turn = rng.normal(0, 0.10 if far else 0.03)
        grown = np.exp(rng.normal(0, 0.06 if far else 0.02))
        turned = _turned_and_grown(size, turn, grown, rng.uniform(0.25, 0.75, 2))
    bend = smooth_field(size, (1.5 if far else 0.5) * strength, 4, rng)
    own = shift.astype(np.float32) + turned
    return _Layer(
        content=content,
        field_truth=background.field_truth + own + bend,
        field_key=background.field_key - shift.astype(np.float32),
    )


def _turned_and_grown(size: int, turn: float, grown: float, centre: np.ndarray) -> np.ndarray:
    """Return the displacement of a turn (radians) and zoom about a centre in [0, 1], px."""
    xy = pixel_grid(size, size) - (size * centre).astype(np.float32)
    cos, sin = grown * np.cos(turn), grown * np.sin(turn)
    x, y = cos * xy[..., 0] - sin * xy[..., 1], sin * xy[..., 0] + cos * xy[..., 1]
    return (np.stack([x, y], -1) - xy).astype(np.float32)


def make_scene(
    background: np.ndarray,
    things: Sequence[np.ndarray],
    rng: np.random.Generator,
    preset: str = "live-photo",
) -> Scene:
    """Make a scene of square crops (float32 RGB, side N + 2 MARGIN_PX); things move on their own.

    Things lie one behind the other, the last in front. preset names the degradation of the frame,
    see `data.degrade`.
    """
    size = background.shape[0] - 2 * MARGIN_PX
    strength = rng.choice([0.15, 1.0, 2.0])
    half = 0.5 * similarity_field(size, strength, rng)
    back = _Layer(
        content=background,
        field_truth=half
        + smooth_field(size, 0.6 * strength, 5, rng)
        + clip_geometry(size, strength, rng),
        field_key=-half + smooth_field(size, 0.6 * strength, 5, rng),
    )
    if rng.random() < 0.35:
        back = replace(back, field_truth=back.field_truth + wind(size, rng))
    truth, key_photo = back.view(back.field_truth), back.view(back.field_key)
    flow, visible = back.true_flow(), np.ones((size, size), np.float32)
    for thing in things:
        front = moving_layer(thing, back, strength, rng)
        mask = blob(thing.shape[0], rng)
        mask_truth, mask_key = (front.view(f, mask) for f in (front.field_truth, front.field_key))
        mask_truth, mask_key = np.clip(mask_truth, 0, 1), np.clip(mask_key, 0, 1)
        if rng.random() < 0.15:  # it was not there when the key photo was taken
            mask_key = np.zeros_like(mask_key)
        truth = _over(front.view(front.field_truth), truth, mask_truth)
        key_photo = _over(front.view(front.field_key), key_photo, mask_key)
        flow, visible = _covered(flow, visible, front.true_flow(), mask_truth, mask_key)
    how = draw_degradation(rng, preset)
    return observe(truth, key_photo, flow, visible * inside(flow), how, rng)


def _over(front: np.ndarray, back: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lay a view over another by a mask."""
    return front * mask[..., None] + back * (1 - mask[..., None])


def _covered(
    back: np.ndarray,
    visible: np.ndarray,
    front: np.ndarray,
    mask_truth: np.ndarray,
    mask_key: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the flow of what is seen at the truth's moment, and whether the key photo shows it.

    back and visible are those of what lies behind a layer whose flow is front.
    """
    size = back.shape[0]
    in_front = mask_truth > 0.5
    flow = np.where(in_front[..., None], front, back)
    mask_there = sample(mask_key, pixel_grid(size, size) + flow, cv2.INTER_LINEAR)
    visible = np.where(in_front, mask_there, visible * (1 - mask_there))
    # A soft edge shows both layers: no single flow explains it.
    return flow, visible * (np.abs(2 * mask_truth - 1))


def observe(
    truth: np.ndarray,
    key_photo: np.ndarray,
    flow: np.ndarray,
    visible: np.ndarray,
    how: Degrader,
    rng: np.random.Generator,
) -> Scene:
    """Make of two views what the program will have: a degraded frame, a key photo, a flow."""
    truth, key_photo = np.clip(truth, 0, 1), np.clip(key_photo, 0, 1)
    small = how(truth, -flow)
    if rng.random() < 0.75:
        key_photo = retone(key_photo, rng)
    # Truth and key photo are two photographs by one phone: of the same grain, but not the same
    # noise. If they shared it, a network would learn to copy noise as if it were detail.
    grain = draw_grain(rng)
    truth, key_photo = grain.put_on(truth, rng), grain.put_on(key_photo, rng)
    size = truth.shape[0]
    dense = estimate_flow(small, key_photo)
    frame = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
    return Scene(
        truth=truth.astype(np.float32),
        frame=np.clip(frame, 0, 1),
        key_photo=key_photo.astype(np.float32),
        true_flow=flow.astype(np.float32),
        visible=visible.astype(np.float32),
        flow=resize_flow(dense.flow_frame_to_key, size, size),
        confidence=cv2.resize(dense.confidence, (size, size), interpolation=cv2.INTER_LINEAR),
    )
