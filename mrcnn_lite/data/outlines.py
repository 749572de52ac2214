"""What keeps a segmentation from being drawn: found here, before the C code of pycocotools trusts it.

A polygon with a NaN ends the process there, run lengths that stop too early show memory that nobody wrote, and a
coordinate of a million asks for gigabytes. Letters: H W size. Source of the formats: COCO's data format page and
maskApi.c of pycocotools. Read next: coco_parts.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

FARTHEST = 10  # sides of the picture by which a polygon may leave it
LONGEST = 1000  # times H + W: the length of all edges of one object; drawing takes 20 bytes a pixel of it
_MOST_SIGNS = 7  # of one number in compressed run lengths: 35 bits


class Fault(NamedTuple):
    """Why a segmentation can't be drawn; kind: one of `problems.PROBLEMS`."""

    kind: str
    found: str
    expected: str
    cause: str = ""

    def __str__(self) -> str:
        return f"{self.found}, expected {self.expected}" + (f": {self.cause}" if self.cause else "")


def outline_fault(segmentation: Any, height: int, width: int) -> Fault | None:
    """None where the segmentation can be drawn in a picture of height x width, else what is wrong.

    segmentation: polygons [[x1, y1, x2, y2, …], …] or {"size": [H, W], "counts": run lengths, a list or COCO's
    compressed text}. Polygons of fewer than three corners pass: they enclose nothing and are left out.
    """
    if isinstance(segmentation, list):
        return _polygons_fault(segmentation, height, width)
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        expected = 'a list of polygons, or {"size": …, "counts": …}'
        return Fault("outline-form", f"segmentation is {segmentation!r:.80}", expected)
    return _rle_fault(segmentation, height, width)


def polygon_points(part: Any) -> np.ndarray | None:
    """A polygon x1, y1, x2, y2, … as float64 [2 * corners]; None where it is no list of numbers."""
    if not isinstance(part, (list, tuple)):
        return None
    try:
        numbers = np.array(part)
    except (ValueError, OverflowError):  # lists of different lengths inside; a whole number too large for a float
        return None
    return numbers.astype(np.float64) if numbers.ndim == 1 and numbers.dtype.kind in "iuf" else None


def _polygons_fault(parts: list[Any], height: int, width: int) -> Fault | None:
    length = 0.0
    for number, part in enumerate(parts):
        points, name = polygon_points(part), f"polygon {number}"
        if points is None and part != []:
            return Fault("polygon-form", f"{name} is {part!r:.60}", "a list of numbers x1, y1, x2, y2, …")
        if points is None or len(points) < 6:
            continue
        if len(points) % 2:
            return Fault("polygon-form", f"{name} has an odd number of coordinates ({len(points)})", "x, y in turn")
        if not np.isfinite(points).all():
            return Fault("polygon-not-finite", f"{name} has NaN or infinity", "finite pixels")
        corners = points.reshape(-1, 2) / (width, height)
        if corners.min() < -FARTHEST or corners.max() > 1 + FARTHEST:
            farthest = points[np.argmax(np.abs(points))]
            inside = f"coordinates in the picture of {width} x {height} (width x height)"
            return Fault("polygon-outside", f"{name} has the coordinate {farthest:g}", inside)
        length += float(np.abs(np.diff(points.reshape(-1, 2), axis=0)).sum())
    if length > LONGEST * (height + width):
        found = f"polygons of {length:,.0f} pixels of edges"
        return Fault("polygon-form", found, f"at most {LONGEST * (height + width):,} in a picture of this size")
    return None


def _rle_fault(segmentation: dict[str, Any], height: int, width: int) -> Fault | None:
    size, counts = segmentation["size"], segmentation["counts"]
    if not isinstance(size, (list, tuple)) or list(size) != [height, width]:
        swapped = isinstance(size, (list, tuple)) and list(size) == [width, height]
        cause = "width and height are swapped" if swapped else ""
        return Fault("rle-size", f"an RLE of size {size!r:.60}", f"{[height, width]} (height, width)", cause)
    if isinstance(counts, (list, tuple)):
        runs = np.array([0, *counts]) if all(type(run) is int and 0 <= run < 2**32 for run in counts) else None
        if runs is None:
            wrong = next(run for run in counts if type(run) is not int or not 0 <= run < 2**32)
            return Fault("rle-counts", f"an RLE with the run {wrong!r:.60}", "whole numbers from 0")
    elif isinstance(counts, (str, bytes)):
        runs = run_lengths(counts)
        if runs is None:
            return Fault("rle-broken", f"compressed run lengths {counts[:40]!r} … that can't be read", "COCO's text")
        if runs.min(initial=0) < 0:
            return Fault("rle-broken", f"a run of {runs.min()} in compressed run lengths", "runs from 0")
    else:
        return Fault("outline-form", f"counts is {counts!r:.80}", "a list of whole numbers or COCO's text")
    if (total := int(runs.sum())) != height * width:
        return Fault("rle-counts", f"an RLE of {total} pixels", f"{height} x {width} = {height * width}")
    return None


def run_lengths(counts: str | bytes) -> np.ndarray | None:
    """COCO's compressed text -> run lengths int64, zeros first, down the columns; None for any other text.

    A number is written in groups of five bits, lowest first, one sign a group from "0" on; 32 marks that more follow,
    and 16 in the last group a negative number. From the fourth number on each is the difference to the last but one.
    """
    data = counts if isinstance(counts, bytes) else counts.encode("utf-8", "surrogatepass")
    groups = np.frombuffer(data, np.uint8).astype(np.int64) - ord("0")
    if len(groups) == 0:
        return groups
    if groups.min() < 0 or groups.max() > 63 or groups[-1] & 32:
        return None
    ends = np.flatnonzero(groups & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MOST_SIGNS:
        return None
    place = np.arange(len(groups)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((groups & 31) << (5 * place), starts)
    runs -= np.where(groups[ends] & 16, 1 << (5 * lengths), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
