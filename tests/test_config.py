"""config.py and presets.py: the paper's numbers, and what is refused."""

import json

import pytest

from mrcnn_lite.config import Config, Training


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
        ({"heads": ("masks",)}, "heads has"),
        ({"anchor_sizes": ((32.0,),)}, "1 levels, fpn has 4 or 5 maps"),
        ({"roi_op": "crop"}, "roi_op is 'crop'"),
        ({"colour": 1}, "no field"),
        ({"train__lr": 0.0}, "train.lr"),
        ({"train__optimizer": "lion"}, "optimizer"),
        ({"max_size": 10}, "max_size 10 is below"),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Config().replace(**changes)


def test_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match="r50-fpn"):
        Config.named("resnet")


def test_frozen():
    with pytest.raises(AttributeError):
        Training().lr = 1.0  # type: ignore[misc]
