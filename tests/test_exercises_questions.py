"""The questions at the end of each chapter: every file is sound, what is shown marks itself in a real browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mrcnn_lite.exercises import questions as module
from mrcnn_lite.exercises import quiz
from mrcnn_lite.exercises.questions import chapters, document, page, plain, questions, readable

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "widgets"))
from widget_hosts import WAIT, chromium  # noqa: E402

CHAPTERS = chapters()
LARGEST = 60_000  # bytes of one output in a notebook


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_file_is_sound(chapter):
    """Five questions, three or four answers, one right, a word on each: `questions` refuses everything else."""
    found = questions(chapter)
    assert len(found) == 5
    for question in found:
        assert len(question.text) > 20 and all(len(answer.feedback) > 10 for answer in question.answers)
        assert "$" not in plain([question]) and plain([question]).count("`") % 2 == 0  # inline code is all there is


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_right_answer_is_not_always_in_one_place(chapter):
    places = [[answer.correct for answer in question.answers].index(True) for question in questions(chapter)]
    assert len(set(places)) > 1


def test_every_chapter_with_a_notebook_has_questions():
    numbers = {path.name[:2] for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py")}
    assert numbers <= set(CHAPTERS)


def sound():
    answers = [{"answer": text, "correct": text == "a", "feedback": f"since {text}"} for text in "abc"]
    return [{"question": "Which?", "type": "multiple_choice", "answers": [dict(a) for a in answers]} for _ in range(5)]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda q: q.pop(), "expected a list of 5"),
        (lambda q: q[1].update(question=" "), 'question 2: expected {"question"'),
        (lambda q: q[0].update(type="numeric"), "question 1: expected"),
        (lambda q: q[0]["answers"].pop(), "three or four answers"),
        (lambda q: q[2]["answers"][1].update(correct=True), "question 3: expected exactly one correct"),
        (lambda q: q[2]["answers"][0].update(correct=False), "question 3: expected exactly one correct"),
        (lambda q: q[0]["answers"][0].update(correct=1), "correct is true or false"),
        (lambda q: q[4]["answers"][2].update(feedback=""), "question 5: an answer or its feedback is empty"),
        (lambda q: q[0]["answers"][1].update(answer="a"), "two answers are the same"),
    ],
)
def test_a_file_that_is_not_sound_is_refused_with_its_place(spoil, words, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    entries = sound()
    (tmp_path / "ch42.json").write_text(json.dumps(entries), encoding="utf-8")
    assert len(questions("42")) == 5
    spoil(entries)
    (tmp_path / "ch42.json").write_text(json.dumps(entries), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        questions("42")
    assert words in str(error.value) and "ch42.json" in str(error.value)


def test_an_unknown_chapter_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match=r"no questions for chapter '2': it is one of 00, "):
        quiz("2")


def test_nothing_is_random_fetched_or_unescaped():
    for chapter in CHAPTERS:
        found = questions(chapter)
        shown = page(chapter, found)
        assert shown == page(chapter, found) and len(shown) < LARGEST
        assert "http" not in shown and "<script" not in readable(found)
        assert document(chapter, found).count("<fieldset>") == 5


def test_nbval_finds_no_difference(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    book = nbformat.v4.new_notebook()
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    source = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom mrcnn_lite.exercises import quiz\nquiz('02')"
    book.cells = [nbformat.v4.new_code_cell(source)]
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    (output,) = book.cells[0].outputs
    assert set(output.data) == {"text/html", "text/plain"}
    nbformat.write(book, tmp_path / "book.ipynb")
    options = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "120", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *options, "-c", os.devnull, "--rootdir", str(tmp_path)]
    answer = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 0 and "1 passed" in answer.stdout, answer.stdout + answer.stderr


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


class Shown:
    """The questions of a chapter on a page of their own, without a network; complaints of the page fail the test."""

    def __init__(self, browser, folder, chapter, body, width=900, scripts=True):
        file = folder / "page.html"
        file.write_text(f'<!doctype html><html lang="en"><meta charset="utf-8">{body}</html>', encoding="utf-8")
        size = {"width": width, "height": 900}
        self.context = browser.new_context(viewport=size, offline=True, java_script_enabled=scripts)
        self.page, self.complaints = self.context.new_page(), []
        self.page.set_default_timeout(WAIT)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda r: r.url == file.as_uri() or self.complaints.append(f"asked for {r.url}"))
        self.page.goto(file.as_uri())
        self.frame = self.page.frame_locator("iframe")
        self.found = questions(chapter)

    def close(self):
        self.context.close()
        assert self.complaints == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_answer_is_marked_and_explained(browser, tmp_path, chapter):
    shown = Shown(browser, tmp_path, chapter, page(chapter, questions(chapter)))
    shown.frame.locator("[data-ready=true]").wait_for(state="attached")
    for q, question in enumerate(shown.found):
        field = shown.frame.locator("fieldset").nth(q)
        shown.frame.locator("nav button").nth(q).click()
        assert field.is_visible() and shown.frame.locator("fieldset:visible").count() == 1
        for a in sorted(range(len(question.answers)), key=lambda a: question.answers[a].correct):  # the right one last
            answer = question.answers[a]
            field.locator("label").nth(a).click()
            said = field.locator("output").inner_text()
            assert said == f"{'Right.' if answer.correct else 'Not quite.'} {answer.feedback.replace('`', '')}"
            mark = shown.frame.locator("nav button").nth(q)
            assert mark.get_attribute("aria-label") == f"Question {q + 1}, {'right' if answer.correct else 'not right'}"
        assert shown.frame.locator("nav span").inner_text() == f"{q + 1} of 5 right"
    shown.close()


def test_it_goes_by_keyboard_alone(browser, tmp_path):
    shown = Shown(browser, tmp_path, "02", page("02", questions("02")))
    shown.frame.locator("[data-ready=true]").wait_for(state="attached")
    shown.frame.locator("fieldset input").first.focus()
    shown.page.keyboard.press("Space")
    output = shown.frame.locator("output").first
    assert output.inner_text().startswith("Not quite.")
    shown.page.keyboard.press("ArrowDown")
    assert output.inner_text().startswith("Right.")
    shown.page.keyboard.press("Tab")  # "Back" can't be pressed on the first question
    shown.page.keyboard.press("Enter")
    assert shown.frame.locator("fieldset").nth(1).is_visible()
    assert shown.frame.locator("fieldset").nth(1).locator("input").first.evaluate("e => e === document.activeElement")
    shown.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_and_the_word_on_an_answer_is_announced(browser, theme):
    """Before an answer, after a wrong one, after the right one; the word is in what a screen reader says by itself."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    code = next(chapter for chapter in CHAPTERS if "<code>" in document(chapter, questions(chapter)).split("<main>")[1])
    page = browser.new_page(viewport={"width": 900, "height": 700}, color_scheme=theme)
    page.set_content(document(code, questions(code)))
    page.locator("[data-ready=true]").wait_for(state="attached")
    first = questions(code)[0]
    for a in (None, *sorted(range(len(first.answers)), key=lambda a: first.answers[a].correct)):
        if a is not None:
            page.locator("label").nth(a).click()
            tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
            (spoken,) = [node for node in tree if node["role"]["value"] == "status" and not node["ignored"]]
            assert {"name": "live", "value": {"type": "token", "value": "polite"}} in spoken["properties"]
            assert page.get_by_role("status").inner_text().endswith(first.answers[a].feedback.replace("`", ""))
        violations = axe.Axe().run(page).response["violations"]
        assert not [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}" for v in violations], a
    page.context.close()


@pytest.mark.parametrize("width", [360, 700, 1200])
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_nothing_is_cut(browser, tmp_path, chapter, width):
    """With the longest word on each question in view, the page is not higher than the frame."""
    shown = Shown(browser, tmp_path, chapter, page(chapter, questions(chapter)), width)
    shown.frame.locator("[data-ready=true]").wait_for(state="attached")
    for q, question in enumerate(shown.found):
        longest = max(range(len(question.answers)), key=lambda a: len(question.answers[a].feedback))
        shown.frame.locator("nav button").nth(q).click()
        shown.frame.locator("fieldset").nth(q).locator("label").nth(longest).click()
        size = "e => [e.scrollHeight, e.clientHeight, e.scrollWidth, e.clientWidth]"
        high, frame_high, wide, frame_wide = shown.frame.locator("html").evaluate(size)
        assert high <= frame_high and wide <= frame_wide, f"question {q + 1}: {high} in {frame_high}"
    shown.close()


def test_without_a_frame_the_questions_can_be_read_and_opened(browser, tmp_path):
    """As on GitHub, which throws frames and styles away."""
    shown = Shown(browser, tmp_path, "02", readable(questions("02")), scripts=False)
    first = shown.page.locator("details").first
    assert first.is_visible() and not first.locator("b").is_visible()
    first.locator("summary").click()
    assert first.inner_text().endswith(shown.found[0].answers[0].feedback)
    shown.close()


def test_without_scripts_everything_in_the_frame_is_in_view(browser, tmp_path):
    """What the frame holds, as a page: Playwright's switch for scripts does not reach into sandboxed frames."""
    shown = Shown(browser, tmp_path, "02", document("02", questions("02")), scripts=False)
    assert shown.page.locator("fieldset p:visible").count() == sum(len(q.answers) for q in shown.found)
    shown.close()
