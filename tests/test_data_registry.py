"""data/registry.py: what opens by which name, and what is said when it does not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from mrcnn_lite.data import about, locate, names, open_dataset, places
from mrcnn_lite.data.coco import CocoJson
from mrcnn_lite.data.label_png import LabelPictures
from mrcnn_lite.data.wrappers import InMemory


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A machine without any data, and with its folders under tmp_path."""
    monkeypatch.setattr(places, "_PACKAGE_ROOT", tmp_path / "git" / "project")
    monkeypatch.setenv("MRCNN_LITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MRCNN_LITE_DATA", raising=False)
    return tmp_path


def write_both_forms(folder, split="val"):
    """A folder with label pictures and COCO JSON that can be told apart: the JSON says "cat"."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.eye(6, 8, dtype=np.uint8)).save(folder / kind / f"{i}.png")
    images = [{"id": i + 1, "file_name": f"{i}.png", "width": 8, "height": 6} for i in range(3)]
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    (folder / f"instances_{split}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", ["shapes", "shapes-thin", "shapes-overlap", "stick-figures"])
def test_drawn_sets_open_by_name(name):
    dataset = open_dataset(name, "val", length=4, size=48, progress=False)
    image, target = dataset[0]
    assert image.shape == (3, 48, 48) and len(target["boxes"]) == len(target["masks"]) >= 1
    assert dataset.num_keypoints == (13 if name == "stick-figures" else 0)
    assert len(open_dataset(name, "val", length=4, limit=2, size=48, progress=False)) == 2
    assert name in names() and about(name)


def test_default_lengths(monkeypatch):
    monkeypatch.setattr("mrcnn_lite.data.cache.drawn", lambda *args: None)
    assert [len(open_dataset("shapes", split)) for split in ("train", "val")] == [2000, 200]


def test_kinds_differ():
    thin, std = (open_dataset(name, length=30, cached=False) for name in ("shapes-thin", "shapes"))
    assert not {1, 2} & {label for _, target in thin for label in target["labels"].tolist()}
    assert {1, 2} <= {label for _, target in std for label in target["labels"].tolist()}
    assert thin.class_names == std.class_names  # one model for all kinds


def test_coco_json_goes_before_label_pictures(tmp_path):
    folder = write_both_forms(tmp_path / "both")
    assert open_dataset(folder, "val").class_names == ("background", "cat")
    assert open_dataset(str(folder), "train").class_names == ("background", "object")  # no JSON of that split
    assert open_dataset(folder, "val", form="label-png").class_names == ("background", "object")
    with pytest.raises(FileNotFoundError, match=r"expected instances_train\*\.json"):
        open_dataset(folder, "train", form="coco")
    with pytest.raises(ValueError, match="form must be"):
        open_dataset(folder, form="voc")


def test_a_json_file_with_its_pictures_elsewhere(tmp_path):
    folder = write_both_forms(tmp_path / "both")
    file = tmp_path / "mine.json"
    (folder / "instances_val.json").rename(file)
    with pytest.raises(FileNotFoundError, match=r"say pictures="):
        open_dataset(file)
    dataset = open_dataset(file, pictures=folder / "images")
    assert len(dataset) == 3 and dataset[0][0].shape == (3, 6, 8)


def test_small_sets_are_kept_in_memory_unless_refused(tmp_path):
    folder = write_both_forms(tmp_path / "both")
    assert isinstance(open_dataset(folder, "val"), InMemory)
    assert isinstance(open_dataset(folder, "val", in_memory=False), CocoJson)
    assert isinstance(open_dataset(folder, "val", form="label-png", in_memory=False), LabelPictures)
    assert len(open_dataset(folder, "val", limit=2)) == 2


def test_what_is_absent_is_said_with_the_command_that_gets_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'coco-keypoints' is not on this machine.*data get coco`"):
        open_dataset("coco-keypoints")
    with pytest.raises(FileNotFoundError, match="neither a file or folder nor one of the names shapes"):
        open_dataset("no such set")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="images/ with masks/"):
        open_dataset(tmp_path / "empty")


def test_wrong_splits_and_options(tmp_path):
    with pytest.raises(ValueError, match="got 'test'"):
        open_dataset("shapes", "test")
    with pytest.raises(ValueError, match="split must be one of train, val; got 'all'"):
        open_dataset("shapes", "all")
    with pytest.raises(TypeError, match="no option 'colour'"):
        open_dataset("shapes", colour=1)
    with pytest.raises(TypeError, match="colour"):
        open_dataset(write_both_forms(tmp_path / "both"), colour=1)


@pytest.mark.parametrize("split, number", [("train", 403), ("val", 54)])
def test_the_real_nuclei_open_by_name(monkeypatch, split, number):
    monkeypatch.undo()
    if locate("nuclei") is None:
        pytest.skip("the data set 'nuclei' is not on this machine (MRCNN_LITE_DATA can say where it is)")
    dataset = open_dataset("nuclei", split)
    assert dataset.class_names == ("background", "nucleus")
    if len(dataset) in (403, 54):  # the corrected subset, not a download of the original
        assert len(dataset) == number and dataset.to_coco_id(1) == 1
