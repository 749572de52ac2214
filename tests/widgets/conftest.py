"""For the tests of the widgets: a browser for each file, and pages in it that are closed and asked for complaints."""

from __future__ import annotations

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
