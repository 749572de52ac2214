"""Opens a data set by its name or its folder: `open_dataset("shapes")`, `open_dataset("a/coco", "val")`.

A folder with COCO JSON is read as such, else one with pictures and label pictures. Where a folder holds
both, the JSON goes first. Read next: dataset.py for what comes out; places.py for where is looked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .coco import CocoJson
from .coco_files import find_json
from .dataset import Dataset
from .label_png import LabelPictures, find_layout
from .places import locate, search_folders
from .problems import advice
from .sources import SOURCES
from .synthetic import Synthetic
from .wrappers import InMemory, Subset

_SMALL = 1000  # a set read from files with at most so many pictures is kept in memory


@dataclass(frozen=True)
class Entry:
    """What a name stands for."""

    about: str
    painter: str | None = None  # a drawn set
    folder: str | None = None  # a set that lies in the folder of this name
    options: dict[str, Any] = field(default_factory=dict)


_ENTRIES = {
    "shapes": Entry("six synthetic shapes, drawn (standard kind)", "shapes"),
    "shapes-thin": Entry("small synthetic shapes with thin strokes, drawn", "shapes", options={"kind": "thin"}),
    "shapes-overlap": Entry("heaps of synthetic shapes, drawn", "shapes", options={"kind": "overlap"}),
    "stick-figures": Entry("synthetic people with 13 keypoints, drawn", "stick_figures"),
    "coco": Entry(SOURCES["coco"].about, folder="coco"),
    "coco-keypoints": Entry("the persons of COCO 2017 with 17 keypoints", folder="coco", options={"keypoints": True}),
    "pennfudan": Entry(SOURCES["pennfudan"].about, folder="pennfudan"),
    "nuclei": Entry(SOURCES["nuclei"].about, folder="nuclei", options={"class_name": "nucleus"}),
    "nuclei-stardist": Entry(SOURCES["nuclei-stardist"].about, folder="nuclei-stardist"),
}


def names() -> tuple[str, ...]:
    """The names that `open_dataset` knows."""
    return tuple(_ENTRIES)


def about(name: str) -> str:
    """One sentence on a named data set."""
    return _ENTRIES[name].about


def open_dataset(
    name_or_path: str | Path,
    split: str = "train",
    *,
    limit: int | None = None,
    in_memory: bool | None = None,
    **options: Any,
) -> Dataset:
    """Opens the training ("train") or validation ("val") pictures of a data set.

    name_or_path: one of `names()`, a folder, or a COCO JSON file (then `split` says nothing).
    limit: only the first so many pictures.
    in_memory: keep what was read from files (at most 1 GiB); None: where there are at most 1000 pictures.
    options: for drawn sets length, size, seed, object_scale, cached, workers, progress (synthetic.py,
        shapes.py, stick_figures.py); for files keypoints (read person_keypoints_*.json), drop_empty,
        pictures (the folder, for a JSON file), class_name, form ("coco" or "label-png" only).
    Raises FileNotFoundError, which says what was looked for and how to get it.
    """
    if split not in ("train", "val", "all"):
        raise ValueError(f"split must be 'train' or 'val' (label pictures also have 'all'); got {split!r}")
    entry = _ENTRIES.get(str(name_or_path))
    if entry is not None and entry.painter is not None:
        dataset: Dataset = Synthetic(entry.painter, split, limit=limit, **{**entry.options, **options})
    else:
        path, more = find_files(name_or_path)
        dataset = _open_files(path, split, **{**more, **options})
        if in_memory or (in_memory is None and len(dataset) <= _SMALL):
            dataset = InMemory(dataset)
    return dataset if limit is None else Subset(dataset, limit)


def is_drawn(name: str) -> bool:
    """Is it the name of a set that is drawn, so that there are no files to look for?"""
    return name in _ENTRIES and _ENTRIES[name].painter is not None


def find_files(name_or_path: str | Path) -> tuple[Path, dict[str, Any]]:
    """The folder or file of a data set that is not drawn, and the options that go with its name."""
    if entry := _ENTRIES.get(str(name_or_path)):
        return _located(str(name_or_path), str(entry.folder)), entry.options
    path = Path(name_or_path).expanduser()
    if not path.exists():
        known = ", ".join(_ENTRIES)
        raise FileNotFoundError(f"{path} is neither a file or folder nor one of the names {known}")
    return path, {}


def nothing_found(path: Path, split: str, keypoints: bool) -> FileNotFoundError:
    """What to raise where a folder holds no data set."""
    kind = "person_keypoints" if keypoints else "instances"
    expected = f"{kind}_{split}*.json (in it or in annotations/), images/ with masks/, or PNGImages/ with PedMasks/"
    return FileNotFoundError(f"{path} holds no data set of split {split!r}: expected {expected}")


def _located(name: str, folder_name: str) -> Path:
    folder = locate(folder_name)
    if folder is None:
        looked = ", ".join(str(place / folder_name) for place in search_folders())
        raise FileNotFoundError(
            f"the data set {name!r} is not on this machine (looked for {looked}). "
            f"`mrcnn-lite data get {folder_name}` downloads it."
        )
    return folder


def _open_files(
    path: Path,
    split: str,
    *,
    keypoints: bool = False,
    drop_empty: bool | None = None,
    pictures: str | Path | None = None,
    class_name: str | None = None,
    form: str | None = None,
) -> Dataset:
    if form not in (None, "coco", "label-png"):
        raise ValueError(f"form must be 'coco' or 'label-png', got {form!r}")
    file = path if path.is_file() else None
    if file is None and form != "label-png":
        file = find_json(path, split, keypoints)
    if file is not None:
        # The paper trains keypoints on pictures that have some; all others keep their empty pictures.
        drop = keypoints and split == "train" if drop_empty is None else drop_empty
        dataset = CocoJson(file, pictures, drop_empty=drop)
        if dataset.pictures is None:
            first = dataset.image_name(0)
            raise FileNotFoundError(
                f"{first}, the first picture of {file}, was not found near it: say pictures=FOLDER. " + advice(path)
            )
        return dataset
    if form != "coco" and not keypoints and find_layout(path) is not None:
        return LabelPictures(path, split, class_name=class_name)
    raise nothing_found(path, split, keypoints)
