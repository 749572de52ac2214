"""Comparing and showing what students' functions give."""

import numpy as np
import pytest
import torch

from mrcnn_lite.exercises.answers import Raised, call, describe, same, size_of


@pytest.mark.parametrize(
    ("got", "expected", "equal"),
    [
        (torch.tensor([1.0, 2]), torch.tensor([1.0, 2]), True),
        (torch.tensor([1.0, 2], dtype=torch.float64), torch.tensor([1.0, 2]), True),
        (np.array([1, 2]), torch.tensor([1.0, 2]), True),
        ([1, 2], torch.tensor([1.0, 2]), True),
        (torch.tensor([[1.0, 2]]), torch.tensor([1.0, 2]), False),
        (torch.tensor([1.0, 2.1]), torch.tensor([1.0, 2]), False),
        (torch.tensor([float("nan")]), torch.tensor([float("nan")]), True),
        (torch.tensor([True, False]), torch.tensor([1, 0]), True),
        (1.00001, 1.0, True),
        (torch.tensor([[0, 2], [1, 3]]), [[0, 2], [1, 3]], True),
        ([[0, 2], [1]], [[0, 2], [1, 3]], False),
        (None, 1.0, False),
        (..., torch.tensor([1.0]), False),
        ("1", 1.0, False),
        ([torch.tensor(1), torch.tensor([2, 3])], (torch.tensor(1), torch.tensor([2, 3])), True),
        ((torch.tensor(1),), (torch.tensor(1), torch.tensor(2)), False),
        ({"a": 1.0}, {"a": 1.0}, True),
        ({"b": 1.0}, {"a": 1.0}, False),
        (Raised("ValueError: x"), Raised("ValueError: y"), True),
        (Raised("KeyError: x"), Raised("ValueError: x"), False),
        (Raised("ValueError: x"), 1.0, False),
    ],
)
def test_same(got, expected, equal):
    assert same(got, expected, 1e-4) is equal


def test_call_gives_copies_and_keeps_exceptions():
    given = torch.ones(2)
    call(lambda x: x.zero_(), [given])
    assert given.tolist() == [1, 1]

    def wrong(x):
        raise ValueError("no")

    raised = call(wrong, [1])
    assert raised.words == "ValueError: no" and raised.place.startswith(" in its line")


def test_describe():
    assert describe(torch.tensor([0.123456, 2])) == "[0.1235, 2.0]"
    assert describe(torch.tensor(3)) == "3.0  (shape [])"
    assert describe(torch.zeros(0, 4)) == "[]  (shape [0, 4])"
    assert describe(torch.arange(30.0).reshape(5, 6)) == "30 numbers of shape [5, 6], from 0 to 29"
    assert describe((1, [0.5, 2])) == "(1, [0.5, 2])"
    assert describe({"a": torch.tensor([1.0])}) == "{a: [1.0]}"


def test_size_of():
    assert size_of((torch.zeros(2, 3), 1.0, [1, 2], {"a": torch.zeros(4)})) == 13
