"""The numbers on screen are the package's: JavaScript against Python on random and edge cases, to 1e-5.

500 cases an operation; 10,000 and a table of the largest differences by

    python3 course.py test --long tests/widgets/test_widgets_parity.py

Node runs them where it is installed, otherwise Chromium does; one test asks Chromium in any case, as the two could
differ.
"""

from __future__ import annotations

import contextlib
import io
import math
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from widget_hosts import javascript

from mrcnn_lite import anchors, boxes, keypoint_head, mask_head, matching, roi_ops
from mrcnn_lite.widgets.source import text

TOLERANCE = 1e-5
SCALES = (1.0, 0.5, 0.25, 1 / 16)


ROUND = 500  # cases at once: of 10,000 pasted masks the numbers alone would take a gigabyte
ROUNDS = 20  # of the long form, each with other numbers


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "count" in metafunc.fixturenames:
        rounds = ROUNDS if metafunc.config.getoption("--long") else 1
        metafunc.parametrize("count", range(rounds), indirect=True, ids="round{}".format)


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    """How many cases; the random numbers are those of the round."""
    random.seed(request.param)
    return ROUND


@pytest.fixture
def agree(record_property) -> Callable[..., None]:
    """Fails on the first case whose numbers differ, and shows it; the table gets the largest difference."""

    def compare(javascripts: Any, pythons: Any, cases: list[Any], atol: float = TOLERANCE) -> None:
        assert len(javascripts) == len(pythons) == len(cases)
        largest = 0.0
        for answers in zip(javascripts, pythons, cases):
            js, py = (torch.as_tensor(answer, dtype=torch.float64).flatten() for answer in answers[:2])
            assert js.shape == py.shape, answers[2]
            close = torch.allclose(js, py, rtol=TOLERANCE, atol=atol)
            assert close, f"{answers[2]}\nJavaScript {js}\nPython {py}"
            off = (js - py).abs() / py.abs().clamp(min=1)
            largest = max([largest, *off[js != py].tolist()])
        record_property("parity", (len(cases), largest))

    return compare


# ---- RoIPool, RoIWarp, RoIAlign --------------------------------------------------------------------------------------


def random_side(length: float) -> float:
    """A place along an axis: anywhere, far outside, on a cell's border or centre, or just beside one."""
    kind = random.randrange(5)
    if kind == 0:
        return random.uniform(-2 * length, 3 * length)
    if kind == 1:
        return random.randrange(2 * math.ceil(length) + 1) / 2
    return random.uniform(-1, length + 1) if kind == 2 else random.uniform(0, length)


def roi_case(**options: Any) -> dict[str, Any]:
    height, width, scale = random.randint(1, 9), random.randint(1, 9), random.choice(SCALES)
    (x1, x2), (y1, y2) = (sorted(random_side(length) / scale for _ in range(2)) for length in (width, height))
    if random.random() < 0.05:
        x2 = x1  # an empty box
    size = random.randint(1, 4)
    return {
        "map": {"height": height, "width": width, "values": [random.gauss(0, 3) for _ in range(height * width)]},
        "box": [x1, y1, x2, y2],
        "size": size,
        "scale": scale,
        "up": [random.gauss(0, 1) for _ in range(size * size)],
        "options": options,
    }


def feature_and_rois(case: dict[str, Any]) -> tuple[Tensor, Tensor]:
    grid = case["map"]
    values = torch.tensor(grid["values"], dtype=torch.float64).view(1, 1, grid["height"], grid["width"])
    return values, torch.tensor([[0.0, *case["box"]]], dtype=torch.float64)


def crop_and_gradient(op: str, case: dict[str, Any]) -> list[float]:
    """Python's answer: the S * S bins, then the gradient of their weighted sum at every cell."""
    feature, rois = feature_and_rois(case)
    feature.requires_grad_()
    options = {} if op == "pool" else {**case["options"], "sampling_ratio": case["options"]["points"]}
    options.pop("points", None)
    crop = getattr(roi_ops, f"roi_{op}")(feature, rois, case["size"], case["scale"], **options)
    (crop.flatten() * torch.tensor(case["up"], dtype=torch.float64)).sum().backward()
    assert feature.grad is not None
    return [*crop.flatten().tolist(), *feature.grad.flatten().tolist()]


ROI_BODY = """(m, c) => {
  const bins = m.ROI_OPS[c.op](c.map, c.box, c.size, c.scale, c.options);
  return [...bins.map((bin) => bin.value), ...m.gradient(bins, c.map, c.up)];
}"""
ROI_FORMS = [
    ("pool", "max", True),
    *[(op, reduce, half) for op in ("warp", "align") for reduce in ("mean", "max") for half in (True, False)],
]


@pytest.mark.parametrize("op, reduce, half_pixel", ROI_FORMS)
def test_roi_ops_and_their_gradients(op, reduce, half_pixel, count, agree):
    cases = [
        {**roi_case(reduce=reduce, half_pixel=half_pixel, points=n % 4), "op": op}  # 0 points: adaptive
        for n in range(count)
    ]
    pythons = [crop_and_gradient(op, case) for case in cases]
    agree(javascript(text("arithmetic/roi_ops.js"), ROI_BODY, cases), pythons, cases)


def test_chromium_computes_what_node_does(agree):
    cases = [{**roi_case(reduce="mean", half_pixel=True, points=n % 4), "op": "align"} for n in range(200)]
    pythons = [crop_and_gradient("align", case) for case in cases]
    agree(javascript(text("arithmetic/roi_ops.js"), ROI_BODY, cases, host="chromium"), pythons, cases)


def exact_means(case: dict[str, Any]) -> list[float]:
    """The mean of the bilinear surface over each bin: between whole numbers it is linear in x and in y, so there the
    value in the middle is the mean."""
    feature, rois = feature_and_rois(case)
    x1, y1, x2, y2 = (rois[0, 1:] * case["scale"] - 0.5).tolist()

    def pieces(start: float, end: float, length: int) -> list[tuple[float, float]]:
        cuts = [c for c in range(-1, length + 1) if start < c < end]
        sides = [start, *cuts, end]
        return [((a + b) / 2, (b - a) / (end - start)) for a, b in pairwise(sides)]

    size, means = case["size"], []
    for i in range(size):
        rows = pieces(y1 + i * (y2 - y1) / size, y1 + (i + 1) * (y2 - y1) / size, feature.shape[2])
        for j in range(size):
            columns = pieces(x1 + j * (x2 - x1) / size, x1 + (j + 1) * (x2 - x1) / size, feature.shape[3])
            parts = [wy * wx * roi_ops.bilinear(feature[0], y, x) for y, wy in rows for x, wx in columns]
            means.append(float(sum(parts, feature.new_zeros(1))))
    return means


def test_exact_mean(count, agree):
    cases = [case for case in (roi_case() for _ in range(2 * count)) if case["box"][0] < case["box"][2]]
    cases = [case for case in cases if case["box"][1] < case["box"][3]][:count]
    body = "(m, c) => m.exactMean(c.map, c.box, c.size, c.scale)"
    agree(javascript(text("arithmetic/roi_ops.js"), body, cases), [exact_means(case) for case in cases], cases)


def test_pyramid_level(count, agree):
    scales = [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    cases = [[0, 0, 2 ** random.uniform(0, 11), 2 ** random.uniform(0, 11)] for _ in range(count)]
    cases[:4] = [[0, 0, 224, 224], [0, 0, 112, 112], [0, 0, 448, 448], [0, 0, 223.9, 224]]
    pooler = roi_ops.RoIPooler(roi_ops.align_levels, 7, scales)
    rois = torch.tensor([[0.0, *case] for case in cases], dtype=torch.float64)
    body = f"(m, c) => m.level(c, {scales})"
    agree(javascript(text("arithmetic/roi_ops.js"), body, cases), pooler.levels(rois).tolist(), cases)


# ---- boxes, anchors, matching ----------------------------------------------------------------------------------------


def random_box(whole: bool = False) -> list[float]:
    """Somewhere in 40 x 40, 0 to 20 a side; whole numbers make ties, touching and empty boxes."""
    draw = (lambda a, b: float(random.randint(a, b))) if whole else random.uniform
    x, y, w, h = draw(0, 20), draw(0, 20), draw(0, 20), draw(0, 20)
    return [x, y, x + w, y + h]


def as_boxes(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)


def test_iou(count, agree):
    cases = [[random_box(n % 2 == 0), random_box(n % 2 == 0)] for n in range(count)]
    pythons = [float(boxes.iou(as_boxes([a]), as_boxes([b]))) for a, b in cases]
    agree(javascript(text("arithmetic/boxes.js"), "(m, c) => m.iou(...c)", cases), pythons, cases)


def test_encode_and_decode(count, agree):
    def filled() -> list[float]:
        x1, y1, x2, y2 = random_box()
        return [x1, y1, x2 + 0.1, y2 + 0.1]

    cases = [[filled(), filled(), [random.gauss(0, 3) for _ in range(4)]] for _ in range(count)]
    pythons = [
        torch.cat([boxes.encode(as_boxes([a]), as_boxes([b])), boxes.decode(as_boxes([a]), as_boxes([d]))]).flatten()
        for a, b, d in cases
    ]
    body = "(m, [a, b, d]) => [...m.encode(a, b), ...m.decode(a, d)]"
    agree(javascript(text("arithmetic/boxes.js"), body, cases), pythons, cases)


def test_anchors(count, agree):
    cases = [
        {
            "sizes": [random.uniform(8, 512) for _ in range(random.randint(1, 3))],
            "ratios": [random.uniform(0.2, 5) for _ in range(random.randint(1, 3))],
            "grid": [random.randint(1, 4), random.randint(1, 4)],
            "stride": random.choice([4, 8, 16, 32]),
        }
        for _ in range(count)
    ]
    pythons = [
        anchors.grid_anchors(anchors.cell_anchors(c["sizes"], c["ratios"]), tuple(c["grid"]), (c["stride"],) * 2)
        for c in cases
    ]
    body = "(m, c) => m.gridAnchors(m.cellAnchors(c.sizes, c.ratios), ...c.grid, c.stride)"
    # The package's anchors are float32.
    agree(javascript(text("arithmetic/boxes.js"), body, cases), pythons, cases, atol=1e-4)


def test_matching(count, agree):
    cases = [
        {
            "objects": [random_box(True) for _ in range(random.randint(0, 4))],
            "boxes": [random_box(True) for _ in range(random.randint(1, 12))],
            "fg": random.choice([0.5, 0.7]),
            "bg": random.choice([0.3, 0.5]),
            "best": random.random() < 0.5,
        }
        for _ in range(count)
    ]
    pythons = [matching.match(as_boxes(c["objects"]), as_boxes(c["boxes"]), c["fg"], c["bg"], c["best"]) for c in cases]
    body = "(m, c) => m.match(c.objects, c.boxes, c.fg, c.bg, c.best)"
    agree(javascript(text("arithmetic/boxes.js"), body, cases), pythons, cases)


def test_nms(count, agree):
    cases = []
    for n in range(count):
        size = random.randint(0, 15)
        rows = [random_box(n % 2 == 0) for _ in range(size)]
        scores = [random.randint(0, 4) / 4 if n % 4 == 0 else random.random() for _ in range(size)]
        cases.append({"boxes": rows, "scores": scores, "threshold": random.choice([0.3, 0.5, 0.7])})
    pythons = [
        boxes.nms_reference(as_boxes(c["boxes"]), torch.tensor(c["scores"], dtype=torch.float64), c["threshold"])
        for c in cases
    ]
    body = "(m, c) => m.nms(c.boxes, c.scores, c.boxes.map(() => 0), c.threshold)"
    agree(javascript(text("arithmetic/boxes.js"), body, cases), pythons, cases)


def test_nms_by_group(count, agree):
    cases = []
    for _ in range(count):
        size = random.randint(1, 15)
        rows, groups = [random_box() for _ in range(size)], [random.randint(0, 2) for _ in range(size)]
        cases.append({"boxes": rows, "scores": [random.random() for _ in rows], "groups": groups})
    pythons = [
        boxes.batched_nms(
            as_boxes(c["boxes"]), torch.tensor(c["scores"], dtype=torch.float64), torch.tensor(c["groups"]), 0.3
        )
        for c in cases
    ]
    body = "(m, c) => m.nms(c.boxes, c.scores, c.groups, 0.3)"
    agree(javascript(text("arithmetic/boxes.js"), body, cases), pythons, cases)


def soft_nms(rows: Tensor, scores: Tensor, sigma: float, least: float) -> list[float]:
    """Bodla et al. 2017, Gaussian, written down a second time: box and score of each that stays, best first."""
    scores, left, answer = scores.clone(), list(range(len(scores))), []
    while left:
        best = max(left, key=lambda k: scores[k].item())
        left.remove(best)
        if scores[best] < least:
            break
        answer += [float(best), scores[best].item()]
        if left:
            scores[left] *= torch.exp(-(boxes.iou(rows[best][None], rows[left])[0] ** 2) / sigma)
    return answer


def test_soft_nms(count, agree):
    cases = []
    for _ in range(count):
        rows = [random_box() for _ in range(random.randint(1, 10))]
        cases.append({"boxes": rows, "scores": [random.random() for _ in rows]})
    pythons = [soft_nms(as_boxes(c["boxes"]), torch.tensor(c["scores"], dtype=torch.float64), 0.5, 0.05) for c in cases]
    body = "(m, c) => m.softNms(c.boxes, c.scores, c.boxes.map(() => 0), 0.5, 0.05).flat()"
    agree(javascript(text("arithmetic/boxes.js"), body, cases), pythons, cases)


# ---- mask losses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_mask_losses_their_gradients_and_probabilities(kind, count, agree):
    pair = mask_head.MASK_LOSSES[kind]
    cases, pythons = [], []
    for n in range(count):
        classes, pixels, spread = random.randint(1, 4), random.randint(1, 4) ** 2, random.choice([1, 5, 60])
        planes = [[random.gauss(0, spread) for _ in range(pixels)] for _ in range(classes + pair.extra_masks)]
        target = [random.choice([0.0, 1.0, random.random()]) for _ in range(pixels)]
        cases.append({"kind": kind, "planes": planes, "label": random.randint(1, classes), "target": target})
        side = math.isqrt(pixels)
        logits = torch.tensor(planes, dtype=torch.float64).view(1, -1, side, side).requires_grad_()
        label = torch.tensor([cases[n]["label"]])
        loss = pair.loss(logits, label, torch.tensor(target, dtype=torch.float64).view(1, side, side)) / pixels
        loss.backward()
        assert logits.grad is not None
        if kind == "sigmoid":  # its gradient as one writes it by hand: p - t on the object's plane, nothing elsewhere
            by_hand = torch.zeros(len(planes), pixels, dtype=torch.float64)
            own = logits.detach()[0, label - 1].flatten()
            by_hand[label - 1] = (own.sigmoid() - torch.tensor(target, dtype=torch.float64)) / pixels
            torch.testing.assert_close(logits.grad.flatten(2)[0], by_hand, rtol=0, atol=1e-12)
        parts = (loss.detach(), logits.grad, pair.probability(logits, label).detach())
        pythons.append(torch.cat([part.flatten() for part in parts]))
    body = """(m, c) => {
      const { loss, grad } = m.MASK_LOSSES[c.kind](c.planes, c.label, c.target);
      return [loss, ...grad.flat(), ...m.probability(c.kind, c.planes, c.label)];
    }"""
    agree(javascript(text("arithmetic/mask_head.js"), body, cases), pythons, cases)


def test_pasting(count, agree):
    cases, pythons = [], []
    for _ in range(count):
        side, box = random.randint(1, 6), random_box(random.random() < 0.5)
        mask = [random.random() for _ in range(side * side)]
        cases.append({"mask": mask, "side": side, "box": box})
        probs, corner = torch.tensor(mask, dtype=torch.float64).view(side, side), as_boxes([box])
        y = mask_head.interpolation_weights(corner[:, 1], corner[:, 3], 41, side)[0]
        x = mask_head.interpolation_weights(corner[:, 0], corner[:, 2], 41, side)[0]
        pythons.append(y @ probs @ x.T)
    body = """(m, c) => Array.from({ length: 41 * 41 }, (_, at) =>
      m.pasteAt(c.mask, c.side, c.box, (at % 41) + 0.5, Math.floor(at / 41) + 0.5))"""
    agree(javascript(text("arithmetic/mask_head.js"), body, cases), pythons, cases)


# ---- keypoints -------------------------------------------------------------------------------------------------------


def keypoint_case() -> dict[str, Any]:
    """A box, a point inside, outside or on its border, and the logits of a heat map."""
    x1, y1, x2, y2 = random_box(whole=random.random() < 0.5)
    x2, y2, size = x2 + 1, y2 + 1, random.randint(2, 8)  # of a single cell every place is the maximum
    point = [
        random.choice([random.uniform(x1 - 1, x2 + 1), x1, x2]),
        random.choice([random.uniform(y1 - 1, y2 + 1), y2]),
    ]
    return {
        "box": [x1, y1, x2, y2],
        "point": point,
        "size": size,
        "logits": [random.gauss(0, 3) for _ in range(size * size)],
    }


def test_heatmap_encoding_loss_and_decoding(count, agree):
    cases, pythons = [keypoint_case() for _ in range(count)], []
    for case in cases:
        box, size = as_boxes([case["box"]]), case["size"]
        joint = torch.tensor([[[*case["point"], 2.0]]], dtype=torch.float64)
        cell, counts = keypoint_head.encode_heatmaps(joint, box, size)
        logits = torch.tensor(case["logits"], dtype=torch.float64, requires_grad=True)
        loss = torch.nn.functional.cross_entropy(logits[None], cell[0])
        loss.backward()
        assert logits.grad is not None
        points, _ = keypoint_head.decode_heatmaps(logits.detach().view(1, 1, size, size), box)
        found = cell[0, 0] if counts else torch.tensor(-1)
        pythons.append([float(found), loss.item(), *logits.grad.tolist(), *points[0, 0, :2].tolist()])
    body = """(m, c) => {
      const cell = m.encodeHeatmap(c.point, c.box, c.size);
      const { loss, grad } = m.crossEntropy(c.logits, Math.max(cell, 0));
      return [cell, loss, ...grad, ...m.decodeHeatmap(c.logits, c.size, c.box)];
    }"""
    agree(javascript(text("arithmetic/keypoint_head.js"), body, cases), pythons, cases)


def test_oks_is_cocos(count, agree):
    """One image with one person and one detection a case, all computed by pycocotools."""
    cases = [{"area": random.uniform(10, 1e5), "sigma": random.uniform(0.02, 0.2)} for _ in range(count)]
    truth, found = [], []
    for n, case in enumerate(cases, start=1):
        case["shift"] = [random.gauss(0, 30), random.gauss(0, 30)]
        x, y = case["shift"]
        one = {"image_id": n, "category_id": 1, "bbox": [0, 0, 10, 10]}
        truth.append({**one, "id": n, "area": case["area"], "iscrowd": 0, "keypoints": [50, 60, 2], "num_keypoints": 1})
        found.append({**one, "score": 1.0, "keypoints": [50 + x, 60 + y, 1]})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": [{"id": n + 1} for n in range(count)], "annotations": truth}
        coco.dataset["categories"] = [{"id": 1, "name": "person"}]
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "keypoints")
        evaluation._prepare()
    pythons = []
    for n, case in enumerate(cases, start=1):
        evaluation.params.kpt_oks_sigmas = np.array([case["sigma"]])
        pythons.append(float(evaluation.computeOks(n, 1)[0, 0]))
    body = "(m, c) => m.oks(Math.hypot(...c.shift), c.area, c.sigma)"
    agree(javascript(text("arithmetic/keypoint_head.js"), body, cases), pythons, cases)


# ---- average precision -----------------------------------------------------------------------------------------------


def test_average_precision_is_cocos(count, agree):
    """One category a case: its detections lie on an object (IoU 1), on one that was found before, or on nothing."""
    cases: list[dict[str, Any]] = []
    truth, found = [], []
    for category in range(1, count + 1):
        objects, detections = random.randint(1, 8), random.randint(1, 20)
        hit = [random.choice([-1, random.randrange(objects)]) for _ in range(detections)]
        scores = random.sample(range(1, 1000), detections)
        cases.append({"objects": hit, "scores": scores, "count": objects})
        place = [[20 * n, 0, 10, 10] for n in range(objects)]
        one = {"image_id": 1, "category_id": category}
        truth += [{**one, "id": 0, "bbox": box, "area": 100, "iscrowd": 0} for box in place]
        found += [
            {**one, "bbox": place[n] if n >= 0 else [500, 500, 9, 9], "score": score / 1000}
            for n, score in zip(hit, scores)
        ]
    for number, annotation in enumerate(truth, start=1):
        annotation["id"] = number
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": [{"id": 1, "height": 600, "width": 600}], "annotations": truth}
        coco.dataset["categories"] = [{"id": n, "name": str(n)} for n in range(1, count + 1)]
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        asked = evaluation.params  # of its ten thresholds and four sizes what is compared: a fortieth of the work
        asked.iouThrs, asked.areaRng, asked.areaRngLbl = np.array([0.5]), [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, -1]  # IoU 0.5: [101, categories]
    pythons = [[*precision[:, n], precision[:, n].mean()] for n in range(count)]
    body = """(m, c) => {
      const judged = m.judge(c.scores, c.objects.map((n) => (n < 0 ? 0 : 1)), c.objects, 0.5);
      const { ap, points } = m.averagePrecision(judged.map((one) => one.right), c.count);
      return [...points, ap];
    }"""
    agree(javascript(text("arithmetic/evaluation.js"), body, cases), pythons, cases)


# ---- label maps ------------------------------------------------------------------------------------------------------


def test_connected_parts_and_boxes(count, agree):
    ndimage = pytest.importorskip("scipy.ndimage")
    cases = []
    for _ in range(count):
        width, height = random.randint(1, 9), random.randint(1, 9)
        cases.append({"width": width, "map": [random.choice([-1, 0, 0, 1, 1]) for _ in range(width * height)]})
    pythons = []
    for case in cases:
        mask = torch.tensor(case["map"]).view(-1, case["width"]) == 1
        rows, columns = mask.any(1).nonzero()[:, 0].tolist(), mask.any(0).nonzero()[:, 0].tolist()
        box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if rows else [-1] * 4
        pythons.append([ndimage.label(mask.numpy())[1], *box])
    body = "(m, c) => [m.connectedParts(c.map, c.width, 1), ...(m.boxOf(c.map, c.width, 1) ?? [-1, -1, -1, -1])]"
    agree(javascript(text("arithmetic/regions.js"), body, cases), pythons, cases)
