"""What `losses` and `detect` refuse, each with the image, the object, what was found and what was expected.

Most first hours with a detector end in a NaN, a crash or an AP of 0 that a look at the input would have explained:
boxes as x, y, width, height; masks in another order; images in 0..255. Everything merely unusual and harmless passes:
integer boxes, boolean masks, images without objects.

Letters: N images, G objects, H W size, K foreground classes, J keypoints. Read next: `images.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .boxes import iou

# A box must agree with the box of its own mask to this IoU. On COCO's ground truth the smallest is 0.70.
MIN_BOX_MASK_IOU = 0.6


def check_images(images: Any) -> None:
    """Raise TypeError or ValueError unless `images` is a list of float tensors [3, H, W] in about 0..1."""
    if isinstance(images, Tensor):
        raise TypeError(f"images: a tensor of shape {list(images.shape)}, expected a list of tensors [3, H, W]")
    if not isinstance(images, Sequence) or not images:
        raise ValueError(f"images: {type(images).__name__} of no length, expected a list of tensors [3, H, W]")
    for i, image in enumerate(images):
        if not isinstance(image, Tensor):
            raise TypeError(f"image {i}: {type(image).__name__}, expected a tensor [3, H, W]")
        if not image.is_floating_point():
            raise TypeError(f"image {i}: {image.dtype}, expected float in 0..1: divide by 255")
        if image.dim() != 3 or image.shape[0] != 3:
            raise ValueError(f"image {i}: shape {list(image.shape)}, expected [3, H, W]{_shape_hint(image)}")
        if 0 in image.shape:
            raise ValueError(f"image {i}: shape {list(image.shape)} has no pixel")
    ranges = torch.stack([torch.stack([image.min(), image.max()]).float() for image in images]).tolist()
    for i, (low, high) in enumerate(ranges):
        if not (low == low and high == high and abs(low) != float("inf") and high != float("inf")):
            raise ValueError(f"image {i}: has NaN or infinite values, expected numbers in 0..1")
        if high > 2.0 or low < -1.0:
            hint = (
                ": looks like 0..255, divide by 255" if high > 16 else ": looks normalised already, the model does that"
            )
            raise ValueError(f"image {i}: values from {low:.4g} to {high:.4g}, expected 0..1{hint}")


def _shape_hint(image: Tensor) -> str:
    if image.dim() == 3 and image.shape[-1] in (1, 3, 4) and image.shape[0] not in (1, 4):
        return ": looks like H, W, C, use image.permute(2, 0, 1)"
    if image.dim() == 3 and image.shape[0] == 1:
        return ": a grey image, use image.expand(3, -1, -1)"
    if image.dim() == 3 and image.shape[0] == 4:
        return ": looks like RGBA, drop alpha with image[:3]"
    if image.dim() == 4:
        return ": a batch, pass a list of images"
    return ""


def check_targets(
    images: Sequence[Tensor],
    targets: Any,
    num_classes: int,
    heads: Sequence[str] = (),
    num_keypoints: int = 0,
) -> None:
    """Raise TypeError or ValueError unless there is one target for each image, and each describes its objects rightly.

    targets: N dicts with boxes [G, 4], labels [G] in 1..K, with the mask head masks [G, H, W] of 0 and 1, with the
    keypoint head keypoints [G, J, 3].
    """
    if targets is None:
        raise ValueError("targets: None, expected one dict an image")
    if isinstance(targets, dict) or len(targets) != len(images):
        found = "one dict" if isinstance(targets, dict) else len(targets)
        raise ValueError(f"{len(images)} images, {found} targets: expected a list with one dict an image")
    for i, (image, target) in enumerate(zip(images, targets)):
        size = (image.shape[-2], image.shape[-1])
        wanted = ["boxes", "labels", *({"mask": "masks", "keypoint": "keypoints"}[head] for head in heads)]
        missing = [key for key in wanted if key not in target]
        if missing:
            raise ValueError(f"image {i}: target has no {missing}; it has {sorted(target)}")
        check_boxes(i, target["boxes"], size)
        check_labels(i, target["labels"], len(_flat_boxes(target["boxes"])), num_classes)
        if "mask" in heads:
            check_masks(i, target["masks"], target["boxes"], size)
        if "keypoint" in heads:
            expected = [len(_flat_boxes(target["boxes"])), num_keypoints, 3]
            found_shape = list(target["keypoints"].shape)
            if found_shape != expected and expected[0] > 0:
                raise ValueError(f"image {i}: keypoints of shape {found_shape}, expected {expected} (x, y, visibility)")
            if not torch.isfinite(target["keypoints"]).all():
                raise ValueError(f"image {i}: keypoints have NaN or infinite values")


def _flat_boxes(boxes: Tensor) -> Tensor:
    return boxes.reshape(-1, 4) if boxes.numel() == 0 else boxes


def check_boxes(i: int, boxes: Any, size: tuple[int, int]) -> None:
    """The boxes of image `i` of `size` (H, W): finite, x2 > x1, y2 > y1, inside, in pixels."""
    if not isinstance(boxes, Tensor):
        raise TypeError(f"image {i}: boxes are {type(boxes).__name__}, expected a tensor [G, 4]")
    if boxes.numel() == 0:
        return
    if boxes.dim() != 2 or boxes.shape[1] != 4:
        raise ValueError(f"image {i}: boxes of shape {list(boxes.shape)}, expected [G, 4] (x1, y1, x2, y2)")
    height, width = size
    rows = boxes.detach().double().tolist()
    for j, (x1, y1, x2, y2) in enumerate(rows):
        shown = f"image {i}, box {j} [{x1:g}, {y1:g}, {x2:g}, {y2:g}]"
        if any(v != v or abs(v) == float("inf") for v in (x1, y1, x2, y2)):
            raise ValueError(f"{shown}: has NaN or inf, expected finite pixels")
        if x1 == y1 == x2 == y2 == 0:
            raise ValueError(f"{shown}: for an image without objects pass boxes of shape (0, 4)")
        if x2 <= x1 or y2 <= y1:
            raise ValueError(f"{shown}: expected x2 > x1 and y2 > y1; looks like x, y, width, height?")
        if x1 < -1 or y1 < -1 or x2 > width + 1 or y2 > height + 1:
            raise ValueError(f"{shown}: reaches outside the image of {width} x {height} pixels (width x height)")
    if max(max(row) for row in rows) <= 1.0 and min(size) > 8:
        raise ValueError(f"image {i}: all box coordinates are at most 1 in an image of {width} x {height}: pass pixels")


def check_labels(i: int, labels: Any, num_boxes: int, num_classes: int) -> None:
    """The labels of image `i`: integers in 1..num_classes - 1, one a box."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"image {i}: labels are {type(labels).__name__}, expected an int64 tensor [G]")
    if labels.numel() == num_boxes == 0:
        return
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(f"image {i}: labels are {labels.dtype}, expected int64: use labels.long()")
    if labels.dim() != 1 or len(labels) != num_boxes:
        raise ValueError(
            f"image {i}: {num_boxes} boxes, labels of shape {list(labels.shape)}: expected one label a box"
        )
    for j, label in enumerate(labels.tolist()):
        if not 1 <= label < num_classes:
            why = "label 0 is background" if label == 0 else f"num_classes={num_classes} counts the background"
            raise ValueError(f"image {i}, object {j}: label {label}; {why}: classes are 1..{num_classes - 1}")


def check_masks(i: int, masks: Any, boxes: Tensor, size: tuple[int, int]) -> None:
    """The masks of image `i`: [G, H, W] of 0 and 1, none empty, each inside its own box (IoU of the boxes >= 0.6)."""
    if not isinstance(masks, Tensor):
        raise TypeError(f"image {i}: masks are {type(masks).__name__}, expected a tensor [G, H, W]")
    boxes = _flat_boxes(boxes)
    expected = [len(boxes), *size]
    if masks.numel() == 0 and len(boxes) == 0:
        return
    if list(masks.shape) != expected:
        hint = ""
        if masks.dim() == 3 and list(masks.shape[:2]) == expected[1:]:
            hint = ": looks like H, W, G, use masks.permute(2, 0, 1)"
        elif masks.dim() == 2 or masks.shape[0] == 1 < len(boxes):
            hint = ": looks like one id map, split it into one mask an object (masks = id_map == ids[:, None, None])"
        raise ValueError(
            f"image {i}: {len(boxes)} boxes, masks of shape {list(masks.shape)}, expected {expected}{hint}"
        )
    if masks.dtype != torch.bool:
        low, high = masks.min().item(), masks.max().item()
        between = masks.is_floating_point() and bool(((masks != 0) & (masks != 1)).any())
        if low < 0 or high > 1 or between:
            raise ValueError(f"image {i}: mask values from {low:g} to {high:g}, expected 0 and 1")
    filled_pixels = masks != 0
    columns, rows = filled_pixels.any(dim=1), filled_pixels.any(dim=2)  # [G, W], [G, H]
    filled = rows.any(dim=1)
    if not filled.all():
        j = int((~filled).nonzero()[0])
        raise ValueError(f"image {i}: mask {j} has no pixel")
    x1, y1 = columns.int().argmax(dim=1), rows.int().argmax(dim=1)  # the first column and row with a pixel
    x2 = masks.shape[2] - columns.flip(1).int().argmax(dim=1)  # one past the last
    y2 = masks.shape[1] - rows.flip(1).int().argmax(dim=1)
    of_masks = torch.stack([x1, y1, x2, y2], dim=1).double()
    overlap = iou(boxes.to(of_masks), of_masks)  # [G, G]
    own = overlap.diagonal()
    if (own < MIN_BOX_MASK_IOU).any():
        j = int((own < MIN_BOX_MASK_IOU).nonzero()[0])
        box, mask_box = boxes[j].tolist(), of_masks[j].tolist()
        hint = ""
        if overlap[j].max() > 0.9:
            hint = f": it fits mask {int(overlap[j].argmax())}, are the masks in another order?"
        elif iou(boxes[j : j + 1].double() + _from_xywh(boxes[j]), of_masks[j : j + 1]).item() > 0.9:
            hint = ": looks like x, y, width, height, expected x1, y1, x2, y2"
        raise ValueError(
            f"image {i}, box {j} {box}: its mask's own box is {mask_box}, IoU {own[j]:.2f}, expected at least "
            f"{MIN_BOX_MASK_IOU}{hint}"
        )


def _from_xywh(box: Tensor) -> Tensor:
    """What must be added to [x, y, w, h] to make it [x1, y1, x2, y2]."""
    zero = torch.zeros_like(box[0]).double()
    return torch.stack([zero, zero, box[0].double(), box[1].double()])[None]
