"""COCO evaluation: average precision of boxes, masks and keypoints.

`evaluate` runs a model over a data set and keeps of each mask only its run lengths; COCO's own code scores
them, and `Results` names what it finds. The figures are those of Mask R-CNN sec. 4 and 5, under COCO's rules:
a crowd region is neither hit nor miss; 100 detections of an image and class count, 20 with keypoints.

Letters: N detections of one image, H W size, J keypoints. Read next: coco_results.py for the way in and out
of pycocotools, visualize.py to see what the figures mean.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .coco_checks import check_against, check_entries, check_reading, check_truth, restricted
from .coco_results import (
    TASKS,
    Entry,
    Figures,
    coco_figures,
    labels_by_name,
    match_names,
    mean_defined,
    run_coco,
    to_coco_results,
)
from .files import naming, read_json


@dataclass(frozen=True)
class Results:
    """COCO's figures of one evaluation, all between 0 and 1, in COCO's order.

    ``box`` and ``mask`` hold AP (IoU .50:.95), AP50, AP75, APs, APm, APl (object area under 32^2 pixels, up
    to 96^2, over), AR1, AR10, AR100 (detections an image), ARs, ARm, ARl; ``keypoint`` holds AP, AP50, AP75,
    APm, APl, AR, AR50, AR75, ARm, ARl. A task that was not evaluated is None, and so is a figure that no
    ground truth defines. ``per_class``: {class name: {"objects": count, "box": AP, "mask": AP, …}}.
    """

    box: Figures | None
    mask: Figures | None
    keypoint: Figures | None
    per_class: dict[str, dict[str, Any]]
    images: int
    objects: int  # of the ground truth, crowds not counted
    detections: int

    def to_dict(self) -> dict[str, Any]:
        """The same as plain dicts, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        columns = ["AP", "AP50", "AP75", "APs", "APm", "APl"]
        tasks = [task for task in TASKS if getattr(self, task) is not None]
        lines = [f"{self.images} images, {self.objects} objects, {self.detections} detections", ""]
        lines += [" " * 9 + "".join(f"{column:>7}" for column in columns)]
        for task in tasks:
            lines += [f"{task:<9}" + "".join(_cell(getattr(self, task).get(column)) for column in columns)]
        if self.per_class:
            width = max(9, *(len(name) + 1 for name in self.per_class))
            lines += ["", " " * width + "objects" + "".join(f"{task + ' AP':>13}" for task in tasks)]
        for name, row in self.per_class.items():
            lines += [f"{name:<{width}}{row['objects']:>7}" + "".join(_cell(row[task], 13) for task in tasks)]
        return "\n".join(lines)


def _cell(value: float | None, width: int = 7) -> str:
    return f"{'-' if value is None else format(value, '.3f'):>{width}}"


def evaluate(
    model: Any,
    dataset: Any,
    *,
    batch_size: int = 4,
    device: str | torch.device | None = None,
    limit: int | None = None,
    class_names: Sequence[str] | None = None,
    sigmas: Sequence[float] | None = None,
    max_dets: int = 100,
    progress: bool = True,
) -> Results:
    """Run ``model`` over ``dataset`` and score what it finds.

    Args:
        model: anything with ``detect(images) -> list of dicts`` (ours) or called as ``model(images)``
            (torchvision's). It is put into eval mode and back, and moved to ``device`` if one is given.
        limit: only so many images, the first ones.
        class_names: of the model's labels, where ``model.class_names`` does not tell. Labels are matched to
            the data set's by name, and classes that the data set lacks are not scored: a model of COCO's 80
            classes can be evaluated on a data set of persons.
        sigmas, max_dets: as in `evaluate_detections`.
    """
    from tqdm import tqdm

    count = len(dataset) if limit is None else min(limit, len(dataset))
    if count < 1:
        raise ValueError(f"nothing to evaluate: the data set has {len(dataset)} images and limit is {limit}")
    truth = dataset.coco_ground_truth()
    check_truth(truth)
    sigmas = getattr(dataset, "keypoint_sigmas", None) if sigmas is None else sigmas
    to_category = labels_by_name(class_names or getattr(model, "class_names", None), truth["categories"])
    entries: list[Entry] = []
    image_ids: list[int] = []
    keys: set[str] = set()
    starts = tqdm(range(0, count, batch_size), "evaluate", leave=False, disable=None if progress else True)
    with detecting(model, device) as detect:
        for start in starts:
            samples = [dataset[i] for i in range(start, min(start + batch_size, count))]
            detections = detect([image for image, _ in samples])
            if len(detections) != len(samples):
                raise ValueError(f"the model gives {len(detections)} detections for {len(samples)} images")
            for (image, target), detection in zip(samples, detections):
                image_ids.append(int(target["image_id"]))
                entries += to_coco_results(detection, image_ids[-1], to_category, image.shape[-2:])
                keys |= detection.keys()
    return _score(entries, truth, image_ids, _tasks_of(keys), sigmas=sigmas, max_dets=max_dets)


def evaluate_detections(
    detections: Any,
    ground_truth: Any,
    *,
    image_ids: Sequence[int] | None = None,
    to_category: Callable[[int], int | None] | None = None,
    tasks: Collection[str] | None = None,
    sigmas: Sequence[float] | None = None,
    max_dets: int = 100,
    use_categories: bool = True,
) -> Results:
    """Score detections that exist already.

    Args:
        detections: either one dict of tensors per image, in the order of ``image_ids`` (else of the ground
            truth's images), or COCO results in the ids of the ground truth's own file: a list of entries or
            the path of a JSON file. Entries with `file_name` and `category_name`, as `predict` writes them,
            are matched by those instead of by ids.
        ground_truth: a data set, a COCO dict, or the path of a COCO JSON file.
        to_category: label -> category id, for dicts of tensors; else label k is the k-th category by id.
        tasks: of "box", "mask", "keypoint"; else those that both sides have.
        sigmas: one per joint, for OKS; else the data set's `keypoint_sigmas`, or without a data set
            `COCO_SIGMAS` for 17 joints and `OTHER_SIGMA` for those of other skeletons.
        max_dets: detections that count per image and class, over 10 (keypoints: always 20).
        use_categories: False scores boxes and masks as if all were of one class; ``per_class`` is then empty.
    """
    truth = read_json(ground_truth) if isinstance(ground_truth, str | Path) else ground_truth
    own_ids: dict[int, int] = {}
    if hasattr(truth, "coco_ground_truth"):
        dataset, truth = truth, truth.coco_ground_truth()
        sigmas = dataset.keypoint_sigmas if sigmas is None else sigmas
        own_ids = {dataset.to_coco_id(category["id"]): category["id"] for category in truth["categories"]}
    with naming(ground_truth):
        check_truth(truth)
    image_ids = image_ids or truth.get("image_ids") or [image["id"] for image in truth["images"]]
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    if unknown := [image_id for image_id in image_ids if image_id not in sizes]:
        raise ValueError(f"image {unknown[0]!r} is not one of the {len(sizes)} images of the ground truth")
    found = read_json(detections) if isinstance(detections, str | Path) else detections
    found = list(found) if isinstance(found, Iterable) and not isinstance(found, str | Mapping) else found
    records = [record for record in found if isinstance(record, Mapping)] if isinstance(found, list) else []
    with naming(detections):
        if any(isinstance(value, Tensor) for record in records for value in record.values()):
            if len(image_ids) != len(found):
                raise ValueError(f"detections of {len(found)} images, ground truth of {len(image_ids)}")
            to_category = to_category or labels_by_name(None, truth["categories"])
            entries = [e for d, i in zip(found, image_ids) for e in to_coco_results(d, i, to_category, sizes[i])]
            keys = set().union(*found)
        else:
            check_entries(found)
            entries = match_names(found, truth, own_ids)
            check_against(entries, restricted(truth, set(image_ids)))
            keys = set().union(*(entries or truth["annotations"]))
        tasks = _tasks_of(keys) if tasks is None else tasks
        return _score(entries, truth, image_ids, tasks, sigmas=sigmas, max_dets=max_dets, use_categories=use_categories)


@contextlib.contextmanager
def detecting(model: Any, device: str | torch.device | None = None) -> Iterator[Callable]:
    """``with detecting(model) as detect: detect(images)``: eval mode, no gradients, images on its device.

    Afterwards every module is back in the mode it was in; a model moved to ``device`` stays there.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    if modules:
        model.eval()
        if device is not None:
            model.to(device)
        device = next((parameter.device for parameter in model.parameters()), device)
    run = getattr(model, "detect", model)

    @torch.no_grad()
    def detect(images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        return run([image.to(device or "cpu") for image in images])

    try:
        yield detect
    finally:
        for module, mode in zip(modules, modes):
            module.training = mode


def _score(
    entries: list[Entry],
    truth: Mapping[str, Any],
    image_ids: Sequence[int],
    tasks: Collection[str],
    *,
    sigmas: Sequence[float] | None,
    max_dets: int,
    use_categories: bool = True,
) -> Results:
    """COCO results against a COCO ground truth in the same ids, on the images of ``image_ids`` alone."""
    if unknown := set(tasks) - TASKS.keys():
        raise ValueError(f"unknown tasks {sorted(unknown)}, expected some of {list(TASKS)}")
    if max_dets <= 10:
        raise ValueError(f"max_dets is {max_dets}, expected more than the 10 of AR10")
    truth = restricted(truth, set(image_ids))
    check_reading(entries, truth)
    objects = truth["annotations"]
    names = {category["id"]: category["name"] for category in truth["categories"]}
    real = [names[annotation["category_id"]] for annotation in objects if not annotation["iscrowd"]]
    per_class: dict[str, dict] = {names[i]: {"objects": real.count(names[i])} for i in sorted(names)}
    figures: dict[str, Any] = dict.fromkeys(TASKS)
    for name in tasks:
        task = TASKS[name]
        if objects and not any(annotation.get(task.entry_key) for annotation in objects):
            continue  # this ground truth has no masks, or no keypoints
        # WHY only these keys: given a box too, COCO would take a mask's area from it.
        keys = ("image_id", "category_id", "score", task.entry_key)
        found = [{key: entry[key] for key in keys} for entry in entries if task.entry_key in entry]
        coco_eval = run_coco(truth, found, task, sigmas, max_dets, use_categories)
        figures[name] = coco_figures(coco_eval)
        for k, category in enumerate(sorted(names) if use_categories else []):
            per_class[names[category]][name] = mean_defined(coco_eval.eval["precision"][:, :, k, 0, -1])
    return Results(
        **figures,
        per_class=per_class if use_categories else {},
        images=len(truth["images"]),
        objects=len(real),
        detections=len(entries),
    )


def _tasks_of(keys: set[str]) -> list[str]:
    return [name for name, task in TASKS.items() if keys & {task.entry_key, task.tensor_key}]
