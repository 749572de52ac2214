"""Mask R-CNN, put together: the walk images -> backbone -> RPN -> sampled RoIs or detected boxes -> heads.

`MaskRCNN.losses` is the walk in training, `MaskRCNN.detect` the one in use; each stage is a method that can be called
alone, and none keeps anything. The parts are chosen in `build.py`.

Paper: Mask R-CNN section 3. Letters: N images, R RoIs over the batch, D detections of one image, M mask side.
Read next: any part that you meet here, then `build.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .box_head import BoxHead
from .checks import KEY_OF_HEAD, check_batch, check_images
from .config import Config
from .images import Batch, ImageTransform
from .keypoint_head import KeypointHead, decode_heatmaps
from .mask_head import MaskHead, paste
from .matching import SampledRoIs, generators, sample_rois
from .rpn import RPN, Proposals, RPNOutput


class MaskRCNN(nn.Module):
    """Faster R-CNN, with a mask head and a keypoint head where they are in `heads`.

    Made by `build_model(config)`. `losses` and `detect` do not depend on `train()` or `eval()` (but for BatchNorm, if
    the backbone has it), so a validation loss is `losses` under `torch.no_grad()`.
    """

    def __init__(
        self,
        config: Config,
        image_transform: ImageTransform,
        backbone: nn.Module,
        rpn: RPN,
        heads: dict[str, nn.Module],
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.image_transform, self.backbone, self.rpn = image_transform, backbone, rpn
        self.heads = nn.ModuleDict(heads)
        numbered = [f"class {k}" for k in range(1, config.num_classes)]
        self.class_names: tuple[str, ...] = tuple(class_names or ["background", *numbered])
        self.check_inputs = True  # False saves the checks of a data set that has passed them once

    def forward(
        self,
        images: Sequence[Tensor],
        targets: Sequence[dict[str, Tensor]] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """`losses` where targets are given, in either mode; else `detect`, but ValueError in train mode."""
        if targets is None and self.training:
            raise ValueError(
                "targets: None in train mode: pass one dict an image, or call model.eval() or model.detect()"
            )
        return self.detect(images) if targets is None else self.losses(images, targets, seeds)

    def losses(
        self,
        images: Sequence[Tensor],
        targets: Sequence[dict[str, Tensor]],
        seeds: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """The multi-task loss L = L_cls + L_box + L_mask of the heads, and the RPN's two, by name, to be summed.

        images: N times float [3, H, W] in 0..1, of any sizes. targets: N dicts with boxes [G, 4] (x1, y1, x2, y2 in
        pixels of the image), labels int64 [G] in 1..K, masks [G, H, W] of 0 and 1, keypoints [G, J, 3]. seeds: one
        integer an image on which the sampling depends (else torch's generator). Raises ValueError for input that does
        not fit, naming image and object.
        """
        if self.check_inputs:
            config = self.config
            check_batch(images, targets, config.num_classes, config.heads, config.num_keypoints)
        batch, objects = self.prepare(images, targets)
        draw = generators(seeds, len(images), batch.images.device)
        features = self.backbone(batch.images)
        rpn_output = self.rpn(features, batch.size)
        losses = self.rpn.losses(rpn_output, objects, draw)
        sampled = self.sample(self.propose(rpn_output, batch, train=True), objects, draw)
        losses.update(self.head_losses(features, sampled, objects))
        return losses

    @torch.no_grad()
    def detect(self, images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """The objects of each image, best first, in the pixels of the image.

        -> N dicts: boxes [D, 4], labels int64 [D], scores [D]; with a mask head masks bool [D, H, W] and mask_probs
        [D, M, M] (before pasting); with a keypoint head keypoints [D, J, 3] and keypoint_scores [D, J].
        """
        if self.check_inputs:
            check_images(images)
        batch, _ = self.prepare(images)
        features = self.backbone(batch.images)
        proposals = self.propose(self.rpn(features, batch.size), batch, train=False)
        detections = self.detect_boxes(features, proposals, batch)
        detections = self.detect_masks_and_keypoints(features, detections)
        detections = self.image_transform.undo(detections, batch)
        return self.paste_masks(detections, batch)

    # The stages, one by one: each can be called alone, and none keeps anything.

    def prepare(
        self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]] | None = None
    ) -> tuple[Batch, list[dict[str, Tensor]]]:
        """Images (and targets, as far as there are heads for them) in the network input's frame."""
        batch = self.image_transform(images)
        used = {"boxes", "labels", *(KEY_OF_HEAD[head] for head in self.config.heads)}
        chosen = [{key: value for key, value in target.items() if key in used} for target in targets or []]
        return batch, self.image_transform.targets(chosen, batch)

    def propose(self, output: RPNOutput, batch: Batch, train: bool) -> Proposals:
        """Proposals of each image; in training more of them."""
        config = self.config
        if train:
            return self.rpn.proposals(output, batch.sizes, config.rpn_pre_nms_train, config.rpn_post_nms_train)
        return self.rpn.proposals(output, batch.sizes, config.rpn_pre_nms_test, config.rpn_post_nms_test)

    def sample(
        self, proposals: Proposals, objects: list[dict[str, Tensor]], draw: list[torch.Generator]
    ) -> SampledRoIs:
        """The RoIs on which the heads are trained."""
        config = self.config
        return sample_rois(
            proposals.boxes,
            objects,
            draw,
            num_samples=config.roi_samples,
            positive_fraction=config.roi_positive_fraction,
            fg_iou=config.fg_iou,
            bg_iou=config.bg_iou,
        )

    def head_losses(
        self, features: list[Tensor], sampled: SampledRoIs, objects: list[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Box losses on all sampled RoIs, mask and keypoint losses on the positive ones: three parallel branches."""
        box, positive_rois = cast(BoxHead, self.heads["box"]), sampled.rois[sampled.positive]
        logits, deltas = box(features, sampled.rois)
        losses = box.losses(logits, deltas, sampled)
        if "mask" in self.heads:
            mask = cast(MaskHead, self.heads["mask"])
            losses.update(mask.losses(mask(features, positive_rois), sampled, mask.targets(sampled, objects)))
        if "keypoint" in self.heads:
            keypoint = cast(KeypointHead, self.heads["keypoint"])
            heatmaps = keypoint(features, positive_rois)
            cell, counts = keypoint.targets(sampled, objects, heatmaps.shape[-1])
            losses.update(keypoint.losses(heatmaps, cell, counts))
        return losses

    def detect_boxes(self, features: list[Tensor], proposals: Proposals, batch: Batch) -> list[dict[str, Tensor]]:
        """The cascade's first part: classes and refined boxes of the proposals."""
        box = cast(BoxHead, self.heads["box"])
        logits, deltas = box(features, rois_of(proposals.boxes))
        return box.detections(logits, deltas, proposals.boxes, batch.sizes)

    @torch.no_grad()
    def detect_masks_and_keypoints(
        self, features: list[Tensor], detections: list[dict[str, Tensor]]
    ) -> list[dict[str, Tensor]]:
        """The second: masks and keypoints of the detected boxes only, on features pooled from the refined boxes."""
        rois = rois_of([detection["boxes"] for detection in detections])
        counts = [len(detection["boxes"]) for detection in detections]
        detections = [dict(detection) for detection in detections]
        if "mask" in self.heads:
            mask = cast(MaskHead, self.heads["mask"])
            labels = torch.cat([detection["labels"] for detection in detections])
            probabilities = mask.probabilities(mask(features, rois), labels)
            for detection, probs in zip(detections, probabilities.split(counts)):
                detection["mask_probs"] = probs
        if "keypoint" in self.heads:
            keypoints, scores = decode_heatmaps(self.heads["keypoint"](features, rois), rois[:, 1:])
            for detection, points, score in zip(detections, keypoints.split(counts), scores.split(counts)):
                detection["keypoints"], detection["keypoint_scores"] = points, score
        return detections

    def paste_masks(self, detections: list[dict[str, Tensor]], batch: Batch) -> list[dict[str, Tensor]]:
        """M x M probabilities into masks of the original images (only where there is a mask head)."""
        if "mask" not in self.heads:
            return detections
        return [
            dict(detection, masks=paste(detection["mask_probs"], detection["boxes"], size))
            for detection, size in zip(detections, batch.original_sizes)
        ]


def rois_of(boxes: list[Tensor]) -> Tensor:
    """Boxes of each image, N times [P, 4] -> RoIs [R, 5] with the image's number in front."""
    numbered = [torch.cat([torch.full_like(b[:, :1], i), b], dim=1) for i, b in enumerate(boxes)]
    return torch.cat(numbered)
