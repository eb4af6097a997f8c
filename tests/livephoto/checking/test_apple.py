"""Every rule of an Apple Live Photo: it passes on a good pair, and on its own fault it fails."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support import makers, rounds
from support.written import write_live

from livemoments.livephoto import open_live_photo
from livemoments.livephoto.checking.apple import RULES, check_apple
from livemoments.livephoto.checking.findings import Finding, broken, judge
from livemoments.livephoto.checking.movie import READ, check_movie
from livemoments.livephoto.checking.movie import RULES as MOVIE_RULES
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.metadata.apple_note import exif_with_identifier
from livemoments.livephoto.movie.edit import (
    TABLES,
    Movie,
    Node,
    chunk_offsets,
    read_editable,
    set_chunk_offsets,
)
from livemoments.livephoto.movie.tables import Edit, set_duration, set_edits
from livemoments.livephoto.writing.apple_track import set_movie_text, still_keys

NEW = makers.OTHER_IDENTIFIER
IDENTIFIER_KEY = "com.apple.quicktime.content.identifier"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A pair as we write it, with a transform."""
    folder = tmp_path_factory.mktemp("good")
    photo, _ = makers.apple_pair(folder / "in", sound=True, transform=np.eye(3))
    live = open_live_photo(photo)
    image = live.frame(0.25).image
    written = write_live(
        live, image, folder / "a.jpg", time_s=0.25, software="x", identifier=makers.IDENTIFIER
    )
    return written.path, written.movie


def verdicts(findings: list[Finding]) -> dict[str, bool | None]:
    return {finding.rule: finding.passed for finding in findings}


def rule(part: str) -> str:
    (found,) = [each for each in [*RULES, *MOVIE_RULES, READ] if part in each]
    return found


def test_a_good_pair_keeps_every_rule(good):
    findings = check_apple(*good)
    assert broken(findings) == []
    assert len({finding.rule for finding in findings}) == len(findings)
    assert {finding.rule for finding in findings} >= {*RULES, *MOVIE_RULES, READ}
    assert all(finding.found for finding in findings)


# --- one fault, one rule --------------------------------------------------------------------


def time_track(movie: Movie) -> Node:
    return next(t for t in movie.tracks if 1 in still_keys(t))


def tables(movie: Movie, kind: str) -> Node:
    return time_track(movie).find(f"{TABLES}/{kind}")


def new_sample(movie: Movie, sample: bytes) -> None:
    set_chunk_offsets(time_track(movie), [movie.add_media(sample)])
    tables(movie, "stsz").data = struct.pack(">4I", 0, 0, 1, len(sample))


def item(number: int, value: bytes) -> bytes:
    return struct.pack(">II", 8 + len(value), number) + value


def rename_codec(movie: Movie) -> None:
    table = movie.tracks[0].find(f"{TABLES}/stsd")
    table.data = table.data.replace(b"avc1", b"mp4v", 1)


def rename_sound(movie: Movie) -> None:
    table = movie.tracks[1].find(f"{TABLES}/stsd")
    table.data = table.data[:12] + b"Opus" + table.data[16:]


def second_time_track(movie: Movie) -> None:
    movie.moov.nodes.append(time_track(movie))


def two_samples(movie: Movie) -> None:
    tables(movie, "stsz").data = struct.pack(">4I", 0, 9, 2, 0)


def other_type(movie: Movie) -> None:
    table = tables(movie, "stsd")
    table.data = table.data.replace(struct.pack(">II", 0, 65), struct.pack(">II", 0, 66), 1)


def drop_key(movie: Movie) -> None:
    movie.moov.drop("meta")


@dataclass(frozen=True, kw_only=True)
class Fault:
    rule: str
    change: Callable[[Movie], object]
    passed: bool | None = False


def fault(rule: str, change: Callable[[Movie], object], passed: bool | None = False) -> Fault:
    return Fault(rule=rule, change=change, passed=passed)


FAULTS = {
    "no identifier": fault("the clip names its", drop_key),
    "other identifier": fault(
        "both name the same", lambda m: set_movie_text(m.moov, IDENTIFIER_KEY, NEW)
    ),
    "small letters": fault(
        "UUIDs in capitals", lambda m: set_movie_text(m.moov, IDENTIFIER_KEY, NEW.lower())
    ),
    "mp4 brand": fault("QuickTime file", lambda m: setattr(m, "ftyp", b"mp42\0\0\0\0isom")),
    "no brand": fault("QuickTime file", lambda m: setattr(m, "ftyp", b""), None),
    "other codec": fault("H.264 or HEVC", rename_codec),
    "other sound": fault("sound is of a kind", rename_sound),
    "no track": fault("one track of timed metadata", lambda m: m.moov.nodes.remove(time_track(m))),
    "two tracks": fault("one track of timed metadata", second_time_track),
    "two samples": fault("has one sample", two_samples),
    "value 0": fault("value is -1", lambda m: new_sample(m, item(1, b"\0"))),
    "two bytes": fault("value is -1", lambda m: new_sample(m, item(1, b"\xff\xff"))),
    "empty sample": fault("value is -1", lambda m: new_sample(m, b"\0")),
    "other type": fault("value is -1", other_type),
    "too late": fault(
        "time lies within",
        lambda m: set_edits(time_track(m), [Edit(duration=99_999, media_time=-1)]),
    ),
    "odd edits": fault(
        "empty edit before",
        lambda m: set_edits(time_track(m), [Edit(duration=1, media_time=5)]),
    ),
    "refers to nothing": fault(
        "tref", lambda m: setattr(time_track(m).find("tref/cdsc"), "data", struct.pack(">I", 77))
    ),
    "refers to sound": fault(
        "tref", lambda m: setattr(time_track(m).find("tref/cdsc"), "data", struct.pack(">I", 2))
    ),
    "no reference": fault("tref", lambda m: time_track(m).drop("tref"), None),
    "no transform": fault("transform", lambda m: new_sample(m, item(1, b"\xff")), None),
    "singular transform": fault(
        "transform",
        lambda m: new_sample(
            m, item(1, b"\xff") + item(2, bytes(72)) + item(3, struct.pack(">ff", 192, 144))
        ),
    ),
    "transform without size": fault(
        "transform",
        lambda m: new_sample(m, item(1, b"\xff") + item(2, np.eye(3).astype(">f8").tobytes())),
    ),
    "same number twice": fault(
        "numbers of their own",
        lambda m: setattr(m.tracks[1].find("tkhd"), "data", m.tracks[0].payload("tkhd")),
    ),
    "no chunk table": fault(
        "has its tables", lambda m: m.tracks[1].find(TABLES).drop("stco")
    ),
    "too few times": fault(
        "number of its samples",
        lambda m: setattr(tables(m, "stts"), "data", struct.pack(">4I", 0, 1, 7, 1)),
    ),
    "movie too short": fault(
        "durations", lambda m: set_duration(m.moov.find("mvhd"), 3)
    ),
    "track too long": fault(
        "durations", lambda m: set_duration(m.tracks[0].find("tkhd"), 9999)
    ),
    "media too short": fault(
        "durations", lambda m: set_duration(m.tracks[0].find("mdia/mdhd"), 3)
    ),
    "media elsewhere": fault(
        "in the file itself",
        lambda m: setattr(
            m.tracks[0].find("mdia/minf/dinf/dref"), "data",
            struct.pack(">II", 0, 1) + makers.box(b"url ", bytes(4)),
        ),
    ),
    "rubbish in the index": fault(
        "box of the index is whole", lambda m: setattr(m.tracks[0], "tail", b"rubbish")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_breaks_its_rule(tmp_path, good, name):
    what = FAULTS[name]
    movie = read_editable(Source.whole(good[1]))
    what.change(movie)
    path = tmp_path / "a.mov"
    path.write_bytes(movie.to_bytes())
    found = verdicts(check_apple(good[0], path))
    assert found[rule(what.rule)] is what.passed
    if what.passed is None:
        assert False not in found.values()


def test_a_chunk_outside_the_media(tmp_path, good):
    """Writing would refuse or correct it, so it is put in behind its back."""
    movie = read_editable(Source.whole(good[1]))
    offsets = struct.pack(">I", chunk_offsets(movie.tracks[1])[0])
    data, moov = good[1].read_bytes(), movie.moov.to_bytes()
    path = tmp_path / "a.mov"
    path.write_bytes(data.replace(moov, moov.replace(offsets, struct.pack(">I", 8))))
    found = verdicts(check_apple(good[0], path))
    assert found[rule("every chunk lies")] is False


# --- the still ------------------------------------------------------------------------------


def still_with(folder: Path, exif: bytes | None, size: tuple[int, int] = (384, 288)) -> Path:
    return makers.save_still(folder / "b.jpg", makers.scene(*size), exif=exif)


def test_a_still_without_a_note(tmp_path, good):
    found = verdicts(check_apple(still_with(tmp_path, makers.make_exif(None)), good[1]))
    assert found[rule("maker note is whole")] is False
    assert found[rule("the still names its")] is False
    assert found[rule("both name the same")] is False
    assert found[rule("the clip names its")] is True


def test_a_note_with_a_value_outside(tmp_path, good):
    note = bytearray(makers.maker_note(makers.IDENTIFIER))
    struct.pack_into(">I", note, 16 + 8, 5000)
    exif, _ = exif_with_identifier(makers.make_exif(None).removeprefix(b"Exif\0\0"), NEW)
    exif = exif.replace(makers.maker_note(NEW)[:60], bytes(note)[:60])
    found = check_apple(still_with(tmp_path, b"Exif\0\0" + exif), good[1])
    (verdict,) = [each for each in found if each.rule == rule("maker note is whole")]
    assert verdict.passed is False and "points outside the note" in verdict.found


def test_halves_of_different_live_photos(tmp_path, good):
    found = verdicts(check_apple(still_with(tmp_path, makers.make_exif(NEW)), good[1]))
    assert found[rule("both name the same")] is False
    assert found[rule("UUIDs in capitals")] is True


def test_another_shape(tmp_path, good):
    exif = makers.make_exif(makers.IDENTIFIER)
    found = verdicts(check_apple(still_with(tmp_path, exif, (300, 300)), good[1]))
    assert [name for name, passed in found.items() if passed is False] == [rule("same shape")]


# --- what is hardly a file ------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"", b"hello\n" * 100, b"\0" * 3000])
def test_files_that_are_none(tmp_path, good, content):
    for index in (0, 1):
        path = tmp_path / f"x{good[index].suffix}"
        if content is not None:
            path.write_bytes(content)
        findings = check_apple(*(path if i == index else good[i] for i in (0, 1)))
        assert broken(findings)
        assert any(path.name in finding.found for finding in broken(findings))


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.95])
def test_a_clip_cut_short(tmp_path, good, keep):
    data = makers.index_first(good[1].read_bytes())
    path = tmp_path / "a.mov"
    path.write_bytes(data[: int(len(data) * keep)])
    found = verdicts(check_apple(good[0], path))
    assert found[READ] is False


def test_bytes_behind_the_last_box(tmp_path, good):
    path = tmp_path / "a.mov"
    path.write_bytes(good[1].read_bytes() + b"abc")
    (finding,) = [each for each in check_movie(Source.whole(path)) if each.rule == READ]
    assert finding.passed is False and "3 bytes that are no box" in finding.found


@pytest.mark.slow
def test_the_checker_survives_any_damage(tmp_path, good):
    rng = np.random.default_rng(0)
    for index, name in ((0, "a.jpg"), (1, "a.mov")):
        whole = np.frombuffer(good[index].read_bytes(), np.uint8)
        for _ in range(rounds(100, 25)):
            damaged = whole.copy()
            places = rng.integers(0, len(whole), 20)
            places = np.where(rng.random(20) < 0.5, places % 3000, places)
            damaged[places] = rng.integers(0, 256, 20)
            path = tmp_path / name
            path.write_bytes(damaged.tobytes())
            findings = check_apple(*(path if i == index else good[i] for i in (0, 1)))
            assert len(findings) >= len(RULES)


def test_a_rule_that_cannot_be_judged_is_broken():
    def fails(_: object) -> tuple[bool, str]:
        raise IndexError("out of range")

    (finding,) = judge({"a rule": fails}, None)
    said = "too damaged to tell (out of range)"
    assert finding == Finding(rule="a rule", passed=False, found=said)


# --- real phones ----------------------------------------------------------------------------

# What phones and programs wrote otherwise than we would.
KNOWN = {
    "iphone6s-ferriswheel": {"tref"},
    "unknown-cat": {
        "maker note is whole", "the still names its", "the clip names its", "both name the same",
        "QuickTime file", "one track of timed metadata",
    },
}  # fmt: skip


@pytest.mark.real
def test_real_live_photos_keep_the_rules(samples):
    seen = 0
    for folder in [*sorted(samples.glob("iphone*")), samples / "unknown-cat"]:
        files = sorted(folder.iterdir())
        still = next(p for p in files if p.suffix.lower() in (".heic", ".jpg", ".jpeg"))
        movie = next(p for p in files if p.suffix.lower() in (".mov", ".mp4"))
        names = {finding.rule for finding in broken(check_apple(still, movie))}
        assert names == {rule(part) for part in KNOWN.get(folder.name, ())}, folder.name
        seen += 1
    assert seen >= 8
