"""What runs JavaScript for the tests of the widgets: node where there is one, otherwise Chromium, otherwise a skip.

`javascript` evaluates arithmetic, `Shown` is a widget on a page in the browser.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mrcnn_lite.widgets.page import figure
from mrcnn_lite.widgets.source import Options, read, state_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NODE = shutil.which("node")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
WAIT = 20_000  # milliseconds: a busy machine is slow
RUN_IN_NODE = """
import * as module from "./module.mjs";
import { readFileSync, writeFileSync } from "node:fs";
const { body, cases } = JSON.parse(readFileSync("cases.json", "utf8"));
const answer = eval(body);
writeFileSync("answers.json", JSON.stringify(cases.map((one) => answer(module, one))));
"""
RUN_IN_CHROMIUM = """
async ({ source, body, cases }) => {
  const module = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const answer = eval(body);
  return JSON.stringify(cases.map((one) => answer(module, one)));
}
"""


@contextmanager
def chromium() -> Iterator[Any]:
    """Playwright's browser, driving Debian's Chromium; a skip that says why where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install -y --no-install-recommends chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def javascript(source: str, body: str, cases: list[Any], host: str = "node") -> list[Any]:
    """`body` is a function of (module, one): what it answers to each case, as JSON brings it over."""
    if host == "node" and NODE:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "module.mjs").write_text(source, encoding="utf-8")
            (Path(folder) / "run.mjs").write_text(RUN_IN_NODE, encoding="utf-8")
            (Path(folder) / "cases.json").write_text(json.dumps({"body": body, "cases": cases}), encoding="utf-8")
            subprocess.run([NODE, "run.mjs"], cwd=folder, check=True)
            return json.loads((Path(folder) / "answers.json").read_text(encoding="utf-8"))
    with chromium() as browser:
        answers = browser.new_page().evaluate(RUN_IN_CHROMIUM, {"source": source, "body": body, "cases": cases})
    return json.loads(answers)


class Shown:
    """A widget on a page of its own, with what its tests ask for."""

    def __init__(self, browser: Any, folder: Path, name: str, width: int = 1000, state: Any = None,
                 **options: str) -> None:  # fmt: skip
        self.name, self.widget, self.complaints = name, read(name), []
        file = folder / f"{name}.html"
        body = figure(self.widget, state_of(self.widget, state), Options(**options).checked())
        file.write_text(f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>{body}</html>')
        self.context = browser.new_context(viewport={"width": width, "height": 900}, has_touch=True, offline=True)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda r: r.url.startswith("data:") or self.complaints.append(f"asked for {r.url}"))
        self.page.goto(file.as_uri())
        self.complaints.remove(f"asked for {file.as_uri()}")
        self.frame = self.page.frame_locator("iframe")
        self.root = self.frame.locator("[data-ready=true]")
        self.root.wait_for()

    def state(self) -> dict[str, Any]:
        return json.loads(self.root.get_attribute("data-state"))

    def changes(self, action: Any) -> dict[str, Any]:
        """What the action changes of the state; fails when nothing changes in time."""
        before = self.state()
        action()
        for _ in range(WAIT // 20):
            after = self.state()
            if after != before:
                return {key: after[key] for key in after if after[key] != before[key]}
            self.page.wait_for_timeout(20)
        pytest.fail(f"{self.name}: the state stays {before}")

    def read(self, name: str) -> str:
        return self.frame.locator(f"[data-read={name}]").inner_text()

    def close(self) -> None:
        self.context.close()
        assert self.complaints == []
