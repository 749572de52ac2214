"""data/repair.py: a copy has no problem, changes nothing else, and keeps the right objects; nothing is written over."""

from __future__ import annotations

import json
import stat

import numpy as np
import pytest
from PIL import Image
from planted_data import plant_coco, plant_labels
from sound_data import assert_trains, change, real_or_generated, shapes, write_labels
from test_data_coco_rules import annotation, write

from mrcnn_lite.checks import iou
from mrcnn_lite.data.check import check_data
from mrcnn_lite.data.registry import open_dataset
from mrcnn_lite.data.repair import default_target, write_copy


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def corners(box):
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


@pytest.mark.parametrize("name", ["shapes", "coco_ccby", "nuclei"])
def test_a_copy_has_no_problem_and_keeps_the_right_objects(tmp_path, name, request):
    folder, file, pictures = real_or_generated(tmp_path, name, request)
    planted = plant_coco(file, pictures)
    before = files_of(folder)
    target = write_copy(check_data(folder), default_target(folder))
    assert target == tmp_path / f"{name}-fixed" and files_of(folder) == before  # the original stays as it is
    assert check_data(target).findings.num_problems == 0
    splits = ("val",) if name == "nuclei" else ("train", "val")
    assert sum(assert_trains(target, split) for split in splits) == check_data(target).findings.pictures

    copied = json.loads((target / file.relative_to(folder)).read_text())
    truth = {a["id"]: a for a in planted.truth["annotations"]}
    found = {a["id"]: a for a in copied["annotations"]}
    assert truth.keys() - found.keys() == planted.dropped
    new = [a for a in copied["annotations"] if a["id"] not in truth]  # had the id of another
    assert len(new) == 1 and any(new[0]["bbox"] == truth[number]["bbox"] for number in planted.dropped)
    faulty = {number for _, number in planted.faults if isinstance(number, int)}
    for number in found.keys() & truth.keys():
        if number not in faulty:
            assert found[number] == truth[number]  # to the last key
        assert iou(corners(found[number]["bbox"]), corners(truth[number]["bbox"])) > 0.85
        assert found[number]["category_id"] == truth[number]["category_id"]
        assert found[number]["image_id"] == truth[number]["image_id"]
    names = {image["file_name"] for image in planted.truth["images"]}
    assert names - {image["file_name"] for image in copied["images"]} == planted.lost
    assert copied["images"] == [image for image in planted.truth["images"] if image["file_name"] not in planted.lost]
    other = [key for key in planted.truth if key not in ("images", "annotations")]
    assert {key: copied[key] for key in other} == {key: planted.truth[key] for key in other}
    for path, content in files_of(target).items():
        assert path == file.relative_to(folder) or content == before[path]  # the other split's JSON, too


def test_label_pictures(tmp_path):
    folder = tmp_path / "cells"
    plant_labels(folder, write_labels(folder, 20))
    before = files_of(folder)
    target = write_copy(check_data(folder), tmp_path / "copy")
    assert files_of(folder) == before and check_data(target).findings.num_problems == 0
    after = files_of(target)
    changed = {str(path) for path in after if after[path] != before[path]}
    assert {path.replace("\\", "/") for path in changed} == {"index.json", "masks/06.png"}
    assert np.unique(np.asarray(Image.open(target / "masks" / "06.png"))).tolist() == [0, 1, 2]
    assert assert_trains(target, "train") + assert_trains(target, "val") == 12


def test_without_an_index_the_splits_stay_what_they_were(tmp_path):
    folder = tmp_path / "cells"
    write_labels(folder, 12)
    (folder / "index.json").unlink()
    (folder / "masks" / "03.png").unlink()
    target = write_copy(check_data(folder), tmp_path / "copy")
    dataset = open_dataset(target, "val")
    assert [dataset.image_name(i) for i in range(len(dataset))] == ["00.png", "05.png", "10.png"]


def test_one_file_and_pictures_that_lie_elsewhere(tmp_path):
    file = shapes(tmp_path / "set", (5, 4))
    content = json.loads(file.read_text())
    content["annotations"][0]["area"] = -1
    change(file, annotations=content["annotations"])
    (tmp_path / "set" / "train").rename(tmp_path / "photos")
    checked = check_data(file, pictures=tmp_path / "photos")
    target = write_copy(checked, tmp_path / "copy")
    assert {path.parts[0] for path in files_of(target)} == {"annotations", "images"} and len(files_of(target)) == 6
    assert assert_trains(target / "annotations" / "instances_train.json", "train") == 5


def test_a_file_without_its_pictures(tmp_path):
    file = shapes(tmp_path / "set", (5, 4))
    (tmp_path / "alone").mkdir()
    content = json.loads(file.read_text())
    content["annotations"][0]["area"] = -1
    (tmp_path / "alone" / "mine.json").write_text(json.dumps(content))
    target = write_copy(check_data(tmp_path / "alone" / "mine.json"), tmp_path / "copy")
    assert [str(path) for path in files_of(target)] == ["mine.json"]


def test_a_turned_picture(tmp_path):
    given = annotation(1, box=(5, 45, 8, 10))
    write(tmp_path / "set", [given], height=60, width=40, orientation=6, suffix="jpg")
    target = write_copy(check_data(tmp_path / "set"), tmp_path / "copy")
    with Image.open(target / "images" / "1.jpg") as picture:
        assert picture.size == (40, 60) and not picture.getexif().get(0x0112)
    assert assert_trains(target, "train") == 1


def test_nothing_is_ever_written_over(tmp_path):
    file = shapes(tmp_path / "set", (5, 4))
    content = json.loads(file.read_text())
    content["annotations"][0]["area"] = -1
    change(file, annotations=content["annotations"])
    checked = check_data(tmp_path / "set")
    for there in (tmp_path / "set", tmp_path / "file"):
        there.touch() if there.suffix or not there.exists() else None
        before = files_of(tmp_path)
        with pytest.raises(FileExistsError, match="a copy is never written over anything"):
            write_copy(checked, there)
        assert files_of(tmp_path) == before


def test_what_only_a_person_can_correct(tmp_path):
    file = shapes(tmp_path / "set", (5, 4))
    change(file, annotations=[])
    with pytest.raises(
        ValueError, match=r"can only be corrected by hand\n.*instances_train\.json: no object in 5 pictures"
    ):
        write_copy(check_data(tmp_path / "set"), tmp_path / "copy")
    with pytest.raises(ValueError, match="a drawn data set has no files"):
        write_copy(check_data("shapes", limit=1, cached=False), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_copy_that_would_have_a_problem_is_none(tmp_path):
    """All objects are dropped: what is left can't be trained on."""
    file = shapes(tmp_path / "set", (5, 4))
    content = json.loads(file.read_text())
    change(file, annotations=[{**a, "iscrowd": 7} for a in content["annotations"]])
    with pytest.raises(
        ValueError, match=r"would not be without a problem: instances_train\.json: no object in 5 pictures"
    ):
        write_copy(check_data(tmp_path / "set"), tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_copy_that_breaks_off_leaves_nothing(tmp_path, monkeypatch, failure):
    file = shapes(tmp_path / "set", (5, 4))
    content = json.loads(file.read_text())
    content["annotations"][0]["area"] = -1
    change(file, annotations=content["annotations"])
    copied = []

    def copyfile(source, target):
        copied.append(target)
        if len(copied) == 3:
            raise failure

    monkeypatch.setattr("mrcnn_lite.data.repair.shutil.copyfile", copyfile)
    with pytest.raises(type(failure)):
        write_copy(check_data(tmp_path / "set"), tmp_path / "copy")
    assert len(copied) == 3 and [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_small_disk_is_noticed_before_copying(tmp_path, monkeypatch):
    file = shapes(tmp_path / "set", (5, 4))
    content = json.loads(file.read_text())
    content["annotations"][0]["area"] = -1
    change(file, annotations=content["annotations"])
    monkeypatch.setattr("mrcnn_lite.data.repair.shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError, match=r"the copy needs 0\.0 GB"):
        write_copy(check_data(tmp_path / "set"), tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_copy_of_files_that_may_only_be_read_can_be_edited(tmp_path):
    file = shapes(tmp_path / "set", (5, 4))
    content = json.loads(file.read_text())
    content["annotations"][0]["area"] = -1
    change(file, annotations=content["annotations"])
    for path in (tmp_path / "set").rglob("*.png"):
        path.chmod(stat.S_IRUSR)
    target = write_copy(check_data(tmp_path / "set"), tmp_path / "copy")
    assert all(path.stat().st_mode & stat.S_IWUSR for path in target.rglob("*"))
