"""The rules for what a COCO JSON file lists: ids, names, types, and what refers to what; no picture is opened here.

The checker (coco_rules.py) and the reader (coco.py) both begin with `judge_entries`: the one notes every problem, the
other stops at the first. Read next: coco_rules.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

from ..files import inside
from .pictures import LIMIT, max_pixels
from .problems import Findings, Tell

Record = dict[str, Any]
IdMap = dict[Any, int]  # id in the file -> id that stays
_IDS = ("id", "image_id", "category_id")  # of an annotation


class Entries(NamedTuple):
    """The corrected entries of a file."""

    categories: list[Record]
    images: list[Record]  # height and width are None where only the picture itself can tell
    of_image: dict[int, list[tuple[int, Record]]]  # image id -> (place in the file, annotation)

    @property
    def keypoint_names(self) -> list[str]:
        return next((c["keypoints"] for c in self.categories if c.get("keypoints")), [])


def judge_entries(content: Record, findings: Findings, file: str) -> Entries:
    """Tells what is wrong with the lists of a COCO file and gives them as they should be.

    content: as `load_coco` returns it. What can't be kept is left out; an annotation goes with its picture.
    """
    kept_ids, categories = _judge_categories(content["categories"], findings.at(file))
    same_as, images = _judge_images(content["images"], findings, file)
    of_image: dict[int, list[tuple[int, Record]]] = {image["id"]: [] for image in images}
    names = {image["id"]: image["file_name"] for image in images}
    free_ids, used = _free_ids(content["annotations"]), set[int]()
    for place, given in enumerate(content["annotations"]):
        if not isinstance(given, dict):
            tell = findings.at(file, annotation=f"in place {place}")
            tell("object-form", f"a {type(given).__name__}", "an object with id, image_id, category_id", fix="dropped")
            continue
        number, image_id, category_id = map(given.get, _IDS)
        usual = type(number) is type(image_id) is type(category_id) is int and number not in used
        if usual and same_as.get(image_id) == image_id and kept_ids.get(category_id) == category_id:
            kept: Record = given  # WHY first: COCO has 860,000 of them
        else:
            tell = findings.at(file, names.get(same_as.get(as_id(image_id)), ""), given.get("id", f"in place {place}"))
            mended = _judge_references(given, same_as, kept_ids, used, free_ids, tell)
            if mended is None:
                continue
            kept = mended
        used.add(kept["id"])
        if kept["image_id"] in of_image:  # else its picture is left out
            of_image[kept["image_id"]].append((place, kept))
    return Entries(categories, images, of_image)


def _free_ids(annotations: list[Any]) -> Iterator[int]:
    """Ids that no annotation has; they are looked for when the first is asked for."""
    numbers = [as_id(annotation.get("id")) for annotation in annotations if isinstance(annotation, dict)]
    yield from count(max((number for number in numbers if number is not None), default=0) + 1)


def _judge_references(
    given: Record, same_as: IdMap, kept_ids: IdMap, used: set[int], free_ids: Iterator[int], tell: Tell
) -> Record | None:
    """The annotation with the ids that it should have; None where it has to be dropped."""
    number, image_id, category_id = (as_id(given.get(key)) for key in _IDS)
    if any(type(given.get(key)) is not int for key in _IDS) and not _judge_ids(given, tell):
        return None
    if number is not None and number in used:
        tell("object-id-twice", f"an earlier annotation has the id {number} too", "ids that differ", fix="new id")
    if category_id not in kept_ids:
        shown = f"{len(kept_ids)}, with ids from {min(kept_ids)} to {max(kept_ids)}" if kept_ids else "none"
        cause = "looks like counted from 0" if category_id == 0 else ""
        found = f"category_id is {category_id}, the file names {shown}"
        tell("unknown-category", found, "one of the file's categories", cause, "object dropped")
    if image_id not in same_as:
        found = f"image_id is {image_id}, which the file does not name"
        tell("unknown-image", found, "one of the file's images", fix="object dropped")
    if category_id not in kept_ids or image_id not in same_as:
        return None
    number = next(free_ids) if number is None or number in used else number
    return given | {"id": number, "image_id": same_as[image_id], "category_id": kept_ids[category_id]}


def _judge_ids(given: Record, tell: Tell) -> bool:
    """Tells of ids that are absent or no whole numbers; -> whether the annotation may stay."""
    wrong = [key for key in _IDS if type(given.get(key)) is not int]
    found = ", ".join(f"{key} is {given[key]!r:.40}" if key in given else f"no {key}" for key in wrong)
    number, *others = (as_id(given.get(key)) for key in _IDS)
    fix = "object dropped" if None in others else "numbered anew" if number is None else "read as numbers"
    tell("object-form", found, "whole numbers", fix=fix)
    return None not in others


def as_id(value: Any) -> int | None:
    """A whole number, also written as 3.0 or "3"; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _judge_categories(given: list[Any], tell: Tell) -> tuple[IdMap, list[Record]]:
    """-> for each id the id that stays, the categories that stay."""
    kept_ids: IdMap = {}
    kept: list[Record] = []
    of_name: dict[str, int] = {}
    if not given:
        tell("category-form", "no categories", "at least one")
    for place, category in enumerate(given):
        number = as_id(category.get("id")) if isinstance(category, dict) else None
        name = category.get("name") if isinstance(category, dict) else None
        if number is None or not isinstance(name, str) or not name:
            tell("category-form", f"category in place {place} is {category!r:.80}", "an id and a name")
            continue
        if type(category["id"]) is not int:
            found = f"category {name!r:.60} has the id {category['id']!r}"
            tell("category-form", found, "a whole number", fix="read as a number")
            category = category | {"id": number}
        if number in kept_ids:
            same = of_name.get(name) == number
            found = f"{name!r:.60} has the id {number}, which another category has too"
            tell("category-id-twice", found, "ids that differ", fix="left out, it is the same" if same else "")
            continue
        if name in of_name:
            found = f"{name!r:.60} has the ids {of_name[name]} and {number}"
            tell("category-name-twice", found, "one", fix=f"all objects get the id {of_name[name]}")
            kept_ids[number] = of_name[name]
            continue
        kept_ids[number] = of_name[name] = number
        kept.append(category)
    _judge_joints(kept, tell)
    return kept_ids, kept


def _judge_joints(categories: list[Record], tell: Tell) -> None:
    lists = []
    for place, category in enumerate(categories):
        names, pairs = category.get("keypoints") or [], category.get("skeleton") or []
        if not names:
            continue
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names) or len(set(names)) < len(names):
            tell("category-form", f"keypoints of {category['name']!r:.60} are {names!r:.80}", "names that differ")
        lists.append(names)
        ends = range(1, len(names) + 1)
        sound = isinstance(pairs, list) and all(
            isinstance(pair, list) and len(pair) == 2 and all(end in ends for end in pair) for pair in pairs
        )
        if not sound:
            found = f"the skeleton of {category['name']!r:.60} is {pairs!r:.60}"
            tell("category-form", found, f"pairs of joints 1..{len(names)}", fix="skeleton left out")
            categories[place] = {**category, "skeleton": []}
    if any(names != lists[0] for names in lists):
        tell("category-form", "categories with different lists of keypoints", "the same for all")


def _judge_images(given: list[Any], findings: Findings, file: str) -> tuple[IdMap, list[Record]]:
    """-> for each id the id of the entry that stays (one that is left out has no entry), the entries that stay."""
    same_as: IdMap = {}
    entries: dict[int, Record] = {}
    of_name: dict[str, int] = {}
    twice: set[int] = set()
    if not given:
        findings.at(file)("no-objects", "no pictures", "at least one")
    for place, image in enumerate(given):
        name = image.get("file_name") if isinstance(image, dict) else None
        number = as_id(image.get("id")) if isinstance(image, dict) else None
        tell = findings.at(file, name if isinstance(name, str) else f"in place {place}")
        if number is None or not isinstance(name, str) or not name:
            tell("picture-form", f"{image!r:.100}", "id, file_name, height and width", fix="picture dropped")
            if number is not None:
                same_as.setdefault(number, number)  # its objects go with it
            continue
        if type(image["id"]) is not int:
            tell("picture-form", f"id is {image['id']!r}", "a whole number", fix="read as a number")
        if number in same_as:
            tell("picture-id-twice", f"the id {number}, which another picture has too", fix="both dropped")
            twice.add(number)
            continue
        same_as[number] = number
        try:
            inside("", name)
        except ValueError as error:
            tell("name-leaves-folder", str(error), fix="picture dropped")
            continue
        if name in of_name:
            other = of_name[name]
            found = f"entries {other} and {number} name the same file"
            tell("picture-named-twice", found, "one entry", fix=f"all objects go to {other}")
            same_as[number] = other
            continue
        of_name[name] = number
        sides = _judge_sides(image, tell)
        same = type(image["id"]) is int and all(image.get(key) is side for key, side in sides.items())
        entries[number] = image if same else image | {"id": number} | sides
    return same_as, [image for number, image in entries.items() if number not in twice]


def _judge_sides(image: Record, tell: Tell) -> Record:
    """height and width; None where they have to be taken from the picture."""
    sides: Record = {key: as_id(image.get(key)) for key in ("height", "width")}
    wrong = [key for key in sides if type(image.get(key)) is not int or image[key] < 1]
    if wrong:
        found = ", ".join(f"{key} is {image[key]!r:.40}" if key in image else f"no {key}" for key in wrong)
        readable = all(side is not None and side > 0 for side in sides.values())
        tell("picture-form", found, "pixels", fix="read as numbers" if readable else "taken from the picture")
        if not readable:
            return dict.fromkeys(sides)
    elif sides["height"] * sides["width"] > max_pixels():
        found = f"{sides['width']} x {sides['height']} pixels"
        tell("absurd-size", found, f"at most {max_pixels():,} (${LIMIT} moves it)", fix="taken from the picture")
        return dict.fromkeys(sides)
    return sides
