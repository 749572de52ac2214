"""config.py and presets.py: the paper's numbers, and what is refused."""

import json

import pytest

from mrcnn_lite.config import RANGE_OF, WORDS_OF, Config, Training, types


def test_paper_defaults():
    config = Config.named("r50-fpn")
    assert (config.min_size, config.roi_samples, config.mask_size, config.rpn_post_nms_test) == (800, 512, 28, 1000)
    assert (config.train.lr, config.train.steps, config.train.batch_size) == (0.02, 160_000, 16)
    c4 = Config.named("r50-c4")
    assert (c4.roi_samples, c4.mask_size, c4.rpn_post_nms_test) == (64, 14, 300)


@pytest.mark.parametrize("name", Config.names())
def test_every_name_survives_json(name):
    config = Config.named(name)
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_one_name_for_every_row_of_the_tables():
    rows = """r50-c4 r101-c4 r50-fpn r101-fpn x101-fpn r50-c4-softmax r50-c4-roipool r50-c4-roiwarp-max r50-c4-roiwarp
    r50-c4-roialign-max r50-c5-roipool r50-c5 r50-fpn-mlp2 r50-fpn-mlp3 r50-fpn-keypoint r50-fpn-keypoint-mask"""
    assert set(rows.split()) <= set(Config.names())


def test_replace_reaches_the_training():
    config = Config.tiny(num_classes=3, train__lr=0.5, heads=())
    assert (config.num_classes, config.train.lr, config.heads) == (3, 0.5, ())


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"num_classes": 1}, "counts the background"),
        ({"rpn_bg_iou": 0.8}, "rpn_bg_iou"),
        ({"roi_positive_fraction": 0.0}, "roi_positive_fraction is 0.0"),
        ({"mask_size": 14}, "mask_size is 14, this head makes 28 x 28"),
        ({"heads": ("masks",)}, r"heads is \('masks',\), expected one of \('mask', 'keypoint'\)"),
        ({"heads": ("mask", "mask")}, "heads names one twice"),
        ({"anchor_sizes": ((32.0,),)}, "1 levels, fpn has 4 or 5 maps"),
        ({"roi_op": "crop"}, "roi_op is 'crop'"),
        ({"colour": 1}, "no field"),
        ({"train__lr": 0.0}, "train.lr"),
        ({"train__optimizer": "lion"}, "optimizer"),
        ({"max_size": 10}, "max_size 10 is below"),
        ({"num_classes": 3.0}, "num_classes is 3.0, expected int"),
        ({"num_classes": True}, "num_classes is True, expected int"),
        ({"num_classes": "3"}, "num_classes is '3', expected int"),
        ({"fg_iou": float("nan")}, "fg_iou is nan, expected 0..1"),
        ({"bg_iou": 0.6}, "bg_iou, fg_iou are .*, expected bg_iou <= fg_iou"),
        ({"rpn_positive_fraction": 1.1}, "rpn_positive_fraction is 1.1"),
        ({"box_fcs": (10**9, 10**9)}, "box_fcs is .*, expected 1..32768"),  # a million terabytes
        ({"box_fcs": (10**400,)}, "box_fcs is"),
        ({"box_fcs": ()}, "box_fcs is empty, fpn needs at least one"),
        ({"mask_layers": (8,) * 101}, "mask_layers is .*, expected at most 100 numbers"),
        ({"rpn_layers": 10**9}, "rpn_layers is 1000000000, expected 1..256"),
        ({"anchor_sizes": ((),) * 5}, "anchor_sizes: every level needs as many sizes, at least one"),
        ({"anchor_sizes": (32.0,) * 5}, r"anchor_sizes is .*, expected tuple\[tuple\[float"),
        ({"anchor_ratios": ()}, "anchor_ratios is empty"),
        ({"image_std": (1.0, 0.0, 1.0)}, "image_std is"),
        ({"image_mean": (0.5, 0.5)}, r"image_mean is .*, expected tuple\[float, float, float\]"),
        ({"roi_op": None}, "roi_op is None"),
        ({"train": {"lr": 1}}, "train is {'lr': 1}, expected Training"),
        ({"train__lr": float("inf")}, "train.lr is inf"),
        ({"train__weight_decay": -1.0}, "train.weight_decay is -1.0"),
        ({"train__ema": 1.0}, "train.ema is 1.0"),  # an average that never moves
        ({"train__scale_range": (2.0, 1.0)}, "train.scale_range is .*, expected low <= high"),
        ({"train__steps": 1e3}, "train.steps is 1000.0, expected int"),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Config().replace(**changes)


@pytest.mark.parametrize(
    "values, message",
    [
        (None, "Config is None, expected a dictionary"),
        ({"train": None}, "Training is None, expected a dictionary"),
        ({"train": {"speed": 1}}, r"no field \['speed'\] in Training"),
        ({"train__lr": 1}, r"no field \['train__lr'\] in Config"),
        ({1: 2}, r"no field \[1\] in Config"),
        ({"heads": [[[[["mask"]]]]]}, "heads is"),
    ],
)
def test_a_dictionary_of_something_else_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Config.from_dict(values)


def test_each_setting_has_its_rule():
    """A field that is neither a choice of words, nor a number in a range, nor true or false, would take anything."""
    ruled = WORDS_OF.keys() | RANGE_OF.keys()
    for cls in (Config, Training):
        assert {name for name, kind in types(cls).items() if kind not in (bool, Training)} - ruled == set()
    assert ruled <= types(Config).keys() | types(Training).keys()


def test_lists_become_tuples():
    assert Config().replace(heads=["keypoint"], train__milestones=[0.5]).heads == ("keypoint",)


def test_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match="r50-fpn"):
        Config.named("resnet")


def test_frozen():
    with pytest.raises(AttributeError):
        Training().lr = 1.0  # type: ignore[misc]
