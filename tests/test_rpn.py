"""rpn.py: layout of the outputs, losses by hand, proposals."""

import pytest
import torch
import torch.nn.functional as F

from mrcnn_lite import boxes as box_ops
from mrcnn_lite.anchors import AnchorGrid
from mrcnn_lite.matching import generators, match
from mrcnn_lite.rpn import RPN, RPNHead, RPNOutput


def make(num_samples=64):
    grid = AnchorGrid(((16.0,), (32.0,)), (0.5, 1.0, 2.0), [8, 16])
    return RPN(RPNHead(8, grid.num_anchors), grid, num_samples=num_samples)


def features(n=2):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 8, 12, 16, generator=generator), torch.randn(n, 8, 6, 8, generator=generator)]


def test_outputs_lie_as_the_anchors_do():
    """Anchor a of cell (i, j) of a level finds its own logit and deltas."""
    rpn, maps = make(), features()
    output = rpn(maps, (96, 128))
    assert output.level_sizes == [12 * 16 * 3, 6 * 8 * 3]
    x = rpn.head.conv(maps[1])
    i, j, a = 3, 5, 2
    place = output.level_sizes[0] + (i * 8 + j) * 3 + a
    assert output.logits[1, place] == rpn.head.cls_logits(x)[1, a, i, j]
    assert torch.equal(output.deltas[1, place], rpn.head.bbox_pred(x)[1, 4 * a : 4 * a + 4, i, j])
    centre = (output.anchors[place, :2] + output.anchors[place, 2:]) / 2
    assert centre.tolist() == [(j + 0.5) * 16, (i + 0.5) * 16]


def test_losses_by_hand_when_everything_is_sampled():
    rpn = make(num_samples=10_000)
    output = rpn(features(1), (96, 128))
    target = {"boxes": torch.tensor([[20.0, 20, 40, 36], [60, 50, 100, 90]])}
    losses = rpn.losses(output, [target], generators([1], 1, torch.device("cpu")))
    matched = match(target["boxes"], output.anchors, 0.7, 0.3, best_anchor_rule=True)
    sampled, positive = matched != -2, matched >= 0
    bce = F.binary_cross_entropy_with_logits(output.logits[0, sampled], positive[sampled].float())
    gt = box_ops.encode(output.anchors[positive], target["boxes"][matched[positive]])
    box = F.smooth_l1_loss(output.deltas[0, positive], gt, beta=1 / 9, reduction="sum") / sampled.sum()
    assert positive.sum() >= 2
    assert losses["loss_objectness"].item() == pytest.approx(bce.item(), rel=1e-5)
    assert losses["loss_rpn_box_reg"].item() == pytest.approx(box.item(), rel=1e-5)


def test_no_objects_give_finite_losses_and_gradients():
    rpn = make()
    output = rpn(features(1), (96, 128))
    losses = rpn.losses(output, [{"boxes": torch.zeros(0, 4)}], generators([1], 1, torch.device("cpu")))
    sum(losses.values()).backward()
    assert losses["loss_rpn_box_reg"].item() == 0 and losses["loss_objectness"].isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in rpn.parameters())


def by_hand(anchors, logits, sizes):
    return RPNOutput(torch.tensor([logits]), torch.zeros(1, len(anchors), 4), torch.tensor(anchors), sizes)


def test_proposals_by_hand():
    """Clipped; the overlapping one of the same level goes, that of the other level stays; empty ones go; best first."""
    anchors = [[0.0, 0, 20, 20], [0, 0, 20, 19], [-30, 0, -10, 20], [0, 0, 20, 20], [90, 90, 120, 120]]
    output = by_hand(anchors, [2.0, 1.0, 5.0, 0.0, 3.0], [3, 2])
    boxes, scores = make().proposals(output, [(100, 100)], 10, 10)
    assert boxes[0].tolist() == [[90, 90, 100, 100], [0, 0, 20, 20], [0, 0, 20, 20]]
    assert torch.allclose(scores[0], torch.tensor([3.0, 2.0, 0.0]).sigmoid())
    boxes, _ = make().proposals(output, [(100, 100)], 10, 1)
    assert boxes[0].tolist() == [[90, 90, 100, 100]]


def test_a_batch_proposes_what_its_images_propose_alone():
    rpn = make()
    maps = features(2)
    sizes = [(96, 128), (90, 100)]
    both = rpn.proposals(rpn(maps, (96, 128)), sizes, 50, 20)
    for i in range(2):
        alone = rpn.proposals(rpn([m[i : i + 1] for m in maps], (96, 128)), sizes[i : i + 1], 50, 20)
        assert torch.allclose(both.boxes[i], alone.boxes[0], atol=1e-4)
        assert (both.boxes[i][:, 2] <= sizes[i][1]).all() and (both.boxes[i][:, 3] <= sizes[i][0]).all()


def test_proposals_carry_no_gradient():
    rpn = make()
    assert not rpn.proposals(rpn(features(1), (96, 128)), [(96, 128)], 10, 10).boxes[0].requires_grad
