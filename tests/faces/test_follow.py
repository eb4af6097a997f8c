"""Following faces: gaps, crossings, strangers in the same place, and what becomes of a track."""

import tracemalloc

import numpy as np
import pytest
from support.faces import clips_folder, face_at, placement, tremble

from livemoments.errors import InputError
from livemoments.faces.detect import Found, Skipped
from livemoments.faces.follow import follow

FPS = 25
BLANK = np.zeros((8, 8, 3), np.uint8)


class Play:
    """People on a stage: of each a function from frame to place (x, y) or None.

    It is both the finder and the recogniser: the picture's first pixel says which frame it is.
    """

    def __init__(self, **people) -> None:
        self.people = people
        self.searches = self.checks = 0

    def faces(self, picture):
        index = int(picture[0, 0, 0])
        return [
            (name, face_at(placement(*at, 60)))
            for name, path in self.people.items()
            if (at := path(index)) is not None
        ]

    def find(self, picture):
        self.searches += 1
        skipped = (Skipped(box=placement(5, 5).box, reason="cut off"),)
        faces = tuple(face for _, face in self.faces(picture))
        return Found(faces=faces, skipped=skipped, smallest_px=48)

    def find_near(self, picture, expected):
        near = [face for _, face in self.faces(picture) if face.box.shared(expected) >= 0.3]
        return max(near, key=lambda face: face.box.shared(expected), default=None)

    def of_picture(self, picture, at):
        self.checks += 1
        every = self.faces(picture)
        name = min(every, key=lambda one: abs(one[1].placement.x - at.x))[0]
        return np.eye(128)[ord(name[0]) % 128]


def run(play, count=50):
    frames = []
    for index in range(count):
        picture = BLANK.copy()
        picture[0, 0, 0] = index
        frames.append((index / FPS, picture))
    return follow(iter(frames), play, play)


def names(track):
    return chr(int(np.argmax(track.identity)))


def indices(track):
    return [sighting.index for sighting in track.sightings]


def test_two_people_side_by_side():
    play = Play(ann=lambda i: (50 + i, 50), bob=lambda i: (300 - i, 60))
    found = run(play)
    assert [names(track) for track in found.tracks] == ["a", "b"]
    assert all(indices(track) == list(range(50)) for track in found.tracks)
    assert play.searches == 4  # twice a second, not for each frame
    assert play.checks < 16
    assert found.times_s[-1] == pytest.approx(49 / FPS)
    assert found.skipped[0][1].reason == "cut off"


def test_a_face_behind_a_tree_is_one_track_and_not_restored_there():
    play = Play(ann=lambda i: None if 20 <= i < 32 else (50 + i, 50))
    found = run(play)
    assert len(found.tracks) == 1
    views = found.tracks[0].views(found.times_s)
    assert sorted(views) == list(range(50))
    assert views[26].strength == 0 and not views[26].seen
    assert views[26].placement.x == pytest.approx(76, abs=1)
    assert 0 < views[18].strength < 1 and views[10].strength == 1 and views[0].strength == 1


def test_a_missed_frame_is_no_gap():
    play = Play(ann=lambda i: None if i in (20, 21) else (50 + i, 50))
    views = run(play).tracks[0].views([i / FPS for i in range(50)])
    assert views[20].strength == 1 and not views[20].seen


def test_whoever_comes_back_is_known_again():
    play = Play(ann=lambda i: None if 10 <= i < 40 else (50 if i < 10 else 200, 50))
    found = run(play, 60)
    assert len(found.tracks) == 1
    views = found.tracks[0].views(found.times_s)
    assert 25 not in views and views[45].strength == 1 and 9 in views
    assert views[40].seen  # before it was searched for


def test_a_stranger_in_the_same_place_is_another_track():
    play = Play(
        ann=lambda i: (50, 50) if i < 20 else None, bob=lambda i: (54, 50) if i >= 20 else None
    )
    found = run(play, 60)
    assert sorted(names(track) for track in found.tracks) == ["a", "b"]
    ann, bob = sorted(found.tracks, key=names)
    # Nobody knew within half a second: those frames went to whom the face turned out to be.
    assert max(indices(ann)) <= 20 and max(indices(bob)) == 59
    assert not set(indices(ann)) & set(indices(bob))


def test_people_who_cross_keep_their_names():
    play = Play(
        ann=lambda i: (50 + 4 * i, 50),
        bob=lambda i: (250 - 4 * i, 50) if not 20 <= i <= 30 else None,  # behind Ann
    )
    found = run(play)
    tracks = {names(track): track for track in found.tracks}
    assert sorted(tracks) == ["a", "b"]
    for sighting in tracks["b"].sightings:
        assert sighting.face.placement.x == pytest.approx(250 - 4 * sighting.index, abs=1e-6)


def test_a_false_alarm_is_no_track():
    assert not run(Play(ann=lambda i: (50, 50) if i in (0, 1) else None)).tracks
    assert not run(Play(ann=lambda i: None)).tracks
    assert not follow(iter(()), Play(), Play()).tracks


def test_memory_does_not_grow_with_pictures():
    play = Play(ann=lambda i: (50, 50))

    def frames():
        for index in range(100):
            picture = np.zeros((500, 500, 3), np.uint8)
            picture[0, 0, 0] = index
            yield index / FPS, picture

    tracemalloc.start()
    follow(frames(), play, play)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 15_000_000  # of half a second; all pictures: 75 MB


def test_bad_frames_are_refused():
    play = Play(ann=lambda i: (50, 50))
    with pytest.raises(InputError, match="give frames in order"):
        follow(iter([(0.0, BLANK), (0.0, BLANK)]), play, play)
    with pytest.raises(InputError, match="give frames of one size"):
        follow(iter([(0.0, BLANK), (1.0, BLANK[:4])]), play, play)
    track = run(play).tracks[0]
    with pytest.raises(InputError, match="there are times of 3 frames"):
        track.views([0.0, 0.1, 0.2])


@pytest.mark.real
@pytest.mark.slow
def test_two_real_people_are_followed_as_one_turns_away():
    import cv2
    from support.faces import dlibs_models

    from livemoments.faces.detect import FaceFinder
    from livemoments.faces.identity import Embedder, apart

    paths = sorted((clips_folder() / "street-interview").glob("*.jpg"))[::2]
    models = dlibs_models()
    frames = (
        (index / 12.5, cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_4)[..., ::-1].copy())
        for index, path in enumerate(paths)
    )
    found = follow(frames, FaceFinder(models), Embedder(models))
    assert [len(track.sightings) for track in found.tracks] == [16, 16]
    assert apart(found.tracks[0].identity, found.tracks[1].identity) > 0.6
    for track in found.tracks:
        assert sum(each.motion is not None for each in track.sightings) > 8
        placements = [view.placement for view in track.views(found.times_s).values()]
        assert tremble(placements) < tremble([each.face.placement for each in track.sightings])
