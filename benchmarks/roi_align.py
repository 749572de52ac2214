"""RoIAlign over four pyramid levels: ours (`align_levels`) against torchvision's compiled kernel.

    python benchmarks/roi_align.py [--quick] [--turns 9] [--channels-last] [--sizes 512x256x14 ...]

Two images of 800 x 1088, strides 4 to 32, 2 x 2 points a bin, float32, boxes of 16 to 640 pixels spread over the levels
by FPN's rule; first both must agree to 1e-5. The gradient that comes back is contiguous [R, C, S, S], as torchvision
likes it. On a GPU "ours" is what the package takes there, torchvision's kernel without waiting for the host, and a
second row has the table: if that wins, add "cuda" to `TABLE_CHANNELS` in mrcnn_lite/roi_ops.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from unittest import mock

import torch
import torchvision
from timing import Table, begin, parser, take_turns
from torch import Tensor

from mrcnn_lite import roi_ops

STRIDES = (4, 8, 16, 32)
SCALES = [1 / stride for stride in STRIDES]
HEIGHT, WIDTH, IMAGES, POINTS = 800, 1088, 2, 2
SIZES = ("512x256x14", "1000x256x7", "512x64x7")  # R x C x S: mask head, box head, box head of a narrow model

Align = Callable[[list[Tensor], Tensor, Tensor, int], Tensor]  # features, rois, levels, size -> crops


def ours(features: list[Tensor], rois: Tensor, levels: Tensor, size: int) -> Tensor:
    return roi_ops.align_levels(features, rois, levels, size, SCALES, sampling_ratio=POINTS)


def ours_by_table(features: list[Tensor], rois: Tensor, levels: Tensor, size: int) -> Tensor:
    with mock.patch.object(roi_ops, "TABLE_CHANNELS", {features[0].device.type: 1}):
        return ours(features, rois, levels, size)


def torchvisions(features: list[Tensor], rois: Tensor, levels: Tensor, size: int) -> Tensor:
    """What MultiScaleRoIAlign does, with `aligned=True`: one call of the kernel for the RoIs of each level."""
    crops = features[0].new_zeros(len(rois), features[0].shape[1], size, size)
    for level, (feature, scale) in enumerate(zip(features, SCALES)):
        mine = torch.where(levels == level)[0]
        crops[mine] = torchvision.ops.roi_align(feature, rois[mine], size, scale, POINTS, aligned=True)
    return crops


def make_input(
    num_rois: int, channels: int, device: torch.device, channels_last: bool
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Features of four levels, RoIs [R, 5] with log-uniform sizes, the level of each."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(IMAGES, channels, HEIGHT // stride, WIDTH // stride) for stride in STRIDES]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    maps = [torch.randn(shape, generator=generator).to(device) for shape in shapes]
    features = [feature.contiguous(memory_format=layout).requires_grad_() for feature in maps]
    side, shape, x, y = torch.rand(4, num_rois, generator=generator)
    side, shape = 16 * 40**side, 2 ** (shape - 0.5)
    centre, half = torch.stack([x * WIDTH, y * HEIGHT], 1), torch.stack([side / shape, side * shape], 1) / 2
    border = torch.tensor([WIDTH, HEIGHT])
    boxes = torch.cat([(centre - half).clamp(min=0), torch.minimum(centre + half, border)], 1)
    rois = torch.cat([torch.randint(IMAGES, (num_rois, 1), generator=generator), boxes], 1).to(device)
    return features, rois, roi_ops.RoIPooler(roi_ops.align_levels, 7, SCALES).levels(rois)


def check_equal(contestants: dict[str, Align], features: list[Tensor], rois: Tensor, levels: Tensor, size: int) -> None:
    """Crops and gradients equal to 1e-5 (of the largest value where that exceeds 1), or SystemExit."""
    results = {}
    for name, align in contestants.items():
        crops = align(features, rois, levels, size)
        results[name] = [crops.detach(), *torch.autograd.grad(crops.square().sum(), features)]
    expected = results.pop("torchvision")
    for name, found in results.items():
        error = max(float((f - e).abs().max() / e.abs().max().clamp(min=1)) for f, e in zip(found, expected))
        if error > 1e-5:
            raise SystemExit(f"{name} differs from torchvision by {error:.1e}, expected at most 1e-5")


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--turns", type=int, default=9, help="of which the median is taken; default %(default)s")
    options.add_argument("--sizes", nargs="+", default=SIZES, metavar="RxCxS", help=f"default {' '.join(SIZES)}")
    options.add_argument("--channels-last", action="store_true", help="features in the channels_last layout")
    chosen = options.parse_args(arguments)
    devices = begin(chosen)
    turns, all_sizes = (2, ["64x32x7"]) if chosen.quick else (chosen.turns, chosen.sizes)
    table = Table(
        {"device": 6, "R x C x S": 11, "ours": 6, "what": 18, "ours, ms": 8, "torchvision, ms": 8, "ratio": 6}
    )
    for device in devices:
        contestants: dict[str, Align] = {"torchvision": torchvisions, "ours": ours}
        if device.type == "cuda":
            contestants["table"] = ours_by_table
        for sizes in all_sizes:
            num_rois, channels, size = map(int, sizes.split("x"))
            features, rois, levels = make_input(num_rois, channels, device, chosen.channels_last)
            check_equal(contestants, features, rois, levels, size)
            grad = torch.randn(num_rois, channels, size, size, device=device)

            def forward(align: Align, features=features, rois=rois, levels=levels, size=size) -> None:
                with torch.no_grad():
                    align(features, rois, levels, size)

            def both(align: Align, features=features, rois=rois, levels=levels, size=size, grad=grad) -> None:
                torch.autograd.grad(align(features, rois, levels, size), features, grad)

            for what, run in (("forward", forward), ("forward + backward", both)):
                times = take_turns({name: partial(run, align) for name, align in contestants.items()}, device, turns)
                for name in list(contestants)[1:]:
                    medians = times.ms(name), times.ms("torchvision")
                    table.row(device.type, sizes, name, what, *medians, times.ratio(name, "torchvision"))


if __name__ == "__main__":
    main()
