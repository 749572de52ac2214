"""box_head.py: losses and detections by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from mrcnn_lite import boxes as box_ops
from mrcnn_lite.box_head import BoxHead, fully_connected
from mrcnn_lite.matching import SampledRoIs


def head(**settings):
    return BoxHead(None, torch.nn.Identity(), 8, num_classes=3, **settings)  # type: ignore[arg-type]


def test_losses_by_hand():
    rois = torch.tensor([[0.0, 0, 0, 10, 10], [0, 5, 5, 25, 15], [0, 30, 30, 40, 50]])
    gt = torch.tensor([[0.0, 0, 12, 10], [0, 0, 0, 0], [28, 30, 40, 55]])
    labels = torch.tensor([2, 0, 1])
    sampled = SampledRoIs(rois, labels, gt, torch.tensor([0, -1, 1]), torch.tensor([0, 2]))
    logits, deltas = torch.randn(3, 3), torch.randn(3, 3, 4)
    losses = head().losses(logits, deltas, sampled)
    assert losses["loss_classifier"].item() == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    wanted = box_ops.encode(rois[[0, 2], 1:], gt[[0, 2]], (10, 10, 5, 5))
    expected = F.smooth_l1_loss(torch.stack([deltas[0, 2], deltas[2, 1]]), wanted, beta=1 / 9, reduction="sum") / 3
    assert losses["loss_box_reg"].item() == pytest.approx(expected.item(), rel=1e-5)


def detect(logits, boxes, size=(100, 100), **settings):
    deltas = torch.zeros(len(boxes), 3, 4)
    return head(**settings).detections(torch.tensor(logits), deltas, [torch.tensor(boxes)], [size])[0]


def test_background_is_no_detection_and_classes_do_not_suppress_each_other():
    p = math.log(0.48), math.log(0.04)
    found = detect([[p[1], p[0], p[0]], [5.0, 0, 0]], [[10.0, 10, 30, 30], [50, 50, 70, 70]])
    assert sorted(found["labels"].tolist()) == [1, 2]
    assert torch.allclose(found["scores"], torch.tensor([0.48, 0.48]))


def test_suppression_threshold_cap_and_clip():
    boxes = [[10.0, 10, 30, 30], [10, 10, 30, 29], [80, 80, 130, 130], [40, 40, 40.001, 60]]
    logits = [[0.0, 3, 0], [0.0, 2, 0], [0.0, 4, 0], [0.0, 9, 0]]
    found = detect(logits, boxes, score_threshold=0.15)
    assert found["boxes"].tolist() == [[80, 80, 100, 100], [10, 10, 30, 30]]  # best first; the sliver has no area
    assert len(detect(logits, boxes, max_detections=1)["boxes"]) == 1
    assert len(detect(logits, boxes, score_threshold=0.99)["boxes"]) == 0


def test_no_proposals():
    found = head().detections(torch.zeros(0, 3), torch.zeros(0, 3, 4), [torch.zeros(0, 4)], [(10, 10)])
    assert found[0]["boxes"].shape == (0, 4)


def test_body_of_figure_4():
    body = fully_connected(256, 7, (), (1024, 1024), None)
    assert body(torch.rand(2, 256, 7, 7)).shape == (2, 1024)
    assert sum(p.numel() for p in body.parameters()) == 7 * 7 * 256 * 1024 + 1024 + 1024 * 1024 + 1024
