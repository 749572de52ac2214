"""keypoint_head.py: heat maps there and back, loss, torchvision's encoding and decoding."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints, keypoints_to_heatmap

from mrcnn_lite.keypoint_head import KeypointHead, KeypointLayers, decode_heatmaps, encode_heatmaps


def scene(seed=0, count=12, joints=5):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 10 + torch.rand(count, 2, generator=generator) * 60], dim=1)
    inside = torch.rand(count, joints, 2, generator=generator) * 1.2 - 0.1  # some outside the box
    points = boxes[:, None, :2] + inside * (boxes[:, 2:] - boxes[:, :2])[:, None]
    visibility = torch.randint(0, 3, (count, joints, 1), generator=generator)
    return boxes, torch.cat([points, visibility], dim=2)


def test_encoding_equals_torchvision():
    boxes, keypoints = scene()
    keypoints[0, 0, :2] = boxes[0, 2:]  # exactly on the corner: inside
    cell, counts = encode_heatmaps(keypoints, boxes, 56)
    expected_cell, expected_counts = keypoints_to_heatmap(keypoints, boxes, 56)
    assert torch.equal(counts, expected_counts.bool())
    assert torch.equal(cell[counts], expected_cell[counts])


def test_decoding_equals_torchvision():
    boxes, _ = scene()
    logits = F.interpolate(torch.randn(12, 5, 8, 8), size=(56, 56), mode="bicubic")
    keypoints, scores = decode_heatmaps(logits, boxes)
    expected, expected_scores = heatmaps_to_keypoints(logits, boxes)
    assert torch.allclose(keypoints, expected, atol=1e-3)
    assert torch.allclose(scores, expected_scores, atol=1e-4)


def test_decode_undoes_encode_to_a_cell():
    boxes, keypoints = scene()
    cell, counts = encode_heatmaps(keypoints, boxes, 56)
    row, column = cell // 56, cell % 56
    ticks = torch.arange(56)
    distance = (ticks[:, None] - row[..., None, None]) ** 2 + (ticks - column[..., None, None]) ** 2
    points, _ = decode_heatmaps(-distance / 8.0, boxes)  # a smooth peak, as a network gives
    cell_size = (boxes[:, 2:] - boxes[:, :2])[:, None] / 56
    error = (points[..., :2] - keypoints[..., :2]).abs() / cell_size.clamp(min=1)
    assert error[counts].max() <= 1.01


def test_loss_counts_only_labelled_points():
    head = KeypointHead(None, KeypointLayers(4, (4,), 2))  # type: ignore[arg-type]
    logits = torch.randn(3, 2, 8, 8, requires_grad=True)
    cell, counts = torch.randint(0, 64, (3, 2)), torch.tensor([[True, False], [True, True], [False, False]])
    loss = head.losses(logits, cell, counts)["loss_keypoint"]
    expected = F.cross_entropy(logits.view(6, 64)[counts.flatten()], cell.flatten()[counts.flatten()])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    loss.backward()
    assert logits.grad[2].abs().sum() == 0


def test_no_point_at_all_gives_zero_and_a_whole_graph():
    head = KeypointHead(None, KeypointLayers(4, (4,), 2))  # type: ignore[arg-type]
    logits = torch.randn(3, 2, 8, 8, requires_grad=True)
    loss = head.losses(logits, torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3, 2, dtype=torch.bool))[
        "loss_keypoint"
    ]
    loss.backward()
    assert loss.item() == 0 and logits.grad.abs().sum() == 0


def test_heat_maps_have_four_times_the_side():
    assert KeypointLayers(8, (16, 16), 17)(torch.rand(2, 8, 14, 14)).shape == (2, 17, 56, 56)
