"""COCO results: entries from tensors, ids by name, and what is refused before COCO's code would score it as zero."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from mrcnn_lite.coco_checks import check_against
from mrcnn_lite.coco_results import (
    coco_figures,
    encode_mask,
    labels_by_name,
    match_names,
    run_coco,
    to_coco_results,
)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
TRUTH = {
    "images": [
        {"id": 7, "file_name": "a/one.png", "height": 4, "width": 6},
        {"id": 9, "file_name": "two.png", "height": 5, "width": 5},
    ],
    "categories": [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}],
    "annotations": [],
}


def detection() -> dict[str, torch.Tensor]:
    return {
        "boxes": torch.tensor([[0.1, 1.0, 3.3, 4.0], [2.0, 0.0, 6.0, 3.7]]),
        "labels": torch.tensor([1, 2]),
        "scores": torch.tensor([0.9, 1 / 3]),
        "masks": torch.rand(2, 4, 6) > 0.5,
        "keypoints": torch.tensor([[[1.5, 2.25, 1.0], [3.0, 0.5, 1.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]),
    }


def test_entries_hold_the_numbers_unrounded():
    found = detection()
    first, second = to_coco_results(found, 7, {1: 3, 2: 8}.get)
    assert (first["image_id"], first["category_id"], second["category_id"]) == (7, 3, 8)
    x1, y1, x2, y2 = found["boxes"][0].tolist()
    assert first["bbox"] == [x1, y1, x2 - x1, y2 - y1]
    assert second["score"] == found["scores"][1].item() != 0.333
    assert json.loads(json.dumps(first)) == first


def test_keypoints_lose_half_a_pixel_and_unclaimed_ones_are_left_out():
    first, second = to_coco_results(detection(), 7)
    assert first["keypoints"] == [1.0, 1.75, 1.0, 2.5, 0.0, 1.0]
    assert "keypoints" not in second


def test_a_label_without_category_is_left_out():
    (only,) = to_coco_results(detection(), 7, {2: 8}.get)
    assert only["category_id"] == 8


def test_what_is_no_detection_is_named():
    with pytest.raises(ValueError, match="image 7: has no scores"):
        to_coco_results({key: value for key, value in detection().items() if key != "scores"}, 7)
    with pytest.raises(ValueError, match=r"image 7: masks of shape \[2, 4, 6\], expected \[2, 6, 4\]"):
        to_coco_results(detection(), 7, size=(6, 4))
    with pytest.raises(ValueError, match=r"image 7, detection 1: label 2 is none of 1\.\.1"):
        to_coco_results(detection(), 7, labels_by_name(None, TRUTH["categories"][:1]))


def test_masks_of_torchvision_and_ours_give_the_same_run_lengths():
    ours = detection()
    theirs = dict(ours, masks=torch.where(ours["masks"], 0.51, 0.49)[:, None])
    assert [e["segmentation"] for e in to_coco_results(ours, 7)] == [
        e["segmentation"] for e in to_coco_results(theirs, 7)
    ]
    no_objects = {key: value[:0] for key, value in theirs.items()}
    assert to_coco_results(no_objects, 7) == []


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31))
def test_run_lengths_come_back_as_the_mask(height, width, seed):
    mask = torch.rand(height, width, generator=torch.Generator().manual_seed(seed)) > 0.4
    run_lengths = encode_mask(mask)
    assert run_lengths["size"] == [height, width]
    assert isinstance(run_lengths["counts"], str)
    assert np.array_equal(coco_mask.decode(run_lengths), mask.numpy())


def test_labels_are_matched_by_name_then_by_order():
    categories = TRUTH["categories"]
    by_name = labels_by_name(["background", "horse", "dog", "cat"], categories)
    assert [by_name(label) for label in (0, 1, 2, 3)] == [None, None, 8, 3]
    with pytest.raises(ValueError, match=r"label 4 is none of 0\.\.3"):
        by_name(4)
    for names in (None, ["background", "class 1", "class 2"]):
        by_order = labels_by_name(names, categories)
        assert [by_order(label) for label in (1, 2)] == [3, 8]
        for label in (0, 3):
            with pytest.raises(ValueError, match=rf"label {label} is none of 1\.\.2"):
                by_order(label)
    with pytest.raises(ValueError, match=r"3 classes \(x, y, z, …\).*2 \(cat, dog, …\).*no name in common"):
        labels_by_name(["background", "x", "y", "z"], categories)


def test_entries_are_matched_by_file_and_class_name():
    entries = [
        {"image_id": 1, "category_id": 1, "file_name": "/data/a/one.png", "category_name": "dog", "score": 1},
        {"image_id": 2, "category_id": 5, "file_name": "two.png", "category_name": "horse", "score": 1},
        {"image_id": 9, "category_id": 1, "score": 1},
    ]
    matched = match_names(entries, TRUTH, {1: 3})
    assert [(entry["image_id"], entry["category_id"]) for entry in matched] == [(7, 8), (9, 3)]
    assert entries[0]["image_id"] == 1  # not changed in place


def test_unknown_names_are_reported():
    stranger = {"image_id": 1, "category_id": 1, "score": 1, "file_name": "b/one.png"}
    with pytest.raises(ValueError, match=r"result 0 \(image 'b/one.png'\): not one of the 2 images"):
        check_against(match_names([stranger], TRUTH), TRUTH)
    horse = {"image_id": 7, "category_id": 1, "score": 1, "category_name": "horse"}
    with pytest.raises(ValueError, match=r"category 'horse' is not one of \[3, 8\]"):
        check_against(match_names([horse], TRUTH), TRUTH)


def test_figures_are_those_that_pycocotools_prints():
    """Against COCOeval.summarize on random boxes."""
    rng = np.random.default_rng(1)
    boxes = np.concatenate([rng.uniform(0, 100, (60, 2)), rng.uniform(5, 200, (60, 2))], axis=1)
    images = [{"id": i, "height": 400, "width": 400} for i in (1, 2, 3)]
    objects = [
        {
            **{"id": n + 1, "image_id": int(rng.integers(1, 4)), "category_id": int(rng.integers(3, 5)) * 2 - 3},
            **{"bbox": box.tolist(), "area": float(box[2] * box[3]), "iscrowd": int(n % 10 == 0)},
        }
        for n, box in enumerate(boxes)
    ]
    found = [
        {**{key: o[key] for key in ("image_id", "category_id")}, "score": float(rng.random()), "bbox": o["bbox"]}
        for o in objects
    ]
    for entry in found:
        entry["bbox"] = (np.array(entry["bbox"]) + rng.normal(0, 5, 4)).clip(1).tolist()
    truth = {"images": images, "categories": [{"id": 3, "name": "c"}, {"id": 5, "name": "d"}], "annotations": objects}
    from mrcnn_lite.coco_results import TASKS

    evaluation = run_coco(truth, found, TASKS["box"], None, 100, True)
    evaluation.summarize()
    assert list(coco_figures(evaluation).values()) == evaluation.stats.tolist()
    assert 0 < evaluation.stats[0] < 1
