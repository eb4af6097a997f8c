"""Commands that show what the tool does here, and what that costs."""

from pathlib import Path
from typing import TYPE_CHECKING

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import LongCommand, app
from livemoments.cli.options import Json, argument
from livemoments.cli.printing import print_facts

if TYPE_CHECKING:
    from livemoments.imaging.fidelity import Scores


@app.command(cls=LongCommand)
def demo(
    folder: Path = argument(Path("demo-output"), "[FOLDER]", "Where to put the pictures."),
    as_json: Json = False,
) -> None:
    """Restore a moment of a Live Photo made here.

    It is made from a free photograph, so the truth is known and the result is scored against it.
    """
    from livemoments.jobs.demo import run_demo

    with StageProgress() as progress:
        done = run_demo(folder, progress)
    lines = [
        f"before and after: {done.before_after_path}",
        f"the frame, enlarged: {_scored(done.frame_scores)}",
        f"the moment, restored: {_scored(done.restored_scores)}",
    ]
    print_facts(done.to_dict(), as_json=as_json, lines=lines)


def _scored(scores: "Scores") -> str:
    return f"PSNR {scores.psnr_y:.2f} dB, SSIM {scores.ssim_y:.3f} against the truth (luma)"
