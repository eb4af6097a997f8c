"""A still's metadata are replaced; its picture, and all that is not metadata, stays bit for bit."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support import makers, rounds

from livemoments.errors import DamagedFileError, InputError, UnsupportedFileError
from livemoments.livephoto.container.boxes import iter_boxes
from livemoments.livephoto.container.heic_edit import HeicEditor
from livemoments.livephoto.container.heic_metadata import (
    auxiliary_kinds,
    heic_metadata,
    heic_with_metadata,
)
from livemoments.livephoto.container.heif_items import item_bytes, read_items
from livemoments.livephoto.container.heif_tables import Extent, iloc_bytes, read_iloc
from livemoments.livephoto.container.jpeg_edit import attached_pictures, split_jpeg
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.metadata.xmp import ContainerItem
from livemoments.livephoto.still.still import read_still
from livemoments.livephoto.still.still_bytes import read_still_file

EXIF = makers.make_exif(makers.IDENTIFIER, orientation=6).removeprefix(b"Exif\0\0")
LONGER = makers.make_exif(makers.IDENTIFIER, orientation=6, model="iPhone 99" * 40)
LONGER = LONGER.removeprefix(b"Exif\0\0")
XMP = makers.micro_video_xmp(1000)


def saved(path, **options):
    options = {"exif": b"Exif\0\0" + EXIF, "icc_profile": makers.rgb_profile("p3"), **options}
    return makers.save_still(path, makers.scene(96, 72), **options)


def file_of(path):
    return read_still_file(read_still(path), Source.whole(path))


def coded(data: bytes) -> dict[int, bytes]:
    """Every item of a HEIC but metadata."""
    stream = io.BytesIO(data)
    items = read_items(stream, len(data)).items.values()
    kept = [item for item in items if item.type not in (b"Exif", b"mime")]
    return {item.id: item_bytes(stream, item, 1 << 30) for item in kept}


# --- JPEG -------------------------------------------------------------------------------------


@pytest.mark.parametrize("old_xmp", [None, XMP])
@pytest.mark.parametrize("exif", [None, EXIF, LONGER])
@pytest.mark.parametrize("xmp", [None, b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"])
def test_a_jpegs_scans_and_other_segments_stay(tmp_path, old_xmp, exif, xmp):
    file = file_of(saved(tmp_path / "a.jpg", xmp=old_xmp))
    data = file.with_metadata(exif=exif, xmp=xmp)
    (tmp_path / "b.jpg").write_bytes(data)
    again = read_still(tmp_path / "b.jpg")
    assert (again.exif, again.xmp) == (exif, xmp)
    old, new = split_jpeg(file.data), split_jpeg(data)
    assert old.picture == new.picture
    plain = [[s for s in parts.segments if s[1] != 0xE1] for parts in (old, new)]
    assert plain[0] == plain[1]
    assert again.colour == read_still(tmp_path / "a.jpg").colour


def test_a_jpeg_with_its_own_metadata_is_itself(tmp_path):
    path = saved(tmp_path / "a.jpg", xmp=XMP)
    file = file_of(path)
    assert file.with_metadata(exif=file.exif, xmp=file.xmp) == path.read_bytes()


def test_what_does_not_fit_in_a_segment_is_refused(tmp_path):
    file = file_of(saved(tmp_path / "a.jpg"))
    with pytest.raises(InputError, match="a.jpg: it cannot be copied without a loss"):
        file.with_metadata(exif=bytes(70_000), xmp=None)


def multi_picture(path, **options):
    """A JPEG that Pillow's own MPF index says has a second picture behind it."""
    first, second = (Image.fromarray(makers.enlarged(makers.scene(seed=n))) for n in (0, 1))
    exif = b"Exif\0\0" + EXIF
    first.save(path, "MPO", save_all=True, append_images=[second], exif=exif, **options)
    return path


def test_a_second_picture_moves_with_its_index(tmp_path):
    file = file_of(multi_picture(tmp_path / "a.jpg"))
    assert [each.item for each in file.attached] == [None]
    data = file.with_metadata(exif=LONGER, xmp=XMP, attached=file.attached)
    (tmp_path / "b.jpg").write_bytes(data + file.attached[0].data)
    with Image.open(tmp_path / "a.jpg") as old, Image.open(tmp_path / "b.jpg") as new:
        assert new.n_frames == old.n_frames == 2
        for index in range(2):
            old.seek(index)
            new.seek(index)
            assert np.array_equal(np.asarray(old), np.asarray(new))


def test_an_index_of_what_is_gone_goes_too(tmp_path):
    file = file_of(multi_picture(tmp_path / "a.jpg"))
    data = file.with_metadata(exif=EXIF, xmp=None)
    assert b"MPF\0" in file.data and b"MPF\0" not in data
    assert split_jpeg(data).picture == split_jpeg(file.data).picture


def test_the_containers_pictures_are_found_where_it_says(tmp_path):
    first, second = saved(tmp_path / "a.jpg"), saved(tmp_path / "b.jpg", exif=None)
    one, two = first.read_bytes(), second.read_bytes()
    primary = ContainerItem(mime="image/jpeg", semantic="Primary", length=0, padding=5)
    gain = ContainerItem(mime="image/jpeg", semantic="GainMap", length=len(two), padding=0)
    (found,) = attached_pictures(one + bytes(5) + two, [primary, gain])
    assert (found.data, found.item) == (two, gain)
    wrong = replace(gain, length=len(two) - 9)
    assert attached_pictures(one + bytes(5) + two, [primary, wrong]) == ()


# --- HEIC -------------------------------------------------------------------------------------


@pytest.mark.parametrize("old_xmp", [None, XMP])
@pytest.mark.parametrize("old_exif", [None, b"Exif\0\0" + EXIF])
@pytest.mark.parametrize("exif", [None, EXIF, LONGER])
@pytest.mark.parametrize("xmp", [None, XMP[:-1] + b" ", XMP + b" " * 999, b"<x/>"])
def test_a_heics_items_stay(tmp_path, old_xmp, old_exif, exif, xmp):
    path = saved(tmp_path / "a.heic", xmp=old_xmp, exif=old_exif)
    file = file_of(path)
    data = file.with_metadata(exif=exif, xmp=xmp)
    found = heic_metadata(data)
    assert found.exif == (exif or file.exif)
    assert found.xmp == (xmp or file.xmp)
    assert coded(data) == coded(file.data)
    kinds = [[box.type for box in iter_boxes(io.BytesIO(d), 0, len(d))] for d in (file.data, data)]
    assert kinds[1][: len(kinds[0])] == kinds[0]
    (tmp_path / "b.heic").write_bytes(data)
    again, before = read_still(tmp_path / "b.heic"), read_still(path)
    assert again.colour == before.colour
    assert np.array_equal(again.pixels(), before.pixels())


def test_a_heic_with_its_own_metadata_is_itself(tmp_path):
    path = saved(tmp_path / "a.heic", xmp=XMP)
    file = file_of(path)
    assert file.with_metadata(exif=file.exif, xmp=file.xmp) == path.read_bytes()


def test_nothing_of_the_old_metadata_is_left_in_a_heic(tmp_path):
    path = saved(tmp_path / "a.heic")
    without = makers.make_exif(None, model="iPhone 99" * 40).removeprefix(b"Exif\0\0")
    for exif in (without, without[:80]):
        data = heic_with_metadata(path.read_bytes(), exif=exif, xmp=None)
        assert makers.IDENTIFIER.encode() not in data
        assert heic_metadata(data).exif == exif


def test_a_heic_edited_again_and_again_stays_readable(tmp_path):
    data = saved(tmp_path / "a.heic").read_bytes()
    pictures = coded(data)
    for turn in range(6):
        exif = LONGER if turn % 2 else EXIF
        data = heic_with_metadata(data, exif=exif, xmp=XMP + b" " * (50 * turn))
        assert heic_metadata(data).exif == exif and coded(data) == pictures


def test_several_pictures_in_a_heic_stay(tmp_path):
    import pillow_heif

    pictures = [Image.fromarray(makers.enlarged(makers.scene(seed=n))) for n in (0, 1)]
    heif = pillow_heif.from_pillow(pictures[0])
    heif.add_from_pillow(pictures[1])
    heif.save(tmp_path / "a.heic", quality=80)
    data = (tmp_path / "a.heic").read_bytes()
    edited = heic_with_metadata(data, exif=EXIF, xmp=XMP)
    assert len(coded(edited)) == 2 and coded(edited) == coded(data)
    assert auxiliary_kinds(edited) == ()


@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_damage_is_one_of_our_errors(tmp_path, name):
    data = saved(tmp_path / name, xmp=XMP).read_bytes()
    rng = np.random.default_rng(0)
    for turn in range(rounds(150, 50)):
        broken = bytearray(data if turn % 2 else data[: int(rng.integers(1, len(data)))])
        for at in rng.integers(0, min(len(broken), 1200), 4):
            broken[at] = rng.integers(0, 256)
        try:
            if name == "a.jpg":
                split_jpeg(bytes(broken))
                attached_pictures(bytes(broken), ())
            else:
                heic_with_metadata(bytes(broken), exif=LONGER, xmp=XMP)
        except InputError:
            pass


def test_found_a_list_of_items_whose_last_states_no_size(tmp_path):
    """Fuzzer, --seed 33 --case 11236: an item added behind it was swallowed."""
    path = saved(tmp_path / "a.heic")
    data = path.read_bytes()
    last = data.rindex(b"infe")
    path.write_bytes(data[: last - 4] + bytes(4) + data[last:])
    path.write_bytes(heic_with_metadata(path.read_bytes(), exif=None, xmp=XMP))
    assert read_still(path).xmp == XMP


def test_found_an_offset_too_large_to_be_written(tmp_path):
    path = saved(tmp_path / "a.heic")
    places = read_iloc(HeicEditor(path.read_bytes()).table(b"iloc"))
    extent = Extent(index=0, start=1 << 40, length=1)
    far = replace(places.places[0], extents=(extent,))
    with pytest.raises(DamagedFileError):
        iloc_bytes(replace(places, places=(far,)), wide=False)
    again = read_iloc(iloc_bytes(replace(places, places=(far,)), wide=True))
    assert again.places == (far,)


def test_other_formats_are_refused(tmp_path):
    path = makers.save_still(tmp_path / "a.png", makers.scene())
    with pytest.raises(UnsupportedFileError, match="a.png: a PNG, where JPEG or HEIC is needed"):
        file_of(path)
