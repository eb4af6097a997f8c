"""Export a checkpoint of the face tier to the ONNX files of a model.

They restore one clip at a time, of any number of frames and references.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from livemoments.lab.training.run.checkpoint import read_average
from livemoments.lab.training.run.exported import sizes_of
from livemoments.lab.training.run.onnx_files import Graphs, round_to_half, write_model
from livemoments.models.aligned import MAPS
from livemoments.networks.blocks import FOLD, LATENT
from livemoments.networks.compact_config import CompactConfig
from livemoments.networks.faces import ATTRIBUTES, IDENTITY, FaceConfig, FaceNet, Prompt


class _FlatFaces(nn.Module):
    """FaceNet for one clip, with everything as inputs of their own, as ONNX wants them."""

    def __init__(self, net: FaceNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, z: Tensor, frame: Tensor, reference: Tensor, feature_4: Tensor, feature_8: Tensor,
        feature_16: Tensor, motion: Tensor, t: Tensor, prompt_8: Tensor, prompt_16: Tensor,
        identity: Tensor, attributes: Tensor, streams: Tensor,
    ) -> Tensor:  # fmt: skip
        """Restore by prompt_8 and prompt_16 (R, C, h, w), identity (1, 128), attributes (1, 4).

        streams (4,): whether image, identity and attributes are there, and low quality.
        """
        image, who, how, low = streams.chunk(4)
        prompt = Prompt(
            features=(prompt_8[None], prompt_16[None]), identity=identity, attributes=attributes,
            image_there=image, identity_there=who, attributes_there=how, low_quality=low,
        )  # fmt: skip
        return self.net(
            z, frame, reference, (feature_4, feature_8, feature_16), motion, t,
            prompt=prompt, frames=z.shape[0],
        )  # fmt: skip


def load_face_net(checkpoint: Path) -> tuple[FaceNet, dict[str, Any]]:
    """Load the averaged network of a checkpoint, with its sizes, step and minutes.

    Raises:
        WeightsError: it is no checkpoint of the face tier.
    """
    return read_average(checkpoint, _network_of, "a checkpoint of the face tier")


def _network_of(config: dict[str, Any]) -> tuple[FaceNet, dict[str, Any]]:
    network, faces = sizes_of(config["network"]), config["faces"]["network"]
    model = FaceNet(CompactConfig(**network), FaceConfig(**faces))
    return model, {"network": network, "faces": faces}


def export_faces(checkpoint: Path, folder: Path) -> list[Path]:
    """Write refiner.onnx, reference.onnx, restoration.onnx and faces.json into folder."""
    model, about = load_face_net(checkpoint)
    round_to_half(model)
    n, frames = 128, 3
    image, plane = torch.rand(frames, 3, n, n), torch.rand(frames, 1, n, n)
    small = torch.rand(frames, 3, n // FOLD, n // FOLD)
    latent, t = torch.rand(frames, LATENT, n // FOLD, n // FOLD), torch.full((frames,), 0.2)
    with torch.no_grad():
        features = model.reference(image, plane)
        references = model.reference(image[:2], torch.ones_like(plane[:2]))
    maps = list(MAPS)
    jobs: Graphs = {
        "refiner": (
            model.refiner, (image, image, plane), ["frame", "warped", "confidence"], ["refined"],
        ),
        "reference": (model.reference, (image, plane), ["reference", "confidence"], maps),
        "restoration": (
            _FlatFaces(model).eval(),
            (
                latent, image, image, *features, small, t, *references[1:],
                torch.rand(1, IDENTITY), torch.rand(1, ATTRIBUTES), torch.ones(4),
            ),
            ["z", "frame", "reference", *maps, "motion", "t", "prompt_8", "prompt_16", "identity",
             "attributes", "streams"],
            ["truth"],
        ),
    }  # fmt: skip
    return write_model(jobs, folder, about, "faces.json")
