"""Exercises of chapter 00, labels: polygon, mask, run lengths and back; an entry of a COCO file; wrong labels by eye.

Letters: G objects, H W size of a picture.
Read next: `mrcnn_lite/data/outlines.py` and `coco_parts.py`, which read such files.
"""

# mypy: ignore-errors
# (The classes hold functions, not methods, and mypy would read the first argument as self.)

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import shapes
from ..data.instances import id_map_boxes, id_map_masks
from ..data.outlines import run_lengths as from_text
from .answers import call
from .exercise import WRONG, Exercise

Target = dict[str, Tensor]


def random_polygon(count: int, height: int, width: int, random: torch.Generator) -> list[float]:
    """A star-like polygon x1, y1, x2, y2, … around the middle, with so many corners; its sides don't cross."""
    angle = torch.rand(count, generator=random).sort().values * 2 * torch.pi
    reach = 0.35 + 0.6 * torch.rand(count, generator=random)
    x, y = width / 2 * (1 + reach * angle.cos()), height / 2 * (1 + reach * angle.sin())
    return torch.stack([x, y], 1).flatten().tolist()


def random_mask(height: int, width: int, random: torch.Generator) -> Tensor:
    return (torch.rand(height, width, generator=random) < 0.5).to(torch.uint8)


class polygon_mask(Exercise):
    text = """
**From polygons to a mask.** COCO draws an object as a list of polygons, `[x1, y1, x2, y2, …]` each, in pixels; an
object that is hidden in the middle has several. A pixel is the object's where its **centre** lies inside one of them:
give `[height, width]`, 1 there and 0 elsewhere.
"""
    minutes, difficulty = 20, 2
    hints = (
        "Walk to the right from a point: it is inside if you cross the polygon's sides an odd number of times.",
        "A side is crossed if one of its ends is above the point's row and the other is not, and it lies to the right.",
        "The centre of the pixel in row i and column j is (j + 0.5, i + 0.5). Polygons add up: `mask |= inside`.",
    )

    def answer(polygons, height, width):
        x, y = torch.arange(width) + 0.5, torch.arange(height)[:, None] + 0.5  # the pixels' centres
        mask = torch.zeros(height, width, dtype=torch.bool)
        for polygon in polygons:
            corners = torch.tensor(polygon).reshape(-1, 2)
            inside = torch.zeros_like(mask)
            for (x1, y1), (x2, y2) in zip(corners, corners.roll(-1, 0)):
                crossed = (y1 > y) != (y2 > y)  # [H, 1]; never of a side that lies level
                inside ^= crossed & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
            mask |= inside
        return mask

    def stub(polygons: list[list[float]], height: int, width: int) -> Tensor:
        """polygons [x1, y1, x2, y2, …] in pixels -> mask [height, width] of 0 and 1."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield [[1.0, 0, 3, 0, 3, 1, 1, 1]], 2, 4  # two pixels
        yield [[0.6, 0.4, 3.4, 0.4, 3.4, 2.6, 0.6, 2.6]], 3, 5
        yield [[0.2, 0.1, 4.9, 0.3, 0.3, 3.8]], 4, 6
        yield [[0.0, 0, 3, 0, 3, 3, 0, 3], [2.0, 1, 6, 1, 6, 4, 2, 4]], 4, 7  # they overlap
        yield [[0.0, 0, 1, 0, 1, 3, 0, 3], [4.0, 0, 6, 0, 6, 2, 4, 2]], 3, 6  # and are apart
        yield [[-2.3, -1.2, 7.9, 1.4, -2.2, 5.1]], 4, 5  # it leaves the picture
        yield [[1.6, 0.6, 2.4, 0.6, 2.4, 1.4, 1.6, 1.4]], 3, 4  # it holds no pixel's centre
        for corners in (5, 9):
            yield [random_polygon(corners, 9, 14, random)], 9, 14
        yield [random_polygon(6, 10, 8, random), random_polygon(7, 10, 8, random)], 10, 8

    class mistakes:
        def exchanged(polygons, height, width):
            """x and y are exchanged: each pair of a polygon is x, y, and x counts columns"""
            return polygon_mask.answer([np.reshape(p, (-1, 2))[:, ::-1].ravel() for p in polygons], height, width)

        def corner_for_centre(polygons, height, width):
            """the corner (j, i) stands for a pixel; its centre is half a pixel further, at (j + 0.5, i + 0.5)"""
            return polygon_mask.answer([[side + 0.5 for side in polygon] for polygon in polygons], height, width)

        def holes(polygons, height, width):
            """where two polygons overlap there is a hole; each is drawn for itself, and they add up"""
            drawn = [polygon_mask.answer([polygon], height, width).int() for polygon in polygons]
            return sum(drawn) % 2

        def first_only(polygons, height, width):
            """only the first polygon is drawn; an object may have several"""
            return polygon_mask.answer(polygons[:1], height, width)

        def whole_box(polygons, height, width):
            """the box around the polygon is filled; only what is inside the polygon should be"""
            return polygon_mask.answer([polygon_mask.box_around(polygon) for polygon in polygons], height, width)

        def with_outline(polygons, height, width):
            """pixels that the outline touches are in it too, as PIL draws them; their centres should lie inside"""
            from PIL import Image, ImageDraw

            image = Image.new("L", (width, height))
            for polygon in polygons:
                ImageDraw.Draw(image).polygon([float(side) for side in polygon], fill=1)
            return np.asarray(image)

    class unusual:
        def by_matplotlib_in_float64(polygons, height, width):
            from matplotlib.path import Path

            centres = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), 2).reshape(-1, 2)
            inside = [Path(np.reshape(p, (-1, 2))).contains_points(centres) for p in polygons]
            return np.any(inside, axis=0).reshape(height, width).astype(np.float64)

        def row_by_row(polygons, height, width):
            mask = torch.zeros(height, width)
            for polygon, i in itertools.product(polygons, range(height)):
                points, y, crossings = list(zip(polygon[::2], polygon[1::2])), i + 0.5, []
                for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1]):
                    if min(y1, y2) <= y < max(y1, y2):
                        crossings.append(x1 + (y - y1) * (x2 - x1) / (y2 - y1))
                crossings.sort()
                for left, right in zip(crossings[::2], crossings[1::2]):
                    for j in range(width):
                        if left <= j + 0.5 < right:
                            mask[i, j] = 1
            return mask

    @staticmethod
    def box_around(polygon: Sequence[float]) -> list[float]:
        """The polygon's box, as a polygon."""
        (x1, y1), (x2, y2) = np.reshape(polygon, (-1, 2)).min(0), np.reshape(polygon, (-1, 2)).max(0)
        return [x1, y1, x2, y1, x2, y2, x1, y2]


class run_lengths(Exercise):
    text = """
**From a mask to run lengths** (RLE): `mask [H, W]` of 0 and 1 → a list of whole numbers. Read the mask **down its
first column**, then down the second, and so on, and count: so many 0, so many 1, so many 0 … The first number counts
**zeros**, also where there are none; together they are H · W.
"""
    minutes, difficulty = 15, 1
    hints = (
        "`mask.T.flatten()` is the mask column by column; flattening alone would read its rows.",
        "Begin with `counts = [0]` and the value 0. Another value appends a 0; each pixel adds 1 to the last.",
    )

    def answer(mask):
        counts, value = [0], 0
        for pixel in mask.T.flatten().tolist():
            if pixel != value:
                counts.append(0)
                value = pixel
            counts[-1] += 1
        return counts

    def stub(mask: Tensor) -> list[int]:
        """mask [H, W] of 0 and 1 -> lengths of its runs, down the columns, zeros first."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        for rows in (["0"], ["1"], ["01", "01"], ["010", "110"], ["100", "000"], ["0000", "0110"], ["111", "111"]):
            yield (torch.tensor([[int(pixel) for pixel in row] for row in rows], dtype=torch.uint8),)
        yield (torch.zeros(2, 3, dtype=torch.uint8),)
        for height, width in ((3, 4), (5, 2), (6, 9), (8, 5)):
            yield (random_mask(height, width, random),)

    class mistakes:
        def by_rows(mask):
            """the mask is read row by row; COCO's run lengths go down the columns"""
            return run_lengths.answer(mask.T)

        def no_zero_first(mask):
            """a mask that begins with a 1 needs a 0 in front: the first number always counts zeros"""
            counts = run_lengths.answer(mask)
            return counts if counts[0] else counts[1:]

        def ones_first(mask):
            """the first number counts ones; it should count the zeros in front of them"""
            return run_lengths.answer(1 - mask)

        def last_zeros_left_out(mask):
            """the zeros after the last object's pixel are left out; all numbers together are H * W"""
            counts = run_lengths.answer(mask)
            return counts[: len(counts) // 2 * 2]

        def starts_and_lengths(mask):
            """these are pairs of start and length, another format (Kaggle's); give the lengths alone, of zeros too"""
            counts = run_lengths.answer(mask)
            starts = list(itertools.accumulate(counts))
            return [n for pair in zip(starts[::2], counts[1::2]) for n in (pair[0] + 1, pair[1])]

    class unusual:
        def grouped(mask):
            runs = [(value, len(list(run))) for value, run in itertools.groupby(mask.T.reshape(-1).tolist())]
            return ([0] if runs[0][0] else []) + [length for _, length in runs]

        def from_differences_in_numpy(mask):
            pixels = np.concatenate([[0], np.asarray(mask).ravel(order="F").astype(int)])
            ends = np.append(np.flatnonzero(np.diff(pixels)), len(pixels) - 1)
            return np.diff(ends, prepend=0)

        def with_pycocotools(mask):
            from pycocotools import mask as rle

            return torch.from_numpy(from_text(rle.encode(np.asfortranarray(mask))["counts"]))


class mask_of_runs(Exercise):
    text = """
**And back:** `segmentation` is a dictionary as a COCO file holds it for crowds, `{"size": [height, width], "counts":
[zeros, ones, zeros, …]}` → the mask `[height, width]` of 0 and 1. The numbers go down the columns.
"""
    minutes, difficulty = 10, 2
    hints = (
        "The values are 0, 1, 0, 1, …; `repeat_interleave` repeats each of them as often as its count says.",
        "The first `height` of these pixels are the first column: reshape to (width, height), then transpose.",
    )

    def answer(segmentation):
        height, width = segmentation["size"]
        counts = torch.tensor(segmentation["counts"])
        pixels = (torch.arange(len(counts)) % 2).repeat_interleave(counts)
        return pixels.reshape(width, height).T

    def stub(segmentation: dict[str, list[int]]) -> Tensor:
        """{"size": [height, width], "counts": [zeros, ones, …]} -> mask [height, width] of 0 and 1."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield ({"size": [1, 3], "counts": [1, 1, 1]},)
        yield ({"size": [2, 3], "counts": [1, 2, 3]},)
        yield ({"size": [2, 3], "counts": [0, 1, 5]},)
        yield ({"size": [2, 3], "counts": [6]},)
        yield ({"size": [3, 2], "counts": [0, 6]},)
        for height, width in ((2, 5), (4, 3), (7, 6)):
            mask = random_mask(height, width, random)
            yield ({"size": [height, width], "counts": run_lengths.answer(mask)},)

    class mistakes:
        def by_rows(segmentation):
            """the pixels are put down row by row; COCO's go down the columns"""
            return mask_of_runs.pixels(segmentation).reshape(segmentation["size"])

        def not_transposed(segmentation):
            """the columns lie as rows: transpose, so that the mask is [height, width]"""
            return mask_of_runs.answer(segmentation).T

        def width_first(segmentation):
            """`size` is read as width, height; it is height, width"""
            return mask_of_runs.answer(segmentation | {"size": segmentation["size"][::-1]})

        def ones_first(segmentation):
            """ones and zeros are exchanged: the first number counts zeros"""
            return 1 - mask_of_runs.answer(segmentation)

        def starts_and_lengths(segmentation):
            """the numbers are taken for pairs of start and length; they are lengths only, zeros and ones in turn"""
            counts, pixels = segmentation["counts"], mask_of_runs.pixels(segmentation) * 0
            for start, length in zip(counts[::2], counts[1::2]):
                pixels[start : start + length] = 1
            return pixels.reshape(segmentation["size"][::-1]).T

    class unusual:
        def in_columns_in_float64(segmentation):
            pixels = np.concatenate([np.full(n, k % 2, np.float64) for k, n in enumerate(segmentation["counts"])])
            return pixels.reshape(segmentation["size"], order="F")

        def one_by_one(segmentation):
            height, width = segmentation["size"]
            mask, place = [[False] * width for _ in range(height)], 0
            for k, count in enumerate(segmentation["counts"]):
                for place in range(place, place + count):  # noqa: B020
                    mask[place % height][place // height] = k % 2 == 1
                place += count > 0
            return mask

        def with_pycocotools(segmentation):
            from pycocotools import mask as rle

            return rle.decode(rle.frPyObjects(segmentation, *segmentation["size"]))

    @staticmethod
    def pixels(segmentation: dict[str, Any]) -> Tensor:
        """All pixels, down the columns."""
        return mask_of_runs.answer(segmentation).T.flatten()


class coco_objects(Exercise):
    text = """
**Read a COCO file's entries**: `annotations` of one picture → `(boxes [G, 4], labels [G])` of its target. Three things
to mind: `bbox` is **x, y, width, height**; `category_id` has gaps, and becomes 1, 2, … in the order of the **ids** in
`categories`; entries with `iscrowd` 1 are regions and no objects: leave them out. A picture without objects gives
`[0, 4]` and `[0]`.
"""
    minutes, difficulty = 15, 2
    hints = (
        "First the map: `{id: label}`, from `enumerate` over the sorted ids of `categories`, beginning with 1.",
        "x2 is x + width. `torch.tensor(list).reshape(-1, 4)` has the right shape for an empty list as well.",
    )

    def answer(annotations, categories):
        label_of = {number: label for label, number in enumerate(sorted(c["id"] for c in categories), start=1)}
        objects = [a for a in annotations if not a["iscrowd"]]
        boxes = torch.tensor([a["bbox"] for a in objects], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return boxes, torch.tensor([label_of[a["category_id"]] for a in objects], dtype=torch.int64)

    def stub(annotations: list[dict], categories: list[dict]) -> tuple[Tensor, Tensor]:
        """annotations of bbox, category_id, iscrowd; categories of id -> boxes [G, 4], labels [G]."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        known = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}, {"id": 90, "name": "toothbrush"}]

        def entry(box, category, crowd=0):
            return {"bbox": box, "category_id": category, "iscrowd": crowd}

        yield [entry([2.0, 3.0, 5.0, 4.0], 1)], known
        yield [entry([0.0, 0.0, 7.5, 2.5], 18)], known
        yield [entry([6.0, 1.0, 3.0, 2.0], 90), entry([1.0, 1.0, 4.0, 4.0], 18)], known
        yield [entry([1.0, 2.0, 9.0, 9.0], 1, crowd=1), entry([4.0, 4.0, 2.0, 1.0], 1)], known
        yield [], known
        yield [entry([0.0, 0.0, 9.0, 9.0], 18, crowd=1)], known
        for count in (3, 6):
            boxes = (torch.rand(count, 4, generator=random) * 50 + 1).round(decimals=1).tolist()
            ids = torch.randint(0, 3, (count,), generator=random).tolist()
            yield [entry(box, known[k]["id"], int(n == 1)) for n, (box, k) in enumerate(zip(boxes, ids))], known

    class mistakes:
        def width_for_x2(annotations, categories):
            """the boxes are still x, y, width, height; x2 is x + width, y2 is y + height"""
            boxes, labels = coco_objects.answer(annotations, categories)
            return torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1), labels

        def last_pixel(annotations, categories):
            """x2 and y2 are one too small: x2 is x + width, without - 1"""
            boxes, labels = coco_objects.answer(annotations, categories)
            return boxes - torch.tensor([0.0, 0, 1, 1]), labels

        def ids_for_labels(annotations, categories):
            """the labels are the file's ids, which have gaps; number them through from 1"""
            boxes, _ = coco_objects.answer(annotations, categories)
            return boxes, torch.tensor([a["category_id"] for a in annotations if not a["iscrowd"]])

        def labels_from_zero(annotations, categories):
            """the labels begin with 0, which is the background's"""
            boxes, labels = coco_objects.answer(annotations, categories)
            return boxes, labels - 1

        def in_the_files_order(annotations, categories):
            """the labels follow the order in which the categories are written; sort their ids first"""
            numbers = {category["id"]: place for place, category in enumerate(categories)}
            renamed = [a | {"category_id": numbers[a["category_id"]]} for a in annotations]
            return coco_objects.answer(renamed, [{"id": place} for place in numbers.values()])

        def crowds_too(annotations, categories):
            """regions with `iscrowd` 1 are taken for objects; leave them out"""
            return coco_objects.answer([a | {"iscrowd": 0} for a in annotations], categories)

        def shape_of_nothing(annotations, categories):
            """without objects the boxes have the shape (0,); it must be (0, 4): `reshape(-1, 4)`"""
            boxes, labels = coco_objects.answer(annotations, categories)
            return torch.tensor(boxes.tolist()), labels

    class unusual:
        def in_numpy_in_float64(annotations, categories):
            ids = np.sort([category["id"] for category in categories])
            kept = [a for a in annotations if a["iscrowd"] == 0]
            corners = np.array([a["bbox"] for a in kept]).reshape(len(kept), 4) @ [
                [1.0, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]
            ]  # fmt: skip
            return corners, np.searchsorted(ids, [a["category_id"] for a in kept]) + 1

        def one_by_one(annotations, categories):
            boxes, labels = torch.zeros(len(annotations), 4, dtype=torch.float64), []
            for annotation in annotations:
                if not annotation["iscrowd"]:
                    x, y, width, height = annotation["bbox"]
                    boxes[len(labels)] = torch.tensor([x, y, x + width, y + height])
                    labels.append(1 + sum(category["id"] < annotation["category_id"] for category in categories))
            return [boxes[: len(labels)], labels]


class label_errors(Exercise):
    text = """
**Find three wrong labels.** Three of the nine pictures above have one error each. Say which, and what it is: `"box"`
(a box as x, y, width, height), `"masks"` (two masks in another order than their boxes), `"class"` (a wrong name) or
`"missing"` (an object without a label). Give a dictionary from the picture's number to the error.
"""
    minutes, difficulty = 10, 2
    hints = (
        "A mask, its box and its name have one colour. Do they lie on each other, in each picture?",
        "A shape that another covers has a mask of its visible part only: that is no error. Now read the names.",
    )

    def answer():
        return {
            1: "box",  # the cross: its box ends in the middle of it, at (width, height) instead of (x2, y2)
            3: "class",  # the star at the left: no program can know, mask and box are right
            7: "masks",  # each mask lies in the other object's box
        }

    @classmethod
    def judge(cls, attempt):
        """As ever, but without the expected answer, which would give all away: only how many are right."""
        verdict = super().judge(attempt)
        if verdict.status != WRONG:
            return verdict
        found, expected = call(attempt, ()), cls.answer()
        found = found if isinstance(found, dict) else {}
        right = sum(found.get(number) == error for number, error in expected.items())
        cause = verdict.text.splitlines()[0].partition(" inputs.")[2]
        return verdict._replace(text=f"label_errors: {right} of {len(expected)} are right, {len(found)} given.{cause}")

    def stub() -> dict[int, str]:
        """-> {number of the picture: "box", "masks", "class" or "missing", …}, three of them."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield ()

    class mistakes:
        def counted_from_one():
            """the pictures are counted from 1; their numbers stand above them, from 0"""
            return {number + 1: error for number, error in label_errors.answer().items()}

        def box_and_masks():
            """the two that a program could find are exchanged: is one box wrong, or is each mask in the other's box?"""
            exchanged = {"box": "masks", "masks": "box"}
            return {number: exchanged.get(error, error) for number, error in label_errors.answer().items()}

        def missing_for_class():
            """every shape has a label; is each of them the right one?"""
            renamed = {"class": "missing"}
            return {number: renamed.get(error, error) for number, error in label_errors.answer().items()}

        def only_what_a_program_finds():
            """two are right, those that a program finds as well; the third needs eyes: read the names"""
            return {number: error for number, error in label_errors.answer().items() if error != "class"}

        def covered_shapes():
            """a covered shape is taken for an error; its mask and box are those of the part that is seen"""
            return label_errors.answer() | {0: "masks"}

    class unusual:
        def in_another_order():
            return dict(reversed(label_errors.answer().items()))

        def zipped_numpy_numbers():
            return dict(zip(np.array([7, 1, 3]), ("masks", "box", "class")))


PLANTED = (18, 14, 16, 9, 26, 6, 31, 27, 39)  # pictures of the seed below, chosen by eye: covered shapes and clear ones
PLANTED_SEED = 2017


def planted() -> tuple[list[Tensor], list[Target]]:
    """Nine pictures [3, H, W] in 0..1 and their targets, of which three hold one error each."""
    images, targets = [], []
    for index in PLANTED:
        drawing = shapes.draw(index, seed=PLANTED_SEED)
        boxes, labels = id_map_boxes(drawing.ids, len(drawing.labels)), torch.from_numpy(drawing.labels).long()
        masks = torch.from_numpy(id_map_masks(drawing.ids, boxes))
        images.append(torch.from_numpy(drawing.image).permute(2, 0, 1) / 255)
        targets.append({"boxes": torch.from_numpy(boxes).float(), "labels": labels, "masks": masks})
    cross = int(targets[1]["boxes"][:, 0].argmin())
    targets[1]["boxes"][cross, 2:] -= targets[1]["boxes"][cross, :2]
    star = shapes.CLASS_NAMES.index("star")
    targets[3]["labels"][targets[3]["labels"] == star] = shapes.CLASS_NAMES.index("triangle")
    targets[7]["masks"] = targets[7]["masks"].flip(0)
    return images, targets
