"""data/augment.py: views depend on seed, epoch and index only, and are of the size that is asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mrcnn_lite.data.augment import Augmented
from mrcnn_lite.data.dataset import Dataset, Objects
from mrcnn_lite.data.instances import mask_boxes
from mrcnn_lite.data.stick_figures import KEYPOINT_NAMES
from mrcnn_lite.data.synthetic import Synthetic

FIGURES = Synthetic("stick_figures", length=20, size=64, cached=False)


def equal(first, second):
    return torch.equal(first[0], second[0]) and all(
        np.array_equal(first[1][key], second[1][key]) for key in first[1].keys() | second[1].keys()
    )


EVERYTHING = {"rotate90": True, "scale_range": (0.6, 1.6), "brightness": 0.2, "contrast": 0.2}


@pytest.mark.parametrize("options", [{}, EVERYTHING, EVERYTHING | {"crop": (40, 30)}, EVERYTHING | {"same_size": True}])
def test_views_depend_on_seed_epoch_and_index_only(options):
    def view(**more):
        return Augmented(FIGURES, **options, **more)

    dataset = view()
    forward = [dataset[i] for i in range(5)]
    backward = [dataset[i] for i in reversed(range(5))][::-1]
    assert all(equal(a, b) for a, b in zip(forward, backward))
    dataset.set_epoch(1)
    epoch_1 = [dataset[i] for i in range(5)]
    assert not all(equal(a, b) for a, b in zip(forward, epoch_1))
    assert all(equal(view()[1, i], epoch_1[i]) for i in range(5))  # the epoch said in the index
    assert all(equal(dataset[0, i], forward[i]) for i in range(5))  # whatever set_epoch said
    assert not all(equal(view(seed=1)[i], forward[i]) for i in range(5))


@pytest.mark.parametrize("options", [{"crop": (40, 30)}, {"crop": 24}, {"same_size": True}, {}])
def test_views_are_consistent_and_of_the_size_that_is_asked(options):
    dataset = Augmented(FIGURES, rotate90=True, scale_range=(0.6, 1.6), **options)
    sizes = set()
    for epoch in range(3):
        for i in range(len(dataset)):
            image, target = dataset[epoch, i]
            assert target["masks"].shape == (len(target["boxes"]), *image.shape[1:])
            assert np.array_equal(target["boxes"], mask_boxes(target["masks"].numpy()))
            assert image.min() >= 0 and image.max() <= 1 and image.is_contiguous()
            sizes.add(tuple(sorted(image.shape[1:])))
    if "same_size" in options:
        assert sizes == {(64, 64)}
    elif "crop" in options:
        crop_size = (24, 24) if options["crop"] == 24 else (30, 40)
        assert all(size[0] <= crop_size[0] and size[1] <= crop_size[1] for size in sizes) and crop_size in sizes
    else:
        assert min(min(sizes)) >= 38 and max(max(sizes)) <= 103 and len(sizes) > 30


def test_all_eight_orientations_come_equally_often():
    class Corner(Dataset):
        class_names = ("background", "x")

        def __len__(self):
            return 1

        def read(self, i):
            image = np.zeros((2, 2, 3), np.uint8)
            image[0] = [[100, 0, 0], [200, 0, 0]]
            nothing = np.zeros(0)
            return image, Objects(nothing, nothing.reshape(0, 4), np.zeros((0, 2, 2), np.uint8), nothing)

    dataset = Augmented(Corner(), rotate90=True)
    views = [tuple(dataset[epoch, 0][0][0].flatten().tolist()) for epoch in range(400)]
    counts = [views.count(view) for view in set(views)]
    assert len(counts) == 8 and min(counts) > 25
    assert len({tuple(Augmented(Corner(), flip=False)[e, 0][0][0].flatten().tolist()) for e in range(20)}) == 1


def test_a_mirrored_figure_is_a_true_one():
    """Its left shoulder is on the right side from the front; a mirror without the swap would break that."""
    left, right, head = (KEYPOINT_NAMES.index(name) for name in ("left_shoulder", "right_shoulder", "head"))
    dataset = Augmented(Synthetic("stick_figures", length=20, cached=False))
    seen = 0
    for epoch in range(3):
        for i in range(len(dataset)):
            image, target = dataset[epoch, i]
            for points in target["keypoints"]:
                if points[head, 2] == 2 and points[left, 2] > 0 and points[right, 2] > 0:
                    x, y = max(1, int(points[head, 0])), max(1, int(points[head, 1]))
                    front = image[:, y - 1 : y + 2, x - 1 : x + 2].mean() > 0.43
                    assert bool(points[left, 0] > points[right, 0]) == bool(front)
                    seen += 1
    assert seen > 40


def test_random_views_are_not_to_be_evaluated_on():
    with pytest.raises(TypeError, match="evaluate on the data set itself"):
        Augmented(FIGURES).coco_ground_truth()


@pytest.mark.parametrize(
    "options", [{"scale_range": (0, 1)}, {"scale_range": (2, 1)}, {"brightness": 1.5}, {"crop": 9, "same_size": True}]
)
def test_contradictions_are_refused(options):
    with pytest.raises(ValueError):
        Augmented(FIGURES, **options)
