"""The folder of a run: its checkpoint, its tables, its TensorBoard, and the line on the screen.

Only the first of several processes keeps records; for the others nothing here does anything. Without a folder the
tables are kept in memory alone. Read next: `run.py`.
"""

from __future__ import annotations

import contextlib
import math
import time
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import remove_leftovers
from .bad_pictures import BadPictures
from .checkpoint import CheckpointError, check_same_run, load_checkpoint, save_checkpoint
from .lock import Lock
from .logs import History, ProgressLine, progress_text, tensorboard_writer
from .schedule import Clock
from .tables import Table

SECONDS_BETWEEN_CHECKPOINTS = 300.0
FILES = ("last.pt", "model.safetensors", "metrics.csv", "validation.csv", "bad_pictures.csv")  # each written whole


def find_checkpoint(output: Path | None, identity: dict[str, Any], resume: bool, overwrite: bool) -> dict | None:
    """The checkpoint to go on from, or None to begin anew.

    Raises ValueError where the checkpoint's run was another one, FileExistsError where one would be overwritten.
    """
    path = output / "last.pt" if output is not None else None
    if resume and path is None:
        raise ValueError("resume needs output, the folder of the run to go on with")
    if path is None or not path.exists():
        return None  # stopped before its first checkpoint: the same command begins anew
    if not resume:
        if overwrite:
            return None
        raise FileExistsError(f"{path} is there already: resume that run, choose another folder, or overwrite")
    content = load_checkpoint(path)
    check_same_run(path, content["identity"], identity)
    return content


class Records:
    """What a run leaves behind.

    lock: on the folder, which it needs to write into it. bad: what the run has skipped. first_step: where it goes on;
    0 begins anew. checkpoint_every: steps, None is once in five minutes.
    """

    def __init__(
        self,
        output: Path | None,
        *,
        active: bool,
        identity: dict[str, Any],
        lock: Lock | None = None,
        bad: BadPictures | None = None,
        first_step: int = 0,
        checkpoint_every: int | None = None,
        log_every: int = 20,
        tensorboard: bool = False,
        progress: bool = True,
    ) -> None:
        self.output, self.active, self.identity = output, active, identity
        self.lock, self.bad = lock, bad
        self.checkpoint_every, self.log_every = checkpoint_every, log_every
        self.line = ProgressLine(progress and active)
        folder = output if active else None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for name in FILES:
                remove_leftovers(folder / name)
            if first_step == 0:
                for name in ("last.pt", "model.safetensors"):
                    (folder / name).unlink(missing_ok=True)
        self.steps = Table(folder and folder / "metrics.csv", first_step, every_step=True)
        self.validation = Table(folder and folder / "validation.csv", first_step)
        self.board: Any = None
        if folder is not None and tensorboard:
            self._open_board(first_step + 1)
        self._saved_at = time.monotonic()
        if first_step:
            self.line.say(f"going on after step {first_step} of the run in {output}")

    def step(self, step: int, lr: float, losses: Mapping[str, float], clock: Clock, batch_size: int) -> None:
        """Take in one step; now and then, say how it goes."""
        if not self.active:
            return
        speed = batch_size / clock.pace
        row = {"step": step, "lr": lr, "seconds": clock.seconds, "images_per_second": speed}
        losses = {"loss": sum(losses.values()), **losses}
        self.steps.add(row | losses)
        for name, value in losses.items() if self.board is not None else ():
            self.board.add_scalar(f"train/{name}", value, step)
        if self.board is not None:
            self.board.add_scalar("train/lr", lr, step)
        milestone = step % self.log_every == 0
        if milestone:
            self._flush()
        if self.line.due(milestone):
            means = {name: self.steps.mean_of_last(name, self.log_every) for name in losses}
            self.line.write(progress_text(step, clock.steps, means, lr, speed, clock.seconds_left(step)))

    def evaluation(self, step: int, results: Any) -> None:
        """Take in what `evaluate` found after so many steps."""
        row: dict[str, float] = {"step": step}
        for task in ("box", "mask", "keypoint"):
            figures = getattr(results, task) or {}
            for name in ("AP", "AP50", "AP75") if figures else ():
                row[f"{task} {name}"] = math.nan if figures[name] is None else figures[name]
        self.validation.add(row)
        self._flush()
        figures = {name: value for name, value in row.items() if name != "step"}
        for name, value in figures.items() if self.board is not None else ():
            self.board.add_scalar(f"validation/{name}", value, step)
        self.line.say(f"step {step}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))

    def checkpoint(self, state: dict[str, Any], seconds: float, *, finished: bool = False) -> None:
        """Write last.pt; the tables reach at least as far. Raises CheckpointError, OSError naming a table.

        WHY an error ends the run instead of a warning: a run that goes on without a place to write to looks well, and
        loses everything at its end. Like this a full disk costs what was done since the checkpoint before.
        """
        if self.active and self.output is not None:
            self._flush()
            content = {**state, "identity": self.identity, "seconds": seconds, "finished": finished}
            save_checkpoint(self.output / "last.pt", content)
            self._saved_at = time.monotonic()

    def checkpoint_due(self, step: int) -> bool:
        if self.checkpoint_every is not None:
            return step % self.checkpoint_every == 0
        return time.monotonic() - self._saved_at > SECONDS_BETWEEN_CHECKPOINTS

    def save_weights(self, model: Any) -> None:
        """Our model as model.safetensors, to use and to hand on. Raises CheckpointError."""
        if self.active and self.output is not None:
            from safetensors import SafetensorError

            from ..weights import save

            path = self.output / "model.safetensors"
            try:
                save(model, path)
            except (OSError, SafetensorError) as error:
                where = f"{self.output / 'last.pt'} is whole: the same command with resume writes it when it can"
                raise CheckpointError(f"cannot write {path} ({error}); {where}") from error

    def history(self, step: int, clock: Clock, batch_size: int, signal: int = 0) -> History:
        """The run up to now; signal: what has stopped it, if something has: then also how to go on with it."""
        if signal:
            where = f"{self.output / 'last.pt'} is written: the same command with resume goes on" if self.output else ""
            self.line.say(f"stopped after step {step}. " + (where or "Without an output folder nothing is kept"))
        columns = self.steps.columns
        return History(
            losses={name: values for name, values in columns.items() if name.startswith("loss")},
            lr=columns.get("lr", array("d")),
            validation=self.validation.rows(),
            step=step,
            seconds=clock.seconds,
            images_per_second=batch_size * clock.steps_done / clock.in_steps if clock.steps_done else 0.0,
            signal=signal,
            output=self.output,
            bad_pictures=self.bad.reasons() if self.bad is not None else {},
        )

    def evaluated(self, step: int) -> bool:
        """Whether the evaluation after so many steps is written down already."""
        return step in self.validation.columns.get("step", ())

    def _flush(self) -> None:
        """Bring everything but the checkpoint to the disk, all of it if somebody has removed the folder."""
        if not self.active or self.output is None:
            return
        gone = not self.output.is_dir()
        if self.lock is not None:
            self.lock.renew()
        self.steps.flush()
        self.validation.flush()
        if self.bad is not None:
            self.bad.flush()
        if gone:
            self.line.say(f"{self.output} was gone: it is made again, with all that this run knows of its past")
        if self.board is not None:
            if gone:
                self._open_board(len(self.steps) + 1)
            self.board.flush()

    def _open_board(self, first_step: int) -> None:
        assert self.output is not None
        self.board = tensorboard_writer(self.output / "tensorboard", first_step)

    def close(self) -> None:
        """What is still in memory goes to the disk, if it can: an error is on its way already where it can't."""
        self.line.close()
        with contextlib.suppress(OSError):
            self._flush()
        if self.board is not None:
            with contextlib.suppress(OSError):
                self.board.close()
