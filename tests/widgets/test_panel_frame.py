"""A panel redraws when a control moves, says what goes wrong, and is a picture where widgets can't be shown."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

ipywidgets = pytest.importorskip("ipywidgets")

from mrcnn_lite.widgets import panels  # noqa: E402
from mrcnn_lite.widgets.panel_frame import WIDGET_VIEW, Panel, enlarged, png  # noqa: E402


def grey(level: int) -> tuple[np.ndarray, str]:
    if level > 200:
        raise ValueError(f"level {level} is <too bright>")
    return np.full((4, 6, 3), level, np.uint8), f"level <{level}>"


@pytest.fixture
def panel() -> Panel:
    return Panel(grey, {"level": ipywidgets.IntSlider(value=10, max=255)}, "A grey rectangle, for the test.")


def pixel(data: bytes) -> int:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[0, 0, 0]


def test_picture_and_words_follow_the_control(panel):
    assert pixel(panel.picture.value) == 10 and panel.words == "level <10>"
    panel.controls["level"].value = 99
    assert pixel(panel.picture.value) == 99 and panel.words == "level <99>"
    assert "level &lt;99&gt;" in panel.text.value  # what is shown as HTML is text
    assert panel.alt in panel.text.value


def test_an_error_is_said_and_kept_and_the_next_move_mends_it(panel):
    panel.controls["level"].value = 201
    assert panel.words == "ValueError: level 201 is <too bright>" and isinstance(panel.error, ValueError)
    assert "&lt;too bright&gt;" in panel.text.value
    assert pixel(panel.picture.value) == 10
    panel.controls["level"].value = 20
    assert panel.words == "level <20>" and panel.error is None


def test_every_frontend_finds_something_it_can_show(panel):
    data, metadata = panel._repr_mimebundle_()
    assert data[WIDGET_VIEW]["model_id"] == panel.widget.model_id
    assert pixel(base64.b64decode(data["image/png"])) == 10 and metadata["image/png"]["alt"] == panel.alt
    assert data["text/plain"] == f"{panel.alt} level <10>"


def test_what_a_notebook_stores_is_small_and_the_live_picture_exact():
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    panel = Panel(lambda: (noise, "noise"), {}, "Noise, for the test.")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(panel.picture.value))), noise)
    stored = base64.b64decode(panel._repr_mimebundle_()[0]["image/png"])
    assert len(stored) < len(panel.picture.value) / 2 and Image.open(io.BytesIO(stored)).size == (80, 60)


def test_a_panel_whose_first_picture_fails_still_shows_its_words():
    def broken():
        raise ValueError("nothing to draw")

    data, _ = Panel(broken, {}, "Nothing, for the test.")._repr_mimebundle_()
    assert data["image/png"] == "" and "nothing to draw" in data["text/plain"]


def test_ipython_takes_the_bundle_as_it_is(panel):
    """The formatter of a notebook: its versions differ in what they accept."""
    formatter = pytest.importorskip("IPython.core.formatters").DisplayFormatter()
    data, metadata = formatter.format(panel)
    assert {WIDGET_VIEW, "image/png", "text/plain"} <= set(data)
    assert metadata["image/png"]["alt"] == panel.alt


def test_a_picture_is_enlarged_and_a_figure_drawn():
    canvas, scale = enlarged(np.zeros((20, 40, 3), np.uint8), longest=100)
    assert canvas.shape == (50, 100, 3) and canvas.dtype == np.float32 and scale == 2.5
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(1, 2))
    assert Image.open(io.BytesIO(png(figure))).size == (90, 180)


def test_the_three_panels_are_in_one_place():
    assert sorted(panels.__all__) == ["proposals_panel", "roi_features_panel", "training_panel"]
    assert all(callable(getattr(panels, name)) for name in panels.__all__)
