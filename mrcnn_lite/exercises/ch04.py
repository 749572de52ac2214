"""Exercises of chapter 04, the Fast R-CNN head and RoIPool: both roundings, the shift, RoIPool, the box loss.

Letters: C channels, H W size of a map, S side of the crop, R sampled RoIs, K foreground classes.
Read next: `roi_pool_reference` in `mrcnn_lite/roi_ops.py`.
"""

# mypy: ignore-errors
# (The classes hold functions, not methods, and mypy would read the first argument as self.)

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import roi_ops
from .exercise import Exercise


class snap(Exercise):
    text = """
RoIPool's **first rounding**, [x / 16]: `box` (x1, y1, x2, y2) in image pixels, `stride` → first and last cell, whole
numbers (first column, first row, last column, last row). Halves go **away from zero**, as C's `round` does: `4.5` →
`5`.
"""
    minutes, difficulty = 5, 1
    hints = (
        "Python's `round` and `torch.round` take halves to the even neighbour: round(4.5) is 4.",
        "For what is not negative: floor(x + 0.5).",
    )

    def answer(box, stride):
        snapped = roi_ops.snap_to_cells(torch.tensor([[0.0, *map(float, box)]]), 1 / stride)[0, 1:]
        return [int(snapped[0]), int(snapped[1]), int(snapped[2]) - 1, int(snapped[3]) - 1]

    def stub(box: list[float], stride: int) -> list[int]:
        """box (x1, y1, x2, y2) in image pixels -> [first column, first row, last column, last row]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield [0.0, 0.0, 16.0, 16.0], 16
        yield [7.0, 9.0, 100.0, 120.0], 16
        yield [8.0, 24.0, 72.0, 40.0], 16  # halves: 0.5, 1.5, 4.5, 2.5
        yield [4.0, 12.0, 20.0, 28.0], 8
        for stride in (8, 16, 32):
            yield (torch.rand(4, generator=random) * 300).tolist(), stride

    class mistakes:
        def halves_to_even(box, stride):
            """halves go to the even neighbour, as Python's `round` takes them: 4.5 -> 4"""
            return [round(side / stride) for side in box]

        def floored(box, stride):
            """the sides are cut off instead of rounded: many drawings show that, the code never did"""
            return [math.floor(side / stride) for side in box]

        def outwards(box, stride):
            """the box is enlarged to whole cells; both sides are rounded to the nearest"""
            return [math.floor(side / stride) for side in box[:2]] + [math.ceil(side / stride) for side in box[2:]]

        def not_divided(box, stride):
            """the stride is missing: a cell is `stride` pixels wide"""
            return [math.floor(side + 0.5) for side in box]

    class unusual:
        def floor_of_a_half_more(box, stride):
            return [math.floor(side / stride + 0.5) for side in box]

        def numpy(box, stride):
            return np.trunc(np.asarray(box) / stride + 0.5)


class shift_in_pixels(Exercise):
    text = """
What does the first rounding cost? `x` is a side of a box in image pixels: by how many **image pixels** does RoIPool
move it (positive: to the right)? Predict first: how large can it be at stride 16, and at stride 32?
"""
    minutes, difficulty = 5, 1
    hints = (
        "Round in cells, then go back to pixels, and subtract.",
        "At most half a cell: 8 pixels at stride 16, 16 at stride 32.",
    )

    def answer(x, stride):
        return math.floor(x / stride + 0.5) * stride - x

    def stub(x: float, stride: int) -> float:
        """A side in image pixels, the stride -> its shift in image pixels."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield 0.0, 16
        yield 7.0, 16
        yield 8.0, 16
        yield 665.0, 32
        for stride in (4, 8, 16, 32):
            yield float(torch.rand(1, generator=random)) * 500, stride

    class mistakes:
        def in_cells(x, stride):
            """the shift is in cells; multiply it by the stride"""
            return math.floor(x / stride + 0.5) - x / stride

        def magnitude(x, stride):
            """the sign is lost: to the left is negative"""
            return abs(math.floor(x / stride + 0.5) * stride - x)

        def floored(x, stride):
            """the side is cut off instead of rounded, which always moves it left"""
            return math.floor(x / stride) * stride - x

        def other_direction(x, stride):
            """the sign is turned: where it goes minus where it was"""
            return x - math.floor(x / stride + 0.5) * stride

    class unusual:
        def remainder(x, stride):
            return stride / 2 - (x + stride / 2) % stride

        def as_tensor(x, stride):
            return (torch.tensor(x / stride, dtype=torch.float64) + 0.5).floor() * stride - x


class bin_edges(Exercise):
    text = """
The **second rounding**: a snapped RoI covers the cells from `first` to `last`, the last one **included**, along one
axis. Its `size` bins are to take whole cells: bin i reaches from floor(i · w / size) to ceil((i + 1) · w / size),
counted from `first`. Give [start, end) of every bin. Neighbouring bins may share cells.
"""
    minutes, difficulty = 10, 2
    hints = (
        "How many cells are there from `first` to `last`? One more than the difference.",
        "start rounds down, end rounds up, and end is not part of the bin.",
    )

    def answer(first, last, size):
        width = last - first + 1
        edges = [(i * width / size, (i + 1) * width / size) for i in range(size)]
        return [[first + math.floor(low), first + math.ceil(high)] for low, high in edges]

    def stub(first: int, last: int, size: int) -> list[list[int]]:
        """First and last cell of a RoI along one axis -> [[start, end), ...] of its `size` bins."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield from ((0, 3, 2), (0, 4, 2), (2, 6, 4), (3, 3, 2), (5, 25, 7), (0, 13, 7))

    class mistakes:
        def last_left_out(first, last, size):
            """the last cell is left out: from first to last there are last - first + 1 cells"""
            return bin_edges.answer(first, last - 1, size) if last > first else [[first, first]] * size

        def both_down(first, last, size):
            """both edges are rounded down, so that the bins do not overlap; the end is rounded up"""
            width = last - first + 1
            return [[first + i * width // size, first + (i + 1) * width // size] for i in range(size)]

        def from_zero(first, last, size):
            """the bins are counted from 0; add `first`"""
            return bin_edges.answer(0, last - first, size)

        def rounded_size(first, last, size):
            """the size of a bin is rounded; its edges are"""
            step = max(round((last - first + 1) / size), 1)
            return [[first + i * step, first + (i + 1) * step] for i in range(size)]

    class unusual:
        def whole_numbers_only(first, last, size):
            width = last - first + 1
            return [(first + i * width // size, first - (-(i + 1) * width // size)) for i in range(size)]

        def as_tensor(first, last, size):
            edges = torch.arange(size + 1, dtype=torch.float64) * (last - first + 1) / size + first
            return torch.stack([edges[:-1].floor(), edges[1:].ceil()], 1)


class roi_pool(Exercise):
    text = """
Put both together: **RoIPool** of one box. `feature [C, H, W]`, `box` in image pixels, `size` S, `stride` → `[C, S,
S]`, the maximum of each bin's cells, which are cut at the border of the map; a bin without any cell is 0. The
exercises before are at hand as `ex.snap.answer` and `ex.bin_edges.answer`.
"""
    minutes, difficulty = 20, 3
    hints = (
        "Snap the box, make the bins along x and along y, and take `feature[:, top:bottom, left:right]` for each pair.",
        "Slices beyond the map are cut by themselves, those before 0 are not: use max(start, 0).",
        "The maximum of nothing raises: test `numel()` first.",
    )

    def answer(feature, box, size, stride):
        roi = torch.tensor([[0.0, *map(float, box)]])
        return roi_ops.roi_pool_reference(feature[None], roi, size, 1 / stride)[0]

    def stub(feature: Tensor, box: list[float], size: int, stride: int) -> Tensor:
        """feature [C, H, W], box (x1, y1, x2, y2) in image pixels -> crop [C, size, size]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        ramp = torch.arange(12.0).expand(1, 8, 12)
        yield ramp, [4.0, 4.0, 8.0, 8.0], 4, 1  # the identity test: 5, 6, 7, 8, and not 4, 5, 6, 7
        noise = torch.randn(2, 8, 12, generator=random) - 1
        yield noise, [16.0, 16.0, 100.0, 90.0], 2, 16
        yield noise, [150.0, 90.0, 260.0, 170.0], 3, 16  # over the border
        yield noise, [250.0, 10.0, 300.0, 60.0], 2, 16  # outside
        for _ in range(4):
            x1, y1, width, height = (torch.rand(4, generator=random) * 90).tolist()
            yield noise, [x1, y1, x1 + width, y1 + height], 3, 16

    class mistakes:
        def average(feature, box, size, stride):
            """the bins are averaged; RoIPool takes the maximum"""
            return roi_pool.by_bins(feature, box, size, stride, lambda cells: cells.mean(1))

        def last_cell_left_out(feature, box, size, stride):
            """the last row and column of the snapped box are left out; the last cell is included"""
            x1, y1, x2, y2 = snap.answer(box, stride)
            inner = [x1 * stride, y1 * stride, max(x2 - 1, x1) * stride, max(y2 - 1, y1) * stride]
            return roi_pool.answer(feature, inner, size, stride)

        def exchanged(feature, box, size, stride):
            """rows and columns are exchanged: the result has rows (y) first"""
            return roi_pool.answer(feature, box, size, stride).transpose(1, 2)

        def adaptive(feature, box, size, stride):
            """the box is rounded down before `adaptive_max_pool2d`; it is rounded to the nearest"""
            x1, y1, x2, y2 = (int(side // stride) for side in box)
            cells = feature[:, max(y1, 0) : y2 + 1, max(x1, 0) : x2 + 1]
            found = F.adaptive_max_pool2d(cells[None], size)[0] if cells.numel() else None
            return feature.new_zeros(len(feature), size, size) if found is None else found

        def zero_counts(feature, box, size, stride):
            """a maximum begun at 0 hides negative features; only a bin without cells is 0"""
            return roi_pool.answer(feature, box, size, stride).clamp(min=0)

    class unusual:
        def bin_by_bin(feature, box, size, stride):
            return roi_pool.by_bins(feature.double(), box, size, stride, lambda cells: cells.max(1).values)

        def compiled(feature, box, size, stride):
            from torchvision.ops import roi_pool as compiled

            return compiled(feature[None], torch.tensor([[0.0, *box]]), size, 1 / stride)[0].numpy()

    @staticmethod
    def by_bins(feature: Tensor, box: Any, size: int, stride: int, value: Any) -> Tensor:
        """RoIPool with another value of a bin's cells [C, cells] than their maximum."""
        x1, y1, x2, y2 = snap.answer(box, stride)
        crop = feature.new_zeros(len(feature), size, size)
        for i, (top, bottom) in enumerate(bin_edges.answer(y1, max(y2, y1), size)):
            for j, (left, right) in enumerate(bin_edges.answer(x1, max(x2, x1), size)):
                cells = feature[:, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)].flatten(1)
                if cells.numel():
                    crop[:, i, j] = value(cells)
        return crop


class head_box_loss(Exercise):
    text = """
The head predicts a box **for each class**: `deltas [R, K + 1, 4]`, `labels [R]` (0 = background), `gt_deltas [R, 4]`
→ smooth L1 (β = 1/9) of the **true class's** box, positives only, summed and divided by R. Which four of a
RoI's numbers learn?
"""
    minutes, difficulty = 15, 2
    hints = (
        "Positives are the RoIs with a label above 0.",
        "`deltas[positive, labels[positive]]` chooses the true class's four numbers of each, [positives, 4].",
    )

    def answer(deltas, labels, gt_deltas):
        positive = labels.nonzero()[:, 0]
        chosen = deltas[positive, labels[positive]]
        return F.smooth_l1_loss(chosen, gt_deltas[positive], beta=1 / 9, reduction="sum") / max(len(labels), 1)

    def stub(deltas: Tensor, labels: Tensor, gt_deltas: Tensor) -> Tensor:
        """deltas [R, K + 1, 4], labels int64 [R] (0 = background), gt_deltas [R, 4] -> the loss."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        one = torch.arange(8.0).reshape(1, 2, 4) / 10
        yield one, torch.tensor([1]), torch.zeros(1, 4)
        yield one, torch.tensor([0]), torch.zeros(1, 4)
        for count, classes in ((4, 3), (64, 7)):
            deltas = torch.randn(count, classes, 4, generator=random)
            labels = torch.randint(0, classes, (count,), generator=random)
            yield deltas, labels, torch.randn(count, 4, generator=random)

    class mistakes:
        def background_too(deltas, labels, gt_deltas):
            """background takes part: it has no box"""
            chosen = deltas[torch.arange(len(labels)), labels]
            return F.smooth_l1_loss(chosen, gt_deltas, beta=1 / 9, reduction="sum") / len(labels)

        def every_class(deltas, labels, gt_deltas):
            """the boxes of all classes are pulled to the object; only the true class's is"""
            positive = labels.nonzero()[:, 0]
            wide = gt_deltas[positive, None].expand(-1, deltas.shape[1], -1)
            return F.smooth_l1_loss(deltas[positive], wide, beta=1 / 9, reduction="sum") / len(labels)

        def divided_by_positives(deltas, labels, gt_deltas):
            """the sum is divided by the positives (by 0, where there are none); divide by all sampled RoIs"""
            return head_box_loss.answer(deltas, labels, gt_deltas) * len(labels) / (labels > 0).sum()

        def class_below(deltas, labels, gt_deltas):
            """class k is read from row k - 1; the background has row 0, so class k has row k"""
            positive = labels.nonzero()[:, 0]
            chosen = deltas[positive, labels[positive] - 1]
            return F.smooth_l1_loss(chosen, gt_deltas[positive], beta=1 / 9, reduction="sum") / len(labels)

    class unusual:
        def roi_by_roi(deltas, labels, gt_deltas):
            total = 0.0
            for row, label, gt in zip(deltas.double(), labels.tolist(), gt_deltas.double()):
                x = (row[label] - gt).abs() if label else torch.zeros(4)
                total += float(torch.where(x < 1 / 9, 4.5 * x**2, x - 1 / 18).sum()) if label else 0.0
            return total / len(labels)

        def masked(deltas, labels, gt_deltas):
            chosen = deltas.gather(1, labels[:, None, None].expand(-1, 1, 4))[:, 0]
            loss = F.huber_loss(chosen, gt_deltas, delta=1 / 9, reduction="none") * 9
            return (loss.sum(1) * (labels > 0)).sum() / len(labels)
