"""data/label_folder_rules.py: a folder of label pictures with every fault planted, and each one found."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from planted_data import plant_labels
from sound_data import write_labels

from mrcnn_lite.data.label_folder_rules import check_labels
from mrcnn_lite.data.problems import Findings


def checked(folder, **options):
    told = []
    findings = Findings(lambda problem: told.append((problem.kind, problem.picture or problem.file)))
    return told, check_labels(folder, findings, **options), findings


def test_a_sound_folder(tmp_path):
    index = write_labels(tmp_path, 9)
    told, found, findings = checked(tmp_path)
    assert told == [] and len(found.kept) == 9 == findings.pictures and findings.objects == 18 and found.index == index
    assert checked(tmp_path, limit=2)[2].pictures == 4  # of each split
    (tmp_path / "index.json").unlink()
    told, found, _ = checked(tmp_path)
    assert told == [] and [pair.split for pair in found.kept[:6]] == ["val", "train", "train", "train", "train", "val"]
    assert found.index is None


def test_every_planted_fault_is_found_and_no_other(tmp_path):
    expected = plant_labels(tmp_path, write_labels(tmp_path, 20))
    told, found, findings = checked(tmp_path)
    assert sorted(told) == sorted(expected) and findings.num_problems == len(expected) - 3 and not findings.by_hand
    lost = {"01", "02", "03", "04", "05", "09", "13", "15"}
    assert {pair.picture.stem for pair in found.kept} == {f"{i:02d}" for i in range(20)} - lost
    assert [path.name for path in found.remedies] == ["06.png"]
    assert {entry["name"] for entry in found.index} == {pair.picture.stem for pair in found.kept}
    assert {pair.picture.stem: pair.split for pair in found.kept}["14"] == "val"


def test_a_set_of_masks_of_all_objects(tmp_path):
    write_labels(tmp_path, 6)
    for path in (tmp_path / "masks").iterdir():
        Image.fromarray((np.asarray(Image.open(path)) > 0).astype(np.uint8)).save(path)  # 0 and 1
    told, found, _ = checked(tmp_path)
    assert [kind for kind, _ in told] == ["label-semantic"] * 6 and len(found.remedies) == 6


def test_a_split_without_objects(tmp_path):
    write_labels(tmp_path, 8)
    for i in (0, 4):
        Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / "masks" / f"{i:02d}.png")
    told, _, findings = checked(tmp_path)
    assert [kind for kind, _ in told if kind != "label-empty"] == ["no-objects"] and findings.by_hand


def test_nothing_to_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no pictures with label pictures"):
        checked(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    told, found, _ = checked(tmp_path)
    assert [kind for kind, _ in told] == ["no-objects"] and found is None
    write_labels(tmp_path / "b", 2)
    (tmp_path / "b" / "index.json").write_text("{")
    assert [kind for kind, _ in checked(tmp_path / "b")[0]] == ["index-form"]
