"""Pictures of what a model finds: detections or targets drawn on their image, and sheets of such panels.

`draw` makes one picture, `side_by_side` pairs of truth and prediction, `contact_sheet` any grid. Nothing here
needs a window or a notebook. Letters: N objects, H W size of the image, J keypoints, G true objects.
Read next: canvas.py for how shapes are drawn; prediction.py, which writes such pictures for whole folders.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from .canvas import draw_joints, draw_labels, draw_mask, draw_rectangle, draw_text, paint
from .files import atomic

COCO_SKELETON = (  # pairs of COCO's 17 joints, from 0: legs and trunk, arms, head
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12)),
    *((5, 6), (5, 7), (6, 8), (7, 9), (8, 10)),
    *((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
MOST_LABELS = 40  # a picture with more objects gets no names: they would hide it


def draw(
    image: Any,
    instances: Mapping[str, Any],
    class_names: Sequence[str] = (),
    *,
    masks: bool = True,
    boxes: bool = True,
    labels: bool = True,
    scores: bool = True,
    keypoints: bool = True,
    skeleton: Sequence[tuple[int, int]] | None = None,
    colours: Sequence[int] | None = None,
    scale: float | None = None,
) -> np.ndarray:
    """Detections or a target drawn on their image: uint8 [H*scale, W*scale, 3].

    Args:
        image: float tensor [3,H,W] in 0..1; or uint8, a tensor [3,H,W] or an array [H,W,3].
        instances: boxes [N,4], and whatever there is of labels [N], scores [N], masks [N,H,W] (or torchvision's
            [N,1,H,W]) and keypoints [N,J,3]. Joints with third value 0 are not drawn, hidden ones (a target's
            1) as rings.
        class_names: by label; a label without a name is written as a number. Names stand where they hide
            least, and are left out where they would hide another.
        skeleton: pairs of joints to connect; None: COCO's for 17 joints, else none.
        colours: a number per object, equal numbers in equal colours; None: counted through.
        scale: canvas pixels per image pixel; None: the whole number that brings small images near 512 pixels,
            and for images over 2048 pixels what brings them down to that.
    """
    pixels = to_pixels(image)
    found = {key: _to_array(instances[key]) for key in _SHOWN if instances.get(key) is not None}
    numbers = range(len(found["boxes"])) if colours is None else colours
    longest = max(pixels.shape[:2])
    scale = scale or (2048 / longest if longest > 2048 else max(1, round(512 / longest)))
    canvas = _enlarged(pixels, scale)
    unit = max(1.0, max(canvas.shape) / 900)  # lines and type grow with large pictures
    order = _large_to_small(found["boxes"])
    if masks and "masks" in found:
        for n in order:
            mask = found["masks"][n].reshape(found["masks"].shape[-2:]) > 0.5
            draw_mask(canvas, mask, scale, *paint(numbers[n]), fill=0.45, line=1.6 * unit)
    if boxes:
        for n in order:
            colour, _ = paint(numbers[n])
            draw_rectangle(canvas, found["boxes"][n] * scale, colour, line=1.4 * unit, radius=2 * unit)
    if keypoints and "keypoints" in found:
        if skeleton is None:
            skeleton = COCO_SKELETON if found["keypoints"].shape[1] == 17 else ()
        # WHY: a detection has 1 for every joint, which in a target means hidden.
        in_canvas = found["keypoints"] * (scale, scale, 2 if "scores" in found else 1)  # [N,J,3]
        for n in order:
            draw_joints(canvas, in_canvas[n], skeleton, *paint(numbers[n]), unit)
    if labels and "labels" in found and len(order) <= MOST_LABELS:
        texts = [_label(found, n, class_names, scores) for n in range(len(order))]
        draw_labels(canvas, found["boxes"] * scale, texts, numbers, unit)
    return (canvas + 0.5).clip(0, 255).astype(np.uint8)


def side_by_side(
    images: Sequence[Any],
    predictions: Sequence[Mapping[str, Any]],
    truths: Sequence[Mapping[str, Any]],
    class_names: Sequence[str] = (),
    path: str | Path | None = None,
    *,
    title: str = "",
    columns: int = 2,
    panel: int = 384,
    **options: Any,
) -> np.ndarray:
    """A sheet of pairs, the truth left and the prediction right; what was found has the true object's colour.

    columns: pairs in a row. panel: longer side of each picture in pixels. options: as in `draw`.
    Returns uint8 [H,W,3] and, given a path, writes it as PNG.
    """
    panels, captions = [], []
    for image, prediction, truth in zip(images, predictions, truths, strict=True):
        scale = panel / max(to_pixels(image).shape[:2])
        matched = _matched_numbers(_to_array(prediction["boxes"]), _to_array(truth["boxes"]))
        panels.append(draw(image, truth, class_names, scale=scale, **options))
        panels.append(draw(image, prediction, class_names, scale=scale, colours=matched, **options))
        captions += [f"truth: {_count(truth)}", f"prediction: {_count(prediction)}"]
    return contact_sheet(panels, captions, path, title=title, columns=2 * columns, group=2)


def contact_sheet(
    panels: Sequence[np.ndarray],
    captions: Sequence[str] | None = None,
    path: str | Path | None = None,
    *,
    title: str = "",
    columns: int = 4,
    group: int = 1,
) -> np.ndarray:
    """Panels, uint8 [H,W,3] of any sizes, in a grid on white under a title, each below its caption.

    group: so many panels of a row stand close together, with wider gaps between the groups.
    Returns uint8 [H,W,3] and, given a path, writes it as PNG.
    """
    if not panels:
        raise ValueError("a contact sheet needs at least one panel")
    columns = min(columns, len(panels))
    gap, caption_height = 14, 22 if captions else 0
    width = max(panel.shape[1] for panel in panels)
    lefts = [gap + c * (width + 4) + c // group * gap for c in range(columns)]
    rows = [panels[first : first + columns] for first in range(0, len(panels), columns)]
    heights = [caption_height + max(panel.shape[0] for panel in row) + gap for row in rows]
    top = gap + (36 if title else 0)
    sheet = np.full((top + sum(heights), lefts[-1] + width + gap, 3), 255, dtype=np.float32)
    draw_text(sheet, title, gap, gap, 20, 20.0)
    for r, row in enumerate(rows):
        for c, (panel, left) in enumerate(zip(row, lefts)):
            if captions:
                draw_text(sheet, captions[r * columns + c], left, top, 14, 60.0)
            below = top + caption_height
            sheet[below : below + panel.shape[0], left : left + panel.shape[1]] = panel
        top += heights[r]
    picture = sheet.clip(0, 255).astype(np.uint8)
    if path is not None:
        save_png(picture, path)
    return picture


def save_png(picture: np.ndarray, path: str | Path) -> None:
    """Write uint8 [H,W,3] as PNG, whole or not at all; the folder is made if need be."""
    with atomic(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


def show(picture: Any, alt: str) -> None:
    """Put uint8 [H,W,3], or a matplotlib Figure, into a notebook's output, and under it what there is to see.

    The words are the picture's `alt` as well, but JupyterLab and most pages made of notebooks don't hand that on.
    """
    from IPython.display import Image as Shown  # WHY here: only notebooks have it
    from IPython.display import Markdown, display

    if hasattr(picture, "savefig"):
        file = io.BytesIO()
        picture.savefig(file, format="png", dpi=100, bbox_inches="tight")
        picture = np.asarray(Image.open(file).convert("RGB"))
    display(Shown(small_png(Image.fromarray(picture)), metadata={"alt": alt}))  # WHY not alt=: unknown to IPython 7
    words = re.sub(r"[\\`*_\[\]<>$#|]", r"\\\g<0>", alt)  # as they are, whatever Markdown makes of them
    display(Markdown(f"*{words}*"))


def small_png(picture: Image.Image) -> bytes:
    """A PNG file of 128 colours: a quarter of the bytes, and a notebook stays small enough to be shown on the web."""
    file = io.BytesIO()
    picture.convert("RGB").quantize(128).save(file, format="PNG", optimize=True)
    return file.getvalue()


def to_pixels(image: Any) -> np.ndarray:
    """An image, float tensor [3,H,W] in 0..1, or uint8 tensor [3,H,W] or array [H,W,3], as uint8 [H,W,3]."""
    array = _to_array(image)
    if isinstance(image, Tensor) and array.ndim == 3:
        array = array.transpose(1, 2, 0)  # [H,W,3]
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"expected a tensor [3,H,W] or an array [H,W,3], got {tuple(image.shape)}")
    if array.dtype != np.uint8:
        array = (array.astype(np.float32) * 255 + 0.5).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(array)


_SHOWN = ("boxes", "labels", "scores", "masks", "keypoints")


def _to_array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _enlarged(pixels: np.ndarray, scale: float) -> np.ndarray:
    """The image as a canvas: float32, ``scale`` times as large."""
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    method = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
    return np.array(Image.fromarray(pixels).resize(size, method), dtype=np.float32)


def _large_to_small(boxes: np.ndarray) -> list[int]:
    """Large objects first, so that small ones lie on top and stay visible."""
    return np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(axis=1), kind="stable").tolist()


def _count(instances: Mapping[str, Any]) -> str:
    count = len(instances["boxes"])
    return f"{count} object{'' if count == 1 else 's'}"


def _label(found: Mapping[str, np.ndarray], n: int, class_names: Sequence[str], scores: bool) -> str:
    label = int(found["labels"][n])
    name = class_names[label] if label < len(class_names) else f"class {label}"
    return f"{name} {found['scores'][n]:.2f}" if scores and "scores" in found else name


def _matched_numbers(predicted: np.ndarray, true: np.ndarray) -> list[int]:
    """For each predicted box [N,4] the true box [G,4] that it covers best (IoU over 0.5), else a new number."""
    numbers: list[int] = []
    for box in predicted.reshape(-1, 4):
        shared = (np.minimum(box[2:], true[:, 2:]) - np.maximum(box[:2], true[:, :2])).clip(0).prod(axis=1)  # [G]
        areas = (box[2:] - box[:2]).prod() + (true[:, 2:] - true[:, :2]).prod(axis=1)
        iou = shared / np.maximum(areas - shared, 1e-9)
        hit = iou.size > 0 and iou.max() > 0.5
        numbers.append(int(iou.argmax()) if hit else len(true) + sum(number >= len(true) for number in numbers))
    return numbers
