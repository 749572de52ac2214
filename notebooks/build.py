"""Makes each notebook from its text: NN_name.py (py:percent, what one edits) -> NN_name.ipynb with outputs.

`.venv/bin/python notebooks/build.py [NN …]` executes them all, or those whose names start so. Cells keep their ids, so
that a second build of the same text changes outputs only.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def build(source: Path) -> nbformat.NotebookNode:
    """The executed notebook of a text notebook, without what changes from run to run."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2]}-{number:03d}"  # WHY: random ids would make every build a new file
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(HERE)}}).execute()
    notebook.metadata.pop("widgets", None)
    notebook.metadata.pop("language_info", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop("execution", None)
    return notebook


def main(prefixes: list[str]) -> None:
    for source in sorted(HERE.glob("[0-9][0-9]_*.py")):
        if not prefixes or any(source.name.startswith(prefix) for prefix in prefixes):
            start = time.monotonic()
            notebook = build(source)
            target = source.with_suffix(".ipynb")
            nbformat.write(notebook, target)
            print(f"{target.name}: {time.monotonic() - start:.0f} s, {target.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main(sys.argv[1:])
