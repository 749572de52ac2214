"""In JupyterLab: an untrusted notebook shows picture and caption, a run one the widget; `live` tells Python what moved;
the panels' sliders move the model.

JupyterLab runs on this machine alone, with settings folders of its own and all other addresses refused. Skipped where
JupyterLab, Playwright or Chromium is missing.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
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
PANELS = (
    "import torch\nfrom mrcnn_lite import Config, build_model, open_dataset\nfrom mrcnn_lite.widgets.panels import *\n"
    'torch.set_num_threads(1)\nshapes = open_dataset("shapes", length=8, progress=False)\n'
    "model, (image, target) = build_model(Config.tiny()), shapes[0]",
    "proposals = proposals_panel(model, image, target)\nproposals",
    "crops = roi_features_panel(model, image)\ncrops",
    "training = training_panel(model, shapes)\ntraining",
    'print("kept", len(proposals.proposals["boxes"]), "size", tuple(crops.crop.shape)[1:], "steps", '
    "len(training.history), [len(step.chosen) for step in training.history][-1:])",
)


def notebook_of(sources: Iterable[str]) -> Any:
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return notebook


def stored_notebook() -> Any:
    """As a student gets it: the first cell has its output, nobody on this machine has run or signed it."""
    notebook = notebook_of(CELLS)
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
    """The address of a JupyterLab of its own, with the notebooks of this file."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "work").mkdir()
    nbformat.write(stored_notebook(), folder / "work" / "widget.ipynb")
    nbformat.write(notebook_of(PANELS), folder / "work" / "panels.ipynb")
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
            yield address
        finally:
            server.terminate()
            server.wait(30)


def opened(browser: Any, home: str, notebook: str, height: int = 1000) -> tuple[Any, list[str]]:
    """A page with a notebook, all other addresses refused, and the list of what the page complains of."""
    page = browser.new_context(viewport={"width": 1400, "height": height}).new_page()
    page.set_default_timeout(WAIT)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.route(
        lambda url: not url.startswith((home, "data:", "blob:", home.replace("http", "ws"))), lambda r: r.abort()
    )
    # In a workspace of its own: JupyterLab would open again, and perhaps in front, what the page before had open.
    page.goto(f"{home}/lab/workspaces/{Path(notebook).stem}/tree/{notebook}?token=widgets")
    return page, complaints


def run_all(page: Any) -> None:
    page.get_by_text("| Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def run_last(page: Any) -> None:
    last = page.locator(".jp-Cell").last.locator(".cm-content")
    last.scroll_into_view_if_needed()
    last.click()
    page.keyboard.press("Control+Enter")


def test_untrusted_then_run_then_live(lab, browser):
    page, complaints = opened(browser, lab, "widget.ipynb")

    # Untrusted: the frame is thrown away, picture and caption stay.
    image = page.locator(".jp-OutputArea-output figure img, .jp-OutputArea-output img").first
    image.wait_for()
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 800
    assert read(NAME).texts["en"]["caption"] in page.locator(".jp-OutputArea").first.inner_text()
    assert page.locator("iframe").count() == 0

    # Run: the widget takes the picture's place, and moves.
    run_all(page)
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
    run_last(page)
    page.locator(".jp-OutputArea-output", has_text="box [48.5, 64, 55.5, 71] align").wait_for()
    page.context.close()
    assert not complaints


def changed(page: Any, image: Any, action: Callable[[], None]) -> str:
    """Does something, waits until the panel's picture is another, and returns the new one's address."""
    before = image.get_attribute("src")
    action()
    for _ in range(WAIT // 100):
        if image.get_attribute("src") != before:
            return image.get_attribute("src")
        page.wait_for_timeout(100)
    pytest.fail("the picture stays as it is")


def test_panels(lab, browser):
    """Each panel's picture is there, changes when a slider moves, and Python knows of it; training starts and stops."""
    page, complaints = opened(browser, lab, "panels.ipynb", height=3600)  # all of it: JupyterLab draws what is in sight
    run_all(page)
    page.locator(".jp-OutputArea-output", has_text="steps 0 []").wait_for()
    panels = []
    for number in (1, 2, 3):
        cell = page.locator(".jp-Cell").nth(number)
        cell.scroll_into_view_if_needed()
        image = cell.locator("img.widget-image")
        image.wait_for()
        assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 400
        panels.append((cell, image))

    cell, image = panels[0]
    cell.scroll_into_view_if_needed()
    handle = cell.locator(".widget-inline-hbox", has_text="proposals kept").locator(".noUi-handle")
    handle.focus()
    changed(page, image, lambda: page.keyboard.press("ArrowLeft"))  # 20 -> 10
    cell.get_by_text("10 proposals kept").wait_for()

    cell, image = panels[1]
    cell.scroll_into_view_if_needed()
    cell.locator(".widget-inline-hbox", has_text="side of the crop").locator(".noUi-handle").focus()
    changed(page, image, lambda: page.keyboard.press("ArrowRight"))  # 7 -> 8
    cell, image = panels[2]
    cell.scroll_into_view_if_needed()
    button = cell.locator(".jupyter-button").first
    changed(page, image, button.click)
    cell.get_by_text("steps; last: ").wait_for()
    changed(page, image, cell.locator("label", has_text="loss_mask").click)
    cell.get_by_text("sum of the 4 that are on").wait_for()
    page.wait_for_timeout(3000)
    assert button.inner_text().strip() == "Stop"
    button.click()
    cell.locator(".jupyter-button", has_text=re.compile("Start$")).wait_for()
    run_last(page)
    said = page.locator(".jp-OutputArea-output", has_text="kept 10 size (8, 8) steps")
    said.wait_for()
    steps, chosen = said.inner_text().strip().split("steps ")[1].split(" ")
    assert int(steps) > 0 and chosen == "[4]"
    page.context.close()
    assert not complaints
