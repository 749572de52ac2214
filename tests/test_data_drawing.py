"""data/drawing.py: signed distances against brute force, and what paint does."""

from __future__ import annotations

import numpy as np
import pytest

from mrcnn_lite.data import drawing
from mrcnn_lite.data.drawing import Window

GRID = np.arange(-12, 12.01, 0.5, dtype=np.float32)
U, V = np.meshgrid(GRID, GRID)
FIGURES = {
    "disc": lambda u, v: drawing.disc(u, v, 7),
    "ring": lambda u, v: drawing.ring(u, v, 8, 3),
    "triangle": lambda u, v: drawing.star(u, v, 9, points=3, inner=0.5),
    "star": lambda u, v: drawing.star(u, v, 9, points=5, inner=0.45),
    "capsule": lambda u, v: drawing.capsule(u, v, (-4, 2), (5, -1), 2),
}


@pytest.mark.parametrize("name", FIGURES)
def test_distance_is_that_to_the_nearest_point_of_the_outline(name):
    """The outline, found as the sign changes of a fine grid: no formula of the figure enters."""
    step = 0.05
    fine = np.arange(-12, 12, step, dtype=np.float32)
    inside = FIGURES[name](*np.meshgrid(fine, fine)) < 0
    crossing = inside[:-1, :-1] != inside[1:, :-1]
    crossing |= inside[:-1, :-1] != inside[:-1, 1:]
    rows, columns = np.nonzero(crossing)
    outline = np.stack([fine[columns], fine[rows]], axis=1)
    found = FIGURES[name](U, V)
    points = np.stack([U.ravel(), V.ravel()], axis=1)[::7]
    nearest = np.array([np.hypot(*(outline - point).T).min() for point in points])
    np.testing.assert_allclose(np.abs(found).ravel()[::7], nearest, atol=2 * step)


def test_stars_by_hand():
    tip = drawing.star(np.float32([0]), np.float32([-9]), 9, points=5, inner=0.45)
    notch = drawing.star(np.float32([0]), np.float32([9 * 0.45]), 9, points=5, inner=0.45)
    assert tip == pytest.approx(0, abs=1e-5) and notch == pytest.approx(0, abs=1e-5)
    # An equilateral triangle in a circle of radius 9 has its sides at 4.5 from the centre.
    middle = drawing.star(np.float32([0]), np.float32([0]), 9, points=3, inner=0.5)
    assert middle == pytest.approx(-4.5, abs=1e-5)


def test_flat_figures_have_the_right_area():
    """A rectangle, a cross and a polygon: pixels inside against the formula of the area."""
    u, v = np.meshgrid(np.arange(-20, 20, 0.1, dtype=np.float32), np.arange(-20, 20, 0.1, dtype=np.float32))
    square = np.array([[-6, -6], [6, -6], [6, 6], [-6, 6]])
    for distance, area in (
        (drawing.rectangle(u, v, 5, 3), 60),
        (drawing.cross(u, v, 8, 2), 2 * 16 * 4 - 16),
        (drawing.convex_polygon(u, v, square, 0), 144),
        (drawing.convex_polygon(u, v, square[::-1], 0), 144),
    ):
        assert (distance < 0).sum() * 0.01 == pytest.approx(area, rel=0.03)


def test_window_offsets_are_those_of_pixel_centres():
    window = Window.around(2.5, 3.5, 5.5, 6.5, size=10)
    x, y = window.offsets(4.0, 5.0)
    image = np.zeros((10, 10))
    assert image[window.slices].shape == (y.shape[0], x.shape[1])
    assert x[0, 4 - window.left] == 0.5 and y[5 - window.top, 0] == 0.5
    off = Window.around(-9, -9, -5, -5, size=10)
    assert image[off.slices].size == 0


def test_paint_covers_by_its_opacity_and_nothing_else():
    canvas = np.zeros((2, 2, 3), np.float32)
    drawing.paint(canvas, np.array([[0, 0.5], [1, 0]], np.float32), np.ones(3, np.float32))
    assert canvas[:, :, 0].tolist() == [[0, 0.5], [1, 0]]


def test_noise_is_smooth_and_in_range():
    rng = np.random.default_rng(0)
    noise = drawing.smooth_noise(rng, (200, 160), 16)
    assert noise.shape == (200, 160) and -0.5 <= noise.min() < -0.3 and 0.3 < noise.max() <= 0.5
    assert np.abs(np.diff(noise, axis=0)).max() <= 1 / 16 + 1e-5  # at most one grid step of 1 in 16 pixels


def test_contrasting_colours_contrast():
    rng = np.random.default_rng(0)
    under = np.full(3, 0.5, np.float32)
    differences = [np.abs(drawing.contrasting_colour(rng, under, 0.3) - under).max() for _ in range(200)]
    assert min(differences) > 0.3
