"""What every kind of fuzzed input is, and the valid seeds that they damage.

Two small pictures with two ellipses each, as tensors, as COCO JSON, as files; a network of a few thousand weights.
Read next: `fuzz_data.py`, `fuzz_model.py`.
"""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from pycocotools import mask as rle

from mrcnn_lite import Config, build_model

Mutant = dict[str, Any]
SIZE = (24, 32)  # H, W of the pictures
SHAPES = ((2, 3, 14, 12), (15, 5, 30, 20))  # x1, y1, x2, y2 of the objects
JOINTS = 3


class Kind:
    """One kind of input. `mutate` gives what `past`, `call` and `check` are handed."""

    name = ""
    parser = ""  # what "past the first parser" means
    named = ""  # a regular expression: what a refusal must name

    def mutate(self, random: Random, folder: Path) -> Mutant:
        """A damaged seed; files are written into `folder`."""
        raise NotImplementedError

    def past(self, mutant: Mutant) -> bool:
        raise NotImplementedError

    def call(self, mutant: Mutant) -> Any:
        """What the package makes of it."""
        raise NotImplementedError

    def check(self, mutant: Mutant, result: Any) -> None:
        """Raises AssertionError if it should have been refused, or if nonsense came out."""
        raise NotImplementedError


# ---- seeds -----------------------------------------------------------------------------------------------


def masks() -> np.ndarray:
    """uint8 [G, H, W]: filled ellipses."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    inside = [
        ((x - (x1 + x2) / 2) * 2 / (x2 - x1)) ** 2 + ((y - (y1 + y2) / 2) * 2 / (y2 - y1)) ** 2 <= 1
        for x1, y1, x2, y2 in SHAPES
    ]
    return np.stack(inside).astype(np.uint8)


def target() -> dict[str, torch.Tensor]:
    boxes = torch.tensor(SHAPES, dtype=torch.float32)
    keypoints = torch.stack(
        [torch.tensor([[x1 + 1, y1 + 1, 2], [x2 - 1, y2 - 1, 1], [0, 0, 0]]) for x1, y1, x2, y2 in boxes]
    )
    return {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": torch.from_numpy(masks()), "keypoints": keypoints}


def picture() -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([x * 7, y * 9, x + y], axis=2).astype(np.uint8)


def run_lengths() -> list[dict[str, Any]]:
    codes = [rle.encode(np.asfortranarray(mask)) for mask in masks()]
    return [{"size": list(code["size"]), "counts": code["counts"].decode()} for code in codes]


def coco_tree() -> dict[str, Any]:
    """Two pictures; polygons, both kinds of run lengths, a crowd, keypoints."""
    x1, y1, x2, y2 = SHAPES[1]
    flat = masks()[0].ravel(order="F")
    runs = np.diff(np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])).tolist()
    outlines: list[Any] = [run_lengths()[0], [[x1, y1, x2, y1, x2, y2, x1, y2]], {"size": list(SIZE), "counts": runs}]
    annotations = []
    for n, (image_id, category, shape, iscrowd) in enumerate([(7, 3, 0, 0), (7, 90, 1, 0), (9, 3, 0, 0), (9, 3, 0, 1)]):
        x1, y1, x2, y2 = SHAPES[shape]
        annotations.append(
            {
                **{"id": n + 1, "image_id": image_id, "category_id": category, "iscrowd": iscrowd},
                **{"bbox": [x1, y1, x2 - x1, y2 - y1], "area": float(masks()[shape].sum()), "num_keypoints": 2},
                **{"segmentation": copy.deepcopy(outlines[2 if iscrowd else min(n, 1) if shape else 0])},
                **{"keypoints": [x1 + 1, y1 + 1, 2, x2 - 2, y2 - 2, 1, 0, 0, 0]},
            }
        )
    images = [{"id": i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]} for i in (7, 9)]
    joints = {"keypoints": ["nose", "left_ear", "right_ear"], "skeleton": [[1, 2], [1, 3]]}
    categories = [{"id": 3, "name": "cat", **joints}, {"id": 90, "name": "dog", **joints}]
    return {"info": {"year": 2017}, "images": images, "annotations": annotations, "categories": categories}


def small_config(**changes: Any) -> Config:
    """A network of a few thousand weights beside the backbone, on pictures of 32 pixels."""
    small = {"fpn_channels": 8, "box_fcs": (16,), "mask_layers": (8,), "mask_deconv": 8, "keypoint_layers": (8,)}
    sizes = {"min_size": 32, "max_size": 64, "box_size": 3, "mask_roi_size": 4, "mask_size": 8, "keypoint_roi_size": 4}
    return Config.tiny(3, **small | sizes | {"num_keypoints": JOINTS, "norm": "gn"} | changes)


@cache
def small_model(heads: tuple[str, ...]) -> Any:
    torch.manual_seed(1)
    model = build_model(small_config(heads=heads)).eval()
    model.class_names = ("background", "cat", "dog")
    return model


def parsed(file: Path, kind: type) -> Any:
    """The content of a JSON file; an empty `kind` where it is no JSON, or something else."""
    try:
        content = json.loads(file.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return kind()
    return content if isinstance(content, kind) else kind()
