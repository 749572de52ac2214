"""What is typed becomes exactly the configuration that is meant, or a message that helps."""

from __future__ import annotations

import argparse
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mrcnn_lite.cli.settings import (
    fit_to_data,
    flat,
    literal,
    near,
    pairs,
    positive,
    read_config,
    say,
    with_settings,
    without_pretraining,
)
from mrcnn_lite.config import Config


@pytest.mark.parametrize("name", Config.names())
def test_every_setting_can_be_typed(name):
    config = Config.named(name)
    typed = [f"{key}={value}" for key, value in flat(config).items()]
    assert with_settings(Config(), pairs(typed, "--set")) == config


@pytest.mark.parametrize("name", Config.names())
def test_a_configuration_survives_its_json_file(name, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(Config.named(name).to_dict()))
    assert read_config(str(file)) == read_config(name) == Config.named(name)


def test_a_json_file_may_say_little(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text('{"backbone": "resnet18", "train": {"lr": 1, "milestones": [0.5]}}')
    assert read_config(str(file)) == Config(backbone="resnet18").replace(train__lr=1.0, train__milestones=(0.5,))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[1]", "holds a list, expected an object"),
        ('{"arhc": "c4"}', r"no setting 'arhc' \(did you mean arch\?\)"),
        ('{"arch": "c4"}', "anchor_sizes has 5 levels"),
        ('{"train": 3}', "train is 3"),
        ('{"min_size": "big"}', "min_size is 'big', expected a whole number"),
        ('{"min_size": 1e400}', "min_size is inf, expected a whole number"),
        ('{"min_size": null}', "min_size is None, expected a whole number"),
        ('{"fg_iou": NaN}', "fg_iou is nan, expected 0..1"),
        ('{"fg_iou": 0.4}', "bg_iou, fg_iou are"),
        ('{"box_fcs": [1000000000, 1000000000]}', "box_fcs is"),
        ('{"train": {"lr": 1' + "0" * 400 + "}}", "train.lr is 1000"),
        ('{"heads": ' + "[" * 50 + "]" * 50 + "}", "heads is"),
        ('{"heads": ' + "[" * 5000, "is not JSON"),
        ('{"heads": {"mask": true}}', "heads is"),
        ('{"\\ud800": 1}', "no setting"),
    ],
)
def test_a_wrong_json_file_is_named(content, said, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=rf"mine\.json.*{said}"):
        read_config(str(file))


def test_names_that_are_none():
    with pytest.raises(FileNotFoundError, match=r"no configuration file nope\.json"):
        read_config("nope.json")
    with pytest.raises(ValueError, match=r"'r50-fnp' \(did you mean r50-fpn"):
        read_config("r50-fnp")
    with pytest.raises(ValueError, match=r"'zzz': `mrcnn-lite info` lists them"):
        read_config("zzz")


@pytest.mark.parametrize(
    ("typed", "name", "value"),
    [
        ("heads=mask,keypoint", "heads", ("mask", "keypoint")),
        ("heads=", "heads", ()),
        ("heads=()", "heads", ()),
        ("heads=mask", "heads", ("mask",)),
        ("train.milestones=0.5,0.75", "train.milestones", (0.5, 0.75)),
        ("train.milestones=0.5", "train.milestones", (0.5,)),
        ("train.lr=1", "train.lr", 1.0),
        ("train.lr=1e-3", "train.lr", 0.001),
        ("train.steps=2e4", "train.steps", 20_000),
        ("train.flip=false", "train.flip", False),
        ("train.warmup-steps=0", "train.warmup_steps", 0),
        ("backbone='resnet18'", "backbone", "resnet18"),
        ("anchor_sizes=[[8],[16],[32],[64]]", "anchor_sizes", ((8,), (16,), (32,), (64,))),
    ],
)
def test_set(typed, name, value):
    found = flat(with_settings(Config(), pairs([typed], "--set")))[name]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("lr=0.1", r"no setting 'lr' \(did you mean train.lr\?\)"),
        ("train.lrr=0.1", "did you mean train.lr"),
        ("headz=mask", r"did you mean heads\?"),
        ("qqq=1", "no setting 'qqq'$"),
        ("min_size=800.5", "min_size is 800.5, expected a whole number"),
        ("min_size=true", "min_size is True, expected a whole number"),
        ("train.lr=fast", "train.lr is 'fast', expected a number"),
        ("train.flip=1", "train.flip is 1, expected true or false"),
        ("backbone=50", "backbone is 50, expected a word"),
        ("backbone=resnet51", "backbone is 'resnet51', expected one of"),
        ("train.milestones=a,b", r"train.milestones is \('a', 'b'\), expected tuple"),
        ("anchor_sizes=1,2,3,4,5", r"anchor_sizes is \(1, 2, 3, 4, 5\), expected tuple\[tuple"),
        ("heads", "--set heads: expected key=value"),
        ("=3", "expected key=value"),
    ],
)
def test_set_refuses(typed, said):
    with pytest.raises(ValueError, match=said):
        with_settings(Config(), pairs([typed], "--set"))


@given(st.text(max_size=40))
def test_reading_a_value_never_fails_and_never_runs_it(text):
    value = literal(text)
    assert isinstance(value, (str, bytes, int, float, complex, tuple, list, dict, set, type(None), type(...)))


def test_a_value_is_not_evaluated():
    assert literal("__import__('os').getcwd()") == "__import__('os').getcwd()"


def test_near_names():
    assert near("--ouput", ["--output", "--other"]) == " (did you mean --output?)"
    assert near("xyz", ["--output"]) == ""


def test_positive():
    assert positive("12") == 12
    for text in ("0", "-1", "1.5", "x", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            positive(text)


class Pictures:
    """As much of a data set as `fit_to_data` looks at."""

    def __init__(self, sizes, classes=3, keypoints=0, masks=True, objects=0):
        self.sizes, self.num_keypoints = sizes, keypoints
        self.class_names = ("background", *map(str, range(classes)))
        self.target = {"boxes": torch.zeros(objects, 4)} | ({"masks": torch.zeros(0, 8, 8)} if masks else {})
        self.target |= {"keypoints": torch.zeros(0, keypoints, 3)} if keypoints else {}

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, i):
        return torch.zeros(3, *self.sizes[i]), self.target

    def image_size(self, i):
        return self.sizes[i]


def test_classes_and_keypoints_come_from_the_data(capsys):
    config = fit_to_data(Config(heads=("keypoint",)), Pictures([(99, 99)], keypoints=5), {}, "r50-fpn")
    assert (config.num_classes, config.num_keypoints, config.min_size) == (4, 5, 800)
    said = capsys.readouterr()
    assert "num_classes = 4 (the configuration has 81)" in said.err and said.out == ""


def test_what_was_set_by_hand_stays():
    settings = {"num_classes": 9, "num_keypoints": 7, "max_size": 640}
    config = with_settings(Config.named("tiny"), settings | {"heads": "mask,keypoint"})
    assert fit_to_data(config, Pictures([(99, 99)], keypoints=5), settings, "tiny") == config


@pytest.mark.parametrize(
    ("sizes", "edge"),
    [
        ([(128, 128)] * 3, 128),
        ([(256, 320), (256, 256), (1024, 1024)], 256),
        ([(360, 360)] * 900 + [(64, 64)] * 300, 360),
        ([(2000, 3000)] * 2, 512),
    ],
)
def test_tiny_takes_most_pictures_as_they_are(sizes, edge):
    config = fit_to_data(Config.named("tiny"), Pictures(sizes), {}, "tiny")
    assert config.min_size == edge and config.max_size >= 2 * edge


def test_data_without_what_a_head_learns_is_refused():
    with pytest.raises(ValueError, match="no masks, which the mask head is to learn: --set heads="):
        fit_to_data(Config(), Pictures([(9, 9)], masks=False), {}, "r50-fpn")
    with pytest.raises(ValueError, match="no keypoints, which the keypoint head"):
        fit_to_data(Config(heads=("mask", "keypoint")), Pictures([(9, 9)]), {}, "r50-fpn")


def test_unused_keypoints_are_mentioned(capsys):
    fit_to_data(Config(), Pictures([(9, 9)], keypoints=5), {}, "r50-fpn")
    assert "keypoints, which this configuration does not learn" in capsys.readouterr().err


def test_many_objects_have_a_configuration_of_their_own(capsys):
    for objects, name, mentioned in ((30, "tiny", True), (3, "tiny", False), (30, "tiny-dense", False)):
        fit_to_data(Config.named(name), Pictures([(128, 128)] * 50, objects=objects), {}, name)
        assert ("30 objects a picture; --config tiny-dense" in capsys.readouterr().err) is mentioned


def test_random_weights_are_not_frozen():
    config = without_pretraining(Config(), {})
    assert (config.frozen_stages, config.norm) == (0, "gn")
    assert without_pretraining(Config(norm="bn"), {"norm": "bn"}).norm == "bn"


def test_one_process_of_several_speaks(capsys, monkeypatch):
    for rank, said in (("0", "here\n"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        say("here")
        assert capsys.readouterr().err == said
