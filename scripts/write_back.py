"""Write one moment of every Live Photo of a folder back, open what was written, and say what held.

    python scripts/write_back.py FOLDER [--at-share 0.3] [--keep FOLDER] [--to KIND]

Every folder within FOLDER that holds one Live Photo gives a row: the kind written, the rules of
its format that broke, how far the stated time is from the moment's, whether every packet of
picture and sound is the source's, and which tags exiftool (where installed) reads otherwise.
"""

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av

from livemoments.errors import LiveMomentsError
from livemoments.jobs.restore import restore_file
from livemoments.livephoto import LivePhoto, open_live_photo
from livemoments.livephoto.checking.check import check_file
from livemoments.livephoto.writing.output import OutputChoice
from livemoments.moments.choice import MomentChoice
from livemoments.restoration.config import RestoreConfig

# Of a file, of how it is laid out and coded, of a thumbnail, of exiftool's own reckoning, and the
# profile of the HDR picture that Apple's programs make of the SDR one and its gain map.
NOT_COMPARED = {
    "ICC_Profile2",
    "System",
    "File",
    "ExifTool",
    "Composite",
    "JFIF",
    "PNG",
    "MPF0",
    "IFD1",
    "QuickTime",
}
HEADER = "| photo | written as | rules broken | time off, ms | packets | tags lost or changed |"


def main() -> int:
    """Print the table; exit with 1 where a file obeys its format no more or lost a packet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--at-share", type=float, default=0.3, help="of the clip's length")
    parser.add_argument("--to", choices=("apple", "google", "samsung", "microvideo"))
    parser.add_argument("--keep", type=Path, help="where the files stay")
    options = parser.parse_args()
    failed = False
    print(HEADER, "|".join(["", *["---"] * 6, ""]), sep="\n")
    with tempfile.TemporaryDirectory() as scratch:
        for live in _live_photos(options.folder):
            name = live.path.parent.name
            out = (options.keep or Path(scratch)) / name
            out.mkdir(parents=True, exist_ok=True)
            times = live.clip.times_s
            time_s = times[round(options.at_share * (len(times) - 1))]
            row, well = _row(live, out, time_s, options.to)
            failed |= not well
            print(f"| {name} | {' | '.join(row)} |", flush=True)
    return int(failed)


def _live_photos(folder: Path) -> Iterator[LivePhoto]:
    for each in sorted(path for path in folder.rglob("*") if path.is_dir()):
        try:
            yield open_live_photo(each)
        except LiveMomentsError as error:
            print(f"({each.name}: {error})", file=sys.stderr)


def _row(live: LivePhoto, out: Path, time_s: float, kind: str | None) -> tuple[list[str], bool]:
    choice = OutputChoice(path=out, live=True, format=kind, overwrite=True)
    restored = restore_file(
        live.path,
        MomentChoice(at_s=time_s),
        choice,
        video=None if live.clip.source.embedded else live.clip.path,
        config=RestoreConfig(),
    )
    done = restored.written
    checked = check_file(done.path)
    new = open_live_photo(done.path)
    off_ms = abs(new.key_time_s - time_s) * 1000
    same = _packets(new) == _packets(live)
    rules = [finding.rule for finding in checked.findings if finding.passed is False]
    broken = "; ".join(rules) or f"none of {len(checked.findings)}"
    packets = "equal" if same else "OTHER"
    row = [f"{done.format}, {done.path.name}", broken, f"{off_ms:.2f}", packets]
    return [*row, _changed_tags(live, done.path)], not rules and same and off_ms <= 1


def _packets(live: LivePhoto) -> list[list[str]]:
    """Hashes of the packets of picture and sound, stream by stream."""
    with live.clip.source.open() as stream:
        data = io.BytesIO(stream.read())
    found: dict[int, list[str]] = {}
    with av.open(data) as container:
        streams = [s for s in container.streams if s.type in ("video", "audio")]
        for packet in container.demux(streams):
            if packet.size:
                digest = hashlib.sha256(bytes(packet)).hexdigest()
                found.setdefault(packet.stream_index, []).append(digest)
    return list(found.values())


def _changed_tags(live: LivePhoto, written: Path) -> str:
    """Tags of the source's still that the new one lacks or states otherwise."""
    if shutil.which("exiftool") is None:
        return "exiftool is not installed"
    old, new = _tags(live.path), _tags(written)
    lost = sorted({tag for _, tag, _ in old - new})
    return f"{len(old - new)} of {len(old)}: {', '.join(lost)}" if lost else f"0 of {len(old)}"


def _tags(path: Path) -> set[tuple[str, str, str]]:
    """(group, tag, value) of all that exiftool reads, other profiles and pictures included."""
    command = ["exiftool", "-a", "-G1", "-s", "-n", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, errors="replace").stdout
    facts = set()
    for line in text.splitlines():
        group, _, rest = line.removeprefix("[").partition("]")
        tag, _, value = rest.partition(":")
        if group not in NOT_COMPARED and value:
            facts.add((group, tag.strip(), value.strip()))
    return facts


if __name__ == "__main__":
    sys.exit(main())
