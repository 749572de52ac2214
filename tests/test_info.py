"""The counts against published figures, torchvision's models, formulas, and the network itself."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mrcnn_lite.build import build_model
from mrcnn_lite.config import Config
from mrcnn_lite.info import describe

COCO_WITH_GAPS = 91  # classes of torchvision's COCO models
UNUSED_MASK = 257  # parameters of the mask channel for the background that torchvision has and we have not


def torchvision_model(builder, **options):
    with torch.device("meta"):
        return builder(weights=None, weights_backbone=None, **options)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_published_parameters_of_maskrcnn_resnet50_fpn():
    assert describe(Config(num_classes=COCO_WITH_GAPS)).parameters == 44_401_393 - UNUSED_MASK


def test_published_operations_of_torchvisions_detectors():
    """134.38 in torchvision's table: an 800 x 800 picture in which random weights find nothing, so no mask is made."""
    description = describe(Config(num_classes=COCO_WITH_GAPS), (800, 800))
    without_masks = description.macs - description.part("mask head").macs
    assert round(without_masks / 1e9, 2) == 134.38


def test_the_mask_head_costs_what_the_paper_implies():
    head = describe(Config(), num_rois=1).part("mask head")
    assert head.parameters == 2_643_280
    by_hand = 4 * 14 * 14 * 9 * 256 * 256 + 14 * 14 * 4 * 256 * 256 + 28 * 28 * 256 * 80
    assert head.macs == by_hand and round(by_hand / 1e9, 2) == 0.53
    assert head.flops == 2 * head.macs


def test_every_part_has_the_parameters_of_torchvisions():
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    theirs = torchvision_model(maskrcnn_resnet50_fpn)
    ours = describe(Config(num_classes=COCO_WITH_GAPS, norm="bn", frozen_stages=0))  # random weights: ordinary norms
    assert ours.part("backbone").parameters == count(theirs.backbone.body)
    assert ours.part("FPN").parameters == count(theirs.backbone.fpn)
    assert ours.part("RPN").parameters == count(theirs.rpn)
    assert ours.part("box head").parameters == count(theirs.roi_heads.box_head) + count(theirs.roi_heads.box_predictor)
    assert ours.parameters == count(theirs) - UNUSED_MASK and ours.frozen == 0


def test_the_keypoint_head_has_the_parameters_of_torchvisions():
    from torchvision.models.detection import keypointrcnn_resnet50_fpn

    theirs = torchvision_model(keypointrcnn_resnet50_fpn).roi_heads
    ours = describe(Config(num_classes=2, heads=("keypoint",))).part("keypoint head")
    assert ours.parameters == count(theirs.keypoint_head) + count(theirs.keypoint_predictor)


@pytest.mark.parametrize("name", Config.names())
def test_no_parameter_is_forgotten_or_counted_twice(name):
    description = describe(Config.named(name))
    with torch.device("meta"):
        model = build_model(Config.named(name))
    assert description.parameters == count(model)
    assert description.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert description.frozen == description.parameters - description.trainable
    for what in ("trainable", "frozen", "flops"):
        assert getattr(description, what) == sum(getattr(part, what) for part in description.parts)
        for part in description.parts:
            assert getattr(part, what) == sum(getattr(step, what) for step in part.steps)


def macs_by_formula(module, *inputs):
    """Multiply-adds of the convolutions and matrix products in a module: size of the weight x positions."""
    macs = 0

    def add(layer, inputs, output):
        nonlocal macs
        # A convolution uses its weight at every position of its output, a deconvolution at every one of its input.
        positions = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        spatial = positions.shape[2:] if not isinstance(layer, nn.Linear) else ()
        macs += layer.weight.numel() * positions.shape[0] * math.prod(spatial)

    layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    module(*inputs)
    for hook in hooks:
        hook.remove()
    return macs


@pytest.mark.parametrize("name", ["r50-c4", "r50-c5", "x101-fpn", "r50-fpn-mlp2", "tiny"])
def test_multiply_adds_by_formula(name):
    config = Config.named(name)
    description = describe(config, (300, 400), num_rois=7)
    height, width = description.input_size
    with torch.device("meta"), torch.no_grad():
        model = build_model(config)
        images = torch.empty(1, 3, height, width)
        trunk = macs_by_formula(model.backbone, images)
        features = model.backbone(images)
        proposals = sum(macs_by_formula(model.rpn.head, feature) for feature in features)
        side, channels = model.heads["mask"].pooler.size, features[0].shape[1]
        crop = torch.empty(7, channels, side, side)
        masks = macs_by_formula(nn.Sequential(model.heads["mask"].body, model.heads["mask"].layers), crop)
    assert sum(part.macs for part in description.parts if part.name in ("backbone", "FPN")) == trunk
    assert description.part("RPN").macs == proposals
    assert description.part("mask head").macs == masks


def shapes(description, part):
    return [step.outputs[0] for step in description.part(part).steps]


def test_the_shapes_of_figure_4_left():
    description = describe(Config.named("r50-c4"), num_rois=100)
    assert shapes(description, "backbone")[-1] == (1024, 50, 50)
    traced = [(100, 1024, 7, 7), (100, 2048, 7, 7), (100, 256, 14, 14), (100, 80, 14, 14)]
    assert shapes(description, "mask head") == traced
    assert description.part("mask head").steps[1].name == "res5 (shared)"
    assert description.part("mask head").steps[1].parameters == 0 < description.part("mask head").steps[1].flops


def test_the_shapes_of_figure_4_right():
    description = describe(Config(), (600, 800))
    assert description.input_size == (800, 1088)  # 800 x 1066, padded to a multiple of 32
    assert shapes(description, "FPN") == [(256, 800 // s, 1088 // s) for s in (32, 16, 8, 4)] + [(256, 13, 17)]
    objectness = next(step for step in description.part("RPN").steps if step.name == "objectness")
    assert [shape[0] for shape in objectness.outputs] == [3] * 5
    assert shapes(description, "box head")[0] == (1000, 256, 7, 7)
    assert shapes(description, "box head")[-1] == (1000, 81, 4)
    mask = shapes(description, "mask head")
    assert mask == [(100, 256, 14, 14)] * 5 + [(100, 256, 28, 28), (100, 80, 28, 28)]


def test_keypoints_end_on_56_by_56():
    description = describe(Config.named("r50-fpn-keypoint"))
    assert shapes(description, "keypoint head")[-1] == (100, 17, 56, 56)


def test_the_number_of_rois_scales_the_heads_and_nothing_else():
    one, thousand = describe(Config(), num_rois=1), describe(Config(), num_rois=1000)
    for part in one.parts:
        factor = 1000 if part.num_rois else 1
        assert thousand.part(part.name).flops == factor * part.flops


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"image_size is \(0, 800\)"):
        describe(Config(), (0, 800))
    with pytest.raises(ValueError, match="num_rois 0"):
        describe(Config(), num_rois=0)
    with pytest.raises(KeyError, match="no part 'neck'; there are backbone, FPN, RPN, box head"):
        describe(Config()).part("neck")


@pytest.mark.parametrize("name", ["r101-fpn", "r50-fpn-keypoint-mask", "tiny"])
def test_the_table_says_it_all_and_fits_a_terminal(name):
    description = describe(Config.named(name), (800, 1333))
    table = str(description)
    assert all(part.name in table and f"{part.parameters:,}" in table for part in description.parts)
    assert f"{description.parameters:,}" in table and "FLOPs" in table
    unit = 1e9 if "GMAC" in table else 1e6
    assert f"{description.macs / unit:.3f}" in table
    assert max(map(len, table.splitlines())) <= 100
