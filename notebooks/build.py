"""Makes each notebook from its text: NN_name.py (py:percent, what one edits) -> NN_name.ipynb with outputs.

    .venv/bin/python notebooks/build.py [NN …]              executes them all, or those whose names start so
    .venv/bin/python notebooks/build.py --light [NN …]      only prose, widgets and questions; keeps all other outputs
    .venv/bin/python notebooks/build.py --solved [NN …]     runs them with every solution put in; writes nothing

Cells with `exercise="name"` are written from mrcnn_lite/exercises/chNN.py, the one with `setup=true` from setup_cell.py,
in the text too: edit them there. Cells keep their ids, so that a second build of the same text changes outputs only. The
gallery is a notebook like the others, without a number; of cells tagged `picture-only` the widget itself is not stored: all
of them would be 1.5 MB.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat

from mrcnn_lite import notebooks
from mrcnn_lite.exercises import exercise
from mrcnn_lite.widgets.panel_frame import WIDGET_VIEW

HERE = Path(__file__).parent
SETUP = HERE / "setup_cell.py"
LIGHT = re.compile(r"(widgets\.show|quiz)\(.*\)")  # a cell that shows something and needs nothing of the others
LIGHT_IMPORTS = "from mrcnn_lite import widgets\nfrom mrcnn_lite.exercises import quiz"
COLAB = "https://colab.research.google.com"
SOURCES = (*sorted(HERE.glob("[0-9][0-9]_*.py")), HERE / "gallery.py")
STARS = {1: "easy", 2: "medium", 3: "hard"}


def exercise_cell(name: str, chapter: str, kind: str, solved: bool = False) -> str:
    """The source of one of the two cells of an exercise: its text (markdown) or its stub with the check (code)."""
    found = getattr(importlib.import_module(f"mrcnn_lite.exercises.ch{chapter}"), name)
    if kind == "markdown":
        return f"### Exercise: `{name}` ({STARS[found.difficulty]}, {found.minutes} minutes)\n\n{found.text.strip()}"
    if solved:
        return notebooks.solved_source(name)
    stub = exercise.source(found.stub, name)
    return f"{stub}\n\n\nex.{name}.check({name})\n# Stuck? ex.{name}.hint(), and at the end ex.{name}.solution()"


def badge(stem: str) -> str:
    """The line under the title: a picture that opens the notebook of that name on Colab."""
    repository = re.search(r'REPOSITORY = "https://github.com/([^"]+)"', SETUP.read_text(encoding="utf-8"))
    assert repository, f"{SETUP.name} does not name the repository"
    place = f"{COLAB}/github/{repository.group(1)}/blob/main/notebooks/{stem}.ipynb"
    return f"[![Open this chapter in Google Colab]({COLAB}/assets/colab-badge.svg)]({place})"


def read(source: Path, solved: bool = False) -> nbformat.NotebookNode:
    """The notebook of a text, not executed, its exercises' cells written anew."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2]}-{number:03d}"  # WHY: random ids would make every build a new file
        if cell.metadata.get("setup"):
            cell.source = SETUP.read_text(encoding="utf-8").rstrip()
        if number == 0:
            cell.source = re.sub(r"^\[!\[Open [^\n]*$", badge(source.stem), cell.source, flags=re.MULTILINE)
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
    """Execute a notebook and take out what changes from run to run. SystemExit names the cell that failed."""
    failure = notebooks.run(notebook, HERE)
    if failure:
        sys.exit(f"cell {failure.cell}, `{failure.first}`: {failure.words}")
    return cleaned(notebook)


def cleaned(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without times, versions and widgets: of those the pictures stay, which every reader can show without a kernel."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.pop("language_info", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if "outputs" in cell:
            cell.outputs = joined(cell.outputs)
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop("execution", None)
            output.get("data", {}).pop(WIDGET_VIEW, None)  # a reference to something in a kernel that is gone
            if "picture-only" in cell.metadata.get("tags", []) and "image/png" in output.get("data", {}):
                output.data.pop("text/html", None)
    return notebook


def joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """What a cell prints in one piece: a kernel sends it in several, cut where its clock wanted."""
    result: list[nbformat.NotebookNode] = []
    for output in outputs:
        if result and output.output_type == "stream" and output.get("name") == result[-1].get("name"):
            result[-1].text += output.text
        else:
            result.append(output)
    return result


def renew_light_cells(notebook: nbformat.NotebookNode, old: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Keep the outputs of an earlier build; run only what shows a widget or questions.

    SystemExit where any other code cell has changed: its output, and those after it, would be of another text.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    heavy = [cell for cell in code if not LIGHT.fullmatch(cell.source)]
    kept = [cell for cell in old.cells if cell.cell_type == "code" and not LIGHT.fullmatch(cell.source)]
    if [cell.source for cell in heavy] != [cell.source for cell in kept]:
        sys.exit("code has changed, not only prose, widgets and questions: build without --light")
    for cell, before in zip(heavy, kept):
        cell.outputs = joined(before.outputs)
    light = [cell for cell in code if LIGHT.fullmatch(cell.source)]
    small = nbformat.v4.new_notebook(metadata=notebook.metadata)
    small.cells = [nbformat.v4.new_code_cell(LIGHT_IMPORTS)]
    small.cells += [nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata) for cell in light]
    for cell, done in zip(light, run(small).cells[1:]):
        cell.outputs = done.outputs
    for number, cell in enumerate(code, 1):  # as if all had run in a row
        cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = number
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefixes", nargs="*", metavar="NN", help="which; default: all")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--light", action="store_true", help="keep the outputs of all code but widgets and questions")
    how.add_argument("--solved", action="store_true", help="put the solutions in, run, write nothing")
    options = parser.parse_args()
    for source in SOURCES:
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
            if options.light:
                nbformat.write(renew_light_cells(notebook, nbformat.read(target, as_version=4)), target)
            else:
                nbformat.write(run(notebook), target)
            seconds = time.monotonic() - start
            print(f"{target.name}: {seconds:.0f} s, {target.stat().st_size // 1024} KB", flush=True)


if __name__ == "__main__":
    main()
