"""The bills of materials: one function an architecture, side by side, so that their difference is the lesson.

`build_model(config)` unpacks a `Config` into parts with plain keyword arguments; nothing below this file and `model.py`
has heard of a configuration, and a choice made here is not asked for again while the network runs.

Paper: Mask R-CNN section 3 ("Network Architecture") and Figure 4, Tables 2a-e. Read next: `weights.py`.
"""

from __future__ import annotations

from torch import nn

from .anchors import AnchorGrid
from .backbone import ResNet, initialise, norm_layer, optional_norm_layer, stage, stage_channels
from .box_head import BoxHead, averaged, fully_connected
from .config import Config
from .fpn import FPN, LastMap, Pyramid
from .images import ImageTransform
from .keypoint_head import KeypointHead, KeypointLayers
from .mask_head import MASK_LOSSES, MaskFCN, MaskHead, MaskMLP
from .model import MaskRCNN
from .roi_ops import ROI_OPS, RoIPooler
from .rpn import RPN, RPNHead


def build_model(config: Config, check_inputs: bool = True) -> MaskRCNN:
    """The network that `config` describes, with random weights (ImageNet's: `weights.load_imagenet`).

    check_inputs: whether `losses` and `detect` refuse what `checks.py` finds wrong; `model.check_inputs` changes it.
    """
    model = ARCHS[config.arch](config)
    model.check_inputs = check_inputs
    return model


def build_c4(config: Config) -> MaskRCNN:
    """ResNet-C4 (Figure 4, left): one map of stride 16; res5 is the body of the box and of the mask head."""
    norm = norm_layer(config.norm, config.norm_eps)
    body = ResNet(config.backbone, norm, last=4, frozen_stages=config.frozen_stages)
    # WHY stride 1: on a 7x7 RoI res5 keeps the size (section 3); Detectron has stride 2 on 14x14 instead.
    res5 = stage(config.backbone, 5, norm, stride=1)
    initialise(body)
    initialise(res5)
    channels, body_channels = stage_channels(config.backbone)[2:]
    pooler = roi_pooler(config, config.box_size, strides=[16])
    heads: dict[str, nn.Module] = {"box": box_head(config, pooler, averaged(res5), body_channels)}
    if "mask" in config.heads:
        heads["mask"] = mask_head(config, pooler, res5, body_channels, config.box_size)
    if "keypoint" in config.heads:
        heads["keypoint"] = keypoint_head(config, channels, strides=[16])
    return MaskRCNN(config, images(config), LastMap(body), rpn(config, channels, strides=[16]), heads)


def build_c5(config: Config) -> MaskRCNN:
    """ResNet-C5 (Table 2d): one map of stride 32 with res5 in the backbone; the heads are FPN's."""
    norm = norm_layer(config.norm, config.norm_eps)
    body = ResNet(config.backbone, norm, last=5, frozen_stages=config.frozen_stages)
    initialise(body)
    channels = stage_channels(config.backbone)[3]
    return with_fpn_heads(config, LastMap(body), channels, rpn_strides=[32], roi_strides=[32])


def build_fpn(config: Config) -> MaskRCNN:
    """ResNet-FPN (Figure 4, right): maps of stride 4 to 32 for the heads, and P6 for the RPN where it has anchors."""
    norm = norm_layer(config.norm, config.norm_eps)
    body = ResNet(config.backbone, norm, last=5, frozen_stages=config.frozen_stages)
    initialise(body)
    strides = [4, 8, 16, 32, 64][: len(config.anchor_sizes)]
    fpn_norm = optional_norm_layer(config.fpn_norm)
    fpn = FPN(stage_channels(config.backbone), config.fpn_channels, fpn_norm, extra_level=len(strides) == 5)
    return with_fpn_heads(config, Pyramid(body, fpn), config.fpn_channels, strides, roi_strides=strides[:4])


def with_fpn_heads(
    config: Config, backbone: nn.Module, channels: int, rpn_strides: list[int], roi_strides: list[int]
) -> MaskRCNN:
    """The heads of Figure 4, right: each has its own crop and its own layers."""
    head_norm = optional_norm_layer(config.head_norm)
    pooler = roi_pooler(config, config.box_size, roi_strides)
    body = fully_connected(channels, config.box_size, config.box_convs, config.box_fcs, head_norm)
    heads: dict[str, nn.Module] = {"box": box_head(config, pooler, body, config.box_fcs[-1])}
    if "mask" in config.heads:
        pooler = roi_pooler(config, config.mask_roi_size, roi_strides)
        heads["mask"] = mask_head(config, pooler, nn.Identity(), channels, config.mask_roi_size)
    if "keypoint" in config.heads:
        heads["keypoint"] = keypoint_head(config, channels, roi_strides)
    return MaskRCNN(config, images(config), backbone, rpn(config, channels, rpn_strides), heads)


def images(config: Config) -> ImageTransform:
    return ImageTransform(
        config.min_size,
        config.max_size,
        config.image_mean,
        config.image_std,
        config.size_divisor,
        config.half_pixel,
    )


def rpn(config: Config, channels: int, strides: list[int]) -> RPN:
    grid = AnchorGrid(config.anchor_sizes, config.anchor_ratios, strides, config.torchvision_anchors)
    return RPN(
        RPNHead(channels, grid.num_anchors, config.rpn_layers),
        grid,
        fg_iou=config.rpn_fg_iou,
        bg_iou=config.rpn_bg_iou,
        num_samples=config.rpn_samples,
        positive_fraction=config.rpn_positive_fraction,
        nms_iou=config.rpn_nms_iou,
    )


def roi_pooler(config: Config, size: int, strides: list[int]) -> RoIPooler:
    return RoIPooler(
        ROI_OPS[config.roi_op],
        size,
        [1 / stride for stride in strides],
        canonical_size=config.canonical_size,
        canonical_level=config.canonical_level,
        sampling_ratio=config.sampling_ratio,
        reduce=config.reduce,
        half_pixel=config.half_pixel,
    )


def box_head(config: Config, pooler: RoIPooler, body: nn.Module, body_channels: int) -> BoxHead:
    return BoxHead(
        pooler,
        body,
        body_channels,
        config.num_classes,
        weights=config.box_weights,
        score_threshold=config.score_threshold,
        nms_iou=config.nms_iou,
        max_detections=config.max_detections,
    )


def mask_head(config: Config, pooler: RoIPooler, body: nn.Module, channels: int, crop: int) -> MaskHead:
    mask_loss = MASK_LOSSES[config.mask_loss]
    num_masks = (1 if config.class_agnostic_mask else config.num_classes - 1) + mask_loss.extra_masks
    layers: MaskFCN | MaskMLP
    if config.mask_head == "fcn":
        norm = optional_norm_layer(config.head_norm)
        layers = MaskFCN(channels, config.mask_layers, config.mask_deconv, num_masks, norm)
    else:
        layers = MaskMLP(channels, crop, config.mask_layers, config.mask_size, num_masks)
    return MaskHead(pooler, body, layers, mask_loss, config.mask_size, config.half_pixel)


def keypoint_head(config: Config, channels: int, strides: list[int]) -> KeypointHead:
    pooler = roi_pooler(config, config.keypoint_roi_size, strides)
    return KeypointHead(pooler, KeypointLayers(channels, config.keypoint_layers, config.num_keypoints))


ARCHS = {"c4": build_c4, "c5": build_c5, "fpn": build_fpn}
