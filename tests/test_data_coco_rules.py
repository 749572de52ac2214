"""data/coco_rules.py: the pictures of a COCO file, their sizes and turns, and what is no problem at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from mrcnn_lite.data.coco_rules import check_coco
from mrcnn_lite.data.problems import Findings

SIZE = (40, 60)


def annotation(number, image_id=1, box=(20, 10, 20, 8), **changes):
    x, y, w, h = box
    corners = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    base = {"id": number, "image_id": image_id, "category_id": 3, "iscrowd": 0, "area": w * h, "bbox": list(box)}
    return base | {"segmentation": corners} | changes


def write(folder, annotations, images=1, file="instances_train.json", orientation=None, suffix="png", **changes):
    (folder / "images").mkdir(parents=True)
    records = []
    for number in range(1, images + 1):
        picture = Image.fromarray(np.random.default_rng(number).integers(0, 255, (*SIZE, 3)).astype(np.uint8))
        exif = picture.getexif()
        if orientation:
            exif[0x0112] = orientation
        picture.save(folder / "images" / f"{number}.{suffix}", exif=exif)
        records.append({"id": number, "file_name": f"{number}.{suffix}", "height": SIZE[0], "width": SIZE[1]} | changes)
    content = {"images": records, "annotations": annotations, "categories": [{"id": 3, "name": "cat"}], "info": "mine"}
    (folder / file).write_text(json.dumps(content))
    return folder / file


def checked(file, **options):
    told = []
    findings = Findings(lambda problem: told.append(problem))
    result = check_coco(file, findings, **options)
    return [problem.kind for problem in told], result, told


def test_what_is_unusual_but_sound_is_no_problem(tmp_path):
    annotations = [
        annotation(1),
        annotation(2, box=(0, 0, 1, 1)),  # one pixel
        annotation(3, box=(0, 0, 60, 40)),  # the whole picture
        annotation(4, box=(19.6, 10.3, 20.2, 7.9)),  # nearly the same as the first
        annotation(
            5,
            image_id=2,
            iscrowd=1,
            segmentation={"size": [40, 60], "counts": [0, 800, 1600]},
            bbox=[0, 0, 20, 40],
            area=800,
        ),
    ]
    file = write(tmp_path, annotations, images=3)  # the second has a crowd only, the third nothing
    content = json.loads(file.read_text())
    content["categories"].append({"id": 1, "name": "unused", "supercategory": ""})
    file.write_text(json.dumps(content))
    kinds, result, _ = checked(file)
    assert kinds == [] and result.content == content


def test_every_picture_and_every_fault_in_it_is_told(tmp_path):
    file = write(
        tmp_path, [annotation(1, bbox=[1, 2]), annotation(2, area=-1), annotation(3, image_id=3, iscrowd=7)], 3
    )
    (tmp_path / "images" / "1.png").unlink()  # the first: the folder is found by the others
    (tmp_path / "images" / "2.png").write_bytes(b"x")
    kinds, result, told = checked(file)
    assert kinds == ["picture-missing", "box-form", "area", "picture-unreadable", "crowd-value"]
    assert "instances_train.json, picture 1.png, annotation 1: bbox is [1, 2], expected four numbers" in str(told[1])
    assert [image["id"] for image in result.content["images"]] == [3] and result.content["annotations"] == []
    assert checked(file, limit=1)[0] == ["picture-missing", "box-form", "area"]


def test_the_same_object_twice(tmp_path):
    twice = [
        annotation(1),
        annotation(2),
        annotation(3, category_id=3, segmentation=[[20, 10, 40, 10, 40, 18]]),
        annotation(4, image_id=2),
    ]
    kinds, result, told = checked(write(tmp_path, twice, 2))
    assert kinds == ["object-twice"] and told[0].annotation == 2
    assert [a["id"] for a in result.content["annotations"]] == [1, 3, 4]


def test_sizes(tmp_path):
    kinds, result, _ = checked(write(tmp_path / "a", [annotation(1)], height=41))
    assert kinds == ["picture-size"] and result.content["images"] == []
    # Height and width swapped, which an object at the right edge proves …
    file = write(tmp_path / "b", [annotation(1, box=(45, 10, 10, 8))], height=60, width=40)
    kinds, result, _ = checked(file)
    assert kinds == ["picture-size"] and result.content["images"][0]["width"] == 60 and result.content["annotations"]
    # … and without such an object nobody can say.
    kinds, result, _ = checked(write(tmp_path / "c", [annotation(1)], height=60, width=40))
    assert kinds == ["picture-size"] and result.content["images"] == []
    # A size that is absent is taken from the picture.
    kinds, result, _ = checked(write(tmp_path / "d", [annotation(1)], height=None))
    assert kinds == ["picture-form"] and result.content["images"][0]["height"] == 40 and result.content["annotations"]


def test_exif(tmp_path):
    """Annotated as turned: the picture is turned in a copy. Annotated as stored: nothing but a note."""
    turned = annotation(1, box=(5, 45, 8, 10))
    kinds, result, told = checked(write(tmp_path / "a", [turned], height=60, width=40, orientation=6, suffix="jpg"))
    assert kinds == ["picture-size"] and result.turned == {"1.jpg": 6} and result.content["annotations"] == [turned]
    assert "turned by its EXIF orientation (6)" in told[0].cause
    kinds, result, told = checked(write(tmp_path / "b", [annotation(1)], orientation=6, suffix="jpg"))
    assert kinds == ["exif-turned"] and result.turned == {}


def test_a_set_in_0_to_1_without_masks(tmp_path):
    boxes = [annotation(n, box=(0.1 * n, 0.2, 0.3, 0.3), segmentation=[], area=0.09) for n in (1, 2)]
    kinds, *_ = checked(write(tmp_path / "a", boxes))
    assert kinds == ["box-normalised"] * 2
    corner = [annotation(1, box=(0, 0, 1, 1), segmentation=[]), annotation(2, box=(5, 5, 9, 9), segmentation=[])]
    assert checked(write(tmp_path / "b", corner))[0] == []


def test_files_that_cannot_be_read(tmp_path):
    file = tmp_path / "instances_train.json"
    for text, kind in (
        ("", "json-broken"),
        ('{"images": [', "json-broken"),
        ("[]", "json-form"),
        ('{"images": 3}', "json-form"),
    ):
        file.write_text(text)
        kinds, result, told = checked(file)
        assert kinds == [kind] and result is None and "instances_train.json" in told[0].found
    with pytest.raises(FileNotFoundError):
        checked(tmp_path / "nothing.json")


def test_no_objects_and_no_pictures(tmp_path):
    assert checked(write(tmp_path / "a", []))[0] == ["no-objects"]
    crowd = annotation(
        1, iscrowd=1, segmentation={"size": [40, 60], "counts": [0, 2400]}, bbox=[0, 0, 60, 40], area=2400
    )
    assert checked(write(tmp_path / "b", [crowd]))[0] == ["no-objects"]
    file = write(tmp_path / "c", [annotation(1)])
    (tmp_path / "c" / "images" / "1.png").unlink()
    assert checked(file)[0] == ["pictures-not-found"]
    kinds, result, _ = checked(file, alone=True)
    assert kinds == ["file-alone"] and len(result.content["annotations"]) == 1
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "elsewhere" / "1.png")
    assert checked(file, pictures=tmp_path / "elsewhere")[0] == []


def test_equal_pictures_in_a_split_are_a_note(tmp_path):
    file = write(tmp_path, [annotation(1)], 2)
    (tmp_path / "images" / "2.png").write_bytes((tmp_path / "images" / "1.png").read_bytes())
    assert checked(file)[0] == ["picture-twice"]
