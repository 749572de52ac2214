"""Reads COCO JSON: instances and person keypoints; polygons, RLE, crowds, gaps in the category ids.

The file's category ids, whatever they are, become labels 1..K in the order of the ids, and back. Crowd
regions are no targets but stay in the ground truth, since COCO's evaluation needs them.
Letters: N pictures, G objects, K classes, J keypoints. Read next: coco_parts.py, dataset.py.
"""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle

from ..files import inside
from .box_rules import box_fault
from .coco_entries import judge_entries
from .coco_files import find_pictures
from .coco_parts import PackedList, encode_segmentation, has_outline, load_coco
from .dataset import Dataset, Objects
from .outlines import outline_fault
from .pictures import read_picture
from .problems import Problem, advice, refusing

Annotation = dict[str, Any]


class CocoJson(Dataset):
    """A COCO JSON file with its folder of pictures.

    Boxes are the file's (not the masks' own), clipped to the picture. Left out of the targets, never of
    the ground truth: crowds, boxes without area (`left_out` counts them by reason), and masks that cover
    no pixel's centre (`empty_masks` lists those met so far: they show only when they are drawn).
    Pictures without objects are kept: they teach what is not there (`drop_empty=True` leaves them out).
    """

    def __init__(self, file: str | Path, pictures: str | Path | None = None, *, drop_empty: bool = False) -> None:
        """file: the JSON; pictures: the folder that its file names are relative to (None: look around).

        Without its pictures (`pictures` stays None) the file still gives its objects and its ground truth.
        drop_empty: leave out pictures without an object, or without a visible keypoint where the file has
        keypoints (the paper trains keypoints on such pictures only).
        """
        self.file = Path(file)
        content = load_coco(self.file)
        judge_entries(content, refusing(self.file, tolerated=("unknown-image", "no-objects")), self.file.name)
        first = str(content["images"][0]["file_name"]) if content["images"] else ""
        self.pictures = Path(pictures) if pictures is not None else find_pictures(self.file, first)
        self._read_categories(content["categories"])
        self.left_out: Counter[str] = Counter()
        self.empty_masks: set[int] = set()  # ids of annotations whose mask has no pixel, met so far
        records = {int(record["id"]): record for record in content["images"]}
        of_image: dict[int, list[Annotation]] = {image_id: [] for image_id in records}
        for annotation in content["annotations"]:
            if annotation["image_id"] in of_image:
                of_image[annotation["image_id"]].append(self._with_label(annotation))
            else:
                self.left_out["of a picture that the file does not name"] += 1
        self.has_masks = any(has_outline(a.get("segmentation")) for group in of_image.values() for a in group)
        for image_id, record in records.items():
            for annotation in of_image[image_id]:
                reason = self._unfit(annotation, record)
                if reason:
                    self.left_out[reason] += 1
                    self._check_left_out(annotation, record)
        kept = [i for i in records if not drop_empty or self._is_taught(of_image[i], records[i])]
        if not kept:
            raise ValueError(f"{self.file} names no picture" + (" with an object" if drop_empty else ""))
        self._records = [records[image_id] for image_id in kept]
        self._annotations = PackedList(of_image[image_id] for image_id in kept)
        unusual = {reason: n for reason, n in self.left_out.items() if reason != "crowd"}
        if unusual:
            counts = ", ".join(f"{n} {reason}" for reason, n in unusual.items())
            warnings.warn(f"{self.file.name}: annotations left out of the targets: {counts}", stacklevel=2)

    # ---- what the file says ----------------------------------------------------------------------------

    def _read_categories(self, categories: list[dict[str, Any]]) -> None:
        categories = sorted(categories, key=lambda category: category["id"])
        self._coco_ids = [int(category["id"]) for category in categories]
        self._labels = {coco_id: label for label, coco_id in enumerate(self._coco_ids, start=1)}
        self.class_names = ("background", *(str(category["name"]) for category in categories))
        joints = {tuple(c["keypoints"]) for c in categories if c.get("keypoints")}  # at most one: judge_entries
        if joints:
            self.keypoint_names = joints.pop()
            pairs = next(c.get("skeleton") or [] for c in categories if c.get("keypoints"))
            self.skeleton = tuple((int(a) - 1, int(b) - 1) for a, b in pairs)  # COCO counts from 1

    def _with_label(self, annotation: Annotation) -> Annotation:
        known = {key: value for key, value in annotation.items() if value is not None}  # null: the key is absent
        return known | {"category_id": self._labels[annotation["category_id"]]}

    def _unfit(self, annotation: Annotation, record: dict[str, Any]) -> str | None:
        """Why an annotation can't be a target, where that shows without drawing its mask."""
        box = annotation.get("bbox")
        fault = box_fault(box) if box is not None else None
        if fault:  # NaN would pass as the whole picture when it is clipped
            problem = Problem(fault[0], self.file.name, *fault[1:], annotation=annotation["id"])
            refusing(self.file).add(problem)
        if annotation.get("iscrowd"):
            return "crowd"
        if self.has_masks and not has_outline(annotation.get("segmentation")):
            return "without a segmentation"
        if box is None:
            return None if self.has_masks else "without a box"
        x1, y1, x2, y2 = _clipped_box(box, record["height"], record["width"])
        return None if x2 > x1 and y2 > y1 else "with a box without area"

    def _check_left_out(self, annotation: Annotation, record: dict[str, Any]) -> None:
        """It is never drawn as a target, but the evaluation draws it: what `objects` checks of the others."""
        fault = has_outline(annotation.get("segmentation")) and outline_fault(
            annotation["segmentation"], record["height"], record["width"]
        )
        if fault:
            raise ValueError(f"{self._name(annotation)}: {fault}; {advice(self.file)}")
        self._area(annotation.get("area", 0), annotation)
        if self.num_keypoints and "keypoints" in annotation:
            self._keypoints(annotation)

    def _is_taught(self, annotations: list[Annotation], record: dict[str, Any]) -> bool:
        fit = [a for a in annotations if not self._unfit(a, record)]
        if self.keypoint_names:
            return any(max(a.get("keypoints", [0, 0, 0])[2::3]) > 0 for a in fit)
        return bool(fit)

    # ---- the data set ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._records)

    def image_id(self, i: int) -> int:
        return int(self._records[i]["id"])

    def image_name(self, i: int) -> str:
        return str(self._records[i]["file_name"])

    def image_size(self, i: int) -> tuple[int, int]:
        return int(self._records[i]["height"]), int(self._records[i]["width"])

    def annotations(self, i: int) -> list[Annotation]:
        return [self._completed(annotation, *self.image_size(i)) for annotation in self._annotations[i]]

    def _completed(self, annotation: Annotation, height: int, width: int) -> Annotation:
        """With all that COCO's evaluation asks for, where the file leaves some of it out."""
        known: Annotation = {"iscrowd": 0} | annotation
        if self.has_masks and not has_outline(annotation.get("segmentation")):
            known["segmentation"] = {"size": [height, width], "counts": [height * width]}  # an empty mask
        if "bbox" not in known or "area" not in known:
            code = encode_segmentation(known["segmentation"], height, width, self._name(annotation))
            known = {"bbox": rle.toBbox(code).tolist(), "area": float(rle.area(code))} | known
        stated = known.pop("num_keypoints", None)
        if not self.num_keypoints:
            known.pop("keypoints", None)
        elif stated is not None or "keypoints" in known:  # counted, whatever the file says
            known["num_keypoints"] = int((self._keypoints(known)[:, 2] > 0).sum()) if "keypoints" in known else 0
        return known

    def to_coco_id(self, label: int) -> int:
        return self._coco_ids[super().to_coco_id(label) - 1]

    def read(self, i: int) -> tuple[np.ndarray, Objects]:
        path = inside(self.pictures or self.file.parent, self.image_name(i))
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing, which {self.file} names; {advice(self.file)}")
        image = read_picture(path)
        if image.shape[:2] != self.image_size(i):
            sizes = f"{list(image.shape[:2])}, {self.file} says {list(self.image_size(i))}"
            raise ValueError(f"{path} is of size (H, W) {sizes}; {advice(self.file)}")
        return image, self.objects(i)

    def objects(self, i: int) -> Objects:
        """The targets of picture i; the picture itself is not needed."""
        height, width = self.image_size(i)
        fit = [a for a in self._annotations[i] if not self._unfit(a, self._records[i])]
        masks: np.ndarray | None = None
        if self.has_masks:
            codes = [encode_segmentation(a["segmentation"], height, width, self._name(a)) for a in fit]
            filled = [g for g, code in enumerate(codes) if int(rle.area(code)) > 0]
            self.empty_masks.update(fit[g].get("id", -1) for g in set(range(len(fit))) - set(filled))
            fit, codes = [fit[g] for g in filled], [codes[g] for g in filled]
            masks = np.zeros((0, height, width), np.uint8)
            if codes:
                masks = np.ascontiguousarray(rle.decode(codes).transpose(2, 0, 1))  # [H, W, G] -> [G, H, W]
        boxes = np.zeros((len(fit), 4), np.float32)
        areas = np.zeros(len(fit), np.float32)
        keypoints = np.zeros((len(fit), self.num_keypoints, 3), np.float32)
        for g, annotation in enumerate(fit):
            box = annotation.get("bbox")
            box = rle.toBbox(codes[g]).tolist() if box is None else box
            boxes[g] = _clipped_box(box, height, width)
            areas[g] = self._area(annotation.get("area", box[2] * box[3]), annotation)
            if self.num_keypoints and "keypoints" in annotation:
                keypoints[g] = self._keypoints(annotation)
        labels = np.array([a["category_id"] for a in fit], np.int64)
        return Objects(labels, boxes, masks, areas, keypoints if self.num_keypoints else None)

    def _name(self, annotation: Annotation) -> str:
        return f"{self.file}: annotation {annotation.get('id')}"

    def _area(self, area: Any, annotation: Annotation) -> float:
        if not isinstance(area, (int, float)) or isinstance(area, bool) or not 0 <= area < 1e12:
            found = f"{self._name(annotation)} has the area {area!r:.99}"
            raise ValueError(f"{found}, expected a number from 0; {advice(self.file)}")
        return area

    def _keypoints(self, annotation: Annotation) -> np.ndarray:
        """-> [J, 3]. COCO's integer positions are the centres of pixels; ours are half a pixel further."""
        try:
            numbers = np.array(annotation["keypoints"], np.float32)
        except (ValueError, TypeError, OverflowError) as error:
            found = f"{self._name(annotation)} has keypoints {annotation['keypoints']!r:.99}"
            raise ValueError(f"{found}, expected numbers x, y, visibility; {advice(self.file)}") from error
        if numbers.size != 3 * self.num_keypoints:
            expected = f"{self.num_keypoints} keypoints have {3 * self.num_keypoints}"
            found = f"{self._name(annotation)} has {numbers.size} numbers for its keypoints"
            raise ValueError(f"{found}; {expected}; {advice(self.file)}")
        points = numbers.reshape(-1, 3)
        points[:, :2] = np.where(points[:, 2:] > 0, points[:, :2] + 0.5, 0)
        return points


def _clipped_box(box: list[float], height: int, width: int) -> tuple[float, float, float, float]:
    """COCO's (x, y, width, height) -> (x1, y1, x2, y2) inside the picture."""
    x, y, box_width, box_height = box
    x1, x2 = max(0.0, float(x)), min(float(width), float(x + box_width))
    y1, y2 = max(0.0, float(y)), min(float(height), float(y + box_height))
    return x1, y1, x2, y2
