"""Data sets made of others: some of the pictures (`Subset`), and all of them kept in memory (`InMemory`).

Read next: dataset.py; transforms.py and augment.py, whose `Augmented` is a wrapper too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .dataset import Dataset, Objects
from .instances import Crops


class Wrapper(Dataset):
    """A data set made of another: everything comes from that one unless a subclass says otherwise."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.class_names = dataset.class_names
        self.keypoint_names = dataset.keypoint_names
        self.skeleton = dataset.skeleton

    def inner(self, i: int) -> int:
        """The index of our picture i in the data set inside."""
        return i

    def __len__(self) -> int:
        return len(self.dataset)

    def read(self, i: int) -> tuple[np.ndarray, Objects]:
        return self.dataset.read(self.inner(i))

    def image_id(self, i: int) -> int:
        return self.dataset.image_id(self.inner(i))

    def image_name(self, i: int) -> str:
        return self.dataset.image_name(self.inner(i))

    def image_size(self, i: int) -> tuple[int, int]:
        return self.dataset.image_size(self.inner(i))

    def annotations(self, i: int) -> list[dict[str, Any]]:
        return self.dataset.annotations(self.inner(i))

    def to_coco_id(self, label: int) -> int:
        return self.dataset.to_coco_id(label)


class Subset(Wrapper):
    """Some pictures of a data set: the first `which` of them, or those with the indices `which`."""

    def __init__(self, dataset: Dataset, which: int | Sequence[int]) -> None:
        super().__init__(dataset)
        indices = range(min(which, len(dataset))) if isinstance(which, int) else which
        self.indices = [dataset.checked_index(i) for i in indices]

    def inner(self, i: int) -> int:
        return self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class InMemory(Wrapper):
    """Keeps what it has read, pictures as uint8 and masks as crops, until `budget` bytes are used up.

    With it a data set that is decoded from files costs that once, not once an epoch. Each process of a
    DataLoader has its own memory.
    """

    def __init__(self, dataset: Dataset, budget: int = 2**30) -> None:
        super().__init__(dataset)
        self.free = budget
        self._kept: dict[int, tuple[np.ndarray, Objects]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process: not the pictures, which it can read itself."""
        budget = self.free + sum(_bytes(*kept) for kept in self._kept.values())
        return {**self.__dict__, "_kept": {}, "free": budget}

    def read(self, i: int) -> tuple[np.ndarray, Objects]:
        if i in self._kept:
            return self._kept[i]
        image, objects = self.dataset.read(i)
        if isinstance(objects.masks, np.ndarray):
            objects = objects._replace(masks=Crops.of(objects.masks))
        size = _bytes(image, objects)
        if size <= self.free:
            self.free -= size
            self._kept[i] = image, objects
        return image, objects


def _bytes(image: np.ndarray, objects: Objects) -> int:
    """The memory of a kept picture: its pixels and those of the crops of its masks."""
    return image.nbytes + sum(piece.nbytes for piece in getattr(objects.masks, "pieces", ()))
