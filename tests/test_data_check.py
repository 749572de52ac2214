"""data/check.py: real data are found sound; every planted fault is found, and no other; the two splits together."""

from __future__ import annotations

import collections
import copy
import functools
import json
import math
import shutil
from random import Random

import numpy as np
import pytest
from PIL import Image
from planted_data import plant_coco, rectangle
from sound_data import assert_trains, change, real_or_generated, shapes, write_labels

from mrcnn_lite.data.check import check_data
from mrcnn_lite.data.registry import open_dataset
from mrcnn_lite.data.synthetic import Synthetic


def checked(path, **options):
    """-> (kind, annotation id or picture) of each problem, all that was told, the result."""
    told = []
    result = check_data(path, told.append, **options)
    problems = [problem for problem in told if not problem.is_note]
    return [(p.kind, p.picture if p.annotation is None else p.annotation) for p in problems], told, result


# ---- sound data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, options, pictures, objects",
    [
        ("nuclei", {}, 457, 14258),
        ("nuclei", {"form": "label-png"}, 457, 14258),
        ("coco_ccby", {}, 29, 302),
        ("coco_ccby", {"keypoints": True}, 29, 68),
        ("pennfudan_sample", {}, 1, 3),
        ("coco_eval_oracle/instances_val2014_100.json", {}, 100, 839),
        ("coco_eval_oracle/keypoints_1image/gt_dataset.json", {}, 1, 14),
    ],
)
def test_real_data_have_no_problem(shared_data, name, options, pictures, objects):
    folder, _, rest = name.partition("/")
    problems, told, result = checked(shared_data(folder) / rest, **options)
    assert problems == []
    assert (result.findings.pictures, result.findings.objects) == (pictures, objects)
    assert {problem.kind for problem in told} <= {"file-alone"}


@pytest.mark.parametrize("painter", ["shapes", "stick_figures"])
def test_generated_data_have_no_problem_drawn_or_written(tmp_path, painter):
    shapes(tmp_path, (12, 4), painter)
    _, told, result = checked(tmp_path, **({"keypoints": True} if painter == "stick_figures" else {}))
    assert told == [] and result.findings.pictures == 16 and result.missing == []
    assert checked(painter.replace("_", "-"), limit=3, cached=False)[2].findings.pictures == 6


# ---- planted faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["shapes", "coco_ccby", "nuclei"])
def test_every_planted_fault_is_found_and_no_other(tmp_path, name, request):
    folder, file, pictures = real_or_generated(tmp_path, name, request)
    before, _, _ = checked(folder)
    planted = plant_coco(file, pictures)
    problems, _, _ = checked(folder)
    assert before == [] and len(planted.faults) >= 43
    assert sorted(problems, key=str) == sorted(planted.faults, key=str)


def test_faults_in_keypoints(tmp_path):
    file = shapes(tmp_path, (6, 2), "stick_figures")
    content = json.loads(file.read_text())
    labelled = [a for a in content["annotations"] if a["keypoints"][2]]
    labelled[0]["keypoints"] = labelled[0]["keypoints"][:-1]
    labelled[1]["keypoints"][2] = 5
    labelled[2]["keypoints"][0] = -50
    labelled[3]["keypoints"][1] = float("nan")
    labelled[4]["num_keypoints"] += 1
    file.write_text(json.dumps(content))
    kinds = ["keypoints-form", "keypoint-visibility", "keypoint-outside", "keypoint-not-finite", "num-keypoints"]
    problems, _, _ = checked(tmp_path, keypoints=True)
    assert problems == [(kind, a["id"]) for kind, a in zip(kinds, labelled)]


# ---- both splits, and what can be named ------------------------------------------------------------------------------


def test_a_picture_in_both_splits(tmp_path):
    file = shapes(tmp_path, (5, 4))
    (tmp_path / "val" / "000002.png").write_bytes((tmp_path / "train" / "000005.png").read_bytes())
    problems, told, result = checked(tmp_path)
    assert problems == [("in-both-splits", "000005.png")] and "000002.png of instances_val.json" in told[0].found
    train, val = (coco.content for coco in result.coco)
    assert (
        len(train["images"]) == 4
        and len(val["images"]) == 4
        and {a["image_id"] for a in train["annotations"]} <= {1, 2, 3, 4}
    )
    assert file == result.coco[0].file


def test_both_splits_in_one_folder_of_pictures(tmp_path):
    shapes(tmp_path, (5, 4))
    val = tmp_path / "annotations" / "instances_val.json"
    val.write_text((tmp_path / "annotations" / "instances_train.json").read_text())  # and the same folder: "images"
    shutil.move(tmp_path / "train", tmp_path / "images")
    shutil.rmtree(tmp_path / "val")
    for path in (tmp_path / "images").iterdir():
        Image.new("RGB", (96, 96)).save(path)  # of one colour: their content says nothing, but their place does
    assert [kind for kind, _ in checked(tmp_path)[0]] == ["in-both-splits"] * 5


def test_classes_that_differ(tmp_path):
    file = shapes(tmp_path, (5, 4))
    categories = json.loads(file.read_text())["categories"]
    change(file, categories=[{**category, "id": category["id"] + 10} for category in categories], annotations=[])
    assert [kind for kind, _ in checked(tmp_path)[0]] == ["no-objects"]  # other ids, the same classes in their order
    shapes_of = [{**category, "name": name} for category, name in zip(categories, "abcdef")]
    change(file, categories=shapes_of)
    problems, _, result = checked(tmp_path)
    assert [kind for kind, _ in problems] == ["no-objects", "classes-differ"]
    assert [problem.kind for problem in result.findings.by_hand] == ["no-objects", "classes-differ"]


def test_one_split_or_one_file(tmp_path):
    file = shapes(tmp_path, (5, 4))
    assert checked(file)[2].findings.pictures == 5
    file.unlink()
    _, _, result = checked(tmp_path)
    assert result.missing == ["train"] and result.findings.pictures == 4


def test_what_is_no_data_set(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no data set of split 'train'"):
        checked(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere is neither a file or folder nor one of the names"):
        checked("nowhere")
    shapes(tmp_path, (2, 2))
    with pytest.raises(ValueError, match="files have no option 'size'"):
        checked(tmp_path, size=3)
    with pytest.raises(FileNotFoundError, match="holds no data set"):
        checked(tmp_path, form="label-png")


def test_a_drawn_set_with_a_broken_picture(monkeypatch):
    original = Synthetic.read

    def read(self, i):
        image, objects = original(self, i)
        return image, objects._replace(boxes=objects.boxes.astype(np.float32) * (np.nan if i == 1 else 1))

    monkeypatch.setattr(Synthetic, "read", read)
    problems, told, _ = checked("shapes", limit=2, cached=False)
    assert problems == [("refused", "000002.png")] * 2 and "has NaN or inf" in told[0].found


# ---- whatever stands in the file -------------------------------------------------------------------------------------

STRANGE = (None, True, -1, 0, 1, 2, 0.5, 1e300, 10**30, math.nan, math.inf, "", "x", "1", "../x", [], [1], [[]], {})
STRANGE += ([[1, 2, 3, 4, 5, 6]], [0.1, 0.2, 0.3, 0.4], {"size": [96, 96], "counts": "1"}, {"size": None, "counts": 1})


def places(node, path=()):
    """Every place in a JSON value, as keys and indices from the outside in."""
    yield path
    for key, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(child, (*path, key))


def mutated(content, random):
    """A copy with one value replaced, left out, or repeated."""
    content = copy.deepcopy(content)
    *outer, last = random.choice([path for path in places(content) if path])
    holder = functools.reduce(lambda node, key: node[key], outer, content)
    act = random.random()
    if act < 0.7:
        holder[last] = copy.deepcopy(random.choice(STRANGE))
    elif act < 0.85 or not isinstance(holder, list):
        del holder[last]
    else:
        holder.insert(last, copy.deepcopy(holder[last]))
    return content


@pytest.mark.parametrize("painter", ["shapes", "stick_figures"])
def test_no_file_breaks_the_check_and_what_passes_it_can_be_trained_on(tmp_path, painter, long_form):
    file = shapes(tmp_path, (3, 2), painter)
    content = json.loads(file.read_text())
    content["annotations"][0]["segmentation"] = rectangle(content["annotations"][0]["bbox"])
    content["annotations"][0]["area"] = content["annotations"][0]["bbox"][2] * content["annotations"][0]["bbox"][3]
    options = {"keypoints": True} if painter == "stick_figures" else {}
    random = Random(painter)
    passed, told = 0, collections.Counter()
    for _ in range(5000 if long_form else 250):
        file.write_text(json.dumps(mutated(content, random)))
        problems, _, _ = checked(file, **options)
        told.update(kind for kind, _ in problems)
        if not problems:
            passed += 1
            assert_trains(file, **options)
    assert passed > 20 and len(told) > 12, told


def test_no_index_breaks_the_check_and_what_passes_it_can_be_opened(tmp_path, long_form):
    write_labels(tmp_path, 6)
    content = {"class_name": "cell", "pictures": json.loads((tmp_path / "index.json").read_text())}
    random, passed = Random(0), 0
    for _ in range(2000 if long_form else 120):
        (tmp_path / "index.json").write_text(json.dumps(mutated(content, random)))
        problems, told, _ = checked(tmp_path, decode=False)
        if not problems:
            passed += 1
            assert len(open_dataset(tmp_path, "train")) + len(open_dataset(tmp_path, "val")) == 6 - len(told)
    assert passed > 0
