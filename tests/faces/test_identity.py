"""Whose face: refusing strangers, several references, and dlib's network where it is."""

import cv2
import numpy as np
import pytest
from support.faces import FakeModels, dlibs_models, picture_of, placement, portrait

from livemoments.errors import InputError
from livemoments.faces.crops import cut
from livemoments.faces.detect import FaceFinder
from livemoments.faces.face import Placement
from livemoments.faces.identity import (
    SAME_PERSON,
    TRUSTED,
    Embedder,
    apart,
    chip_placement,
    match_identity,
    mean_identity,
)


def identity(*numbers: float) -> np.ndarray:
    return np.array([*numbers, *[0.0] * (128 - len(numbers))])


def test_the_nearest_known_person_is_named():
    known = {"Ann": [identity(0)], "Bob": [identity(1)]}
    found = match_identity(identity(0.9), known)
    assert found.name == "Bob" and found.distance == pytest.approx(0.1)
    assert found.reason == "0.10 from Bob"


def test_strangers_are_refused():
    found = match_identity(identity(0.5), {"Ann": [identity(0)]})
    assert found.name is None and "a stranger: 0.50 from Ann, at most 0.45" in found.reason
    assert match_identity(identity(0.5), {"Ann": [identity(0)]}, limit=0.6).name == "Ann"
    nobody = match_identity(identity(0), {"Ann": []})
    assert nobody.name is None and nobody.reason == "nobody is known"


def test_it_could_be_two():
    found = match_identity(identity(0.5), {"Ann": [identity(0.2)], "Bob": [identity(0.83)]})
    assert found.name is None and "as near to Ann as to Bob" in found.reason


def test_of_several_references_their_mean_or_the_nearest_counts():
    spread = [identity(0.4, 0), identity(-0.4, 0)]
    assert match_identity(identity(0, 0.2), {"Ann": spread}).distance == pytest.approx(0.2)
    assert match_identity(identity(0.5, 0), {"Ann": spread}).distance == pytest.approx(0.1)


def test_the_mean_leaves_out_what_is_far_away():
    looks = [identity(x) for x in (0.0, 0.1, 0.2, 0.1, 5.0)]
    assert mean_identity(looks) == pytest.approx(identity(0.1))
    assert mean_identity([identity(3)]) == pytest.approx(identity(3))
    with pytest.raises(InputError, match="no identities"):
        mean_identity([])


def test_the_network_looks_at_the_same_square_of_picture_and_face():
    at = placement(70.0, 50.0, 80.0, 0.2)
    of_picture = chip_placement(at)
    of_face = chip_placement(Placement.of_canonical(256))
    corner = of_face.to_picture([[0, 0]])  # pixels of the canonical face
    matrix = at.matrix(256)
    assert matrix @ [*corner[0], 1] == pytest.approx(of_picture.to_picture([[0, 0]])[0])


def test_a_mirror_image_has_the_same_identity():
    embedder = Embedder(FakeModels())
    face = picture_of(height=128, width=128, blue=0)
    face[:, 40:] = (9, 90, 200)
    assert apart(embedder.of_face(face), embedder.of_face(face[:, ::-1])) < 1e-9


@pytest.fixture(scope="module")
def known():
    """A portrait, where its face is, and match_identity."""
    models = dlibs_models()
    picture, embedder = portrait(), Embedder(models)
    at = FaceFinder(models).find(picture).faces[0].placement
    return picture, at, embedder, embedder.of_picture(picture, at)


class TestDlib:
    def test_picture_and_canonical_face_agree(self, known):
        picture, at, embedder, whom = known
        assert whom.shape == (128,)
        assert apart(embedder.of_face(cut(picture, at, 256)), whom) < 0.1

    def test_a_person_gets_stranger_with_blur(self, known):
        picture, at, embedder, whom = known
        away = [
            apart(embedder.of_picture(cv2.GaussianBlur(picture, (0, 0), px), at), whom)
            for px in (0.7, 2.5)
        ]
        assert 0 < away[0] < away[1] < SAME_PERSON
        assert away[0] < TRUSTED

    def test_no_one_is_this_person(self, known):
        picture, at, embedder, whom = known
        other = np.full_like(picture, 128)
        assert apart(embedder.of_picture(other, at), whom) > TRUSTED
