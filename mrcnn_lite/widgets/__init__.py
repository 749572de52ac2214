"""Widgets to drag: one idea each, its numbers computed in the page itself, so that they work without a kernel.

    from mrcnn_lite.widgets import live, show
    show("roi_align")                        # anywhere: JupyterLab, Colab, slides, a static page without a network
    show("roi_align", state="tiny")          # a prepared state by name, or {"box": [37, 44, 121, 135]}
    w = live("roi_align"); w                 # needs a kernel: w.box is what the student has dragged

A widget is `<name>.js` (what it shows), `<name>.json` (its state, prepared states and texts in English and Korean),
`<name>.png` (what is seen where no JavaScript runs). `shared/` is what all have in common, `arithmetic/` the twins of
the package's operations, which a test holds equal to them. Read next: `source.py`, then `page.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .page import figure, picture
from .source import NAMES, Options, read, state_of

__all__ = ["NAMES", "live", "show"]

State = str | Mapping[str, Any] | None


def show(name: str, *, state: State = None, language: str = "en", theme: str = "auto", size: str = "normal",
         data: Any = None) -> None:  # fmt: skip
    """Put a widget into a notebook's output: a picture and its caption, and over them the widget in a frame of its own.

    Args:
        name: one of `NAMES`.
        state: what it starts with: the name of a prepared state, or values that replace some of the default ones.
        language: "en" or "ko". theme: "auto" (as the system), "light" or "dark". size: "normal" or "presenter".
        data: recorded data instead of those that the widget brings (see `assets/widgets.py` for their form).
    ValueError for an unknown name, key, value or option: it says what was found and what was expected.
    """
    from IPython.display import display  # WHY here: only notebooks have it

    widget, options = read(name), Options(language, theme, size).checked()
    texts = widget.texts[language]
    display(
        {
            "text/html": figure(widget, state_of(widget, state), options, data),
            "image/png": picture(widget),
            "text/plain": f"{texts['title']}. {texts['caption']}",
        },
        raw=True,
        metadata={"image/png": {"alt": texts["alt"]}},
    )


def live(name: str, *, state: State = None, language: str = "en", theme: str = "auto", size: str = "normal",
         data: Any = None) -> Any:  # fmt: skip
    """The same widget with Python listening: every key of its state is an attribute that follows the student, and that
    `observe` can watch. Arguments and errors as in `show`. Needs a kernel, and anywidget in the notebook's frontend."""
    widget, options = read(name), Options(language, theme, size).checked()
    data = widget.data if data is None else data
    return _live_class(name)(**state_of(widget, state), **options._asdict(), data=data)


@lru_cache
def _live_class(name: str) -> type:
    import anywidget  # WHY here: an extra of the notebooks, which the package does without
    import traitlets

    kinds = {bool: traitlets.Bool, int: traitlets.Int, float: traitlets.Float, str: traitlets.Unicode}
    widget = read(name)
    traits: dict[str, Any] = {key: kinds.get(type(value), traitlets.List)() for key, value in widget.state.items()}
    traits |= {option: traitlets.Unicode() for option in Options._fields}
    traits["data"] = traitlets.Any()
    synced = {key: trait.tag(sync=True) for key, trait in traits.items()}
    return type(f"Live{name.title().replace('_', '')}", (anywidget.AnyWidget,), {"_esm": widget.module, **synced})
