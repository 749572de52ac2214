"""checks.py: what is refused names image and object; what is harmless passes."""

import pytest
import torch

from mrcnn_lite.checks import check_images, check_targets

H, W = 96, 128


def good():
    masks = torch.zeros(2, H, W, dtype=torch.uint8)
    masks[0, 10:30, 5:40] = 1
    masks[1, 50:90, 60:120] = 1
    boxes = torch.tensor([[5.0, 10, 40, 30], [60, 50, 120, 90]])
    return {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": masks}


def check(target, image=None):
    images = [torch.rand(3, H, W), torch.rand(3, H, W) if image is None else image]
    check_images(images)
    check_targets(images, [good(), target], num_classes=3, heads=("mask",))


def changed(**changes):
    target = good()
    for key, change in changes.items():
        target[key] = change(target[key]) if callable(change) else change
    return target


def edit(tensor, index, value):
    tensor = tensor.clone()
    tensor[index] = value
    return tensor


HARMLESS = {
    "as it should be": {},
    "int64 boxes": {"boxes": lambda b: b.long()},
    "int32 labels": {"labels": lambda x: x.int()},
    "bool masks": {"masks": lambda m: m.bool()},
    "float 0/1 masks": {"masks": lambda m: m.float()},
    "no objects": {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "masks": torch.zeros(0, H, W)},
    "no objects, boxes torch.tensor([])": {
        "boxes": torch.tensor([]), "labels": torch.tensor([]), "masks": torch.zeros(0, H, W),
    },
}  # fmt: skip

WRONG = {
    "x2 == x1": ({"boxes": lambda b: edit(b, (0, 2), 5.0)}, r"image 1, box 0 .* x2 > x1"),
    "xywh": ({"boxes": lambda b: torch.cat([b[:, :2], b[:, 2:] - b[:, :2]], dim=1)}, "width, height"),
    "normalised": ({"boxes": lambda b: b / 128}, "image 1: all box coordinates are at most 1"),
    "outside": ({"boxes": lambda b: edit(b, (0, 2), 560.0)}, "image 1, box 0 .*outside the image of 128 x 96"),
    "NaN": ({"boxes": lambda b: edit(b, (1, 0), float("nan"))}, "image 1, box 1 .*NaN"),
    "inf": ({"boxes": lambda b: edit(b, (1, 3), float("inf"))}, "image 1, box 1 .*inf"),
    "float labels": ({"labels": lambda x: x.float()}, "labels are torch.float32"),
    "label 0": ({"labels": torch.tensor([0, 1])}, "image 1, object 0: label 0; label 0 is background"),
    "label too large": ({"labels": torch.tensor([1, 3])}, "object 1: label 3; num_classes=3"),
    "negative label": ({"labels": torch.tensor([1, -1])}, "object 1: label -1"),
    "fewer labels": ({"labels": torch.tensor([1])}, "2 boxes, labels of shape"),
    "more labels": ({"labels": torch.tensor([1, 1, 1])}, "2 boxes, labels of shape"),
    "fewer masks": ({"masks": lambda m: m[:1]}, "2 boxes, masks of shape"),
    "other order": ({"masks": lambda m: m.flip(0)}, "box 0 .*another order"),
    "0/255": ({"masks": lambda m: m * 255}, "image 1: mask values from 0 to 255"),
    "other size": ({"masks": lambda m: m[:, ::2, ::2]}, r"masks of shape \[2, 48, 64\], expected \[2, 96, 128\]"),
    "H,W,N": ({"masks": lambda m: m.permute(1, 2, 0)}, "H, W, G"),
    "N,1,H,W": ({"masks": lambda m: m[:, None]}, "masks of shape"),
    "id map": ({"masks": lambda m: (m * torch.tensor([1, 2])[:, None, None]).sum(0)}, "id map"),
    "empty mask": ({"masks": lambda m: edit(m, 1, 0)}, "image 1: mask 1 has no pixel"),
    "fake box": (
        {"boxes": torch.zeros(1, 4), "labels": torch.tensor([1]), "masks": torch.zeros(1, H, W)}, r"shape \(0, 4\)"
    ),
}  # fmt: skip

IMAGES = {
    "0..255": (torch.rand(3, H, W) * 255, "image 1: values .* looks like 0..255"),
    "normalised": (torch.rand(3, H, W) * 5 - 2.5, "image 1: values .* normalised already"),
    "uint8": (torch.zeros(3, H, W, dtype=torch.uint8), "image 1: torch.uint8.*divide by 255"),
    "H,W,C": (torch.rand(H, W, 3), "image 1: .*looks like H, W, C"),
    "grey": (torch.rand(1, H, W), "image 1: .*grey"),
    "RGBA": (torch.rand(4, H, W), "image 1: .*RGBA"),
    "NaN": (torch.full((3, H, W), float("nan")), "image 1: has NaN"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless(name):
    check(changed(**HARMLESS[name]))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_targets(name):
    changes, message = WRONG[name]
    with pytest.raises((ValueError, TypeError), match=message):
        check(changed(**changes))


@pytest.mark.parametrize("name", IMAGES)
def test_wrong_images(name):
    image, message = IMAGES[name]
    with pytest.raises((ValueError, TypeError), match=message):
        check(good(), image)


def test_counts_and_containers():
    images = [torch.rand(3, H, W)] * 2
    with pytest.raises(ValueError, match="2 images, 1 targets"):
        check_targets(images, [good()], 3)
    with pytest.raises(ValueError, match="one dict"):
        check_targets(images, good(), 3)
    with pytest.raises(ValueError, match="None"):
        check_targets(images, None, 3)
    with pytest.raises(TypeError, match="expected a list"):
        check_images(torch.rand(2, 3, H, W))
    with pytest.raises(ValueError, match=r"image 0: target has no \['masks'\]"):
        check_targets(images[:1], [{k: v for k, v in good().items() if k != "masks"}], 3, ("mask",))
