"""images.py: resize, normalise, pad, and back."""

import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from mrcnn_lite.images import ImageTransform

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def target(height, width):
    masks = torch.zeros(2, height, width, dtype=torch.uint8)
    masks[0, 5:20, 7:30] = 1
    masks[1, 22:40, 3:9] = 1
    boxes = torch.tensor([[7.0, 5, 30, 20], [3, 22, 9, 40]])
    keypoints = torch.tensor([[[10.0, 10, 2], [0, 0, 0]], [[5, 30, 1], [8, 23, 2]]])
    return {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": masks, "keypoints": keypoints}


def test_images_of_another_precision_take_the_networks():
    transform = ImageTransform(8, 16, MEAN, STD)
    image = torch.rand(3, 8, 12)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        batch = transform([image.to(dtype)])
        assert batch.images.dtype == torch.float32
        assert torch.allclose(batch.images, transform([image]).images, atol=0.02)
    assert transform.double()([image]).images.dtype == torch.float64


@pytest.mark.parametrize("sizes", [[(60, 90)], [(60, 90), (97, 51)], [(64, 64), (40, 200)]])
def test_equals_torchvision(sizes):
    images, targets = [torch.rand(3, *s) for s in sizes], [target(*s) for s in sizes]
    theirs, their_targets = GeneralizedRCNNTransform(80, 133, MEAN, STD)(
        [i.clone() for i in images], [dict(t) for t in targets]
    )
    ours = ImageTransform(80, 133, MEAN, STD, half_pixel=False)
    batch = ours(images)
    assert batch.sizes == theirs.image_sizes and batch.original_sizes == sizes
    assert torch.allclose(batch.images, theirs.tensors, atol=1e-6)
    for mine, other in zip(ours.targets(targets, batch), their_targets):
        for key in ("boxes", "labels", "masks", "keypoints"):
            assert torch.allclose(mine[key].float(), other[key].float(), atol=1e-4), key


def test_undo_is_the_inverse():
    images, targets = [torch.rand(3, 60, 90), torch.rand(3, 97, 51)], [target(60, 90), target(97, 51)]
    transform = ImageTransform(80, 133, MEAN, STD)
    batch = transform(images)
    for mine, other in zip(transform.undo(transform.targets(targets, batch), batch), targets):
        assert torch.allclose(mine["boxes"], other["boxes"], atol=1e-4)
        assert torch.allclose(mine["keypoints"], other["keypoints"], atol=1e-4)


def test_masks_shrink_about_their_centre():
    """A mask that fills columns 2..5 of 8 fills 1..2 of 4: no shift by half a pixel."""
    transform = ImageTransform(4, 4, MEAN, STD)
    mask = torch.zeros(1, 8, 8, dtype=torch.uint8)
    mask[0, 2:6, 2:6] = 1
    values = {"boxes": torch.tensor([[2.0, 2, 6, 6]]), "labels": torch.tensor([1]), "masks": mask}
    moved = transform.targets([values], transform([torch.rand(3, 8, 8)]))[0]
    assert moved["boxes"].tolist() == [[1, 1, 3, 3]]
    assert moved["masks"][0].nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_padding_is_zero_and_outside_the_true_size():
    batch = ImageTransform(60, 100, MEAN, STD)([torch.rand(3, 60, 90)])
    assert batch.size == (64, 96) and batch.sizes == [(60, 90)]
    assert batch.images[0, :, 60:].abs().sum() == 0 and batch.images[0, :, :, 90:].abs().sum() == 0


def test_empty_targets_of_any_shape():
    transform = ImageTransform(64, 64, MEAN, STD)
    batch = transform([torch.rand(3, 64, 64)])
    empty = {"boxes": torch.tensor([]), "labels": torch.tensor([]), "masks": torch.zeros(0, 64, 64)}
    moved = transform.targets([empty], batch)[0]
    assert (
        moved["boxes"].shape == (0, 4) and moved["masks"].shape == (0, 64, 64) and moved["labels"].dtype == torch.int64
    )
