"""Moves a picture and its target together: mirror, quarter turns, resize, crop, pad, light.

Every function takes (image [3, H, W], target) and returns a new pair; nothing here is random. Coordinates
are continuous pixels, so a mirrored x is W - x, with no -1. What is cut off or vanishes leaves the target.
Letters: G objects, H W size, J keypoints. Read next: augment.py, which draws the random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .dataset import Target

_PER_OBJECT = ("boxes", "labels", "masks", "keypoints", "area", "iscrowd")


def flip(image: Tensor, target: Target, keypoint_flip: Sequence[int] = ()) -> tuple[Tensor, Target]:
    """Mirrors left and right. keypoint_flip: which keypoint takes the place of each (`Dataset` has it)."""
    width = image.shape[2]
    moved = dict(target)
    x1, y1, x2, y2 = target["boxes"].unbind(1)
    moved["boxes"] = torch.stack([width - x2, y1, width - x1, y2], dim=1)
    if "masks" in target:
        moved["masks"] = target["masks"].flip(2)
    if "keypoints" in target:
        keypoints = target["keypoints"][:, list(keypoint_flip)] if keypoint_flip else target["keypoints"]
        x, y, visibility = keypoints.unbind(2)
        moved["keypoints"] = _labelled(torch.stack([width - x, y, visibility], dim=2))
    return image.flip(2), moved


def rotate90(image: Tensor, target: Target, turns: int = 1) -> tuple[Tensor, Target]:
    """Turns counter-clockwise by `turns` times 90 degrees. Left and right of a person stay what they are."""
    moved = dict(target)
    for _ in range(turns % 4):
        width = image.shape[2]
        image = torch.rot90(image, 1, (1, 2))
        x1, y1, x2, y2 = moved["boxes"].unbind(1)
        moved["boxes"] = torch.stack([y1, width - x2, y2, width - x1], dim=1)
        if "masks" in moved:
            moved["masks"] = torch.rot90(moved["masks"], 1, (1, 2))
        if "keypoints" in moved:
            x, y, visibility = moved["keypoints"].unbind(2)
            moved["keypoints"] = _labelled(torch.stack([y, width - x, visibility], dim=2))
    return image, moved


def resize(image: Tensor, target: Target, size: tuple[int, int]) -> tuple[Tensor, Target]:
    """Resizes to (H, W) `size`, bilinear. A box that was its mask's own box stays so; others are scaled."""
    height, width = image.shape[1:]
    if (height, width) == size:
        return image, target
    factors = torch.tensor([size[1] / width, size[0] / height])  # of x, of y
    moved = dict(target)
    moved["boxes"] = target["boxes"] * factors.repeat(2)
    moved["area"] = target["area"] * factors.prod()
    if "keypoints" in target:
        moved["keypoints"] = torch.cat([target["keypoints"][..., :2] * factors, target["keypoints"][..., 2:]], 2)
    if "masks" in target:
        tight = (mask_boxes(target["masks"]) == target["boxes"]).all(dim=1)
        # [G, 1, H, W]: objects as a batch, which unlike channels may be of length 0.
        soft = F.interpolate(target["masks"][:, None].float(), size, mode="bilinear", align_corners=False)
        moved["masks"] = (soft[:, 0] >= 0.5).to(torch.uint8)  # [G, *size]
        moved["boxes"] = torch.where(tight[:, None], mask_boxes(moved["masks"]), moved["boxes"])
        moved = _keep(moved, moved["masks"].flatten(1).any(dim=1))
    image = F.interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
    return image.clamp(0, 1), moved  # rounding may leave 0..1 by 1e-7


def crop(image: Tensor, target: Target, top: int, left: int, size: tuple[int, int]) -> tuple[Tensor, Target]:
    """Cuts out the window of (H, W) `size` whose first pixel is (top, left).

    An object that is cut gets the box of what is left of its mask; keypoints outside become unlabelled.
    """
    height, width = image.shape[1:]
    bottom, right = top + size[0], left + size[1]
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        window = f"rows {top} to {bottom}, columns {left} to {right}"
        raise ValueError(f"a crop of {window} does not fit into a picture of {height} x {width}")
    moved = dict(target)
    shifted = target["boxes"] - torch.tensor([left, top, left, top])
    moved["boxes"] = _clipped(shifted, size)
    if "keypoints" in target:
        x, y, visibility = target["keypoints"].unbind(2)
        x, y = x - left, y - top
        inside = (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])
        moved["keypoints"] = _labelled(torch.stack([x, y, visibility * inside], dim=2))
    if "masks" in target:
        moved["masks"] = target["masks"][:, top:bottom, left:right].contiguous()
        cut = (moved["boxes"] != shifted).any(dim=1)
        moved["boxes"] = torch.where(cut[:, None], mask_boxes(moved["masks"]), moved["boxes"])
        pixels = moved["masks"].sum(dim=(1, 2))
        moved["area"] = torch.where(cut, pixels, target["area"])
        moved = _keep(moved, pixels > 0)
    else:
        moved = _keep(moved, (moved["boxes"][:, 2:] > moved["boxes"][:, :2]).all(dim=1))
    return image[:, top:bottom, left:right].contiguous(), moved


def pad(image: Tensor, target: Target, top: int, left: int, size: tuple[int, int]) -> tuple[Tensor, Target]:
    """Puts the picture at (top, left) of a larger one of (H, W) `size`, filled with its mean colour."""
    height, width = image.shape[1:]
    if top < 0 or left < 0 or top + height > size[0] or left + width > size[1]:
        raise ValueError(f"a picture of {height} x {width} at ({top}, {left}) does not fit into {size}")
    canvas = image.mean(dim=(1, 2), keepdim=True).expand(-1, *size).clone()
    canvas[:, top : top + height, left : left + width] = image
    moved = dict(target)
    moved["boxes"] = target["boxes"] + torch.tensor([left, top, left, top])
    if "masks" in target:
        borders = (left, size[1] - left - width, top, size[0] - top - height)
        moved["masks"] = F.pad(target["masks"], borders)
    if "keypoints" in target:
        moved["keypoints"] = _labelled(target["keypoints"] + torch.tensor([left, top, 0]))
    return canvas, moved


def relight(image: Tensor, brightness: float, contrast: float) -> Tensor:
    """Multiplies the light by `brightness`, the distance from the mean grey by `contrast`; stays in 0..1."""
    mean = image.mean() * brightness
    return (mean + (image * brightness - mean) * contrast).clamp(0, 1)


def mask_boxes(masks: Tensor) -> Tensor:
    """Each mask's own box: uint8 [G, H, W] -> float32 [G, 4]; an empty mask gives zeros."""
    columns, rows = masks.amax(dim=1) > 0, masks.amax(dim=2) > 0  # [G, W], [G, H]
    first_x, first_y = columns.int().argmax(dim=1), rows.int().argmax(dim=1)
    last_x = masks.shape[2] - columns.flip(1).int().argmax(dim=1)
    last_y = masks.shape[1] - rows.flip(1).int().argmax(dim=1)
    boxes = torch.stack([first_x, first_y, last_x, last_y], dim=1).float()
    return boxes * columns.any(dim=1)[:, None]


def _clipped(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    limits = torch.tensor([size[1], size[0]] * 2, dtype=boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), limits)


def _labelled(keypoints: Tensor) -> Tensor:
    """Unlabelled keypoints (visibility 0) are (0, 0, 0), wherever the picture went."""
    return torch.where(keypoints[..., 2:] > 0, keypoints, 0.0)


def _keep(target: Target, kept: Tensor) -> Target:
    if bool(kept.all()):
        return target
    return {key: value[kept] if key in _PER_OBJECT else value for key, value in target.items()}
