"""Tables of a run that grow row by row: numbers with a name, in memory and in a CSV file beside the checkpoint.

The file is also the run's memory: a resumed run reads it back up to its checkpoint. After a full disk, and where the
file was removed, what is missing is written anew from memory. Read next: `records.py`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from array import array
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..files import atomic


class GrowingFile:
    """A text file that holds `everything()`, and to which whole lines are added.

    Raises OSError that names the file, on a full disk say; what was written before stays whole.
    """

    def __init__(self, path: Path, everything: Callable[[], str]) -> None:
        self.path, self.everything = path, everything
        self._size = -1  # unlike any file's: it is written now
        self.add("")

    def add(self, lines: str) -> None:
        """Append lines, which are part of `everything()` already, and flush them to the disk."""
        data = lines.encode()
        try:
            if not self.is_whole():
                self._write_anew()
            elif data:
                self._append(data)
        except OSError as error:
            raise OSError(error.errno, f"cannot write the log: {error.strerror}", str(self.path)) from error

    def is_whole(self) -> bool:
        """Whether the file is there, as long as it was left."""
        return self.path.exists() and self.path.stat().st_size == self._size

    def _append(self, data: bytes) -> None:
        with open(self.path, "r+b", buffering=0) as file:
            try:
                file.seek(self._size)
                left = memoryview(data)
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):  # the part of a line that a full disk let through
                    file.truncate(self._size)
                raise
        self._size += len(data)

    def _write_anew(self) -> None:
        data = self.everything().encode()
        with atomic(self.path) as temporary:
            temporary.write_bytes(data)
        self._size = len(data)


class Table:
    """Rows of numbers with the same names, in memory and, given a path, in a CSV file; the first is the step.

    columns: name -> array of float64, one entry a row.
    """

    def __init__(self, path: Path | None = None, last_step: int = 0, *, every_step: bool = False) -> None:
        """last_step: go on with the file, its rows up to that step; 0: begin anew. every_step: each has its row.

        Raises ValueError where the file is damaged before that step.
        """
        self.path = path
        self.columns: dict[str, array[float]] = {}
        self._waiting: list[str] = []
        if path is not None:
            rows = _read_rows(path, last_step) if last_step and path.exists() else None
            for row in rows or ():
                self._take_in(row)
            if rows is not None and every_step:
                steps = [next(iter(row.values())) for row in rows]
                if not steps or steps != [last_step - i for i in reversed(range(len(steps)))]:
                    raise damaged(path, f"it should have a row for each step up to {last_step}, the checkpoint's")
            self._file = GrowingFile(path, self._text)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def add(self, row: Mapping[str, float]) -> None:
        """Take in one row; `flush` puts it on the disk."""
        new = not self.columns
        self._take_in(row)
        if self.path is not None:
            self._waiting += [csv_line(self.columns)] if new else []
            self._waiting.append(_line(row.values()))

    def flush(self) -> None:
        """Write what was added. Raises OSError naming the file, on a full disk say: then it waits for the next time."""
        if self.path is not None:
            self._file.add("".join(self._waiting))
            self._waiting.clear()

    def mean_of_last(self, name: str, count: int) -> float:
        last = self.columns[name][-count:]
        return sum(last) / len(last)

    def rows(self) -> list[dict[str, float]]:
        return [dict(zip(self.columns, values)) for values in zip(*self.columns.values())]

    def _take_in(self, row: Mapping[str, float]) -> None:
        if not self.columns:
            self.columns = {name: array("d") for name in row}
        if list(row) != list(self.columns):
            raise ValueError(f"{self.path or 'table'}: a row of {list(row)}, expected {list(self.columns)}")
        for name, value in row.items():
            self.columns[name].append(value)

    def _text(self) -> str:
        lines = [csv_line(self.columns)] if self.columns else []
        return "".join([*lines, *(_line(values) for values in zip(*self.columns.values()))])


def csv_line(values: Iterable[object]) -> str:
    """One line of a CSV file, quoted where it must be."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def _line(values: Iterable[float]) -> str:
    return ",".join(f"{value:.9g}" for value in values) + "\n"  # 9 digits: every float32 comes back exactly


def _read_rows(path: Path, last_step: int) -> list[dict[str, float]]:
    """The rows up to a step; what a killed process left behind them is dropped.

    Raises ValueError if one of them is damaged.
    """
    rows: list[dict[str, float]] = []
    for number, row in enumerate(read_csv(path), 2):
        try:
            numbers = {name: float(value) for name, value in row.items()}
            step = next(iter(numbers.values()))
        except (TypeError, ValueError) as error:
            raise damaged(path, f"line {number} is {','.join(map(str, row.values()))!r:.80}") from error
        if step > last_step:
            break
        rows.append(numbers)
    return rows


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by the names of its first line, a last line that was cut off left out.

    Raises ValueError for what is no such file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        return list(csv.DictReader(io.StringIO(whole, newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, why: str) -> ValueError:
    return ValueError(
        f"{path} is damaged ({why}): put a copy of it back, or delete it; the run then goes on without what it held"
    )
