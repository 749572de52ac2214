"""data/label_png.py: Penn-Fudan's layout and the nuclei's, made here; and the real ones where they are."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from mrcnn_lite.data.coco import CocoJson
from mrcnn_lite.data.label_png import LabelPictures


def write(root, number, pictures="images", masks="masks", suffix="", ids=None):
    (root / pictures).mkdir(parents=True, exist_ok=True)
    (root / masks).mkdir(exist_ok=True)
    for i in range(number):
        picture = np.full((6, 8, 3), i, np.uint8)
        label = np.zeros((6, 8), np.uint8)
        label[1:3, 2:5] = 1
        label[4:, 6:] = 2
        Image.fromarray(picture).save(root / pictures / f"p{i:02d}.png")
        Image.fromarray(label if ids is None else ids).save(root / masks / f"p{i:02d}{suffix}.png")


def test_objects_by_hand(tmp_path):
    write(tmp_path, 2, "PNGImages", "PedMasks", "_mask")
    image, target = LabelPictures(tmp_path, "all")[1]
    assert (image * 255).round().unique().tolist() == [1]
    assert target["boxes"].tolist() == [[2, 1, 5, 3], [6, 4, 8, 6]] and target["labels"].tolist() == [1, 1]
    assert target["masks"].sum((1, 2)).tolist() == [6, 4] == target["area"].tolist()
    assert LabelPictures(tmp_path, "all").class_names == ("background", "person")


def test_gaps_in_the_numbers_and_pictures_without_objects(tmp_path):
    write(tmp_path, 1, ids=np.array([[0, 500], [7, 7]], np.uint16).repeat(3, 0).repeat(4, 1))
    with pytest.warns(UserWarning, match="one picture"):
        target = LabelPictures(tmp_path)[0][1]
    assert target["boxes"].tolist() == [[0, 3, 8, 6], [4, 0, 8, 3]]
    write(tmp_path / "b", 2, ids=np.zeros((6, 8), np.uint8))
    target = LabelPictures(tmp_path / "b", "all")[0][1]
    assert target["boxes"].shape == (0, 4) and target["masks"].shape == (0, 6, 8)
    write(tmp_path / "c", 2, ids=np.full((6, 8), 3, np.uint8))  # no background at all
    assert LabelPictures(tmp_path / "c", "all")[0][1]["boxes"].tolist() == [[0, 0, 8, 6]]


def test_every_fifth_picture_is_for_validation(tmp_path):
    write(tmp_path, 11)
    train, val, everything = (LabelPictures(tmp_path, split) for split in ("train", "val", "all"))
    assert [val.image_name(i) for i in range(len(val))] == ["p00.png", "p05.png", "p10.png"]
    ids = [{dataset.image_id(i) for i in range(len(dataset))} for dataset in (train, val, everything)]
    assert ids[0] | ids[1] == ids[2] and not ids[0] & ids[1] and len(ids[2]) == 11


def test_an_index_names_split_and_class(tmp_path):
    write(tmp_path, 3)
    entries = [{"name": f"p{i:02d}", "split": "val" if i == 1 else "train"} for i in range(3)]
    (tmp_path / "index.json").write_text(json.dumps(entries))
    assert [LabelPictures(tmp_path, "val").image_name(0), len(LabelPictures(tmp_path))] == ["p01.png", 2]
    assert LabelPictures(tmp_path).class_names[1] == "object"
    (tmp_path / "index.json").write_text(json.dumps({"class_name": "nucleus", "pictures": entries}))
    assert LabelPictures(tmp_path).class_names[1] == "nucleus"
    assert LabelPictures(tmp_path, class_name="cell").class_names[1] == "cell"
    (tmp_path / "index.json").write_text(json.dumps(entries[:2]))
    with pytest.raises(ValueError, match=r"p02: the index does not name it.*\n`mrcnn-lite data check"):
        LabelPictures(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps([entry | {"split": "train"} for entry in entries]))
    with pytest.raises(ValueError, match="no picture of split 'val'"):
        LabelPictures(tmp_path, "val")


def test_faults_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="PNGImages/ beside PedMasks/ or images/ beside masks/"):
        LabelPictures(tmp_path)
    write(tmp_path, 2)
    with pytest.raises(ValueError, match="'all'; got 'test'"):
        LabelPictures(tmp_path, "test")
    Image.fromarray(np.zeros((5, 8), np.uint8)).save(tmp_path / "masks" / "p01.png")
    with pytest.raises(ValueError, match=r"p01\.png is of size \(H, W\) \[5, 8\], the picture \[6, 8\]"):
        LabelPictures(tmp_path, "all")[1]
    (tmp_path / "masks" / "p00.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 pictures lack a label picture; the first is .*p00\.png"):
        LabelPictures(tmp_path)


# ---- real data -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*holds one picture")
def test_penn_fudan_boxes_equal_those_of_its_annotation_file(shared_data):
    folder = shared_data("pennfudan_sample")
    dataset = LabelPictures(folder)
    text = next(folder.rglob("FudanPed*.txt")).read_text()
    numbers = re.findall(r"\((\d+), (\d+)\) - \((\d+), (\d+)\)", text)
    # The file counts pixels from 1 and includes the last one: our x1 is one less, our x2 the same number.
    expected = [[int(x1) - 1, int(y1) - 1, int(x2), int(y2)] for x1, y1, x2, y2 in numbers]
    assert dataset[0][1]["boxes"].tolist() == expected and expected[0] == [96, 134, 182, 418]
    assert dataset.class_names == ("background", "person")


def test_both_forms_of_the_nuclei_hold_the_same_masks(shared_data):
    folder = shared_data("nuclei")
    labels, coco = LabelPictures(folder, "val"), CocoJson(folder / "instances_val.json")
    by_name = {labels.image_name(i): i for i in range(len(labels))}
    assert len(labels) == len(coco) and len(LabelPictures(folder, "train")) == 403
    num_objects = 0
    for i in range(0, len(coco), 2):
        image, target = coco[i]
        other_image, other = labels[by_name[coco.image_name(i)]]
        assert (image == other_image).all()
        # The order of the objects differs: compare by box, then masks one by one.
        first, second = (sorted(range(len(t["boxes"])), key=lambda g: t["boxes"][g].tolist()) for t in (target, other))
        assert (target["boxes"][first] == other["boxes"][second]).all()
        if len({tuple(box) for box in target["boxes"].tolist()}) == len(first):
            assert (target["masks"][first] == other["masks"][second]).all()
        num_objects += len(first)
    assert num_objects > 500
