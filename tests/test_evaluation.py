"""Evaluation: COCO's published figures to the last digit, cases worked out by hand, and the ways in."""

from __future__ import annotations

import json
import math
import re
import weakref

import pytest
import torch
from pycocotools.coco import COCO
from torch import nn

from mrcnn_lite.coco_results import OTHER_SIGMA, encode_mask
from mrcnn_lite.evaluation import Results, detecting, evaluate, evaluate_detections

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
SIZES = [(120, 160), (200, 100), (150, 150)]  # H, W of the made-up images


def annotation(image_id: int, box: list[float], category: int = 1, **more) -> dict:
    """An object whose mask is its box [x1, y1, x2, y2], in whole pixels."""
    x1, y1, x2, y2 = box
    mask = torch.zeros(SIZES[image_id - 1])
    mask[int(y1) : int(y2), int(x1) : int(x2)] = 1
    shape = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "segmentation": encode_mask(mask)}
    return {"image_id": image_id, "category_id": category, "iscrowd": 0, **shape, **more}


def truth_of(*annotations: dict, names: tuple[str, ...] = ("cat", "dog")) -> dict:
    images = [{"id": i, "height": h, "width": w, "file_name": f"{i}.png"} for i, (h, w) in enumerate(SIZES, start=1)]
    return {
        "images": images,
        "categories": [{"id": k, "name": name} for k, name in enumerate(names, start=1)],
        "annotations": [{"id": n, **annotation} for n, annotation in enumerate(annotations)],  # 0 is an id as well
    }


def result(image_id: int, box: list[float], score: float, category: int = 1) -> dict:
    entry = annotation(image_id, box, category)
    return {key: entry[key] for key in ("image_id", "category_id", "bbox", "segmentation")} | {"score": score}


def as_detection(annotations: list[dict], size: tuple[int, int], label_of=int) -> dict[str, torch.Tensor]:
    """Ground truth turned into what a perfect model gives for one image."""
    boxes = torch.tensor([a["bbox"] for a in annotations], dtype=torch.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    coco = COCO()
    coco.imgs = {a["image_id"]: {"height": size[0], "width": size[1]} for a in annotations}
    masks = [torch.from_numpy(coco.annToMask(a)).bool() for a in annotations]
    detection = {
        "boxes": boxes,
        "labels": torch.tensor([label_of(a["category_id"]) for a in annotations], dtype=torch.int64),
        "scores": torch.ones(len(annotations)),
        "masks": torch.stack(masks) if masks else torch.zeros(0, *size, dtype=torch.bool),
    }
    if any("keypoints" in a for a in annotations):
        keypoints = torch.tensor([a["keypoints"] for a in annotations]).reshape(len(annotations), -1, 3).double()
        keypoints[..., :2] += 0.5
        detection["keypoints"] = keypoints
    return detection


class FakeDataset:
    """Pictures whose first pixel says which they are, and a COCO ground truth."""

    keypoint_sigmas = ()

    def __init__(self, truth: dict):
        self.truth = truth

    def __len__(self) -> int:
        return len(self.truth["images"])

    def __getitem__(self, i: int):
        record = self.truth["images"][i]
        image = torch.zeros(3, record["height"], record["width"])
        image[0, 0, 0] = i
        return image, {"image_id": record["id"]}

    def coco_ground_truth(self) -> dict:
        return self.truth

    def to_coco_id(self, label: int) -> int:
        return 10 * label


class PerfectModel(nn.Module):
    """Looks the truth up; called as torchvision's models are."""

    def __init__(self, truth: dict):
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(1, 1), nn.Dropout())
        self.truth = truth

    def forward(self, images):
        assert not self.training
        assert not torch.is_grad_enabled()
        detections = []
        for image in images:
            record = self.truth["images"][int(image[0, 0, 0])]
            own = [a for a in self.truth["annotations"] if a["image_id"] == record["id"]]
            detections.append(as_detection(own, (record["height"], record["width"])))
        return detections


# ---- COCO's own figures ------------------------------------------------------------------------------


@pytest.fixture
def oracle(shared_data):
    folder = shared_data("coco_eval_oracle")
    return folder, json.loads((folder / "expected.json").read_text())


@pytest.mark.parametrize(("task", "theirs"), [("box", "bbox"), ("mask", "segm")])
def test_coco_figures_to_the_last_digit(oracle, task, theirs):
    folder, expected = oracle
    results = evaluate_detections(
        folder / f"instances_val2014_fake{theirs}100_results.json", folder / "instances_val2014_100.json"
    )
    assert list(getattr(results, task).values()) == expected[theirs]["stats"]
    per_class = {name: row[task] for name, row in results.per_class.items() if row[task] is not None}
    assert per_class == expected[theirs]["per_category_AP"]
    assert results.images == 100
    published = (folder / "val2014_fake_eval_res.txt").read_text().split("type=")
    (table,) = [part for part in published if part.startswith(theirs)]
    figures = re.findall(r"= (-?\d\.\d{3})$", table, flags=re.MULTILINE)
    assert [f"{value:.3f}" for value in getattr(results, task).values()] == figures


def test_coco_figures_without_classes(oracle):
    folder, expected = oracle
    results = evaluate_detections(
        folder / "instances_val2014_fakebbox100_results.json",
        folder / "instances_val2014_100.json",
        use_categories=False,
    )
    assert list(results.box.values()) == expected["bbox_class_agnostic"]["stats"]
    assert results.per_class == {}


def test_coco_figures_of_keypoints(oracle):
    folder, expected = oracle
    folder = folder / "keypoints_1image"
    results = evaluate_detections(folder / "dt_dataset.json", folder / "gt_dataset.json")
    assert list(results.keypoint.values()) == expected["keypoints_1image"]["stats"]
    assert list(results.keypoint) == ["AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"]


# ---- ground truth as predictions ---------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train2017", "val2017"])
@pytest.mark.parametrize("kind", ["instances", "person_keypoints"])
def test_ground_truth_as_predictions_is_perfect(shared_data, split, kind):
    """On photographs, crowds and persons without joints included."""
    truth = json.loads((shared_data("coco_ccby") / "annotations" / f"{kind}_{split}.json").read_text())
    labels = {category: k for k, category in enumerate(sorted(c["id"] for c in truth["categories"]), start=1)}
    detections = []
    for image in truth["images"]:
        own = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        detections.append(as_detection(own, (image["height"], image["width"]), labels.get))
    results = evaluate_detections(detections, truth)
    tasks = ("box", "mask") if kind == "instances" else ("box", "mask", "keypoint")
    for task in tasks:
        figures = getattr(results, task)
        assert [figures[name] for name in ("AP", "AP50", "AP75")] == pytest.approx([1, 1, 1], abs=1e-12)
        for row in results.per_class.values():
            assert row[task] is None or row[task] == pytest.approx(1, abs=1e-12)
    assert (results.keypoint is None) == (kind == "instances")


def test_crowds_are_among_those_photographs(shared_data):
    files = (shared_data("coco_ccby") / "annotations").glob("*.json")
    assert any(a["iscrowd"] for file in files for a in json.loads(file.read_text())["annotations"])


# ---- by hand -----------------------------------------------------------------------------------------


def test_precision_and_recall_by_hand():
    """Hit, miss, hit: precision 1 up to recall 1/2 (51 of COCO's 101 points), 2/3 above."""
    truth = truth_of(annotation(1, [10, 10, 50, 50]), annotation(2, [10, 10, 50, 90]))
    found = [
        result(1, [10, 10, 50, 50], 0.9),
        result(1, [80, 60, 120, 110], 0.8),
        result(2, [10, 10, 50, 90], 0.7),
    ]
    results = evaluate_detections(found, truth)
    for figures in (results.box, results.mask):
        assert figures["AP"] == pytest.approx((51 + 50 * 2 / 3) / 101)
        assert figures["AR100"] == 1
    assert results.per_class["cat"] == {"objects": 2, "box": results.box["AP"], "mask": results.mask["AP"]}
    assert results.per_class["dog"] == {"objects": 0, "box": None, "mask": None}
    assert (results.images, results.objects, results.detections) == (3, 2, 3)


def test_iou_thresholds_by_hand():
    """An IoU of 0.72 passes .50 to .70: five of the ten thresholds."""
    truth = truth_of(annotation(1, [0, 0, 100, 100]))
    results = evaluate_detections([result(1, [0, 0, 72, 100], 0.3)], truth)
    for figures in (results.box, results.mask):
        assert (figures["AP"], figures["AP50"], figures["AP75"]) == pytest.approx((0.5, 1, 0))


def test_object_sizes_by_hand():
    """A mask counts by its own area, not by its box: 700 pixels are small, the box of 1,600 is medium."""

    def corner(left: int, top: int) -> dict:
        mask = torch.zeros(SIZES[0])
        mask[top : top + 40, left : left + 10] = 1
        mask[top : top + 10, left : left + 40] = 1
        return encode_mask(mask)

    box, elsewhere = [10, 10, 50, 50], [60, 60, 100, 100]
    truth = truth_of(annotation(1, box, segmentation=corner(10, 10), area=700))
    found = [dict(result(1, box, 0.8), segmentation=corner(10, 10))]
    figures = evaluate_detections(found, truth).mask
    assert (figures["APs"], figures["APm"], figures["APl"]) == (pytest.approx(1), None, None)
    medium = evaluate_detections([*found, result(1, elsewhere, 0.9)], truth)  # a miss, but of another size
    assert (medium.mask["AP"], medium.mask["APs"]) == pytest.approx((0.5, 1))
    small = evaluate_detections([*found, dict(result(1, elsewhere, 0.9), segmentation=corner(60, 60))], truth)
    assert (small.mask["AP"], small.mask["APs"]) == pytest.approx((0.5, 0.5))


def test_a_crowd_is_neither_hit_nor_miss():
    objects = [annotation(1, [10, 10, 40, 40]), annotation(1, [60, 10, 150, 100], iscrowd=1)]
    found = [result(1, [10, 10, 40, 40], 0.5), result(1, [70, 20, 100, 50], 0.9), result(1, [100, 50, 130, 90], 0.8)]
    results = evaluate_detections(found, truth_of(*objects))
    assert results.box["AP"] == results.mask["AP"] == pytest.approx(1)
    assert results.objects == 1
    without = evaluate_detections(found, truth_of(objects[0]))
    assert without.box["AP"] == pytest.approx(1 / 3)


def test_classes_and_images_are_kept_apart():
    truth = truth_of(annotation(1, [10, 10, 40, 40], 1), annotation(2, [10, 10, 40, 40], 2))
    swapped = [result(1, [10, 10, 40, 40], 0.9, 2), result(2, [10, 10, 40, 40], 0.9, 1)]
    assert evaluate_detections(swapped, truth).box["AP"] == 0
    assert evaluate_detections(swapped, truth, use_categories=False).box["AP"] == pytest.approx(1)


def joints(x: float, y: float) -> list[float]:
    return [value for k in range(5) for value in (x + 5 * k, y + 3 * k, 2)]


@pytest.mark.parametrize("sigma", [None, 0.1])
def test_keypoints_by_hand(sigma):
    """All joints off by d: OKS = exp(-d^2 / (2 area (2 sigma)^2)), here 0.72; a person without joints is ignored."""
    area, k = 40.0 * 40.0, 2 * (sigma or OTHER_SIGMA)
    off = math.sqrt(-2 * area * k**2 * math.log(0.72))
    truth = truth_of(
        annotation(1, [10, 10, 50, 50], keypoints=joints(15, 15), num_keypoints=5),
        annotation(1, [100, 60, 140, 100], keypoints=[0] * 15, num_keypoints=0),
    )
    sigmas = None if sigma is None else [sigma] * 5
    found = [dict(result(1, [10, 10, 50, 50], 0.6), keypoints=joints(15 + off, 15))]
    results = evaluate_detections(found, truth, sigmas=sigmas)
    assert (results.keypoint["AP"], results.keypoint["AP50"], results.keypoint["AP75"]) == pytest.approx((0.5, 1, 0))
    found += [dict(result(1, [100, 60, 140, 100], 0.9), keypoints=joints(110, 70))]  # found, though not annotated
    assert evaluate_detections(found, truth, sigmas=sigmas).keypoint == results.keypoint
    found += [dict(result(2, [10, 10, 50, 50], 0.9), keypoints=joints(15, 15))]
    assert evaluate_detections(found, truth, sigmas=sigmas).keypoint["AP"] == pytest.approx(0.25)


def test_another_number_of_joints_is_refused():
    truth = truth_of(annotation(1, [10, 10, 50, 50], keypoints=joints(15, 15), num_keypoints=5))
    found = [dict(result(1, [10, 10, 50, 50], 0.6), keypoints=[1, 1, 1] * 4)]
    with pytest.raises(ValueError, match="image 1: 4 keypoints where others have 5"):
        evaluate_detections(found, truth)
    with pytest.raises(ValueError, match="3 sigmas for 5 keypoints"):
        evaluate_detections([dict(found[0], keypoints=joints(15, 15))], truth, sigmas=[0.1] * 3)


# ---- empties -----------------------------------------------------------------------------------------


def test_no_detections_score_zero_and_no_truth_scores_nothing():
    truth = truth_of(annotation(1, [10, 10, 50, 50]))
    results = evaluate_detections([], truth)
    assert (results.box["AP"], results.mask["AP"], results.keypoint) == (0, 0, None)
    assert (results.box["APm"], results.box["APs"]) == (0, None)
    results = evaluate_detections([result(1, [10, 10, 50, 50], 0.9)], truth_of())
    assert set(results.box.values()) == set(results.mask.values()) == {None}
    assert evaluate_detections([], truth_of()).box is None
    assert evaluate_detections([], truth_of(), tasks=["box"]).box["AP"] is None


def test_a_truth_of_boxes_alone_leaves_masks_out():
    truth = truth_of(annotation(1, [10, 10, 50, 50], segmentation=[]))
    results = evaluate_detections([result(1, [10, 10, 50, 50], 0.9)], truth)
    assert results.box["AP"] == pytest.approx(1)
    assert results.mask is None


# ---- models and data sets ----------------------------------------------------------------------------


def some_truth() -> dict:
    return truth_of(
        annotation(1, [10, 10, 50, 50]), annotation(1, [60, 20, 90, 110], 2), annotation(2, [5, 5, 80, 60], 2)
    )


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_perfect_model_on_images_of_several_sizes(batch_size, capsys):
    truth = some_truth()
    model = PerfectModel(truth).train()
    model.layer.eval()  # as a frozen part would be
    results = evaluate(model, FakeDataset(truth), batch_size=batch_size)
    assert results.box["AP"] == results.mask["AP"] == pytest.approx(1)
    assert results.images == 3
    assert (model.training, model.layer.training, model.layer[1].training) == (True, False, False)
    assert capsys.readouterr().out == ""


def test_limit_takes_the_first_images_alone():
    truth = some_truth()
    results = evaluate(PerfectModel(truth), FakeDataset(truth), limit=1, progress=False)
    assert (results.images, results.objects, results.box["AP"]) == (1, 2, pytest.approx(1))
    with pytest.raises(ValueError, match="3 images and limit is 0"):
        evaluate(PerfectModel(truth), FakeDataset(truth), limit=0)


def test_detect_is_preferred_and_labels_go_by_name():
    truth = some_truth()
    perfect = PerfectModel(truth).eval()

    class Renamed(nn.Module):
        class_names = ("background", "horse", "dog", "cat")

        def detect(self, images):
            found = perfect(images)
            for detection in found:
                detection["labels"] = 4 - detection["labels"]  # cat 1 -> 3, dog 2 -> 2
                horse = {key: value[:1] for key, value in detection.items()} | {"labels": torch.tensor([1])}
                for key in detection if len(detection["labels"]) else ():
                    detection[key] = torch.cat([horse[key], detection[key]])
            return found

    results = evaluate(Renamed(), FakeDataset(truth), progress=False)
    assert results.box["AP"] == pytest.approx(1)
    assert results.detections == 3  # horses are not scored
    renamed = evaluate(perfect, FakeDataset(truth), class_names=("background", "dog", "cat"), progress=False)
    assert renamed.box["AP"] == 0


def test_masks_do_not_pile_up():
    """Only run lengths outlive a batch."""
    truth = some_truth()
    model, alive = PerfectModel(truth).eval(), []

    def detect(images):
        assert not any(reference() is not None for reference in alive[:-1])  # the last one may still have a name
        found = model(images)
        alive.extend(weakref.ref(detection["masks"]) for detection in found)
        return found

    detect.class_names = ("background", "cat", "dog")
    evaluate(detect, FakeDataset(truth), batch_size=1, progress=False)
    assert len(alive) == 3


def test_the_mode_comes_back_after_an_error():
    model = PerfectModel(some_truth()).train()
    with pytest.raises(RuntimeError, match="stop"), detecting(model):
        assert not model.training
        raise RuntimeError("stop")
    assert model.training


def test_detections_as_tensors_follow_the_order_of_the_images():
    truth = some_truth()
    perfect = PerfectModel(truth).eval()
    dataset = FakeDataset(truth)
    with torch.no_grad():
        detections = perfect([image for image, _ in (dataset[i] for i in range(3))])
    assert evaluate_detections(detections, truth).mask["AP"] == pytest.approx(1)
    assert evaluate_detections(detections[1:2], dataset, image_ids=[2]).objects == 1
    with pytest.raises(ValueError, match="detections of 2 images, ground truth of 3"):
        evaluate_detections(detections[:2], truth)
    floats = [dict(d, masks=d["masks"][:, None] * 0.9) for d in detections]  # torchvision's form
    assert evaluate_detections(floats, truth) == evaluate_detections(detections, truth)


def test_results_of_a_file_are_in_the_ids_of_the_data_sets_own_file(tmp_path):
    truth = some_truth()
    entries = [{**a, "score": 0.9, "category_id": 10 * a["category_id"]} for a in truth["annotations"]]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(entries))
    assert evaluate_detections(path, FakeDataset(truth)).box["AP"] == pytest.approx(1)


def test_results_can_be_matched_by_names(tmp_path):
    truth = some_truth()
    names = {1: "cat", 2: "dog"}
    entries = [
        {**a, "score": 0.9, "file_name": f"/photos/{a['image_id']}.png", "category_name": names[a["category_id"]]}
        | {"image_id": 77, "category_id": 55}
        for a in truth["annotations"]
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(entries))
    assert evaluate_detections(str(path), truth).mask["AP"] == pytest.approx(1)


def test_the_truth_is_left_as_it_was():
    truth = some_truth()
    before = json.dumps(truth)
    evaluate_detections([result(1, [10, 10, 50, 50], 0.9)], truth)
    assert json.dumps(truth) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tasks": ["segm"]}, r"unknown tasks \['segm'\]"), ({"max_dets": 10}, "max_dets is 10, expected more than")],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        evaluate_detections([], some_truth(), **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": None}, "image 1: has no scores"),
        ({"scores": torch.tensor([1, math.nan])}, "image 1, detection 1: scores nan"),
        (
            {"boxes": torch.tensor([[10.0, 10, 40, 40], [60, 20, 30, 90]])},
            r"image 1, detection 1: .*looks like x, y, width",
        ),
        ({"labels": torch.tensor([1, 3])}, r"image 1, detection 1: label 3 is none of 1\.\.2"),
        ({"labels": torch.tensor([0, 1])}, r"image 1, detection 0: label 0 is none of 1\.\.2"),
        ({"masks": torch.zeros(2, 160, 120)}, r"image 1: masks of shape \[2, 160, 120\], expected \[2, 120, 160\]"),
        ({"masks": torch.full((2, 120, 160), 255.0)}, "image 1, detection 0: mask values from 255 to 255"),
    ],
)
def test_wrong_detections_name_image_and_detection(change, message):
    truth = some_truth()
    perfect = PerfectModel(truth).eval()
    with torch.no_grad():
        found = perfect([FakeDataset(truth)[i][0] for i in range(3)])
    found[0] = {key: value for key, value in (found[0] | change).items() if value is not None}
    with pytest.raises((ValueError, TypeError), match=message):
        evaluate_detections(found, truth)


def test_boxes_as_x_y_width_height_are_seen_by_their_masks():
    """x2 > x1 and y2 > y1 hold all the same: only the mask shows it."""
    truth = truth_of(annotation(1, [20, 15, 61, 51]), annotation(2, [10, 30, 52, 95]))
    perfect = PerfectModel(truth).eval()
    with torch.no_grad():
        found = perfect([FakeDataset(truth)[i][0] for i in range(3)])
    assert evaluate_detections(found, truth).box["AP"] == pytest.approx(1)
    for detection in found:
        detection["boxes"][:, 2:] -= detection["boxes"][:, :2]
    with pytest.raises(ValueError, match=r"image 1: bbox .* where x1, y1, x2, y2 belong"):
        evaluate_detections(found, truth)


def test_more_detections_than_count_are_harmless():
    truth = truth_of(annotation(1, [10, 10, 50, 50]))
    found = [result(1, [10, 10, 50, 50], 1 - n / 1000) for n in range(150)]
    results = evaluate_detections(found, truth)
    assert (results.detections, results.box["AP"]) == (150, pytest.approx(1))


def test_a_file_is_named_with_what_is_wrong_in_it(tmp_path):
    truth, results = tmp_path / "truth.json", tmp_path / "results.json"
    truth.write_text(json.dumps(some_truth()))
    results.write_text(json.dumps([{**result(1, [10, 10, 50, 50], 0.9), "score": math.nan}]))
    with pytest.raises(ValueError, match=r"results\.json: result 0 \(image 1\): score is nan"):
        evaluate_detections(results, truth)
    results.write_text(json.dumps([{**result(1, [10, 10, 50, 50], 0.9), "image_id": 8}]))
    with pytest.raises(ValueError, match=r"results\.json: result 0 \(image 8\): not one of the 3 images"):
        evaluate_detections(results, truth)
    truth.write_text(json.dumps({**some_truth(), "images": [{"id": 1}]}))
    with pytest.raises(ValueError, match=r"truth\.json: image 1: its height and width are \[None, None\]"):
        evaluate_detections(results, truth)
    truth.write_text("[]")
    with pytest.raises(ValueError, match=r"truth\.json: no COCO data set"):
        evaluate_detections(results, truth)


def test_parts_of_two_corners_do_not_turn_polygons_into_boxes():
    """pycocotools would read [[1, 1, 2, 2], …] as boxes."""
    square = [10, 10, 50, 10, 50, 50, 10, 50]
    truth = truth_of(annotation(1, [10, 10, 50, 50], segmentation=[[1, 1, 2, 2], square]))
    assert evaluate_detections([result(1, [10, 10, 50, 50], 0.9)], truth).mask["AP"] == pytest.approx(1)


def test_a_model_that_forgets_an_image_is_named():
    truth = some_truth()
    with pytest.raises(ValueError, match="1 detections for 3 images"):
        evaluate(lambda images: [{}], FakeDataset(truth), progress=False)


def test_unknown_images_are_named():
    with pytest.raises(ValueError, match="image 8 is not one of the 3 images"):
        evaluate_detections([], some_truth(), image_ids=[1, 8])


def test_max_dets_cuts_the_list():
    truth = truth_of(annotation(1, [10, 10, 50, 50]))
    wrong = [result(1, [60, 60, 100, 100], 0.9)] * 11
    found = [*wrong, result(1, [10, 10, 50, 50], 0.5)]
    assert evaluate_detections(found, truth, max_dets=11).box["AP"] == 0
    assert evaluate_detections(found, truth, max_dets=12).box["AR12"] == pytest.approx(1)


# ---- the table ---------------------------------------------------------------------------------------


def test_the_table_and_the_dict():
    results = evaluate_detections([result(1, [10, 10, 50, 50], 0.9)], some_truth())
    text = str(results)
    assert "3 images, 3 objects, 1 detections" in text
    (box,) = [line for line in text.splitlines() if line.startswith("box")]
    assert box.split() == ["box", "0.500", "0.500", "0.500", "-", "0.500", "-"]
    (cat,) = [line for line in text.splitlines() if line.startswith("cat")]
    assert cat.split() == ["cat", "1", "1.000", "1.000"]
    assert "keypoint" not in text
    assert Results(**json.loads(json.dumps(results.to_dict()))) == results


def test_a_real_model_on_real_data():
    from mrcnn_lite import Config, build_model
    from mrcnn_lite.data import open_dataset

    dataset = open_dataset("shapes", "val", length=3, cached=False)
    model = build_model(Config.tiny(num_classes=7))
    results = evaluate(model, dataset, batch_size=2, progress=False)
    assert results.images == 3
    assert 0 <= results.mask["AP"] < 0.5  # untrained
    assert list(results.per_class) == list(dataset.class_names[1:])


def test_a_real_data_set_against_itself(shared_data):
    """The reader, crowds, gaps in the ids and joints: everything on the way gives 1.0."""
    from mrcnn_lite.data import open_dataset

    folder = shared_data("coco_ccby")
    for split in ("train", "val"):
        dataset = open_dataset(folder, split, keypoints=True)
        detections = []
        for i in range(len(dataset)):
            _, target = dataset[i]
            detections.append({**target, "scores": torch.ones(len(target["labels"]))})
        results = evaluate_detections(detections, dataset)
        assert results.box["AP"] == pytest.approx(1)
        assert results.mask["AP"] == pytest.approx(1)
        assert results.keypoint["AP"] == pytest.approx(1)
