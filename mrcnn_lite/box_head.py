"""The box head: which class an RoI shows, and where exactly its box is (Fast R-CNN).

Layers, losses and the way from logits to detections stand side by side. All boxes are in network-input pixels.

Papers: Fast R-CNN sections 2.1 and 2.3; Mask R-CNN section 3 and Figure 4. Letters: R RoIs over the batch, K foreground
classes, C channels, S the crop's side. Read next: `mask_head.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import boxes as box_ops
from .backbone import NormLayer, convolution
from .distributed import mean_over_processes
from .matching import SampledRoIs
from .roi_ops import RoIPooler

SMOOTH_L1_BETA = 1 / 9  # as in the RPN


def fully_connected(in_channels: int, size: int, convs: Sequence[int], fcs: Sequence[int], norm: NormLayer | None):
    """The body of Figure 4, right: crop [R, C, S, S] -> (3x3 convolutions) -> FCs -> [R, fcs[-1]]."""
    layers: list[nn.Module] = []
    for channels in convs:
        layers += [convolution(in_channels, channels, 3, norm), nn.ReLU()]
        in_channels = channels
    layers.append(nn.Flatten())
    width = in_channels * size * size
    for channels in fcs:
        layers += [nn.Linear(width, channels), nn.ReLU()]
        width = channels
    return nn.Sequential(*layers)


def averaged(res5: nn.Module) -> nn.Sequential:
    """The body of Figure 4, left: crop [R, 1024, 7, 7] -> res5 -> [R, 2048, 7, 7] -> average -> [R, 2048]."""
    return nn.Sequential(res5, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class BoxHead(nn.Module):
    """Pooler, body, and two sibling layers: K + 1 class logits and a box for each of the K + 1 classes.

    WHY a box for the background too: torchvision's weights have it; nothing trains or reads it.
    """

    def __init__(
        self,
        pooler: RoIPooler,
        body: nn.Module,
        body_channels: int,
        num_classes: int,
        weights: Sequence[float] = (10.0, 10.0, 5.0, 5.0),
        score_threshold: float = 0.05,
        nms_iou: float = 0.5,
        max_detections: int = 100,
        min_side: float = 1e-2,
    ) -> None:
        super().__init__()
        self.pooler, self.body = pooler, body
        self.cls_score = nn.Linear(body_channels, num_classes)
        self.bbox_pred = nn.Linear(body_channels, num_classes * 4)
        self.weights = tuple(weights)
        self.score_threshold, self.nms_iou = score_threshold, nms_iou
        self.max_detections, self.min_side = max_detections, min_side
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.normal_(self.bbox_pred.weight, std=0.001)
        nn.init.zeros_(self.cls_score.bias)
        nn.init.zeros_(self.bbox_pred.bias)

    def forward(self, features: list[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        """features: L maps; rois [R, 5] -> class logits [R, K + 1], deltas [R, K + 1, 4] relative to the RoIs."""
        x = self.body(self.pooler(features, rois))
        logits, deltas = box_ops.full_precision(self.cls_score(x)), box_ops.full_precision(self.bbox_pred(x))
        return logits, deltas.view(len(rois), -1, 4)

    def losses(self, logits: Tensor, deltas: Tensor, sampled: SampledRoIs) -> dict[str, Tensor]:
        """Cross-entropy over K + 1 classes; smooth L1 on the positive RoIs, for the true class's box only.

        Both are divided by the number of sampled RoIs (Fast R-CNN eq. 1: the box loss of background is 0).
        """
        cross_entropy = F.cross_entropy(logits, sampled.labels, reduction="sum")
        positive = sampled.positive
        gt_deltas = box_ops.encode(sampled.rois[positive, 1:], sampled.gt_boxes[positive], self.weights)
        pred_deltas = deltas[positive, sampled.labels[positive]]  # [positives, 4]
        distance = F.smooth_l1_loss(pred_deltas, gt_deltas, beta=SMOOTH_L1_BETA, reduction="sum")
        return {
            "loss_classifier": mean_over_processes(cross_entropy, len(sampled.labels)),
            "loss_box_reg": mean_over_processes(distance, len(sampled.labels)),
        }

    @torch.no_grad()
    def detections(
        self, logits: Tensor, deltas: Tensor, proposals: list[Tensor], image_sizes: list[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        """Refined boxes above the score threshold, suppressed a class, the best `max_detections` an image.

        logits [R, K + 1], deltas [R, K + 1, 4] of the RoIs of all images in turn; proposals: a list of [P, 4];
        image_sizes: true (H, W) -> a dict an image: boxes [D, 4], labels [D] (1..K), scores [D], best first.
        """
        prob = logits.softmax(dim=1)
        counts = [len(p) for p in proposals]
        boxes = box_ops.decode(torch.cat(proposals)[:, None], deltas, self.weights)  # [R, K + 1, 4]
        detections = []
        for boxes_i, prob_i, size in zip(boxes.split(counts), prob.split(counts), image_sizes):
            boxes_i = box_ops.clip(boxes_i, size)
            wanted = (prob_i > self.score_threshold) & box_ops.at_least(boxes_i, self.min_side)  # [P, K + 1]
            wanted[:, 0] = False  # background is no detection
            roi, label = wanted.nonzero(as_tuple=True)
            # One RoI can give several classes: [D', 4], [D'].
            boxes_i, scores_i = boxes_i[roi, label], prob_i[roi, label]
            keep = box_ops.batched_nms(boxes_i, scores_i, label, self.nms_iou)[: self.max_detections]
            detections.append({"boxes": boxes_i[keep], "labels": label[keep], "scores": scores_i[keep]})
        return detections
