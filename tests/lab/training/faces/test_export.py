"""A checkpoint of the face tier as ONNX files: any number of frames and references."""

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")
ort = pytest.importorskip("onnxruntime")

from support.tiny.compact import TINY

from livemoments.errors import WeightsError
from livemoments.lab.training.data.pairs import PairConfig
from livemoments.lab.training.export import export
from livemoments.lab.training.faces.export import load_face_net
from livemoments.lab.training.run.checkpoint import Run
from livemoments.lab.training.run.config import FaceTrainConfig, TrainConfig
from livemoments.networks.blocks import LATENT
from livemoments.networks.faces import FaceNet, Prompt

MAPS = ("feature_4", "feature_8", "feature_16")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    faces = FaceTrainConfig(portraits=folder)
    config = TrainConfig(
        output=folder, model="faces", network=TINY, faces=faces,
        pairs=PairConfig(margin=0),
    )  # fmt: skip
    torch.manual_seed(0)
    model = FaceNet(TINY, faces.network)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    optimiser = torch.optim.AdamW(model.parameters())
    Run(model=model, average=model, optimiser=optimiser).save(folder / "last.pt", config)
    return folder / "last.pt"


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    files = export(checkpoint, folder)
    assert [path.name for path in files] == [
        "refiner.onnx", "reference.onnx", "restoration.onnx", "faces.json",
    ]  # fmt: skip
    return folder


@pytest.mark.parametrize(("frames", "references", "side"), [(1, 1, 64), (2, 3, 128), (24, 1, 64)])
def test_onnx_gives_what_pytorch_gives(checkpoint, exported, frames, references, side):
    net, about = load_face_net(checkpoint)
    assert about["step"] == 0
    generator = torch.Generator().manual_seed(frames)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    c, h = TINY.channels, side // 4
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(parameter.half().float())
        prompt = net.prompt(rand(1, references, 3, 128, 128), rand(1, 128), rand(1, 4))
        given = {
            "z": rand(frames, LATENT, h, h),
            "frame": rand(frames, 3, side, side),
            "reference": rand(frames, 3, side, side),
            **{name: rand(frames, c[i], h // 2**i, h // 2**i) for i, name in enumerate(MAPS)},
            "motion": rand(frames, 3, h, h),
            "t": torch.full((frames,), 0.2),
        }
        wanted = net(*_as_arguments(given), prompt=prompt, frames=frames)
    feed = given | _as_inputs(prompt)
    session = ort.InferenceSession(str(exported / "restoration.onnx"))
    found = session.run(["truth"], {name: x.numpy() for name, x in feed.items()})[0]
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-3, atol=1e-4)


def _as_arguments(given: dict) -> tuple:
    maps = tuple(given[name] for name in MAPS)
    return given["z"], given["frame"], given["reference"], maps, given["motion"], given["t"]


def _as_inputs(prompt: Prompt) -> dict:
    return {
        "prompt_8": prompt.features[0][0],
        "prompt_16": prompt.features[1][0],
        "identity": prompt.identity,
        "attributes": prompt.attributes,
        "streams": torch.tensor([1.0, 1.0, 1.0, 0.0]),
    }


def test_another_checkpoint_is_refused(tmp_path):
    torch.save({"config": {"model": "faces"}}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="not a checkpoint of the face tier"):
        export(tmp_path / "x.pt", tmp_path / "out")
