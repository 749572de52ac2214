"""Every exercise: untouched it is not attempted, the answer is right, mistakes are named, the unusual is accepted.

A checker that drifts from its exercise is worse than none: each mistake that a text warns of is written out and must be
caught under its own name, and answers that are right in an unusual way must not be.
"""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pycocotools import mask as rle

from mrcnn_lite.backbone import Bottleneck, norm_layer
from mrcnn_lite.box_head import averaged
from mrcnn_lite.checks import check_batch
from mrcnn_lite.data import shapes
from mrcnn_lite.data.coco import CocoJson
from mrcnn_lite.data.coco_parts import draw_outline
from mrcnn_lite.data.outlines import run_lengths as from_text
from mrcnn_lite.exercises import exercise
from mrcnn_lite.exercises.exercise import NOT_ATTEMPTED, RAISED, RIGHT, WRONG, exercises, functions
from mrcnn_lite.fpn import FPN
from mrcnn_lite.mask_head import MaskFCN
from mrcnn_lite.matching import NEGATIVE, sample
from mrcnn_lite.roi_ops import RoIPooler

FOLDER = Path(exercise.__file__).parent
CHAPTERS = [importlib.import_module(f"mrcnn_lite.exercises.{path.stem}") for path in sorted(FOLDER.glob("ch*.py"))]
EXERCISES = [found for chapter in CHAPTERS for found in exercises(chapter)]
MISTAKES = [(found, name, function) for found in EXERCISES for name, function in functions(found.mistakes)]
UNUSUAL = [(found, name, function) for found in EXERCISES for name, function in functions(found.unusual)]


def label(value):
    return value.__name__ if isinstance(value, type) else value if isinstance(value, str) else ""


@pytest.mark.parametrize("found", EXERCISES, ids=label)
def test_an_exercise_is_complete(found):
    assert found.text.strip() and found.minutes > 0 and found.difficulty in (1, 2, 3)
    assert 2 <= len(found.hints) <= 3
    assert len(functions(found.mistakes)) >= 3 and len(functions(found.unusual)) >= 2
    assert all(function.__doc__ for _, function in functions(found.mistakes))
    assert "..." in exercise.source(found.stub, found.__name__) and found.stub.__doc__


@pytest.mark.parametrize("found", EXERCISES, ids=label)
def test_the_untouched_stub_is_not_attempted(found):
    assert found.judge(found.stub).status == NOT_ATTEMPTED


@pytest.mark.parametrize("found", EXERCISES, ids=label)
def test_the_answer_is_right_and_can_be_shown(found, capsys):
    assert found.judge(found.answer).status == RIGHT
    found.solution()
    assert f"def {found.__name__}(" in capsys.readouterr().out


@pytest.mark.parametrize(("found", "name", "function"), MISTAKES, ids=label)
def test_each_mistake_is_caught_and_named(found, name, function):
    verdict = found.judge(function)
    assert (verdict.status, verdict.mistake) == (WRONG, name), verdict.text
    assert "It looks like this: " in verdict.text


@pytest.mark.parametrize(("found", "name", "function"), UNUSUAL, ids=label)
def test_unusual_right_answers_are_accepted(found, name, function):
    verdict = found.judge(function)
    assert verdict.status == RIGHT, verdict.text


def test_chapter_00_says_what_pycocotools_and_the_reader_say(tmp_path):
    """Run lengths and entries exactly; polygons except at the outline, where COCO's drawing has a rule of its own."""
    ch00 = importlib.import_module("mrcnn_lite.exercises.ch00")
    for (mask,) in ch00.run_lengths.cases():
        counts = from_text(rle.encode(np.asfortranarray(mask))["counts"]).tolist()
        assert ch00.run_lengths.answer(mask) == counts
        code = {"size": list(mask.shape), "counts": counts}
        assert torch.equal(ch00.mask_of_runs.answer(code), mask.long())
        assert np.array_equal(rle.decode(rle.frPyObjects(code, *code["size"])), mask)

    random = torch.Generator().manual_seed(1)
    for _ in range(20):
        polygons = [ch00.random_polygon(7, 60, 80, random) for _ in range(2)]
        ours = ch00.polygon_mask.answer(polygons, 60, 80).numpy()
        theirs = rle.decode(draw_outline(polygons, 60, 80)) > 0
        assert theirs.any() and np.all(shrunk(theirs) <= ours) and np.all(shrunk(~theirs) <= ~ours)
    corner = [[2.0, 1, 7, 1, 7, 4, 2, 4]]
    assert np.array_equal(ch00.polygon_mask.answer(corner, 6, 9), rle.decode(draw_outline(corner, 6, 9)))

    for annotations, categories in ch00.coco_objects.cases():
        entries = [{"id": n, "image_id": 1, "area": 1.0, **a} for n, a in enumerate(annotations, 1)]
        content = {"images": [{"id": 1, "file_name": "a.png", "height": 200, "width": 200}], "annotations": entries}
        (tmp_path / "a.json").write_text(json.dumps(content | {"categories": categories}), encoding="utf-8")
        read = CocoJson(tmp_path / "a.json").objects(0)
        boxes, labels = ch00.coco_objects.answer(annotations, categories)
        np.testing.assert_allclose(read.boxes, boxes)
        assert read.labels.tolist() == labels.tolist()


def test_chapter_00_has_three_wrong_targets_of_which_the_package_refuses_two():
    ch00 = importlib.import_module("mrcnn_lite.exercises.ch00")
    images, targets = ch00.planted()
    refused = {}
    for number, (image, target) in enumerate(zip(images, targets)):
        try:
            check_batch([image], [target], len(shapes.CLASS_NAMES), ["mask"])
        except ValueError as error:
            refused[number] = str(error)
    assert {n for n, error in ch00.label_errors.answer().items() if error != "class"} == set(refused)
    assert "looks like x, y, width, height" in refused[1] and "in another order" in refused[7]
    right = [shapes.draw(index, seed=ch00.PLANTED_SEED) for index in ch00.PLANTED]
    changed = [n for n, drawing in enumerate(right) if drawing.labels.tolist() != targets[n]["labels"].tolist()]
    assert [ch00.label_errors.answer()[n] for n in changed] == ["class"]
    said = ch00.label_errors.judge(lambda: {1: "box", 4: "class"}).text
    assert said == "label_errors: 1 of 3 are right, 2 given." and ch00.label_errors.judge(dict).status == WRONG


def test_chapter_07_says_what_the_package_does():
    """Its answers are written out for students; here they meet the layers that the networks are made of."""
    ch07 = importlib.import_module("mrcnn_lite.exercises.ch07")
    for channels, width, groups, group_width in ch07.block_parameters.cases():
        with torch.device("meta"):
            block = Bottleneck(channels, width, 1, norm_layer("frozen_bn"), groups, group_width)
        assert ch07.block_parameters.answer(channels, width, groups, group_width) == count(block)

    random = torch.Generator().manual_seed(1)
    block = Bottleneck(32, 8, 1, lambda channels: torch.nn.Identity(), 4, 16)  # inner 4 * (8 * 16 // 64) = 8
    x = torch.randn(2, 32, 5, 6, generator=random)
    weights = [layer.weight for layer in (block.conv1, block.conv2, block.conv3)]
    torch.testing.assert_close(ch07.resnext_block.answer(x, *weights, 4), block(x))

    fpn = FPN([3, 4, 5], 6)
    maps = [torch.randn(1, c, *size, generator=random) for c, size in ((3, (9, 12)), (4, (5, 6)), (5, (3, 3)))]
    sums = ch07.top_down.answer([inner(c) for inner, c in zip(fpn.inner_blocks, maps)])
    for ours, smooth, theirs in zip(sums, fpn.layer_blocks, fpn(maps)):
        torch.testing.assert_close(smooth(ours), theirs)

    corner, side = torch.rand(500, 2, generator=random) * 500, 2 + torch.rand(500, 2, generator=random) ** 3 * 900
    boxes = torch.cat([corner, corner + side], 1)
    pooler = RoIPooler(None, 7, [1 / 4, 1 / 8, 1 / 16, 1 / 32])
    assert torch.equal(ch07.pyramid_level.answer(boxes), pooler.levels(F.pad(boxes, (1, 0))) + 2)

    x, masks = torch.randn(2, 8, 7, 7, generator=random), MaskFCN(8, (), 4, 3)
    torch.nn.init.zeros_(masks.deconv.bias)
    torch.nn.init.zeros_(masks.mask_logits.bias)
    classes = torch.randn(4, 8, generator=random)
    logits = ch07.c4_heads.answer(x, classes, masks.deconv.weight, masks.mask_logits.weight)
    torch.testing.assert_close(logits[0], averaged(torch.nn.Identity())(x) @ classes.T)
    torch.testing.assert_close(logits[1], masks(x))


def test_chapter_08_samples_as_the_package_does_and_gives_no_diagnosis_away():
    ch08 = importlib.import_module("mrcnn_lite.exercises.ch08")
    for good, num_samples in ((90, 64), (5, 64), (0, 16)):
        best_iou = torch.rand(300, generator=torch.Generator().manual_seed(good)) / 2 + 0.5 * (torch.arange(300) < good)
        matched = torch.where(best_iou >= 0.5, 0, NEGATIVE)
        index, keep = sample(matched, num_samples, 0.25, torch.Generator().manual_seed(7))
        order = torch.rand(300, generator=torch.Generator().manual_seed(7))
        assert torch.equal(ch08.sample_rois.answer(best_iou, order, num_samples), index[keep])
    text = ch08.diagnose.judge(lambda: {"A": "no background", "B": "box order"}).text
    assert text == "diagnose: 1 of 4 letters are right." and "half pixel" not in text


def shrunk(mask):
    """Without the pixels that have one of the others around them."""
    return F.max_pool2d(torch.from_numpy(~mask)[None].float(), 3, 1, 1)[0].numpy() == 0


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


class double(exercise.Exercise):
    text, minutes, difficulty, hints = "Double.", 1, 1, ("add", "x + x")

    def answer(x):
        return 2 * x

    def stub(x):
        """x -> 2x"""
        ...

    def inputs(random):
        yield (torch.tensor([1.0, 2, 3, 4]),)
        yield (torch.tensor([0.5]),)
        yield (torch.tensor([]),)

    class mistakes:
        def square(x):
            """it is squared; twice is the number and itself"""
            return x * x

    class unusual:
        pass


def test_what_the_checker_says():
    assert double.judge(lambda x: x + 1).text.splitlines() == [
        "double: wrong on 2 of 3 inputs.",
        "The smallest of them:",
        "  x = [0.5]",
        "  expected [1.0]",
        "  got      [1.5]",
    ]
    named = double.judge(lambda x: x**2)
    assert named.mistake == "square" and "It looks like this: it is squared; twice is" in named.text

    def broken(x):
        return x.nothing

    raised = double.judge(broken)
    assert raised.status == RAISED and "AttributeError" in raised.text and "in its line" in raised.text
    assert "x = []" in raised.text  # the smallest input
    assert double.judge(lambda x: (2 * x)[None]).status == WRONG  # another shape
    assert double.judge(lambda x: "two").status == WRONG
    assert double.judge(lambda: 1).status == RAISED


def test_hints_come_one_by_one(capsys):
    for _ in range(3):
        double.hint()
    assert capsys.readouterr().out.splitlines() == ["hint 1 of 2: add", "hint 2 of 2: x + x", "hint 2 of 2: x + x"]


def test_an_answer_that_works_in_place_spoils_nothing():
    def in_place(x):
        x *= 2
        return x

    assert double.judge(in_place).status == RIGHT
