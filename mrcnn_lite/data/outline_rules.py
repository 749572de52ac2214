"""The rules for the segmentation of one COCO annotation: can it be drawn, and where does it lie?

Polygons and run lengths that another reading makes fit the annotation's box are corrected; objects with any other wrong
outline are dropped from a corrected copy. Letters: H W size. Read next: object_rules.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as rle

from ..checks import MARGIN, MIN_BOX_MASK_IOU, iou
from .box_rules import DROPPED, NORMALISED, Box, Frame, read_box
from .coco_parts import draw_outline, has_outline
from .outlines import outline_fault, polygon_points
from .problems import Tell


def judge_outline(fixed: dict[str, Any], frame: Frame, tell: Tell) -> tuple[bool, dict[str, Any] | None]:
    """-> whether the object may stay; its mask as RLE, None where the file has none."""
    if not frame.has_masks:
        return True, None
    if regular := _regular_polygons(fixed.get("segmentation")):
        found = f"segmentation is {fixed['segmentation']!r:.60}"
        tell("polygon-form", found, "[[x1, y1, x2, y2, …], …]", fix="put into such lists")
        fixed["segmentation"] = regular
    outline = fixed.get("segmentation")
    if not has_outline(outline):
        _tell_no_outline(outline, frame, tell)
        return False, None
    if fault := outline_fault(outline, frame.height, frame.width):
        turned = isinstance(outline, dict) and outline | {"size": [frame.height, frame.width]}
        meant = turned if fault.cause and turned and _fits(turned, fixed, frame) else None
        fix = "size read as height, width, which fits its box" if meant else DROPPED
        tell(*fault, fix=fix)
        fixed["segmentation"] = meant
        return meant is not None, meant and _mask(meant, frame)
    if isinstance(outline, list):
        if any(len(part) < 6 for part in outline):
            tell("polygon-part-short", "a part with fewer than three corners", "at least three")
        if not _judge_polygons(fixed, outline, frame, tell):
            return False, None
    mask = _mask(fixed["segmentation"], frame)
    if int(rle.area(mask)) == 0:
        tell("mask-empty", "the mask covers the centre of no pixel", "at least one", fix=DROPPED)
        return False, None
    if fixed.get("iscrowd") == 1 and isinstance(fixed["segmentation"], list):
        tell("crowd-polygon", "a crowd region as polygons", "run lengths (RLE)", fix="drawn as run lengths")
        fixed["segmentation"] = _as_json(mask)
    return True, mask


def _tell_no_outline(outline: Any, frame: Frame, tell: Tell) -> None:
    expected = "polygons of at least three corners, or run lengths"
    if not outline or not any(outline):
        tell("no-outline", "no segmentation", expected, fix=DROPPED)
    elif fault := outline_fault(outline, frame.height, frame.width):
        tell(*fault, fix=DROPPED)
    else:
        tell("polygon-short", f"segmentation is {outline!r:.60}", expected, fix=DROPPED)


def _regular_polygons(outline: Any) -> list[list[float]] | None:
    """[x1, y1, …] or [[[x, y], …], …] or [[x, y], …] as polygons; None for any other list."""
    if not isinstance(outline, list) or not outline:
        return None
    if isinstance(outline[0], list) and len(outline[0]) > 2 and not isinstance(outline[0][0], list):
        return None  # as it should be
    flat = polygon_points(outline)
    if flat is not None and len(flat) >= 6 and len(flat) % 2 == 0:
        return [outline]
    parts = outline if isinstance(outline[0], list) and outline[0] and isinstance(outline[0][0], list) else [outline]
    polygons = []
    for part in parts:
        pairs = [polygon_points(pair) for pair in part] if isinstance(part, list) else []
        if len(pairs) < 3 or any(pair is None or len(pair) != 2 for pair in pairs):
            return None
        polygons.append([number for pair in part for number in pair])
    return polygons


def _judge_polygons(fixed: dict[str, Any], outline: list[Any], frame: Frame, tell: Tell) -> bool:
    """In pixels, and in the picture."""
    points = [np.asarray(part, float).reshape(-1, 2) for part in outline if len(part) >= 6]
    corners = np.concatenate(points)
    if corners.max() <= NORMALISED and min(frame.height, frame.width) > 8 and not _fits(outline, fixed, frame):
        scaled = [(part * (frame.width, frame.height)).ravel().tolist() for part in points]
        box = read_box(fixed)
        pixels = box and {**fixed, "bbox": (np.array(fixed["bbox"]) * ([frame.width, frame.height] * 2)).tolist()}
        meant = _fits(scaled, fixed, frame) or (pixels and _fits(scaled, pixels, frame))
        fix = "multiplied by width and height, which fits its box" if meant else DROPPED
        found = f"polygon without a coordinate above {corners.max():g} in {frame.shown}"
        tell("polygon-normalised", found, "pixels", "looks like normalised to 0..1", fix)
        fixed["segmentation"] = scaled
        return bool(meant)
    beyond = max(-corners.min(), *(corners.max(axis=0) - (frame.width, frame.height)))
    if beyond > MARGIN:
        stays = _fits(outline, fixed, frame)
        fix = "clipped, as run lengths" if stays else DROPPED
        tell("polygon-outside", f"a polygon reaches {beyond:g} pixels out of {frame.shown}", "inside", fix=fix)
        fixed["segmentation"] = _as_json(_mask(outline, frame))
        return stays
    return True


def _mask(outline: Any, frame: Frame) -> dict[str, Any]:
    return draw_outline(outline, frame.height, frame.width)


def _as_json(mask: dict[str, Any]) -> dict[str, Any]:
    counts = mask["counts"]
    return {"size": list(mask["size"]), "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}


def own_box(mask: dict[str, Any]) -> Box:
    """The box of a mask as x1, y1, x2, y2."""
    x, y, width, height = rle.toBbox(mask).tolist()
    return [x, y, x + width, y + height]


def _fits(outline: Any, fixed: dict[str, Any], frame: Frame) -> bool:
    """Can the outline be drawn, and does its mask fit the annotation's box?"""
    if outline_fault(outline, frame.height, frame.width):
        return False
    mask, box = _mask(outline, frame), read_box(fixed)
    if box is None or int(rle.area(mask)) == 0:
        return False
    return iou(frame.clipped(box), own_box(mask)) >= MIN_BOX_MASK_IOU
