"""data/coco_files.py: the layouts in which people keep COCO JSON and its pictures."""

from __future__ import annotations

import pytest

from mrcnn_lite.data.coco_files import find_json, find_pictures, split_name


def test_finding_the_files(tmp_path):
    for name in ("annotations/instances_val2014.json", "annotations/instances_val2017.json", "instances_val.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    newest = tmp_path / "annotations" / "instances_val2017.json"
    assert find_json(tmp_path, "val") == newest
    assert find_json(tmp_path, "train") is None and find_json(tmp_path, "val", keypoints=True) is None
    assert find_pictures(newest, "a.jpg") is None
    for folder in ("images", "val2017"):  # the more particular folder wins
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_text("")
        assert find_pictures(newest, "a.jpg") == tmp_path / folder


@pytest.mark.parametrize(
    "file, picture",
    [
        ("annotations/instances_val2017.json", "val2017/a.jpg"),  # COCO's own
        ("annotations/person_keypoints_train2017.json", "train2017/a.jpg"),
        ("annotations/instances_val2017.json", "images/val2017/a.jpg"),
        ("annotations/instances_val2017.json", "val/a.jpg"),
        ("annotations/instances_val.json", "val/a.jpg"),  # ours
        ("instances_val.json", "images/a.jpg"),
        ("instances_val.json", "a.jpg"),
        ("anything.json", "images/a.jpg"),
    ],
)
def test_each_layout(tmp_path, file, picture):
    for name in (file, picture):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert find_pictures(tmp_path / file, "a.jpg") == (tmp_path / picture).parent


def test_a_name_that_leaves_its_folder_is_not_even_looked_for(tmp_path):
    (tmp_path / "secret.png").write_text("")
    (tmp_path / "set").mkdir()
    with pytest.raises(ValueError, match="does not stay in its folder"):
        find_pictures(tmp_path / "set" / "instances_val.json", "../secret.png")


def test_the_split_in_a_name(tmp_path):
    names = ("instances_val2017.json", "person_keypoints_train.json", "mine.json")
    assert [split_name(tmp_path / name) for name in names] == ["val2017", "train", "mine"]
