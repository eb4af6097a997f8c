"""Made-up scenes whose motion is known: the known motion must be the true one."""

import cv2
import numpy as np
import pytest
from support.pictures import assert_same_scene, scene, smooth_picture

from livemoments.align.flow import pixel_grid, sample, warp
from livemoments.lab.training.data.synthesis import (
    MARGIN_PX,
    blob,
    draw_grain,
    invert_field,
    make_scene,
    retone,
    similarity_field,
    smooth_field,
    wind,
)

SIZE = 192


def crop(seed: int) -> np.ndarray:
    return scene(SIZE + 2 * MARGIN_PX, SIZE + 2 * MARGIN_PX, seed)


def scenes(with_thing: bool, count: int = 5):
    things = [crop(50)] if with_thing else []
    return [make_scene(crop(i), things, np.random.default_rng(i)) for i in range(count)]


@pytest.fixture(scope="module")
def plain():
    return scenes(False)


@pytest.fixture(scope="module")
def with_things():
    return scenes(True)


def detail(image: np.ndarray) -> np.ndarray:
    """Without tone: the luma less its surroundings."""
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return luma - cv2.GaussianBlur(luma, (0, 0), 4)


def likeness(made, flow: np.ndarray, where: np.ndarray) -> float:
    """Correlation of detail between the truth and the key photo brought to it by a flow."""
    brought = warp(made.key_photo, flow)
    return float(np.corrcoef(detail(made.truth)[where], detail(brought)[where])[0, 1])


@pytest.mark.slow
def test_arrays_have_their_sizes_and_ranges(plain, with_things):
    for made in plain + with_things:
        for name in ("truth", "frame", "key_photo"):
            picture = getattr(made, name)
            assert picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.float32
            assert 0 <= picture.min() and picture.max() <= 1
        for name in ("true_flow", "flow"):
            assert (
                getattr(made, name).shape == (SIZE, SIZE, 2)
                and getattr(made, name).dtype == np.float32
            )
        for name in ("visible", "confidence"):
            plane = getattr(made, name)
            assert plane.shape == (SIZE, SIZE) and 0 <= plane.min() and plane.max() <= 1


def test_the_true_flow_brings_the_key_photo_to_the_truth(plain, with_things):
    found = []
    for made in plain + with_things:
        seen = made.visible > 0.9
        assert seen.mean() > 0.3
        right = likeness(made, made.true_flow, seen)
        found.append(right)
        for wrong in (
            -made.true_flow,
            made.true_flow + np.float32([3, 0]),
            made.true_flow + np.float32([0, 3]),
        ):
            assert likeness(made, wrong, seen) < right
    assert min(found) > 0.8 and np.median(found) > 0.97


def test_the_true_flow_is_exact_to_a_quarter_pixel(plain):
    """No other small shift of it fits better."""
    for made in plain:
        seen = made.visible > 0.9
        fits = {
            (x, y): likeness(made, made.true_flow + np.float32([x, y]), seen)
            for x in (-0.5, 0, 0.5) for y in (-0.5, 0, 0.5)
        }  # fmt: skip
        assert max(fits, key=fits.get) == (0, 0), fits


def test_without_a_moving_thing_all_but_the_border_is_visible(plain):
    for made in plain:
        assert made.visible[24:-24, 24:-24].min() == 1
        at = pixel_grid(SIZE, SIZE) + made.true_flow
        outside = ((at <= 0) | (at >= SIZE - 1)).any(-1)
        assert made.visible[outside].max(initial=0) == 0


def test_a_moving_thing_hides_something(with_things):
    assert any((made.visible[24:-24, 24:-24] < 0.1).mean() > 0.01 for made in with_things)
    for made in with_things:
        hidden = made.visible < 0.1
        if hidden.mean() > 0.02:
            assert likeness(made, made.true_flow, hidden) < 0.7


def test_the_frame_is_the_truth_in_worse_quality(plain):
    for made in plain:
        assert np.corrcoef(made.truth.ravel(), made.frame.ravel())[0, 1] > 0.5  # dense texture
        assert detail(made.frame)[16:-16, 16:-16].std() < detail(made.truth)[16:-16, 16:-16].std()


def test_the_estimated_flow_is_near_the_true_one_where_it_is_trusted(plain):
    trusted = [(made.confidence > 0.5) & (made.visible > 0.9) for made in plain]
    assert np.mean([there.mean() for there in trusted]) > 0.2
    errors = [
        np.linalg.norm(made.flow - made.true_flow, axis=-1)[there]
        for made, there in zip(plain, trusted, strict=True)
    ]
    assert np.median(np.concatenate(errors)) < 1


def test_the_same_generator_makes_the_same_scene():
    first, second = (
        make_scene(crop(0), [crop(1)], np.random.default_rng([3, 4])) for _ in range(2)
    )
    assert_same_scene(first, second)
    other = make_scene(crop(0), [crop(1)], np.random.default_rng([3, 5]))
    assert (other.truth != first.truth).any()


def test_inverting_a_field_solves_its_equation():
    field = smooth_field(96, 3, 5, np.random.default_rng(0))
    target = pixel_grid(96, 96) + 0.3
    found = invert_field(field, target)
    gap = found + sample(field, found, cv2.INTER_LINEAR) - target
    assert np.abs(gap).mean() < 0.01 and np.abs(gap).max() < 0.2


def test_a_similarity_turns_zooms_and_shifts_only():
    field = similarity_field(65, 2.0, np.random.default_rng(0))
    jacobian = np.stack([np.gradient(field[..., 0]), np.gradient(field[..., 1])])
    np.testing.assert_allclose(
        jacobian, jacobian[:, :, :1, :1] + np.zeros_like(jacobian), atol=1e-4
    )
    (a_y, a_x), (b_y, b_x) = jacobian[..., 0, 0]
    assert a_x == pytest.approx(b_y, abs=1e-4) and a_y == pytest.approx(-b_x, abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_a_things_mask_is_soft_and_in_range(seed):
    mask = blob(160, np.random.default_rng(seed))
    assert mask.shape == (160, 160) and 0 <= mask.min() and mask.max() <= 1 + 1e-6
    assert 0.001 < mask.mean() < 0.7


def test_another_tone_keeps_the_structure():
    picture = smooth_picture(96, 96)
    toned = [retone(picture, np.random.default_rng(i)) for i in range(20)]
    for other in toned:
        assert other.dtype == np.float32 and 0 <= other.min() and other.max() <= 1
        assert np.corrcoef(detail(picture).ravel(), detail(other).ravel())[0, 1] > 0.8
    assert np.mean([np.abs(other - picture).mean() for other in toned]) > 0.02


@pytest.mark.parametrize("seed", range(6))
def test_wind_can_be_followed_back(seed):
    """Its flow is true only if the displacement can be inverted: no folds."""
    field = wind(SIZE, np.random.default_rng(seed))
    assert field.shape == (SIZE, SIZE, 2) and np.abs(field).max() > 0.1
    slopes = [np.diff(field, axis=axis) for axis in (0, 1)]
    assert max(float(np.percentile(np.abs(s), 99)) for s in slopes) < 0.7


def test_grain_is_of_one_kind_but_never_the_same():
    photo = scene(128, 128, seed=3)
    rng = np.random.default_rng(0)
    grains = [draw_grain(rng) for _ in range(40)]
    assert any(g.noise == 0 == g.jpeg_quality for g in grains)
    grain = max(grains, key=lambda g: g.noise)
    first, second = (grain.put_on(photo, rng) - photo for _ in range(2))
    assert first.std() == pytest.approx(second.std(), rel=0.05) and 0.003 < first.std() < 0.03
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.35
    untouched = next(g for g in grains if g.noise == 0 == g.jpeg_quality)
    np.testing.assert_array_equal(untouched.put_on(photo, rng), photo)
