"""notebooks/: a notebook says what its text says, carries outputs and nothing that changes from run to run."""

import ast
import importlib
import itertools
import re
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

from mrcnn_lite.exercises.exercise import exercises
from mrcnn_lite.widgets import NAMES
from mrcnn_lite.widgets.gallery import QUESTIONS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))
import build  # noqa: E402
import links  # noqa: E402
import prose  # noqa: E402

TEXTS = build.SOURCES
CHAPTERS = [text for text in TEXTS if text.stem[0].isdigit()]  # the gallery is none


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_notebook_and_text_say_the_same(text):
    source = jupytext.read(text)
    notebook = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    cells = lambda book: [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in book.cells]  # noqa: E731
    assert cells(notebook) == cells(source)


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_outputs_are_there_small_and_clean(text):
    path = text.with_suffix(".ipynb")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert path.stat().st_size < 500 * 1024
    assert "widgets" not in notebook.metadata
    assert all(cell.execution_count for cell in code) and any(cell.outputs for cell in code)
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    assert not [output for cell in code for output in cell.outputs if output.get("name") == "stderr"]
    assert not [cell.metadata for cell in notebook.cells if "execution" in cell.metadata]
    assert not [output for cell in code for output in cell.outputs if build.WIDGET_VIEW in output.get("data", {})]


def test_of_widgets_the_picture_is_stored():
    notebook = nbformat.v4.new_notebook(metadata={"widgets": {"state": {}}})
    shown = {build.WIDGET_VIEW: {"model_id": "1"}, "image/png": "AAAA", "text/plain": "a panel"}
    outputs = [nbformat.v4.new_output("execute_result", shown, execution_count=1)]
    notebook.cells = [nbformat.v4.new_code_cell("panel", outputs=outputs)]
    cleaned = build.cleaned(notebook)
    assert "widgets" not in cleaned.metadata
    assert cleaned.cells[0].outputs[0].data == {"image/png": "AAAA", "text/plain": "a panel"}


def test_what_is_printed_in_pieces_is_stored_as_one():
    piece = lambda text: nbformat.v4.new_output("stream", text=text)  # noqa: E731
    picture = nbformat.v4.new_output("display_data", {"image/png": "AAAA"})
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell("f()", outputs=[piece("a\n"), piece("b\n"), picture, piece("c\n")])]
    kept = build.cleaned(notebook).cells[0].outputs
    assert [output.get("text", "picture") for output in kept] == ["a\nb\n", "picture", "c\n"]


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_every_picture_has_alt_text(text):
    notebook = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        for output, after in zip(outputs, [*outputs[1:], {}]):
            if "image/png" in output.get("data", {}):
                alt = output["metadata"].get("image/png", {}).get("alt", "")
                assert len(alt) > 20
                by_show = re.search(r"\bshow\(", cell.source) and "text/html" not in output.data
                if by_show and "picture-only" not in cell.metadata.get("tags", []):
                    assert alt in after.data["text/markdown"]  # for programs that don't hand alt on
        for alt in re.findall(r"!\[([^\]]*)\]", cell.source if cell.cell_type == "markdown" else ""):
            assert len(alt) > 20


def test_the_repository_is_that_of_pyproject():
    (address,) = re.findall(r'REPOSITORY = "([^"]+)"', build.SETUP.read_text(encoding="utf-8"))
    assert f'Repository = "{address}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", CHAPTERS, ids=lambda path: path.stem)
def test_the_frame_of_a_chapter(text):
    """Title, badge, what one can do, what one needs, the paper, times; the set-up cell; at the end what all have."""
    first, *cells = nbformat.read(text.with_suffix(".ipynb"), as_version=4).cells
    lines = first.source.splitlines()
    assert lines[0].startswith(f"# {text.stem[:2]} · ") and lines[2] == build.badge(text.stem)
    places = [first.source.find(words) for words in ("**After this notebook you can**", "**You need**", "**Time:**")]
    assert places == sorted(places) and places[0] > 0 and "**Paper" in first.source
    setup = [cell for cell in cells if cell.metadata.get("setup")]
    assert [cell.source for cell in setup] == [build.SETUP.read_text(encoding="utf-8").rstrip()]
    assert next(cell for cell in cells if cell.cell_type == "code") is setup[0]
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert f'quiz("{text.stem[:2]}")' in code and any("widgets.show(" in source for source in code)
    everything = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for part in ("\n## Recap\n", "**Glossary:**", "\n## What the paper"):
        assert everything.count(part) == 1, part
    assert re.search("[가-힣]", everything.split("**Glossary:**")[1])


@pytest.mark.parametrize("text", CHAPTERS, ids=lambda path: path.stem)
def test_the_minutes_of_the_exercises_are_their_sum(text):
    first = nbformat.read(text.with_suffix(".ipynb"), as_version=4).cells[0].source
    said = re.search(r"(\d+) (?:minutes )?for the exercises", first)
    if (ROOT / "mrcnn_lite" / "exercises" / f"ch{text.stem[:2]}.py").exists():
        chapter = importlib.import_module(f"mrcnn_lite.exercises.ch{text.stem[:2]}")
        assert said and int(said.group(1)) == sum(found.minutes for found in exercises(chapter))
    else:
        assert not said


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_headings_are_in_order(text):
    """One title, and no level is left out on the way down."""
    cells = nbformat.read(text.with_suffix(".ipynb"), as_version=4).cells
    markdown = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    levels = [len(marks) for marks in re.findall(r"^(#+) ", re.sub(r"```.*?```", "", markdown, flags=re.S), re.M)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_no_line_breaks_before_a_number_that_ends_a_sentence(text):
    """JupyterLab takes a line that starts with "80. " for the eightieth item of a list."""
    cells = nbformat.read(text.with_suffix(".ipynb"), as_version=4).cells
    markdown = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert re.findall(r"^\s*\d{2,}\. .*$", markdown, re.M) == []


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_every_figure_in_the_text_is_printed_or_has_a_source(text):
    notebook = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    assert prose.unsupported(notebook, text.read_text(encoding="utf-8")) == []


def test_the_finder_finds_figures_without_a_source():
    book = nbformat.v4.new_notebook()
    said = [
        "It gains 3.7 points, 12 % more.\n\nPrinted: 0.25 and 40 %.\n\nThe paper: 24.8 (Table 2b).",
        "Not of figures: $x + 0.9$, `0.8`, section 3.1, arXiv 1703.06870, torch 2.6, 7 × 7.",
        "| a | b |\n| --- | --- |\n| sourced (Table 2c) | 1.1 |\n| without | 2.2 |\n- an item, 3.3\n- 4.4 (section 3)",
    ]
    book.cells = [nbformat.v4.new_markdown_cell(one) for one in said]
    stream = nbformat.v4.new_output("stream", text="share 0.25, 40%, 12.5\n")
    book.cells.append(nbformat.v4.new_code_cell("print()", outputs=[stream]))
    text = "# %% [markdown]\n" + "\n\n# %% [markdown]\n".join(
        "\n".join(f"# {line}".rstrip() for line in one.splitlines()) for one in said
    )
    found = prose.unsupported(book, text)
    assert [one.figure for one in found] == ["3.7", "12 %", "2.2", "3.3"]
    lines = text.splitlines()
    assert all(one.figure in lines[one.line - 1] for one in found)


def test_internal_links_lead_somewhere():
    assert links.broken_inside(links.texts()) == []


def test_the_link_check_sees_broken_links_and_says_offline(tmp_path, monkeypatch, capsys):
    (tmp_path / "there.md").write_text("# A *title*, here\n")
    said = "[a](there.md) [b](gone.md) [c](there.md#a-title-here) [d](there.md#other) [e](https://example.org/x#y)"
    found = {tmp_path / "a.md": said, tmp_path / "there.md": (tmp_path / "there.md").read_text()}
    broken = [f"a.md: {link}" for link in ("gone.md: there is no such file", "there.md#other: no such heading")]
    assert links.broken_inside(found) == broken
    assert links.external(found) == {"https://example.org/x": "a.md"}

    def no_network(*_, **__):
        raise links.urllib.error.URLError("no route to host")

    monkeypatch.setattr(links.urllib.request, "urlopen", no_network)
    monkeypatch.setattr(links, "texts", lambda: {tmp_path / "there.md": "[e](https://example.org)"})
    assert links.main([]) == 2
    assert "There is no network here: none of 1 external links" in capsys.readouterr().out


def test_a_light_build_keeps_outputs_and_refuses_changed_code(monkeypatch):
    new, old = nbformat.v4.new_notebook(), nbformat.v4.new_notebook()
    kept = nbformat.v4.new_output("stream", text="7\n")
    old.cells = [nbformat.v4.new_code_cell("print(7)", execution_count=1, outputs=[kept])]
    new.cells = [
        nbformat.v4.new_markdown_cell("new"),
        nbformat.v4.new_code_cell('quiz("02")'),
        nbformat.v4.new_code_cell("print(7)"),
    ]

    def pretend(small):
        assert [cell.source for cell in small.cells] == [build.LIGHT_IMPORTS, 'quiz("02")']
        small.cells[1].outputs = [nbformat.v4.new_output("display_data", data={"text/plain": "questions"})]
        return small

    monkeypatch.setattr(build, "run", pretend)
    cells = build.renew_light_cells(new, old).cells
    assert [cell.execution_count for cell in cells[1:]] == [1, 2]
    assert cells[1].outputs[0].data == {"text/plain": "questions"} and cells[2].outputs == [kept]
    new.cells[2].source = "print(8)"
    with pytest.raises(SystemExit, match="build without --light"):
        build.renew_light_cells(new, old)


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_exercises_are_those_of_the_package_and_not_attempted(text):
    assert build.as_text(build.read(text)) == text.read_text(encoding="utf-8")
    notebook = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and "exercise" in cell.metadata:
            said = "".join(output.get("text", "") for output in cell.outputs)
            assert said.startswith(f"{cell.metadata['exercise']}: not attempted.")


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_later_cells_do_not_call_the_students_functions(text):
    """A name that an exercise defines is not imported before: what follows would get the student's under that name."""
    cells = jupytext.read(text).cells
    defined = {cell.metadata["exercise"] for cell in cells if "exercise" in cell.metadata}
    for cell in (cell for cell in cells if cell.cell_type == "code" and "exercise" not in cell.metadata):
        used = {node.id for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)}
        assert not used & defined, f"{text.name} uses {used & defined} of the student's"


def test_the_gallery_shows_every_widget_as_a_picture_with_its_question():
    notebook = nbformat.read(ROOT / "notebooks" / "gallery.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and "show(" in cell.source]
    shown = [re.findall(r'(?:ask|show)\("(\w+)"', cell.source) for cell in cells]
    assert all(asked == name for asked, name in shown)
    assert {name for _, name in shown} == set(NAMES)
    for cell, (name, _) in zip(cells, shown):
        asked, picture = (output.data for output in cell.outputs)
        assert QUESTIONS[name] in asked["text/markdown"]
        assert set(picture) == {"image/png", "text/plain"}
