"""Finds the COCO JSON file of a split, and its folder of pictures, in the layouts that people use.

COCO's own: annotations/instances_val2017.json with val2017/. Others: instances_val.json with images/.
Read next: coco.py.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..files import inside


def find_json(folder: Path, split: str, keypoints: bool = False) -> Path | None:
    """The annotations of `split` ("train", "val") in a folder: the newest year where there are several."""
    kind = "person_keypoints" if keypoints else "instances"
    pattern = re.compile(rf"{kind}_{re.escape(split)}(\d{{4}})?\.json")
    for place in (folder / "annotations", folder):
        found = [path for path in place.glob("*.json") if pattern.fullmatch(path.name)]
        if found:
            return max(found, key=lambda path: path.name)
    return None


def find_pictures(file: Path, name: str) -> Path | None:
    """The folder that the file names of a COCO JSON are relative to: where the picture `name` lies.

    Raises ValueError for a name that leaves its folder.
    """
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    split = split_name(file)
    without_year = re.sub(r"\d{4}$", "", split)
    candidates = [root / split, root / "images" / split, root / without_year, root / "images", root]
    candidates += [file.parent / "images", file.parent]
    return next((folder for folder in candidates if inside(folder, name).is_file()), None)


def split_name(file: Path) -> str:
    """instances_val2017.json -> "val2017"."""
    return re.sub(r"^(instances|person_keypoints)_", "", file.stem)
