"""Files out of packages: archives made here, no network."""

import hashlib
import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from livemoments import fetch as fetching
from livemoments.errors import ConfigError, DamagedFileError, MissingExtraError, MissingFileError
from livemoments.fetch import Package, check_clients, fetch

MADE = Package(client="npm", name="@x/made", version="1.0")


def tgz(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


class TestArchives:
    def test_members_of_a_tar_and_of_a_wheel(self, tmp_path):
        contents = {"a/one.png": b"1", "a/two.png": b"2", "b/one.png": b"3"}
        wheel = tmp_path / "made.whl"
        with zipfile.ZipFile(wheel, "w") as file:
            for name, data in contents.items():
                file.writestr(name, data)
        for archive in (wheel, tgz(tmp_path / "made.tar.gz", contents)):
            found = dict(fetching._members(archive, {"a/one.png", "b/one.png", "c"}))
            assert found == {"a/one.png": b"1", "b/one.png": b"3"}

    @pytest.fixture
    def shop(self, monkeypatch):
        """A client that always brings the same archive."""

        def download(package: Package, scratch: Path) -> Path:
            return tgz(scratch / "made.tgz", {"a/other.txt": b"no", "./a/one.png": b"one"})

        monkeypatch.setattr(fetching, "_download", download)

    def test_a_file_comes_checked_and_the_archive_goes(self, shop, tmp_path):
        sha256 = hashlib.sha256(b"one").hexdigest()
        assert list(fetch(MADE, {"a/one.png": sha256}, tmp_path)) == [("a/one.png", b"one")]
        assert not list(tmp_path.iterdir())

    def test_another_hash_is_a_clear_error(self, shop, tmp_path):
        with pytest.raises(DamagedFileError, match=r"made 1\.0: a/one\.png has SHA-256 .* 0000"):
            list(fetch(MADE, {"a/one.png": "0" * 64}, tmp_path))

    def test_a_file_that_is_not_in_the_package(self, shop, tmp_path):
        with pytest.raises(MissingFileError, match=r"a/gone\.png is not in the package"):
            list(fetch(MADE, {"a/gone.png": "0" * 64}, tmp_path))


class TestClients:
    def test_a_client_that_fails_says_why(self, tmp_path):
        command = [sys.executable, "-c", "import sys; sys.exit('no route to host')"]
        with pytest.raises(MissingFileError, match="made 1: .*no route to host; check the network"):
            fetching._run(command, tmp_path, "made 1")

    def test_a_missing_client_is_named_and_pip_is_always_there(self, monkeypatch):
        monkeypatch.setattr(shutil, "which", lambda name: None)
        check_clients([Package(client="pip", name="x", version="1")])
        with pytest.raises(MissingExtraError, match="npm is not installed"):
            check_clients([MADE])
        with pytest.raises(MissingExtraError, match="apt-get, dpkg-deb is not installed"):
            check_clients([Package(client="apt", name="x", version="1", suite="stable")])

    @pytest.mark.parametrize("left", [0, 2])
    def test_a_client_must_leave_one_archive(self, monkeypatch, tmp_path, left):
        def run(command, folder, what):
            for i in range(left):
                (folder / f"{i}.tgz").touch()

        monkeypatch.setattr(fetching, "_run", run)
        with pytest.raises(MissingFileError, match=f"npm left {left} archives, expected 1"):
            list(fetch(MADE, {"a": ""}, tmp_path))


class TestMirror:
    def answers(self, monkeypatch, *lines: str) -> None:
        monkeypatch.setattr(fetching, "_run", lambda *_: "\n".join(lines))

    def test_the_machine_s_own_debian_archive_is_used(self, monkeypatch):
        self.answers(
            monkeypatch,
            "file:/elsewhere/|stable|main|Vendor",
            "file:/safe/|stable-security|main|Debian",
            "file:/extra/|stable|contrib|Debian",
            "file:/debian/|stable|main|Debian",
        )
        assert fetching._debian_mirror() == "file:/debian/"

    def test_a_machine_without_one(self, monkeypatch):
        self.answers(monkeypatch, "file:/elsewhere/|stable|main|Vendor")
        with pytest.raises(ConfigError, match="no Debian archive"):
            fetching._debian_mirror()
