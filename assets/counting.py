"""Chapter 01's experiment: a network names every pixel; can its answer count? Beside it, Mask R-CNN on the same scenes.

python assets/experiments.py counting       writes assets/counting.json

Everything is chosen on scenes of drawing seed 0 and reported on scenes of drawing seed 1. Letters: N scenes, G objects,
K classes, P parts or masks, H W size. Read next: notebooks/01_four_tasks.py, which shows functions and results.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mrcnn_lite as m
from mrcnn_lite import boxes
from mrcnn_lite.data import shapes as drawn
from mrcnn_lite.data.instances import id_map_boxes, split_pieces

HERE = Path(__file__).parent
SEEDS = range(5)
TRAIN, TUNE, TEST = (0, 0, 500), (0, 500, 600), (1, 0, 400)  # seed of the drawing, first and last scene
LEARNING_RATES = (3e-3, 1e-2, 3e-2)
STEPS, BATCH = 300, 16
LEAST_PIXELS = (1, 10, 30, 100)  # a smaller part is a speck, and not counted
SCORES = (0.3, 0.5, 0.7, 0.9)  # a detection below is not counted
KIND = "circles-and-crosses"
drawn.KINDS[KIND] = dataclasses.replace(  # large, and in clearly different colours: to be learnt while one waits
    drawn.KINDS["overlap"],
    **{"classes": ("circle", "cross"), "objects": (2, 5), "radius": (15, 25), "stroke": (0.26, 0.34)},
    **{"squeeze": (0.9, 1.0), "near_last": 0.4, "contrast": 0.35},  # four in ten lie near the one before
)


class Scenes(NamedTuple):
    pictures: Tensor  # uint8 [N, 3, H, W]
    ids: Tensor  # int64 [N, H, W]: 0 background, object g = 1..G
    labels: list[Tensor]  # of each scene, int64 [G] in 1..K
    classes: Tensor  # int64 [N, H, W]: 0 background, 1..K
    overlap: Tensor  # [N]: the largest IoU of two objects' boxes


def scenes(seed: int, first: int, last: int, kind: str = KIND) -> Scenes:
    """Scenes first..last of a seed of the drawing, 128 x 128 pixels. Classes are numbered as in `class_names`."""
    numbers = torch.zeros(len(drawn.CLASS_NAMES), dtype=torch.int64)
    for k, name in enumerate(class_names(kind)):
        numbers[drawn.CLASS_NAMES.index(name)] = k
    columns: list[list[Tensor]] = [[], [], [], [], []]
    for index in range(first, last):
        picture, ids, labels, _ = drawn.draw(index, kind=kind, seed=seed)
        of_object = numbers[torch.from_numpy(labels).long()]
        around = torch.from_numpy(id_map_boxes(ids, len(labels))).double()
        pairs = boxes.iou(around, around).triu(1)
        whole = torch.from_numpy(ids).long()
        of_pixel = torch.cat([torch.zeros(1, dtype=torch.int64), of_object])[whole]
        row = (torch.from_numpy(picture).permute(2, 0, 1), whole, of_object, of_pixel, pairs.max())
        for column, value in zip(columns, row):
            column.append(value)
    pictures, id_maps, all_labels, classes, overlap = columns
    return Scenes(torch.stack(pictures), torch.stack(id_maps), all_labels, torch.stack(classes), torch.stack(overlap))


def class_names(kind: str = KIND) -> tuple[str, ...]:
    return ("background", *drawn.KINDS[kind].classes)


def convolution(channels: int, width: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(channels, width, 3, stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(width), nn.ReLU())


def twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")


class FCN(nn.Module):
    """Pictures [N, 3, H, W] in 0..1 -> logits [N, K + 1, H, W]: down to an eighth of the size, and up again."""

    def __init__(self, num_classes: int, w: int = 12) -> None:
        super().__init__()
        self.at_2, self.at_4 = convolution(3, w), convolution(w, 2 * w, stride=2)
        wide = (convolution(4 * w, 4 * w, dilation=d) for d in (2, 4))  # sees further without shrinking further
        self.at_8 = nn.Sequential(convolution(2 * w, 4 * w, stride=2), *wide)
        self.join = convolution(6 * w, 2 * w)
        self.logits = nn.Conv2d(3 * w, num_classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        half = self.at_2(F.avg_pool2d(x - 0.5, 2))  # [N, w, H/2, W/2]
        quarter = self.at_4(half)  # [N, 2w, H/4, W/4]
        eighth = self.at_8(quarter)  # [N, 4w, H/8, W/8]
        quarter = self.join(torch.cat([twice(eighth), quarter], dim=1))  # [N, 2w, H/4, W/4]
        return twice(self.logits(torch.cat([twice(quarter), half], dim=1)))  # [N, K + 1, H, W]


def train(shown: Scenes, num_classes: int, lr: float, seed: int) -> FCN:
    """A fresh FCN, trained for `STEPS` steps with a softmax over the classes at each pixel."""
    torch.manual_seed(seed)
    fcn = FCN(num_classes)
    optimizer = torch.optim.AdamW(fcn.parameters(), lr=lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=STEPS, pct_start=0.15)
    for step in range(STEPS):
        some = torch.randint(len(shown.pictures), (BATCH,))
        pictures, classes = shown.pictures[some] / 255, shown.classes[some]
        if step & 1:  # a scene in a mirror is a scene
            pictures, classes = pictures.flip(3), classes.flip(2)
        if step & 2:
            pictures, classes = pictures.flip(2), classes.flip(1)
        if step & 4:
            pictures, classes = pictures.transpose(2, 3).contiguous(), classes.transpose(1, 2)
        loss = F.cross_entropy(fcn(pictures), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    return fcn.eval()


@torch.no_grad()
def predict(fcn: FCN, pictures: Tensor) -> Tensor:
    """Pictures uint8 [N, 3, H, W] -> the likeliest class of each pixel, [N, H, W]."""
    return torch.cat([fcn(part / 255).argmax(1) for part in pictures.split(50)])


def class_ious(found: Tensor, wanted: Tensor, num_classes: int) -> Tensor:
    """Two maps of classes, [N, H, W] -> IoU of each class, the background first, over all their pixels."""
    both = [((found == k) & (wanted == k)).sum() / ((found == k) | (wanted == k)).sum() for k in range(num_classes)]
    return torch.stack(both)


class Instances(NamedTuple):
    """What somebody takes for the objects of a scene."""

    masks: Tensor  # bool [P, H, W]
    labels: Tensor  # int64 [P] in 1..K


def parts_of(classes: Tensor, least: int) -> Instances:
    """The connected parts of each class of a map [H, W], those of fewer pixels than `least` left out."""
    masks, labels = [torch.zeros(0, *classes.shape, dtype=torch.bool)], []
    for k in classes.unique().tolist():
        if k > 0:
            pieces = torch.from_numpy(split_pieces(classes.numpy() == k)[0])
            large = (pieces.flatten().bincount()[1:] >= least).nonzero().flatten() + 1
            masks.append(pieces == large[:, None, None])
            labels += [k] * len(large)
    return Instances(torch.cat(masks), torch.tensor(labels, dtype=torch.int64))


def detected(model: m.MaskRCNN, pictures: Tensor, score: float) -> list[Instances]:
    """Mask R-CNN's masks of a score above `score`; of two boxes on one object (IoU above 0.5) the surer."""
    numbers = {model.class_names.index(name): k for k, name in enumerate(class_names())}
    answers = []
    for part in (pictures / 255).split(10):
        for one in model.detect(list(part)):
            keep = boxes.batched_nms(one["boxes"], one["scores"], torch.zeros_like(one["labels"]), 0.5)
            keep = keep[one["scores"][keep] > score]
            labels = [numbers.get(label, 0) for label in one["labels"][keep].tolist()]  # 0: a shape not drawn here
            answers.append(Instances(one["masks"][keep], torch.tensor(labels, dtype=torch.int64)))
    return answers


def judged(answers: list[Instances], truth: Scenes) -> dict[str, list[int]]:
    """Of each scene: how many objects the answer counts, and how many have a mask of their own in it.

    That is one of the right class with an IoU above 0.5, and no two objects can share it: they have no pixel in common.
    """
    count, own = [], []
    for answer, ids, labels in zip(answers, truth.ids, truth.labels):
        masks = (ids == torch.arange(1, len(labels) + 1)[:, None, None]).flatten(1).float()  # [G, H * W]
        theirs = answer.masks.flatten(1).float()  # [P, H * W]
        both = masks @ theirs.T  # [G, P]
        iou = both / (masks.sum(1)[:, None] + theirs.sum(1) - both)
        count.append(len(theirs))
        own.append(int(((iou > 0.5) & (labels[:, None] == answer.labels)).any(1).sum()))
    return {"count": count, "own": own}


def miscounted(count: list[int], truth: Scenes) -> float:
    """Mean of |counted - there| over the scenes."""
    return float(np.mean([abs(n - len(labels)) for n, labels in zip(count, truth.labels)]))


def mean_ious(found: Tensor, truth: Scenes, num_classes: int) -> dict[str, float]:
    """On the scenes in which no two boxes overlap, and on all."""
    apart = truth.overlap == 0
    figures = {"apart": class_ious(found[apart], truth.classes[apart], num_classes).mean().item()}
    return figures | {"all": class_ious(found, truth.classes, num_classes).mean().item()}


def counting() -> dict[str, Any]:
    """Learning rate, smallest part and score are chosen on TUNE; five seeds are reported on TEST."""
    model = m.load(HERE / "shapes.safetensors")
    training, tuning, num_classes = scenes(*TRAIN), scenes(*TUNE), len(class_names())
    tuned: dict[str, list[dict[str, float]]] = {"lr": [], "least": [], "score": []}

    def note(what: str, **row: float) -> None:
        tuned[what].append({key: round(value, 4) for key, value in row.items()})
        print(what, tuned[what][-1], flush=True)

    maps = {}
    for lr in LEARNING_RATES:
        maps[lr] = predict(train(training, num_classes, lr, seed=100), tuning.pictures)
        note("lr", lr=lr, mean_iou=mean_ious(maps[lr], tuning, num_classes)["all"])
    lr = max(tuned["lr"], key=lambda row: row["mean_iou"])["lr"]
    for least in LEAST_PIXELS:
        answers = [parts_of(one, least) for one in maps[lr]]
        note("least", least=least, miscounted=miscounted(judged(answers, tuning)["count"], tuning))
    for score in SCORES:
        answers = detected(model, tuning.pictures, score)
        note("score", score=score, miscounted=miscounted(judged(answers, tuning)["count"], tuning))
    least = int(min(tuned["least"], key=lambda row: row["miscounted"])["least"])
    score = min(tuned["score"], key=lambda row: row["miscounted"])["score"]

    six, held_out = scenes(*TRAIN, kind="std"), scenes(*TUNE, kind="std")  # would the package's own scenes do?
    six_classes = len(class_names("std"))
    found = predict(train(six, six_classes, lr, seed=100), held_out.pictures)
    six_shapes = mean_ious(found, held_out, six_classes)
    print("six shapes", six_shapes, flush=True)

    test = scenes(*TEST)
    answers = {"true map": [parts_of(one, least) for one in test.classes]}
    answers["Mask R-CNN"] = detected(model, test.pictures, score)
    runs = []
    for seed in SEEDS:
        found = predict(train(training, num_classes, lr, seed), test.pictures)
        ious = {key: round(value, 4) for key, value in mean_ious(found, test, num_classes).items()}
        runs.append({"seed": seed, "mean_iou": ious} | judged([parts_of(one, least) for one in found], test))
        print(seed, ious, miscounted(runs[-1]["count"], test), flush=True)
    return {
        "tuning": tuned,
        "chosen": {"lr": lr, "least": least, "score": score},
        "six_shapes": {key: round(value, 4) for key, value in six_shapes.items()},
        "objects": [len(labels) for labels in test.labels],
        **{name: judged(answer, test) for name, answer in answers.items()},
        "runs": runs,
    }
