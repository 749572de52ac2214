"""`show` and `live`: what a notebook gets, the same every time; a state that is checked; a state that Python hears."""

from __future__ import annotations

import importlib.util

import pytest

from mrcnn_lite import widgets
from mrcnn_lite.widgets.source import read


@pytest.fixture
def shown(monkeypatch):
    """What `display` was given: (bundle, metadata) of each call."""
    display = pytest.importorskip("IPython.display")
    calls = []
    monkeypatch.setattr(
        display, "display", lambda bundle, raw, metadata: calls.append((bundle, metadata)) if raw else None
    )
    return calls


@pytest.mark.parametrize("name", widgets.NAMES)
def test_show_gives_html_a_picture_and_a_text_that_stay_the_same(name, shown):
    widgets.show(name)
    widgets.show(name)
    (first, metadata), (second, _) = shown
    assert first == second
    assert set(first) == {"text/html", "image/png", "text/plain"}
    assert first["image/png"].startswith(b"\x89PNG")
    assert len(metadata["image/png"]["alt"]) > 20
    assert first["text/plain"].startswith(read(name).texts["en"]["title"])
    most = 200_000 if name == "training_replay" else 150_000  # of the 500 KB that a notebook may have
    assert len(first["text/html"]) < most


def test_show_takes_a_prepared_state_by_name_or_by_value(shown):
    for state in ("tiny", {"box": [1, 2, 30.5, 40]}, None):
        widgets.show("roi_align", state=state, language="ko", theme="dark", size="presenter")
    tiny, by_value, default = (bundle["text/html"] for bundle, _ in shown)
    assert "48.5, 49.0, 55.5, 56.0" in tiny.split("const present")[1]
    assert "[1, 2, 30.5, 40]" in by_value.split("const present")[1]
    assert len({tiny, by_value, default}) == 3
    assert "RoIAlign 실험실" in tiny


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"name": "roi_aling"}, "no widget 'roi_aling': it is one of self_test, "),
        ({"name": "roi_align", "state": "huge"}, "no state 'huge', expected one of jump, "),
        ({"name": "roi_align", "state": {"bx": [1]}}, "no 'bx' in its state, expected some of feature, "),
        ({"name": "roi_align", "state": {"box": "all"}}, "box is 'all', expected something like [21.0, "),
        ({"name": "roi_align", "state": {"box": [1, 2, 3]}}, "box is [1, 2, 3], expected something like [21.0, "),
        ({"name": "roi_align", "state": {"half_pixel": 1}}, "half_pixel is 1, expected something like True"),
        ({"name": "roi_align", "state": {"points": True}}, "points is True, expected something like 2"),
        (
            {"name": "roi_align", "state": {"feature": "edgy"}},
            "feature is 'edgy', expected one of ramp, ",
        ),
        ({"name": "roi_align", "state": {"box": [9, 2, 9, 4]}}, "[9, 2, 9, 4], expected boxes [x1, y1, x2, y2] with"),
        ({"name": "roi_align", "state": {"box": [1, 2, float("inf"), 4]}}, "inf, 4], expected something like [21.0, "),
        ({"name": "nms", "state": {"boxes": [[0, 0, 0, 1]] * 8}}, "expected boxes [x1, y1, x2, y2] with x1 < x2"),
        ({"name": "roi_align", "language": "de"}, "language is 'de', expected one of en, ko"),
        ({"name": "roi_align", "size": "huge"}, "size is 'huge', expected one of normal, presenter"),
        ({"name": "roi_align", "theme": "blue"}, "theme is 'blue', expected one of auto, light, dark"),
    ],
)
@pytest.mark.parametrize("host", ["show", "live"])
def test_mistakes_are_named(host, arguments, words, shown):
    if host == "live":
        pytest.importorskip("anywidget")
    with pytest.raises(ValueError) as error:
        getattr(widgets, host)(**arguments)
    assert words in str(error.value)
    assert not shown


@pytest.mark.skipif(importlib.util.find_spec("anywidget") is None, reason="anywidget is not installed")
@pytest.mark.parametrize("name", widgets.NAMES)
def test_live_has_the_state_as_attributes_and_hears_changes(name):
    widget = widgets.live(name)
    spec = read(name)
    assert {key: getattr(widget, key) for key in spec.state} == spec.state
    assert all(widget.trait_metadata(key, "sync") for key in (*spec.state, "language", "theme", "size", "data"))
    assert widget._esm == spec.module

    for key, value in spec.state.items():
        heard: list[dict] = []
        widget.observe(heard.append, key)
        if isinstance(value, bool):
            other: object = not value
        else:
            other = value[::-1] if isinstance(value, (list, str)) else value + 1
        widget.set_state({key: other})  # what the frontend's message calls
        assert [change["new"] for change in heard] == ([other] if other != value else [])
        assert getattr(widget, key) == other


def test_live_starts_in_the_state_that_is_asked_for():
    pytest.importorskip("anywidget")
    widget = widgets.live("roi_align", state="half", language="ko")
    assert (widget.half_pixel, widget.language) == (False, "ko")
    assert widgets.live("roi_align").half_pixel is True
