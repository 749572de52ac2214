"""Writes any data set as pictures and COCO JSON, in the layout that COCO itself has.

Read next: coco.py, which reads it back to the same targets.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path, PurePosixPath

from PIL import Image

from .dataset import Dataset


def export_coco(dataset: Dataset, folder: str | Path, split: str = "val", *, overwrite: bool = False) -> Path:
    """Writes folder/<split>/*.png and folder/annotations/instances_<split>.json; returns the JSON's path.

    The JSON is person_keypoints_<split>.json for a data set with keypoints. Category ids are the labels
    1..K. The pictures appear at once when all are written, and the JSON last: what is there is whole.
    Raises FileExistsError where the split is there already, unless `overwrite`.
    """
    folder = Path(folder)
    kind = "person_keypoints" if dataset.num_keypoints else "instances"
    pictures, file = folder / split, folder / "annotations" / f"{kind}_{split}.json"
    if not overwrite:
        for path in (pictures, file):
            if path.exists():
                raise FileExistsError(f"{path} is there already; overwrite=True replaces it")
    file.parent.mkdir(parents=True, exist_ok=True)
    truth = dataset.coco_ground_truth()
    names = [f"{PurePosixPath(record['file_name']).stem}.png" for record in truth["images"]]
    if len(set(names)) < len(names):  # pictures of the same name in different folders
        names = [f"{number:06d}_{name}" for number, name in enumerate(names, start=1)]
    for record, name in zip(truth["images"], names):
        record["file_name"] = name
    del truth["image_ids"]
    work = Path(tempfile.mkdtemp(prefix=f".{split}.", dir=folder))
    try:
        for i, name in enumerate(names):
            Image.fromarray(dataset.read(i)[0]).save(work / name)
        text = work / file.name
        text.write_text(json.dumps(truth), encoding="utf-8")
        file.unlink(missing_ok=True)
        if pictures.exists():
            shutil.rmtree(pictures)
        new_file = text.replace(file.with_suffix(".part"))
        work.rename(pictures)
        new_file.replace(file)
        pictures.chmod(0o755)  # mkdtemp's folders are private
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return file
