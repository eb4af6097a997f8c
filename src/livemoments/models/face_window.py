"""The interface of a face model: canonical faces, their prompt and its streams.

N x N pixels of a canonical face, n x n = N/4 x N/4 latent cells of 48 channels, T frames of one
person, R references. Pictures are float32 RGB in [0, 1].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Streams:
    """Which parts of a prompt are used."""

    image: bool = True  # the unwarped references, for attention
    identity: bool = True  # dlib's numbers
    attributes: bool = True  # pose and sharpness
    low_quality: bool = False  # ask for the face's own low quality

    def values(self) -> np.ndarray:
        """Return them as the network takes them, float32 (4,)."""
        return np.array([self.image, self.identity, self.attributes, self.low_quality], np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class FacePrompt:
    """The references and numbers that a person's faces are restored by."""

    reference: np.ndarray  # N x N x 3: the one that is brought to each frame
    maps: Mapping[str, np.ndarray]  # of all R references, unwarped: ReferenceNet's, R x C x h x w
    identity: np.ndarray | None  # float32 (1, 128); None: not known
    attributes: np.ndarray | None  # float32 (1, 4); None: not known

    def of_another(self, identity: np.ndarray) -> "FacePrompt":
        """Return a negative prompt: the same pictures with another person's numbers (128,)."""
        return replace(self, identity=np.asarray(identity, np.float32).reshape(1, -1))


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedFace:
    """One frame's face with the reference brought to it: 3 MB. The first axis has length one."""

    frame: np.ndarray  # 1 x 3 x N x N
    reference: np.ndarray  # 1 x 3 x N x N; the frame itself where it is not trusted
    features: Mapping[str, np.ndarray]  # ReferenceNet's, of that
    motion: np.ndarray  # 1 x 3 x n x n: displacement towards the frame in px, trust in [0, 1]


class FaceRestorer(Protocol):
    """A model that restores windows of one person's canonical faces."""

    name: str
    size_px: int  # N, at least
    most_px: int  # and at most
    frames: int  # T at most

    def prompt(
        self,
        references: np.ndarray,
        identity: np.ndarray | None = None,
        attributes: np.ndarray | None = None,
    ) -> FacePrompt:
        """Prepare a person's prompt: R x N x N x 3, the best first; (128,) and (4,) if known."""
        ...

    def align(self, face: np.ndarray, prompt: FacePrompt | None) -> AlignedFace:
        """Bring the prompt's first reference to a frame's face N x N x 3; None: do without."""
        ...

    def predict(
        self,
        z: np.ndarray,
        faces: Sequence[AlignedFace],
        t: float,
        prompt: FacePrompt,
        streams: Streams,
    ) -> np.ndarray:
        """Predict z_Hs of T frames from the bridge's points z at time t: both T x 48 x n x n."""
        ...
