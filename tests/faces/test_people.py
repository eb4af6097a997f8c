"""Who is in a clip: matched, refused, too small, sharp enough; and by which photographs."""

from dataclasses import replace

import numpy as np
import pytest
from support.faces import mean_shares
from support.faces_stage import Stage, identity_of, reference, still

from livemoments.errors import ConfigError, InputError
from livemoments.faces.people import MOST_REFERENCES, find_people, grouped
from livemoments.faces.settings import PolishConfig


def find(stage, references, progress=None, count=0, **settings):
    config = PolishConfig(**{"spare_sharp": False, "smallest_px": 30, **settings})
    return find_people(stage.frames, references, stage, stage, config, progress, count=count)


def test_each_is_matched_to_his_own_photograph_and_strangers_to_none():
    stage = Stage(10, ann=still(50), bob=still(150), carl=still(250))
    found = find(stage, [reference("bob"), reference("ann")])
    assert [person.name for person in found.people] == ["ann", "bob", None]
    ann, bob, carl = found.people
    assert (ann.reference.name, bob.reference.name) == ("ann", "bob")
    assert ann.distance == pytest.approx(0, abs=1e-6) and ann.why is None
    assert carl.why.startswith("a stranger: 0.81 from") and carl.references == ()
    assert [person.number for person in found.restored] == [0, 1]
    assert len(found.times_s) == 10 and stage.opened == 1


def test_a_stranger_alone():
    found = find(Stage(5, carl=still(100)), [reference("ann")])
    assert found.people[0].name is None and found.restored == ()


def test_a_face_that_could_be_two_peoples_is_nobodys():
    between = (identity_of("ann") + identity_of("bob")) / 2
    stage = Stage(5, dora=still(100))
    stage.of_picture = lambda picture, at: between
    found = find(stage, [reference("ann"), reference("bob")], limit=0.5)
    assert found.people[0].name is None and "as near to" in found.people[0].why


def test_small_faces_are_skipped_with_the_reason():
    found = find(Stage(5, ann=still(100)), [reference("ann")], smallest_px=48)
    assert found.people[0].name is None
    assert found.people[0].why == "only 38 pixels high; from 48 on faces are restored"
    assert found.people[0].distance == pytest.approx(0, abs=1e-6)


def test_of_equally_aligned_references_the_sharper_comes_first():
    soft = reference("ann 1", sharpness=0.4)
    (person,) = find(Stage(5, ann=still(100)), [soft, reference("ann 2", sharpness=1.3)]).people
    assert person.reference.name == "ann 2"


def test_of_several_references_all_are_used_the_best_aligned_first():
    turned = mean_shares()
    turned[27:36, 0] += 0.05
    worst = replace(reference("ann 1"), landmarks=turned + (0.1, 0))
    many = [worst, replace(reference("ann 2"), landmarks=turned), reference("ann 3")]
    (person,) = find(Stage(5, ann=still(100)), many).people
    assert [each.name for each in person.references] == ["ann 3", "ann 2", "ann 1"]
    assert person.reference.name == "ann 3" and person.name == "ann 1"
    (person,) = find(Stage(5, ann=still(100)), many * 3).people
    assert len(person.references) == MOST_REFERENCES


def test_advice_is_that_of_the_reference_used():
    small = reference("ann", height_px=60)
    assert "only 60 pixels" in find(Stage(5, ann=still(100)), [small]).people[0].advice


def test_nobody_is_in_a_frame_twice():
    stage = Stage(5, ann=still(50), alma=still(250))
    near = {"ann": identity_of("ann"), "alma": identity_of("ann") + 0.3 * np.eye(128)[5]}
    stage.of_picture = lambda picture, at: near["ann" if at.x < 150 else "alma"]
    found = find(stage, [reference("ann")])
    assert [person.name for person in found.people] == ["ann", None]
    assert found.people[1].why == "seen next to a face nearer to ann (0.00)"
    assert found.people[1].references == ()


def test_one_person_who_comes_back_later_is_matched_again():
    stage = Stage(60, ann=lambda i: (50, 50) if i < 20 else ((250, 50) if i > 45 else None))
    assert {person.name for person in find(stage, [reference("ann")]).people} == {"ann"}


def test_someone_else_in_the_clip_is_known_for_guidance():
    both = find(Stage(5, ann=still(50), carl=still(250)), [reference("ann")])
    assert both.people[0].another == pytest.approx(identity_of("carl"))
    assert find(Stage(5, ann=still(50)), [reference("ann")]).people[0].another is None


def test_references_are_grouped_by_whom_they_show():
    group_photo = [reference("party", of=who) for who in ("ann", "bob", "carl")]
    known = grouped([*group_photo, reference("ann again", of="ann")], 0.45)
    assert list(known) == ["party", "party, face 2", "party, face 3"]
    assert [each.name for each in known["party"]] == ["party", "ann again"]


def test_faces_as_sharp_as_their_reference_are_spared():
    stage = Stage(10, side_px=90, ann=still(60))
    sharp = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    (soft,) = find(stage, [reference("ann", face=sharp)], spare_sharp=True).people
    assert soft.benefit == 1 and soft.why is None
    assert stage.opened == 2
    found = find(stage, [reference("ann")], spare_sharp=True)  # a plain grey square
    assert found.people[0].benefit == 0 and "as sharp as ann" in found.people[0].why
    assert found.people[0].name == "ann" and found.restored == ()


def test_without_a_match_the_clip_is_read_once():
    stage = Stage(5, carl=still(60))
    find(stage, [reference("ann")], spare_sharp=True)
    assert stage.opened == 1


@pytest.mark.parametrize("count", [0, 12])
def test_progress_goes_up_to_its_end(count):
    reports = []
    find(Stage(12, side_px=90, ann=still(60)), [reference("ann")], lambda *at: reports.append(at),
         count, spare_sharp=True)  # fmt: skip
    for stage in ("finding faces", "looking at faces"):
        rows = [(done, total) for name, done, total in reports if name == stage]
        assert rows[-1] == (12, 12) and all(done <= total for done, total in rows)
        assert [done for done, _ in rows] == sorted(done for done, _ in rows)


def test_what_the_progress_raises_cancels():
    def stop(stage, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find(Stage(5, ann=still(60)), [reference("ann")], stop)


def test_no_references():
    with pytest.raises(InputError, match="no references"):
        find(Stage(5, ann=still(60)), [])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limit": 0.0}, "limit must be above 0"),
        ({"smallest_px": 10}, "smallest_px must be at least 20"),
        ({"strength": 1.5}, r"strength must be in \[0, 1\]"),
        ({"steps": 0}, "steps must be from 1 to 64"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_settings_out_of_range_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        PolishConfig(**changes)
