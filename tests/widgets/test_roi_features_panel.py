"""What the panel cuts out of the maps is what the operations of `roi_ops` cut out, whatever the picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

pytest.importorskip("ipywidgets")

from mrcnn_lite import Config, build_model, load, open_dataset, roi_ops
from mrcnn_lite.widgets.panels import roi_features_panel

ASSETS = Path(__file__).parents[2] / "assets"
OPS = {"pool": roi_ops.roi_pool, "warp": roi_ops.roi_warp, "align": roi_ops.roi_align}


@pytest.fixture(scope="module")
def model():
    return load(ASSETS / "shapes.safetensors")


@pytest.fixture(scope="module")
def image():
    return open_dataset("shapes", split="val", length=4, progress=False)[1][0]


def of_one_map(model, panel, image) -> torch.Tensor:
    """The crop by the public operation, on the one map that the panel says it comes from."""
    values = panel.values()
    with torch.no_grad():
        batch, _ = model.prepare([image])
        feature = model.backbone(batch.images)[panel.level]
    zoom_y, zoom_x = (new / old for new, old in zip(batch.sizes[0], batch.original_sizes[0]))
    (x1, x2), (y1, y2) = values["x"], values["y"]
    roi = torch.tensor([[0, x1 * zoom_x, y1 * zoom_y, x2 * zoom_x, y2 * zoom_y]])
    options = {} if values["op"] == "pool" else {"sampling_ratio": model.config.sampling_ratio}
    return OPS[values["op"]](feature, roi, values["size"], feature.shape[3] / batch.size[1], **options)[0]


@pytest.mark.parametrize(
    "move", [{"x": (20.5, 61.0)}, {"y": (3.0, 120.0)}, {"op": "pool"}, {"op": "warp"}, {"size": 14}, {"channel": 3}]
)
def test_each_control_changes_the_picture_and_the_crop_is_the_operations(model, image, move):
    panel = roi_features_panel(model, image, box=(31.0, 40.5, 77.0, 90.0))
    before = panel.picture.value
    for name, value in move.items():
        panel.controls[name].value = value
    assert panel.error is None and panel.picture.value != before
    expected = of_one_map(model, panel, image)
    torch.testing.assert_close(panel.crop, expected, atol=1e-5, rtol=1e-5)
    mean, low, high = map(float, re.search(r"mean (\S+), from (\S+) to (\S+)\. ?", panel.words).groups())
    values = expected[panel.controls["channel"].value]
    assert (mean, low, high) == pytest.approx((float(values.mean()), *map(float, values.aminmax())), abs=1e-4)


def test_the_level_follows_the_size_of_the_box(model, image):
    panel = roi_features_panel(model, image, box=(60, 60, 70, 70))
    assert panel.level == 0 and "stride 4" in panel.words
    panel.controls["x"].value, panel.controls["y"].value = (0, 128), (0, 128)
    assert panel.level == 3 and "stride 32" in panel.words


def test_the_model_keeps_its_operation_and_size(model, image):
    pooler = model.heads["box"].pooler
    usual = (pooler.op, pooler.size)
    panel = roi_features_panel(model, image)
    panel.controls["op"].value, panel.controls["size"].value = "pool", 3
    assert (pooler.op, pooler.size) == usual


def test_any_picture_whatever_its_size():
    model, image = build_model(Config.tiny()), torch.rand(3, 90, 200)
    panel = roi_features_panel(model, image, box=(10, 20, 190, 80))
    assert panel.error is None
    torch.testing.assert_close(panel.crop, of_one_map(model, panel, image), atol=1e-5, rtol=1e-5)


def test_a_box_without_area_and_one_outside_are_refused(model, image):
    panel = roi_features_panel(model, image)
    panel.controls["x"].value = (50, 50)
    assert panel.words == "ValueError: the box has no area: x 50.0 to 50.0, y 32.0 to 96.0"
    for box in ((10, 10, 5, 20), (10, 10, 20, 129), (-1, 0, 5, 5)):
        with pytest.raises(ValueError, match=r"128 x 128, expected x1 < x2"):
            roi_features_panel(model, image, box=box)
