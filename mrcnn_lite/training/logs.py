"""What a training run says: one line that tells how it goes, TensorBoard, and at the end its `History`.

The tables of numbers, which are CSV files too, are in `tables.py`. Read next: `records.py`.
"""

from __future__ import annotations

import shutil
import sys
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

SHORT = {
    "loss_classifier": "class",
    "loss_box_reg": "box",
    "loss_mask": "mask",
    "loss_keypoint": "keypoint",
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "rpn box",
}


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
    signal: int = 0  # that stopped it: 2 for Control-C, 15 for SIGTERM; resume=True goes on
    output: Path | None = None
    bad_pictures: dict[int, str] = field(default_factory=dict)  # number -> why it was skipped

    @property
    def interrupted(self) -> bool:
        """Whether the run was stopped before its end."""
        return self.signal != 0

    def __str__(self) -> str:
        last = ", ".join(f"{SHORT.get(name, name)} {values[-1]:.3f}" for name, values in self.losses.items() if values)
        text = (
            f"{self.step} steps in {clock(self.seconds)} ({self.images_per_second:.1f} images/s), last losses: {last}"
        )
        if self.validation:
            text += "\n" + ", ".join(f"{name} {value:.3f}" for name, value in list(self.validation[-1].items())[1:])
        if self.bad_pictures:
            where = f", named in {self.output / 'bad_pictures.csv'}" if self.output else ""
            text += f"\n{len(self.bad_pictures)} bad picture(s) skipped{where}"
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
