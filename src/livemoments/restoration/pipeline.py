"""Use the paper's model from Python, in diffusers' manner.

    pipe = LiveMomentsPipeline.from_pretrained("LiveMoments", base="stable-diffusion-3-medium")
    live = livemoments.open("IMG_1.HEIC")
    better = pipe(live, time_s=0.8)  # better.image is float32 RGB in [0, 1]

Needs the extra "sd3"; importing this file does not.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from livemoments.errors import InputError
from livemoments.extras import need_sd3
from livemoments.models.sd3.config import PUBLISHED, SD3_MEDIUM, Sd3Config
from livemoments.progress import Progress
from livemoments.restoration.config import RestoreConfig
from livemoments.restoration.moment import RestoredMoment, restore, restore_frame

if TYPE_CHECKING:
    from livemoments.livephoto import LivePhoto
    from livemoments.models.sd3.model import Sd3Model


class LiveMomentsPipeline:
    """The paper's model, loaded once and used for many pictures."""

    def __init__(self, model: "Sd3Model") -> None:
        self.model = model

    @classmethod
    def from_pretrained(
        cls,
        weights: Path | str = PUBLISHED,
        *,
        base: Path | str = SD3_MEDIUM,
        **settings: Any,  # noqa: ANN401 - the fields of Sd3Config, which checks them
    ) -> "LiveMomentsPipeline":
        """Load a checkpoint of the published layout.

        Args:
            weights: a folder with `transformer`, `transformer_ref` and a motion encoder, or the
                name of a repository in the Hugging Face cache.
            base: SD3-medium, likewise; not read where weights has an autoencoder of its own.
            settings: fields of `Sd3Config`, such as device, precision, official, batch.

        Raises:
            MissingExtraError: without the extra "sd3".
            WeightsError: weights that are missing or cannot be used.
            DeviceError: no such device, or too little memory.
        """
        need_sd3("LiveMomentsPipeline")
        from livemoments.models.sd3.model import load_sd3_model

        return cls(load_sd3_model(Sd3Config(weights=weights, base=base, **settings)))

    def save_pretrained(self, folder: Path | str, *, overwrite: bool = False) -> Path:
        """Write the model's parts into one folder, from which it can be loaded again.

        Raises:
            OutputError: the folder is not empty and overwrite is not set, or cannot be written.
        """
        from livemoments.models.sd3.weights import save_sd3

        model, path = self.model, Path(folder)
        save_sd3(path, model.dual, vae=model.vae, prompt=model.prompt, overwrite=overwrite)
        return path

    def __call__(
        self,
        picture: "LivePhoto | np.ndarray",
        key_photo: np.ndarray | None = None,
        *,
        time_s: float | None = None,
        steps: int | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> RestoredMoment:
        """Restore a Live Photo's moment at time_s, or a frame with its key photo.

        Frame and key photo are uint8 or float RGB, H x W x 3, as for `livemoments.restore_frame`.
        The result has the frame's tone and colour, as in the paper.

        Raises:
            InputError: neither a Live Photo with a time nor a frame with a key photo.
        """
        config = RestoreConfig(
            model="sd3", steps=steps, seed=seed, look="frame", sd3=self.model.config
        )
        if isinstance(picture, np.ndarray):
            if key_photo is None:
                raise InputError("a frame needs its key photo as the second argument")
            return restore_frame(
                picture, key_photo, config=config, model=self.model, progress=progress
            )
        if time_s is None:
            raise InputError(f"{picture.name}: give the moment as time_s, in seconds")
        return restore(picture, time_s=time_s, config=config, model=self.model, progress=progress)
