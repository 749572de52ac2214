"""The rules for the box of one COCO annotation, and the readings that a wrong one is tried with.

A box that does not fit its mask is read as x1, y1, x2, y2, with y first, and in 0..1; where one of them fits, that is
what was meant. Letters: H W size. Read next: outline_rules.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..checks import MARGIN, MIN_BOX_MASK_IOU, iou, shown_box
from .problems import Tell

DROPPED = "object dropped"
NORMALISED = 1.5  # pixels: where no coordinate of a picture's objects is above it, they look like 0..1
_SURE = 0.8  # IoU with the mask's box at which another reading is taken for what was meant

Box = list[float]  # x1, y1, x2, y2


class Frame(NamedTuple):
    """What an annotation is judged in: its picture, and what the file's annotations have."""

    height: int
    width: int
    has_masks: bool
    num_keypoints: int
    normalised: bool = False  # no masks, and no box of the picture has a coordinate above 1.5

    @property
    def shown(self) -> str:
        return f"the picture of {self.width} x {self.height} (width x height)"

    def clipped(self, box: Sequence[float]) -> Box:
        return [max(box[0], 0.0), max(box[1], 0.0), min(box[2], self.width), min(box[3], self.height)]


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def box_fault(box: Any) -> tuple[str, str, str] | None:
    """(kind, found, expected) unless it is four finite numbers."""
    if not isinstance(box, (list, tuple)) or len(box) != 4 or not all(map(is_number, box)):
        return "box-form", f"bbox is {box!r:.80}", "four numbers x, y, width, height"
    if not all(-1e12 < side < 1e12 for side in box):
        return "box-not-finite", f"bbox {shown_box(box)} is not finite", "four numbers x, y, width, height"
    return None


def read_box(annotation: dict[str, Any]) -> Box | None:
    """bbox as x1, y1, x2, y2; None where it is none or has no area."""
    box: Any = annotation.get("bbox")
    if box_fault(box) or min(box[2:]) <= 0:
        return None
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def judge_box(fixed: dict[str, Any], frame: Frame, own: Box | None, tell: Tell, dropped: bool = False) -> bool:
    """Tells what is wrong with `bbox` and corrects it; -> whether the object may stay.

    own: the box of its mask. dropped: the object can't stay anyway, for its mask.
    """
    box: Any = fixed.get("bbox")
    remedy, stays = ("taken from its mask", True) if own else (DROPPED, False)
    if box is None and (own is not None or dropped):
        if own is not None:
            tell("box-absent", "no bbox")
        return stays
    if fault := box_fault(box):
        tell(*fault, fix=remedy)
    elif min(box[2:]) <= 0:
        tell("box-without-area", f"bbox {shown_box(box)}", "a width and a height above 0", fix=remedy)
    elif own is not None:
        own = _against_mask(box, own, frame, tell)
    else:
        own, stays = _alone(box, frame, tell)
    if own is not None:
        fixed["bbox"] = [own[0], own[1], own[2] - own[0], own[3] - own[1]]
    return stays


def _against_mask(box: Sequence[float], own: Box, frame: Frame, tell: Tell) -> Box | None:
    """-> the box that is meant, None where it is the one that is given. x, y, width, height; x1, y1, x2, y2."""
    a, b, c, d = box
    given = [a, b, a + c, b + d]
    beyond = _beyond(given, frame)
    overlap = iou(frame.clipped(given), own)
    out = f"bbox {shown_box(box)} reaches {beyond:g} pixels out of {frame.shown}"
    if overlap >= MIN_BOX_MASK_IOU:
        if beyond <= MARGIN:
            return None
        tell("box-outside", out, "inside", fix="clipped")
        return frame.clipped(given)
    width, height = frame.width, frame.height
    readings = {
        ("box-xyxy", "x1, y1, x2, y2"): [a, b, c, d],
        ("box-y-first", "y, x, height, width"): [b, a, b + d, a + c],
        ("box-y-first", "y1, x1, y2, x2"): [b, a, d, c],
        ("box-normalised", "x, y, width, height in 0..1"): [a * width, b * height, (a + c) * width, (b + d) * height],
        ("box-normalised", "x1, y1, x2, y2 in 0..1"): [a * width, b * height, c * width, d * height],
    }
    kind, name = max(readings, key=lambda reading: iou(readings[reading], own))
    found = f"bbox {shown_box(box)} has IoU {overlap:.2f} with its mask's own {shown_box(xywh(own))}"
    if iou(meant := readings[kind, name], own) >= _SURE:
        tell(kind, found, f"{MIN_BOX_MASK_IOU} or more", f"it fits as {name}", fix=f"read as {name}")
        return frame.clipped(meant)
    kind, found = ("box-outside", out) if beyond > MARGIN else ("box-not-its-mask", found)
    tell(kind, found, f"IoU {MIN_BOX_MASK_IOU} or more with its mask's box", fix="taken from its mask")
    return own


def _alone(box: Sequence[float], frame: Frame, tell: Tell) -> tuple[Box | None, bool]:
    """A box without a mask. -> the box that is meant (None: the one given), whether the object may stay."""
    a, b, c, d = box
    given = [a, b, a + c, b + d]
    if frame.normalised:
        found = f"bbox {shown_box(box)}, and no coordinate above {NORMALISED:g} in {frame.shown}"
        tell("box-normalised", found, "pixels", "looks like normalised to 0..1")
        return None, False
    if (beyond := _beyond(given, frame)) <= MARGIN:
        return None, True
    found = f"bbox {shown_box(box)} reaches {beyond:g} pixels out of {frame.shown}"
    if c > a and d > b and _beyond([a, b, c, d], frame) <= MARGIN:  # without a mask nobody can say
        tell("box-outside", found, "inside", "looks like x1, y1, x2, y2")
        return None, False
    stays = iou(frame.clipped(given), given) >= MIN_BOX_MASK_IOU
    tell("box-outside", found, "inside", fix="clipped" if stays else DROPPED)
    return frame.clipped(given), stays


def xywh(box: Sequence[float]) -> Box:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def _beyond(box: Sequence[float], frame: Frame) -> float:
    """By how many pixels the box leaves its picture."""
    return max(-box[0], -box[1], box[2] - frame.width, box[3] - frame.height, 0.0)
