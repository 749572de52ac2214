"""Region Proposal Network: from feature maps to a few hundred boxes that probably hold an object, of whatever class.

A small convolutional network slides over every map and gives each anchor an objectness logit and four deltas. Here are
its layers, its targets and two losses, and the way from its outputs to proposals.

Papers: Faster R-CNN section 3.1 (eq. 1, 2); FPN section 4.1. Letters: N images, L levels, H W size, A anchors a cell, P
anchors of one image over all levels. Read next: `matching.py` if you skipped it, then `box_head.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import boxes as box_ops
from .anchors import AnchorGrid
from .distributed import mean_over_processes
from .matching import match, sample

SMOOTH_L1_BETA = 1 / 9  # Detectron and torchvision: quadratic below a ninth


class RPNHead(nn.Module):
    """3x3 convolution(s) and two sibling 1x1, the same on all levels."""

    def __init__(self, channels: int, num_anchors: int, num_layers: int = 1) -> None:
        super().__init__()
        layers = [nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()) for _ in range(num_layers)]
        self.conv = nn.Sequential(*layers)
        self.cls_logits = nn.Conv2d(channels, num_anchors, 1)
        self.bbox_pred = nn.Conv2d(channels, 4 * num_anchors, 1)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.normal_(part.weight, std=0.01)
                nn.init.zeros_(part.bias)  # type: ignore[arg-type]

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """One map [N, C, H, W] -> logits [N, H*W*A], deltas [N, H*W*A, 4], in the order of `grid_anchors`."""
        x = self.conv(feature)
        logits = self.cls_logits(x)  # [N, A, H, W]
        n, a, h, w = logits.shape
        logits = logits.permute(0, 2, 3, 1).reshape(n, h * w * a)  # [N, A, H, W] -> [N, H, W, A] -> [N, H*W*A]
        deltas = self.bbox_pred(x).view(n, a, 4, h, w)  # [N, 4*A, H, W] -> [N, A, 4, H, W]
        deltas = deltas.permute(0, 3, 4, 1, 2).reshape(n, h * w * a, 4)  # -> [N, H, W, A, 4] -> [N, H*W*A, 4]
        return logits, deltas


class RPNOutput(NamedTuple):
    """What the RPN says of every anchor; P runs over all levels, finest first."""

    logits: Tensor  # [N, P] objectness
    deltas: Tensor  # [N, P, 4] (dx, dy, dw, dh), relative to the anchors
    anchors: Tensor  # [P, 4] input pixels
    level_sizes: list[int]  # anchors a level, L numbers with the sum P


class Proposals(NamedTuple):
    """The proposals of each image, best first."""

    boxes: list[Tensor]  # N times [at most post_nms, 4], input pixels, clipped
    scores: list[Tensor]  # N times [the same], objectness probability


class RPN(nn.Module):
    """Head and anchors with the settings of matching, sampling and proposing (see `Config` for their units)."""

    def __init__(
        self,
        head: RPNHead,
        anchor_grid: AnchorGrid,
        fg_iou: float = 0.7,
        bg_iou: float = 0.3,
        num_samples: int = 256,
        positive_fraction: float = 0.5,
        nms_iou: float = 0.7,
        min_side: float = 1e-3,
    ) -> None:
        super().__init__()
        self.head, self.anchor_grid = head, anchor_grid
        self.fg_iou, self.bg_iou = fg_iou, bg_iou
        self.num_samples, self.positive_fraction = num_samples, positive_fraction
        self.nms_iou, self.min_side = nms_iou, min_side

    def forward(self, features: list[Tensor], image_size: tuple[int, int]) -> RPNOutput:
        """features: L maps [N, C, Hl, Wl]; image_size: (H, W) of the padded input."""
        outputs = [self.head(feature) for feature in features]
        grids = [(feature.shape[-2], feature.shape[-1]) for feature in features]
        anchors = self.anchor_grid(grids, image_size)
        logits = box_ops.full_precision(torch.cat([logits for logits, _ in outputs], dim=1))
        deltas = box_ops.full_precision(torch.cat([deltas for _, deltas in outputs], dim=1))
        return RPNOutput(logits, deltas, torch.cat(anchors), [len(level) for level in anchors])

    def losses(
        self, output: RPNOutput, targets: list[dict[str, Tensor]], generators: list[torch.Generator]
    ) -> dict[str, Tensor]:
        """Faster R-CNN eq. 1: binary cross-entropy on sampled anchors, smooth L1 on the positive ones.

        Both are divided by the number of sampled anchors, positive and negative.
        """
        objectness, regression, count = [], [], []
        for logits, deltas, target, generator in zip(output.logits, output.deltas, targets, generators):
            matched = match(target["boxes"], output.anchors, self.fg_iou, self.bg_iou, best_anchor_rule=True)
            index, keep = sample(matched, self.num_samples, self.positive_fraction, generator)
            matched = matched[index]  # [n], n = most positives + most negatives
            positive = (matched >= 0) & keep
            cross_entropy = F.binary_cross_entropy_with_logits(
                logits[index], positive.to(logits.dtype), reduction="none"
            )
            objectness.append(torch.where(keep, cross_entropy, 0.0).sum())
            # An image without objects: its anchors stand in, their loss is masked out, the graph stays whole.
            gt = torch.cat([target["boxes"], output.anchors[:1]])[matched.clamp(min=-1)]  # [n, 4]
            gt_deltas = box_ops.encode(output.anchors[index], gt)
            distance = F.smooth_l1_loss(deltas[index], gt_deltas, beta=SMOOTH_L1_BETA, reduction="none")
            regression.append(torch.where(positive[:, None], distance, 0.0).sum())
            count.append(keep.sum())
        total = torch.stack(count).sum()
        return {
            "loss_objectness": mean_over_processes(torch.stack(objectness).sum(), total),
            "loss_rpn_box_reg": mean_over_processes(torch.stack(regression).sum(), total),
        }

    @torch.no_grad()
    def proposals(
        self, output: RPNOutput, image_sizes: list[tuple[int, int]], pre_nms: int, post_nms: int
    ) -> Proposals:
        """The best `pre_nms` anchors a level, decoded, clipped, suppressed a level, and the best `post_nms` an image.

        image_sizes: true (H, W) of each image without padding. No gradient: approximate joint training (Mask R-CNN,
        appendix B) treats proposals as given.
        """
        boxes, scores, levels = [], [], []
        start = 0
        for level, size in enumerate(output.level_sizes):
            top, index = output.logits[:, start : start + size].topk(min(pre_nms, size), dim=1)  # [N, k]
            index = index + start
            deltas = output.deltas.gather(1, index[..., None].expand(-1, -1, 4))  # [N, k, 4]
            boxes.append(box_ops.decode(output.anchors[index], deltas))  # [N, k, 4]
            scores.append(top.sigmoid())
            levels.append(torch.full_like(index[0], level))  # [k]
            start += size
        of_level = torch.cat(levels)  # [k over levels]
        kept_boxes, kept_scores = [], []
        for boxes_i, scores_i, image_size in zip(torch.cat(boxes, dim=1), torch.cat(scores, dim=1), image_sizes):
            boxes_i = box_ops.clip(boxes_i, image_size)
            # A box without an area takes the lowest score instead of being cut out: before NMS no size depends on data.
            scores_i = torch.where(box_ops.at_least(boxes_i, self.min_side), scores_i, -1.0)
            keep = box_ops.batched_nms(boxes_i, scores_i, of_level, self.nms_iou)[:post_nms]
            keep = keep[scores_i[keep] >= 0]
            kept_boxes.append(boxes_i[keep])
            kept_scores.append(scores_i[keep])
        return Proposals(kept_boxes, kept_scores)
