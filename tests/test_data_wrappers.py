"""data/wrappers.py: subsets and memory change nothing of what they hold."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from data_fakes import TwoPictures

from mrcnn_lite.data.wrappers import InMemory, Subset


def test_subset_keeps_ids_and_truth():
    dataset = Subset(TwoPictures(), [1])
    assert len(dataset) == 1 and dataset[0][1]["image_id"] == 2
    assert dataset.coco_ground_truth()["image_ids"] == [2]
    assert dataset.coco_ground_truth()["annotations"] == []
    assert len(Subset(TwoPictures(), 5)) == 2 and len(Subset(TwoPictures(), 1)) == 1
    assert dataset.class_names == TwoPictures.class_names and dataset.keypoint_flip == (1, 0)
    with pytest.raises(IndexError):
        Subset(TwoPictures(), [3])


def test_memory_reads_once_and_changes_nothing():
    plain = TwoPictures()
    kept = InMemory(plain)
    first = [kept[i] for i in range(2)]
    reads = plain.reads
    for i in range(2):
        for (image, target), (other_image, other) in ((first[i], kept[i]), (plain[i], kept[i])):
            assert (image == other_image).all()
            assert all(np.array_equal(target[key], other[key]) for key in target)
    assert plain.reads == reads + 2  # those of plain[i] only
    assert kept.coco_ground_truth() == plain.coco_ground_truth()


def test_memory_stops_at_its_budget():
    plain = TwoPictures()
    kept = InMemory(plain, budget=160)  # one picture is 144 bytes, and its masks 7
    for _ in range(3):
        kept[0], kept[1]
    assert plain.reads == 1 + 3


def test_what_is_done_to_a_target_does_not_reach_the_memory():
    kept = InMemory(TwoPictures())
    for _ in range(2):
        image, target = kept[0]
        assert image.max() == 0 and target["masks"].sum() == 7 and target["boxes"][0, 0] == 2
        image += 1
        target["masks"] += 1
        target["boxes"] += 1
        target["keypoints"] += 1
    assert kept[0][1]["keypoints"][0, 0].tolist() == [2.5, 1.5, 2]


def test_the_memory_does_not_travel_to_another_process():
    dataset = InMemory(TwoPictures(), budget=10_000)
    whole = dataset.free
    image, _ = dataset[0]
    assert dataset.free < whole
    again = pickle.loads(pickle.dumps(dataset))
    assert again.free == whole and again.dataset.reads == 1
    assert torch.equal(again[0][0], image) and again.dataset.reads == 2
