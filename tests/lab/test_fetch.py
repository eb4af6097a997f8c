"""Files out of packages: archives made here, no network."""

import hashlib
import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from livemoments.errors import (
    ConfigError,
    DamagedFileError,
    MissingExtraError,
    MissingFileError,
    OutputError,
)
from livemoments.files import cache_folder, reading
from livemoments.lab import fetch as fetching
from livemoments.lab.fetch import Package, check_clients, fetch, fetch_once

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


class TestPrivateApt:
    @pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs Debian's apt-get")
    def test_no_index_but_the_list_of_packages_is_fetched(self, monkeypatch, tmp_path):
        """On a machine whose apt fetches the Contents too, as apt-file sets it up."""
        run, setup = fetching._run, tmp_path / "apt.conf"
        setup.write_text(
            "Acquire::IndexTargets::deb::Contents-deb {"
            ' MetaKey "$(COMPONENT)/Contents-$(ARCHITECTURE)"; Description "Contents";'
            ' ShortDescription "Contents"; flatMetaKey "Contents"; };'
        )
        monkeypatch.setenv("APT_CONFIG", str(setup))
        monkeypatch.setattr(fetching, "_debian_mirror", lambda: "file:/debian")
        monkeypatch.setattr(fetching, "_run", lambda command, *_: "")  # nothing is fetched here
        apt = fetching._private_apt(tmp_path / "apt", "stable")
        monkeypatch.setattr(fetching, "_run", run)
        listed = [*apt, "indextargets", "--no-release-info", "--format", "$(CREATED_BY)"]
        assert set(run(listed, tmp_path, "the targets").split()) == {"Packages"}


class TestOnce:
    CONTENTS = {"a/one.ckpt": b"1", "a/b/two.ckpt": b"2"}

    @pytest.fixture
    def asked(self, monkeypatch):
        """What fetch was asked for, each time."""
        asked = []

        def fetch(package, sha256, scratch):
            asked.append(set(sha256))
            yield from ((member, self.CONTENTS[member]) for member in sha256)

        monkeypatch.setattr(fetching, "fetch", fetch)
        return asked

    def test_only_what_is_missing_is_fetched(self, asked, tmp_path):
        folder = tmp_path / "new" / "cache"
        sha256 = dict.fromkeys(self.CONTENTS, "")
        paths = fetch_once(MADE, sha256, folder)
        assert paths == [folder / "one.ckpt", folder / "two.ckpt"]
        paths[1].unlink()
        assert fetch_once(MADE, sha256, folder) == fetch_once(MADE, sha256, folder) == paths
        assert [path.read_bytes() for path in paths] == [b"1", b"2"]
        assert asked == [set(sha256), {"a/b/two.ckpt"}]
        assert sorted(folder.iterdir()) == paths

    def test_a_folder_that_cannot_be_made(self, asked, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="cannot make this folder"):
            fetch_once(MADE, {"a/one.ckpt": ""}, tmp_path / "file" / "cache")
        assert not asked


class TestReading:
    def test_damage_is_named_with_its_file(self, tmp_path):
        with pytest.raises(DamagedFileError, match=r"a\.bin: not a list \('no'\); delete it"):
            with reading(tmp_path / "a.bin", "a list"):
                {}["no"]

    def test_a_file_that_is_not_there(self, tmp_path):
        path = tmp_path / "a.bin"
        with pytest.raises(MissingFileError, match=r"a\.bin: not there; a list must be fetched"):
            with reading(path, "a list"):
                path.read_bytes()


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache/livemoments"),
        ("linux", {"XDG_CACHE_HOME": "{0}/xdg"}, "xdg/livemoments"),
        ("darwin", {"XDG_CACHE_HOME": "{0}/xdg"}, "home/Library/Caches/livemoments"),
        ("win32", {"LOCALAPPDATA": "{0}/local"}, "local/livemoments"),
        ("win32", {}, "home/AppData/Local/livemoments"),
    ],
)
def test_the_cache_is_where_each_system_keeps_it(
    monkeypatch, tmp_path, platform, variables, expected
):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == tmp_path / expected
    assert not list(tmp_path.iterdir())
