"""The named configurations, as what differs from `Config`'s defaults (ResNet-50-FPN); and what each setting may be.

One name for each row of the paper's Tables 2a-e and 4, so that `mrcnn-lite train --config r50-c4-softmax --data coco`
is the paper's experiment, and "tiny" for two CPU cores. DIFFERS: the paper trains its RPN separately for the ablations
(section 3.1); here all parts are trained together, as in its appendix B.

Paper: Mask R-CNN section 4, Tables 2a-e, 4 and 6. Read next: `config.py`.
"""

from __future__ import annotations

from typing import Any

Preset = dict[str, Any]

ADAMW: Preset = {"optimizer": "adamw", "lr": 2e-3, "weight_decay": 1e-2, "grad_clip": 5.0}
COSINE: Preset = {"schedule": "cosine", "steps": 1500, "warmup_steps": 50}
# A ResNet of four basic blocks, trained from scratch on pictures of about 128 pixels with objects of 10 to 60.
TINY: Preset = {
    "backbone": "tiny",
    "norm": "bn",
    "frozen_stages": 0,
    "fpn_channels": 48,
    "min_size": 128,
    "max_size": 512,
    "anchor_sizes": ((8,), (16,), (32,), (64,)),
    "canonical_size": 56,
    "rpn_pre_nms_train": 200,
    "rpn_pre_nms_test": 200,
    "rpn_post_nms_train": 100,
    "rpn_post_nms_test": 100,
    "roi_samples": 32,
    "sampling_ratio": 1,
    "box_fcs": (256, 256),
    "mask_layers": (48, 48),
    "mask_deconv": 48,
    "keypoint_layers": (48, 48, 48),
    "train": {**ADAMW, **COSINE, "batch_size": 8, "rotate90": True},
}

# The same for many small objects a picture, cells say: each picture enlarged and normalised by itself, four points a
# bin; smaller batches for more steps in the same time, more weight decay against learning few pictures by heart.
TINY_DENSE: Preset = {
    **TINY,
    "num_classes": 2,
    "norm": "gn",
    "min_size": 384,
    "anchor_sizes": ((12,), (24,), (48,), (96,)),
    "canonical_size": 84,
    "rpn_pre_nms_train": 400,
    "rpn_pre_nms_test": 600,
    "rpn_post_nms_train": 200,
    "rpn_post_nms_test": 300,
    "roi_samples": 128,
    "sampling_ratio": 2,
    "max_detections": 200,
    "train": {**TINY["train"], "lr": 1.5e-3, "weight_decay": 0.1, "batch_size": 4},
}

# Five scales on the one map of C4 (stride 16) or C5 (stride 32).
SINGLE_MAP: Preset = {
    "anchor_sizes": ((32, 64, 128, 256, 512),),
    "rpn_pre_nms_train": 12000,
    "rpn_pre_nms_test": 6000,
    "rpn_post_nms_test": 300,
}
C4: Preset = {**SINGLE_MAP, "arch": "c4", "roi_samples": 64, "mask_size": 14, "mask_layers": (), "box_fcs": ()}
C5: Preset = {**SINGLE_MAP, "arch": "c5"}
POOL: Preset = {"roi_op": "pool", "reduce": "max"}
MLP: Preset = {"mask_head": "mlp", "mask_roi_size": 7}  # the paper leaves the MLP's crop open; 7x7 as the box head's
KEYPOINT: Preset = {
    "num_classes": 2,
    "train": {"steps": 90_000, "milestones": (2 / 3, 8 / 9), "scale_range": (0.8, 1.0)},
}

NAMED: dict[str, Preset] = {
    # Table 2a
    "r50-c4": C4,  # also 2b's sigmoid and 2c's RoIAlign with average
    "r101-c4": {**C4, "backbone": "resnet101"},
    "r50-fpn": {},  # also 2e's FCN
    "r101-fpn": {"backbone": "resnet101"},
    "x101-fpn": {"backbone": "resnext101_64x4d", "train": {"lr": 0.01, "batch_size": 8}},
    # Table 2b
    "r50-c4-softmax": {**C4, "mask_loss": "softmax"},
    "r50-c4-agnostic": {**C4, "class_agnostic_mask": True},  # section 4.2, text
    # Table 2c
    "r50-c4-roipool": {**C4, **POOL},
    "r50-c4-roiwarp-max": {**C4, "roi_op": "warp", "reduce": "max"},
    "r50-c4-roiwarp": {**C4, "roi_op": "warp"},
    "r50-c4-roialign-max": {**C4, "reduce": "max"},
    # Table 2d
    "r50-c5-roipool": {**C5, **POOL},
    "r50-c5": C5,
    # Table 2e: FCs of the MLP's hidden layers
    "r50-fpn-mlp2": {**MLP, "mask_layers": (1024, 1024)},
    "r50-fpn-mlp3": {**MLP, "mask_layers": (1024, 1024, 1024)},
    # Tables 3 and 5: boxes only
    "r50-fpn-box": {"heads": ()},
    "r101-fpn-box": {"backbone": "resnet101", "heads": ()},
    # Tables 4 and 6
    "r50-fpn-keypoint": {**KEYPOINT, "heads": ("keypoint",)},
    "r50-fpn-keypoint-mask": {**KEYPOINT, "heads": ("mask", "keypoint")},
    "r50-fpn-keypoint-roipool": {**KEYPOINT, **POOL, "heads": ("keypoint",)},
    # No row of the paper's: for two CPU cores
    "tiny": TINY,
    "tiny-dense": TINY_DENSE,
}

# What each setting may be, one by one; what contradicts each other is refused in `config.py`.
WORDS = {
    "arch": "c4 c5 fpn",
    "backbone": "resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d resnext101_64x4d tiny",
    "heads": "mask keypoint",
    "norm": "frozen_bn bn gn",
    "fpn_norm": "none bn gn",
    "head_norm": "none bn gn",
    "roi_op": "pool warp align",
    "reduce": "mean max",
    "mask_head": "fcn mlp",
    "mask_loss": "sigmoid softmax",
    "optimizer": "sgd adamw",
    "schedule": "step cosine",
}
# The lowest and highest number in a field. The upper ends keep out what no machine could hold.
RANGES = {
    (0, 1): "rpn_fg_iou rpn_bg_iou rpn_nms_iou fg_iou bg_iou score_threshold nms_iou momentum milestones warmup_factor",
    (1e-6, 1): "rpn_positive_fraction roi_positive_fraction",
    (0, 0.999_999): "ema",
    (0, 5): "frozen_stages",
    (0, 64): "canonical_level sampling_ratio",
    (0.01, 100): "scale_range",
    (1, 256): "rpn_layers size_divisor box_size mask_roi_size mask_size keypoint_roi_size",
    (0, 1000): "num_keypoints weight_decay",
    (1e-3, 1000): "anchor_ratios",
    (1e-12, 1000): "norm_eps lr",
    (1, 32_768): "min_size max_size fpn_channels box_convs box_fcs mask_layers mask_deconv keypoint_layers batch_size",
    (1, 100_000): "num_classes rpn_samples roi_samples max_detections rpn_pre_nms_train rpn_pre_nms_test"
    " rpn_post_nms_train rpn_post_nms_test",
    (1e-3, 1e6): "anchor_sizes canonical_size box_weights image_std",
    (-1e6, 1e6): "image_mean",
    (0, 1e9): "warmup_steps grad_clip",
    (1, 1e9): "steps",
}
