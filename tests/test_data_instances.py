"""data/instances.py: boxes, id maps, dense masks and crops say the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mrcnn_lite.data.instances import Crops, id_map_boxes, id_map_masks, mask_boxes, split_pieces


def test_boxes_by_hand():
    mask = np.zeros((2, 5, 7), np.uint8)
    mask[0, 2, 3] = 1  # one pixel: 1 wide, 1 high
    mask[1, 0:2, 5:7] = 255
    assert mask_boxes(mask).tolist() == [[3, 2, 4, 3], [5, 0, 7, 2]]


def test_an_empty_mask_and_an_absent_object_have_the_box_of_zeros():
    assert mask_boxes(np.zeros((1, 4, 4), np.uint8)).tolist() == [[0, 0, 0, 0]]
    ids = np.zeros((4, 4), np.uint8)
    ids[1, 2] = 2
    assert id_map_boxes(ids, 2).tolist() == [[0, 0, 0, 0], [2, 1, 3, 2]]


def test_no_objects():
    nothing = np.zeros((3, 4), np.uint8)
    assert id_map_boxes(nothing, 0).shape == (0, 4)
    assert id_map_masks(nothing, np.zeros((0, 4), np.int64)).shape == (0, 3, 4)
    assert Crops.of(np.zeros((0, 3, 4), np.uint8)).dense().shape == (0, 3, 4)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))
def test_all_forms_agree(seed, height, width, num_objects):
    ids = np.random.default_rng(seed).integers(0, num_objects + 1, (height, width)).astype(np.uint8)
    expected = (ids == np.arange(1, num_objects + 1)[:, None, None]).astype(np.uint8)
    boxes = id_map_boxes(ids, num_objects)
    assert (boxes == mask_boxes(expected)).all()
    assert (id_map_masks(ids, boxes) == expected).all()
    assert (Crops.of(expected).dense() == expected).all()


def flooded(mask):
    """Pieces as sets of pixels, by walking from neighbour to neighbour."""
    left, pieces = set(map(tuple, np.argwhere(mask).tolist())), []
    while left:
        waiting, piece = [left.pop()], set()
        while waiting:
            y, x = waiting.pop()
            piece.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            waiting += near
        pieces.append(frozenset(piece))
    return set(pieces)


@given(st.integers(0, 2**32 - 1), st.integers(1, 14), st.integers(1, 14), st.floats(0, 1))
def test_pieces_are_what_walking_finds(seed, height, width, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    ids, count = split_pieces(mask)
    found = {frozenset(map(tuple, np.argwhere(ids == n).tolist())) for n in range(1, count + 1)}
    assert found == flooded(mask) and ids.max(initial=0) == count and ((ids > 0) == mask).all()
