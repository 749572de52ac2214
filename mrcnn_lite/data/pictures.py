"""Reads a picture file of any common kind as uint8 RGB, the same way everywhere.

Pixels are taken as they are stored: an EXIF orientation is NOT applied, since COCO's annotations (and those
of every tool that writes pixel coordinates) count in stored pixels. A file whose header names more pixels than
`max_pixels()` is refused before anything is decoded. Read next: coco.py, label_png.py.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

LIMIT = "MRCNN_LITE_MAX_PIXELS"  # the environment variable that moves the limit
_MAX_PIXELS = 89_478_485  # Pillow's own limit: 9459 x 9459, 256 MiB as RGB
EXIF_ORIENTATION = 0x0112
UPRIGHT = {  # EXIF's orientation -> what turns the stored pixels upright; 1: they are
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def max_pixels() -> int:
    """The most pixels (height x width) that a picture may have: $MRCNN_LITE_MAX_PIXELS, else 89,478,485."""
    stated = os.environ.get(LIMIT)
    if not stated:
        return _MAX_PIXELS
    try:
        return int(float(stated))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{LIMIT}={stated}: expected a number of pixels, such as 2e8") from error


def read_picture(path: str | Path, limit: int | None = None) -> np.ndarray:
    """-> uint8 [H, W, 3]. Grey is repeated over the channels, an alpha channel is dropped.

    16-bit grey is divided by 2^(b - 8), where b of 8, 10, 12, 14, 16 are the bits that the largest value needs:
    microscopes store 12 bits in 16. limit: the most pixels (H * W), None: `max_pixels()`. ValueError where the file is
    no picture, or is larger, or its values have no obvious range (32-bit integers beyond 16 bits, floats outside 0..1).
    """
    return rgb_pixels(_loaded(path, limit), str(path))


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
    ids = np.array(_loaded(path))
    if ids.ndim != 2 or ids.dtype.kind not in "uib":
        found = f"{ids.dtype} of shape {list(ids.shape)}"
        raise ValueError(f"{path}: a label picture has one channel of whole numbers; found {found}")
    return ids.astype(np.int64)


class TooLarge(ValueError):
    """A picture over `max_pixels()`, refused before it was decoded."""


@contextmanager
def opened(source: str | Path | IO[bytes], name: str, limit: int | None = None) -> Iterator[Image.Image]:
    """A picture with its header read and nothing decoded; inside the block `load()` decodes it.

    Raises TooLarge over the limit, FileNotFoundError, and ValueError, which names the picture, for whatever else goes
    wrong here or in the block.
    """
    mover = f"${LIMIT} moves it" if limit is None else "max_pixels"
    limit = max_pixels() if limit is None else limit
    if Image.MAX_IMAGE_PIXELS is not None and limit > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = limit  # else Pillow itself would refuse what the user allows
    try:
        with _stream(source) as stream, Image.open(stream) as picture:
            width, height = picture.size
            if width * height > limit:
                raise Image.DecompressionBombError(f"{width} x {height} = {width * height:,} pixels")
            yield picture
    except FileNotFoundError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own or ours
        found = str(error).split(", could be")[0]
        raise TooLarge(f"{name}: {found} by its header, expected at most {limit:,} ({mover})") from error
    except Exception as error:  # WHY all: broken files make Pillow's decoders raise nearly anything
        raise ValueError(f"{name} can't be read as a picture: {error}") from error


class _PictureFile(io.BufferedReader):
    """A file that is never asked for more bytes than it has.

    WHY: Pillow reads as many bytes as a PNG's length field says, and a damaged field says 4 GB, which Python reserves.
    """

    def read(self, size: int | None = -1) -> bytes:
        left = max(os.fstat(self.fileno()).st_size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


def _stream(source: str | Path | IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    if isinstance(source, (str, Path)):
        return _PictureFile(io.FileIO(source))
    return nullcontext(source)


def _loaded(path: str | Path, limit: int | None = None) -> Image.Image:
    """The picture, with its pixels decoded and the file closed."""
    with opened(path, str(path), limit) as picture:
        picture.load()
        return picture
