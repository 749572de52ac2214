"""What the mask branch costs over Faster R-CNN, in time and parameters, for ours and for torchvision's model.

    python benchmarks/mask_branch.py [--quick]

The same model with and without its mask head, the same weights elsewhere, taking turns: the tiny preset and
ResNet-50-FPN at 800 x 1088. The paper says about 20 % of the time of Faster R-CNN for detecting (section 3.1,
"Inference"). Here every picture has 8 or 100 detections, the most there can be, and pasting them at full size counts;
"without paste" is the mask branch up to its 28 x 28 masks.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from unittest import mock

import pairs
from timing import Table, begin, parser, take_turns
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from mrcnn_lite.model import MaskRCNN


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def unpasted(model: nn.Module) -> AbstractContextManager:
    """A context in which detections keep their M x M masks."""
    if isinstance(model, MaskRCNN):
        return mock.patch.object(MaskRCNN, "paste_masks", lambda self, detections, batch: detections)

    def as_they_are(self: object, result: list[dict[str, Tensor]], *sizes: object) -> list[dict[str, Tensor]]:
        return result

    return mock.patch.object(GeneralizedRCNNTransform, "postprocess", as_they_are)


def main(arguments: list[str] | None = None) -> None:
    options_parser = parser(__doc__)
    options_parser.add_argument(
        "--turns", type=int, default=3, help="of which the median is taken; default %(default)s"
    )
    options = options_parser.parse_args(arguments)
    devices = begin(options)
    columns = {"device": 6, "model": 8, "whose": 11, "task": 21}
    columns |= {"Faster, ms": 8, "Mask, ms": 8, "time": 6, "Faster, M": 6, "branch, M": 6, "parameters": 6}
    table = Table(columns)
    for device in devices:
        for name in ("tiny",) if options.quick else ("tiny", "resnet50"):
            pair = (pairs.tiny(batch=2) if options.quick else getattr(pairs, name)()).to(device)
            pairs.check_same_detections(pair)
            faster = pairs.without_masks(pair)
            pairs.check_same_detections(faster)
            for whose in ("ours", "torchvision"):
                without, with_masks = faster.models()[whose], pair.models()[whose]
                fewer, more = parameters(without), parameters(with_masks)
                weights = [fewer / 1e6, (more - fewer) / 1e6, f"+{more / fewer - 1:.1%}"]
                for task in ("detect", "detect without paste", "train"):
                    make_call = pairs.trainer if task == "train" else pairs.detector
                    contestants = {"without": make_call(without, faster), "with": make_call(with_masks, pair)}
                    with unpasted(without) if task == "detect without paste" else nullcontext():
                        times = take_turns(contestants, device, 1 if options.quick else options.turns)
                    added = f"{times.ratio('with', 'without') - 1:+.0%}"
                    table.row(device.type, name, whose, task, times.ms("without"), times.ms("with"), added, *weights)


if __name__ == "__main__":
    main()
