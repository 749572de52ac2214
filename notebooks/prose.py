"""Where do the figures in the text come from? Finds those that no cell prints and no source is named for.

    .venv/bin/python notebooks/prose.py [NN …]          prints what is left, with notebook and line of its text

A figure is a decimal or a percentage in a markdown cell. It is accounted for if a cell of the same notebook prints it,
or if its paragraph (a line of a table or of a list counts as one) names a source: a link, a table, figure, equation,
section or appendix, a paper, an issue. Figures in code and formulas are no claims.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

HERE = Path(__file__).parent
FIGURE = re.compile(r"(?<![\w.])(?:\d+\.\d+(?:\s?%)?|\d+\s?%)(?![\w.]*\d)")
SOURCE = re.compile(
    r"\]\(|\barXiv\b|\b(?:Table|Tables|Figure|Figures|equation|section|sections|appendix|Appendix)\s+"
    r"[\"“]?[\dA-Z]|model zoo|\w+/[\w.-]+#\d+"
)
NO_CLAIM = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|\b\d{4}\.\d{4,5}\b"
    r"|\b(?:section|sections|Table|Tables|torch|torchvision|Python|version)\s+[\d.]+(?:,? (?:and|to) [\d.]+)*"
    r"|\(?CC BY 4\.0\)?",
    re.DOTALL,
)


class Unsupported(NamedTuple):
    """A figure without a source. line: its place in the notebook's text (NN_name.py), from 1."""

    line: int
    figure: str
    paragraph: str


def printed(notebook: Any) -> str:
    """Everything that the cells print, in one text."""
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            texts.append(output.get("text", "") or output.get("data", {}).get("text/plain", ""))
    return "\n".join("".join(text) for text in texts)


def paragraphs(source: str) -> Iterator[tuple[int, str]]:
    """(first line from 0, text) of each paragraph of markdown; lines of tables and items of lists stand alone."""
    start, lines = 0, []
    for number, line in enumerate([*source.splitlines(), ""]):
        alone = line.lstrip().startswith(("|", "- ", "#")) or re.match(r"\s*\d+\. ", line)
        if (not line.strip() or alone) and lines:
            yield start, "\n".join(lines)
            lines = []
        if line.strip():
            start = start if lines else number
            lines.append(line)


def unsupported(notebook: Any, text: str) -> list[Unsupported]:
    """The figures of a notebook without a source; text: that of its NN_name.py, where lines are counted."""
    numbers = {one.replace(" ", "") for one in re.findall(r"\d+(?:\.\d+)?(?:\s?%)?", printed(notebook))}
    found = []
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        first = line_of(cell.source, text)
        for start, paragraph in paragraphs(cell.source):
            if SOURCE.search(paragraph):
                continue
            for match in FIGURE.finditer(NO_CLAIM.sub(" ", paragraph)):
                if match.group().replace(" ", "") not in numbers:
                    found.append(Unsupported(first + start, match.group(), " ".join(paragraph.split())))
    return found


def line_of(source: str, text: str) -> int:
    """The line (from 1) of NN_name.py on which a markdown cell starts; 1 where it is not found."""
    commented = "\n".join(f"# {line}".rstrip() for line in source.splitlines())
    place = text.find(commented)
    return text.count("\n", 0, place) + 1 if place >= 0 else 1


def main(prefixes: list[str]) -> int:
    left = 0
    for path in sorted(HERE.glob("[0-9][0-9]_*.ipynb")):
        if prefixes and not path.name.startswith(tuple(prefixes)):
            continue
        text = path.with_suffix(".py").read_text(encoding="utf-8")
        for one in unsupported(nbformat.read(path, as_version=4), text):
            left += 1
            print(f"{path.stem}.py:{one.line}: {one.figure}: {one.paragraph[:160]}")
    print(f"{left} figures without a source")
    return int(left > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
