"""The demo: train the tiny preset on shapes for six minutes on whatever the machine has, evaluate it, draw its masks.

`python3 course.py demo` calls this file. With `--peer torchvision` the same script trains torchvision's own Mask R-CNN
of the same size for the same time, which is how the two are compared. Read next: `training/run.py`, `evaluation.py`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import nn

from .build import build_model
from .config import Config
from .data import open_dataset
from .devices import choose_device
from .evaluation import evaluate
from .torchvision_models import torchvision_peer
from .training import train
from .visualize import side_by_side

TRAIN_PICTURES, VAL_PICTURES, SHOWN = 8000, 200, 12
CONFIGS = {"shapes": "tiny", "nuclei": "tiny-dense"}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="course.py demo", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=6.0, help="of training; default %(default)s")
    parser.add_argument("--data", default="shapes", choices=list(CONFIGS), help="default %(default)s, drawn here")
    parser.add_argument("--peer", choices=["torchvision"], help="train torchvision's model of the same size instead")
    parser.add_argument("--lr", type=float, help="learning rate; default: the preset's")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and sampling; default %(default)s")
    parser.add_argument(
        "--processes", default="auto", help="that share each batch; default: one a CPU core, or one GPU"
    )
    parser.add_argument("--output", type=Path, help="folder for weights, logs and the picture; default runs/demo…")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Train, evaluate, draw; the last line printed is the result. -> exit status."""
    options = parser().parse_args(arguments)
    kind = options.peer or "ours"
    prefix = "demo" if options.data == "shapes" else f"demo-{options.data}"
    output = options.output or Path("runs") / f"{prefix}-{kind}-seed{options.seed}"
    processes = options.processes if options.processes == "auto" else int(options.processes)

    if options.data == "shapes":
        training = open_dataset("shapes", split="train", length=TRAIN_PICTURES)
        held_out = open_dataset("shapes", split="val", length=VAL_PICTURES)
    else:
        training, held_out = open_dataset(options.data, split="train"), open_dataset(options.data, split="val")
    torch.manual_seed(options.seed)
    config = Config.named(CONFIGS[options.data]).replace(num_classes=len(training.class_names))
    config = config if options.lr is None else config.replace(train__lr=options.lr)
    model: nn.Module = build_model(config) if options.peer is None else torchvision_peer(config)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    device = choose_device(None)
    print(f"{kind}: Mask R-CNN with {parameters:,} parameters, {options.minutes:g} minutes on {device}", flush=True)

    history = train(
        model,
        training,
        output=output,
        overwrite=True,
        settings=config.train,
        minutes=options.minutes,
        processes=processes,
        seed=options.seed,
    )
    if history.interrupted:
        return 130
    results = evaluate(model.eval(), held_out)
    print(results)

    pairs = [held_out[i] for i in range(SHOWN)]
    detections = []
    for image, _ in pairs:  # one by one: torchvision's model and ours take the same list of images
        with torch.no_grad():
            found = model([image.to(device)])[0]
        sure = found["scores"] > 0.5
        found = {name: values[sure].cpu() for name, values in found.items()}
        if found["masks"].dim() == 4:  # torchvision's: [N, 1, H, W] of probabilities
            found["masks"] = found["masks"][:, 0] > 0.5
        detections.append(found)
    picture = output / "predictions.png"
    images, truths = [image for image, _ in pairs], [target for _, target in pairs]
    side_by_side(
        images,
        detections,
        truths,
        training.class_names,
        picture,
        title=f"{options.data} it has never seen",
        labels=len(training.class_names) > 2,  # one class: its name would only hide the objects
    )
    mask, box = results.mask or {}, results.box or {}
    print(
        f"mask AP {mask['AP']:.3f}  box AP {box['AP']:.3f}  mask AP50 {mask['AP50']:.3f}  AP75 {mask['AP75']:.3f}  "
        f"{history.step} steps in {history.seconds / 60:.1f} min  {picture}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
