"""For the tests of the widgets: a browser for each file, pages in it that are closed and asked for complaints, and the
table of the long form of `test_widgets_parity.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from widget_hosts import Shown, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def shown(browser, tmp_path) -> Iterator[Any]:
    open_pages: list[Shown] = []

    def show(*arguments: Any, **options: Any) -> Shown:
        open_pages.append(Shown(browser, tmp_path, *arguments, **options))
        return open_pages[-1]

    yield show
    for page in open_pages:
        page.close()


def pytest_terminal_summary(terminalreporter) -> None:
    """By operation: how many cases were compared, and the largest difference, relative to numbers above 1."""
    table: dict[str, tuple[int, float]] = {}
    for report in terminalreporter.getreports("passed"):
        found = dict(report.user_properties).get("parity") if report.when == "call" else None
        if found:
            kinds = re.sub(r"\[?round\d+-?|[\[\]]", " ", report.nodeid.split("::test_")[1]).split()
            cases, largest = table.get(name := " ".join(kinds).replace("_", " "), (0, 0.0))
            table[name] = (cases + found[0], max(largest, found[1]))
    if table and terminalreporter.config.getoption("--long"):
        terminalreporter.write_sep("=", "JavaScript against Python")
        terminalreporter.write_line(f"| {'operation':60} |  cases | largest difference |")
        terminalreporter.write_line(f"| {'-' * 60} | ------ | ------------------ |")
        for name, (cases, largest) in table.items():
            terminalreporter.write_line(f"| {name:60} | {cases:6,} | {largest:18.1e} |")
