"""The check of motion photos: whole files pass, each broken rule is found, nothing raises."""

from pathlib import Path

import numpy as np
import pytest
from support import makers, rounds
from support.motion_photos import broken_rules, with_image_metadata

from livemoments.livephoto.checking.findings import Finding, broken
from livemoments.livephoto.checking.motion_photo import RULES, check_motion_photo
from livemoments.livephoto.checking.samsung import CLIP, WHOLE
from livemoments.livephoto.metadata.xmp import ContainerItem
from livemoments.livephoto.writing.motion_photo_xmp import micro_video_packet, motion_photo_packet

CLIP_FILE = makers.motion_clip()
PRIMARY = {"mime": "image/jpeg", "semantic": "Primary", "length": 0, "padding": 0}
VIDEO = {"mime": "video/mp4", "semantic": "MotionPhoto", "length": len(CLIP_FILE), "padding": 0}
GAIN_MAP = {"mime": "image/jpeg", "semantic": "GainMap", "padding": 0}
(
    XMP, WRAPPER, MARKED, VERSION, STAMP, TRACK, ORDER, MIMES, LENGTH, PADDING, PRIMARY_LENGTH,
    PACKED, GAIN, OFFSET, WHOLE_CLIP, BEHIND, VIDEO_BOX, BOX_PADDING, LATE_XMP, NAME,
) = RULES  # fmt: skip


def packet(*items: dict, stamp: int = 400_000) -> bytes:
    listed = [ContainerItem(**item) for item in (items or (PRIMARY, VIDEO))]
    return motion_photo_packet(None, listed, stamp)


def jpeg(
    folder: Path, xmp: bytes | None = None, tail: bytes = CLIP_FILE, name: str = "a.MP.jpg"
) -> Path:
    return makers.google_jpeg(folder / name, clip=tail, xmp=packet() if xmp is None else xmp)


def heic(folder: Path, xmp: bytes | None = None, tail: bytes | None = None) -> Path:
    primary = {**PRIMARY, "mime": "image/heic", "padding": 8}
    path = makers.save_still(
        folder / "a.MP.heic", makers.scene(), xmp=xmp or packet(primary, VIDEO)
    )
    tail = makers.box(b"mpvd", CLIP_FILE) if tail is None else tail
    path.write_bytes(path.read_bytes() + tail)
    return path


def verdicts(path: Path) -> dict[str, bool | None]:
    return {finding.rule: finding.passed for finding in check_motion_photo(path)}


def failed(path: Path) -> set[str]:
    return {finding.rule for finding in broken(check_motion_photo(path))}


def small_jpeg(folder: Path) -> bytes:
    return makers.save_still(folder / "gain.jpg", makers.scene(64, 48)).read_bytes()


# --- whole files --------------------------------------------------------------------------------


def test_whole_files_pass(tmp_path):
    found = verdicts(jpeg(tmp_path))
    assert False not in found.values()
    does_not_apply = {TRACK, GAIN, OFFSET, VIDEO_BOX, BOX_PADDING, WHOLE}
    assert {rule for rule, passed in found.items() if passed is None} == does_not_apply
    found = verdicts(heic(tmp_path))
    assert False not in found.values() and found[VIDEO_BOX] and found[BOX_PADDING]


def test_a_whole_micro_video_passes(tmp_path):
    xmp = micro_video_packet(None, len(CLIP_FILE), 400_000)
    found = verdicts(jpeg(tmp_path, xmp, name="MVIMG_1.jpg"))
    assert False not in found.values()
    assert found[OFFSET] and found[MARKED] and found[NAME] and found[ORDER] is None


def test_a_gain_map_passes(tmp_path):
    gain_map = small_jpeg(tmp_path)
    xmp = packet(PRIMARY, {**GAIN_MAP, "length": len(gain_map)}, VIDEO)
    found = verdicts(jpeg(tmp_path, xmp, gain_map + CLIP_FILE))
    assert False not in found.values() and found[GAIN]


def test_every_finding_says_what_was_found(tmp_path):
    findings = check_motion_photo(jpeg(tmp_path))
    assert all(isinstance(each, Finding) and each.rule and each.found for each in findings)
    assert len({each.rule for each in findings}) == len(findings) == len(RULES) + 2


# --- broken rules -------------------------------------------------------------------------------


def edited(old: bytes, new: bytes) -> bytes:
    assert old in packet()
    return packet().replace(old, new)


@pytest.mark.parametrize(
    ("xmp", "expected"),
    [
        (edited(b'Photo="1"', b'Photo="0"'), None),  # then there is no clip to find
        (edited(b'Version="1"', b'Version="2"'), {VERSION}),
        (edited("\ufeff".encode(), b""), {WRAPPER}),
        (packet(stamp=-7), {STAMP}),
        (packet(stamp=1_200_000), {STAMP}),
        (edited(b'Us="400000"', b'Us="soon"'), {STAMP}),
        (packet(VIDEO, PRIMARY), {ORDER, PRIMARY_LENGTH}),
        (packet(PRIMARY, VIDEO, VIDEO), {ORDER, PACKED}),
        (packet({**PRIMARY, "mime": "image/heic"}, VIDEO), {MIMES}),
        (packet(PRIMARY, {**VIDEO, "mime": "video/webm"}), {MIMES}),
        (packet(PRIMARY, {**VIDEO, "length": len(CLIP_FILE) + 1}), {LENGTH}),
        (packet(PRIMARY, {**VIDEO, "length": 80}), {LENGTH}),
        (packet(PRIMARY, {**VIDEO, "padding": 9}), {PADDING}),
        (packet({**PRIMARY, "length": 123}, VIDEO), {PRIMARY_LENGTH}),
        (packet({**PRIMARY, "padding": 5}, VIDEO), {PACKED}),
        (packet(PRIMARY, {**GAIN_MAP, "length": 99}, VIDEO), {PACKED, GAIN}),
        (micro_video_packet(None, len(CLIP_FILE) - 4, 400_000), {OFFSET}),
        (b"<broken", {XMP, MARKED, VERSION}),
    ],
)
def test_xmp_that_is_not_so(tmp_path, xmp, expected):
    found = failed(jpeg(tmp_path, xmp))
    if expected is None:
        assert MARKED in found
    elif xmp == b"<broken":
        assert found >= expected
    else:
        assert found == expected


def test_the_time_may_be_unset_or_unstated(tmp_path):
    assert verdicts(jpeg(tmp_path, packet(stamp=-1)))[STAMP] is True
    unstated = edited(b' GCamera:MotionPhotoPresentationTimestampUs="400000"', b"")
    assert verdicts(jpeg(tmp_path, unstated))[STAMP] is None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (b"", b"some bytes", {LENGTH, BEHIND}),
        (b"some bytes", b"", {PACKED}),
        (b"\xff\xe1\0\x40http://ns.adobe.com/xap/1.0/\0<x/>", b"", {PACKED, LATE_XMP}),
    ],
)
def test_bytes_where_none_belong(tmp_path, before, after, expected):
    assert failed(jpeg(tmp_path, tail=before + CLIP_FILE + after)) == expected


def test_a_gain_map_of_another_length(tmp_path):
    gain_map = small_jpeg(tmp_path)
    xmp = packet(PRIMARY, {**GAIN_MAP, "length": len(gain_map) + 6}, VIDEO)
    assert failed(jpeg(tmp_path, xmp, gain_map + b"filler" + CLIP_FILE)) == {GAIN}


def test_a_track_that_states_another_time(tmp_path):
    clip = with_image_metadata(CLIP_FILE, 400_000)
    xmp = packet(PRIMARY, {**VIDEO, "length": len(clip)})
    assert verdicts(jpeg(tmp_path, xmp, clip))[TRACK] is True
    later = packet(PRIMARY, {**VIDEO, "length": len(clip)}, stamp=500_000)
    assert failed(jpeg(tmp_path, later, clip)) == {TRACK}
    unset = with_image_metadata(CLIP_FILE, -1)
    no_stamp = packet(PRIMARY, {**VIDEO, "length": len(clip)}, stamp=-1)
    assert failed(jpeg(tmp_path, no_stamp, unset)) == set()


def test_boxes_that_are_not_so(tmp_path):
    mpvd = makers.box(b"mpvd", CLIP_FILE)
    assert failed(heic(tmp_path, packet({**PRIMARY, "mime": "image/heic"}, VIDEO))) == {
        BOX_PADDING,
        PACKED,
    }
    assert failed(heic(tmp_path, tail=bytes(4) + mpvd[4:])) == {VIDEO_BOX}
    assert failed(heic(tmp_path, tail=mpvd + makers.box(b"free", b"")))
    assert VIDEO_BOX in failed(heic(tmp_path, tail=CLIP_FILE))
    cut = CLIP_FILE[:-40]
    assert WHOLE_CLIP in failed(heic(tmp_path, tail=makers.box(b"mpvd", cut)))


def test_names_are_only_advised(tmp_path):
    found = verdicts(jpeg(tmp_path, name="IMG_1.jpg"))
    assert found[NAME] is None and False not in found.values()


@pytest.mark.parametrize("make", [makers.samsung_jpeg, makers.samsung_heic])
def test_samsungs_wrong_lengths_are_told_and_its_trailer_is_not_held_against_it(tmp_path, make):
    path = make(tmp_path / ("a.jpg" if make is makers.samsung_jpeg else "a.heic"))
    found = verdicts(path)
    assert (found[LENGTH], found[BEHIND], found[WHOLE]) == (False, None, True)
    assert found[CLIP] is (make is makers.samsung_jpeg)  # the made HEIC has no such block


# --- anything else ------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff", None])
def test_what_is_no_photo_is_one_finding(tmp_path, content):
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    (finding,) = check_motion_photo(path)
    assert finding.passed is False and "a.jpg" in finding.found


def test_a_plain_photo(tmp_path):
    path = makers.save_still(tmp_path / "a.jpg", makers.scene())
    assert failed(path) >= {XMP, MARKED, VERSION, LENGTH, WHOLE_CLIP}


@pytest.mark.parametrize("kind", ["jpeg", "heic", "samsung.jpg", "samsung.heic"])
def test_damage_never_raises(tmp_path, kind):
    make = {"jpeg": jpeg, "heic": heic}.get(kind)
    if make is not None:
        path = make(tmp_path)
    elif kind == "samsung.jpg":
        path = makers.samsung_jpeg(tmp_path / kind)
    else:
        path = makers.samsung_heic(tmp_path / kind)
    data = path.read_bytes()
    for length in np.linspace(0, len(data) - 1, rounds(25, 10)).astype(int).tolist():
        path.write_bytes(data[:length])
        assert check_motion_photo(path)
    rng = np.random.default_rng(1)
    for _ in range(rounds(25, 10)):
        changed = bytearray(data)
        for at in rng.integers(0, len(data), 40):
            changed[at] = rng.integers(0, 256)
        path.write_bytes(changed)
        assert check_motion_photo(path)


@pytest.mark.parametrize("number", [-1, -(10**9), 10**18, 10**19])
@pytest.mark.parametrize("field", ["length", "padding"])
def test_hostile_numbers_never_raise(tmp_path, number, field):
    gain_map = {**GAIN_MAP, "length": 50}
    for items in (
        ({**PRIMARY, field: number}, gain_map, VIDEO),
        (PRIMARY, {**gain_map, field: number}, VIDEO),
        (PRIMARY, gain_map, {**VIDEO, field: number}),
    ):
        assert failed(jpeg(tmp_path, packet(*items))) >= {GAIN}
    assert STAMP in failed(jpeg(tmp_path, packet(stamp=number - 1)))


# --- real phones --------------------------------------------------------------------------------


@pytest.mark.real
def test_real_phones(samples):
    """Android 13 states lengths that lead nowhere; Android 14 a Padding where none may be."""

    def rules(name: str, pattern: str) -> set[str]:
        (path,) = samples.glob(f"{name}/{pattern}")
        return failed(path)

    assert rules("pixel3axl-keyboard", "*.jpg") == set()
    assert rules("samsung-s22plus-dark", "*.heic") == {PADDING}
    android_13 = {LENGTH, PACKED, BOX_PADDING}
    assert rules("samsung-s22-room", "*.heic") == android_13
    assert rules("samsung-s22ultra-rabbit", "*.heic") == android_13


def test_the_made_google_files_are_what_they_should_be(tmp_path):
    assert broken_rules(makers.google_jpeg(tmp_path / "a.MP.jpg")) == []
