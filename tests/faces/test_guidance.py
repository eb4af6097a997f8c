"""Away from what is not wanted: laws of guidance, and which streams it takes."""

import numpy as np
import pytest
from support.tiny.faces import FakeFaces

from livemoments.errors import ConfigError
from livemoments.faces.guidance import Guidance, guided, negatives
from livemoments.models.face_window import Streams

WHOLE = Streams()


def latent(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((2, 48, 4, 4), np.float32)


def prompt(**known):
    reference = np.zeros((1, 32, 32, 3), np.float32)
    return FakeFaces().prompt(reference, known.get("identity", np.ones(128)), np.zeros(4))


def test_without_streams_the_prediction_is_left_as_it_is():
    z = latent(0)
    assert guided(z, []) is z


def test_a_stream_that_agrees_changes_nothing():
    z = latent(0)
    np.testing.assert_array_equal(guided(z, [(3.0, z), (1.0, z.copy())]), z)


def test_streams_add_up_in_any_order():
    z, one, other = (latent(seed) for seed in range(3))
    both = guided(z, [(1.5, one), (0.5, other)])
    np.testing.assert_allclose(both, z + 1.5 * (z - one) + 0.5 * (z - other), atol=1e-5)
    np.testing.assert_allclose(both, guided(z, [(0.5, other), (1.5, one)]), atol=1e-5)
    assert both.dtype == np.float32


def test_a_scale_of_0_costs_no_run():
    assert negatives(Guidance(), prompt(), WHOLE) == []


def test_each_stream_lacks_what_it_is_named_after():
    scales = {"low_quality": 1.0, "identity": 2.0, "image": 3.0, "reference": 4.0}
    whole = prompt()
    low, identity, image, reference = negatives(Guidance(**scales), whole, WHOLE)
    assert [each.scale for each in (low, identity, image, reference)] == [1, 2, 3, 4]
    assert low.streams == Streams(low_quality=True)
    assert identity.streams == Streams(identity=False, attributes=False)
    assert image.streams == reference.streams == Streams(image=False)
    assert image.aligned and not reference.aligned
    assert all(each.prompt is whole for each in (low, identity, image, reference))


def test_someone_elses_numbers_stand_for_a_wrong_identity():
    whole, another = prompt(), np.full(128, 0.3)
    (found,) = negatives(Guidance(identity=1), whole, WHOLE, another)
    assert found.streams == WHOLE
    assert found.prompt.identity == pytest.approx(0.3) and whole.identity == pytest.approx(1)


@pytest.mark.parametrize(
    ("guidance", "streams", "aligned"),
    [
        (Guidance(image=1), Streams(image=False), True),
        (Guidance(identity=1), Streams(identity=False, attributes=False), True),
        (Guidance(reference=1), Streams(image=False), False),
    ],
)
def test_what_is_not_there_anyway_is_not_taken_away(guidance, streams, aligned):
    assert negatives(guidance, prompt(), streams, aligned=aligned) == []


def test_without_an_aligned_reference_no_stream_has_one():
    found = negatives(Guidance(low_quality=1, image=1), prompt(), WHOLE, aligned=False)
    assert [each.aligned for each in found] == [False, False]


@pytest.mark.parametrize("scale", [-0.1, 8.5, float("nan")])
def test_scales_out_of_range_are_refused(scale):
    with pytest.raises(ConfigError, match="guidance's identity must be from 0 to 8"):
        Guidance(identity=scale)
