"""data/outlines.py: what pycocotools would trust, and must not; the compressed text read as it reads it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as rle

from mrcnn_lite.data.outlines import outline_fault, polygon_points, run_lengths

NAN, INF = float("nan"), float("inf")


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_run_lengths_are_those_that_were_encoded(seed, height, width, share):
    mask = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)
    if seed % 2:
        mask = np.sort(mask, axis=seed % 4 // 2)  # long runs, whose differences are large and negative
    code = rle.encode(np.asfortranarray(mask))
    flat = np.concatenate([[0], mask.ravel("F"), [2]])
    expected = np.diff(np.concatenate([[0], np.flatnonzero(np.diff(flat))]))
    assert run_lengths(code["counts"]).tolist() == expected.tolist()
    assert run_lengths(code["counts"].decode()).tolist() == expected.tolist()
    for form in (code, {"size": [height, width], "counts": expected.tolist()}):
        assert outline_fault(form, height, width) is None


def test_run_lengths_of_a_large_picture():
    mask = np.zeros((4000, 3000), np.uint8, order="F")
    mask[:, 1000:2999] = 1
    assert run_lengths(rle.encode(mask)["counts"]).tolist() == [4_000_000, 7_996_000, 4000]


@given(st.text(max_size=12) | st.binary(max_size=12))
def test_any_text_is_read_or_refused(text):
    """What passes is safe to decode: pycocotools gives a mask of the very size."""
    if outline_fault({"size": [4, 5], "counts": text}, 4, 5) is None:
        assert rle.decode({"size": [4, 5], "counts": text}).shape == (4, 5)
    runs = run_lengths(text)
    assert runs is None or runs.dtype == np.int64


@pytest.mark.parametrize(
    "outline, kind, found",
    [
        (None, "outline-form", "segmentation is None"),
        ("x", "outline-form", "segmentation is 'x'"),
        ({"size": [4, 5]}, "outline-form", "segmentation is {'size': [4, 5]}"),
        ({"size": [4, 5], "counts": 3}, "outline-form", "counts is 3"),
        ([1, 2, 3, 4, 5, 6], "polygon-form", "polygon 0 is 1"),
        ([[1, 2, 3, 4, 5, "6"]], "polygon-form", "polygon 0 is"),
        ([[True] * 6], "polygon-form", "polygon 0 is"),
        ([[1, 2, 3, 4, 5, 10**400]], "polygon-form", "polygon 0 is"),
        ([[[1, 2], [3]]], "polygon-form", "polygon 0 is"),
        ([[1, 1, 2, 2, 3, 3], [1, 2, 3, 4, 5, 6, 7]], "polygon-form", "polygon 1 has an odd number of coordinates (7)"),
        ([[1, 2, 3, 4, 5, NAN]], "polygon-not-finite", "NaN or infinity"),
        ([[1, 2, 3, 4, INF, 6]], "polygon-not-finite", "NaN or infinity"),
        ([[1, 2, 3, 4, 1e9, 6]], "polygon-outside", "the coordinate 1e+09"),
        ([[0, 0, 5, 4] * 20_000], "polygon-form", "pixels of edges"),
        ({"size": [5, 4], "counts": [20]}, "rle-size", "an RLE of size [5, 4]"),
        ({"size": [4, 10**9], "counts": [4 * 10**9]}, "rle-size", "an RLE of size [4, 1000000000]"),
        ({"size": None, "counts": [20]}, "rle-size", "an RLE of size None"),
        ({"size": [4, 5], "counts": [19]}, "rle-counts", "an RLE of 19 pixels"),
        ({"size": [4, 5], "counts": [-1, 21]}, "rle-counts", "the run -1"),
        ({"size": [4, 5], "counts": [20.0]}, "rle-counts", "the run 20.0"),
        ({"size": [4, 5], "counts": [2**64]}, "rle-counts", "the run 18446744073709551616"),
        ({"size": [4, 5], "counts": ""}, "rle-counts", "an RLE of 0 pixels"),
        ({"size": [4, 5], "counts": "5"}, "rle-counts", "an RLE of 5 pixels"),
        ({"size": [4, 5], "counts": "o"}, "rle-broken", "can't be read"),  # more are announced than come
        ({"size": [4, 5], "counts": "é"}, "rle-broken", "can't be read"),
        ({"size": [4, 5], "counts": "PPPPPPPP0"}, "rle-broken", "can't be read"),  # a number of 45 bits
        ({"size": [4, 5], "counts": "_0"[::-1]}, "rle-broken", "can't be read"),
        ({"size": [4, 5], "counts": "Nd0"}, "rle-broken", "a run of -2"),
    ],
)
def test_what_cannot_be_drawn_is_named(outline, kind, found):
    fault = outline_fault(outline, 4, 5)
    assert fault is not None and fault.kind == kind and found in fault.found and fault.expected


def test_swapped_sides_are_recognised():
    assert outline_fault({"size": [5, 4], "counts": [20]}, 4, 5).cause == "width and height are swapped"
    assert outline_fault({"size": [6, 4], "counts": [24]}, 4, 5).cause == ""


def test_what_is_unusual_but_can_be_drawn_passes():
    for outline in (
        [],
        [[]],
        [[1, 2]],
        [[1, 1, 2, 2], [1, 1, 4, 1, 4, 3]],
        [[-3.5, -2, 9, 2, 3, 8]],
        [(1, 1, 2, 2, 3, 0)],
    ):
        assert outline_fault(outline, 4, 5) is None
    assert polygon_points([1, 2.5]).tolist() == [1, 2.5] and polygon_points("12") is None
