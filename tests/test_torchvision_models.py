"""Parity with torchvision: its detectors with random weights, converted by name, give the same results and losses."""

import pytest
import torch
from torchvision.models import detection as tv
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from mrcnn_lite import from_torchvision
from mrcnn_lite import matching as our_matching
from mrcnn_lite import rpn as our_rpn

# The last norm of each residual block set to 0.2: with random weights activations explode otherwise, and torchvision
# differs from itself by 0.3 px between memory formats.
SIZES = [(96, 128), (131, 90), (150, 150)]


def calm(model):
    for name, buffer in [*model.backbone.body.named_parameters(), *model.backbone.body.named_buffers()]:
        _block, norm = name.rsplit(".", 2)[:2] if name.count(".") >= 2 else ("", "")
        last = "bn3" if hasattr(model.backbone.body.layer1[0], "conv3") else "bn2"
        if norm == last and name.endswith(".weight"):
            buffer.data.fill_(0.2)
    # Random predictors answer the same everywhere: wider ones spread scores, classes and boxes.
    generator = torch.Generator().manual_seed(1)
    heads, predictor = model.roi_heads, model.roi_heads.box_predictor
    layers = [(model.rpn.head.cls_logits, 0.05), (model.rpn.head.bbox_pred, 0.02), (predictor.bbox_pred, 0.02)]
    layers.append((predictor.cls_score, 0.3))
    if heads.has_mask():
        layers.append((heads.mask_predictor.mask_fcn_logits, 0.5))
    for layer, std in layers:
        layer.weight.data.normal_(0, std, generator=generator)
    return model.eval()


def make(kind, backbone, num_classes, **settings):
    torch.manual_seed(0)
    settings = {"min_size": 120, "max_size": 170, "box_score_thresh": 0.02, "box_detections_per_img": 30} | settings
    settings = {"box_batch_size_per_image": 64} | settings
    if kind.endswith("v2"):
        build = {"mask-v2": tv.maskrcnn_resnet50_fpn_v2, "faster-v2": tv.fasterrcnn_resnet50_fpn_v2}[kind]
        return calm(build(weights=None, weights_backbone=None, num_classes=num_classes, **settings))
    net = resnet_fpn_backbone(backbone_name=backbone, weights=None, trainable_layers=3)
    build = {"faster": tv.FasterRCNN, "mask": tv.MaskRCNN, "keypoint": tv.KeypointRCNN}[kind]
    return calm(build(net, num_classes=num_classes, **settings))


CASES = [
    ("faster", "resnet18", 5),
    ("faster", "resnet50", 21),
    ("mask", "resnet18", 4),
    ("mask", "resnet50", 91),
    ("keypoint", "resnet18", 2),
    ("keypoint", "resnet50", 3),
    ("mask", "resnext50_32x4d", 3),
    ("mask-v2", "resnet50", 7),
    ("faster-v2", "resnet50", 7),
]


def random_images(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3, *size, generator=generator) for size in SIZES]


def same_order(found, expected):
    """Which of `found` each of `expected` is: two scores that differ by rounding alone may change places."""
    far = torch.cdist(expected["boxes"], found["boxes"], p=float("inf"))
    far = far + 1e6 * (expected["labels"][:, None] != found["labels"][None])
    order = far.argmin(dim=1)
    assert sorted(order.tolist()) == list(range(len(found["boxes"])))  # one for one
    return order


@pytest.mark.parametrize("kind,backbone,num_classes", CASES)
def test_same_detections(kind, backbone, num_classes):
    theirs = make(kind, backbone, num_classes)
    ours = from_torchvision(theirs)
    images = random_images()
    captured = {}
    if "mask" in kind:  # M x M probabilities before pasting
        theirs.roi_heads.mask_predictor.register_forward_hook(lambda m, i, o: captured.update(mask=o))
    if "keypoint" in kind:
        theirs.roi_heads.keypoint_predictor.register_forward_hook(lambda m, i, o: captured.update(keypoint=o))
        ours.heads["keypoint"].layers.register_forward_hook(lambda m, i, o: captured.update(ours=o))
    with torch.no_grad():
        expected, found = theirs([image.clone() for image in images]), ours.detect(images)
    assert sum(len(e["boxes"]) for e in expected) > 20  # else nothing is compared
    for i, e in enumerate(expected):
        order = same_order(found[i], e)
        found[i] = f = {key: value[order] for key, value in found[i].items()}
        assert f["labels"].tolist() == e["labels"].tolist()
        assert torch.allclose(f["boxes"], e["boxes"], atol=1e-3, rtol=0)
        assert torch.allclose(f["scores"], e["scores"], atol=1e-5, rtol=0)
        if "keypoint" in kind:
            assert torch.allclose(f["keypoints"], e["keypoints"], atol=1e-2)
            assert torch.allclose(f["keypoint_scores"], e["keypoints_scores"], rtol=1e-4, atol=1e-4)
    if "mask" in kind:
        labels = torch.cat([e["labels"] for e in expected])
        probs = captured["mask"].sigmoid()[torch.arange(len(labels)), labels]
        assert torch.allclose(torch.cat([f["mask_probs"] for f in found]), probs, atol=1e-4, rtol=0)
    if "keypoint" in kind:
        logits = captured["keypoint"]
        assert (captured["ours"] - logits).abs().max() <= 1e-4 * logits.abs().max()


def random_targets(kind, num_classes, num_keypoints=17):
    generator = torch.Generator().manual_seed(5)
    targets = []
    for i, (height, width) in enumerate(SIZES):
        count = (3, 0, 5)[i] if kind != "keypoint" else (3, 1, 5)[i]  # one image without objects
        corner = torch.rand(count, 2, generator=generator) * 40
        boxes = torch.cat([corner, corner + 15 + torch.rand(count, 2, generator=generator) * 30], dim=1)
        masks = torch.zeros(count, height, width, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.round().int().tolist()):
            mask[y1:y2, x1:x2] = torch.randint(0, 2, (y2 - y1, x2 - x1), generator=generator)
            mask[y1, x1:x2] = mask[y2 - 1, x1:x2] = 1
            mask[y1:y2, x1] = mask[y1:y2, x2 - 1] = 1
        side = (boxes[:, 2:] - boxes[:, :2])[:, None]
        keypoints = torch.rand(count, num_keypoints, 2, generator=generator) * side * 1.1 + boxes[:, None, :2]
        visible = torch.randint(0, 3, (count, num_keypoints, 1), generator=generator)
        labels = torch.randint(1, num_classes, (count,), generator=generator)
        target = {"boxes": boxes, "labels": labels, "masks": masks}
        targets.append(target | {"keypoints": torch.cat([keypoints, visible], dim=2)})
    return targets


def draw_first(matched, num_samples, positive_fraction, generator=None):
    """Sampling without chance: the first positives and the first negatives."""
    positive, negative = (matched >= 0).nonzero()[:, 0], (matched == -1).nonzero()[:, 0]
    positive = positive[: int(num_samples * positive_fraction)]
    index = torch.cat([positive, negative[: num_samples - len(positive)]])
    return index, torch.ones_like(index, dtype=torch.bool)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind,backbone,num_classes", [c for c in CASES if not c[0].endswith("v2")])
def test_same_losses_and_gradients(kind, backbone, num_classes, dtype, monkeypatch):
    """Gradients in float64: in float32 a ReLU whose input is 0 but for rounding goes either way, and entries jump."""
    theirs = make(kind, backbone, num_classes).to(dtype)
    ours = from_torchvision(theirs)
    for name in ("image_mean", "image_std"):  # ours keeps them in float32
        value = torch.tensor(getattr(theirs.transform, name), dtype=dtype)[:, None, None]
        setattr(ours.image_transform, name.removeprefix("image_"), value)
    images = [image.to(dtype) for image in random_images(3)]
    targets = [{k: v.to(dtype) if k == "boxes" else v for k, v in t.items()} for t in random_targets(kind, num_classes)]

    def their_sampler(sampler):
        def sample(matched_idxs):
            pairs = []
            for labels in matched_idxs:  # 1.. positive, 0 negative, -1 ignored
                matched = torch.where(labels >= 1, 0, torch.where(labels == 0, -1, -2))
                index, _ = draw_first(matched, sampler.batch_size_per_image, sampler.positive_fraction)
                drawn = torch.zeros(len(matched), dtype=torch.bool).index_fill(0, index, True)
                pairs.append((drawn & (matched >= 0), drawn & (matched == -1)))
            return [p for p, _ in pairs], [n for _, n in pairs]

        return sample

    samplers = theirs.rpn.fg_bg_sampler, theirs.roi_heads.fg_bg_sampler
    theirs.rpn.fg_bg_sampler, theirs.roi_heads.fg_bg_sampler = map(their_sampler, samplers)
    monkeypatch.setattr(our_rpn, "sample", draw_first)
    monkeypatch.setattr(our_matching, "sample", draw_first)

    theirs.train()
    expected = theirs([i.clone() for i in images], [{k: v.clone() for k, v in t.items()} for t in targets])
    found = ours.losses(images, targets)
    assert set(found) == set(expected)
    for name, loss in expected.items():
        assert loss > 0
        assert found[name].item() == pytest.approx(loss.item(), rel=1e-5), name
    if dtype == torch.float32:
        return
    sum(expected.values()).backward()
    sum(found.values()).backward()
    theirs.rpn.fg_bg_sampler, theirs.roi_heads.fg_bg_sampler = samplers
    converted = from_torchvision_gradients(theirs)
    compared = 0
    for name, parameter in ours.named_parameters():
        gradient = converted.get(name)
        assert (parameter.grad is None) == (gradient is None), name
        if gradient is not None:
            assert (parameter.grad - gradient).abs().max() <= 1e-4 * gradient.abs().max().clamp(min=1e-9), name
            compared += 1
    assert compared > 40


def from_torchvision_gradients(theirs):
    """torchvision's gradients under our names: put where the weights are, and converted with them."""
    absent = 2.0**100  # a number that no gradient is, since weights that are none (NaN) are refused
    for parameter in theirs.parameters():
        gradient = parameter.grad if parameter.grad is not None else torch.full_like(parameter, absent)
        parameter.data.copy_(gradient)
    state = dict(from_torchvision(theirs).named_parameters())
    return {name: tensor.data for name, tensor in state.items() if not (tensor == absent).any()}


def test_settings_and_frozen_parts_come_along():
    theirs = make("mask", "resnet18", 4, rpn_nms_thresh=0.6, box_detections_per_img=7, box_roi_pool=None)
    ours = from_torchvision(theirs)
    config = ours.config
    assert (config.rpn_nms_iou, config.max_detections, config.half_pixel) == (0.6, 7, False)
    assert (config.backbone, config.norm, config.frozen_stages, config.num_classes) == ("resnet18", "frozen_bn", 2, 4)
    count = lambda model: sum(p.numel() for p in model.parameters() if p.requires_grad)  # noqa: E731
    # torchvision's unused mask of the background: one 1x1 convolution of 256 channels and its bias
    assert count(theirs) - count(ours) == 257


def test_a_part_without_counterpart_is_named():
    theirs = make("faster", "resnet18", 3)
    theirs.extra = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"extra\.bias"):
        from_torchvision(theirs)
