"""boxes.py: the convention, and area, IoU, encode/decode, clip and NMS."""

import pytest
import torch
import torchvision.ops as tv
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn_lite import boxes as box_ops


def random_boxes(count: int, seed: int, side: float = 100.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * side
    return torch.cat([corner, corner + torch.rand(count, 2, generator=generator, dtype=torch.float64) * side / 2], 1)


def test_width_is_x2_minus_x1():
    assert box_ops.area(torch.tensor([[2.0, 3.0, 5.0, 4.0]])).tolist() == [3.0]


def test_iou_by_hand():
    a = torch.tensor([[0.0, 0, 2, 2]])
    b = torch.tensor([[1.0, 1, 3, 3], [0, 0, 2, 2], [2, 0, 4, 2], [5, 5, 6, 6]])
    assert torch.allclose(box_ops.iou(a, b), torch.tensor([[1 / 7, 1.0, 0.0, 0.0]]))


def test_iou_of_empty_boxes_is_zero_not_nan():
    point = torch.tensor([[1.0, 1, 1, 1]])
    assert box_ops.iou(point, point).item() == 0.0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 1000))
def test_iou_equals_torchvision(p, q, seed):
    a, b = random_boxes(p, seed), random_boxes(q, seed + 1)
    assert torch.allclose(box_ops.iou(a, b), tv.box_iou(a, b))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)]))
def test_decode_undoes_encode(seed, weights):
    anchors, boxes = (
        random_boxes(20, seed) + torch.tensor([0, 0, 1, 1]),
        random_boxes(20, seed + 1) + torch.tensor([0, 0, 1, 1]),
    )
    assert torch.allclose(box_ops.decode(anchors, box_ops.encode(anchors, boxes, weights), weights), boxes)


def test_encode_by_hand():
    anchor, box = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 20]])
    expected = torch.tensor([[0.5, 0.5, 0.0, 0.6931472]])
    assert torch.allclose(box_ops.encode(anchor, box), expected)


def test_decode_limits_growth():
    grown = box_ops.decode(torch.tensor([[0.0, 0, 16, 16]]), torch.tensor([[0.0, 0, 100, 100]]))
    assert torch.allclose(grown[0, 2:] - grown[0, :2], torch.tensor([1000.0, 1000.0]))


def test_clip_keeps_x_and_y_apart():
    assert box_ops.clip(torch.tensor([[-5.0, -6, 300, 400]]), (100, 200)).tolist() == [[0, 0, 200, 100]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]))
def test_readable_nms_equals_torchvision(count, seed, threshold):
    boxes = random_boxes(count, seed, side=40)
    scores = torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert box_ops.nms_reference(boxes, scores, threshold).tolist() == tv.nms(boxes, scores, threshold).tolist()


def test_nms_keeps_a_box_exactly_at_the_threshold():
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1]])  # IoU 0.5 exactly
    for nms in (box_ops.nms_reference, tv.nms):
        assert nms(boxes, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0, 1]


@pytest.mark.parametrize("count", [0, 40, 1500])  # 1500: torchvision takes its other way
def test_batched_nms_is_nms_a_group(count):
    boxes, groups = random_boxes(count, 3, side=60).float(), torch.arange(count) % 3
    scores = torch.rand(count, generator=torch.Generator().manual_seed(5))
    kept = box_ops.batched_nms(boxes, scores, groups, 0.5)
    expected = []
    for group in range(3):
        index = (groups == group).nonzero()[:, 0]
        expected += index[box_ops.nms_reference(boxes[index], scores[index], 0.5)].tolist()
    assert sorted(kept.tolist()) == sorted(expected)
    assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)
