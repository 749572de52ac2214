"""Reads a COCO JSON file and finds every problem in it, in its pictures and in their objects, beside the corrections.

It works on the raw JSON, since the reader (coco.py) refuses a file at its first fault.
Letters: J keypoints. Read next: coco_entries.py, object_rules.py; check.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from ..files import inside
from .box_rules import DROPPED, NORMALISED, Frame, read_box
from .coco_entries import Record, judge_entries
from .coco_files import find_pictures
from .coco_parts import has_outline, load_coco
from .object_rules import judge_object
from .picture_rules import is_turned, look, shown_size
from .problems import Findings, Tell

PICTURE_DROPPED = "picture dropped with its objects"
_NAMES = 100  # so many are tried to find the folder of the pictures

Size = tuple[int, int]  # H, W


@dataclass
class CheckedCoco:
    """A file that was checked: its content is corrected, and what a copy needs besides it."""

    file: Path
    pictures: Path | None
    content: Record
    is_changed: bool = False  # else a copy has the file as it is
    turned: dict[str, int] = field(default_factory=dict)  # file name -> EXIF orientation that a copy applies
    digests: dict[bytes, str] = field(default_factory=dict)  # of a picture's pixels -> its file name


def check_coco(
    file: Path,
    findings: Findings,
    *,
    pictures: Path | None = None,
    limit: int | None = None,
    decode: bool = True,
    alone: bool = False,
) -> CheckedCoco | None:
    """Hands every problem of a file to `findings`; None where the file can't be read at all.

    pictures: their folder, None: look around. limit: pictures of the first so many entries. decode=False: the headers
    of the pictures only. alone: a file may come without its pictures.
    """
    try:
        content = load_coco(file)
    except ValueError as error:
        findings.at(str(file))("json-broken" if error.__cause__ else "json-form", str(error))
        return None
    entries = judge_entries(content, findings, file.name)
    names = (image["file_name"] for image in islice(entries.images, _NAMES))
    folder = pictures or next(filter(None, (find_pictures(file, name) for name in names)), None)
    if folder is None and entries.images:
        found = f"{entries.images[0]['file_name']} was not found near {file}"
        findings.at(file.name)("file-alone" if alone else "pictures-not-found", found, "say pictures=FOLDER")
    checked = CheckedCoco(file, folder, content)
    all_objects = [annotation for group in entries.of_image.values() for _, annotation in group]
    has_masks = any(has_outline(annotation.get("segmentation")) for annotation in all_objects)
    if entries.images and all(annotation.get("iscrowd") == 1 for annotation in all_objects):
        findings.at(file.name)("no-objects", f"no object in {len(entries.images)} pictures", "at least one")
    images: list[Record] = []
    kept: list[tuple[int, Record]] = []
    for image in tqdm(entries.images[:limit], f"checking {file.name}", leave=False, disable=None, unit=" pictures"):
        group = entries.of_image[image["id"]]
        size, stays = _judge_picture(image, group, checked, findings.at(file.name, image["file_name"]), decode)
        findings.pictures += 1
        findings.objects += len(group)
        objects: list[tuple[int, Record]] = []
        if size is not None:
            frame = Frame(*size, has_masks, len(entries.keypoint_names))
            objects = _judge_objects(group, frame, file.name, image["file_name"], findings)
        if stays and size is not None:
            same = (image["height"], image["width"]) == size
            images.append(image if same else {**image, "height": size[0], "width": size[1]})
            kept += objects
    kept.sort(key=lambda placed: placed[0])
    corrected = {"images": images, "annotations": [a for _, a in kept], "categories": entries.categories}
    checked.is_changed = any(corrected[key] != content[key] for key in corrected)
    checked.content = content | corrected
    return checked


def _judge_picture(
    image: Record, group: Sequence[tuple[int, Record]], checked: CheckedCoco, tell: Tell, decode: bool
) -> tuple[Size | None, bool]:
    """-> the size in which the objects are to be judged (None: nobody knows), whether the picture stays."""
    given: Size | None = None if image["height"] is None else (image["height"], image["width"])
    if checked.pictures is None:
        return given, given is not None
    seen = look(inside(checked.pictures, image["file_name"]), tell, PICTURE_DROPPED, decode)
    if seen is None:
        return given, False
    other = seen.digest and checked.digests.setdefault(seen.digest, image["file_name"])
    if other and other != image["file_name"]:
        tell("picture-twice", f"the same pixels as {other}")
    if given is None or given == seen.size:
        if seen.orientation != 1:
            tell("exif-turned", f"EXIF orientation {seen.orientation}; the pixels are taken as they are stored")
        return seen.size, True
    size, cause, fix = None, "", PICTURE_DROPPED
    if given == seen.size[::-1]:
        if is_turned(seen.orientation):
            size, cause = given, f"turned by its EXIF orientation ({seen.orientation}) where it was annotated"
            fix = "picture turned"
            checked.turned[image["file_name"]] = seen.orientation
        elif _all_inside(group, seen.size) and not _all_inside(group, given):
            size, cause, fix = seen.size, "height and width are swapped", "taken from the picture"
        else:
            cause = "height and width are swapped, or the picture was turned"
    tell("picture-size", f"the picture is {shown_size(seen.size)}", f"{shown_size(given)} as in the JSON", cause, fix)
    return size, size is not None  # WHY None: in pixels of an unknown size every object would look wrong


def _all_inside(group: Sequence[tuple[int, Record]], size: Size) -> bool:
    boxes = [box for _, annotation in group if (box := read_box(annotation))]
    outlines = [annotation.get("segmentation") for _, annotation in group]
    sizes = [outline["size"] for outline in outlines if isinstance(outline, dict) and "size" in outline]
    fit = all(box[2] <= size[1] + 1 and box[3] <= size[0] + 1 for box in boxes)
    return fit and all(list(size) == stated for stated in sizes)


def _judge_objects(
    group: Sequence[tuple[int, Record]], frame: Frame, file: str, picture: str, findings: Findings
) -> list[tuple[int, Record]]:
    """-> the objects that stay, corrected."""
    boxes = [box for _, annotation in group if (box := read_box(annotation))]
    small = bool(boxes) and max(max(box[2:]) for box in boxes) <= NORMALISED and min(frame.height, frame.width) > 8
    frame = frame._replace(normalised=small and not frame.has_masks)
    kept: list[tuple[int, Record]] = []
    earlier: dict[tuple[int, str], list[Record]] = {}
    for place, annotation in group:
        tell = findings.at(file, picture, annotation["id"])
        others = earlier.setdefault((annotation["category_id"], repr(annotation.get("bbox"))), [])
        if same := next((other for other in others if _is_same(other, annotation)), None):
            found = f"category, box, mask and keypoints of annotation {same['id']}"
            tell("object-twice", found, "each object once", fix=DROPPED)
            continue
        others.append(annotation)
        if (fixed := judge_object(annotation, frame, tell)) is not None:
            kept.append((place, annotation if fixed == annotation else fixed))
    return kept


def _is_same(one: Record, other: Record) -> bool:
    return all(one.get(key) == other.get(key) for key in ("segmentation", "keypoints", "iscrowd"))
