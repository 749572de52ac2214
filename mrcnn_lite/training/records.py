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

from .checkpoint import check_same_run, load_checkpoint, remove_leftovers, save_checkpoint
from .logs import History, ProgressLine, Table, progress_text, tensorboard_writer
from .schedule import Clock

SECONDS_BETWEEN_CHECKPOINTS = 300.0


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

    first_step, seconds: where it goes on; 0 begins anew. checkpoint_every: steps, None is once in five minutes.
    """

    def __init__(
        self,
        output: Path | None,
        *,
        active: bool,
        identity: dict[str, Any],
        first_step: int = 0,
        checkpoint_every: int | None = None,
        log_every: int = 20,
        tensorboard: bool = False,
        progress: bool = True,
    ) -> None:
        self.output, self.active, self.identity = output, active, identity
        self.checkpoint_every, self.log_every = checkpoint_every, log_every
        self.line = ProgressLine(progress and active)
        folder = output if active else None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(folder / "last.pt")
            if first_step == 0:
                for name in ("last.pt", "model.safetensors"):
                    (folder / name).unlink(missing_ok=True)
        self.steps = Table(folder and folder / "metrics.csv", first_step)
        self.validation = Table(folder and folder / "validation.csv", first_step)
        self.board: Any = None
        if folder is not None and tensorboard:
            self.board = tensorboard_writer(folder / "tensorboard", first_step + 1)
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
            self.steps.flush()
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
        self.validation.flush()
        figures = {name: value for name, value in row.items() if name != "step"}
        for name, value in figures.items() if self.board is not None else ():
            self.board.add_scalar(f"validation/{name}", value, step)
        self.line.say(f"step {step}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))

    def checkpoint(self, state: dict[str, Any], seconds: float, *, finished: bool = False) -> None:
        """Write last.pt; the tables reach at least as far. Raises CheckpointError."""
        if self.active and self.output is not None:
            self.steps.flush()
            content = {**state, "identity": self.identity, "seconds": seconds, "finished": finished}
            save_checkpoint(self.output / "last.pt", content)
            self._saved_at = time.monotonic()

    def checkpoint_due(self, step: int) -> bool:
        if self.checkpoint_every is not None:
            return step % self.checkpoint_every == 0
        return time.monotonic() - self._saved_at > SECONDS_BETWEEN_CHECKPOINTS

    def save_weights(self, model: Any) -> None:
        """Our model as model.safetensors, to use and to hand on."""
        if self.active and self.output is not None:
            from ..weights import save

            save(model, self.output / "model.safetensors")

    def history(self, step: int, clock: Clock, batch_size: int, interrupted: bool) -> History:
        """The run up to now; after an interruption also how to go on with it."""
        if interrupted:
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
            interrupted=interrupted,
            output=self.output,
        )

    def close(self) -> None:
        """What is still in memory goes to the disk, if it can: an error is on its way already where it can't."""
        self.line.close()
        with contextlib.suppress(OSError):
            self.steps.flush()
        if self.board is not None:
            self.board.close()
