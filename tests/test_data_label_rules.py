"""data/label_rules.py: every fault of one label picture, and what a copy makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mrcnn_lite.data.label_rules import FIRST_CHANNEL, PIECES, judge_label, remedied
from mrcnn_lite.data.picture_rules import Look

SEEN = Look((40, 60), 1, None)


def numbers(*boxes, dtype=np.uint8, size=(40, 60)):
    """Boxes x1, y1, x2, y2, number -> a label picture."""
    ids = np.zeros(size, dtype)
    for x1, y1, x2, y2, number in boxes:
        ids[y1:y2, x1:x2] = number
    return ids


def judged(tmp_path, values, seen=SEEN):
    told, path = [], tmp_path / "a.png"
    if isinstance(values, bytes):
        path.write_bytes(values)
    elif values is not None:
        Image.fromarray(values).save(path, format="TIFF" if values.dtype.kind in "fi" else "PNG")
    label = judge_label(path, seen, lambda kind, found, expected="", cause="", fix="": told.append((kind, fix)))
    return told, label


@pytest.mark.parametrize(
    "values, objects",
    [
        (numbers((5, 5, 9, 9, 1), (20, 5, 30, 9, 2)), 2),
        (numbers((5, 5, 9, 9, 500), (20, 5, 30, 9, 60_000), dtype=np.uint16), 2),  # gaps in the numbers
        (numbers((5, 5, 9, 9, 255)), 1),  # one object: 255 is a number like any other
        (numbers((5, 5, 6, 6, 1), (7, 7, 8, 8, 2)), 2),  # of one pixel each
        (numbers((0, 0, 60, 40, 1)), 1),  # no background
        (numbers((5, 5, 9, 9, 1), (11, 5, 14, 9, 1)), 1),  # in two pieces near each other
        (numbers((5, 5, 9, 9, 255), (9, 9, 12, 12, 255), (50, 30, 51, 31, 255)), 1),  # at a corner; and a speck
        (numbers((5, 5, 25, 25, 255), (50, 30, 53, 33, 255)), 1),  # a large speck beside a large object
    ],
)
def test_sound_label_pictures(tmp_path, values, objects):
    told, label = judged(tmp_path, values)
    assert [kind for kind, _ in told if kind != "object-in-pieces"] == []
    assert label.objects == objects and label.remedies == ()


def test_notes(tmp_path):
    told, label = judged(tmp_path, numbers())
    assert told == [("label-empty", "")] and label.objects == 0
    told, label = judged(tmp_path, numbers((1, 1, 6, 6, 7), (50, 30, 55, 35, 7), (20, 20, 30, 30, 9)))
    assert told == [("object-in-pieces", "")] and label.objects == 2
    told, _ = judged(tmp_path, numbers((5, 5, 9, 9, 1)), SEEN._replace(orientation=3))
    assert [kind for kind, _ in told] == ["exif-turned"]


def test_a_mask_of_all_objects_is_split_into_its_pieces(tmp_path):
    values = numbers((5, 5, 15, 15, 255), (20, 5, 30, 15, 255), (5, 25, 15, 35, 255))
    told, label = judged(tmp_path, values)
    assert told == [("label-semantic", PIECES)] and label.objects == 3 and label.remedies == (PIECES,)
    ids = remedied(values, label.remedies)
    assert sorted(np.unique(ids)) == [0, 1, 2, 3] and ((ids > 0) == (values > 0)).all()
    told, label = judged(tmp_path, values.repeat(3).reshape(40, 60, 3))  # the same, saved as colours
    assert [kind for kind, _ in told] == ["label-colours", "label-semantic"] and label.remedies == (
        FIRST_CHANNEL,
        PIECES,
    )
    assert (remedied(values.repeat(3).reshape(40, 60, 3), label.remedies) == ids).all()


def test_faults(tmp_path):
    colours = np.zeros((40, 60, 3), np.uint8)
    colours[5:9, 5:9] = 255, 0, 0
    grey = numbers((5, 5, 9, 9, 1), (20, 5, 30, 9, 2)).repeat(3).reshape(40, 60, 3)
    for values, kind, objects in (
        (colours, "label-colours", None),
        (grey, "label-colours", 2),
        (np.concatenate([grey, np.full((40, 60, 1), 255, np.uint8)], axis=2), "label-colours", 2),
        (numbers((5, 5, 9, 9, 1), dtype=np.float32), "label-values", None),
        (numbers((5, 5, 9, 9, -1), dtype=np.int32), "label-values", None),
        (numbers((5, 5, 9, 9, 1), size=(60, 40)), "label-size", None),
        (numbers((5, 5, 9, 9, 1), size=(20, 30)), "label-size", None),
        (b"no picture", "label-unreadable", None),
        (b"", "label-unreadable", None),
    ):
        told, label = judged(tmp_path, values)
        assert [name for name, _ in told] == [kind], kind
        assert (label and label.objects) == objects
    assert judged(tmp_path / "nowhere", None) == ([("label-missing", "picture dropped")], None)


def test_smoothed_label_pictures(tmp_path):
    """Saved as JPEG or resized smoothly, edges get numbers of their own; fine lines are objects like any other."""
    sharp = numbers((5, 5, 25, 25, 255), (30, 5, 50, 35, 255))
    soft = np.asarray(Image.fromarray(sharp).resize((61, 41), Image.Resampling.BICUBIC))
    Image.fromarray(sharp).save(tmp_path / "x.jpg", quality=75)
    for values in (soft, np.asarray(Image.open(tmp_path / "x.jpg"))):
        told, label = judged(tmp_path, values, Look(values.shape, 1, None))
        assert [kind for kind, _ in told] == ["label-smoothed"] and label is None
    fibres = numbers(*[(5, 2 * n, 55, 2 * n + 1, n + 1) for n in range(15)], (5, 32, 9, 36, 99))
    assert judged(tmp_path, fibres)[0] == []
    specks = numbers((5, 5, 25, 25, 1), *[(40 + 2 * n, 30, 41 + 2 * n, 31, n + 2) for n in range(8)])
    assert judged(tmp_path, specks)[0] == [] and judged(tmp_path, specks)[1].objects == 9


def test_numbers_near_the_end_of_their_type_cost_nothing(tmp_path):
    values = numbers((5, 5, 9, 9, 2**31 - 1), (20, 5, 30, 9, 7), dtype=np.int32)
    assert judged(tmp_path, values)[1].objects == 2


def test_a_label_picture_of_the_turned_picture_turns_the_picture(tmp_path):
    values = numbers((5, 5, 9, 9, 1), size=(60, 40))
    told, label = judged(tmp_path, values, SEEN._replace(orientation=6))
    assert told == [("label-size", "picture turned")] and label.turned == 6
    assert judged(tmp_path, values, SEEN._replace(orientation=3))[1] is None


def test_over_the_limit(tmp_path, monkeypatch):
    monkeypatch.setenv("MRCNN_LITE_MAX_PIXELS", "2399")
    assert [kind for kind, _ in judged(tmp_path, numbers())[0]] == ["absurd-size"]
