"""What must hold of whatever the package accepts, said a second time and differently: the fuzzers' judge.

Nothing here is imported from the package's checks. An AssertionError is a silent acceptance. Letters: N images or
detections, G objects, H W size, J keypoints. Read next: `fuzz_seeds.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

KEYS = {"mask": "masks", "keypoint": "keypoints"}
UNIT = "rpn_fg_iou rpn_bg_iou fg_iou bg_iou rpn_nms_iou nms_iou score_threshold rpn_positive_fraction"
COUNTS = "num_classes min_size max_size size_divisor fpn_channels rpn_layers rpn_samples roi_samples box_size"
COUNTS += " rpn_pre_nms_train rpn_pre_nms_test rpn_post_nms_train rpn_post_nms_test max_detections mask_size"


def array(value: Any) -> np.ndarray:
    assert isinstance(value, torch.Tensor), f"accepted a {type(value).__name__} for a tensor"
    return value.detach().double().numpy()


def good_batch(images: Any, targets: Any, num_classes: int, heads: tuple[str, ...], joints: int) -> None:
    """Each pair of image and target is what a model may be trained with."""
    assert isinstance(images, (list, tuple)) and isinstance(targets, (list, tuple)) and len(images) == len(targets) > 0
    for image, target in zip(images, targets):
        assert image.is_floating_point(), f"accepted an image of {image.dtype}"
        pixels = array(image)
        assert pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.size, f"accepted an image {pixels.shape}"
        assert -0.5 <= pixels.min() <= pixels.max() <= 1.5, "accepted pixels outside 0..1"
        good_target(target, pixels.shape[1:], num_classes, heads, joints)


def good_target(target: Any, size: tuple[int, ...], num_classes: int, heads: tuple[str, ...], joints: int) -> None:
    height, width = size
    boxes, labels = array(target["boxes"]), array(target["labels"])
    count = boxes.size // 4
    assert labels.size == count, f"accepted {labels.size} labels for {count} boxes"
    for key in (KEYS[head] for head in heads):
        assert key in target and (not count or len(target[key]) == count), f"accepted another number of {key}"
    if not count:
        return
    assert not target["labels"].is_floating_point(), "accepted labels that are no whole numbers"
    assert boxes.shape == (count, 4), f"accepted boxes {boxes.shape}"
    for g, (x1, y1, x2, y2) in enumerate(boxes):
        assert -1 <= x1 < x2 <= width + 1 and -1 <= y1 < y2 <= height + 1, f"accepted box {boxes[g]} in {size}"
        assert 1 <= labels.ravel()[g] < num_classes, f"accepted label {labels.ravel()[g]}"
        if "mask" in heads:
            mask = array(target["masks"])[g]
            assert mask.shape == tuple(size), f"accepted a mask {mask.shape} in {size}"
            assert set(np.unique(mask)) <= {0, 1}, "accepted a mask that is not of 0 and 1"
            assert mask.any(), "accepted an empty mask"
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            own = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            wide = max(0.0, min(x2, own[2]) - max(x1, own[0]))
            high = max(0.0, min(y2, own[3]) - max(y1, own[1]))
            union = (x2 - x1) * (y2 - y1) + (own[2] - own[0]) * (own[3] - own[1]) - wide * high
            assert wide * high > 0.599 * union, f"accepted box {boxes[g]} with a mask in {own}"
        if "keypoint" in heads:
            points = array(target["keypoints"])[g]
            assert points.shape == (joints, 3), f"accepted keypoints {points.shape}"
            for x, y, visibility in points:
                assert visibility in (0, 1, 2) and math.isfinite(x) and math.isfinite(y), f"accepted keypoint {points}"
                assert not visibility or (-1 <= x <= width + 1 and -1 <= y <= height + 1), f"accepted {points} outside"


def good_picture(pixels: Any, most: int) -> None:
    assert isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8, "accepted, but no uint8 came out"
    assert pixels.ndim == 3 and pixels.shape[2] == 3 and 0 < pixels.size <= 3 * most, (
        f"accepted a picture {pixels.shape}"
    )


def good_config(plain: dict[str, Any]) -> None:
    """The rules of `Config`, of its plain dictionary."""

    def numbers(value: Any) -> list[Any]:
        return [n for part in value for n in numbers(part)] if isinstance(value, (list, tuple)) else [value]

    for name, value in (plain | plain["train"]).items():
        for part in numbers(value) if name != "train" else ():
            assert isinstance(part, (str, bool, int, float)), f"accepted {name} = {value!r}"
            assert isinstance(part, (str, bool)) or abs(part) <= 1e9, f"accepted {name} = {value!r}"
    for name in UNIT.split():
        assert 0 <= plain[name] <= 1, f"accepted {name} = {plain[name]}"
    for name in COUNTS.split():
        assert type(plain[name]) is int and plain[name] >= 1, f"accepted {name} = {plain[name]!r}"
    assert plain["num_classes"] >= 2 and plain["min_size"] <= plain["max_size"]
    assert plain["bg_iou"] <= plain["fg_iou"] and plain["rpn_bg_iou"] <= plain["rpn_fg_iou"]
    assert plain["roi_positive_fraction"] > 0 and plain["rpn_positive_fraction"] > 0
    assert set(plain["heads"]) <= {"mask", "keypoint"} and len(set(plain["heads"])) == len(plain["heads"])
    assert len(plain["image_mean"]) == len(plain["image_std"]) == 3 and min(plain["image_std"]) > 0
    assert len(plain["box_weights"]) == 4 and min(plain["box_weights"]) > 0
    assert min(numbers(plain["anchor_sizes"])) > 0 and min(plain["anchor_ratios"]) > 0
    if "mask" in plain["heads"] and plain["mask_head"] == "fcn":
        crop = plain["box_size"] if plain["arch"] == "c4" else plain["mask_roi_size"]
        assert plain["mask_size"] == 2 * crop, "accepted a mask_size that the head cannot give"
    train = plain["train"]
    assert train["lr"] > 0 and train["steps"] >= 1 and train["batch_size"] >= 1 and train["weight_decay"] >= 0
    assert 0 < train["scale_range"][0] <= train["scale_range"][1] and all(0 <= m <= 1 for m in train["milestones"])
    assert 0 <= train["momentum"] <= 1 and 0 <= train["ema"] < 1 and train["grad_clip"] >= 0


def good_entry(entry: Any, sizes: dict[Any, tuple[int, int]], categories: set[int]) -> None:
    """One entry of COCO results whose ids are those of the ground truth."""
    assert entry["image_id"] in sizes and entry["category_id"] in categories, f"accepted {entry!r:.200}"
    assert not isinstance(entry["image_id"], bool) and not isinstance(entry["score"], bool), f"accepted {entry!r:.200}"
    assert math.isfinite(entry["score"]), f"accepted score {entry['score']}"
    if "bbox" in entry:
        assert len(entry["bbox"]) == 4 and all(type(n) in (int, float) and math.isfinite(n) for n in entry["bbox"])
        assert entry["bbox"][2] >= 0 <= entry["bbox"][3], f"accepted bbox {entry['bbox']}"
    if "keypoints" in entry:
        assert len(entry["keypoints"]) % 3 == 0 and all(math.isfinite(n) for n in entry["keypoints"])
    if "segmentation" in entry:
        assert tuple(entry["segmentation"]["size"]) == sizes[entry["image_id"]], f"accepted {entry!r:.200}"
        good_runs(entry["segmentation"]["counts"], sizes[entry["image_id"]])


def good_runs(counts: str | list[int], size: tuple[int, int]) -> None:
    """Run lengths, compressed or not, cover the picture exactly."""
    runs: list[int] = counts if isinstance(counts, list) else []
    word = ""
    for sign in counts if isinstance(counts, str) else ():
        code = ord(sign) - 48
        assert 0 <= code < 64, f"accepted counts {counts!r:.99}"
        word = format(code & 31, "05b") + word
        if code < 32:
            value = int(word, 2) - (1 << len(word) if word[0] == "1" else 0)
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            word = ""
    assert not word and min(runs) >= 0 and sum(runs) == size[0] * size[1], f"accepted runs {runs[:20]} in {size}"


def good_figures(results: Any) -> None:
    """Each figure of an evaluation is None or in 0..1."""
    for figures in (results.box, results.mask, results.keypoint):
        for name, value in (figures or {}).items():
            assert value is None or 0 <= value <= 1 + 1e-9, f"{name} is {value}"


def good_plain(value: Any) -> None:
    """Tensors and plain values only, as a training checkpoint holds."""
    if isinstance(value, dict):
        for key, part in value.items():
            assert isinstance(key, (str, int, float, bool, tuple)) or key is None, f"accepted a key {key!r:.99}"
            good_plain(part)
    elif isinstance(value, (list, tuple, set)):
        for part in value:
            good_plain(part)
    else:
        assert isinstance(
            value, (torch.Tensor, str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device)
        )
