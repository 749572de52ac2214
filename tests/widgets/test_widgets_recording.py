"""What the widgets show of real models is what the models compute; and one's own model can be shown."""

from __future__ import annotations

import base64
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mrcnn_lite import Config, boxes, build_model
from mrcnn_lite.widgets.recording import recorded_detections, recorded_features
from mrcnn_lite.widgets.source import HERE

ASSETS = Path(__file__).parents[2] / "assets"


@pytest.fixture(scope="module")
def maker():
    """assets/widgets.py, which made the recorded data."""
    spec = importlib.util.spec_from_file_location("make_widgets", ASSETS / "widgets.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_recorded_features_are_those_of_the_checkpoint(maker):
    """Within half a step of a byte; another processor may round otherwise, which a quarter step more allows."""
    stored, made = json.loads((HERE / "roi_align_data.json").read_text()), maker.features()
    assert stored["picture"] == made["picture"]
    for level, new in made["levels"].items():
        old = stored["levels"][level]
        assert all(old[key] == new[key] for key in ("height", "width", "stride", "channel"))
        values = []
        for part in (old, new):
            codes = np.frombuffer(base64.b64decode(part["values"]), np.uint8)
            values.append(part["low"] + (part["high"] - part["low"]) / 255 * codes)
        assert np.abs(values[0] - values[1]).max() <= 0.75 * (old["high"] - old["low"]) / 255


def test_recorded_architectures_are_those_of_the_configurations(maker):
    assert json.loads((HERE / "architecture_data.json").read_text()) == json.loads(json.dumps(maker.architecture()))


def test_recorded_detections_are_those_of_the_checkpoint_and_hang_together(maker):
    """The proposal is the decoded anchor, the box the decoded proposal, all within the rounding."""
    stored, made = json.loads((HERE / "xray_data.json").read_text()), maker.detections()
    assert stored["picture"] == made["picture"] and stored["classes"] == made["classes"]
    assert len(stored["detections"]) == len(made["detections"]) == 3
    for old, new in zip(stored["detections"], made["detections"]):
        assert (old["label"], old["level"]) == (new["label"], new["level"])
        for key in ("score", "anchor", "rpn_deltas", "proposal", "box_deltas", "box"):
            assert old[key] == pytest.approx(new[key], abs=0.02), key
        anchor, proposal = torch.tensor([old["anchor"]]), torch.tensor([old["proposal"]])
        decoded = boxes.clip(boxes.decode(anchor, torch.tensor([old["rpn_deltas"]])), (128, 128))
        assert torch.allclose(decoded, proposal, atol=0.002)
        decoded = boxes.decode(proposal, torch.tensor([old["box_deltas"]]), stored["weights"])
        assert torch.allclose(boxes.clip(decoded, (128, 128)), torch.tensor([old["box"]]), atol=0.002)


def values_of(level):
    codes = np.frombuffer(base64.b64decode(level["values"]), np.uint8).reshape(level["height"], level["width"])
    return torch.tensor(level["low"] + (level["high"] - level["low"]) / 255 * codes)


@pytest.mark.parametrize("known", [True, False])
def test_ones_own_model_and_picture(known):
    model = build_model(Config.tiny(num_classes=3)).eval()
    image, objects = torch.rand(3, 128, 128), torch.zeros(128, 128, dtype=torch.bool)
    objects[40:90, 30:80] = True
    recorded = recorded_features(model, image, objects if known else None)
    with torch.no_grad():
        pyramid = model.backbone(model.image_transform([image]).images)
    for maps, level in zip(pyramid, recorded["levels"].values()):
        assert level["stride"] == 128 / maps.shape[3]
        off = (values_of(level) - maps[0, level["channel"]]).abs().max()
        assert off <= (level["high"] - level["low"]) / 255 + 1e-3
        if not known:
            assert level["channel"] == maps[0].flatten(1).std(1).argmax()


def test_another_size_and_another_network_are_refused():
    with pytest.raises(ValueError, match=r"shape \[3, 100, 128\], expected \[3, 128, 128\]"):
        recorded_features(None, torch.rand(3, 100, 128))
    tiny = build_model(Config.tiny(num_classes=3)).eval()
    c4 = SimpleNamespace(image_transform=tiny.image_transform, backbone=lambda images: [images])
    with pytest.raises(ValueError, match="the model has 1 feature maps, expected the four levels"):
        recorded_features(c4, torch.rand(3, 128, 128))
    large = build_model(Config.tiny(num_classes=3, min_size=160)).eval()
    with pytest.raises(ValueError, match=r"the network's input is \(160, 160\), expected .* 128 x 128"):
        recorded_detections(large, torch.rand(3, 128, 128))
