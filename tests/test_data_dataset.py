"""data/dataset.py: the one format of targets, and the ground truth as COCO has it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from data_fakes import TwoPictures
from pycocotools import mask as rle
from torch.utils.data import DataLoader

from mrcnn_lite.data.dataset import collate, flip_permutation, split_ids
from mrcnn_lite.data.synthetic import Synthetic


def test_the_target_format():
    image, target = TwoPictures()[0]
    assert image.shape == (3, 6, 8) and image.dtype == torch.float32
    assert target["boxes"].tolist() == [[2, 1, 5, 3], [7, 4, 8, 5]] and target["boxes"].dtype == torch.float32
    assert target["labels"].tolist() == [2, 1] and target["labels"].dtype == torch.int64
    assert target["masks"].dtype == torch.uint8 and target["masks"].sum((1, 2)).tolist() == [6, 1]
    assert target["area"].tolist() == [6, 1] and target["iscrowd"].tolist() == [0, 0]
    assert target["keypoints"].shape == (2, 2, 3) and target["keypoints"].dtype == torch.float32
    assert target["image_id"] == 1


def test_a_picture_without_objects_has_empty_tensors_of_the_right_shapes():
    image, target = TwoPictures()[1]
    assert image.min() == 1.0
    shapes = {key: tuple(target[key].shape) for key in ("boxes", "labels", "masks", "keypoints", "area")}
    assert shapes == {"boxes": (0, 4), "labels": (0,), "masks": (0, 6, 8), "keypoints": (0, 2, 3), "area": (0,)}


def test_a_data_set_is_a_sequence():
    dataset = TwoPictures()
    assert len(list(dataset)) == 2
    assert (dataset[-1][0] == dataset[1][0]).all()
    with pytest.raises(IndexError, match="picture 2 of a data set of 2"):
        dataset[2]


def test_ground_truth_by_hand():
    truth = TwoPictures().coco_ground_truth()
    json.dumps(truth)  # plain Python throughout
    assert truth["image_ids"] == [1, 2]
    assert truth["images"][1] == {"id": 2, "file_name": "000002.png", "width": 8, "height": 6}
    assert [category["name"] for category in truth["categories"]] == ["cat", "dog"]
    assert truth["categories"][0]["skeleton"] == [[1, 2]]
    first, second = truth["annotations"]
    assert [first["id"], second["id"]] == [1, 2]
    assert first["bbox"] == [2, 1, 3, 2] and first["category_id"] == 2 and first["area"] == 6
    assert rle.decode(first["segmentation"]).sum() == 6 and not first["iscrowd"]
    # COCO's integer positions are pixel centres: half a pixel less than ours.
    assert first["keypoints"] == [2, 1, 2, 4, 2, 1] and first["num_keypoints"] == 2
    assert second["keypoints"] == [7, 4, 2, 0, 0, 0] and second["num_keypoints"] == 1


def test_labels_outside_the_classes_have_no_coco_id():
    dataset = TwoPictures()
    assert dataset.to_coco_id(2) == 2
    for label in (0, 3):
        with pytest.raises(ValueError, match=r"labels are 1\.\.2"):
            dataset.to_coco_id(label)


def test_keypoint_names_say_what_a_mirror_swaps_and_how_exact_they_are():
    assert flip_permutation(("nose", "left_eye", "right_eye", "tail")) == (0, 2, 1, 3)
    dataset = TwoPictures()
    assert dataset.keypoint_flip == (1, 0) and dataset.num_keypoints == 2
    assert dataset.keypoint_sigmas == (0.035, 0.035)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_reads_the_same_with_any_number_of_workers(workers, tmp_path, monkeypatch):
    monkeypatch.setenv("MRCNN_LITE_CACHE", str(tmp_path))
    dataset = Synthetic("shapes", length=6, size=48, progress=False)
    loader = DataLoader(dataset, batch_size=3, collate_fn=collate, num_workers=workers)
    pictures = [image for images, targets in loader for image in images]
    assert len(pictures) == 6 and all((picture == dataset[i][0]).all() for i, picture in enumerate(pictures))


def test_split_ids():
    ids = torch.zeros(6, 8, dtype=torch.int32)
    ids[1:3, 2:5], ids[4, 7] = 7, 3
    found = split_ids(ids)
    assert found["boxes"].tolist() == [[7, 4, 8, 5], [2, 1, 5, 3]]
    assert torch.equal(found["masks"], torch.stack([ids == 3, ids == 7]).byte())
    assert split_ids(np.zeros((6, 8), np.uint8))["masks"].shape == (0, 6, 8)
    assert split_ids(np.ones((6, 8), np.uint8))["boxes"].tolist() == [[0, 0, 8, 6]]


@pytest.mark.parametrize("wrong", [np.zeros((1, 6, 8), int), np.zeros((6, 8)), np.full((6, 8), -1)])
def test_split_ids_refuses(wrong):
    with pytest.raises(ValueError, match="expected whole numbers"):
        split_ids(wrong)
