"""Eq. 7, and the learned grades of a stand-in for pyiqa."""

import sys
import types

import numpy as np
import pytest
from support.pictures import noise_picture, scene

from livemoments.errors import InputError, MissingExtraError, MissingFileError
from livemoments.lab.metrics.relative import relative, relative_metric


def test_equation_7():
    assert relative(3.0, 3.0) == 0
    assert relative(4.5, 3.0) == pytest.approx(0.5)
    assert relative(1.5, 3.0) == pytest.approx(0.5)  # better than the key photo counts as worse


@pytest.mark.parametrize("grade", [0.0, -1.0, float("nan")])
def test_a_share_of_nothing_is_refused(grade):
    with pytest.raises(InputError, match=r"key photo's grade is .*, and a share of it means noth"):
        relative(1.0, grade)


def test_both_grades_are_said():
    metric = relative_metric("LEVEL", lambda picture: float(picture.mean()))
    found = metric(np.full((4, 4, 3), 0.5), np.full((2, 2, 3), 0.4))
    assert found.value == pytest.approx(0.25)
    assert found.message == "LEVEL 0.5000, the key photo's 0.4000"
    picture = scene(40, 40)
    assert metric(picture, picture).value == 0


class TestLearned:
    @pytest.fixture
    def pyiqa(self, monkeypatch):
        """A package of that name whose metrics are the mean of the picture."""
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        package, asked = types.ModuleType("pyiqa"), []

        def create_metric(name, device):
            asked.append((name, str(device)))
            return lambda image: torch.stack([image.mean()])

        package.create_metric, package.asked = create_metric, asked
        monkeypatch.setitem(sys.modules, "pyiqa", package)
        return package

    @pytest.mark.parametrize("name", ["MUSIQ", "CLIPIQA", "MANIQA"])
    def test_they_are_pyiqas(self, pyiqa, name):
        from livemoments.lab.metrics.learned import learned_grade

        picture = noise_picture(20, 24)
        assert learned_grade(name)(picture) == pytest.approx(picture.mean(), rel=1e-5)
        assert pyiqa.asked == [(name.lower(), "cpu")]

    def test_weights_that_do_not_come_are_told(self, pyiqa):
        from livemoments.lab.metrics.learned import learned_grade

        def refuse(name, device):
            raise OSError("no route to host\nand more")

        pyiqa.create_metric = refuse
        with pytest.raises(MissingFileError, match=r"MUSIQ: .* weights \(no route to host\); run"):
            learned_grade("MUSIQ")

    def test_without_pyiqa(self, monkeypatch):
        pytest.importorskip("torch", reason="PyTorch is not installed")
        from livemoments.lab.metrics.learned import learned_grade

        monkeypatch.setitem(sys.modules, "pyiqa", None)
        with pytest.raises(MissingExtraError, match=r"MANIQA \(PolyForm-Noncommercial\) needs pyi"):
            learned_grade("MANIQA")
