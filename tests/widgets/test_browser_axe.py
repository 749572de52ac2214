"""axe-core finds nothing serious in any widget: light and dark, English and Korean, in every prepared state.

Skipped where Chromium is missing; nothing is downloaded, axe-playwright-python brings axe.min.js along.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python import sync_playwright as axe

from mrcnn_lite.widgets import gallery
from mrcnn_lite.widgets.page import document
from mrcnn_lite.widgets.source import LANGUAGES, NAMES, Options, read, state_of

SERIOUS = ("serious", "critical")
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture
def page(browser) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1000, "height": 900}, color_scheme="light")
    yield page
    page.close()


def opened(page: Any, source: str, ready: str = "[data-ready=true]") -> Any:
    """The element that is waited for, on a page that axe has been put into."""
    page.set_content(source)
    page.locator(ready).first.wait_for()
    page.evaluate(axe.Axe().axe_script)
    return page.locator(ready).first


def found(page: Any) -> list[str]:
    """What axe finds in a page as it stands: "rule: what it says: the first element", of the serious ones."""
    violations = page.evaluate("() => axe.run({ resultTypes: ['violations'] }).then((answer) => answer.violations)")
    return [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}" for v in violations if v["impact"] in SERIOUS]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_serious(page, name, language):
    """One page, turned as its user turns it: by the buttons of the states, and by what the system says of dark."""
    widget = read(name)
    root = opened(page, document(widget, state_of(widget, None), Options(language, "auto")))
    for preset in (None, *widget.presets):
        if preset:
            page.locator(f"[data-preset={preset}]").click()
            page.evaluate(DRAWN)
        assert json.loads(root.get_attribute("data-state")) == state_of(widget, preset)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.locator(f"[data-ready][data-theme={theme}]").wait_for()
            assert not found(page), (preset, theme)


def test_nothing_serious_in_the_gallery(page):
    opened(page, gallery.page(["self_test", "roi_align"]), ready="figure img")
    assert not found(page)


def test_axe_would_find_something(page):
    """What the tests above are worth: grey on white, and a picture without a text."""
    pale = '<!doctype html><html lang="en"><title>x</title><main><p style="color:#ccc">pale</p><img></main></html>'
    opened(page, pale, "p")
    assert {line.split(":")[0] for line in found(page)} == {"color-contrast", "image-alt"}
