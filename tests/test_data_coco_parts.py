"""data/coco_parts.py: segmentations of every form become one mask; the packed list is a list."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as rle

from mrcnn_lite.data.coco_parts import PackedList, encode_segmentation, has_outline, load_coco


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_both_kinds_of_rle_say_the_same(seed, height, width):
    mask = np.random.default_rng(seed).integers(0, 2, (height, width)).astype(np.uint8)
    flat = np.concatenate([[0], mask.ravel("F"), [2]])  # runs start with the zeros, along columns
    runs = np.diff(np.concatenate([[0], np.flatnonzero(np.diff(flat))])).tolist()
    compressed = rle.encode(np.asfortranarray(mask))
    for form in ({"size": [height, width], "counts": runs}, compressed):
        assert (rle.decode(encode_segmentation(form, height, width, "x")) == mask).all()


def test_several_polygons_are_one_object():
    parts = [[1, 1, 3, 1, 3, 3, 1, 3], [5, 5, 8, 5, 8, 6, 5, 6], [0, 0, 9, 9]]  # the last has two corners only
    mask = rle.decode(encode_segmentation(parts, 10, 10, "x"))
    assert mask.sum() == 4 + 3 and mask[1:3, 1:3].all() and mask[5, 5:8].all()


def test_packed_list_gives_back_what_it_got():
    items = [[], [{"a": [1, 2.5]}, {"b": "c"}], [None]]
    packed = PackedList(items)
    assert [packed[i] for i in range(3)] == items


def test_encoding_nothing_gives_an_empty_mask():
    assert rle.area(encode_segmentation([[1, 1, 2, 2]], 4, 4, "x")) == 0


def test_wrong_rles_are_named():
    for form, message in (
        ({"size": [4, 5], "counts": [20]}, r"\[4, 5\]"),
        ({"size": [5, 4], "counts": [9]}, "9 pixels"),
    ):
        with pytest.raises(ValueError, match=f"dog 3: an RLE of .*{message}"):
            encode_segmentation(form, 5, 4, "dog 3")


def test_a_packed_list_travels_as_bytes():
    packed = PackedList([{"a": list(range(50))}] * 100)
    assert len(pickle.dumps(packed)) < 100 * 200
    assert pickle.loads(pickle.dumps(packed))[99] == {"a": list(range(50))}


def test_what_is_an_outline():
    assert has_outline([[1, 2, 3, 4, 5, 6]]) and has_outline({"size": [1, 1], "counts": [1]})
    for nothing in (None, [], [[]], [[1, 2, 3, 4]], {}, [1, 2, 3, 4, 5, 6]):
        assert not has_outline(nothing)


@pytest.mark.parametrize("text", ["", "{", '{"images": [', "[1, 2]", '{"images": []}', "\x80", "[" * 100_000, "3"])
def test_a_file_that_is_no_coco_json_is_named(tmp_path, text):
    file = tmp_path / "instances_val.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"instances_val\.json is no "):
        load_coco(file)
