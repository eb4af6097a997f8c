"""dlib's recognition network in PyTorch gives dlib's numbers; chips are those that faces cuts."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from livemoments.errors import MissingExtraError, WeightsError
from livemoments.faces.crops import cut
from livemoments.faces.face import Placement
from livemoments.faces.identity import CHIP_PX, chip_placement
from livemoments.faces.models import NETWORK, FaceModels, models_folder
from livemoments.networks.face_identity import CHIP_MIDDLE, CHIP_SIDE, chips, read_face_identity


def picture(size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    waves = [np.sin(9 * x + 5 * y), np.cos(7 * y), np.sin(20 * x * y)]
    return (0.5 + 0.4 * np.stack(waves, -1)).astype(np.float32)


def as_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]


def test_chips_lie_where_the_embedder_cuts_them():
    square = chip_placement(Placement(x=0.5, y=0.5, side_px=1.0, roll=0.0))
    assert (square.x, square.y) == pytest.approx(CHIP_MIDDLE, abs=1e-5)
    assert square.side_px == pytest.approx(CHIP_SIDE, abs=1e-5)


@pytest.mark.parametrize("size", [192, 256, 512])
def test_chips_are_those_that_cut_makes(size):
    face = picture(size)
    wanted = cut(face, chip_placement(Placement.of_canonical(size)), CHIP_PX)
    found = chips(as_tensor(face))[0].permute(1, 2, 0).numpy()
    assert np.abs(found - wanted)[2:-2, 2:-2].max() < 0.01


def test_chips_pass_gradients_on():
    faces = torch.rand(1, 3, 128, 128, requires_grad=True)
    chips(faces).sum().backward()
    assert faces.grad is not None
    assert float(faces.grad[0, :, 40:80, 40:80].abs().min()) > 0


def test_the_numbers_are_dlibs():
    try:
        folder, models = models_folder(), FaceModels()
    except MissingExtraError:
        pytest.skip("dlib or its models are not installed")
    network = read_face_identity(folder / NETWORK)
    chip = (255 * picture(CHIP_PX)).astype(np.uint8)
    wanted = np.array(models.network.compute_face_descriptor(chip))
    with torch.no_grad():
        found = network(as_tensor(chip.astype(np.float32) / 255))[0].numpy()
    assert np.abs(found - wanted).max() < 1e-5


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "x.dat"
    path.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"x\.dat: not dlib's face recognition network"):
        read_face_identity(path)
