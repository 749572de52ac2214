"""What we say to every wrong input of a detector's first hours: `bad_input.py` runs them, here they are judged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import bad_input
import pytest

SCRIPT = Path(__file__).with_name("bad_input.py")
WRONG = [row for row in bad_input.ROWS if row.refusal is not None]
PACKAGE = Path(__file__).resolve().parent.parent / "mrcnn_lite"
# Strings that stand one after the other are one; so are the parts of an f-string, a … for what is filled in.
SOURCE = "\n".join(path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py")))
SOURCE = re.sub(r"\{[^{}]*\}", "…", re.sub(r'"\s*f?"', "", SOURCE))
HARMLESS = [row for row in bad_input.ROWS if row.refusal is None]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """row -> "mrcnn_lite" -> what happened; printed as a table, which `pytest -s` shows."""
    if not hasattr(os, "fork"):
        pytest.skip("each row runs in a forked process, which this system does not have")
    file = tmp_path_factory.mktemp("bad_input") / "answers.json"
    subprocess.run([sys.executable, SCRIPT, "--ours", "--json", file], check=True, timeout=500)
    return json.loads(file.read_text())


@pytest.mark.parametrize("row", WRONG, ids=lambda row: row.name)
def test_a_wrong_input_is_refused_with_its_place_and_its_cause(answers, row):
    found = answers[row.name]["mrcnn_lite"]
    assert found.get("refused") in ("ValueError", "TypeError"), bad_input.in_words(found)
    assert re.search(row.refusal, found["message"], re.DOTALL), found["message"]
    if not row.settings:
        assert re.search(r"image 1\b|images|targets", found["message"]), found["message"]


@pytest.mark.parametrize("row", HARMLESS, ids=lambda row: row.name)
def test_what_is_merely_unusual_is_accepted(answers, row):
    found = answers[row.name]["mrcnn_lite"]
    assert "accepted" in found and found["finite"], bad_input.in_words(found)


def test_targets_in_eval_mode_give_losses(answers):
    assert "loss_mask" in answers["targets in eval mode"]["mrcnn_lite"]["accepted"]


def test_without_the_checks_the_same_inputs_pass():
    """The checks are what refuses, and one argument turns them off."""
    theirs = bad_input.Torchvision()
    ours = bad_input.Ours(theirs.model)
    ours.model.check_inputs = False
    row = next(row for row in WRONG if row.name == "masks of 0 and 255")
    assert "accepted" in bad_input.outcome(row, ours)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_crash_is_seen_as_one():
    crash = bad_input.Row("crash", lambda side: os.kill(os.getpid(), 11), None)
    assert bad_input.answer(crash, None) == {"killed": "SIGSEGV"}


PAGE = Path(__file__).resolve().parent.parent / "docs" / "what_went_wrong.md"
MESSAGES = [line.split("|")[1].strip().strip("`") for line in PAGE.read_text("utf-8").splitlines() if line[:3] == "| `"]


def pattern(message: str) -> str:
    return ".*".join(map(re.escape, message.split("…")))


def test_the_page_explains_every_refusal(answers):
    for row in WRONG:
        message = answers[row.name]["mrcnn_lite"]["message"]
        assert any(re.search(pattern(known), message) for known in MESSAGES), f"{PAGE.name} lacks: {message}"


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_of_the_page_is_one_of_ours(answers, message):
    """It was said in the table above, or its fixed parts stand in the package's source."""
    said = [found["mrcnn_lite"].get("message", "") for found in answers.values()]
    if not any(re.search(pattern(message), text) for text in said):
        for part in filter(None, map(str.strip, message.split("…"))):
            assert part in SOURCE, f"nothing in the package says {part!r}"
