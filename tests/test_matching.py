"""matching.py: match, sample, and the RoIs of the heads."""

import pytest
import torch
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from mrcnn_lite.matching import IGNORED, NEGATIVE, generators, match, sample, sample_rois

CPU = torch.device("cpu")


def test_match_by_hand():
    objects = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    boxes = torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 5], [30, 30, 40, 40], [50, 50, 60, 52]])  # IoU .9, .5, 0, .2
    assert match(objects, boxes, 0.7, 0.3).tolist() == [0, IGNORED, NEGATIVE, NEGATIVE]
    assert match(objects, boxes, 0.7, 0.3, best_anchor_rule=True).tolist() == [0, IGNORED, NEGATIVE, 1]


def test_an_object_that_no_anchor_touches_makes_nothing_positive():
    far = torch.tensor([[500.0, 500, 510, 510]])
    assert (match(far, torch.tensor([[0.0, 0, 9, 9], [5, 5, 9, 9]]), 0.7, 0.3, best_anchor_rule=True) == NEGATIVE).all()


def test_no_objects_make_everything_negative():
    assert match(torch.zeros(0, 4), torch.rand(5, 4), 0.5, 0.5).tolist() == [NEGATIVE] * 5


@pytest.mark.parametrize("best", [True, False])
def test_match_equals_torchvision(best):
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        corner = torch.rand(60, 2, generator=generator) * 50
        boxes = torch.cat([corner, corner + 5 + torch.rand(60, 2, generator=generator) * 30], 1)
        objects, anchors = boxes[:5], boxes[5:]
        theirs = Matcher(0.7, 0.3, allow_low_quality_matches=best)(box_iou(objects, anchors))
        assert torch.equal(match(objects, anchors, 0.7, 0.3, best), theirs)


def test_sample_draws_as_many_as_asked_and_only_what_may_be():
    matched = torch.tensor([0] * 5 + [NEGATIVE] * 100 + [IGNORED] * 50)
    index, keep = sample(matched, 32, 0.5, torch.Generator().manual_seed(1))
    drawn = index[keep]
    assert len(drawn) == 32 and len(set(drawn.tolist())) == 32
    assert (matched[drawn] >= 0).sum() == 5 and (matched[drawn] == NEGATIVE).sum() == 27


def test_sample_limits_the_positives_and_survives_few_negatives():
    index, keep = sample(torch.tensor([0] * 50 + [NEGATIVE] * 3), 16, 0.25, torch.Generator().manual_seed(1))
    matched = torch.tensor([0] * 50 + [NEGATIVE] * 3)[index[keep]]
    assert (matched >= 0).sum() == 4 and (matched == NEGATIVE).sum() == 3


def test_sample_is_uniform():
    matched, generator = torch.tensor([0] * 10 + [NEGATIVE] * 10), torch.Generator().manual_seed(0)
    counts = torch.zeros(20)
    for _ in range(2000):
        index, keep = sample(matched, 4, 0.5, generator)
        counts[index[keep]] += 1
    assert (counts / 2000 - 0.2).abs().max() < 0.05  # each of 10 is one of the two drawn in 20 %


def test_rois_depend_on_the_images_seed_alone():
    proposals = [torch.rand(50, 4).sort(dim=1).values * 100 for _ in range(2)]
    targets = [{"boxes": p[:3], "labels": torch.tensor([1, 2, 3])} for p in proposals]
    args = (16, 0.25, 0.5, 0.5)
    both = sample_rois(proposals, targets, generators([7, 8], 2, CPU), *args)
    second = sample_rois(proposals[1:], targets[1:], generators([8], 1, CPU), *args)
    assert torch.equal(both.rois[both.rois[:, 0] == 1][:, 1:], second.rois[:, 1:])
    assert torch.equal(both.gt_boxes[both.positive], torch.stack([
        targets[int(i)]["boxes"][j] for i, j in zip(both.rois[both.positive, 0], both.gt_index[both.positive])
    ]))  # fmt: skip


def test_an_image_without_objects_gives_background_only():
    target = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    sampled = sample_rois([torch.rand(9, 4)], [target], generators([1], 1, CPU), 8, 0.25, 0.5, 0.5)
    assert sampled.labels.tolist() == [0] * 8 and len(sampled.positive) == 0


def test_seeds_must_be_one_an_image():
    with pytest.raises(ValueError, match="2 images, 1 seeds"):
        generators([1], 2, CPU)
