"""The rules for one label picture: 0 for the background, and one number for the pixels of each object.

What a corrected copy changes in a label picture is kept by name (`REMEDIES`) and done when the copy is written.
Letters: H W size. Read next: label_folder_rules.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .instances import id_map_boxes, split_pieces
from .picture_rules import Look, is_turned, shown_size, similar_name
from .pictures import TooLarge, opened
from .problems import Tell

DROPPED = "picture dropped"
PIECES, FIRST_CHANNEL = "its pieces become objects", "its first channel is taken"
REMEDIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    PIECES: lambda values: split_pieces(values)[0],
    FIRST_CHANNEL: lambda values: values[:, :, 0],
}
_SPECK, _SHARE = 4, 0.1  # pixels, and share of the largest piece: smaller pieces say nothing about a mask
_FEW_EDGES = 8  # so many objects may be thin in a picture with others that are not
_BAND = 8  # pixels: pieces of an object that are nearer to each other are not far apart


class Label(NamedTuple):
    """What a label picture turned out to be."""

    objects: int
    remedies: tuple[str, ...] = ()  # of REMEDIES, in turn
    turned: int = 0  # EXIF orientation that its picture is to be turned by
    one_in_pieces: bool = False  # a single number, in several pieces: perhaps a mask of all objects


def judge_label(path: Path, seen: Look | None, tell: Tell) -> Label | None:
    """Tells what is wrong with a label picture; None where it can't stay. seen: its picture, None: unreadable."""
    values = read_values(path, tell)
    remedies = _form_remedies(values, tell) if values is not None else None
    if values is None or remedies is None:
        return None
    numbers, ids = np.unique(remedied(values, remedies), return_inverse=True)
    ids = ids.reshape(values.shape[:2]) + (0 if numbers[0] == 0 else 1)  # objects 1..G without gaps
    turned = _judge_size(ids.shape, seen, tell)
    if turned is None:
        return None
    objects = numbers[numbers != 0]
    pieces = split_pieces(ids)[0] if len(objects) == 1 else ids
    several = len(objects) == 1 and _are_several(np.bincount(pieces.ravel())[1:])
    if len(objects) == 0:
        tell("label-empty", "no object")
    if (edges := _num_edges(ids)) > max(_FEW_EDGES, len(objects) / 2):
        found = f"{len(objects)} numbers, of which {edges} are found in lines of one pixel only"
        tell("label-smoothed", found, "one number an object", "looks like JPEG, or resized smoothly", DROPPED)
        return None
    if several and objects[0] == 255:
        tell_semantic(tell, 255)
        return Label(int(pieces.max()), (*remedies, PIECES), turned)
    for g, (x1, y1, x2, y2) in enumerate(id_map_boxes(ids, len(objects)).tolist(), start=1):
        if _is_far_apart(ids[y1:y2, x1:x2] == g):
            tell("object-in-pieces", f"the object {objects[g - 1]} in rows {y1} to {y2}, columns {x1} to {x2}")
    return Label(len(objects), remedies, turned, several)


def _are_several(areas: np.ndarray) -> bool:
    """Areas of pieces, in pixels: is there a second one that is no speck beside the largest?"""
    return len(areas) > 1 and float(np.sort(areas)[-2]) >= max(_SPECK, _SHARE * areas.max())


def _num_edges(ids: np.ndarray) -> int:
    """How many of the numbers are no object, but the edge of one: a small share of all, nowhere 2 x 2 pixels large.

    ids: 0..G without gaps [H, W].
    """
    square = ids[:-1, :-1]
    filled = square[(square == ids[1:, :-1]) & (square == ids[:-1, 1:]) & (square == ids[1:, 1:])]
    areas = np.bincount(ids.ravel())
    areas[0], areas[filled] = 0, 0  # of numbers that are lines
    return int((areas > 0).sum()) if areas.sum() < (ids > 0).sum() / 2 else 0  # else the objects are thin themselves


def tell_semantic(tell: Tell, number: int) -> None:
    found = f"0 and {number} only, in pieces that do not touch"
    tell("label-semantic", found, "another number for each object", "looks like one mask of all objects", PIECES)


def read_values(path: Path, tell: Tell) -> np.ndarray | None:
    """The numbers of a label picture [H, W], or [H, W, C] where it has channels; None where it can't be read."""
    try:
        with opened(path, path.name) as picture:
            picture.load()
        return np.array(picture)
    except FileNotFoundError:
        tell("label-missing", f"{path} is missing", cause=similar_name(path), fix=DROPPED)
    except TooLarge as error:
        tell("absurd-size", str(error), fix=DROPPED)
    except (ValueError, OSError) as error:
        tell("label-unreadable", str(error), fix=DROPPED)
    return None


def remedied(values: np.ndarray, remedies: tuple[str, ...]) -> np.ndarray:
    """What was read, [H, W] or [H, W, C] -> numbers [H, W]."""
    for name in remedies:
        values = REMEDIES[name](values)
    return values


def _form_remedies(values: np.ndarray, tell: Tell) -> tuple[str, ...] | None:
    """How the values are to be read, None where they can't be."""
    if values.ndim == 3:
        colours = values[:, :, :3] if values.shape[2] > 2 else values[:, :, :1]  # without transparency
        grey = bool((colours == colours[:, :, :1]).all())
        found = f"{values.shape[2]} channels, " + ("all the same" if grey else "in colours")
        tell("label-colours", found, "one channel of numbers", fix=FIRST_CHANNEL if grey else DROPPED)
        return (FIRST_CHANNEL,) if grey else None
    if values.dtype.kind not in "uib" or values.min(initial=0) < 0:
        found = f"{values.dtype} values from {values.min():g} to {values.max():g}"
        tell("label-values", found, "whole numbers from 0", fix=DROPPED)
        return None
    return ()


def _judge_size(size: tuple[int, ...], seen: Look | None, tell: Tell) -> int | None:
    """The EXIF orientation that the picture is to be turned by (0: not), None where the sizes can't be reconciled."""
    if seen is None or size == seen.size:
        if seen is not None and seen.orientation != 1:
            tell("exif-turned", f"the picture has the EXIF orientation {seen.orientation}; its pixels stay as stored")
        return 0
    meant = size == seen.size[::-1] and is_turned(seen.orientation)
    cause = f"the picture was turned by its EXIF orientation ({seen.orientation})" if meant else ""
    found, expected = shown_size((size[0], size[1])), f"{shown_size(seen.size)} as its picture"
    tell("label-size", found, expected, cause, "picture turned" if meant else DROPPED)
    return seen.orientation if meant else None


def _is_far_apart(mask: np.ndarray) -> bool:
    """An object [h, w] in its own box: is a band of more than half of its rows or columns empty?"""
    for axis in (0, 1):
        filled = np.flatnonzero(mask.any(axis=axis))
        band = int(np.diff(filled).max(initial=1)) - 1
        if band >= _BAND and 2 * band > mask.shape[1 - axis]:
            return True
    return False
