"""What every data set is: a sequence of (image, target) in one format, and its ground truth as COCO JSON.

A subclass only says how picture i and its objects are read (numpy); here they become torchvision's
dicts of tensors, or COCO annotations for the evaluation.
Letters: G objects, H W size, K classes, J keypoints.
Read next: synthetic.py, coco.py, label_png.py; wrappers.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from pycocotools import mask as rle
from torch import Tensor

from .instances import Crops, id_map_boxes, id_map_masks

Target = dict[str, Any]

# COCO's figures for how exactly people place a joint (object keypoint similarity), by the joint's name;
# ours for "head" (the middle of a head), "hand" and "foot" are those of the joints next to them.
_SIGMAS = {"nose": 0.026, "eye": 0.025, "ear": 0.035, "head": 0.035, "shoulder": 0.079, "elbow": 0.072}
_SIGMAS |= {"wrist": 0.062, "hand": 0.062, "hip": 0.107, "knee": 0.087, "ankle": 0.089, "foot": 0.089}
_OTHER_SIGMA = 0.079


class Objects(NamedTuple):
    """The objects of one picture, as numpy arrays; crowds are never among them."""

    labels: np.ndarray  # int64 [G], 1..K
    boxes: np.ndarray  # float32 [G, 4] (x1, y1, x2, y2), pixels
    masks: np.ndarray | Crops | None  # uint8 [G, H, W]; None where the set has boxes only
    areas: np.ndarray  # float32 [G], pixels
    # float32 [G, J, 3] (x, y, visibility 0/1/2); the centre of the first pixel is (0.5, 0.5)
    keypoints: np.ndarray | None = None


class Dataset(torch.utils.data.Dataset[tuple[Tensor, Target]]):
    """A sequence of (image float32 [3, H, W] in 0..1, target).

    target: boxes float32 [G, 4], labels int64 [G] (1..K), masks uint8 [G, H, W], area float32 [G],
    iscrowd int64 [G] (always 0), image_id int, and where the set has keypoints float32 [G, J, 3].
    """

    class_names: tuple[str, ...] = ("background",)
    keypoint_names: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()  # pairs of keypoints, counted from 0, to draw lines between

    # ---- what a subclass says --------------------------------------------------------------------------

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, i: int) -> tuple[np.ndarray, Objects]:
        """Picture i as uint8 [H, W, 3], and its objects."""
        raise NotImplementedError

    def image_id(self, i: int) -> int:
        return i + 1

    def image_name(self, i: int) -> str:
        return f"{self.image_id(i):06d}.png"

    def image_size(self, i: int) -> tuple[int, int]:
        """(H, W) of picture i."""
        return self.read(i)[0].shape[:2]

    def annotations(self, i: int) -> list[dict[str, Any]]:
        """Everything that is known of picture i as COCO annotations, crowds included, category_id = label."""
        return _coco_annotations(self.read(i)[1], self.image_id(i))

    def to_coco_id(self, label: int) -> int:
        """Label 1..K -> the category id of the data set's own file."""
        if not 1 <= label < len(self.class_names):
            raise ValueError(f"labels are 1..{len(self.class_names) - 1}, got {label}")
        return label

    # ---- what follows from it --------------------------------------------------------------------------

    @property
    def num_keypoints(self) -> int:
        return len(self.keypoint_names)

    @property
    def keypoint_flip(self) -> tuple[int, ...]:
        """For each keypoint the one that takes its place in a mirrored picture: left and right swapped."""
        return flip_permutation(self.keypoint_names)

    @property
    def keypoint_sigmas(self) -> tuple[float, ...]:
        """The tolerance of each keypoint in the object keypoint similarity (COCO's, by the joint's name)."""
        return tuple(_SIGMAS.get(name.split("_")[-1], _OTHER_SIGMA) for name in self.keypoint_names)

    def __getitem__(self, i: int) -> tuple[Tensor, Target]:
        i = self.checked_index(i)
        image, objects = self.read(i)
        masks = objects.masks.dense() if isinstance(objects.masks, Crops) else objects.masks
        target: Target = {  # copies: what a caller does to them must not reach a picture kept in memory
            "boxes": torch.tensor(objects.boxes, dtype=torch.float32).reshape(-1, 4),
            "labels": torch.tensor(objects.labels, dtype=torch.int64),
            "image_id": self.image_id(i),
            "area": torch.tensor(objects.areas, dtype=torch.float32),
            "iscrowd": torch.zeros(len(objects.labels), dtype=torch.int64),
        }
        if masks is not None:
            target["masks"] = torch.from_numpy(np.ascontiguousarray(masks))
        if objects.keypoints is not None:
            target["keypoints"] = torch.tensor(objects.keypoints, dtype=torch.float32)
        pixels = torch.from_numpy(np.array(image.transpose(2, 0, 1)))  # [H, W, 3] -> [3, H, W]
        return pixels.float().div_(255), target

    def checked_index(self, i: int) -> int:
        """i, or its meaning counted from the end; IndexError ends a `for` loop over the data set."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"picture {i} of a data set of {len(self)}")
        return int(i) % len(self)

    def coco_ground_truth(self) -> dict[str, Any]:
        """The whole truth as a COCO JSON dict, for pycocotools: crowds included, category ids = labels 1..K.

        Keypoints are in COCO's convention (the centre of the first pixel is 0, ours minus 1/2).
        "image_ids" lists the image id of each picture in the order of the data set.
        """
        truth: dict[str, Any] = {"info": {"description": "mrcnn_lite"}, "licenses": [], "images": []}
        truth |= {"annotations": [], "categories": self._coco_categories(), "image_ids": []}
        for i in range(len(self)):
            height, width = self.image_size(i)
            image_id = self.image_id(i)
            truth["image_ids"].append(image_id)
            truth["images"].append({"id": image_id, "file_name": self.image_name(i), "width": width, "height": height})
            truth["annotations"] += self.annotations(i)
        for number, annotation in enumerate(truth["annotations"], start=1):
            annotation["id"] = number  # pycocotools takes an annotation with the id 0 for no annotation
        return truth

    def _coco_categories(self) -> list[dict[str, Any]]:
        categories = [
            {"id": label, "name": name, "supercategory": ""} for label, name in enumerate(self.class_names) if label > 0
        ]
        if self.keypoint_names:
            joints: dict[str, Any] = {"keypoints": list(self.keypoint_names)}
            joints["skeleton"] = [[a + 1, b + 1] for a, b in self.skeleton]  # COCO counts from 1
            categories = [category | joints for category in categories]
        return categories


def _coco_annotations(objects: Objects, image_id: int) -> list[dict[str, Any]]:
    masks = objects.masks.dense() if isinstance(objects.masks, Crops) else objects.masks
    annotations = []
    for g, (x1, y1, x2, y2) in enumerate(objects.boxes.tolist()):
        annotation: dict[str, Any] = {"image_id": image_id, "category_id": int(objects.labels[g])}
        annotation |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": float(objects.areas[g]), "iscrowd": 0}
        if masks is not None:
            code = rle.encode(np.asfortranarray(masks[g]))
            annotation["segmentation"] = {"size": code["size"], "counts": code["counts"].decode("ascii")}
        if objects.keypoints is not None:
            annotation |= coco_keypoints(objects.keypoints[g])
        annotations.append(annotation)
    return annotations


def coco_keypoints(keypoints: np.ndarray) -> dict[str, Any]:
    """[J, 3] in our pixels -> COCO's "keypoints" list (minus half a pixel) and "num_keypoints"."""
    visibility = keypoints[:, 2]
    points = np.where(visibility[:, None] > 0, keypoints[:, :2] - 0.5, 0)
    flat = np.concatenate([points, visibility[:, None]], axis=1).ravel().tolist()
    flat[2::3] = [int(v) for v in flat[2::3]]
    return {"keypoints": flat, "num_keypoints": int((visibility > 0).sum())}


def flip_permutation(names: Sequence[str]) -> tuple[int, ...]:
    """Index of each name's mirror image: "left_knee" <-> "right_knee", "nose" -> itself."""
    swapped = [name.replace("left", "right") if "left" in name else name.replace("right", "left") for name in names]
    return tuple(names.index(other) if other in names else j for j, other in enumerate(swapped))


def split_ids(id_map: np.ndarray | Tensor) -> dict[str, Tensor]:
    """A label picture as boxes and masks: `target = split_ids(id_map) | {"labels": …}`.

    id_map: whole numbers [H, W], 0 = background, any other number = the pixels of one object. -> boxes float32 [G, 4],
    masks uint8 [G, H, W], in the order of the numbers. Raises ValueError for another shape, for fractions, below 0.
    """
    ids = np.asarray(id_map)
    if ids.ndim != 2 or ids.dtype.kind not in "uib" or ids.min(initial=0) < 0:
        found = f"{ids.dtype} of shape {list(ids.shape)}" + (f" from {ids.min()}" if ids.size else "")
        raise ValueError(f"id map: {found}, expected whole numbers [H, W] from 0")
    values, ranks = np.unique(np.append(0, ids), return_inverse=True)  # 0 is always there; objects 1..G without gaps
    ranks = ranks.ravel()[1:].reshape(ids.shape)
    boxes = id_map_boxes(ranks, len(values) - 1)
    masks = id_map_masks(ranks, boxes)
    return {"boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), "masks": torch.from_numpy(masks)}


def collate(batch: Iterable[tuple[Tensor, Target]]) -> tuple[list[Tensor], list[Target]]:
    """Pairs -> two lists, since pictures differ in size: `DataLoader(dataset, collate_fn=collate)`."""
    images, targets = zip(*batch)
    return list(images), list(targets)
