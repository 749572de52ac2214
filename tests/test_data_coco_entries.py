"""data/coco_entries.py: ids, names, types and references of a COCO file, told and corrected."""

from __future__ import annotations

import copy

import pytest

from mrcnn_lite.data.coco_entries import as_id, judge_entries
from mrcnn_lite.data.problems import Findings


def content():
    images = [{"id": n, "file_name": f"{n}.png", "height": 40, "width": 50, "licence": 3} for n in (1, 2)]
    categories = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    annotations = [{"id": n, "image_id": 1 + n % 2, "category_id": 3, "score": n} for n in range(1, 5)]
    return {"images": images, "annotations": annotations, "categories": categories}


def judged(given):
    told = []
    before = copy.deepcopy(given)
    findings = Findings(lambda problem: told.append((problem.kind, problem.annotation or problem.picture)))
    entries = judge_entries(given, findings, "a.json")
    assert given == before  # what was given stays as it was
    kept = {a["id"]: a for group in entries.of_image.values() for _, a in group}
    return told, entries, kept


def test_sound_entries_stay_the_very_same():
    given = content()
    told, entries, kept = judged(given)
    assert told == [] and entries.images == given["images"] and entries.categories == given["categories"]
    assert [kept[a["id"]] for a in given["annotations"]] == given["annotations"]
    assert [place for place, _ in entries.of_image[2]] == [0, 2]


@pytest.mark.parametrize(
    "value, meant",
    [(3, 3), (3.0, 3), ("3", 3), ("003", 3), (3.5, None), (True, None), (None, None), ("x", None), ([], None)],
)
def test_ids(value, meant):
    assert as_id(value) == meant
    assert as_id(float("nan")) is None and as_id("٣") is None and as_id("9" * 50) is None


def test_gaps_and_zero_in_the_ids_are_no_problem():
    given = content()
    given["categories"][0]["id"] = given["annotations"][0]["category_id"] = 0
    for a in given["annotations"]:
        a["category_id"] = 0
    given["images"][0]["id"] = 0
    for a in given["annotations"]:
        a["image_id"] = 0 if a["image_id"] == 1 else 2
    assert judged(given)[0] == []


def test_annotations():
    given = content()
    one, two, three, four = given["annotations"]
    two["id"] = 1
    three["category_id"] = 9
    four["image_id"] = 9
    given["annotations"] += [5, {"id": "6", "image_id": "1", "category_id": 3.0}, {"image_id": 1, "category_id": 3}]
    given["annotations"] += [{"id": 8, "category_id": 3}, {"id": 9, "image_id": [1], "category_id": {}}]
    told, _, kept = judged(given)
    assert told == [
        ("object-id-twice", 1),
        ("unknown-category", 3),
        ("unknown-image", 4),
        ("object-form", "in place 4"),
        ("object-form", "6"),
        ("object-form", "in place 6"),
        ("object-form", 8),
        ("object-form", 9),
    ]
    assert set(kept) == {1, 10, 6, 11} and kept[1] == one and kept[10] == two | {"id": 10}
    assert kept[6] == {"id": 6, "image_id": 1, "category_id": 3}


def test_a_category_that_looks_counted_from_zero():
    given = content()
    given["annotations"][0]["category_id"] = 0
    causes = []
    judge_entries(given, Findings(lambda problem: causes.append(problem.cause)), "a.json")
    assert causes == ["looks like counted from 0"]


def test_pictures():
    given = content()
    images = given["images"]
    images += [7, {"id": 3}, {"file_name": "x.png"}, images[0] | {"file_name": "other.png"}]
    images += [images[1] | {"id": 5}, {"id": 6, "file_name": "../x.png", "height": 4, "width": 5}]
    images += [{"id": "8", "file_name": "8.png", "height": "40", "width": 50.0}]
    images += [{"id": 9, "file_name": "9.png", "width": -3, "height": 4}, {"id": 10, "file_name": "10.png", "width": 3}]
    images += [{"id": 11, "file_name": "11.png", "width": 10**6, "height": 10**6}]
    given["annotations"] += [{"id": 20 + n, "image_id": n, "category_id": 3} for n in (3, 5, 6, 8, 9)]
    told, entries, kept = judged(given)
    assert told == [
        ("picture-form", "in place 2"),
        ("picture-form", "in place 3"),
        ("picture-form", "x.png"),
        ("picture-id-twice", "other.png"),
        ("picture-named-twice", "2.png"),
        ("name-leaves-folder", "../x.png"),
        ("picture-form", "8.png"),
        ("picture-form", "8.png"),
        ("picture-form", "9.png"),
        ("picture-form", "10.png"),
        ("absurd-size", "11.png"),
    ]
    assert [image["id"] for image in entries.images] == [2, 8, 9, 10, 11]
    assert entries.images[1] == {"id": 8, "file_name": "8.png", "height": 40, "width": 50}
    assert all(image["height"] is image["width"] is None for image in entries.images[2:])
    assert set(kept) == {1, 3, 25, 28, 29} and kept[25]["image_id"] == 2  # 2 and 4 were of the picture with two entries


def test_categories():
    given = content()
    given["categories"] += [
        {"id": 9, "name": "cat"},
        {"id": 3, "name": "cat"},
        {"id": 7, "name": "cow"},
        {"id": "8", "name": "ape"},
    ]
    given["annotations"][0]["category_id"] = 9
    told, entries, kept = judged(given)
    assert [kind for kind, _ in told] == [
        "category-name-twice",
        "category-id-twice",
        "category-id-twice",
        "category-form",
    ]
    assert [c["id"] for c in entries.categories] == [3, 7, 8] and kept[1]["category_id"] == 3
    findings = Findings()
    judge_entries(given, findings, "a.json")
    assert [problem.kind for problem in findings.by_hand] == ["category-id-twice"]  # dog or cow? nobody can say
    for wrong in (5, {"id": 1}, {"name": "x"}, {"id": 1, "name": 5}, {"id": None, "name": "x"}):
        given = content()
        given["categories"].append(wrong)
        assert [kind for kind, _ in judged(given)[0]] == ["category-form"]


def test_joints():
    given = content()
    given["categories"][0] |= {"keypoints": ["left_eye", "right_eye"], "skeleton": [[1, 2]]}
    told, entries, _ = judged(given)
    assert told == [] and entries.keypoint_names == ["left_eye", "right_eye"]
    given["categories"][0]["skeleton"] = [[0, 1]]
    told, entries, _ = judged(given)
    assert [kind for kind, _ in told] == ["category-form"] and entries.categories[0]["skeleton"] == []
    given["categories"][0] |= {"keypoints": ["eye", "eye"], "skeleton": None}
    assert [kind for kind, _ in judged(given)[0]] == ["category-form"]
    given["categories"][0]["keypoints"] = ["eye"]
    given["categories"][1]["keypoints"] = ["ear"]
    assert [kind for kind, _ in judged(given)[0]] == ["category-form"]


def test_a_file_without_pictures():
    assert [kind for kind, _ in judged(content() | {"images": [], "annotations": []})[0]] == ["no-objects"]
