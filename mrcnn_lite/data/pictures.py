"""Reads a picture file of any common kind as uint8 RGB, the same way everywhere.

Pixels are taken as they are stored: an EXIF orientation is NOT applied, since COCO's annotations (and those
of every tool that writes pixel coordinates) count in stored pixels. Read next: coco.py, label_png.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError


def read_picture(path: str | Path) -> np.ndarray:
    """-> uint8 [H, W, 3]. Grey is repeated over the channels, an alpha channel is dropped.

    16-bit grey is divided by 2^(b - 8), where b of 8, 10, 12, 14, 16 are the bits that the largest value
    needs: microscopes store 12 bits in 16. ValueError where the file is no picture or its values have no
    obvious range (32-bit integers beyond 16 bits, floats outside 0..1).
    """
    return rgb_pixels(_opened(path), str(path))


def rgb_pixels(picture: Image.Image, name: str) -> np.ndarray:
    """What `read_picture` does with an opened picture; `name` is for the message of a ValueError."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        return _deep_grey(np.asarray(picture), name)
    return np.array(picture.convert("RGB"))  # a copy: PIL's own pixels can't be written


def _deep_grey(values: np.ndarray, path: str) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind == "f":
        if not 0 <= low <= high <= 1:
            raise ValueError(f"{path} holds floats from {low:g} to {high:g}; expected 0 to 1")
        grey = np.rint(values * 255)
    else:
        if low < 0 or high > 65535:
            raise ValueError(f"{path} holds integers from {low:g} to {high:g}; expected 0 to 65535")
        bits = next(b for b in (8, 10, 12, 14, 16) if high < 2**b)
        grey = values >> (bits - 8)
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def read_ids(path: str | Path) -> np.ndarray:
    """A label picture -> integer [H, W]: 0 = background, and one number for each object.

    8-bit, 16-bit and palette files; ValueError for colours.
    """
    ids = np.array(_opened(path))
    if ids.ndim != 2 or ids.dtype.kind not in "uib":
        found = f"{ids.dtype} of shape {list(ids.shape)}"
        raise ValueError(f"{path}: a label picture has one channel of whole numbers; found {found}")
    return ids.astype(np.int64)


def _opened(path: str | Path) -> Image.Image:
    """The picture, with its pixels loaded and the file closed."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except FileNotFoundError:
        raise
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} can't be read as a picture: {error}") from error
