"""model.py and build.py: every variant trains and detects; invariants; learning."""

import itertools

import pytest
import torch

from mrcnn_lite import Config, build_model
from mrcnn_lite.checks import check_batch
from mrcnn_lite.data import open_dataset
from mrcnn_lite.evaluation import evaluate_detections

JOINTS = 5
VARIANTS = list(
    itertools.product(
        ["fpn", "c4", "c5"],
        ["pool", "warp", "align"],
        ["sigmoid", "softmax"],
        [(), ("mask",), ("mask", "keypoint"), ("keypoint",)],
    )
)


def tiny(arch="fpn", **changes):
    if arch != "fpn":
        changes = {"anchor_sizes": ((8.0, 16.0, 32.0, 64.0),), "arch": arch, **changes}
    if arch == "c4":
        changes = {"mask_size": 14, "mask_layers": (), **changes}
    return Config.tiny(**{"num_classes": 4, "num_keypoints": JOINTS, **changes})


def scene(sizes=((96, 128), (128, 96)), seed=0, objects=(2, 3)):
    """Random images with filled rectangles as objects, and five keypoints in each."""
    generator = torch.Generator().manual_seed(seed)
    images, targets = [], []
    for (height, width), count in zip(sizes, objects):
        image, masks = torch.rand(3, height, width, generator=generator), torch.zeros(count, height, width)
        corner = (torch.rand(count, 2, generator=generator) * 50).floor()
        boxes = torch.cat([corner, corner + 16 + (torch.rand(count, 2, generator=generator) * 24).floor()], dim=1)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
            mask[y1:y2, x1:x2] = 1
        points = boxes[:, None, :2] + torch.rand(count, JOINTS, 2, generator=generator) * 16
        keypoints = torch.cat([points, torch.full((count, JOINTS, 1), 2.0)], dim=2)
        labels = torch.randint(1, 4, (count,), generator=generator)
        images.append(image)
        targets.append({"boxes": boxes, "labels": labels, "masks": masks.byte(), "keypoints": keypoints})
    return images, targets


def test_what_no_head_learns_is_not_looked_at():
    model = build_model(tiny(heads=()))
    images, targets = scene()
    others = [target | {"masks": "of another tool", "keypoints": None} for target in targets]
    assert model.losses(images, targets, [1, 2]) == model.losses(images, others, [1, 2])


@pytest.mark.parametrize("arch,roi_op,mask_loss,heads", VARIANTS)
def test_every_variant_takes_a_step_and_detects(arch, roi_op, mask_loss, heads):
    torch.manual_seed(0)
    model = build_model(
        tiny(arch, roi_op=roi_op, mask_loss=mask_loss, heads=heads, reduce="max" if roi_op == "pool" else "mean")
    )
    images, targets = scene()
    losses = model.losses(images, targets)
    expected = {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert set(losses) == expected | {f"loss_{head}" for head in heads}
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    model.config = model.config.replace(score_threshold=0.0)
    model.heads["box"].score_threshold = 0.0
    detections = model.eval().detect(images)
    for image, found in zip(images, detections):
        size, count = tuple(image.shape[-2:]), len(found["boxes"])
        assert count > 0
        assert ("masks" in found) == ("mask" in heads) and ("keypoints" in found) == ("keypoint" in heads)
        if "mask" in heads:
            assert found["masks"].shape == (count, *size) and found["masks"].dtype == torch.bool
            assert found["mask_probs"].shape[1] == (14 if arch == "c4" else 28)
        if "keypoint" in heads:
            assert found["keypoints"].shape == (count, JOINTS, 3)


CHOICES = [
    {"mask_head": "mlp", "mask_roi_size": 7, "mask_layers": (32, 32)},
    {"class_agnostic_mask": True},
    {"norm": "gn"},
    {"sampling_ratio": 0},
    {"sampling_ratio": 3, "reduce": "max"},
    {"half_pixel": False},
    {"backbone": "resnext50_32x4d", "norm": "frozen_bn", "frozen_stages": 2},
]


@pytest.mark.parametrize("changes", CHOICES)
def test_other_choices(changes):
    model = build_model(tiny(**changes))
    images, targets = scene()
    sum(model.losses(images, targets).values()).backward()
    missing = {n for n, p in model.named_parameters() if p.grad is None}
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert missing == frozen and bool(frozen) == ("frozen_stages" in changes)
    model.eval().detect(images)


def test_the_papers_head_shapes():
    """Figure 4, run on one RoI: what each part takes and gives."""
    for name, shapes in {
        "r50-c4": {"heads.box.pooler": (1024, 7, 7), "heads.box.body.0": (2048, 7, 7), "heads.box.body": (2048,),
                   "heads.mask.layers.deconv": (256, 14, 14), "heads.mask.layers": (80, 14, 14)},
        "r50-fpn": {"heads.box.pooler": (256, 7, 7), "heads.box.body": (1024,), "heads.mask.pooler": (256, 14, 14),
                    "heads.mask.layers.convs": (256, 14, 14), "heads.mask.layers.deconv": (256, 28, 28),
                    "heads.mask.layers": (80, 28, 28)},
    }.items():  # fmt: skip
        model = build_model(Config.named(name)).eval()
        found = {}
        for part in shapes:
            model.get_submodule(part).register_forward_hook(
                lambda m, i, o, part=part, found=found: found.update({part: tuple(o.shape[1:])})
            )
        with torch.no_grad():
            features = model.backbone(torch.rand(1, 3, 64, 64))
            rois = torch.tensor([[0.0, 4, 4, 50, 60]])
            model.heads["box"](features, rois)
            model.heads["mask"](features, rois)
        assert found == shapes


def test_c4_heads_share_res5():
    model = build_model(Config.named("r50-c4"))
    assert model.heads["mask"].body is model.heads["box"].body[0]


def test_losses_do_not_depend_on_the_mode_and_validation_is_one_call():
    model = build_model(tiny(norm="gn"))
    images, targets = scene()
    train = model.train().losses(images, targets, seeds=[1, 2])
    with torch.no_grad():
        validation = model.eval()(images, targets, seeds=[1, 2])
    assert {k: v.item() for k, v in train.items()} == pytest.approx(
        {k: v.item() for k, v in validation.items()}, rel=1e-6
    )
    assert not any(v.requires_grad for v in validation.values())


def test_seeds_decide_the_sampling():
    model = build_model(tiny(norm="gn"))
    images, targets = scene()
    value = lambda seeds: sum(model.losses(images, targets, seeds).values()).item()  # noqa: E731
    assert value([1, 2]) == value([1, 2]) != value([3, 4])


@pytest.mark.parametrize("arch", ["fpn", "c4"])
def test_a_batch_of_two_is_two_batches_of_one(arch):
    torch.manual_seed(0)
    model = build_model(
        tiny(arch, heads=("mask", "keypoint"), norm="gn", score_threshold=0.0, max_detections=20)
    ).eval()
    images, _ = scene(sizes=((96, 128), (96, 128)))
    for together, image in zip(model.detect(images), images):
        alone = model.detect([image])[0]
        assert len(alone["boxes"]) == len(together["boxes"]) > 0
        assert torch.allclose(together["boxes"], alone["boxes"], atol=1e-2)
        assert torch.allclose(together["scores"], alone["scores"], atol=1e-4)


def test_empty_and_small_objects_and_many_images():
    model = build_model(tiny(heads=("mask", "keypoint")))
    images, targets = scene(sizes=((96, 128), (64, 64), (200, 100)), objects=(0, 1, 2))
    targets[1]["boxes"] = torch.tensor([[10.0, 10, 11, 11]])  # one pixel
    targets[1]["masks"] = torch.zeros(1, 64, 64, dtype=torch.uint8)
    targets[1]["masks"][0, 10, 10] = 1
    for chosen in ([0], [1], [0, 1, 2]):
        losses = model.losses([images[i] for i in chosen], [targets[i] for i in chosen])
        sum(losses.values()).backward()
        assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_no_proposal_and_no_detection():
    model = build_model(tiny(score_threshold=1.0, heads=("mask", "keypoint"))).eval()
    found = model.detect([torch.rand(3, 96, 128)])[0]
    assert found["boxes"].shape == (0, 4) and found["masks"].shape == (0, 96, 128)
    assert found["keypoints"].shape == (0, JOINTS, 3)


def test_wrong_input_is_refused_by_both_methods():
    model = build_model(tiny())
    images, targets = scene()
    with pytest.raises(ValueError, match=r"looks like 0\.\.255"):
        model.detect([images[0] * 255])
    targets[1]["labels"][0] = 9
    with pytest.raises(ValueError, match="image 1, object 0: label 9"):
        model.losses(images, targets)


def overfit(model, dataset, images, targets, kind, steps, lr=2e-3):
    """Train on these images alone -> the AP of "mask" or "keypoint" on them, asked every 25 steps until it is high."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, step / 20) * (1 - (step - 1) / steps) ** 0.5
        optimizer.zero_grad()
        sum(model.train().losses(images, targets).values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if step % 25 == 0:
            ap = getattr(evaluate_detections(model.eval().detect(images), dataset), kind)["AP"]
            if ap > 0.9:
                break
    return ap


def four(name):
    dataset = open_dataset(name, split="train", length=4)
    pairs = [dataset[i] for i in range(4)]
    return dataset, [image for image, _ in pairs], [target for _, target in pairs]


# Of C4 each RoI goes through res5: half of the RoIs, of which then half may be positive.
@pytest.mark.parametrize(
    "arch, steps, changes", [("fpn", 175, {}), ("c4", 250, {"roi_samples": 32, "roi_positive_fraction": 0.5})]
)
def test_overfits_four_images(arch, steps, changes):
    dataset, images, targets = four("shapes")
    check_batch(images, targets, 7, ("mask",))
    torch.manual_seed(0)
    model = build_model(tiny(arch, num_classes=7, norm="gn", **changes))
    assert overfit(model, dataset, images, targets, "mask", steps) > 0.9


def test_overfits_keypoints():
    dataset, images, targets = four("stick-figures")
    torch.manual_seed(0)
    model = build_model(tiny(heads=("keypoint",), num_classes=2, norm="gn", num_keypoints=dataset.num_keypoints))
    assert overfit(model, dataset, images, targets, "keypoint", 250) > 0.9
