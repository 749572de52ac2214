"""docs/: what the table of stumbling blocks and the instructor's guide name is there."""

import importlib
import re
from pathlib import Path

import jupytext
import pytest

from mrcnn_lite.widgets.source import NAMES, read, state_of

ROOT = Path(__file__).parents[1]
NOTEBOOKS = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))}
CLUSTERS = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "instructors_guide.md").read_text(encoding="utf-8")


def headings(number: str) -> set[str]:
    cells = jupytext.read(NOTEBOOKS[number]).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return set(re.findall(r"^#+ (.*)$", text, re.MULTILINE))


def rows() -> list[list[str]]:
    lines = re.findall(r"^\| (A?\d+) \| (.*) \| (.*) \| (.*) \|$", CLUSTERS, re.MULTILINE)
    return [list(line) for line in lines]


def test_each_stumbling_block_has_one_place():
    numbers = [number for number, *_ in rows()]
    elsewhere = ["28", "38", "A11"]
    assert len(set(numbers)) == len(numbers)
    assert sorted([*numbers, *elsewhere]) == sorted([*map(str, range(1, 39)), *(f"A{n}" for n in range(1, 16))])
    for number in elsewhere:
        assert re.search(rf"^(Groups )?.*\b{number} \(.*belongs? to chapter 1\d\.$", CLUSTERS, re.MULTILINE)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_place_is_there(row):
    """A chapter that is there, and a heading of it."""
    number, heading = row[3].split(" · ", 1)
    assert number in NOTEBOOKS, f"there is no chapter {number}"
    assert heading in headings(number), f"{NOTEBOOKS[number].name} has no heading {heading!r}"


def test_the_guide_has_both_plans_for_each_chapter_it_names():
    chapters = re.split(r"^## (?=\d\d · )", GUIDE, flags=re.MULTILINE)[1:]
    assert set(NOTEBOOKS) == {chapter[:2] for chapter in chapters}
    for chapter in chapters:
        number, title = chapter.splitlines()[0].split(" · ", 1)
        assert title in next(iter(NOTEBOOKS[number].read_text(encoding="utf-8").split("# # ")[1].splitlines()))
        for part in ("**45 minutes.**", "**90 minutes.**", "**Ask before you reveal.**", "**Expect.**", "**Show.**"):
            assert chapter.count(part) == 1, f"chapter {number}: {part}"


def test_the_states_of_widgets_in_the_guide_exist():
    shown = re.findall(r'widgets\.show\("(\w+)"(?:, state="(\w+)")?', GUIDE)
    assert len(shown) >= 6
    for name, state in shown:
        assert name in NAMES
        state_of(read(name), state or None)


def test_the_exercises_in_the_guide_exist():
    for chapter, name in re.findall(r"`ch(\d\d)\.(\w+)`", GUIDE):
        assert hasattr(importlib.import_module(f"mrcnn_lite.exercises.ch{chapter}"), name)


def test_the_headings_in_the_guide_exist():
    for number, heading in re.findall(r"(\d\d) → “([^”]+)”", GUIDE):
        assert heading in headings(number), f"{number}: {heading}"
