"""Exercises of chapter 02, boxes, anchors, matching: IoU, cell anchors, encode, decode, match.

Letters: P Q G numbers of boxes, A anchors a cell. Read next: `mrcnn_lite/boxes.py`, which holds most answers.
"""

# mypy: ignore-errors
# (The classes hold functions, not methods, and mypy would read the first argument as self.)

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import anchors, boxes, matching
from .exercise import Exercise


def random_boxes(count: int, random: torch.Generator, size: float = 100.0) -> Tensor:
    """Boxes [count, 4] of 5 to 50 pixels a side, anywhere."""
    corner = torch.rand(count, 2, generator=random) * size
    return torch.cat([corner, corner + 5 + torch.rand(count, 2, generator=random) * 45], dim=1)


class iou(Exercise):
    text = """
Write the **intersection over union** of every pair of boxes: `a [P, 4]`, `b [Q, 4]` → `[P, Q]`. No loop over boxes:
broadcast `a[:, None]` against `b[None, :]`. Boxes that do not overlap give 0.
"""
    minutes, difficulty = 10, 1
    answer = boxes.iou
    hints = (
        "The intersection is itself a box: its left side is the larger of the two left sides.",
        "`torch.maximum(a[:, None, :2], b[None, :, :2])` is the top left corner of every pair, [P, Q, 2].",
        "A pair that does not overlap has a negative width or height: clamp both at 0 before you multiply them.",
    )

    def stub(a: Tensor, b: Tensor) -> Tensor:
        """a [P, 4], b [Q, 4], boxes (x1, y1, x2, y2) -> IoU [P, Q]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        square = torch.tensor([[0.0, 0, 2, 2]])
        yield square, square + 1
        yield square, square + torch.tensor([2.0, 0, 2, 0])  # they touch
        yield square, square + 5  # apart in both directions: two negatives, whose product is positive
        yield torch.tensor([[0.0, 0, 4, 1]]), torch.tensor([[0.0, 0, 1, 4]])
        yield square, torch.cat([square, square / 2, square * 3])
        yield torch.zeros(0, 4), square
        for p, q in ((2, 3), (5, 1), (20, 30)):
            yield random_boxes(p, random), random_boxes(q, random)

    class mistakes:
        def plus_one(a, b):
            """widths as x2 - x1 + 1; a box covers its pixels from edge to edge, so its width is x2 - x1"""
            return boxes.iou(a + torch.tensor([0.0, 0, 1, 1]), b + torch.tensor([0.0, 0, 1, 1]))

        def not_clamped(a, b):
            """width and height of the intersection are not clamped at 0, and two negatives make a positive area"""
            size = torch.minimum(a[:, None, 2:], b[None, :, 2:]) - torch.maximum(a[:, None, :2], b[None, :, :2])
            common = size.prod(2)
            return common / (boxes.area(a)[:, None] + boxes.area(b)[None] - common)

        def union_counts_twice(a, b):
            """the union is the sum of both areas; take the intersection off once"""
            shared = boxes.iou(a, b)
            common = shared * (boxes.area(a)[:, None] + boxes.area(b)[None]) / (1 + shared)
            return common / (boxes.area(a)[:, None] + boxes.area(b)[None])

        def over_smaller(a, b):
            """the intersection is divided by the smaller area instead of the union"""
            shared = boxes.iou(a, b)
            common = shared * (boxes.area(a)[:, None] + boxes.area(b)[None]) / (1 + shared)
            return common / torch.minimum(boxes.area(a)[:, None], boxes.area(b)[None])

        def transposed(a, b):
            """rows and columns are exchanged: [P, Q] has a row for each box of `a`"""
            return boxes.iou(a, b).T

    class unusual:
        def in_loops(a, b):
            return torch.tensor([[float(boxes.iou(x[None], y[None])) for y in b] for x in a]).reshape(len(a), len(b))

        def in_float64(a, b):
            return boxes.iou(a.double(), b.double())

        def numpy(a, b):
            left, right = np.asarray(a)[:, None], np.asarray(b)[None]
            size = np.minimum(left[..., 2:], right[..., 2:]) - np.maximum(left[..., :2], right[..., :2])
            common = np.clip(size, 0, None).prod(-1)
            return common / (
                np.prod(left[..., 2:] - left[..., :2], -1) + np.prod(right[..., 2:] - right[..., :2], -1) - common
            )


class cell_anchors(Exercise):
    text = """
Write the anchors around (0, 0): for each aspect ratio (height / width), each size. **Every anchor of one size has the
same area**, size², whatever its ratio. `sizes`, `ratios` → `[len(ratios) * len(sizes), 4]`, ratio by ratio.
"""
    minutes, difficulty = 10, 2
    answer = anchors.cell_anchors
    hints = (
        "Two equations: width · height = size², height / width = ratio.",
        "height = size · √ratio, width = size / √ratio; the corners are at ± half of each.",
    )

    def stub(sizes: list[float], ratios: list[float]) -> Tensor:
        """sizes in pixels, ratios = height / width -> anchors [len(ratios) * len(sizes), 4]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield [16.0], [1.0]
        yield [32.0], [2.0]
        yield [32.0], [0.5, 1.0, 2.0]
        yield [32.0, 64.0], [0.5, 2.0]
        yield [32.0, 64.0, 128.0, 256.0, 512.0], [0.5, 1.0, 2.0]

    class mistakes:
        def ratio_as_width_over_height(sizes, ratios):
            """the ratio is read as width / height; in Faster R-CNN's code it is height / width"""
            return anchors.cell_anchors(sizes, ratios)[:, [1, 0, 3, 2]]

        def no_root(sizes, ratios):
            """the height is size * ratio without the square root, so that the area grows with the ratio"""
            return cell_anchors.built(sizes, ratios, lambda size, ratio: (size, size * ratio))

        def corners_at_full_size(sizes, ratios):
            """the corners are at the whole width and height from the centre; they are at half of them"""
            return anchors.cell_anchors(sizes, ratios) * 2

        def from_zero(sizes, ratios):
            """the anchors begin at (0, 0) instead of being centred there"""
            cells = anchors.cell_anchors(sizes, ratios)
            return cells - cells[:, [0, 1, 0, 1]]

        def size_by_size(sizes, ratios):
            """size by size: the order is ratio by ratio, all sizes of a ratio together"""
            cells = anchors.cell_anchors(sizes, ratios)
            return cells.reshape(len(ratios), len(sizes), 4).transpose(0, 1).reshape(-1, 4)

    class unusual:
        def in_a_loop(sizes, ratios):
            return cell_anchors.built(sizes, ratios, lambda size, ratio: (size / ratio**0.5, size * ratio**0.5))

        def from_the_area(sizes, ratios):
            pairs = itertools.product(ratios, sizes)
            width = torch.tensor([(size**2 / ratio) ** 0.5 for ratio, size in pairs], dtype=torch.float64)
            ratio = torch.tensor(ratios, dtype=torch.float64).repeat_interleave(len(sizes))
            return torch.stack([-width, -width * ratio, width, width * ratio], 1) / 2

    @staticmethod
    def built(sizes: list[float], ratios: list[float], sides: Any) -> list[list[float]]:
        """Anchors as lists, from a function (size, ratio) -> width, height."""
        both = [sides(size, ratio) for ratio in ratios for size in sizes]
        return [[-width / 2, -height / 2, width / 2, height / 2] for width, height in both]


class encode(Exercise):
    text = """
Write the **deltas** that turn anchors into boxes (Faster R-CNN, equation 2): `dx = (x − xₐ) / wₐ`, `dy` likewise, `dw
= log(w / wₐ)`, `dh` likewise, where x, y are centres. `anchors [P, 4]`, `boxes [P, 4]` → `[P, 4]`, without weights.
"""
    minutes, difficulty = 10, 1
    answer = boxes.encode
    hints = (
        "Work out centre, width and height of both first.",
        "The shift is measured in widths of the anchor, so that one network serves small and large anchors.",
    )

    def stub(anchors: Tensor, boxes: Tensor) -> Tensor:
        """anchors [P, 4], boxes [P, 4] (x1, y1, x2, y2) -> deltas [P, 4] (dx, dy, dw, dh)."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        anchor = torch.tensor([[0.0, 0, 16, 32]])
        yield anchor, anchor
        yield anchor, anchor + torch.tensor([4.0, 8, 4, 8])
        yield anchor, torch.tensor([[0.0, 0, 32, 16]])
        yield torch.zeros(0, 4), torch.zeros(0, 4)
        for count in (3, 40):
            yield random_boxes(count, random), random_boxes(count, random)

    class mistakes:
        def corners(anchors, boxes_):
            """the shift is that of the top left corners; take the centres"""
            deltas = boxes.encode(anchors, boxes_)
            shift = (boxes_[:, :2] - anchors[:, :2]) / (anchors[:, 2:] - anchors[:, :2])
            return torch.cat([shift, deltas[:, 2:]], 1)

        def divided_by_the_box(anchors, boxes_):
            """the shift is divided by the box's own size; the anchor's is what is known when decoding"""
            deltas = boxes.encode(anchors, boxes_)
            return torch.cat([deltas[:, :2] / deltas[:, 2:].exp(), deltas[:, 2:]], 1)

        def no_logarithm(anchors, boxes_):
            """dw and dh are the ratios themselves, without the logarithm"""
            deltas = boxes.encode(anchors, boxes_)
            return torch.cat([deltas[:, :2], deltas[:, 2:].exp()], 1)

        def exchanged(anchors, boxes_):
            """anchors and boxes are exchanged: the deltas lead from the anchor to the box"""
            return boxes.encode(boxes_, anchors)

        def pixels(anchors, boxes_):
            """the shift is in pixels; divide it by the anchor's width and height"""
            deltas = boxes.encode(anchors, boxes_)
            return torch.cat([deltas[:, :2] * (anchors[:, 2:] - anchors[:, :2]), deltas[:, 2:]], 1)

    class unusual:
        def difference_of_logarithms(anchors, boxes_):
            a, b = anchors.double(), boxes_.double()
            shift = (b[:, :2] + b[:, 2:] - a[:, :2] - a[:, 2:]) / 2 / (a[:, 2:] - a[:, :2])
            return torch.cat([shift, (b[:, 2:] - b[:, :2]).log() - (a[:, 2:] - a[:, :2]).log()], 1)

        def in_place(anchors, boxes_):
            for pair in (anchors, boxes_):
                pair[:, 2:] -= pair[:, :2]
                pair[:, :2] += pair[:, 2:] / 2
            boxes_[:, :2] -= anchors[:, :2]
            boxes_ /= anchors[:, [2, 3, 2, 3]]
            boxes_[:, 2:].log_()
            return boxes_


class decode(Exercise):
    text = """
Write the inverse: anchors and deltas → boxes. `decode(a, encode(a, b))` must be `b`. One addition for training: `dw`
and `dh` are clamped **from above** at log(1000 / 16), since a wild early prediction would overflow in `exp`.
"""
    minutes, difficulty = 10, 1
    answer = boxes.decode
    hints = (
        "Solve the four equations of `encode` for the box's centre, width and height.",
        "x = xₐ + dx · wₐ, w = wₐ · exp(dw); then the corners, half a width to each side.",
    )

    def stub(anchors: Tensor, deltas: Tensor) -> Tensor:
        """anchors [P, 4], deltas [P, 4] (dx, dy, dw, dh) -> boxes [P, 4] (x1, y1, x2, y2)."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        anchor = torch.tensor([[0.0, 0, 16, 32]])
        yield anchor, torch.zeros(1, 4)
        yield anchor, torch.tensor([[0.5, -0.25, 0, 0]])
        yield anchor, torch.tensor([[0.0, 0, 0.5, -0.5]])
        yield anchor, torch.tensor([[0.0, 0, 20, -20]])  # beyond the clamp
        yield torch.zeros(0, 4), torch.zeros(0, 4)
        for count in (3, 40):
            yield random_boxes(count, random), torch.randn(count, 4, generator=random) / 2

    class mistakes:
        def not_clamped(anchors, deltas):
            """dw and dh are not clamped at log(1000 / 16)"""
            return decode.from_sides(anchors, deltas, deltas[:, 2:].exp())

        def clamped_on_both_sides(anchors, deltas):
            """dw and dh are clamped from below as well: only an enlargement can overflow"""
            limit = boxes.MAX_LOG_SCALE
            return decode.from_sides(anchors, deltas, deltas[:, 2:].clamp(-limit, limit).exp())

        def no_exponential(anchors, deltas):
            """width and height are multiplied by the delta itself; dw is a logarithm, take exp(dw)"""
            return decode.from_sides(anchors, deltas, deltas[:, 2:])

        def corner_for_centre(anchors, deltas):
            """the moved centre is used as the top left corner; the box begins half a width before it"""
            return boxes.decode(anchors, deltas) + decode.half_size(anchors, deltas)

    class unusual:
        def numpy(anchors, deltas):
            a, d = np.asarray(anchors, np.float64), np.asarray(deltas, np.float64)
            size = a[:, 2:] - a[:, :2]
            centre = a[:, :2] + size / 2 + d[:, :2] * size
            half = size * np.exp(np.minimum(d[:, 2:], np.log(62.5))) / 2
            return np.concatenate([centre - half, centre + half], axis=1)

        def clamped_after_the_exponential(anchors, deltas):
            return decode.from_sides(anchors, deltas, deltas[:, 2:].double().exp().clamp(max=1000 / 16))

    @staticmethod
    def from_sides(anchors: Tensor, deltas: Tensor, scale: Tensor) -> Tensor:
        """Boxes from the factors [P, 2] by which width and height grow."""
        size = anchors[:, 2:] - anchors[:, :2]
        centre = anchors[:, :2] + size / 2 + deltas[:, :2] * size
        return torch.cat([centre - size * scale / 2, centre + size * scale / 2], 1)

    @staticmethod
    def half_size(anchors: Tensor, deltas: Tensor) -> Tensor:
        found = boxes.decode(anchors, deltas)
        return ((found[:, 2:] - found[:, :2]) / 2).repeat(1, 2)


class match(Exercise):
    text = """
Say for each anchor which object it belongs to. `objects [G, 4]`, `anchors [P, 4]` → whole numbers `[P]`: the number
of the object that it overlaps most where that IoU is at least `fg_iou`; −1 (negative) where its IoU with **every**
object is below `bg_iou`; −2 (ignored) in between. Then the **best-anchor rule**: the anchors that overlap an object
more than all others do (all of them where several tie, none where the best IoU is 0) become positive too, however low
their IoU; each belongs to the object that *it* overlaps most. Mind the picture without objects.
"""
    minutes, difficulty = 20, 3
    answer = functools.partial(matching.match, best_anchor_rule=True)
    hints = (
        "Begin with the IoU matrix [G, P]: the maximum of a column concerns an anchor, that of a row an object.",
        "`overlap == overlap.max(dim=1, keepdim=True).values` finds the best anchors of every object, ties included.",
        "Without objects the matrix has no row, and `max` raises: answer that every anchor is negative first.",
    )

    def stub(objects: Tensor, anchors: Tensor, fg_iou: float, bg_iou: float) -> Tensor:
        """objects [G, 4], anchors [P, 4] -> each anchor's object, -1 negative or -2 ignored, [P]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        square = torch.tensor([[0.0, 0, 10, 10]])
        moved = square + torch.tensor([[0.0], [2.0], [3.0], [6.0], [50.0]]) * torch.tensor([1.0, 0, 1, 0])
        yield square, moved, 0.7, 0.3
        yield square, moved[1:], 0.7, 0.3  # no anchor reaches 0.7: the best is taken
        yield square, moved[[2, 2, 4]], 0.7, 0.3  # two are best
        yield square, moved[4:], 0.7, 0.3  # none touches the object
        yield square[:0], moved, 0.7, 0.3
        yield square, torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5]]), 0.5, 0.3  # exactly at the threshold
        yield torch.cat([square, square + 4]), moved, 0.7, 0.3
        for g, p in ((2, 9), (5, 60), (12, 300)):
            yield random_boxes(g, random), random_boxes(p, random), 0.5, 0.3

    class mistakes:
        def no_best_anchor_rule(objects, anchors, fg_iou, bg_iou):
            """the best-anchor rule is missing, so that an object no anchor fits well is never learnt"""
            return matching.match(objects, anchors, fg_iou, bg_iou)

        def far_anchors_tie(objects, anchors, fg_iou, bg_iou):
            """an object that no anchor touches has a best IoU of 0, and every anchor ties with that"""
            matched = matching.match(objects, anchors, fg_iou, bg_iou, best_anchor_rule=True)
            overlap = boxes.iou(objects, anchors)
            none = (overlap.amax(1, keepdim=True) == 0).any() if len(objects) else False
            return torch.where(overlap.argmax(0) >= 0, overlap.argmax(0), matched) if none else matched

        def ignored_are_negative(objects, anchors, fg_iou, bg_iou):
            """what lies between the two thresholds is made negative; it is to be ignored"""
            return matching.match(objects, anchors, fg_iou, bg_iou, best_anchor_rule=True).clamp(min=-1)

        def one_of_several_best(objects, anchors, fg_iou, bg_iou):
            """of several best anchors only the first is taken (argmax); all that tie are positive"""
            matched = matching.match(objects, anchors, fg_iou, bg_iou)
            overlap = boxes.iou(objects, anchors)
            for row in overlap if len(objects) else ():
                best = int(row.argmax())
                if row[best] > 0:
                    matched[best] = overlap[:, best].argmax()
            return matched

        def no_objects(objects, anchors, fg_iou, bg_iou):
            """the picture without objects is ignored; all its anchors are negative, and teach what is no object"""
            if len(objects) == 0:
                return torch.full((len(anchors),), -2)
            return matching.match(objects, anchors, fg_iou, bg_iou, best_anchor_rule=True)

        def above_the_threshold(objects, anchors, fg_iou, bg_iou):
            """an IoU equal to the threshold is not enough here; 0.7 itself is positive"""
            return matching.match(objects, anchors, fg_iou + 1e-6, bg_iou, best_anchor_rule=True)

    class unusual:
        def in_loops(objects, anchors, fg_iou, bg_iou):
            overlap = boxes.iou(objects, anchors)
            found = [-1] * len(anchors)
            for p in range(len(anchors) if len(objects) else 0):
                column = overlap[:, p]
                best = any(row[p] > 0 and row[p] == row.max() for row in overlap)
                if best or column.max() >= fg_iou:
                    found[p] = int(column.argmax())
                elif column.max() >= bg_iou:
                    found[p] = -2
            return found

        def small_integers(objects, anchors, fg_iou, bg_iou):
            return matching.match(objects, anchors, fg_iou, bg_iou, best_anchor_rule=True).to(torch.int16)
