"""axe-core finds nothing serious in any widget: light and dark, English and Korean, in every prepared state.

Skipped where Chromium is missing; nothing is downloaded, axe-playwright-python brings axe.min.js along.
"""

from __future__ import annotations

import pytest
from axe_playwright_python import sync_playwright as axe

from mrcnn_lite.widgets import gallery
from mrcnn_lite.widgets.page import document
from mrcnn_lite.widgets.source import LANGUAGES, NAMES, Options, read, state_of

SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def found(browser):
    """What axe finds in a page: "rule: what it says: the first element", of the serious ones."""

    def ask(source: str, ready: str = "[data-ready=true]") -> list[str]:
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.set_content(source)
        page.locator(ready).first.wait_for()
        violations = axe.Axe().run(page).response["violations"]
        page.close()
        return [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}" for v in violations if v["impact"] in SERIOUS]

    return ask


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_serious(found, name, language, theme):
    widget = read(name)
    for preset in (None, *widget.presets):
        assert not found(document(widget, state_of(widget, preset), Options(language, theme))), preset


def test_nothing_serious_in_the_gallery(found):
    assert not found(gallery.page(["self_test", "roi_align"]), ready="figure img")


def test_axe_would_find_something(found):
    """What the tests above are worth: grey on white, and a picture without a text."""
    said = found(
        '<!doctype html><html lang="en"><title>x</title><main><p style="color:#ccc">pale</p><img></main></html>', "p"
    )
    assert {line.split(":")[0] for line in said} == {"color-contrast", "image-alt"}
