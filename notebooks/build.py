"""Makes each notebook from its text: NN_name.py (py:percent, what one edits) -> NN_name.ipynb with outputs.

    .venv/bin/python notebooks/build.py [NN …]              executes them all, or those whose names start so
    .venv/bin/python notebooks/build.py --solved [NN …]     runs them with every solution put in; writes nothing

Cells with `exercise="name"` are written from mrcnn_lite/exercises/chNN.py, in the text too: edit them there. Cells keep
their ids, so that a second build of the same text changes outputs only.
"""

from __future__ import annotations

import argparse
import importlib
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from mrcnn_lite.exercises import exercise

HERE = Path(__file__).parent
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"  # a reference to something in a kernel that is gone
STARS = {1: "easy", 2: "medium", 3: "hard"}


def exercise_cell(name: str, chapter: str, kind: str, solved: bool = False) -> str:
    """The source of one of the two cells of an exercise: its text (markdown) or its stub with the check (code)."""
    found = getattr(importlib.import_module(f"mrcnn_lite.exercises.ch{chapter}"), name)
    if kind == "markdown":
        return f"### Exercise: `{name}` ({STARS[found.difficulty]}, {found.minutes} minutes)\n\n{found.text.strip()}"
    if solved:
        return f"{name} = ex.{name}.answer\nassert ex.{name}.judge({name}).status == 'right'"
    stub = exercise.source(found.stub, name)
    return f"{stub}\n\n\nex.{name}.check({name})\n# Stuck? ex.{name}.hint(), and at the end ex.{name}.solution()"


def read(source: Path, solved: bool = False) -> nbformat.NotebookNode:
    """The notebook of a text, not executed, its exercises' cells written anew."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2]}-{number:03d}"  # WHY: random ids would make every build a new file
        if "exercise" in cell.metadata:
            cell.source = exercise_cell(cell.metadata["exercise"], source.stem[:2], cell.cell_type, solved)
    return notebook


def as_text(notebook: nbformat.NotebookNode) -> str:
    """The text of a notebook, without the versions of the program that writes it."""
    lines = jupytext.writes(notebook, fmt="py:percent").splitlines(keepends=True)
    return "".join(
        line for line in lines if not line.startswith(("#       format_version", "#       jupytext_version"))
    )


def run(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Execute a notebook and take out what changes from run to run."""
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(HERE)}}).execute()
    return cleaned(notebook)


def cleaned(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without times, versions and widgets: of those the pictures stay, which every reader can show without a kernel."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.pop("language_info", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop("execution", None)
            output.get("data", {}).pop(WIDGET_VIEW, None)
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefixes", nargs="*", metavar="NN", help="which; default: all")
    parser.add_argument("--solved", action="store_true", help="put the solutions in, run, write nothing")
    options = parser.parse_args()
    for source in sorted(HERE.glob("[0-9][0-9]_*.py")):
        if not options.prefixes or any(source.name.startswith(prefix) for prefix in options.prefixes):
            start = time.monotonic()
            notebook = read(source, options.solved)
            if options.solved:
                run(notebook)
                print(f"{source.stem}: every solution accepted, {time.monotonic() - start:.0f} s", flush=True)
                continue
            text = as_text(notebook)
            if text != source.read_text(encoding="utf-8"):
                source.write_text(text, encoding="utf-8")
            target = source.with_suffix(".ipynb")
            nbformat.write(run(notebook), target)
            seconds = time.monotonic() - start
            print(f"{target.name}: {seconds:.0f} s, {target.stat().st_size // 1024} KB", flush=True)


if __name__ == "__main__":
    main()
