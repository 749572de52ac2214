"""Non-maximum suppression: the one to read, `boxes.nms_reference`, against torchvision's compiled one.

    python benchmarks/nms.py [--quick]

The package calls torchvision's (`boxes.batched_nms`); this says what reading costs. Both must keep the same boxes in
the same order. "busy" scenes are heaps of boxes about a few objects, as an RPN makes them; in "sparse" ones most boxes
stay, and each that stays costs the reference a row of IoUs.
"""

from __future__ import annotations

import torch
from timing import Table, begin, parser, take_turns
from torch import Tensor
from torchvision.ops import nms

from mrcnn_lite.boxes import nms_reference

SCENES = (("busy", 1000, 60, 0.5), ("busy", 2000, 100, 0.7), ("busy", 4000, 100, 0.7), ("sparse", 1000, 1000, 0.5))


def make_boxes(count: int, objects: int) -> tuple[Tensor, Tensor]:
    """`count` boxes jittered about `objects` objects in 800 x 800, with scores: [P, 4], [P]."""
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(objects, (count,), generator=generator)
    centre = (800 * torch.rand(objects, 2, generator=generator))[index]
    size = torch.exp(3 + 2 * torch.rand(objects, 1, generator=generator))[index]  # 20 to 150 pixels
    centre = centre + 0.12 * size * torch.randn(count, 2, generator=generator)
    half = size * torch.exp(0.15 * torch.randn(count, 2, generator=generator)) / 2
    return torch.cat([centre - half, centre + half], dim=1), torch.rand(count, generator=generator)


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    devices = begin(options)
    turns, scenes = (3, SCENES[:1]) if options.quick else (15, SCENES)
    columns = {"device": 6, "scene": 6, "boxes": 6, "IoU": 4, "kept": 5}
    table = Table({**columns, "reference, ms": 8, "torchvision, ms": 8, "ratio": 6})
    for device in devices:
        for scene, count, objects, threshold in scenes:
            boxes, scores = (tensor.to(device) for tensor in make_boxes(count, objects))
            kept = nms(boxes, scores, threshold)
            if not torch.equal(nms_reference(boxes, scores, threshold), kept):
                raise SystemExit(f"{scene} scene of {count} boxes: the reference and torchvision keep different boxes")
            contestants = {
                "reference": lambda b=boxes, s=scores, t=threshold: nms_reference(b, s, t),
                "torchvision": lambda b=boxes, s=scores, t=threshold: nms(b, s, t),
            }
            times = take_turns(contestants, device, turns)
            medians = [times.ms(name) for name in contestants]
            table.row(
                device.type, scene, count, str(threshold), len(kept), *medians, times.ratio("reference", "torchvision")
            )


if __name__ == "__main__":
    main()
