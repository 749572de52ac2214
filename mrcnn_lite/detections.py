"""What a model finds in one image, as a dict of tensors: its form, checked before it is scored or written.

Detections of other models come in here as well, torchvision's and any that give the same dictionary. Letters: N
detections of one image, H W size, J keypoints. Read next: coco_results.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def check_detection(detection: Any, where: str, size: Sequence[int] | None = None) -> None:
    """Raise ValueError or TypeError, which begins with `where`, unless this is what a model finds in one image.

    boxes [N, 4] (x1, y1, x2, y2), labels [N], scores [N], all finite; perhaps masks [N, H, W] or [N, 1, H, W] of 0..1,
    H, W = size if that is given, and keypoints [N, J, 3]. Other keys pass.
    """
    if not isinstance(detection, Mapping):
        raise TypeError(f"{where}: {type(detection).__name__}, expected a dict with boxes, labels, scores")
    if missing := [key for key in ("boxes", "labels", "scores") if key not in detection]:
        raise ValueError(f"{where}: has no {', '.join(missing)}; it has {sorted(map(str, detection))}")
    boxes = detection["boxes"]
    count = len(boxes) if isinstance(boxes, Tensor) and boxes.dim() else 0
    height_and_width: list[Any] = ["H", "W"] if size is None else list(size)  # a letter: any number
    shapes: dict[str, list[Any]] = {"boxes": [count, 4], "labels": [count], "scores": [count]}
    shapes |= {"masks": [count, *height_and_width], "keypoints": [count, "J", 3]}
    for key, shape in shapes.items():
        if key not in detection:
            continue
        value, expected = detection[key], f"[{', '.join(map(str, shape))}]"
        if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_complex():
            raise TypeError(f"{where}: {key} are {type(value).__name__}, expected a tensor {expected}")
        found = list(value.shape)
        if key == "masks" and len(found) == 4 and found[1] == 1:  # torchvision's
            del found[1]
        fits = len(found) == len(shape) and all(isinstance(side, str) or n == side for n, side in zip(found, shape))
        if not fits and count + value.numel() > 0:
            raise ValueError(f"{where}: {key} of shape {list(value.shape)}, expected {expected}")
    if count:
        check_values(detection, where)


def check_values(detection: Mapping[str, Tensor], where: str) -> None:
    boxes, labels = detection["boxes"], detection["labels"]
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(f"{where}: labels are {labels.dtype}, expected int64: use labels.long()")
    for key in ("boxes", "scores", "keypoints"):
        if key in detection and not bool((finite := torch.isfinite(detection[key])).all()):
            n = int((~finite).nonzero()[0, 0])
            raise ValueError(f"{where}, detection {n}: {key} {detection[key][n].tolist()}, expected finite numbers")
    reversed_ = (boxes[:, 2:] < boxes[:, :2]).any(dim=1)
    if bool(reversed_.any()):
        n = int(reversed_.nonzero()[0])
        found = f"detection {n}: box {boxes[n].tolist()}"
        raise ValueError(f"{where}, {found}, expected x1, y1, x2, y2: looks like x, y, width, height")
    masks = detection.get("masks")
    if masks is not None and masks.numel() and masks.dtype != torch.bool:
        low, high = (float(value) for value in torch.aminmax(masks))
        if not 0 <= low <= high <= 1:
            n = int((~((masks >= 0) & (masks <= 1))).flatten(1).any(dim=1).nonzero()[0])
            raise ValueError(f"{where}, detection {n}: mask values from {low:g} to {high:g}, expected 0..1")
