"""Parts of the COCO reader: the file's content, segmentations of every form as RLE, a list that costs little memory.

Letters: H W size. Source of the formats: COCO's data format page and pycocotools. Read next: coco.py.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle

from .outlines import outline_fault


def load_coco(file: Path) -> dict[str, Any]:
    """The content of a COCO JSON file. Raises ValueError, which names the file, for any other content."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also bytes that are no text
        raise ValueError(f"{file} is no JSON, or not all of it: {error}") from error
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or any(not isinstance(content.get(key), list) for key in keys):
        found = f"a {type(content).__name__}" + (f" with {', '.join(content)}" if isinstance(content, dict) else "")
        raise ValueError(f"{file} is no COCO data set: expected lists of {', '.join(keys)}, found {found:.200}")
    return content


def has_outline(segmentation: Any) -> bool:
    """Does it say which pixels: an RLE, or at least one polygon of three corners?"""
    if isinstance(segmentation, list):
        return any(isinstance(part, (list, tuple)) and len(part) >= 6 for part in segmentation)
    return bool(segmentation)


def encode_segmentation(segmentation: Any, height: int, width: int, name: str) -> dict[str, Any]:
    """Polygons, uncompressed RLE or compressed RLE -> compressed RLE of a height x width picture.

    name: what to call it in the message of a ValueError.
    """
    if fault := outline_fault(segmentation, height, width):
        raise ValueError(f"{name}: {fault}")
    return draw_outline(segmentation, height, width)


def draw_outline(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """The same for a segmentation in which `outline_fault` has found nothing: pycocotools trusts what it is given."""
    if isinstance(segmentation, list):
        polygons = [part for part in segmentation if len(part) >= 6]  # two corners enclose nothing
        if not polygons:
            return rle.encode(np.zeros((height, width), np.uint8, order="F"))
        return rle.merge(rle.frPyObjects(polygons, height, width))
    code = {"size": [height, width], "counts": segmentation["counts"]}
    return rle.frPyObjects(code, height, width) if isinstance(code["counts"], list) else code


class PackedList:
    """A list of plain objects kept as bytes and unpacked one by one.

    WHY: the 860,000 annotations of COCO as Python dicts take 3 GB, and since every look at an object counts
    a reference, each worker process of a DataLoader would soon hold a copy of its own (pytorch#13246).
    """

    def __init__(self, items: Iterable[Any]) -> None:
        blobs = [pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL) for item in items]
        self._ends = np.cumsum([0] + [len(blob) for blob in blobs])
        self._bytes = np.frombuffer(b"".join(blobs), np.uint8)

    def __getitem__(self, i: int) -> Any:
        return pickle.loads(self._bytes[self._ends[i] : self._ends[i + 1]].tobytes())
