"""What `losses` and `detect` refuse, each with the image, the object, what was found and what was expected.

A first hour that ends in a NaN, a crash or an AP of 0 began with boxes as x, y, width, height, masks in another order,
images in 0..255. What is merely unusual passes: integer boxes, boolean masks, images without objects.

First types and shapes, which cost nothing; then values, which are measured where the tensors are, copied to the host
in one piece (a GPU is waited for once) and judged as plain numbers.
Letters: N images, G objects, H W size, K foreground classes, J keypoints. Read next: `images.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

# A box must agree with the box of its own mask to this IoU. On COCO's ground truth the smallest is 0.70.
MIN_BOX_MASK_IOU = 0.6
LOWEST, HIGHEST = -0.5, 1.5  # pixels are 0..1, resized ones overshoot a little; -1..1 and 0..255 do not pass
MARGIN = 1.0  # pixels by which a box or a keypoint may leave its image: roundings of other tools

KEY_OF_HEAD = {"mask": "masks", "keypoint": "keypoints"}
SHAPES = {"boxes": "[G, 4]", "labels": "[G]", "masks": "[G, H, W]", "keypoints": "[G, J, 3]"}
Rows = list[list[float]]


def check_images(images: Any) -> None:
    """Raise TypeError or ValueError unless `images` is a list of float tensors [3, H, W] in about 0..1."""
    check_image_forms(images)
    for i, values in enumerate(on_host([measure_image(image) for image in images])):
        judge_image(i, *values[0])


def check_batch(images: Any, targets: Any, num_classes: int, heads: Sequence[str] = (), num_keypoints: int = 0) -> None:
    """Raise TypeError or ValueError unless images and targets are what a model is trained with.

    images: N float tensors [3, H, W] in about 0..1. targets: N dicts with boxes [G, 4], labels [G] in
    1..num_classes - 1, with the mask head masks [G, H, W] of 0 and 1, with the keypoint head keypoints [G, J, 3].
    """
    check_image_forms(images)
    check_target_forms(images, targets, heads, num_keypoints)
    measured = [measure_image(image) for image in images]
    for target in targets:
        count = target["labels"].numel()
        measured += [target["boxes"].reshape(count, 4), target["labels"].reshape(count, 1)]
        measured += [measure_masks(target["masks"])] if "mask" in heads and count else []
        measured += [target["keypoints"].reshape(-1, 3)] if "keypoint" in heads and count else []
    values = iter(on_host(measured))
    for i in range(len(images)):
        judge_image(i, *next(values)[0])
    for i, (image, target) in enumerate(zip(images, targets)):
        size, boxes, labels = (image.shape[1], image.shape[2]), next(values), next(values)
        masks = next(values) if "mask" in heads and boxes else None
        judge_boxes(i, boxes, size, masks)
        judge_labels(i, [round(label) for (label,) in labels], num_classes)
        if masks is not None:
            judge_masks(i, masks, boxes, size)
        if "keypoint" in heads and boxes:
            judge_keypoints(i, next(values), target["keypoints"].shape[1], size)


# ---- types and shapes ----------------------------------------------------------------------------------------------


def check_image_forms(images: Any) -> None:
    if not isinstance(images, Sequence) or not images:  # a tensor is none
        shape = f" of shape {list(images.shape)}" if isinstance(images, Tensor) else ""
        raise TypeError(f"images: {type(images).__name__}{shape}, expected a list of at least one tensor [3, H, W]")
    for i, image in enumerate(images):
        need_tensor(f"image {i}", image, "[3, H, W]")
        if not image.is_floating_point():
            raise TypeError(f"image {i}: {image.dtype}, expected float in 0..1: use image.float() / 255")
        if image.dim() != 3 or image.shape[0] != 3 or not image.numel():
            raise ValueError(f"image {i}: shape {list(image.shape)}, expected [3, H, W]{hint_of_shape(image)}")


def need_tensor(what: str, value: Any, shape: str) -> None:
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_complex():
        found = f"{value.dtype}, {value.layout}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{what}: {found}, expected a tensor {shape}")


def hint_of_shape(image: Tensor) -> str:
    if image.dim() == 3 and image.shape[-1] in (1, 3, 4) and image.shape[0] not in (1, 4):
        return ": looks like H, W, C, use image.permute(2, 0, 1)"
    if image.dim() == 2 or (image.dim() == 3 and image.shape[0] == 1):
        return ": a grey image, use image.expand(3, -1, -1)"
    if image.dim() == 3 and image.shape[0] == 4:
        return ": looks like RGBA, drop alpha with image[:3]"
    return ": a batch, pass a list of images" if image.dim() == 4 else ""


def check_target_forms(images: Sequence[Tensor], targets: Any, heads: Sequence[str], num_keypoints: int) -> None:
    if targets is None:
        raise ValueError("targets: None, expected one dict an image")
    if not isinstance(targets, Sequence) or len(targets) != len(images):
        found = f"{len(targets)} targets" if isinstance(targets, Sequence) else f"one {type(targets).__name__}"
        raise ValueError(f"{len(images)} images, {found}: expected a list with one dict an image")
    for i, (image, target) in enumerate(zip(images, targets)):
        if not isinstance(target, Mapping):
            raise TypeError(f"image {i}: target is {type(target).__name__}, expected a dict")
        keys = ["boxes", "labels", *(KEY_OF_HEAD[head] for head in heads)]
        if missing := [key for key in keys if key not in target]:
            raise ValueError(f"image {i}: target has no {missing}; it has {sorted(map(str, target))}")
        for key in keys:
            need_tensor(f"image {i}: {key}", target[key], SHAPES[key])
            if target[key].device != image.device:
                raise ValueError(f"image {i}: {key} on {target[key].device}, the image on {image.device}")
        boxes, labels = target["boxes"], target["labels"]
        count = len(boxes) if boxes.dim() and boxes.numel() else 0
        if boxes.numel() and (boxes.dim() != 2 or boxes.shape[1] != 4 or boxes.dtype == torch.bool):
            found = f"boxes {boxes.dtype} of shape {list(boxes.shape)}"
            raise ValueError(f"image {i}: {found}, expected numbers [G, 4] (x1, y1, x2, y2)")
        if labels.numel() and (labels.is_floating_point() or labels.dtype == torch.bool):
            raise TypeError(f"image {i}: labels are {labels.dtype}, expected int64: use labels.long()")
        if labels.numel() != count or (count and labels.dim() != 1):
            raise ValueError(f"image {i}: {count} boxes, labels of shape {list(labels.shape)}: expected one a box")
        if "mask" in heads:
            check_mask_form(i, target["masks"], [count, *image.shape[-2:]])
        expected = [count, num_keypoints, 3]
        if "keypoint" in heads and (shape := list(target["keypoints"].shape)) != expected:
            raise ValueError(f"image {i}: keypoints of shape {shape}, expected {expected} (x, y, visibility)")


def check_mask_form(i: int, masks: Tensor, expected: list[int]) -> None:
    shape, count = list(masks.shape), expected[0]
    if shape == expected or (masks.numel() == 0 and count == 0):
        return
    hint = ""
    if shape == [*expected[1:], count]:
        hint = ": looks like H, W, G, use masks.permute(2, 0, 1)"
    elif masks.dim() == 2 or (shape[0] == 1 < count and shape[-2:] == expected[1:]):
        hint = ": if it is an id map (0, 1, 2, … in one picture), use mrcnn_lite.data.split_ids(id_map)"
    elif masks.dim() == 4 and shape[1] == 1:
        hint = ": looks like G, 1, H, W, use masks[:, 0]"
    raise ValueError(f"image {i}: {count} boxes, masks of shape {shape}, expected {expected} (G, H, W){hint}")


# ---- values: measured on the device --------------------------------------------------------------------------------


def on_host(measured: Sequence[Tensor]) -> list[Rows]:
    """Matrices [A, B] of any types -> nested lists of numbers, by one copy."""
    precise = torch.float32 if measured[0].device.type == "mps" else torch.float64  # Apple's GPU has no float64
    flat = torch.cat([values.detach().to(precise).flatten() for values in measured]).cpu()
    parts = flat.split([values.numel() for values in measured])
    return [part.view(values.shape).tolist() for part, values in zip(parts, measured)]


def measure_image(image: Tensor) -> Tensor:
    """-> [1, 2]: lowest and highest value."""
    return torch.stack(torch.aminmax(image))[None]


def measure_masks(masks: Tensor) -> Tensor:
    """masks [G, H, W] -> [G, 8]: lowest, highest value, whether a float is neither 0 nor 1, pixels or not, own box."""
    # WHY amax, not any: on a CPU it is several times as fast, and masks are by far the largest thing to check.
    values = masks.view(torch.uint8) if masks.dtype == torch.bool else masks
    inside = values if values.dtype == torch.uint8 else (values != 0).view(torch.uint8)
    columns, rows = inside.amax(dim=1) > 0, inside.amax(dim=2) > 0  # [G, W], [G, H]
    x1, y1 = columns.int().argmax(dim=1), rows.int().argmax(dim=1)  # the first column and row with a pixel
    x2 = masks.shape[2] - columns.flip(1).int().argmax(dim=1)  # one past the last
    y2 = masks.shape[1] - rows.flip(1).int().argmax(dim=1)
    low, high = values.amin(dim=2).amin(dim=1), values.amax(dim=2).amax(dim=1)
    between = ((values != 0) & (values != 1)).any(dim=(1, 2)) if values.is_floating_point() else torch.zeros_like(low)
    parts = (low, high, between, rows.any(dim=1), x1, y1, x2, y2)
    return torch.stack([part.float() for part in parts], dim=1)  # exact up to 2^24


# ---- values: judged on the host ------------------------------------------------------------------------------------


def judge_image(i: int, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"image {i}: has NaN or infinite values, expected numbers in 0..1")
    if low < LOWEST or high > HIGHEST:
        cause = "looks like 0..255, divide by 255" if high > 16 else "looks normalised already, the model does that"
        raise ValueError(f"image {i}: values from {low:.4g} to {high:.4g}, expected 0..1: {cause}")


def judge_boxes(i: int, boxes: Rows, size: tuple[int, int], masks: Rows | None) -> None:
    """Finite, x2 > x1, y2 > y1, inside the image of `size` (H, W), in pixels."""
    height, width = size
    for j, (x1, y1, x2, y2) in enumerate(boxes):
        shown = f"image {i}, box {j} {shown_box(boxes[j])}"
        if not all(map(math.isfinite, boxes[j])):
            raise ValueError(f"{shown}: has NaN or inf, expected finite pixels")
        if x1 == y1 == x2 == y2 == 0:
            raise ValueError(f"{shown}: for an image without objects pass boxes of shape (0, 4)")
        problem = "expected x2 > x1 and y2 > y1 (x1, y1, x2, y2)" if x2 <= x1 or y2 <= y1 else ""
        if min(x1, y1) < -MARGIN or x2 > width + MARGIN or y2 > height + MARGIN:
            problem = problem or f"reaches outside the image of {width} x {height} pixels (width x height)"
        if problem:
            raise ValueError(f"{shown}: {problem}{usual_cause(boxes[j], size, masks[j][4:] if masks else None)}")
    if boxes and masks is None and max(map(max, boxes)) <= 1.5 and min(size) > 8:
        found = f"box 0 {shown_box(boxes[0])}, no coordinate above 1.5 in an image of {width} x {height}"
        raise ValueError(f"image {i}: {found}: looks like normalised to 0..1, pass pixels")


def usual_cause(box: Sequence[float], size: tuple[int, int], own: Sequence[float] | None) -> str:
    """What a wrong box looks like, as the end of a message; own: the box of its mask, where it has one."""
    (a, b, c, d), (height, width) = box, size
    if own is None:  # nothing to compare with: a guess, where it gives a box at all
        return ": looks like x, y, width, height" if min(c, d) > 0 and a + c <= width and b + d <= height else ""
    readings = {"x, y, width, height": [a, b, a + c, b + d], "y1, x1, y2, x2": [b, a, d, c]}
    readings["normalised to 0..1, pass pixels"] = [a * width, b * height, c * width, d * height]
    return next((f": looks like {name}" for name, meant in readings.items() if iou(meant, own) > 0.9), "")


def judge_labels(i: int, labels: list[int], num_classes: int) -> None:
    for j, label in enumerate(labels):
        if not 1 <= label < num_classes:
            why = "label 0 is background" if label == 0 else f"num_classes={num_classes} counts the background"
            raise ValueError(f"image {i}, object {j}: label {label}; {why}: classes are 1..{num_classes - 1}")


def judge_masks(i: int, masks: Rows, boxes: Rows, size: tuple[int, int]) -> None:
    """Of 0 and 1, none empty, each inside its own box (IoU of the boxes >= 0.6)."""
    for j, (low, high, between, filled, *_) in enumerate(masks):
        if between or low < 0 or high > 1:
            cause = ": looks like 0 and 255, use masks > 127" if high == 255 else ""
            raise ValueError(f"image {i}, mask {j}: values from {low:g} to {high:g}, expected 0 and 1{cause}")
        if not filled:
            raise ValueError(f"image {i}, mask {j}: has no pixel, expected at least one; drop objects without pixels")
    for j, (box, mask) in enumerate(zip(boxes, masks)):
        if (overlap := iou(box, mask[4:])) < MIN_BOX_MASK_IOU:
            others = [iou(box, other[4:]) for other in masks]
            cause = usual_cause(box, size, mask[4:])
            if max(others) > 0.9:
                cause = f": it fits mask {others.index(max(others))}, are the masks in another order?"
            found = f"IoU {overlap:.2f} with its mask's own box {shown_box(mask[4:])}"
            raise ValueError(
                f"image {i}, box {j} {shown_box(box)}: {found}, expected {MIN_BOX_MASK_IOU} or more{cause}"
            )


def judge_keypoints(i: int, points: Rows, num_keypoints: int, size: tuple[int, int]) -> None:
    """points: G * J rows of x, y, visibility (0 not labelled, 1 hidden, 2 visible)."""
    for n, (x, y, visibility) in enumerate(points):
        shown = f"image {i}, object {n // num_keypoints}, keypoint {n % num_keypoints} [{x:g}, {y:g}, {visibility:g}]"
        if not (math.isfinite(x) and math.isfinite(y)) or visibility not in (0, 1, 2):
            raise ValueError(f"{shown}: expected finite pixels and a visibility of 0, 1 or 2")
        if visibility and not (-MARGIN <= x <= size[1] + MARGIN and -MARGIN <= y <= size[0] + MARGIN):
            raise ValueError(f"{shown}: labelled, but outside the image of {size[1]} x {size[0]} (width x height)")


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Of two boxes, as plain numbers: `boxes.iou` is for tensors, and slower on a few."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union > 0 else 0.0


def shown_box(box: Sequence[float]) -> str:
    return "[" + ", ".join(f"{float(str(side)):g}" for side in box) + "]"  # str: 10**400, as in a JSON, becomes inf
