"""A widget as HTML: a picture and its caption, and over the picture a frame that holds the whole widget.

Where scripts may run, the frame paints over the picture; where not, or where the frame is thrown away (an untrusted
notebook, a mail, GitHub), the picture and the caption stay. The frame is sandboxed and asks nothing of the network, of
the page around it, or of a kernel. Read next: `shared/frame.js`.
"""

from __future__ import annotations

import base64
import html
from typing import Any

from .source import HERE, NARROW, SIZES, WIDEST, Options, Widget, to_json

# Stands in for anywidget's model: `render` cannot tell the two apart. A frame's name may hold parts of a
# state, which is how the page of gallery.py hands one in; a frame without a name starts as Python said.
HOST = """
const present = { ...START, ...JSON.parse(window.name || "{}") }, listeners = {};
const model = {
get: (key) => present[key],
set: (key, value) => { present[key] = value; for (const f of listeners["change:" + key] ?? []) f(); },
on: (event, f) => (listeners[event] ??= []).push(f),
off: (event, f) => (listeners[event] = (listeners[event] ?? []).filter((g) => g !== f)),
save_changes: () => {},
};
render({ model, el: document.getElementById("widget") });
"""


def document(widget: Widget, state: dict[str, Any], options: Options, data: Any = None) -> str:
    """A complete page with nothing but the widget: what the frame holds."""
    start = to_json({**state, **options._asdict(), "data": widget.data if data is None else data})
    script = (widget.module + HOST.replace("START", start)).replace("</", "<\\/")
    return (
        f'<!doctype html><html lang="{options.language}"><meta charset="utf-8">'
        f"<title>{html.escape(widget.texts[options.language]['title'])}</title>"
        '<meta name="viewport" content="width=device-width"><style>html,body{margin:0}</style>'
        f'<main id="widget"></main><script type="module">{script}</script></html>'
    )


def figure(widget: Widget, state: dict[str, Any], options: Options, data: Any = None) -> str:
    """The picture, the caption, and the frame over the picture."""
    texts, em = widget.texts[options.language], SIZES[options.size]
    wide, narrow = (round(widget.height[width] * em) for width in ("wide", "narrow"))
    kind = f"mrcnn-{widget.name.replace('_', '-')}-{options.size}"
    style = (
        f".{kind}{{container-type:inline-size;margin:0;max-width:{WIDEST * em}px}}"
        f".{kind}:lang(ko){{word-break:keep-all}}.{kind}>div{{position:relative;height:{wide}px}}"
        f"@container(max-width:{NARROW * em - 1}px){{.{kind}>div{{height:{narrow}px}}}}"
        f".{kind} img{{max-width:100%;max-height:100%}}"
        f".{kind} iframe{{position:absolute;inset:0;width:100%;height:100%;border:0}}"
    )
    source = "data:image/png;base64," + base64.b64encode(picture(widget)).decode()
    return (
        f'<figure class="{kind}" lang="{options.language}"><style>{style}</style><div>'
        f'<img alt="{html.escape(texts["alt"])}" src="{source}">'
        f'<iframe title="{html.escape(texts["title"])}" sandbox="allow-scripts" '
        f'srcdoc="{html.escape(document(widget, state, options, data))}"></iframe></div>'
        f"<figcaption>{html.escape(texts['caption'])}</figcaption></figure>"
    )


def picture(widget: Widget) -> bytes:
    """The PNG that stands in for the widget; `assets/widgets.py` takes it."""
    return (HERE / f"{widget.name}.png").read_bytes()
