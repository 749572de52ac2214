"""The questions at the end of a chapter: read from quizzes/chNN.json, checked, and shown so that they mark themselves.

What is shown works without kernel, network and extension: the questions in a sandboxed frame, as the widgets have, and
under it the same questions to read, for where frames are thrown away (GitHub, a mail). Nothing in it is random, so two
runs give the same output. Read next: `questions.html`, what the frame holds.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any, NamedTuple

from ..files import naming, read_json

HERE = Path(__file__).parent
FOLDER = HERE / "quizzes"
COUNT = 5  # questions of a chapter
KEYS = {"answer", "correct", "feedback"}


class Answer(NamedTuple):
    """text: what one chooses. feedback: why it is right, or what is wrong with it."""

    text: str
    correct: bool
    feedback: str


class Question(NamedTuple):
    text: str
    answers: tuple[Answer, ...]


def quiz(chapter: str) -> None:
    """Show the questions of a chapter, "02" say, in a notebook. ValueError for a chapter without any."""
    from IPython.display import display  # WHY here: only notebooks have it

    found = questions(chapter)
    display({"text/html": page(chapter, found), "text/plain": plain(found)}, raw=True)


def chapters() -> list[str]:
    """The chapters that have questions: ["00", "02", …]."""
    return sorted(path.stem.removeprefix("ch") for path in FOLDER.glob("ch*.json"))


def questions(chapter: str) -> list[Question]:
    """The questions of a chapter. ValueError where there are none, or where the file is not as it should be."""
    if chapter not in chapters():
        raise ValueError(f"there are no questions for chapter {chapter!r}: it is one of {', '.join(chapters())}")
    path = FOLDER / f"ch{chapter}.json"
    entries = read_json(path)
    with naming(path):
        if not isinstance(entries, list) or len(entries) != COUNT:
            raise ValueError(f"expected a list of {COUNT} questions")
        return [checked(number, entry) for number, entry in enumerate(entries, 1)]


def checked(number: int, entry: Any) -> Question:
    """One entry of a file (the form is jupyterquiz's). ValueError that says what is wrong with which question."""
    where = f"question {number}"
    if not isinstance(entry, dict) or entry.get("type") != "multiple_choice" or not is_text(entry.get("question")):
        raise ValueError(f'{where}: expected {{"question": text, "type": "multiple_choice", "answers": [...]}}')
    answers = entry.get("answers")
    if not isinstance(answers, list) or len(answers) not in (3, 4):
        raise ValueError(f"{where}: expected three or four answers")
    for answer in answers:
        if not isinstance(answer, dict) or set(answer) != KEYS or not isinstance(answer["correct"], bool):
            raise ValueError(f"{where}: expected of each answer {', '.join(sorted(KEYS))}; correct is true or false")
        if not is_text(answer["answer"]) or not is_text(answer["feedback"]):
            raise ValueError(f"{where}: an answer or its feedback is empty")
    if sum(answer["correct"] for answer in answers) != 1:
        raise ValueError(f"{where}: expected exactly one correct answer")
    if len({answer["answer"] for answer in answers}) < len(answers):
        raise ValueError(f"{where}: two answers are the same")
    return Question(entry["question"], tuple(Answer(a["answer"], a["correct"], a["feedback"]) for a in answers))


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def inline(text: str) -> str:
    """Text as HTML: `words` in backticks become code, nothing else is markup."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def verdict(answer: Answer) -> str:
    return f"<b>{'Right.' if answer.correct else 'Not quite.'}</b> {inline(answer.feedback)}"


def page(chapter: str, found: list[Question]) -> str:
    """The questions to read and, over them, the frame in which they mark themselves.

    Where the frame is there it hides what is under it, from the eye and from a screen reader: nothing is said twice.
    """
    name = f"mrcnn-quiz-{chapter}"
    style = (
        f".{name}{{container-type:inline-size;margin:0;position:relative;min-height:27em;font-size:15px}}"
        f"@container(max-width:40em){{.{name}>div{{min-height:40em}}}}"
        f".{name}:has(iframe)>div>ol{{visibility:hidden;position:absolute;inset:0;overflow:hidden}}"
        f".{name} iframe{{position:absolute;inset:0;width:100%;height:100%;border:0}}"
    )
    return (
        f'<section class="{name}" aria-label="Quiz of chapter {chapter}"><style>{style}</style><div>{readable(found)}'
        f'<iframe title="Quiz of chapter {chapter}: {len(found)} questions that mark themselves" '
        f'sandbox="allow-scripts" srcdoc="{html.escape(document(chapter, found))}"></iframe></div></section>'
    )


def readable(found: list[Question]) -> str:
    """The questions as a list; each answer opens to what is to be said of it, without any script."""
    items = ""
    for question in found:
        answers = "".join(
            f"<li><details><summary>{inline(answer.text)}</summary>{verdict(answer)}</details></li>"
            for answer in question.answers
        )
        items += f"<li><p>{inline(question.text)}</p><ul>{answers}</ul></li>"
    return f"<ol>{items}</ol>"


def document(chapter: str, found: list[Question]) -> str:
    """A complete page with nothing but the questions: what the frame holds."""
    fields = ""
    for q, question in enumerate(found, 1):
        fields += f"<fieldset><legend>{q}. {inline(question.text)}</legend>"
        for a, answer in enumerate(question.answers, 1):
            fields += (
                f'<label><input type="radio" name="question{q}" value="{a}"> <span>{inline(answer.text)}</span></label>'
                f'<p class="{"right" if answer.correct else "wrong"}" hidden>{verdict(answer)}</p>'
            )
        fields += "</fieldset>"
    template = (HERE / "questions.html").read_text(encoding="utf-8")
    template = "".join(f"{line.strip()}\n" for line in template.splitlines())  # every notebook carries it
    return template.replace("CHAPTER", html.escape(chapter)).replace("FIELDS", fields)


def plain(found: list[Question]) -> str:
    """The questions as text, without saying what is right."""
    lines = []
    for q, question in enumerate(found, 1):
        lines += [f"{q}. {question.text}", *(f"   {'abcd'[a]}) {x.text}" for a, x in enumerate(question.answers)), ""]
    return "\n".join(lines).rstrip()
