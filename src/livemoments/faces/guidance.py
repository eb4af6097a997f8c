"""Guide the sampler away from negative prompts, as IP-FVR's multi-stream prompt does.

Each negative stream is a prediction z_i of the same frames by a prompt that lacks something, or
asks for what is not wanted. Sampling goes away from all of them:

    z_Hs = z + sum_i scale_i (z - z_i)

with z by the whole prompt. The paper names the mechanism and gives neither streams nor formula;
the four streams here, and the formula, which is classifier-free guidance's with one scale for each,
are our choice. What guidance strengthens is what a stream contributes, its errors included: where
two predictions agree nothing happens, whatever the scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from livemoments.errors import ConfigError
from livemoments.models.face_window import FacePrompt, Streams

MOST = 8.0  # a larger scale shows nothing but errors


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """The scales of the negative streams; 0 costs no run of the network."""

    low_quality: float = 0.0  # away from the face as degraded as it came
    identity: float = 0.0  # away from another person's identity, or from none in particular
    image: float = 0.0  # away from a restoration without attention to the references
    reference: float = 0.0  # away from one that neither sees nor aligns them

    def __post_init__(self) -> None:
        for each in fields(self):
            scale = getattr(self, each.name)
            if not 0 <= scale <= MOST:
                raise ConfigError(f"guidance's {each.name} must be from 0 to {MOST:g}, got {scale}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Negative:
    """One stream to go away from."""

    scale: float
    prompt: FacePrompt
    streams: Streams
    aligned: bool  # whether the reference is brought to the frames


def negatives(
    guidance: Guidance,
    prompt: FacePrompt,
    streams: Streams,
    another: np.ndarray | None = None,
    *,
    aligned: bool = True,
) -> list[Negative]:
    """Return the negative streams whose scale is not 0.

    A stream that would take away something that is not there is left out: it would do nothing.

    Args:
        guidance: the scales.
        prompt: the whole one.
        streams: what of it is there.
        another: the identity (128,) of somebody else in the clip, who could be taken for the
            person; None: sampling goes away from no identity in particular.
        aligned: whether the whole prompt's reference is brought to the frames.
    """
    found: list[Negative] = []

    def add(
        scale: float, lacks: Streams, of: FacePrompt = prompt, *, brought: bool = aligned
    ) -> None:
        if scale > 0 and (lacks != streams or of is not prompt or brought != aligned):
            found.append(Negative(scale=scale, prompt=of, streams=lacks, aligned=brought))

    add(guidance.low_quality, replace(streams, low_quality=True))
    if another is not None and streams.identity and prompt.identity is not None:
        add(guidance.identity, streams, prompt.of_another(another))
    else:
        add(guidance.identity, replace(streams, identity=False, attributes=False))
    add(guidance.image, replace(streams, image=False))
    add(guidance.reference, replace(streams, image=False), brought=False)
    return found


def guided(z: np.ndarray, away_from: Sequence[tuple[float, np.ndarray]]) -> np.ndarray:
    """Return z + sum of scale (z - z_i), where z and z_i have one shape; without any, z itself."""
    found = z
    for scale, other in away_from:
        found = found + np.float32(scale) * (z - other)
    return found
