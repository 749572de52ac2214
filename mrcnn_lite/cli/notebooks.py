"""`mrcnn-lite notebooks check`: before class, does every notebook of the course run on this machine?

A copy of notebooks/ and assets/ in a temporary folder is run, so that nothing of the course is written.
Read next: `notebooks.py` of the package, which does it.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from .settings import add_command, positive


def add_notebooks(commands: Any) -> None:
    about = "do the course's notebooks run here?"
    group = commands.add_parser("notebooks", help=about, description="The notebooks of the course.")
    actions = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    text = """Run every notebook of the course from top to bottom, as a student would by "Run All", in a temporary copy,
and say which cell fails. Exit status 1 if any does."""
    examples = """examples:
  mrcnn-lite notebooks check
  mrcnn-lite notebooks check 04 05 --solved                   two of them, with every exercise solved
  mrcnn-lite notebooks check --solved --output solutions      and the solved notebooks, to hand out later"""
    command = add_command(actions, "notebooks check", run_check, about, text, examples)
    command.add_argument("prefixes", nargs="*", metavar="NN", help="how their names start; default: all")
    command.add_argument("--solved", action="store_true", help="with the solution in every exercise")
    command.add_argument("--output", type=Path, metavar="DIR", help="write those that ran there, with their outputs")
    command.add_argument("--folder", type=Path, metavar="DIR", help="where they are; default: notebooks/ here, or "
                         "beside the package")  # fmt: skip
    command.add_argument("--cell-timeout", type=positive, default=600, metavar="S", help="seconds that one cell may "
                         "take; default %(default)s")  # fmt: skip


def run_check(arguments: argparse.Namespace) -> int:
    from ..notebooks import choose, folder_of_notebooks, need_nbclient

    need_nbclient()
    folder = folder_of_notebooks(arguments.folder)
    paths = choose(folder, arguments.prefixes)
    if arguments.output and arguments.output.resolve() == folder:
        raise ValueError(f"--output {arguments.output} is the folder of the notebooks themselves: choose another")
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)  # now: what is wrong with it should not show minutes later
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "notebooks"
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        if (folder.parent / "assets").is_dir():  # where the notebooks look for small trained models
            shutil.copytree(folder.parent / "assets", Path(temporary) / "assets")
        for path in paths:
            failed += not passes(copy / path.name, arguments.solved, arguments.cell_timeout, arguments.output)
    print(f"{len(paths) - failed} of {len(paths)} notebooks run on this machine")
    return int(failed > 0)


def passes(path: Path, solved: bool, cell_timeout: int, output: Path | None = None) -> bool:
    """Run one notebook, print its line, and write it to the folder `output` if it ran."""
    import nbformat

    from ..files import atomic
    from ..notebooks import run, solve

    print(f"{path.stem:<28} ", end="", flush=True)  # at once: one sees which is running
    start = time.monotonic()
    notebook = nbformat.read(path, as_version=4)
    count = solve(notebook) if solved else 0
    failure = run(notebook, path.parent, cell_timeout)
    seconds = time.monotonic() - start
    if failure:
        print(f"FAILED {seconds:6.0f} s  cell {failure.cell}, `{failure.first}`: {failure.words}", flush=True)
        return False
    if output:
        notebook.metadata.pop("widgets", None)  # GitHub refuses notebooks with half of a widget's state
        with atomic(output / path.name) as temporary:
            nbformat.write(notebook, temporary)
    print(f"ok     {seconds:6.0f} s{f'  {count} solutions accepted' if count else ''}", flush=True)
    return True
