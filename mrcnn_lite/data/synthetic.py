"""The data sets that are drawn, shapes and stick figures: read from their cache, or drawn when asked for.

Read next: cache.py, which draws all pictures once with several processes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import cache, cache_files
from .dataset import Dataset, Objects
from .instances import id_map_boxes, id_map_masks

SPLITS = {"train": 0, "val": 1}  # part of the seed, so that no picture is in both
_LENGTHS = {"train": 2000, "val": 200}


class Synthetic(Dataset):
    """Pictures 0..length-1 of a painter: a module here that has `draw(index, **options) -> Drawing`."""

    def __init__(
        self,
        painter: str,
        split: str = "train",
        *,
        length: int | None = None,
        limit: int | None = None,
        cached: bool = True,
        workers: int | None = None,
        progress: bool = True,
        **options: Any,
    ) -> None:
        """painter: "shapes" or "stick_figures"; options: those of its `draw` (kind, size, seed, …).

        length: number of pictures, 2000 (train) or 200 (val) where it is None; the first n pictures of a
        longer data set are the same pictures. limit: no more than so many, whatever `length` says.
        cached: draw everything at the first use into a file, with `workers` processes, and read it from
        there for ever after. False: draw each picture whenever it is asked for.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
        self.length = _LENGTHS[split] if length is None else length
        if limit is not None:
            self.length = min(self.length, limit)
        if self.length < 1:
            raise ValueError(f"length must be at least 1, got {self.length}")
        self.recipe = cache.Recipe(painter, {**options, "split": SPLITS[split]})
        self.class_names = self.recipe.module.CLASS_NAMES
        self.keypoint_names = self.recipe.module.KEYPOINT_NAMES
        self.skeleton = self.recipe.module.SKELETON
        self._folder = cache.drawn(self.recipe, self.length, workers, progress) if cached else None
        self._arrays: cache_files.Arrays | None = None
        if not cached:
            self.recipe.draw(0)  # wrong options are to be heard of now

    def __len__(self) -> int:
        return self.length

    def read(self, i: int) -> tuple[np.ndarray, Objects]:
        if self._folder is None:
            drawing = self.recipe.draw(i)
            boxes = id_map_boxes(drawing.ids, len(drawing.labels))
            image, ids, labels, keypoints = drawing
        else:
            if self._arrays is None:
                self._arrays = cache_files.open_arrays(self._folder)
            image, ids, labels, boxes, keypoints = self._arrays.picture(i)
        masks = id_map_masks(ids, boxes)
        areas = np.bincount(ids.ravel(), minlength=len(labels) + 1)[1:]
        return image, Objects(labels.astype(np.int64), boxes, masks, areas, keypoints)

    def __getstate__(self) -> dict[str, Any]:
        """Another process opens the file itself; the pictures are not sent to it."""
        return self.__dict__ | {"_arrays": None}
