"""torchvision's detectors as ours, every setting and tensor by name; and the other way: its model of the same size.

`from_torchvision` converts a model, `torchvision_peer` builds the one that ours is measured against.
Read next: `training/run.py`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .backbone import RESNETS, BasicBlock, Bottleneck
from .build import build_model
from .config import Config
from .model import MaskRCNN
from .weights import load_state, shortened


def from_torchvision(model: nn.Module) -> MaskRCNN:
    """torchvision's Faster, Mask or Keypoint R-CNN with a ResNet-FPN (also the "v2" models) as ours.

    -> our model with the same weights, settings, frozen parts and train/eval mode, on the same device. It detects the
    same; only masks are pasted our way (exact to a fraction of a pixel). torchvision trains its masks with an unused
    channel for the background, which is dropped. Raises ValueError naming the part that has no counterpart.
    """
    config = _torchvision_config(model)
    ours = build_model(config).to(next(model.parameters()))  # its device and dtype
    state = model.state_dict()
    renamed = {}
    for theirs, mine in _torchvision_names(model).items():
        found = [key for key in state if key.startswith(theirs + ".")]
        renamed.update({mine + key[len(theirs) :]: state.pop(key) for key in found})
    for kind in ("weight", "bias"):
        name = f"heads.mask.layers.mask_logits.{kind}"
        if name in renamed:
            renamed[name] = renamed[name][1:]  # [K + 1, ...] -> [K, ...]
    if state:
        raise ValueError(f"torchvision's model has parts without a counterpart here: {shortened(sorted(state))}")
    load_state(ours, renamed, "torchvision's model")
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    names = _torchvision_names(model)
    for theirs, mine in names.items():
        for name, parameter in ours.named_parameters():
            if name.startswith(mine + "."):
                parameter.requires_grad_(theirs + name[len(mine) :] not in frozen)
    return ours.train(model.training)


def _torchvision_names(model: Any) -> dict[str, str]:
    """Their prefix -> our prefix, for every part that has weights."""
    names = {part: part for part in ("backbone.body", "backbone.fpn", "rpn.head")}
    heads = model.roi_heads
    if hasattr(heads.box_head, "fc6"):
        names |= {"roi_heads.box_head.fc6": "heads.box.body.1", "roi_heads.box_head.fc7": "heads.box.body.3"}
    else:  # v2: convolutions, each followed by our ReLU, then Flatten, Linear
        convs = sum(isinstance(part, nn.Sequential) for part in heads.box_head)
        names |= {f"roi_heads.box_head.{i}": f"heads.box.body.{2 * i}" for i in range(convs)}
        names[f"roi_heads.box_head.{convs + 1}"] = f"heads.box.body.{2 * convs + 1}"
    names |= {f"roi_heads.box_predictor.{part}": f"heads.box.{part}" for part in ("cls_score", "bbox_pred")}
    if heads.has_mask():
        names |= {f"roi_heads.mask_head.{i}": f"heads.mask.layers.convs.{i}.0" for i in range(len(heads.mask_head))}
        names["roi_heads.mask_predictor.conv5_mask"] = "heads.mask.layers.deconv"
        names["roi_heads.mask_predictor.mask_fcn_logits"] = "heads.mask.layers.mask_logits"
    if heads.has_keypoint():
        names["roi_heads.keypoint_head"] = "heads.keypoint.layers.convs"
        names["roi_heads.keypoint_predictor.kps_score_lowres"] = "heads.keypoint.layers.deconv"
    return names


def _torchvision_config(model: Any) -> Config:
    """Every setting of a torchvision detector, read off its parts."""
    body, fpn, rpn, heads, transform = (
        model.backbone.body, model.backbone.fpn, model.rpn, model.roi_heads, model.transform,
    )  # fmt: skip
    kinds, eps = _norm_of(body.bn1)
    if transform.fixed_size is not None:
        raise ValueError("torchvision's model has transform.fixed_size: only min_size and max_size have a counterpart")
    pooler = heads.box_roi_pool
    values: dict[str, Any] = {
        "num_classes": heads.box_predictor.cls_score.out_features,
        "heads": tuple(n for n, there in (("mask", heads.has_mask()), ("keypoint", heads.has_keypoint())) if there),
        "min_size": transform.min_size[-1], "max_size": transform.max_size,
        "image_mean": tuple(transform.image_mean), "image_std": tuple(transform.image_std),
        "size_divisor": transform.size_divisible,
        "arch": "fpn", "backbone": _backbone_name(body), "norm": kinds, "norm_eps": eps,
        "frozen_stages": _frozen_stages(body),
        "fpn_channels": fpn.inner_blocks[0][0].out_channels, "fpn_norm": _norm_in(fpn.inner_blocks[0]),
        "anchor_sizes": rpn.anchor_generator.sizes, "anchor_ratios": rpn.anchor_generator.aspect_ratios[0],
        "torchvision_anchors": True, "rpn_layers": len(rpn.head.conv),
        "rpn_fg_iou": rpn.proposal_matcher.high_threshold, "rpn_bg_iou": rpn.proposal_matcher.low_threshold,
        "rpn_samples": rpn.fg_bg_sampler.batch_size_per_image,
        "rpn_positive_fraction": rpn.fg_bg_sampler.positive_fraction,
        "rpn_pre_nms_train": rpn._pre_nms_top_n["training"], "rpn_pre_nms_test": rpn._pre_nms_top_n["testing"],
        "rpn_post_nms_train": rpn._post_nms_top_n["training"], "rpn_post_nms_test": rpn._post_nms_top_n["testing"],
        "rpn_nms_iou": rpn.nms_thresh,
        "half_pixel": False, "sampling_ratio": max(pooler.sampling_ratio, 0),
        "canonical_size": float(pooler.canonical_scale), "canonical_level": pooler.canonical_level,
        "fg_iou": heads.proposal_matcher.high_threshold, "bg_iou": heads.proposal_matcher.low_threshold,
        "roi_samples": heads.fg_bg_sampler.batch_size_per_image,
        "roi_positive_fraction": heads.fg_bg_sampler.positive_fraction,
        "box_size": pooler.output_size[0], "box_weights": tuple(heads.box_coder.weights),
        "score_threshold": heads.score_thresh, "nms_iou": heads.nms_thresh, "max_detections": heads.detections_per_img,
    }  # fmt: skip
    if hasattr(heads.box_head, "fc6"):
        values["box_fcs"] = (heads.box_head.fc6.out_features, heads.box_head.fc7.out_features)
    else:
        convs = [part for part in heads.box_head if isinstance(part, nn.Sequential)]
        values["box_convs"] = tuple(conv[0].out_channels for conv in convs)
        values["box_fcs"] = tuple(part.out_features for part in heads.box_head if isinstance(part, nn.Linear))
        values["head_norm"] = _norm_in(convs[0])
    if heads.has_mask():
        values["mask_layers"] = tuple(conv[0].out_channels for conv in heads.mask_head)
        values["mask_deconv"] = heads.mask_predictor.conv5_mask.out_channels
        values["mask_roi_size"] = heads.mask_roi_pool.output_size[0]
        values["mask_size"] = 2 * values["mask_roi_size"]
    if heads.has_keypoint():
        layers = [part for part in heads.keypoint_head if isinstance(part, nn.Conv2d)]
        values["keypoint_layers"] = tuple(layer.out_channels for layer in layers)
        values["num_keypoints"] = heads.keypoint_predictor.kps_score_lowres.out_channels
        values["keypoint_roi_size"] = heads.keypoint_roi_pool.output_size[0]
    return Config.from_dict(values)


def _norm_of(module: nn.Module) -> tuple[str, float]:
    """The name in `backbone.norm_layer` of a norm of torchvision's or torch's, and its eps."""
    names = {"FrozenBatchNorm2d": "frozen_bn", "BatchNorm2d": "bn", "GroupNorm": "gn"}
    name = type(module).__name__
    if name not in names:
        raise ValueError(f"torchvision's model has the norm {name}; there are {', '.join(names)}")
    return names[name], float(module.eps)  # type: ignore[arg-type]


def _norm_in(block: nn.Sequential) -> str:
    """The norm of a convolution block of torchvision's, "none" where it has none."""
    norms = [part for part in block if type(part).__name__ in ("FrozenBatchNorm2d", "BatchNorm2d", "GroupNorm")]
    return _norm_of(norms[0])[0] if norms else "none"


def _backbone_name(body: Any) -> str:
    """The name in RESNETS of a torchvision ResNet, by its block, depths, groups and widths."""
    first = body.layer1[0]
    block = Bottleneck if hasattr(first, "conv3") else BasicBlock
    depths = tuple(len(layer) for layer in (body.layer1, body.layer2, body.layer3, body.layer4))
    base, groups, inner = body.conv1.out_channels, first.conv2.groups, first.conv2.out_channels
    for name, (other, other_depths, other_base, other_groups, group_width) in RESNETS.items():
        other_inner = other_groups * (other_base * group_width // 64) if other is Bottleneck else other_base
        if (block, depths, base, groups, inner) == (other, other_depths, other_base, other_groups, other_inner):
            return name
    raise ValueError(f"torchvision's backbone with blocks {depths} is none of {', '.join(RESNETS)}")


def _frozen_stages(body: Any) -> int:
    """How many of stem + stages get no gradient: 0 none, 2 = stem and res2."""
    if body.conv1.weight.requires_grad:
        return 0
    stages = (body.layer1, body.layer2, body.layer3, body.layer4)
    return 1 + next((i for i, layer in enumerate(stages) if layer[0].conv1.weight.requires_grad), 4)


class _NamedMaps(nn.Module):
    """Our backbone in the form that torchvision's detectors take: a dict of maps, and their number of channels."""

    def __init__(self, backbone: nn.Module, out_channels: int) -> None:
        super().__init__()
        self.backbone, self.out_channels = backbone, out_channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {str(level): feature for level, feature in enumerate(self.backbone(images))}


def torchvision_peer(config: Config) -> nn.Module:
    """torchvision's own Mask R-CNN (or Faster R-CNN) with random weights and the size and settings of `config`.

    The same backbone and FPN, anchor sizes, level rule, sampling points a bin, numbers of proposals and RoIs, heads and
    thresholds; its own matching, losses, RoIAlign (half a pixel off), mask targets and pasting. For FPN without P6 or
    with it, heads () and ("mask",), two FCs. Raises ValueError for what torchvision has no counterpart of.
    """
    from torchvision.models.detection import FasterRCNN, MaskRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign

    plain = config.roi_op == "align" and config.reduce == "mean" and config.mask_loss == "sigmoid"
    if config.arch != "fpn" or not plain or config.mask_head != "fcn" or len(config.box_fcs) != 2 or config.box_convs:
        raise ValueError("torchvision has no counterpart of this configuration: expected FPN, RoIAlign, two FCs")
    channels, levels = config.fpn_channels, len(config.anchor_sizes)

    def pooler(size: int) -> MultiScaleRoIAlign:
        names = [str(level) for level in range(min(levels, 4))]
        rule = {"canonical_scale": config.canonical_size, "canonical_level": config.canonical_level}
        return MultiScaleRoIAlign(names, size, config.sampling_ratio, **rule)

    parts: dict[str, Any] = {
        "rpn_anchor_generator": AnchorGenerator(config.anchor_sizes, (config.anchor_ratios,) * levels),
        "box_roi_pool": pooler(config.box_size),
        "box_head": TwoMLPHead(channels * config.box_size**2, config.box_fcs[0]),
        "box_predictor": FastRCNNPredictor(config.box_fcs[1], config.num_classes),
    }
    if "mask" in config.heads:
        parts |= {
            "mask_roi_pool": pooler(config.mask_roi_size),
            "mask_head": MaskRCNNHeads(channels, config.mask_layers, 1),
            "mask_predictor": MaskRCNNPredictor(config.mask_layers[-1], config.mask_deconv, config.num_classes),
        }
    model = (MaskRCNN if "mask" in config.heads else FasterRCNN)(
        _NamedMaps(build_model(config).backbone, channels),
        min_size=config.min_size,
        max_size=config.max_size,
        image_mean=list(config.image_mean),
        image_std=list(config.image_std),
        rpn_pre_nms_top_n_train=config.rpn_pre_nms_train,
        rpn_pre_nms_top_n_test=config.rpn_pre_nms_test,
        rpn_post_nms_top_n_train=config.rpn_post_nms_train,
        rpn_post_nms_top_n_test=config.rpn_post_nms_test,
        rpn_nms_thresh=config.rpn_nms_iou,
        rpn_fg_iou_thresh=config.rpn_fg_iou,
        rpn_bg_iou_thresh=config.rpn_bg_iou,
        rpn_batch_size_per_image=config.rpn_samples,
        rpn_positive_fraction=config.rpn_positive_fraction,
        box_score_thresh=config.score_threshold,
        box_nms_thresh=config.nms_iou,
        box_detections_per_img=config.max_detections,
        box_fg_iou_thresh=config.fg_iou,
        box_bg_iou_thresh=config.bg_iou,
        box_batch_size_per_image=config.roi_samples,
        box_positive_fraction=config.roi_positive_fraction,
        bbox_reg_weights=config.box_weights,
        **parts,
    )
    return model
