"""Makes what the widgets carry beside their code: recorded data of some, and a picture of each.

python assets/widgets.py run          trains in about ten minutes what training_replay shows, into runs/replay
python assets/widgets.py data         from assets/shapes.safetensors, a held-out picture, configurations, and the run
python assets/widgets.py pictures     by Chromium; widgets' names after it make only theirs
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mrcnn_lite.files import atomic
from mrcnn_lite.widgets import NAMES
from mrcnn_lite.widgets.page import document
from mrcnn_lite.widgets.source import HERE as WIDGETS
from mrcnn_lite.widgets.source import Options, read, state_of, text

HERE = Path(__file__).parent
SHOWN = 4  # of the held-out shapes
WIDTH = 940  # pixels of the pictures
COLOURS = 34  # in a picture: a notebook holds it twice
FEWER_COLOURS = {"training_replay": 30}  # its recorded run is large
ARCHITECTURES = ("r50-c4", "r50-fpn", "r101-fpn", "x101-fpn")
BROWSER = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]

# The run that training_replay shows: the demo's model, pictures and settings, in steps instead of minutes.
RUN = HERE.parent / "runs" / "replay"
KEPT = (0, 5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 100, 120, 140, 160, 180, 200, 225, 250, 275, 300, 325, 350, 375, 400)
SEED = 0


def untrained(cached: bool = True) -> tuple[Any, Any]:
    """The model of that run before its first step, and the pictures that it is trained on."""
    import torch

    from mrcnn_lite import Config, build_model, demo, open_dataset

    pictures = open_dataset("shapes", split="train", length=demo.TRAIN_PICTURES, cached=cached)
    torch.manual_seed(SEED)
    return build_model(Config.tiny(num_classes=len(pictures.class_names), train__steps=KEPT[-1])), pictures


def train_with_checkpoints() -> None:
    """The demo's training in one process; in `RUN` its metrics.csv, and the weights after each of `KEPT` steps.

    What is kept is what the model has when a step begins: a hook of torch on its forward pass, once a step.
    """
    import torch

    from mrcnn_lite import save
    from mrcnn_lite.training import train

    model, pictures = untrained()
    done = 0

    def keep(*_: Any) -> None:
        nonlocal done
        if done in KEPT:
            RUN.mkdir(parents=True, exist_ok=True)
            save(model, RUN / f"step{done:04}.safetensors")
        done += 1

    hook = model.register_forward_pre_hook(keep)
    history = train(model, pictures, output=RUN, overwrite=True, device="cpu", threads=1, seed=SEED)
    if history.interrupted:
        raise SystemExit("stopped before its end: begin anew")
    hook.remove()
    save(model, RUN / f"step{history.step:04}.safetensors")
    # WHY without the widgets: they are what is made of the run, not what made it.
    log = ["git", "-C", str(HERE), "log", "-1", "--format=%h", "--", ":/mrcnn_lite", ":!/mrcnn_lite/widgets"]
    made = {
        "command": "python assets/widgets.py run",
        "commit": subprocess.run(log, capture_output=True, text=True, check=True).stdout.strip(),
        "torch": torch.__version__,
        "seconds": round(history.seconds),
        "seed": SEED,
        "lr": model.config.train.lr,
        "batch_size": model.config.train.batch_size,
    }
    with atomic(RUN / "made.json") as file:
        file.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def features() -> dict[str, Any]:
    """Of the trained model on a held-out picture."""
    from mrcnn_lite import load, open_dataset
    from mrcnn_lite.widgets.recording import recorded_features

    image, target = open_dataset("shapes", split="val", length=SHOWN + 1, progress=False)[SHOWN]
    return recorded_features(load(HERE / "shapes.safetensors").eval(), image, target["masks"].any(0))


def architecture() -> dict[str, Any]:
    """Of four configurations of the paper."""
    from mrcnn_lite.widgets.recording import recorded_architectures

    return recorded_architectures(ARCHITECTURES)


def detections() -> dict[str, Any]:
    """The way of the best detections of the trained model on the same picture."""
    from mrcnn_lite import load, open_dataset
    from mrcnn_lite.widgets.recording import recorded_detections

    image, _ = open_dataset("shapes", split="val", length=SHOWN + 1, progress=False)[SHOWN]
    return recorded_detections(load(HERE / "shapes.safetensors").eval(), image)


def training() -> dict[str, Any]:
    """The run of `train_with_checkpoints` on the same picture."""
    from mrcnn_lite import load, open_dataset
    from mrcnn_lite.training.tables import read_csv
    from mrcnn_lite.widgets.recording import recorded_training

    if not (RUN / "made.json").exists():
        raise SystemExit(f"there is no finished run in {RUN}: python assets/widgets.py run")
    rows = read_csv(RUN / "metrics.csv")
    losses = {name: [float(row[name]) for row in rows] for name in rows[0] if name.startswith("loss")}
    checkpoints = [(step, load(RUN / f"step{step:04}.safetensors")) for step in KEPT]
    image, target = open_dataset("shapes", split="val", length=SHOWN + 1, progress=False)[SHOWN]
    made = json.loads((RUN / "made.json").read_text(encoding="utf-8"))
    return {"made": made, **recorded_training(checkpoints, losses, image, target)}


RECORDED = {
    "roi_align": features,
    "architecture": architecture,
    "xray": detections,
    "training_replay": training,
}  # WHY functions: pictures are taken without torch


def with_few_colours(sheet: Image.Image, count: int) -> Image.Image:
    """Of so many colours: the light theme's, also pale, then one by one what the others stand in for worst.

    WHY not Pillow's: it takes the mean of colours that lie together, and a ramp of greys turns brown and blue.
    """
    light = text("shared/frame.js").split("light: {")[1].split("}")[0]
    own = np.array([list(bytes.fromhex(colour)) for colour in re.findall('"#(......)"', light)])
    palette = np.concatenate([own, 255 - (255 - own[-5:]) * 45 // 100])  # blue to orange
    found, which, pixels = np.unique(np.reshape(sheet, (-1, 3)), axis=0, return_inverse=True, return_counts=True)
    off = ((found[:, None].astype(int) - palette) ** 2).sum(2)  # [colours, palette]
    while len(palette) < count:
        worst = found[(off.min(1) * pixels).argmax()].astype(int)
        palette = np.concatenate([palette, worst[None]])
        off = np.concatenate([off, ((found - worst) ** 2).sum(1, keepdims=True)], axis=1)
    picture = Image.fromarray(off.argmin(1)[which].reshape(sheet.height, sheet.width).astype(np.uint8)).convert("P")
    picture.putpalette(palette.astype(np.uint8).tobytes())
    return picture


def take_pictures(names: list[str]) -> None:
    """`<name>.png` of each widget in its default state; of the self-test, what is to be done where no script runs."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=BROWSER)
        for name in names:
            page = browser.new_page(viewport={"width": WIDTH, "height": 100})
            widget = read(name)
            start = state_of(widget, {"works": False} if name == "self_test" else None)
            page.set_content(document(widget, start, Options(theme="light")))
            page.locator("[data-ready]").wait_for()
            sheet = Image.open(io.BytesIO(page.locator("[data-ready]").screenshot())).convert("RGB")
            with atomic(WIDGETS / f"{name}.png") as file:
                few = with_few_colours(sheet, FEWER_COLOURS.get(name, COLOURS))
                few.save(file, format="PNG", optimize=True)
            print(f"{name}.png: {sheet.width} x {sheet.height}, {(WIDGETS / f'{name}.png').stat().st_size} bytes")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "data", "pictures"])
    parser.add_argument("names", nargs="*", help="of widgets; all by default")
    options = parser.parse_args()
    if options.what == "run":
        return train_with_checkpoints()
    if options.what == "pictures":
        return take_pictures(options.names or list(NAMES))
    for name in options.names or RECORDED:
        with atomic(WIDGETS / f"{name}_data.json") as file:
            file.write_text(json.dumps(RECORDED[name](), separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
