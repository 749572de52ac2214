"""What every panel is: controls, a picture and a line of words, which follow each other.

A panel is plain ipywidgets and nothing else, in what versions 7.7 (Colab) and 8 have in common. Where they can't be
shown (no kernel, no extension, a page on the web) its picture and its words are.
Read next: `proposals_panel.py`, the shortest.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
from PIL import Image

from ..visualize import small_png, to_pixels

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"  # by this type a frontend knows a widget
WIDE = {"description_width": "170px"}
ROW = {"width": "560px"}


class Panel:
    """`draw(**values)` is called with each control's value, at the start and whenever one moves; it returns the picture
    and the words. What it raises stands in the panel instead, since an error in a callback is otherwise lost, and is
    kept as `error` (else None): `raise panel.error` shows where it came from.

    controls: an ipywidgets control for each argument of `draw`. alt: what the picture shows, for who can't see it.
    others: widgets to stand below the controls without being arguments, as buttons.
    """

    def __init__(
        self,
        draw: Callable[..., tuple[Any, str]],
        controls: Mapping[str, Any],
        alt: str,
        others: Sequence[Any] = (),
    ) -> None:
        self.draw, self.controls, self.alt = draw, dict(controls), alt
        self.words = ""
        self.error: Exception | None = None
        # WHY align_self: a VBox stretches what it holds; a square as wide as the page pushes its controls out of sight.
        self.picture = ipywidgets.Image(format="png", layout={"align_self": "flex-start"})
        self.text = ipywidgets.HTML()
        self.widget = ipywidgets.VBox([*self.controls.values(), *others, self.picture, self.text])
        for control in self.controls.values():
            control.observe(lambda change: self.update(), names="value")
        self.update()

    def values(self) -> dict[str, Any]:
        """What the controls stand at, by name."""
        return {name: control.value for name, control in self.controls.items()}

    def update(self) -> None:
        """Draw what the controls stand at."""
        try:
            picture, words = self.draw(**self.values())
            self.picture.value = png(picture)
        except Exception as error:  # WHY all: whatever it is, nobody else would hear of it
            self.fail(error)
        else:
            self.error = None
            self.say(words)

    def fail(self, error: Exception) -> None:
        """Say what went wrong, and keep it."""
        self.error = error
        self.say(f"{type(error).__name__}: {error}")

    def say(self, words: str) -> None:
        """Put these words under the picture, and below them what it shows: an ipywidgets.Image has no `alt`."""
        self.words = words
        shown = f"<br><small>{html.escape(self.alt)}</small>" if self.picture.value else ""
        self.text.value = f'<div style="max-width: 860px">{html.escape(words)}{shown}</div>'

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and for those who can't show it the picture and the words; Jupyter picks what it can."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        live = self.picture.value  # none where the first picture could not be drawn
        stored = small_png(Image.open(io.BytesIO(live))) if live else b""
        picture = base64.b64encode(stored).decode()  # as a message holds it: not every kernel turns bytes
        data = {WIDGET_VIEW: view, "image/png": picture, "text/plain": f"{self.alt} {self.words}"}
        return data, {"image/png": {"alt": self.alt}}


def enlarged(image: Any, longest: int = 448) -> tuple[np.ndarray, float]:
    """A picture as a canvas to draw on, float32 [H, W, 3], its longer side so many pixels; and its scale."""
    pixels = to_pixels(image)
    scale = longest / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC), dtype=np.float32), scale


def png(picture: Any) -> bytes:
    """The PNG file of uint8 [H, W, 3] or of a matplotlib Figure, which needs neither pyplot nor a window for it."""
    file = io.BytesIO()
    if hasattr(picture, "savefig"):
        picture.savefig(file, format="png", dpi=90)
    else:
        Image.fromarray(np.asarray(picture)).save(file, format="PNG")
    return file.getvalue()
