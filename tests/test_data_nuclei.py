"""data/nuclei.py: one file a nucleus, or label pictures as TIFF, become images/ + masks/ + index.json."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from mrcnn_lite.data.archives import ArchiveError
from mrcnn_lite.data.label_png import LabelPictures
from mrcnn_lite.data.nuclei import convert_bbbc038, convert_stardist


def archive_of(entries):
    """name -> array, as an opened zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in entries.items():
            picture = io.BytesIO()
            Image.fromarray(array).save(picture, "TIFF" if name.endswith(".tif") else "PNG")
            archive.writestr(name, picture.getvalue())
    return zipfile.ZipFile(file)


def mask(rows, columns, size=(8, 8)):
    pixels = np.zeros(size, np.uint8)
    pixels[rows, columns] = 255
    return pixels


def test_more_than_255_nuclei_and_overlapping_ones(tmp_path):
    """An overlap belongs to the later mask; one that is covered whole leaves no gap in what is read."""
    entries = {"a" * 64 + "/images/x.png": np.zeros((20, 20, 3), np.uint8)}
    for n in range(300):
        entries[f"{'a' * 64}/masks/{n:04d}.png"] = mask(n // 20, n % 20, (20, 20))
    entries[f"{'a' * 64}/masks/9998.png"] = mask(slice(18, 20), slice(0, 3), (20, 20))
    entries[f"{'a' * 64}/masks/9999.png"] = mask(slice(18, 20), slice(2, 5), (20, 20))
    convert_bbbc038(archive_of(entries), tmp_path, progress=False)
    assert np.array(Image.open(tmp_path / "masks" / f"{'a' * 16}.png")).max() == 302
    _, target = LabelPictures(tmp_path, "all")[0]
    assert len(target["boxes"]) == 302
    assert target["boxes"][-2:].tolist() == [[0, 18, 2, 20], [2, 18, 5, 20]]


def test_each_kind_of_picture_is_in_both_splits(tmp_path):
    entries = {}
    for i in range(64):
        size = (8, 8 + 2 * (i % 2))
        pixels = np.zeros((*size, 3), np.uint8)
        pixels[0, 0] = [i, i, i] if i % 4 < 2 else [i, 0, 255]
        entries[f"{i:02d}{'b' * 62}/images/x.png"] = pixels
        entries[f"{i:02d}{'b' * 62}/masks/y.png"] = mask(1, 1, size)
    convert_bbbc038(archive_of(entries), tmp_path, progress=False)
    kinds = {}
    for split in ("train", "val"):
        dataset = LabelPictures(tmp_path, split)
        modes = [Image.open(tmp_path / "images" / dataset.image_name(i)).mode for i in range(len(dataset))]
        kinds[split] = {(mode, dataset.image_size(i)) for i, mode in enumerate(modes)}
        assert len(dataset) == {"train": 56, "val": 8}[split]
    assert kinds["train"] == kinds["val"] and len(kinds["val"]) == 4


def test_ids_that_begin_alike_keep_their_full_names(tmp_path):
    entries = {}
    for last in "cd":
        entries[f"{'a' * 63}{last}/images/x.png"] = np.zeros((8, 8, 3), np.uint8)
        entries[f"{'a' * 63}{last}/masks/y.png"] = mask(1, 1)
    convert_bbbc038(archive_of(entries), tmp_path, progress=False)
    names = [entry["name"] for entry in json.loads((tmp_path / "index.json").read_text())["pictures"]]
    assert names == ["a" * 63 + "c", "a" * 63 + "d"]


def test_masks_of_another_size_are_refused(tmp_path):
    entries = {"a/images/x.png": np.zeros((8, 8, 3), np.uint8), "a/masks/y.png": mask(1, 1, (9, 8))}
    with pytest.raises(ArchiveError, match=r"a/masks/y\.png is of size \(9, 8\), its picture of size \(8, 8\)"):
        convert_bbbc038(archive_of(entries), tmp_path, progress=False)


def test_stardist_without_a_mask_is_refused(tmp_path):
    entries = {"dsb2018/train/images/p.tif": np.zeros((8, 8), np.uint8)}
    with pytest.raises(ArchiveError, match=r"but not dsb2018/train/masks/p\.tif"):
        convert_stardist(archive_of(entries), tmp_path, progress=False)
    with pytest.raises(ArchiveError, match="holds no pictures"):
        convert_stardist(archive_of({"readme.png": mask(1, 1)}), tmp_path, progress=False)
