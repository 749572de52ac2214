"""checks.py: what is refused names image and object; what is harmless passes."""

import pytest
import torch

from mrcnn_lite.checks import check_batch, check_images

H, W = 96, 128


def good():
    masks = torch.zeros(2, H, W, dtype=torch.uint8)
    masks[0, 10:30, 5:40] = 1
    masks[1, 50:90, 60:120] = 1
    boxes = torch.tensor([[5.0, 10, 40, 30], [60, 50, 120, 90]])
    return {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": masks}


def check(target, image=None):
    images = [torch.rand(3, H, W), torch.rand(3, H, W) if image is None else image]
    check_batch(images, [good(), target], num_classes=3, heads=("mask",))


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
    "normalised": ({"boxes": lambda b: b / torch.tensor([W, H, W, H])}, "image 1, box 0 .*looks like normalised"),
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
    "0/255": ({"masks": lambda m: m * 255}, "image 1, mask 0: values from 0 to 255.*masks > 127"),
    "other size": ({"masks": lambda m: m[:, ::2, ::2]}, r"masks of shape \[2, 48, 64\], expected \[2, 96, 128\]"),
    "H,W,N": ({"masks": lambda m: m.permute(1, 2, 0)}, "H, W, G"),
    "N,1,H,W": ({"masks": lambda m: m[:, None]}, "masks of shape"),
    "id map": ({"masks": lambda m: (m * torch.tensor([1, 2])[:, None, None]).sum(0)}, "split_ids"),
    "boxes without shape": ({"boxes": torch.tensor(3.0)}, r"image 1: boxes torch.float32 of shape \[\]"),
    "y first": ({"boxes": lambda b: b[:, [1, 0, 3, 2]]}, "looks like y1, x1, y2, x2"),
    "boxes on another device": ({"boxes": lambda b: b.to("meta")}, "image 1: boxes on meta, the image on cpu"),
    "no tensor": ({"masks": [1, 2]}, r"image 1: masks: list, expected a tensor \[G, H, W\]"),
    "NaN in a mask": ({"masks": lambda m: edit(m.float(), (0, 12, 8), float("nan"))}, "image 1, mask 0: .*0 and 1"),
    "half a mask": ({"masks": lambda m: m * 0.5}, "image 1, mask 0: values from 0 to 0.5"),
    "empty mask": ({"masks": lambda m: edit(m, 1, 0)}, "image 1, mask 1: has no pixel"),
    "fake box": (
        {"boxes": torch.zeros(1, 4), "labels": torch.tensor([1]), "masks": torch.zeros(1, H, W)}, r"shape \(0, 4\)"
    ),
}  # fmt: skip

IMAGES = {
    "0..255": (torch.rand(3, H, W) * 255, "image 1: values .* looks like 0..255"),
    "normalised": (torch.rand(3, H, W) * 5 - 2.5, "image 1: values .* normalised already"),
    "uint8": (torch.zeros(3, H, W, dtype=torch.uint8), r"image 1: torch.uint8.*image.float\(\) / 255"),
    "H,W,C": (torch.rand(H, W, 3), "image 1: .*looks like H, W, C"),
    "grey": (torch.rand(1, H, W), "image 1: .*grey"),
    "RGBA": (torch.rand(4, H, W), "image 1: .*RGBA"),
    "NaN": (torch.full((3, H, W), float("nan")), "image 1: has NaN"),
    "-1..1": (torch.rand(3, H, W) * 2 - 1, r"image 1: values from -(1|0\.99)"),
    "no pixel": (torch.rand(3, 0, W), "image 1: shape"),
    "a batch": (torch.rand(1, 3, H, W), "image 1: .*a batch"),
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
        check_batch(images, [good()], 3)
    with pytest.raises(ValueError, match="one dict"):
        check_batch(images, good(), 3)
    with pytest.raises(ValueError, match="None"):
        check_batch(images, None, 3)
    with pytest.raises(TypeError, match="image 1: target is list"):
        check_batch(images, [good(), []], 3)
    with pytest.raises(TypeError, match="expected a list"):
        check_images(torch.rand(2, 3, H, W))
    with pytest.raises(ValueError, match=r"image 0: target has no \['masks'\]"):
        check_batch(images[:1], [{k: v for k, v in good().items() if k != "masks"}], 3, ("mask",))


JOINTS = [[[10.0, 12, 2], [20, 25, 1], [0, 0, 0]], [[70, 60, 2], [128.5, 80, 2], [-50, 900, 0]]]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (None, None, None),
        ((1, 1, 0), 140.0, r"image 1, object 1, keypoint 1 \[140, 80, 2\]: labelled, but outside"),
        ((0, 0, 1), float("nan"), "image 1, object 0, keypoint 0 .*expected finite"),
        ((0, 2, 2), 3.0, "image 1, object 0, keypoint 2 .*visibility of 0, 1 or 2"),
    ],
)
def test_keypoints(place, value, message):
    images, joints = [torch.rand(3, H, W)] * 2, torch.tensor(JOINTS)
    targets = [good() | {"keypoints": torch.tensor(JOINTS)}, good() | {"keypoints": joints}]
    if message is None:
        check_batch(images, targets, 3, ("mask", "keypoint"), 3)
        return
    joints[place] = value
    with pytest.raises(ValueError, match=message):
        check_batch(images, targets, 3, ("mask", "keypoint"), 3)


def test_keypoints_of_no_objects_have_their_shape_all_the_same():
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "keypoints": torch.zeros(0, 3, 3)}
    check_batch([torch.rand(3, H, W)], [none], 3, ("keypoint",), 3)
    with pytest.raises(ValueError, match=r"image 0: keypoints of shape \[0, 2\], expected \[0, 3, 3\]"):
        check_batch([torch.rand(3, H, W)], [none | {"keypoints": torch.zeros(0, 2)}], 3, ("keypoint",), 3)


def test_one_pixel_in_the_corner_is_no_normalised_box():
    masks = torch.zeros(1, H, W)
    masks[0, 0, 0] = 1
    target = {"boxes": torch.tensor([[0.0, 0, 1, 1]]), "labels": torch.tensor([1]), "masks": masks}
    check_batch([torch.rand(3, H, W)], [target], 3, ("mask",))
    with pytest.raises(ValueError, match="looks like normalised"):
        check_batch([torch.rand(3, H, W)], [target], 3)


@pytest.mark.gpu
def test_a_gpu_is_waited_for_once():
    images = [torch.rand(3, H, W, device="cuda") for _ in range(3)]
    targets = [{key: value.cuda() for key, value in good().items()} for _ in images]
    check_batch(images, targets, 3, ("mask",))
    with torch.profiler.profile() as profile:
        check_batch(images, targets, 3, ("mask",))
    waits = [event for event in profile.events() if event.name == "cudaStreamSynchronize"]
    assert len(waits) == 1


def test_all_values_come_to_the_host_in_one_copy(monkeypatch):
    copies, cpu = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: copies.append(tensor.shape) or cpu(tensor))
    for name in ("item", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_: pytest.fail("a value was looked at on the device"))
    check(good())
    assert len(copies) == 1
