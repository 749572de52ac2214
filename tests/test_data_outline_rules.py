"""data/outline_rules.py: each wrong outline is told once, and corrected where the object's box proves how."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pycocotools import mask as rle

from mrcnn_lite.data.box_rules import Frame
from mrcnn_lite.data.outline_rules import judge_outline, own_box

FRAME = Frame(height=40, width=60, has_masks=True, num_keypoints=0)
BOX = [20, 10, 20, 8]
CORNERS = [20, 10, 40, 10, 40, 18, 20, 18]


def judged(outline, frame=FRAME, **more):
    told, fixed = [], {"bbox": BOX, "segmentation": outline} | more
    stays, mask = judge_outline(
        fixed, frame, lambda kind, found, expected="", cause="", fix="": told.append((kind, fix))
    )
    assert (mask is not None) == (stays and frame.has_masks)
    return [kind for kind, _ in told], stays, None if mask is None else own_box(mask), fixed


def coded(height=40, width=60):
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[10:18, 20:40] = 1
    return {"size": [height, width], "counts": rle.encode(mask)["counts"].decode()}


@pytest.mark.parametrize("outline", [[CORNERS], coded(), [CORNERS, [22, 12, 24, 12, 24, 14]]])
def test_a_right_outline_stays_as_it_is(outline):
    told, stays, box, fixed = judged(outline)
    assert told == [] and stays and box == [20, 10, 40, 18] and fixed["segmentation"] == outline


@pytest.mark.parametrize(
    "outline, kind",
    [
        (CORNERS, "polygon-form"),  # without the list around it
        ([CORNERS[i : i + 2] for i in range(0, 8, 2)], "polygon-form"),  # as pairs
        ([[CORNERS[i : i + 2] for i in range(0, 8, 2)]], "polygon-form"),
        ([[n / (60, 40)[i % 2] for i, n in enumerate(CORNERS)]], "polygon-normalised"),
        (coded() | {"size": [60, 40]}, "rle-size"),  # its box proves that only the sides are swapped
        ([[20, -20, 40, -20, 40, 18, 20, 18]], "polygon-outside"),
    ],
)
def test_what_the_box_proves_is_corrected(outline, kind):
    box = {"bbox": [20, 0, 20, 18]} if kind == "polygon-outside" else {}
    told, stays, found, fixed = judged(outline, **box)
    expected = [20, 0, 40, 18] if kind == "polygon-outside" else [20, 10, 40, 18]
    assert told == [kind] and stays and found == pytest.approx(expected)
    assert judged(fixed["segmentation"], **box)[:2] == ([], True)


@pytest.mark.parametrize(
    "outline, kind",
    [
        (None, "no-outline"),
        ([], "no-outline"),
        ([[]], "no-outline"),
        ([[1, 1, 5, 5]], "polygon-short"),
        (["x"], "polygon-form"),
        (7, "outline-form"),
        ([CORNERS[:-1]], "polygon-form"),
        ([[*CORNERS[:-1], math.nan]], "polygon-not-finite"),
        ([[n + 300 for n in CORNERS]], "polygon-outside"),
        ([[n + 30_000 for n in CORNERS]], "polygon-outside"),
        ([[n + 25 for n in CORNERS]], "polygon-outside"),  # a part is inside, but it is not what the box shows
        ([[0.1, 0.1, 0.2, 0.1, 0.2, 0.2]], "polygon-normalised"),  # and not where the box is
        ([[20.1, 10.1, 20.2, 10.1, 20.2, 10.2]], "mask-empty"),
        ({"size": [40, 60], "counts": [2400]}, "mask-empty"),
        (coded(41, 60), "rle-size"),
        ({"size": [60, 40], "counts": [2400]}, "rle-size"),
        ({"size": [40, 60], "counts": [5]}, "rle-counts"),
        ({"size": [40, 60], "counts": "~"}, "rle-broken"),
    ],
)
def test_any_other_wrong_outline_is_told_once_and_dropped(outline, kind):
    assert judged(outline)[:2] == ([kind], False)


def test_a_short_part_beside_a_whole_one_is_a_note():
    told, stays, box, _ = judged([CORNERS, [1, 1, 2, 2]])
    assert told == ["polygon-part-short"] and stays and box == [20, 10, 40, 18]


def test_a_crowd_of_polygons_becomes_run_lengths():
    told, stays, _, fixed = judged([CORNERS], iscrowd=1)
    assert told == ["crowd-polygon"] and stays
    assert (rle.decode(fixed["segmentation"]) == rle.decode(coded())).all()
    assert judged(coded(), iscrowd=1)[0] == []


def test_an_object_of_one_pixel_in_the_corner_is_none_of_the_faults():
    for outline in ([[0, 0, 1, 0, 1, 1, 0, 1]], {"size": [40, 60], "counts": [0, 1, 2399]}):
        assert judged(outline, bbox=[0, 0, 1, 1])[:2] == ([], True)


def test_a_file_without_outlines_needs_none():
    assert judged([], FRAME._replace(has_masks=False))[:2] == ([], True)
