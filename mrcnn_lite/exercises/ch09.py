"""Exercises of chapter 09, inference and evaluation: which mask, IoU of masks, matching, AP, AP50 against AP75, crowds.

Letters: D detections with masks, K foreground classes, M side of a mask, N detections, G objects, H W size of an image.
Read next: `mrcnn_lite/average_precision.py`, which holds most answers.
"""

# mypy: ignore-errors
# (The classes hold functions, not methods, and mypy would read the first argument as self.)

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import average_precision as readable
from .. import mask_head
from .exercise import Exercise

NONE_OF_THEM = torch.zeros(0, dtype=torch.bool)


class predicted_masks(Exercise):
    text = """
In use, "we only use the k-th mask, where k is the predicted class by the classification branch" (section 3.1).
`logits [D, K, M, M]` of the detected boxes and their predicted `labels [D]` in **1..K** → the probability of each cell,
`[D, M, M]`.
"""
    minutes, difficulty = 10, 1
    hints = (
        "Classes count from 1, planes from 0. Each detection has a plane of its own to choose.",
        "A sigmoid, as in training: the planes do not compete. The threshold comes later, after the mask is resized.",
    )
    answer = mask_head.sigmoid_probability

    def stub(logits: Tensor, labels: Tensor) -> Tensor:
        """logits [D, K, M, M], labels int64 [D] in 1..K -> probabilities [D, M, M]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        plane = torch.tensor([[[[2.0]], [[-1.0]], [[0.5]]]])
        for label in (1, 2, 3):
            yield plane, torch.tensor([label])
        yield torch.zeros(0, 3, 2, 2), torch.zeros(0, dtype=torch.int64)
        for count, classes, side in ((2, 2, 2), (5, 6, 7)):
            yield (
                torch.randn(count, classes, side, side, generator=random) * 2,
                torch.randint(1, classes + 1, (count,), generator=random),
            )

    class mistakes:
        def plane_k(logits, labels):
            """class k is read from plane k; planes count from 0, so it is plane k - 1"""
            return logits[torch.arange(len(labels)), labels % logits.shape[1]].sigmoid()

        def softmax_over_classes(logits, labels):
            """a softmax over the classes: they do not compete, each plane has a sigmoid of its own"""
            return logits.softmax(1)[torch.arange(len(labels)), labels - 1]

        def surest_plane(logits, labels):
            """the strongest plane is taken; the class is the box branch's choice, the mask branch makes none"""
            return logits.amax(1).sigmoid()

        def thresholded(logits, labels):
            """the threshold comes too early: first the mask is resized, then it is thresholded"""
            return mask_head.sigmoid_probability(logits, labels) > 0.5

        def still_logits(logits, labels):
            """these are logits; a sigmoid makes probabilities of them"""
            return logits[torch.arange(len(labels)), labels - 1]

    class unusual:
        def gathered(logits, labels):
            index = (labels - 1)[:, None, None, None].expand(-1, 1, *logits.shape[2:])
            return logits.double().gather(1, index).squeeze(1).sigmoid()

        def one_by_one_in_place(logits, labels):
            out = np.zeros((len(labels), *logits.shape[2:]))
            for d, k in enumerate(labels.tolist()):
                out[d] = 1 / (1 + np.exp(-np.asarray(logits.mul_(1)[d, k - 1])))
            return out


class mask_iou(Exercise):
    text = """
The **IoU of masks**, every detection with every object: `masks [N, H, W]` and `true_masks [G, H, W]` of 0 and 1 →
`[N, G]`. Two empty masks give 0.
"""
    minutes, difficulty = 10, 1
    hints = (
        "Intersection: both are 1. Union: the two areas together, less the intersection, which was counted twice.",
        "Flattened to [N, H * W] and [G, H * W], one matrix product counts all intersections at once.",
    )
    answer = readable.mask_iou

    def stub(masks: Tensor, true_masks: Tensor) -> Tensor:
        """masks [N, H, W], true_masks [G, H, W] of 0 and 1 -> IoU [N, G]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        a, b = torch.zeros(1, 3, 3), torch.zeros(1, 3, 3)
        a[0, 0], b[0, :, 0] = 1, 1
        yield a, b
        yield a, a.clone()
        yield a * 0, b * 0
        yield torch.zeros(0, 3, 3), b
        for count, objects, side in ((2, 3, 4), (4, 2, 9)):
            noise = torch.rand(count + objects, side, side + 1, generator=random)
            yield (noise[:count] > 0.4).float(), (noise[count:] > 0.6).float()

    class mistakes:
        def dice(masks, true_masks):
            """this is Dice, twice the intersection over the sum of both areas"""
            iou = readable.mask_iou(masks, true_masks)
            return 2 * iou / (1 + iou)

        def counted_twice(masks, true_masks):
            """the intersection is counted twice in the union: take it off once"""
            iou = readable.mask_iou(masks, true_masks)
            return iou / (1 + iou)

        def of_the_detection(masks, true_masks):
            """the intersection is divided by the detection's area alone; that is the rule for crowds"""
            return readable.mask_iou(masks, true_masks, torch.ones(len(true_masks), dtype=torch.bool))

        def of_the_object(masks, true_masks):
            """the intersection is divided by the object's area alone: a mask of everything would be perfect"""
            return mask_iou.mistakes.of_the_detection(true_masks, masks).T

        def of_their_boxes(masks, true_masks):
            """this is the IoU of the masks' boxes; count pixels"""
            return readable.box_iou(*(mask_iou.boxes(m) for m in (masks, true_masks)))

    class unusual:
        def in_float64(masks, true_masks):
            a, b = masks.double().flatten(1), true_masks.double().flatten(1)
            both = torch.einsum("np,gp->ng", a, b)
            either = a.sum(1, keepdim=True) + b.sum(1) - both
            return torch.nan_to_num(both / either)

        def pair_by_pair(masks, true_masks):
            out = np.zeros((len(masks), len(true_masks)))
            for n, a in enumerate(np.asarray(masks) > 0):
                for g, b in enumerate(np.asarray(true_masks) > 0):
                    out[n, g] = (a & b).sum() / max((a | b).sum(), 1)
            return out

    @staticmethod
    def boxes(masks: Tensor) -> Tensor:
        """The boxes of masks, of empty ones zeros: float64 [N, 4]."""
        boxes = torch.zeros(len(masks), 4, dtype=torch.float64)
        for n, mask in enumerate(masks):
            rows, columns = mask.nonzero().unbind(1)
            if len(rows):
                boxes[n] = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        return boxes


class matching(Exercise):
    text = """
**Is it a hit?** `iou [N, G]` of the detections of one class in one image, **best score first**, and a threshold → for
each detection the number of the object that it finds, −1 for none, `[N]`. Each in turn takes, of the objects **that are
left**, the one that it overlaps most, if their IoU **reaches** the threshold. An object is found once: who comes later
is false, however well it fits.
"""
    minutes, difficulty = 15, 2
    hints = (
        "A loop over the detections, and a bool tensor [G] that remembers which objects are still free.",
        "`row.where(free, -1)` blends out what is taken; then `argmax`, and compare with the threshold.",
        "A detection whose best object is taken may still find its second best.",
    )

    def answer(iou, threshold):
        free = torch.ones(iou.shape[1], dtype=torch.bool)
        found = torch.full((len(iou),), -1)
        for n, row in enumerate(iou):
            reached = row.where(free, -1)
            if (reached >= threshold).any():
                found[n] = reached.argmax()
                free[found[n]] = False
        return found

    def stub(iou: Tensor, threshold: float) -> Tensor:
        """iou [N, G], detections best first -> the object that each finds, -1 for none: int64 [N]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield torch.tensor([[0.6]]), 0.5
        yield torch.tensor([[0.5]]), 0.5
        yield torch.tensor([[0.75]]), 0.75
        yield torch.tensor([[0.4]]), 0.5
        yield torch.tensor([[0.6], [0.9]]), 0.5
        yield torch.tensor([[0.6, 0.8], [0.7, 0.9], [0.55, 0.0]]), 0.5
        yield torch.zeros(2, 0), 0.5
        yield torch.zeros(0, 2), 0.5
        for count, objects in ((4, 2), (3, 5), (12, 4)):
            yield torch.rand(count, objects, generator=random), 0.5

    class mistakes:
        def found_again(iou, threshold):
            """an object is found more than once; each detection after the first of them is false"""
            if iou.shape[1] == 0:
                return torch.full((len(iou),), -1)
            best = iou.max(1)
            return torch.where(best.values >= threshold, best.indices, -1)

        def second_best_forgotten(iou, threshold):
            """a detection whose best object is taken gives up; it may take another one that is left"""
            found = matching.mistakes.found_again(iou, threshold).tolist()
            return [g if g not in found[:n] else -1 for n, g in enumerate(found)]

        def best_iou_first(iou, threshold):
            """the pairs are made by their IoU; the detections choose in the order of their scores"""
            found, left = torch.full((len(iou),), -1), iou.clone()
            while left.numel() and left.max() >= threshold:
                n, g = divmod(int(left.argmax()), left.shape[1])
                found[n], left[n], left[:, g] = g, -1, -1
            return found

        def above(iou, threshold):
            """an IoU of exactly the threshold is a hit: at least, not above"""
            return matching.answer(iou.where(iou != threshold, 0), threshold)

        def first_that_fits(iou, threshold):
            """the first object that is good enough is taken, not the one with the largest IoU"""
            found = []
            for row in iou.tolist():
                fits = [g for g, value in enumerate(row) if value >= threshold and g not in found]
                found.append(fits[0] if fits else -1)
            return found

    class unusual:
        def as_in_the_package(iou, threshold):
            return readable.match(iou, threshold)

        def with_a_set(iou, threshold):
            left, found = set(range(iou.shape[1])), []
            for row in iou.tolist():
                best = max(left, key=lambda g: row[g], default=-1)
                found.append(best if best >= 0 and row[best] >= threshold else -1)
                left.discard(found[-1])
            return found

        def blotting_out_in_place(iou, threshold):
            found = np.full(len(iou), -1)
            for n in range(len(iou) if iou.shape[1] else 0):
                if iou[n].max() >= threshold:
                    found[n] = iou[n].argmax()
                    iou[:, found[n]] = -1
            return found


class average_precision(Exercise):
    text = """
**AP of one class at one threshold.** `right [N]` says of each detection, **best score first**, whether it is a hit;
`count` is how many objects there are. After n detections, h of them hits: precision h / n, recall h / count. At each of
the 101 recalls `0, 0.01, … 1` take the **best precision at that recall or a higher one**, 0 where no detection gets so
far; AP is their mean.
"""
    minutes, difficulty = 20, 3
    hints = (
        "`right.cumsum(0)` counts the hits. Precision goes up and down; what COCO reads only goes down.",
        "The best from here on is a `cummax` from behind: `precision.flip(0).cummax(0).values.flip(0)`.",
        "`torch.searchsorted(recall, points)` is the first detection that reaches each point; len(recall): none does.",
    )
    answer = readable.average_precision

    def stub(right: Tensor, count: int) -> float:
        """right bool [N], best detections first; count of objects, at least 1 -> AP in 0..1."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield torch.tensor([True]), 1
        yield torch.tensor([False, True]), 1
        yield torch.tensor([True, False, True]), 3
        yield torch.tensor([False]), 1
        yield torch.zeros(0, dtype=torch.bool), 3
        # WHY 7, 13, 39: no recall but 0 and 1 is a hundredth, so that nobody fails by the last bit of 0.7
        for length, count in ((6, 7), (9, 7), (20, 13), (60, 39)):
            right = torch.rand(length, generator=random) < 0.6
            yield right & (right.cumsum(0) <= count), count

    class mistakes:
        def no_envelope(right, count):
            """precision is read as it is; take the best at that recall or a higher one"""
            if len(right) == 0:
                return 0.0
            recall, precision = readable.curve(right, count)
            first = torch.searchsorted(recall, readable.RECALLS)
            return precision[first[first < len(recall)]].sum() / 101

        def eleven_points(right, count):
            """eleven recalls, as PASCAL VOC had it until 2009; COCO reads 101"""
            if len(right) == 0:
                return 0.0
            recall, precision = readable.curve(right, count)
            return sum(max(precision[recall >= r / 10], default=0.0) for r in range(11)) / 11

        def area_under_the_curve(right, count):
            """this is the area under the raw steps: the mean of the precisions at the hits, over all objects"""
            _, precision = readable.curve(right, count)
            return (precision * right).sum() / count

        def over_detections(right, count):
            """recall is divided by the number of detections; it is the share of the objects"""
            return readable.average_precision(right, max(len(right), 1))

        def only_what_is_reached(right, count):
            """recalls that no detection reaches are left out of the mean; there precision counts 0"""
            if not right.any():
                return 0.0
            recall, _ = readable.curve(right, count)
            return readable.average_precision(right, count) * 101 / (recall[-1] >= readable.RECALLS).sum()

        def envelope_from_the_left(right, count):
            """the best precision so far; take the best from here on, at higher recalls"""
            if len(right) == 0:
                return 0.0
            recall, precision = readable.curve(right, count)
            first = torch.searchsorted(recall, readable.RECALLS)
            return precision.cummax(0).values[first[first < len(recall)]].sum() / 101

    class unusual:
        def by_the_words(right, count):
            hits, curve = 0, []
            for n, good in enumerate(right.tolist(), start=1):
                hits += good
                curve.append((hits / count, hits / n))
            return sum(max((p for r, p in curve if r >= k / 100), default=0) for k in range(101)) / 101

        def in_numpy(right, count):
            hits = np.cumsum(np.asarray(right, np.float64))
            if len(hits) == 0:
                return np.float64(0)
            best = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
            at = np.searchsorted(hits / count, np.linspace(0, 1, 101))
            return np.append(best, 0)[at].mean()


class loose_boxes(Exercise):
    text = """
**AP50 high and AP75 low, on purpose.** Move each of the true `boxes [G, 4]` to the right until its IoU with where it
was is exactly `iou` (between 0 and 1). A detector that answers so has, for `iou = 0.62`, an AP50 of 1 and an AP75 of 0.
And what AP?
"""
    minutes, difficulty = 15, 2
    hints = (
        "Moved by d, a box of width w shares (w - d) of its width with where it was, and both together cover (w + d).",
        "(w - d) / (w + d) = iou: solve for d. The height cancels out.",
    )

    def answer(boxes, iou):
        shift = (boxes[:, 2] - boxes[:, 0]) * (1 - iou) / (1 + iou)
        return torch.stack([boxes[:, 0] + shift, boxes[:, 1], boxes[:, 2] + shift, boxes[:, 3]], dim=1)

    def stub(boxes: Tensor, iou: float) -> Tensor:
        """boxes [G, 4] -> the same, moved to the right until their IoU with the old ones is `iou`."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield torch.tensor([[0.0, 0, 3, 6]]), 0.5
        yield torch.tensor([[10.0, 20, 40, 30]]), 0.62
        yield torch.tensor([[10.0, 20, 40, 30]]), 1.0
        yield torch.zeros(0, 4), 0.5
        for threshold in (0.2, 0.75):
            corner, size = torch.rand(2, 5, 2, generator=random) * 50 + 1
            yield torch.cat([corner, corner + size], dim=1), threshold

    class mistakes:
        def only_the_intersection(boxes, iou):
            """moved by w (1 - iou): the share of the box that is covered is right, but the union has grown as well"""
            return loose_boxes.moved(boxes, (boxes[:, 2] - boxes[:, 0]) * (1 - iou))

        def by_the_height(boxes, iou):
            """the shift is computed from the height; to the right it is the width that counts"""
            return loose_boxes.moved(boxes, (boxes[:, 3] - boxes[:, 1]) * (1 - iou) / (1 + iou))

        def width_plus_one(boxes, iou):
            """the width is x2 - x1, without + 1"""
            return loose_boxes.moved(boxes, (boxes[:, 2] - boxes[:, 0] + 1) * (1 - iou) / (1 + iou))

        def one_side_only(boxes, iou):
            """only the right side moves: the box grows; move both"""
            moved = loose_boxes.answer(boxes, iou)
            return torch.stack([boxes[:, 0], boxes[:, 1], moved[:, 2], boxes[:, 3]], dim=1)

        def other_way(boxes, iou):
            """it moves to the left: the IoU is right, the side is not"""
            return 2 * boxes - loose_boxes.answer(boxes, iou)

    class unusual:
        def in_place(boxes, iou):
            boxes[:, 0::2] += ((boxes[:, 2] - boxes[:, 0]) * (1 - iou) / (1 + iou))[:, None]
            return boxes

        def halving_the_interval(boxes, iou):
            low, high = torch.zeros(len(boxes)).double(), (boxes[:, 2] - boxes[:, 0]).double()
            for _ in range(60):
                middle = (low + high) / 2
                overlap = readable.box_iou(boxes.double(), loose_boxes.moved(boxes.double(), middle)).diagonal()
                low, high = torch.where(overlap > iou, middle, low), torch.where(overlap > iou, high, middle)
            return loose_boxes.moved(boxes.double(), low)

    @staticmethod
    def moved(boxes: Tensor, shift: Tensor) -> Tensor:
        """boxes [G, 4] moved to the right by shift [G]."""
        return boxes + shift[:, None] * boxes.new_tensor([1, 0, 1, 0])


class crowd_and_ignore(Exercise):
    text = """
**Neither hit nor miss.** Now some objects are `ignored` (bool `[G]`): of another size than is asked for, or a crowd.
A detection looks among the others first, and takes an ignored one only if it **reaches no other**. An ignored object is
taken once as well, but a `crowd` (bool `[G]`, ignored too) by **any number** of detections. `iou [N, G]`, best score
first → the object of each, −1 for none, `[N]`.
"""
    minutes, difficulty = 25, 3
    hints = (
        "Your `matching`, twice for each detection: first among those that are free and count, then among the others.",
        "When an object is taken it is free no more, unless it is a crowd: `free[g] = crowd[g]`.",
    )
    answer = readable.match

    def stub(iou: Tensor, threshold: float, ignored: Tensor, crowd: Tensor) -> Tensor:
        """iou [N, G], a threshold, bool [G], bool [G] -> the object that each detection finds, -1 for none: [N]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yes, no = torch.tensor([True]), torch.tensor([False])
        yield torch.tensor([[0.6]]), 0.5, yes, yes
        yield torch.tensor([[0.9], [0.8]]), 0.5, yes, yes
        yield torch.tensor([[0.9], [0.8]]), 0.5, yes, no
        yield torch.tensor([[0.9], [0.8]]), 0.5, no, no
        yield torch.tensor([[0.9, 0.6]]), 0.5, torch.tensor([True, False]), torch.tensor([True, False])
        yield torch.tensor([[0.9, 0.6], [0.8, 0.7]]), 0.5, torch.tensor([True, False]), torch.tensor([False, False])
        yield torch.zeros(2, 0), 0.5, NONE_OF_THEM, NONE_OF_THEM
        for count, objects in ((4, 3), (9, 5), (20, 6)):
            ignored = torch.rand(objects, generator=random) < 0.5
            crowd = ignored & (torch.rand(objects, generator=random) < 0.6)
            yield torch.rand(count, objects, generator=random), 0.5, ignored, crowd

    class mistakes:
        def left_out(iou, threshold, ignored, crowd):
            """ignored objects are left out, and what finds one is false; it should count neither way"""
            return readable.match(iou.where(~ignored, -1), threshold)

        def crowd_once(iou, threshold, ignored, crowd):
            """a crowd is taken once only; any number of detections may be part of it"""
            return readable.match(iou, threshold, ignored)

        def ignored_without_end(iou, threshold, ignored, crowd):
            """every ignored object is taken any number of times; only a crowd is, others are single things"""
            return readable.match(iou, threshold, ignored, ignored)

        def all_alike(iou, threshold, ignored, crowd):
            """an ignored object that is overlapped more comes first; look among those that count before"""
            found, free = [], torch.ones(iou.shape[1], dtype=torch.bool)
            for row in iou:
                reached = row.where(free, -1)
                found.append(int(reached.argmax()) if (reached >= threshold).any() else -1)
                if found[-1] >= 0:
                    free[found[-1]] = crowd[found[-1]]
            return found

    class unusual:
        def in_two_halves(iou, threshold, ignored, crowd):
            found = readable.match(iou.where(~ignored, -1), threshold)
            rest = (found < 0).nonzero()[:, 0]
            found[rest] = readable.match(iou[rest].where(ignored, -1), threshold, ignored, crowd)
            return found

        def with_a_bonus(iou, threshold, ignored, crowd):
            values, out = np.asarray(iou, np.float64).copy(), []
            values[values < threshold] = -9
            values += np.where(np.asarray(ignored), 0.0, 2.0)
            for row in range(len(values)):
                best = int(values[row].argmax()) if values.shape[1] else -1
                if best < 0 or values[row, best] < 0:
                    out.append(-1)
                    continue
                out.append(best)
                if not crowd[best]:
                    values[:, best] = -9
            return out
