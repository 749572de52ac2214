"""Every wrong input of a detector's first hours, given to torchvision and to us, each in a process of its own.

    python tests/bad_input.py [--ours] [--json FILE]      prints the table: the input, torchvision's answer, ours

A segmentation fault ends only the process of its row: each is forked from this one, which has torch and both models
ready. The second image of a batch is the wrong one, so that "image 1" in a message is no accident.
Read next: `test_bad_input.py`, which holds the answers to account.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

H, W, CLASSES = 96, 128, 3
NAN, INF = float("nan"), float("inf")
SECONDS = 60  # a row that takes longer hangs


class Row(NamedTuple):
    """One input. call: (side) -> result or exception. refusal: what our message must hold (a regular expression); None
    where the input is right, or unusual and harmless, and must be accepted."""

    name: str
    call: Callable[[Any], Any]
    refusal: str | None
    settings: bool = False  # of a setting, an operation or a file: no image and no object to name


def target() -> dict[str, Tensor]:
    masks = torch.zeros(2, H, W, dtype=torch.uint8)
    masks[0, 10:30, 5:40], masks[1, 50:90, 60:120] = 1, 1
    boxes = torch.tensor([[5.0, 10, 40, 30], [60, 50, 120, 90]])
    return {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": masks}


def image() -> Tensor:
    return torch.rand(3, H, W, generator=torch.Generator().manual_seed(0))


def edit(tensor: Tensor, place: Any, value: float) -> Tensor:
    tensor = tensor.clone()
    tensor[place] = value
    return tensor


def targets(name: str, refusal: str | None, **changes: Any) -> Row:
    """A row whose second target differs: key=a new value, or a function of the right one; None leaves the key out."""

    def call(side: Any) -> Any:
        wrong = target()
        for key, change in changes.items():
            value = change(wrong[key]) if callable(change) else change
            if value is None:
                del wrong[key]
            else:
                wrong[key] = value
        return side.losses([image(), image()], [target(), wrong])

    return Row(name, call, refusal)


def images(name: str, refusal: str | None, wrong: Callable[[], Tensor]) -> list[Row]:
    """Two rows, in training and in detection, whose second image is this one."""
    return [
        Row(f"{name} (training)", lambda side: side.losses([image(), wrong()], [target(), target()]), refusal),
        Row(f"{name} (detection)", lambda side: side.detect([image(), wrong()]), refusal),
    ]


def roi_align(name: str, refusal: str | None, rois: Any, dtype: torch.dtype = torch.float32) -> Row:
    def call(side: Any) -> Any:
        features = torch.rand(2, 4, 12, 16, generator=torch.Generator().manual_seed(0))
        return {"crops": side.roi_align(features, torch.tensor(rois, dtype=dtype)).double().mean()}

    return Row(f"roi_align: {name}", call, refusal, settings=True)


EMPTY = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "masks": torch.zeros(0, H, W)}
PIXELS = torch.tensor([W, H, W, H])
BOX0, BOX1 = "image 1, box 0 ", "image 1, box 1 "
ROWS: list[Row] = [
    targets("as it should be", None),
    targets("x2 == x1", BOX0 + r"\[5, 10, 5, 30\].*x2 > x1 and y2 > y1", boxes=lambda b: edit(b, (0, 2), 5.0)),
    targets("x2 < x1", BOX0 + ".*x2 > x1 and y2 > y1", boxes=lambda b: b[:, [2, 3, 0, 1]]),
    targets("boxes as x, y, width, height that pass as corners", BOX0 + ".*own box.*x, y, width, height",
            boxes=lambda b: torch.tensor([[5.0, 10, 35, 20], [60, 50, 120, 90]])),
    targets("boxes as x, y, width, height", BOX1 + ".*x, y, width, height",
            boxes=lambda b: torch.cat([b[:, :2], b[:, 2:] - b[:, :2]], 1) * torch.tensor([[1, 1, 1, 1.75], [1] * 4])),
    targets("boxes as y1, x1, y2, x2", BOX1 + ".*y1, x1, y2, x2", boxes=lambda b: b[:, [1, 0, 3, 2]]),
    targets("normalised boxes", BOX0 + ".*normalised to 0..1", boxes=lambda b: b / PIXELS),
    targets("a box outside the image", BOX0 + ".*560.*outside the image of 128 x 96",
            boxes=lambda b: edit(b, (0, 2), 560.0)),
    targets("NaN in a box", BOX1 + ".*NaN", boxes=lambda b: edit(b, (1, 0), NAN)),
    targets("inf in a box", BOX1 + ".*inf", boxes=lambda b: edit(b, (1, 2), INF)),
    targets("int64 boxes", None, boxes=lambda b: b.long()),
    targets("int32 labels", None, labels=lambda n: n.int()),
    targets("float labels", r"image 1: labels are torch.float32, expected int64: use labels.long\(\)",
            labels=lambda n: n.float()),
    targets("label 0", "image 1, object 0: label 0; label 0 is background: classes are 1..2",
            labels=torch.tensor([0, 1])),
    targets("label == num_classes", "image 1, object 1: label 3; num_classes=3 counts the background: classes are 1..2",
            labels=torch.tensor([1, 3])),
    targets("a negative label", "image 1, object 1: label -1.*1..2", labels=torch.tensor([1, -1])),
    targets("fewer labels than boxes", r"image 1: 2 boxes, labels of shape \[1\]", labels=torch.tensor([1])),
    targets("more labels than boxes", r"image 1: 2 boxes, labels of shape \[3\]", labels=torch.tensor([1, 1, 1])),
    targets("fewer masks than boxes", r"image 1: 2 boxes, masks of shape \[1, 96, 128\]", masks=lambda m: m[:1]),
    targets("masks in another order than the boxes", BOX0 + ".*it fits mask 1, are the masks in another order",
            masks=lambda m: m.flip(0)),
    targets("masks of 0 and 255", "image 1, mask 0: values from 0 to 255, expected 0 and 1", masks=lambda m: m * 255),
    targets("bool masks", None, masks=lambda m: m.bool()),
    targets("float masks of 0 and 1", None, masks=lambda m: m.float()),
    targets("masks of half the size", r"image 1: .*\[2, 48, 64\], expected \[2, 96, 128\]",
            masks=lambda m: m[:, ::2, ::2]),
    targets("masks H, W, G", "image 1: .*looks like H, W, G", masks=lambda m: m.permute(1, 2, 0)),
    targets("masks G, 1, H, W", "image 1: .*looks like G, 1, H, W", masks=lambda m: m[:, None]),
    targets("one id map for two boxes", r"image 1: 2 boxes, masks of shape \[1, .*split_ids",
            masks=lambda m: (m[:1] + 2 * m[1:])),
    targets("an empty mask", "image 1, mask 1: has no pixel", masks=lambda m: edit(m, 1, 0)),
    targets("no masks", r"image 1: target has no \['masks'\]", masks=None),
    targets("an image without objects, boxes (0, 4)", None, **EMPTY),
    targets("boxes torch.tensor([])", None, **{**EMPTY, "boxes": torch.tensor([]), "labels": torch.tensor([])}),
    targets("a fake box 0, 0, 0, 0", BOX0 + r".*boxes of shape \(0, 4\)", boxes=torch.zeros(1, 4),
            labels=torch.tensor([1]), masks=torch.zeros(1, H, W)),
    *images("an image in 0..255", "image 1: values from .* looks like 0..255", lambda: image() * 255),
    *images("a uint8 image", "image 1: torch.uint8, expected float", lambda: (image() * 255).byte()),
    *images("an image H, W, C", "image 1: .*looks like H, W, C", lambda: image().permute(1, 2, 0)),
    *images("a grey image 1, H, W", "image 1: .*grey image", lambda: image()[:1]),
    *images("an RGBA image", "image 1: .*RGBA, drop alpha", lambda: torch.rand(4, H, W)),
    *images("NaN in an image", "image 1: has NaN", lambda: edit(image(), (0, 5, 5), NAN)),
    *images("an image normalised already", "image 1: .*normalised already", lambda: (image() - 0.45) / 0.22),
    Row("a tensor C, H, W instead of a list", lambda side: side.detect(image()),
        r"images: Tensor of shape \[3, 96, 128\]"),
    Row("targets None in training", lambda side: side.call([image()], None, train=True), "targets: None in train mode"),
    Row("two images, one target", lambda side: side.losses([image()] * 2, [target()]), "2 images, 1 targets"),
    Row("one image, two targets", lambda side: side.losses([image()], [target()] * 2), "1 images, 2 targets"),
    Row("targets in eval mode", lambda side: side.call([image()], [target()], train=False), None),
    roi_align("a box that fits", None, [[0, 0, 0, 64, 48], [1, 10, 10, 30, 30]]),
    roi_align("batch index >= N", r"RoI 1: found .*\[2.0, .*image index from 0 to 1",
              [[0, 0, 0, 9, 9], [2, 0, 0, 9, 9]]),
    roi_align("batch index far beyond N", "RoI 0: .*image index from 0 to 1", [[10**6, 0, 0, 9, 9]]),
    roi_align("batch index < 0", "RoI 0: .*image index from 0 to 1", [[-1, 0, 0, 9, 9]]),
    roi_align("boxes [K, 4]", r"rois \[1, 4\], expected .*\[R, 5\]", [[0, 0, 9, 9]]),
    roi_align("a reversed box", "RoI 0: .*x1 <= x2", [[0, 50, 40, 10, 10]]),
    roi_align("NaN in a box", "RoI 0: .*finite", [[0, NAN, 0, 9, 9]]),
    roi_align("inf in a box", "RoI 0: .*finite", [[0, 0, 0, INF, 9]]),
    roi_align("boxes in float64", None, [[0, 0, 0, 64, 48]], torch.float64),
    Row("anchor sizes for 3 maps, a network of 5", lambda side: side.anchors(3),
        "anchor_sizes has 3 levels.*5 maps", True),
    Row("background IoU above foreground IoU", lambda side: side.settings(rpn_fg_iou=0.3, rpn_bg_iou=0.7),
        r"rpn_bg_iou, rpn_fg_iou are \(0.7, 0.3\)", True),
    Row("a positive fraction of 1.5", lambda side: side.settings(rpn_positive_fraction=1.5),
        "rpn_positive_fraction is 1.5, expected 1e-06..1", True),
    Row("a positive fraction of 0", lambda side: side.settings(rpn_positive_fraction=0.0),
        "rpn_positive_fraction is 0.0, expected 1e-06..1", True),
    Row("a mask of another size than the head's", lambda side: side.mask_size(56), "mask_size is 56, .*28 x 28", True),
    Row("a checkpoint of 91 classes for a model of 3", lambda side: side.load(91),
        "has 91 classes, the model 3", True),
]  # fmt: skip


class Torchvision:
    """torchvision's Mask R-CNN with ResNet-18-FPN, random weights."""

    def __init__(self, num_classes: int = CLASSES, **settings: Any) -> None:
        from torchvision.models.detection import MaskRCNN
        from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

        torch.manual_seed(0)
        backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=3)
        self.model = MaskRCNN(backbone, num_classes, min_size=H, max_size=W, box_batch_size_per_image=32, **settings)

    def call(self, images: Any, targets: Any, train: bool) -> Any:
        return self.model.train(train)(images, targets)

    def losses(self, images: Any, targets: Any) -> Any:
        return self.call(images, targets, train=True)

    def detect(self, images: Any) -> Any:
        return self.call(images, None, train=False)

    def roi_align(self, features: Tensor, rois: Tensor) -> Tensor:
        from torchvision.ops import roi_align

        return roi_align(features, rois, 7, 1 / 8, sampling_ratio=2, aligned=True)

    def anchors(self, levels: int) -> Any:
        from torchvision.models.detection.anchor_utils import AnchorGenerator

        sizes = tuple((32.0 * 2**level,) for level in range(levels))
        generator = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * levels)
        return Torchvision(rpn_anchor_generator=generator).losses([image()], [target()])

    def settings(self, **changes: float) -> Any:
        names = {"rpn_fg_iou": "rpn_fg_iou_thresh", "rpn_bg_iou": "rpn_bg_iou_thresh"}
        return Torchvision(**{names.get(name, name): v for name, v in changes.items()}).losses([image()], [target()])

    def mask_size(self, size: int) -> Any:
        from torchvision.ops import MultiScaleRoIAlign

        pool = MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=size // 2, sampling_ratio=2)
        return Torchvision(mask_roi_pool=pool).losses([image()], [target()])

    def load(self, num_classes: int) -> Any:
        return self.model.load_state_dict(Torchvision(num_classes).model.state_dict())


class Ours:
    """The same network, converted."""

    def __init__(self, model: Any) -> None:
        from mrcnn_lite import from_torchvision

        self.model = from_torchvision(model)

    def call(self, images: Any, targets: Any, train: bool) -> Any:
        return self.model.train(train)(images, targets)

    def losses(self, images: Any, targets: Any) -> Any:
        return self.model.losses(images, targets)

    def detect(self, images: Any) -> Any:
        return self.model.detect(images)

    def roi_align(self, features: Tensor, rois: Tensor) -> Tensor:
        from mrcnn_lite import roi_ops

        return roi_ops.roi_align(features, rois, 7, 1 / 8)

    def anchors(self, levels: int) -> Any:
        return self.settings(anchor_sizes=tuple((32.0 * 2**level,) for level in range(levels)))

    def settings(self, **changes: Any) -> Any:
        return self.model.config.replace(**changes)

    def mask_size(self, size: int) -> Any:
        return self.settings(mask_size=size)

    def load(self, num_classes: int) -> Any:
        from mrcnn_lite.weights import load_state

        other = Ours(Torchvision(num_classes).model).model
        return load_state(self.model, other.state_dict(), "other.safetensors")


def answer(row: Row, side: Any) -> dict[str, Any]:
    """What happened in a forked process: {"refused": type, "message"}, {"accepted": text, "finite"} or {"killed"}."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        faulthandler.disable()  # pytest's would print where a crash happened
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1), os.dup2(quiet, 2)
        signal.alarm(SECONDS)
        os.write(writing, json.dumps(outcome(row, side)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(text) if text else {"killed": signal.Signals(-status).name if status < 0 else f"exit {status}"}


def outcome(row: Row, side: Any) -> dict[str, Any]:
    try:
        result = row.call(side)
    except Exception as error:
        return {"refused": type(error).__name__, "message": str(error)}
    if not isinstance(result, dict):
        return {"accepted": type(result).__name__, "finite": True}
    values = {name: float(value) for name, value in result.items()}
    finite = all(abs(value) < INF for value in values.values())
    return {"accepted": ", ".join(f"{name} {value:.3g}" for name, value in values.items()), "finite": finite}


def in_words(found: dict[str, Any]) -> str:
    if "killed" in found:
        return f"KILLED BY {found['killed']}"
    if "refused" in found:
        return f"{found['refused']}: {found['message']}"
    return f"accepted: {found['accepted']}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the answers to this file (an absolute path)")
    parser.add_argument("--ours", action="store_true", help="without torchvision, which takes most of the time")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    theirs = Torchvision()
    sides = {"torchvision": theirs, "mrcnn_lite": Ours(theirs.model)}
    if options.ours:
        del sides["torchvision"]
    answers: dict[str, dict[str, Any]] = {}
    for row in ROWS:
        answers[row.name] = {name: answer(row, side) for name, side in sides.items()}
        print(f"\n{row.name}")
        for name, found in answers[row.name].items():
            print(f"    {name:<12}{' '.join(in_words(found).split())[:300]}", flush=True)
    wrong = [row.name for row in ROWS if row.refusal is not None]
    print(f"\nof {len(wrong)} wrong inputs")
    for name in sides:
        kinds = [next(iter(answers[row][name])) for row in wrong]
        counts = {kind: kinds.count(kind) for kind in ("refused", "accepted", "killed")}
        print(f"    {name:<12}" + ", ".join(f"{kind} {count}" for kind, count in counts.items()))
    if options.json:
        options.json.write_text(json.dumps(answers))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    with tempfile.TemporaryDirectory() as folder:  # core dumps, if this machine writes any
        os.chdir(folder)
        main()
