"""What the widgets show of real models is what the models compute; and one's own model can be shown."""

from __future__ import annotations

import base64
import importlib.util
import json
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mrcnn_lite import Config, boxes, build_model, open_dataset
from mrcnn_lite.training import train
from mrcnn_lite.widgets.recording import recorded_detections, recorded_features, recorded_training
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


def proposals_of(checkpoint):
    """[P, 5] in 0..1: a box in parts of the picture's side, and its objectness."""
    codes = np.frombuffer(base64.b64decode(checkpoint["proposals"]), np.uint8).reshape(-1, 5)
    return torch.from_numpy(codes / 255)


def pixels_of(runs):
    """What `_runs` wrote, read by another way: as COCO's counts."""
    lengths, length, shift = [], 0, 0
    for byte in base64.b64decode(runs):
        length += (byte & 127) << shift
        shift += 7
        if byte < 128:
            lengths.append(length)
            length = shift = 0
    assert sum(lengths) == 128 * 128
    inside = np.arange(len(lengths)) % 2 == 1
    return torch.from_numpy(np.repeat(inside, lengths).reshape(128, 128))


def recording_of(model, image, target):
    """Of a run of one step that changes nothing."""
    return recorded_training([(0, model), (1, model)], {"loss": [0.0], "loss_mask": [1.0]}, image, target)


def test_the_recorded_run_begins_as_the_training_does(maker):
    """Five steps anew, stopped as Control-C stops them: the losses are those of the recording's first checkpoints.

    Another processor rounds otherwise, and five steps of AdamW carry it on: hence the tolerances.
    """
    stored = json.loads((HERE / "training_replay_data.json").read_text())
    model, pictures = maker.untrained(cached=False)
    shown = open_dataset("shapes", split="val", length=maker.SHOWN + 1, cached=False)[maker.SHOWN]
    untrained = recording_of(model.eval(), *shown)["checkpoints"][0]
    first, second = stored["checkpoints"][:2]
    assert untrained["own"] == pytest.approx(first["own"], abs=0.01)
    assert (proposals_of(untrained) - proposals_of(first)).abs().median() <= 1 / 255
    steps = 0

    def stop(*_):
        nonlocal steps
        steps += 1
        if steps == stored["steps"][1]:
            signal.raise_signal(signal.SIGINT)

    model.register_forward_pre_hook(stop)
    history = train(model.train(), pictures, device="cpu", threads=1, seed=maker.SEED, progress=False)
    assert history.interrupted and history.step == stored["steps"][1] == 5
    for name, own in second["own"].items():
        assert history.losses[name][0] == pytest.approx(first["batches"][name], abs=0.002), name
        assert np.mean(history.losses[name]) == pytest.approx(second["batches"][name], abs=0.02), name
        with torch.no_grad():
            again = model.eval().losses([shown[0]], [shown[1]], [0])[name]
        assert float(again) == pytest.approx(own, rel=0.1, abs=0.02), name


def test_the_recorded_run_hangs_together(maker):
    """Every checkpoint is there; means are those of the curves; positives are those that overlap an object by half."""
    stored = json.loads((HERE / "training_replay_data.json").read_text())
    image, target = open_dataset("shapes", split="val", length=maker.SHOWN + 1, cached=False)[maker.SHOWN]
    shown = recording_of(blank(), image, target)
    assert (stored["picture"], stored["objects"]) == (shown["picture"], shown["objects"])
    assert all(pixels_of(one["mask"]).equal(mask.bool()) for one, mask in zip(stored["objects"], target["masks"]))
    assert stored["made"]["command"] == "python assets/widgets.py run" and len(stored["made"]["commit"]) >= 7
    steps, objects = stored["steps"], torch.tensor([one["box"] for one in stored["objects"]])
    assert tuple(steps) == maker.KEPT and len(steps) == len(stored["checkpoints"]) >= 20
    for k, checkpoint in enumerate(stored["checkpoints"]):
        first, last = (steps[k - 1], steps[k]) if k else (0, 1)
        for name, curve in stored["curves"].items():
            mean = values_of(curve)[0, first:last].mean()
            rounding = (curve["high"] - curve["low"]) / 255 / 2 + 0.0011  # of the curve's bytes, its ends, the mean
            assert float(mean) == pytest.approx(checkpoint["batches"][name], abs=rounding)
        candidates = torch.cat([128 * proposals_of(checkpoint)[:, :4].float(), objects])
        overlap = boxes.iou(candidates[checkpoint["rois"]], objects).amax(1)
        assert (overlap[: checkpoint["positives"]] > 0.45).all() and (overlap[checkpoint["positives"] :] < 0.55).all()
        scores = [one["score"] for one in checkpoint["detections"]]
        assert scores == sorted(scores, reverse=True) and len(scores) == min(checkpoint["detected"], 5)
        assert all(pixels_of(one["mask"]).any(0).sum() <= 1 + one["box"][2] - one["box"][0] for one in
                   checkpoint["detections"])  # fmt: skip


def blank(seed=0):
    torch.manual_seed(seed)
    return build_model(Config.tiny(num_classes=7)).eval()


def test_ones_own_run_is_recorded_as_the_model_computes_it():
    image, target = open_dataset("shapes", split="val", length=3, cached=False)[2]
    models = [blank(1), blank(2)]
    for model in models:
        model.heads["box"].score_threshold = 0.0  # an untrained one is sure of nothing
    names = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask")
    losses = {name: [float(n), 1.0 + n] for n, name in enumerate(("loss", *names))}
    recorded = recorded_training([(0, models[0]), (2, models[1])], losses, image, target, seed=3, most=4)
    assert recorded["steps"] == [0, 2] and set(recorded["curves"]) == set(names)
    for model, checkpoint in zip(models, recorded["checkpoints"]):
        with torch.no_grad():
            own = {name: float(loss) for name, loss in model.losses([image], [target], [3]).items()}
            batch, _ = model.prepare([image])
            output = model.rpn(model.backbone(batch.images), batch.size)
        assert checkpoint["own"] == pytest.approx(own, abs=0.0006)
        proposed = model.propose(output, batch, train=True)
        codes = proposals_of(checkpoint)
        assert (128 * codes[:, :4] - proposed.boxes[0]).abs().max() <= 128 / 255 / 2 + 1e-4
        assert (codes[:, 4] - proposed.scores[0]).abs().max() <= 0.5 / 255 + 1e-6
        found = model.detect([image])[0]
        assert checkpoint["detected"] == len(found["boxes"]) > len(checkpoint["detections"]) == 4
        for n, one in enumerate(checkpoint["detections"]):
            assert (one["label"], one["score"]) == (
                int(found["labels"][n]),
                pytest.approx(float(found["scores"][n]), abs=1e-3),
            )
            assert one["box"] == pytest.approx(found["boxes"][n].tolist(), abs=0.051)
            assert pixels_of(one["mask"]).equal(found["masks"][n])
        assert len(checkpoint["rois"]) == 32 and 0 < checkpoint["positives"] <= 8
    first, second = (checkpoint["batches"] for checkpoint in recorded["checkpoints"])
    assert first == {name: 1.0 + n for n, name in enumerate(names)}
    assert second == {name: 1.5 + n for n, name in enumerate(names)}


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
    with pytest.raises(ValueError, match=r"from step 0 to 2, losses: 1 of loss; expected one of each step"):
        recorded_training([(0, tiny), (2, tiny)], {"loss": [1.0]}, torch.rand(3, 128, 128), {})
    large = build_model(Config.tiny(num_classes=3, min_size=160)).eval()
    with pytest.raises(ValueError, match=r"the network's input is \(160, 160\), expected .* 128 x 128"):
        recorded_detections(large, torch.rand(3, 128, 128))
