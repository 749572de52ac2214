"""What a configuration costs, part by part: the shapes, parameters and multiply-adds of one picture.

`describe(config)` builds the network on torch's meta device, where tensors have a shape and no numbers, lets every part
run there and notes what comes out: a fraction of a second for any network and any size.

Counted are convolutions and matrix products. Left out, since they are few beside these: norms, activations, pooling,
RoI operations, NMS, the resizing of pictures and the pasting of masks.

Paper: Mask R-CNN section 3, Figure 4. Letters: C channels, H W size, R RoIs, S the crop's side. Read next: `cli/`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .backbone import BasicBlock, Bottleneck
from .build import build_model
from .config import Config
from .images import resized_size

Shape = tuple[int, ...]  # a map is (C, H, W), what a head makes of its RoIs (R, ...)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a step, a part or the whole network costs."""

    trainable: int  # parameters; shared ones count where they occur first
    frozen: int  # parameters without gradient (the scales of frozen BatchNorm are no parameters)
    flops: int  # floating-point operations, two a multiply-add

    @property
    def parameters(self) -> int:
        return self.trainable + self.frozen

    @property
    def macs(self) -> int:
        """Multiply-adds, half the FLOPs. Papers and torchvision's tables often call these "FLOPs"."""
        return self.flops // 2


@dataclass(frozen=True, kw_only=True)
class Step(Cost):
    """One step inside a part, in the order of computation."""

    name: str
    outputs: tuple[Shape, ...]  # of the RPN one a level


@dataclass(frozen=True, kw_only=True)
class Part(Cost):
    """A part of the network: "backbone", "FPN", "RPN", "box head", "mask head", "keypoint head"."""

    name: str
    steps: tuple[Step, ...]
    num_rois: int = 0  # of a head


@dataclass(frozen=True, kw_only=True)
class Description(Cost):
    """The network of a configuration on one picture, as `MaskRCNN.detect` runs it. `str` is a table."""

    config: Config
    image_size: tuple[int, int]  # (H, W) of the picture
    input_size: tuple[int, int]  # (H, W) after resizing and padding
    parts: tuple[Part, ...]

    def part(self, name: str) -> Part:
        """The part of this name. Raises KeyError with the names there are."""
        parts = {part.name: part for part in self.parts}
        if name not in parts:
            raise KeyError(f"no part {name!r}; there are {', '.join(parts)}")
        return parts[name]

    def __str__(self) -> str:
        unit, name = (1e9, "GMAC") if self.macs > 1e10 else (1e6, "MMAC")
        lines = [
            f"one picture of {_by(self.image_size)} pixels (height x width), network input {_by(self.input_size)}",
            "",
            f"{'':{_NAME}}{'output':{_SHAPE}}{'parameters':>12}{'frozen':>11}{name:>10}",
        ]
        for part in self.parts:
            rois = f", {part.num_rois} RoIs" if part.num_rois else ""
            lines += [_row(part.name + rois, "", part, unit)]
            for step in part.steps:
                others = f" … {_by(step.outputs[-1][1:])}" if len(step.outputs) > 1 else ""
                lines += [_row("  " + step.name, _by(step.outputs[0]) + others, step, unit)]
        lines += ["", _row("total", "", self, unit), ""]
        each = ", ".join(f"{p.name} {p.macs / p.num_rois / unit:.3f}" for p in self.parts if p.num_rois)
        lines += [f"{name} for each RoI: {each}", ""]
        lines += [f"A {name} is {unit:.0e} multiply-adds ({2 * unit:.0e} FLOPs) of convolutions and matrix products;"]
        lines += ["everything else is left out."]
        return "\n".join(line.rstrip() for line in lines)


_NAME, _SHAPE = 25, 29  # widths of the table's columns


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _row(name: str, shape: str, cost: Cost, unit: float) -> str:
    parameters, frozen = (f"{count:,}" if count else "" for count in (cost.parameters, cost.frozen))
    macs = f"{cost.macs / unit:.3f}" if cost.macs else ""
    return f"{name:{_NAME}}{shape:{_SHAPE}}{parameters:>12}{frozen:>11}{macs:>10}"


def _sums(costs: Sequence[Cost]) -> dict[str, int]:
    return {name: sum(getattr(cost, name) for cost in costs) for name in ("trainable", "frozen", "flops")}


def describe(config: Config, image_size: tuple[int, int] | None = None, num_rois: int | None = None) -> Description:
    """Shapes, parameters and multiply-adds of detecting the objects in one picture.

    image_size: (H, W) in pixels, before it is resized as the configuration says; None: a square of `min_size`.
    num_rois: in every head; None: `rpn_post_nms_test` proposals in the box head, `max_detections` in the others.
    Raises ValueError for numbers below 1.
    """
    image_size = (config.min_size, config.min_size) if image_size is None else image_size
    if min(image_size) < 1 or (num_rois is not None and num_rois < 1):
        raise ValueError(f"image_size is {image_size}, num_rois {num_rois}: expected numbers from 1")
    resized = resized_size(image_size, config.min_size, config.max_size)
    height, width = (math.ceil(max(1, edge) / config.size_divisor) * config.size_divisor for edge in resized)
    with torch.device("meta"), torch.no_grad():
        model: Any = build_model(config)
        walk = _Walk()
        body, rpn = model.backbone.body, model.rpn.head
        features = walk.part("backbone", partial(body, torch.empty(1, 3, height, width)), _resnet_stops(body))
        if config.arch == "fpn":
            fpn = model.backbone.fpn
            features = walk.part("FPN", partial(fpn, features), _fpn_stops(fpn), rest="P6")
        else:
            features = features[-1:]
        walk.part("RPN", lambda: [rpn(feature)[0] for feature in features], _rpn_stops(rpn))
        for name, head in model.heads.items():
            count = num_rois or (config.rpn_post_nms_test if name == "box" else config.max_detections)
            head.pooler = _Crop(head.pooler.size)
            run, rest = partial(head, features, torch.empty(count, 5)), _REST[name]
            walk.part(f"{name} head", run, _head_stops(head), rest=rest, num_rois=count)
    parts = tuple(walk.parts)
    return Description(config=config, image_size=image_size, input_size=(height, width), parts=parts, **_sums(parts))


_REST = {"box": "4 for each class", "mask": "as masks", "keypoint": "twice as large"}  # the last step of a head


class _Stop(NamedTuple):
    """A step ends whenever the module `end` has run; it owns the parameters of the modules `of`."""

    name: str
    end: nn.Module
    of: Sequence[nn.Module]


class _Walk:
    """Runs part after part and notes at every stop what came out and what it took since the stop before."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._seen: set[nn.Parameter] = set()  # C4's heads share res5, which counts once

    def part(
        self, name: str, run: Callable[[], Any], stops: Iterable[_Stop], *, rest: str = "", num_rois: int = 0
    ) -> Any:
        """Run a part and note its steps; `rest` names what changes the shape after the last of them."""
        stops = list(stops)
        first = 0 if num_rois else 1  # a map's shape is told without the batch of one picture
        outputs: list[list[Shape]] = [[] for _ in stops]
        flops = [0] * len(stops)

        def note(i: int, output: Tensor) -> None:
            outputs[i].append(tuple(output.shape[first:]))
            flops[i] += counter.get_total_flops() - sum(flops)

        hooks = [stop.end.register_forward_hook(lambda m, x, y, i=i: note(i, y)) for i, stop in enumerate(stops)]
        with FlopCounterMode(display=False) as counter:
            result = run()
        for hook in hooks:
            hook.remove()
        steps = [self._step(*of_step) for of_step in zip(stops, outputs, flops)]
        last = result if isinstance(result, Tensor) else result[-1]
        if rest and last.shape[first:] != steps[-1].outputs[-1]:
            steps.append(Step(name=rest, outputs=(tuple(last.shape[first:]),), **_sums([])))
        self.parts.append(Part(name=name, steps=tuple(steps), num_rois=num_rois, **_sums(steps)))
        return result

    def _step(self, stop: _Stop, outputs: list[Shape], flops: int) -> Step:
        parameters = {parameter for module in stop.of for parameter in module.parameters()}
        shared, new = parameters & self._seen, parameters - self._seen
        self._seen |= new
        trainable = sum(parameter.numel() for parameter in new if parameter.requires_grad)
        frozen = sum(parameter.numel() for parameter in new) - trainable
        name = f"{stop.name} (shared)" if shared else stop.name
        return Step(name=name, outputs=tuple(outputs), trainable=trainable, frozen=frozen, flops=flops)


class _Crop(nn.Module):
    """Stands in for an RoI operation: the right shape, nothing computed."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, features: list[Tensor], rois: Tensor) -> Tensor:
        return rois.new_empty(len(rois), features[0].shape[1], self.size, self.size)


def _resnet_stops(body: Any) -> Iterator[_Stop]:
    yield _Stop("stem", body.maxpool, [body.conv1, body.bn1])
    for number, stage in enumerate(map(body.get_submodule, body.stages), start=2):
        yield _Stop(f"res{number}", stage, [stage])


def _fpn_stops(fpn: Any) -> Iterator[_Stop]:
    for level in (5, 4, 3, 2):  # from the top down
        lateral, smooth = fpn.inner_blocks[level - 2], fpn.layer_blocks[level - 2]
        yield _Stop(f"P{level}", smooth, [lateral, smooth])


def _rpn_stops(head: Any) -> Iterator[_Stop]:
    for name, layer in (("3x3 convolution", head.conv), ("objectness", head.cls_logits), ("boxes", head.bbox_pred)):
        yield _Stop(name, layer, [layer])


def _head_stops(head: Any) -> Iterator[_Stop]:
    yield _Stop("crop", head.pooler, [])
    yield from _layer_stops(head.body) if hasattr(head, "body") else ()
    if hasattr(head, "cls_score"):
        yield _Stop("classes", head.cls_score, [head.cls_score])
        yield _Stop("boxes", head.bbox_pred, [head.bbox_pred])
    else:
        yield from _layer_stops(head.layers)


def _layer_stops(module: nn.Module) -> Iterator[_Stop]:
    """The layers of a head's body, in order, named by what they are; a stage of residual blocks is one."""
    names: dict[type[nn.Module], str] = {nn.ConvTranspose2d: "deconvolution", nn.Linear: "fully connected"}
    names |= {nn.Flatten: "flat", nn.AdaptiveAvgPool2d: "average"}
    children = list(module.children())
    if type(module) in names:
        yield _Stop(names[type(module)], module, [module])
    elif isinstance(module, nn.Conv2d):
        yield _Stop("{}x{} convolution".format(*module.kernel_size), module, [module])
    elif children and isinstance(children[0], (BasicBlock, Bottleneck)):
        yield _Stop("res5", module, [module])
    elif next(module.parameters(recurse=False), None) is not None:
        yield _Stop("norm", module, [module])
    else:
        for child in children:
            yield from _layer_stops(child)
