"""data/coco.py: hand-made files with every oddity, and real COCO where it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO

from mrcnn_lite.data.coco import CocoJson

SQUARE = [[2, 1, 5, 1, 5, 3, 2, 3]]  # x 2..5, y 1..3


CATEGORIES = [{"id": 90, "name": "zebra"}, {"id": 3, "name": "car"}, {"id": 17, "name": "cat"}]


def annotation(number, image_id=7, category_id=3, **changes):
    base = {"id": number, "image_id": image_id, "category_id": category_id, "iscrowd": 0, "area": 6.0}
    return base | {"bbox": [2, 1, 3, 2], "segmentation": SQUARE} | changes


def write(root, annotations, categories=CATEGORIES, name="instances_val.json", sizes=((7, 6, 8), (9, 5, 4))):
    (root / "images").mkdir(parents=True, exist_ok=True)
    images = []
    for image_id, height, width in sizes:
        file_name = f"{image_id}.png"
        Image.fromarray(np.full((height, width, 3), image_id, np.uint8)).save(root / "images" / file_name)
        images.append({"id": image_id, "file_name": file_name, "height": height, "width": width})
    file = root / name
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file


def test_gaps_in_category_ids_map_there_and_back(tmp_path):
    file = write(tmp_path, [annotation(1, category_id=90), annotation(2, category_id=3)])
    dataset = CocoJson(file)
    assert dataset.class_names == ("background", "car", "cat", "zebra")
    assert dataset[0][1]["labels"].tolist() == [3, 1]
    assert [dataset.to_coco_id(label) for label in (1, 2, 3)] == [3, 17, 90]
    truth = dataset.coco_ground_truth()
    assert [a["category_id"] for a in truth["annotations"]] == [3, 1]
    assert [c["id"] for c in truth["categories"]] == [1, 2, 3]


def test_polygons_and_both_kinds_of_rle_give_one_mask(tmp_path):
    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 2:5] = 1
    compressed = rle.encode(np.asfortranarray(mask))
    compressed["counts"] = compressed["counts"].decode()
    changes = np.flatnonzero(np.diff(np.concatenate([[0], mask.ravel("F"), [2]])))
    uncompressed = {"size": [6, 8], "counts": np.diff(np.concatenate([[0], changes])).tolist()}
    two_parts = [[2, 1, 5, 1, 5, 2, 2, 2], [2, 2, 5, 2, 5, 3, 2, 3], [1, 1, 2, 2]]  # and a part of two corners
    forms = [SQUARE, two_parts, compressed, uncompressed]
    target = CocoJson(write(tmp_path, [annotation(i, segmentation=form) for i, form in enumerate(forms, 1)]))[0][1]
    assert len(target["masks"]) == 4
    for found in target["masks"]:
        assert (found.numpy() == mask).all()


def test_pictures_without_objects_are_kept_or_dropped(tmp_path):
    file = write(tmp_path, [annotation(1)])
    dataset = CocoJson(file)
    assert len(dataset) == 2 and dataset.image_id(1) == 9
    image, target = dataset[1]
    assert target["boxes"].shape == (0, 4) and target["masks"].shape == (0, 5, 4) and image.shape == (3, 5, 4)
    assert len(CocoJson(file, drop_empty=True)) == 1
    with pytest.raises(ValueError, match="names no picture with an object"):
        CocoJson(write(tmp_path, []), drop_empty=True)


def test_crowds_are_no_targets_but_stay_in_the_ground_truth(tmp_path):
    crowd = {"size": [6, 8], "counts": [0, 48]}
    file = write(tmp_path, [annotation(1), annotation(2, iscrowd=1, segmentation=crowd)])
    dataset = CocoJson(file)
    assert len(dataset[0][1]["boxes"]) == 1 and dataset.left_out == {"crowd": 1}
    assert [a["iscrowd"] for a in dataset.coco_ground_truth()["annotations"]] == [0, 1]
    only_crowd = CocoJson(write(tmp_path, [annotation(2, iscrowd=1, segmentation=crowd), annotation(3, image_id=9)]))
    assert [len(only_crowd[i][1]["boxes"]) for i in (0, 1)] == [0, 1]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"segmentation": {"size": [6, float("nan")], "counts": [0, 48]}}, r"an RLE of size \[6, nan\]"),
        ({"segmentation": {"size": [8, 6], "counts": [0, 48]}}, "width and height are swapped"),
        ({"bbox": [0, 0, 10**400, 4]}, r"bbox \[0, 0, inf, 4\] is not finite"),
        ({"area": float("inf")}, "has the area inf"),
        ({"keypoints": ["x"]}, r"has keypoints \['x'\]"),
    ],
)
def test_what_only_the_evaluation_draws_is_checked_as_well(change, message, tmp_path):
    categories = [{"id": 3, "name": "car", "keypoints": ["nose"]}]
    crowd = {"iscrowd": 1, "segmentation": {"size": [6, 8], "counts": [0, 48]}} | change
    file = write(tmp_path, [annotation(5), annotation(6, **crowd)], categories)
    with pytest.raises(ValueError, match=rf"instances_val\.json.* annotation 6.*{message}"):
        CocoJson(file)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"area": float("nan")}, "has the area nan, expected a number from 0"),
        ({"area": " "}, "has the area ' '"),
        ({"area": -1}, "has the area -1"),
        ({"keypoints": "a"}, "has keypoints 'a', expected numbers"),
        ({"keypoints": [1, 2, "x"]}, r"has keypoints \[1, 2, 'x'\]"),
    ],
)
def test_wrong_areas_and_keypoints_are_named(change, message, tmp_path):
    categories = [{"id": 3, "name": "car", "keypoints": ["nose"]}]
    dataset = CocoJson(write(tmp_path, [annotation(5, **change)], categories))
    with pytest.raises(ValueError, match=rf"instances_val\.json: annotation 5 {message}"):
        dataset[0]


def test_useless_annotations_are_left_out_and_counted(tmp_path):
    annotations = [
        annotation(1),
        annotation(2, bbox=[2, 1, 0, 2]),  # no width
        annotation(3, bbox=[9, 1, 3, 2]),  # outside
        annotation(4, segmentation=[]),
        annotation(5, segmentation=[[2.1, 1.1, 2.2, 1.1, 2.2, 1.2]]),  # covers no pixel's centre
        annotation(6, image_id=1234),
    ]
    file = write(tmp_path, annotations)
    with pytest.warns(UserWarning, match="left out of the targets") as warned:
        dataset = CocoJson(file)
    assert "2 with a box without area" in str(warned[0].message) and "1 without a seg" in str(warned[0].message)
    assert dataset.left_out["of a picture that the file does not name"] == 1
    target = dataset[0][1]
    assert len(target["boxes"]) == len(target["masks"]) == len(target["labels"]) == len(target["area"]) == 1
    assert dataset.empty_masks == {5}
    assert len(dataset.coco_ground_truth()["annotations"]) == 5


def test_boxes_are_the_files_clipped_and_areas_the_files(tmp_path):
    file = write(tmp_path, [annotation(1, bbox=[-1.5, 0.25, 4, 9], area=5.5), annotation(2)])
    target = CocoJson(file)[0][1]
    assert target["boxes"][0].tolist() == [0, 0.25, 2.5, 6] and target["area"].tolist() == [5.5, 6]


def test_boxes_only_and_masks_only(tmp_path):
    without = annotation(1)
    del without["segmentation"]
    target = CocoJson(write(tmp_path, [without]))[0][1]
    assert "masks" not in target and target["boxes"].tolist() == [[2, 1, 5, 3]]
    without = annotation(1)
    del without["bbox"], without["area"]
    target = CocoJson(write(tmp_path, [without]))[0][1]
    assert target["boxes"].tolist() == [[2, 1, 5, 3]] and target["area"].tolist() == [6]


def test_keypoints_are_pixel_centres(tmp_path):
    categories = [{"id": 1, "name": "person", "keypoints": ["left_hand", "right_hand"], "skeleton": [[1, 2]]}]
    seen = annotation(1, category_id=1, keypoints=[3, 1, 2, 0, 0, 0], num_keypoints=1)
    unseen = annotation(2, image_id=9, category_id=1, bbox=[0, 0, 3, 3], keypoints=[0] * 6, num_keypoints=0)
    file = write(tmp_path, [seen, unseen], categories, "person_keypoints_val.json")
    dataset = CocoJson(file)
    assert dataset.keypoint_names == ("left_hand", "right_hand") and dataset.skeleton == ((0, 1),)
    assert dataset.keypoint_flip == (1, 0)
    assert dataset[0][1]["keypoints"].tolist() == [[[3.5, 1.5, 2], [0, 0, 0]]]
    assert dataset.coco_ground_truth()["annotations"][0]["keypoints"] == [3, 1, 2, 0, 0, 0]
    assert len(CocoJson(file, drop_empty=True)) == 1  # only pictures with a visible keypoint
    with pytest.raises(ValueError, match="annotation 1 has 3 numbers for its keypoints; 2 keypoints have 6"):
        CocoJson(write(tmp_path, [seen | {"keypoints": [1, 1, 1]}], categories))[0]


@pytest.mark.parametrize(
    "annotations, categories, message",
    [
        (
            [annotation(5, category_id=44)],
            CATEGORIES,
            "annotation 5: category_id is 44, the file names 3, with ids from 3 to 90",
        ),
        ([], [], "no categories, expected at least one"),
        ([], [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], "'b' has the id 1, which another category has too"),
        ([annotation(5, segmentation={"size": [8, 6], "counts": [48]})], CATEGORIES, r"RLE of size \[8, 6\]"),
        (
            [annotation(5, segmentation={"size": [6, 8], "counts": [4]})],
            CATEGORIES,
            "annotation 5: an RLE of 4 pixels, expected 6 x 8 = 48",
        ),
        ([annotation(5, segmentation=[[1, 2, 3, 4, 5, 6, 7]])], CATEGORIES, "odd number of coordinates"),
    ],
)
def test_faults_are_named(tmp_path, annotations, categories, message):
    with pytest.raises(ValueError, match=message):
        CocoJson(write(tmp_path, annotations, categories))[0]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"bbox": [2, float("nan"), 3, 2]}, r"annotation 5: bbox \[2, nan, 3, 2\] is not finite.*\[box-not-finite\]"),
        ({"bbox": [2, 1, 3]}, r"annotation 5: bbox is \[2, 1, 3\], expected four numbers"),
        ({"segmentation": [[1, 1, 2, 2, 3, float("inf")]]}, "annotation 5: polygon 0 has NaN or infinity"),
        ({"segmentation": [[1, 1, 2e9, 2, 3, 3]]}, "annotation 5: polygon 0 has the coordinate 2e.09"),
        ({"segmentation": {"size": [6, 8], "counts": "~~~"}}, "compressed run lengths"),
        ({"image_id": "7"}, "image_id is '7', expected whole numbers"),
    ],
)
def test_what_would_pass_in_silence_or_end_the_process_is_refused(tmp_path, changes, message):
    """NaN in a box would be clipped to the whole picture, NaN in a polygon ends the process in pycocotools."""
    with pytest.raises(ValueError, match=message):
        CocoJson(write(tmp_path, [annotation(1), annotation(5, **changes)]))[0]


def test_a_refusal_names_the_command_that_lists_every_problem(tmp_path):
    file = write(tmp_path, [annotation(5, category_id=44)])
    with pytest.raises(ValueError, match=rf"`mrcnn-lite data check {file}` lists every problem"):
        CocoJson(file)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "images/../../x.png", "C:/x.png", "a\\b.png"])
def test_names_do_not_leave_the_folder(tmp_path, name):
    file = write(tmp_path, [annotation(1)])
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = name
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"name-leaves-folder"):
        CocoJson(file)


def test_an_absurd_size_is_refused_before_anything_is_drawn(tmp_path):
    file = write(tmp_path, [annotation(1)])
    content = json.loads(file.read_text())
    content["images"][0] |= {"width": 10**6, "height": 10**6}
    file.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"1000000 x 1000000 pixels, expected at most 89,478,485 .*MRCNN_LITE_MAX_PIXELS"
    ):
        CocoJson(file)


def test_faults_of_the_file_and_its_pictures(tmp_path):
    file = write(tmp_path, [annotation(1)])
    content = json.loads(file.read_text())
    content["images"][0]["width"] = 9
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"7\.png is of size \(H, W\) \[6, 8\], .* says \[6, 9\]"):
        CocoJson(file)[0]
    (tmp_path / "images" / "9.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"9\.png is missing, which .*instances_val\.json names"):
        CocoJson(file)[1]
    content["images"].append(content["images"][0])
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="the id 7, which another picture has too"):
        CocoJson(file)
    file.write_text("[1, 2]")
    with pytest.raises(ValueError, match="expected lists of images, annotations, categories, found a list"):
        CocoJson(file)
    file.write_text("{")
    with pytest.raises(ValueError, match="is no JSON"):
        CocoJson(file)


def test_ground_truth_is_completed_for_the_evaluation(tmp_path):
    """pycocotools needs an area, a box and a segmentation of each annotation, and crashes on empty polygons."""
    incomplete = {"id": 1, "image_id": 7, "category_id": 3, "segmentation": SQUARE}
    file = write(tmp_path, [incomplete, annotation(2, segmentation=[]), annotation(3, segmentation=[[1, 1, 2, 2]])])
    with pytest.warns(UserWarning, match="2 without a segmentation"):
        dataset = CocoJson(file)
    first, *others = dataset.coco_ground_truth()["annotations"]
    assert first["bbox"] == [2, 1, 3, 2] and first["area"] == 6 and first["iscrowd"] == 0
    truth = COCO()
    truth.dataset = dataset.coco_ground_truth()
    truth.createIndex()
    assert [truth.annToMask(a).sum() for a in others] == [0, 0]


def test_grey_pictures_become_rgb(tmp_path):
    file = write(tmp_path, [annotation(1)])
    Image.fromarray(np.full((6, 8), 51, np.uint8)).save(tmp_path / "images" / "7.png")
    image, _ = CocoJson(file)[0]
    assert image.shape == (3, 6, 8) and image.unique().tolist() == pytest.approx([0.2])


# ---- real data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "val"])
def test_photographs_agree_with_pycocotools(shared_data, split, capsys):
    file = shared_data("coco_ccby") / "annotations" / f"instances_{split}2017.json"
    dataset, reference = CocoJson(file), COCO(str(file))
    assert len(dataset.class_names) == 81 and dataset.to_coco_id(80) == 90
    crowds = 0
    for i in range(0, len(dataset), 3):
        target = dataset[i][1]
        annotations = reference.imgToAnns[target["image_id"]]
        crowds += sum(a["iscrowd"] for a in annotations)
        annotations = [a for a in annotations if not a["iscrowd"]]
        assert [dataset.to_coco_id(label) for label in target["labels"].tolist()] == [
            a["category_id"] for a in annotations
        ]
        for g, a in enumerate(annotations):
            assert (target["masks"][g].numpy() == reference.annToMask(a)).all()
            x, y, width, height = a["bbox"]
            np.testing.assert_allclose(target["boxes"][g], [x, y, x + width, y + height], atol=1e-3)
    assert dataset.left_out["crowd"] == sum(a["iscrowd"] for a in reference.anns.values()) >= crowds


def test_people_have_most_keypoints_inside_their_boxes(shared_data):
    dataset = CocoJson(shared_data("coco_ccby") / "annotations" / "person_keypoints_val2017.json")
    assert dataset.num_keypoints == 17 and dataset.class_names == ("background", "person")
    assert dataset.keypoint_sigmas[0] == 0.026 and dataset.keypoint_flip[:3] == (0, 2, 1)
    people, inside = 0, []
    for i in range(len(dataset)):
        objects = dataset.objects(i)
        for box, joints in zip(objects.boxes, objects.keypoints):
            labelled = joints[joints[:, 2] > 0][:, :2]
            people += len(labelled) > 0
            inside += ((labelled > box[:2]) & (labelled < box[2:])).all(axis=1).tolist()
            assert (labelled % 1 == 0.5).all()  # COCO's integers, half a pixel further
    assert people == 13 and np.mean(inside) > 0.9  # a few lie outside in COCO itself


def test_the_evaluation_oracle_opens_without_its_pictures(shared_data):
    dataset = CocoJson(shared_data("coco_eval_oracle") / "instances_val2014_100.json")
    assert dataset.pictures is None and len(dataset) == 100 and dataset.left_out["crowd"] == 9
    assert len(dataset.coco_ground_truth()["annotations"]) == 839
    with pytest.raises(FileNotFoundError, match="is missing, which"):
        dataset[0]
