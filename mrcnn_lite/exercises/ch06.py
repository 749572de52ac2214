"""Exercises of chapter 06, the mask branch: the target, the loss on one plane, no gradient on the others, pasting back.

Letters: R positive RoIs, K foreground classes, M side of a mask, H W size of an image.
Read next: `mrcnn_lite/mask_head.py`, which holds most answers.
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

from .. import mask_head
from .exercise import Exercise


def random_masks(count: int, num_classes: int, side: int, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Logits [R, K, M, M], labels [R] in 1..K, targets [R, M, M] of 0 and 1."""
    logits = torch.randn(count, num_classes, side, side, generator=random) * 2
    labels = torch.randint(1, num_classes + 1, (count,), generator=random)
    return logits, labels, (torch.rand(count, side, side, generator=random) > 0.5).float()


class mask_loss(Exercise):
    text = """
Write **L_mask** (section 3): `logits [R, K, M, M]` of the positive RoIs, `labels [R]` in **1..K**, `targets [R, M,
M]` of 0 and 1 → the mean over RoIs and pixels of the binary cross-entropy, **on the mask of the true class only**.
Without RoIs it is 0.
"""
    minutes, difficulty = 15, 2
    hints = (
        "Classes count from 1, planes from 0: class k is plane k - 1.",
        "`logits[torch.arange(R), labels - 1]` is [R, M, M].",
        "`F.binary_cross_entropy_with_logits` takes logits; no sigmoid before it. The mean of nothing is NaN.",
    )

    def answer(logits, labels, targets):
        return mask_head.sigmoid_loss(logits, labels, targets) / max(targets.numel(), 1)

    def stub(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """logits [R, K, M, M], labels [R] in 1..K, targets [R, M, M] -> the loss, a number."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        plane = torch.tensor([[[[2.0]], [[-1.0]], [[0.5]]]])
        for label in (1, 2, 3):
            for pixel in (0.0, 1.0):
                yield plane, torch.tensor([label]), torch.full((1, 1, 1), pixel)
        yield torch.zeros(0, 3, 2, 2), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2, 2)
        for count, num_classes, side in ((2, 2, 2), (3, 4, 5), (8, 6, 14)):
            yield random_masks(count, num_classes, side, random)
        yield torch.full((1, 2, 1, 1), 80.0), torch.tensor([1]), torch.zeros(1, 1, 1)  # sigmoid rounds to 1 here

    class mistakes:
        def plane_k(logits, labels, targets):
            """class k is read from plane k; planes count from 0, so it is plane k - 1"""
            planes = logits[torch.arange(len(labels)), labels % logits.shape[1]]
            return F.binary_cross_entropy_with_logits(planes, targets, reduction="sum") / max(targets.numel(), 1)

        def all_classes(logits, labels, targets):
            """the loss is taken on all classes' planes; only the true class's mask takes part"""
            one_hot = F.one_hot(labels - 1, logits.shape[1])[:, :, None, None] * targets[:, None]
            loss = F.binary_cross_entropy_with_logits(logits, one_hot.float(), reduction="sum")
            return loss / max(one_hot.numel(), 1)

        def softmax_over_classes(logits, labels, targets):
            """a softmax over the classes, which makes them compete for every pixel: take a sigmoid of one plane"""
            chosen = logits.softmax(1)[torch.arange(len(labels)), labels - 1].clamp(1e-6, 1 - 1e-6)
            return F.binary_cross_entropy(chosen, targets, reduction="sum") / max(targets.numel(), 1)

        def sigmoid_twice(logits, labels, targets):
            """a sigmoid before `binary_cross_entropy_with_logits`, which takes another"""
            return mask_loss.answer(logits.sigmoid(), labels, targets)

        def summed(logits, labels, targets):
            """the loss is a sum; take the mean over RoIs and pixels"""
            return mask_head.sigmoid_loss(logits, labels, targets)

        def mean_over_rois_only(logits, labels, targets):
            """the sum over pixels is divided by the number of RoIs only; divide by R * M * M"""
            return mask_head.sigmoid_loss(logits, labels, targets) / max(len(labels), 1)

    class unusual:
        def by_hand_in_float64(logits, labels, targets):
            z = logits.double()[torch.arange(len(labels)), labels - 1]
            loss = z.clamp(min=0) - z * targets + torch.log1p(torch.exp(-z.abs()))
            return loss.mean() if len(labels) else 0.0

        def roi_by_roi(logits, labels, targets):
            total = 0.0
            for planes, label, target in zip(logits, labels.tolist(), targets):
                total += F.binary_cross_entropy_with_logits(planes[label - 1], target).item()
            return total / max(len(labels), 1)


class other_planes(Exercise):
    text = """
**No competition between classes**, as a theorem: give the gradient of L_mask with respect to all the logits, `[R, K,
M, M]`, by hand. On the true class's plane it is (σ(z) − y) / (R · M²). And on every other plane?
"""
    minutes, difficulty = 15, 2
    hints = (
        "A logit that does not appear in the loss has the derivative 0.",
        "Begin with zeros of the logits' shape and fill one plane of each RoI.",
    )

    def answer(logits, labels, targets):
        logits = logits.clone().requires_grad_()
        mask_loss.answer(logits, labels, targets).backward()
        return logits.grad

    def stub(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """logits [R, K, M, M], labels [R] in 1..K, targets [R, M, M] -> d loss / d logits, [R, K, M, M]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield torch.tensor([[[[2.0]], [[-1.0]]]]), torch.tensor([1]), torch.ones(1, 1, 1)
        yield torch.tensor([[[[2.0]], [[-1.0]]]]), torch.tensor([2]), torch.zeros(1, 1, 1)
        for count, num_classes, side in ((2, 3, 2), (4, 5, 4)):
            yield random_masks(count, num_classes, side, random)

    class mistakes:
        def every_plane(logits, labels, targets):
            """every plane gets a gradient, as if it were a separate target of zeros; the others have none at all"""
            one_hot = F.one_hot(labels - 1, logits.shape[1])[:, :, None, None] * targets[:, None]
            return (logits.sigmoid() - one_hot) / targets.numel()

        def softmax(logits, labels, targets):
            """this is the gradient of a softmax, p - y on every plane: there the classes do compete"""
            one_hot = F.one_hot(labels - 1, logits.shape[1])[:, :, None, None] * targets[:, None]
            return (logits.softmax(1) - one_hot) / targets.numel()

        def sign(logits, labels, targets):
            """the sign is turned: σ(z) - y, so that a step downhill raises z where y is 1"""
            return -other_planes.answer(logits, labels, targets)

        def not_divided(logits, labels, targets):
            """the mean is missing: divide by R * M * M"""
            return other_planes.answer(logits, labels, targets) * targets.numel()

    class unusual:
        def filled_in(logits, labels, targets):
            grad = torch.zeros_like(logits, dtype=torch.float64)
            for r, k in enumerate(labels.tolist()):
                grad[r, k - 1] = (logits[r, k - 1].sigmoid() - targets[r]) / targets.numel()
            return grad

        def masked(logits, labels, targets):
            mine = np.eye(logits.shape[1])[np.asarray(labels) - 1][:, :, None, None]
            prob = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
            return (prob - np.asarray(targets)[:, None]) * mine / targets.numel()


class softmax_loss(Exercise):
    text = """
The comparison of **Table 2b**: every pixel chooses ONE of background and K classes, as an FCN does. `logits [R, K +
1, M, M]` with the background in plane 0, `labels [R]` in 1..K, `targets [R, M, M]` of 0 and 1 → the mean
cross-entropy of the pixels.
"""
    minutes, difficulty = 10, 2
    hints = (
        "Where the target is 1 the pixel's class is the RoI's label, elsewhere it is 0.",
        "`F.cross_entropy` takes logits [R, K + 1, M, M] and classes [R, M, M].",
    )

    def answer(logits, labels, targets):
        return mask_head.softmax_loss(logits, labels, targets) / targets.numel()

    def stub(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """logits [R, K + 1, M, M], labels [R] in 1..K, targets [R, M, M] -> the loss, a number."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        plane = torch.tensor([[[[2.0]], [[-1.0]], [[0.5]]]])
        for label in (1, 2):
            for pixel in (0.0, 1.0):
                yield plane, torch.tensor([label]), torch.full((1, 1, 1), pixel)
        for count, num_classes, side in ((2, 2, 2), (3, 4, 5)):
            logits, labels, targets = random_masks(count, num_classes + 1, side, random)
            yield logits, labels.clamp(max=num_classes), targets

    class mistakes:
        def no_background(logits, labels, targets):
            """the background has no plane here: pixels outside the object must choose plane 0"""
            inside = targets > 0
            loss = F.cross_entropy(logits, labels[:, None, None].expand_as(targets), reduction="none")
            return (loss * inside).sum() / targets.numel()

        def sigmoid(logits, labels, targets):
            """this is the sigmoid loss of one plane; here all planes take part in one softmax"""
            return mask_head.sigmoid_loss(logits[:, 1:], labels, targets) / targets.numel()

        def planes_from_zero(logits, labels, targets):
            """class k is read from plane k - 1; the background takes plane 0, so class k has plane k"""
            classes = ((labels[:, None, None] - 1) * targets).long()
            return F.cross_entropy(logits, classes)

    class unusual:
        def from_logarithms(logits, labels, targets):
            log_prob = logits.double() - logits.double().logsumexp(1, keepdim=True)
            chosen = log_prob[torch.arange(len(labels)), labels]
            return -(targets * chosen + (1 - targets) * log_prob[:, 0]).mean()

        def torchs_own(logits, labels, targets):
            return F.cross_entropy(logits, (labels[:, None, None] * targets).long())


class mask_target(Exercise):
    text = """
The target is the intersection of RoI and mask: cut `mask [H, W]` (0 and 1) to `box` (x1, y1, x2, y2), a
box of **whole** pixels here, and resize it to `size` × `size` by averaging: each cell holds the share of its area
that the object covers, between 0 and 1. Outside the image there is no object.
"""
    minutes, difficulty = 20, 3
    hints = (
        "Without resizing it is `mask[y1:y2, x1:x2]`.",
        "The sides here are multiples of `size`: a cell is the mean of a block of whole pixels.",
    )

    def answer(mask, box, size):
        whole = torch.zeros(mask.shape[0] + 64, mask.shape[1] + 64)  # zeros around it
        whole[32:-32, 32:-32] = mask
        roi = torch.tensor([box], dtype=torch.float32) + 32
        return mask_head.crop_masks(whole[None], torch.zeros(1, dtype=torch.int64), roi, size)[0]

    def stub(mask: Tensor, box: list[int], size: int) -> Tensor:
        """mask [H, W] of 0 and 1, box of whole pixels whose sides are multiples of size -> target [size, size]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        square = torch.zeros(6, 8)
        square[1:4, 2:7] = 1
        yield square, [2, 1, 4, 3], 2
        yield square, [0, 0, 8, 4], 2
        yield square, [1, 0, 7, 6], 3
        yield square, [4, 2, 10, 8], 2  # reaches outside
        noise = (torch.rand(24, 30, generator=random) > 0.5).float()
        yield noise, [3, 2, 17, 16], 7
        yield noise, [5, 0, 19, 21], 7

    class mistakes:
        def whole_mask(mask, box, size):
            """the whole mask is resized; cut it to the box first"""
            return F.interpolate(mask[None, None], size=(size, size), mode="area")[0, 0]

        def thresholded(mask, box, size):
            """the target is rounded to 0 and 1; it may lie between where a cell is covered in part"""
            return (mask_target.answer(mask, box, size) >= 0.5).float()

        def exchanged(mask, box, size):
            """rows and columns are exchanged: mask[y1:y2, x1:x2]"""
            x1, y1, x2, y2 = box
            return mask_target.answer(mask.T, [x1, y1, x2, y2], size)

        def nearest(mask, box, size):
            """one pixel of each cell is taken instead of the mean of all"""
            x1, y1, x2, y2 = box
            canvas = F.pad(mask, (32, 32, 32, 32))[y1 + 32 : y2 + 32, x1 + 32 : x2 + 32]
            return canvas[:: (y2 - y1) // size, :: (x2 - x1) // size]

        def one_too_many(mask, box, size):
            """x2 and y2 count as pixels of the box; it ends before them"""
            x1, y1, x2, y2 = box
            canvas = F.pad(mask, (32, 32, 32, 32))[None, None, y1 + 32 : y2 + 33, x1 + 32 : x2 + 33]
            return F.interpolate(canvas, size=(size, size), mode="area")[0, 0]

    class unusual:
        def adaptive_pooling(mask, box, size):
            x1, y1, x2, y2 = box
            canvas = F.pad(mask, (32, 32, 32, 32))[None, y1 + 32 : y2 + 32, x1 + 32 : x2 + 32]
            return F.adaptive_avg_pool2d(canvas.double(), size)[0]

        def in_blocks(mask, box, size):
            x1, y1, x2, y2 = box
            canvas = np.pad(np.asarray(mask), 32)[y1 + 32 : y2 + 32, x1 + 32 : x2 + 32]
            height, width = (y2 - y1) // size, (x2 - x1) // size
            return canvas.reshape(size, height, size, width).mean((1, 3))


class threshold_last(Exercise):
    text = """
From the small mask back to pixels: `prob [M, M]` in 0..1 is enlarged `factor` times (bilinearly,
`align_corners=False`), and a pixel belongs to the object where the result is above 0.5 (section 3.1). Which comes
**first**, the enlargement or the threshold?
"""
    minutes, difficulty = 5, 1
    hints = (
        "A threshold throws away how sure a cell is; with it goes the sub-pixel position of the border.",
        "`F.interpolate(prob[None, None], scale_factor=factor, mode='bilinear')[0, 0] > 0.5`.",
    )

    def answer(prob, factor):
        return F.interpolate(prob[None, None], scale_factor=factor, mode="bilinear")[0, 0] > 0.5

    def stub(prob: Tensor, factor: int) -> Tensor:
        """prob [M, M] in 0..1 -> whether each pixel is the object's, [M * factor, M * factor]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield torch.tensor([[0.9, 0.2], [0.6, 0.1]]), 2
        yield torch.tensor([[0.9, 0.3]]).expand(2, 2), 4
        for side, factor in ((3, 3), (7, 5)):
            yield torch.rand(side, side, generator=random), factor

    class mistakes:
        def threshold_first(prob, factor):
            """the threshold comes first: the border then lies on cells' borders or halfway between their centres"""
            return threshold_last.answer((prob > 0.5).float(), factor)

        def nearest(prob, factor):
            """each cell is simply repeated; interpolate between the centres of the cells"""
            return prob.repeat_interleave(factor, 0).repeat_interleave(factor, 1) > 0.5

        def corners_aligned(prob, factor):
            """the corners are aligned: the outermost cells' centres are put on the outermost pixels, half a cell off"""
            side = prob.shape[0] * factor
            return F.interpolate(prob[None, None], size=side, mode="bilinear", align_corners=True)[0, 0] > 0.5

        def probabilities(prob, factor):
            """the threshold is missing"""
            return F.interpolate(prob[None, None], scale_factor=factor, mode="bilinear")[0, 0]

    class unusual:
        def pasted(prob, factor):
            side = float(prob.shape[0] * factor)
            box = torch.tensor([[0.0, 0, side, side]])
            return mask_head.paste(prob[None], box, (int(side), int(side)))[0]

        def as_numbers(prob, factor):
            wide = F.interpolate(prob.double()[None, None], scale_factor=factor, mode="bilinear")[0, 0]
            return torch.where(wide > 0.5, 1, 0)
