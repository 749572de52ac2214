"""Data sets without a fault, generated and real, in folders that a test may change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mrcnn_lite.checks import check_batch
from mrcnn_lite.data.export import export_coco
from mrcnn_lite.data.registry import open_dataset
from mrcnn_lite.data.synthetic import Synthetic


def shapes(folder, lengths=(60, 4), painter="shapes", size=96):
    """A generated set in COCO's layout. -> the JSON of its training split."""
    files = []
    for split, length in zip(("train", "val"), lengths):
        files.append(export_coco(Synthetic(painter, split, length=length, size=size, cached=False), folder, split))
    return files[0]


def real_or_generated(folder: Path, name: str, request: Any) -> tuple[Path, Path, Path]:
    """A copy of a sound set that may be written to: "shapes", "coco_ccby", or the validation pictures of "nuclei".

    request: pytest's. -> the set's folder, the COCO file to plant into, its pictures.
    """
    target = folder / name
    if name == "shapes":
        return target, shapes(target), target / "train"
    source = request.getfixturevalue("shared_data")(name)
    if name == "coco_ccby":
        files = ["annotations/instances_train2017.json", "annotations/instances_val2017.json"]
        files += [str(path.relative_to(source)) for path in source.glob("*2017/*.jpg")]
    else:
        files = ["instances_val.json"]
        files += [f"images/{image['file_name']}" for image in json.loads((source / files[0]).read_text())["images"]]
    for file in files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file, target / file)
    return target, target / files[0], target / ("train2017" if name == "coco_ccby" else "images")


def assert_trains(path: Path, split: str = "train", **options: Any) -> int:
    """Every picture and target of the set passes the checks of the model. -> number of pictures"""
    dataset = open_dataset(path, split, in_memory=False, **options)
    for i in range(len(dataset)):
        image, target = dataset[i]
        heads = ["mask"] * ("masks" in target) + ["keypoint"] * ("keypoints" in target)
        check_batch([image], [target], len(dataset.class_names), heads, dataset.num_keypoints)
    return len(dataset)


def change(file, **lists):
    file.write_text(json.dumps(json.loads(file.read_text()) | lists))


def write_labels(folder, count, split=lambda i: "val" if i % 4 == 0 else "train"):
    """Pictures of noise, 40 x 60, with two objects each, and an index.json."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 60, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i:02d}.png")
        ids = np.zeros((40, 60), np.uint8)
        ids[5:15, 5:15], ids[20:30, 30:45] = 1, 2
        Image.fromarray(ids).save(folder / "masks" / f"{i:02d}.png")
    index = [{"name": f"{i:02d}", "split": split(i)} for i in range(count)]
    (folder / "index.json").write_text(json.dumps(index))
    return index
