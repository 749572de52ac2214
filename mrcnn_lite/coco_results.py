"""COCO's side of an evaluation: detections as COCO results, ids matched by name, figures from pycocotools.

One entry of COCO results is one detected object: image_id, category_id, score, bbox [x, y, width, height],
and perhaps segmentation (run lengths) and keypoints [x, y, claimed, …]. pycocotools is imported when used.
Letters: N detections of one image, H W size, J keypoints; in COCO's arrays T IoU thresholds, R recall points,
K classes, A object areas, M detection limits. Read next: evaluation.py, which puts this together.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .coco_checks import import_pycocotools
from .detections import check_detection

Entry = dict[str, Any]
Figures = dict[str, float | None]  # None: undefined, there is no ground truth of that kind (COCO prints -1)

# How far annotators stray at each of COCO's 17 joints, in units of sqrt(object area): the sigmas of OKS.
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035),  # nose, eyes, ears
    *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062),  # shoulders, elbows, wrists
    *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),  # hips, knees, ankles
)
OTHER_SIGMA = 0.063  # of every joint of any other skeleton: the mean of COCO's 17


class Task(NamedTuple):
    """What COCO calls a task, and where its shapes stand in an entry of COCO and in a dict of tensors."""

    iou_type: str
    entry_key: str
    tensor_key: str


TASKS = {
    "box": Task("bbox", "bbox", "boxes"),
    "mask": Task("segm", "segmentation", "masks"),
    "keypoint": Task("keypoints", "keypoints", "keypoints"),
}


def to_coco_results(
    detections: Mapping[str, Tensor],
    image_id: int,
    to_category: Callable[[int], int | None] = int,
    size: Sequence[int] | None = None,
) -> list[Entry]:
    """The detections of one image as entries of COCO results, ready for JSON; nothing is rounded.

    Args:
        detections: boxes [N,4] in pixels, labels [N], scores [N]; perhaps masks, ours (bool [N,H,W]) or
            torchvision's (float [N,1,H,W], threshold 0.5), and keypoints [N,J,3].
        image_id: written into every entry.
        to_category: label -> category id, or None to leave the detection out.
        size: (H, W) of the image, where its masks are to be held to that.

    Keypoints lose half a pixel, because COCO counts pixel centres in whole numbers. A detection none of whose
    joints is claimed (third value 0 everywhere, as of a person seen without joints) gets no keypoints. Raises
    ValueError or TypeError, naming image and detection, for what is no detection (`detections.check_detection`).
    """
    check_detection(detections, f"image {image_id!r}", size)
    found = {key: value.detach().cpu() for key, value in detections.items() if isinstance(value, Tensor)}
    half_pixel = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
    entries = []
    for n, (label, score) in enumerate(zip(found["labels"].tolist(), found["scores"].tolist())):
        try:
            category = to_category(label)
        except ValueError as error:
            raise ValueError(f"image {image_id!r}, detection {n}: {error}") from error
        if category is None:
            continue
        x1, y1, x2, y2 = found["boxes"][n].tolist()
        entry: Entry = {"image_id": image_id, "category_id": category, "score": score}
        entry["bbox"] = [x1, y1, x2 - x1, y2 - y1]
        if "masks" in found:
            entry["segmentation"] = encode_mask(found["masks"][n])
        if "keypoints" in found and bool((found["keypoints"][n, :, 2] > 0).any()):
            entry["keypoints"] = (found["keypoints"][n].double() - half_pixel).flatten().tolist()
        entries.append(entry)
    return entries


def encode_mask(mask: Tensor) -> dict[str, Any]:
    """A mask, bool or probability, [H,W] or [1,H,W], as COCO's run lengths {"size", "counts"}."""
    binary = (mask.reshape(mask.shape[-2:]) > 0.5).to(torch.uint8)
    down_the_columns = binary.t().contiguous().numpy().T  # [H,W] in Fortran's order, as COCO counts
    run_lengths = import_pycocotools().mask.encode(down_the_columns)
    return {"size": list(binary.shape), "counts": run_lengths["counts"].decode("ascii")}


def labels_by_name(names: Sequence[str] | None, categories: Sequence[Entry]) -> Callable[[int], int | None]:
    """Label of a model -> category id of a ground truth, by class name; None for a class it lacks.

    names: of the labels 0 (background), 1, … Without names, or where none is shared but the numbers agree, label
    k is the k-th category in the order of ids. Raises ValueError where neither can be meant, and the function for a
    label that there is not.
    """
    ids = {category["name"]: category["id"] for category in categories}
    by_order: dict[int, int | None] = dict(enumerate(sorted(ids.values()), start=1))
    if names is None:
        return by_label(by_order)
    by_name = {label: ids.get(name) for label, name in enumerate(names)}
    if any(category is not None for category in by_name.values()):
        return by_label(by_name)
    if len(names) - 1 == len(ids):
        return by_label(by_order)
    raise ValueError(
        f"the model's {len(names) - 1} classes ({', '.join(names[1:4])}, …) and the ground truth's "
        f"{len(ids)} ({', '.join(list(ids)[:3])}, …) have no name in common"
    )


def by_label(categories: Mapping[int, int | None]) -> Callable[[int], int | None]:
    """The table as a function. It raises ValueError for a label that there is not."""

    def to_category(label: int) -> int | None:
        if label not in categories:
            raise ValueError(f"label {label} is none of {min(categories)}..{max(categories)}")
        return categories[label]

    return to_category


def match_names(
    entries: Sequence[Entry], truth: Mapping[str, Any], own_ids: Mapping[int, int] | None = None
) -> list[Entry]:
    """Entries in the ids of the COCO dict ``truth``.

    An entry with `file_name` or `category_name` is matched by name (of a path, as many last parts as the names of the
    ground truth have), one without by its id, through ``own_ids`` if given. Classes that the ground truth lacks are
    dropped, unless it has none of them; any other unknown name stays as the id, for `check_against` to report.
    """
    images = {PurePath(image.get("file_name", "")).as_posix(): image["id"] for image in truth["images"]}
    categories = {category["name"]: category["id"] for category in truth["categories"]}
    some_known = any(entry.get("category_name") in categories for entry in entries)
    matched = []
    for entry in map(dict, entries):
        if "file_name" in entry:
            parts = PurePath(entry["file_name"]).parts
            tails = ["/".join(parts[start:]) for start in range(len(parts))]  # a/b/c.png, b/c.png, c.png
            entry["image_id"] = next((images[tail] for tail in tails if tail in images), entry["file_name"])
        if "category_name" in entry:
            if some_known and entry["category_name"] not in categories:
                continue
            entry["category_id"] = categories.get(entry["category_name"], entry["category_name"])
        elif own_ids and "category_id" in entry:
            entry["category_id"] = own_ids.get(entry["category_id"], entry["category_id"])
        matched.append(entry)
    return matched


def run_coco(
    truth: dict[str, Any],
    found: list[Entry],
    task: Task,
    sigmas: Sequence[float] | None,
    max_dets: int,
    use_categories: bool,
) -> Any:
    """One task through pycocotools, in silence: its COCOeval, accumulated."""
    pycocotools = import_pycocotools()

    def as_coco(content: dict[str, Any]) -> Any:
        coco = pycocotools.coco.COCO()
        coco.dataset = content
        coco.createIndex()
        return coco

    num_keypoints = _complete_keypoints(truth["annotations"], found) if task.iou_type == "keypoints" else 0
    with contextlib.redirect_stdout(io.StringIO()):
        coco_truth = as_coco(truth)
        # WHY the branch: pycocotools cannot load an empty list.
        coco_found = coco_truth.loadRes(found) if found else as_coco({**truth, "annotations": []})
        coco_eval = pycocotools.cocoeval.COCOeval(coco_truth, coco_found, task.iou_type)
        if task.iou_type == "keypoints":
            if sigmas is None or len(sigmas) == 0:
                sigmas = COCO_SIGMAS if num_keypoints == 17 else [OTHER_SIGMA] * num_keypoints
            if len(sigmas) != num_keypoints:
                raise ValueError(f"{len(sigmas)} sigmas for {num_keypoints} keypoints")
            coco_eval.params.kpt_oks_sigmas = torch.tensor(sigmas, dtype=torch.float64).numpy()
        else:
            coco_eval.params.maxDets = [1, 10, max_dets]
            coco_eval.params.useCats = int(use_categories)
        coco_eval.evaluate()
        coco_eval.accumulate()
    return coco_eval


def _complete_keypoints(objects: list[Entry], found: list[Entry]) -> int:
    """Give every object what COCO reads of it (num_keypoints 0: ignored, as a crowd is) and return J."""
    length = max((len(entry.get("keypoints", ())) for entry in [*objects, *found]), default=0)
    for annotation in objects:
        joints = annotation.setdefault("keypoints", [0] * length)
        annotation["num_keypoints"] = sum(visibility > 0 for visibility in joints[2::3])
    for entry in [*objects, *found]:
        if len(entry["keypoints"]) != length:
            joints = len(entry["keypoints"]) // 3
            raise ValueError(f"image {entry['image_id']}: {joints} keypoints where others have {length // 3}")
    return length // 3


def coco_figures(coco_eval: Any) -> Figures:
    """COCO's table from its arrays, precision [T,R,K,A,M] and recall [T,K,A,M], in the order COCO prints."""
    parameters = coco_eval.params
    precision, recall = coco_eval.eval["precision"], coco_eval.eval["recall"]
    ious = {iou: abs(parameters.iouThrs - iou / 100) < 1e-9 for iou in (50, 75)}
    areas = {label[0]: a for a, label in enumerate(parameters.areaRngLbl) if label != "all"}  # s, m, l
    table = {"AP": precision[..., 0, -1]}
    table |= {f"AP{iou}": precision[t][..., 0, -1] for iou, t in ious.items()}
    table |= {f"AP{letter}": precision[..., a, -1] for letter, a in areas.items()}
    if parameters.iouType == "keypoints":
        table |= {"AR": recall[..., 0, -1]} | {f"AR{iou}": recall[t][..., 0, -1] for iou, t in ious.items()}
    else:
        table |= {f"AR{limit}": recall[..., 0, m] for m, limit in enumerate(parameters.maxDets)}
    table |= {f"AR{letter}": recall[..., a, -1] for letter, a in areas.items()}
    return {name: mean_defined(values) for name, values in table.items()}


def mean_defined(values: Any) -> float | None:
    """The mean over what is defined: COCO writes -1 where there is no ground truth."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None
