"""Scenes out of clips: two sharp pictures of one video, a gap apart."""

import cv2
import numpy as np
import pytest
from support.makers import encode_clip
from support.pictures import assert_same_scene, scene

pytest.importorskip("torch", reason="the train extra is not installed")

from livemoments.errors import DamagedFileError, MissingFileError
from livemoments.lab.training.data import clips as clips_module
from livemoments.lab.training.data.clips import INTERVAL, ClipScenes, find_clips

SIZE = 96
SPEED_PX = 1.0  # of the camera, from picture to picture


def view(at: float, texture: np.ndarray) -> np.ndarray:
    """What the camera sees after so many pictures: float32 128 x 160 x 3."""
    move = np.float32([[1, 0, -40 - SPEED_PX * at], [0, 1, -20]])
    return cv2.warpAffine(texture, move, (160, 128), flags=cv2.INTER_LINEAR)


def write_pictures(folder, count: int = 24, *, still: bool = False):
    folder.mkdir(parents=True)
    texture = cv2.GaussianBlur(scene(240, 300, seed=4), (0, 0), 0.7)
    for i in range(count):
        picture = view(0 if still else i, texture)
        cv2.imwrite(str(folder / f"{i:03d}.png"), (picture[..., ::-1] * 255).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("clips") / "one").parent


def test_a_scene_is_two_moments_of_a_clip_and_the_flow_between_them(clips):
    made = ClipScenes.of(clips, SIZE).scene(0, 1)
    assert made.truth.shape == made.frame.shape == made.key_photo.shape == (SIZE, SIZE, 3)
    seen = made.visible > 0.5
    assert seen.mean() > 0.35
    motion = np.median(made.true_flow[seen], 0)
    gap = abs(motion[0]) / SPEED_PX
    assert min(abs(gap - INTERVAL * k) for k in (1, 2, 3)) < 1 and abs(motion[1]) < 0.5
    # The frame is the truth made worse, in place.
    assert 0.002 < np.abs(made.frame - made.truth).mean() < 0.2


def test_scenes_are_fixed_by_seed_and_index(clips):
    maker = ClipScenes.of(clips, SIZE)
    first, again, other = maker.scene(3, 7), maker.scene(3, 7), maker.scene(3, 8)
    assert_same_scene(first, again)
    assert (other.truth != first.truth).any()


@pytest.mark.slow
def test_a_clip_without_motion_gives_no_scene(tmp_path):
    write_pictures(tmp_path / "still", still=True)
    with pytest.raises(
        DamagedFileError, match="none of 1 clips gave a scene.*still: hardly.*motion"
    ):
        ClipScenes.of(tmp_path, SIZE).scene(0, 0)


def test_a_clip_that_is_too_small_gives_no_scene(clips):
    with pytest.raises(DamagedFileError, match="one: 160 x 128 pixels; at least 512 a side"):
        ClipScenes.of(clips, 512).scene(0, 0)


def test_clips_are_videos_and_folders_of_pictures(tmp_path):
    write_pictures(tmp_path / "many", INTERVAL + 1)
    write_pictures(tmp_path / "few", INTERVAL)
    (tmp_path / "deep").mkdir()
    write_pictures(tmp_path / "stills", INTERVAL + 1)
    for name in ("deep/a.mp4", "b.MOV", "notes.txt", "stills/IMG.MOV"):
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in find_clips(tmp_path)] == ["b.MOV", "a.mp4", "many", "IMG.MOV"]


def test_a_video_file_is_read(tmp_path):
    texture = cv2.GaussianBlur(scene(240, 300, seed=4), (0, 0), 0.7)
    pictures = [(view(i, texture) * 255).astype(np.uint8) for i in range(18)]
    (tmp_path / "clip.mp4").write_bytes(
        encode_clip(pictures, times_s=tuple(i / 30 for i in range(18)))
    )
    made = ClipScenes.of(tmp_path, SIZE).scene(0, 0)
    assert made.truth.std() > 0.03


def test_a_folder_without_clips_is_named(tmp_path):
    with pytest.raises(MissingFileError, match="no clips found"):
        ClipScenes.of(tmp_path, SIZE)


def test_a_damaged_clip_is_passed_over_and_named_if_there_is_no_other(clips, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"nonsense" * 40)
    with pytest.raises(DamagedFileError, match=r"broken\.mp4"):
        ClipScenes.of(tmp_path, SIZE).scene(0, 0)


def test_some_clips_are_held_out_wherever_there_are_two(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.mp4").write_bytes(name.encode())
    train, held_out = (ClipScenes.of(tmp_path, SIZE, held_out=h) for h in (False, True))
    assert len(held_out.paths) == 1 and len(train.paths) == 2
    assert not {*train.paths} & {*held_out.paths} and train.identity() != held_out.identity()


def test_numbered_pictures_are_in_the_order_of_their_numbers(tmp_path):
    for i in range(12):
        (tmp_path / f"frame{i}.png").write_bytes(b"x")
    names = [p.name for p in clips_module._pictures(tmp_path)]
    assert names == [f"frame{i}.png" for i in range(12)]


def test_other_pictures_in_the_same_folder_are_another_clip(tmp_path):
    before = ClipScenes.of(write_pictures(tmp_path / "one").parent, SIZE).identity()
    (tmp_path / "one" / "099.png").write_bytes(b"more")
    assert ClipScenes.of(tmp_path, SIZE).identity() != before
