"""data/problems.py: kinds, lines of text, counts; and what a reader makes of the first problem."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mrcnn_lite.data
from mrcnn_lite.data.problems import NOTES, PROBLEMS, Findings, Problem, refusing


def test_every_kind_is_told_somewhere_and_none_is_both_problem_and_note():
    folder = Path(mrcnn_lite.data.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py") if path.name != "problems.py")
    assert not PROBLEMS.keys() & NOTES.keys()
    assert {kind for kind in (*PROBLEMS, *NOTES) if f'"{kind}"' not in source} == set()


def test_a_line_says_where_what_and_why():
    problem = Problem("area", "a.json", "area is -5", "pixels", "a sign", "counted", "x.png", 7)
    assert str(problem) == "a.json, picture x.png, annotation 7: area is -5, expected pixels: a sign [area]"
    assert str(Problem("label-missing", "masks/x.png", "it is missing", picture="x.png")) == (
        "masks/x.png: it is missing [label-missing]"
    )


def test_findings_count_and_hand_on_at_once():
    seen = []
    findings = Findings(seen.append)
    tell = findings.at("a.json", "x.png", 7)
    tell("area", "area is -5", "pixels", fix="counted")
    tell("area", "area is -6", "pixels", fix="counted")
    tell("json-form", "nonsense")
    tell("label-empty", "no object")
    assert [problem.found for problem in seen] == ["area is -5", "area is -6", "nonsense", "no object"]
    assert findings.num_problems == 3 and [problem.kind for problem in findings.by_hand] == ["json-form"]
    lines = findings.summary()
    assert [re.split(r"  +", line.strip())[:2] for line in lines[:2]] == [["1", "json-form"], ["2", "area"]]
    assert "note: label-empty" in lines[2] and lines[2].endswith("a.json, picture x.png, annotation 7")
    with pytest.raises(KeyError, match="no kind of problem is called 'aera'"):
        tell("aera", "")


def test_a_reader_refuses_at_the_first_problem_only():
    tell = refusing("my/folder", tolerated=("unknown-image",)).at("a.json")
    tell("label-empty", "a note")
    tell("unknown-image", "tolerated")
    with pytest.raises(
        ValueError, match=r"^a\.json: broken \[area\]\n`mrcnn-lite data check my/folder` lists every problem"
    ):
        tell("area", "broken")
