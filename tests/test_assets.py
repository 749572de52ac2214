"""assets/: the shipped checkpoints do what the text says of them."""

import importlib.util
import itertools
import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from mrcnn_lite import evaluate, load, open_dataset
from mrcnn_lite.matching import generators

ASSETS = Path(__file__).parents[1] / "assets"
sys.path.insert(0, str(ASSETS))
import broken_runs  # noqa: E402
import counting  # noqa: E402
import experiments  # noqa: E402

PROTOTYPE = Path(__file__).resolve().parents[2] / "shared" / "prototypes" / "shapes.py"


@pytest.fixture(scope="module")
def shapes_model():
    return load(ASSETS / "shapes.safetensors")


@pytest.fixture(scope="module")
def mask_ap(shapes_model):
    """On 200 held-out pictures."""
    return evaluate(shapes_model, open_dataset("shapes", split="val", length=200, progress=False), progress=False).mask[
        "AP"
    ]


def test_shapes(mask_ap):
    assert mask_ap >= 0.5


def test_shapes_drawn_by_another_program(shapes_model, mask_ap, tmp_path):
    """The same distribution, drawn by the prototype and read as COCO JSON: at most 3 points are lost."""
    if not PROTOTYPE.exists():
        pytest.skip("the prototype of the shapes is not on this machine (../shared/prototypes)")
    spec = importlib.util.spec_from_file_location("prototype_shapes", PROTOTYPE)
    assert spec and spec.loader
    drawer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawer)

    pictures = drawer.dataset(200, 987, "std")
    coco = drawer.to_coco(pictures, len(drawer.CLASSES))
    for category, name in zip(coco["categories"], drawer.CLASSES):
        category["name"] = name
    (tmp_path / "images").mkdir()
    for entry, (image, *_) in zip(coco["images"], pictures):
        entry["file_name"] = f"{entry['id']}.png"
        Image.fromarray(image).save(tmp_path / "images" / entry["file_name"])
    for annotation in coco["annotations"]:
        annotation["segmentation"]["counts"] = annotation["segmentation"]["counts"].decode()
    (tmp_path / "instances_val.json").write_text(json.dumps(coco))
    results = evaluate(shapes_model, open_dataset(tmp_path, split="val"), progress=False)
    assert results.objects == len(coco["annotations"])
    assert results.mask["AP"] >= mask_ap - 0.03


def test_nuclei(shared_data):
    model = load(ASSETS / "nuclei.safetensors")
    assert model.class_names == ("background", "nucleus")
    results = evaluate(model, open_dataset(shared_data("nuclei"), split="val", limit=20), progress=False)
    assert results.mask["AP50"] > 0.5


def test_the_stored_mask_losses_are_what_the_script_would_run():
    stored = json.loads((ASSETS / "mask_losses.json").read_text(encoding="utf-8"))
    assert stored["command"] == "python assets/experiments.py mask_losses" and len(stored["commit"]) >= 7
    assert [(run["seed"], run["loss"]) for run in stored["runs"]] == [
        (seed, loss) for seed in experiments.SEEDS for loss in experiments.READINGS
    ]
    for run in stored["runs"]:
        assert run["steps"] == experiments.STEPS
        assert all(0 < run[reading] < 1 for reading in experiments.READINGS[run["loss"]])
        tried = [row for row in stored["tuning"] if (row["loss"], row["steps"]) == (run["loss"], run["steps"])]
        assert tuple(row["lr"] for row in tried) == experiments.LEARNING_RATES
        best = max(tried, key=lambda row: row["mean_iou"])["lr"]
        assert run["lr"] == best and min(experiments.LEARNING_RATES) < best < max(experiments.LEARNING_RATES)


def test_mask_losses_read_in_three_ways(shapes_model):
    """A head that is sure of the right pixels, and of the right or of a wrong class."""
    crops = experiments.crops_of(shapes_model, "val", 0, 10)
    every = torch.arange(len(crops.labels))

    def sure_of(labels, background):
        planes = torch.full((len(labels), 6 + background, *crops.targets.shape[1:]), -20.0)
        planes[every, labels - 1 + background] = 40 * crops.targets - 20
        if background:
            planes[:, 0] = 0
        return lambda features: planes

    wrong = crops.labels % 6 + 1
    iou = lambda labels, loss, reading: experiments.mask_ious(  # noqa: E731
        sure_of(labels, loss == "softmax"), loss, crops, reading
    ).mean()
    assert iou(crops.labels, "sigmoid", "fair") > 0.9 and iou(wrong, "sigmoid", "fair") == 0
    for reading in experiments.READINGS["softmax"]:
        assert iou(crops.labels, "softmax", reading) > 0.9
    assert iou(wrong, "softmax", "fair") == iou(wrong, "softmax", "bare") == 0
    assert iou(wrong, "softmax", "any") > 0.9


def test_fresh_mask_heads_learn_with_either_loss(shapes_model):
    crops = experiments.crops_of(shapes_model, "val", 0, 10)
    for loss, kind in experiments.MASK_LOSSES.items():
        value = {}
        for steps in (2, 40):
            head = experiments.train(loss, crops, 6, 1e-2, steps, seed=0)
            with torch.no_grad():
                value[steps] = kind.loss(head(crops.features), crops.labels, crops.targets).item()
        assert value[40] < 0.7 * value[2]


def test_the_stored_counts_are_those_of_the_script():
    stored = json.loads((ASSETS / "counting.json").read_text(encoding="utf-8"))
    assert stored["command"] == "python assets/experiments.py counting" and len(stored["commit"]) >= 7
    assert [run["seed"] for run in stored["runs"]] == list(counting.SEEDS)
    number = counting.TEST[2] - counting.TEST[1]
    assert len(stored["objects"]) == number
    for answer in (stored["true map"], stored["Mask R-CNN"], *stored["runs"]):
        assert len(answer["count"]) == len(answer["own"]) == number
        assert all(own <= there for own, there in zip(answer["own"], stored["objects"]))
    tuning, chosen = stored["tuning"], stored["chosen"]
    tried = [(row["lr"], row["seed"]) for row in tuning["lr"]]
    assert tried == list(itertools.product(counting.LEARNING_RATES, counting.TUNING_SEEDS))
    worst = {lr: min(row["mean_iou"] for row in tuning["lr"] if row["lr"] == lr) for lr in counting.LEARNING_RATES}
    assert chosen["lr"] == counting.lowest_good(worst) < max(counting.LEARNING_RATES)
    for what, tried in (("least", counting.LEAST_PIXELS), ("score", counting.SCORES)):
        assert tuple(row[what] for row in tuning[what]) == tried
        assert chosen[what] == min(tuning[what], key=lambda row: row["miscounted"])[what]
    few = counting.scenes(counting.TEST[0], 0, 20)  # the true map's counts, made again
    again = counting.judged([counting.parts_of(one, chosen["least"]) for one in few.classes], few)
    assert {key: stored["true map"][key][:20] for key in again} == again


def drawn_scene(*rows):
    """Digits: an id map; odd objects are circles, even ones crosses. -> what `counting.judged` compares with."""
    ids = torch.tensor([[int(digit) for digit in row] for row in rows])
    labels = torch.tensor([2 - g % 2 for g in range(1, int(ids.max()) + 1)])
    classes = torch.cat([torch.zeros(1, dtype=torch.int64), labels])[ids]
    return counting.Scenes(torch.zeros(1, 3, *ids.shape), ids[None], [labels], classes[None], torch.zeros(1))


def test_parts_melt_where_objects_of_one_class_touch():
    apart, melted, cut = drawn_scene("1102", "1102"), drawn_scene("1133", "1133", "0022"), drawn_scene("1211", "1211")
    for scene, least, count, own in ((apart, 1, 2, 2), (melted, 1, 2, 1), (cut, 1, 3, 2), (cut, 3, 1, 1)):
        answer = counting.parts_of(scene.classes[0], least)
        assert counting.judged([answer], scene) == {"count": [count], "own": [own]}
    other_class = counting.parts_of(torch.tensor([0, 2, 1])[apart.classes[0]], 1)
    assert counting.judged([other_class], apart)["own"] == [0]
    nothing = counting.parts_of(torch.zeros(2, 4, dtype=torch.int64), 1)
    assert counting.judged([nothing], apart) == {"count": [0], "own": [0]}
    assert counting.miscounted([0], apart) == 2


def test_the_instances_of_the_trained_model_are_the_objects(shapes_model):
    few = counting.scenes(0, 0, 40)
    found = counting.judged(counting.detected(shapes_model, few.pictures, 0.5), few)
    there = sum(len(labels) for labels in few.labels)
    assert sum(found["own"]) > 0.6 * there and counting.miscounted(found["count"], few) < 1
    assert ((few.overlap == 0).sum() > 0) and (few.overlap <= 1).all()


def test_a_fully_convolutional_head_learns_to_name_pixels(shapes_model, monkeypatch):
    monkeypatch.setattr(counting, "STEPS", 80)
    few = counting.scenes(0, 0, 40)
    features = counting.features_of(shapes_model, few.pictures)
    found = counting.predict(counting.train(features, few.classes, 3, 1e-2, seed=0), features)
    assert found.shape == few.classes.shape
    nothing = counting.mean_ious(torch.zeros_like(found), few, 3)["all"]  # all background
    assert counting.mean_ious(found, few, 3)["all"] > nothing + 0.25


def test_the_recorded_runs_of_chapter_08_are_those_of_the_script():
    for name in ("broken_runs", "warmup"):
        stored = json.loads((ASSETS / f"{name}.json").read_text(encoding="utf-8"))
        assert stored["command"] == f"python assets/broken_runs.py {name}" and len(stored["commit"]) >= 7
        if name == "warmup":
            kinds = [(seed, steps) for seed in broken_runs.SEEDS for steps in (broken_runs.SGD.warmup_steps, 0)]
            assert [(run["seed"], run["warmup_steps"]) for run in stored["runs"]] == kinds
            assert all(len(run["loss"]) == broken_runs.WARMUP_STEPS == stored["steps"] for run in stored["runs"])
            continue
        assert list(stored["runs"]) == list(broken_runs.BUGS) and stored["steps"] == broken_runs.STEPS
        for run in stored["runs"].values():
            assert len(run["losses"]) == 5 and all(
                len(values) == broken_runs.STEPS for values in run["losses"].values()
            )
            assert len(run["seen"]) == broken_runs.SHOWN


def test_the_planted_bugs_do_what_they_say():
    shapes = open_dataset("shapes", length=2, progress=False)
    pictures = [shapes[i] for i in range(2)]
    images, targets = zip(*pictures)
    model = broken_runs.new_model(seed=0)
    assert (
        broken_runs.box_order(model, pictures)[0][1]["boxes"].tolist() == targets[0]["boxes"][:, [1, 0, 3, 2]].tolist()
    )
    assert broken_runs.healthy(model, pictures) is pictures

    logits = torch.zeros(2, 6, 4, 4, requires_grad=True)
    broken_runs.wrong_class(model, pictures)
    model.heads["mask"].mask_loss.loss(logits, torch.tensor([2, 6]), torch.ones(2, 4, 4)).backward()
    assert logits.grad.abs().amax((2, 3)).nonzero().tolist() == [[0, 2], [1, 0]]  # instead of planes 1 and 5

    broken_runs.no_background(model, pictures)
    batch, objects = model.prepare(images, targets)
    proposed = model.propose(model.rpn(model.backbone(batch.images), batch.size), batch, train=True)
    sampled = model.sample(proposed, objects, generators([0, 1], 2, batch.images.device))
    assert len(sampled.rois) and (sampled.labels > 0).all() and len(sampled.positive) == len(sampled.rois)

    broken_runs.half_pixel_in_use(model)
    assert {head.pooler.options["half_pixel"] for head in model.heads.values()} == {False}
