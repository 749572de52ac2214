"""weights.py: our files there and back, what does not fit, ImageNet's weights."""

import json

import pytest
import torch
import torchvision

from mrcnn_lite import Config, build_model, load, save
from mrcnn_lite.weights import load_imagenet, load_state


@pytest.mark.parametrize(
    "changes", [{}, {"arch": "c4", "anchor_sizes": ((8.0, 16.0),), "mask_size": 14, "mask_layers": ()}]
)
def test_save_and_load_give_the_same_model(changes, tmp_path):
    model = build_model(Config.tiny(num_classes=3, score_threshold=0.0, **changes)).eval()
    model.class_names = ("background", "cat", "dog")
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.config == model.config and again.class_names == model.class_names
    image = torch.rand(3, 96, 128)
    for key, value in model.detect([image])[0].items():
        assert torch.equal(again.detect([image])[0][key], value)


def test_a_torn_file_and_a_foreign_file_are_named(tmp_path):
    model = build_model(Config.tiny(num_classes=3))
    save(model, tmp_path / "model.safetensors")
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "torn.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"torn\.safetensors: not a whole"):
        load(tmp_path / "torn.safetensors")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="not saved by mrcnn_lite"):
        load(tmp_path / "foreign.safetensors")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(tmp_path / "absent.safetensors")


def damaged(path, about=None, change=None):
    """Our file with changes to what it says about itself, or to its tensors."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    model = build_model(Config.tiny(num_classes=3, heads=()))
    model.class_names = ("background", "cat", "dog")
    save(model, path, torch.float16)
    with safe_open(path, framework="pt") as file:
        said, state = json.loads(file.metadata()["mrcnn_lite"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    said = {**said, **about} if isinstance(about, dict) else said
    for name, new in (change or {}).items():
        state[name] = new(state[name])
    text = about if isinstance(about, str) else json.dumps(said)
    save_file(state, path, metadata={"mrcnn_lite": text})
    return path


# Each layer has 32768 x 32768 numbers, 4 GB: nobody takes them for a file that does not hold them.
LARGE = Config.tiny(num_classes=3, heads=(), box_fcs=(32768,) * 90)
BIAS, VARIANCE = "heads.box.cls_score.bias", "backbone.body.bn1.running_var"


@pytest.mark.parametrize(
    "about, change, message",
    [
        ("{", None, "what it says about itself is not JSON"),
        ("[" * 9999, None, "not JSON"),
        ("[]", None, "format is None, expected 'mrcnn_lite 1'"),
        ({"format": ["mrcnn_lite 1"]}, None, "format is"),
        ({"config": None}, None, "Config is None"),
        ({"config": {"num_classes": -1}}, None, "num_classes is -1"),
        ({"config": {"box_fcs": [10**9] * 2}}, None, "box_fcs is"),
        ({"config": LARGE.to_dict()}, None, "does not fit the model: it lacks .* and .* more"),
        ({"class_names": "background"}, None, "class_names are 'background', expected a list of texts"),
        ({"class_names": ["background", "cat"]}, None, "2 class_names for num_classes 3"),
        ({"class_names": ["background", "cat", 3]}, None, "class_names are"),
        (None, {BIAS: lambda t: t.new_full((3,), float("nan"))}, f"NaN or infinite weights in {BIAS}"),
        (None, {VARIANCE: lambda t: t - 2}, f"a variance below 0 in {VARIANCE}"),
        (None, {BIAS: lambda t: t.new_zeros(91)}, "has 91 classes, the model 3"),
        (None, {BIAS: lambda t: t.new_zeros(())}, rf"differs in {BIAS}: \[\], model \[3\]"),
        (None, {BIAS: lambda t: t.long()}, f"differs in {BIAS}: torch.int64, model torch.float32"),
    ],
)
def test_a_file_that_lies_is_named(about, change, message, tmp_path):
    path = damaged(tmp_path / "model.safetensors", about, change)
    with pytest.raises(ValueError, match=rf"model\.safetensors: .*{message}"):
        load(path)


def test_what_torch_save_wrote_is_never_unpickled(tmp_path):
    state = build_model(Config.tiny(num_classes=3, heads=())).state_dict()
    torch.save(state, tmp_path / "last.pt")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"last\.pt: .*torch\.save.*model\.safetensors beside it holds the weights"):
        load(tmp_path / "last.pt")
    with pytest.raises(ValueError, match=r"old\.pt: .*written by torch\.save and is never unpickled here"):
        load(tmp_path / "old.pt")


def test_another_number_of_classes_is_said_first():
    with pytest.raises(ValueError, match="has 91 classes, the model 3"):
        load_state(build_model(Config.tiny(3)), build_model(Config.tiny(91)).state_dict(), "checkpoint")
    with pytest.raises(ValueError, match=r"has the unknown heads\.mask"):
        load_state(build_model(Config.tiny(3, heads=())), build_model(Config.tiny(3)).state_dict(), "checkpoint")


@pytest.mark.parametrize(
    "name,arch", [("resnet18", "fpn"), ("resnet50", "fpn"), ("resnet50", "c4"), ("resnext50_32x4d", "c5")]
)
def test_imagenet_weights_load_by_name(name, arch):
    theirs = torchvision.models.get_model(name, weights=None)
    config = Config.named({"fpn": "r50-fpn", "c4": "r50-c4", "c5": "r50-c5"}[arch]).replace(backbone=name)
    model = build_model(config)
    load_imagenet(model, theirs.state_dict())
    body = model.backbone.get_submodule("body")
    assert torch.equal(body.conv1.weight, theirs.conv1.weight)
    last = model.heads["box"].body[0] if arch == "c4" else body.layer4
    for key, value in theirs.layer4.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(last.state_dict()[key], value)


def test_other_weights_are_refused():
    model = build_model(Config.named("r50-fpn"))
    with pytest.raises(ValueError, match="not those of resnet50"):
        load_imagenet(model, torchvision.models.resnet18(weights=None).state_dict())
    with pytest.raises(ValueError, match="no ImageNet weights"):
        load_imagenet(build_model(Config.tiny()))


def test_offline_download_says_what_to_do(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", refuse)
    with pytest.raises(ConnectionError, match="Put that file into"):
        load_imagenet(build_model(Config.named("r50-fpn")))
