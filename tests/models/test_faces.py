"""Face restoration at run time gives what PyTorch gives, and refuses what it cannot use."""

from dataclasses import replace

import numpy as np
import pytest
from support.pictures import smooth_picture

from livemoments import bridge
from livemoments.align.flow import pixel_grid
from livemoments.errors import InputError, WeightsError
from livemoments.models.codec import decode, encode
from livemoments.models.face_window import Streams
from livemoments.models.faces import SHIPPED, SIZE_PX, FaceModel, _correspondence, load_faces

FRAMES = 2


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    pytest.importorskip("torch", reason="the train extra is not installed")
    pytest.importorskip("onnx", reason="the train extra is not installed")
    from support.tiny.faces import tiny_checkpoint

    return tiny_checkpoint(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def folder(checkpoint, tmp_path_factory):
    from livemoments.lab.training.export import export

    folder = tmp_path_factory.mktemp("model")
    export(checkpoint, folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return load_faces(folder, threads=1)


def pictures(count: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """A reference, and frames of it that move and are a little darker."""
    whole = smooth_picture(SIZE_PX + 16, SIZE_PX + 16)
    reference = whole[8:-8, 8:-8]
    frames = np.stack([0.9 * whole[6 + t : 6 + t + SIZE_PX, 7 : 7 + SIZE_PX] for t in range(count)])
    return np.ascontiguousarray(reference), np.ascontiguousarray(frames, np.float32)


def numbers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(0, 0.1, 128), np.array([0.3, -0.2, 0.0, 0.9])


ALL = Streams()


def restored(model, streams=ALL, prompt=None, *, with_reference=True, count=FRAMES):
    """One step from the start, as `training.faces_validate.restore_clip`; T x N x N x 3."""
    reference, frames = pictures(count)
    prompt = prompt or model.prompt(reference[None], *numbers())
    faces = [model.align(frame, prompt if with_reference else None) for frame in frames]
    return predicted(model, faces, prompt, streams)


def predicted(model, faces, prompt, streams=ALL):
    z_frame = encode(np.concatenate([face.frame for face in faces]))
    z = bridge.start(z_frame, np.zeros_like(z_frame))
    truth = model.predict(z, faces, bridge.HORIZON, prompt, streams)
    return decode(truth).transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def usual(model):
    """What the other tests compare with: aligned faces, their prompt and what comes of both."""
    reference, frames = pictures()
    prompt = model.prompt(reference[None], *numbers())
    faces = [model.align(frame, prompt) for frame in frames]
    return faces, prompt, predicted(model, faces, prompt)


@pytest.mark.slow
def test_it_gives_what_pytorch_gives(model, checkpoint, monkeypatch):
    torch = pytest.importorskip("torch")
    from livemoments.lab.training.faces.export import load_face_net
    from livemoments.lab.training.faces.validate import restore_clip

    net, _ = load_face_net(checkpoint)
    reference, frames = pictures()
    found = [_correspondence(frame, reference, 2.0) for frame in frames]
    flow, confidence = zip(*found, strict=True)
    grid = pixel_grid(SIZE_PX, SIZE_PX)

    def planes(pictures):
        array = np.ascontiguousarray(np.moveaxis(np.asarray(pictures), -1, 1), np.float32)
        return torch.from_numpy(array)[None]

    identity, attributes = (torch.tensor(row[None], dtype=torch.float32) for row in numbers())
    sure = np.stack(confidence)[..., None]
    clip = {
        "frame": planes(frames), "reference": planes([reference])[0],
        "flow": planes(np.stack(flow) - grid), "confidence": planes(sure),
        "identity": identity, "attributes": attributes, "corner": torch.zeros(1, 2),
    }  # fmt: skip
    with torch.no_grad():
        wanted = restore_clip(net, clip)[0].permute(0, 2, 3, 1).numpy()
    monkeypatch.setattr(model, "realigns", False)
    found = np.clip(restored(model), 0, 1)
    assert np.abs(found - frames).mean() > 5e-3  # it does something
    assert np.abs(found - wanted).max() < 2e-3


def test_the_reference_is_found_where_it_lies():
    reference, frames = pictures()
    positions, confidence = _correspondence(frames[1], reference, 2.0)
    flow = (positions - pixel_grid(SIZE_PX, SIZE_PX))[64:-64, 64:-64]
    assert np.median(flow, (0, 1)) == pytest.approx([-1, -1], abs=0.3)
    assert confidence.shape == (SIZE_PX, SIZE_PX) and np.median(confidence) > 0.5


@pytest.mark.parametrize(
    "streams",
    [
        Streams(image=False), Streams(identity=False), Streams(attributes=False),
        Streams(low_quality=True),
    ],
)  # fmt: skip
def test_each_stream_matters(model, usual, streams):
    faces, prompt, whole = usual
    assert np.abs(predicted(model, faces, prompt, streams) - whole).max() > 1e-4


def test_what_is_not_known_is_not_there(model, usual):
    faces, prompt, _ = usual
    unknown = model.prompt(pictures()[0][None])
    without = predicted(model, faces, prompt, Streams(identity=False, attributes=False))
    np.testing.assert_allclose(predicted(model, faces, unknown), without, atol=1e-5)


def test_another_persons_numbers_change_the_result(model, usual):
    faces, prompt, whole = usual
    other = prompt.of_another(-numbers()[0])
    assert other.maps is prompt.maps and other.identity.shape == (1, 128)
    assert np.abs(predicted(model, faces, other) - whole).max() > 1e-4


def test_without_the_aligned_reference_its_pixels_do_not_count(model):
    reference, _ = pictures()
    prompt = model.prompt(reference[None], *numbers())
    dark = replace(prompt, reference=np.zeros_like(reference))
    one, other = (restored(model, prompt=each, with_reference=False) for each in (prompt, dark))
    np.testing.assert_array_equal(one, other)


def test_references_may_come_in_any_order_but_the_first(model):
    reference, _ = pictures()
    others = [np.ascontiguousarray(reference[:, ::-1]), reference[::-1].copy()]
    one, other = (
        restored(model, prompt=model.prompt(np.stack([reference, *rest]), *numbers()), count=1)
        for rest in (others, others[::-1])
    )
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_the_same_twice_up_to_rounding(model, usual):
    """Aligning a face again may differ by the last bit of a number, which 8 bits never show."""
    np.testing.assert_allclose(restored(model), usual[2], atol=1e-5)


def test_one_frame_will_do(model):
    assert restored(model, count=1, with_reference=False).shape == (1, SIZE_PX, SIZE_PX, 3)


def test_a_model_is_made_once(folder, model):
    assert load_faces(folder, threads=1) is model
    assert "step" in model.about


def test_what_it_cannot_use_is_refused(model):
    reference, frames = pictures()
    with pytest.raises(InputError, match="give R x N x N x 3"):
        model.prompt(reference)
    with pytest.raises(InputError, match=r"an identity of \(4,\); give 128 numbers"):
        model.prompt(reference[None], np.zeros(4))
    prompt = model.prompt(reference[None])
    with pytest.raises(InputError, match="give 256 x 256 x 3"):
        model.align(frames[0, :64], prompt)
    face = model.align(frames[0], prompt)
    z = np.zeros((25, 48, 64, 64), np.float32)
    for faces in ([], [face] * 25):
        with pytest.raises(InputError, match="give 1 to 24"):
            model.predict(z[: len(faces)], faces, 0.2, prompt, Streams())


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(WeightsError, match="no weights of face restoration there"):
        FaceModel(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="faces.json: the face model's weights cannot be read"):
        FaceModel(tmp_path)
    assert SHIPPED.name == "faces"


def test_a_file_that_was_changed_is_named(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "refiner.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match="refiner.onnx: not the file"):
        FaceModel(tmp_path)
