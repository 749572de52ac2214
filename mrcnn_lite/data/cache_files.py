"""The files of a cache of drawn pictures: memory-mapped, and judged before they are believed.

Letters: N pictures, S size, G most objects in a picture, J keypoints. Read next: cache.py, which draws them.
"""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .drawing import Drawing
from .instances import id_map_boxes

Shapes = dict[str, tuple[tuple[int, ...], str]]  # name -> (shape, type)


class Arrays(NamedTuple):
    """The files of a cache, memory-mapped."""

    images: np.ndarray  # [N, S, S, 3]
    ids: np.ndarray  # [N, S, S]
    counts: np.ndarray  # [N]
    labels: np.ndarray  # [N, G]
    boxes: np.ndarray  # [N, G, 4]
    keypoints: np.ndarray | None = None  # [N, G, J, 3]

    def picture(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """image, ids, labels, boxes, keypoints of picture i: those of its own objects only."""
        g = int(self.counts[i])
        keypoints = None if self.keypoints is None else np.array(self.keypoints[i, :g])
        return self.images[i], self.ids[i], self.labels[i, :g], self.boxes[i, :g].astype(np.int64), keypoints

    def store(self, i: int, drawing: Drawing) -> None:
        g = len(drawing.labels)
        self.images[i], self.ids[i], self.counts[i] = drawing.image, drawing.ids, g
        self.labels[i, :g], self.boxes[i, :g] = drawing.labels, id_map_boxes(drawing.ids, g)
        if self.keypoints is not None:
            self.keypoints[i, :g] = drawing.keypoints


def open_arrays(folder: Path, mode: Any = "r") -> Arrays:
    """Maps the files of a cache; mode "r" to read, "r+" to draw. Raises OSError, which names a damaged file."""
    return Arrays(**{path.stem: _mapped(path, mode) for path in folder.glob("*.npy")})


def is_whole(folder: Path, shapes: Shapes) -> bool:
    """Whether each file of a cache is there in full; a damaged cache is said and put out of the way.

    Raises OSError, which names the file, where the folder can't be moved.
    """
    for name, (shape, kind) in shapes.items():
        path = folder / f"{name}.npy"
        try:
            array = _mapped(path, "r")
            if (array.shape, array.dtype) == (shape, np.dtype(kind)):
                continue
            fault = f"{path} is damaged: it holds {array.dtype} {list(array.shape)}, expected {kind} {list(shape)}"
        except OSError as error:
            fault = str(error)
        try:
            shutil.rmtree(folder.rename(folder.with_name(f"{folder.name}.{os.getpid()}.part")), ignore_errors=True)
        except OSError as error:
            raise OSError(f"{fault}; its folder can't be moved ({error}): remove it") from error
        warnings.warn(f"{fault}; the pictures are drawn anew", stacklevel=3)
        return False
    return True


def _mapped(path: Path, mode: Any) -> np.ndarray:
    try:
        return np.load(path, mmap_mode=mode)  # raises where the file is shorter than its header says
    except (OSError, ValueError, EOFError) as error:
        raise OSError(f"{path} is damaged: it can't be read ({error})") from error
