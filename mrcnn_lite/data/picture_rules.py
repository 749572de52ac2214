"""Looks at one picture file as the rules need it: is it whole, its size and EXIF orientation, a digest of its pixels.

Read next: coco_rules.py and label_rules.py, which tell of what is found here.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from .pictures import EXIF_ORIENTATION, UPRIGHT, TooLarge, opened, rgb_pixels
from .problems import Tell

_NEARLY_WITHOUT_LOSS: dict[str, dict[str, Any]] = {  # Pillow's options, by format
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}


class Look(NamedTuple):
    """What a picture file turned out to be."""

    size: tuple[int, int]  # H, W as stored
    orientation: int  # EXIF's, 1 = as stored
    digest: bytes | None  # of the pixels; None for a picture of one colour, which many pictures share


def look(path: Path, tell: Tell, fix: str, decode: bool = True) -> Look | None:
    """Reads a picture and tells of a missing, broken or absurdly large one (None). fix: what a copy does then.

    decode=False: the size only, from the header, for a file that is known to be whole.
    """
    try:
        with opened(path, path.name) as picture:
            size = (picture.height, picture.width)
            if not decode:
                return Look(size, 1, None)
            picture.load()
            stated = picture.getexif().get(EXIF_ORIENTATION)
        pixels = rgb_pixels(picture, path.name)
    except FileNotFoundError:
        tell("picture-missing", f"{path} is missing", cause=similar_name(path), fix=fix)
    except TooLarge as error:
        tell("absurd-size", str(error), fix=fix)
    except (ValueError, OSError) as error:
        tell("picture-unreadable", str(error), fix=fix)
    else:
        one_colour = bool((pixels == pixels[:1, :1]).all())
        orientation = stated if stated in UPRIGHT else 1
        return Look(
            size, orientation, None if one_colour else hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
        )
    return None


def is_turned(orientation: int) -> bool:
    """Does the orientation ask for a quarter turn, so that width and height change places?"""
    return orientation in (5, 6, 7, 8)


def save_upright(path: Path, target: Path, orientation: int) -> None:
    """Writes the turned picture in the format of the file, as nearly without loss as that allows."""
    with opened(path, path.name) as picture:
        picture.load()
        turned = picture.transpose(UPRIGHT[orientation])
        options = _NEARLY_WITHOUT_LOSS.get(str(picture.format), {})
        turned.info.pop("exif", None)  # it would ask to be turned once more
        turned.save(target, format=picture.format, **options)


@lru_cache(maxsize=64)
def _names(folder: Path) -> dict[str, str]:
    return {path.stem.lower(): path.name for path in folder.iterdir()} if folder.is_dir() else {}


def similar_name(path: Path) -> str:
    """The name of a file that differs in capitals or in the kind of picture only."""
    name = _names(path.parent).get(path.stem.lower())
    return f"{name} is there" if name else ""


def shown_size(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]} (width x height)"
