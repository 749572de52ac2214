"""Prediction: files, folders and arrays in; detections, overlay pictures and COCO results out.

`predict` does it all with one model; `load_model` finds the model. Pictures are read one batch at a time and in
any of the forms that cameras and microscopes write. Letters: N detections of one image, H W size in pixels.
Read next: evaluation.py, whose `evaluate_detections` scores the written results against a ground truth.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .coco_results import Entry, to_coco_results
from .data.pictures import EXIF_ORIENTATION, UPRIGHT, opened, rgb_pixels
from .detections import check_detection
from .evaluation import detecting
from .files import atomic
from .visualize import draw, save_png

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")  # what is taken from a folder
TORCHVISION_WEIGHTS = {"coco": "maskrcnn_resnet50_fpn", "coco-keypoints": "keypointrcnn_resnet50_fpn"}
MAX_PIXELS = 64_000_000  # of one picture: refused before it is decoded


def predict(
    model: Any,
    inputs: Any,
    *,
    output: str | Path | None = None,
    score_threshold: float = 0.5,
    batch_size: int = 1,
    device: str | torch.device | None = None,
    overlays: bool = True,
    results: bool = True,
    keep: bool = True,
    class_names: Sequence[str] | None = None,
    skeleton: Sequence[tuple[int, int]] | None = None,
    max_pixels: int = MAX_PIXELS,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Find the objects in pictures; write overlays and COCO results into the folder ``output`` if one is given.

    Args:
        model: anything with ``detect(images)``, or called as ``model(images)``, as for `evaluate`.
        inputs: a file, a folder (its pictures in the order of their names, not those of its subfolders), an
            image, or a list of such. An image is uint8 [H,W,3] (an array), or [3,H,W] (a tensor, uint8 or 0..1).
        score_threshold: detections with lower scores are dropped.
        overlays: write ``<name>.png`` for each picture, at most 2048 pixels long (`visualize.draw`).
        results: write ``results.json``, COCO results that also carry `file_name` and `category_name`, and
            ``image_info.json``, the table of images and categories in COCO's form. Image ids count from 1.
        keep: False returns an empty list, so that a folder of any size fits into memory.
        class_names: by label; None: those of the model.

    Returns one dict per picture, in order: `name`, and the model's boxes [N,4], labels, scores, masks, … on the
    CPU, in the pixels of the picture as `read_image` gives it. An input is never overwritten: where two pictures
    want one name, or an overlay the name of an input, a number is added. ValueError names a picture that cannot
    be read; it is raised before anything is detected, unless only decoding shows it.
    """
    from tqdm import tqdm

    pictures = _gather(inputs)
    for picture in pictures:
        if isinstance(picture.source, Path):
            with opened(picture.source, str(picture.source), max_pixels):
                pass
    folder = None if output is None else Path(output)
    if folder and folder.is_file():
        raise ValueError(f"the output {folder} is a file, expected a folder")
    overlay_paths = _overlay_paths(folder, pictures) if folder and overlays else []
    names: Sequence[str] = class_names or getattr(model, "class_names", None) or ()
    found: list[dict[str, Any]] = []
    entries: list[Entry] = []
    sizes: list[torch.Size] = []
    starts = tqdm(range(0, len(pictures), batch_size), "predict", leave=False, disable=None if progress else True)
    with detecting(model, device) as detect:
        for start in starts:
            batch = pictures[start : start + batch_size]
            images = [_to_tensor(picture, max_pixels) for picture in batch]
            for n, (image, detection) in enumerate(zip(images, detect(images), strict=True), start=start):
                check_detection(detection, pictures[n].name, image.shape[-2:])
                detection = _above(detection, score_threshold)
                sizes.append(image.shape[-2:])
                if results and folder:
                    entries += _named(to_coco_results(detection, n + 1), pictures[n].name, names)
                if overlay_paths:
                    save_png(draw(image, detection, names, skeleton=skeleton), overlay_paths[n])
                if keep:
                    found.append({"name": pictures[n].name, **detection})
    if results and folder:
        _write_json(entries, folder / "results.json")
        _write_json(_image_info(pictures, sizes, names), folder / "image_info.json")
    return found


def load_model(weights: str | Path, device: str | torch.device = "cpu") -> Any:
    """The model of a checkpoint file, or torchvision's with its COCO weights: "coco", "coco-keypoints".

    The latter are downloaded once (about 180 MB); ConnectionError says so where there is no network.
    """
    from .torchvision_models import from_torchvision
    from .weights import load

    if str(weights) not in TORCHVISION_WEIGHTS:
        if not Path(weights).is_file():
            names = ", ".join(TORCHVISION_WEIGHTS)
            raise FileNotFoundError(f"no weights {weights}: expected a file written by `save`, or one of {names}")
        return load(weights, device)
    from torchvision.models import get_model, get_model_weights

    name = TORCHVISION_WEIGHTS[str(weights)]
    chosen = get_model_weights(name)["COCO_V1"]
    try:
        theirs = get_model(name, weights=chosen)
    except (OSError, HTTPException) as error:  # URLError is an OSError
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise ConnectionError(
            f"the weights {weights!r} can't be reached ({error}): put {chosen.url} into {folder}, or name a file"
        ) from error
    model = from_torchvision(theirs.eval()).to(device)
    # Their table of Keypoint R-CNN begins with "no person" where the others have "__background__".
    model.class_names = ("background", *chosen.meta["categories"][1:])
    return model


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A picture file as uint8 [H,W,3], read as the data sets read theirs (`data.pictures`) and turned upright.

    Grey fills three channels, transparency is dropped, 16 bits become 8 by the bits in use; of a file with several
    pictures the first counts. An EXIF orientation is applied, since nobody has drawn boxes on this picture yet.
    ValueError names a file that is no picture or has over ``max_pixels``, which is found before decoding;
    FileNotFoundError one that isn't there.
    """
    with opened(path, str(path), max_pixels) as picture:
        picture.load()
        orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
    pixels = rgb_pixels(picture, str(path))
    if orientation in UPRIGHT:
        pixels = np.array(Image.fromarray(pixels).transpose(UPRIGHT[orientation]))
    return pixels


class _Picture(NamedTuple):
    name: str  # the path as it was given, or image-0001
    source: Any  # Path, array or tensor


def _gather(inputs: Any) -> list[_Picture]:
    """One file, folder or image, or a list of them, as a flat list."""
    single = isinstance(inputs, str | Path) or getattr(inputs, "ndim", 4) < 4
    pictures: list[_Picture] = []
    for item in [inputs] if single else inputs:
        if not isinstance(item, str | Path):
            pictures.append(_Picture(f"image-{len(pictures) + 1:04d}", item))
            continue
        path = Path(item)
        paths = [path]
        if path.is_dir():
            visible = [file for file in sorted(path.iterdir()) if not file.name.startswith(".")]
            paths = [file for file in visible if file.is_file() and file.suffix.lower() in SUFFIXES]
            if not paths:
                raise ValueError(f"no pictures in the folder {path} (of {', '.join(SUFFIXES)})")
        elif not path.exists():
            raise FileNotFoundError(f"no such file or folder: {path}")
        pictures += [_Picture(file.as_posix(), file) for file in paths]
    return pictures


def _to_tensor(picture: _Picture, max_pixels: int) -> Tensor:
    """The image as float [3,H,W] in 0..1."""
    image = picture.source
    if isinstance(image, Path):
        image = read_image(image, max_pixels)
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        image = torch.from_numpy(np.array(image.transpose(2, 0, 1)))  # [H,W,3] -> [3,H,W]
    if not (isinstance(image, Tensor) and image.ndim == 3 and image.shape[0] == 3):
        found = f"{getattr(image, 'dtype', type(image).__name__)} {list(getattr(image, 'shape', []))}"
        raise ValueError(f"{picture.name} is {found}, expected an array uint8 [H,W,3] or a tensor [3,H,W]")
    return image.float() / 255 if image.dtype == torch.uint8 else image


def _above(detection: dict[str, Tensor], score_threshold: float) -> dict[str, Tensor]:
    """Only what scores enough, on the CPU."""
    kept = detection["scores"] >= score_threshold
    return {key: value[kept].cpu() for key, value in detection.items()}


def _overlay_paths(folder: Path, pictures: list[_Picture]) -> list[Path]:
    """A file name for each picture, none twice (letter case aside) and none that of an input."""
    inputs = [picture.source.resolve() for picture in pictures if isinstance(picture.source, Path)]
    taken = {path.name.lower() for path in inputs if path.parent == folder.resolve()}
    paths = []
    for picture in pictures:
        stem, number = Path(picture.name).stem, 1
        path = folder / f"{stem}.png"
        while path.name.lower() in taken:
            number += 1
            path = folder / f"{stem}-{number}.png"
        taken.add(path.name.lower())
        paths.append(path)
    return paths


def _named(entries: list[Entry], file_name: str, names: Sequence[str]) -> list[Entry]:
    for entry in entries:
        entry["file_name"] = file_name
        if entry["category_id"] < len(names):
            entry["category_name"] = names[entry["category_id"]]
    return entries


def _image_info(pictures: list[_Picture], sizes: list[torch.Size], names: Sequence[str]) -> dict[str, Any]:
    images = [
        {"id": n, "file_name": picture.name, "height": height, "width": width}
        for n, (picture, (height, width)) in enumerate(zip(pictures, sizes), start=1)
    ]
    return {"images": images, "categories": [{"id": k, "name": name} for k, name in enumerate(names) if k > 0]}


def _write_json(content: Any, path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
