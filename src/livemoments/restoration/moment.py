"""The pipeline: a picked moment of a Live Photo, at the key photo's quality.

open -> frame -> align -> tiles with PCR -> restore -> blend -> look -> RestoredMoment.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from livemoments.align.alignment import Alignment, align
from livemoments.errors import InputError
from livemoments.imaging.pixels import as_float
from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.still.gain_map import FoundGainMap, read_gain_map
from livemoments.models.tile import Restorer, TileInput
from livemoments.progress import Progress, Stages
from livemoments.restoration.config import RestoreConfig, load_model
from livemoments.restoration.faces import MomentFaces, restore_faces
from livemoments.restoration.gain import MovedGainMap, move_gain_map
from livemoments.restoration.key_look import Learned, look_of_key
from livemoments.restoration.look import match_look
from livemoments.restoration.report import Report
from livemoments.restoration.tiles import Stitcher, Tile, grid, retrieve

if TYPE_CHECKING:
    from livemoments.livephoto import LivePhoto

MIN_SIDE_PX = 16


@dataclass(frozen=True, kw_only=True)
class RestoredMoment:
    """A restored frame: float32 RGB H x W x 3 in [0, 1], in the key photo's colour space."""

    image: np.ndarray
    report: Report
    time_s: float | None = None  # of the frame in the clip, where there is one
    gain_map: GainMap | None = None  # of its view: what makes it HDR


def restore(
    live_photo: "LivePhoto",
    *,
    time_s: float,
    config: RestoreConfig | None = None,
    model: Restorer | None = None,
    progress: Progress | None = None,
) -> RestoredMoment:
    """Restore the frame of a Live Photo at a time of its clip, in seconds.

    A model that was loaded before is used in place of the one that the config names.

    Raises:
        MomentError: the clip has no such time.
        InputError: a picture that cannot be used.
    """
    config, stages = config or RestoreConfig(), Stages(progress)
    with stages.stage("decoding"):
        frame = live_photo.clip.frame(time_s)
        key_photo = live_photo.still.pixels()
        key_frame = None
        if live_photo.key_transform is not None or config.look == "key":
            key_frame = live_photo.clip.frame(_clamped(live_photo, live_photo.key_time_s)).image
        found = read_gain_map(live_photo.still) if config.hdr else FoundGainMap()
    _check(frame.image, f"{live_photo.name}: the frame")
    _check(key_photo, f"{live_photo.name}: the key photo")
    faces = partial(
        restore_faces, live_photo=live_photo, index=frame.index, key_photo=key_photo,
        threads=config.threads, progress=progress,
    )  # fmt: skip
    return _restore(
        frame.image,
        key_photo,
        config,
        stages,
        model=model,
        key_frame=key_frame,
        key_transform=live_photo.key_transform,
        time_s=frame.time_s,
        found=found,
        faces=faces if config.faces and config.use_reference else None,
    )


def _clamped(live_photo: "LivePhoto", time_s: float) -> float:
    """The time, or the clip's nearest where it lies past an end, as on Samsung phones."""
    times = live_photo.clip.times_s
    return min(max(time_s, times[0]), times[-1])


def restore_frame(
    frame: np.ndarray,
    key_photo: np.ndarray,
    *,
    config: RestoreConfig | None = None,
    steps: int | None = None,
    seed: int | None = None,
    model: Restorer | None = None,
    key_frame: np.ndarray | None = None,
    progress: Progress | None = None,
) -> RestoredMoment:
    """Restore a frame with a key photo as reference; both uint8 or float RGB, H x W x 3.

    The frame may be of any smaller size. The result covers the frame's view at the key photo's
    density; where both show the same view it has exactly the key photo's size. steps and seed
    override the config's, a model that was loaded before the one that it names. key_frame, the
    clip's picture of the key photo's instant, is what the key photo's look is learned with.

    Raises:
        InputError: an array of another shape, type or range, or too small.
    """
    config = config or RestoreConfig()
    changes = {k: v for k, v in {"steps": steps, "seed": seed}.items() if v is not None}
    if changes:
        config = RestoreConfig(**{**vars(config), **changes})
    _check(frame, "the frame")
    _check(key_photo, "the key photo")
    if key_frame is not None:
        _check(key_frame, "the key frame")
        key_frame = as_float(key_frame)
    return _restore(
        as_float(frame), key_photo, config, Stages(progress), model=model, key_frame=key_frame
    )


def _check(picture: np.ndarray, name: str) -> None:
    """Raise InputError for an array that is not a usable RGB picture."""
    if not isinstance(picture, np.ndarray) or picture.ndim != 3 or picture.shape[2] != 3:
        shape = getattr(picture, "shape", type(picture).__name__)
        raise InputError(f"{name}: an RGB picture (H x W x 3) is needed, got {shape}")
    if picture.dtype != np.uint8 and picture.dtype.kind != "f":
        raise InputError(f"{name}: uint8 or float values are needed, got {picture.dtype}")
    if min(picture.shape[:2]) < MIN_SIDE_PX:
        h, w = picture.shape[:2]
        raise InputError(
            f"{name}: {w} x {h} pixels are too few; at least {MIN_SIDE_PX} a side are needed"
        )
    if picture.dtype.kind == "f":
        low, high = float(picture.min()), float(picture.max())
        if not (np.isfinite(low) and np.isfinite(high)) or low < -0.01 or high > 1.01:
            raise InputError(
                f"{name}: float values must lie in [0, 1], found {low:.3g} to {high:.3g}"
            )


def _restore(
    frame: np.ndarray,
    key_photo: np.ndarray,
    config: RestoreConfig,
    stages: Stages,
    *,
    model: Restorer | None = None,
    key_frame: np.ndarray | None = None,
    key_transform: np.ndarray | None = None,
    time_s: float | None = None,
    found: FoundGainMap | None = None,
    faces: Callable[[np.ndarray], MomentFaces] | None = None,
) -> RestoredMoment:
    if model is None:
        with stages.stage("loading"):
            model = load_model(config)
    config = replace(config, steps=config.steps or model.steps, tiles=config.tiles or model.tiles)
    with stages.stage("aligning"):
        alignment = align(
            frame,
            key_photo,
            key_frame=None if key_transform is None else key_frame,
            key_transform=key_transform,
            estimator=model.estimator,
        )
    enlarged = _enlarge(frame, alignment.height, alignment.width)
    image, share = _restore_tiles(model, enlarged, key_photo, alignment, config, stages)
    done: MomentFaces | None = None
    if faces is not None:
        with stages.stage("faces"):
            done = faces(np.clip(image, 0, 1))
        image = done.image
    with stages.stage("look"):
        image = match_look(image, enlarged)
        learned = _learned_look(config, frame, key_frame, key_photo, alignment)
        if learned is not None and learned.look is not None:
            image = learned.look.apply(image)
        np.clip(image, 0, 1, out=image)
    moved = _moved_gain_map(found or FoundGainMap(), alignment, key_photo, image, stages)
    used = config.use_reference and alignment.flow_frame_to_key is not None
    reason = alignment.reason if config.use_reference else "asked to do without"
    report = Report(
        model=model.name,
        width=alignment.width,
        height=alignment.height,
        reference_used=used,
        reason=None if used else reason,
        share_from_reference=round(share, 4),
        look="key" if learned is not None and learned.look is not None else "frame",
        look_reason=learned.reason or None if learned is not None else None,
        hdr=moved.gain_map is not None,
        hdr_reason=moved.reason,
        faces=None if done is None else done.restored,
        faces_reason=None if done is None else done.reason,
        registration=alignment.registration.method,
        agreement=round(alignment.registration.agreement, 4),
        registration_error_px=alignment.registration.error_px,
        steps=config.steps or model.steps,
        seed=config.seed,
        seconds=stages.seconds,
    )
    return RestoredMoment(image=image, report=report, time_s=time_s, gain_map=moved.gain_map)


def _learned_look(
    config: RestoreConfig,
    frame: np.ndarray,
    key_frame: np.ndarray | None,
    key_photo: np.ndarray,
    alignment: Alignment,
) -> Learned | None:
    """The key photo's look or why it cannot be had; None: it was not asked for."""
    if not config.use_reference:
        return None
    official = config.model == "sd3" and config.sd3.official
    if config.look == "frame" or official:
        return None
    if key_frame is None:
        return Learned(look=None, reason="the clip's picture of the key photo's instant is needed")
    return look_of_key(frame, key_frame, key_photo, alignment)


def _moved_gain_map(
    found: FoundGainMap,
    alignment: Alignment,
    key_photo: np.ndarray,
    image: np.ndarray,
    stages: Stages,
) -> MovedGainMap:
    """The key photo's gain map in the moment's view; none where there was none."""
    if found.gain_map is None:
        return MovedGainMap(gain_map=None, share_trusted=0.0, reason=found.reason)
    with stages.stage("HDR"):
        return move_gain_map(found.gain_map, alignment, key_photo=key_photo, image=image)


def _enlarge(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """The frame at the output's size, bicubic, in [0, 1]."""
    enlarged = cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(enlarged, 0, 1, out=enlarged)


def _restore_tiles(
    model: Restorer,
    enlarged: np.ndarray,
    key_photo: np.ndarray,
    alignment: Alignment,
    config: RestoreConfig,
    stages: Stages,
) -> tuple[np.ndarray, float]:
    """Restore tile by tile; returns the blended picture and the share that used the reference."""
    height, width = enlarged.shape[:2]
    tiles = grid(height, width, config.tiles or model.tiles)
    blended, used = Stitcher(height, width, 3), Stitcher(height, width, 1)
    with stages.stage("restoring"):
        for first in range(0, len(tiles), model.batch):
            batch = tiles[first : first + model.batch]
            parts = [_tile_input(tile, enlarged, key_photo, alignment, config) for tile in batch]
            rngs = [np.random.default_rng([config.seed, first + i]) for i in range(len(batch))]
            results = model.restore_tiles(parts, config.steps or model.steps, rngs)
            for tile, result in zip(batch, results, strict=True):
                blended.add(tile, result.image)
                used.add(tile, result.used[..., None])
            stages.report("restoring", first + len(batch), len(tiles))
        share = float((used.result() > 0.5).mean())
        return blended.result(), share


def _tile_input(
    tile: Tile,
    enlarged: np.ndarray,
    key_photo: np.ndarray,
    alignment: Alignment,
    config: RestoreConfig,
) -> TileInput:
    """One tile with its reference crop: PCR's, widened as far as the tile's flow reaches."""
    frame = enlarged[tile.area]
    alone = TileInput(frame=frame, reference=None, positions=None, confidence=None)
    if (
        not config.use_reference
        or alignment.flow_frame_to_key is None
        or alignment.confidence is None
    ):
        return alone
    there_h, there_w = key_photo.shape[:2]
    flow = alignment.flow_frame_to_key[tile.area]
    top, left = retrieve(tile, flow, there_h, there_w)
    rows = np.arange(tile.height, dtype=np.float32)[:, None] + (tile.top - top)
    columns = np.arange(tile.width, dtype=np.float32) + (tile.left - left)
    positions = np.stack([flow[..., 0] + columns, flow[..., 1] + rows], -1)
    reach = 16  # pixels: the refiner's further steps and the bicubic's support
    low = np.floor(positions.min((0, 1))).astype(int) - reach
    high = np.ceil(positions.max((0, 1))).astype(int) + reach
    x0, x1 = np.clip([left + low[0], left + high[0] + 1], 0, there_w)
    y0, y1 = np.clip([top + low[1], top + high[1] + 1], 0, there_h)
    if x1 - x0 < 2 or y1 - y0 < 2:  # this tile looks past the key photo's edge
        return alone
    # PCR's crop as a whole, for models that take that and no other.
    x0, x1 = min(x0, left), max(x1, min(left + tile.width, there_w))
    y0, y1 = min(y0, top), max(y1, min(top + tile.height, there_h))
    return TileInput(
        frame=frame,
        reference=as_float(key_photo[y0:y1, x0:x1]),
        positions=positions + np.array([left - x0, top - y0], np.float32),
        confidence=alignment.confidence[tile.area],
        corner=(top - y0, left - x0),
        enlarged=alignment.enlarged,
    )
