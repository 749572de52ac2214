"""Pairs of models for the benchmarks: ours and torchvision's, same weights, same results, and pictures for them.

The weights are random (nothing is downloaded) but calm: activations neither explode nor vanish, scores and boxes differ
from place to place, and every picture fills its detections: 100 with ResNet-50, 8 with the tiny model. An RoI counts as
positive from an IoU of POSITIVE_IOU on, so that about as many are as with an RPN that knows its objects. Ours is set to
torchvision's conventions (anchors, half a pixel), which cost the same, so that both must give the same detections.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mrcnn_lite.build import build_model
from mrcnn_lite.config import Config
from mrcnn_lite.model import MaskRCNN
from mrcnn_lite.torchvision_models import from_torchvision, torchvision_peer

POSITIVE_IOU = 0.2  # instead of 0.5


@dataclass
class Pair:
    """Ours, torchvision's (each None where it is not wanted), and a batch for both."""

    ours: MaskRCNN
    theirs: nn.Module
    images: list[Tensor]
    targets: list[dict[str, Tensor]]

    def models(self) -> dict[str, nn.Module]:
        return {"ours": self.ours, "torchvision": self.theirs}

    def to(self, device: torch.device) -> Pair:
        images = [image.to(device) for image in self.images]
        targets = [{name: values.to(device) for name, values in target.items()} for target in self.targets]
        return Pair(self.ours.to(device), self.theirs.to(device), images, targets)


def tiny(batch: int = 8, side: int = 128) -> Pair:
    """The preset for two CPU cores, and torchvision's Mask R-CNN of the same size."""
    config = Config.tiny(min_size=side, max_size=side, half_pixel=False, torchvision_anchors=True)
    config = config.replace(fg_iou=POSITIVE_IOU, bg_iou=POSITIVE_IOU, max_detections=8)
    torch.manual_seed(0)
    theirs = torchvision_peer(config)
    calm(theirs, spread=0.3)
    ours = build_model(config)
    # Both list their parts in the same order; torchvision's masks have a channel for the background in front.
    mine, other = ours.state_dict().values(), theirs.state_dict().values()
    for tensor, source in zip(mine, other, strict=True):
        tensor.copy_(source[-len(tensor) :] if tensor.dim() else source)
    return Pair(ours, theirs, *pictures(batch, side, side, config.num_classes, objects=4))


def resnet50(batch: int = 1, height: int = 800, width: int = 1088) -> Pair:
    """torchvision's maskrcnn_resnet50_fpn for COCO, and ours made of it. Three stages are trained, as by default."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn
    from torchvision.ops import FrozenBatchNorm2d

    torch.manual_seed(0)
    theirs: Any = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        min_size=min(height, width),
        max_size=max(height, width),
        box_fg_iou_thresh=POSITIVE_IOU,
        box_bg_iou_thresh=POSITIVE_IOU,
    )
    # Without weights torchvision takes BatchNorm and trains all of it; with its weights it is like this:
    for name, module in list(theirs.backbone.body.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            parent, _, child = name.rpartition(".")
            setattr(theirs.backbone.body.get_submodule(parent), child, FrozenBatchNorm2d(module.num_features))
    for name, parameter in theirs.backbone.body.named_parameters():
        parameter.requires_grad_(name.startswith(("layer2", "layer3", "layer4")))
    calm(theirs, spread=3.0)
    return Pair(from_torchvision(theirs), theirs, *pictures(batch, height, width, 91, objects=16))


def calm(model: Any, spread: float) -> None:
    """Random weights that behave: see the head of this file. spread: of the class layer's weights."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in [*model.backbone.named_parameters(), *model.backbone.named_buffers()]:
        if name.endswith("bn3.weight"):  # the last norm of a block of ResNet-50: else activations explode
            tensor.data.fill_(0.2)
    heads = model.roi_heads
    layers = [(model.rpn.head.cls_logits, 0.05), (model.rpn.head.bbox_pred, 0.02)]
    layers += [(heads.box_predictor.cls_score, spread), (heads.box_predictor.bbox_pred, 0.02)]
    layers += [(heads.mask_predictor.mask_fcn_logits, 0.5)]
    for layer, std in layers:
        layer.weight.data.normal_(0, std, generator=generator)


def pictures(
    count: int, height: int, width: int, num_classes: int, objects: int
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Noise with `objects` plain ellipses a picture, an eighth to a half of its height: images, targets."""
    generator = torch.Generator().manual_seed(2)
    y, x = torch.arange(height)[:, None] + 0.5, torch.arange(width)[None] + 0.5
    images, targets = [], []
    for _ in range(count):
        image = 0.2 * torch.rand(3, height, width, generator=generator)
        masks = []
        for _ in range(objects):
            b, a = height * (1 / 16 + torch.rand(2, generator=generator) * 3 / 16)  # half axes
            cy, cx = (torch.rand(2, generator=generator) * 0.8 + 0.1) * torch.tensor([height, width])
            mask = ((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 < 1  # [H, W]
            image[:, mask] = torch.rand(3, 1, generator=generator) * 0.8 + 0.2
            masks.append(mask)
        stack = torch.stack(masks)  # [G, H, W]; they may overlap
        boxes = torch.stack([tight_box(mask) for mask in masks])
        labels = torch.randint(1, num_classes, (objects,), generator=generator)
        images.append(image)
        targets.append({"boxes": boxes, "labels": labels, "masks": stack.to(torch.uint8)})
    return images, targets


def tight_box(mask: Tensor) -> Tensor:
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    return torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()


def without_masks(pair: Pair) -> Pair:
    """The same two models as Faster R-CNN: the mask branch taken off, everything else shared in value."""
    theirs: Any = copy.deepcopy(pair.theirs)
    theirs.roi_heads.mask_roi_pool = theirs.roi_heads.mask_head = theirs.roi_heads.mask_predictor = None
    ours = copy.deepcopy(pair.ours)
    del ours.heads["mask"]
    ours.config = ours.config.replace(heads=())
    return Pair(ours, theirs, pair.images, pair.targets)


def detector(model: nn.Module, pair: Pair) -> Any:
    """A call that detects in the pair's pictures."""
    model.eval()

    def detect() -> Any:
        with torch.no_grad():
            return model(pair.images)

    return detect


def trainer(model: nn.Module, pair: Pair) -> Any:
    """A call that takes a training step on the pair's pictures: losses, gradients, SGD with momentum.

    The learning rate is 0, so that every call does the same work. Ours does not check its inputs, as in `train`, which
    checks each picture once, when it is read.
    """
    if isinstance(model, MaskRCNN):
        model.check_inputs = False
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.0, momentum=0.9)

    def step() -> Any:
        model.train()
        losses = model(pair.images, pair.targets)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        return losses

    return step


def check_same_detections(pair: Pair, least: float = 0.99) -> int:
    """SystemExit unless (nearly) every detection of torchvision's is also ours; -> their number.

    Nearly: of boxes whose scores differ in the last digit, NMS may keep another. Boxes to 0.1 pixel, scores to 1e-3.
    """
    tf32, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False  # 10 bits are not enough for this
    ours, theirs = detector(pair.ours, pair)(), detector(pair.theirs, pair)()
    torch.backends.cudnn.allow_tf32 = tf32
    found = total = 0
    for mine, other in zip(ours, theirs):
        total += len(other["boxes"])
        near = (mine["boxes"][:, None] - other["boxes"][None]).abs().amax(2) < 0.1  # [D, D]
        near &= (mine["scores"][:, None] - other["scores"][None]).abs() < 1e-3
        near &= mine["labels"][:, None] == other["labels"][None]
        found += int(near.any(0).sum())
    if total == 0 or found < least * total:
        raise SystemExit(f"{found} of torchvision's {total} detections are also ours, expected nearly all of many")
    return total
