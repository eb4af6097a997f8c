"""Live Photos brought into another form: clip and still bit for bit, time and metadata kept."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import makers, rounds, vendor_makers
from support.converted import coded_still, rules_broken, tags
from support.motion_photos import broken_rules, clip_bytes, packets

from livemoments.errors import ConfigError, LiveMomentsError, OutputError
from livemoments.livephoto import open_live_photo
from livemoments.livephoto.container.jpeg_edit import attached_pictures
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.hdr.gain_map import from_apple
from livemoments.livephoto.metadata.exif import MAKER_NOTE, ExifEditor
from livemoments.livephoto.still.gain_map import read_gain_map
from livemoments.livephoto.still.still import read_still
from livemoments.livephoto.still.still_bytes import read_still_file
from livemoments.livephoto.writing.convert import convert_file
from livemoments.livephoto.writing.format import Format
from livemoments.livephoto.writing.picture import write_picture

KINDS = {
    "apple": "apple-pair",
    "google": "google-motion-photo",
    "samsung": "samsung",
    "microvideo": "microvideo",
}


def apple(folder, suffix, **options):
    options = {"sound": True, "transform": np.diag([1.1, 0.9, 1.0]), **options}
    return makers.apple_pair(folder, still_suffix=suffix, **options)[0]


SOURCES = {
    "apple.jpg": lambda folder: apple(folder, ".JPG"),
    "apple.heic": lambda folder: apple(folder, ".HEIC"),
    "google.jpg": lambda folder: makers.google_jpeg(folder / "PXL_1.MP.jpg"),
    "google.heic": lambda folder: makers.google_heic(folder / "PXL_1.MP.heic"),
    "micro.jpg": lambda folder: makers.micro_video_jpeg(folder / "MVIMG_1.jpg"),
    "samsung.jpg": lambda folder: makers.samsung_jpeg(folder / "2024.jpg"),
    "samsung.heic": lambda folder: makers.samsung_heic(folder / "2024.heic"),
    "xiaomi.jpg": lambda folder: vendor_makers.xiaomi_jpeg(folder / "x.jpg"),
    "oppo.jpg": lambda folder: vendor_makers.oppo_jpeg(folder / "o.jpg"),
    "vivo.jpg": lambda folder: vendor_makers.vivo_jpeg(folder / "v.jpg"),
    "vivo pair.jpg": lambda folder: vendor_makers.vivo_pair(folder)[0],
    "huawei.jpg": lambda folder: vendor_makers.huawei_photo(folder / "h.jpg"),
    "huawei.heic": lambda folder: vendor_makers.huawei_photo(folder / "h.heic"),
    "honor.jpg": lambda folder: vendor_makers.honor_jpeg(folder / "h.jpg"),
    "livp.heic": lambda folder: vendor_makers.livp(folder / "a.livp"),
    "pvt.jpg": lambda folder: vendor_makers.pvt(folder / "a.pvt") / "IMG_0001.JPG",
}
OWN_FORMS = list(SOURCES)[:7]


def source_of(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return SOURCES[name](folder)


def assert_same_time(before, after, notes) -> None:
    """The key time is kept; but Apple's form has no time past the clip's end, as Samsung's has."""
    late = any("past the clip's end" in note for note in notes)
    expected = before.clip.duration_s - 1 / 600 if late else before.key_time_s
    assert after.key_time_s == pytest.approx(expected, abs=1e-3)
    assert not late or before.key_time_s > before.clip.duration_s


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# --- every form from every form -----------------------------------------------------------------


@pytest.mark.parametrize("to", ["apple", "google", "samsung"])
@pytest.mark.parametrize("name", SOURCES)
def test_any_form_from_any_other(tmp_path, name, to):
    path = source_of(tmp_path / "in", name)
    before, live = everything(tmp_path / "in"), open_live_photo(path)
    out = tmp_path / "out"
    out.mkdir()
    done = convert_file(path, out, to=to)
    again = open_live_photo(done.path)
    assert again.kind == KINDS[to] and done.still_copied
    assert_same_time(live, again, done.notes)
    assert again.key_time_s == pytest.approx(done.key_time_s, abs=1e-6)
    assert packets(clip_bytes(again.clip.source)) == packets(clip_bytes(live.clip.source))
    assert rules_broken(done) == []
    assert coded_still(done.path) == coded_still(path)
    assert (again.still.taken, again.still.model) == (live.still.taken, live.still.model)
    assert again.still.orientation == live.still.orientation
    assert done.size_bytes == sum(p.stat().st_size for p in out.iterdir())
    assert everything(tmp_path / "in") == before
    if live.still.identifier and to != "samsung":
        assert again.still.identifier != live.still.identifier
        assert live.still.identifier.encode() not in done.path.read_bytes()


@pytest.mark.parametrize("name", ["apple.jpg", "google.jpg", "samsung.jpg"])
def test_the_form_before_motion_photo(tmp_path, name):
    path = source_of(tmp_path / "in", name)
    done = convert_file(path, tmp_path / "MVIMG_1.jpg", to="microvideo")
    assert open_live_photo(done.path).kind == "microvideo" and rules_broken(done) == []
    assert coded_still(done.path) == coded_still(path)


@pytest.mark.parametrize("suffix", [".jpg", ".heic"])
@pytest.mark.parametrize("way", [("google", "apple"), ("samsung", "apple"), ("samsung", "google")])
def test_there_and_back(tmp_path, suffix, way):
    first = source_of(tmp_path / "in", f"apple{suffix}")
    for start in (first, convert_file(first, tmp_path / f"a{suffix}", to="google").path):
        path = start
        for index, to in enumerate([*way, "apple", "google"]):
            path = convert_file(path, tmp_path / f"{start.stem}-{index}{suffix}", to=to).path
        one, two = open_live_photo(start), open_live_photo(path)
        assert packets(clip_bytes(one.clip.source)) == packets(clip_bytes(two.clip.source))
        assert two.key_time_s == pytest.approx(one.key_time_s, abs=1e-3)
        assert coded_still(start) == coded_still(path)
        assert tags(start) == tags(path)


def test_another_makers_note_comes_back(tmp_path):
    exif = Image.Exif()
    exif.load(makers.make_exif(make="Google"))
    exif.get_ifd(0x8769)[MAKER_NOTE] = b"HDRP\x02" + bytes(range(200))
    clip = makers.motion_clip()
    path = tmp_path / "PXL.MP.jpg"
    xmp = makers.google_xmp(length=len(clip))
    makers.save_still(path, makers.enlarged(makers.scene()), exif=exif.tobytes(), xmp=xmp)
    path.write_bytes(path.read_bytes() + clip)
    pair = convert_file(path, tmp_path / "pair.jpg", to="apple")
    assert ExifEditor(read_still(pair.path).exif).get("details", MAKER_NOTE)[:5] == b"Apple"
    back = convert_file(pair.path, tmp_path / "back.jpg", to="google")
    assert tags(back.path) == tags(path) and tags(path)[3].startswith(b"HDRP")


def test_an_apple_pair_keeps_its_transform_and_its_track(tmp_path):
    path = source_of(tmp_path / "in", "apple.jpg")
    done = convert_file(path, tmp_path / "a.jpg", to="apple")
    one, two = open_live_photo(path), open_live_photo(done.path)
    np.testing.assert_array_equal(one.key_transform, two.key_transform)
    assert two.identifiers == {"still": done.identifier, "video": done.identifier}
    assert done.notes == ()


def test_googles_other_words_stay_and_those_about_the_clip_go(tmp_path):
    clip = makers.motion_clip()
    xmp = makers.google_xmp(length=len(clip))
    more = b'xmlns:dc="urn:d" dc:rights="mine" Camera:SpecialTypeID="x" Camera:MotionPhoto='
    xmp = xmp.replace(b"Camera:MotionPhoto=", more, 1)
    path = makers.google_jpeg(tmp_path / "in.jpg", clip=clip, xmp=xmp)
    pair = read_still(convert_file(path, tmp_path / "a.jpg", to="apple").path)
    again = read_still(convert_file(path, tmp_path / "b.jpg", to="google").path)
    for still in (pair, again):
        assert b'rights="mine"' in still.xmp and b'SpecialTypeID="x"' in still.xmp
    assert b"MotionPhoto" not in pair.xmp and b"Directory" not in pair.xmp
    plain = makers.google_jpeg(tmp_path / "plain.jpg")
    assert read_still(convert_file(plain, tmp_path / "c.jpg", to="apple").path).xmp is None


def ultra_hdr(folder: Path) -> tuple[Path, bytes]:
    """A motion photo with a gain map between picture and clip, by XMP and by MPF."""
    first = Image.fromarray(makers.enlarged(makers.moving(makers.scene())[6]))
    second = Image.fromarray(makers.scene(96, 72))
    path, clip = folder / "PXL_1.MP.jpg", makers.motion_clip()
    first.save(path, "MPO", save_all=True, append_images=[second], exif=makers.make_exif())
    file = read_still_file(read_still(path), Source.whole(path))
    gain_map = file.attached[0].data
    item = '<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="image/jpeg"'
    item += f' Item:Semantic="GainMap" Item:Length="{len(gain_map)}"/></rdf:li>'
    xmp = makers.google_xmp(length=len(clip)).decode()
    at = xmp.rindex("<rdf:li")
    hdr = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
    xmp = (xmp[:at] + item + xmp[at:]).replace("rdf:about", f"{hdr} rdf:about", 1)
    still = file.with_metadata(exif=file.exif, xmp=xmp.encode(), attached=file.attached)
    path.write_bytes(still + gain_map + clip)
    assert broken_rules(path) == []
    return path, gain_map


def test_a_gain_map_moves_along(tmp_path):
    path, gain_map = ultra_hdr(tmp_path)
    for to in ("google", "apple"):
        done = convert_file(path, tmp_path / f"{to}.jpg", to=to)
        assert rules_broken(done) == [] and done.notes == ()
        data, still = done.path.read_bytes(), read_still(done.path)
        assert data.count(gain_map) == 1 and b"hdr-gain-map" in still.xmp
        assert b'Semantic="GainMap"' in still.xmp
        assert [each.data for each in attached_pictures(data, ())] == [gain_map]  # by MPF
    done = convert_file(path, tmp_path / "samsung.jpg", to="samsung")
    assert "left out: 1 pictures" in done.notes[0] and rules_broken(done) == []
    assert b"hdr-gain-map" not in read_still(done.path).xmp
    assert b"MPF\0" not in done.path.read_bytes()


# --- encoded anew -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "suffix"), [("apple.heic", ".jpg"), ("google.jpg", ".heic"), ("samsung.heic", ".JPG")]
)
@pytest.mark.parametrize("to", ["apple", "google", "samsung"])
def test_another_format_is_encoded_anew_and_said(tmp_path, name, suffix, to):
    path = source_of(tmp_path / "in", name)
    done = convert_file(path, tmp_path / f"out{suffix}", to=to)
    assert not done.still_copied and "encoded anew" in done.notes[-1] + done.notes[0]
    assert any("was encoded anew as" in note for note in done.notes)
    assert rules_broken(done) == []
    one, two = open_live_photo(path), open_live_photo(done.path)
    assert_same_time(one, two, done.notes)
    difference = one.still.pixels().astype(float) - two.still.pixels()
    assert np.abs(difference).mean() < 4


def test_a_still_of_another_format_becomes_a_jpeg(tmp_path):
    photo, video = makers.apple_pair(tmp_path / "in")
    with Image.open(photo) as image:
        image.save(tmp_path / "in" / "a.png")
    done = convert_file(tmp_path / "in" / "a.png", tmp_path, to="google", video=video)
    assert done.path.name == "a.MP.jpg" and rules_broken(done) == []
    assert "the still was a PNG and was encoded anew as JPEG" in " ".join(done.notes)


# --- what is said, what is named --------------------------------------------------------------


def test_a_time_found_by_comparing_is_said(tmp_path):
    photo, video = makers.apple_pair(tmp_path / "in", identifier=None, track=False)
    done = convert_file(photo, tmp_path / "a.jpg", to="google", video=video)
    assert "found by comparing pictures" in done.notes[0]


def test_what_samsungs_trailer_held_is_said(tmp_path):
    path = source_of(tmp_path / "in", "samsung.jpg")
    done = convert_file(path, tmp_path / "a.jpg", to="google")
    assert done.notes == ("left out with Samsung's trailer: Image_UTC_Data",)
    assert convert_file(path, tmp_path / "b.jpg", to="samsung").notes == ()


@pytest.mark.parametrize(
    ("name", "to", "expected"),
    [
        ("apple.jpg", "google", "IMG_0001.MP.JPG"),
        ("apple.heic", "samsung", "IMG_0001-samsung.HEIC"),
        ("apple.heic", "apple", "IMG_0001-apple.HEIC"),
        ("apple.heic", "microvideo", "MVIMG_0001.jpg"),
        ("google.jpg", "apple", "PXL_1.jpg"),
        ("google.heic", "google", "PXL_1-google.MP.heic"),
        ("micro.jpg", "apple", "IMG_1.jpg"),
        ("samsung.jpg", "apple", "2024-apple.jpg"),
        ("livp.heic", "google", "a.MP.heic"),
    ],
)
def test_names_next_to_the_source(tmp_path, name, to, expected):
    path = source_of(tmp_path / "in", name)
    done = convert_file(path, to=to)
    assert done.path == path.parent / expected
    assert done.movie in (None, done.path.with_suffix(".MOV"), done.path.with_suffix(".mov"))
    with pytest.raises(OutputError, match="exists already"):
        convert_file(path, to=to)


def test_a_package_holds_two_files_and_nothing_else(tmp_path):
    path = source_of(tmp_path / "in", "pvt.jpg")
    done = convert_file(path, to="apple")
    assert done.path == (tmp_path / "in" / "IMG_0001.JPG").absolute()
    assert len(list(path.parent.iterdir())) == 3  # metadata.plist too


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "out", "match"),
    [
        ("sony", "a.jpg", "format must be one of apple, google, samsung, microvideo; got 'sony'"),
        ("apple", "a.png", "HEIC or a JPEG"),
        ("google", "a.png", "JPEG or HEIC"),
        ("google", "a", "no suffix"),
        ("microvideo", "a.heic", "microvideo format is a JPEG"),
        ("apple", "nowhere/a.jpg", "does not exist"),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path, to, out, match):
    path = source_of(tmp_path / "in", "apple.jpg")
    with pytest.raises((ConfigError, OutputError), match=match):
        convert_file(path, tmp_path / out, to=to)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("to", Format)
@pytest.mark.parametrize("name", ["apple.jpg", "google.jpg"])
def test_inputs_are_never_replaced(tmp_path, name, to):
    path = source_of(tmp_path / "in", name)
    before = everything(tmp_path)
    with pytest.raises(OutputError, match="input"):
        convert_file(path, path, to=to, overwrite=True)
    assert everything(tmp_path) == before
    other = tmp_path / "other.jpg"
    other.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        convert_file(path, other, to=to)
    assert other.read_bytes() == b"precious"
    convert_file(path, other, to=to, overwrite=True)
    assert open_live_photo(other).kind == KINDS[to]


@pytest.mark.skipif(os.name == "nt", reason="folders of Windows have no such permissions")
def test_a_source_that_may_not_be_written_is_enough(tmp_path):
    path = source_of(tmp_path / "in", "apple.heic")
    for each in (*path.parent.iterdir(), path.parent):
        each.chmod(0o555)
    try:
        assert convert_file(path, tmp_path, to="google").path.is_file()
    finally:
        path.parent.chmod(0o755)


@pytest.mark.parametrize("name", OWN_FORMS)
def test_damaged_sources_are_errors_or_converted(tmp_path, name):
    path = source_of(tmp_path / "in", name)
    data, rng = path.read_bytes(), np.random.default_rng(3)
    for turn in range(rounds(24, 9)):
        broken_data = bytearray(data)
        for at in rng.integers(0, min(len(data), 3000), 6):
            broken_data[at] = rng.integers(0, 256)
        keep = len(data) if turn % 3 else int(rng.integers(1, len(data)))
        path.write_bytes(broken_data[:keep])
        out = tmp_path / f"out{turn}"
        out.mkdir()
        try:
            convert_file(path, out, to=("apple", "google", "samsung")[turn % 3])
        except LiveMomentsError:
            assert list(out.iterdir()) == []


@pytest.mark.parametrize("to", ["google", "apple"])
def test_a_gain_map_comes_along_where_the_still_is_encoded_anew(tmp_path, to):
    """HEIC to JPEG: Apple's gain map becomes Ultra HDR."""
    still, movie = makers.apple_pair(tmp_path / "in", still_suffix=".HEIC")
    picture = open_live_photo(still, movie).still
    values = np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(48, 64)
    gain_map = from_apple(values, headroom=3.0)
    heic = tmp_path / "a.heic"
    write_picture(picture.pixels(), heic, still=picture, software="x", gain_map=gain_map)
    movie.rename(tmp_path / "a.mov")
    done = convert_file(heic, tmp_path / "b.jpg", to=to, video=tmp_path / "a.mov")
    assert not any("gain" in note.lower() for note in done.notes)
    found = read_gain_map(read_still(done.path)).gain_map
    assert found is not None
    assert np.abs(found.stops() - gain_map.stops()).mean() < 0.03
