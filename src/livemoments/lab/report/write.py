"""Write the report of a run: a page to look at, and a text for a README."""

from pathlib import Path

from livemoments.files import atomic_output
from livemoments.lab.benchmark.results import BenchmarkRun
from livemoments.lab.report.album import Album
from livemoments.lab.report.crops import cut_crops
from livemoments.lab.report.findings import find
from livemoments.lab.report.markdown import markdown
from livemoments.lab.report.page import page

PAGE, TEXT = "report.html", "report.md"


def write_report(run: BenchmarkRun, folder: Path, set_folder: Path) -> list[Path]:
    """Write report.html and report.md, whole or not at all; return their paths.

    The page holds all it needs. A picture that is missing or cannot be read leaves its reason in
    its place.

    Args:
        run: The results.
        folder: The run's, with the methods' pictures, where the report will be.
        set_folder: The set's, with its frames, key photos and truths.

    Raises:
        OutputError: the folder is not there, or cannot be written.
    """
    findings = find(run)
    album = Album()
    shown = cut_crops(findings, folder, set_folder, album)
    texts = {PAGE: page(findings, shown, album.encode()), TEXT: markdown(findings)}
    paths = []
    for name, text in texts.items():
        paths.append(folder / name)
        with atomic_output(paths[-1], overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return paths
