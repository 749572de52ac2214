"""Two parts of the COCO reader: segmentations of every form as RLE, and a list that costs little memory.

Letters: H W size. Source of the formats: COCO's data format page and pycocotools. Read next: coco.py.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any

import numpy as np
from pycocotools import mask as rle


def has_outline(segmentation: Any) -> bool:
    """Does it say which pixels: an RLE, or at least one polygon of three corners?"""
    return any(len(part) >= 6 for part in segmentation) if isinstance(segmentation, list) else bool(segmentation)


def encode_segmentation(segmentation: Any, height: int, width: int, name: str) -> dict[str, Any]:
    """Polygons, uncompressed RLE or compressed RLE -> compressed RLE of a height x width picture.

    name: what to call it in the message of a ValueError.
    """
    if isinstance(segmentation, list):
        polygons = [part for part in segmentation if len(part) >= 6]  # two corners enclose nothing
        if any(len(part) % 2 for part in polygons):
            raise ValueError(f"{name} has a polygon with an odd number of coordinates")
        if not polygons:
            return rle.encode(np.zeros((height, width), np.uint8, order="F"))
        return rle.merge(rle.frPyObjects(polygons, height, width))
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"{name} has an RLE of size {segmentation['size']}; the picture is {[height, width]}")
    if isinstance(segmentation["counts"], list):
        if sum(segmentation["counts"]) != height * width:
            raise ValueError(f"{name} has an RLE of {sum(segmentation['counts'])} pixels, not {height * width}")
        return rle.frPyObjects(segmentation, height, width)
    return segmentation


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
