"""Reads folders of pictures with one label picture each: Penn-Fudan's layout, and the nuclei's.

A label picture holds 0 for the background and 1, 2, … for the pixels of each object; all objects are of one
class. Splits: those of an index.json where there is one, else every fifth picture is for validation.
Letters: H W size, G objects. Read next: instances.py.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from .dataset import Dataset, Objects
from .index_rules import judge_index
from .instances import id_map_boxes, id_map_masks
from .pictures import opened, read_ids, read_picture
from .problems import advice, refusing

# folder of pictures, folder of label pictures, what is added to the name, the class
_LAYOUTS = (
    ("PNGImages", "PedMasks", "_mask", "person"),  # Penn-Fudan
    ("images", "masks", "", "object"),
)
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
_EVERY = 5  # without an index, one picture of five is for validation


def default_split(i: int, count: int) -> str:
    """The split of picture i of `count` pictures without an index.json."""
    return "val" if count > 1 and i % _EVERY == 0 else "train"


def find_layout(folder: Path) -> tuple[Path, Path, str, str] | None:
    """(pictures, label pictures, suffix, class) of a folder, or of the one folder inside it; else None."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    for root in (folder, *inside):
        for picture_folder, mask_folder, suffix, class_name in _LAYOUTS:
            if (root / picture_folder).is_dir() and (root / mask_folder).is_dir():
                return root / picture_folder, root / mask_folder, suffix, class_name
    return None


class LabelPictures(Dataset):
    """A folder with images/ and masks/ (or PNGImages/ and PedMasks/) as a data set of one class."""

    def __init__(self, folder: str | Path, split: str = "train", *, class_name: str | None = None) -> None:
        """split: "train", "val", or "all". class_name: where the folder does not say it ("object").

        An image id is the picture's place (from 1) among all pictures by name, the same in every split.
        """
        layout = find_layout(Path(folder))
        if layout is None:
            expected = " or ".join(f"{pictures}/ beside {masks}/" for pictures, masks, *_ in _LAYOUTS)
            raise FileNotFoundError(f"{folder} holds no pictures with label pictures; expected {expected}")
        if split not in ("train", "val", "all"):
            raise ValueError(f"split must be 'train', 'val' or 'all'; got {split!r}")
        self.folder, self._masks, self._suffix, default_name = layout
        files = sorted(self.folder.iterdir())
        self._files = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
        if not self._files:
            raise FileNotFoundError(f"{self.folder} holds no pictures")
        missing = [path for path in self._files if not self._mask_file(path).exists()]
        if missing:
            first = self._mask_file(missing[0])
            raise FileNotFoundError(
                f"{len(missing)} pictures lack a label picture; the first is {first}; {advice(folder)}"
            )
        file = self.folder.parent / "index.json"
        stems = [path.stem for path in self._files]
        index = judge_index(file, stems, refusing(folder)) if file.exists() else None
        self.class_names = ("background", class_name or (index and index.class_name) or default_name)
        self._chosen = self._split(split, index.split_of if index else {})

    def _mask_file(self, picture: Path) -> Path:
        return self._masks / f"{picture.stem}{self._suffix}.png"

    def _split(self, split: str, index: dict[str, str]) -> list[int]:
        everything = list(range(len(self._files)))
        if split == "all":
            return everything
        if index:
            chosen = [i for i in everything if index[self._files[i].stem] == split]
            if not chosen:
                raise ValueError(f"index.json beside {self.folder} names no picture of split {split!r}")
            return chosen
        if len(everything) == 1:
            warnings.warn(f"{self.folder} holds one picture: train and val are the same", stacklevel=3)
            return everything
        return [i for i in everything if default_split(i, len(everything)) == split]

    def __len__(self) -> int:
        return len(self._chosen)

    def image_id(self, i: int) -> int:
        return self._chosen[i] + 1

    def image_name(self, i: int) -> str:
        return self._files[self._chosen[i]].name

    def image_size(self, i: int) -> tuple[int, int]:
        path = self._files[self._chosen[i]]
        with opened(path, str(path)) as picture:
            return picture.height, picture.width

    def read(self, i: int) -> tuple[np.ndarray, Objects]:
        path = self._files[self._chosen[i]]
        image = read_picture(path)
        ids = read_ids(self._mask_file(path))
        if ids.shape != image.shape[:2]:
            sizes = f"{list(ids.shape)}, the picture {list(image.shape[:2])}"
            raise ValueError(f"{self._mask_file(path)} is of size (H, W) {sizes}; {advice(self.folder.parent)}")
        values, ids = np.unique(ids, return_inverse=True)  # objects 0..n without gaps
        ids = ids.reshape(image.shape[:2]) + (0 if values[0] == 0 else 1)
        areas = np.bincount(ids.ravel())[1:]
        boxes = id_map_boxes(ids, len(areas))
        return image, Objects(np.ones(len(areas), np.int64), boxes, id_map_masks(ids, boxes), areas)
