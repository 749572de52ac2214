"""Pasting masks into the picture: `mask_head.paste` against torchvision's `paste_masks_in_image(...) > 0.5`.

    python benchmarks/paste.py [--quick]

First table: time for 100 masks of 28 x 28 in 800 x 1333. torchvision rounds boxes to whole pixels, so the two cannot be
equal; ours is first held to bilinear sampling at every pixel's centre (grid_sample), then "agreement" says the mean IoU
of theirs with ours. Second table: what pasting is for. A true mask, cropped to M x M on its own box and pasted back,
should come back as it was: q is the share of objects above an IoU of .50, .55 ... .95, averaged, in percent, for both
ways to crop (targets) and both to paste. No training is involved: a q below 100 is a ceiling for every network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from timing import Table, begin, parser, take_turns
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes

from mrcnn_lite.data import open_dataset
from mrcnn_lite.mask_head import crop_masks, paste

HEIGHT, WIDTH, MASKS, SIDE = 800, 1333, 100, 28
KINDS = ("shapes", "shapes-thin", "shapes-overlap")

Size = tuple[int, int]


def torchvisions(probs: Tensor, boxes: Tensor, size: Size) -> Tensor:
    """[R, M, M] -> bool [R, H, W]."""
    return paste_masks_in_image(probs[:, None], boxes, size)[:, 0] > 0.5


def make_input(device: torch.device) -> tuple[Tensor, Tensor]:
    """Smooth probabilities [R, M, M], and boxes [R, 4] of 20 to 490 pixels' side, log-uniform."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(MASKS, 1, 5, 5, generator=generator)
    probs = F.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic")[:, 0].clamp(0, 1)
    side, shape, x, y = torch.rand(4, MASKS, generator=generator)
    side, shape = torch.exp(3.0 + 3.2 * side), torch.exp(0.7 * (shape - 0.5))
    centre, half = torch.stack([x * WIDTH, y * HEIGHT], 1), torch.stack([side * shape, side / shape], 1) / 2
    low = (centre - half).clamp(min=0)
    high = torch.minimum(centre + half, torch.tensor([WIDTH, HEIGHT]))
    return probs.to(device), torch.cat([low, torch.maximum(high, low + 3)], dim=1).to(device)


def check_exact(pasted: Tensor, probs: Tensor, boxes: Tensor) -> None:
    """SystemExit where a pasted pixel is not what bilinear sampling at its centre says (0.5 itself left open)."""
    y, x = torch.arange(HEIGHT, device=boxes.device) + 0.5, torch.arange(WIDTH, device=boxes.device) + 0.5
    for found, mask, (x1, y1, x2, y2) in zip(pasted, probs, boxes):
        u, v = (x - x1) / (x2 - x1) * 2 - 1, (y - y1) / (y2 - y1) * 2 - 1  # -1..1 inside the box
        grid = torch.stack(torch.meshgrid(u, v, indexing="xy"), dim=-1)  # [H, W, 2]
        sampled = F.grid_sample(mask[None, None], grid[None], padding_mode="border", align_corners=False)[0, 0]
        inside = (v >= -1)[:, None] & (v < 1)[:, None] & (u >= -1) & (u < 1)
        sampled = torch.where(inside, sampled, 0.0)
        wrong = (found != (sampled > 0.5)) & ((sampled - 0.5).abs() > 1e-3)
        wrong &= ~((u.abs() - 1).abs() < 1e-4) & ~((v.abs() - 1).abs() < 1e-4)[:, None]  # centres on the box's side
        if wrong.any():
            raise SystemExit(f"paste differs from grid_sample in {int(wrong.sum())} pixels of a mask")


def mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """bool [R, H, W] twice -> [R]."""
    return (a & b).flatten(1).sum(1) / (a | b).flatten(1).sum(1).clamp(min=1)


def quality(pictures: Iterable, side: int, crop: Callable[..., Tensor], put: Callable[..., Tensor]) -> float:
    """q in percent: crop(masks, index, boxes, M) -> [G, M, M]; put(crops, boxes, size) -> bool [G, H, W]."""
    overlaps = []
    for image, target in pictures:
        boxes, masks = target["boxes"], target["masks"]
        crops = crop(masks, torch.arange(len(boxes)), boxes, side)
        overlaps.append(mask_iou(put(crops, boxes, tuple(image.shape[1:])), masks.bool()))
    found = torch.cat(overlaps)
    thresholds = torch.arange(50, 100, 5) / 100
    return 100 * float((found[:, None] > thresholds).float().mean())


def torchvision_crop(masks: Tensor, index: Tensor, boxes: Tensor, side: int) -> Tensor:
    return project_masks_on_boxes(masks, boxes, index, side)


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    devices = begin(options)
    turns, pictures = (3, 20) if options.quick else (9, 200)

    print(f"\n{MASKS} masks of {SIDE} x {SIDE} into {HEIGHT} x {WIDTH}; aimed at: a ratio of 0.15 on a CPU")
    table = Table({"device": 6, "ours, ms": 8, "torchvision, ms": 8, "ratio": 6, "agreement": 6})
    for device in devices:
        probs, boxes = make_input(device)
        pasted = paste(probs, boxes, (HEIGHT, WIDTH))
        check_exact(pasted, probs, boxes)
        agreement = float(mask_iou(pasted, torchvisions(probs, boxes, (HEIGHT, WIDTH))).mean())
        contestants = {
            "ours": lambda p=probs, b=boxes: paste(p, b, (HEIGHT, WIDTH)),
            "torchvision": lambda p=probs, b=boxes: torchvisions(p, b, (HEIGHT, WIDTH)),
        }
        times = take_turns(contestants, device, turns)
        ratio = times.ratio("ours", "torchvision")
        table.row(device.type, times.ms("ours"), times.ms("torchvision"), ratio, agreement)

    print(f"\nq of crop and paste on {pictures} pictures of each kind, in percent (no device: geometry)")
    names = {"neither": 11, "paste ours": 11, "targets ours": 11, "both ours": 11}
    table = Table({"pictures": 14, "M": 3, **names})
    for kind in KINDS:
        dataset = open_dataset(kind, "val", length=pictures, cached=False)
        held = [dataset[i] for i in range(pictures)]
        for side in (28, 14):
            pairs = [(crop, put) for crop in (torchvision_crop, crop_masks) for put in (torchvisions, paste)]
            table.row(kind, side, *(f"{quality(held, side, *pair):.1f}" for pair in pairs))


if __name__ == "__main__":
    main()
