"""How fast a widget follows the mouse: a drag step of the RoIAlign lab, and frames on a processor four times slower.

    python benchmarks/widgets.py                    the RoIAlign lab in several states, best of three runs
    python benchmarks/widgets.py --widget nms       another widget, in its prepared states

A step is what the page's own code does: the handler of the pointer's event and the drawing that it asks for. A frame is
all of it until the browser has drawn: step, layout, painting, while Chromium itself makes the processor four times
slower. Both by the clock, which a busy neighbour disturbs: each state is measured several times, and of the runs the
one with the shortest 95th percentile counts. Goals: 95 of 100 steps in 4 ms, no throttled frame above 33 ms.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from collections.abc import Sequence
from typing import Any

from timing import Table

from mrcnn_lite.widgets import NAMES
from mrcnn_lite.widgets.page import document
from mrcnn_lite.widgets.source import Options, read, state_of

SLOWER = 4
LAB_STATES: dict[str, Any] = {
    "as it starts": None,
    "gradient": {"view": "gradient"},
    "trained, P3": "real",
    "trained, P2, 7 x 7 bins": {"feature": "real", "level": "p2", "side": 7, "points": 3},
}
BROWSER = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
DRAG = """async (steps) => {
  const handle = document.querySelector("[data-ready] [data-drag]");
  const { x, y, width, height } = handle.getBoundingClientRect();
  const fire = (type, right, down) => handle.dispatchEvent(new PointerEvent(type, { clientX: x + width / 2 + right,
    clientY: y + height / 2 + down, pointerId: 1, bubbles: true, button: 0 }));
  handle.setPointerCapture = () => {}; // there is no such pointer
  const nextFrame = window.requestAnimationFrame.bind(window);
  let drawing = 0;
  window.requestAnimationFrame = (draw) => nextFrame((now) => {
    const start = performance.now();
    draw(now);
    drawing += performance.now() - start;
  });
  const rendered = new MessageChannel(); // its message comes after the frame was drawn
  const answer = { steps: [], frames: [] };
  fire("pointerdown", 0, 0);
  for (let k = 1; k <= steps; k++) {
    await new Promise((done) => setTimeout(done, 4));
    drawing = 0;
    const start = performance.now();
    fire("pointermove", 40 * Math.sin(k / 9), 30 * Math.sin(k / 13));
    const handling = performance.now() - start;
    const frame = await new Promise((done) => nextFrame(() => { // after the widget's own, which asked first
      const begun = performance.now() - drawing;
      rendered.port2.onmessage = () => done(performance.now() - begun);
      rendered.port1.postMessage(0);
    }));
    answer.steps.push(handling + drawing);
    answer.frames.push(handling + frame);
  }
  fire("pointerup", 0, 0);
  window.requestAnimationFrame = nextFrame;
  return answer;
}"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widget", choices=NAMES, default="roi_align", help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=300, help="of a run; default: %(default)s")
    parser.add_argument("--runs", type=int, default=3, help="of each state; the best counts; default: %(default)s")
    options = parser.parse_args(arguments)
    widget = read(options.widget)
    states = LAB_STATES if options.widget == "roi_align" else {"as it starts": None, **{p: p for p in widget.presets}}
    from playwright.sync_api import sync_playwright  # WHY here: --help needs no browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=BROWSER)
        print(f"Chromium {browser.version}, {options.widget}, {options.steps} steps, best of {options.runs} runs")
        table = Table(
            {"state": 24, "step, ms": 5, "95 %": 5, f"frame {SLOWER}x slower, ms": 5, "95 % ": 5, "longest": 5}
        )
        for name, state in states.items():
            page = browser.new_page(viewport={"width": 1000, "height": 950})
            page.set_content(document(widget, state_of(widget, state), Options()))
            page.locator("[data-ready]").wait_for()
            page.evaluate(DRAG, min(options.steps, 60))  # to warm up
            quick = best([page.evaluate(DRAG, options.steps)["steps"] for _ in range(options.runs)])
            throttle = page.context.new_cdp_session(page)
            throttle.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
            slow = best([page.evaluate(DRAG, options.steps)["frames"] for _ in range(options.runs)])
            table.row(name, statistics.median(quick), late(quick), statistics.median(slow), late(slow), max(slow))
            page.close()
        browser.close()


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def late(values: list[float]) -> float:
    """The 95th percentile."""
    return sorted(values)[int(0.95 * len(values))]


def best(runs: list[list[float]]) -> list[float]:
    return min(runs, key=late)


if __name__ == "__main__":
    main()
