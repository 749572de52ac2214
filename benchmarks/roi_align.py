"""RoIAlign over four pyramid levels: ours (`align_levels`) against torchvision's compiled kernel, in one run.

    python benchmarks/roi_align.py [--threads 1] [--repeats 9] [--channels-last] [--sizes 512x256x14 ...]

Two images of 800 x 1088, strides 4 to 32, 2 x 2 points a bin, boxes of 16 to 640 pixels spread over the levels by FPN's
rule. First both must agree to 1e-5; then they take turns (A B A B ...), so that a busy neighbour disturbs both, and the
medians are printed in milliseconds. The gradient that comes back is contiguous [R, C, S, S], which suits torchvision.
On a GPU, where there is one, ours is measured twice: by the kernel (what the package does there) and by the table. If
the table wins, add "cuda" to `TABLE_CHANNELS` in mrcnn_lite/roi_ops.py.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from unittest import mock

import torch
import torchvision
from torch import Tensor

from mrcnn_lite import roi_ops

STRIDES = (4, 8, 16, 32)
SCALES = [1 / stride for stride in STRIDES]
HEIGHT, WIDTH, IMAGES, POINTS = 800, 1088, 2, 2
SIZES = ("512x256x14", "1000x256x7", "512x64x7")  # R x C x S: mask head, box head, box head of a narrow model

Align = Callable[[list[Tensor], Tensor, Tensor, int], Tensor]  # features, rois, levels, size -> crops


def ours(features: list[Tensor], rois: Tensor, levels: Tensor, size: int) -> Tensor:
    return roi_ops.align_levels(features, rois, levels, size, SCALES, sampling_ratio=POINTS)


def ours_by_the_table(features: list[Tensor], rois: Tensor, levels: Tensor, size: int) -> Tensor:
    with mock.patch.object(roi_ops, "TABLE_CHANNELS", {features[0].device.type: 1}):
        return ours(features, rois, levels, size)


def torchvisions(features: list[Tensor], rois: Tensor, levels: Tensor, size: int) -> Tensor:
    """What MultiScaleRoIAlign does, with `aligned=True`: one call of the kernel for the RoIs of each level."""
    crops = features[0].new_zeros(len(rois), features[0].shape[1], size, size)
    for level, (feature, scale) in enumerate(zip(features, SCALES)):
        mine = torch.where(levels == level)[0]
        crops[mine] = torchvision.ops.roi_align(feature, rois[mine], size, scale, POINTS, aligned=True)
    return crops


def make_input(num_rois: int, channels: int, device: str, channels_last: bool) -> tuple[list[Tensor], Tensor, Tensor]:
    """Features of four levels, RoIs [R, 5] with log-uniform sizes, their levels."""
    generator = torch.Generator().manual_seed(0)
    features = [
        torch.randn(IMAGES, channels, HEIGHT // stride, WIDTH // stride, generator=generator) for stride in STRIDES
    ]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    features = [f.to(device).contiguous(memory_format=layout).requires_grad_() for f in features]
    side, shape, x, y = torch.rand(4, num_rois, generator=generator)
    side, shape = 16 * 40**side, 2 ** (shape - 0.5)
    centre, half = torch.stack([x * WIDTH, y * HEIGHT], 1), torch.stack([side / shape, side * shape], 1) / 2
    border = torch.tensor([WIDTH, HEIGHT])
    boxes = torch.cat([(centre - half).clamp(min=0), torch.minimum(centre + half, border)], 1)
    image = torch.randint(IMAGES, (num_rois, 1), generator=generator)
    rois = torch.cat([image, boxes], 1).to(device)
    levels = roi_ops.RoIPooler(roi_ops.align_levels, 7, SCALES).levels(rois)
    return features, rois, levels


def check_equal(contestants: dict[str, Align], features: list[Tensor], rois: Tensor, levels: Tensor, size: int) -> None:
    """Crops equal to 1e-5 and gradients to 1e-5 of the largest, or SystemExit."""
    results = {}
    for name, align in contestants.items():
        crops = align(features, rois, levels, size)
        results[name] = [crops.detach(), *torch.autograd.grad(crops.square().sum(), features)]
    expected = results.pop("torchvision")
    for name, found in results.items():
        error = max(float((f - e).abs().max() / e.abs().max().clamp(min=1)) for f, e in zip(found, expected))
        if error > 1e-5:
            raise SystemExit(f"{name} differs from torchvision by {error:.1e}, expected at most 1e-5")


def seconds(call: Callable[[], object], device: str) -> float:
    """CPU seconds of one thread (a busy neighbour does not count), otherwise seconds by the clock, the GPU awaited."""
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    if device == "cuda":
        torch.cuda.synchronize()
    start = clock()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def measure(contestants: dict[str, Align], data: tuple, size: int, repeats: int, device: str) -> dict[str, list[float]]:
    """Median milliseconds of each: [forward, forward + backward]."""
    features, rois, levels = data
    grad = torch.randn(len(rois), features[0].shape[1], size, size, device=device)
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in contestants}

    def forward(align: Align) -> None:
        with torch.no_grad():
            align(features, rois, levels, size)

    def both(align: Align) -> None:
        torch.autograd.grad(align(features, rois, levels, size), features, grad)

    for turn in range(repeats + 1):
        for name, align in contestants.items():
            pair = seconds(partial(forward, align), device), seconds(partial(both, align), device)
            if turn:  # the first turn warms up
                times[name][0].append(pair[0])
                times[name][1].append(pair[1])
    return {name: [statistics.median(part) * 1e3 for part in parts] for name, parts in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--repeats", type=int, default=9, help="turns of which the median is taken (default 9)")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="RxCxS", help=f"default {' '.join(SIZES)}")
    parser.add_argument("--channels-last", action="store_true", help="features in the channels_last layout")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    print(
        f"RoIAlign, four levels of {IMAGES} x {HEIGHT} x {WIDTH}, {POINTS} x {POINTS} points a bin, float32, ", end=""
    )
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, {arguments.threads} CPU thread(s)")
    print(f"median ms of {arguments.repeats} alternating turns; ratio = ours / torchvision (below 1: ours is faster)")
    print(f"{'device':7} {'R x C x S':12} {'ours':10} {'forward':>24} {'ratio':>6} {'+ backward':>24} {'ratio':>6}")
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        contestants: dict[str, Align] = {"torchvision": torchvisions, "default": ours}
        if device == "cuda":
            contestants["table"] = ours_by_the_table
        for sizes in arguments.sizes:
            num_rois, channels, size = map(int, sizes.split("x"))
            data = make_input(num_rois, channels, device, arguments.channels_last)
            check_equal(contestants, *data, size)
            medians = measure(contestants, data, size, arguments.repeats, device)
            theirs = medians.pop("torchvision")
            for name, mine in medians.items():
                cells = [
                    f"{f'{m:.1f} against {t:.1f}':>24} {m / t:6.2f}" for m, t in zip(mine, theirs)
                ]  # forward, forward + backward
                print(f"{device:7} {sizes:12} {name:10} {' '.join(cells)}", flush=True)
    if not torch.cuda.is_available():
        print("no GPU: its rows are left out")


if __name__ == "__main__":
    main()
