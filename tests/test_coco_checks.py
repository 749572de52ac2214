"""coco_checks.py: what an evaluation refuses of its two files, by image and object."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch

from mrcnn_lite.coco_checks import check_against, check_entries, check_reading, check_truth, restricted
from mrcnn_lite.coco_results import encode_mask

SIZES = {7: (40, 60), 9: (50, 50)}


def mask_of(box: list[int], size: tuple[int, int] = (40, 60)) -> dict:
    mask = torch.zeros(size)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return encode_mask(mask)


def truth(**changes) -> dict:
    annotation = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [5, 5, 20, 10], "area": 200.0, "iscrowd": 0}
    annotation |= {"segmentation": mask_of([5, 5, 25, 15]), **changes}
    return {
        "images": [{"id": i, "height": h, "width": w, "file_name": f"{i}.png"} for i, (h, w) in SIZES.items()],
        "categories": [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}],
        "annotations": [{key: value for key, value in annotation.items() if value is not None}],
    }


def entry(**changes) -> dict:
    whole = {"image_id": 7, "category_id": 3, "score": 0.5, "bbox": [5, 5, 20, 10], **changes}
    return {key: value for key, value in whole.items() if value is not None}


# ---- the ground truth ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"iscrowd": None},
        {"iscrowd": True, "segmentation": {"size": [40, 60], "counts": [0, 2400]}},
        {"segmentation": [[5, 5, 25, 5, 25, 15, 5, 15], [1, 1, 2, 2]]},
        {"segmentation": None, "bbox": None},
        {"image_id": 1234},  # left out: the file does not list that image
        {"image_id": 1234, "bbox": "anything"},
        {"more": [1, {"of": "it"}]},
        {"keypoints": [1, 2, 2] * 3, "area": np.float32(3)},
    ],
)
def test_a_good_truth_passes(changes):
    check_truth(truth(**changes))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"category_id": 4}, r"image 7, annotation 1: category 4 is not one of \[3, 8\]"),
        ({"category_id": [3]}, r"image 7, annotation 1: category \[3\]"),
        ({"image_id": None}, "image None, annotation 1: expected the id of an image"),
        ({"image_id": {}}, "image {}, annotation 1: expected the id"),
        ({"iscrowd": 2}, "iscrowd is 2"),
        ({"area": None}, "annotation 1: area is None"),
        ({"area": float("nan")}, "area is nan"),
        ({"area": -1}, "area is -1"),
        ({"bbox": [5, 5, -20, 10]}, r"bbox is \[5, 5, -20, 10\], expected four numbers x, y, width, height"),
        ({"bbox": [5, 5, 20]}, r"bbox is \[5, 5, 20\]"),
        ({"bbox": [5, 5, 20, None]}, r"bbox is \[5, 5, 20, None\]"),
        (
            {"segmentation": {"size": [60, 40], "counts": ""}},
            r"annotation 1: an RLE of size \[60, 40\], expected",
        ),
        ({"segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "annotation 1: polygon 0 has NaN or infinity"),
        ({"keypoints": [1, 2]}, r"keypoints are \[1, 2\]"),
    ],
)
def test_wrong_annotations_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        check_truth(truth(**changes))


@pytest.mark.parametrize(
    "path, value, message",
    [
        (["images"], None, "expected lists of objects images, annotations, categories; see images"),
        (["annotations"], {}, "see annotations"),
        (["categories"], [5], "see categories"),
        (["categories"], [], "categories: none"),
        (["categories", 0, "id"], 8, "categories: id 8, expected .* of its own"),
        (["categories", 0, "id"], "3", "categories: id '3'"),
        (["categories", 0, "name"], "dog", "categories: name 'dog'"),
        (["images", 0, "id"], 9, "image 9: expected an id of its own"),
        (["images", 0, "id"], None, "image None"),
        (["images", 0, "height"], 0, r"image 7: its height and width are \[0, 60\]"),
        (["images", 0, "width"], 10**9, "image 7: its height and width"),
        (["images", 0, "file_name"], 3, "image 7: its file_name is 3"),
        (["image_ids"], [7, 8], "image_ids is"),
        (["image_ids"], 7, "image_ids is 7"),
    ],
)
def test_a_wrong_truth_is_named(path, value, message):
    wrong = truth()
    place = wrong
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError, match=message):
        check_truth(wrong)
    with pytest.raises(ValueError, match="no COCO data set"):
        check_truth([wrong])


def test_masks_of_some_objects_only_are_refused():
    some = truth()
    some["annotations"].append({**truth(segmentation=None)["annotations"][0], "id": 2})
    with pytest.raises(ValueError, match="image 7, annotation 2: has no segmentation, others have"):
        check_truth(some)


def test_restricted_leaves_out_images_and_parts_of_two_corners():
    whole = truth(segmentation=[[1, 1, 2, 2], [5, 5, 25, 5, 25, 15, 5, 15]])
    whole["annotations"] += [
        {**whole["annotations"][0], "segmentation": [[1, 1, 2, 2]]},
        truth(image_id=9)["annotations"][0],
    ]
    before = copy.deepcopy(whole)
    found = restricted(whole, {7})
    assert [image["id"] for image in found["images"]] == [7]
    assert [annotation["id"] for annotation in found["annotations"]] == [1, 2]
    assert found["annotations"][0]["segmentation"] == [[5, 5, 25, 5, 25, 15, 5, 15]]
    assert found["annotations"][1]["segmentation"] == {"size": [40, 60], "counts": [2400]}
    assert whole == before


# ---- results ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        ({"score": None}, "result 0 has no score"),
        ({"score": "high"}, r"result 0 \(image 7\): score is 'high'"),
        ({"score": float("nan")}, "score is nan"),
        ({"score": True}, "score is True"),
        ({"image_id": [7]}, r"image_id is \[7\]"),
        ({"image_id": 7.5}, "image_id is 7.5"),
        ({"category_id": {}}, "category_id is {}"),
        ({"file_name": 3}, "file_name is 3"),
        ({"bbox": [5, 5, 20, -1]}, r"bbox is \[5, 5, 20, -1\]"),
        ({"bbox": "5 5 20 1"}, "bbox is '5 5 20 1'"),
        ({"keypoints": []}, "keypoints are None"),
        ({"keypoints": [1, 2, float("inf")]}, "keypoints are"),
    ],
)
def test_wrong_entries_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        check_entries([entry(**change)])


@pytest.mark.parametrize("content, message", [({}, "a dict"), ("[]", "a str"), (3, "a int"), ([[]], "result 0 is")])
def test_no_list_of_entries(content, message):
    with pytest.raises(ValueError, match=message):
        check_entries(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 8}, r"result 0 \(image 8\): not one of the 2 images"),
        ({"category_id": 4}, r"category 4 is not one of \[3, 8\]"),
        ({"segmentation": {"size": [60, 40], "counts": ""}}, r"RLE of size \[60, 40\], expected \[40, 60\]"),
        ({"segmentation": {"size": [40, 60], "counts": "1"}}, "RLE of 1 pixels, expected 40 x 60"),
        ({"segmentation": {"size": [40, 60], "counts": [2400]}}, "expected size and compressed counts"),
        ({"segmentation": [[1, 1, 2, 1, 2, 2]]}, "expected size and compressed counts"),
    ],
)
def test_what_coco_would_score_as_zero_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        check_against([entry(**change)], truth())


BOXES = ([5, 5, 25, 15], [30, 20, 55, 38], [10, 22, 20, 39])  # x1, y1, x2, y2


def entries_of(reading, masks: bool) -> list[dict]:
    return [entry(bbox=reading(*box), segmentation=mask_of(box) if masks else None) for box in BOXES]


def test_boxes_in_another_order_are_seen_by_their_masks():
    check_reading(entries_of(lambda x1, y1, x2, y2: [x1, y1, x2 - x1, y2 - y1], True), truth())
    with pytest.raises(ValueError, match=r"image 7: bbox .* the boxes look like x1, y1, x2, y2 instead of"):
        check_reading(entries_of(lambda x1, y1, x2, y2: [x1, y1, x2, y2], True), truth())
    # What `to_coco_results` makes of a box x = 20, y = 15, width = 21, height = 16 in place of x1, y1, x2, y2.
    with pytest.raises(ValueError, match="where x1, y1, x2, y2 belong"):
        check_reading([entry(bbox=[20, 15, 1, 1], segmentation=mask_of([20, 15, 41, 31]))], truth())


def test_boxes_in_another_order_are_seen_without_masks():
    check_reading(entries_of(lambda x1, y1, x2, y2: [x1, y1, x2 - x1, y2 - y1], False), truth())
    with pytest.raises(ValueError, match=r"in an image of \[60.0, 40.0\] \(width, height\): the boxes look like x1"):
        check_reading(entries_of(lambda x1, y1, x2, y2: [x1, y1, x2, y2], False), truth())
    check_reading([entry(bbox=[-3, -2, 70, 45])], truth())  # a little outside is harmless


def test_without_pycocotools_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    with pytest.raises(ImportError, match="pip install pycocotools"):
        encode_mask(torch.ones(2, 2))
