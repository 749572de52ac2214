"""data/object_rules.py: crowd, area and keypoints; and that one fault makes one problem."""

from __future__ import annotations

import math

import pytest

from mrcnn_lite.data.box_rules import Frame
from mrcnn_lite.data.object_rules import judge_object

FRAME = Frame(height=40, width=60, has_masks=True, num_keypoints=2)
SOUND = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [20, 10, 20, 8], "area": 160.0}
SOUND |= {"segmentation": [[20, 10, 40, 10, 40, 18, 20, 18]], "keypoints": [21, 11, 2, 0, 0, 0], "num_keypoints": 1}


def judged(frame=FRAME, **changes):
    told = []
    annotation = SOUND | changes
    before = repr(annotation)
    fixed = judge_object(annotation, frame, lambda kind, *text, **more: told.append(kind))
    assert repr(annotation) == before  # what was given stays as it was
    return told, fixed


def test_a_sound_object_comes_back_equal():
    assert judged() == ([], SOUND)


@pytest.mark.parametrize(
    "changes, kind, fixed",
    [
        ({"iscrowd": 2}, "crowd-value", None),
        ({"iscrowd": None}, "crowd-value", None),
        ({"iscrowd": "0"}, "crowd-value", {"iscrowd": 0}),
        ({"area": -1}, "area", {"area": 160}),
        ({"area": math.inf}, "area", {"area": 160}),
        ({"area": "160"}, "area", {"area": 160}),
        ({"area": 16_000}, "area", {"area": 160}),
        ({"area": 10}, "area", {"area": 160}),
        ({"area": 0}, "area", {"area": 160}),
        ({"keypoints": [21, 11, 2]}, "keypoints-form", {"keypoints": [0] * 6, "num_keypoints": 0}),
        ({"keypoints": "none"}, "keypoints-form", {"keypoints": [0] * 6, "num_keypoints": 0}),
        ({"keypoints": None}, "keypoints-form", {"keypoints": [0] * 6, "num_keypoints": 0}),
        ({"keypoints": [21, 11, 3, 0, 0, 0]}, "keypoint-visibility", {"keypoints": [0] * 6, "num_keypoints": 0}),
        ({"keypoints": [21, 11, 2, 0, 0, -1]}, "keypoint-visibility", {"keypoints": [21, 11, 2, 0, 0, 0]}),
        ({"keypoints": [math.nan, 11, 2, 0, 0, 0]}, "keypoint-not-finite", {"keypoints": [0] * 6, "num_keypoints": 0}),
        ({"keypoints": [61, 11, 2, 0, 0, 0]}, "keypoint-outside", {"keypoints": [0] * 6, "num_keypoints": 0}),
        ({"keypoints": [21, -2, 1, 0, 0, 0]}, "keypoint-outside", {"keypoints": [0] * 6, "num_keypoints": 0}),
        ({"num_keypoints": 2}, "num-keypoints", {"num_keypoints": 1}),
        ({"num_keypoints": "1"}, "num-keypoints", {"num_keypoints": 1}),
        ({"bbox": [20, 10, 40, 18]}, "box-xyxy", {"bbox": [20, 10, 20, 8]}),
        ({"segmentation": []}, "no-outline", None),
    ],
)
def test_one_fault_one_problem_one_correction(changes, kind, fixed):
    told, result = judged(**changes)
    assert told == [kind]
    assert result == (None if fixed is None else SOUND | changes | fixed)
    assert result is None or judge_object(result, FRAME, lambda kind, *text, **more: told.append(kind)) == result
    assert told == [kind]


def test_what_is_unusual_but_right_passes():
    for changes in (
        {
            "iscrowd": True,
            "segmentation": {"size": [40, 60], "counts": [0, 2400]},
            "bbox": [0, 0, 60, 40],
            "area": 2400,
        },
        {"area": 150.5},
        {"keypoints": [60, 40, 1, 0, 0, 0]},
        {"keypoints": [0, 0, 0, 0, 0, 0], "num_keypoints": 0},
    ):
        assert judged(**changes)[0] == []
    without = {key: value for key, value in SOUND.items() if "keypoints" not in key}
    told = []
    assert judge_object(without, FRAME, lambda kind, *text, **more: told.append(kind)) == without and told == []


def test_several_faults_are_all_told():
    told, result = judged(iscrowd=5, segmentation=7, bbox=[math.nan] * 4, keypoints=[1])
    assert told == ["crowd-value", "outline-form", "box-not-finite", "keypoints-form"] and result is None


def test_an_absent_area_is_a_note_and_stays_absent():
    given = {key: value for key, value in SOUND.items() if key != "area"}
    told = []
    assert judge_object(given, FRAME, lambda kind, *text, **more: told.append(kind)) == given and told == [
        "area-absent"
    ]
