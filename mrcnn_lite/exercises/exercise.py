"""What an exercise is, and how an answer is judged: not attempted, right, wrong (how), or your code raised.

An exercise is a class with everything that belongs to it: its text, a stub to fill in, the solution, inputs to try, the
typical mistakes written out, and unusual answers that are right all the same. The checker calls the student's function
on every input and compares; where the results are those of a known mistake it says which.

Read next: `answers.py` (comparing and showing values), then a chapter, `ch02.py` say.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import torch

from .answers import Raised, call, describe, same, size_of

NOT_ATTEMPTED, RIGHT, WRONG, RAISED = "not attempted", "right", "wrong", "your code raised"
Function = Callable[..., Any]


class Verdict(NamedTuple):
    """What the checker thinks of an answer. mistake: the name of the known mistake that it looks like, or ""."""

    status: str
    text: str
    mistake: str = ""


class Exercise:
    """Base of all exercises. A subclass gives:

    text: what to do (markdown). minutes, difficulty (1 easy to 3 hard). hints: two or three, from vague to plain.
    inputs(random): the arguments to try, a tuple each, small ones first; random is a seeded torch.Generator.
    answer: the function, the package's own wherever there is one; stub: its signature with `...` for its body.
    mistakes, unusual: classes whose functions are wrong (their docstrings say how) and right answers.
    tolerance: by which numbers may differ, absolute and relative.
    """

    text: ClassVar[str]
    minutes: ClassVar[int]
    difficulty: ClassVar[int]
    hints: ClassVar[Sequence[str]]
    inputs: ClassVar[Callable[[torch.Generator], Iterator[tuple[Any, ...]]]]
    answer: ClassVar[Function]
    stub: ClassVar[Function]
    mistakes: ClassVar[type]
    unusual: ClassVar[type]
    tolerance: ClassVar[float] = 1e-4
    _hints_shown: ClassVar[int] = 0

    @classmethod
    def check(cls, attempt: Function) -> None:
        """Print what the checker thinks of a function."""
        print(cls.judge(attempt).text)

    @classmethod
    def hint(cls) -> None:
        """Print the next hint; after the last, the last again."""
        number = min(cls._hints_shown, len(cls.hints) - 1)
        cls._hints_shown = number + 1
        print(f"hint {number + 1} of {len(cls.hints)}: {cls.hints[number]}")

    @classmethod
    def solution(cls) -> None:
        """Print the source of the answer."""
        print(source(cls.answer, cls.__name__))

    @classmethod
    def judge(cls, attempt: Function) -> Verdict:
        """Try a function on every input; see the head of this file."""
        name = cls.__name__
        cases = [(arguments, call(cls.answer, arguments)) for arguments in cls.cases()]
        got = [call(attempt, arguments) for arguments, _ in cases]
        if all(value is Ellipsis or value is None for value in got):
            return Verdict(NOT_ATTEMPTED, f"{name}: not attempted. Replace the dots, run the cell, and check again.")
        failed = [n for n, (_, expected) in enumerate(cases) if not same(got[n], expected, cls.tolerance)]
        if not failed:
            return Verdict(RIGHT, f"{name}: right, on {len(cases)} inputs.")
        smallest = min(failed, key=lambda n: size_of(cases[n][0]))
        names = list(inspect.signature(cls.stub).parameters)
        where = "\n".join(f"  {key} = {describe(value)}" for key, value in zip(names, cases[smallest][0]))
        value, expected = got[smallest], cases[smallest][1]
        if isinstance(value, Raised):
            text = f"{name}: your code raised {value.words}{value.place}, on the input\n{where}"
            return Verdict(RAISED, text)
        mistake, words = cls.looks_like(got, failed)
        cause = f" It looks like this: {words}." if words else ""
        comparison = f"  expected {describe(expected)}\n  got      {describe(value)}"
        text = f"{name}: wrong on {len(failed)} of {len(cases)} inputs.{cause}\nThe smallest of them:\n{where}\n"
        return Verdict(WRONG, text + comparison, mistake)

    @classmethod
    def looks_like(cls, got: Sequence[Any], failed: Sequence[int]) -> tuple[str, str]:
        """The known mistake that gives what was got, on most of the inputs that failed: its name and its words."""
        arguments = list(cls.cases())
        agreement = {}
        for name, function in functions(cls.mistakes):
            agreement[name] = sum(same(got[n], call(function, arguments[n]), cls.tolerance) for n in failed)
        best = max(agreement, key=lambda name: agreement[name], default="")
        if not best or 2 * agreement[best] <= len(failed):
            return "", ""
        return best, " ".join((getattr(cls.mistakes, best).__doc__ or best).split()).rstrip(".")

    @classmethod
    def cases(cls) -> Iterator[tuple[Any, ...]]:
        """The inputs, the same at each call."""
        return cls.inputs(torch.Generator().manual_seed(0))


def functions(holder: type) -> list[tuple[str, Function]]:
    """The functions that a class holds, in the order in which they are written."""
    return [(name, value) for name, value in vars(holder).items() if inspect.isfunction(value)]


def source(function: Function, name: str) -> str:
    """The source of a function that stands in a class, as a cell of a notebook: not indented, called `name`."""
    function = getattr(function, "func", function)  # of a functools.partial
    text = textwrap.dedent(inspect.getsource(function))
    return text.replace(f"def {function.__name__}(", f"def {name}(", 1).strip()


def exercises(chapter: Any) -> list[type[Exercise]]:
    """The exercises of a chapter (a module), in the order in which they are written."""
    found = [value for value in vars(chapter).values() if inspect.isclass(value) and issubclass(value, Exercise)]
    return [value for value in found if value is not Exercise]
