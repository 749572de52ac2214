"""Calling a student's function, comparing what it gives, and showing values in a line.

A function gets copies of its arguments, so one that works in place is not held to account for it; an exception becomes
a value, so that an answer which raises can be compared too. Read next: `exercise.py`.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

MOST_NUMBERS_SHOWN = 24


@dataclass(frozen=True)
class Raised:
    """An exception, as a result. words: its type and message. place: " in line 3", where it is known."""

    words: str
    place: str = ""


def call(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """The result of function(*arguments) on copies of the arguments, or `Raised`."""
    try:
        return function(*copy.deepcopy(list(arguments)))
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == function.__name__]
        place = f" in its line {frames[0].lineno}" if frames else ""
        return Raised(f"{type(error).__name__}: {error}", place)


def same(got: Any, expected: Any, tolerance: float) -> bool:
    """Whether two results are equal: numbers within `tolerance` (absolute and relative), of any type and precision.

    Tensors, arrays and lists of numbers must have the same shape; tuples, lists and dicts of them are compared one by
    one; NaN equals NaN; two exceptions are equal if their types are.
    """
    if isinstance(expected, Raised) or isinstance(got, Raised):
        both = isinstance(got, Raised) and isinstance(expected, Raised)
        return both and got.words.split(":")[0] == expected.words.split(":")[0]
    if isinstance(expected, Mapping):
        keys = isinstance(got, Mapping) and got.keys() == expected.keys()
        return keys and all(same(got[key], expected[key], tolerance) for key in expected)
    if isinstance(expected, (tuple, list)) and not numbers(expected):
        alike = isinstance(got, (tuple, list)) and len(got) == len(expected)
        return alike and all(same(a, b, tolerance) for a, b in zip(got, expected))
    if isinstance(expected, str) or expected is None:
        return type(got) is type(expected) and got == expected
    try:
        a, b = as_array(got), as_array(expected)
    except (TypeError, ValueError, RuntimeError):
        return False
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True))


def numbers(values: Any) -> bool:
    """Whether a list or tuple holds plain numbers only, or lists of them that are equally long."""
    if all(isinstance(value, (list, tuple)) and numbers(value) for value in values):
        return len(set(map(len, values))) == 1
    return all(isinstance(value, (int, float)) for value in values)


def as_array(value: Any) -> np.ndarray:
    """Any kind of number or numbers -> float64 array. TypeError or ValueError for what is none."""
    if isinstance(value, Tensor):
        return value.detach().cpu().to(torch.float64).numpy()
    if value is None or value is Ellipsis or isinstance(value, str):
        raise TypeError(f"{value!r} is no number")
    return np.asarray(value, dtype=np.float64)


def describe(value: Any) -> str:
    """A value in a line: small tensors with their numbers, large ones with shape and range."""
    if isinstance(value, Raised):
        return value.words
    if isinstance(value, (Tensor, np.ndarray)):
        array = as_array(value)
        if array.size <= MOST_NUMBERS_SHOWN:
            shape = "" if array.size and array.ndim else f"  (shape {list(array.shape)})"
            return f"{rounded(array.tolist())}{shape}"
        spread = f"from {array.min():.4g} to {array.max():.4g}"
        return f"{array.size} numbers of shape {list(array.shape)}, {spread}"
    if isinstance(value, (tuple, list)) and not numbers(value):
        return "(" + ", ".join(map(describe, value)) + ")"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {describe(item)}" for key, item in value.items()) + "}"
    return str(rounded(value))


def rounded(value: Any) -> Any:
    """Floats to four digits, in any nesting of lists."""
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def size_of(arguments: Any) -> int:
    """How many numbers an input holds: the smallest one that fails is the one to show."""
    if isinstance(arguments, (Tensor, np.ndarray)):
        return int(np.prod(arguments.shape))
    if isinstance(arguments, Mapping):
        return size_of(list(arguments.values()))
    if isinstance(arguments, (tuple, list)):
        return sum(map(size_of, arguments))
    return 1
