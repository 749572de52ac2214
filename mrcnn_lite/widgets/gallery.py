"""For instructors: every widget in presenter size, its prepared states, and what to ask the room.

    python -m mrcnn_lite.widgets.gallery --output gallery.html      one page that needs neither a network nor a kernel

Its address may say a state, to be prepared at home and opened in class: gallery.html#roi_align/tiny, or
gallery.html#roi_align/{"side":7}. In a notebook: `ask("roi_align")`, then `show("roi_align", size="presenter")`, as
in notebooks/gallery.ipynb. Read next: `page.py`.
"""

from __future__ import annotations

import argparse
import html
from collections.abc import Sequence
from pathlib import Path

from ..files import atomic
from .page import figure
from .source import NAMES, THEMES, Options, read, state_of, to_json

# One entry for each of NAMES; what the room should see for itself stands last.
QUESTIONS = {
    "self_test": (
        "Everybody, on your own machine: does the dot follow your mouse, and your arrow keys? Hands up who sees a "
        "grey picture. Nobody goes on before this works: the caption under the picture says what to do where it "
        "doesn't."
    ),
    "tasks": (
        "How many discs are there, and which of the four answers could tell you? Vote first, then drag two discs "
        "together. Then ask for a picture in which even the count of connected parts is right: what must not happen "
        "in it? The room should arrive at: a class for each pixel can't tell two touching objects apart, nor that "
        "two parts are one object."
    ),
    "anchors": (
        "Where will you put this object so that no anchor learns it? Let somebody call out positions, and drag it "
        "there. Then switch the best-anchor rule off: who is missed now? The room should arrive at: small, thin and "
        "off-grid objects depend on that one rule, and it gives them few and bad examples."
    ),
    "nms": (
        "Which boxes will be left? Everybody writes the letters down before you press the arrow. Then open the hug "
        "and look for a threshold that keeps both people and no copy; does the same one do in the first scene? The "
        "room should arrive at: NMS knows overlap only, and how much of it means a copy depends on the scene."
    ),
    "roi_pool": (
        "I move the box by half a pixel: by how much does what the network reads move? Take bets in image pixels, "
        "then open Half a cell and press the left arrow key. Ask next why the mask suffers and the class does not. "
        "The room should arrive at: a jump of a whole cell, in a task that is judged by the pixel."
    ),
    "roi_align": (
        "Which is the change that matters: not rounding, or interpolating? Cover the right column: does RoIWarp, "
        "which interpolates as well, come close to the exact mean? Then uncover RoIAlign. Ask last what more points "
        "a bin buy. The room should arrive at: RoIWarp still rounds the box, and alignment is what helps."
    ),
    "mask_loss": (
        "The target belongs to class 1. Which planes get a gradient with a sigmoid, which with a softmax? Vote plane "
        "by plane, then switch. Ask where an exact zero comes from, not a small number. The room should arrive at: "
        "with a sigmoid the box head chooses the class, and the masks need not compete."
    ),
    "architecture": (
        "Where are most of the parameters, and where most of the multiply-adds? Two votes, they need not agree; then "
        "switch what the bars show. Compare C4 with FPN. The room should arrive at: one fully connected layer holds "
        "12.8 million parameters, and C4 pays for res5 once for every RoI."
    ),
    "precision_recall": (
        "I move one wrong detection from a score of 0.25 to 0.99: does AP change, and the number of hits? And if I "
        "raise the score line? Let the room decide before each drag. It should arrive at: AP asks for the order of "
        "all detections and for no threshold; being sure and wrong costs most."
    ),
    "keypoints": (
        "Why a softmax over all places here, when masks were better off without? What is the loss of a network that "
        "knows nothing? Work out ln of the number of cells, then open No idea. The room should arrive at: a joint is "
        "in one place, so the places do compete; and coarse cells bound what any network can reach."
    ),
    "xray": (
        "Here is a detection. Who made this edge: anchor, RPN, box head or mask head? Drag the marker slowly and "
        "stop whenever somebody objects. Ask which step knows the class for the first time. The room should arrive "
        "at: each step corrects its predecessor, and the mask sees the refined box only."
    ),
    "training_replay": (
        "What will it learn first: where things are, what they are, or their outline? Write down an order, then drag "
        "through the training. Ask at which moment you would have stopped, and what you would have lost. The room "
        "should compare its order with what the recorded pictures and losses show."
    ),
}

STYLE = """
:root { color-scheme: light dark; font: 22px/1.45 system-ui, "Segoe UI", "Noto Sans KR", sans-serif; }
body { max-width: 1580px; margin: auto; padding: .5em; }
section { margin: 0 0 3em; scroll-margin: .5em; }
nav a, .states a { margin-right: .8em; white-space: nowrap; }
a { padding: .1em 0; color: light-dark(#00569b, #8cc8f5); }
a[aria-current] { font-weight: 700; }
figcaption { font-size: .8em; }
"""

# A frame is sandboxed and can't read the page's address: the page hands it the state through its name (see HOST).
SCRIPT = """
const kind = (value) => (Array.isArray(value) ? value.length : typeof value);
const alike = (value, key, { state, choices }) => Object.hasOwn(state, key) && kind(value) === kind(state[key]) &&
  (choices[key] ?? [value]).includes(value);
function turn() {
  const address = decodeURIComponent(location.hash.slice(1));
  const [name, wanted] = [address.split("/")[0], address.slice(address.split("/")[0].length + 1)];
  if (!Object.hasOwn(WIDGETS, name)) return;
  const widget = WIDGETS[name];
  const section = document.getElementById(name);
  let patch;
  try {
    patch = wanted.startsWith("{") ? JSON.parse(wanted) : wanted ? widget.presets[wanted] : {};
  } catch {}
  const known = patch && Object.entries(patch).every(([key, value]) => alike(value, key, widget));
  section.querySelector("[role=status]").textContent = known ? "" : `${name} has no state ${wanted}`;
  for (const link of document.querySelectorAll(".states a")) link.removeAttribute("aria-current");
  section.scrollIntoView();
  if (!known) return;
  section.querySelector(`[href="#${name}${wanted && !wanted.startsWith("{") ? "/" + wanted : ""}"]`)
    ?.setAttribute("aria-current", "true");
  const frame = section.querySelector("iframe");
  const fresh = frame.cloneNode(); // a new one: browsers read a frame's name once
  fresh.name = JSON.stringify(patch);
  frame.replaceWith(fresh);
}
addEventListener("hashchange", turn);
document.addEventListener("click", (event) => { // pressed again: back to this state
  if (event.target.hash && event.target.hash === location.hash) turn();
});
turn();
"""


def ask(name: str) -> None:
    """Into a notebook's output: the widget's title, what to ask the room, and the prepared states by name.

    Raises ValueError for a name that is not in `NAMES`.
    """
    from IPython.display import Markdown, display  # WHY here: only notebooks have it

    texts = read(name).texts["en"]
    states = "".join(
        f"- `state={preset!r}`: {texts[f'preset.{preset}']}. {texts[f'hint.{preset}']}\n"
        for preset in read(name).presets
    )
    display(Markdown(f"## {texts['title']}\n\n**Ask the room.** {QUESTIONS[name]}\n\n{states}"))


def page(names: Sequence[str] = NAMES, options: Options = Options(size="presenter")) -> str:  # noqa: B008  a constant
    """The whole gallery as HTML: a section for each widget, everything that it needs inside."""
    known = {name: {key: getattr(read(name), key) for key in ("state", "choices", "presets")} for name in names}
    links = " ".join(f'<a href="#{name}">{html.escape(read(name).texts["en"]["title"])}</a>' for name in names)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Gallery of widgets</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style><main><h1>Gallery of widgets</h1>'
        f"<nav>{links}</nav>{''.join(_section(name, options) for name in names)}</main>"
        f'<script type="module">const WIDGETS = {to_json(known)};{SCRIPT}</script></html>\n'
    )


def _section(name: str, options: Options) -> str:
    widget = read(name)
    texts = widget.texts["en"]
    states = {"": "As it starts"} | {f"/{preset}": texts[f"preset.{preset}"] for preset in widget.presets}
    links = "".join(f'<a href="#{name}{end}">{html.escape(title)}</a> ' for end, title in states.items())
    return (
        f'<section id="{name}"><h2>{html.escape(texts["title"])}</h2><p>{html.escape(QUESTIONS[name])}</p>'
        f'<p class="states">{links}<span role="status"></span></p>'
        f"{figure(widget, state_of(widget, None), options)}</section>"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("gallery.html"), help="default: %(default)s")
    parser.add_argument("--theme", choices=THEMES, default="auto", help="of the widgets; default: as the system")
    parser.add_argument("--korean", action="store_true", help="the widgets in Korean; each has a button for it anyway")
    options = parser.parse_args(arguments)
    language = "ko" if options.korean else "en"
    try:
        with atomic(options.output) as file:
            file.write_text(page(NAMES, Options(language, options.theme, "presenter")), encoding="utf-8")
    except OSError as error:
        parser.error(f"{options.output}: {error.strerror}")
    print(f"{options.output}: {len(NAMES)} widgets, {options.output.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
