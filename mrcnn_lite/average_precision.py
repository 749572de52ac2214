"""COCO's average precision, written out to be read: overlap, matching, the curve, its mean.

`evaluation.py` scores with pycocotools and gives more figures in less time; this file says what happens there. A test
holds the two equal to 1e-6, crowds, sizes and equal scores included.

Paper: Mask R-CNN section 4 (the metrics). Letters: N detections, G objects, H W size of an image.
Read next: `evaluation.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .coco_checks import import_pycocotools
from .data.coco_parts import draw_outline

THRESHOLDS = np.linspace(0.5, 0.95, 10).tolist()  # the ten IoUs of AP
RECALLS = torch.from_numpy(np.linspace(0, 1, 101))  # where the curve is read
SIZES = {"": (0, 1e10), "s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}  # areas in pixels, both ends included
MOST = 100  # detections of an image and class that count


class Group(NamedTuple):
    """The N detections, best first, and the G objects of one class in one image."""

    scores: Tensor  # [N]
    areas: Tensor  # [N], of box or mask in pixels
    iou: Tensor  # [N, G]
    true_areas: Tensor  # [G], as the annotation says
    crowd: Tensor  # bool [G]


def box_iou(boxes: Tensor, true_boxes: Tensor, crowd: Tensor | None = None) -> Tensor:
    """boxes [N, 4], true_boxes [G, 4] (x1, y1, x2, y2) -> IoU [N, G]; crowd as in `overlap`."""
    top_left = torch.maximum(boxes[:, None, :2], true_boxes[:, :2])  # [N, G, 2]
    bottom_right = torch.minimum(boxes[:, None, 2:], true_boxes[:, 2:])
    intersection = (bottom_right - top_left).clamp(min=0).prod(2)
    areas, true_areas = ((b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, true_boxes))
    return overlap(intersection, areas, true_areas, crowd)


def mask_iou(masks: Tensor, true_masks: Tensor, crowd: Tensor | None = None) -> Tensor:
    """masks [N, H, W], true_masks [G, H, W] of 0 and 1 -> IoU [N, G]; crowd as in `overlap`."""
    a, b = masks.flatten(1).float(), true_masks.flatten(1).float()  # [N, H * W], [G, H * W]
    return overlap(a @ b.T, a.sum(1), b.sum(1), crowd)


def overlap(intersection: Tensor, areas: Tensor, true_areas: Tensor, crowd: Tensor | None = None) -> Tensor:
    """Intersection [N, G] and areas [N], [G] -> IoU [N, G]; of two empty ones 0.

    crowd bool [G]: a region of many objects. A detection inside it is one of them, however small a part of the whole:
    the intersection is divided by the area of the detection alone.
    """
    union = areas[:, None] + true_areas - intersection
    if crowd is not None:
        union = torch.where(crowd, areas[:, None], union)
    return intersection.double() / union.double().clamp(min=1e-9)


def match(iou: Tensor, threshold: float, ignored: Tensor | None = None, crowd: Tensor | None = None) -> Tensor:
    """Which object each detection finds: iou [N, G], detections best first -> int64 [N], -1 for none.

    Each detection in turn takes, of the objects that are left, the one that it overlaps most, if their IoU reaches the
    threshold. ignored bool [G]: objects that count neither as found nor as missed, taken only by detections that reach
    no other. crowd bool [G]: those of the ignored that any number of detections may take.
    """
    free = torch.ones(iou.shape[1], dtype=torch.bool)
    ignored = ~free if ignored is None else ignored
    crowd = ~free if crowd is None else crowd
    found = torch.full((len(iou),), -1)
    for n, row in enumerate(iou):
        for wanted in (free & ~ignored, free & ignored):
            reached = row.where(wanted, -1)
            if (reached >= threshold).any():
                best = int((reached == reached.max()).nonzero()[-1])  # of equals the last, as in pycocotools
                found[n], free[best] = best, crowd[best]
                break
    return found


def curve(right: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """right bool [N], best detections first; count of objects -> recall [N], precision [N] after each detection."""
    hits = right.double().cumsum(0)
    return hits / count, hits / torch.arange(1, len(right) + 1)


def average_precision(right: Tensor, count: int) -> float:
    """right bool [N] (is the detection a hit?), best first; count of objects -> AP in 0..1.

    The mean over 101 recalls, 0, 0.01, … 1, of the best precision at that recall or a higher one; 0 where that recall
    is never reached.
    """
    if len(right) == 0:
        return 0.0
    recall, precision = curve(right, count)
    best_from_here = precision.flip(0).cummax(0).values.flip(0)  # [N]
    first = torch.searchsorted(recall, RECALLS)  # [101], the first detection that reaches the recall
    reached = first < len(recall)
    return best_from_here[first[reached]].sum().item() / len(RECALLS)


def class_hits(groups: Sequence[Group], threshold: float, size: str = "", most: int = MOST) -> tuple[Tensor, int]:
    """One class over all images at one IoU threshold -> right bool [N], best first, and the count of its objects.

    size: a key of `SIZES`. An object of another size, or a crowd, is ignored, and so is what finds it; a detection that
    finds nothing counts as false only if it is of this size.
    """
    low, high = SIZES[size]
    scores, right, count = [], [], 0
    for group in groups:
        ignored = group.crowd | (group.true_areas < low) | (group.true_areas > high)
        areas = group.areas[:most]
        found = match(group.iou[:most], threshold, ignored, group.crowd)
        hit = found >= 0
        out = ~hit & ((areas < low) | (areas > high))
        out[hit] = ignored[found[hit]]
        scores.append(group.scores[:most][~out])
        right.append(hit[~out])
        count += int((~ignored).sum())
    order = torch.cat(scores).argsort(descending=True, stable=True)  # over all images together
    return torch.cat(right)[order], count


def class_ap(groups: Sequence[Group], threshold: float, size: str = "", most: int = MOST) -> float | None:
    """AP of what `class_hits` finds; None where there is no object to find."""
    right, count = class_hits(groups, threshold, size, most)
    return average_precision(right, count) if count else None


def figures(classes: Mapping[Any, Sequence[Group]]) -> dict[str, float | None]:
    """AP, AP50, AP75, APs, APm, APl: means over the classes that have objects, AP and sizes over ten thresholds too."""

    def mean(thresholds: Sequence[float], size: str = "") -> float | None:
        all_ = [class_ap(groups, threshold, size) for groups in classes.values() for threshold in thresholds]
        defined = [value for value in all_ if value is not None]
        return sum(defined) / len(defined) if defined else None

    table = {"AP": mean(THRESHOLDS), "AP50": mean(THRESHOLDS[:1]), "AP75": mean(THRESHOLDS[5:6])}
    return table | {f"AP{size}": mean(THRESHOLDS, size) for size in SIZES if size}


def groups_of(truth: Mapping[str, Any], found: Sequence[Mapping[str, Any]], task: str) -> dict[int, list[Group]]:
    """A COCO dict, its results, and "box" or "mask" -> the groups of each category id, images in the order of ids."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    sorted_in: dict[tuple[int, int], tuple[list, list]] = defaultdict(lambda: ([], []))
    for side, entries in enumerate((truth["annotations"], found)):
        for entry in entries:
            sorted_in[entry["category_id"], entry["image_id"]][side].append(entry)
    classes = defaultdict(list)
    for (category, image), (objects, detections) in sorted(sorted_in.items()):
        detections.sort(key=lambda entry: -entry["score"])
        crowd = torch.tensor([bool(entry.get("iscrowd")) for entry in objects], dtype=torch.bool)
        if task == "box":
            a, b = (xyxy(entries) for entries in (detections, objects))
            iou, areas = box_iou(a, b, crowd), (a[:, 2:] - a[:, :2]).prod(1)
        else:
            a, b = (dense(entries, sizes[image]) for entries in (detections, objects))
            iou, areas = mask_iou(a, b, crowd), a.flatten(1).sum(1)
        scores = torch.tensor([entry["score"] for entry in detections], dtype=torch.float64)
        true_areas = torch.tensor([entry["area"] for entry in objects], dtype=torch.float64)
        classes[category].append(Group(scores, areas, iou, true_areas, crowd))
    return dict(classes)


def xyxy(entries: Sequence[Mapping[str, Any]]) -> Tensor:
    """COCO's bbox [x, y, width, height] of each entry -> float64 [N, 4] of corners."""
    boxes = torch.tensor([entry["bbox"] for entry in entries], dtype=torch.float64).reshape(-1, 4)
    return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)


def dense(entries: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> Tensor:
    """COCO's segmentation of each entry, polygons or run lengths -> uint8 [N, H, W]."""
    rle = import_pycocotools().mask
    masks = torch.zeros(len(entries), *size, dtype=torch.uint8)
    for n, entry in enumerate(entries):
        masks[n] = torch.from_numpy(rle.decode(draw_outline(entry["segmentation"], *size)))
    return masks
