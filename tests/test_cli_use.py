"""`evaluate`, `predict` and `info`: their figures are those of the functions behind them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from mrcnn_lite.build import build_model
from mrcnn_lite.cli import main
from mrcnn_lite.cli.settings import read_config
from mrcnn_lite.cli.use import in_short
from mrcnn_lite.config import Config
from mrcnn_lite.data import export_coco, open_dataset
from mrcnn_lite.info import describe
from mrcnn_lite.weights import save


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MRCNN_LITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def weights(tmp_path):
    """A model that has learnt nothing."""
    model = build_model(Config.tiny(num_classes=7, score_threshold=0.0, max_detections=5))
    model.class_names = open_dataset("shapes", limit=1).class_names
    save(model, tmp_path / "model.safetensors")
    return str(tmp_path / "model.safetensors")


def truth_as_results(tmp_path, dataset, name="results.json"):
    """The ground truth as if somebody had found it."""
    keys = ("image_id", "category_id", "bbox", "segmentation")
    annotations = dataset.coco_ground_truth()["annotations"]
    found = [{key: entry[key] for key in keys} | {"score": 0.9} for entry in annotations]
    (tmp_path / name).write_text(json.dumps(found))
    return name


def test_the_truth_evaluates_to_one(tmp_path, capsys):
    dataset = open_dataset("shapes", "val", limit=3)
    results = truth_as_results(tmp_path, dataset)
    assert main(["evaluate", "--results", results, "--data", "shapes", "--limit", "3", "--output", "out.json"]) == 0
    assert capsys.readouterr().out.startswith("3 images, ")
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["box"]["AP"] == figures["mask"]["AP"] == 1.0
    assert (figures["of"], figures["data"], figures["split"]) == (results, "shapes", "val")

    file = export_coco(dataset, tmp_path / "exported", "val")
    assert main(["evaluate", "--results", results, "--data", str(file)]) == 0
    assert "1.000" in capsys.readouterr().out


def test_results_that_cannot_be_meant(tmp_path, capsys):
    (tmp_path / "a.json").write_text('{"images": []}')
    (tmp_path / "b.json").write_text("[")
    (tmp_path / "c.json").write_text('[{"image_id": 99, "category_id": 1, "score": 1, "bbox": [0, 0, 1, 1]}]')
    (tmp_path / "d.json").write_text('[{"image_id": 1, "category_id": 1, "score": 1, "keypoints": [1, 1, 1]}]')
    for name, said in (
        ("a.json", "a.json: results are a dict, expected a list of COCO results"),
        ("b.json", "b.json is not JSON"),
        ("c.json", "image 99): not one of the 2 images"),
        ("d.json", "neither boxes nor masks nor keypoints in common"),
        ("e.json", "e.json: No such file or directory"),
    ):
        assert main(["evaluate", "--results", name, "--data", "shapes", "--limit", "2"]) == 2
        assert said in capsys.readouterr().err


def test_evaluate_a_model_on_other_data_and_other_files(weights, tmp_path, capsys):
    other = tmp_path / "figures"
    export_coco(open_dataset("stick-figures", "val", limit=1), other, "val")
    (tmp_path / "text.safetensors").write_text("no weights")
    for arguments, said in (
        (["--weights", weights, "--data", str(other), "--data-options", "keypoints=true"], "no name in common"),
        (["--weights", "gone.safetensors", "--data", "shapes"], "no weights gone.safetensors"),
        (["--weights", "text.safetensors", "--data", "shapes"], "text.safetensors: not a whole safetensors file"),
        (["--weights", weights, "--data", "shapes", "--split", "test"], "split must be"),
    ):
        assert main(["evaluate", *arguments]) == 2
        assert said in capsys.readouterr().err


def test_evaluate_draws_eight_pairs(weights, capsys):
    command = ["evaluate", "--weights", weights, "--data", "shapes", "--split", "train", "--limit", "8"]
    sheets = {}
    for least in ("0", "1"):
        drawn = ["--picture", f"new/{least}.png", "--picture-score", least]
        assert main([*command, *drawn, "--threads", "1", "--batch-size", "8"]) == 0
        assert f"picture: new/{least}.png" in capsys.readouterr().out
        sheets[least] = np.asarray(Image.open(f"new/{least}.png"))
    height, width, _ = sheets["0"].shape
    assert width > 4 * 384 and height > 4 * 384
    assert (sheets["0"] != sheets["1"]).any()  # with a score of 1 there is nothing to draw


def test_predict_writes_pictures_and_says_what_it_found(weights, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for name in ("one.png", "two.jpg"):
        Image.new("RGB", (120, 90), "blue").save(tmp_path / "photos" / name)
    assert main(["predict", "--weights", weights, "photos", "--score-threshold", "0", "--output", "found"]) == 0
    entries = json.loads((tmp_path / "found/results.json").read_text())
    lines = capsys.readouterr().out.splitlines()
    for name, line in zip(("one.png", "two.jpg"), lines):
        mine = [entry["category_name"] for entry in entries if entry["file_name"] == f"photos/{name}"]
        assert line.startswith(f"photos/{name}: ") and len(mine) == 5
        assert all(f"{mine.count(kind)} {kind}" in line for kind in mine)
    assert lines[2] == "2 picture(s), 10 object(s) with a score from 0: found"
    assert {path.name for path in (tmp_path / "found").glob("*.png")} == {"one.png", "two.png"}
    assert main(["predict", "--weights", weights, "photos/one.png", "--score-threshold", "1"]) == 0
    assert capsys.readouterr().out.startswith("photos/one.png: nothing\n1 picture(s), 0 object(s)")


def test_predict_refuses(weights, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("no picture")
    for arguments, said in (
        (["gone.png"], "no such file or folder: gone.png"),
        (["empty"], "no pictures in the folder empty"),
        (["text.png"], "text.png can't be read as a picture"),
        (["text.png", "--device", "cuda:99"], "cuda:99" if not torch.cuda.is_available() else "no GPU 99"),
    ):
        assert main(["predict", "--weights", weights, *arguments]) == 2
        assert said in capsys.readouterr().err


def test_torchvisions_weights_offline(capsys, monkeypatch):
    def offline(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models.get_model", offline)
    assert main(["predict", "--weights", "coco", "photo.jpg"]) == 2
    assert "the weights 'coco' can't be reached (no network): put https://" in capsys.readouterr().err


def test_info_lists_every_configuration(capsys):
    assert main(["info"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == Config.names()


def test_every_configuration_has_its_own_line():
    lines = {name: in_short(Config.named(name)) for name in Config.names() if name != "tiny-dense"}
    assert len(set(lines.values())) == len(lines)
    assert lines["x101-fpn"] == "ResNeXt-101 64x4d-FPN, RoIAlign, boxes, masks (FCN, sigmoid)"
    assert lines["r50-c4-roiwarp-max"] == "ResNet-50-C4, RoIWarp with maximum, boxes, masks (FCN, sigmoid)"


def test_info_prints_the_table(capsys):
    assert main(["info", "--config", "r50-c4", "--size", "480", "640", "--rois", "10"]) == 0
    text = capsys.readouterr().out
    assert str(describe(Config.named("r50-c4"), (480, 640), 10)) in text


def test_info_gives_settings_that_train_takes_back(capsys, tmp_path):
    assert main(["info", "--config", "r50-c4-softmax", "--json"]) == 0
    (tmp_path / "mine.json").write_text(capsys.readouterr().out)
    assert read_config("mine.json") == Config.named("r50-c4-softmax")


def test_info_of_a_model(weights, capsys):
    assert main(["info", "--weights", weights]) == 0
    text = capsys.readouterr().out
    assert "classes: circle, square, triangle, star, ring, cross" in text and "mask head, 5 RoIs" in text
