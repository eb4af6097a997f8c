"""The face tier small enough for tests: random weights, which need PyTorch, and a stand-in."""

from pathlib import Path

import numpy as np

from livemoments.models.codec import encode
from livemoments.models.face_window import AlignedFace, FacePrompt


def tiny_checkpoint(folder: Path) -> Path:
    """A checkpoint of the smallest FaceNet, all of whose weights do something."""
    import torch

    from livemoments.lab.training.data.pairs import PairConfig
    from livemoments.lab.training.run.checkpoint import Run
    from livemoments.lab.training.run.config import FaceTrainConfig, TrainConfig
    from livemoments.networks.faces import FaceNet
    from support.tiny.compact import TINY

    faces = FaceTrainConfig(portraits=folder)
    config = TrainConfig(
        output=folder, model="faces", network=TINY, faces=faces, pairs=PairConfig(margin=0)
    )
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = FaceNet(TINY, faces.network)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=generator))
    optimiser = torch.optim.AdamW(model.parameters())
    Run(model=model, average=model, optimiser=optimiser).save(folder / "last.pt", config)
    return folder / "last.pt"


class FakeFaces:
    """Has what FaceModel has. Restored is the frame, half way to the reference's mean colour.

    What it is asked is noted in `asked`: the number of frames, the time and the streams.
    """

    name = "fake"
    size_px = most_px = 32
    frames = 24

    def __init__(self) -> None:
        self.asked = []
        self.aligned = 0

    def prompt(self, references, identity=None, attributes=None):
        def row(numbers):
            return None if numbers is None else np.asarray(numbers, np.float32)[None]

        return FacePrompt(
            reference=references[0], maps={}, identity=row(identity), attributes=row(attributes)
        )

    def align(self, face, prompt):
        assert face.shape == (self.size_px, self.size_px, 3) and face.dtype == np.float32
        self.aligned += 1
        frame = face.transpose(2, 0, 1)[None]
        towards = frame if prompt is None else prompt.reference.transpose(2, 0, 1)[None]
        return AlignedFace(frame=frame, reference=towards, features={}, motion=frame[:, :, :8, :8])

    def predict(self, z, faces, t, prompt, streams):
        assert len(z) == len(faces) <= self.frames
        self.asked.append((len(faces), t, streams))
        frame = np.concatenate([face.frame for face in faces])
        towards = np.concatenate([face.reference for face in faces]).mean((2, 3), keepdims=True)
        share = 0.5 if streams.image and not streams.low_quality else 0.0
        # A little of the window's mean makes it matter which frames are restored together.
        around = 0.05 * frame.mean((0, 2, 3), keepdims=True)
        return encode(frame + share * (towards - frame) + around + 0.01 * streams.identity)
