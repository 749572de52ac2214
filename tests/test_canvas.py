"""The drawing beneath: what is covered is coloured, what is not stays, and nothing breaks at the borders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mrcnn_lite.canvas import (
    PALETTE,
    blend,
    draw_joints,
    draw_labels,
    draw_mask,
    draw_rectangle,
    draw_stroke,
    draw_text,
    paint,
    text_size,
)

RED = np.array([255, 0, 0], dtype=np.float32)


def black(height: int = 60, width: int = 80) -> np.ndarray:
    return np.zeros((height, width, 3), dtype=np.float32)


def test_blend_mixes_by_coverage():
    canvas = black(2, 3)
    blend(canvas, np.array([[1.0, 0.5, 0.0]]), 0, 1, RED)
    assert canvas[1, :, 0].tolist() == [255, 127.5, 0]
    assert not canvas[0].any()
    assert not canvas[..., 1:].any()


@pytest.mark.parametrize(("left", "top"), [(-2, -1), (4, 3), (-9, 0), (0, 99), (99, 0), (5, -2), (1, 1), (-1, -1)])
def test_blend_cuts_at_the_borders(left, top):
    canvas, expected = black(3, 4), black(3, 4)
    coverage = np.arange(1, 16).reshape(3, 5) / 16
    blend(canvas, coverage, left, top, 1.0)
    for y, x in itertools.product(range(3), range(4)):
        if 0 <= y - top < 3 and 0 <= x - left < 5:
            expected[y, x] = coverage[y - top, x - left]
    assert np.array_equal(canvas, expected)


def test_a_filled_rectangle_has_its_area():
    canvas = black()
    draw_rectangle(canvas, np.array([10.25, 5.0, 30.75, 25.5]), RED)
    assert canvas[..., 0].sum() / 255 == pytest.approx(20.5 * 20.5, rel=0.01)
    assert canvas[15, 20].tolist() == [255, 0, 0]
    assert not canvas[:4].any()


def test_an_outline_leaves_the_inside_alone():
    canvas = black()
    draw_rectangle(canvas, np.array([10.0, 10.0, 50.0, 40.0]), RED, line=2, radius=3)
    assert canvas[10, 30, 0] > 200
    assert canvas[25, 10, 0] > 200
    assert not canvas[14:36, 14:46].any()
    assert canvas[9, 30, 0] > 200
    assert canvas[9, 9, 0] == 0  # the corner is round


def test_a_disc_has_its_area_and_a_line_its_length():
    canvas = black()
    point = np.array([40.3, 30.6])
    draw_stroke(canvas, point, point, 20, 255.0)
    assert canvas[..., 0].sum() / 255 == pytest.approx(np.pi * 100, rel=0.02)
    canvas = black()
    draw_stroke(canvas, np.array([10.0, 10.0]), np.array([50.0, 40.0]), 4, 255.0)
    assert canvas[..., 0].sum() / 255 == pytest.approx(50 * 4 + np.pi * 4, rel=0.02)


def test_shapes_outside_the_picture_change_nothing():
    canvas = black()
    draw_rectangle(canvas, np.array([-50.0, -50.0, -20.0, -20.0]), RED)
    draw_stroke(canvas, np.array([200.0, 200.0]), np.array([300.0, 200.0]), 5, RED)
    draw_text(canvas, "far away", 500, 10, 12, 255.0)
    draw_mask(canvas, np.zeros((60, 80), dtype=bool), 1, RED, 0.0, fill=0.5, line=1.5)
    assert not canvas.any()


@pytest.mark.parametrize("scale", [0.5, 1, 4])
def test_a_mask_is_filled_inside_and_rimmed(scale):
    mask = np.zeros((60, 80), dtype=bool)
    mask[20:40, 30:60] = True
    canvas = np.full((int(60 * scale), int(80 * scale), 3), 100, dtype=np.float32)
    before = canvas.copy()
    draw_mask(canvas, mask, scale, RED, 20.0, fill=0.4, line=1.6)
    inside = canvas[int(30 * scale), int(45 * scale)]
    assert inside == pytest.approx([100 + 0.4 * 155, 60, 60], abs=1)
    away = round(5 + 6 * scale)
    far = np.ones(canvas.shape[:2], dtype=bool)
    far[int(20 * scale) - away : int(40 * scale) + away, int(30 * scale) - away : int(60 * scale) + away] = False
    assert np.array_equal(canvas[far], before[far])
    edge = canvas[int(30 * scale), int(30 * scale) - 2 : int(30 * scale) + 3]
    assert edge[:, 0].max() > 200  # the outline itself


def test_a_mask_that_fills_the_picture_and_one_pixel():
    for mask in (np.ones((5, 7), dtype=bool), np.eye(1, dtype=bool)):
        canvas = np.full((*mask.shape, 3), 50, dtype=np.float32)
        draw_mask(canvas, mask, 1, RED, 20.0, fill=0.4, line=1.6)
        assert np.isfinite(canvas).all()
        assert canvas[mask.shape[0] // 2, mask.shape[1] // 2, 0] > 50


def test_joints_of_each_kind():
    joints = np.array([[10.0, 10, 2], [40, 10, 1], [70, 10, 0], [10, 50, 2]])
    canvas = black()
    draw_joints(canvas, joints, [(0, 1), (1, 2), (0, 3)], RED, 99.0, 1.0)
    assert canvas[10, 10].tolist() == [255, 0, 0]  # seen
    assert canvas[10, 40].tolist() == [99, 99, 99]  # hidden: a ring
    assert not canvas[:, 60:].any()  # neither joint nor limb
    assert canvas[30, 10, 0] > 200  # the limb


def test_letters_are_drawn_where_they_are_said_to_be():
    width, height = text_size("Ångström", 14)
    canvas = black(40, 140)
    draw_text(canvas, "Ångström", 20, 10, 14, 255.0)
    rows, columns = np.nonzero(canvas[..., 0] > 30)
    assert 10 <= rows.min() < rows.max() < 10 + height
    assert 18 <= columns.min() < columns.max() <= 20 + width


def plates(boxes: list[list[float]], texts: list[str], size: tuple[int, int] = (200, 300)) -> np.ndarray:
    canvas = np.full((*size, 3), 77, dtype=np.float32)
    draw_labels(canvas, np.array(boxes, dtype=np.float64), texts, range(len(texts)), 1.0)
    return (canvas != 77).any(axis=2)


def test_a_name_stands_on_its_box_and_inside_the_picture():
    drawn = plates([[50, 60, 150, 160]], ["triangle"])
    assert drawn[45:58, 60].all()
    assert not drawn[62:].any()
    at_the_top = plates([[250, 0, 300, 150]], ["triangle 0.99"])
    assert at_the_top.sum() > 1000


def test_names_do_not_cover_each_other():
    """Four boxes at one place: as many names as there is room for, and no pixel used twice."""
    box = [100.0, 80.0, 160.0, 120.0]
    alone = plates([box], ["square"]).sum()
    together = plates([box] * 4, ["square"] * 4).sum()
    assert together >= 3.8 * alone
    crowded = plates([[0, 0, 60, 20]] * 9, ["square"] * 9, size=(24, 70))
    assert crowded.sum() <= 1.1 * alone  # there is room for one alone


def test_colours_differ_for_the_colour_blind():
    """Okabe and Ito's: also under deuteranopia (Viénot's matrices) every pair is far apart."""
    simulate = np.array([[0.29275, 0.70725, -0.02978], [0.29275, 0.70725, -0.02978], [-0.02234, 0.02234, 1.0]])
    for matrix in (np.eye(3), simulate):
        seen = PALETTE @ matrix.T
        assert min(np.abs(a - b).max() for a, b in itertools.combinations(seen, 2)) > 25


def test_twenty_one_objects_look_different():
    looks = {(*paint(number)[0].tolist(), paint(number)[1]) for number in range(21)}
    assert len(looks) == 21
    assert np.array_equal(paint(21)[0], paint(0)[0])
