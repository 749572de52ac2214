"""What an evaluation refuses: of the ground truth and of COCO results.

pycocotools scores wrong input as a miss, in silence, or ends the process; each message here names image and object.
What is merely unusual passes: other keys, boxes a little outside their image, more than 100 detections, none at all.
Letters: N results, H W size. Read next: detections.py, the same for tensors; coco_results.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from .data.outlines import outline_fault

Record = Mapping[str, Any]
FEWEST_NUMBERS = 6  # of a polygon: three corners


LARGEST_SIDE = 65_535  # pixels: H * W, and with it every run, fits into the 32 bits that pycocotools counts with


def is_number(value: Any, largest: float = 1e12) -> bool:
    """A finite number (no bool, no text), of an absolute value up to `largest`."""
    number: Any = abs(value) if isinstance(value, Real) and not isinstance(value, bool) else None
    return number is not None and bool(number <= largest)


def is_whole(value: Any, lowest: int, highest: int = 2**53) -> bool:
    """A whole number in a range (no bool, no float)."""
    number: Any = value if isinstance(value, Integral) and not isinstance(value, bool) else None
    return number is not None and bool(lowest <= number <= highest)


def is_side(value: Any) -> bool:
    """A height or width in pixels."""
    return is_whole(value, 1, LARGEST_SIDE)


def is_id(value: Any) -> bool:
    return isinstance(value, str) or is_whole(value, -(2**53))


# ---- the ground truth ------------------------------------------------------------------------------------


def check_truth(truth: Any) -> None:
    """Raise ValueError unless `truth` is a COCO dict with images, annotations and categories that can be scored.

    Annotations of images that it does not list pass: they are left out.
    """
    for key in ("images", "annotations", "categories"):
        records = truth.get(key) if isinstance(truth, Mapping) else None
        if not isinstance(records, list) or not all(isinstance(record, Mapping) for record in records):
            raise ValueError(f"no COCO data set: expected lists of objects images, annotations, categories; see {key}")
    sizes = {}
    for image in truth["images"]:
        where, size = f"image {image.get('id')!r:.99}", [image.get("height"), image.get("width")]
        if not is_id(image.get("id")) or image["id"] in sizes:
            raise ValueError(f"{where}: expected an id of its own, a whole number or a text")
        if not all(map(is_side, size)):
            raise ValueError(f"{where}: its height and width are {size!r:.99}, expected whole numbers 1 to 65535")
        if not isinstance(image.get("file_name", ""), str):
            raise ValueError(f"{where}: its file_name is {image['file_name']!r:.99}, expected a text")
        sizes[image["id"]] = size
    for key, kind in (("id", (int,)), ("name", (str,))):
        values = [category.get(key) for category in truth["categories"]]
        wrong = [value for value in values if not is_id(value) or not isinstance(value, kind)]
        wrong += [] if wrong else [value for value in set(values) if values.count(value) > 1]
        if wrong or not values:
            found = f"{key} {wrong[0]!r:.99}" if wrong else "none"
            raise ValueError(f"categories: {found}, expected at least one, each with a whole id and a name of its own")
    chosen = truth.get("image_ids", [])
    if not isinstance(chosen, list) or not all(is_id(image_id) and image_id in sizes for image_id in chosen):
        raise ValueError(f"image_ids is {chosen!r:.99}, expected a list of ids of its {len(sizes)} images")
    categories = {category["id"] for category in truth["categories"]}
    known = [a for a in truth["annotations"] if not is_id(a.get("image_id")) or a["image_id"] in sizes]
    for annotation in known:
        where = f"image {annotation.get('image_id')!r:.99}, annotation {annotation.get('id')!r:.99}"
        if not is_id(annotation.get("image_id")):
            raise ValueError(f"{where}: expected the id of an image")
        check_annotation(annotation, sizes[annotation["image_id"]], categories, where)
    for key in ("bbox", "segmentation"):
        lacking = [annotation for annotation in known if key not in annotation]
        if 0 < len(lacking) < len(known):
            where = f"image {lacking[0]['image_id']!r}, annotation {lacking[0].get('id')!r:.99}"
            raise ValueError(f"{where}: has no {key}, others have")


def check_annotation(annotation: Record, size: Sequence[int], categories: Collection[int], where: str) -> None:
    if not is_id(annotation.get("category_id")) or annotation["category_id"] not in categories:
        found = f"category {annotation.get('category_id')!r:.99}"
        raise ValueError(f"{where}: {found} is not one of {sorted(categories)[:100]}")
    if annotation.get("iscrowd", 0) not in (0, 1) or not isinstance(annotation.get("iscrowd", 0), int):
        raise ValueError(f"{where}: iscrowd is {annotation['iscrowd']!r:.99}, expected 0 or 1")
    if not is_number(annotation.get("area")) or annotation["area"] < 0:
        raise ValueError(f"{where}: area is {annotation.get('area')!r:.99}, expected a number from 0")
    if "bbox" in annotation:
        check_bbox(annotation["bbox"], where)
    if "keypoints" in annotation:
        check_keypoints(annotation["keypoints"], where)
    if "segmentation" in annotation:
        check_outline(annotation["segmentation"], size, where)


def check_bbox(bbox: Any, where: str) -> None:
    """x, y, width, height: numbers, none of the last two below 0."""
    if not isinstance(bbox, (list, tuple)) or len(bbox) != 4 or not all(map(is_number, bbox)) or min(bbox[2:]) < 0:
        raise ValueError(f"{where}: bbox is {bbox!r:.99}, expected four numbers x, y, width, height")


def check_outline(segmentation: Any, size: Sequence[int], where: str) -> None:
    """Polygons or run lengths of a picture of `size` (H, W) that pycocotools can be given as they are."""
    if fault := outline_fault(segmentation, *size):
        raise ValueError(f"{where}: {fault}")
    if isinstance(segmentation, Mapping) and not all(map(is_side, segmentation["size"])):
        raise ValueError(f"{where}: an RLE of size {segmentation['size']!r:.99}, expected whole numbers")


def check_keypoints(keypoints: Any, where: str) -> None:
    if not isinstance(keypoints, (list, tuple)) or len(keypoints) % 3 or not all(map(is_number, keypoints)):
        raise ValueError(f"{where}: keypoints are {keypoints!r:.99}, expected numbers x, y, visibility for each joint")


def restricted(truth: Record, image_ids: Collection[Any]) -> dict[str, Any]:
    """A copy of a checked ground truth with these images alone, for pycocotools to write into.

    Parts of polygons with fewer than three corners are left out, as the readers of `data/` do.
    """
    images = [image for image in truth["images"] if image["id"] in image_ids]
    sizes = {image["id"]: [image["height"], image["width"]] for image in images}
    chosen = [annotation for annotation in truth["annotations"] if annotation["image_id"] in sizes]
    masks = any(annotation.get("segmentation") for annotation in chosen)
    objects = []
    for number, annotation in enumerate(chosen, start=1):
        # WHY new ids: pycocotools takes an object with id 0 for "no match".
        one = {"iscrowd": 0, **annotation, "id": number}
        if masks and isinstance(one["segmentation"], list):
            height, width = sizes[one["image_id"]]
            parts = [part for part in one["segmentation"] if len(part) >= FEWEST_NUMBERS]
            one["segmentation"] = parts or {"size": [height, width], "counts": [height * width]}
        objects.append(one)
    return {**truth, "images": images, "annotations": objects}


# ---- COCO results ----------------------------------------------------------------------------------------


def check_entries(entries: Any) -> None:
    """Raise ValueError, which says which entry, unless these are COCO results, whatever the ground truth is."""
    if isinstance(entries, (str, bytes, Mapping)) or not isinstance(entries, Sequence):
        raise ValueError(f"results are a {type(entries).__name__}, expected a list of COCO results")
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise ValueError(f"result {number} is {entry!r:.99}, expected an object with image_id, category_id, score")
        if missing := {"image_id", "category_id", "score"} - entry.keys():
            raise ValueError(f"result {number} has no {', '.join(sorted(missing))}: {sorted(map(str, entry))}")
        where = f"result {number} (image {entry['image_id']!r:.99})"
        for key in ("image_id", "category_id"):
            if not is_id(entry[key]):
                raise ValueError(f"{where}: {key} is {entry[key]!r:.99}, expected a whole number or a text")
        for key in ("file_name", "category_name"):
            if not isinstance(entry.get(key, ""), str):
                raise ValueError(f"{where}: {key} is {entry[key]!r:.99}, expected a text")
        if not is_number(entry["score"]):
            raise ValueError(f"{where}: score is {entry['score']!r:.99}, expected a number")
        if "bbox" in entry:
            check_bbox(entry["bbox"], where)
        if "keypoints" in entry:
            check_keypoints(entry["keypoints"] or None, where)


def check_against(entries: Sequence[Record], truth: Record) -> None:
    """Refuse what COCO's evaluation takes in silence and scores as zero: ids and masks that do not fit the truth."""
    sizes = {image["id"]: [image["height"], image["width"]] for image in truth["images"]}
    categories = [category["id"] for category in truth["categories"]]
    for number, entry in enumerate(entries):
        where = f"result {number} (image {entry['image_id']!r:.99})"
        if entry["image_id"] not in sizes:
            raise ValueError(f"{where}: not one of the {len(sizes)} images of the ground truth")
        if entry["category_id"] not in categories:
            raise ValueError(f"{where}: category {entry['category_id']!r:.99} is not one of {categories[:100]}")
        if "segmentation" in entry:
            mask = entry["segmentation"]
            if not isinstance(mask, Mapping) or isinstance(mask.get("counts"), list):
                raise ValueError(f"{where}: segmentation is {mask!r:.99}, expected size and compressed counts")
            check_outline(mask, sizes[entry["image_id"]], where)


def check_reading(entries: Sequence[Record], truth: Record) -> None:
    """Raise ValueError where bbox is not x, y, width, height, which shows only in many entries together.

    With masks: most boxes fit their mask in another reading, and much better. Without: every bbox reads as corners
    inside its image, and some leave it by a tenth as what they should be.
    """
    sizes = {image["id"]: [image["width"], image["height"]] for image in truth["images"]}
    boxed = [entry for entry in entries if "bbox" in entry]
    if not boxed:
        return
    given = torch.tensor([entry["bbox"] for entry in boxed], dtype=torch.float64)  # [N, 4]
    size = torch.tensor([sizes[entry["image_id"]] for entry in boxed], dtype=torch.float64)  # [N, 2]
    start, extent = given[:, :2], given[:, 2:]
    right = torch.cat([start, start + extent], dim=1)  # x1, y1, x2, y2
    other = "x1, y1, x2, y2 instead of x, y, width, height"
    leaves = (right[:, 2:] > 1.1 * size).any(dim=1)
    if bool(leaves.any()) and bool(((start < extent) & (extent <= size + 1)).all()):
        n = int(leaves.nonzero()[0])
        where = f"image {boxed[n]['image_id']!r}: bbox {boxed[n]['bbox']} in an image of {size[n].tolist()}"
        raise ValueError(f"{where} (width, height): the boxes look like {other}")
    masked = [n for n, entry in enumerate(boxed) if "segmentation" in entry]
    if not masked:
        return
    masks = [dict(boxed[n]["segmentation"]) for n in masked]
    own = torch.from_numpy(import_pycocotools().mask.toBbox(masks))  # [M, 4], each mask's x, y, width, height
    filled = (own[:, 2:] > 0).all(dim=1)
    own = torch.cat([own[:, :2], own[:, :2] + own[:, 2:]], dim=1)
    mixed = torch.cat([start, right[:, 2:] + start], dim=1)
    readings = {other: given, "x, y, width, height where x1, y1, x2, y2 belong": mixed}
    for name, boxes in readings.items():
        fit = paired_iou(boxes[masked], own)
        better = filled & (fit > 0.8) & (fit > paired_iou(right[masked], own) + 0.2)
        if 2 * int(better.sum()) > int(filled.sum()):
            n = int(better.nonzero()[0])
            entry, mask_box = boxed[masked[n]], own[n].tolist()
            where = f"image {entry['image_id']!r}: bbox {entry['bbox']}, the box of its mask is {mask_box}"
            raise ValueError(f"{where} (x1, y1, x2, y2): the boxes look like {name}")


def paired_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU of each box with its partner: [N, 4], [N, 4] -> [N]; 0 where a box is no box."""
    common = (torch.minimum(boxes[:, 2:], others[:, 2:]) - torch.maximum(boxes[:, :2], others[:, :2])).clamp(min=0)
    area, other_area = ((b[:, 2:] - b[:, :2]).clamp(min=0).prod(dim=1) for b in (boxes, others))
    return common.prod(dim=1) / (area + other_area - common.prod(dim=1)).clamp(min=1e-9)


def import_pycocotools() -> Any:
    """pycocotools with its three modules, or an ImportError that says what to install."""
    try:
        import pycocotools.coco
        import pycocotools.cocoeval
        import pycocotools.mask
    except ImportError as error:
        raise ImportError("COCO evaluation and run lengths need pycocotools: pip install pycocotools") from error
    return pycocotools
