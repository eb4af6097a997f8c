"""A clip's faces restored: frames in order, strangers left alone, memory that does not grow."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from support.faces_stage import Stage, canonical, reference, still
from support.pictures import as_bytes, noise_picture
from support.tiny.faces import FakeFaces

from livemoments.errors import InputError
from livemoments.faces.blending import BlendConfig
from livemoments.faces.guidance import Guidance
from livemoments.faces.people import find_people
from livemoments.faces.polish import FaceChange, apply_changes, polish
from livemoments.faces.settings import PolishConfig
from livemoments.models.face_window import Streams

PLAIN = PolishConfig(smallest_px=30, spare_sharp=False)


def people_of(stage, *references, config=PLAIN):
    return find_people(stage.frames, references or [reference("ann")], stage, stage, config)


def polished(stage, *references, config=PLAIN, model=None, people=None, progress=None):
    people = people or people_of(stage, *references, config=config)
    return list(polish(stage.frames, people, model or FakeFaces(), config, progress))


def test_every_frame_comes_in_order_with_its_change():
    stage = Stage(60, ann=lambda i: (50 + i, 50))
    found = polished(stage)
    assert [each.index for each in found] == list(range(60))
    assert [each.time_s for each in found] == [time_s for time_s, _ in stage.frames()]
    for frame in found:
        (change,) = frame.changes
        assert change.change.shape == (32, 32, 3) and change.change.dtype == np.float32
        assert change.placement.x == pytest.approx(50 + frame.index, abs=2)
        assert change.strength == 1 and change.person == 0


def test_the_change_is_what_the_model_makes_of_the_face_that_is_there():
    stage = Stage(3, ann=still(50))
    (frame, *_) = polished(stage)
    (change,) = frame.changes
    face = canonical(stage.picture(0), change.placement)
    grey = reference("ann").face.mean() / 255
    toward = 0.5 * (grey - face)
    assert np.corrcoef(change.change.ravel(), toward.ravel())[0, 1] > 0.98


def test_strangers_change_nothing():
    stage = Stage(10, ann=still(50), carl=still(250))
    found = polished(stage)
    assert all(len(each.changes) == 1 for each in found)
    picture = stage.picture(4)
    after = apply_changes(picture, found[4].changes)
    assert not np.array_equal(after, picture)
    np.testing.assert_array_equal(after[:, 200:], picture[:, 200:])
    model = FakeFaces()
    alone = polished(Stage(10, carl=still(250)), model=model)
    assert all(each.changes == () for each in alone) and len(alone) == 10
    assert model.asked == [] and model.aligned == 0


def test_two_people_at_once_who_come_and_go():
    stage = Stage(
        90, ann=lambda i: (60, 50) if i < 50 else None, bob=lambda i: (260, 50) if i > 30 else None
    )
    found = polished(stage, reference("ann"), reference("bob"))
    at = {name: [f.index for f in found for c in f.changes if c.person == i]
          for i, name in enumerate(("ann", "bob"))}  # fmt: skip
    assert at["ann"][0] == 0 and 40 < at["ann"][-1] < 50
    assert 31 <= at["bob"][0] < 36 and at["bob"][-1] == 89
    strengths = [c.strength for f in found for c in f.changes if c.person == 1]
    assert strengths[0] < 0.5 and strengths[-1] == 1  # it fades in


def test_windows_are_as_long_as_asked_and_every_frame_is_aligned_once():
    stage, model = Stage(50, ann=still(50)), FakeFaces()
    config = replace(PLAIN, blend=BlendConfig(window=20, overlap=5))
    polished(stage, model=model, config=config)
    assert [count for count, _, _ in model.asked] == [20, 20, 20]
    assert model.aligned == 50


def test_with_many_references_windows_are_shorter():
    stage, model = Stage(30, ann=still(50)), FakeFaces()
    polished(stage, *[reference(f"ann {i}") for i in range(4)], model=model)
    assert max(count for count, _, _ in model.asked) <= 12


def test_a_hidden_face_is_not_computed():
    gap = range(20, 32)
    stage = Stage(60, ann=lambda i: None if i in gap else (50, 50))
    model = FakeFaces()
    found = polished(stage, model=model)
    assert all(found[index].changes == () for index in gap)
    restored = sum(len(each.changes) for each in found)
    assert model.aligned == restored < 50
    assert len(model.asked) == 3  # 19 frames, then 27 in two windows


@pytest.mark.parametrize("count", [1, 2, 24, 25])
def test_clips_of_few_frames(count):
    found = polished(Stage(count, ann=still(50)))
    assert [each.index for each in found] == list(range(count))
    assert all(len(each.changes) == 1 for each in found)


def test_windows_meet_without_a_seam():
    """What the fake restores depends on the window; blended, the clip goes over smoothly."""
    stage = Stage(40, ann=still(50))

    def seam(overlap):
        config = replace(PLAIN, blend=BlendConfig(window=20, overlap=overlap))
        model = FakeFaces()
        model.predict = _biased(model.predict)
        changes = np.array([f.changes[0].change.mean() for f in polished(stage, config=config,
                            model=model)])  # fmt: skip
        plain = np.array([f.changes[0].change.mean() for f in polished(stage, config=config)])
        return np.abs(np.diff(changes - plain)).max()

    assert seam(6) < 0.5 * seam(0)


def _biased(predict):
    """Every window a little brighter than the one before."""
    bias = [0.0]

    def other(*given):
        bias[0] += 0.02
        return predict(*given) + np.float32(bias[0])

    return other


def test_the_same_seed_gives_the_same_bytes():
    stage = Stage(30, ann=still(50))
    config = replace(PLAIN, steps=3, seed=5)
    one, same = (
        b"".join(f.changes[0].change.tobytes() for f in polished(stage, config=config))
        for _ in range(2)
    )
    assert one == same


def test_strength_and_need_scale_the_change():
    stage = Stage(3, ann=still(50))
    people = people_of(stage)
    half = replace(people, people=(replace(people.people[0], benefit=0.5),))
    config = replace(PLAIN, strength=0.4)
    found = polished(stage, people=half, config=config)
    assert found[0].changes[0].strength == pytest.approx(0.2)
    for nothing in (replace(PLAIN, strength=0.0), None):
        model = FakeFaces()
        spared = replace(people, people=(replace(people.people[0], benefit=0.0),))
        found = polished(stage, people=people if nothing else spared, config=nothing or PLAIN,
                         model=model)  # fmt: skip
        assert all(each.changes == () for each in found) and model.asked == []


def test_guidance_and_streams_reach_the_model():
    stage, model = Stage(3, ann=still(50)), FakeFaces()
    config = replace(
        PLAIN, guidance=Guidance(low_quality=0.5, reference=1.0), streams=Streams(identity=False)
    )
    polished(stage, config=config, model=model)
    streams = [each for _, _, each in model.asked]
    assert streams == [
        Streams(identity=False),
        Streams(identity=False, low_quality=True),
        Streams(identity=False, image=False),
    ]
    assert model.aligned == 6  # with and without the reference
    model = FakeFaces()
    polished(stage, config=replace(PLAIN, aligned=False), model=model)
    assert model.aligned == 3 and len(model.asked) == 1


def test_progress_counts_to_its_end_and_can_cancel():
    stage, reports = Stage(30, ann=still(50)), []
    config = replace(PLAIN, steps=2)
    polished(stage, config=config, progress=lambda *at: reports.append(at))
    totals = {total for _, _, total in reports}
    assert len(totals) == 1 and reports[-1][1] == totals.pop()
    assert {stage for stage, _, _ in reports} == {"restoring faces"}
    people, model = people_of(stage), FakeFaces()

    def stop(stage, done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    frames = polish(stage.frames, people, model, config, stop)
    with pytest.raises(KeyboardInterrupt):
        list(frames)
    assert 0 < len(model.asked) < 4


def test_what_is_read_is_let_go_of():
    """The clip's file is closed when the caller has had enough."""
    stage = Stage(60, ann=still(50))
    people = people_of(stage)
    closed = []

    def frames():
        try:
            yield from stage.frames()
        finally:
            closed.append(True)

    changes = polish(frames, people, FakeFaces(), PLAIN)
    next(changes)
    changes.close()
    assert closed == [True]


def test_another_clip_than_was_looked_at_is_refused():
    people = people_of(Stage(10, ann=still(50)))
    for count, words in ((8, "has 8 frames, and people were found in 10"), (12, "more than 10")):
        other = Stage(count, ann=still(50))
        with pytest.raises(InputError, match=words):
            list(polish(other.frames, people, FakeFaces(), PLAIN))


def test_memory_does_not_grow_with_the_clip():
    def peak(count: int) -> int:
        stage = Stage(count, ann=still(50))
        people = people_of(stage)
        tracemalloc.start()
        try:
            for _ in polish(stage.frames, people, FakeFaces(), PLAIN):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    short, long = peak(48), peak(96)  # in windows of 24
    # A view of each frame stays, of less than 1 kB; the pictures are 108 kB each.
    assert long - short < 48 * 1500


# Changes in pictures


def change(person=0, x=50.0, value=0.1, strength=1.0):
    from support.faces import placement

    return FaceChange(
        person=person, placement=placement(x, 50, 60), strength=strength,
        change=np.full((32, 32, 3), value, np.float32),
    )  # fmt: skip


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_changes_are_made_under_the_soft_mask_alone(kind):
    picture = noise_picture(100, 200) * np.float32(0.5) + np.float32(0.2)
    picture = as_bytes(picture) if kind == np.uint8 else picture
    white = 255 if kind == np.uint8 else 1
    before = picture.copy()
    after = apply_changes(picture, [change(), change(1, 150.0, -0.1)])
    np.testing.assert_array_equal(picture, before)
    assert after.dtype == kind
    middle = (after[53, [50, 150]].astype(float) - before[53, [50, 150]]) / white
    assert middle[0] == pytest.approx(0.1, abs=3e-3) and middle[1] == pytest.approx(-0.1, abs=3e-3)
    np.testing.assert_array_equal(after[:, 85:115], before[:, 85:115])


def test_no_change_is_the_same_bits():
    picture = as_bytes(noise_picture(100, 200))
    for changes in ([], [change(value=0.0)], [change(strength=0.0)]):
        np.testing.assert_array_equal(apply_changes(picture, changes), picture)


def test_both_kinds_of_pictures_change_alike():
    picture = as_bytes(noise_picture(100, 200))
    one = apply_changes(picture, [change(value=0.07)])
    other = apply_changes(picture.astype(np.float32) / 255, [change(value=0.07)])
    assert np.abs(one - 255 * other).max() <= 0.51
