"""Score the face tier on clips of people it never sees: the same clips every time.

Frame, main model and face tier side by side, on whole canonical faces, mild and severe apart.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from livemoments.lab.training.compact.aligning import align_batch, predict_truth
from livemoments.lab.training.compact.validate import start_of
from livemoments.lab.training.data.scenes import SceneStore
from livemoments.lab.training.faces.clips import crop_of
from livemoments.lab.training.faces.objective import (
    FaceLosses,
    Judges,
    align_clip,
    face_losses,
    predict,
    unrest,
)
from livemoments.lab.training.run.checkpoint import take_weights
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.task import device_of, mean_losses, mean_terms, move_batch
from livemoments.networks.blocks import decode
from livemoments.networks.compact import CompactNetworks
from livemoments.networks.face_identity import chips
from livemoments.networks.faces import FaceNet

log = logging.getLogger(__name__)
CLIPS = 6  # of faces: every other clip of the store is one
SHOWN = 3  # frames in the sample picture
Restore = Callable[[dict[str, Tensor]], Tensor]
# What is measured of restored clips, means over frames, and its format. LPIPS is of the first three
# stages of VGG16, 0 without its weights; identity is the distance to the truth's, 0 without dlib's
# network; unrest, in grey levels of 255, is how errors change along the motion.
FORMATS = {"PSNR": ".2f", "LPIPS": ".4f", "identity": ".3f", "unrest": ".2f"}
Figures = dict[str, float]


class FaceValidation:
    """A few fixed clips of held-out people, and what is made of them."""

    def __init__(self, scenes: SceneStore, config: TrainConfig) -> None:
        """Cut the clips of a store of held-out ones."""
        self.config = config
        self.clips: list[dict[str, Tensor]] = []
        for index in range(0, 2 * CLIPS, 2):
            found = scenes[index]
            batch = crop_of(found, 0, 0, found.reference.shape[0])
            self.clips.append({name: plane[None] for name, plane in batch.items()})
        # The worse half by what the frames lack.
        lack = [_lack(clip) for clip in self.clips]
        middle = sorted(lack)[len(lack) // 2]
        self.severe = [each >= middle for each in lack]
        self.known: dict[str, dict[str, Figures]] = {}

    @torch.no_grad()
    def losses(self, model: FaceNet, judges: Judges) -> dict[str, float]:
        """Return the mean of each term; logs what is made of the clips.

        For comparison also the frames, and what the compact networks alone make of them with the
        weights that the run began with.
        """
        for name, restore in (("frame", _frames), ("compact model begun with", self._main())):
            if restore is not None and name not in self.known:
                self.known[name] = self._measured(restore, judges)
        rows = self.known | {"face tier": self._measured(lambda c: restore_clip(model, c), judges)}
        for kind in ("mild", "severe"):
            for name, figures in rows.items():
                if found := figures[kind]:
                    row = " ".join(f"{key} {v:{FORMATS[key]}}" for key, v in found.items())
                    log.info("held-out faces, %s, %s: %s", kind, name, row)
        usual = replace(self.config.objective, no_reference=0.0, wrong_reference=0.0, at_start=1.0)
        faces = replace(
            self.config.faces, unaligned=0.0, no_image=0.0, no_identity=0.0, no_attributes=0.0,
            low_quality=0.0,
        )  # fmt: skip

        def losses(clip: dict[str, Tensor], draws: torch.Generator) -> FaceLosses:
            clip = move_batch(clip, device_of(model))
            return face_losses(model, clip, usual, faces, draws, judges)

        return mean_losses(self.clips, losses)

    @torch.no_grad()
    def picture(self, model: FaceNet) -> Tensor:
        """Put frame, restored, truth and reference side by side: (3, rows, columns)."""
        rows = []
        for clip in self.clips[:SHOWN]:
            middle = clip["frame"].shape[1] // 2
            restored = restore_clip(model, move_batch(clip, device_of(model))).cpu()
            shown = (clip["frame"][0, middle], restored[0, middle], clip["truth"][0, middle])
            rows.append(torch.cat([*shown, clip["reference"][0]], 2))
        return torch.cat(rows, 1).clamp(0, 1)

    def _main(self) -> Restore | None:
        """Return what restores a clip by the model that the run began with."""
        if self.config.start is None or not self.config.start.exists():
            return None
        model = CompactNetworks(self.config.network).requires_grad_(False)
        take_weights(model, self.config.start)
        return lambda clip: restore_by_compact(model, clip)

    def _measured(self, restore: Restore, judges: Judges) -> dict[str, Figures]:
        """Measure what is made of the mild clips and of the severe ones."""
        found: dict[str, list[Figures]] = {"mild": [], "severe": []}
        for clip, severe in zip(self.clips, self.severe, strict=True):
            found["severe" if severe else "mild"].append(_figures(restore(clip), clip, judges))
        return {kind: mean_terms(figures) for kind, figures in found.items()}


def restore_clip(model: FaceNet, clip: dict[str, Tensor]) -> Tensor:
    """Restore a clip (1, T, 3, N, N) in one step, all streams there."""
    frames = clip["frame"].shape[1]
    frame = clip["frame"].flatten(0, 1)
    known = clip["identity"].abs().sum(1) > 0
    prompt = model.prompt(clip["reference"][:, None], clip["identity"], clip["attributes"])
    there = known.to(prompt.image_there)
    prompt = replace(prompt, identity_there=there, attributes_there=there)
    aligned = align_clip(model, clip)
    z, t = start_of(frame)
    restored = decode(predict(model, aligned, frame, z, t, prompt, frames, clip["corner"]))
    return restored.clamp(0, 1).unflatten(0, (1, frames))


def restore_by_compact(model: CompactNetworks, clip: dict[str, Tensor]) -> Tensor:
    """Restore a clip (1, T, 3, N, N) by the compact model, frame by frame."""
    batch = {name: clip[name].flatten(0, 1) for name in ("frame", "flow", "confidence")}
    key = clip["reference"].repeat_interleave(len(batch["frame"]), 0)
    aligned = align_batch(model, batch | {"key": key}, 0)
    z, t = start_of(batch["frame"])
    restored = decode(predict_truth(model, aligned, batch["frame"], z, t))
    return restored.clamp(0, 1)[None]


def _frames(clip: dict[str, Tensor]) -> Tensor:
    return clip["frame"]


def _figures(restored: Tensor, clip: dict[str, Tensor], judges: Judges) -> Figures:
    """Measure a restored clip."""
    truth = clip["truth"].to(restored.device)
    flat, true = restored.flatten(0, 1), truth.flatten(0, 1)
    mse = (flat - true).square().mean((1, 2, 3))
    lpips = distance = 0.0
    if judges.perceptual is not None:
        lpips = float(judges.perceptual(flat, true)[0])
    if judges.identity is not None:
        one, other = (judges.identity(chips(x)) for x in (flat, true))
        distance = float((one - other).norm(dim=1).mean())
    return {
        "PSNR": float((-10 * mse.clamp(min=1e-10).log10()).mean()),
        "LPIPS": lpips,
        "identity": distance,
        "unrest": 255 * float(unrest(restored - truth, clip["steps"].to(restored.device))),
    }


def _lack(clip: dict[str, Tensor]) -> float:
    """Measure the mean error of a clip's frames relative to its detail."""
    truth = clip["truth"]
    return float((clip["frame"] - truth).abs().mean() / (truth.std() + 0.01))
