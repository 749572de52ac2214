"""A notebook with a widget, compared by nbval and turned into a page or slides: nothing differs, the widget works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from widget_hosts import WAIT

nbformat = pytest.importorskip("nbformat")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory) -> Path:
    """Run once: one cell that shows a widget, in a prepared state."""
    client = pytest.importorskip("nbclient")
    book = nbformat.v4.new_notebook()
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    source = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
    source += 'from mrcnn_lite.widgets import show\nshow("nms", state="hug")'
    book.cells = [nbformat.v4.new_code_cell(source)]
    client.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    path = tmp_path_factory.mktemp("book") / "book.ipynb"
    nbformat.write(book, path)
    return path


def test_outputs_are_complete_and_leave_no_widget_state(notebook):
    book = nbformat.read(notebook, as_version=4)
    (output,) = book.cells[0].outputs
    assert set(output.data) == {"text/html", "image/png", "text/plain"}
    assert len(output.metadata["image/png"]["alt"]) > 20
    assert "widgets" not in book.metadata
    nbformat.validate(book)


def test_nbval_finds_no_difference(notebook):
    pytest.importorskip("nbval")
    options = [
        *("--nbval", "--nbval-current-env", "--nbval-cell-timeout", "120", "-p", "no:cacheprovider"),
        *("--nbval-sanitize-with", str(ROOT / "tests" / "nbval_sanitize.cfg"), "-c", os.devnull),
    ]
    command = [sys.executable, "-m", "pytest", "-q", *options, "--rootdir", str(notebook.parent), str(notebook)]
    answer = subprocess.run(command, cwd=notebook.parent, capture_output=True, text=True)
    assert answer.returncode == 0 and "1 passed" in answer.stdout, answer.stdout + answer.stderr


@pytest.mark.parametrize("kind", ["HTML", "Slides"])
def test_the_widget_works_in_what_nbconvert_makes(notebook, browser, kind, tmp_path):
    """Without a network: what nbconvert itself asks for (fonts, MathJax, reveal.js) is refused."""
    exporters = pytest.importorskip("nbconvert.exporters")
    page_file = tmp_path / "page.html"
    page_file.write_text(getattr(exporters, f"{kind}Exporter")().from_filename(str(notebook))[0], encoding="utf-8")
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.route(lambda url: not url.startswith(("file:", "data:")), lambda route: route.abort())
    page.goto(page_file.as_uri())
    frame = page.frame_locator("iframe")
    root = frame.locator("[data-ready=true]")
    root.wait_for(state="attached")
    before = json.loads(root.get_attribute("data-state"))
    frame.locator("[data-walk='-1']").evaluate("(button) => button.click()")
    for _ in range(WAIT // 20):
        if json.loads(root.get_attribute("data-state")) != before:
            break
        page.wait_for_timeout(20)
    assert json.loads(root.get_attribute("data-state"))["step"] == 1
    context.close()
