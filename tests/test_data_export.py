"""data/export.py: what is written is read back as the same targets."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mrcnn_lite.data.coco import CocoJson
from mrcnn_lite.data.coco_files import find_json
from mrcnn_lite.data.dataset import Dataset
from mrcnn_lite.data.export import export_coco
from mrcnn_lite.data.synthetic import Synthetic
from mrcnn_lite.data.wrappers import Subset


@pytest.mark.parametrize("painter", ["shapes", "stick_figures"])
def test_the_round_trip_gives_equal_targets(tmp_path, painter):
    dataset = Synthetic(painter, "val", length=8, size=64, cached=False)
    file = export_coco(dataset, tmp_path)
    kind = "person_keypoints" if painter == "stick_figures" else "instances"
    assert file == tmp_path / "annotations" / f"{kind}_val.json" == find_json(tmp_path, "val", kind != "instances")
    again = CocoJson(file)
    assert again.class_names == dataset.class_names and again.keypoint_names == dataset.keypoint_names
    assert again.skeleton == dataset.skeleton and again.keypoint_flip == dataset.keypoint_flip
    assert len(again) == len(dataset)
    for i in range(len(dataset)):
        (image, target), (other_image, other) = dataset[i], again[i]
        assert (image == other_image).all() and target.keys() == other.keys()
        for key in target:
            np.testing.assert_allclose(target[key], other[key], atol=1e-4, err_msg=key)
    first, second = dataset.coco_ground_truth(), again.coco_ground_truth()
    assert first["image_ids"] == second["image_ids"] and len(first["annotations"]) == len(second["annotations"])


def test_real_photographs_with_their_crowds(shared_data, tmp_path):
    dataset = CocoJson(shared_data("coco_ccby") / "annotations" / "instances_val2017.json")
    crowded = [i for i in range(len(dataset)) if any(a["iscrowd"] for a in dataset.annotations(i))][:1]
    dataset = Subset(dataset, [0, *crowded])
    again = CocoJson(export_coco(dataset, tmp_path, "val2017"))
    assert sum(a["iscrowd"] for a in again.coco_ground_truth()["annotations"]) >= 1
    for i in range(len(dataset)):
        (image, target), (other_image, other) = dataset[i], again[i]
        assert (image == other_image).all() and target.keys() == other.keys()
        assert all(np.array_equal(target[key], other[key]) for key in target)


def test_two_splits_share_a_folder_and_nothing_is_overwritten_unasked(tmp_path):
    dataset = Synthetic("shapes", length=2, size=32, cached=False)
    export_coco(dataset, tmp_path, "train")
    export_coco(dataset, tmp_path, "val")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"annotations", "train", "val"}
    with pytest.raises(FileExistsError, match="overwrite=True replaces it"):
        export_coco(dataset, tmp_path, "val")
    export_coco(Subset(dataset, 1), tmp_path, "val", overwrite=True)
    assert len(list((tmp_path / "val").iterdir())) == 1 == len(CocoJson(find_json(tmp_path, "val")))


def test_an_export_that_breaks_off_leaves_nothing(tmp_path):
    class Broken(Dataset):
        class_names = ("background", "x")

        def __len__(self):
            return 2

        def image_size(self, i):
            return 4, 4

        def annotations(self, i):
            return []

        def read(self, i):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        export_coco(Broken(), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert {path.name for path in tmp_path.iterdir()} <= {"annotations"}


def test_pictures_of_the_same_name_stay_apart(tmp_path):
    class SameNames(Subset):
        def image_name(self, i):
            return f"folder{i}/picture.jpg"

    dataset = SameNames(Synthetic("shapes", length=2, size=32, cached=False), 2)
    file = export_coco(dataset, tmp_path)
    names = [image["file_name"] for image in json.loads(file.read_text())["images"]]
    assert len(set(names)) == 2 and all((tmp_path / "val" / name).exists() for name in names)
    assert (CocoJson(file)[1][0] == dataset[1][0]).all()
