"""Synthetic pictures of six shapes, with every mask known exactly: no download, any number of them.

Picture `index` of a seed is always the same picture. Shapes are rotated, squeezed, textured and laid over
each other; what is left to see of a shape is its mask, and no shape is ever hidden by more than a limit.
Three kinds: "std"; "thin" (small shapes with thin strokes); "overlap" (heaps of shapes).
Letters: S size of the picture, G objects. Read next: drawing.py (the geometry), synthetic.py (the data set).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from . import drawing
from .drawing import Drawing, Window

CLASS_NAMES = ("background", "circle", "square", "triangle", "star", "ring", "cross")
KEYPOINT_NAMES: tuple[str, ...] = ()
SKELETON: tuple[tuple[int, int], ...] = ()
MAX_OBJECTS = 255  # what an 8-bit id map holds

_ATTEMPTS = 12  # to place one shape
_MIN_PIXELS = 20  # of a shape, when it is laid down
_NOISE = 0.05  # standard deviation of the pixel noise, of 0..1
_STRIPES = 0.4  # share of the shapes with stripes


@dataclass(frozen=True)
class Kind:
    """One distribution of pictures. Lengths are pixels in a picture of 128 x 128."""

    classes: tuple[str, ...] = CLASS_NAMES[1:]
    objects: tuple[int, int] = (1, 5)  # how many are tried, both ends included
    radius: tuple[float, float] = (7, 30)  # logarithmically uniform
    stroke: tuple[float, float] = (0.28, 0.45)  # width of a ring, half width of a cross, of the radius
    squeeze: tuple[float, float] = (0.75, 1.0)  # height over width, before the rotation
    near_last: float = 0.0  # probability that a shape is put near the one before it
    min_visible: float = 0.3  # share of each shape that later ones must leave to be seen
    contrast: float = 0.18  # least difference in some channel from what is under a shape


KINDS = {
    "std": Kind(),
    "thin": Kind(classes=("triangle", "star", "ring", "cross"), objects=(1, 6), radius=(6, 22), stroke=(0.14, 0.24)),
    "overlap": Kind(objects=(3, 6), radius=(10, 28), near_last=0.8, min_visible=0.35),
}


def draw(
    index: int,
    *,
    kind: str | Kind = "std",
    size: int = 128,
    object_scale: float | None = None,
    seed: int = 0,
    split: int = 0,
) -> Drawing:
    """Draws picture `index`.

    kind: a name in `KINDS`, or a distribution of one's own.
    size: side S of the picture in pixels.
    object_scale: how much larger shapes and textures are than in a picture of 128 px. None (size / 128)
        gives the same scenes at a higher resolution. A smaller value gives more shapes in proportion to
        the room: size=256, object_scale=1 has 4 to 20 shapes of the usual 12 to 50 px.
    seed, split: pictures of another seed or split share nothing with these.
    """
    chosen, number = (KINDS[kind], list(KINDS).index(kind)) if isinstance(kind, str) else (kind, len(KINDS))
    scale = size / 128 if object_scale is None else object_scale
    rng = np.random.default_rng((seed, split, number, index))
    canvas = drawing.background(rng, size, scale)
    ids = np.zeros((size, size), np.uint8)
    labels: list[int] = []
    areas: list[int] = []  # pixels of each shape when it was laid down
    last: _Shape | None = None
    for _ in range(_number_of_objects(rng, chosen, size, scale)):
        for _ in range(_ATTEMPTS):
            shape = _random_shape(rng, chosen, size, scale, last)
            window = shape.window(size)
            alpha = drawing.coverage(shape.distance(window))
            inside = alpha > 0.5
            area = int(np.count_nonzero(inside))
            if area < _MIN_PIXELS or _hides_too_much(ids, window, inside, areas, chosen.min_visible):
                continue
            _paint_shape(rng, canvas[window.slices], alpha, inside, shape, window, chosen.contrast, scale)
            labels.append(CLASS_NAMES.index(shape.name))
            areas.append(area)
            ids[window.slices][inside] = len(labels)
            last = shape
            break
    return Drawing(drawing.finish(rng, canvas, _NOISE), ids, np.array(labels, np.uint8))


class _Shape(NamedTuple):
    name: str
    x: float  # centre
    y: float
    radius: float
    angle: float
    squeeze: float
    stroke: float

    def window(self, size: int) -> Window:
        reach = 1.2 * self.radius + 1  # the corner of a square is at 1.13 radii
        return Window.around(self.x - reach, self.y - reach, self.x + reach, self.y + reach, size)

    def distance(self, window: Window) -> np.ndarray:
        """Signed distance of each pixel centre, [h, w], in the shape's own squeezed frame."""
        x, y = window.offsets(self.x, self.y)
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        u, v = cos * x + sin * y, (cos * y - sin * x) / np.float32(self.squeeze)
        radius = self.radius
        if self.name == "circle":
            return drawing.disc(u, v, radius)
        if self.name == "square":
            return drawing.rectangle(u, v, 0.8 * radius, 0.8 * radius)
        if self.name == "triangle":
            return drawing.star(u, v, radius, points=3, inner=0.5)
        if self.name == "star":
            return drawing.star(u, v, radius, points=5, inner=0.45)
        if self.name == "ring":
            return drawing.ring(u, v, radius, self.stroke * radius)
        return drawing.cross(u, v, 0.95 * radius, self.stroke * radius)


def _number_of_objects(rng: np.random.Generator, kind: Kind, size: int, scale: float) -> int:
    room = (size / (128 * scale)) ** 2  # 1 where the objects grow with the picture
    fewest, most = (min(MAX_OBJECTS, max(1, round(n * room))) for n in kind.objects)
    return int(rng.integers(fewest, most, endpoint=True))


def _random_shape(rng: np.random.Generator, kind: Kind, size: int, scale: float, last: _Shape | None) -> _Shape:
    smallest, largest = kind.radius[0] * scale, kind.radius[1] * scale
    if last is not None and rng.random() < kind.near_last:
        radius = float(np.clip(last.radius * np.exp(0.3 * rng.normal()), smallest, largest))
        x = last.x + 0.5 * last.radius * rng.normal()
        y = last.y + 0.5 * last.radius * rng.normal()
    else:
        radius = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
        x, y = rng.uniform(0.5 * radius, size - 0.5 * radius, 2)
    return _Shape(
        name=kind.classes[rng.integers(len(kind.classes))],
        x=float(x),
        y=float(y),
        radius=radius,
        angle=rng.uniform(0, 2 * np.pi),
        squeeze=rng.uniform(*kind.squeeze),
        stroke=rng.uniform(*kind.stroke),
    )


def _hides_too_much(ids: np.ndarray, window: Window, inside: np.ndarray, areas: list[int], min_visible: float) -> bool:
    """Would a new shape (`inside` of the window) leave less than `min_visible` of an older one?"""
    hidden = np.bincount(ids[window.slices][inside], minlength=len(areas) + 1)
    for g in np.flatnonzero(hidden[1:]):
        visible = np.count_nonzero(ids == g + 1) - hidden[g + 1]
        if visible < min_visible * areas[g]:
            return True
    return False


def _paint_shape(
    rng: np.random.Generator,
    canvas: np.ndarray,
    alpha: np.ndarray,
    inside: np.ndarray,
    shape: _Shape,
    window: Window,
    contrast: float,
    scale: float,
) -> None:
    """Lays the shape on its window of the canvas: one colour, smooth noise in a random hue, maybe stripes."""
    colour = drawing.contrasting_colour(rng, canvas[inside].mean(axis=0), contrast)
    hue = np.float32(0.3) * rng.random(3, dtype=np.float32)
    texture = colour + drawing.smooth_noise(rng, alpha.shape, 8 * scale)[:, :, None] * hue  # [h, w, 3]
    if rng.random() < _STRIPES:
        x, y = window.offsets(shape.x, shape.y)
        frequency, angle = rng.uniform(0.5, 1.2) / scale, rng.uniform(0, np.pi)  # radians per pixel
        wave = np.sin(np.float32(frequency * np.cos(angle)) * x + np.float32(frequency * np.sin(angle)) * y)
        texture += np.float32(0.1) * wave[:, :, None]
    drawing.paint(canvas, alpha, texture)
