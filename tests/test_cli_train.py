"""What `mrcnn-lite train` hands on to `train`, and what it begins with. The training itself is test_cli.py's."""

from __future__ import annotations

import importlib

import pytest
import torch

from mrcnn_lite.build import build_model
from mrcnn_lite.cli import main
from mrcnn_lite.cli import train as cli_train
from mrcnn_lite.cli.train import initialise
from mrcnn_lite.config import Config
from mrcnn_lite.training.logs import History
from mrcnn_lite.weights import save

SMALL = ["train", "--limit", "4", "--processes", "1"]


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MRCNN_LITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call(monkeypatch):
    """Runs the command with a `train` that only remembers what it was called with."""
    calls = []

    def remember(model, dataset, **options):
        calls.append({"model": model, "dataset": dataset, **options})
        return History(step=1)

    monkeypatch.setattr(importlib.import_module("mrcnn_lite.training"), "train", remember)

    def run(*arguments):
        assert main([*SMALL, *arguments]) == 0
        return calls[-1]

    return run


def test_defaults(call, capsys):
    found = call()
    assert found["model"].config == Config.tiny(num_classes=7)
    assert (str(found["output"]), found["processes"], found["steps"], found["minutes"]) == (
        "runs/tiny-shapes",
        1,
        None,
        None,
    )
    assert len(found["dataset"]) == len(found["validation"]) == 4
    assert found["dataset"][0][1]["boxes"].shape != found["validation"][0][1]["boxes"].shape or not torch.equal(
        found["dataset"][0][0], found["validation"][0][0]
    )
    assert "next: mrcnn-lite evaluate --weights runs/tiny-shapes/model.safetensors" in capsys.readouterr().out


def test_every_option_arrives(call):
    typed = "--steps 9 --seed 5 --device cpu --precision float32 --workers 2 --accumulate 2 --validate-every 3 "
    typed += "--checkpoint-every 4 --log-every 5 --tensorboard --overwrite --freeze rpn backbone.fpn --output a/b"
    found = call(*typed.split())
    expected = {"steps": 9, "seed": 5, "device": "cpu", "precision": "float32", "workers": 2, "accumulate": 2}
    expected |= {"validate_every": 3, "checkpoint_every": 4, "log_every": 5, "tensorboard": True, "overwrite": True}
    expected |= {"freeze": ["rpn", "backbone.fpn"], "resume": False, "skip_bad": False}
    assert {name: found[name] for name in expected} == expected
    assert call("--minutes", "0.5")["minutes"] == 0.5
    assert call("--processes", "auto")["processes"] == "auto"
    assert call("--skip-bad")["skip_bad"] is True and call("--skip-bad", "0.25")["skip_bad"] == 0.25


@pytest.mark.parametrize(("number", "status"), [(0, 0), (2, 130), (15, 143)])
def test_the_exit_status_says_what_has_stopped_the_run(number, status, monkeypatch):
    monkeypatch.setattr(
        importlib.import_module("mrcnn_lite.training"), "train", lambda *_, **__: History(signal=number)
    )
    assert main(SMALL) == status


def test_settings_reach_the_model(call):
    config = call("--batch-size", "3", "--lr", "0.5", "--set", "heads=", "train.ema=0.9")["model"].config
    assert (config.train.batch_size, config.train.lr, config.train.ema, config.heads) == (3, 0.5, 0.9, ())


def test_the_seed_makes_the_weights(call):
    first, second, other = (call("--seed", seed)["model"].rpn.head.conv[0][0].weight for seed in "001")
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_keypoints_and_larger_pictures(call, capsys):
    found = call("--data", "stick-figures", "--set", "heads=keypoint", "--data-options", "size=96", "length=3")
    config = found["model"].config
    assert (config.num_classes, config.num_keypoints, config.min_size) == (2, 13, 96)
    assert len(found["dataset"]) == 3 and len(found["validation"]) == 4  # the length is that of the training pictures
    assert "min_size = 96 (the configuration has 128)" in capsys.readouterr().err


def test_validation_as_chosen(call, tmp_path, capsys):
    assert call("--val", "none")["validation"] is None
    assert call("--val", "shapes-thin")["validation"].class_names == call()["validation"].class_names
    from mrcnn_lite.data import export_coco, open_dataset

    file = export_coco(open_dataset("shapes", limit=2), tmp_path / "mine", "train")
    assert call("--data", str(file))["validation"] is None
    assert "no validation: --val names a data set" in capsys.readouterr().err
    assert call("--data", str(tmp_path / "mine"))["validation"] is None
    assert "no validation: " in capsys.readouterr().err


def test_a_learning_rate_for_another_batch_is_mentioned(call, capsys):
    options = ["--config", "r50-c4", "--set", "backbone=resnet18", "--init", "none", "--batch-size", "4"]
    config = call(*options)["model"].config
    assert config.train.lr == 0.02 and (config.frozen_stages, config.norm) == (0, "gn")
    said = capsys.readouterr().err
    assert "--lr 0.005 would fit this batch" in said and "random weights, therefore" in said
    call(*options, "--lr", "0.1")
    assert "would fit" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "3", "--minutes", "1"], "--steps and --minutes both say how long"),
        (["--set", "heads=keypoint"], "no keypoints, which the keypoint head is to learn"),
        (["--init", "nothing.safetensors"], "no weights nothing.safetensors"),
        (["--data", "nowhere"], "nowhere is neither"),
        (["--config", "r50"], "no configuration 'r50' (did you mean r50-"),
        (["--device", "cuda:99"], "cuda:99" if not torch.cuda.is_available() else "no GPU 99"),
        (["--processes", "two"], "processes is 'two', expected 'auto' or a number"),
        (["--freeze", "backbone.bodi"], "no parameter of the model is called 'backbone.bodi'"),
        (["--minutes", "-1"], "minutes is -1.0"),
    ],
)
def test_what_is_refused(arguments, said, capsys):
    assert main([*SMALL, "--val", "none", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err and "Traceback" not in shown.err and shown.out == ""


def test_offline_without_imagenet_weights(capsys, monkeypatch):
    def offline(model):
        raise ConnectionError("no ImageNet weights of resnet18")

    monkeypatch.setattr(importlib.import_module("mrcnn_lite.weights"), "load_imagenet", offline)
    assert main([*SMALL, "--val", "none", "--config", "r50-fpn", "--set", "backbone=resnet18"]) == 2
    assert "no ImageNet weights of resnet18; or begin with random weights: --init none" in capsys.readouterr().err


def test_begin_with_a_file(tmp_path, capsys):
    torch.manual_seed(1)
    source, model = build_model(Config.tiny(num_classes=4)), build_model(Config.tiny(num_classes=7))
    save(source, tmp_path / "source.safetensors")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    initialise(model, str(tmp_path / "source.safetensors"))
    anew = ("heads.box.bbox_pred", "heads.box.cls_score", "heads.mask.layers.mask_logits")
    for name, tensor in model.state_dict().items():
        expected = before if name.startswith(anew) else source.state_dict()
        assert torch.equal(tensor, expected[name])
    assert f"anew: {', '.join(anew)}" in capsys.readouterr().err


def test_a_file_of_other_settings_is_mentioned_or_refused(tmp_path, capsys):
    save(build_model(Config.tiny(half_pixel=False)), tmp_path / "source.safetensors")
    initialise(build_model(Config.tiny()), str(tmp_path / "source.safetensors"))
    assert "were trained with half_pixel=False" in capsys.readouterr().err
    with pytest.raises(ValueError, match="its backbone is fpn, tiny, bn, not fpn, tiny, gn"):
        initialise(build_model(Config.tiny(norm="gn")), str(tmp_path / "source.safetensors"))
    with pytest.raises(ValueError, match=r"not fpn, tiny, bn; backbone\.fpn\.\S+ does not fit"):
        initialise(build_model(Config.tiny(fpn_channels=32)), str(tmp_path / "source.safetensors"))


def test_frozen_batch_norm_becomes_ordinary_and_back(tmp_path):
    for theirs, ours in (("bn", "frozen_bn"), ("frozen_bn", "bn")):
        source, model = build_model(Config.tiny(norm=theirs)), build_model(Config.tiny(norm=ours))
        source.backbone.body.bn1.running_mean.fill_(3.0)
        save(source, tmp_path / "source.safetensors")
        initialise(model, str(tmp_path / "source.safetensors"))
        assert torch.equal(model.backbone.body.bn1.running_mean, source.backbone.body.bn1.running_mean)


def test_a_resumed_run_needs_no_initial_weights(call, tmp_path, monkeypatch):
    (tmp_path / "runs" / "tiny-shapes").mkdir(parents=True)
    (tmp_path / "runs" / "tiny-shapes" / "last.pt").touch()
    monkeypatch.setattr(cli_train, "initialise", lambda *arguments: pytest.fail("weights were asked for"))
    assert call("--resume", "--init", "imagenet")["resume"] is True


def test_only_the_first_process_speaks(call, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    call()
    shown = capsys.readouterr()
    assert shown.out == "" and "num_classes" not in shown.err
