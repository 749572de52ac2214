"""Pictures that cannot be read, or whose target is refused: they stop a run by their name, or are skipped and counted.

Which picture takes the place of a bad one is a pure function of (seed, epoch, index): a resumed run, and any number of
processes, see the same. Read next: `batches.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch.distributed as dist

from ..distributed import world_size
from .tables import GrowingFile, csv_line, damaged, read_csv

FILE = "bad_pictures.csv"
USUAL_SHARE = 0.1  # of the data set's pictures: with more of them bad, something else is wrong
MOST_IN_A_ROW = 10  # while a tenth is bad, so many replacements that are bad too come once in 10 ** 10
# What reading a broken file raises, Pillow's SyntaxError among it. A mistake in the code of a data set, such as an
# AttributeError, is not excused.
REASONS = (OSError, ValueError, TypeError, EOFError, SyntaxError)


class Bad(NamedTuple):
    """A picture that cannot be trained on."""

    number: int  # its index in the data set
    name: str
    reason: str

    def __str__(self) -> str:
        return f"picture {self.number} of the data set ({self.name}): {self.reason}"


class BadPicture(ValueError):
    """A picture cannot be read, or its target is refused; the message names it."""


class TooManyBadPictures(ValueError):
    """More pictures are bad than the run may skip."""


def allowed_share(skip_bad: bool | float) -> float:
    """`skip_bad` as a share of the pictures: False is 0, True a tenth. Raises ValueError outside 0..1."""
    share = USUAL_SHARE if skip_bad is True else float(skip_bad)
    if not 0 <= share <= 1:
        raise ValueError(f"skip_bad is {skip_bad}, expected True or a share of the pictures in 0..1")
    return share


class BadPictures:
    """What a run has skipped so far, the same in all of its processes; the first keeps it in a file.

    path: of that file, None without a folder. keeps: whether this is the process that writes it. first_step: where the
    run goes on, 0 = anew.
    """

    def __init__(self, path: Path | None, keeps: bool, share: float, num_pictures: int, first_step: int = 0) -> None:
        self.path, self.keeps, self.share, self.num_pictures = path, keeps, share, num_pictures
        self.first_seen: dict[int, tuple[int, Bad]] = {}  # number -> (step, picture)
        self._fresh: list[Bad] = []  # of this process, since the last step
        self._file: GrowingFile | None = None
        if path is not None and first_step:
            with contextlib.suppress(FileNotFoundError):
                self.first_seen = _read(path, first_step)
        if path is not None and keeps and not self.first_seen:
            path.unlink(missing_ok=True)
        elif path is not None and keeps:
            self._file = GrowingFile(path, self._text)

    def noted(self, batches: Iterator[list[Any]]) -> Iterator[list[Any]]:
        """The batches as they come, what was skipped for them noted."""
        for pictures in batches:
            self._fresh += [bad for picture in pictures for bad in picture.skipped]
            yield pictures

    def count(self) -> int:
        """How many this process has skipped since the last step."""
        return len(self._fresh)

    def end_step(self, step: int, counts: Sequence[float]) -> None:
        """Take in what all processes have skipped; counts: what `count` was in each, known to all.

        Raises TooManyBadPictures, in all processes, OSError where the file can't be written.
        """
        if not any(counts):
            return
        gathered: list[Any] = [self._fresh]
        if world_size() > 1:
            gathered = [None] * world_size()
            dist.all_gather_object(gathered, self._fresh)
        self._fresh = []
        lines = []
        for bad in (Bad(*bad) for part in gathered for bad in part):
            if bad.number not in self.first_seen:
                self.first_seen[bad.number] = (step, bad)
                lines.append(csv_line((step, *bad)))
        if self.path is not None and self.keeps and lines:
            if self._file is None:
                self._file = GrowingFile(self.path, self._text)
            else:
                self._file.add("".join(lines))
        if len(self.first_seen) > self.share * self.num_pictures:
            _, first = next(iter(self.first_seen.values()))
            where = f", named in {self.path}" if self.path else ""
            raise TooManyBadPictures(
                f"{len(self.first_seen)} of {self.num_pictures} pictures are bad{where}, more than the "
                f"{self.share:.0%} that may be skipped. The first is {first}"
            )

    def flush(self) -> None:
        """Write the file anew if somebody removed it."""
        if self._file is not None:
            self._file.add("")

    def reasons(self) -> dict[int, str]:
        """Number of each bad picture -> its name and what is wrong with it."""
        return {number: f"{bad.name}: {bad.reason}" for number, (_, bad) in self.first_seen.items()}

    def _text(self) -> str:
        rows = [(step, *bad) for step, bad in self.first_seen.values()]
        return "".join(map(csv_line, [("step", *Bad._fields), *rows]))


def _read(path: Path, last_step: int) -> dict[int, tuple[int, Bad]]:
    found = {}
    for number, row in enumerate(read_csv(path), 2):
        try:
            step, bad = int(row["step"]), Bad(int(row["number"]), row["name"], row["reason"])
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(path, f"line {number} has no step or no number") from error
        if step <= last_step:
            found[bad.number] = (step, bad)
    return found
