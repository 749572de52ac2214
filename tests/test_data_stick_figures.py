"""data/stick_figures.py: joints lie on their figure, and their visibility says what the picture shows."""

from __future__ import annotations

import numpy as np
import pytest

from mrcnn_lite.data import stick_figures
from mrcnn_lite.data.dataset import flip_permutation
from mrcnn_lite.data.instances import id_map_boxes
from mrcnn_lite.data.stick_figures import KEYPOINT_NAMES, SKELETON

DRAWINGS = [stick_figures.draw(i, seed=3) for i in range(120)]


def test_pictures_are_deterministic_and_well_formed():
    again = stick_figures.draw(7, seed=3)
    assert (again.image == DRAWINGS[7].image).all() and (again.keypoints == DRAWINGS[7].keypoints).all()
    for drawing in DRAWINGS:
        num_figures = len(drawing.labels)
        assert 1 <= num_figures <= 3 and (drawing.labels == 1).all()
        assert drawing.keypoints.shape == (num_figures, 13, 3)
        assert set(np.unique(drawing.ids)) == set(range(num_figures + 1))


def test_joints_have_all_three_visibilities_and_lie_where_they_say():
    counts = np.zeros(3)
    for drawing in DRAWINGS:
        size = len(drawing.ids)
        for g, joints in enumerate(drawing.keypoints):
            for x, y, visibility in joints:
                counts[int(visibility)] += 1
                if visibility == 0:
                    assert x == y == 0
                    continue
                assert 0 <= x < size and 0 <= y < size
                if visibility == 2:  # a joint that is seen is a pixel of its own figure
                    assert drawing.ids[int(y), int(x)] == g + 1
    assert (counts / counts.sum() > [0.03, 0.03, 0.5]).all()


def test_a_figure_behind_another_has_hidden_joints():
    behind = 0
    for drawing in DRAWINGS:
        for g, joints in enumerate(drawing.keypoints):
            for x, y, visibility in joints[joints[:, 2] > 0]:
                if drawing.ids[int(y), int(x)] > g + 1:
                    behind += 1
                    assert visibility == 1
    assert behind > 20


def test_left_and_right_can_be_told_by_the_head():
    """Light head = from the front, its left shoulder on the picture's right; dark head = the other way."""
    left, right = KEYPOINT_NAMES.index("left_shoulder"), KEYPOINT_NAMES.index("right_shoulder")
    seen = {True: 0, False: 0}
    for drawing in DRAWINGS:
        for head, joints in zip(drawing.keypoints[:, 0], drawing.keypoints):
            if head[2] < 2 or joints[left, 2] < 1 or joints[right, 2] < 1:
                continue
            row, column = int(head[1]), int(head[0])
            front = drawing.image[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].mean() > 110
            assert (joints[left, 0] > joints[right, 0]) == front
            seen[front] += 1
    assert seen[True] > 30 and seen[False] > 15


def test_most_of_a_figure_is_drawn_in_one_piece_around_its_joints():
    for drawing in DRAWINGS[:40]:
        boxes = id_map_boxes(drawing.ids, len(drawing.labels))
        for box, joints in zip(boxes, drawing.keypoints):
            seen = joints[joints[:, 2] == 2][:, :2]
            assert (seen >= box[:2]).all() and (seen <= box[2:]).all()


def test_names_mirror_and_lines_join_neighbours():
    permutation = flip_permutation(KEYPOINT_NAMES)
    assert permutation == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11)
    mirrored = {tuple(sorted((permutation[a], permutation[b]))) for a, b in SKELETON}
    assert mirrored == {tuple(sorted(pair)) for pair in SKELETON}
    assert {j for pair in SKELETON for j in pair} == set(range(13))


def test_sizes_scale_and_wrong_numbers_of_figures_are_refused():
    small = np.mean([np.ptp(d.keypoints[0][d.keypoints[0][:, 2] > 0][:, 1]) for d in DRAWINGS])
    large = [stick_figures.draw(i, size=256, seed=3) for i in range(40)]
    large_height = np.mean([np.ptp(d.keypoints[0][d.keypoints[0][:, 2] > 0][:, 1]) for d in large])
    assert large_height / small == pytest.approx(2, rel=0.25)
    with pytest.raises(ValueError, match="fewest <= most"):
        stick_figures.draw(0, figures=(2, 1))
