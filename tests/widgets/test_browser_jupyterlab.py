"""In JupyterLab: an untrusted notebook shows picture and caption, a run one the widget; `live` tells Python what moved.

JupyterLab runs on this machine alone, with settings folders of its own and all other addresses refused. Skipped where
JupyterLab, Playwright or Chromium is missing.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mrcnn_lite.widgets.page import figure, picture
from mrcnn_lite.widgets.source import Options, read, state_of

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupyterlab")
pytest.importorskip("anywidget")

ROOT = Path(__file__).resolve().parents[2]
WAIT = 240_000  # milliseconds: JupyterLab on a busy machine
NAME = "roi_align"
CELLS = (
    'from mrcnn_lite.widgets import live, show\nshow("roi_align")',
    'from mrcnn_lite.widgets import live, show\nw = live("roi_align", state="tiny")\nw',
    'print("box", w.box, w.op)',
)


def stored_notebook() -> Any:
    """As a student gets it: the first cell has its output, nobody on this machine has run or signed it."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    widget = read(NAME)
    data = {
        "text/html": figure(widget, state_of(widget, None), Options()),
        "image/png": base64.b64encode(picture(widget)).decode(),
        "text/plain": widget.texts["en"]["title"],
    }
    notebook.cells[0].execution_count = 1
    notebook.cells[0].outputs = [nbformat.v4.new_output("display_data", data)]
    return notebook


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[str]:
    """The address of a notebook in a JupyterLab of its own."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "work").mkdir()
    nbformat.write(stored_notebook(), folder / "work" / "widget.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "spaces")}
    own |= {"PYTHONPATH": str(ROOT), "HOME": str(folder)}
    options = [
        *("--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
        *("--IdentityProvider.token=widgets", f"--ServerApp.root_dir={folder / 'work'}", "--LabApp.news_url=None"),
    ]
    with open(folder / "log.txt", "w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(WAIT // 500):
                assert server.poll() is None, (folder / "log.txt").read_text()
                try:
                    urllib.request.urlopen(f"{address}/api?token=widgets", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.5)
            else:
                pytest.fail("JupyterLab does not answer:\n" + (folder / "log.txt").read_text())
            yield f"{address}/lab/tree/widget.ipynb?token=widgets"
        finally:
            server.terminate()
            server.wait(30)


def test_untrusted_then_run_then_live(lab, browser):
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(WAIT)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    home = lab.split("/lab")[0]
    page.route(
        lambda url: not url.startswith((home, "data:", "blob:", home.replace("http", "ws"))), lambda r: r.abort()
    )
    page.goto(lab)

    # Untrusted: the frame is thrown away, picture and caption stay.
    image = page.locator(".jp-OutputArea-output figure img, .jp-OutputArea-output img").first
    image.wait_for()
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 800
    assert read(NAME).texts["en"]["caption"] in page.locator(".jp-OutputArea").first.inner_text()
    assert page.locator("iframe").count() == 0

    # Run: the widget takes the picture's place, and moves.
    page.get_by_text("| Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    frame = page.frame_locator(".jp-OutputArea iframe")
    root = frame.locator("[data-ready=true]")
    root.wait_for()
    before = root.get_attribute("data-state")
    handle = frame.locator("[data-drag]").first
    handle.scroll_into_view_if_needed()
    handle.focus()
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_timeout(500)
    moved = json.loads(root.get_attribute("data-state"))["box"]
    assert moved[0] == json.loads(before)["box"][0] + 5

    # Live: what is dragged on screen is what Python says.
    page.locator(".jp-OutputArea-output", has_text="box [48.5, 49.0, 55.5, 56.0] pool").wait_for()
    alive = page.locator(".jp-OutputArea-output .mw[data-ready=true]")
    alive.scroll_into_view_if_needed()
    alive.locator("[data-op=align]").click()
    handle = alive.locator("[data-drag]").first
    handle.focus()
    for _ in range(3):  # the arrow keys are the widget's: in JupyterLab they would choose another cell
        page.keyboard.press("Shift+ArrowDown")
    page.wait_for_timeout(500)
    state = json.loads(alive.get_attribute("data-state"))
    assert state["box"] == [48.5, 64, 55.5, 71]
    last = page.locator(".jp-Cell").nth(2).locator(".cm-content")
    last.scroll_into_view_if_needed()
    last.click()
    page.keyboard.press("Control+Enter")
    page.locator(".jp-OutputArea-output", has_text="box [48.5, 64, 55.5, 71] align").wait_for()
    context.close()
    assert not complaints
