"""The recorded runs of chapter 08: a healthy one, four with a planted bug each, and runs with and without warm-up.

python assets/broken_runs.py broken_runs      writes assets/broken_runs.json
python assets/broken_runs.py warmup           writes assets/warmup.json

Every run starts from the trunk of assets/shapes.safetensors, as the paper starts from ImageNet's, with a new RPN and
new heads. SPOILER: the bugs stand below under their names; chapter 08 asks for them first.
Read next: notebooks/08_training.py.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import mrcnn_lite as m
from mrcnn_lite.coco_results import encode_mask
from mrcnn_lite.config import Training
from mrcnn_lite.files import atomic
from mrcnn_lite.mask_head import MaskLoss, sigmoid_loss, sigmoid_probability
from mrcnn_lite.matching import SampledRoIs
from mrcnn_lite.training.schedule import learning_rate, make_optimizer, take_step

HERE = Path(__file__).parent
PICTURES, STEPS, SEEDS = 400, 240, range(5)
TEST, SHOWN = 60, 3  # held-out pictures that are evaluated, and whose detections are kept
WARMUP_STEPS = 60
SGD = Training(optimizer="sgd", lr=0.02, steps=WARMUP_STEPS, warmup_steps=20, batch_size=8)
Pictures = list[tuple[Tensor, dict[str, Tensor]]]


def new_model(seed: int) -> m.MaskRCNN:
    """The tiny network with a trained trunk; RPN and heads are new."""
    trained = m.load(HERE / "shapes.safetensors")
    torch.manual_seed(seed)
    model = m.build_model(trained.config)
    model.backbone.load_state_dict(trained.backbone.state_dict())
    model.class_names = trained.class_names
    return model


def steps_of(
    model: m.MaskRCNN, pictures: Pictures, settings: Training, steps: int, seed: int
) -> list[dict[str, float]]:
    """Train in place; the losses of each step, up to the first that is not finite."""
    draw = torch.Generator().manual_seed(seed)
    optimizer = make_optimizer(model, settings)
    scaler = torch.amp.GradScaler("cuda", enabled=False)
    model.train()
    rows: list[dict[str, float]] = []
    for step in range(steps):
        chosen = torch.randint(len(pictures), (settings.batch_size,), generator=draw).tolist()
        images, targets = zip(*[pictures[i] for i in chosen])
        losses = model.losses(images, targets, seeds=[1000 * step + n for n in range(len(images))])
        rows.append({name: round(loss.item(), 4) for name, loss in losses.items()})
        if not all(map(math.isfinite, rows[-1].values())):
            break
        sum(losses.values()).backward()
        take_step(optimizer, learning_rate(settings, step, step / steps), settings.grad_clip, scaler)
    model.eval()
    return rows


# ---- the bugs: each changes the model or the pictures before training, and may change the model after it -------------


def healthy(model: m.MaskRCNN, pictures: Pictures) -> Pictures:
    return pictures


def box_order(model: m.MaskRCNN, pictures: Pictures) -> Pictures:
    """y1, x1, y2, x2 instead of x1, y1, x2, y2."""
    return [(image, dict(target, boxes=target["boxes"][:, [1, 0, 3, 2]])) for image, target in pictures]


def wrong_class(model: m.MaskRCNN, pictures: Pictures) -> Pictures:
    """The mask loss trains the plane of the next class."""

    def loss(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        return sigmoid_loss(logits, labels % logits.shape[1] + 1, targets)

    model.heads["mask"].mask_loss = MaskLoss(loss, sigmoid_probability, 0)
    return pictures


def no_background(model: m.MaskRCNN, pictures: Pictures) -> Pictures:
    """Only positive RoIs are sampled."""
    sample = model.sample

    def positives_only(*arguments: Any) -> SampledRoIs:
        every = sample(*arguments)
        kept = [part[every.positive] for part in every[:4]]
        return SampledRoIs(*kept, torch.arange(len(every.positive)))

    model.sample = positives_only
    return pictures


def half_pixel_in_use(model: m.MaskRCNN) -> None:
    """Trained with the half pixel, used without it: as where another program's RoIAlign takes over."""
    for head in model.heads.values():
        head.pooler.options["half_pixel"] = False


BUGS: dict[str, Callable[[m.MaskRCNN, Pictures], Pictures]] = {
    "healthy": healthy,
    "A": no_background,
    "B": wrong_class,
    "C": box_order,
    "D": healthy,  # and `half_pixel_in_use` afterwards
}


def judged(model: m.MaskRCNN) -> dict[str, Any]:
    """Figures on held-out pictures, and what is seen in the first of them."""
    held_out = m.open_dataset("shapes", split="val", length=TEST, progress=False)
    results = m.evaluate(model, held_out, progress=False)
    seen = []
    for i in range(SHOWN):
        (found,) = model.detect([held_out[i][0]])
        few = {key: value[found["scores"] >= 0.5] for key, value in found.items()}
        masks = [encode_mask(mask)["counts"] for mask in few["masks"]]
        boxes, scores = few["boxes"].round(decimals=1).tolist(), few["scores"].round(decimals=2).tolist()
        seen.append({"boxes": boxes, "labels": few["labels"].tolist(), "scores": scores, "masks": masks})
    figures = {
        f"{task} {name}": round(getattr(results, task)[name], 3)
        for task in ("box", "mask")
        for name in ("AP", "AP50", "AP75")
    }
    return figures | {"detections a picture": round(results.detections / TEST, 1), "seen": seen}


def broken_runs() -> dict[str, Any]:
    shapes = m.open_dataset("shapes", length=PICTURES, progress=False)
    pictures = [shapes[i] for i in range(PICTURES)]
    runs: dict[str, Any] = {}
    trained: dict[str, Tensor] = {}  # of the healthy run, which is the first
    for letter, plant in BUGS.items():
        model = new_model(seed=0)
        model.check_inputs = False
        settings = model.config.train
        if letter == "D":  # the same training: not done twice
            model.load_state_dict(trained)
            rows = runs["healthy"]["losses"]
            half_pixel_in_use(model)
        else:
            rows = steps_of(model, plant(model, pictures), settings, STEPS, seed=0)
        if letter == "healthy":
            trained = model.state_dict()
        runs[letter] = {"losses": rows} | judged(model.eval())
        print(letter, {key: value for key, value in runs[letter].items() if key not in ("losses", "seen")}, flush=True)
    for run in runs.values():  # one list a loss is a quarter of the size
        run["losses"] = {name: [round(row[name], 3) for row in run["losses"]] for name in run["losses"][0]}
    return {"steps": STEPS, "pictures": PICTURES, "runs": runs}


def warmup() -> dict[str, Any]:
    """The paper's optimiser (SGD, momentum, no clipping) at its learning rate, with and without warm-up."""
    shapes = m.open_dataset("shapes", length=PICTURES, progress=False)
    pictures = [shapes[i] for i in range(PICTURES)]
    runs = []
    for seed in SEEDS:
        for steps in (SGD.warmup_steps, 0):
            settings = Training(**{**vars(SGD), "warmup_steps": steps})
            rows = steps_of(new_model(seed), pictures, settings, WARMUP_STEPS, seed)
            total = [round(sum(row.values()), 3) for row in rows]
            runs.append({"seed": seed, "warmup_steps": steps, "loss": [v if math.isfinite(v) else None for v in total]})
            print(seed, steps, "highest", max(total), "last ten", sum(total[-10:]) / 10, flush=True)
    return {"lr": SGD.lr, "steps": WARMUP_STEPS, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    experiments = {"broken_runs": broken_runs, "warmup": warmup}
    parser.add_argument("name", choices=list(experiments))
    options = parser.parse_args()
    torch.set_num_threads(1)  # the same sums on every machine with the same processor
    start = time.monotonic()
    results = experiments[options.name]()
    git = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    made = {
        "command": f"python assets/broken_runs.py {options.name}",
        "commit": subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip(),
        "torch": torch.__version__,
        "seconds": round(time.monotonic() - start),
    }
    with atomic(HERE / f"{options.name}.json") as temporary:
        Path(temporary).write_text(json.dumps(made | results) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
