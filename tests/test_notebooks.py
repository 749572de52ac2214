"""notebooks/: a notebook says what its text says, carries outputs and nothing that changes from run to run."""

import ast
import re
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))
import build  # noqa: E402

TEXTS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_notebook_and_text_say_the_same(text):
    source = jupytext.read(text)
    notebook = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    cells = lambda book: [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in book.cells]  # noqa: E731
    assert cells(notebook) == cells(source)


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_outputs_are_there_small_and_clean(text):
    path = text.with_suffix(".ipynb")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert path.stat().st_size < 500 * 1024
    assert "widgets" not in notebook.metadata
    assert all(cell.execution_count for cell in code) and any(cell.outputs for cell in code)
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    assert not [cell.metadata for cell in notebook.cells if "execution" in cell.metadata]
    assert not [output for cell in code for output in cell.outputs if build.WIDGET_VIEW in output.get("data", {})]


def test_of_widgets_the_picture_is_stored():
    notebook = nbformat.v4.new_notebook(metadata={"widgets": {"state": {}}})
    shown = {build.WIDGET_VIEW: {"model_id": "1"}, "image/png": "AAAA", "text/plain": "a panel"}
    outputs = [nbformat.v4.new_output("execute_result", shown, execution_count=1)]
    notebook.cells = [nbformat.v4.new_code_cell("panel", outputs=outputs)]
    cleaned = build.cleaned(notebook)
    assert "widgets" not in cleaned.metadata
    assert cleaned.cells[0].outputs[0].data == {"image/png": "AAAA", "text/plain": "a panel"}


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_every_picture_has_alt_text(text):
    notebook = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                assert len(output["metadata"].get("image/png", {}).get("alt", "")) > 20
        for alt in re.findall(r"!\[([^\]]*)\]", cell.source if cell.cell_type == "markdown" else ""):
            assert len(alt) > 20


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_the_repository_is_that_of_pyproject(text):
    project = (ROOT / "pyproject.toml").read_text()
    for address in re.findall(r'REPOSITORY = "([^"]+)"', text.read_text()):
        assert f'Repository = "{address}"' in project


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_exercises_are_those_of_the_package_and_not_attempted(text):
    assert build.as_text(build.read(text)) == text.read_text(encoding="utf-8")
    notebook = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and "exercise" in cell.metadata:
            said = "".join(output.get("text", "") for output in cell.outputs)
            assert said.startswith(f"{cell.metadata['exercise']}: not attempted.")


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_later_cells_do_not_call_the_students_functions(text):
    """A name that an exercise defines is not imported before: what follows would get the student's under that name."""
    cells = jupytext.read(text).cells
    defined = {cell.metadata["exercise"] for cell in cells if "exercise" in cell.metadata}
    for cell in (cell for cell in cells if cell.cell_type == "code" and "exercise" not in cell.metadata):
        used = {node.id for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)}
        assert not used & defined, f"{text.name} uses {used & defined} of the student's"
