"""Report a run while it goes: lines, TensorBoard, validation, and files of its weights."""

import logging
import math
from pathlib import Path

from accelerate import Accelerator
from torch import nn

from livemoments.lab.training.data.scenes import SceneStore
from livemoments.lab.training.run.checkpoint import Run
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.distribute import save_once
from livemoments.lab.training.run.task import Scorer, Task

log = logging.getLogger(__name__)
LINE_EVERY = 100  # steps
SNAPSHOTS = 10  # of the average, at most: the newest


class Monitor:
    """Looks at every step of a run."""

    def __init__(
        self,
        config: TrainConfig,
        task: Task,
        held_out: SceneStore | None,
        accelerator: Accelerator,
        run: Run,
        *,
        everywhere: bool,
    ) -> None:
        """Open the board, and prepare validation where there are held-out scenes.

        everywhere: every process validates, since a model in shards restores nothing in one alone.
        """
        self.config, self.accelerator = config, accelerator
        self.means: dict[str, float] = {}
        self.last_line = run.step, run.minutes
        self.board = None
        self.score: Scorer | None = None
        if held_out is not None and (accelerator.is_main_process or everywhere):
            self.score = task.validation(held_out, accelerator)
        if not accelerator.is_main_process:
            return
        from torch.utils.tensorboard import SummaryWriter

        board = str(config.output / "board")
        self.board = SummaryWriter(board, purge_step=run.step + 1 if run.step else None)
        if config.finish and run.finish_from is not None:
            end = run.finish_from + config.finish
            self._log(run, f"the rate falls from step {run.finish_from} to the end at {end}")

    def step(self, run: Run, losses: dict[str, float], objective: nn.Module, *, done: bool) -> None:
        """Log, write and validate what is due after a step of these losses."""
        for name, value in losses.items():
            self.means[name] = 0.99 * self.means.get(name, value) + 0.01 * value
        if run.step % LINE_EVERY == 0:
            self._log_losses(run)
        if self.config.snapshot_every and run.step % self.config.snapshot_every == 0:
            self._snapshot(run)
        if self.score and (done or run.step % self.config.validate_every == 0):
            self._validate(run, objective, self.score)

    def save(self, run: Run, path: Path) -> None:
        """Save the run, and log it; all processes must come here."""
        save_once(run, path, self.config, self.accelerator)
        self._log(run, f"{path.name} written")

    def _log_losses(self, run: Run) -> None:
        """Log the losses, and the pace since the last line."""
        step, minutes = self.last_line
        self.last_line = run.step, run.minutes
        pace = (run.step - step) / max(60 * (run.minutes - minutes), 1e-9)
        shown = " ".join(f"{name} {value:.4f}" for name, value in self.means.items() if value)
        self._log(run, f"{run.minutes:.1f} min, {pace:.1f} steps/s: {shown}")
        self._draw(run, "train", self.means)

    def _snapshot(self, run: Run) -> None:
        """Write the averaged weights; of older files only the newest stay."""
        if run.average is None or not self.accelerator.is_main_process:
            return
        path = self.config.output / f"average-{run.step:09d}.pt"
        run.save_average(path, self.config)
        self._log(run, f"{path.name} written")
        # By age, not by step: an earlier run in this folder may have come further.
        written = self.config.output.glob("average-*.pt")
        found = sorted(written, key=lambda path: (path.stat().st_mtime_ns, path.name))
        for old in found[:-SNAPSHOTS]:
            old.unlink(missing_ok=True)

    def _validate(self, run: Run, objective: nn.Module, score: Scorer) -> None:
        with self.accelerator.autocast():
            found = score(run, self.accelerator.unwrap_model(objective))
        total = found.losses["total"]
        self._draw(run, "validation", found.losses)
        if self.board and found.picture is not None:
            self.board.add_image("frame, restored, truth, reference", found.picture, run.step)
        self._log(run, f"validation: {total:.4f}")
        if math.isfinite(total) and (run.best is None or total < run.best):
            run.best = total
            self.save(run, self.config.output / "best.pt")

    def _draw(self, run: Run, kind: str, values: dict[str, float]) -> None:
        """Draw values on the board."""
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, run.step)

    def _log(self, run: Run, what: str) -> None:
        if self.accelerator.is_main_process:
            log.info("step %d, %s", run.step, what)

    def close(self) -> None:
        """Write what is left to the disk."""
        if self.board:
            self.board.close()
