"""Synthetic people for keypoints: stick figures with 13 joints, left and right, hidden and outside.

A figure is seen from the front (light head with eyes: its left is on the picture's right) or from behind
(dark head: left on the left), so that left and right can be told apart, and a mirrored picture is a true
one once left and right are swapped. Joints are hidden by other figures, by planks, or by the figure itself.
Letters: S size of the picture, G figures, J joints. Read next: drawing.py, synthetic.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import drawing
from .drawing import Drawing, Window

CLASS_NAMES = ("background", "person")
KEYPOINT_NAMES = (
    "head",
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_hand", "right_hand"),
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_foot", "right_foot"),
)
_HEAD = 0
_SHOULDERS, _ELBOWS, _HANDS = (1, 2), (3, 4), (5, 6)  # left, right
_HIPS, _KNEES, _FEET = (7, 8), (9, 10), (11, 12)
SKELETON = (
    *((0, 1), (0, 2), (1, 2), (1, 3), (3, 5), (2, 4), (4, 6)),
    *((1, 7), (2, 8), (7, 8), (7, 9), (9, 11), (8, 10), (10, 12)),
)
# How exactly people place a joint, for the object keypoint similarity: COCO's figures for the same joints,
# and for the head (the middle of the disc) that of an ear and an eye taken together.
KEYPOINT_SIGMAS = (0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089)
MAX_OBJECTS = 8

_ATTEMPTS = 20  # to place one figure
_MIN_VISIBLE = 0.45  # share of a figure that everything in front of it must leave to be seen
_MIN_JOINTS = 7  # of 13 inside the picture
_NOISE = 0.04
_FROM_BEHIND = 0.3  # share of the figures


class _Part(NamedTuple):
    """One painted piece of a figure, and the joints that belong to it."""

    distance: np.ndarray  # [h, w], pixels
    colour: np.ndarray  # [3]
    joints: tuple[int, ...] = ()


class _Figure(NamedTuple):
    joints: np.ndarray  # [J, 2] (x, y)
    height: float  # pixels from head to feet when it stands upright
    left: int  # +1: its left is on the picture's right (seen from the front), -1: seen from behind
    thickness: float  # half width of a limb
    arms_behind: tuple[bool, bool]  # is the left, the right arm behind the body?

    def window(self, size: int) -> Window:
        reach = 0.13 * self.height + 1
        low, high = self.joints.min(axis=0) - reach, self.joints.max(axis=0) + reach
        return Window.around(low[0], low[1], high[0], high[1], size)


def draw(
    index: int,
    *,
    size: int = 128,
    object_scale: float | None = None,
    seed: int = 0,
    split: int = 0,
    figures: tuple[int, int] = (1, 3),
) -> Drawing:
    """Draws picture `index`: 1 to 3 figures 50 to 110 px high in 128 x 128, and up to two planks in front.

    size, object_scale, seed, split: as for shapes.draw; figures: the fewest and the most that are tried.
    Keypoints: visibility 2 where the joint is seen, 1 where something lies in front of it (a figure, a
    plank or another part of the same figure), 0 where it is outside the picture, with x = y = 0.
    """
    if not 1 <= figures[0] <= figures[1] <= MAX_OBJECTS:
        raise ValueError(f"figures must be 1 <= fewest <= most <= {MAX_OBJECTS}, got {figures}")
    scale = size / 128 if object_scale is None else object_scale
    rng = np.random.default_rng((seed, split, 100, index))
    canvas = drawing.background(rng, size, scale)
    ids = np.zeros((size, size), np.uint8)
    owners = np.zeros((size, size), np.uint8)  # which part of its figure a pixel shows, 1 + its number
    placed: list[tuple[_Figure, list[_Part], int]] = []  # figure, parts, pixels when it was laid down
    for _ in range(int(rng.integers(figures[0], figures[1], endpoint=True))):
        for _ in range(_ATTEMPTS):
            figure = _random_figure(rng, size, scale)
            window = figure.window(size)
            inside_joints = np.count_nonzero(_inside(figure.joints, size))
            if inside_joints < _MIN_JOINTS or min(*canvas[window.slices].shape[:2]) < 8:
                continue
            parts = _figure_parts(rng, figure, window, canvas[window.slices])
            cover = np.logical_or.reduce([part.distance < 0 for part in parts])
            if _hides_too_much(ids, window, cover, [area for _, _, area in placed]):
                continue
            placed.append((figure, parts, int(np.count_nonzero(cover))))
            for number, part in enumerate(parts, start=1):
                drawing.paint(canvas[window.slices], drawing.coverage(part.distance), part.colour)
                owners[window.slices][part.distance < 0] = number
            ids[window.slices][cover] = len(placed)
            break
    for _ in range(int(rng.integers(0, 2, endpoint=True))):
        _lay_plank(rng, canvas, ids, [area for _, _, area in placed], scale)
    keypoints = np.zeros((len(placed), len(KEYPOINT_NAMES), 3), np.float32)
    for g, (figure, parts, _) in enumerate(placed):
        keypoints[g] = _keypoints(figure, parts, ids == g + 1, owners)
    return Drawing(drawing.finish(rng, canvas, _NOISE), ids, np.ones(len(placed), np.uint8), keypoints)


def _random_figure(rng: np.random.Generator, size: int, scale: float) -> _Figure:
    """A pose, built from the hips outwards in units of the height, y downwards; then turned and placed."""
    height = scale * float(np.exp(rng.uniform(np.log(50), np.log(110))))
    left = -1 if rng.random() < _FROM_BEHIND else 1
    joints = np.zeros((len(KEYPOINT_NAMES), 2))
    joints[_HEAD] = 0.0, -0.44
    for number, side in enumerate((left, -left)):  # side: +1 = on the picture's right
        joints[_SHOULDERS[number]] = side * 0.115, -0.29
        joints[_HIPS[number]] = side * 0.065, 0.0
        arm = rng.uniform(-0.25, 2.7)  # radians, outwards from straight down
        elbow = joints[_SHOULDERS[number]] + 0.165 * _direction(arm, side)
        joints[_ELBOWS[number]] = elbow
        joints[_HANDS[number]] = elbow + 0.155 * _direction(arm + rng.uniform(-1.6, 1.6), side)
        thigh = rng.uniform(-0.15, 0.75)
        knee = joints[_HIPS[number]] + 0.22 * _direction(thigh, side)
        joints[_KNEES[number]] = knee
        joints[_FEET[number]] = knee + 0.22 * _direction(thigh - rng.uniform(-0.2, 0.9), side)
    tilt = float(np.clip(rng.normal(0, 0.2), -0.6, 0.6))
    cos, sin = np.cos(tilt), np.sin(tilt)
    joints = height * (joints @ np.array([[cos, sin], [-sin, cos]])) + rng.uniform(0.1 * size, 0.9 * size, 2)
    thickness = height * rng.uniform(0.026, 0.04)
    arms_behind = (rng.random() < 0.35, rng.random() < 0.35)
    return _Figure(joints, height, left, float(thickness), arms_behind)


def _direction(angle: float, side: int) -> np.ndarray:
    return np.array([side * np.sin(angle), np.cos(angle)])


def _figure_parts(rng: np.random.Generator, figure: _Figure, window: Window, canvas: np.ndarray) -> list[_Part]:
    """The parts from back to front. Each part later in the list hides those before it."""
    x, y = window.offsets(0.0, 0.0)  # [1, w], [h, 1]: picture coordinates
    joints, thick = figure.joints, figure.thickness
    under = canvas.mean(axis=(0, 1))
    shirt = drawing.contrasting_colour(rng, under, 0.3)
    trousers = drawing.contrasting_colour(rng, (under + shirt) / 2, 0.3)
    skin = np.array([0.95, 0.76, 0.6], np.float32) * np.float32(rng.uniform(0.8, 1.05))
    dark = np.array([0.22, 0.14, 0.1], np.float32) * np.float32(rng.uniform(0.3, 1.2))

    def limb(start: int, end: int, radius: float, colour: np.ndarray) -> _Part:
        return _Part(drawing.capsule(x, y, joints[start], joints[end], radius), colour, (start, end))

    def end_of_limb(joint: int, radius: float, colour: np.ndarray) -> _Part:
        return _Part(drawing.capsule(x, y, joints[joint], joints[joint], radius), colour, (joint,))

    def arm(number: int) -> list[_Part]:
        upper, fore, hand = _SHOULDERS[number], _ELBOWS[number], _HANDS[number]
        return [
            limb(fore, hand, thick, shirt),
            limb(upper, fore, 1.15 * thick, shirt),
            end_of_limb(hand, 1.25 * thick, skin),
        ]

    def leg(number: int) -> list[_Part]:
        hip, knee, foot = _HIPS[number], _KNEES[number], _FEET[number]
        return [
            limb(knee, foot, 1.1 * thick, trousers),
            limb(hip, knee, 1.3 * thick, trousers),
            end_of_limb(foot, 1.35 * thick, dark),
        ]

    corners = joints[[_SHOULDERS[0], _SHOULDERS[1], _HIPS[1], _HIPS[0]]]
    body = _Part(drawing.convex_polygon(x, y, corners, thick), shirt, (*_SHOULDERS, *_HIPS))
    arms = [arm(0), arm(1)]
    behind = [part for number in (0, 1) if figure.arms_behind[number] for part in arms[number]]
    before = [part for number in (0, 1) if not figure.arms_behind[number] for part in arms[number]]
    return [*behind, *leg(0), *leg(1), body, *_head(figure, x, y, skin, dark), *before]


def _head(figure: _Figure, x: np.ndarray, y: np.ndarray, skin: np.ndarray, dark: np.ndarray) -> list[_Part]:
    """Neck, a disc, and from the front two eyes; from behind the disc is all hair."""
    joints, height = figure.joints, figure.height
    head = joints[_HEAD]
    collar = joints[list(_SHOULDERS)].mean(axis=0)
    neck = _Part(drawing.capsule(x, y, collar, head, 0.9 * figure.thickness), skin)
    u, v = x - np.float32(head[0]), y - np.float32(head[1])
    if figure.left < 0:
        return [neck, _Part(drawing.disc(u, v, 0.09 * height), dark, (_HEAD,))]
    up = (head - collar) / np.linalg.norm(head - collar)
    sideways = np.array([-up[1], up[0]])
    parts = [neck, _Part(drawing.disc(u, v, 0.09 * height), skin, (_HEAD,))]
    for side in (-1, 1):
        eye = height * (0.036 * side * sideways + 0.014 * up)
        distance = drawing.disc(u - np.float32(eye[0]), v - np.float32(eye[1]), 0.02 * height)
        parts.append(_Part(distance, dark, (_HEAD,)))
    return parts


def _lay_plank(rng: np.random.Generator, canvas: np.ndarray, ids: np.ndarray, areas: list[int], scale: float) -> None:
    """Puts a plank in front of everything, unless it would hide too much of a figure. It is no object."""
    size = len(canvas)
    center_x, center_y = rng.uniform(0, size, 2)
    length, width = scale * rng.uniform(18, 40), scale * rng.uniform(3, 8)
    angle = rng.uniform(0, np.pi)
    reach = length + width
    window = Window.around(center_x - reach, center_y - reach, center_x + reach, center_y + reach, size)
    x, y = window.offsets(center_x, center_y)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    distance = drawing.rectangle(cos * x + sin * y, cos * y - sin * x, length, width)
    if _hides_too_much(ids, window, distance < 0, areas):
        return
    grain = drawing.smooth_noise(rng, distance.shape, 6 * scale)[:, :, None] * np.float32(0.25)
    drawing.paint(canvas[window.slices], drawing.coverage(distance), rng.random(3, dtype=np.float32) + grain)
    ids[window.slices][distance < 0] = 0


def _hides_too_much(ids: np.ndarray, window: Window, cover: np.ndarray, areas: list[int]) -> bool:
    hidden = np.bincount(ids[window.slices][cover], minlength=len(areas) + 1)[1:]
    visible = np.bincount(ids.ravel(), minlength=len(areas) + 1)[1:] - hidden
    return bool((visible < _MIN_VISIBLE * np.array(areas)).any())


def _inside(joints: np.ndarray, size: int) -> np.ndarray:
    return np.all((joints >= 0) & (joints < size), axis=1)


def _keypoints(figure: _Figure, parts: list[_Part], mine: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """-> float32 [J, 3]. A joint is seen where its pixel shows a part of its figure that it belongs to."""
    keypoints = np.zeros((len(KEYPOINT_NAMES), 3), np.float32)
    for j in np.flatnonzero(_inside(figure.joints, len(mine))):
        x, y = figure.joints[j]
        row, column = int(y), int(x)
        part = parts[owners[row, column] - 1] if mine[row, column] else None
        keypoints[j] = x, y, 2 if part is not None and j in part.joints else 1
    return keypoints
