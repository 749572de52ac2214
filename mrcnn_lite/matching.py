"""Who belongs to whom, and who is trained on: matching boxes to objects and sampling them, for the RPN and the heads.

Matching compares every anchor (or proposal) with every object by IoU; sampling then draws a fixed number of positives
and negatives, since almost everything is background.

Papers: Faster R-CNN section 3.1.2 (0.7 / 0.3, the best anchor of each object, 256 sampled 1:1); Fast R-CNN section 2.3
(0.5, 1:3). Letters: G objects, P anchors or proposals of one image, R sampled RoIs over the batch.
Read next: `rpn.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .boxes import iou

NEGATIVE, IGNORED = -1, -2


def match(objects: Tensor, boxes: Tensor, fg_iou: float, bg_iou: float, best_anchor_rule: bool = False) -> Tensor:
    """For each box the number of its object, NEGATIVE or IGNORED: objects [G, 4], boxes [P, 4] -> int64 [P].

    A box is positive at an IoU of `fg_iou` or more with some object (the one it overlaps most), negative below
    `bg_iou` with all, ignored between. With the best-anchor rule each object's best box is positive however low its IoU
    (all of them where several tie), so that no object goes without; it belongs to the object that it overlaps most.
    """
    if len(objects) == 0:
        return torch.full((len(boxes),), NEGATIVE, device=boxes.device)
    overlap = iou(objects, boxes)  # [G, P]
    best_iou, best_object = overlap.max(dim=0)  # [P]
    matched = torch.where(best_iou < bg_iou, NEGATIVE, IGNORED)
    matched = torch.where(best_iou >= fg_iou, best_object, matched)
    if best_anchor_rule:
        # WHY not 0: an object that no anchor touches has best IoU 0, and every far anchor "ties" with it.
        best_of_object = overlap.amax(dim=1, keepdim=True).clamp(min=torch.finfo(overlap.dtype).tiny)  # [G, 1]
        is_best = (overlap == best_of_object).any(dim=0)  # [P]
        matched = torch.where(is_best, best_object, matched)
    return matched


def sample(
    matched: Tensor, num_samples: int, positive_fraction: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw at random up to num_samples * positive_fraction positives, and negatives up to num_samples in all.

    matched [P] from `match`; generator on the same device. -> indices [n] and keep, bool [n]: only `indices[keep]` are
    drawn, positives first. The shapes depend on nothing that a GPU would have to tell: no synchronisation.
    """
    most = int(num_samples * positive_fraction)
    order = torch.rand(len(matched), generator=generator, device=matched.device)  # a random key each, in [0, 1)
    positive_key = torch.where(matched >= 0, order, -1.0)
    negative_key = torch.where(matched == NEGATIVE, order, -1.0)
    key, positives = positive_key.topk(min(most, len(matched)))
    keep_positive = key >= 0
    key, negatives = negative_key.topk(min(num_samples, len(matched)))
    room = num_samples - keep_positive.sum()
    keep_negative = (key >= 0) & (torch.arange(len(key), device=key.device) < room)
    return torch.cat([positives, negatives]), torch.cat([keep_positive, keep_negative])


def generators(seeds: Sequence[int] | None, num_images: int, device: torch.device) -> list[torch.Generator]:
    """One generator an image: what is sampled in an image depends on its seed alone, not on its batch or process.

    Without seeds they are drawn from torch's global generator, so `torch.manual_seed` still decides.
    """
    if seeds is None:
        seeds = torch.randint(2**62, (num_images,)).tolist()
    if len(seeds) != num_images:
        raise ValueError(f"{num_images} images, {len(seeds)} seeds: expected one seed an image")
    return [torch.Generator(device=device).manual_seed(int(seed)) for seed in seeds]


class SampledRoIs(NamedTuple):
    """The RoIs on which the heads are trained, of all images of a batch."""

    rois: Tensor  # float32 [R, 5]: image number, x1, y1, x2, y2 in network-input pixels
    labels: Tensor  # int64 [R], 0 = background
    gt_boxes: Tensor  # float32 [R, 4], the matched object's box (of no meaning for background)
    gt_index: Tensor  # int64 [R], the matched object's number in its image (of no meaning for background)
    positive: Tensor  # int64 [positives], which of the R are positive


def sample_rois(
    proposals: list[Tensor],
    targets: list[dict[str, Tensor]],
    generators: list[torch.Generator],
    num_samples: int,
    positive_fraction: float,
    fg_iou: float,
    bg_iou: float,
) -> SampledRoIs:
    """Match proposals (a list of [P, 4]) to objects and draw the RoIs for the heads.

    The objects' own boxes join the proposals (Detectron; about 0.5 AP by detectron2's comment): early on the RPN
    proposes nothing that overlaps an object by 0.5, and the heads would see no positive.
    """
    rois, labels, gt_boxes, gt_index, keep = [], [], [], [], []
    for i, (boxes, target, generator) in enumerate(zip(proposals, targets, generators)):
        objects = target["boxes"]
        boxes = torch.cat([boxes, objects])  # [P + G, 4]
        matched = match(objects, boxes, fg_iou, bg_iou)
        index, keep_i = sample(matched, num_samples, positive_fraction, generator)
        matched = matched[index]  # [n]
        number = torch.full((len(index), 1), float(i), device=boxes.device)
        rois.append(torch.cat([number, boxes[index]], dim=1))
        # A row for "no object" at the end: NEGATIVE = -1 then reads label 0 and an empty box, also where G = 0.
        labels.append(torch.cat([target["labels"], target["labels"].new_zeros(1)])[matched])
        gt_boxes.append(torch.cat([objects, objects.new_zeros(1, 4)])[matched])
        gt_index.append(matched)
        keep.append(keep_i)
    kept = torch.cat(keep).nonzero()[:, 0]  # [R]; the step's first of two synchronisations here
    kept_labels = torch.cat(labels)[kept]
    return SampledRoIs(
        torch.cat(rois)[kept],
        kept_labels,
        torch.cat(gt_boxes)[kept],
        torch.cat(gt_index)[kept],
        kept_labels.nonzero()[:, 0],
    )
