"""The gallery has every widget, its states and what to ask the room; a state in its address is the one of the frame."""

from __future__ import annotations

import json
import subprocess
import sys
from urllib.parse import quote

import pytest
from test_widgets_page import Tags
from widget_hosts import WAIT

from mrcnn_lite.widgets import gallery
from mrcnn_lite.widgets.source import NAMES, SIZES, Options, read


def test_there_is_something_to_ask_about_every_widget():
    assert set(gallery.QUESTIONS) == set(NAMES)
    for question in gallery.QUESTIONS.values():
        assert "?" in question and 150 < len(question) < 450


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page, as the command makes it."""
    file = tmp_path_factory.mktemp("gallery") / "made" / "gallery.html"
    command = [sys.executable, "-m", "mrcnn_lite.widgets.gallery", "--output", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout == f"{file}: {len(NAMES)} widgets, {file.stat().st_size // 1024} KB\n" and not said.stderr
    return file


def test_the_page_holds_every_widget_in_presenter_size_and_asks_for_nothing(made):
    source = made.read_text(encoding="utf-8")
    assert made.stat().st_size < 3_000_000
    page = Tags(source)
    assert [attributes["id"] for tag, attributes in page.found if tag == "section"] == list(NAMES)
    frames = [attributes for tag, attributes in page.found if tag == "iframe"]
    assert [frame["title"] for frame in frames] == [read(name).texts["en"]["title"] for name in NAMES]
    assert all('"size": "presenter"' in frame["srcdoc"] and frame["sandbox"] == "allow-scripts" for frame in frames)
    links = [attributes["href"] for tag, attributes in page.found if tag == "a"]
    assert set(links) == {f"#{n}" for n in NAMES} | {f"#{n}/{preset}" for n in NAMES for preset in read(n).presets}
    assert all(a.get("src", "data:").startswith("data:") for _, a in page.found)
    assert not [tag for tag, _ in page.found if tag == "link"] and source.count("</script") == 1
    assert all(gallery.QUESTIONS[name][:40] in page.text for name in NAMES)


def test_a_file_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        gallery.main(["--output", str(tmp_path / "file" / "gallery.html")])
    assert "gallery.html: " in capsys.readouterr().err


def test_the_widgets_of_the_page_may_be_korean_and_dark():
    source = gallery.page(["nms"], Options("ko", "dark", "presenter"))
    (frame,) = (attributes for tag, attributes in Tags(source).found if tag == "iframe")
    assert '"language": "ko", "theme": "dark"' in frame["srcdoc"]


def test_ask_says_title_question_and_states(monkeypatch):
    display = pytest.importorskip("IPython.display")
    shown = []
    monkeypatch.setattr(display, "display", shown.append)
    gallery.ask("roi_align")
    (markdown,) = (one.data for one in shown)
    assert markdown.startswith("## RoIAlign lab\n") and gallery.QUESTIONS["roi_align"] in markdown
    assert all(f"`state={preset!r}`" in markdown for preset in read("roi_align").presets)
    with pytest.raises(ValueError, match="no widget 'roi_aling'"):
        gallery.ask("roi_aling")


def test_the_address_says_a_state(browser, tmp_path):
    """By name or by value, from the first or by a press; what no widget has is named, and changes nothing."""
    file = tmp_path / "gallery.html"
    file.write_text(gallery.page(["nms", "roi_align"]), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1400, "height": 900}, offline=True)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    frame = page.frame_locator("#roi_align iframe")

    def becomes(patch: dict) -> None:
        wanted = {**read("roi_align").state, **patch}
        for _ in range(WAIT // 50):
            found = frame.locator("[data-ready=true]")
            if found.count() and json.loads(found.get_attribute("data-state")) == wanted:
                return
            page.wait_for_timeout(50)
        pytest.fail(f"the state is not {wanted}")

    presets = read("roi_align").presets
    page.goto(f"{file.as_uri()}#roi_align/tiny")
    becomes(presets["tiny"])
    size = frame.locator("h1").evaluate("(title) => getComputedStyle(title.closest('.mw')).fontSize")
    assert size == f"{SIZES['presenter']}px"
    page.locator('[href="#roi_align/jump"]').click()
    becomes(presets["jump"])
    assert page.url.endswith("#roi_align/jump")
    assert page.locator("[aria-current]").inner_text() == "Jump"
    page.goto(f"{file.as_uri()}#roi_align/" + quote('{"side":7,"box":[10.5,20,60,70]}'))
    becomes({"side": 7, "box": [10.5, 20, 60, 70]})
    for wrong in ("huge", '{"side":5}', '{"box":[1]}', '{"bx":1}', '{"side"'):
        page.goto(f"{file.as_uri()}#roi_align/{quote(wrong)}")
        page.get_by_text(f"roi_align has no state {wrong}").wait_for()
    becomes({"side": 7, "box": [10.5, 20, 60, 70]})
    page.locator("#roi_align .states a").first.click()
    becomes({})
    context.close()
    assert not complaints
