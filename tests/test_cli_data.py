"""Statistics against counting by hand, and every kind of broken data named by its file."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

import mrcnn_lite.data as data
from mrcnn_lite.cli import main
from mrcnn_lite.cli.data import open_data, statistics
from mrcnn_lite.data import DownloadError, open_dataset


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MRCNN_LITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MRCNN_LITE_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def label_pictures(folder, count=5, objects=2):
    """Pictures of 40 x 50 with squares of 6 x 6, as images/ beside masks/."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        ids = np.zeros((40, 50), np.uint8)
        for g in range(objects):
            ids[10:16, 8 * g : 8 * g + 6] = g + 1
        Image.fromarray(ids).save(folder / "masks" / f"{i}.png")
        Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(folder / "images" / f"{i}.png")
    return folder


def coco_file(folder, annotations):
    """One picture of 40 x 50 in COCO's form."""
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (50, 40)).save(folder / "images" / "a.png")
    content = {"images": [{"id": 1, "file_name": "a.png", "height": 40, "width": 50}]}
    content |= {"categories": [{"id": 3, "name": "cat"}], "annotations": annotations}
    (folder / "instances_train.json").write_text(json.dumps(content))
    return folder


def annotation(number, box, **more):
    x, y, w, h = box
    corners = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    return {"id": number, "image_id": 1, "category_id": 3, "bbox": box, "area": w * h, "segmentation": corners} | more


def test_list_names_every_data_set_and_where_it_is(capsys, tmp_path):
    (tmp_path / "data" / "pennfudan").mkdir(parents=True)
    assert main(["data", "list"]) == 0
    text = capsys.readouterr().out
    assert all(f"{name} " in text for name in data.names())
    assert str(tmp_path / "data" / "pennfudan") in text
    assert text.count("mrcnn-lite data get coco\n") == 2  # photographs, and persons with keypoints


def test_get_what_is_there_and_what_is_not(capsys, monkeypatch, tmp_path):
    here = label_pictures(tmp_path / "data" / "nuclei")
    assert main(["data", "get", "nuclei"]) == 0
    assert capsys.readouterr().out == f"{here}\n"
    assert main(["data", "get", "shapes"]) == 2
    assert "drawn by this package" in capsys.readouterr().err
    assert main(["data", "get", "nucleii"]) == 2
    assert "no set 'nucleii' can be downloaded" in capsys.readouterr().err
    assert main(["data", "get", "coco", "--parts", "test2017"]) == 2
    assert "coco has no part 'test2017'" in capsys.readouterr().err

    def offline(*arguments, **options):
        raise DownloadError("could not download x.zip.\nBy hand: fetch it")

    monkeypatch.setattr("mrcnn_lite.data.sources.fetch", offline)
    assert main(["data", "get", "pennfudan", "--folder", "elsewhere"]) == 2
    assert "error: could not download x.zip.\nBy hand" in capsys.readouterr().err


def test_show_draws_and_counts(capsys, tmp_path):
    assert main(["data", "show", "shapes", "--limit", "9", "--count", "4"]) == 0
    text = capsys.readouterr().out
    dataset = open_dataset("shapes", limit=9)
    labels = [label for _, target in dataset for label in target["labels"].tolist()]
    assert f"9 pictures (0 without an object), {len(labels)} objects, 0 crowd regions" in text
    for label, name in enumerate(dataset.class_names[1:], start=1):
        row = next(line.split() for line in text.splitlines() if line.startswith(f"{name} "))
        assert int(row[1]) == labels.count(label)
    width, height = Image.open(tmp_path / "runs/data/shapes-train.png").size
    assert width > 4 * 320 and 320 < height < 2 * 320  # four pictures in one row


def test_statistics_by_hand(tmp_path):
    boxes = [[0, 0, 10, 10], [20, 10, 20, 20], [0, 30, 50, 10]]
    annotations = [annotation(n, box) for n, box in enumerate(boxes, start=1)]
    annotations.append(annotation(9, [0, 0, 50, 40], iscrowd=1))
    text = "\n".join(statistics(open_dataset(coco_file(tmp_path / "cats", annotations))))
    assert "1 pictures (0 without an object), 3 objects, 1 crowd regions" in text
    assert "1 different, most often 40 x 50" in text
    assert "median 20 px" in text
    assert "small, under 32² 3, medium 0, large, from 96² 0" in text
    assert ["cat", "3", "1"] in [line.split() for line in text.splitlines()]


def test_statistics_of_keypoints():
    dataset = open_dataset("stick-figures", limit=3, cached=False)
    marks = [mark for _, target in dataset for mark in target["keypoints"][..., 2].flatten().tolist()]
    text = "\n".join(statistics(dataset))
    assert f"13 keypoints an object: {marks.count(2)} visible, {marks.count(1)} hidden, {marks.count(0)} not" in text


def test_check_of_sound_data(capsys, tmp_path):
    assert main(["data", "check", str(label_pictures(tmp_path / "mine"))]) == 0
    assert capsys.readouterr().out == "5 pictures, 10 objects checked: no problem\n"
    assert main(["data", "check", "stick-figures", "--limit", "3"]) == 0
    assert re.fullmatch(r"6 pictures, \d+ objects checked: no problem\n", capsys.readouterr().out)


def test_check_names_every_problem(capsys, tmp_path):
    folder = label_pictures(tmp_path / "mine")
    (folder / "images" / "1.png").write_bytes(b"no picture")
    Image.fromarray(np.ones((9, 9), np.uint8)).save(folder / "masks" / "2.png")
    Image.fromarray(np.eye(40, 50, dtype=np.uint8)[..., None] * np.array([9, 0, 0], np.uint8)).save(
        folder / "masks" / "0.png"
    )
    assert main(["data", "check", str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("masks/0.png: 3 channels, in colours") and lines[0].endswith("[label-colours]")
    assert lines[1].startswith("images/1.png: 1.png can't be read as a picture")
    assert lines[2].startswith("masks/2.png: 9 x 9 (width x height), expected 50 x 40 (width x height) as its picture")
    assert [line.split()[:2] for line in lines[3:6]] == [
        ["1", kind] for kind in ("picture-unreadable", "label-size", "label-colours")
    ]
    assert lines[6:] == ["5 pictures, 6 objects checked: 3 problems"]


def test_check_finds_a_box_that_is_not_its_mask(capsys, tmp_path):
    wrong = annotation(1, [5, 5, 20, 20]) | {"bbox": [30, 5, 10, 30]}
    folder = coco_file(tmp_path / "cats", [wrong, annotation(2, [0, 0, 9, 9])])
    assert main(["data", "check", str(folder)]) == 1
    shown = capsys.readouterr()
    assert (
        "instances_train.json, picture a.png, annotation 1: bbox [30, 5, 10, 30] has IoU 0.00 with its mask's"
        in shown.out
    )
    assert "not checked: there is no split 'val'" in shown.err
    assert main(["data", "check", str(folder / "instances_train.json")]) == 1


def test_notes_do_not_change_the_exit_status(capsys, tmp_path):
    folder = label_pictures(tmp_path / "mine")
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(folder / "masks" / "2.png")
    assert main(["data", "check", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "note: label-empty" in lines[0] and "masks/2.png" in lines[0] and lines[1].endswith("no problem")


def test_fix_writes_a_copy_and_says_what_it_did(capsys, tmp_path):
    wrong = annotation(1, [20, 15, 15, 15]) | {"bbox": [20, 15, 35, 30]}
    lost = annotation(3, [9, 9, 9, 9], category_id=4)
    folder = coco_file(tmp_path / "cats", [wrong, annotation(2, [0, 0, 9, 9]), lost])
    assert main(["data", "check", str(folder), "--fix"]) == 0
    shown = capsys.readouterr().out
    assert "[unknown-category] -> object dropped\n" in shown and "[box-xyxy] -> read as x1, y1, x2, y2\n" in shown
    assert shown.endswith(f"a corrected copy, which has no problem: {tmp_path / 'cats-fixed'}\n")
    assert main(["data", "check", str(tmp_path / "cats-fixed")]) == 0
    assert main(["data", "check", str(folder), "--fix"]) == 2
    assert "never written over anything" in capsys.readouterr().err
    assert main(["data", "check", str(folder), "--fix", "--output", "elsewhere"]) == 0
    assert main(["data", "check", str(folder), "--fix", "--output", "elsewhere"]) == 2
    assert capsys.readouterr().err.count("never written over anything") == 1  # said before the checking begins
    assert main(["data", "check", "elsewhere", "--fix", "--output", "more"]) == 0 and not (tmp_path / "more").exists()
    assert main(["data", "check", str(folder), "--fix", "--limit", "1"]) == 2
    assert "leave --limit out" in capsys.readouterr().err


def test_fix_leaves_to_a_person_what_only_a_person_can_do(capsys, tmp_path):
    folder = coco_file(tmp_path / "cats", [])
    assert main(["data", "check", str(folder), "--fix"]) == 2
    shown = capsys.readouterr()
    assert "[no-objects] -> by hand" in shown.out and "can only be corrected by hand" in shown.err


def test_control_c_ends_a_check_cleanly(capsys, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("mrcnn_lite.data.coco_rules.look", interrupt)
    folder = coco_file(tmp_path / "cats", [annotation(1, [5, 5, 20, 20])])
    assert main(["data", "check", str(folder), "--fix"]) == 130
    assert capsys.readouterr().err.endswith("interrupted\n") and not (tmp_path / "cats-fixed").exists()


def test_what_cannot_be_opened(capsys, tmp_path):
    for arguments, said in (
        (["check", "nowhere"], "nowhere is neither a file or folder nor one of the names shapes"),
        (["show", "nowhere"], "nowhere is neither"),
        (["show", str(tmp_path)], "holds no data set of split 'train'"),
        (["show", "shapes", "--split", "test"], "split must be 'train' or 'val'"),
        (["show", "shapes", "--data-options", "sise=3"], "--data-options sise=3: shapes has no option 'sise'"),
        (["show", "shapes", "--data-options", "size"], "--data-options size: expected key=value"),
    ):
        assert main(["data", *arguments]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(ValueError, match="--data-options foo=1: files have no option 'foo'"):
        open_data(str(label_pictures(tmp_path / "mine")), "train", options=["foo=1"])


def test_options_reach_the_data_set(tmp_path):
    assert open_data("shapes", "val", limit=2, options=["size=64", "seed=3"]).image_size(0) == (64, 64)
    folder = label_pictures(tmp_path / "mine")
    assert open_data(str(folder), "train", options=["class_name=cell"]).class_names == ("background", "cell")


def test_keypoints_choose_cocos_other_file(shared_data):
    folder = str(shared_data("coco_ccby"))
    assert open_data(folder, "val").num_keypoints == 0
    assert open_data(folder, "val", keypoints=True).num_keypoints == 17
    assert open_data("stick-figures", "val", keypoints=True, limit=1).num_keypoints == 13
