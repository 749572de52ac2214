"""Smooth shapes on a picture: masks, rectangles, joints and names, each blended in by its coverage.

A canvas is a float32 array [H,W,3], 0 to 255, drawn on in place. Every shape is computed as a coverage between 0
and 1 in a small window, from the distance to its edge, so it is smooth without drawing anything larger first.
Colours are Okabe and Ito's (2008), which people with any form of colour blindness can tell apart.

Letters: H W size, N objects, J joints, P places for a name. Points are continuous canvas pixels (x, y); the
centre of pixel (i, j) is (j + 0.5, i + 0.5). Read next: visualize.py, which draws detections with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Colour = np.ndarray | float  # [3], or one number for a grey

_HEX = "e69f00 56b4e9 009e73 f0e442 0072b2 d55e00 cc79a7"  # orange, sky, green, yellow, blue, red, purple
PALETTE = np.array([list(bytes.fromhex(colour)) for colour in _HEX.split()], dtype=np.float32)
RIMS = (20.0, 255.0, 130.0)  # greys around the outlines of objects 0-6, 7-13, 14-20, and again


def paint(number: int) -> tuple[np.ndarray, float]:
    """Colour and rim of an object by its number: 21 pairs, then they return."""
    return PALETTE[number % len(PALETTE)], RIMS[number // len(PALETTE) % len(RIMS)]


def blend(canvas: np.ndarray, coverage: np.ndarray, left: int, top: int, colour: Colour) -> None:
    """Lay ``colour`` on the canvas where ``coverage`` [h,w], whose corner lies at (left, top), says so."""
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + coverage.shape[1], canvas.shape[1]), min(top + coverage.shape[0], canvas.shape[0])
    if x1 < x2 and y1 < y2:
        window = canvas[y1:y2, x1:x2]
        window += coverage[y1 - top : y2 - top, x1 - left : x2 - left, None] * (colour - window)


def draw_mask(
    canvas: np.ndarray, mask: np.ndarray, scale: float, colour: Colour, rim: Colour, fill: float, line: float
) -> None:
    """A mask, bool [H,W] of the image that the canvas is ``scale`` times of: a clear fill and an outline."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return
    margin = 2 + round(5 * line / scale)
    crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    crop = np.pad(crop, margin).astype(np.uint8) * 255
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    # A blurred mask falls from 1 to 0 across its edge: its height over 1/2 tells the distance to the edge.
    enlarged, blur = Image.fromarray(crop).resize(size, Image.Resampling.BILINEAR), 1.5 * line
    height = np.asarray(enlarged.filter(ImageFilter.GaussianBlur(blur)), dtype=np.float32) / 255
    distance = np.abs(height - 0.5) * 2.5 * blur  # canvas pixels, as the edge is 1 / (sqrt(2 pi) blur) steep
    left, top = round((columns[0] - margin) * scale), round((rows[0] - margin) * scale)
    blend(canvas, fill * np.asarray(enlarged, dtype=np.float32) / 255, left, top, colour)
    blend(canvas, 0.7 * (line / 2 + 1.2 - distance).clip(0, 1), left, top, rim)
    blend(canvas, (line / 2 + 0.5 - distance).clip(0, 1), left, top, colour)


def draw_rectangle(
    canvas: np.ndarray,
    box: np.ndarray,
    colour: Colour,
    *,
    line: float = 0,
    radius: float = 0,
    alpha: float = 1,
) -> None:
    """A rectangle [x1, y1, x2, y2] with round corners: its outline of width ``line``, or filled where that is 0."""
    left, top, x, y = _window(canvas, box[:2], box[2:], line)
    (centre_x, centre_y), (half_x, half_y) = (
        (box[:2] + box[2:]) / 2,
        np.maximum((box[2:] - box[:2]) / 2, radius),
    )
    beyond_x = np.abs(x - centre_x) - half_x + radius
    beyond_y = np.abs(y - centre_y) - half_y + radius
    corner = np.hypot(beyond_x.clip(0), beyond_y.clip(0))
    distance = corner + np.maximum(beyond_x, beyond_y).clip(max=0) - radius  # to the edge; below 0 inside
    if line > 0:
        distance = np.abs(distance) - line / 2
    blend(canvas, alpha * (0.5 - distance).clip(0, 1), left, top, colour)


def draw_stroke(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, width: float, colour: Colour) -> None:
    """A line with round ends from ``start`` to ``end`` (x, y); a disc where they are equal."""
    left, top, x, y = _window(canvas, np.minimum(start, end), np.maximum(start, end), width)
    x, y, along = x - start[0], y - start[1], end - start
    share = ((x * along[0] + y * along[1]) / max(float(along @ along), 1e-9)).clip(0, 1)  # 0 at start, 1 at end
    distance = np.hypot(x - share * along[0], y - share * along[1])
    blend(canvas, (width / 2 + 0.5 - distance).clip(0, 1), left, top, colour)


def draw_joints(
    canvas: np.ndarray,
    joints: np.ndarray,
    skeleton: Sequence[tuple[int, int]],
    colour: Colour,
    rim: Colour,
    unit: float,
) -> None:
    """Joints [J,3] in canvas pixels: limbs, then discs (third value 2) and rings (1); 0 is left out."""
    points, visible = joints[:, :2], joints[:, 2]
    for width, ink in ((5 * unit, rim), (3 * unit, colour)):
        for first, second in skeleton:
            if visible[first] > 0 and visible[second] > 0:
                draw_stroke(canvas, points[first], points[second], width, ink)
    for point, visibility in zip(points, visible):
        if visibility > 0:
            draw_stroke(canvas, point, point, 9 * unit, rim)
            draw_stroke(canvas, point, point, 6.5 * unit, colour)
        if visibility == 1:
            draw_stroke(canvas, point, point, 4 * unit, rim)


def draw_labels(
    canvas: np.ndarray, boxes: np.ndarray, texts: Sequence[str], numbers: Sequence[int], unit: float
) -> None:
    """Names on plates in the objects' colours, beside each box [N,4] where they hide least.

    A name that would hide another one is left out.
    """
    size = round(13 * unit)
    plates = np.zeros((0, 4))  # of the names so far
    areas = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1)
    for (x1, y1, x2, y2), text, number in zip(boxes, texts, numbers):
        width, height = np.add(text_size(text, size), (round(8 * unit), round(2 * unit)))
        left, right, above = x1 - width, x2 - width, y1 - height
        places = [(x1, above), (right, above), (x1, y2), (right, y2), (x2, y1), (left, y1), (x1, y1)]
        corners = np.clip(np.round(places), 0, np.subtract(canvas.shape[1::-1], (width, height)).clip(0))
        here = np.concatenate([corners, corners + (width, height)], axis=1)  # [P,4]
        hidden_names = _shared(here, plates).sum(axis=1) / (width * height)  # [P], in plates
        hidden_objects = (_shared(here, boxes) / areas).sum(axis=1)  # [P], in objects
        best = int((10 * hidden_names + hidden_objects + 0.05 * np.arange(len(places))).argmin())
        if hidden_names[best] > 0.05:
            continue
        plates = np.concatenate([plates, here[best : best + 1]])
        colour, _ = paint(number)
        ink = 0.0 if colour @ (0.299, 0.587, 0.114) > 120 else 255.0  # black or white, by the plate's brightness
        draw_rectangle(canvas, here[best], colour, radius=3 * unit, alpha=0.92)
        draw_text(canvas, text, int(corners[best, 0]) + round(4 * unit), int(corners[best, 1]), size, ink)


def text_size(text: str, size: int) -> tuple[int, int]:
    """Width and height in pixels of a line of type; the height is the same for all texts."""
    return int(np.ceil(_font(size).getlength(text))), round(1.25 * size)


def draw_text(canvas: np.ndarray, text: str, left: int, top: int, size: int, colour: Colour) -> None:
    """A line of type whose upper left corner is (left, top)."""
    width, height = text_size(text, size)
    picture = Image.new("L", (width + size, height + size))
    ImageDraw.Draw(picture).text((0, 0), text, font=_font(size), fill=255)
    blend(canvas, np.asarray(picture, dtype=np.float32) / 255, left, top, colour)


def _shared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Areas that boxes [A,4] and [B,4] have in common: [A,B]."""
    sides = np.minimum(first[:, None, 2:], second[:, 2:]) - np.maximum(first[:, None, :2], second[:, :2])
    return sides.clip(0).prod(axis=2)


def _window(
    canvas: np.ndarray, least: np.ndarray, most: np.ndarray, margin: float
) -> tuple[int, int, np.ndarray, np.ndarray]:
    """The part of the canvas around a shape: its corner left, top, and its pixel centres x [1,w], y [h,1]."""
    limits = np.asarray(canvas.shape[1::-1])
    left, top = np.floor(least - margin - 1).clip(0, limits).astype(int).tolist()
    right, bottom = np.ceil(most + margin + 1).clip(0, limits).astype(int).tolist()
    x = np.arange(left, right, dtype=np.float32) + 0.5
    y = np.arange(top, bottom, dtype=np.float32) + 0.5
    return left, top, x[None, :], y[:, None]


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans, which matplotlib brings along and which has nearly every letter; else Pillow's own."""
    try:
        import matplotlib

        return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
    except (ImportError, OSError):
        return ImageFont.load_default(size)
