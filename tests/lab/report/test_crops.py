"""The report's crops: which images and places are shown, and in how many bytes."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.pictures import as_bytes, noise_picture, scene
from support.report_runs import GAN, OURS, image, make_run, only, write_pictures

from livemoments.lab.report.album import LOSSLESS, Album
from livemoments.lab.report.crops import CROP_PX, cut_crops
from livemoments.lab.report.findings import find
from livemoments.lab.report.write import write_report

SIZE = (640, 480)


def cut(run, folder):
    album = Album()
    return cut_crops(find(run), folder, folder, album), album


def large(count=1, **changes):
    run = make_run(images=count, **changes)
    return replace(run, images=[image(each.name, *SIZE) for each in run.images])


def picture(height=SIZE[1], width=SIZE[0], value=128):
    return np.full((height, width, 3), value, np.uint8)


def save(pixels, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def inside(crop, x, y):
    return crop.left <= x < crop.left + crop.width and crop.top <= y < crop.top + crop.height


def marked(x, y, pixels=None, side=40):
    """A picture with a checked square around a place."""
    pixels = picture() if pixels is None else pixels.copy()
    half = side // 2
    pixels[y - half : y + half : 2, x - half : x + half] = 255
    return pixels


@pytest.fixture
def planted(tmp_path):
    """Truth with detail at one place; one method differs at a second, ours at a third."""
    run = only(large(), "gan", "livemoments")
    truth = marked(120, 110)
    save(truth, tmp_path / "image 0/truth.png")
    save(truth[::2, ::2], tmp_path / "image 0/frame.png")
    save(truth, tmp_path / "image 0/key.png")
    both = marked(320, 370, truth)  # where both are wrong alike
    save(marked(520, 110, both, side=60), tmp_path / "gan/image 0.png")
    save(both, tmp_path / "livemoments/image 0.png")
    return run, tmp_path


def test_crops_lie_where_there_is_something_to_see(planted):
    (shown,), _ = cut(*planted)
    differ, detail, far = shown.crops
    assert differ.why == "where the methods differ most" and inside(differ, 520, 110)
    assert detail.why == "where the truth has most detail" and inside(detail, 120, 110)
    assert far.why == "where livemoments is furthest from the truth" and inside(far, 320, 370)
    assert all((crop.width, crop.height) == (CROP_PX, CROP_PX) for crop in shown.crops)


def test_tiles_show_the_same_place_of_every_picture(planted):
    (shown,), album = cut(*planted)
    crop = shown.crops[0]
    assert [tile.label for tile in crop.tiles] == [
        "frame", "key photo", "truth", "Real-ESRGAN", "livemoments",
    ]  # fmt: skip
    truth = np.asarray(Image.open(planted[1] / "image 0/truth.png"))
    box = np.s_[crop.top : crop.top + CROP_PX, crop.left : crop.left + CROP_PX]
    assert np.array_equal(np.asarray(album.pictures[crop.tiles[2].picture]), truth[box])
    assert crop.tiles[0].note == "enlarged 2×" and "not aligned" in crop.tiles[1].note


def test_a_single_odd_method_does_not_choose_the_place(tmp_path):
    names = ["gan", "bicubic", "livemoments", "other"]
    methods = [replace(OURS, name=name, label=name) for name in names]
    run = large(methods=methods)
    scores = [replace(run.scores[0], method=n, picture=f"{n}/image 0.png") for n in names]
    save(picture(), tmp_path / "image 0/truth.png")
    for i, name in enumerate(names):
        subtle = marked(120, 110) if i < 2 else picture()
        save(picture(value=0) if name == "other" else subtle, tmp_path / name / "image 0.png")
    (shown,), _ = cut(replace(run, scores=scores), tmp_path)
    assert inside(shown.crops[0], 120, 110)


def test_crops_do_not_overlap_much_and_stay_within(tmp_path):
    run = large()
    write_pictures(run, tmp_path)
    (shown,), _ = cut(run, tmp_path)
    for i, one in enumerate(shown.crops):
        assert 0 <= one.left <= SIZE[0] - CROP_PX and 0 <= one.top <= SIZE[1] - CROP_PX
        for other in shown.crops[:i]:
            apart = max(abs(one.left - other.left), abs(one.top - other.top))
            assert apart >= round(0.75 * CROP_PX)


@pytest.mark.parametrize("size", [(1, 1), (50, 300), (216, 216), (300, 217)])
def test_pictures_smaller_than_a_crop(size, tmp_path):
    run = make_run(images=1)
    run = replace(run, images=[image("image 0", *size)])
    for name in ("image 0/truth", "image 0/frame", "image 0/key", "gan/image 0",
                 "bicubic/image 0", "livemoments/image 0"):  # fmt: skip
        save(as_bytes(noise_picture(size[1], size[0])), tmp_path / f"{name}.png")
    (shown,), _ = cut(run, tmp_path)
    crop = shown.crops[0]
    assert (crop.width, crop.height) == (min(size[0], CROP_PX), min(size[1], CROP_PX))


def test_pictures_of_other_sizes_are_brought_to_the_truths(tmp_path):
    run = only(large(), "gan", "livemoments")
    whole = as_bytes(scene(SIZE[1], SIZE[0]))
    for name, step in (("image 0/truth", 1), ("image 0/frame", 4), ("image 0/key", 1),
                       ("gan/image 0", 2), ("livemoments/image 0", 1)):  # fmt: skip
        save(whole[::step, ::step], tmp_path / f"{name}.png")
    (shown,), album = cut(run, tmp_path)
    tiles = {tile.label: tile for tile in shown.crops[0].tiles}
    assert {album.pictures[t.picture].size for t in tiles.values()} == {(CROP_PX, CROP_PX)}
    assert tiles["Real-ESRGAN"].note == "enlarged 2×" and tiles["livemoments"].note == ""


def test_the_worst_images_come_first_and_the_others_not_at_all():
    (*shown,), _ = cut(make_run(images=15), Path("nowhere"))
    assert [each.image.name for each in shown] == [f"image {i}" for i in range(14, 2, -1)]
    assert all(len(each.crops) == 1 for each in shown)  # nothing to choose places by


def test_a_large_picture_is_searched_in_part_and_cut_whole(tmp_path):
    run = only(make_run(images=1), "livemoments")
    run = replace(run, images=[image("image 0", 1800, 1400)])
    flat = picture(1400, 1800)
    for name in ("image 0/truth", "image 0/frame", "image 0/key"):
        save(flat, tmp_path / f"{name}.png")
    save(marked(1600, 1200, flat, side=60), tmp_path / "livemoments/image 0.png")
    (shown,), _ = cut(run, tmp_path)
    assert shown.crops[0].why == "where the method changes the frame most"
    assert inside(shown.crops[0], 1600, 1200) and shown.crops[0].width == CROP_PX


def test_a_colour_profile_goes_with_the_crop(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    run = only(large(), "livemoments")
    write_pictures(run, tmp_path)
    Image.open(tmp_path / "livemoments/image 0.png").save(
        tmp_path / "livemoments/image 0.png", icc_profile=profile
    )
    (shown,), album = cut(run, tmp_path)
    uri = album.encode().uris[shown.crops[0].tiles[-1].picture]
    assert decoded(uri).info["icc_profile"] == profile


# --- the album ------------------------------------------------------------------------------


def decoded(uri):
    head, data = uri.split(",")
    assert head in ("data:image/jpeg;base64", "data:image/webp;base64")
    return Image.open(io.BytesIO(base64.b64decode(data)))


def noisy(count):
    album = Album()
    for i in range(count):
        album.add(Image.fromarray(as_bytes(noise_picture(64, 64, seed=i))))
    return album


def test_few_pictures_are_kept_without_loss():
    album = noisy(2)
    kept = album.encode()
    assert kept.how == LOSSLESS
    for picture_, uri in zip(album.pictures, kept.uris, strict=True):
        assert np.array_equal(np.asarray(decoded(uri).convert("RGB")), np.asarray(picture_))


def test_many_pictures_share_one_quality_within_the_budget():
    kept = noisy(8).encode(budget=90_000)
    assert kept.how.startswith("as JPEG of quality") and sum(map(len, kept.uris)) <= 90_000
    assert len(kept.uris) == 8


def test_a_budget_too_small_for_any_quality_takes_the_last():
    kept = noisy(2).encode(budget=10)
    assert kept.how == "as JPEG of quality 75" and len(kept.uris) == 2


@pytest.mark.slow
def test_five_images_of_eight_methods_stay_within_twelve_megabytes(tmp_path):
    names = [f"method {i}" for i in range(8)]
    base = make_run(images=5)
    images = [image(each.name, *SIZE) for each in base.images]
    run = replace(
        base,
        images=images,
        methods=[replace(GAN, name=name, label=name) for name in names],
        scores=[replace(base.scores[0], method=n, image=i.name, picture="noise.png")
                for n in names for i in images],
    )  # fmt: skip
    images = [replace(i, frame="noise.png", key="noise.png", truth="noise.png") for i in images]
    noise = np.random.default_rng(0).normal(0, 0.03, (SIZE[1], SIZE[0], 3))
    save(as_bytes(scene(SIZE[1], SIZE[0]) + noise), tmp_path / "noise.png")
    page, _ = write_report(replace(run, images=images), tmp_path, tmp_path)
    assert page.stat().st_size < 12e6
