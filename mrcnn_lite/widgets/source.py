"""A widget's files, read and joined: one JavaScript module without imports, and a state that was checked.

The same module runs in both hosts, a frame in `page.py` and anywidget in `__init__.py`; both call its `render`.
Read next: `page.py`, then `shared/frame.js`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
NAMES = (  # in the order of the course
    *("self_test", "tasks", "anchors", "nms", "roi_pool", "roi_align", "mask_loss", "architecture"),
    *("precision_recall", "training_replay", "keypoints", "xray"),
)
LANGUAGES = ("en", "ko")
THEMES = ("auto", "light", "dark")
SIZES = {"normal": 15, "presenter": 24}  # pixels of one em
NARROW = 45  # ems: in less width the panels stand under each other
WIDEST = 64  # ems: as style.css says
SHARED = ("frame", "controls", "drawing", "dragging")


class Options(NamedTuple):
    """How a widget looks, beside what it shows."""

    language: str = "en"
    theme: str = "auto"
    size: str = "normal"

    def checked(self) -> Options:
        for field, allowed in (("language", LANGUAGES), ("theme", THEMES), ("size", tuple(SIZES))):
            if getattr(self, field) not in allowed:
                raise ValueError(f"{field} is {getattr(self, field)!r}, expected one of {', '.join(allowed)}")
        return self


@dataclass(frozen=True)
class Widget:
    """What `<name>.json` says, and the joined module."""

    name: str
    state: dict[str, Any]  # every key with its default value
    choices: dict[str, list[Any]]  # of some keys the values they may have
    boxes: list[str]  # the keys that hold a box [x1, y1, x2, y2], or a list of them
    presets: dict[str, dict[str, Any]]  # prepared states: what differs from the default
    texts: dict[str, dict[str, str]]  # by language, then by key; "title", "caption" and "alt" always
    height: dict[str, float]  # ems, "wide" and "narrow"
    data: Any  # recorded data, or None
    module: str


@lru_cache
def read(name: str) -> Widget:
    """The widget of a name. ValueError for a name that is not in `NAMES`."""
    if name not in NAMES:
        raise ValueError(f"there is no widget {name!r}: it is one of {', '.join(NAMES)}")
    spec = json.loads(text(f"{name}.json"))
    shared = json.loads(text("shared/texts.json"))
    spec["texts"] = {language: shared[language] | spec["texts"][language] for language in LANGUAGES}
    told = {key: spec[key] for key in ("state", "choices", "presets", "texts")} | {"sizes": SIZES, "narrow": NARROW}
    scripts = [*(f"shared/{part}.js" for part in SHARED), *(f"arithmetic/{part}.js" for part in spec["arithmetic"])]
    constants = f"const SPEC = {to_json(told)};\nconst STYLE = {to_json(compact(text('shared/style.css')))};\n"
    module = constants + "".join(compact(text(script)) for script in [*scripts, f"{name}.js"])
    data = json.loads(text(f"{name}_data.json")) if (HERE / f"{name}_data.json").exists() else None
    del spec["arithmetic"]
    return Widget(name=name, **spec, data=data, module=module)


def state_of(widget: Widget, state: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """The default state with `state` put over it: a prepared one by name, values by key, or nothing.

    Raises ValueError for what the widget could not show: an unknown name or key, a value of another kind or length, not
    finite, not among the choices, or a box without an area.
    """
    if isinstance(state, str):
        if state not in widget.presets:
            raise ValueError(f"{widget.name} has no state {state!r}, expected one of {', '.join(widget.presets)}")
        state = widget.presets[state]
    state = dict(state or {})
    for key, value in state.items():
        if key not in widget.state:
            raise ValueError(f"{widget.name} has no {key!r} in its state, expected some of {', '.join(widget.state)}")
        found = f"{widget.name}: {key} is {value!r}"
        if not _alike(value, widget.state[key]):
            raise ValueError(f"{found}, expected something like {widget.state[key]!r}")
        if key in widget.choices and value not in widget.choices[key]:
            raise ValueError(f"{found}, expected one of {', '.join(map(str, widget.choices[key]))}")
        if key in widget.boxes:
            for x1, y1, x2, y2 in value if isinstance(value[0], (list, tuple)) else [value]:
                if not (x1 < x2 and y1 < y2):
                    raise ValueError(f"{found}, expected boxes [x1, y1, x2, y2] with x1 < x2 and y1 < y2")
    return {**widget.state, **state}


def _alike(value: Any, default: Any) -> bool:
    """Whether a value can stand where the default stands: the same type and length, numbers finite."""
    if isinstance(default, list):
        return isinstance(value, (list, tuple)) and len(value) == len(default) and all(map(_alike, value, default))
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return type(value) is type(default)


def text(file: str) -> str:
    return (HERE / file).read_text(encoding="utf-8")


def to_json(value: Any) -> str:
    """JSON that may stand inside <script>: "</" would end it, and U+2028 was a line's end in older JavaScript."""
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/").replace("\u2028", "\\u2028")


def compact(source: str) -> str:
    """Without indentation and whole lines of comment: a third of the bytes that each notebook would carry."""
    source = re.sub(r"^\s*/\*.*?\*/$", "", source, flags=re.DOTALL | re.MULTILINE)  # CSS's, also over several lines
    lines = (line.strip() for line in source.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))
