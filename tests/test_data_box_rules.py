"""data/box_rules.py: each wrong box is told once, by its kind, and corrected where its mask proves how."""

from __future__ import annotations

import math

import pytest

from mrcnn_lite.data.box_rules import Frame, box_fault, judge_box, read_box

FRAME = Frame(height=100, width=160, has_masks=True, num_keypoints=0)
OWN = [40, 10, 80, 30]  # x1, y1, x2, y2 of the mask
RIGHT = [40, 10, 40, 20]


def judged(box, own=OWN, frame=FRAME):
    told, fixed = [], {"bbox": box}
    stays = judge_box(fixed, frame, own, lambda kind, found, expected="", cause="", fix="": told.append((kind, fix)))
    return told, stays, fixed["bbox"]


@pytest.mark.parametrize(
    "box, kind",
    [
        ([40, 10, 80, 30], "box-xyxy"),
        ([10, 40, 20, 40], "box-y-first"),
        ([10, 40, 30, 80], "box-y-first"),
        ([0.25, 0.1, 0.25, 0.2], "box-normalised"),
        ([0.25, 0.1, 0.5, 0.3], "box-normalised"),
        ([100, 70, 40, 20], "box-not-its-mask"),
        ([40, 10, 10, 10], "box-not-its-mask"),
        ([150, 10, 40, 20], "box-outside"),
        ([40, 10, 0, 20], "box-without-area"),
        ([80, 30, -40, -20], "box-without-area"),
        ([40, 10, math.nan, 20], "box-not-finite"),
        ([40, 10, math.inf, 20], "box-not-finite"),
        ([40, 10, 40], "box-form"),
        ("40 10 40 20", "box-form"),
        ([40, 10, 40, None], "box-form"),
        ([40, 10, 40, True], "box-form"),
    ],
)
def test_with_a_mask_every_box_is_corrected(box, kind):
    told, stays, fixed = judged(box)
    assert [name for name, _ in told] == [kind] and told[0][1] and stays
    assert fixed == pytest.approx(RIGHT)


@pytest.mark.parametrize("box", [RIGHT, [40.4, 9.6, 39, 20.9], [38, 9, 44, 22], [39.5, 10, 40, 20]])
def test_a_box_that_fits_its_mask_stays(box):
    assert judged(box) == ([], True, box)


def test_an_overshoot_is_clipped_and_a_rounding_is_not_told():
    own = [150, 10, 160, 30]
    assert judged([150, 10, 11, 20], own) == ([], True, [150, 10, 11, 20])
    assert judged([150, 10, 60, 20], own) == ([("box-outside", "clipped")], True, [150, 10, 10, 20])


def test_without_a_mask_nothing_is_guessed():
    alone = FRAME._replace(has_masks=False)
    assert judged([150, 10, 9, 20], None, alone) == ([], True, [150, 10, 9, 20])
    assert judged([150, 10, 12, 20], None, alone)[0] == [("box-outside", "clipped")]
    assert judged([150, 10, 60, 20], None, alone)[:2] == ([("box-outside", "object dropped")], False)
    assert judged([120, 50, 150, 90], None, alone)[:2] == ([("box-outside", "")], False)  # x1, y1, x2, y2? by hand
    normalised = alone._replace(normalised=True)
    assert judged([0.2, 0.2, 0.5, 0.5], None, normalised)[:2] == ([("box-normalised", "")], False)
    assert judged(None, None, alone)[:2] == ([("box-form", "object dropped")], False)


def test_an_absent_box_is_a_note_where_there_is_a_mask():
    assert judged(None) == ([("box-absent", "")], True, None)


def test_reading():
    assert read_box({"bbox": [1, 2, 3, 4]}) == [1, 2, 4, 6]
    assert read_box({"bbox": [1, 2, 0, 4]}) is None and read_box({}) is None
    assert box_fault([0, 0, 0, 0]) is None and box_fault([0, 0, 1e13, 0])[0] == "box-not-finite"
