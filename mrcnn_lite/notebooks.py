"""The course's notebooks: where they are, their exercises solved, and one of them run from top to bottom.

nbformat and nbclient, which come with JupyterLab, are imported when they are needed. Read next: `cli/notebooks.py`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

NEEDED = ("nbformat", "nbclient", "ipykernel")
PATTERN = "[0-9][0-9]_*.ipynb"


class Failure(NamedTuple):
    """A cell that raised. cell: its place, from 1. first: its first line. words: type and message of the error."""

    cell: int
    first: str
    words: str


def need_nbclient() -> None:
    """ImportError that says what to install where notebooks can't be run."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        install = 'pip install "mrcnn-lite[notebooks]", or use `python3 course.py lab`'
        raise ImportError(f"running notebooks needs {', '.join(missing)}, which this Python lacks: {install}")


def folder_of_notebooks(given: Path | None = None) -> Path:
    """The folder that was given, or notebooks/ here, or beside the package. FileNotFoundError where there is none."""
    candidates = [given] if given else [Path("notebooks"), Path(__file__).parents[1] / "notebooks"]
    for folder in candidates:
        if any(folder.glob(PATTERN)):
            return folder.resolve()
    where = " or ".join(map(str, candidates))
    raise FileNotFoundError(f"no notebook (NN_name.ipynb) in {where}: they are in the repository, not in the package")


def choose(folder: Path, prefixes: Sequence[str] = ()) -> list[Path]:
    """The notebooks whose names start so, or all. ValueError for a prefix that none has."""
    found = sorted(folder.glob(PATTERN))
    prefixes = [Path(prefix).name for prefix in prefixes]  # a shell completes to notebooks/02_….ipynb
    for prefix in prefixes:
        if not any(path.name.startswith(prefix) for path in found):
            raise ValueError(f"no notebook starts with {prefix!r}: there are {', '.join(p.stem for p in found)}")
    return [path for path in found if not prefixes or path.name.startswith(tuple(prefixes))]


def solved_source(exercise: str) -> str:
    """The cell of an exercise with the course's answer: it prints it, and fails if the checker does not say "right"."""
    shown, checked = f"ex.{exercise}.solution()", f"assert ex.{exercise}.judge({exercise}).status == 'right'"
    return f"{shown}\n{exercise} = ex.{exercise}.answer\n{checked}"


def solve(notebook: Any) -> int:
    """Put the answer into every exercise of a notebook, in place -> how many there are."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and "exercise" in cell.metadata]
    for cell in cells:
        cell.source = solved_source(cell.metadata["exercise"])
    return len(cells)


def run(notebook: Any, folder: Path, cell_timeout: int = 600) -> Failure | None:
    """Execute a notebook in place, with `folder` as its working folder -> the cell that failed, or None.

    cell_timeout: seconds for one cell. A kernel that dies or can't be started is a failure as well. KeyboardInterrupt
    for Ctrl-C, after the kernel has been shut down.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError

    reached: list[int] = [0]
    client = NotebookClient(notebook, timeout=cell_timeout, resources={"metadata": {"path": str(folder)}})
    client.extra_arguments = ["--log-level=CRITICAL"]  # what the kernel says to a terminal would stand among our lines
    client.on_cell_start = lambda cell, cell_index: reached.__setitem__(0, cell_index)
    try:
        _execute(client)
    except (CellExecutionError, CellControlSignal, DeadKernelError) as error:
        cell = notebook.cells[reached[0]]
        if isinstance(error, CellExecutionError):
            words = f"{error.ename}: {error.evalue}"
        elif isinstance(error, DeadKernelError):
            words = "the kernel died: not enough memory, perhaps"
        else:
            words = f"the cell took longer than {cell_timeout} seconds"
        return Failure(reached[0] + 1, first_line(cell.source), words)
    return None


def _execute(client: Any) -> None:
    """Execute. On Ctrl-C nbclient shuts the kernel down and then fails at whatever it meets next; here that is a
    KeyboardInterrupt."""
    try:
        client.execute()
    except (Exception, asyncio.CancelledError):
        if getattr(client, "_async_cleanup_kernel_future", None) is not None:  # set by its handler of the signal
            raise KeyboardInterrupt from None
        raise


def first_line(source: str) -> str:
    """The first line that says something: no comment, no import."""
    lines = [line.strip() for line in source.splitlines()]
    telling = [line for line in lines if line and not re.match(r"#|import |from ", line)]
    return (telling or lines or [""])[0]
