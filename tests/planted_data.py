"""A sound COCO data set with one fault of each kind planted into it, and what the checker has to say of each.

Every fault sits in an object or a picture of its own, so that one that is found twice, or in another place, shows.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as rle

Record = dict[str, Any]


@dataclass
class Planted:
    """What was planted: (kind, annotation id or picture) of each fault, and what a corrected copy has to leave out."""

    truth: Record  # the content before
    content: Record  # and after
    faults: set[tuple[str, Any]] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)  # ids of annotations
    lost: set[str] = field(default_factory=set)  # pictures


def rectangle(box: list[float]) -> list[list[float]]:
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def drop_polygon(change: Callable[[list[float], Record], Any]) -> Callable[[Record, Record], None]:
    """A fault made of the polygon of the object's box."""

    def plant(a: Record, image: Record) -> None:
        a["segmentation"] = change(rectangle(a["bbox"])[0], image)

    return plant


def set_box(change: Callable[..., Any]) -> Callable[[Record, Record], None]:
    def plant(a: Record, image: Record) -> None:
        a["bbox"] = change(*a["bbox"], image["width"], image["height"])

    return plant


def set_key(key: str, value: Any) -> Callable[[Record, Record], None]:
    return lambda a, image: a.update({key: value})


def empty_mask(a: Record, image: Record) -> None:
    a["segmentation"] = {"size": [image["height"], image["width"]], "counts": [image["height"] * image["width"]]}


def broken_rle(a: Record, image: Record) -> None:
    a["segmentation"] = {"size": [image["height"], image["width"]], "counts": "PPYo0zz~~"}


def short_rle(a: Record, image: Record) -> None:
    a["segmentation"] = {"size": [image["height"], image["width"]], "counts": [5, 4, 3]}


def other_size(a: Record, image: Record) -> None:
    mask = np.ones((image["height"] + 1, image["width"]), np.uint8, order="F")
    a["segmentation"] = {"size": [image["height"] + 1, image["width"]], "counts": rle.encode(mask)["counts"].decode()}


def crowd_of_polygons(a: Record, image: Record) -> None:
    a |= {"iscrowd": 1, "segmentation": rectangle(a["bbox"]), "area": a["bbox"][2] * a["bbox"][3]}


# kind of fault, how it is planted into an annotation, whether a copy can correct it (else the object is dropped)
OBJECT_FAULTS: list[tuple[str, Callable[[Record, Record], None], bool]] = [
    ("box-xyxy", set_box(lambda x, y, w, h, *_: [x, y, x + w, y + h]), True),
    ("box-y-first", set_box(lambda x, y, w, h, *_: [y, x, h, w]), True),
    ("box-normalised", set_box(lambda x, y, w, h, W, H: [x / W, y / H, w / W, h / H]), True),
    ("box-not-its-mask", set_box(lambda x, y, w, h, *_: [x / 3, y / 3, w / 4, h / 4]), True),
    ("box-without-area", set_box(lambda x, y, w, h, *_: [x, y, 0, h]), True),
    ("box-without-area", set_box(lambda x, y, w, h, *_: [x + w, y + h, -w, -h]), True),
    ("box-not-finite", set_box(lambda x, y, w, h, *_: [x, math.nan, w, h]), True),
    ("box-not-finite", set_box(lambda x, y, w, h, *_: [x, y, math.inf, h]), True),
    ("box-form", set_box(lambda x, y, w, h, *_: [x, y, w]), True),
    ("box-form", set_box(lambda x, y, w, h, *_: [str(x), y, w, h]), True),
    ("box-outside", set_box(lambda x, y, w, h, W, H: [W + 5 * w, y, w, h]), True),
    ("area", set_key("area", -5), True),
    ("area", set_key("area", 1e7), True),
    ("area", set_key("area", math.nan), True),
    ("crowd-value", set_key("iscrowd", 2), False),
    ("crowd-value", set_key("iscrowd", "0"), True),
    ("crowd-polygon", crowd_of_polygons, True),
    ("no-outline", set_key("segmentation", []), False),
    ("outline-form", set_key("segmentation", 7), False),
    ("polygon-short", set_key("segmentation", [[1, 1, 5, 5]]), False),
    ("polygon-form", drop_polygon(lambda p, image: [p[:-1]]), False),
    ("polygon-form", drop_polygon(lambda p, image: p), True),  # without the list around it
    ("polygon-form", drop_polygon(lambda p, image: [[str(number) for number in p]]), False),
    ("polygon-not-finite", drop_polygon(lambda p, image: [[*p[:-1], math.nan]]), False),
    ("polygon-outside", drop_polygon(lambda p, image: [[number + 5000 for number in p]]), False),
    (
        "polygon-normalised",
        drop_polygon(lambda p, image: [[n / image[("width", "height")[i % 2]] for i, n in enumerate(p)]]),
        True,
    ),
    ("rle-size", other_size, False),
    ("rle-counts", short_rle, False),
    ("rle-broken", broken_rle, False),
    ("mask-empty", empty_mask, False),
    ("unknown-image", set_key("image_id", 999_999_999), False),
    ("unknown-category", set_key("category_id", 999), False),
    ("object-form", set_key("category_id", None), False),
]


def victims(content: Record, spared: set[int]) -> Iterator[tuple[Record, Record]]:
    """Objects, and their pictures, in which every fault shows: of some size, off the diagonal and the origin."""
    images = {image["id"]: image for image in content["images"] if image["id"] not in spared}
    for a in list(content["annotations"]):
        if a["image_id"] not in images:
            continue
        image, (x, y, w, h) = images[a["image_id"]], a["bbox"]
        plain = not a["iscrowd"] and min(w, h) >= 6 and w * h >= 64 and a["area"] > 0.4 * w * h
        visible = x > 0.4 * w and y > 0.4 * h and abs(x - y) + abs(w - h) > 0.6 * max(w, h)
        inside = x + w < image["width"] - 2 and y + h < image["height"] - 2
        if plain and visible and inside:
            yield a, image


def plant_coco(file: Path, pictures: Path) -> Planted:
    """Plants every fault into a COCO file and its pictures, which are overwritten; nothing may be wrong with them."""
    content = json.loads(file.read_text())
    planted = Planted(copy.deepcopy(content), content)
    of_image: dict[int, list[Record]] = {}
    for a in content["annotations"]:
        of_image.setdefault(a["image_id"], []).append(a)
    # The pictures with the fewest objects are those that are lost.
    by_objects = sorted(content["images"], key=lambda image: len(of_image.get(image["id"], [])))
    chosen = iter(by_objects)
    spared: set[int] = set()

    def picture_fault(kind: str, lost: bool) -> Record:
        image = next(chosen)
        spared.add(image["id"])
        planted.faults.add((kind, image["file_name"]))
        if lost:
            planted.lost.add(image["file_name"])
            planted.dropped |= {a["id"] for a in of_image.get(image["id"], [])}
        return image

    (pictures / picture_fault("picture-missing", True)["file_name"]).unlink()
    path = pictures / picture_fault("picture-unreadable", True)["file_name"]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    image = picture_fault("picture-size", True)
    image["width"], image["height"] = image["width"] + 10, image["height"] + 10
    image = picture_fault("name-leaves-folder", True)
    planted.faults.remove(("name-leaves-folder", image["file_name"]))
    image["file_name"] = f"../{image['file_name']}"
    planted.faults.add(("name-leaves-folder", image["file_name"]))
    picture_fault("absurd-size", False)["width"] = 10**9
    del picture_fault("picture-form", False)["height"]
    first = picture_fault("picture-id-twice", True)
    other = pictures / f"other{Path(first['file_name']).suffix}"
    Image.new("RGB", (first["width"], first["height"])).save(other)
    planted.faults.remove(("picture-id-twice", first["file_name"]))
    planted.faults.add(("picture-id-twice", other.name))
    content["images"].append({**first, "file_name": other.name})
    again = max(image["id"] for image in content["images"]) + 1
    whole = content["images"][content["images"].index(next(chosen))]
    content["images"].append({**whole, "id": again})
    planted.faults.add(("picture-named-twice", whole["file_name"]))

    free = victims(content, spared)
    for kind, plant, corrected in OBJECT_FAULTS:
        a, image = next(free)
        plant(a, image)
        planted.faults.add((kind, a["id"]))
        planted.dropped |= set() if corrected else {a["id"]}
    a, _ = next(free)
    highest = max(a["id"] for a in content["annotations"])
    content["annotations"].append({**a, "id": highest + 1})
    planted.faults.add(("object-twice", highest + 1))
    a, _ = next(free)
    b, _ = next(free)
    planted.faults.add(("object-id-twice", a["id"]))
    planted.dropped.add(b["id"])  # it stays, but under another id
    b["id"] = a["id"]
    file.write_text(json.dumps(content))
    return planted


def plant_labels(folder, index):
    """-> what has to be found."""
    images, masks = folder / "images", folder / "masks"
    whole = np.asarray(Image.open(masks / "00.png"))
    (images / "01.png").write_bytes((images / "01.png").read_bytes()[:500])
    (masks / "02.png").write_bytes((masks / "02.png").read_bytes()[:60])
    (masks / "03.png").unlink()
    Image.fromarray(whole[:30]).save(masks / "04.png")
    Image.fromarray(np.stack([whole * 100, whole, whole], axis=2)).save(masks / "05.png")
    Image.fromarray((whole > 0).astype(np.uint8) * 255).save(masks / "06.png")
    Image.fromarray(whole).save(masks / "stray.png")  # a note
    Image.fromarray(whole * 0).save(masks / "07.png")  # a note
    (images / "08.jpg").write_bytes((images / "08.png").read_bytes())
    (images / "12.png").write_bytes((images / "09.png").read_bytes())  # 12 is for validation
    (images / "11.png").write_bytes((images / "10.png").read_bytes())  # a note: both are for training
    index[13]["split"] = "holdout"
    index.append({"name": "missing", "split": "train"})
    index.append({"name": "../secret", "split": "train"})
    index.append(index[14] | {"split": "val"})
    index.append("x")
    del index[15]
    (folder / "index.json").write_text(json.dumps(index))
    return [
        ("picture-named-twice", "08.png"),  # whose label picture is that of 08.jpg, too
        ("label-without-picture", "masks/stray.png"),
        ("index-split", "13"),
        ("index-unknown-picture", "missing"),
        ("name-leaves-folder", "../secret"),
        ("index-twice", "14"),
        ("index-form", "index.json"),
        ("index-unnamed", "15"),
        ("picture-unreadable", "01.png"),
        ("label-unreadable", "02.png"),
        ("label-missing", "03.png"),
        ("label-size", "04.png"),
        ("label-colours", "05.png"),
        ("label-semantic", "06.png"),
        ("label-empty", "07.png"),
        ("in-both-splits", "09.png"),
        ("picture-twice", "11.png"),
    ]
