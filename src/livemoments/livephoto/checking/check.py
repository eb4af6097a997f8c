"""Check a Live Photo against the rules of its own format, whichever that is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livemoments.errors import MissingFileError, PairingError, UnsupportedFileError
from livemoments.livephoto.checking.apple import check_apple
from livemoments.livephoto.checking.findings import Finding, failed
from livemoments.livephoto.checking.motion_photo import check_motion_photo
from livemoments.livephoto.checking.movie import check_movie
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.reading.identifiers import same_identifier
from livemoments.livephoto.reading.identifiers import still_identifier as identifier_of
from livemoments.livephoto.reading.motion_photo import EmbeddedClip
from livemoments.livephoto.reading.packages import in_pvt, pvt_notes, unpack
from livemoments.livephoto.reading.pairing import Pair, find_clip, find_still, resolve
from livemoments.livephoto.still.still import read_still

APPLE, MOTION_PHOTO, MICRO_VIDEO = "Apple Live Photo", "Motion Photo", "MicroVideo"
SAMSUNG = "Motion Photo of Samsung's"
PACKED_FACTS = "a '.pvt' package has its metadata.plist"
MARKS = {"pass": "pass ", "fail": "FAIL ", "quirk": "quirk", "not applicable": "-    "}
NO_RULES = "rules of this form"


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """What check_file found."""

    files: tuple[Path, ...]  # the file, or the still's and the clip's
    form: str  # whose rules were held against them
    findings: tuple[Finding, ...]  # one for each rule

    @property
    def passed(self) -> bool:
        """Whether no rule is broken, but for what phones themselves do."""
        return not failed(self.findings)

    @property
    def summary(self) -> str:
        """One line: what it is, and how many rules hold."""
        results = [finding.result for finding in self.findings]
        count = {each: results.count(each) for each in MARKS}
        names = " + ".join(path.name for path in self.files)
        quirks = f", {count['quirk']} broken as phones do" if count["quirk"] else ""
        return (
            f"{names}: {self.form}; {count['pass']} rules hold, {count['fail']} broken{quirks},"
            f" {count['not applicable']} do not apply"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "files": [str(path) for path in self.files],
            "form": self.form,
            "passed": self.passed,
            "summary": self.summary,
            "rules": [
                {"rule": each.rule, "result": each.result, "found": each.found}
                | ({"quirk": each.quirk} if each.result == "quirk" else {})
                for each in self.findings
            ],
        }

    def lines(self) -> list[str]:
        """Return the same for people: a rule a line, the summary last."""
        lines = []
        for each in self.findings:
            why = f" ({each.quirk})" if each.result == "quirk" else ""
            lines.append(f"{MARKS[each.result]}  {each.rule}: {each.found}{why}")
        return [*lines, self.summary]


def check_file(path: Path, video: Path | None = None) -> CheckedFile:
    """Hold a Live Photo against the rules of its form; what the command line does.

    Args:
        path: A motion photo, either half of a pair, their common name, a package, or a folder.
        video: The clip, where both halves are given by hand: then Apple's rules count.

    Raises:
        InputError: A file is missing or no picture or video at all, or no clip belongs to it.
    """
    if video is not None:
        for half, expected in ((path, "still"), (video, "video")):
            if Source.whole(half).kind != expected:
                raise UnsupportedFileError(f"{half.name}: expected a {expected}")
        return CheckedFile(
            files=(path, video), form=APPLE, findings=tuple(check_apple(path, video))
        )
    photo = resolve(path)
    file = Source.whole(photo)
    if file.kind == "archive":
        return _checked_archive(photo)
    if file.kind == "video":
        return _checked_pair(find_still(file))
    still = read_still(photo, file=file)
    try:
        found = find_clip(still)
    except PairingError:
        if not still.motion_facts.promises_clip:
            raise
        return _checked_motion_photo(photo, "google-motion-photo", None)
    if isinstance(found, EmbeddedClip):
        return _checked_motion_photo(photo, found.kind, found.source)
    return _checked_pair(found)


def _checked_motion_photo(photo: Path, kind: str, clip: Source | None) -> CheckedFile:
    if kind in ("huawei", "honor") and clip is not None:
        return _container_alone((photo,), f"photo of {kind.capitalize()}'s", clip)
    form = {"samsung": SAMSUNG, "microvideo": MICRO_VIDEO}.get(kind, MOTION_PHOTO)
    return CheckedFile(files=(photo,), form=form, findings=tuple(check_motion_photo(photo)))


def _checked_pair(pair: Pair) -> CheckedFile:
    still = pair.still
    if still.path is None:
        raise MissingFileError("this still has no file")
    files = (still.path, pair.video.path)
    vivo = still.identifier is None and same_identifier(identifier_of(still), pair.video_identifier)
    if vivo:
        return _container_alone(files, "pair of vivo's", pair.video)
    findings = check_apple(still, pair.video)
    if in_pvt(still.path):
        notes = pvt_notes(still.path)
        found = notes[0] if notes else "it has"
        findings.append(Finding(rule=PACKED_FACTS, passed=not notes, found=found))
    return CheckedFile(files=files, form=APPLE, findings=tuple(findings))


def _checked_archive(path: Path) -> CheckedFile:
    package = unpack(path)
    still = read_still(path, package.still.data)
    findings = check_apple(still, package.video)
    return CheckedFile(files=(path,), form=f"{APPLE} in an archive", findings=tuple(findings))


def _container_alone(files: tuple[Path, ...], form: str, clip: Source) -> CheckedFile:
    """Hold the clip's container against its rules: of the form itself none are published."""
    unknown = Finding(rule=NO_RULES, passed=None, found="its maker has published none")
    return CheckedFile(files=files, form=form, findings=(unknown, *check_movie(clip)))
