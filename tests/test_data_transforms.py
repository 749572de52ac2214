"""data/transforms.py: image, boxes, masks and keypoints move together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mrcnn_lite.data import transforms
from mrcnn_lite.data.instances import mask_boxes
from mrcnn_lite.data.synthetic import Synthetic
from mrcnn_lite.data.transforms import crop, flip, pad, relight, resize, rotate90

FIGURES = Synthetic("stick_figures", length=20, size=64, cached=False)


FLIP = FIGURES.keypoint_flip


def equal(first, second):
    return (
        torch.equal(first[0], second[0])
        and first[1].keys() == second[1].keys()
        and all(np.array_equal(first[1][key], second[1][key]) for key in first[1])
    )


def close(first, second):
    """As `equal`, but W - (W - x) may differ from x in the last digit."""
    return torch.equal(first[0], second[0]) and all(
        np.allclose(first[1][key], second[1][key], atol=1e-5) for key in first[1].keys() | second[1].keys()
    )


def assert_consistent(image, target):
    """Whatever was done: shapes fit, tight boxes are tight, seen joints lie on their own mask."""
    height, width = image.shape[1:]
    num_objects = len(target["boxes"])
    assert target["masks"].shape == (num_objects, height, width) and target["masks"].dtype == torch.uint8
    assert target["masks"].unique().tolist() in ([0, 1], [0], [1], [])
    assert all(len(target[key]) == num_objects for key in ("labels", "area", "iscrowd", "keypoints"))
    assert np.array_equal(target["boxes"], mask_boxes(target["masks"].numpy()))
    assert image.min() >= 0 and image.max() <= 1 and image.dtype == torch.float32
    for points in target["keypoints"]:
        assert (points[points[:, 2] == 0] == 0).all()
        labelled = points[points[:, 2] > 0]
        assert ((labelled[:, :2] >= 0) & (labelled[:, :2] <= torch.tensor([width, height]))).all()


def on_mask(target):
    """For each joint that is seen: does its pixel belong to the object?"""
    found = []
    for points, mask in zip(target["keypoints"], target["masks"]):
        for x, y, visibility in points.tolist():
            if visibility == 2:
                found.append(bool(mask[min(int(y), mask.shape[0] - 1), min(int(x), mask.shape[1] - 1)]))
    return found


# ---- by hand -------------------------------------------------------------------------------------------


def by_hand():
    """4 x 6 pixels; one object of two pixels with a left joint in its first and a right joint in its second."""
    image = torch.arange(24.0).reshape(1, 4, 6).repeat(3, 1, 1) / 24
    masks = torch.zeros(1, 4, 6, dtype=torch.uint8)
    masks[0, 1, 3:5] = 1
    target = {"boxes": torch.tensor([[3.0, 1, 5, 2]]), "labels": torch.tensor([1]), "masks": masks}
    target |= {"area": torch.tensor([2.0]), "iscrowd": torch.tensor([0]), "image_id": 1}
    return image, target | {"keypoints": torch.tensor([[[3.5, 1.5, 2], [4.5, 1.5, 1]]])}


def test_flip_by_hand():
    image, target = flip(*by_hand(), keypoint_flip=(1, 0))
    assert image[0, 0].mul(24).tolist() == [5, 4, 3, 2, 1, 0]
    assert target["boxes"].tolist() == [[1, 1, 3, 2]] and target["masks"][0, 1].tolist() == [0, 1, 1, 0, 0, 0]
    # The first joint is the left one: after the mirror it is the one that was right.
    assert target["keypoints"].tolist() == [[[1.5, 1.5, 1], [2.5, 1.5, 2]]]


def test_rotate_by_hand():
    image, target = rotate90(*by_hand(), turns=1)  # counter-clockwise: the right column becomes the top row
    assert image[0, 0].mul(24).round().tolist() == [5, 11, 17, 23]
    assert target["boxes"].tolist() == [[1, 1, 2, 3]] and target["masks"][0].nonzero().tolist() == [[1, 1], [2, 1]]
    assert target["keypoints"].tolist() == [[[1.5, 2.5, 2], [1.5, 1.5, 1]]]


def test_crop_by_hand():
    image, target = crop(*by_hand(), top=1, left=1, size=(2, 3))
    assert image[0].mul(24).round().tolist() == [[7, 8, 9], [13, 14, 15]]
    assert target["boxes"].tolist() == [[2, 0, 3, 1]] and target["area"].tolist() == [1]
    assert target["keypoints"].tolist() == [[[2.5, 0.5, 2], [0, 0, 0]]]
    _, target = crop(*by_hand(), top=2, left=0, size=(2, 6))
    assert target["boxes"].shape == (0, 4) and target["masks"].shape == (0, 2, 6) and len(target["labels"]) == 0
    with pytest.raises(ValueError, match="rows 1 to 5, columns 0 to 6 does not fit into a picture of 4 x 6"):
        crop(*by_hand(), top=1, left=0, size=(4, 6))


def test_resize_by_hand():
    image, target = resize(*by_hand(), (8, 12))
    assert image.shape == (3, 8, 12) and target["boxes"].tolist() == [[6, 2, 10, 4]]
    assert target["masks"].sum() == 8 == target["area"] and target["keypoints"][0, 0].tolist() == [7, 3, 2]


def test_pad_by_hand():
    image, target = pad(*by_hand(), top=1, left=2, size=(6, 9))
    assert image.shape == (3, 6, 9) and torch.equal(image[:, 1:5, 2:8], by_hand()[0])
    assert image[0, 0, 0] == pytest.approx(float(by_hand()[0].mean()))
    assert target["boxes"].tolist() == [[5, 2, 7, 3]] and target["masks"][0].nonzero().tolist() == [[2, 5], [2, 6]]
    assert target["keypoints"][0].tolist() == [[5.5, 2.5, 2], [6.5, 2.5, 1]]
    with pytest.raises(ValueError, match="does not fit"):
        pad(*by_hand(), top=3, left=0, size=(6, 9))


def test_a_box_that_is_not_its_masks_own_is_moved_as_it_is():
    """COCO's boxes are those of the polygons: a part of a pixel larger or smaller than the mask's own."""
    image, target = by_hand()
    target["boxes"] = torch.tensor([[2.75, 0.5, 5.25, 2.25]])
    assert resize(image, target, (8, 12))[1]["boxes"].tolist() == [[5.5, 1, 10.5, 4.5]]
    assert crop(image, target, 0, 1, (4, 5))[1]["boxes"].tolist() == [[1.75, 0.5, 4.25, 2.25]]
    assert crop(image, target, 0, 1, (4, 3))[1]["boxes"].tolist() == [[2, 1, 3, 2]]  # cut: what is left of it


def test_targets_without_masks_and_without_keypoints():
    image, target = by_hand()
    del target["masks"], target["keypoints"]
    for moved in (flip(image, target), rotate90(image, target, 3), resize(image, target, (8, 12))):
        assert "masks" not in moved[1] and len(moved[1]["boxes"]) == 1
    assert len(crop(image, target, 2, 0, (2, 6))[1]["boxes"]) == 0
    assert pad(image, target, 0, 0, (9, 9))[1]["boxes"].tolist() == [[3, 1, 5, 2]]


# ---- properties ----------------------------------------------------------------------------------------


@given(st.integers(0, 19))
def test_twice_flipped_and_four_times_turned_is_the_identity(i):
    pair = FIGURES[i]
    assert close(flip(*flip(*pair, FLIP), FLIP), pair)
    assert equal(rotate90(*pair, 4), pair)
    turned = pair
    for _ in range(4):
        turned = rotate90(*turned)
    assert close(turned, pair)
    assert close(rotate90(*rotate90(*pair, 1), 1), rotate90(*pair, 2))


@given(st.integers(0, 19), st.integers(0, 3), st.integers(20, 100), st.integers(20, 100), st.integers(0, 2**31))
def test_any_chain_stays_consistent(i, turns, height, width, seed):
    rng = np.random.default_rng(seed)
    image, target = rotate90(*flip(*FIGURES[i], FLIP), turns)
    assert all(on_mask(target))
    image, target = resize(image, target, (height, width))
    assert_consistent(image, target)
    window = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
    top, left = (int(rng.integers(0, n - w + 1)) for n, w in zip((height, width), window))
    image, target = crop(image, target, top, left, window)
    assert_consistent(image, target)
    image, target = pad(image, target, 3, 1, (window[0] + 5, window[1] + 2))
    assert_consistent(image, target)


def test_joints_stay_on_their_masks_when_resized():
    found = [hit for i in range(20) for hit in on_mask(resize(*FIGURES[i], (128, 128))[1])]
    assert len(found) > 200 and np.mean(found) > 0.99


def test_functions_leave_their_input_alone():
    image, target = FIGURES[0]
    before = image.clone(), {key: value.clone() for key, value in target.items() if torch.is_tensor(value)}
    for moved in (flip(image, target, FLIP), rotate90(image, target, 1), crop(image, target, 0, 0, (30, 30))):
        moved[0].zero_() if moved[0].data_ptr() != image.data_ptr() else None
    pad(image, target, 0, 0, (70, 70)), resize(image, target, (80, 80)), relight(image, 2, 2)
    assert torch.equal(image, before[0]) and all(torch.equal(target[key], before[1][key]) for key in before[1])


def test_nothing_to_move():
    """Pictures without objects go through everything."""
    image, target = crop(*by_hand(), top=2, left=0, size=(2, 6))
    moved = flip(*rotate90(*pad(*resize(image, target, (5, 7)), 1, 1, (9, 9))), keypoint_flip=(1, 0))
    assert moved[1]["boxes"].shape == (0, 4) and moved[1]["masks"].shape == (0, 9, 9)
    assert moved[1]["keypoints"].shape == (0, 2, 3)
    assert len(crop(*moved, 0, 0, (3, 3))[1]["labels"]) == 0


def test_relight():
    image = torch.tensor([0.2, 0.4]).reshape(1, 1, 2)
    assert relight(image, 1.5, 1).flatten().tolist() == pytest.approx([0.3, 0.6])
    assert relight(image, 1, 2).flatten().tolist() == pytest.approx([0.1, 0.5])
    assert relight(image, 9, 9).max() == 1


def test_torchs_boxes_are_numpys():
    masks = FIGURES[3][1]["masks"]
    masks = torch.cat([masks, torch.zeros_like(masks[:1])])
    assert np.array_equal(transforms.mask_boxes(masks), mask_boxes(masks.numpy()))
    assert transforms.mask_boxes(masks[:0]).shape == (0, 4)
