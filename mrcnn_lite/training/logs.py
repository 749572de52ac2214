"""What a training run says: one line that tells how it goes, a CSV file with every step, TensorBoard, and `History`.

The CSV file is also the run's memory: a resumed run reads it back, so its `History` reaches to the first step.
Read next: `run.py`.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ..files import atomic

SHORT = {
    "loss_classifier": "class",
    "loss_box_reg": "box",
    "loss_mask": "mask",
    "loss_keypoint": "keypoint",
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "rpn box",
}


class Table:
    """Rows of numbers with the same names, in memory and, given a path, in a CSV file; the first is the step.

    columns: name -> array of float64, one entry a row.
    """

    def __init__(self, path: Path | None = None, last_step: int | None = None) -> None:
        """last_step: go on with the file, its rows up to that step; None: begin anew."""
        self.path = path
        self.columns: dict[str, array[float]] = {}
        self._waiting: list[str] = []
        if path is None:
            return
        rows = _read_rows(path, last_step) if last_step is not None and path.exists() else []
        for row in rows:
            self._append(row)
        text = "".join([*([self._header()] if rows else []), *(_line(row) for row in rows)])
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def add(self, row: Mapping[str, float]) -> None:
        """Take in one row; `flush` puts it on the disk."""
        new = not self.columns
        self._append(row)
        if self.path is not None:
            self._waiting += [self._header()] if new else []
            self._waiting.append(_line(row))

    def flush(self) -> None:
        """Write what was added. Raises OSError naming the file, on a full disk say."""
        if self.path is None or not self._waiting:
            return
        try:
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write("".join(self._waiting))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(error.errno, f"cannot write the log: {error.strerror}", str(self.path)) from error
        self._waiting.clear()

    def mean_of_last(self, name: str, count: int) -> float:
        last = self.columns[name][-count:]
        return sum(last) / len(last)

    def rows(self) -> list[dict[str, float]]:
        return [dict(zip(self.columns, values)) for values in zip(*self.columns.values())]

    def _append(self, row: Mapping[str, float]) -> None:
        if not self.columns:
            self.columns = {name: array("d") for name in row}
        if list(row) != list(self.columns):
            raise ValueError(f"{self.path or 'table'}: a row of {list(row)}, expected {list(self.columns)}")
        for name, value in row.items():
            self.columns[name].append(value)

    def _header(self) -> str:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(self.columns)
        return line.getvalue()


def _line(row: Mapping[str, float]) -> str:
    return ",".join(f"{value:.9g}" for value in row.values()) + "\n"  # 9 digits: every float32 comes back exactly


def _read_rows(path: Path, last_step: int) -> list[dict[str, float]]:
    """The whole rows up to a step; what a killed process left behind them is dropped."""
    rows: list[dict[str, float]] = []
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                numbers = {name: float(value) for name, value in row.items()}
            except (TypeError, ValueError):  # the last line, cut off
                break
            if next(iter(numbers.values())) > last_step:
                break
            rows.append(numbers)
    return rows


@dataclass
class History:
    """What a run was: every step's losses, the evaluations, the speed.

    losses: part -> one number a step, "loss" is their sum. validation: one dict an evaluation ("step", "box AP", …).
    """

    losses: dict[str, array[float]] = field(default_factory=dict)
    lr: array[float] = field(default_factory=lambda: array("d"))
    validation: list[dict[str, float]] = field(default_factory=list)
    step: int = 0  # steps done, those before a resumption included
    seconds: float = 0.0  # of training, likewise
    images_per_second: float = 0.0  # over the steps of this call, evaluations and checkpoints left out
    interrupted: bool = False  # stopped by Control-C: resume=True goes on
    output: Path | None = None

    def __str__(self) -> str:
        last = ", ".join(f"{SHORT.get(name, name)} {values[-1]:.3f}" for name, values in self.losses.items() if values)
        text = (
            f"{self.step} steps in {clock(self.seconds)} ({self.images_per_second:.1f} images/s), last losses: {last}"
        )
        if self.validation:
            text += "\n" + ", ".join(f"{name} {value:.3f}" for name, value in list(self.validation[-1].items())[1:])
        return text


class ProgressLine:
    """One line, rewritten in place, on a terminal or in a notebook; elsewhere a new line each `log_every` steps."""

    def __init__(self, show: bool = True, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.show = show
        self.rewrites = self.stream.isatty() or type(self.stream).__module__.startswith("ipykernel")
        self._next = 0.0
        self._length = 0

    def due(self, milestone: bool) -> bool:
        """Whether to write now. milestone: `log_every` steps are over."""
        return self.show and (time.monotonic() >= self._next if self.rewrites else milestone)

    def write(self, text: str) -> None:
        if self.rewrites:
            text = text[: shutil.get_terminal_size().columns - 1]  # a line that wraps cannot be rewritten
            self.stream.write("\r" + text.ljust(self._length))
            self._length, self._next = len(text), time.monotonic() + 0.25
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def say(self, text: str) -> None:
        """A message of its own, which stays."""
        if self.show:
            self.close()
            self.stream.write(text + "\n")
            self.stream.flush()

    def close(self) -> None:
        if self._length:
            self.stream.write("\n")
            self._length = 0


def progress_text(
    step: int, steps: int | None, losses: Mapping[str, float], lr: float, speed: float, seconds_left: float
) -> str:
    """ "step 120/1500  loss 1.234 (class 0.412, …)  lr 2.0e-03  41.3 images/s  3:21 left"."""
    parts = ", ".join(f"{SHORT.get(name, name)} {value:.3f}" for name, value in losses.items() if name != "loss")
    of = f"/{steps}" if steps is not None else ""
    return (
        f"step {step}{of}  loss {losses['loss']:.3f} ({parts})  lr {lr:.1e}  "
        f"{speed:.1f} images/s  {clock(seconds_left)} left"
    )


def clock(seconds: float) -> str:
    """75.2 -> "1:15", 7325 -> "2:02:05"."""
    minutes, seconds = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def tensorboard_writer(folder: Path, first_step: int) -> Any:
    """A SummaryWriter that drops what an interrupted run wrote from `first_step` on. Raises ImportError that helps."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        message = (
            "TensorBoard is not installed: `pip install tensorboard`, or leave tensorboard=True (--tensorboard) out"
        )
        raise ImportError(message) from error
    return SummaryWriter(str(folder), purge_step=first_step)
