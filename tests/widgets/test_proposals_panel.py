"""What the panel shows of proposals is what the model proposes, and the model stays as it was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

pytest.importorskip("ipywidgets")

from mrcnn_lite import boxes, load, open_dataset
from mrcnn_lite.widgets.panels import proposals_panel

ASSETS = Path(__file__).parents[2] / "assets"


@pytest.fixture(scope="module")
def model():
    return load(ASSETS / "shapes.safetensors")


@pytest.fixture(scope="module")
def example():
    return open_dataset("shapes-overlap", split="val", length=4, progress=False)[2]


def of_the_model(model, image, threshold: float, top_k: int, kept: int):
    """The proposals as the model itself gives them with such a threshold."""
    usual, model.rpn.nms_iou = model.rpn.nms_iou, threshold
    try:
        with torch.no_grad():
            batch, _ = model.prepare([image])
            output = model.rpn(model.backbone(batch.images), batch.size)
            return model.rpn.proposals(output, batch.sizes, top_k, kept)
    finally:
        model.rpn.nms_iou = usual


@pytest.mark.parametrize("move", [{"threshold": 0.3}, {"top_k": 10}, {"kept": 3}, {"threshold": 0.0, "kept": 1000}])
def test_each_control_changes_the_picture_and_the_numbers_are_the_models(model, example, move):
    image, target = example
    panel = proposals_panel(model, image, target)
    before, words = panel.picture.value, panel.words
    for name, value in move.items():
        panel.controls[name].value = value
    assert panel.error is None and panel.picture.value != before and panel.words != words

    found = of_the_model(model, image, **panel.values())
    assert torch.equal(panel.proposals["boxes"], found.boxes[0])  # 128 pixels: the network's input is the picture
    assert torch.equal(panel.proposals["scores"], found.scores[0])
    assert f"{len(found.boxes[0])} proposals kept" in panel.words
    reach = boxes.iou(target["boxes"], found.boxes[0]).amax(1)
    hits, count, mean = re.search(r"(\d+) of (\d+) objects.*average ([\d.]+)\.$", panel.words).groups()
    assert (int(hits), int(count)) == (int((reach >= 0.5).sum()), len(reach))
    assert float(mean) == pytest.approx(reach.mean().item(), abs=6e-4)


def test_the_model_keeps_its_threshold(model, example):
    usual = model.rpn.nms_iou
    panel = proposals_panel(model, *example)
    assert panel.controls["threshold"].value == usual
    panel.controls["threshold"].value = 0.1
    assert model.rpn.nms_iou == usual


def test_boxes_are_in_the_pixels_of_a_picture_of_another_size(model, example):
    image = torch.nn.functional.interpolate(example[0][None], scale_factor=2, mode="bilinear")[0]
    panel = proposals_panel(model, image)
    found = of_the_model(model, image, **panel.values())
    torch.testing.assert_close(panel.proposals["boxes"], found.boxes[0] * 2)
    assert "objects" not in panel.words


def test_a_picture_without_objects_and_one_that_does_not_fit(model, example):
    image, _ = example
    empty = {"boxes": torch.zeros(0, 4)}
    panel = proposals_panel(model, image, empty)
    assert panel.error is None and "objects" not in panel.words
    with pytest.raises(ValueError, match="image 0"):
        proposals_panel(model, image * 255)
