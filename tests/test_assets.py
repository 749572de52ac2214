"""assets/: the shipped checkpoints do what the text says of them."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from mrcnn_lite import evaluate, load, open_dataset

ASSETS = Path(__file__).parents[1] / "assets"
sys.path.insert(0, str(ASSETS))
import experiments  # noqa: E402

PROTOTYPE = Path(__file__).resolve().parents[2] / "shared" / "prototypes" / "shapes.py"


@pytest.fixture(scope="module")
def shapes_model():
    return load(ASSETS / "shapes.safetensors")


@pytest.fixture(scope="module")
def mask_ap(shapes_model):
    """On 200 held-out pictures."""
    return evaluate(shapes_model, open_dataset("shapes", split="val", length=200, progress=False), progress=False).mask[
        "AP"
    ]


def test_shapes(mask_ap):
    assert mask_ap >= 0.5


def test_shapes_drawn_by_another_program(shapes_model, mask_ap, tmp_path):
    """The same distribution, drawn by the prototype and read as COCO JSON: at most 3 points are lost."""
    if not PROTOTYPE.exists():
        pytest.skip("the prototype of the shapes is not on this machine (../shared/prototypes)")
    spec = importlib.util.spec_from_file_location("prototype_shapes", PROTOTYPE)
    assert spec and spec.loader
    drawer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawer)

    pictures = drawer.dataset(200, 987, "std")
    coco = drawer.to_coco(pictures, len(drawer.CLASSES))
    for category, name in zip(coco["categories"], drawer.CLASSES):
        category["name"] = name
    (tmp_path / "images").mkdir()
    for entry, (image, *_) in zip(coco["images"], pictures):
        entry["file_name"] = f"{entry['id']}.png"
        Image.fromarray(image).save(tmp_path / "images" / entry["file_name"])
    for annotation in coco["annotations"]:
        annotation["segmentation"]["counts"] = annotation["segmentation"]["counts"].decode()
    (tmp_path / "instances_val.json").write_text(json.dumps(coco))
    results = evaluate(shapes_model, open_dataset(tmp_path, split="val"), progress=False)
    assert results.objects == len(coco["annotations"])
    assert results.mask["AP"] >= mask_ap - 0.03


def test_nuclei(shared_data):
    model = load(ASSETS / "nuclei.safetensors")
    assert model.class_names == ("background", "nucleus")
    results = evaluate(model, open_dataset(shared_data("nuclei"), split="val", limit=20), progress=False)
    assert results.mask["AP50"] > 0.5


def test_the_stored_mask_losses_are_what_the_script_would_run():
    stored = json.loads((ASSETS / "mask_losses.json").read_text(encoding="utf-8"))
    assert stored["command"] == "python assets/experiments.py mask_losses" and len(stored["commit"]) >= 7
    assert [(run["seed"], run["loss"]) for run in stored["runs"]] == [
        (seed, loss) for seed in experiments.SEEDS for loss in experiments.READINGS
    ]
    for run in stored["runs"]:
        assert run["steps"] == experiments.STEPS
        assert all(0 < run[reading] < 1 for reading in experiments.READINGS[run["loss"]])
        tried = [row for row in stored["tuning"] if (row["loss"], row["steps"]) == (run["loss"], run["steps"])]
        assert tuple(row["lr"] for row in tried) == experiments.LEARNING_RATES
        best = max(tried, key=lambda row: row["mean_iou"])["lr"]
        assert run["lr"] == best and min(experiments.LEARNING_RATES) < best < max(experiments.LEARNING_RATES)


def test_mask_losses_read_in_three_ways(shapes_model):
    """A head that is sure of the right pixels, and of the right or of a wrong class."""
    crops = experiments.crops_of(shapes_model, "val", 0, 10)
    every = torch.arange(len(crops.labels))

    def sure_of(labels, background):
        planes = torch.full((len(labels), 6 + background, *crops.targets.shape[1:]), -20.0)
        planes[every, labels - 1 + background] = 40 * crops.targets - 20
        if background:
            planes[:, 0] = 0
        return lambda features: planes

    wrong = crops.labels % 6 + 1
    iou = lambda labels, loss, reading: experiments.mask_ious(  # noqa: E731
        sure_of(labels, loss == "softmax"), loss, crops, reading
    ).mean()
    assert iou(crops.labels, "sigmoid", "fair") > 0.9 and iou(wrong, "sigmoid", "fair") == 0
    for reading in experiments.READINGS["softmax"]:
        assert iou(crops.labels, "softmax", reading) > 0.9
    assert iou(wrong, "softmax", "fair") == iou(wrong, "softmax", "bare") == 0
    assert iou(wrong, "softmax", "any") > 0.9


def test_fresh_mask_heads_learn_with_either_loss(shapes_model):
    crops = experiments.crops_of(shapes_model, "val", 0, 10)
    for loss, kind in experiments.MASK_LOSSES.items():
        value = {}
        for steps in (2, 40):
            head = experiments.train(loss, crops, 6, 1e-2, steps, seed=0)
            with torch.no_grad():
                value[steps] = kind.loss(head(crops.features), crops.labels, crops.targets).item()
        assert value[40] < 0.7 * value[2]
