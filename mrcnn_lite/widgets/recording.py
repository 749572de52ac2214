"""What widgets can show of real models: features, whole detections, shapes and costs, a training run.

    show("roi_align", state="real", data=recorded_features(model, image))

`assets/widgets.py` calls the same functions for the data that the widgets bring along. Values are rounded to a byte, so
that a notebook carries kilobytes. Read next: `roi_align.js`, which shows them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..boxes import clip, decode
from ..config import Config
from ..info import describe
from ..matching import generators
from ..model import rois_of
from ..visualize import to_pixels

SIDE = 128  # pixels of the picture in the RoIAlign lab
LEVELS = ("p2", "p3", "p4", "p5")


@torch.no_grad()
def recorded_features(model: Any, image: Tensor, objects: Tensor | None = None) -> dict[str, Any]:
    """One channel of each pyramid level of `model` on a picture, and the picture.

    image: float [3, 128, 128] in 0..1. objects: bool [128, 128], where objects are: then the channel is the one that
    tells them from the background best (by correlation), else the one that varies most. A value is
    low + (high - low) * byte / 255. Raises ValueError for another size, and for a model without four levels.

    -> {"picture": PNG as a data address, "levels": {"p2": {height, width, stride, channel, low, high, values}, …}}
    """
    if tuple(image.shape) != (3, SIDE, SIDE):
        raise ValueError(f"the picture has shape {list(image.shape)}, expected [3, {SIDE}, {SIDE}]")
    pyramid = model.backbone(model.image_transform([image]).images)
    if len(pyramid) < len(LEVELS):
        raise ValueError(f"the model has {len(pyramid)} feature maps, expected the four levels of an FPN")
    levels = {name: _level(maps[0], objects) for name, maps in zip(LEVELS, pyramid)}
    return {"picture": _png(image), "levels": levels}


def _level(maps: Tensor, objects: Tensor | None) -> dict[str, Any]:
    """One level [C, H, W]."""
    if objects is None:
        channel = int(maps.flatten(1).std(1).argmax())
    else:
        size = (maps.shape[1], maps.shape[2])
        covered = torch.nn.functional.adaptive_avg_pool2d(objects[None].to(maps.dtype), size)  # [1, H, W]
        pairs = torch.cat([covered, maps]).flatten(1)  # [1 + C, H * W]
        channel = int(torch.corrcoef(pairs)[0, 1:].nan_to_num().abs().argmax())
    return {**_bytes(maps[channel]), "stride": SIDE / maps.shape[2], "channel": channel}


def _bytes(values: Tensor) -> dict[str, Any]:
    """A map [H, W], a byte a cell."""
    low, high = round(float(values.min()), 3), round(float(values.max()), 3)
    codes = ((values.cpu() - low) / max(high - low, 1e-9) * 255).round().clamp(0, 255).to(torch.uint8)
    text = base64.b64encode(codes.numpy().tobytes()).decode()
    return {"height": codes.shape[0], "width": codes.shape[1], "low": low, "high": high, "values": text}


def _png(image: Tensor) -> str:
    """A picture as a data address."""
    file = io.BytesIO()
    Image.fromarray(to_pixels(image)).quantize(32).save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def recorded_architectures(names: Sequence[str]) -> dict[str, Any]:
    """Of named configurations every step's shapes, parameters and multiply-adds, as `info.describe` finds them.

    -> {name: {"input": [H, W], "parts": [{"name", "rois", "steps": [{"name", "outputs", costs}, …]}, …]}}
    """
    networks = {}
    for name in names:
        network = describe(Config.named(name))
        parts = []
        for part in network.parts:
            steps = [
                {"name": s.name, "outputs": s.outputs, "trainable": s.trainable, "frozen": s.frozen, "macs": s.macs}
                for s in part.steps
            ]
            parts.append({"name": part.name, "rois": part.num_rois, "steps": steps})
        networks[name] = {"input": network.input_size, "parts": parts}
    return networks


@torch.no_grad()
def recorded_detections(model: Any, image: Tensor, most: int = 3) -> dict[str, Any]:
    """The best detections of `model` on a picture, each with all that it came from: anchor, proposal, box, crop, mask.

    image: float [3, 128, 128] in 0..1; the model must resize it to nothing else, so that all boxes are in its pixels.
    Raises ValueError otherwise. Boxes are rounded to a thousandth of a pixel, crop and mask to a byte.
    -> {"picture", "classes", "weights", "detections": [{label, score, scores, anchor, level, objectness, rpn_deltas,
    proposal, box_deltas, box, crop, mask}, …]}; crop and mask: {height, width, low, high, values} as above.
    """
    batch, _ = model.prepare([image])
    if batch.size != (SIDE, SIDE):
        raise ValueError(f"the network's input is {batch.size}, expected a picture and a model of {SIDE} x {SIDE}")
    features = model.backbone(batch.images)
    output = model.rpn(features, batch.size)
    proposals = model.propose(output, batch, train=False)
    head, mask_head = model.heads["box"], model.heads["mask"]
    logits, deltas = head(features, rois_of(proposals.boxes))
    found = model.detect_masks_and_keypoints(features, head.detections(logits, deltas, proposals.boxes, batch.sizes))[0]
    proposed = clip(decode(output.anchors, output.deltas[0]), batch.sizes[0])  # [P, 4], of every anchor
    level_of = torch.tensor(output.level_sizes).cumsum(0)
    detections = []
    for n in range(min(most, len(found["boxes"]))):
        box, label = found["boxes"][n], int(found["labels"][n])
        refined = clip(decode(proposals.boxes[0], deltas[:, label], head.weights), batch.sizes[0])
        p = int((refined - box).abs().sum(1).argmin())  # the proposal that this box was refined from
        a = int((proposed - proposals.boxes[0][p]).abs().sum(1).argmin())  # and the anchor that it came from
        crop = mask_head.pooler(features, rois_of([box[None]]))[0]  # [C, S, S]
        crop = crop[crop.flatten(1).std(1).argmax()]
        detections.append(
            {
                "label": label,
                "score": _rounded(found["scores"][n]),
                "scores": _rounded(logits[p].softmax(0)),
                "anchor": _rounded(output.anchors[a]),
                "level": int((level_of <= a).sum()) + 2,
                "objectness": _rounded(output.logits[0, a].sigmoid()),
                "rpn_deltas": _rounded(output.deltas[0, a], 6),
                "proposal": _rounded(proposals.boxes[0][p]),
                "box_deltas": _rounded(deltas[p, label], 6),
                "box": _rounded(box),
                "crop": _bytes(crop),
                "mask": _bytes(found["mask_probs"][n]),
            }
        )
    classes = list(model.class_names or map(str, range(logits.shape[1])))
    return {"picture": _png(image), "classes": classes, "weights": list(head.weights), "detections": detections}


def recorded_training(
    checkpoints: Sequence[tuple[int, Any]],
    losses: Mapping[str, Sequence[float]],
    image: Tensor,
    target: Mapping[str, Tensor],
    *,
    seed: int = 0,
    most: int = 5,
) -> dict[str, Any]:
    """A training run at its checkpoints: what each model proposes, would be trained on and detects on one picture.

    checkpoints: (steps done, model in eval mode), first the one after 0 steps. losses: by name of every step, as
    `train` gives them. image: float [3, 128, 128], with its target. seed: of the sampling. most: so many detections of
    the best. Raises ValueError for another size, and where the losses do not reach from the first to the last step.

    -> {"picture", "classes", "objects": [{label, box, mask}], "steps": [S], "curves": {name: a byte a step},
    "checkpoints": [{batches, own, proposals, rois, positives, detected, detections}]}. batches: {name: the mean loss
    since the checkpoint before; at the first checkpoint the loss of the first step}; own: {name: loss of this picture};
    proposals: five bytes each, a box and its objectness; rois: their numbers among proposals and then objects, the
    positives first; detections: [{label, score, box, mask}] of `detected` in all; mask: see `_runs`.
    """
    steps = [step for step, _ in checkpoints]
    if steps[0] != 0 or any(len(values) != steps[-1] for values in losses.values()):
        found = ", ".join(f"{len(values)} of {name}" for name, values in losses.items())
        raise ValueError(f"checkpoints from step {steps[0]} to {steps[-1]}, losses: {found}; expected one of each step")
    names = [name for name in losses if name != "loss"]
    recorded = [_checkpoint(model, image, target, seed, most) for _, model in checkpoints]
    for k, (entry, step) in enumerate(zip(recorded, steps)):
        first, last = (steps[k - 1], step) if k else (0, 1)
        means = torch.tensor([list(losses[name][first:last]) for name in names]).mean(1)
        entry["batches"] = dict(zip(names, _rounded(means)))
    labels, boxes, masks = target["labels"].tolist(), _rounded(target["boxes"]), target["masks"]
    return {
        "picture": _png(image),
        "classes": list(checkpoints[0][1].class_names),
        "objects": [{"label": n, "box": box, "mask": _runs(m)} for n, box, m in zip(labels, boxes, masks)],
        "steps": steps,
        "curves": {name: _bytes(torch.tensor([list(losses[name])])) for name in names},
        "checkpoints": recorded,
    }


@torch.no_grad()
def _checkpoint(model: Any, image: Tensor, target: Mapping[str, Tensor], seed: int, most: int) -> dict[str, Any]:
    """`MaskRCNN.losses` step by step, so that what lies between can be kept; and `detect`."""
    batch, objects = model.prepare([image], [target])
    if batch.size != (SIDE, SIDE):
        raise ValueError(f"the network's input is {batch.size}, expected a picture and a model of {SIDE} x {SIDE}")
    draw = generators([seed], 1, batch.images.device)
    features = model.backbone(batch.images)
    output = model.rpn(features, batch.size)
    losses = model.rpn.losses(output, objects, draw)
    proposals = model.propose(output, batch, train=True)
    sampled = model.sample(proposals, objects, draw)
    losses |= model.head_losses(features, sampled, objects)
    candidates = torch.cat([proposals.boxes[0], objects[0]["boxes"]])  # [P + G, 4]
    order = (sampled.labels == 0).int().sort(stable=True).indices  # the positives first
    rois = (sampled.rois[order, None, 1:] == candidates).all(2).int().argmax(1)  # [R]
    found = model.detect([image])[0]
    sides = [proposals.boxes[0] / SIDE, proposals.scores[0][:, None]]  # [P, 4] and [P, 1], in 0..1
    codes = (torch.cat(sides, 1) * 255).round().to(torch.uint8)
    return {
        "own": {name: _rounded(loss) for name, loss in losses.items()},
        "proposals": base64.b64encode(codes.cpu().numpy().tobytes()).decode(),
        "rois": rois.tolist(),
        "positives": len(sampled.positive),
        "detected": len(found["boxes"]),
        "detections": [
            {"label": int(label), "score": _rounded(score), "box": _rounded(box, 1), "mask": _runs(mask)}
            for label, score, box, mask in zip(*(found[key][:most] for key in ("labels", "scores", "boxes", "masks")))
        ],
    }


def _runs(mask: Tensor) -> str:
    """A mask [H, W] as the lengths of its runs, row by row: outside, inside, outside, …, as in COCO's files.

    A length is written seven bits a byte, the lowest first; the highest bit says that it goes on.
    """
    inside = mask.flatten().cpu().float()
    flat = torch.cat([torch.zeros(1), inside, 1 - inside[-1:]])
    edges = torch.cat([torch.zeros(1), flat.diff().nonzero()[:, 0]])
    written = bytearray()
    for length in edges.diff().int().tolist():
        while length > 127:
            written.append(128 + length % 128)
            length //= 128
        written.append(length)
    return base64.b64encode(written).decode()


def _rounded(values: Tensor, digits: int = 3) -> Any:
    def one(number: Any) -> Any:
        return [one(part) for part in number] if isinstance(number, list) else round(number, digits)

    return one(values.tolist())
