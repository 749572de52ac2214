"""Turns the two published forms of the nuclei pictures into images/ + masks/ + index.json.

BBBC038 (stage1_train of the 2018 Data Science Bowl) has one folder a picture and one file a nucleus;
StarDist's subset has label pictures as TIFF. Pictures are read straight from the zip.
Read next: label_png.py, which reads the result.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from .archives import ArchiveError
from .pictures import opened, rgb_pixels

_SHARE_VAL = 8  # one picture of 8 of each kind


def convert_bbbc038(archive: zipfile.ZipFile, folder: Path, progress: bool = True) -> None:
    """<id>/images/<id>.png and <id>/masks/*.png -> images/<name>.png, masks/<name>.png, index.json.

    The name is the first 16 digits of the id. One picture of 8 is for validation, drawn with a fixed seed
    within each kind (size, grey or colour) of picture.
    """
    pictures: dict[str, str] = {}
    masks: dict[str, list[str]] = defaultdict(list)
    for entry in archive.namelist():
        match = re.fullmatch(r"(?:.*/)?([0-9A-Za-z_]+)/(images|masks)/([^/]+)\.png", entry)
        if match and match.group(2) == "images":
            pictures[match.group(1)] = entry
        elif match:
            masks[match.group(1)].append(entry)
    if not pictures or set(pictures) - set(masks):
        raise ArchiveError(f"{archive.filename}: found {len(pictures)} pictures and masks of {len(masks)}")
    names = {image_id: image_id[:16] for image_id in pictures}
    if len(set(names.values())) < len(names):
        names = {image_id: image_id for image_id in pictures}
    kinds: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for image_id in tqdm(sorted(pictures), desc="merging masks", unit=" pictures", disable=None if progress else True):
        pixels = rgb_pixels(_opened(archive, pictures[image_id]), pictures[image_id])
        ids = np.zeros(pixels.shape[:2], np.int64)
        for number, entry in enumerate(sorted(masks[image_id]), start=1):
            mask = np.array(_opened(archive, entry).convert("L")) > 0
            if mask.shape != ids.shape:
                raise ArchiveError(f"{entry} is of size {mask.shape}, its picture of size {ids.shape}")
            ids[mask] = number
        grey = _write(folder, names[image_id], pixels, ids)
        kinds[ids.shape + (grey,)].append(names[image_id])
    rng = np.random.default_rng(0)
    order = [name for kind in sorted(kinds) for name in rng.permutation(kinds[kind]).tolist()]
    validation = set(order[::_SHARE_VAL])  # every kind has its share, also where it has few pictures
    splits = {name: "val" if name in validation else "train" for name in sorted(names.values())}
    _write_index(folder, splits, "BBBC038 stage1_train, the original set")


def convert_stardist(archive: zipfile.ZipFile, folder: Path, progress: bool = True) -> None:
    """train|test/images/*.tif and train|test/masks/*.tif -> the same; "test" becomes the split "val"."""
    splits: dict[str, str] = {}
    entries = set(archive.namelist())
    pattern = re.compile(r"((?:.*/)?(train|test)/)images/([0-9A-Za-z_.-]+)\.tif")
    matches = [match for match in map(pattern.fullmatch, sorted(entries)) if match]
    if not matches:
        raise ArchiveError(f"{archive.filename} holds no pictures as train/images/*.tif")
    for match in tqdm(matches, desc="converting", unit=" pictures", disable=None if progress else True):
        mask = f"{match.group(1)}masks/{match.group(3)}.tif"
        if mask not in entries:
            raise ArchiveError(f"{archive.filename} holds {match.group(0)} but not {mask}")
        name = match.group(3)[:16]
        name = match.group(3) if name in splits else name
        pixels = rgb_pixels(_opened(archive, match.group(0)), match.group(0))
        _write(folder, name, pixels, np.array(_opened(archive, mask)))
        splits[name] = "train" if match.group(2) == "train" else "val"
    _write_index(folder, splits, "BBBC038 stage1_train, StarDist's fluorescence subset")


def _opened(archive: zipfile.ZipFile, entry: str) -> Image.Image:
    try:
        with opened(io.BytesIO(archive.read(entry)), entry) as picture:
            picture.load()
            return picture
    except ValueError as error:
        raise ArchiveError(f"{archive.filename}: {error}") from error


def _write(folder: Path, name: str, pixels: np.ndarray, ids: np.ndarray) -> bool:
    """Writes the picture (one channel where it is grey) and its label picture; returns whether it is grey."""
    grey = bool((pixels == pixels[:, :, :1]).all())
    for kind in ("images", "masks"):
        (folder / kind).mkdir(exist_ok=True)
    Image.fromarray(pixels[:, :, 0] if grey else pixels).save(folder / "images" / f"{name}.png")
    ids = ids.astype(np.uint8 if ids.max(initial=0) < 256 else np.uint16)
    Image.fromarray(ids).save(folder / "masks" / f"{name}.png")
    return grey


def _write_index(folder: Path, splits: dict[str, str], source: str) -> None:
    pictures = [{"name": name, "split": split} for name, split in splits.items()]
    index = {"class_name": "nucleus", "source": source, "pictures": pictures}
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
