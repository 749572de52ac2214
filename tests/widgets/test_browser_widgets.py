"""Every widget in a real browser, in a static page without a network: ready, drawn whole, moved by whatever one has.

A page error, a line on the console, or a request for anything but the page itself fails a test. Skipped where there is
no Chromium. What the numbers on screen should be is `test_browser_numbers.py`'s question.
"""

from __future__ import annotations

import json

import pytest

from course import has_korean_letters
from mrcnn_lite.widgets.source import NAMES, SIZES

LOOK = """(root) => {
  const page = root.ownerDocument.documentElement;
  const colours = (canvas) => { // of a copy: to read a canvas again and again makes the browser complain
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    return new Set(new Uint32Array(copy.getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size;
  };
  const canvases = [...root.querySelectorAll("canvas")];
  return { high: [page.scrollHeight, page.clientHeight], wide: [page.scrollWidth, page.clientWidth],
    used: root.getBoundingClientRect().height, ground: getComputedStyle(page).backgroundColor,
    colours: canvases.map(colours), labels: canvases.map((canvas) => canvas.getAttribute("aria-label")) };
}"""
LOOKS = {
    "en": ({"language": "en"}, (360, 600, 760, 1280)),
    "ko": ({"language": "ko"}, (360, 600, 760, 1280)),
    "presenter": ({"theme": "dark", "size": "presenter"}, (1100, 1920)),
}
FINGERS = """(root) => [...root.querySelectorAll(".mw-button, .mw-options label, .mw-field, .mw-dot")]
  .map((control) => [control, control.getBoundingClientRect()])
  .filter(([control, box]) => box.width && (box.width < 24 || box.height < (control.matches(".mw-dot") ? 24 : 36)))
  .map(([control, box]) => `${control.className} ${control.textContent} ${box.width} x ${box.height}`)"""
RING = """(root) => {
  const focused = root.ownerDocument.activeElement;
  const look = getComputedStyle(focused.closest(".mw-options") ?? focused);
  return focused === root.ownerDocument.body || (look.outlineStyle === "solid" && parseFloat(look.outlineWidth) >= 2);
}"""


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", NAMES)
def test_ready_drawn_and_nothing_cut(shown, name, look):
    """In every width, language and size of type the content fits the frame's fixed height and its width."""
    if look == "ko" and not has_korean_letters():
        pytest.skip("no font with Korean letters on this machine: apt-get install -y fonts-nanum")
    options, widths = LOOKS[look]
    one = shown(name, width=widths[0], **options)
    assert one.frame.locator("h1").inner_text() == one.widget.texts[options.get("language", "en")]["title"]
    for width in widths:
        one.page.set_viewport_size({"width": width, "height": 900})
        one.page.wait_for_timeout(150)  # until it has drawn itself anew
        seen = one.root.evaluate(LOOK)
        assert seen["high"][0] <= seen["high"][1], f"at {width} pixels {seen['high']}: the content is higher"
        assert seen["wide"][0] <= seen["wide"][1], f"at {width} pixels {seen['wide']}: the content is wider"
        spare = (seen["high"][1] - seen["used"]) / SIZES[options.get("size", "normal")]
        assert spare < 17, f"at {width} pixels {spare:.0f} ems of the frame are empty"
        assert min(seen["colours"]) > 1 and min(map(len, seen["labels"])) >= 8
        assert seen["ground"].startswith("rgb("), "the picture that stands in for the widget shines through"
        assert width > 360 or not one.root.evaluate(FINGERS), "too small for a finger"


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


SEEN = """(root) => [...root.querySelectorAll("canvas")].map((canvas) => [canvas.ariaLabel, canvas.toDataURL()])"""
DRAG_SLOWLY_DRAWN = """async (root, [moves, rest]) => {
  const canvases = [...root.querySelectorAll("canvas")];
  const pictures = () => canvases.map((canvas) => canvas.toDataURL());
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const handle = root.querySelector("[data-drag]");
  handle.setPointerCapture = () => {}; // there is no such pointer
  const { x, y } = handle.getBoundingClientRect();
  const fire = (type, right, down) => handle.dispatchEvent(new PointerEvent(type, { clientX: x + 9 + right,
    clientY: y + 9 + down, pointerId: 1, bubbles: true, button: 0 }));
  let drawn = []; // which canvases, in this frame
  for (const canvas of canvases) { // each begins with this
    const context = canvas.getContext("2d");
    const clear = context.clearRect.bind(context);
    context.clearRect = (...where) => {
      for (const end = performance.now() + 5; performance.now() < end;);
      drawn.push(canvases.indexOf(canvas));
      clear(...where);
    };
  }
  const before = pictures();
  fire("pointerdown", 0, 0);
  const frames = [];
  const pass = async () => {
    await frame();
    frames.push(drawn);
    drawn = [];
  };
  for (let k = 0; k < moves + rest; k++) {
    if (k < moves) fire("pointermove", 33 - k, 21 + k);
    await pass();
  }
  const [held, said] = [pictures(), root.dataset.state];
  fire("pointerup", 33, 21);
  for (let k = 0; k < 30; k++) await pass();
  return { changed: held.filter((picture, k) => picture !== before[k]).length, frames, state: said,
    left: pictures().filter((picture, k) => picture !== held[k]).length };
}"""


def test_a_drag_on_a_slow_machine_is_drawn_in_parts_and_whole_in_the_end(shown):
    """What takes too long for one frame goes on in the next, also while the pointer rests; nothing is left out."""
    one = shown("roi_align", state={"feature": "texture", "box": [20.0, 20.0, 70.0, 70.0]})
    seen = one.root.evaluate(DRAG_SLOWLY_DRAWN, [1, 30])
    assert seen["changed"] == 7 == sum(map(len, seen["frames"][:31])) and max(map(len, seen["frames"])) == 1
    assert json.loads(seen["state"]) == one.state() and seen["left"] == 0


def test_a_long_drag_on_a_slow_machine_leaves_nothing_behind(shown):
    """Although every frame has a new state: what is dragged and one of the rest take turns."""
    one = shown("roi_align", state={"feature": "texture", "box": [20.0, 20.0, 70.0, 70.0]})
    seen = one.root.evaluate(DRAG_SLOWLY_DRAWN, [20, 30])
    during = [canvas for frame in seen["frames"][:20] for canvas in frame]
    assert 8 <= during.count(0) <= 12 and set(during) == set(range(7)) and max(map(len, seen["frames"])) == 1
    assert json.loads(seen["state"]) == one.state() and seen["left"] == 0


def test_letting_go_on_a_slow_machine_is_drawn_in_parts_too(shown):
    """What was behind when the pointer let go follows a canvas a frame, with its label: all is as if set at once."""
    one = shown("roi_align", state={"feature": "texture", "box": [20.0, 20.0, 70.0, 70.0]})
    seen = one.root.evaluate(DRAG_SLOWLY_DRAWN, [4, 0])
    assert max(map(len, seen["frames"])) == 1 and seen["left"] > 0
    assert json.loads(one.root.get_attribute("data-state")) == one.state() != json.loads(seen["state"])
    dragged = one.root.evaluate(SEEN)
    assert dragged == shown("roi_align", state=one.state()).root.evaluate(SEEN)


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
        assert one.root.evaluate(RING), "the focus is not to be seen"
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
    assert before == ("rgb(255, 255, 255)", "15px") and after == ("rgb(20, 24, 29)", f"{SIZES['presenter']}px")
    assert one.frame.locator(":focus").get_attribute("title") == texts["ko"]["language"]  # the focus stays
