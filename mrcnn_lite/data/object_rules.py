"""The rules for one COCO annotation; each problem has its correction beside it.

What is corrected is what the data themselves prove (a box by its mask, a mask by its box, a count by counting); any
other wrong object is dropped from a corrected copy. Letters: J keypoints. Read next: coco_rules.py.
"""

from __future__ import annotations

import math
from typing import Any

from pycocotools import mask as rle

from ..checks import MARGIN
from .box_rules import DROPPED, Frame, is_number, judge_box
from .outline_rules import judge_outline, own_box
from .problems import Tell

_AREA_FACTOR, _AREA_PIXELS = 3, 30  # an area is wrong where it is off by this factor and by so many pixels


def judge_object(annotation: dict[str, Any], frame: Frame, tell: Tell) -> dict[str, Any] | None:
    """Tells what is wrong and returns the annotation as it should be; None where it has to be dropped."""
    fixed = dict(annotation)
    crowd_stays = _judge_crowd(fixed, tell)
    outline_stays, mask = judge_outline(fixed, frame, tell)
    box_stays = judge_box(fixed, frame, own_box(mask) if mask else None, tell, dropped=not outline_stays)
    if box_stays and outline_stays:
        _judge_area(fixed, mask, tell)
    if frame.num_keypoints and ("keypoints" in fixed or "num_keypoints" in fixed):
        _judge_keypoints(fixed, frame, tell)
    return fixed if crowd_stays and outline_stays and box_stays else None


def _judge_crowd(fixed: dict[str, Any], tell: Tell) -> bool:
    crowd = fixed.get("iscrowd", 0)
    if crowd in (0, 1):
        return True
    meant = crowd in ("0", "1")
    tell("crowd-value", f"iscrowd is {crowd!r:.60}", "0 or 1", fix="read as a number" if meant else DROPPED)
    if meant:
        fixed["iscrowd"] = int(crowd)
    return meant


def _judge_area(fixed: dict[str, Any], mask: dict[str, Any] | None, tell: Tell) -> None:
    """The area decides which objects the evaluation calls small, medium and large."""
    area = fixed.get("area")
    if area is None:
        tell("area-absent", "no area")
        return
    pixels = float(rle.area(mask)) if mask else float(fixed["bbox"][2] * fixed["bbox"][3])
    of = "mask" if mask else "box"
    if not is_number(area) or not math.isfinite(area) or area < 0:
        tell("area", f"area is {area!r:.60}", "pixels", fix=f"taken from its {of}")
    elif abs(area - pixels) > _AREA_PIXELS and (
        area > _AREA_FACTOR * pixels or area == 0 or (mask and _AREA_FACTOR * area < pixels)
    ):
        tell("area", f"area is {area:g}", f"about the {pixels:g} pixels of its {of}", fix=f"taken from its {of}")
    else:
        return
    fixed["area"] = pixels


def _judge_keypoints(fixed: dict[str, Any], frame: Frame, tell: Tell) -> None:
    """x, y, visibility of each of J joints; visibility 0 not labelled, 1 hidden, 2 visible."""
    points, stated = fixed.get("keypoints"), fixed.get("num_keypoints")
    if points is None and stated in (None, 0):
        return
    expected = f"{3 * frame.num_keypoints} numbers: x, y, visibility of {frame.num_keypoints} joints"
    if not isinstance(points, list) or len(points) != 3 * frame.num_keypoints or not all(map(is_number, points)):
        found = f"keypoints of {len(points)} numbers" if isinstance(points, list) else f"keypoints are {points!r:.60}"
        tell("keypoints-form", found, expected, fix="all joints not labelled")
        fixed |= {"keypoints": [0] * (3 * frame.num_keypoints), "num_keypoints": 0}
        return
    points, wrong = list(points), False
    for j in range(frame.num_keypoints):
        x, y, visibility = points[3 * j : 3 * j + 3]
        shown, fault = f"keypoint {j} [{x:g}, {y:g}, {visibility:g}]", tuple[str, ...]()
        if not (math.isfinite(x) and math.isfinite(y)):
            fault = ("keypoint-not-finite", f"{shown} is not finite", "pixels")
        elif visibility not in (0, 1, 2):
            fault = ("keypoint-visibility", shown, "a visibility of 0, 1 or 2")
        elif visibility and not (_lies(x, frame.width) and _lies(y, frame.height)):
            fault = ("keypoint-outside", f"{shown}, labelled", f"inside of {frame.shown}")
        if fault:
            tell(*fault, fix="joint not labelled")
            points[3 * j : 3 * j + 3], wrong = [0, 0, 0], True
    marks = fixed["keypoints"][2::3]
    given, unclear = sum(mark in (1, 2) for mark in marks), sum(mark not in (0, 1, 2) for mark in marks)
    if stated is not None and stated not in range(given, given + unclear + 1):
        tell("num-keypoints", f"num_keypoints is {stated!r:.60}", f"{given}, which are labelled", fix="counted")
        wrong = True
    if wrong:
        fixed |= {"keypoints": points, "num_keypoints": sum(mark > 0 for mark in points[2::3])}


def _lies(coordinate: float, side: int) -> bool:
    """COCO's keypoints count from the centre of the first pixel, which is half a pixel inside the picture."""
    return -MARGIN <= coordinate + 0.5 <= side + MARGIN
