"""Restore a picked moment of a Live Photo to the key photo's quality.

open -> frame -> align -> tiles with PCR -> restore -> blend -> look -> RestoredMoment.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from livemoments.align.alignment import Alignment, align
from livemoments.align.estimators import FlowEstimator
from livemoments.errors import InputError
from livemoments.imaging.pixels import as_float, enlarge
from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.still.gain_map import FoundGainMap, read_gain_map
from livemoments.models.tile import Restorer
from livemoments.progress import Progress, Stages
from livemoments.restoration.config import RestoreConfig, Settings, load_model, settings_for
from livemoments.restoration.faces import MomentFaces, restore_faces
from livemoments.restoration.gain import move_gain_map
from livemoments.restoration.key_look import Learned, look_of_key
from livemoments.restoration.look import match_look
from livemoments.restoration.report import Report
from livemoments.restoration.tiles import RestoredTiles, restore_tiles

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """What a restoration starts from. Pictures are RGB, H x W x 3, of any size."""

    frame: np.ndarray  # float32 in [0, 1]
    key_photo: np.ndarray  # uint8 or float in [0, 1]
    key_frame: np.ndarray | None = None  # float32: the clip's picture of the key photo's instant
    key_transform: np.ndarray | None = None  # 3 x 3, pixels of the key frame -> of the key photo
    gain_map: FoundGainMap = FoundGainMap()  # the key photo's

    def align(self, estimator: FlowEstimator | None) -> Alignment:
        """Find the key photo in the frame's view."""
        return align(
            self.frame,
            self.key_photo,
            key_frame=None if self.key_transform is None else self.key_frame,
            key_transform=self.key_transform,
            estimator=estimator,
        )


def restore(
    live_photo: "LivePhoto",
    *,
    time_s: float,
    config: RestoreConfig | None = None,
    model: Restorer | None = None,
    progress: Progress | None = None,
) -> RestoredMoment:
    """Restore the frame of a Live Photo at a time of its clip, in seconds.

    The key photo's time is always one of them, also where it lies past the clip's last frame. A
    model that was loaded before is used in place of the one that the config names.

    Raises:
        MomentError: the clip has no such time.
        InputError: a picture that cannot be used.
    """
    config, stages = config or RestoreConfig(), Stages(progress)
    with stages.stage("decoding"):
        frame = live_photo.frame(time_s)
        key_photo = live_photo.still.pixels()
        key_frame = None
        if live_photo.key_transform is not None or config.look == "key":
            key_frame = live_photo.clip.frame_at(live_photo.key_index).image
        found = read_gain_map(live_photo.still) if config.hdr else FoundGainMap()
    _check(frame.image, f"{live_photo.name}: the frame")
    _check(key_photo, f"{live_photo.name}: the key photo")
    inputs = Inputs(
        frame=frame.image,
        key_photo=key_photo,
        key_frame=key_frame,
        key_transform=live_photo.key_transform,
        gain_map=found,
    )
    faces = partial(
        restore_faces, live_photo=live_photo, index=frame.index, key_photo=key_photo,
        threads=config.threads, progress=progress,
    )  # fmt: skip
    with_faces = config.faces and config.use_reference
    restored = _restore(inputs, config, model, stages, faces if with_faces else None)
    return replace(restored, time_s=frame.time_s)


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
    if steps is not None:
        config = replace(config, steps=steps)
    if seed is not None:
        config = replace(config, seed=seed)
    _check(frame, "the frame")
    _check(key_photo, "the key photo")
    if key_frame is not None:
        _check(key_frame, "the key frame")
        key_frame = as_float(key_frame)
    inputs = Inputs(frame=as_float(frame), key_photo=key_photo, key_frame=key_frame)
    return _restore(inputs, config, model, Stages(progress))


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
    inputs: Inputs,
    config: RestoreConfig,
    model: Restorer | None,
    stages: Stages,
    with_faces: Callable[[np.ndarray], MomentFaces] | None = None,
) -> RestoredMoment:
    """Take a frame through all stages; with_faces restores the faces of its picture."""
    if model is None:
        with stages.stage("loading"):
            model = load_model(config)
    settings = settings_for(config, model)
    with stages.stage("aligning"):
        alignment = inputs.align(model.estimator)
    enlarged = enlarge(inputs.frame, alignment.height, alignment.width)
    with stages.stage("restoring"):
        tiled = restore_tiles(
            model,
            enlarged,
            inputs.key_photo,
            alignment.flow_frame_to_key if settings.use_reference else None,
            alignment.confidence,
            steps=settings.steps,
            tiles=settings.tiles,
            seed=settings.seed,
            scale=alignment.enlarged,
            progress=stages.report,
        )
    faces = None
    if with_faces is not None:
        with stages.stage("faces"):
            faces = with_faces(np.clip(tiled.picture, 0, 1))
    image = tiled.picture if faces is None else faces.image
    learned = Learned()
    with stages.stage("look"):
        image = match_look(image, enlarged)
        if settings.learn_look:
            learned = look_of_key(inputs.frame, inputs.key_frame, inputs.key_photo, alignment)
        image = learned.look.apply(image) if learned.look is not None else image
        np.clip(image, 0, 1, out=image)
    hdr = inputs.gain_map
    if hdr.gain_map is not None:
        with stages.stage("HDR"):
            hdr = move_gain_map(hdr.gain_map, alignment, key_photo=inputs.key_photo, image=image)
    report = _report(model, settings, alignment, tiled, learned, hdr, faces, stages)
    return RestoredMoment(image=image, report=report, gain_map=hdr.gain_map)


def _report(
    model: Restorer,
    settings: Settings,
    alignment: Alignment,
    tiled: RestoredTiles,
    learned: Learned,
    hdr: FoundGainMap,
    faces: MomentFaces | None,
    stages: Stages,
) -> Report:
    """Gather what the stages report."""
    used = settings.use_reference and alignment.flow_frame_to_key is not None
    unused = alignment.reason if settings.use_reference else "asked to do without"
    return Report(
        model=model.name,
        width=alignment.width,
        height=alignment.height,
        reference_used=used,
        reason=None if used else unused,
        share_from_reference=round(tiled.share_from_reference, 4),
        look="frame" if learned.look is None else "key",
        look_reason=learned.reason or None,
        hdr=hdr.gain_map is not None,
        hdr_reason=hdr.reason,
        faces=None if faces is None else faces.restored,
        faces_reason=None if faces is None else faces.reason,
        registration=alignment.registration.method,
        agreement=round(alignment.registration.agreement, 4),
        registration_error_px=alignment.registration.error_px,
        steps=settings.steps,
        seed=settings.seed,
        seconds=stages.seconds,
    )
