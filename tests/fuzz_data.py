"""Four kinds of input that describe pictures: COCO JSON, run lengths and polygons, label pictures, picture files.

Read next: `fuzz_model.py`, the other four.
"""

from __future__ import annotations

import io
import json
import warnings
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import fuzz_rules as rules
import numpy as np
from fuzz_mutations import BIG_ENDIAN_EDGES, json_text, mutate_bytes, mutate_png, mutate_tree
from fuzz_seeds import SIZE, Kind, Mutant, coco_tree, masks, parsed, picture
from PIL import Image
from pycocotools import mask as rle

from mrcnn_lite.checks import check_batch
from mrcnn_lite.data.coco import CocoJson
from mrcnn_lite.data.coco_parts import encode_segmentation
from mrcnn_lite.data.label_png import LabelPictures
from mrcnn_lite.data.pictures import read_picture
from mrcnn_lite.prediction import MAX_PIXELS, read_image

# ---- COCO JSON -------------------------------------------------------------------------------------------


class CocoFiles(Kind):
    """A COCO JSON with its pictures, read as training reads it."""

    name = "COCO JSON"
    parser = "JSON parsed, to an object with images, annotations and categories"
    named = r"instances_val\.json|\.png|image \d"

    def mutate(self, random: Random, folder: Path) -> Mutant:
        for number in (7, 9):
            if not (folder / f"{number}.png").exists():
                Image.fromarray(picture()).save(folder / f"{number}.png")
        tree = coco_tree()
        if random.random() < 0.3:  # without keypoints
            for record in (*tree["annotations"], *tree["categories"]):
                record.pop("keypoints")
        file = folder / "instances_val.json"
        file.write_bytes(json_text(mutate_tree(tree, random), random))
        return {"file": file, "folder": folder}

    def past(self, mutant: Mutant) -> bool:
        return {"images", "annotations", "categories"} <= set(parsed(mutant["file"], dict))

    def call(self, mutant: Mutant) -> Any:
        dataset = CocoJson(mutant["file"], mutant["folder"])
        samples = [dataset[i] for i in range(len(dataset))]
        heads = ("mask",) * dataset.has_masks + ("keypoint",) * bool(dataset.num_keypoints)
        for image, one in samples:
            check_batch([image], [one], len(dataset.class_names), heads, dataset.num_keypoints)
        return dataset, samples, dataset.coco_ground_truth()

    def check(self, mutant: Mutant, result: Any) -> None:
        dataset, samples, truth = result
        heads = ("mask",) * dataset.has_masks + ("keypoint",) * bool(dataset.num_keypoints)
        for i, (image, one) in enumerate(samples):
            rules.good_batch([image], [one], len(dataset.class_names), heads, dataset.num_keypoints)
            path = (mutant["folder"] / dataset.image_name(i)).resolve()
            assert path.is_relative_to(mutant["folder"].resolve()), f"accepted the picture {path}"
        json.dumps(truth, allow_nan=False)
        assert all(isinstance(name, str) for name in dataset.class_names)


# ---- segmentations ---------------------------------------------------------------------------------------


class RunLengths(Kind):
    """Polygons and run lengths, handed to what turns them into masks."""

    name = "RLE"
    parser = "a list, or an object with size and counts"
    named = r"image 7, annotation 5"

    def mutate(self, random: Random, folder: Path) -> Mutant:
        tree = coco_tree()
        outline = random.choice([annotation["segmentation"] for annotation in tree["annotations"]])
        kind = random.randrange(4)
        if kind == 0 and isinstance(outline, dict):
            counts = outline["counts"]
            if isinstance(counts, str):
                signs = mutate_bytes(counts.encode(), random).decode("latin1")
                outline["counts"] = random.choice(
                    (signs, counts + chr(48 + random.randrange(64)), counts[:-1], signs.encode("latin1"))
                )
            else:  # the sum stays
                i, j, moved = random.randrange(len(counts)), random.randrange(len(counts)), random.randint(0, 40)
                counts[i], counts[j] = counts[i] + moved, counts[j] - moved
        elif kind == 1 and isinstance(outline, list):
            factor, shift = random.choice((-1, 0, 0.1, 1.001, 5, 11, 100, 1e6)), random.choice((0, 0.5, -3, 400))
            outline = [[value * factor + shift for value in part] for part in outline]
        else:
            changed = mutate_tree({"segmentation": outline}, random)
            outline = changed.get("segmentation") if isinstance(changed, dict) else changed
        sizes = (*(SIZE,) * 8, (1, 1), (1, 768), (768, 1), (32, 24), (4000, 4000))
        return {"segmentation": outline, "size": random.choice(sizes)}

    def past(self, mutant: Mutant) -> bool:
        outline = mutant["segmentation"]
        return isinstance(outline, list) or (isinstance(outline, dict) and {"size", "counts"} <= outline.keys())

    def call(self, mutant: Mutant) -> Any:
        return rle.decode(encode_segmentation(mutant["segmentation"], *mutant["size"], "image 7, annotation 5"))

    def check(self, mutant: Mutant, result: Any) -> None:
        outline = mutant["segmentation"]
        assert result.shape == mutant["size"] and set(np.unique(result)) <= {0, 1}, f"made {result.shape} of {outline}"
        if isinstance(outline, dict):
            counts = outline["counts"]
            rules.good_runs(counts.decode() if isinstance(counts, bytes) else counts, mutant["size"])
            return
        corners = [part for part in outline if len(part) >= 6]
        rows, columns = np.nonzero(result)
        if not corners:
            assert not len(rows)
        elif len(rows):
            x, y = ([value for part in corners for value in part[start::2]] for start in (0, 1))
            assert all(np.isfinite(x)) and all(np.isfinite(y)), f"accepted {outline}"
            assert min(x) - 1 <= columns.min() and columns.max() <= max(x) + 1, "drawn outside of the polygon"
            assert min(y) - 1 <= rows.min() and rows.max() <= max(y) + 1, "drawn outside of the polygon"


# ---- label pictures --------------------------------------------------------------------------------------


class LabelPngs(Kind):
    """A label picture beside its picture, read as training reads it."""

    name = "label PNG"
    parser = "PNG header read"
    named = r"a\.png"

    def mutate(self, random: Random, folder: Path) -> Mutant:
        for name in ("images", "masks"):
            (folder / name).mkdir(exist_ok=True)
        Image.fromarray(picture()).save(folder / "images" / "a.png")
        ids = (masks() * np.array([1, 2], np.uint8)[:, None, None]).max(0)
        mode = random.choice(("L", "I;16", "P", "1", "RGB", "I"))
        image = (
            Image.fromarray(ids.astype(np.uint16) * 300) if mode.startswith("I") else Image.fromarray(ids).convert(mode)
        )
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        data = buffer.getvalue()
        file = folder / "masks" / "a.png"
        file.write_bytes(mutate_png(data, random) if random.random() < 0.8 else mutate_bytes(data, random))
        return {"file": file, "folder": folder}

    def past(self, mutant: Mutant) -> bool:
        return header(mutant["file"]) is not None

    def call(self, mutant: Mutant) -> Any:
        image, one = LabelPictures(mutant["folder"], "all")[0]
        check_batch([image], [one], 2, ("mask",))
        return image, one

    def check(self, mutant: Mutant, result: Any) -> None:
        image, one = result
        rules.good_batch([image], [one], 2, ("mask",), 0)
        with Image.open(mutant["file"]) as label:
            ids = np.asarray(label)
        assert len(one["boxes"]) == len(set(np.unique(ids).tolist()) - {0}), "another number of objects than of ids"


def header(file: Path) -> tuple[int, int] | None:
    """(width, height) as Pillow reads it, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file) as image:
                return image.size
    except Exception:  # whatever Pillow's plugins raise
        return None


# ---- pictures --------------------------------------------------------------------------------------------


@cache
def pictures() -> dict[str, bytes]:
    """One small file of each form that cameras and microscopes write."""
    grey, colour = picture()[:, :, 0], Image.fromarray(picture())
    deep = Image.fromarray(grey.astype(np.uint16) * 16)
    forms: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "rgb.png": (colour, {}),
        "grey.png": (Image.fromarray(grey), {}),
        "palette.png": (colour.convert("P"), {}),
        "alpha.png": (colour.convert("RGBA"), {}),
        "deep.png": (deep, {}),
        "colour.jpg": (colour, {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"}),
        "grey.jpg": (Image.fromarray(grey), {}),
        "plain.bmp": (colour, {}),
        "palette.bmp": (colour.convert("P"), {}),
        "deep.tif": (deep, {}),
        "packed.tif": (colour, {"compression": "tiff_lzw"}),
        "float.tif": (Image.fromarray(grey.astype(np.float32) / 255), {}),
        "lossy.webp": (colour, {}),
        "lossless.webp": (colour, {"lossless": True}),
    }
    files = {}
    for name, (image, options) in forms.items():
        buffer = io.BytesIO()
        image.save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name.split(".")[1].upper()), **options)
        files[name] = buffer.getvalue()
    return files


class ImageHeaders(Kind):
    """Picture files, damaged most of all where they say what they are."""

    name = "image headers"
    parser = "header read by Pillow"
    named = r"\.(png|jpg|bmp|tif|webp)"

    def mutate(self, random: Random, folder: Path) -> Mutant:
        name = random.choice(list(pictures()))
        data = pictures()[name]
        way = random.choice(("anywhere", "beginning", "beginning", "edge"))
        if name.endswith("png") and random.random() < 0.7:
            data = mutate_png(data, random)
        elif way == "anywhere":
            data = mutate_bytes(data, random)
        elif way == "beginning":
            at = random.choice((16, 18, 22, max(0, data.find(b"\xff\xc0") + 5)))  # JPEG's size stands behind FFC0
            data = data[:at] + mutate_bytes(data[at:], random, most=2, first=64)
        else:
            edge, at = random.choice(BIG_ENDIAN_EDGES), random.randrange(8, min(len(data), 200))
            data = data[:at] + (edge if random.random() < 0.5 else edge[::-1]) + data[at + 4 :]
        file = folder / name
        file.write_bytes(data)
        return {"file": file, "upright": random.random() < 0.5}

    def past(self, mutant: Mutant) -> bool:
        return header(mutant["file"]) is not None

    def call(self, mutant: Mutant) -> Any:
        return read_image(mutant["file"]) if mutant["upright"] else read_picture(mutant["file"])

    def check(self, mutant: Mutant, result: Any) -> None:
        rules.good_picture(result, MAX_PIXELS)
        stated = header(mutant["file"])
        assert stated is not None and sorted(stated) == sorted(result.shape[:2]), (
            f"{result.shape} of a file of {stated}"
        )
