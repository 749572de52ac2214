"""Exercises of chapter 07, backbones and heads: sizes, parameters, a ResNeXt block, the pyramid, C4's heads.

Letters: N images, C channels, H W size, R RoIs, K foreground classes.
Read next: `mrcnn_lite/backbone.py`, `mrcnn_lite/fpn.py`; tests/test_exercises.py holds the answers equal to them.
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

from .exercise import Exercise


class output_sizes(Exercise):
    text = """
**How large is each map?** A layer with a kernel of `kernel` cells, a stride of `stride` and `padding` cells on either
side turns `size` cells into ⌊(size + 2 · padding − kernel) / stride⌋ + 1. Give the sizes after each of `layers`, a list
of (kernel, stride, padding), one after the other.
"""
    minutes, difficulty = 5, 1
    hints = (
        "Each layer gets what the layer before it has left.",
        "`size = (size + 2 * padding - kernel) // stride + 1`, collected in a list.",
    )

    def answer(size, layers):
        sizes = []
        for kernel, stride, padding in layers:
            size = (size + 2 * padding - kernel) // stride + 1
            sizes.append(size)
        return sizes

    def stub(size: int, layers: list[tuple[int, int, int]]) -> list[int]:
        """size in cells, layers as (kernel, stride, padding) -> the size after each of them."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield 8, [(3, 1, 1)]
        yield 8, [(3, 2, 1)]
        yield 7, [(1, 2, 0)]
        yield 11, [(5, 3, 1)]
        yield 224, [(7, 2, 3), (3, 2, 1)]
        yield 800, [(7, 2, 3), (3, 2, 1), (3, 1, 1), (3, 2, 1), (3, 2, 1), (3, 2, 1), (1, 2, 0)]
        yield 1333, [(7, 2, 3), (3, 2, 1), (3, 1, 1), (3, 2, 1), (3, 2, 1), (3, 2, 1)]
        for _ in range(6):
            yield int(torch.randint(40, 90, (1,), generator=random)), [(5, 2, 1), (3, 3, 0), (2, 1, 1)]

    class mistakes:
        def rounded_up(size, layers):
            """the division is rounded up; a kernel that no longer fits is left out, so round down"""
            return chained(size, layers, lambda s, k, t, p: -((k - s - 2 * p) // t) + 1)

        def padded_once(size, layers):
            """the padding counts once; it is on both sides"""
            return chained(size, layers, lambda s, k, t, p: (s + p - k) // t + 1)

        def without_the_first(size, layers):
            """the + 1 is missing: a kernel that just fits gives one cell, not none"""
            return chained(size, layers, lambda s, k, t, p: (s + 2 * p - k) // t)

        def only_the_stride(size, layers):
            """only the stride is counted; kernel and padding matter where they do not cancel"""
            return chained(size, layers, lambda s, k, t, p: s // t)

        def not_chained(size, layers):
            """every layer starts from the picture; it gets what the layer before it has left"""
            return [(size + 2 * p - k) // t + 1 for k, t, p in layers]

    class unusual:
        def by_running_it(size, layers):
            x, sizes = torch.zeros(1, 1, size), []
            for kernel, stride, padding in layers:
                x = F.conv1d(x, torch.zeros(1, 1, kernel), stride=stride, padding=padding)
                sizes.append(x.shape[-1])
            return tuple(sizes)

        def counting_positions(size, layers):
            sizes = []
            for kernel, stride, padding in layers:
                size = len(range(0, size + 2 * padding - kernel + 1, stride))
                sizes.append(float(size))
            return torch.tensor(sizes)


def chained(size, layers, rule):
    """The sizes by another rule (size, kernel, stride, padding) -> size."""
    sizes = []
    for kernel, stride, padding in layers:
        size = rule(size, kernel, stride, padding)
        sizes.append(size)
    return sizes


class block_parameters(Exercise):
    text = """
**Count by hand.** A bottleneck block takes `channels` and gives 4 · `width`: a 1×1 convolution to an inner width, a 3×3
from inner to inner, a 1×1 from inner to 4 · width. In ResNet the inner width is `width`; in ResNeXt the 3×3 has
`groups` groups and the inner width is groups · (width · `group_width` / 64). A group sees only its own channels. Where
`channels` is not 4 · width, the shortcut is a 1×1 convolution too. No convolution has a bias (a norm follows): how many
weights?
"""
    minutes, difficulty = 15, 2
    hints = (
        "A k×k convolution from A to B channels in g groups has k · k · (A / g) · B weights.",
        "Only the 3×3 is grouped: 9 · (inner / groups) · inner.",
        "channels · inner, 9 · inner² / groups, inner · 4 · width, and the shortcut's channels · 4 · width.",
    )

    def answer(channels, width, groups, group_width):
        inner = groups * (width * group_width // 64)
        count = channels * inner + 9 * (inner // groups) * inner + inner * 4 * width
        if channels != 4 * width:
            count += channels * 4 * width
        return count

    def stub(channels: int, width: int, groups: int, group_width: int) -> int:
        """channels in; width, groups and group width of the block (ResNet: 1 and 64) -> its weights."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield 64, 64, 1, 64  # res2's first block
        yield 256, 64, 1, 64
        yield 1024, 512, 1, 64  # res5's first block
        yield 2048, 512, 1, 64
        yield 64, 64, 32, 4
        yield 256, 64, 32, 4
        yield 512, 256, 64, 4
        yield 1024, 256, 64, 4
        yield 1024, 256, 32, 8

    tolerance = 1e-9

    class mistakes:
        def groups_ignored(channels, width, groups, group_width):
            """the groups are ignored: a group's 3×3 sees inner / groups channels, not all of them"""
            inner = groups * (width * group_width // 64)
            return block_parameters.answer(channels, width, groups, group_width) + 9 * (inner - inner // groups) * inner

        def groups_twice(channels, width, groups, group_width):
            """divided by the groups twice: a group has inner / groups channels in and out, but there are `groups`"""
            inner = groups * (width * group_width // 64)
            of_one = 9 * (inner // groups) ** 2
            return block_parameters.answer(channels, width, groups, group_width) - (groups - 1) * of_one

        def no_shortcut(channels, width, groups, group_width):
            """the shortcut's 1×1 convolution is missing, which is there where the channels change"""
            return block_parameters.answer(4 * width, width, groups, group_width) + (channels - 4 * width) * groups * (
                width * group_width // 64
            )

        def always_a_shortcut(channels, width, groups, group_width):
            """a shortcut's convolution in every block; where the channels agree, x itself goes through"""
            inner = groups * (width * group_width // 64)
            return channels * inner + 9 * (inner // groups) * inner + inner * 4 * width + channels * 4 * width

        def with_biases(channels, width, groups, group_width):
            """biases are counted; before a norm a convolution has none"""
            inner = groups * (width * group_width // 64)
            biases = 2 * inner + 4 * width * (1 if channels == 4 * width else 2)
            return block_parameters.answer(channels, width, groups, group_width) + biases

        def three_instead_of_nine(channels, width, groups, group_width):
            """a 3×3 kernel counts 3; it has 9 cells"""
            inner = groups * (width * group_width // 64)
            return block_parameters.answer(channels, width, groups, group_width) - 6 * (inner // groups) * inner

    class unusual:
        def by_building_it(channels, width, groups, group_width):
            from ..backbone import Bottleneck

            with torch.device("meta"):
                block = Bottleneck(channels, width, 1, lambda c: torch.nn.Identity(), groups, group_width)
            return sum(parameter.numel() for parameter in block.parameters())

        def group_by_group(channels, width, groups, group_width):
            own = width * group_width / 64  # channels of a group
            one = channels * own + 9 * own * own + own * 4 * width
            return groups * one + (0 if channels == 4 * width else channels * 4.0 * width)


class resnext_block(Exercise):
    text = """
A **ResNeXt block**, its norms left out: 1×1 (`w1 [D, C, 1, 1]`), ReLU, 3×3 in `groups` groups that keeps the size (`w2
[D, D / groups, 3, 3]`), ReLU, 1×1 (`w3 [C, D, 1, 1]`); then the input is **added**, and a ReLU comes last. With one
group it is a ResNet block. `F.conv2d(x, weight, padding=…, groups=…)` is at hand.
"""
    minutes, difficulty = 10, 2
    hints = (
        "The 3×3 needs a padding of 1, or its output is two cells smaller and can't be added.",
        "Between the last 1×1 and the addition there is no ReLU; after the addition there is one.",
    )

    def answer(x, w1, w2, w3, groups):
        inner = F.conv2d(x, w1).relu()
        inner = F.conv2d(inner, w2, padding=1, groups=groups).relu()
        return (x + F.conv2d(inner, w3)).relu()

    def stub(x: Tensor, w1: Tensor, w2: Tensor, w3: Tensor, groups: int) -> Tensor:
        """x [N, C, H, W]; w1 [D, C, 1, 1], w2 [D, D / groups, 3, 3], w3 [C, D, 1, 1] -> [N, C, H, W]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        for channels, inner, groups, side in ((2, 2, 1, 2), (4, 4, 2, 3), (4, 8, 4, 4), (6, 6, 3, 5), (8, 8, 8, 4)):
            sizes = (inner, channels, 1, 1), (inner, inner // groups, 3, 3), (channels, inner, 1, 1)
            weights = [torch.randn(size, generator=random) / 2 for size in sizes]
            yield torch.randn(2, channels, side, side, generator=random), *weights, groups

    class mistakes:
        def no_shortcut(x, w1, w2, w3, groups):
            """the input is not added"""
            return F.conv2d(branch(x, w1, w2, groups), w3).relu()

        def relu_before_the_sum(x, w1, w2, w3, groups):
            """the ReLU comes before the addition: the branch could then only add, never take away"""
            return x + F.conv2d(branch(x, w1, w2, groups), w3).relu()

        def no_last_relu(x, w1, w2, w3, groups):
            """the last ReLU is missing, after the addition"""
            return x + F.conv2d(branch(x, w1, w2, groups), w3)

        def linear_inside(x, w1, w2, w3, groups):
            """there is no ReLU between the convolutions: three linear maps in a row are one"""
            return (x + F.conv2d(F.conv2d(F.conv2d(x, w1), w2, padding=1, groups=groups), w3)).relu()

        def groups_dealt_out(x, w1, w2, w3, groups):
            """the channels are dealt out to the groups in turn; a group is a run of neighbouring channels"""
            inner = F.conv2d(x, w1).relu()
            inner = inner.unflatten(1, (-1, groups)).transpose(1, 2).flatten(1, 2)
            return (x + F.conv2d(F.conv2d(inner, w2, padding=1, groups=groups).relu(), w3)).relu()

    class unusual:
        def group_by_group_in_float64(x, w1, w2, w3, groups):
            inner = F.conv2d(x.double(), w1.double()).relu()
            pairs = zip(inner.chunk(groups, 1), w2.double().chunk(groups, 0))
            inner = torch.cat([F.conv2d(part, weight, padding=1) for part, weight in pairs], 1).relu()
            return (x + F.conv2d(inner, w3.double())).relu()

        def one_dense_convolution(x, w1, w2, w3, groups):
            blocks = [torch.block_diag(*w2[:, :, i, j].chunk(groups)) for i in range(3) for j in range(3)]
            dense = torch.stack(blocks, -1).unflatten(-1, (3, 3))
            x += F.conv2d(F.conv2d(F.conv2d(x, w1).relu_(), dense, padding=1).relu_(), w3)
            return x.relu_()


def branch(x, w1, w2, groups):
    """The block up to its last convolution."""
    return F.conv2d(F.conv2d(x, w1).relu(), w2, padding=1, groups=groups).relu()


class top_down(Exercise):
    text = """
The **top-down path** of the FPN. `laterals` are C2 … C5 after their 1×1 convolutions, finest first, all of C channels.
From the coarsest to the finest: **enlarge** what has been summed so far to the size of the next map (each cell
repeated, "nearest"), **add**. Give all sums, finest first (the 3×3 convolutions that smooth them come afterwards).
"""
    minutes, difficulty = 15, 2
    hints = (
        "The coarsest map is its own sum. Go on from it, backwards through the list.",
        "It is the SUM that is enlarged for the next level, not the lateral map.",
        "`F.interpolate(above, size=lateral.shape[-2:], mode='nearest')`: sizes need not be exactly half.",
    )

    def answer(laterals):
        sums = [laterals[-1]]
        for lateral in reversed(laterals[:-1]):
            above = F.interpolate(sums[0], size=lateral.shape[-2:], mode="nearest")
            sums.insert(0, lateral + above)
        return sums

    def stub(laterals: list[Tensor]) -> list[Tensor]:
        """laterals: L maps [N, C, Hl, Wl], finest first -> the sums, the same shapes."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        for sizes in (((2, 2), (1, 1)), ((4, 4), (2, 2), (1, 1)), ((8, 12), (4, 6), (2, 3)), ((7, 9), (4, 5), (2, 3))):
            yield ([torch.randn(1, 2, *size, generator=random) for size in sizes],)
        yield ([torch.randn(2, 3, 16 >> k, 24 >> k, generator=random) for k in range(4)],)

    class mistakes:
        def only_the_neighbour(laterals):
            """only the next map above is added; what is enlarged is the sum of all above it"""
            sums = zip(laterals, laterals[1:] + [torch.zeros(1, 1, 1, 1)])
            return [low + F.interpolate(high, size=low.shape[-2:]) for low, high in sums]

        def bottom_up(laterals):
            """this goes from the finest to the coarsest; meaning has to come down from the top"""
            sums = [laterals[0]]
            for lateral in laterals[1:]:
                sums.append(lateral + F.interpolate(sums[-1], size=lateral.shape[-2:], mode="nearest"))
            return sums

        def averaged(laterals):
            """the mean of the two is taken; they are added"""
            return down(laterals, lambda low, high: (low + F.interpolate(high, size=low.shape[-2:])) / 2)

        def bilinear(laterals):
            """enlarged bilinearly; the paper repeats cells (nearest)"""
            return down(laterals, lambda low, high: low + F.interpolate(high, size=low.shape[-2:], mode="bilinear"))

        def coarsest_first(laterals):
            """the sums come coarsest first; give them in the order of the laterals"""
            return top_down.answer(laterals)[::-1]

    class unusual:
        def by_index(laterals):
            sums = {len(laterals) - 1: laterals[-1].double()}
            for level in range(len(laterals) - 2, -1, -1):
                height, width = laterals[level].shape[-2:]
                above = sums[level + 1]
                rows = torch.arange(height) * above.shape[2] // height
                columns = torch.arange(width) * above.shape[3] // width
                sums[level] = laterals[level] + above[:, :, rows][:, :, :, columns]
            return tuple(sums[level] for level in range(len(laterals)))

        def in_place(laterals):
            for low, high in zip(laterals[-2::-1], laterals[:0:-1]):
                low += F.interpolate(high, size=low.shape[-2:], mode="nearest")
            return laterals


def down(laterals, merge):
    """The top-down path with another way to merge two maps."""
    sums = [laterals[-1]]
    for lateral in reversed(laterals[:-1]):
        sums.insert(0, merge(lateral, sums[0]))
    return sums


class pyramid_level(Exercise):
    text = """
**From which level is a box cropped?** FPN eq. 1: k = ⌊4 + log2(√(w · h) / 224)⌋, kept within 2 … 5. `boxes [R, 4]` in
pixels of the network's input → k, `[R]`. A box of 224 × 224, the size of the pictures of ImageNet, belongs to P4; one
of half its side is exactly P3's smallest.
"""
    minutes, difficulty = 10, 1
    hints = (
        "Width and height are differences; √(w · h) is the side of a square of the same area.",
        "`torch.log2`, then `.floor()`, then `.clamp(2, 5)`.",
    )

    def answer(boxes):
        width, height = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
        k = 4 + torch.log2((width * height).sqrt() / 224)
        return (k + 1e-6).floor().clamp(2, 5).long()  # 1e-6: a side of exactly 112 must not fall below P3

    def stub(boxes: Tensor) -> Tensor:
        """boxes [R, 4] (x1, y1, x2, y2) in pixels -> the level of each, 2..5, [R]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        for side in (224, 112, 448, 111, 223, 447, 160, 320, 20, 900):
            yield (torch.tensor([[10.0, 20, 10 + side, 20 + side]]),)
        yield (torch.tensor([[0.0, 0, 400, 50], [0, 0, 100, 790], [30, 40, 60, 560]]),)
        for _ in range(4):
            corner, side = torch.rand(8, 2, generator=random) * 300, 10 + 500 * torch.rand(8, 2, generator=random)
            yield (torch.cat([corner, corner + side], 1),)

    class mistakes:
        def rounded(boxes):
            """rounded to the nearest level, as in matterport's code: a box of 160 pixels then goes to P4; round down"""
            return (level_of(boxes) + 0.5).floor().clamp(2, 5)

        def area(boxes):
            """the root is missing: w · h is an area, and areas grow with the square"""
            sides = boxes[:, 2:] - boxes[:, :2]
            return (4 + torch.log2(sides.prod(1) / 224)).floor().clamp(2, 5)

        def longer_side(boxes):
            """the longer side decides; it is √(w · h), so that thin boxes are treated by their area"""
            side = (boxes[:, 2:] - boxes[:, :2]).amax(1)
            return (4 + torch.log2(side / 224) + 1e-6).floor().clamp(2, 5)

        def natural_logarithm(boxes):
            """a natural logarithm; levels differ by a factor of two, so log2"""
            return (4 + (level_of(boxes) - 4) * math.log(2) + 1e-6).floor().clamp(2, 5)

        def not_clamped(boxes):
            """levels below 2 and above 5 come out; there are no such maps: clamp"""
            return (level_of(boxes) + 1e-6).floor()

        def from_zero(boxes):
            """counted from 0; the levels are called 2 to 5 by their strides, 2^k"""
            return pyramid_level.answer(boxes) - 2

    class unusual:
        def by_comparison(boxes):
            areas = (boxes[:, 2:] - boxes[:, :2]).double().prod(1)
            return 2 + sum((areas >= side**2).int() for side in (112, 224, 448))

        def in_numpy(boxes):
            x1, y1, x2, y2 = np.asarray(boxes, dtype=np.float64).T
            return np.clip(np.floor(4 + 0.5 * np.log2((x2 - x1) * (y2 - y1) / 224**2 + 1e-12)), 2, 5)


def level_of(boxes):
    """k before rounding and clamping."""
    return 4 + torch.log2((boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt() / 224)


class c4_heads(Exercise):
    text = """
**Both heads of C4** (Figure 4, left) start from the *same* output of res5, `x [R, 2048, 7, 7]` (fewer channels here).
Box branch: the **average** over the cells, then a fully connected layer, `classes [K + 1, C]` (its bias and the boxes
are left out). Mask branch: a 2×2 **deconvolution** of stride 2 (`deconv [C, D, 2, 2]`, which doubles the sides), ReLU,
a 1×1 convolution (`masks [K, D, 1, 1]`). Return both as logits: `[R, K + 1]` and `[R, K, 14, 14]`.
"""
    minutes, difficulty = 15, 2
    hints = (
        "`x.mean((2, 3)) @ classes.T`.",
        "`F.conv_transpose2d(x, deconv, stride=2)`: each cell becomes 2 × 2, without overlap.",
    )

    def answer(x, classes, deconv, masks):
        class_logits = x.mean((2, 3)) @ classes.T
        twice_as_large = F.conv_transpose2d(x, deconv, stride=2).relu()
        return class_logits, F.conv2d(twice_as_large, masks)

    def stub(x: Tensor, classes: Tensor, deconv: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """x [R, C, S, S]; classes [K + 1, C], deconv [C, D, 2, 2], masks [K, D, 1, 1]
        -> class logits [R, K + 1], mask logits [R, K, 2S, 2S]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        for rois, channels, deep, num_classes, side in (
            (1, 1, 2, 1, 1),
            (2, 3, 2, 2, 2),
            (2, 4, 4, 3, 7),
            (3, 8, 4, 5, 7),
        ):
            sizes = (rois, channels, side, side), (num_classes + 1, channels), (channels, deep, 2, 2)
            yield (*[torch.randn(size, generator=random) for size in (*sizes, (num_classes, deep, 1, 1))],)

    class mistakes:
        def enlarged(x, classes, deconv, masks):
            """cells are repeated and convolved; a deconvolution gives each of the four its own weights"""
            large = F.interpolate(x, scale_factor=2, mode="nearest")
            mixed = F.conv2d(large, deconv.mean((2, 3)).T[:, :, None, None]).relu()
            return x.mean((2, 3)) @ classes.T, F.conv2d(mixed, masks)

        def no_relu(x, classes, deconv, masks):
            """the ReLU after the deconvolution is missing"""
            return x.mean((2, 3)) @ classes.T, F.conv2d(F.conv_transpose2d(x, deconv, stride=2), masks)

        def masks_from_the_average(x, classes, deconv, masks):
            """the mask branch starts from the average, which has no layout left; it takes res5's 7 × 7"""
            flat = x.mean((2, 3), keepdim=True).expand_as(x)
            return c4_heads.answer(x, classes, deconv, masks)[0], c4_heads.answer(flat, classes, deconv, masks)[1]

        def maximum(x, classes, deconv, masks):
            """the box branch takes the maximum over the cells; it is the average"""
            return x.amax((2, 3)) @ classes.T, c4_heads.answer(x, classes, deconv, masks)[1]

        def probabilities(x, classes, deconv, masks):
            """these are probabilities; give logits, the losses take them"""
            class_logits, mask_logits = c4_heads.answer(x, classes, deconv, masks)
            return class_logits.softmax(1), mask_logits.sigmoid()

        def no_deconvolution(x, classes, deconv, masks):
            """the masks are 7 × 7: the deconvolution doubles the sides"""
            small = F.conv2d(x, deconv.mean((2, 3)).T[:, :, None, None]).relu()
            return x.mean((2, 3)) @ classes.T, F.conv2d(small, masks)

    class unusual:
        def cell_by_cell(x, classes, deconv, masks):
            four = torch.einsum("rcij,cdab->rdiajb", x.double(), deconv.double()).relu()
            planes = torch.einsum("rdiajb,kd->rkiajb", four, masks[:, :, 0, 0].double())
            return F.linear(x.flatten(2).mean(2), classes), planes.flatten(4, 5).flatten(2, 3)

        def average_last(x, classes, deconv, masks):
            of_each_cell = torch.einsum(
                "rcij,kc->rkij", x, classes
            )  # the average may come after the layer: it is linear
            four = F.conv_transpose2d(x, deconv, stride=2).clamp(min=0)
            return [of_each_cell.mean((2, 3)), torch.tensordot(four, masks[:, :, 0, 0], ([1], [1])).permute(0, 3, 1, 2)]
