"""Methods of the benchmark: their names, what each makes of a case, and programs of others."""

import shlex
import sys

import cv2
import numpy as np
import pytest
from support.benchmark_sets import HEIGHT, WIDTH, contents, write_pairs, write_png
from support.pictures import as_bytes, scene

from livemoments.errors import (
    ConfigError,
    DamagedFileError,
    LiveMomentsError,
    MissingExtraError,
    MissingFileError,
    WeightsError,
)
from livemoments.lab.benchmark.manifest import read_picture
from livemoments.lab.benchmark.methods import METHODS, Method, parse_method
from livemoments.lab.benchmark.restorers import MethodInput, Settings
from livemoments.models.compact import SHIPPED, load_compact
from livemoments.restoration.moment import restore_frame

ONE_THREAD = Settings(threads=1)
PYTHON = shlex.quote(sys.executable)


@pytest.fixture
def case(tmp_path):
    place = write_pairs(tmp_path / "set", "a") / "a"
    return MethodInput(
        name="a", frame=place / "frame.png", key=place / "key.png", height=HEIGHT, width=WIDTH
    )


def run(text: str, case: MethodInput) -> np.ndarray:
    return parse_method(text).load(ONE_THREAD).restore(case)


def script(folder, body: str) -> str:
    """A program of these lines of Python, with its three places as frame, key and output."""
    path = folder / "restore it.py"
    path.write_text("import sys\nframe, key, output = sys.argv[1:]\n" + body)
    return f"program:{PYTHON} {shlex.quote(str(path))} {{frame}} {{key}} {{output}}"


class TestNames:
    @pytest.mark.parametrize(
        ("text", "kind", "argument", "folder"),
        [
            ("frame", "frame", "", "frame"),
            ("livemoments", "livemoments", "", "livemoments"),
            ("folder:/a/b c", "folder", "/a/b c", "folder-a-b-c-"),
            ("mine=livemoments:models/x", "livemoments", "models/x", "mine"),
            ("sd3:Clara-7/LiveMoments", "sd3", "Clara-7/LiveMoments", "sd3-Clara-7-LiveMoments-"),
            ("x=program:run --a=b {frame} {output}", "program", "run --a=b {frame} {output}", "x"),
            ("program:a=b {frame} {output}", "program", "a=b {frame} {output}", "program-a-b-"),
        ],
    )
    def test_they_are_read(self, text, kind, argument, folder):
        found = parse_method(text)
        assert (found.kind, found.argument) == (kind, argument)
        assert found.folder.startswith(folder) and "/" not in found.folder
        assert len(found.folder) <= 67

    def test_two_names_have_two_folders(self):
        names = ["folder:a/b", "folder:a-b", "folder:a b", "folder:" + "x" * 200]
        assert len({parse_method(name).folder for name in names}) == 4

    def test_people_read_labels(self):
        assert parse_method("frame").label == "frame, bicubic"
        assert parse_method("livemoments:a/mine").label == "LiveMoments compact: mine"
        assert parse_method("ours=livemoments:a/mine").label == "ours"
        assert parse_method("program:run {frame} {output}").label.startswith("program: run {frame}")

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("magic", "no method 'magic'; there are frame, key,"),
            ("frame:x", r"method 'frame:x': give it as frame"),
            ("folder", "give it as folder:FOLDER"),
            ("folder:", "give it as folder:FOLDER"),
            ("livemoments:", r"give it as livemoments\[:FOLDER\]"),
            ("program", "give it as program:COMMAND"),
            ("program:run {frame}", r"\{output\} is not in it"),
            ("program:run {output} {key}", r"\{frame\} is not in it"),
            ("program:run '{frame} {output}", "cannot be split into words"),
            ("", "no method ''"),
        ],
    )
    def test_what_is_none_is_refused(self, text, why):
        with pytest.raises(ConfigError, match=why):
            parse_method(text)


class TestOurs:
    def test_the_frame_is_enlarged_bicubically(self, case):
        frame = read_picture(case.frame).astype(np.float32) / 255
        expected = cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        np.testing.assert_allclose(run("frame", case), np.clip(expected, 0, 1), atol=1e-6)

    def test_the_key_photo_is_brought_to_the_frame(self, tmp_path):
        """The key photo is the truth moved by 6 px: aligned, it is nearer than as it is."""
        whole = scene(256, 336, seed=2)
        truth, key = whole[8:-8, 8:-8], whole[8:-8, 14:-2]
        frame = cv2.resize(truth, (160, 120), interpolation=cv2.INTER_AREA)
        case = MethodInput(
            name="a",
            frame=write_png(tmp_path / "frame.png", frame),
            key=write_png(tmp_path / "key.png", key),
            height=240,
            width=320,
        )
        inner = (slice(16, -16), slice(16, -16))
        found = run("key", case)
        assert found.shape == truth.shape
        assert np.abs(found - truth)[inner].mean() < 0.3 * np.abs(key - truth)[inner].mean()

    def test_where_the_key_photo_shows_something_else_it_is_the_frame(self, case):
        write_png(case.key, scene(HEIGHT, WIDTH, seed=77))
        np.testing.assert_array_equal(run("key", case), run("frame", case))

    @pytest.mark.slow
    def test_our_model_is_what_restore_gives(self, case):
        frame, key = read_picture(case.frame), read_picture(case.key)
        found = run("livemoments", case)
        model = load_compact(SHIPPED, ONE_THREAD.threads)
        np.testing.assert_array_equal(found, restore_frame(frame, key, model=model).image)
        again = run(f"livemoments:{SHIPPED}", case)
        np.testing.assert_array_equal(found, again)
        assert found.shape == (HEIGHT, WIDTH, 3)

    def test_without_reference_the_key_photo_does_not_count(self, case):
        found = run("restoration-only", case)
        write_png(case.key, scene(HEIGHT, WIDTH, seed=77))
        np.testing.assert_array_equal(run("restoration-only", case), found)

    def test_its_parameters_are_counted(self):
        pytest.importorskip("torch", reason="PyTorch is not installed")
        assert parse_method("livemoments").load(ONE_THREAD).parameters_m == pytest.approx(
            5.99, 0.01
        )

    def test_missing_weights_are_named(self, tmp_path):
        with pytest.raises(WeightsError, match=r"compact\.json"):
            parse_method(f"livemoments:{tmp_path}").load(ONE_THREAD)

    @pytest.mark.parametrize("size", [(60, 80), (24, 32), (50, 64)])
    def test_any_size_that_is_wanted_is_given(self, case, size):
        wanted = MethodInput(**{**vars(case), "height": size[0], "width": size[1]})
        for text in ("frame", "key", "livemoments"):
            assert run(text, wanted).shape == (*size, 3)

    def test_fitting_averages_where_it_shrinks(self, case):
        large = scene(2 * HEIGHT, 2 * WIDTH)
        expected = large.reshape(HEIGHT, 2, WIDTH, 2, 3).mean((1, 3))
        np.testing.assert_allclose(case.fit(large), expected, atol=1e-6)
        assert case.fit(as_bytes(large)).dtype == np.float32


class TestOthers:
    @pytest.fixture(autouse=True)
    def torch(self):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        before = torch.get_num_threads()
        yield
        torch.set_num_threads(before)

    @pytest.fixture
    def fetched(self, tmp_path, monkeypatch):
        from support.tiny.weights import real_esrgan_weights, span_weights

        cache = span_weights(real_esrgan_weights(tmp_path / "cache"))
        monkeypatch.setattr("livemoments.lab.benchmark.restorers.cache_folder", lambda: cache)

    @pytest.mark.parametrize("name", ["real-esrgan", "span"])
    def test_networks_of_others_are_fetched_and_run(self, name, case, fetched):
        method = parse_method(name)
        method.prepare()
        loaded = method.load(ONE_THREAD)
        assert loaded.restore(case).shape == (HEIGHT, WIDTH, 3)
        assert 0 < loaded.parameters_m < 0.1

    @pytest.mark.parametrize("name", ["real-esrgan", "span"])
    def test_without_torch_that_is_said(self, name, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(MissingExtraError, match="needs torch, which is not installed"):
            parse_method(name).prepare()

    def test_without_the_sd3_extra_that_is_said(self, monkeypatch):
        import importlib.util

        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match=r"the method sd3 needs .*livemoments\[sd3\]"):
            parse_method("sd3").prepare()


class TestFolder:
    def test_pictures_are_taken_by_their_names(self, case, tmp_path):
        picture = scene(HEIGHT, WIDTH, seed=5)
        write_png(tmp_path / "made" / "a.png", picture)
        np.testing.assert_array_equal(run(f"folder:{tmp_path / 'made'}", case), as_bytes(picture))

    def test_one_that_is_missing_or_damaged_is_named(self, case, tmp_path):
        with pytest.raises(MissingFileError, match=r"a\.png: cannot be read"):
            run(f"folder:{tmp_path}", case)
        (tmp_path / "a.png").write_bytes(b"nonsense")
        with pytest.raises(DamagedFileError, match=r"a\.png: not a picture"):
            run(f"folder:{tmp_path}", case)

    def test_a_folder_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(MissingFileError, match="none: no such folder"):
            parse_method(f"folder:{tmp_path / 'none'}").prepare()


class TestProgram:
    def test_it_gets_the_files_and_its_output_is_read(self, case, tmp_path):
        text = script(tmp_path, "import shutil\nshutil.copy(key, output)\n")
        np.testing.assert_array_equal(run(text, case), read_picture(case.key))

    def test_what_it_does_to_its_inputs_harms_nothing(self, case, tmp_path):
        text = script(tmp_path, "import os\nos.replace(key, output)\nopen(frame, 'w').close()\n")
        before = contents(case.frame.parent)
        run(text, case)
        assert contents(case.frame.parent) == before

    def test_no_shell_reads_the_command(self, case, tmp_path):
        marker = tmp_path / "marker"
        text = script(tmp_path, "import shutil\nshutil.copy(key, output)\n")
        with pytest.raises(LiveMomentsError, match="ended with code 1"):  # three arguments more
            run(f"{text} ; touch {marker}", case)
        assert not marker.exists()

    def test_its_threads_are_limited(self, case, tmp_path):
        body = "import os, shutil\nif os.environ['OMP_NUM_THREADS'] == '1':\n"
        run(script(tmp_path, body + "    shutil.copy(key, output)\n"), case)

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            ("print('one')\nsys.exit('no GPU here')\n", "a: .* ended with code 1: no GPU here"),
            ("pass\n", r"a: .* wrote no \{output\}$"),
            ("open(output, 'w').close()\n", r"output\.png: not a picture"),
        ],
    )
    def test_what_goes_wrong_is_said(self, case, tmp_path, body, why):
        with pytest.raises(LiveMomentsError, match=why):
            run(script(tmp_path, body), case)

    def test_one_that_is_not_there_is_named(self, case):
        with pytest.raises(MissingFileError, match="a: no-such-program cannot be started"):
            run("program:no-such-program {frame} {output}", case)


class TestIdentity:
    def test_it_is_the_same_for_the_same(self, case):
        for name in ("frame", "key", "livemoments", "restoration-only", "span", "sd3"):
            method = parse_method(name)
            assert method.identity(case, ONE_THREAD) == method.identity(case, ONE_THREAD)

    def test_threads_do_not_count_but_seeds_do(self, case):
        method = parse_method("livemoments")
        found = method.identity(case, ONE_THREAD)
        assert method.identity(case, Settings(threads=4)) == found
        assert method.identity(case, Settings(threads=1, seed=1)) != found

    def test_other_weights_are_another_method(self, case, tmp_path):
        about = (SHIPPED / "compact.json").read_text()
        (tmp_path / "compact.json").write_text(about)
        method = parse_method(f"livemoments:{tmp_path}")
        before = method.identity(case, ONE_THREAD)
        (tmp_path / "compact.json").write_text(about.replace("9456", "9457"))
        assert method.identity(case, ONE_THREAD) != before

    def test_another_script_is_another_method(self, case, tmp_path):
        method = parse_method(script(tmp_path, "pass"))
        before = method.identity(case, ONE_THREAD)
        script(tmp_path, "pass  # changed")
        assert method.identity(case, ONE_THREAD) != before

    def test_another_picture_in_the_folder_is_another(self, case, tmp_path):
        method = parse_method(f"folder:{tmp_path}")
        write_png(tmp_path / "a.png", scene(8, 8))
        before = method.identity(case, ONE_THREAD)
        write_png(tmp_path / "a.png", scene(8, 8, seed=1))
        assert method.identity(case, ONE_THREAD) != before
        with pytest.raises(MissingFileError, match=r"b\.png"):
            method.identity(MethodInput(**{**vars(case), "name": "b"}), ONE_THREAD)

    def test_changed_weights_of_sd3_are_seen(self, case, tmp_path):
        method = parse_method(f"sd3:{tmp_path}")
        before = method.identity(case, ONE_THREAD)
        (tmp_path / "x.safetensors").write_bytes(b"x")
        assert method.identity(case, ONE_THREAD) != before


def test_every_row_says_what_it_is():
    for name, row in METHODS.items():
        method = Method(name=name, kind=name)
        assert method.folder == name and method.label == row.label and method.detail == row.detail
        assert row.words in ("", "[:FOLDER]", ":FOLDER", ":COMMAND")
