"""Every widget in a real browser, in a static page without a network: ready, drawn whole, moved by whatever one has.

A page error, a line on the console, or a request for anything but the page itself fails a test. Skipped where there is
no Chromium. What the numbers on screen should be is `test_browser_numbers.py`'s question.
"""

from __future__ import annotations

import pytest

from mrcnn_lite.widgets.source import NAMES, SIZES

IS_DRAWN = """(canvas) => {
  const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  return new Set(pixels).size;
}"""
LOOKS = [
    *({"width": width, "language": language} for width in (360, 600, 760, 1280) for language in ("en", "ko")),
    *({"width": width, "theme": "dark", "size": "presenter"} for width in (1100, 1920)),
]


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: "-".join(map(str, look.values())))
@pytest.mark.parametrize("name", NAMES)
def test_ready_drawn_and_nothing_cut(shown, name, look):
    """In every width, language and size of type the content fits the frame's fixed height and its width."""
    one = shown(name, **look)
    canvases = one.frame.locator("canvas")
    assert canvases.count() >= 1
    for n in range(canvases.count()):
        assert canvases.nth(n).evaluate(IS_DRAWN) > 3
        assert len(canvases.nth(n).get_attribute("aria-label")) > 10
    size = one.root.evaluate("(root) => ['scrollHeight', 'clientHeight', 'scrollWidth', 'clientWidth'].map("
                             "(key) => root.ownerDocument.documentElement[key])")  # fmt: skip
    assert size[0] <= size[1] and size[2] <= size[3], size
    unused = size[1] - one.root.bounding_box()["height"]
    assert unused < 15 * SIZES[look.get("size", "normal")], "the frame is much too high"
    assert one.frame.locator("h1").inner_text() == one.widget.texts[look.get("language", "en")]["title"]


@pytest.mark.parametrize("name", NAMES)
def test_moves_by_mouse(shown, name):
    one = shown(name)
    box = one.frame.locator("[data-drag]").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag() -> None:
        one.page.mouse.move(x, y)
        one.page.mouse.down()
        one.page.mouse.move(x + 20, y + 8, steps=4)
        one.page.mouse.up()

    assert one.changes(drag)


@pytest.mark.parametrize("name", NAMES)
def test_moves_by_touch(shown, name):
    one = shown(name)
    box = one.frame.locator("[data-drag]").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = one.context.new_cdp_session(one.page)

    def drag() -> None:
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for step in range(1, 5):
            point = {"x": x + 5 * step, "y": y + 2 * step}
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    assert one.changes(drag)


@pytest.mark.parametrize("name", NAMES)
def test_moves_by_keyboard_and_every_control_can_be_reached(shown, name):
    one = shown(name)
    one.frame.locator("button").first.focus()
    wanted = one.frame.locator("button:not([disabled]), [tabindex='0'], input:not([type=radio])").count()
    focus = "(root) => [...root.querySelectorAll('*')].indexOf(root.ownerDocument.activeElement)"
    reached = set()
    for _ in range(3 * wanted):
        reached.add(one.root.evaluate(focus))
        one.page.keyboard.press("Tab")
    assert len(reached - {-1}) >= wanted, f"Tab reaches {len(reached)} of {wanted}"
    one.frame.locator("[data-drag]").first.focus()
    assert one.changes(lambda: one.page.keyboard.press("ArrowRight"))
    assert one.changes(lambda: one.page.keyboard.press("Shift+ArrowDown"))


@pytest.mark.parametrize("name", NAMES)
def test_prepared_states_and_reset(shown, name):
    one = shown(name)
    start = one.state()
    for preset, patch in one.widget.presets.items():
        one.changes(one.frame.locator(f"[data-preset={preset}]").click)
        assert one.state() == {**one.widget.state, **patch}
        assert one.widget.texts["en"][f"hint.{preset}"] in one.root.inner_text()
    if one.widget.presets:
        one.changes(one.frame.locator("[title=Reset]").click)
    assert one.state() == start


@pytest.mark.parametrize("name", NAMES)
def test_language_theme_and_size_turn_in_place(shown, name):
    one = shown(name, theme="light")
    texts, ground = one.widget.texts, lambda: one.root.evaluate("(root) => getComputedStyle(root).backgroundColor")
    before = ground(), one.root.evaluate("(root) => root.style.fontSize")
    one.frame.locator(f"[title='{texts['en']['theme']}']").click()
    one.frame.locator(f"[title='{texts['en']['size']}']").click()
    one.frame.locator(f"[title='{texts['en']['language']}']").click()
    assert one.frame.locator("h1").inner_text() == texts["ko"]["title"]
    after = ground(), one.root.evaluate("(root) => root.style.fontSize")
    assert before == ("rgb(255, 255, 255)", "15px") and after == ("rgb(20, 24, 29)", "22px")
    assert one.frame.locator(":focus").get_attribute("title") == texts["ko"]["language"]  # the focus stays
