"""Sample a window of one person's faces: exact bridge steps, guided and blended.

The bridge's noise is drawn for each frame of the clip by its number, so that a frame begins in the
same way in whatever window it is restored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from livemoments import bridge
from livemoments.faces.blending import Earlier
from livemoments.faces.guidance import Negative, guided
from livemoments.models.codec import decode, encode
from livemoments.models.face_window import AlignedFace, FacePrompt, FaceRestorer, Streams


@dataclass(frozen=True, kw_only=True, eq=False)
class PersonPrompt:
    """The prompts that one person's faces are restored by and away from."""

    prompt: FacePrompt
    streams: Streams
    negatives: Sequence[Negative] = ()

    @property
    def needs_unaligned(self) -> bool:
        """Whether faces without an aligned reference are needed, too."""
        return any(not negative.aligned for negative in self.negatives)


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowFace:
    """A face of a window."""

    index: int  # of the frame in the clip
    aligned: AlignedFace
    unaligned: AlignedFace | None = None  # for negatives that need it


def frame_noise(seed: int, index: int, shape: tuple[int, ...]) -> np.ndarray:
    """Draw the bridge's noise of one frame of a clip, float32."""
    return np.random.default_rng([seed, index]).standard_normal(shape, np.float32)


def sample_window(
    model: FaceRestorer,
    faces: Sequence[WindowFace],
    person: PersonPrompt,
    *,
    steps: int,
    seed: int,
    earlier: Earlier,
    next_start: int | None = None,
    after_run: Callable[[], None] | None = None,
) -> np.ndarray:
    """Restore the frames of a window.

    Args:
        model: predicts z_Hs.
        faces: of consecutive frames of the clip.
        person: prompts of the person.
        steps: of the bridge, evenly spaced.
        seed: of the bridge's noise.
        earlier: what the windows before predicted; this one's predictions are added to it.
        next_start: the clip's frame that the next window begins with; None: there is none.
        after_run: called after every run of the network; whatever it raises cancels.

    Returns:
        T x N x N x 3, float32, not clipped.
    """
    window = range(faces[0].index, faces[-1].index + 1)
    z_frame = encode(np.concatenate([face.aligned.frame for face in faces]))
    noise = np.stack([frame_noise(seed, face.index, z_frame.shape[1:]) for face in faces])
    z = bridge.start(z_frame, noise)
    times = bridge.uniform_times(steps)
    predictions = []
    for step, (t, t_next) in enumerate(zip(times, times[1:], strict=False)):
        truth = _predict(model, z.astype(np.float32, copy=False), faces, t, person, after_run)
        truth = earlier.blend(step, window, truth)
        predictions.append(truth)
        z = bridge.exact_step(z, truth, z_frame, t, t_next)
    earlier.keep(window, predictions, next_start)
    return decode(z.astype(np.float32, copy=False)).transpose(0, 2, 3, 1)


def _predict(
    model: FaceRestorer,
    z: np.ndarray,
    faces: Sequence[WindowFace],
    t: float,
    person: PersonPrompt,
    after_run: Callable[[], None] | None,
) -> np.ndarray:
    """Predict z_Hs at time t by the whole prompt, away from the negative ones."""

    def run(prompt: FacePrompt, streams: Streams, aligned: bool) -> np.ndarray:
        given = [
            face.aligned if aligned or face.unaligned is None else face.unaligned for face in faces
        ]
        found = model.predict(z, given, t, prompt, streams)
        if after_run:
            after_run()
        return found

    whole = run(person.prompt, person.streams, True)
    away_from = [
        (each.scale, run(each.prompt, each.streams, each.aligned)) for each in person.negatives
    ]
    return guided(whole, away_from)
