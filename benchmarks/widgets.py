"""How fast a widget follows the mouse: a drag step of the RoIAlign lab, and frames on a processor four times slower.

    python benchmarks/widgets.py                    the RoIAlign lab in several states, best of three runs
    python benchmarks/widgets.py --widget nms       another widget, in its prepared states

A step is what the page's own code does: the handler of the pointer's event and the drawing that it asks for. A frame is
all that the page's thread has to do: step, style, layout, painting, the canvases' pixels; here while Chromium itself
makes that thread four times slower. A gap is the time from one frame to the next, in which other threads also fill the
page's pixels and put it on the screen: no shorter than the screen's 16.7 ms. Whole is the share of steps after which
every canvas and number showed the new state; after the others some did so a frame or more later, or the step was too
small to change anything. All by the clock, which a busy neighbour disturbs: each state is measured several times, and
of the runs the one with the shortest 95th percentile counts. What a neighbour disturbs less stands beside it, the
thread's processor time (CPU): a step's mean, not throttled, and the longest throttled frame of all runs, that of
letting go included. (Not undisturbed: Chromium slows down also what a neighbour has held up.)
Goals: 95 of 100 steps in 4 ms, no throttled frame above 33 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
from collections.abc import Sequence
from typing import Any

from timing import Table

from mrcnn_lite.widgets import NAMES
from mrcnn_lite.widgets.page import document
from mrcnn_lite.widgets.source import Options, read, state_of

SLOWER = 4
FRAME = "ProxyMain::BeginMainFrame"  # Chromium's word for all that the page's thread does in one
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
  const root = document.querySelector("[data-ready]");
  const answer = { steps: [], frames: [], gaps: [], whole: [] };
  let last; // when the frame before began
  fire("pointerdown", 0, 0);
  for (let k = 1; k <= steps; k++) {
    await new Promise((done) => setTimeout(done, 4));
    drawing = 0;
    const shown = root.dataset.state; // changes when all canvases and readings show the new state
    const start = performance.now();
    fire("pointermove", 40 * Math.sin(k / 9), 30 * Math.sin(k / 13));
    const handling = performance.now() - start;
    const frame = await new Promise((done) => nextFrame((now) => { // after the widget's own, which asked first
      const begun = performance.now() - drawing;
      if (last) answer.gaps.push(now - last);
      last = now;
      rendered.port2.onmessage = () => done(performance.now() - begun);
      rendered.port1.postMessage(0);
    }));
    answer.steps.push(handling + drawing);
    answer.frames.push(handling + frame);
    answer.whole.push(Number(root.dataset.state !== shown));
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
        print(f"{os.cpu_count()} cores; {busy()}")
        throttled = {f"frame {SLOWER}x slower": 5, "95 % ": 5, "longest": 5, "of CPU": 5, f"gap {SLOWER}x slower": 5}
        throttled |= {"longest ": 5, "whole ": 5}
        table = Table({"state, all in ms": 24, "step": 5, "95 %": 5, "CPU": 5, "whole": 5, **throttled})
        for name, state in states.items():
            page = browser.new_page(viewport={"width": 1000, "height": 950})
            page.set_content(document(widget, state_of(widget, state), Options()))
            page.locator("[data-ready]").wait_for()
            page.evaluate(DRAG, min(options.steps, 60))  # to warm up
            devtools = page.context.new_cdp_session(page)
            devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
            before = processor_ms(devtools)
            quick = [page.evaluate(DRAG, options.steps) for _ in range(options.runs)]
            cpu = (processor_ms(devtools) - before) / (options.runs * options.steps)
            devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
            browser.start_tracing(page=page, categories=["benchmark"])
            slow = [page.evaluate(DRAG, options.steps) for _ in range(options.runs)]
            longest = max(frames_by_processor_ms(browser.stop_tracing()))
            steps, frames, gaps = best(quick, "steps"), best(slow, "frames"), best(slow, "gaps")
            table.row(name, *middle_and_late(steps), cpu, share(quick), *middle_and_late(frames), max(frames), longest,
                      statistics.median(gaps), max(gaps), share(slow))  # fmt: skip
            page.close()
        browser.close()


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def processor_ms(devtools: Any) -> float:
    """What the page's thread has taken so far; another thread's work and waiting for a core are not in it."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return next(1e3 * metric["value"] for metric in metrics if metric["name"] == "TaskDuration")


def frames_by_processor_ms(trace: bytes) -> list[float]:
    """Of every frame in Chromium's trace: the page's thread's processor time, in ms."""
    events = json.loads(trace)["traceEvents"]
    return [event["tdur"] / 1e3 for event in events if event["name"] == FRAME and "tdur" in event]


def busy() -> str:
    """How many cores were at work in the last minute: above 0 the machine has something else to do."""
    return f"{os.getloadavg()[0]:.1f} of them busy before" if hasattr(os, "getloadavg") else "load unknown"


def late(values: list[float]) -> float:
    """The 95th percentile."""
    return sorted(values)[int(0.95 * len(values))]


def middle_and_late(values: list[float]) -> tuple[float, float]:
    return statistics.median(values), late(values)


def share(runs: list[dict[str, list[float]]]) -> str:
    return f"{statistics.mean(whole for run in runs for whole in run['whole']):.0%}"


def best(runs: list[dict[str, list[float]]], part: str) -> list[float]:
    return min((run[part] for run in runs), key=late)


if __name__ == "__main__":
    main()
