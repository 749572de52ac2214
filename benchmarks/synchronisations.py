"""How often the host waits for the GPU: in proposal generation and in a whole training step, ours and torchvision's.

    python benchmarks/synchronisations.py [--quick]

Two pictures a batch, of 128 x 128 or 400 x 544: at 800 x 1088 two make the same counts. On a GPU they are the warnings
of torch.cuda.set_sync_debug_mode("warn"). On a CPU nothing waits, so operations are counted that would make the host
wait on a GPU, of these kinds:

    read      a number for Python: item, tolist, bool(tensor), int(tensor), equal, cpu, numpy
    select    a size that depends on the data: nonzero, where(mask), x[mask], masked_select, unique, repeat_interleave
    nms       torchvision's NMS, which ends with such a selection
    copy      a Python list made a tensor on the device, torch.tensor(list, device=...) and new_tensor, from memory that
              is not pinned

and torchvision's batched NMS chooses as it does on a GPU (one NMS up to 25,000 boxes, one a group above). An estimate,
then, for machines without a GPU; where there is a GPU row, that one counts. Both models have the same weights, and
first both must make the same proposals.
"""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pairs
import torch
import torchvision
from timing import Table, begin, parser
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models.detection.rpn import concat_box_prediction_layers

from mrcnn_lite.model import MaskRCNN

KINDS = ("read", "select", "nms", "copy")

# Operations of the dispatcher, which also sees what C++ calls: the backward pass, say.
DISPATCHED = {
    **dict.fromkeys(("aten::_local_scalar_dense", "aten::equal"), "read"),
    **dict.fromkeys(("aten::nonzero", "aten::masked_select", "aten::repeat_interleave"), "select"),
    **dict.fromkeys(("aten::_unique", "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive"), "select"),
    "aten::bincount": "select",
    "torchvision::nms": "nms",
}
INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
# What a tensor on the CPU does without the dispatcher, by the name of the function that Python calls.
CALLED = {"tolist": "read", "cpu": "read", "numpy": "read", "new_tensor": "copy"}
CREATED = ("tensor", "as_tensor")  # a copy if a device is given


class CountDispatched(TorchDispatchMode):
    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().split(".")[0]
        if name in DISPATCHED:
            self.counts[DISPATCHED[name]] += 1
        elif name in INDEXED:  # x[mask], once a mask
            masks = [i for i in args[1] if i is not None and i.dtype in (torch.bool, torch.uint8)]
            self.counts["select"] += len(masks)
        return func(*args, **(kwargs or {}))


class CountCalled(TorchFunctionMode):
    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in CALLED:
            self.counts[CALLED[name]] += 1
        elif name in CREATED and (kwargs or {}).get("device") is not None and not isinstance(args[0], Tensor):
            self.counts["copy"] += 1
        return func(*args, **(kwargs or {}))


def count(call: Callable[[], object], device: torch.device) -> Counter[str]:
    """Synchronisations of one call: on a CPU by kind, on a GPU under "all"."""
    counts: Counter[str] = Counter()
    if device.type == "cpu":
        with as_on_a_gpu(), CountCalled(counts), CountDispatched(counts):
            call()
        return counts
    with warnings.catch_warnings(record=True) as caught, sync_warnings():
        warnings.simplefilter("always")
        call()
    counts["all"] = sum("called a synchronizing" in str(warning.message) for warning in caught)
    return counts


@contextlib.contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """torchvision's batched NMS with the limit that it has for GPUs."""
    boxes = torchvision.ops.boxes

    def batched_nms(b: Tensor, scores: Tensor, groups: Tensor, iou: float) -> Tensor:
        by_group = b.numel() > 100_000
        chosen = boxes._batched_nms_vanilla if by_group else boxes._batched_nms_coordinate_trick
        return chosen(b, scores, groups, iou)

    with mock.patch.object(boxes, "batched_nms", batched_nms), mock.patch("torchvision.ops.batched_nms", batched_nms):
        yield


@contextlib.contextmanager
def sync_warnings() -> Iterator[None]:
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def proposer(model: nn.Module, pair: pairs.Pair) -> Callable[[], list[Tensor]]:
    """A call from the RPN's outputs to the proposals for training, everything before it done."""
    model.train()
    with torch.no_grad():
        if isinstance(model, MaskRCNN):
            batch, _ = model.prepare(pair.images)
            output = model.rpn(model.backbone(batch.images), batch.size)
            return lambda: model.propose(output, batch, train=True).boxes
        theirs: Any = model
        images, _ = theirs.transform(pair.images)
        features = list(theirs.backbone(images.tensors).values())
        logits, deltas = theirs.rpn.head(features)
        anchors = theirs.rpn.anchor_generator(images, features)
        sizes = [level[0].numel() for level in logits]
        logits, deltas = concat_box_prediction_layers(logits, deltas)

    def propose() -> list[Tensor]:
        boxes = theirs.rpn.box_coder.decode(deltas, anchors).view(len(anchors), -1, 4)
        return theirs.rpn.filter_proposals(boxes, logits, images.image_sizes, sizes)[0]

    return propose


def check_same_proposals(ours: list[Tensor], theirs: list[Tensor]) -> None:
    """SystemExit unless (nearly) every proposal of torchvision's, to 0.1 pixel, is also ours."""
    for i, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        found = int((torch.cdist(mine, other, p=torch.inf) < 0.1).any(0).sum())
        if len(mine) != len(other) or found < 0.99 * len(other):
            raise SystemExit(f"picture {i}: {found} of torchvision's {len(other)} proposals are among our {len(mine)}")


def checked(step: Callable[[], object], model: MaskRCNN) -> Callable[[], None]:
    """The step with `checks.py` on, as when `losses` is called by hand."""

    def call() -> None:
        model.check_inputs = True
        step()
        model.check_inputs = False

    return call


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    devices = begin(options)
    columns = {"device": 6, "model": 8, "what": 22, "whose": 11}
    table = Table({**columns, "all": 4, **dict.fromkeys(KINDS, 6)})
    for device in devices:
        for name in ("tiny",) if options.quick else ("tiny", "resnet50"):
            pair = (pairs.tiny(2) if name == "tiny" else pairs.resnet50(2, 400, 544)).to(device)
            calls: list[tuple[str, str, Callable[[], Any]]]
            calls = [("proposals", whose, proposer(model, pair)) for whose, model in pair.models().items()]
            with torch.no_grad():
                check_same_proposals(calls[0][2](), calls[1][2]())
            steps = {whose: pairs.trainer(model, pair) for whose, model in pair.models().items()}
            calls += [("training step", whose, step) for whose, step in steps.items()]
            calls += [("step, inputs checked", "ours", checked(steps["ours"], pair.ours))]
            for what, whose, call in calls:
                call()  # the first run sets up what later ones have
                counts = count(call, device)
                kinds = [counts[kind] for kind in KINDS] if device.type == "cpu" else [""] * len(KINDS)
                table.row(device.type, name, what, whose, counts.total(), *kinds)


if __name__ == "__main__":
    main()
