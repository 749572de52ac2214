"""assets/: the shipped checkpoints do what the text says of them."""

import importlib.util
import json
from pathlib import Path

import pytest
from PIL import Image

from mrcnn_lite import evaluate, load, open_dataset

ASSETS = Path(__file__).parents[1] / "assets"
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
