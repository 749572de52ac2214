"""Exercises of chapter 05, RoIAlign: bilinear interpolation, sampling points, RoIAlign itself, its gradient.

Letters: C channels, H W size of a map, S side of the crop, n points along a side of a bin.
Read next: `mrcnn_lite/roi_ops.py`, which holds most answers.
"""

# mypy: ignore-errors
# (The classes hold functions, not methods, and mypy would read the first argument as self.)

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import roi_ops
from .exercise import Exercise


def ramp(height: int, width: int) -> Tensor:
    """A map [2, H, W] whose values are the column and ten times the row."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    return torch.stack([x, 10 * y])


class bilinear(Exercise):
    text = """
Write **bilinear interpolation**: the value `[C]` of a map `feature [C, H, W]` at the point (y, x), where the value of
cell (i, j) sits at exactly (i, j). Up to one cell outside the map (`-1 <= y <= H`, `-1 <= x <= W`) the value of the
border holds; further outside it is 0.
"""
    minutes, difficulty = 15, 2
    hints = (
        "Clamp y to 0..H - 1 and x to 0..W - 1 first; what is left needs no special case but the last row and column.",
        "With top = int(y) and down = y - top, the row below counts `down` and the row above `1 - down`.",
        "Interpolate along x in both rows, then between the two results along y.",
    )
    answer = roi_ops.bilinear

    def stub(feature: Tensor, y: float, x: float) -> Tensor:
        """feature [C, H, W], a point (y, x) in cells -> the value there, [C]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        small = ramp(2, 3)
        for y, x in ((0, 0), (1, 2), (0.5, 1), (0, 0.25), (0.25, 1.5), (-0.5, 1), (1.75, 2.9), (-1.5, 0), (0, 4)):
            yield small, float(y), float(x)
        noise = torch.rand(3, 5, 7, generator=random)
        for _ in range(12):
            y, x = (torch.rand(2, generator=random) * torch.tensor([8.0, 10]) - 1.5).tolist()
            yield noise, y, x

    class mistakes:
        def nearest(feature, y, x):
            """the nearest cell is taken; interpolate between the four around the point"""
            height, width = feature.shape[1:]
            if not (-1 <= y <= height and -1 <= x <= width):
                return feature.new_zeros(len(feature))
            return feature[:, int(min(max(y, 0), height - 1) + 0.5), int(min(max(x, 0), width - 1) + 0.5)]

        def exchanged(feature, y, x):
            """x and y are exchanged: y counts rows, the second dimension of [C, H, W]"""
            return roi_ops.bilinear(feature.transpose(1, 2), y, x)

        def weights_exchanged(feature, y, x):
            """the weights are exchanged: the nearer cell counts more, 1 - distance"""
            height, width = feature.shape[1:]
            if not (-1 <= y <= height and -1 <= x <= width):
                return feature.new_zeros(len(feature))
            y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
            return roi_ops.bilinear(feature, bilinear.mirrored(y, height), bilinear.mirrored(x, width))

        def zero_outside(feature, y, x):
            """outside the map it is 0 at once; up to one cell outside, the border's value holds"""
            inside = 0 <= y <= feature.shape[1] - 1 and 0 <= x <= feature.shape[2] - 1
            return roi_ops.bilinear(feature, y, x) if inside else feature.new_zeros(len(feature))

        def border_everywhere(feature, y, x):
            """the border's value holds however far outside the point is; more than one cell outside it is 0"""
            y, x = min(max(y, 0), feature.shape[1] - 1), min(max(x, 0), feature.shape[2] - 1)
            return roi_ops.bilinear(feature, y, x)

        def half_a_cell_off(feature, y, x):
            """half a pixel is taken off here already; in this function cell (i, j) sits at (i, j)"""
            return roi_ops.bilinear(feature, y - 0.5, x - 0.5)

    class unusual:
        def with_hats(feature, y, x):
            _, height, width = feature.shape
            if not (-1 <= y <= height and -1 <= x <= width):
                return feature.new_zeros(len(feature))
            rows = (1.0 - (torch.arange(height) - min(max(y, 0), height - 1)).abs()).clamp(min=0)
            columns = (1.0 - (torch.arange(width) - min(max(x, 0), width - 1)).abs()).clamp(min=0)
            return torch.einsum("chw,h,w->c", feature, rows, columns)

        def numpy_by_rows(feature, y, x):
            values = np.asarray(feature, np.float64)
            _, height, width = values.shape
            if not (-1 <= y <= height and -1 <= x <= width):
                return np.zeros(len(values))
            rows = [[np.interp(x, np.arange(width), row) for row in channel] for channel in values]
            return [np.interp(y, np.arange(height), column) for column in rows]

    @staticmethod
    def mirrored(position: float, length: int) -> float:
        """The point as far from the next cell as this one is from the last."""
        low = int(position)
        return position if low == position else min(2 * low + 1 - position, length - 1)


class sample_points(Exercise):
    text = """
Where does RoIAlign look? Along one axis a RoI reaches from `start` to `end`, in cells, and has `size` bins with `n`
**regular** points each: give their positions, `size * n` of them. Nothing is rounded, and no point lies on a bin's
border.
"""
    minutes, difficulty = 10, 2
    hints = (
        "A bin is (end - start) / size long, and one of its points has 1 / n of that for itself.",
        "The point sits in the middle of its share: start + (i + 0.5) * (end - start) / (size * n).",
    )

    def answer(start, end, size, n):
        step = (end - start) / (size * n)
        return start + (torch.arange(size * n) + 0.5) * step

    def stub(start: float, end: float, size: int, n: int) -> Tensor:
        """start, end of a RoI on one axis, in cells; size bins of n points -> positions [size * n]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield 0.0, 1.0, 1, 1
        yield 0.0, 4.0, 1, 2
        yield 4.0, 8.0, 4, 1
        yield 1.25, 8.75, 2, 2
        for _ in range(6):
            start, extent = (torch.rand(2, generator=random) * 20).tolist()
            yield start, start + extent, 7, 3

    class mistakes:
        def rounded(start, end, size, n):
            """start and end are rounded first: that is RoIPool's first rounding, which RoIAlign leaves out"""
            return sample_points.answer(round(start), round(end), size, n)

        def corners(start, end, size, n):
            """the points reach from border to border (linspace); each sits in the middle of its share"""
            return torch.linspace(start, end, size * n)

        def left_ends(start, end, size, n):
            """each point sits at the beginning of its share; add half of a share"""
            return sample_points.answer(start, end, size, n) - (end - start) / (size * n) / 2

        def centres_only(start, end, size, n):
            """all points of a bin sit in its centre"""
            return sample_points.answer(start, end, size, 1).repeat_interleave(n)

    class unusual:
        def in_a_list(start, end, size, n):
            width = (end - start) / size
            return [start + i * width + (s + 0.5) * width / n for i in range(size) for s in range(n)]

        def between_edges(start, end, size, n):
            edges = np.linspace(start, end, size * n + 1)
            return (edges[1:] + edges[:-1]) / 2


class roi_align(Exercise):
    text = """
Write **RoIAlign** of one box: `feature [C, H, W]`, `box` = (x1, y1, x2, y2) in **image pixels**, `size` S, `scale` in
cells a pixel (1/16 for stride 16) → `[C, S, S]`. Four points a bin (2 × 2), bilinear, averaged. Mind the **half
pixel**: cell i covers [i, i + 1), its value sits at `i + 0.5`. `bilinear(feature, y, x)` of the exercise before is at
hand as `ex.bilinear.answer`.
"""
    minutes, difficulty = 30, 3
    hints = (
        "x1 * scale - 0.5 is where the box begins, counted from where the value of cell 0 sits. Round nothing.",
        "Four loops: rows of bins, columns of bins, and the 2 x 2 points in a bin, at 1/4 and 3/4 of its sides.",
        "Average the four values, not the four positions: on anything but a ramp these differ.",
    )

    def answer(feature, box, size, scale):
        roi = torch.tensor([[0.0, *map(float, box)]])
        return roi_ops.roi_align_reference(feature[None], roi, size, scale)[0]

    def stub(feature: Tensor, box: list[float], size: int, scale: float) -> Tensor:
        """feature [C, H, W], box in image pixels, scale = 1 / stride -> crop [C, size, size]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield ramp(8, 12), [4.0, 4.0, 8.0, 8.0], 4, 1.0  # the identity test: 4, 5, 6, 7
        yield ramp(8, 12), [5.0, 6.0, 17.0, 13.0], 2, 0.5
        yield ramp(8, 12), [-3.0, 2.0, 9.0, 7.0], 2, 1.0  # over the border
        noise = torch.rand(2, 9, 11, generator=random)
        yield noise, [32.0, 16.0, 96.0, 112.0], 3, 1 / 16
        for _ in range(5):
            x1, y1, width, height = (torch.rand(4, generator=random) * 70 + 5).tolist()
            yield noise, [x1, y1, x1 + width, y1 + height], 3, 1 / 16

    class mistakes:
        def no_half_pixel(feature, box, size, scale):
            """the half pixel is missing: every crop is half a cell off, which is 8 pixels at stride 16"""
            return roi_align.variant(feature, box, size, scale, half_pixel=False)

        def box_rounded(feature, box, size, scale):
            """the box is rounded to whole cells first: this is RoIWarp, which bilinear sampling does not save"""
            roi = torch.tensor([[0.0, *map(float, box)]])
            return roi_ops.roi_warp_reference(feature[None], roi, size, scale)[0]

        def maximum(feature, box, size, scale):
            """the maximum of the four points is taken; the paper averages"""
            return roi_align.variant(feature, box, size, scale, reduce="max")

        def one_point(feature, box, size, scale):
            """one point in the centre of each bin; take 2 x 2"""
            return roi_align.variant(feature, box, size, scale, sampling_ratio=1)

        def exchanged(feature, box, size, scale):
            """rows and columns are exchanged in the crop: [C, S, S] has rows (y) first"""
            return roi_align.answer(feature, box, size, scale).transpose(1, 2)

        def not_scaled(feature, box, size, scale):
            """the box is not multiplied by the scale: it is in image pixels, the map is not"""
            return roi_align.answer(feature, box, size, 1.0)

        def pooled(feature, box, size, scale):
            """this is RoIPool: the maximum of whole cells"""
            roi = torch.tensor([[0.0, *map(float, box)]])
            return roi_ops.roi_pool_reference(feature[None], roi, size, scale)[0]

    class unusual:
        def separable(feature, box, size, scale):
            x1, y1, x2, y2 = (side * scale - 0.5 for side in box)
            rows = (
                roi_align.weights(sample_points.answer(y1, y2, size, 2), feature.shape[1]).reshape(size, 2, -1).mean(1)
            )
            columns = roi_align.weights(sample_points.answer(x1, x2, size, 2), feature.shape[2])
            return torch.einsum("chw,ih,jw->cij", feature, rows, columns.reshape(size, 2, -1).mean(1))

        def torchvision_in_float64(feature, box, size, scale):
            from torchvision.ops import roi_align as compiled

            roi = torch.tensor([[0.0, *map(float, box)]], dtype=torch.float64)
            return compiled(feature.double()[None], roi, size, scale, sampling_ratio=2, aligned=True)[0]

    @staticmethod
    def variant(feature: Tensor, box: Any, size: int, scale: float, **options: Any) -> Tensor:
        roi = torch.tensor([[0.0, *map(float, box)]])
        return roi_ops.roi_align_reference(feature[None], roi, size, scale, **options)[0]

    @staticmethod
    def weights(positions: Tensor, length: int) -> Tensor:
        """Linear interpolation as a matrix: positions [T] -> [T, length]."""
        near = ((positions >= -1) & (positions <= length)).float()
        distance = positions.clamp(0, length - 1)[:, None] - torch.arange(length)
        return (1 - distance.abs()).clamp(min=0) * near[:, None]


class gradient_of_point(Exercise):
    text = """
Where does the gradient go? One point (y, x) inside a map of H × W cells is sampled bilinearly, and its value has the
gradient 1. Give the gradient of the map, `[H, W]`: who gets how much? (No autograd: write it by hand, then compare.)
"""
    minutes, difficulty = 10, 2
    hints = (
        "The value is a weighted sum of four cells; the derivative by a cell is its weight.",
        "The four weights are (1 - down, down) times (1 - across, across); they add up to 1.",
    )

    def answer(y, x, height, width):
        feature = torch.zeros(1, height, width, requires_grad=True)
        roi_ops.bilinear(feature, y, x).sum().backward()
        return feature.grad[0]

    def stub(y: float, x: float, height: int, width: int) -> Tensor:
        """A point (y, x) in cells, inside the map -> d value / d feature, [height, width]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield 0.0, 0.0, 1, 1
        yield 0.25, 0.5, 2, 2
        yield 1.0, 1.0, 2, 2
        yield 1.5, 2.25, 3, 4
        for _ in range(6):
            y, x = (torch.rand(2, generator=random) * torch.tensor([4.0, 5.0])).tolist()
            yield y, x, 5, 6

    class mistakes:
        def nearest_gets_all(y, x, height, width):
            """the nearest cell gets all of it; that is RoIPool's way, where only the largest cell learns"""
            found = torch.zeros(height, width)
            found[int(y + 0.5), int(x + 0.5)] = 1
            return found

        def equal_shares(y, x, height, width):
            """the four cells get equal shares; each gets its weight, more where it is nearer"""
            found = gradient_of_point.answer(y, x, height, width)
            return (found > 0).float() / (found > 0).sum()

        def exchanged(y, x, height, width):
            """the weights are exchanged: the nearer cell gets more"""
            found = gradient_of_point.answer(y, x, height, width)
            inside = found.nonzero()
            low, high = inside.amin(0), inside.amax(0) + 1
            found[low[0] : high[0], low[1] : high[1]] = found[low[0] : high[0], low[1] : high[1]].flip(0, 1)
            return found

    class unusual:
        def outer_product(y, x, height, width):
            rows = (1 - (torch.arange(height) - y).abs()).clamp(min=0)
            columns = (1 - (torch.arange(width) - x).abs()).clamp(min=0)
            return torch.outer(rows, columns).double()

        def four_assignments(y, x, height, width):
            found = np.zeros((height, width))
            top, left = int(y), int(x)
            for i, row in ((top, 1 - y + top), (top + 1, y - top)):
                for j, column in ((left, 1 - x + left), (left + 1, x - left)):
                    if row * column:
                        found[i, j] += row * column
            return found
