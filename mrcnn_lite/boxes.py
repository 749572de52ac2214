"""Boxes: THE convention, and what one does with them: area, IoU, encode and decode, clip, non-maximum suppression.

A box is [x1, y1, x2, y2] in continuous pixels. Pixel (row i, column j) covers the square [j, j+1) x [i, i+1), its
centre is (j + 0.5, i + 0.5); the width of a box is x2 - x1, never + 1; 0 <= x1 < x2 <= W. A whole image of H x W pixels
is the box [0, 0, W, H]. Sizes are (H, W).

Papers: Faster R-CNN eq. 2 (the deltas), section 3.3 (NMS). Letters: P, Q, G numbers of boxes.
Read next: `anchors.py`, then `matching.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# A delta may enlarge a box at most 1000/16 = 62.5 times: exp() of a wild early prediction stays finite (Detectron).
MAX_LOG_SCALE = math.log(1000.0 / 16)


def full_precision(x: Tensor) -> Tensor:
    """float16 and bfloat16 as float32, the rest as it is: boxes and losses need more than 8 bits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def area(boxes: Tensor) -> Tensor:
    """Areas in square pixels. boxes [..., 4] -> [...]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of every pair: a [P, 4], b [Q, 4] -> [P, Q] in 0..1. Two empty boxes give 0, not NaN."""
    # WHY one coordinate at a time: on a CPU the same operations on [P, Q, 2] take several times as long.
    ax1, ay1, ax2, ay2 = a[:, :, None].unbind(1)  # [P, 1] each
    bx1, by1, bx2, by2 = b.T.contiguous()  # [Q] each
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)  # [P, Q]; no overlap: 0,
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)  # not two negatives' product
    intersection = width * height  # [P, Q]
    union = area(a)[:, None] + area(b)[None, :] - intersection
    return intersection / union.clamp(min=torch.finfo(union.dtype).tiny)


def encode(anchors: Tensor, boxes: Tensor, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """The deltas (dx, dy, dw, dh) that turn `anchors` [P, 4] into `boxes` [P, 4]; -> [P, 4] (Faster R-CNN eq. 2).

    The weights bring the four to about unit variance: (10, 10, 5, 5) in the box head, 1 in the RPN.
    """
    anchor_size, anchor_centre = (
        anchors[:, 2:] - anchors[:, :2],
        (anchors[:, :2] + anchors[:, 2:]) / 2,
    )  # [P, 2]
    size, centre = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    dx, dy = ((centre - anchor_centre) / anchor_size).unbind(1)
    dw, dh = torch.log(size / anchor_size).unbind(1)
    wx, wy, ww, wh = weights  # numbers, not a tensor: to copy one to a GPU would make the host wait
    return torch.stack([wx * dx, wy * dy, ww * dw, wh * dh], dim=1)


def decode(anchors: Tensor, deltas: Tensor, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """The inverse of `encode`: anchors [..., 4], deltas [..., 4] -> boxes [..., 4]; leading dimensions broadcast."""
    dx, dy, dw, dh = (delta / weight for delta, weight in zip(deltas.unbind(-1), weights))
    width, height = anchors[..., 2] - anchors[..., 0], anchors[..., 3] - anchors[..., 1]
    x, y = anchors[..., 0] + width / 2 + dx * width, anchors[..., 1] + height / 2 + dy * height  # centre
    half_width = width * torch.exp(dw.clamp(max=MAX_LOG_SCALE)) / 2
    half_height = height * torch.exp(dh.clamp(max=MAX_LOG_SCALE)) / 2
    return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=-1)


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes [..., 4] cut at the border of an image of `size` (H, W)."""
    height, width = size
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack([x, y], dim=-1).flatten(-2)  # (x1, y1), (x2, y2) -> x1 y1 x2 y2


def at_least(boxes: Tensor, side: float) -> Tensor:
    """Whether width and height are both at least `side` pixels. boxes [..., 4] -> bool [...]."""
    return ((boxes[..., 2:] - boxes[..., :2]) >= side).all(-1)


def nms_reference(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression to read: the best box stays, whatever overlaps it by MORE than the threshold goes.

    boxes [P, 4], scores [P] -> indices of the kept boxes by falling score [at most P].
    """
    order = scores.argsort(descending=True, stable=True)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        overlap = iou(boxes[best][None], boxes[order])[0]
        order = order[overlap <= iou_threshold]
    return torch.stack(kept) if kept else order


def batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """NMS inside each group (a class, a pyramid level, an image): boxes of different groups never suppress each other.

    boxes [P, 4], scores [P], groups int64 [P] -> kept indices by falling score. torchvision's compiled operation: at
    1,000 boxes `nms_reference` takes 12 to 49 times as long.
    """
    from torchvision.ops import batched_nms as compiled  # here: importing torchvision takes seconds

    return compiled(boxes, scores.to(boxes.dtype), groups, iou_threshold)
