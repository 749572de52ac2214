"""The widgets' files keep the house rules: small, alone, without chance, and with a text in each language."""

from __future__ import annotations

import json
import re

import pytest

from mrcnn_lite.widgets.source import (
    HERE,
    LANGUAGES,
    NAMES,
    SHARED,
    WIDEST,
    Options,
    compact,
    read,
    state_of,
    text,
    to_json,
)

CLOCK = "const clock = () => performance.now();"  # of frame.js alone: a drag that takes long is drawn in parts
SCRIPTS = sorted(HERE.rglob("*.js"))
LARGEST = 30_000  # bytes of a script
FORBIDDEN = {
    "a string parsed as HTML or code": r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function",
    "chance or the clock": r"Math\.random|crypto\.|Date\b|performance\.",
    "the network": r"fetch\(|XMLHttpRequest|WebSocket|EventSource|import\(|https?://|sendBeacon",
    "an import": r"^\s*import\b",
    "storage": r"localStorage|sessionStorage|indexedDB|\.cookie",
    "an end tag": r"</",
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_small_and_alone(script):
    source = script.read_text(encoding="utf-8")
    assert len(source.encode()) < LARGEST
    assert max(map(len, source.splitlines())) <= 120
    assert source.startswith("// ")
    assert source.count(CLOCK) == (script.name == "frame.js")
    for what, pattern in FORBIDDEN.items():
        assert not re.search(pattern, source.replace(CLOCK, ""), re.MULTILINE), f"{script.name} uses {what}"


def test_every_widget_has_its_files_and_every_file_its_widget():
    for name in NAMES:
        assert all((HERE / f"{name}{suffix}").exists() for suffix in (".js", ".json", ".png")), name
    assert {path.stem for path in HERE.glob("*.js")} == set(NAMES)
    assert {path.stem for path in HERE.glob("*.png")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_a_text_for_every_key(name):
    texts = read(name).texts
    assert set(texts) == set(LANGUAGES)
    assert set(texts["en"]) == set(texts["ko"])
    for key, english in texts["en"].items():
        korean = texts["ko"][key]
        assert english and korean
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", korean)), key
    for key in ("title", "caption", "alt"):
        assert re.search("[가-힣]", texts["ko"][key]) and texts["en"][key].isascii() | (key != "alt")
    assert len(texts["en"]["alt"]) > 20
    presets = {f"{kind}.{preset}" for preset in read(name).presets for kind in ("preset", "hint")}
    assert presets | {"hint.start"} <= set(texts["en"])


@pytest.mark.parametrize("name", NAMES)
def test_every_text_that_a_script_asks_for_exists_and_every_text_is_asked_for(name):
    source = "".join(text(file) for file in [f"{name}.js", *(f"shared/{part}.js" for part in SHARED)])
    keys = set(read(name).texts["en"])
    asked = set(re.findall(r'ui\.t\("([^"]+)"', source))
    assert asked <= keys, f"no text for {asked - keys}"
    words = set(re.findall(r"[\w.]+", source)) | set(
        re.findall(r'"([^"]+)"', json.dumps([read(name).data, read(name).choices]))
    )
    before = tuple(re.findall(r"ui\.t\(`([^$`]+)\$\{", source))  # `hint.${name}`
    after = tuple(re.findall(r"ui\.t\(`\$\{\w+\}([^$`]+)`", source))  # `${which}_label`
    unused = {key for key in keys - words - {"caption", "alt"} if not key.startswith(before)}
    assert not {key for key in unused if not (after and key.endswith(after))}


@pytest.mark.parametrize("name", NAMES)
def test_prepared_states_change_keys_that_exist_to_values_of_their_kind(name):
    widget = read(name)
    assert widget.height["narrow"] > widget.height["wide"] > 10
    assert not set(widget.state) & {*Options._fields, "data"}, "the model would hold two values under one name"
    for preset in widget.presets:
        assert state_of(widget, preset) != widget.state
    assert state_of(widget, widget.state) == widget.state
    for key, default in widget.state.items():  # whatever is not chosen from a list is a number, a switch, or data
        assert isinstance(default, str) <= (key in widget.choices), key


def test_the_page_is_as_wide_as_the_styles_let_it():
    assert re.search(r"\.mw \{[^}]*max-width: (\d+)em", text("shared/style.css")).group(1) == str(WIDEST)


WORDS = ("ink", "quiet", "blue", "red", "green", "purple")  # what texts are written in; orange is for marks alone


def contrast(one: str, other: str) -> float:
    """WCAG's, of two colours as #rrggbb."""

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_stand_out_from_paper_and_panel(theme):
    """Words by 4.5, marks by 3, as WCAG 2.2 asks."""
    source = text("shared/frame.js").split(f"  {theme}: {{")[1].split("},")[0]
    colours = dict(re.findall(r'(\w+): "(#\w{6})"', source))
    for ground in ("paper", "panel"):
        for name in (*WORDS, "orange"):
            least = 4.5 if name in WORDS else 3
            assert contrast(colours[name], colours[ground]) >= least, f"{name} on {ground}"


def test_compact_keeps_what_runs():
    assert compact("// why\n  a = 1; // kept\n\n    b();\n") == "a = 1; // kept\nb();\n"
    assert compact("// a/*\n  a = 1;\n  /* why\n  why */\n b { /* kept */ }\n") == "a = 1;\nb { /* kept */ }\n"


def test_json_cannot_end_the_script_that_holds_it():
    assert to_json({"a": "</script>\u2028"}) == '{"a": "<\\/script>\\u2028"}'
