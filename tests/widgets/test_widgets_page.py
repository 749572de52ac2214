"""The HTML of a widget: picture, caption and frame; nothing random, nothing unescaped, nothing large."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from mrcnn_lite.widgets.page import document, figure
from mrcnn_lite.widgets.source import HERE, NAMES, Options, read, state_of

LARGEST_PICTURE = 45_000  # bytes: it is stored twice in each output
LARGEST_DATA = 20_000
LARGEST_OF = {"training_replay_data": 70_000, "training_replay": 52_000}  # a whole training run


class Tags(HTMLParser):
    """Every tag with its attributes, and the text outside of <style>."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += "" if self.found and self.found[-1][0] == "style" else data

    def only(self, tag: str) -> dict:
        (attributes,) = (a for t, a in self.found if t == tag)
        return attributes


def page_of(name: str, **options: str) -> str:
    widget = read(name)
    return figure(widget, state_of(widget, None), Options(**options))


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("name", NAMES)
def test_a_figure_holds_picture_caption_and_a_sandboxed_frame(name, language):
    texts = read(name).texts[language]
    page = Tags(page_of(name, language=language))
    assert [tag for tag, _ in page.found] == ["figure", "style", "div", "img", "iframe", "figcaption"]
    assert page.only("img")["alt"] == texts["alt"]
    assert page.only("img")["src"].startswith("data:image/png;base64,")
    assert page.only("iframe")["title"] == texts["title"]
    assert page.only("iframe")["sandbox"] == "allow-scripts"
    assert texts["caption"] in page.text
    inner = Tags(page.only("iframe")["srcdoc"])
    assert inner.only("html")["lang"] == language
    assert not {"link", "img", "iframe"} & {tag for tag, _ in inner.found}  # nothing to be fetched


@pytest.mark.parametrize("name", NAMES)
def test_the_script_ends_once(name):
    inner = document(read(name), state_of(read(name), None), Options())
    assert inner.count("</script") == 1
    hostile = document(read(name), {**read(name).state}, Options(), data={"picture": "</script><b>"})
    assert hostile.count("</script") == 1 and "<\\/script><b>" in hostile


@pytest.mark.parametrize("name", NAMES)
def test_the_height_is_fixed_for_a_width_and_grows_with_the_text(name):
    found = {size: re.findall(r"height:(\d+)px", page_of(name, size=size)) for size in ("normal", "presenter")}
    heights = {size: list(map(int, pixels)) for size, pixels in found.items()}
    em = read(name).height
    assert heights["normal"] == [round(15 * em["wide"]), round(15 * em["narrow"])]
    assert heights["presenter"] == [round(22 * em["wide"]), round(22 * em["narrow"])]


@pytest.mark.parametrize("name", NAMES)
def test_an_id_stands_only_inside_the_frame(name):
    """Two outputs of one widget on a page must not share ids, and random ones would differ from run to run."""
    outer = re.sub('srcdoc="[^"]*"', "", page_of(name))
    assert not re.search(r"\bid=", outer)


def test_text_is_escaped():
    page = page_of("roi_align")
    assert html.escape("const SPEC") in page and "<script" not in page


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_shows_something_and_is_small(name):
    path = HERE / f"{name}.png"
    picture = Image.open(path).convert("RGB")
    assert path.stat().st_size < LARGEST_OF.get(name, LARGEST_PICTURE)
    assert picture.width > 800 and len(picture.getcolors(picture.width * picture.height)) > 8


@pytest.mark.parametrize("path", sorted(HERE.glob("*_data.json")), ids=lambda path: path.stem)
def test_recorded_data_are_small(path):
    assert path.stat().st_size < LARGEST_OF.get(path.stem, LARGEST_DATA)
