"""The only file that changes coordinate frame: images and targets in, detections out.

Every image is resized (shorter edge to `min_size`, the longer at most `max_size`), normalised, and laid into one batch,
padded right and below with zeros. Everything between `prepare` and `undo` lives in pixels of that network input.

Paper: Mask R-CNN section 3.1 ("images are resized such that their scale (shorter edge) is 800 pixels").
Letters: N images, H W size, G objects, J keypoints. Read next: `backbone.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Size = tuple[int, int]  # (H, W)


class Batch(NamedTuple):
    """The network's input, with what is needed to go back."""

    images: Tensor  # float [N, 3, H, W], normalised, zero outside the true sizes
    sizes: list[Size]  # true size of each resized image: clip to this, not to the padded H, W
    original_sizes: list[Size]  # before resizing: detections come back in these pixels

    @property
    def size(self) -> Size:
        """(H, W) of the padded input."""
        return self.images.shape[-2], self.images.shape[-1]


def resized_size(size: Size, min_size: int, max_size: int) -> Size:
    """(H, W) with the shorter edge `min_size`, or smaller if the longer would pass `max_size`; rounded down."""
    scale = min(min_size / min(size), max_size / max(size))
    return math.floor(size[0] * scale), math.floor(size[1] * scale)


def scale_boxes(boxes: Tensor, old: Size, new: Size) -> Tensor:
    """Boxes [..., 4] in an image of size `old` -> in the same image resized to `new`."""
    y, x = new[0] / old[0], new[1] / old[1]
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([x1 * x, y1 * y, x2 * x, y2 * y], dim=-1)


def scale_keypoints(keypoints: Tensor, old: Size, new: Size) -> Tensor:
    """Keypoints [..., 3] in an image of size `old` -> in the same image resized to `new`; visibility stays."""
    x, y, visibility = keypoints.unbind(-1)
    return torch.stack([x * (new[1] / old[1]), y * (new[0] / old[0]), visibility], dim=-1)


class ImageTransform(nn.Module):
    """Resize, normalise, pad; and the way back.

    mean, std: of RGB in 0..1. divisor: the padded size is a multiple of it, so that every stride fits. `half_pixel`
    decides how masks are resized: True takes the nearest pixel centre, False torchvision's nearest corner.
    """

    def __init__(
        self,
        min_size: int,
        max_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        divisor: int = 32,
        half_pixel: bool = True,
    ) -> None:
        super().__init__()
        self.min_size, self.max_size, self.divisor = min_size, max_size, divisor
        self.mask_mode = "nearest-exact" if half_pixel else "nearest"
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: Sequence[Tensor]) -> Batch:
        """images: N times [3, h, w] in 0..1, of any sizes -> `Batch`."""
        original = [(image.shape[-2], image.shape[-1]) for image in images]
        sizes = [resized_size(size, self.min_size, self.max_size) for size in original]
        height, width = (math.ceil(max(edge) / self.divisor) * self.divisor for edge in zip(*sizes))
        batch = self.get_buffer("mean").new_zeros(len(images), 3, height, width)  # the network's dtype, not the images'
        for i, (image, old, new) in enumerate(zip(images, original, sizes)):
            image = (image - self.get_buffer("mean")) / self.get_buffer("std")
            if old != new:
                image = F.interpolate(image[None], size=new, mode="bilinear", align_corners=False)[0]
            batch[i, :, : new[0], : new[1]] = image
        return Batch(batch, sizes, original)

    def targets(self, targets: Sequence[dict[str, Tensor]], batch: Batch) -> list[dict[str, Tensor]]:
        """Boxes, masks and keypoints moved into the network input's pixels (and to its device); the rest is dropped."""
        device, dtype = batch.images.device, torch.promote_types(batch.images.dtype, torch.float32)
        moved = []
        for target, old, new in zip(targets, batch.original_sizes, batch.sizes):
            boxes = target["boxes"].to(device, dtype).reshape(-1, 4)
            result = {
                "boxes": scale_boxes(boxes, old, new),
                "labels": target["labels"].to(device, torch.int64).reshape(-1),
            }
            if "masks" in target:
                masks = target["masks"].to(device).reshape(-1, *old)
                if old != new:
                    masks = F.interpolate(masks[:, None].to(torch.uint8), size=new, mode=self.mask_mode)[:, 0]
                result["masks"] = masks
            if "keypoints" in target:
                keypoints = target["keypoints"].to(device, dtype)
                result["keypoints"] = scale_keypoints(keypoints, old, new)
            moved.append(result)
        return moved

    def undo(self, detections: list[dict[str, Tensor]], batch: Batch) -> list[dict[str, Tensor]]:
        """Boxes and keypoints back in the pixels of the original images; the rest is passed on."""
        undone = []
        for detection, old, new in zip(detections, batch.original_sizes, batch.sizes):
            detection = dict(detection, boxes=scale_boxes(detection["boxes"], new, old))
            if "keypoints" in detection:
                detection["keypoints"] = scale_keypoints(detection["keypoints"], new, old)
            undone.append(detection)
        return undone
