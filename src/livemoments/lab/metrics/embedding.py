"""Compare a result and its key photo as CLIP and DINO see them (LiveMoments, section 4.1).

CLIP-Q and DINO-Q are the cosine of the two embeddings, 1 for the same. As in the paper, pictures
are not reduced; networks trained at 224 pixels can look at them with zeros in place of the
embeddings of positions. Sides are cut to whole patches, as much at either end.

CLIP's embedding is that of its projection, DINO's the class token after the last norm. The paper
does not name the sizes; here they are ViT-B/32 and ViT-S/16, as in the common code of DreamBooth's
CLIP-I and DINO. Weights are looked for on this machine alone.

12 megapixels have 12,288 tokens with CLIP and 49,152 with DINO. The memory of attention grows with
their number (2 GB), the time with its square: on one core CLIP takes two minutes and DINO a quarter
of an hour, so use a graphics card for sets.
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from livemoments.errors import InputError, MissingFileError, WeightsError, first_line
from livemoments.lab.metrics.metric import need_package, size
from livemoments.models.sd3.prompt import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

T = TypeVar("T")
Kind = Literal["CLIP", "DINO"]
CLIP, DINO = "openai/clip-vit-base-patch32", "facebook/dino-vits16"
# The mean and deviation of the pictures each was trained on.
LOOKS = {
    "CLIP": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "DINO": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class ImageEmbedding:
    """A vision transformer without positions: a picture of any size to a vector."""

    def __init__(self, kind: Kind, where: str, device: str = "cpu") -> None:
        """Load a network; PyTorch computes on device.

        Args:
            kind: how it was trained.
            where: a folder as save_pretrained writes it, or a name in the Hugging Face cache.
            device: cpu, cuda, cuda:1.

        Raises:
            MissingExtraError: transformers is not installed.
            MissingFileError: the weights are not there.
            WeightsError: they are of another network.
        """
        transformers = need_package("transformers", "transformers", f"{kind}-Q")
        self.kind = kind
        config = _stored(transformers.AutoConfig.from_pretrained, kind, where)
        family, options, self._how = _family(transformers, kind, where, config.model_type)
        with quiet_transformers():  # of CLIP's other half, which is left out
            network, loading = _stored(
                family.from_pretrained, kind, where, attn_implementation="sdpa",
                output_loading_info=True, **options,
            )  # fmt: skip
        missing = sorted(loading["missing_keys"])
        if missing:
            raise WeightsError(
                f"{where}: {len(missing)} weights of {kind} are not there, "
                f"{missing[0]} among them; get the whole network"
            )
        self._network = network.eval().float().to(device)
        self._device = device
        self.patch_px = int(getattr(network.config, "vision_config", network.config).patch_size)
        with torch.no_grad():
            _positions(network, kind).zero_()

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Embed RGB H x W x 3 in [0, 1]; float32 (d,) of length 1.

        Raises:
            InputError: a side is shorter than a patch.
        """
        image = torch.from_numpy(self._cut(picture).transpose(2, 0, 1)[None].copy())
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in LOOKS[self.kind])
        with torch.inference_mode():
            found = self._network(((image - mean) / deviation).to(self._device), **self._how)
            vector = found.image_embeds if self.kind == "CLIP" else found.last_hidden_state[:, 0]
            return F.normalize(vector[0], dim=0).cpu().numpy()

    def _cut(self, picture: np.ndarray) -> np.ndarray:
        """Cut out the middle of a picture with sides of whole patches."""
        if min(picture.shape[:2]) < self.patch_px:
            raise InputError(
                f"{self.kind}-Q needs sides of at least {self.patch_px} pixels, "
                f"got {size(picture)}; compare larger pictures"
            )
        rest = [side % self.patch_px for side in picture.shape[:2]]
        y, x = (over // 2 for over in rest)
        return picture[y : y + picture.shape[0] - rest[0], x : x + picture.shape[1] - rest[1]]


def similarity(embedding: ImageEmbedding) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return the metric: the cosine of a result and a key photo, which may differ in size."""

    def measure(result: np.ndarray, key_photo: np.ndarray) -> float:
        return float(np.clip(embedding(result) @ embedding(key_photo), -1, 1))

    return measure


def _stored(read: Callable[..., T], kind: str, where: str, **options: object) -> T:
    """Let transformers read something of a network on this machine."""
    try:
        return read(where, local_files_only=True, **options)
    except Exception as error:  # noqa: BLE001 - transformers' errors share no base class
        if Path(where).is_dir():
            reason = f"no network that transformers reads: {first_line(error)}"
            raise WeightsError(f"{where}: {reason}") from error
        # What transformers says is of a connection, which was not even tried.
        raise MissingFileError(
            f"{kind}-Q needs {where}, which is no folder and not in the Hugging Face cache; "
            f"hf download {where}, or name a folder with such a network"
        ) from error


def _family(
    transformers: ModuleType, kind: Kind, where: str, found: str
) -> tuple[Any, dict[str, object], dict[str, bool]]:
    """Return a network's class, the options to load it, and those to call it at any size."""
    anywhere = {"interpolate_pos_encoding": True}
    if kind == "CLIP" and found in ("clip", "clip_vision_model"):
        return transformers.CLIPVisionModelWithProjection, {}, anywhere
    if kind == "DINO" and found == "vit":
        return transformers.ViTModel, {"add_pooling_layer": False}, anywhere
    if kind == "DINO" and found == "dinov2":
        return transformers.Dinov2Model, {}, {}  # takes any size as it is
    expected = "clip" if kind == "CLIP" else "vit or dinov2"
    raise WeightsError(f"{where}: a network of the kind {found}, expected {expected}")


def _positions(network: "PreTrainedModel", kind: Kind) -> Tensor:
    """Return the parameter that gives a network's tokens their positions."""
    if kind == "CLIP":
        return network.vision_model.embeddings.position_embedding.weight
    return network.embeddings.position_embeddings
