"""Exercises of chapter 03, RPN and NMS: sampling, objectness loss, box loss, non-maximum suppression, groups.

Letters: P anchors or boxes of one image, R sampled ones.
Read next: `mrcnn_lite/rpn.py`, and `nms_reference` in `mrcnn_lite/boxes.py`.
"""

# mypy: ignore-errors
# (The classes hold functions, not methods, and mypy would read the first argument as self.)

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import boxes
from .exercise import Exercise


def crowd(count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Boxes [P, 4] that overlap a lot, and scores [P], all different."""
    corner = torch.rand(count, 2, generator=random) * 40
    size = 20 + torch.rand(count, 2, generator=random) * 30
    return torch.cat([corner, corner + size], 1), torch.randperm(count, generator=random) / count


class nms(Exercise):
    text = """
Write greedy **non-maximum suppression**: `boxes [P, 4]`, `scores [P]`, a threshold → the indices of the boxes that
stay, best first. The best box stays; every other whose IoU with it is **above** the threshold goes; the best of the
rest stays …
"""
    minutes, difficulty = 15, 2
    hints = (
        "Keep a list of the indices still in the race, sorted by falling score.",
        "Take the first, compute its IoU with the rest, keep of the rest those at or below the threshold, repeat.",
    )
    answer = boxes.nms_reference

    def stub(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
        """boxes [P, 4], scores [P] -> indices of the boxes that stay, by falling score."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        square = torch.tensor([[0.0, 0, 10, 10]])
        row = square + torch.tensor([[0.0], [2.0], [4.0], [30.0]]) * torch.tensor([1.0, 0, 1, 0])
        yield row[:1], torch.tensor([0.5]), 0.5
        yield row, torch.tensor([0.6, 0.9, 0.8, 0.1]), 0.5  # the middle one is best
        yield row, torch.tensor([0.9, 0.8, 0.7, 0.1]), 0.5  # a chain: the third is far from the first, near the second
        yield torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5]]), torch.tensor([0.9, 0.8]), 0.5  # exactly at the threshold
        yield torch.zeros(0, 4), torch.zeros(0), 0.5
        for count, threshold in ((6, 0.3), (20, 0.5), (60, 0.7)):
            yield *crowd(count, random), threshold

    class mistakes:
        def at_the_threshold(boxes_, scores, iou_threshold):
            """a box exactly at the threshold goes; only what is above it does"""
            return boxes.nms_reference(boxes_, scores, iou_threshold - 1e-6)

        def worst_first(boxes_, scores, iou_threshold):
            """the scores are sorted upwards: the worst box stays and suppresses the better ones"""
            return boxes.nms_reference(boxes_, -scores, iou_threshold)

        def in_the_order_of_the_boxes(boxes_, scores, iou_threshold):
            """the indices are sorted by themselves; give them by falling score"""
            return boxes.nms_reference(boxes_, scores, iou_threshold).sort().values

        def not_greedy(boxes_, scores, iou_threshold):
            """a box that was suppressed suppresses others: only those that stay may"""
            order = scores.argsort(descending=True)
            overlap = boxes.iou(boxes_[order], boxes_[order]).triu(1)
            return order[(overlap <= iou_threshold).all(0)]

        def below_the_threshold_goes(boxes_, scores, iou_threshold):
            """boxes that overlap LESS than the threshold go; those that overlap more must"""
            order, kept = scores.argsort(descending=True), []
            while len(order):
                kept.append(order[0])
                order = order[1:][boxes.iou(boxes_[order[:1]], boxes_[order[1:]])[0] > iou_threshold]
            return torch.stack(kept) if kept else order

    class unusual:
        def compiled(boxes_, scores, iou_threshold):
            from torchvision.ops import nms as compiled

            return compiled(boxes_, scores, iou_threshold)

        def as_a_list(boxes_, scores, iou_threshold):
            alive, kept = dict.fromkeys(np.argsort(-np.asarray(scores)).tolist()), []
            overlap = boxes.iou(boxes_.double(), boxes_.double())
            while alive:
                best = next(iter(alive))
                kept.append(best)
                alive = {p: None for p in alive if p != best and overlap[best, p] <= iou_threshold}
            return kept


class nms_by_class(Exercise):
    text = """
NMS must not let a person suppress the horse under them. `boxes [P, 4]`, `scores [P]`, `groups [P]` (classes, or
levels of the pyramid, or images), a threshold → the kept indices, best first, where boxes of **different groups never
suppress each other**.
"""
    minutes, difficulty = 10, 2
    hints = (
        "Once for each group, then sort what is left by score; or all at once with a trick.",
        "The trick: move each group far away, by more than the largest coordinate, and suppress once.",
    )
    answer = boxes.batched_nms

    def stub(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
        """boxes [P, 4], scores [P], groups int64 [P] -> indices of what stays, by falling score."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        pair = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10]])
        yield pair, torch.tensor([0.5, 0.9]), torch.tensor([1, 2]), 0.5
        yield pair, torch.tensor([0.5, 0.9]), torch.tensor([1, 1]), 0.5
        yield torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.5
        for count, classes in ((8, 2), (40, 3), (60, 10)):
            groups = torch.randint(0, classes, (count,), generator=random)
            yield *crowd(count, random), groups, 0.5

    class mistakes:
        def all_together(boxes_, scores, groups, iou_threshold):
            """the groups are ignored: boxes of different classes suppress each other"""
            return boxes.nms_reference(boxes_, scores, iou_threshold)

        def group_after_group(boxes_, scores, groups, iou_threshold):
            """the result is sorted group by group; sort all that stays by score"""
            kept = boxes.batched_nms(boxes_, scores, groups, iou_threshold)
            return kept[groups[kept].argsort(stable=True)]

        def moved_too_little(boxes_, scores, groups, iou_threshold):
            """the groups are moved apart by one pixel each, and still overlap"""
            return boxes.nms_reference(boxes_ + groups[:, None].float(), scores, iou_threshold)

        def numbers_within_the_group(boxes_, scores, groups, iou_threshold):
            """the indices are counted within each group; they are to be those of the whole list"""
            kept = boxes.batched_nms(boxes_, scores, groups, iou_threshold)
            return torch.tensor([int((groups[:k] == groups[k]).sum()) for k in kept.tolist()], dtype=torch.int64)

    class unusual:
        def moved_apart(boxes_, scores, groups, iou_threshold):
            far = groups[:, None].double() * (boxes_.max() + 1 if len(boxes_) else 1)
            return boxes.nms_reference(boxes_.double() + far, scores, iou_threshold)

        def group_by_group(boxes_, scores, groups, iou_threshold):
            kept = []
            for group in set(groups.tolist()):
                mine = (groups == group).nonzero()[:, 0]
                kept += mine[boxes.nms_reference(boxes_[mine], scores[mine], iou_threshold)].tolist()
            return sorted(kept, key=lambda k: -float(scores[k]))


class objectness_loss(Exercise):
    text = """
The first RPN loss: `logits [P]` of all anchors, `matched [P]` as in chapter 02 (an object's number, −1 negative, −2
ignored), and `sampled [R]`, the indices of the anchors drawn → the mean binary cross-entropy of the **sampled**
anchors, 1 for positive and 0 for negative.
"""
    minutes, difficulty = 10, 2
    hints = (
        "Choose the sampled ones first; none of them is ignored, so what is not positive is negative.",
        "`F.binary_cross_entropy_with_logits(logits[sampled], (matched[sampled] >= 0).float())`.",
    )

    def answer(logits, matched, sampled):
        return F.binary_cross_entropy_with_logits(logits[sampled], (matched[sampled] >= 0).float())

    def stub(logits: Tensor, matched: Tensor, sampled: Tensor) -> Tensor:
        """logits [P], matched int64 [P] (object, -1, -2), sampled int64 [R] -> the loss, a number."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield torch.tensor([2.0]), torch.tensor([0]), torch.tensor([0])
        yield torch.tensor([2.0]), torch.tensor([-1]), torch.tensor([0])
        yield torch.tensor([2.0, -3.0, 7.0]), torch.tensor([0, -1, -2]), torch.tensor([0, 1])
        for count, drawn in ((10, 4), (200, 64)):
            matched = torch.randint(-2, 4, (count,), generator=random)
            allowed = (matched > -2).nonzero()[:, 0]
            chosen = allowed[torch.randperm(len(allowed), generator=random)[:drawn]]
            yield torch.randn(count, generator=random) * 3, matched, chosen

    class mistakes:
        def all_anchors(logits, matched, sampled):
            """all anchors take part, so that a quarter of a million negatives drown the positives"""
            return F.binary_cross_entropy_with_logits(logits, (matched >= 0).float())

        def object_zero_is_negative(logits, matched, sampled):
            """object number 0 is taken for background: an anchor is positive from 0 on"""
            return F.binary_cross_entropy_with_logits(logits[sampled], (matched[sampled] > 0).float())

        def summed(logits, matched, sampled):
            """the loss is a sum; divide by the number of sampled anchors"""
            return objectness_loss.answer(logits, matched, sampled) * len(sampled)

        def positives_only(logits, matched, sampled):
            """only positives take part, and a network that calls everything an object has no loss"""
            logits, matched = logits[sampled], matched[sampled]
            return (F.softplus(-logits) * (matched >= 0)).sum() / len(sampled)

    class unusual:
        def by_hand(logits, matched, sampled):
            z, y = logits[sampled].double(), (matched[sampled] >= 0).double()
            return (z.clamp(min=0) - z * y + torch.log1p(torch.exp(-z.abs()))).mean()

        def two_class_softmax(logits, matched, sampled):
            both = torch.stack([torch.zeros_like(logits), logits], 1)[sampled]
            return F.cross_entropy(both, (matched[sampled] >= 0).long())


class rpn_box_loss(Exercise):
    text = """
The second: `deltas [R, 4]` predicted for the sampled anchors, `gt_deltas [R, 4]`, `positive [R]` (bool) → smooth L1
with β = 1/9, **summed over the positives and divided by ALL sampled anchors** (so that one number weighs both
losses). A picture without positives gives 0, not NaN.
"""
    minutes, difficulty = 10, 2
    hints = (
        "Smooth L1: 0.5 x² / β where |x| < β, otherwise |x| - 0.5 β.",
        "`F.smooth_l1_loss(..., beta=1 / 9, reduction='sum')` over the positive rows, divided by R.",
    )

    def answer(deltas, gt_deltas, positive):
        loss = F.smooth_l1_loss(deltas[positive], gt_deltas[positive], beta=1 / 9, reduction="sum")
        return loss / max(len(deltas), 1)

    def stub(deltas: Tensor, gt_deltas: Tensor, positive: Tensor) -> Tensor:
        """deltas, gt_deltas [R, 4], positive bool [R] -> the loss, a number."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        one = torch.tensor([[0.05, -0.5, 1.0, 0.0]])
        yield one, torch.zeros(1, 4), torch.tensor([True])
        yield one, torch.zeros(1, 4), torch.tensor([False])
        yield torch.cat([one, one * 9]), torch.zeros(2, 4), torch.tensor([True, False])
        for count in (8, 64):
            positive = torch.rand(count, generator=random) > 0.6
            yield torch.randn(count, 4, generator=random), torch.randn(count, 4, generator=random), positive

    class mistakes:
        def divided_by_positives(deltas, gt_deltas, positive):
            """the sum is divided by the number of positives (by 0, where there are none); divide by all sampled"""
            return rpn_box_loss.answer(deltas, gt_deltas, positive) * len(deltas) / positive.sum()

        def negatives_too(deltas, gt_deltas, positive):
            """negatives take part: they have no box to move to"""
            return rpn_box_loss.answer(deltas, gt_deltas, torch.ones_like(positive))

        def beta_one(deltas, gt_deltas, positive):
            """β is 1, PyTorch's default; 1/9 here"""
            loss = F.smooth_l1_loss(deltas[positive], gt_deltas[positive], reduction="sum")
            return loss / len(deltas)

        def averaged(deltas, gt_deltas, positive):
            """the mean over the four numbers is taken; sum them"""
            return rpn_box_loss.answer(deltas, gt_deltas, positive) / 4

        def plain_l1(deltas, gt_deltas, positive):
            """this is the plain L1 distance, without the parabola around 0"""
            return (deltas - gt_deltas)[positive].abs().sum() / len(deltas)

    class unusual:
        def by_cases_in_float64(deltas, gt_deltas, positive):
            x = (deltas.double() - gt_deltas).abs() * positive[:, None]
            return torch.where(x < 1 / 9, 4.5 * x**2, x - 1 / 18).clamp(min=0).sum() / len(deltas)

        def huber(deltas, gt_deltas, positive):
            loss = F.huber_loss(deltas, gt_deltas, delta=1 / 9, reduction="none") * 9
            return (loss.sum(1) * positive).sum() / len(deltas)
