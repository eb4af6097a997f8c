"""Xiaomi, OPPO, vivo, Huawei and Honor: built to the specifications, not files of real phones."""

import json
import struct

import numpy as np
import pytest
from support import makers
from support import vendor_makers as vendors
from typer.testing import CliRunner

from livemoments.errors import PairingError
from livemoments.livephoto import LivePhoto, open_live_photo
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.reading.huawei import read_footer
from livemoments.livephoto.reading.pairing import find_video, still_identifier
from livemoments.livephoto.reading.vendors import oneplus_trailer_length
from livemoments.livephoto.reading.vivo import photo_tail, video_tail
from livemoments.livephoto.still.still import read_still

XMP = "XMP presentation timestamp"
FOOTER, COVER = "footer frame number", "footer cover time"
VIVO, VIVO_COVER = "vivo frame number", "vivo cover time"
V = vendors
# name -> (maker, options, kind, where the key time comes from)
ONE_FILE = {
    "xiaomi.jpg": (V.xiaomi_jpeg, {}, "xiaomi", XMP),
    "xiaomi-by-exif.jpg": (V.xiaomi_jpeg, {"words": False}, "xiaomi", XMP),
    "xiaomi-by-xmp.jpg": (V.xiaomi_jpeg, {"tag": 0}, "xiaomi", XMP),
    "xiaomi-unmarked.jpg": (
        V.xiaomi_jpeg, {"words": False, "tag": 0}, "google-motion-photo", XMP
    ),
    "xiaomi-micro.jpg": (V.xiaomi_jpeg, {"motion_photo": None}, "xiaomi", XMP),
    "oppo.jpg": (V.oppo_jpeg, {}, "oppo", XMP),
    "oppo-alone.jpg": (V.oppo_jpeg, {"google": False}, "oppo", XMP),
    "realme.jpg": (V.oppo_jpeg, {"make": "realme", "stamp_us": None}, "oppo", XMP),
    "oneplus.jpg": (
        V.oppo_jpeg, {"make": "OnePlus", "trailer": V.oneplus_trailer()}, "oppo", XMP
    ),
    "oppo-other-trailer.jpg": (V.oppo_jpeg, {"trailer": b"", "google": False}, "oppo", XMP),
    "vivo.jpg": (V.vivo_jpeg, {}, "vivo", XMP),
    "vivo-B1.jpg": (V.vivo_jpeg, {"signature": V.B1}, "vivo", XMP),
    "vivo-live-off.jpg": (V.vivo_jpeg, {"motion_photo": 0}, "vivo", XMP),
    "vivo-frame.jpg": (V.vivo_jpeg, {"timestamp_us": None, "frame": 6}, "vivo", VIVO),
    "huawei.jpg": (V.huawei_photo, {}, "huawei", FOOTER),
    "huawei.heic": (V.huawei_photo, {}, "huawei", FOOTER),
    "huawei-v3.jpg": (V.huawei_photo, {"version": "v3_f6", "play": "0:0"}, "huawei", FOOTER),
    "huawei-old.jpg": (V.huawei_photo, {"version": None}, "huawei", COVER),
    "huawei-start.jpg": (V.huawei_photo, {"play": "100:400"}, "huawei", FOOTER),
    "huawei-cinemagraph.jpg": (
        V.huawei_photo, {"version": "V3_F6_c", "cinemagraph": b"cinema" * 50}, "huawei", FOOTER
    ),
    "honor.jpg": (V.honor_jpeg, {}, "honor", FOOTER),
}  # fmt: skip


def check_clip(live: LivePhoto) -> None:
    """The clip is the one that was put in, frame by frame."""
    pictures = makers.moving(makers.scene())
    assert live.clip.times_s == pytest.approx(makers.TIMES_S)
    for index in (0, 6, 11):
        assert np.abs(live.clip.frame_at(index).image * 255 - pictures[index]).mean() < 9
    assert live.still.pixels().shape == (288, 384, 3)


@pytest.mark.parametrize("name", ONE_FILE)
def test_one_file(tmp_path, name):
    make, options, kind, source = ONE_FILE[name]
    live = open_live_photo(make(tmp_path / name, **options))
    assert (live.kind, live.key_time_source) == (kind, source)
    assert live.key_time_s == pytest.approx(0.4)
    assert live.notes == ("the clip has no sound",)
    assert live.identifiers == {}
    check_clip(live)


@pytest.mark.parametrize("name", ONE_FILE)
def test_one_file_in_a_folder_and_by_its_stem(tmp_path, name):
    make, options, kind, _ = ONE_FILE[name]
    path = make(tmp_path / name, **options)
    assert open_live_photo(tmp_path).kind == kind
    assert open_live_photo(path.with_suffix("")).kind == kind


@pytest.mark.parametrize("name", ["honor.jpg", "vivo.jpg", "huawei.jpg", "oneplus.jpg"])
def test_where_the_clip_ends(tmp_path, name):
    make, options, _, _ = ONE_FILE[name]
    source = open_live_photo(make(tmp_path / name, **options)).clip.source
    data = source.path.read_bytes()[source.start : source.start + source.length]
    clip = V.clip_bytes()
    # vivo's own box is one of the MP4's; Honor's is cut off, as are footers and trailers.
    assert data == clip if name != "vivo.jpg" else data.startswith(clip)
    assert name != "vivo.jpg" or data[len(clip) + 4 :].startswith(b"uuidvivoMediaExtInfo")


def test_info_shows_kind_and_source(tmp_path):
    from livemoments.cli import app

    for name in ("honor.jpg", "xiaomi.jpg", "vivo-frame.jpg"):
        make, options, kind, source = ONE_FILE[name]
        path = make(tmp_path / name, **options)
        done = CliRunner().invoke(app, ["info", str(path), "--json"])
        facts = json.loads(done.stdout)
        assert (facts["kind"], facts["key_time_source"]) == (kind, source)


# --- wrong trailers and contradictions ------------------------------------------------------


@pytest.mark.parametrize("wrong_by", [-20, -1, 1, 7, 10_000, 10**12])
@pytest.mark.parametrize("make", [V.huawei_photo, V.honor_jpeg])
def test_a_wrong_length_in_the_footer_is_searched_for(tmp_path, make, wrong_by):
    live = open_live_photo(make(tmp_path / "a.jpg", wrong_by=wrong_by))
    assert live.kind == ("huawei" if make is V.huawei_photo else "honor")
    assert "the footer states a wrong place for the clip; found by searching" in live.notes
    assert live.key_time_source == FOOTER and live.key_time_s == pytest.approx(0.4)
    check_clip(live)


def test_a_footer_without_a_clip_is_no_motion_photo(tmp_path):
    still = V.still_bytes("HUAWEI")
    path = V.written(tmp_path / "a.jpg", still, V.live_footer(1000))
    with pytest.raises(PairingError, match="no video next to it"):
        open_live_photo(path)


@pytest.mark.parametrize(
    "tail",
    [
        V.live_footer(12),
        V.oneplus_trailer(),
        V.vivo_tail({"version": 1}),
        makers.sef_trailer([(0x0A30, b"MotionPhoto_Data", b"no video")]),
        b"jxrs\xff\xff\xff\0",
        b"LIVE_".ljust(60),
        b"cameralbum!" + bytes(4),
        bytes(30),
    ],
)
def test_other_makers_trailers_do_not_hide_googles_clip(tmp_path, tail):
    """Whatever stands behind it, the clip that XMP promises is found."""
    path = makers.google_jpeg(tmp_path / "a.MP.jpg", clip=V.clip_bytes())
    path.write_bytes(path.read_bytes() + tail)
    live = open_live_photo(path)
    assert live.kind == "google-motion-photo" and live.key_time_source == XMP
    check_clip(live)


@pytest.mark.parametrize(
    ("version", "play", "source", "key_s"),
    [
        ("v6_f3", "0:400", FOOTER, 0.15),  # HarmonyOS goes by the frame
        ("v6_f12", "0:400", COVER, 0.4),  # there is no frame 12
        ("v6_f0", "0:0", "matched", 0.4),  # what is written where nothing is known
        ("v6_f0", "0:90", "matched", 0.4),  # a converter writes the number of frames
        (None, "junk", "matched", 0.4),
        ("v_f", "junk", "matched", 0.4),
        ("v6_f12", "0:90000", "matched", 0.4),
        ("vx_f3", "0:400", COVER, 0.4),
    ],
)
def test_huawei_key_times(tmp_path, version, play, source, key_s):
    path = V.huawei_photo(tmp_path / "a.jpg", version=version, play=play)
    if version in ("v_f", "vx_f3"):
        assert read_footer(Source.whole(path)).frame is None
    live = open_live_photo(path)
    assert live.kind == "huawei"
    assert (live.key_time_source, live.key_time_s) == (source, pytest.approx(key_s))
    if source == "matched" and play == "junk":
        assert live.notes[0].startswith("the footer states no key time; ")
    if source == FOOTER:
        assert any("frame number says 0.150 s" in note for note in live.notes)


def test_a_frame_number_that_is_zero_and_true(tmp_path):
    picture = makers.enlarged(makers.moving(makers.scene())[0])
    path = V.huawei_photo(tmp_path / "a.jpg", version="v3_f0", play="0:0", picture=picture)
    live = open_live_photo(path)
    assert (live.key_time_source, live.key_time_s) == (FOOTER, 0.0)


def test_oneplus_trailer():
    trailer = V.oneplus_trailer()

    def length(data: bytes, tmp=None) -> int:
        source = Source(path=__file__, start=0, length=len(data), data=data)
        return oneplus_trailer_length(source)

    assert length(b"video" + trailer) == len(trailer)
    assert length(b"") == length(b"jxrs" + bytes(20)) == 0
    assert length(b"video" * 9 + b"[1, null, {}]" + b"jxrs" + struct.pack("<I", 21)) == 21
    assert length(b"video" * 9 + b"[" * 9000 + b"jxrs" + struct.pack("<I", 9008)) == 0
    assert length(b"jxrs" + struct.pack("<I", 0xFFFFFFFF)) == 0


def test_converters_that_write_everything(tmp_path):
    """Words of all makers at once: vivo's gallery does it with OPPO's, other programs with more."""
    words = {"OpCamera:OLivePhotoVersion": 2, "MiCamera:XMPMeta": "x"}
    for more, kind in (({}, "xiaomi"), ({"VCamera:VMotionPhotoVersion": 1}, "vivo")):
        clip = V.clip_bytes()
        xmp = V.vendor_xmp(words | more, len(clip))
        path = V.written(tmp_path / f"{kind}.jpg", V.still_bytes("x", xmp=xmp), clip)
        assert open_live_photo(path).kind == kind


# --- vivo's two files -----------------------------------------------------------------------


@pytest.mark.parametrize("given", ["still", "video", "stem", "folder"])
@pytest.mark.parametrize(
    "options", [{}, {"signature": V.B1}, {"signature": V.B1, "marker": False}], ids=str
)
def test_vivo_pair(tmp_path, given, options):
    still, video = V.vivo_pair(tmp_path, **options)
    path = {"still": still, "video": video, "stem": still.with_suffix(""), "folder": tmp_path}
    live = open_live_photo(path[given])
    assert live.kind == "vivo-pair"
    assert (live.still.path, live.clip.path) == (still, video)
    assert live.identifiers == {"still": V.VIVO_ID, "video": V.VIVO_ID}
    assert (live.key_time_source, live.key_time_s) == (VIVO, pytest.approx(0.4))
    assert live.notes == ("the clip has no sound",)
    check_clip(live)


@pytest.mark.parametrize("given", ["still", "video"])
def test_vivo_pair_renamed(tmp_path, given):
    still, video = V.vivo_pair(tmp_path)
    V.vivo_pair(tmp_path, stem="IMG_0002", identifier=V.OTHER_VIVO_ID)
    video = video.rename(tmp_path / "other.mp4")
    live = open_live_photo(still if given == "still" else video)
    assert live.kind == "vivo-pair" and live.clip.path == video and live.still.path == still


def test_vivo_pair_mismatched(tmp_path):
    still, video = V.vivo_pair(tmp_path, video_identifier=V.OTHER_VIVO_ID)
    for given in (still, video):
        with pytest.raises(PairingError) as caught:
            open_live_photo(given)
        for part in (still.name, video.name, V.VIVO_ID, V.OTHER_VIVO_ID):
            assert part in str(caught.value)
    live = open_live_photo(still, video)
    assert live.kind == "pair-by-hand" and live.key_time_source == "matched"


def test_vivo_still_that_lost_its_tail(tmp_path):
    """Editors drop what stands behind a JPEG; the clip still knows its frame."""
    still, _ = V.vivo_pair(tmp_path)
    still.write_bytes(V.still_bytes("vivo"))
    live = open_live_photo(still)
    assert live.kind == "pair-by-name"
    assert (live.key_time_source, live.key_time_s) == (VIVO, pytest.approx(0.4))
    assert "the still does not name its Live Photo" in live.notes[0]


@pytest.mark.parametrize(
    ("frame", "cover_ms", "source", "key_s"),
    [
        (3, 400, VIVO_COVER, 0.4),  # an edited cover wins
        (6, None, VIVO, 0.4),
        (None, 250, VIVO_COVER, 0.25),
        (6, 90_000, VIVO, 0.4),
        (12, None, "matched", 0.4),
        (None, None, "matched", 0.4),
        (3, 0, "matched", 0.4),  # converters write zero unasked; the pictures decide
    ],
)
def test_vivo_key_times(tmp_path, frame, cover_ms, source, key_s):
    still, _ = V.vivo_pair(tmp_path, frame=frame, cover_ms=cover_ms)
    live = open_live_photo(still)
    assert (live.key_time_source, live.key_time_s) == (source, pytest.approx(key_s))
    if frame == 3 and cover_ms:
        assert "the vivo cover time says 0.400 s, the vivo frame number 0.150 s" in live.notes


def test_a_cover_that_was_set_to_the_first_frame(tmp_path):
    picture = makers.enlarged(makers.moving(makers.scene())[0])
    still, _ = V.vivo_pair(tmp_path, frame=6, cover_ms=0, picture=picture)
    live = open_live_photo(still)
    assert (live.key_time_source, live.key_time_s) == (VIVO_COVER, 0.0)


def test_the_fixed_identifier_of_single_files_pairs_nothing(tmp_path):
    tail = V.vivo_tail({"version": 2200}, "motionphoto".ljust(28, "0"))
    path = V.written(tmp_path / "a.jpg", V.still_bytes("vivo"), tail)
    V.vivo_pair(tmp_path, stem="B", identifier="motionphoto".ljust(28, "0"))
    assert still_identifier(read_still(path)) is None
    with pytest.raises(PairingError, match="a.jpg: no video next to it"):
        find_video(read_still(path))


SIGNATURE = b"\xff" * 4 + bytes.fromhex("1b2a39485766758493a2b3")


@pytest.mark.parametrize(
    ("data", "identifier", "frame"),
    [
        (V.vivo_tail({"com.android.camera.livephoto": "abc"}, "abc"), "abc", None),
        (V.vivo_tail({"x": 1}, "abc"), "abc", None),
        (V.vivo_tail({"com.android.camera.imageTime": "12"}, "abc"), "abc", 12),
        (V.vivo_tail({"com.android.camera.imageTime": True}, "abc"), "abc", None),
        (V.vivo_tail({"com.android.camera.imageTime": -1}, "abc"), "abc", None),
        (V.vivo_tail({"com.android.camera.imageTime": 1e9}, "abc"), "abc", None),
        (V.vivo_tail({"com.android.camera.livephoto": ["abc"]}, "abc"), "abc", None),
        (V.vivo_tail({"com.android.camera.livephoto": "a\nc"}, "abc"), "abc", None),
        (V.vivo_tail({"com.android.camera.livephoto": "a" * 500}, "abc"), "abc", None),
        (V.vivo_tail({}, "abc"), "abc", None),
        (b"cameralbum!" + struct.pack(">I", 22) + b"abc" + SIGNATURE, "abc", None),
    ],
)
def test_tails(data, identifier, frame):
    source = Source(path=__file__, start=0, length=len(data), data=data)
    for tail in (photo_tail(source), video_tail(source)):
        assert tail is not None
        assert (tail.identifier, tail.frame, tail.cover_ms) == (identifier, frame, None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SIGNATURE[1:],
        SIGNATURE,
        b'vivo{"a' + SIGNATURE,
        b'vivo{"a":' + b"[" * 100_000 + SIGNATURE,
        b'vivo{"a":' + b"9" * 100_000 + b"}" + SIGNATURE,
        b"cameralbum!\xff\xff\xff\xff" + SIGNATURE,
        b"cameralbum!\0\0\0\x13" + SIGNATURE,
        V.vivo_tail({"a": 1}) + b"\0",
    ],
)
def test_broken_tails(data):
    source = Source(path=__file__, start=0, length=len(data), data=data)
    assert photo_tail(source) is None
