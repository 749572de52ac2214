"""The three ways to hold the objects of a picture, and the way from one to another (numpy only).

Dense masks [G, H, W] are what the network wants; an id map [H, W] (0 = background, g = object g) and
`Crops` (each mask cut to its own box) are what memory wants: 300 nuclei of 360 x 360 px are 39 MB as
dense masks and 0.1 MB as crops. Boxes are [x1, y1, x2, y2], x2 = last column + 1.
Letters: G objects, H W size. Read next: dataset.py, which turns these into targets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


def mask_boxes(masks: np.ndarray) -> np.ndarray:
    """Each mask's own box: masks [G, H, W] (nonzero = object) -> int64 [G, 4]; an empty mask gives zeros."""
    boxes = np.zeros((len(masks), 4), np.int64)
    for g, mask in enumerate(masks):
        columns = np.flatnonzero(mask.any(axis=0))
        if len(columns) == 0:
            continue
        rows = np.flatnonzero(mask[:, columns[0] : columns[-1] + 1].any(axis=1))
        boxes[g] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def id_map_boxes(ids: np.ndarray, num_objects: int) -> np.ndarray:
    """Boxes of objects 1..G of an id map [H, W] -> int64 [G, 4]; an absent object gives zeros.

    One pass over the object pixels sorted by object, instead of one pass over the picture per object.
    """
    boxes = np.zeros((num_objects, 4), np.int64)
    y, x = np.nonzero(ids)
    owner = ids[y, x].astype(np.int64)
    order = np.argsort(owner, kind="stable")
    y, x, owner = y[order], x[order], owner[order]
    present, starts = np.unique(owner, return_index=True)
    if len(present) == 0:
        return boxes
    rows = np.stack([np.minimum.reduceat(x, starts), np.minimum.reduceat(y, starts)], axis=1)
    ends = np.stack([np.maximum.reduceat(x, starts), np.maximum.reduceat(y, starts)], axis=1) + 1
    boxes[present - 1] = np.concatenate([rows, ends], axis=1)
    return boxes


def id_map_masks(ids: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Id map [H, W] and the boxes of its objects [G, 4] -> dense masks uint8 [G, H, W]."""
    masks = np.zeros((len(boxes), *ids.shape), np.uint8)
    for g, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        masks[g, y1:y2, x1:x2] = ids[y1:y2, x1:x2] == g + 1
    return masks


def split_pieces(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """A mask of all objects together [H, W] -> id map int64 [H, W] with a number for each piece, and how many.

    Pixels that touch at a side or a corner are of one piece. Runs of pixels within rows are joined from row to row.
    """
    steps = np.diff(np.pad(mask != 0, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (rows, starts), (_, ends) = np.nonzero(steps == 1), np.nonzero(steps == -1)  # runs: row, [start, end)
    parent = list(range(len(rows)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = run = parent[parent[run]]
        return run

    first = np.searchsorted(rows, np.arange(mask.shape[0] + 1)).tolist()  # of each row's runs
    for row in range(1, mask.shape[0]):
        above, below = first[row - 1], first[row]
        while above < first[row] and below < first[row + 1]:
            if starts[above] <= ends[below] and starts[below] <= ends[above]:  # <=: corners touch
                parent[root(above)] = root(below)
            if ends[above] < ends[below]:
                above += 1
            else:
                below += 1
    _, pieces = np.unique([root(run) for run in range(len(rows))], return_inverse=True)
    ids = np.zeros(mask.shape, np.int64)
    for run, piece in enumerate(pieces):
        ids[rows[run], starts[run] : ends[run]] = piece + 1
    return ids, int(pieces.max(initial=-1)) + 1


class Crops(NamedTuple):
    """Masks cut to their own boxes; `dense()` gives them back."""

    size: tuple[int, int]  # H, W of the picture
    boxes: np.ndarray  # int64 [G, 4]
    pieces: list[np.ndarray]  # uint8 [y2 - y1, x2 - x1] each

    @classmethod
    def of(cls, masks: np.ndarray) -> Crops:
        """Dense masks [G, H, W] -> Crops."""
        boxes = mask_boxes(masks)
        pieces = [mask[y1:y2, x1:x2].copy() for mask, (x1, y1, x2, y2) in zip(masks, boxes.tolist())]
        return cls(masks.shape[1:], boxes, pieces)

    def dense(self) -> np.ndarray:
        """-> uint8 [G, H, W]."""
        masks = np.zeros((len(self.pieces), *self.size), np.uint8)
        for g, (x1, y1, x2, y2) in enumerate(self.boxes.tolist()):
            masks[g, y1:y2, x1:x2] = self.pieces[g]
        return masks
