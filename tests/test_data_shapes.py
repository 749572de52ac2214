"""data/shapes.py: deterministic, well formed, and of the distribution that it is meant to have."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mrcnn_lite.data import shapes
from mrcnn_lite.data.instances import id_map_boxes

PROTOTYPE = Path(__file__).resolve().parents[2] / "shared" / "prototypes" / "shapes.py"


def test_a_picture_depends_on_seed_split_kind_and_index_only():
    first = shapes.draw(3, seed=1)
    shapes.draw(4, seed=1)
    again = shapes.draw(3, seed=1)
    assert (first.image == again.image).all() and (first.ids == again.ids).all()
    others = [shapes.draw(2, seed=1), shapes.draw(3, seed=2), shapes.draw(3, seed=1, split=1)]
    others.append(shapes.draw(3, seed=1, kind="thin"))
    assert all((other.image != first.image).mean() > 0.5 for other in others)


@pytest.mark.parametrize("kind", shapes.KINDS)
def test_pictures_are_well_formed(kind):
    limits = shapes.KINDS[kind]
    for i in range(60):
        drawing = shapes.draw(i, kind=kind)
        assert drawing.image.shape == (128, 128, 3) and drawing.image.dtype == np.uint8
        areas = np.bincount(drawing.ids.ravel(), minlength=len(drawing.labels) + 1)[1:]
        assert 1 <= len(drawing.labels) <= limits.objects[1] and len(areas) == len(drawing.labels)
        assert areas.min() >= limits.min_visible * 20  # 20 pixels when laid down, and a share of it left
        assert {shapes.CLASS_NAMES[label] for label in drawing.labels} <= set(limits.classes)


def test_an_object_looks_different_from_what_is_around_it():
    """The mask marks where the object is: colours just inside and just outside differ, and did not if moved."""
    inside_minus_outside, moved = [], []
    for i in range(40):
        drawing = shapes.draw(i)
        for shift, differences in ((0, inside_minus_outside), (64, moved)):
            mask = np.roll(drawing.ids == len(drawing.labels), shift, axis=(0, 1))  # the one on top
            x1, y1, x2, y2 = id_map_boxes(mask.astype(np.uint8), 1)[0]
            around = np.zeros_like(mask)
            around[max(0, y1 - 2) : y2 + 2, max(0, x1 - 2) : x2 + 2] = True
            around &= ~mask
            inner, outer = drawing.image[mask].mean(0), drawing.image[around].mean(0)
            differences.append(np.abs(inner - outer).max())
    assert np.median(inside_minus_outside) > 50 > 1.5 * np.median(moved)


def test_larger_pictures_hold_larger_objects_or_more_of_them():
    def sides_and_counts(**options):
        drawings = [shapes.draw(i, **options) for i in range(60)]
        boxes = [id_map_boxes(drawing.ids, len(drawing.labels)) for drawing in drawings]
        sides = [np.sqrt((box[2] - box[0]) * (box[3] - box[1])) for picture in boxes for box in picture]
        return np.median(sides), np.mean([len(picture) for picture in boxes])

    side, count = sides_and_counts()
    scaled_side, scaled_count = sides_and_counts(size=256)
    dense_side, dense_count = sides_and_counts(size=256, object_scale=1.0)
    assert scaled_side / side == pytest.approx(2, rel=0.25) and scaled_count == pytest.approx(count, rel=0.25)
    assert dense_side / side == pytest.approx(1, rel=0.25) and dense_count == pytest.approx(4 * count, rel=0.25)


def test_an_id_map_of_8_bits_holds_all_objects_of_a_huge_picture():
    drawing = shapes.draw(0, size=1024, object_scale=0.8, kind="overlap")
    assert len(drawing.labels) > 60
    assert set(np.unique(drawing.ids)) == set(range(len(drawing.labels) + 1))


# ---- the distribution, against the prototype that defines it ---------------------------------------------


def ours(kind, number):
    for i in range(number):
        drawing = shapes.draw(i, kind=kind, seed=11)
        yield drawing.image, drawing.labels, drawing.ids == np.arange(1, len(drawing.labels) + 1)[:, None, None]


def prototype(kind, number):
    spec = importlib.util.spec_from_file_location("prototype_shapes", PROTOTYPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.cfg_of(kind)
    for i in range(number):
        image, labels, masks, _ = module.make((5, i), config)
        names = [config["classes"][label - 1] for label in labels]  # it counts the classes of each kind anew
        yield image, np.array([shapes.CLASS_NAMES.index(name) for name in names]), masks


@functools.cache
def standard():
    return statistics(ours("std", 400))


def statistics(pictures):
    """Samples of everything about a picture that a detector could notice, one number an object or picture."""
    samples = {name: [] for name in ("count", "class", "side", "ratio", "filled", "x", "covered_box", "mean", "spread")}
    samples |= {name: [] for name in ("grain", "hue", "contrast", "texture", "edge")}
    samples |= {f"filled {name}": [] for name in shapes.CLASS_NAMES[1:]}
    for image, labels, masks in pictures:
        image = image.astype(np.float32)
        samples["count"].append(len(labels))
        samples["mean"].append(image.mean())
        samples["spread"].append(image.std())
        samples["hue"].append(np.ptp(image.mean((0, 1))))
        plain = ~masks.any(0)
        samples["grain"].append(np.abs(np.diff(image, axis=1))[plain[:, 1:]].mean())
        for label, mask in zip(labels, masks):
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            filled = mask.sum() / (height * width)
            others = masks.any(0)[window] & ~mask[window]
            samples["class"].append(label)
            samples["side"].append(np.sqrt(height * width))
            samples["ratio"].append(width / height)
            samples["filled"].append(filled)
            samples[f"filled {shapes.CLASS_NAMES[label]}"].append(filled)
            samples["x"].append(columns.mean())
            samples["covered_box"].append(others.mean())
            samples["contrast"].append(np.abs(image[mask].mean(0) - image[plain].mean(0)).max())
            samples["texture"].append(image[mask].std(0).mean())
            samples["edge"].append(mask.sum() / max(1, (mask[1:] != mask[:-1]).sum()))
    return {name: np.array(values, float) for name, values in samples.items()}


def differing(first, second, level=2.2):
    """Names of the statistics whose distributions differ by Kolmogorov and Smirnov's two-sample test.

    level 2.2 stands for a chance of 1e-4 that two samples of one distribution are told apart.
    """
    found = {}
    for name in first:
        a, b = np.sort(first[name]), np.sort(second[name])
        if min(len(a), len(b)) < 30:
            continue
        points = np.concatenate([a, b])
        gap = np.abs(np.searchsorted(a, points, "right") / len(a) - np.searchsorted(b, points, "right") / len(b)).max()
        if gap > level * np.sqrt((len(a) + len(b)) / (len(a) * len(b))):
            found[name] = round(float(gap), 3)
    return found


@pytest.mark.parametrize("kind", shapes.KINDS)
def test_the_distribution_is_that_of_the_prototype(kind):
    if not PROTOTYPE.exists():
        pytest.skip("the prototype of the shapes is not on this machine (../shared/prototypes)")
    found = standard() if kind == "std" else statistics(ours(kind, 300))
    assert differing(found, statistics(prototype(kind, 300))) == {}


def test_the_comparison_tells_kinds_and_small_changes_apart(monkeypatch):
    """The bounds above are worth something: each of these changes is noticed by the statistic it should."""
    assert {"side", "filled", "class"} <= set(differing(standard(), statistics(ours("thin", 200))))
    assert {"count", "covered_box"} <= set(differing(standard(), statistics(ours("overlap", 200))))
    # A stroke, a squeeze, a contrast, and the noise, all a little changed: each shows in its own statistic.
    changed = shapes.Kind(stroke=(0.33, 0.45), squeeze=(0.55, 1.0), contrast=0.4)
    monkeypatch.setitem(shapes.KINDS, "std", changed)
    monkeypatch.setattr(shapes, "_NOISE", 0.06)
    found = differing(standard(), statistics(ours("std", 300)))
    assert {"filled ring", "ratio", "contrast", "grain"} <= set(found)
    monkeypatch.setitem(shapes.KINDS, "std", shapes.Kind(radius=(10, 30)))
    assert "side" in differing(standard(), statistics(ours("std", 300)))
