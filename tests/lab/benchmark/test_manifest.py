"""Sets of the benchmark: what is read, and what is said of those that are not as they should be."""

import json
import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
from support.benchmark_sets import HEIGHT, WIDTH, contents, write_pairs, write_png
from support.pictures import scene

from livemoments.errors import DamagedFileError, InputError, MissingFileError, OutputError
from livemoments.files import new_folder
from livemoments.lab.benchmark.manifest import (
    MANIFEST,
    SetFile,
    SetImage,
    open_set,
    read_picture,
    write_picture,
)


@pytest.fixture
def pairs(tmp_path):
    return write_pairs(tmp_path / "pairs")


@pytest.fixture
def listed(pairs):
    """The same with a manifest."""
    found = open_set(pairs)
    images = [replace(each, source="clip.mp4", licence="CC0") for each in found.images]
    made = replace(found, kind="synthetic", seed=3, images=images, notes=["a note"])
    (pairs / MANIFEST).write_text(made.to_json(), encoding="utf-8")
    return pairs


def edit(folder, change):
    path = folder / MANIFEST
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


class TestWithoutManifest:
    def test_folders_of_pictures_are_a_set(self, pairs):
        (pairs / "notes").mkdir()
        found = open_set(pairs)
        assert (found.kind, [image.name for image in found.images]) == ("pairs", ["a", "b", "c"])
        assert found.images[0].size == (HEIGHT, WIDTH) and len(found.with_truth) == 3
        assert found.images[0].files["frame"].width == WIDTH // 2

    def test_the_truth_may_be_missing(self, tmp_path):
        found = open_set(write_pairs(tmp_path, truths=False))
        assert found.with_truth == [] and found.images[0].size == (HEIGHT, WIDTH)

    def test_only_the_first_are_looked_at(self, pairs):
        (pairs / "c" / "key.png").write_bytes(b"nonsense")
        assert len(open_set(pairs, limit=2).images) == 2

    @pytest.mark.parametrize("name", ["frame", "key"])
    def test_a_missing_picture_is_named(self, pairs, name):
        (pairs / "b" / f"{name}.png").unlink()
        with pytest.raises(MissingFileError, match=rf"b.{name}\.png: not there"):
            open_set(pairs)

    @pytest.mark.parametrize("data", [b"", b"nonsense", b"\x89PNG\r\n\x1a\n" + b"\0" * 60])
    def test_a_damaged_picture_is_named(self, pairs, data):
        (pairs / "b" / "truth.png").write_bytes(data)
        with pytest.raises(DamagedFileError, match=r"b.truth\.png: not a picture"):
            open_set(pairs)

    def test_frame_and_truth_of_two_shapes_are_refused(self, pairs):
        write_png(pairs / "b" / "frame.png", scene(WIDTH // 2, HEIGHT // 2))
        with pytest.raises(
            InputError, match="b: frame.png is 24 x 32 pixels and truth.png 64 x 48"
        ):
            open_set(pairs)

    def test_no_set_is_named(self, tmp_path):
        with pytest.raises(MissingFileError, match="no set of the benchmark; one has a manifest"):
            open_set(tmp_path)
        with pytest.raises(MissingFileError, match="nowhere: no set"):
            open_set(tmp_path / "nowhere")


class TestManifest:
    def test_it_is_read_back(self, listed):
        found = open_set(listed)
        assert (found.kind, found.seed, found.notes) == ("synthetic", 3, ["a note"])
        assert found.images[1].source == "clip.mp4" and found.images[1].licence == "CC0"
        assert found.to_json() == (listed / MANIFEST).read_text()

    @pytest.mark.parametrize("name", ["frame", "key", "truth"])
    def test_another_picture_in_the_place_of_one_is_named(self, listed, name):
        shape = (24, 32) if name == "frame" else (HEIGHT, WIDTH)
        write_png(listed / "b" / f"{name}.png", scene(*shape, seed=99))
        with pytest.raises(DamagedFileError, match=rf"b.{name}\.png: its SHA-256 is .* the manif"):
            open_set(listed)

    def test_a_file_that_is_gone_is_named(self, listed):
        (listed / "c" / "truth.png").unlink()
        with pytest.raises(MissingFileError, match=r"c.truth\.png: cannot be read"):
            open_set(listed)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda v: v.update(format=9), "its format is not 1"),
            (lambda v: v.update(images=[]), "it lists no images"),
            (lambda v: v["images"].append(v["images"][0]), "lists an image twice"),
            (lambda v: v["images"][0].update(name="../a"), r"'\.\./a' is no name"),
            (lambda v: v["images"][0].update(name=".."), "is no name"),
            (lambda v: v["images"][0]["files"].pop("key"), "frame and key are needed"),
            (lambda v: v["images"][0]["files"].update(other={}), "frame and key are needed"),
            (lambda v: v.pop("images"), "images"),
            (lambda v: v.update(colour="red"), "colour"),
        ],
    )
    def test_one_that_cannot_be_is_refused(self, listed, change, why):
        edit(listed, change)
        with pytest.raises(DamagedFileError, match=rf"manifest\.json: not the manifest.*{why}"):
            open_set(listed)

    def test_one_that_is_cut_short_is_refused(self, listed):
        text = (listed / MANIFEST).read_text()
        (listed / MANIFEST).write_text(text[:-40])
        with pytest.raises(DamagedFileError, match="not the manifest of a set"):
            open_set(listed)


@pytest.mark.parametrize(
    ("frame", "key", "expected"),
    [
        ((1080, 1440), (3024, 4032), (3024, 4032)),
        ((808, 1080), (3024, 4032), (3024, 4032)),  # 4:3, rounded
        ((1080, 1920), (3024, 4032), (2268, 4032)),  # the clip is a cut of the photo's view
        ((1440, 1080), (3024, 4032), (3024, 2268)),
        ((1080, 1440), (540, 720), (1080, 1440)),  # never smaller than the frame
    ],
)
def test_without_a_truth_the_key_photo_says_the_size(frame, key, expected):
    files = {
        name: SetFile(height=height, width=width, sha256="")
        for name, (height, width) in (("frame", frame), ("key", key))
    }
    assert SetImage(name="a", files=files).size == expected


class TestPictures:
    def test_there_and_back(self, tmp_path):
        picture = (scene(9, 7) * 255).astype(np.uint8)
        file = write_picture(tmp_path / "a.png", picture)
        np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), picture)
        assert (file.height, file.width) == (9, 7)
        assert write_picture(tmp_path / "b.png", picture) == file

    def test_grey_and_transparent_ones_become_rgb(self, tmp_path):
        for channels in (1, 4):
            cv2.imwrite(str(tmp_path / "x.png"), np.full((5, 6, channels), 200, np.uint8))
            assert read_picture(tmp_path / "x.png").shape == (5, 6, 3)

    def test_one_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(MissingFileError, match=r"none\.png: cannot be read"):
            read_picture(tmp_path / "none.png")


class TestNewFolder:
    def test_it_appears_whole(self, tmp_path):
        with new_folder(tmp_path / "set") as folder:
            (folder / "a").write_text("x")
            assert not (tmp_path / "set").exists()
        assert contents(tmp_path) == {"set/a": b"x"}

    def test_or_not_at_all(self, tmp_path):
        with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "set") as folder:
            (folder / "a").write_text("x")
            raise KeyboardInterrupt
        assert list(tmp_path.iterdir()) == []

    def test_what_is_there_stays(self, tmp_path):
        (tmp_path / "set").mkdir()
        with pytest.raises(OutputError, match="set: exists already"), new_folder(tmp_path / "set"):
            pass

    def test_what_came_there_meanwhile_stays(self, tmp_path):
        place = tmp_path / "set"
        with pytest.raises(OutputError, match="set: cannot be written"), new_folder(place):
            place.mkdir()
            (place / "theirs").write_text("x")
        assert contents(tmp_path) == {"set/theirs": b"x"}

    def test_its_own_folder_must_be_there(self, tmp_path):
        place = tmp_path / "no" / "set"
        with pytest.raises(OutputError, match="does not exist; create it"), new_folder(place):
            pass

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_may_not_be_written_is_named(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(OutputError, match="cannot be written"), new_folder(tmp_path / "set"):
            pass
