"""Check whether a still and a clip make an Apple Live Photo: every rule of the format.

Apple publishes no rules. These are what its phones' files have in common, and what programs that
write such pairs found necessary. Phones themselves break one now and then: that is a quirk.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from livemoments.errors import InputError
from livemoments.imaging.colour import ColourSpace
from livemoments.livephoto.checking.findings import Finding, Verdict, judge, with_quirk
from livemoments.livephoto.checking.movie import check_movie
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.metadata.apple_note import note_fields
from livemoments.livephoto.metadata.exif import MAKER_NOTE, BrokenExif, ExifEditor
from livemoments.livephoto.movie.edit import TABLES, Movie, Node, read_editable
from livemoments.livephoto.movie.keys import shown_track
from livemoments.livephoto.movie.tables import (
    duration,
    edits,
    handler,
    movie_scale,
    sample_count,
    sample_entries,
    timescale,
    track_id,
)
from livemoments.livephoto.movie.tracks import read_movie, small_boxes
from livemoments.livephoto.movie.video import Clip, open_clip
from livemoments.livephoto.reading.apple import STILL_IMAGE_TIME, TRANSFORM, TRANSFORM_SIZE
from livemoments.livephoto.reading.apple import movie_identifier as identifier_of
from livemoments.livephoto.reading.live_photo import same_shape
from livemoments.livephoto.still.still import Still, read_still
from livemoments.livephoto.writing.apple import IDENTIFIER
from livemoments.livephoto.writing.apple_track import (
    INT8,
    read_first_sample,
    sample_items,
    still_keys,
)

STILL_READ, CLIP_READ = "the still can be read", "the clip can be read"
SOUNDS = ("lpcm", "sowt", "twos", "in24", "mp4a", "alac", "ac-3", "ec-3", "ulaw", "alaw")
PICTURES = ("avc1", "hvc1")
REFERS = "the track refers to the pictures ('tref' cdsc)"
NO_SUCH_TRACK = "does not exist"
LOST_REFERENCE = "an iPhone 6s (iOS 12) refers to a track that is not in the file; Photos copes"
SINGULAR = 1e-6  # a determinant that reading does not take either


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """What the rules look at; a half that cannot be read is None."""

    still: Still | None
    clip: Clip | None
    movie: Movie | None
    identifier: str | None  # that the clip names

    @property
    def note(self) -> bytes | None:
        """The still's maker note."""
        try:
            exif = ExifEditor(self.still.exif) if self.still and self.still.exif else None
        except BrokenExif:
            return None
        return exif.get("details", MAKER_NOTE) if exif else None

    @property
    def time_tracks(self) -> list[Node]:
        """The still-image-time tracks."""
        tracks = self.movie.tracks if self.movie else []
        return [track for track in tracks if STILL_IMAGE_TIME in still_keys(track).values()]

    @property
    def values(self) -> dict[str, bytes]:
        """What the still-image-time track's sample says, by key."""
        if not self.movie or not self.time_tracks:
            return {}
        keys = still_keys(self.time_tracks[0])
        items = sample_items(read_first_sample(self.movie, self.time_tracks[0]))
        return {keys.get(number, ""): value for number, value in items}


def check_apple(still: Path | Still, movie: Path | Source) -> list[Finding]:
    """Hold a still and a clip against the rules of an Apple Live Photo.

    Args:
        still: The still, or its file.
        movie: The clip's file, or where else its bytes are.

    Returns:
        One finding for each rule, those of the clip's container last; nothing in the files raises.
    """
    findings = []
    photo, clip, editable, identifier, source = None, None, None, None, None
    try:
        photo = still if isinstance(still, Still) else read_still(still)
        found = f"{photo.format} {photo.width} x {photo.height}"
        findings.append(Finding(rule=STILL_READ, passed=True, found=found))
    except InputError as error:
        findings.append(Finding(rule=STILL_READ, passed=False, found=str(error)))
    try:
        source = movie if isinstance(movie, Source) else Source.whole(movie)
        clip = open_clip(source, ColourSpace())
        identifier, editable = identifier_of(read_movie(source)), read_editable(source)
        findings.append(Finding(rule=CLIP_READ, passed=True, found=f"{len(clip.times_s)} frames"))
    except InputError as error:
        findings.append(Finding(rule=CLIP_READ, passed=False, found=str(error)))
    pair = _Pair(still=photo, clip=clip, movie=editable, identifier=identifier)
    judged = [
        with_quirk(each, LOST_REFERENCE)
        if each.rule == REFERS and NO_SUCH_TRACK in each.found
        else each
        for each in judge(RULES, pair)
    ]
    return [*findings, *judged, *(check_movie(source) if source else ())]


def _whole_note(pair: _Pair) -> Verdict:
    if pair.note is None:
        return False, "the still has no maker note"
    try:
        fields = note_fields(pair.note)
    except struct.error as error:
        return False, str(error)
    for each in fields:
        if each.size > 4 and each.value + each.size > len(pair.note):
            return False, f"tag {each.tag:#06x} points outside the note of {len(pair.note)} bytes"
    tags = [each.tag for each in fields]
    return tags == sorted(set(tags)), f"{len(fields)} fields in {len(pair.note)} bytes"


def _still_named(pair: _Pair) -> Verdict:
    identifier = pair.still.identifier if pair.still else None
    return identifier is not None, identifier or "no content identifier"


def _clip_named(pair: _Pair) -> Verdict:
    return pair.identifier is not None, pair.identifier or "no content identifier"


def _same_name(pair: _Pair) -> Verdict:
    identifier = pair.still.identifier if pair.still else None
    if identifier is None or pair.identifier is None:
        return False, "a half does not name its Live Photo"
    return identifier == pair.identifier, f"{identifier} and {pair.identifier}"


def _uuid(pair: _Pair) -> Verdict:
    names = [pair.still.identifier if pair.still else None, pair.identifier]
    stated = [name for name in names if name]
    good = all(IDENTIFIER.fullmatch(name) for name in stated)
    return (good if stated else None), ", ".join(stated) or "no identifier"


def _quicktime(pair: _Pair) -> Verdict:
    if pair.movie is None:
        return False, "no clip"
    if not pair.movie.ftyp:
        return None, "no 'ftyp': QuickTime before there was one"
    brand = pair.movie.ftyp[:4].decode("latin-1")
    return brand == "qt  ", f"'{brand}'"


def _picture_codec(pair: _Pair) -> Verdict:
    track = shown_track(pair.movie) if pair.movie else None
    codecs = [name for name, _ in sample_entries(track)] if track else []
    return bool(codecs) and set(codecs) <= set(PICTURES), ", ".join(codecs) or "no pictures"


def _sound_codec(pair: _Pair) -> Verdict:
    tracks = [t for t in pair.movie.tracks if handler(t) == "soun"] if pair.movie else []
    codecs = [name for track in tracks for name, _ in sample_entries(track)]
    return (set(codecs) <= set(SOUNDS) if codecs else None), ", ".join(codecs) or "no sound"


def _one_time_track(pair: _Pair) -> Verdict:
    tracks = pair.time_tracks
    kinds = [f"{handler(t)} {sample_entries(t)[0][0]}" for t in tracks]
    return kinds == ["meta mebx"], f"{len(tracks)} such tracks ({', '.join(kinds) or 'none'})"


def _one_sample(pair: _Pair) -> Verdict:
    if not pair.time_tracks:
        return None, "no such track"
    count = sample_count(pair.time_tracks[0])
    return count == 1, f"{count} samples"


def _minus_one(pair: _Pair) -> Verdict:
    if not pair.time_tracks:
        return None, "no such track"
    value, kind = pair.values.get(STILL_IMAGE_TIME, b""), _data_type(pair.time_tracks[0])
    return (value, kind) == (b"\xff", INT8), f"bytes {value.hex() or 'none'} of type {kind}"


def _time_in_clip(pair: _Pair) -> Verdict:
    track = pair.time_tracks[0] if pair.time_tracks else None
    shown = shown_track(pair.movie) if pair.movie else None
    header = shown.find("tkhd") if shown else None
    if track is None or header is None or pair.movie is None:
        return None, "no such track"
    wait = 0
    for edit in edits(track):
        if edit.media_time >= 0:
            break
        wait += edit.duration
    scale, end = movie_scale(pair.movie.moov), duration(header)
    return wait <= end, f"{wait / scale:.3f} s of {end / scale:.3f} s"


def _short(pair: _Pair) -> Verdict:
    media = pair.time_tracks[0].find("mdia/mdhd") if pair.time_tracks else None
    if media is None:
        return None, "no such track"
    entries = edits(pair.time_tracks[0])
    starts = [edit.media_time for edit in entries]
    good = starts in ([], [0], [-1, 0])
    found = f"edits of {[edit.duration for edit in entries]} from {starts}"
    return good, f"{found}, media of {duration(media)}/{timescale(media)} s"


def _refers(pair: _Pair) -> Verdict:
    if not pair.time_tracks or pair.movie is None:
        return None, "no such track"
    data = pair.time_tracks[0].payload("tref/cdsc")
    number = int.from_bytes(data[:4], "big")
    if not data:
        return None, "it refers to no track"
    kinds = {track_id(track): handler(track) for track in pair.movie.tracks}
    return kinds.get(number) == "vide", f"track {number} ({kinds.get(number, NO_SUCH_TRACK)})"


def _transform(pair: _Pair) -> Verdict:
    matrix, size = pair.values.get(TRANSFORM), pair.values.get(TRANSFORM_SIZE)
    if matrix is None and size is None:
        return None, "none stored"
    if len(matrix or b"") != 72 or len(size or b"") != 8:
        return False, f"{len(matrix or b'')} bytes of matrix, {len(size or b'')} of dimensions"
    values = np.frombuffer(matrix or b"", ">f8").reshape(3, 3)
    width, height = struct.unpack(">ff", size or b"")
    finite = bool(np.isfinite(values).all()) and math.isfinite(width) and math.isfinite(height)
    with np.errstate(all="ignore"):
        good = finite and min(width, height) >= 1 and float(abs(np.linalg.det(values))) > SINGULAR
    return good, f"for {width:g} x {height:g}: {np.round(values, 4).tolist()}"


def _same_shape(pair: _Pair) -> Verdict:
    if pair.still is None or pair.clip is None:
        return None, "a half cannot be read"
    still, clip = pair.still, pair.clip
    found = f"{still.width} x {still.height} and {clip.width} x {clip.height}"
    return same_shape(still, clip), found


def _data_type(track: Node) -> int | None:
    """Return the type of the value for the still's time, as the track's description states it."""
    description = track.payload(f"{TABLES}/stsd")
    for kind, start, end in small_boxes(description, 24, len(description)):
        for number, low, high in small_boxes(description, start, end) if kind == b"keys" else ():
            if still_keys(track).get(int.from_bytes(number, "big")) != STILL_IMAGE_TIME:
                continue
            for name, at, stop in small_boxes(description, low, high):
                if name == b"dtyp" and stop - at == 8:
                    return int.from_bytes(description[at + 4 : stop], "big")
    return None


RULES: dict[str, Callable[[_Pair], Verdict]] = {
    "the still's Apple maker note is whole": _whole_note,
    "the still names its Live Photo (maker note tag 17)": _still_named,
    "the clip names its Live Photo (QuickTime content identifier)": _clip_named,
    "both name the same Live Photo": _same_name,
    "identifiers are UUIDs in capitals": _uuid,
    "the clip is a QuickTime file ('ftyp' qt)": _quicktime,
    "the clip's pictures are H.264 or HEVC ('avc1', 'hvc1')": _picture_codec,
    "the clip's sound is of a kind that Apple's programs play": _sound_codec,
    "one track of timed metadata ('mebx') has the still-image time": _one_time_track,
    "that track has one sample": _one_sample,
    "the sample's value is -1, an 8-bit integer": _minus_one,
    "the still's time lies within the clip": _time_in_clip,
    "the time is an empty edit before the sample": _short,
    REFERS: _refers,
    "the stored transform is a usable matrix with its dimensions": _transform,
    "still and clip have the same shape when upright": _same_shape,
}
