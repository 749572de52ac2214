"""The AP to read: cases worked out by hand, and pycocotools' figures to 1e-6, on random scenes and on COCO's own."""

import json

import pytest
import torch

from mrcnn_lite.average_precision import average_precision, box_iou, class_ap, figures, groups_of, mask_iou, match
from mrcnn_lite.coco_results import encode_mask
from mrcnn_lite.evaluation import evaluate_detections

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
HEIGHT, WIDTH = 140, 180


def random_scene(seed: int) -> tuple[dict, list[dict]]:
    """Six images, three classes, objects of all three sizes, crowds, and detections beside them, twice, and at random.

    Scores are of one digit, so that many are equal.
    """
    random = torch.Generator().manual_seed(seed)

    def below(high: int) -> int:
        return int(torch.randint(high, (1,), generator=random))

    def entry(image: int, category: int, box: list[int]) -> dict:
        x, y, w, h = box
        mask = torch.zeros(HEIGHT, WIDTH)
        mask[y : y + h, x : x + w] = 1
        mask[y : y + h // 2, x : x + w // 3] = 0  # so that masks are not their boxes
        code = encode_mask(mask)
        return {
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "segmentation": code,
            "area": float(mask.sum()),
        }

    objects, found = [], []
    for image in range(1, 7):
        for _ in range(below(7)):
            side = (12, 30, 60, 120)[below(4)]
            box = [below(WIDTH - side), below(HEIGHT - side), side - below(6), side - below(6)]
            category, crowd = 1 + below(3), below(5) == 0
            objects.append(entry(image, category, box) | {"iscrowd": int(crowd), "id": len(objects) + 1})
            for _ in range(below(4)):
                moved = [max(0, box[0] + below(9) - 4), max(0, box[1] + below(9) - 4), *box[2:]]
                category = category if below(6) else 1 + below(3)
                found.append(entry(image, category, moved) | {"score": below(10) / 10})
        for _ in range(below(3)):
            found.append(entry(image, 1 + below(3), [below(100), below(90), 30, 40]) | {"score": below(10) / 10})
    truth = {
        "images": [{"id": n, "height": HEIGHT, "width": WIDTH} for n in range(1, 7)],
        "categories": [{"id": n, "name": f"class {n}"} for n in (1, 2, 3)],
        "annotations": objects,
    }
    return truth, found


@pytest.mark.parametrize("task", ["box", "mask"])
@pytest.mark.parametrize("seed", range(8))
def test_equal_to_pycocotools_on_random_scenes(seed, task):
    truth, found = random_scene(seed)
    theirs = getattr(evaluate_detections(found, truth, tasks=[task]), task)
    mine = figures(groups_of(truth, found, task))
    for name, value in mine.items():
        assert value == (None if theirs[name] is None else pytest.approx(theirs[name], abs=1e-6)), name


@pytest.mark.parametrize(("task", "theirs"), [("box", "bbox"), ("mask", "segm")])
def test_equal_to_cocos_published_figures(shared_data, task, theirs):
    folder = shared_data("coco_eval_oracle")
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    found = json.loads((folder / f"instances_val2014_fake{theirs}100_results.json").read_text())
    mine = figures(groups_of(truth, found, task))
    stats = json.loads((folder / "expected.json").read_text())[theirs]["stats"]
    assert list(mine.values()) == pytest.approx(stats[:6], abs=1e-6)


def test_the_curve_by_hand():
    right = torch.tensor([True, False, True])
    # recall 1/2 at precision 1, recall 1 at 2/3: 51 of the 101 points lie up to 1/2
    assert average_precision(right, 2) == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert average_precision(right, 4) == pytest.approx((26 * 1 + 25 * 2 / 3) / 101)
    assert average_precision(torch.tensor([False]), 3) == average_precision(torch.zeros(0).bool(), 3) == 0


def test_matching_by_hand():
    iou = torch.tensor([[0.6, 0.8], [0.7, 0.9], [0.55, 0.0]])
    assert match(iou, 0.5).tolist() == [1, 0, -1]  # the second finds its best taken, the third both
    assert match(iou, 0.75).tolist() == [1, -1, -1]
    ignored = torch.tensor([False, True])
    assert match(iou, 0.5, ignored).tolist() == [0, 1, -1]
    assert match(iou[:, 1:], 0.5, torch.tensor([True]), torch.tensor([True])).tolist() == [0, 0, -1]
    assert match(torch.zeros(2, 0), 0.5).tolist() == [-1, -1] and match(torch.zeros(0, 2), 0.5).tolist() == []


def test_overlap_by_hand():
    boxes = torch.tensor([[0.0, 0, 4, 4]])
    crowd = torch.tensor([True, False])
    assert box_iou(boxes, torch.tensor([[2.0, 0, 6, 4], [2, 0, 6, 4]]), crowd).tolist()[0] == pytest.approx(
        [1 / 2, 1 / 3]
    )
    a, b = torch.zeros(1, 3, 3, dtype=torch.uint8), torch.zeros(2, 3, 3, dtype=torch.bool)
    a[:, 0], b[0, :, 0] = 1, True
    assert mask_iou(a, b).tolist()[0] == pytest.approx([1 / 5, 0])
    assert mask_iou(a * 0, b).tolist() == [[0, 0]]


def test_without_objects_there_is_no_ap():
    truth, found = random_scene(0)
    groups = groups_of(truth | {"annotations": []}, found, "box")
    assert {class_ap(group, 0.5) for group in groups.values()} == {None}
    assert set(figures(groups).values()) == set(figures({}).values()) == {None}
