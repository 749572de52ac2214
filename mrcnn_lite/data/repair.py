"""Writes the corrected copy of a data set that was checked: beside it, whole or not at all, and checked once more.

A copy holds the annotation files that were checked and the pictures that they name, byte for byte where nothing was
wrong. Read next: check.py.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..files import inside
from .archives import make_folder
from .check import Checked, check_data
from .coco_files import split_name
from .coco_rules import CheckedCoco
from .label_folder_rules import CheckedLabels
from .label_rules import read_values, remedied
from .picture_rules import save_upright


def default_target(root: Path) -> Path:
    """Where a copy of the data set in `root` goes: the folder beside it with "-fixed" at the end of its name."""
    root = root.resolve()
    return root.with_name(f"{root.name}-fixed")


def write_copy(checked: Checked, target: str | Path) -> Path:
    """Writes the corrected copy into the new folder `target` and returns it.

    Raises FileExistsError where `target` is there, OSError where the disk is too small, ValueError where something
    can only be corrected by hand, or where the copy itself would have a problem.
    """
    target = Path(target)
    root = checked.root
    if root is None:
        raise ValueError("a drawn data set has no files to correct")
    if checked.findings.by_hand:
        lines = "\n".join(f"  {problem}" for problem in checked.findings.by_hand)
        raise ValueError(f"no copy is written: these problems can only be corrected by hand\n{lines}")
    if target.exists():
        raise FileExistsError(f"{target} is there already: a copy is never written over anything")

    def write_all(work: Path) -> None:
        for coco in checked.coco:
            _write_coco(coco, root, work)
        if checked.labels is not None:
            _write_labels(checked.labels, work)
        part = work / checked.path.relative_to(root)
        again = check_data(part, decode=False, **{**checked.options, "pictures": None})
        if again.findings.num_problems:
            first = next(problem for problem in again.findings.first.values() if not problem.is_note)
            raise ValueError(f"no copy is written, since it would not be without a problem: {first}")

    return make_folder(target, write_all)


def _write_coco(coco: CheckedCoco, root: Path, work: Path) -> None:
    file = work / coco.file.relative_to(root)
    if coco.pictures is not None:
        near = coco.pictures.resolve().is_relative_to(root.resolve())
        place = coco.pictures.resolve().relative_to(root.resolve()) if near else Path("images", split_name(coco.file))
        names = [image["file_name"] for image in coco.content["images"]]
        _need_space(work, [inside(coco.pictures, name) for name in names])
        for name in tqdm(names, f"copying {coco.file.name}", leave=False, disable=None, unit=" pictures"):
            _copy(inside(coco.pictures, name), inside(work / place, name), coco.turned.get(name))
    file.parent.mkdir(parents=True, exist_ok=True)
    if coco.is_changed:
        file.write_text(json.dumps(coco.content), encoding="utf-8")
    else:
        shutil.copyfile(coco.file, file)


def _write_labels(labels: CheckedLabels, work: Path) -> None:
    _need_space(work, [path for pair in labels.kept for path in pair[:2]])
    for pair in tqdm(labels.kept, "copying", leave=False, disable=None, unit=" pictures"):
        picture, label = (work / path.relative_to(labels.root) for path in pair[:2])
        _copy(pair.picture, picture, labels.turned.get(pair.picture))
        if remedies := labels.remedies.get(pair.label):
            label.parent.mkdir(parents=True, exist_ok=True)
            values = read_values(pair.label, _silent)
            if values is None:
                raise ValueError(f"{pair.label} can't be read any more: it was changed after it was checked")
            ids = remedied(values, remedies)
            Image.fromarray(ids.astype(np.uint8 if ids.max(initial=0) < 256 else np.uint16)).save(label)
        else:
            _copy(pair.label, label, None)
    if labels.index is not None:
        (work / "index.json").write_text(json.dumps(labels.index, indent=1), encoding="utf-8")


def _copy(source: Path, target: Path, orientation: int | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if orientation:
        save_upright(source, target, orientation)
    else:
        shutil.copyfile(source, target)


def _need_space(folder: Path, files: list[Path]) -> None:
    needed, free = sum(file.stat().st_size for file in files), shutil.disk_usage(folder).free
    if needed > 0.95 * free:
        raise OSError(f"the copy needs {needed / 1e9:.1f} GB in {folder.parent}, {free / 1e9:.1f} are free")


def _silent(*told: Any, **more: Any) -> None:
    """Tells nobody."""
