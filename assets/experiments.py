"""The notebooks' longer experiments, run with several seeds; the notebooks run one seed with the same functions.

python assets/experiments.py mask_losses        writes assets/mask_losses.json: Table 2b in miniature (chapter 06)
python assets/experiments.py counting           writes assets/counting.json: parts against instances (chapter 01)

Read next: notebooks/06_mask_branch.py, which shows these functions and their results; counting.py for chapter 01.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import counting
import torch
from torch import Tensor

import mrcnn_lite as m
from mrcnn_lite.files import atomic
from mrcnn_lite.mask_head import MASK_LOSSES, MaskFCN, crop_masks, paste
from mrcnn_lite.model import rois_of

HERE = Path(__file__).parent
SEEDS = range(5)
TRAIN, TUNE, TEST = ("train", 0, 300), ("train", 300, 400), ("val", 0, 100)  # split, first and last picture
LEARNING_RATES = (3e-3, 1e-2, 3e-2)
STEPS = 240
READINGS = {"sigmoid": ("fair",), "softmax": ("fair", "bare", "any")}  # see `mask_ious`


class Crops(NamedTuple):
    """What a mask head is trained on: every true object of some pictures, R in all, seen by a frozen trunk."""

    features: Tensor  # [R, C, S, S]: RoIAlign on the true box
    labels: Tensor  # [R] in 1..K
    targets: Tensor  # [R, M, M] in 0..1: the mask inside the box
    boxes: Tensor  # [R, 4]
    masks: Tensor  # bool [R, H, W]


@torch.no_grad()
def crops_of(model: m.MaskRCNN, split: str, first: int, last: int) -> Crops:
    """The objects of the pictures first..last of the heaps of shapes."""
    shapes = m.open_dataset("shapes-overlap", split=split, length=last, progress=False)
    head, parts = model.heads["mask"], []
    for start in range(first, last, 10):
        images, targets = zip(*[shapes[i] for i in range(start, min(start + 10, last))])
        batch, objects = model.prepare(images, targets)
        rois = rois_of([target["boxes"] for target in objects])
        masks = torch.cat([target["masks"] for target in objects])
        inside = crop_masks(masks, torch.arange(len(masks)), rois[:, 1:], head.mask_size)
        labels = torch.cat([target["labels"] for target in objects])
        parts.append((head.pooler(model.backbone(batch.images), rois), labels, inside, rois[:, 1:], masks.bool()))
    return Crops(*[torch.cat(column) for column in zip(*parts)])


def train(loss: str, crops: Crops, num_classes: int, lr: float, steps: int, seed: int) -> MaskFCN:
    """A fresh mask head, trained on the crops with one of `MASK_LOSSES`; the rest is the same for both."""
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)  # both losses see the same crops in the same order
    kind, channels = MASK_LOSSES[loss], crops.features.shape[1]
    head = MaskFCN(channels, (channels, channels), channels, num_classes + kind.extra_masks)
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        some = torch.randint(len(crops.labels), (32,), generator=order)
        logits, targets = head(crops.features[some]), crops.targets[some]
        mean = kind.loss(logits, crops.labels[some], targets) / targets.numel()
        optimizer.zero_grad()
        mean.backward()
        optimizer.step()
        schedule.step()
    return head.eval()


@torch.no_grad()
def mask_ious(head: MaskFCN, loss: str, crops: Crops, reading: str = "fair") -> Tensor:
    """IoU of each object's pasted mask with the truth, [R]; the class k is given, as the box branch would.

    reading: when a pixel is the object's. "fair": p_k > p_background, for both losses. For the softmax also "bare":
    p_k > 0.5, which it can miss by having rivals; and "any": any class is likelier than the background, which forgives
    a pixel that takes the object for another class.
    """
    logits = torch.cat([head(part) for part in crops.features.split(256)])
    if reading == "fair":
        prob = MASK_LOSSES[loss].probability(logits, crops.labels)
    else:
        of_class = logits.softmax(1)  # [R, K + 1, M, M], background first
        prob = 1 - of_class[:, 0] if reading == "any" else of_class[torch.arange(len(logits)), crops.labels]
    found = paste(prob, crops.boxes, crops.masks.shape[1:])
    both, either = (found & crops.masks).sum((1, 2)), (found | crops.masks).sum((1, 2))
    return both / either.clamp(min=1)


def mask_losses() -> dict[str, Any]:
    """Each loss gets the learning rate that suits it best on the pictures for tuning; both get as many steps."""
    model = m.load(HERE / "shapes.safetensors")
    num_classes = len(model.class_names) - 1
    training, tuning, test = (crops_of(model, *part) for part in (TRAIN, TUNE, TEST))
    tuned: list[dict[str, Any]] = []

    def tune(loss: str, lr: float, steps: int) -> None:
        head = train(loss, training, num_classes, lr, steps, seed=100)
        iou = mask_ious(head, loss, tuning).mean().item()
        tuned.append({"loss": loss, "steps": steps, "lr": lr, "mean_iou": round(iou, 4)})
        print(tuned[-1], flush=True)

    best: dict[str, float] = {}
    for loss in MASK_LOSSES:
        for lr in LEARNING_RATES:
            tune(loss, lr, STEPS)
        best[loss] = max((row for row in tuned if row["loss"] == loss), key=lambda row: row["mean_iou"])["lr"]
        tune(loss, best[loss], 3 * STEPS)  # does it still improve?
    runs = []
    for seed in SEEDS:
        for loss in MASK_LOSSES:
            head = train(loss, training, num_classes, best[loss], STEPS, seed)
            run = {"seed": seed, "loss": loss, "lr": best[loss], "steps": STEPS}
            for reading in READINGS[loss]:
                run[reading] = round(mask_ious(head, loss, test, reading).mean().item(), 4)
            runs.append(run)
            print(run, flush=True)
    return {"objects": {"training": len(training.labels), "test": len(test.labels)}, "tuning": tuned, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    experiments = {"mask_losses": mask_losses, "counting": counting.counting}
    parser.add_argument("name", choices=list(experiments))
    options = parser.parse_args()
    torch.set_num_threads(1)  # the same sums on every machine with the same processor
    start = time.monotonic()
    results = experiments[options.name]()
    git = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    made = {
        "command": f"python assets/experiments.py {options.name}",
        "commit": subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip(),
        "torch": torch.__version__,
        "seconds": round(time.monotonic() - start),
    }
    with atomic(HERE / f"{options.name}.json") as temporary:
        Path(temporary).write_text(json.dumps(made | results) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
