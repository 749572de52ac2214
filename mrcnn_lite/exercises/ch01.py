"""Exercises of chapter 01, four tasks: from masks to each task's answer, and what the answers can't count.

Letters: G objects, K foreground classes, H W size of an image.
Read next: `mrcnn_lite/data/instances.py`, where the package goes from id maps to masks and boxes.
"""

# mypy: ignore-errors
# (The classes hold functions, not methods, and mypy would read the first argument as self.)

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.instances import mask_boxes, split_pieces
from .exercise import Exercise


def scene(*rows: str) -> Tensor:
    """A map drawn in digits, "0110", "0220": int64 [H, W]."""
    return torch.tensor([[int(digit) for digit in row] for row in rows])


def masks_of(ids: Tensor) -> Tensor:
    """An id map [H, W] (0 background, objects 1..G) -> masks uint8 [G, H, W]."""
    return torch.stack([ids == g for g in range(1, int(ids.max()) + 1)]).to(torch.uint8)


def random_ids(height: int, width: int, count: int, random: torch.Generator) -> Tensor:
    """Rectangles laid over one another, numbered through, each of them visible: id map [H, W]."""
    ids = torch.zeros(height, width, dtype=torch.int64)
    for g in range(1, count + 1):
        y, x, h, w = (int(torch.randint(1, high, (1,), generator=random)) for high in (height, width, 5, 6))
        ids[y - 1 : y - 1 + h, x - 1 : x - 1 + w] = g
    present = ids.unique()
    return torch.searchsorted(present[present > 0], ids, right=True)  # without those that are hidden


def random_labels(count: int, classes: int, random: torch.Generator) -> Tensor:
    return torch.randint(1, classes + 1, (count,), generator=random)


class class_vector(Exercise):
    text = """
**Classification**: what is in the picture? `labels [G]` in 1..K of its objects and `num_classes` = K → `[K]`, 1 for
each class of which there is at least one object, else 0. (The background has no place in it: it is always there, and
nobody asks.)
"""
    minutes, difficulty = 5, 1
    hints = (
        "Begin with K zeros and write ones at the places of the labels. Which place belongs to class 1?",
        "`vector[labels - 1] = 1`: a class that comes twice is written twice, and stays 1.",
    )

    def answer(labels, num_classes):
        vector = torch.zeros(num_classes)
        vector[labels - 1] = 1
        return vector

    def stub(labels: Tensor, num_classes: int) -> Tensor:
        """labels int64 [G] in 1..K, K -> [K], 1 where the class is present."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield torch.tensor([1]), 2
        yield torch.tensor([2]), 2
        yield torch.tensor([3, 1, 3, 3]), 4
        yield torch.zeros(0, dtype=torch.int64), 3
        for count, classes in ((3, 6), (8, 5)):
            yield random_labels(count, classes, random), classes

    class mistakes:
        def counted(labels, num_classes):
            """the objects are counted; classification says only whether a class is there"""
            return torch.bincount(labels - 1, minlength=num_classes)

        def one_place_late(labels, num_classes):
            """class k is written at place k; places count from 0, so it is k - 1"""
            vector = torch.zeros(num_classes + 1)
            vector[labels] = 1
            return vector[:num_classes]

        def with_background(labels, num_classes):
            """the background has a place of its own; the vector has K numbers"""
            return torch.cat([torch.ones(1), class_vector.answer(labels, num_classes)])

        def a_row_for_each_object(labels, num_classes):
            """there is a row for each object; put them together into one vector"""
            return torch.eye(num_classes)[labels - 1]

    class unusual:
        def any_over_one_hot(labels, num_classes):
            return torch.nn.functional.one_hot(labels - 1, num_classes).bool().any(0)

        def by_asking_each(labels, num_classes):
            return [float(k in labels.tolist()) for k in range(1, num_classes + 1)]

        def in_numpy_in_float64(labels, num_classes):
            return np.isin(np.arange(num_classes) + 1, np.asarray(labels)).astype(np.float64)


class semantic_map(Exercise):
    text = """
**Semantic segmentation**: which class has each pixel? `masks [G, H, W]` of 0 and 1 (the visible part of each object)
and `labels [G]` in 1..K → `[H, W]`, the class of each pixel, 0 for the background, which is all there is without
objects.
"""
    minutes, difficulty = 10, 1
    hints = (
        "Visible parts share no pixel, so at most one mask is 1 at each: multiply it by its label.",
        "`masks * labels[:, None, None]` is [G, H, W]; its sum over the objects is the map. uint8 ends at 255.",
    )

    def answer(masks, labels):
        return (masks.long() * labels[:, None, None]).sum(0)

    def stub(masks: Tensor, labels: Tensor) -> Tensor:
        """masks [G, H, W] of 0 and 1, labels int64 [G] in 1..K -> the class of each pixel, [H, W]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield masks_of(scene("010")), torch.tensor([1])
        yield masks_of(scene("010")), torch.tensor([3])
        yield masks_of(scene("0110", "0220")), torch.tensor([2, 1])
        yield masks_of(scene("1022", "1022")), torch.tensor([2, 2])
        yield torch.zeros(0, 2, 3, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)
        for count in (4, 7):
            masks = masks_of(random_ids(9, 12, count, random))
            yield masks, random_labels(len(masks), 6, random)

    class mistakes:
        def instances(masks, labels):
            """each object has a number of its own; here a pixel has its class, and two of a class look the same"""
            return (masks.long() * torch.arange(1, len(masks) + 1)[:, None, None]).sum(0)

        def classes_from_zero(masks, labels):
            """the first class got 0, which is the background's"""
            return (masks.long() * (labels - 1)[:, None, None]).sum(0)

        def object_or_not(masks, labels):
            """this says whether there is any object; each pixel should have its class"""
            return masks.sum(0)

        def argmax_without_background(masks, labels):
            """`argmax` over the objects gives pixels of the background to the first of them"""
            return labels[masks.max(0).indices] if len(masks) else masks.sum(0)

    class unusual:
        def painted_one_by_one(masks, labels):
            out = np.zeros(masks.shape[1:])
            for mask, label in zip(np.asarray(masks), labels.tolist()):
                out[mask > 0] = label
            return out

        def in_place_in_float64(masks, labels):
            out = torch.zeros(masks.shape[1:], dtype=torch.float64)
            for mask, label in zip(masks, labels):
                out.masked_fill_(mask.bool(), float(label))
            return out

        def as_a_product(masks, labels):
            return torch.einsum("ghw,g->hw", masks.float(), labels.float())


class instance_map(Exercise):
    text = """
**Instances in one map**: `masks [G, H, W]` of 0 and 1 → `[H, W]` with 0 for the background and g for the pixels of
object g = 1..G, in the order of the masks. Unlike the visible parts of before, these masks **may overlap**: then the
**later** mask lies on top.
"""
    minutes, difficulty = 10, 2
    hints = (
        "The first mask gets the number 1: 0 is taken.",
        "Painted in turn, later ones win. Or at once: the largest number of the masks that are 1 there.",
    )

    def answer(masks):
        ids = torch.zeros(masks.shape[1:], dtype=torch.int64)
        for g, mask in enumerate(masks, start=1):
            ids[mask > 0] = g
        return ids

    def stub(masks: Tensor) -> Tensor:
        """masks [G, H, W] of 0 and 1 -> the number of the object at each pixel, [H, W]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield (masks_of(scene("010")),)
        yield (masks_of(scene("1022", "1022")),)
        yield (torch.tensor([[[1, 1, 0]], [[0, 1, 1]]], dtype=torch.uint8),)
        yield (torch.zeros(0, 2, 3, dtype=torch.uint8),)
        for count in (3, 6):
            yield ((torch.rand(count, 5, 7, generator=random) < 0.4).to(torch.uint8),)

    class mistakes:
        def summed(masks):
            """where masks overlap the numbers are added up, to that of a third object: the later one lies on top"""
            return (masks.long() * torch.arange(1, len(masks) + 1)[:, None, None]).sum(0)

        def first_on_top(masks):
            """the earlier mask lies on top; the later one does"""
            ids = instance_map.answer(masks.flip(0))
            return torch.where(ids > 0, len(masks) + 1 - ids, 0)

        def from_zero(masks):
            """the first object got the number 0, which is the background's"""
            return (instance_map.answer(masks) - 1).clamp(min=0)

        def how_many(masks):
            """this counts the objects at each pixel; give the number of one of them"""
            return masks.long().sum(0)

    class unusual:
        def largest_number(masks):
            if len(masks) == 0:
                return torch.zeros(masks.shape[1:])
            return (masks.double() * torch.arange(1, len(masks) + 1)[:, None, None]).amax(0)

        def pixel_by_pixel(masks):
            _, height, width = masks.shape
            out = np.zeros((height, width), np.uint16)
            for i in range(height):
                for j in range(width):
                    out[i, j] = max((g + 1 for g in range(len(masks)) if masks[g, i, j]), default=0)
            return out.astype(np.int32)


class boxes_of_masks(Exercise):
    text = """
**Detection**: where is each object? `masks [G, H, W]` of 0 and 1 → the smallest box around each, `[G, 4]` as x1, y1,
x2, y2 in pixels. Pixel j covers j to j + 1, so the width x2 − x1 of a mask of one pixel is 1. An empty mask gives
zeros.
"""
    minutes, difficulty = 15, 2
    hints = (
        "`mask.any(0)` says which columns hold something, `mask.any(1)` which rows.",
        "x1 is the first such column, x2 the last plus one.",
        "x counts columns, the last dimension; y counts rows.",
    )
    answer = mask_boxes

    def stub(masks: Tensor) -> Tensor:
        """masks [G, H, W] of 0 and 1 -> boxes [G, 4]: x1, y1, x2, y2."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield (masks_of(scene("000", "010")),)
        yield (masks_of(scene("00000", "01100", "01100", "01100")),)
        yield (torch.zeros(1, 2, 3, dtype=torch.uint8),)
        yield (torch.zeros(0, 2, 3, dtype=torch.uint8),)
        for count in (3, 6):
            yield (masks_of(random_ids(10, 14, count, random)),)

    class mistakes:
        def last_pixel(masks):
            """x2 and y2 are the last column and row; the box ends behind them, at + 1 (torchvision's do not)"""
            boxes = boxes_of_masks.tensor(masks)
            return boxes - torch.tensor([0, 0, 1, 1]) * (boxes.sum(1, keepdim=True) > 0)

        def rows_first(masks):
            """rows and columns are exchanged: x counts columns, and comes first"""
            return boxes_of_masks.tensor(masks)[:, [1, 0, 3, 2]]

        def width_and_height(masks):
            """these are x, y, width, height; give the corner x2, y2 instead"""
            boxes = boxes_of_masks.tensor(masks)
            return torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1)

        def one_around_all(masks):
            """each object gets the box around all of them"""
            together = boxes_of_masks.tensor(masks.amax(0, keepdim=True)) if len(masks) else torch.zeros(0, 4)
            return together.expand(len(masks), 4)

    class unusual:
        def from_nonzero_in_float64(masks):
            boxes = torch.zeros(len(masks), 4, dtype=torch.float64)
            for box, mask in zip(boxes, masks):
                if mask.any():
                    y, x = mask.nonzero(as_tuple=True)
                    box.copy_(torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]))
            return boxes

        def all_at_once(masks):
            columns, rows = masks.amax(1) > 0, masks.amax(2) > 0  # [G, W], [G, H]
            sides = []
            for seen in (columns, rows):
                place = torch.arange(seen.shape[1])
                sides.append((place.where(seen, seen.shape[1]).amin(1), (place + 1).where(seen, 0).amax(1)))
            boxes = torch.stack([sides[0][0], sides[1][0], sides[0][1], sides[1][1]], dim=1)
            return boxes * columns.any(1, keepdim=True)

    @staticmethod
    def tensor(masks: Tensor) -> Tensor:
        return torch.from_numpy(mask_boxes(np.asarray(masks)))


class parts(Exercise):
    text = """
**Back from a semantic map to objects, as well as it goes**: `classes [H, W]` (0 background) → how many **connected
parts** there are, those of each class counted on their own. Pixels are connected through sides and corners, and only
with pixels of their own class.
"""
    minutes, difficulty = 20, 2
    hints = (
        "One class at a time: `classes == k` is a mask of all its objects together.",
        "`scipy.ndimage.label(mask, structure=np.ones((3, 3)))` gives a numbered map and how many parts it has.",
    )

    def answer(classes):
        return sum(split_pieces(np.asarray(classes) == k)[1] for k in np.unique(classes) if k > 0)

    def stub(classes: Tensor) -> int:
        """classes int64 [H, W], 0 for the background -> the number of connected parts."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        for rows in (["101"], ["120"], ["10", "01"], ["000"], ["1221", "1001"], ["10201", "11211"], ["33", "33"]):
            yield (scene(*rows),)
        for side in (6, 12):
            yield (
                torch.randint(0, 4, (side, side + 2), generator=random) * (torch.rand(side, 1, generator=random) < 0.7),
            )

    class mistakes:
        def sides_only(classes):
            """pixels that touch at a corner are taken apart; here corners connect"""
            from scipy.ndimage import label

            return sum(label(np.asarray(classes) == k)[1] for k in np.unique(classes) if k > 0)

        def classes_together(classes):
            """touching parts of different classes are counted as one; go class by class"""
            return split_pieces(np.asarray(classes) > 0)[1]

        def background_too(classes):
            """the parts of the background are counted as well"""
            return sum(split_pieces(np.asarray(classes) == k)[1] for k in np.unique(classes))

        def how_many_classes(classes):
            """this is the number of classes that are there; one class can have many parts"""
            return len(classes[classes > 0].unique())

    class unusual:
        def flooded(classes):
            left, count = classes.tolist(), 0
            for i, row in enumerate(left):
                for j, k in enumerate(row):
                    count += k > 0
                    waiting = [(i, j)] if k > 0 else []
                    while waiting:
                        y, x = waiting.pop()
                        if 0 <= y < len(left) and 0 <= x < len(row) and left[y][x] == k:
                            left[y][x] = 0
                            waiting += [(y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
            return count

        def with_scipy(classes):
            from scipy.ndimage import label

            corners = np.ones((3, 3))
            return float(sum(label(classes == k, corners)[1] for k in classes.unique() if k > 0))


class touching_pairs(Exercise):
    text = """
**Count touching objects.** `ids [H, W]` (0 background, objects 1..G) and `labels [G]` → how many **pairs** of objects
**of the same class** touch, that is, have pixels side by side (left and right, or above and below). These are the pairs
that a semantic map melts into one part.
"""
    minutes, difficulty = 20, 3
    hints = (
        "Neighbours to the right: `ids[:, :-1]` and `ids[:, 1:]`; below: `ids[:-1]` and `ids[1:]`.",
        "Keep neighbours that are different objects of one class (of g: `labels[g - 1]`), neither of them background.",
        "A pair touches along many pixels but counts once: sort each pair, then `unique(dim=0)`.",
    )

    def answer(ids, labels):
        right = torch.stack([ids[:, :-1].flatten(), ids[:, 1:].flatten()], dim=1)
        below = torch.stack([ids[:-1].flatten(), ids[1:].flatten()], dim=1)
        pairs = torch.cat([right, below]).sort(dim=1).values  # [neighbours, 2]
        pairs = pairs[(pairs[:, 0] > 0) & (pairs[:, 0] != pairs[:, 1])].unique(dim=0)
        return int((labels[pairs[:, 0] - 1] == labels[pairs[:, 1] - 1]).sum())

    def stub(ids: Tensor, labels: Tensor) -> int:
        """ids int64 [H, W], labels int64 [G] in 1..K -> the number of touching pairs of one class."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        one, two = torch.tensor([1, 1]), torch.tensor([1, 2])
        for rows in (["12"], ["1", "2"], ["102"], ["10", "02"], ["1122", "1122"], ["21", "10", "01"]):
            yield scene(*rows), one
            yield scene(*rows), two
        yield scene("102", "000", "200"), one
        for count in (6, 10, 14):
            ids = random_ids(12, 14, count, random)
            yield ids, random_labels(int(ids.max()), 2, random)

    class mistakes:
        def neighbouring_pixels(ids, labels):
            """pairs of neighbouring pixels are counted; a pair of objects counts once, however long it touches"""
            return touching_pairs.neighbours(ids, labels, unique=False)

        def classes_ignored(ids, labels):
            """objects of different classes are counted too; those a semantic map keeps apart"""
            return touching_pairs.answer(ids, torch.ones_like(labels))

        def each_way(ids, labels):
            """each pair is counted twice, as (a, b) and as (b, a)"""
            return 2 * touching_pairs.answer(ids, labels)

        def only_to_the_right(ids, labels):
            """only neighbours in a row are looked at; look below as well"""
            return touching_pairs.neighbours(ids, labels, below=False)

        def round_the_edge(ids, labels):
            """`roll` makes the last column a neighbour of the first"""
            wide = torch.cat([ids, ids[:, :1]], dim=1)
            return touching_pairs.answer(torch.cat([wide, wide[:1]]), labels)

        def with_background(ids, labels):
            """background next to an object is counted as a pair; and labels[0 - 1] is the last object's"""
            return touching_pairs.neighbours(ids, labels, background=True)

    class unusual:
        def object_by_object(ids, labels):
            from scipy.ndimage import binary_dilation

            count = 0
            for a in range(1, len(labels) + 1):
                around = binary_dilation(np.asarray(ids) == a)  # through sides
                near = set(np.asarray(ids)[around].tolist()) - {0, a}
                count += sum(b > a and labels[a - 1].item() == labels[b - 1].item() for b in near)
            return count

        def as_a_matrix(ids, labels):
            touch = torch.zeros(len(labels) + 1, len(labels) + 1, dtype=torch.bool)
            for a, b in ((ids[:, :-1], ids[:, 1:]), (ids[:-1], ids[1:])):
                touch[a.flatten(), b.flatten()] = touch[b.flatten(), a.flatten()] = True
            same = labels[:, None] == labels
            return float((touch[1:, 1:] & same).triu(1).sum())

    @staticmethod
    def neighbours(
        ids: Tensor, labels: Tensor, unique: bool = True, below: bool = True, background: bool = False
    ) -> int:
        """The answer, with one of its steps left out."""
        found = []
        for a, b in [(ids[:, :-1], ids[:, 1:]), (ids[:-1], ids[1:])][: 1 + below]:
            for p, q in zip(a.flatten().tolist(), b.flatten().tolist()):
                if p != q and (background or (p and q)) and labels[p - 1] == labels[q - 1]:
                    found.append((min(p, q), max(p, q)))
        return len(set(found)) if unique else len(found)
