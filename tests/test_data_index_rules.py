"""data/index_rules.py: which split a picture is in, and every fault of an index.json."""

from __future__ import annotations

import json

import pytest

from mrcnn_lite.data.index_rules import judge_index
from mrcnn_lite.data.problems import Findings

SOUND = [{"name": "a", "split": "train", "n": 3}, {"name": "b", "split": "val"}]


def judged(tmp_path, content, stems=("a", "b")):
    file, told = tmp_path / "index.json", []
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    findings = Findings(lambda problem: told.append((problem.kind, problem.picture)))
    return told, judge_index(file, stems, findings), findings


@pytest.mark.parametrize("around", [False, True])
def test_a_sound_index_comes_back_equal(tmp_path, around):
    content = {"class_name": "cell", "source": "x", "pictures": SOUND} if around else SOUND
    told, index, _ = judged(tmp_path, content)
    assert told == [] and index.split_of == {"a": "train", "b": "val"} and index.content == content
    assert index.class_name == ("cell" if around else None)


@pytest.mark.parametrize("content", ["", "[", "3", '{"pictures": 3}', "{}", "[" * 100_000, '"x"'])
def test_what_is_no_index_can_only_be_corrected_by_hand(tmp_path, content):
    told, index, findings = judged(tmp_path, content)
    assert [kind for kind, _ in told] == ["index-form"] and index is None and findings.by_hand


@pytest.mark.parametrize(
    "entry, fault, kept",
    [
        ({"name": "c", "split": "train"}, ("index-unknown-picture", "c"), SOUND),
        ({"name": "../c", "split": "train"}, ("name-leaves-folder", "../c"), SOUND),
        ({"name": "a", "split": "train"}, ("index-twice", "a"), SOUND),
        ({"name": "a", "split": "val"}, ("index-twice", "a"), [SOUND[0] | {"split": "val"}, SOUND[1]]),
        ({"name": "b", "split": "train"}, ("index-twice", "b"), SOUND),
        (5, ("index-form", ""), SOUND),
        ({"split": "train"}, ("index-form", ""), SOUND),
    ],
)
def test_one_entry_too_many(tmp_path, entry, fault, kept):
    told, index, findings = judged(tmp_path, [*SOUND, entry])
    assert told == [fault] and index.content == kept and not findings.by_hand


@pytest.mark.parametrize(
    "split, meant", [("Train", "train"), ("validation", "val"), ("VALID", "val"), ("x", ""), (None, ""), (3, "")]
)
def test_splits_that_are_none(tmp_path, split, meant):
    told, index, _ = judged(tmp_path, [SOUND[0], {"name": "b", "split": split}])
    assert told == [("index-split", "b")]
    assert index.split_of == {"a": "train"} | ({"b": meant} if meant else {})


def test_a_picture_that_is_not_named(tmp_path):
    told, index, _ = judged(tmp_path, SOUND, ("a", "b", "c"))
    assert told == [("index-unnamed", "c")] and index.content == SOUND


def test_pictures_for_a_later_test_are_a_note(tmp_path):
    told, index, findings = judged(tmp_path, [SOUND[0], {"name": "b", "split": "test"}])
    assert told == [("index-test", "b")] and findings.num_problems == 0 and index.split_of["b"] == "test"
