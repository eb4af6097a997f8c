"""Run face restoration with ONNX Runtime on windows of one person's canonical faces. No PyTorch."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from livemoments import bridge
from livemoments.align.alignment import align
from livemoments.align.dense import estimate_flow
from livemoments.align.flow import pixel_grid, resize_flow
from livemoments.errors import InputError, WeightsError
from livemoments.models.aligned import (
    MAPS,
    AlignedReference,
    align_reference,
    no_reference,
    planes,
    reference_features,
)
from livemoments.models.cache import ModelCache
from livemoments.models.codec import decode, encode
from livemoments.models.face_window import AlignedFace, FacePrompt, Streams
from livemoments.models.sessions import open_session, read_about

SIZE_PX, MOST_PX = 256, 512  # of a canonical face, at least and at most
STEP_PX = 64  # between two sides
# How much smaller than the canonical square a face is when it is aligned with its reference: a poor
# one has no more detail at full than at half its size, a restored one has.
COARSE, FINE = 2.0, 1.5
FRAMES = 24  # of a window, at most: IP-FVR's clips
IDENTITY, ATTRIBUTES = 128, 4
SHIPPED = Path(__file__).parent.parent / "weights" / "faces"


class FaceModel:
    """FaceNet's three networks, as ONNX sessions."""

    name = "faces"
    size_px, most_px = SIZE_PX, MOST_PX
    frames = FRAMES
    # Align again with the face restored by the first alignment: a poor one misleads.
    realigns = True

    def __init__(self, folder: Path = SHIPPED, threads: int = 0) -> None:
        """Read the three networks of a folder, as `lab.training.faces.export` writes them.

        Args:
            folder: with refiner.onnx, reference.onnx, restoration.onnx and faces.json.
            threads: at most so many; 0: one per core.

        Raises:
            WeightsError: a file is missing, damaged or another one.
        """
        if not folder.exists():
            raise WeightsError(
                f"{folder}: no weights of face restoration there; give a folder that "
                "`livemoments lab export` wrote from a checkpoint of face restoration"
            )
        self.about = read_about(folder / "faces.json", "face model")
        self._refiner = open_session(folder / "refiner.onnx", threads)
        self._reference = open_session(folder / "reference.onnx", threads)
        # A window of 24 frames needs more than 1 GB, which is given back after it.
        self._restoration = open_session(folder / "restoration.onnx", threads, keep_memory=False)

    def prompt(
        self,
        references: np.ndarray,
        identity: np.ndarray | None = None,
        attributes: np.ndarray | None = None,
    ) -> FacePrompt:
        """Prepare what a person's faces are restored by.

        Args:
            references: canonical faces R x N x N x 3, float32 in [0, 1], the best aligned one
                first: that one is brought to each frame. Attention looks at all of them, at 256
                pixels whatever N is: at a face's own size, it would need 16 times the memory.
            identity: (128,), the mean of dlib's numbers of the references; None: not known.
            attributes: (4,): yaw, pitch and roll in units of 30 degrees, and sharpness, of the
                first reference; None: not known.

        Raises:
            InputError: an array has another shape.
        """
        if references.ndim != 4 or not len(references) or not _is_face(references[0]):
            raise InputError(
                f"references are an array of {references.shape}; give R x N x N x 3, one or more, "
                f"N from {SIZE_PX} to {MOST_PX} in steps of {STEP_PX}"
            )
        small = [
            cv2.resize(each, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
            for each in references
        ]
        pictures = np.ascontiguousarray(np.stack(small).transpose(0, 3, 1, 2), np.float32)
        everywhere = np.ones_like(pictures[:, :1])
        given = {"reference": pictures, "confidence": everywhere}
        middle, coarse = self._reference.run(list(MAPS[1:]), given)
        return FacePrompt(
            reference=np.ascontiguousarray(references[0], np.float32),
            maps={"prompt_8": middle, "prompt_16": coarse},
            identity=_row(identity, IDENTITY, "an identity"),
            attributes=_row(attributes, ATTRIBUTES, "attributes"),
        )

    def align(self, face: np.ndarray, prompt: FacePrompt | None) -> AlignedFace:
        """Bring the prompt's first reference to a frame's face.

        Args:
            face: N x N x 3, float32 in [0, 1]; of the prompt's size.
            prompt: the person's; None: do without a reference, as where none is trusted.

        Raises:
            InputError: the face has another size.
        """
        if not _is_face(face) or (prompt is not None and face.shape != prompt.reference.shape):
            asked = "N x N x 3" if prompt is None else " x ".join(map(str, prompt.reference.shape))
            raise InputError(
                f"a face is an array of {face.shape}; give {asked}, as crops.cut does, N from "
                f"{SIZE_PX} to {MOST_PX} in steps of {STEP_PX}"
            )
        face = np.ascontiguousarray(face, np.float32)
        if prompt is None:
            return self._with_features(face, no_reference(planes(face)))
        aligned = self._aligned(face, prompt, face, COARSE)
        if self.realigns:
            aligned = self._aligned(face, prompt, self._draft(aligned, prompt), FINE)
        return aligned

    def _aligned(
        self, face: np.ndarray, prompt: FacePrompt, draft: np.ndarray, reduced: float
    ) -> AlignedFace:
        """Bring the reference to a face, by the motion between it and a draft of the face."""
        positions, confidence = _correspondence(draft, prompt.reference, reduced)
        found = align_reference(
            self._refiner, planes(face), prompt.reference, positions, confidence
        )
        return self._with_features(face, found)

    def _with_features(self, face: np.ndarray, found: AlignedReference) -> AlignedFace:
        return AlignedFace(
            frame=planes(face), reference=found.reference, motion=found.motion,
            features=reference_features(self._reference, found),
        )  # fmt: skip

    def _draft(self, aligned: AlignedFace, prompt: FacePrompt) -> np.ndarray:
        """Restore a face alone, N x N x 3 in [0, 1], to be aligned better."""
        z_frame = encode(aligned.frame)
        z = bridge.start(z_frame, np.zeros_like(z_frame))
        truth = self.predict(z, [aligned], bridge.HORIZON, prompt, Streams())
        picture = decode(truth)[0].transpose(1, 2, 0)
        return np.ascontiguousarray(np.clip(picture, 0, 1), np.float32)

    def predict(
        self,
        z: np.ndarray,
        faces: Sequence[AlignedFace],
        t: float,
        prompt: FacePrompt,
        streams: Streams,
    ) -> np.ndarray:
        """Predict z_Hs of a window of frames; about 0.1 s for each of N = 256 on two cores.

        Args:
            z: the bridge's points, T x 48 x N/4 x N/4.
            faces: T of them, in order; at most `frames`.
            t: the bridge's time, in (0, 0.2].
            prompt: whose faces they are.
            streams: which parts of the prompt are used, if the prompt has them.

        Raises:
            InputError: there are none, or too many frames.
        """
        if not 1 <= len(faces) <= FRAMES:
            raise InputError(f"a window of {len(faces)} frames; give 1 to {FRAMES}")
        there = streams.values()
        there[1:3] *= (prompt.identity is not None, prompt.attributes is not None)
        of_frames = [
            {"frame": x.frame, "reference": x.reference, "motion": x.motion, **x.features}
            for x in faces
        ]
        feed = {
            **{name: np.concatenate([x[name] for x in of_frames]) for name in of_frames[0]},
            "z": np.asarray(z, np.float32),
            "t": np.full(len(faces), t, np.float32),
            "identity": _or_zeros(prompt.identity, IDENTITY),
            "attributes": _or_zeros(prompt.attributes, ATTRIBUTES),
            "streams": there,
            **prompt.maps,
        }
        return self._restoration.run(["truth"], feed)[0]


_MODELS = ModelCache(FaceModel)


def load_faces(folder: Path = SHIPPED, threads: int = 0) -> FaceModel:
    """Return the model of a folder, from the cache where it is there.

    Raises:
        WeightsError: a file is missing, damaged or another one.
    """
    return _MODELS.get(folder, threads)


def _correspondence(
    face: np.ndarray, reference: np.ndarray, reduced: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find where a face's pixels lie in a reference, N x N x 2, and how sure that is, N x N.

    A homography and dense flow are sought, as for a frame and its key photo; where no homography is
    found, flow alone: the canonical squares are nearly aligned already.
    """
    side = face.shape[0]
    size = round(side / reduced)
    small = cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA)
    found = align(small, reference)
    flow, confidence = found.flow_frame_to_key, found.confidence
    if flow is None or confidence is None or flow.shape[:2] != (side, side):
        dense = estimate_flow(small, reference)
        flow = resize_flow(dense.flow_frame_to_key, side, side)
        confidence = cv2.resize(dense.confidence, (side, side), interpolation=cv2.INTER_LINEAR)
    return pixel_grid(side, side) + flow, confidence


def _is_face(picture: np.ndarray) -> bool:
    """Return whether an array has the shape of a canonical face that the networks take."""
    side = picture.shape[0]
    return picture.shape == (side, side, 3) and side in range(SIZE_PX, MOST_PX + 1, STEP_PX)


def _or_zeros(row: np.ndarray | None, count: int) -> np.ndarray:
    return np.zeros((1, count), np.float32) if row is None else row


def _row(numbers: np.ndarray | None, count: int, what: str) -> np.ndarray | None:
    if numbers is None:
        return None
    if np.shape(numbers) != (count,):
        raise InputError(f"{what} of {np.shape(numbers)}; give {count} numbers")
    return np.asarray(numbers, np.float32)[None]
