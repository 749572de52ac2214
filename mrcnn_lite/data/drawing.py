"""What the synthetic pictures are drawn with: signed distances, smooth noise, paint (numpy only).

A signed distance is negative inside a figure and positive outside, in pixels, so that
`coverage = clip(1/2 - distance, 0, 1)` is the anti-aliased picture of the figure and `distance < 0` its
mask. Points are given by their coordinates (u, v) in the figure's own frame, any equal shapes.
Source of the idea: Hart 1996, "Sphere tracing"; the distances are elementary geometry.
Read next: shapes.py, stick_figures.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Drawing(NamedTuple):
    """One synthetic picture with its truth; object g is the pixels where ids == g + 1: what is seen of it."""

    image: np.ndarray  # uint8 [S, S, 3]
    ids: np.ndarray  # uint8 [S, S]
    labels: np.ndarray  # uint8 [G], 1..K
    keypoints: np.ndarray | None = None  # float32 [G, J, 3] (x, y, visibility 0/1/2)


class Window(NamedTuple):
    """A rectangle of the picture, [top, bottom) x [left, right), so that only it need be computed."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def around(cls, x1: float, y1: float, x2: float, y2: float, size: int) -> Window:
        """The pixels of a size x size picture that a figure within this box can touch; may be empty."""
        top, left = max(0, int(np.floor(y1)) - 1), max(0, int(np.floor(x1)) - 1)
        bottom, right = min(size, int(np.ceil(y2)) + 1), min(size, int(np.ceil(x2)) + 1)
        return cls(top, max(top, bottom), left, max(left, right))

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def offsets(self, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of the pixel centres relative to (x, y): [1, w] and [h, 1] float32."""
        columns = np.arange(self.left, self.right, dtype=np.float32) + np.float32(0.5 - x)
        rows = np.arange(self.top, self.bottom, dtype=np.float32) + np.float32(0.5 - y)
        return columns[None, :], rows[:, None]


# ---- signed distances ----------------------------------------------------------------------------------


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)  # a third of the time of np.hypot, which guards against overflow


def disc(u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    return _length(u, v) - np.float32(radius)


def ring(u: np.ndarray, v: np.ndarray, radius: float, width: float) -> np.ndarray:
    """A ring of outer radius `radius`."""
    return np.abs(_length(u, v) - np.float32(radius - width / 2)) - np.float32(width / 2)


def rectangle(u: np.ndarray, v: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
    """Exact inside and beside the edges; outside the corners the larger of the two distances."""
    return np.maximum(np.abs(u) - np.float32(half_width), np.abs(v) - np.float32(half_height))


def cross(u: np.ndarray, v: np.ndarray, half_length: float, half_width: float) -> np.ndarray:
    """Two bars at right angles: the union of two figures is the smaller of their distances."""
    return np.minimum(rectangle(u, v, half_length, half_width), rectangle(u, v, half_width, half_length))


def star(u: np.ndarray, v: np.ndarray, radius: float, points: int, inner: float) -> np.ndarray:
    """A star with its first tip at (0, -radius) and its notches at `inner` * radius.

    The star is the same in each of its 2 * points sectors, so every point is folded into one of them and
    compared with the single edge there. A triangle is the star of 3 points with inner = 1/2.
    """
    half_sector = np.float32(np.pi / points)
    turn = np.arctan2(u, -v)  # 0 at the first tip
    turn = np.abs(turn - 2 * half_sector * np.round(turn / (2 * half_sector)))  # 0 at a tip, half_sector at a notch
    distance = _length(u, v)
    along, across = distance * np.cos(turn), distance * np.sin(turn)
    edge_x = np.float32(inner * radius * np.cos(half_sector) - radius)  # from the tip to the notch
    edge_y = np.float32(inner * radius * np.sin(half_sector))
    along = along - np.float32(radius)
    t = np.clip((along * edge_x + across * edge_y) / (edge_x**2 + edge_y**2), 0, 1)
    inside = edge_x * across - edge_y * along > 0  # on the centre's side of the edge
    return np.where(inside, np.float32(-1), np.float32(1)) * _length(along - t * edge_x, across - t * edge_y)


def capsule(x: np.ndarray, y: np.ndarray, start: Sequence[float], end: Sequence[float], radius: float) -> np.ndarray:
    """All points within `radius` of the segment from start to end (x, y): a limb."""
    edge_x, edge_y = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
    from_x, from_y = x - np.float32(start[0]), y - np.float32(start[1])
    length_squared = max(float(edge_x**2 + edge_y**2), 1e-12)
    t = np.clip((from_x * edge_x + from_y * edge_y) / np.float32(length_squared), 0, 1)
    return _length(from_x - t * edge_x, from_y - t * edge_y) - np.float32(radius)


def convex_polygon(x: np.ndarray, y: np.ndarray, corners: np.ndarray, rounding: float) -> np.ndarray:
    """A convex polygon (corners [V, 2], either direction) grown by `rounding`; exact beside the edges."""
    following = np.roll(corners, -1, axis=0)
    area = float(np.sum(corners[:, 0] * following[:, 1] - following[:, 0] * corners[:, 1]))
    distance: np.ndarray | None = None
    for (ax, ay), (bx, by) in zip(corners.tolist(), following.tolist()):
        length = max(float(np.hypot(bx - ax, by - ay)), 1e-6) * (1 if area > 0 else -1)
        normal_x, normal_y = np.float32((by - ay) / length), np.float32((ax - bx) / length)  # outwards
        edge = (x - np.float32(ax)) * normal_x + (y - np.float32(ay)) * normal_y
        distance = edge if distance is None else np.maximum(distance, edge)
    assert distance is not None
    return distance - np.float32(rounding)


# ---- paint ---------------------------------------------------------------------------------------------


def coverage(distance: np.ndarray) -> np.ndarray:
    """Signed distance in pixels -> share of the pixel that the figure covers, 0..1."""
    return np.clip(np.float32(0.5) - distance, 0, 1)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], cell: float) -> np.ndarray:
    """Uniform noise on a grid of `cell` pixels, bilinear between: float32 [*shape] in -1/2..1/2."""
    rows, row_part = _grid_positions(rng, shape[0], cell)
    columns, column_part = _grid_positions(rng, shape[1], cell)
    grid = rng.random((rows[-1] + 2, columns[-1] + 2), dtype=np.float32) - np.float32(0.5)
    lines = grid[rows] * (1 - row_part)[:, None] + grid[rows + 1] * row_part[:, None]  # [height, grid columns]
    return lines[:, columns] * (1 - column_part) + lines[:, columns + 1] * column_part


def _grid_positions(rng: np.random.Generator, length: int, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel the grid point before it and how far it is on the way to the next (0..1)."""
    position = (np.arange(length, dtype=np.float32) / np.float32(cell)) + rng.random(dtype=np.float32)
    before = position.astype(np.int64)
    return before, (position - before).astype(np.float32)


def background(rng: np.random.Generator, size: int, scale: float) -> np.ndarray:
    """A plain colour with a slow change of hue and a fine grey grain: float32 [size, size, 3].

    `scale` stretches both: their grids are 32 and 16/3 pixels at scale 1.
    """
    colour = rng.random(3, dtype=np.float32) * np.float32(0.7) + np.float32(0.15)
    hue = rng.random(3, dtype=np.float32) - np.float32(0.5)
    slow = smooth_noise(rng, (size, size), 32 * scale)
    grain = smooth_noise(rng, (size, size), 16 / 3 * scale) * np.float32(0.25)
    return colour + slow[:, :, None] * hue + grain[:, :, None]


def contrasting_colour(rng: np.random.Generator, under: np.ndarray, contrast: float) -> np.ndarray:
    """A random colour [3] that differs by more than `contrast` in some channel from the colour `under`."""
    colour = rng.random(3, dtype=np.float32)
    for _ in range(19):
        if np.abs(colour - under).max() > contrast:
            break
        colour = rng.random(3, dtype=np.float32)
    return colour


def paint(canvas: np.ndarray, alpha: np.ndarray, colour: np.ndarray) -> None:
    """Lays `colour` ([3] or [h, w, 3]) over canvas [h, w, 3] with opacity alpha [h, w], in place."""
    touched = alpha > 0  # a limb covers little of its window
    under = canvas[touched]  # [pixels, 3]
    over = colour[touched] if colour.ndim == 3 else colour
    canvas[touched] = under + (over - under) * alpha[touched][:, None]


def finish(rng: np.random.Generator, canvas: np.ndarray, noise: float) -> np.ndarray:
    """Adds Gaussian noise to each pixel and channel, clips to 0..1, and rounds to uint8."""
    grain = rng.standard_normal(canvas.shape, dtype=np.float32) * np.float32(noise)
    return np.rint(np.clip(canvas + grain, 0, 1) * 255).astype(np.uint8)
