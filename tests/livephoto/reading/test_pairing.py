"""Which still belongs to which clip, and what is said when none does."""

import pytest
from support import makers

from livemoments.errors import (
    DamagedFileError,
    MissingFileError,
    PairingError,
    UnsupportedFileError,
)
from livemoments.livephoto import open_live_photo


@pytest.mark.parametrize("given", ["still", "video", "stem", "folder", "other-case-stem"])
@pytest.mark.parametrize("suffixes", [(".JPG", ".MOV"), (".heic", ".mov"), (".jpeg", ".mp4")])
def test_either_half_the_stem_or_the_folder(tmp_path, given, suffixes):
    still, video = makers.apple_pair(tmp_path, still_suffix=suffixes[0], video_suffix=suffixes[1])
    path = {
        "still": still,
        "video": video,
        "stem": tmp_path / "IMG_0001",
        "folder": tmp_path,
        "other-case-stem": tmp_path / "img_0001",
    }[given]
    live = open_live_photo(str(path))
    assert live.kind == "apple-pair"
    assert (live.still.path, live.clip.path) == (still, video)
    assert live.identifiers == {"still": makers.IDENTIFIER, "video": makers.IDENTIFIER}
    assert live.key_time_s == pytest.approx(0.4, abs=1e-3)
    assert live.key_time_source == "still-image-time track"
    assert live.notes == ("the clip has no sound",)


@pytest.mark.parametrize("name", ["IMG_0001_3.mov", "IMG_0001_HEVC.MOV", "quite other.mp4"])
@pytest.mark.parametrize("given", ["still", "video"])
def test_renamed_halves_are_found_by_identifier(tmp_path, name, given):
    still, video = makers.apple_pair(tmp_path)
    video = video.rename(tmp_path / name)
    live = open_live_photo(still if given == "still" else video)
    assert live.kind == "apple-pair" and live.clip.path == video and live.still.path == still


def test_identifiers_decide_among_many(tmp_path):
    still, video = makers.apple_pair(tmp_path, stem="A")
    wrong_still, wrong_video = makers.apple_pair(
        tmp_path,
        stem="B",
        identifier=makers.OTHER_IDENTIFIER,
        video_identifier=makers.OTHER_IDENTIFIER,
    )
    # The names are swapped: A's clip is called B.
    video.rename(tmp_path / "t.mov")
    wrong_video.rename(tmp_path / "A.MOV")
    (tmp_path / "t.mov").rename(tmp_path / "B.MOV")
    assert open_live_photo(still).clip.path.name == "B.MOV"
    assert open_live_photo(tmp_path / "A.MOV").still.path == wrong_still


def test_identifier_case_does_not_matter(tmp_path):
    still, _ = makers.apple_pair(tmp_path, video_identifier=makers.IDENTIFIER.lower())
    assert open_live_photo(still).kind == "apple-pair"


@pytest.mark.parametrize("given", ["still", "video"])
def test_a_mismatch_names_both_files_and_identifiers(tmp_path, given):
    still, video = makers.apple_pair(tmp_path, video_identifier=makers.OTHER_IDENTIFIER)
    with pytest.raises(PairingError) as caught:
        open_live_photo(still if given == "still" else video)
    for part in (still.name, video.name, makers.IDENTIFIER, makers.OTHER_IDENTIFIER):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mismatch_by_hand_is_allowed_and_noted(tmp_path):
    still, video = makers.apple_pair(
        tmp_path, video_identifier=makers.OTHER_IDENTIFIER, key_time_s=0.1
    )
    live = open_live_photo(still, video=video)
    assert live.kind == "pair-by-hand"
    assert "different Live Photos" in live.notes[0]
    # The track's time is that of another still: the pictures decide.
    assert live.key_time_source == "matched" and live.key_time_s == pytest.approx(0.4)


def test_by_hand_a_true_pair_is_still_one(tmp_path):
    still, video = makers.apple_pair(tmp_path)
    video = video.rename(tmp_path.parent / "elsewhere.mov")
    assert open_live_photo(still, video).kind == "apple-pair"
    video.unlink()


def test_by_name_without_an_identifier_in_the_still(tmp_path):
    still, video = makers.apple_pair(tmp_path, identifier=None)
    for given in (still, video, tmp_path):
        live = open_live_photo(given)
        assert live.kind == "pair-by-name"
        assert live.identifiers == {"video": makers.IDENTIFIER}
        assert "the still does not name its Live Photo" in live.notes[0]
        assert live.key_time_source == "still-image-time track"


def test_by_name_without_any_metadata(tmp_path):
    still, _ = makers.apple_pair(tmp_path, identifier=None, video_identifier=None, track=False)
    live = open_live_photo(still)
    assert live.kind == "pair-by-name" and live.identifiers == {}
    assert live.key_time_source == "matched" and live.key_time_s == pytest.approx(0.4)


def test_a_still_alone(tmp_path):
    still, video = makers.apple_pair(tmp_path)
    video.unlink()
    with pytest.raises(PairingError) as caught:
        open_live_photo(still)
    message = str(caught.value)
    assert message.startswith("IMG_0001.JPG: no video next to it; expected IMG_0001.MOV")
    assert makers.IDENTIFIER in message


def test_a_video_alone(tmp_path):
    still, video = makers.apple_pair(tmp_path)
    still.unlink()
    with pytest.raises(PairingError, match="IMG_0001.MOV: no still next to it; expected"):
        open_live_photo(video)


def test_a_strangers_clip_is_not_taken(tmp_path):
    still, _ = makers.apple_pair(tmp_path / "a", stem="A", identifier=None)
    _, video = makers.apple_pair(tmp_path / "b", stem="B")
    video.rename(tmp_path / "a" / "B.MOV")
    (tmp_path / "a" / "A.MOV").unlink()
    with pytest.raises(PairingError, match="A.JPG: no video next to it"):
        open_live_photo(still)


def test_hidden_files_are_not_candidates(tmp_path):
    still, _ = makers.apple_pair(tmp_path)
    (tmp_path / "._IMG_0001.MOV").write_bytes(b"resource fork")
    (tmp_path / "._IMG_0001.JPG").write_bytes(b"resource fork")
    assert open_live_photo(tmp_path).still.path == still


def test_a_broken_neighbour_does_not_matter(tmp_path):
    still, _ = makers.apple_pair(tmp_path)
    (tmp_path / "IMG_0000.MOV").write_bytes(b"rubbish")
    (tmp_path / "IMG_0000.JPG").write_bytes(b"rubbish")
    assert open_live_photo(still).kind == "apple-pair"
    assert open_live_photo(tmp_path).still.path == still


def test_folders(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(PairingError, match="no Live Photo .* found no stills and no videos"):
        open_live_photo(empty)
    makers.apple_pair(tmp_path / "two", stem="A")
    makers.apple_pair(
        tmp_path / "two",
        stem="B",
        identifier=makers.OTHER_IDENTIFIER,
        video_identifier=makers.OTHER_IDENTIFIER,
    )
    with pytest.raises(PairingError, match="2 Live Photos .* exactly one; found A.JPG, B.JPG"):
        open_live_photo(tmp_path / "two")
    makers.save_still(tmp_path / "two" / "C.png", makers.scene())
    (tmp_path / "two" / "A.JPG").unlink()
    assert open_live_photo(tmp_path / "two").still.path == tmp_path / "two" / "B.JPG"


def test_a_folder_with_one_motion_photo(tmp_path):
    path = makers.google_jpeg(tmp_path / "PXL_1.MP.jpg")
    assert open_live_photo(tmp_path).still.path == path
    assert open_live_photo(tmp_path / "PXL_1.MP").still.path == path


def test_nothing_there(tmp_path):
    with pytest.raises(MissingFileError, match="IMG_9: no such file"):
        open_live_photo(tmp_path / "IMG_9")
    with pytest.raises(MissingFileError):
        open_live_photo(tmp_path / "none" / "IMG_9")
    still, _ = makers.apple_pair(tmp_path)
    with pytest.raises(MissingFileError, match="none.mov: no such file"):
        open_live_photo(still, tmp_path / "none.mov")


def test_halves_of_the_wrong_kind(tmp_path):
    still, video = makers.apple_pair(tmp_path)
    with pytest.raises(UnsupportedFileError, match="IMG_0001.MOV: expected a still"):
        open_live_photo(video, still)
    with pytest.raises(UnsupportedFileError, match="IMG_0001.JPG: expected a video"):
        open_live_photo(still, still)


def test_text_and_empty_as_media(tmp_path):
    text = tmp_path / "text.mov"
    text.write_text("#EXTM3U\nhttp://127.0.0.1:9/a.ts\n")
    with pytest.raises(UnsupportedFileError, match="text.mov: neither a picture nor a video"):
        open_live_photo(text)
    still, video = makers.apple_pair(tmp_path / "a")
    with pytest.raises(UnsupportedFileError, match="text.mov"):
        open_live_photo(still, text)
    video.write_bytes(b"")
    for given in ((still, None), (still, video)):
        with pytest.raises(DamagedFileError, match="IMG_0001.MOV: the file is empty"):
            open_live_photo(*given)
