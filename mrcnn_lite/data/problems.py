"""What can be wrong with a data set: every kind by its name, and one `Problem` as the rules tell it.

A problem is to be corrected before training starts; a note is unusual, safe, and changes nothing.
Read next: coco_rules.py and label_rules.py, which find them; repair.py, which writes what they propose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

# kind -> what it means, as the summary says it
PROBLEMS = {
    # the file
    "json-broken": "no JSON, or only the beginning of one",
    "json-form": "JSON, but not the lists that COCO's format has",
    "no-objects": "a split without a single object to learn from or to measure by",
    "pictures-not-found": "no folder near the JSON holds any of its pictures",
    "in-both-splits": "a picture of the validation that is in the training as well",
    "classes-differ": "training and validation name different classes",
    # categories
    "category-form": "a category without a whole number as id or without a name, or joints that are none",
    "category-id-twice": "two categories of the same id",
    "category-name-twice": "two categories of the same name",
    # pictures
    "picture-form": "an entry of a picture with a key missing or of the wrong type",
    "picture-id-twice": "two pictures of the same id: nobody can say whose objects are whose",
    "picture-named-twice": "two entries, or two files, for the same picture",
    "picture-missing": "a picture that is named, but not there",
    "picture-unreadable": "a file that is no picture, or only a part of one",
    "picture-size": "a picture of another size than the JSON says",
    "name-leaves-folder": "a file name that points out of its folder",
    "absurd-size": "a size over the limit: refused before anything is decoded",
    # objects
    "object-form": "an annotation with a key missing or of the wrong type",
    "object-id-twice": "two annotations of the same id",
    "object-twice": "the same object twice: category, box and mask are equal",
    "unknown-image": "an annotation of a picture that the file does not name",
    "unknown-category": "an annotation of a category that the file does not name",
    "crowd-value": "iscrowd is neither 0 nor 1",
    "crowd-polygon": "a crowd region as polygons, which other tools refuse: expected run lengths (RLE)",
    "area": "an area that is none, or far from the mask's",
    # boxes
    "box-form": "a box that is not four numbers",
    "box-not-finite": "a box with NaN or infinity",
    "box-without-area": "a width or height of zero or less",
    "box-outside": "a box that reaches out of its picture",
    "box-xyxy": "a box written as x1, y1, x2, y2 instead of x, y, width, height",
    "box-y-first": "a box with y before x",
    "box-normalised": "a box in 0..1 instead of pixels",
    "box-not-its-mask": "a box that does not fit its mask",
    # masks
    "no-outline": "an object without a segmentation in a file that has them",
    "outline-form": "a segmentation that is neither polygons nor run lengths",
    "polygon-form": "a polygon that is no list x1, y1, x2, y2, …",
    "polygon-short": "polygons of fewer than three corners, and nothing else",
    "polygon-not-finite": "a polygon with NaN or infinity",
    "polygon-normalised": "a polygon in 0..1 instead of pixels",
    "polygon-outside": "a polygon that reaches out of its picture",
    "rle-size": "run lengths for a picture of another size",
    "rle-counts": "run lengths that do not add up to the picture",
    "rle-broken": "compressed run lengths that can't be read",
    "mask-empty": "a mask without a pixel",
    # keypoints
    "keypoints-form": "keypoints that are not three numbers for each joint",
    "keypoint-visibility": "a visibility other than 0, 1, 2",
    "keypoint-not-finite": "a keypoint with NaN or infinity",
    "keypoint-outside": "a labelled keypoint outside of the picture",
    "num-keypoints": "num_keypoints is not the number of labelled keypoints",
    # label pictures
    "label-missing": "a picture without its label picture",
    "label-unreadable": "a label picture that can't be read",
    "label-size": "a label picture of another size than its picture",
    "label-colours": "a label picture in colours instead of numbers",
    "label-values": "a label picture with negative or fractional numbers",
    "label-smoothed": "values in between at the edges of objects, as JPEG and smooth resizing leave them",
    "label-semantic": "a mask of all objects together (0 and 255) instead of one number for each",
    "index-form": "an index.json that is broken or of another form",
    "index-unknown-picture": "index.json names a picture that is not there",
    "index-unnamed": "index.json does not name a picture that is there",
    "index-split": "a split that is neither train nor val",
    "index-twice": "index.json names a picture twice",
    # drawn sets
    "refused": "a picture or target that training refuses",
}
NOTES = {
    "file-alone": "the pictures were not found near the file: only the file was checked",
    "box-absent": "an annotation without bbox: it is taken from the mask",
    "area-absent": "an annotation without area: it is taken from the mask or the box",
    "polygon-part-short": "a part of a polygon of fewer than three corners: it is ignored",
    "exif-turned": "a picture whose EXIF asks to be turned: boxes count in the pixels as they are stored",
    "picture-twice": "two pictures of the same content",
    "label-empty": "a label picture without an object",
    "label-without-picture": "a label picture without its picture",
    "object-in-pieces": "an object in pieces far apart",
    "index-test": "pictures of the split 'test', which nobody reads here",
}


class Problem(NamedTuple):
    """One thing that is wrong, or a note."""

    kind: str
    file: str  # where it stands
    found: str
    expected: str = ""
    cause: str = ""  # what it looks like
    fix: str = ""  # what a corrected copy does; "" = nothing, only a person can
    picture: str = ""
    annotation: Any = None  # its id

    @property
    def is_note(self) -> bool:
        return self.kind in NOTES

    @property
    def where(self) -> str:
        """The file, and in it the picture and the annotation."""
        picture = f", picture {self.picture}" if self.picture and not self.file.endswith(self.picture) else ""
        return self.file + picture + (f", annotation {self.annotation}" if self.annotation is not None else "")

    def __str__(self) -> str:
        text = f"{self.where}: {self.found}"
        text += f", expected {self.expected}" if self.expected else ""
        text += f": {self.cause}" if self.cause else ""
        return f"{text} [{self.kind}]"


Tell = Callable[..., None]  # tell(kind, found, expected="", cause="", fix="")


class Findings:
    """Counts what the rules tell and hands each problem on at once: nothing but the first of a kind is kept."""

    def __init__(self, hand_on: Callable[[Problem], None] = lambda problem: None) -> None:
        self.hand_on = hand_on
        self.counts: Counter[str] = Counter()
        self.first: dict[str, Problem] = {}
        self.by_hand: list[Problem] = []  # the first of each kind that no copy can correct
        self.pictures = self.objects = 0  # looked at

    def at(self, file: str, picture: str = "", annotation: Any = None) -> Tell:
        """A function that tells of problems in one place."""

        def tell(kind: str, found: str, expected: str = "", cause: str = "", fix: str = "") -> None:
            self.add(Problem(kind, file, found, expected, cause, fix, picture, annotation))

        return tell

    def add(self, problem: Problem) -> None:
        if problem.kind not in PROBLEMS and problem.kind not in NOTES:
            raise KeyError(f"no kind of problem is called {problem.kind!r}")
        self.counts[problem.kind] += 1
        if not problem.fix and not problem.is_note and all(problem.kind != other.kind for other in self.by_hand):
            self.by_hand.append(problem)
        self.first.setdefault(problem.kind, problem)
        self.hand_on(problem)

    @property
    def num_problems(self) -> int:
        return sum(count for kind, count in self.counts.items() if kind in PROBLEMS)

    def summary(self) -> list[str]:
        """Lines of text: how many of each kind, problems first, then notes with the first of each."""
        lines = [f"{self.counts[kind]:>7}  {kind:<22}{PROBLEMS[kind]}" for kind in PROBLEMS if self.counts[kind]]
        for kind in NOTES:
            if self.counts[kind]:
                lines.append(f"{self.counts[kind]:>7}  note: {kind:<16}{NOTES[kind]}; first {self.first[kind].where}")
        return lines


def advice(path: Any) -> str:
    """How a message ends that a reader gives of a fault in the data set at `path`."""
    return f"`mrcnn-lite data check {path}` lists every problem; with --fix it corrects a copy"


def refusing(path: Any, tolerated: Sequence[str] = ()) -> Findings:
    """Findings for a reader: the first problem is raised as a ValueError, which names the command that lists all."""

    def refuse(problem: Problem) -> None:
        if not problem.is_note and problem.kind not in tolerated:
            raise ValueError(f"{problem}\n{advice(path)}")

    return Findings(refuse)
