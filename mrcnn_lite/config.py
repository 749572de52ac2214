"""Every number of Mask R-CNN in one place: frozen dataclasses with the paper's defaults, units and sections.

`Config` describes the network and how it detects, `Training` (its field `train`) one run of training. Contradictions
are refused when a configuration is made. Only `build.py`, `model.py` and the files above them read a configuration:
everything below is handed plain keyword arguments. The paper's rows by name are in `presets.py`.

Paper: He et al. 2017 (arXiv 1703.06870), sections 3 and 3.1, Tables 2a-e and 4. "Detectron" marks a value that the
paper leaves open and its released code fixes. Read next: `boxes.py`.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args, get_type_hints

from .presets import NAMED, RANGES, TINY, WORDS

MOST_NUMBERS = 100  # in one field
FPN_ANCHORS = ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))  # one scale a level, P2..P6
WORDS_OF = {name: tuple(words.split()) for name, words in WORDS.items()}
RANGE_OF = {name: limits for limits, names in RANGES.items() for name in names.split()}
types: Callable[[type], dict[str, Any]] = cache(get_type_hints)  # of the fields, by name


def require(condition: bool, message: str) -> None:
    """Raise ValueError(message) unless the condition holds."""
    if not condition:
        raise ValueError(f"configuration: {message}")


def check_fields(settings: Training | Config, where: str = "") -> None:
    """Each field by itself: its type, its words, its range. Raises ValueError naming it."""
    for name, kind in types(type(settings)).items():
        value = getattr(settings, name)
        found = f"{where}{name} is {reprlib.repr(value)}"
        require(is_of(value, kind), f"{found}, expected {settings.__dataclass_fields__[name].type}")
        parts = leaves(value)
        require(len(parts) <= MOST_NUMBERS, f"{found}, expected at most {MOST_NUMBERS} numbers")
        for part in parts:
            words, (low, high) = WORDS_OF.get(name), RANGE_OF.get(name, (0, 0))
            require(words is None or part in words, f"{found}, expected one of {words}")
            require(low == high or low <= part <= high, f"{found}, expected {low:g}..{high:g}")


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated type: a whole number is a float as well, a bool is no number."""
    if parts := get_args(kind):  # tuple[float, ...] or tuple[float, float]
        count = len(value) if isinstance(value, tuple) else -1
        parts = parts[:1] * count if parts[-1] is ... else parts
        return len(parts) == count and all(map(is_of, value, parts))
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def leaves(value: Any) -> list[Any]:
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple) else [value]


@dataclass(frozen=True)
class Training:
    """One training run. Defaults: the paper's, section 3.1 ("160k iterations, lr 0.02, / 10 at 120k")."""

    optimizer: str = "sgd"  # "sgd" or "adamw"
    lr: float = 0.02  # for `batch_size` images
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "step"  # "step" (divided by 10 at each milestone) or "cosine" (down to 0)
    steps: int = 160_000
    milestones: tuple[float, ...] = (0.75,)  # fractions of the run: 120k of 160k
    warmup_steps: int = 500  # linear from lr * warmup_factor (Detectron)
    warmup_factor: float = 1 / 3
    batch_size: int = 16  # images a step, over all processes and accumulation steps
    grad_clip: float = 0.0  # largest norm of the gradient, 0 = off
    ema: float = 0.0  # decay of a moving average of the weights, 0 = off
    flip: bool = True  # horizontal flip with probability 1/2 (Detectron)
    scale_range: tuple[float, float] = (1.0, 1.0)  # factor on the image size, drawn a picture
    rotate90: bool = False  # rotation by a random multiple of 90 degrees

    def __post_init__(self) -> None:
        check_fields(self, "train.")
        low, high = self.scale_range
        require(low <= high, f"train.scale_range is {self.scale_range}, expected low <= high")


@dataclass(frozen=True)
class Config:
    """The network. Defaults: ResNet-50-FPN with the mask branch (Table 2a), lengths in network-input pixels.

    Raises ValueError naming the field, what was found and what was expected.
    """

    # What is recognised. num_classes counts the background, as torchvision does: COCO has 80 + 1.
    num_classes: int = 81
    heads: tuple[str, ...] = ("mask",)  # () is Faster R-CNN; "mask", "keypoint" or both
    num_keypoints: int = 17

    # Images (section 3.1: shorter edge 800; the cap on the longer side is Detectron's).
    min_size: int = 800
    max_size: int = 1333
    image_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of RGB in 0..1: ImageNet's
    image_std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    size_divisor: int = 32  # a batch is padded, right and bottom, to a multiple of this

    # Backbone (section 3, "Network Architecture").
    arch: str = "fpn"
    backbone: str = "resnet50"
    norm: str = "frozen_bn"  # "frozen_bn", "bn", "gn"
    norm_eps: float = 1e-5
    frozen_stages: int = 2  # 2 = the stem and res2 keep their ImageNet weights (Detectron: FREEZE_AT 2); 0 = none
    fpn_channels: int = 256
    fpn_norm: str = "none"  # "none", "bn", "gn"

    # Anchors and the RPN (section 3.1: 5 scales, 3 aspect ratios; the rest is Detectron's).
    anchor_sizes: tuple[tuple[float, ...], ...] = FPN_ANCHORS  # one tuple a level; side of the square, pixels
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    torchvision_anchors: bool = False  # centres on cell corners, sides rounded, stride = image // grid
    rpn_layers: int = 1  # 3x3 convolutions before the two 1x1
    rpn_fg_iou: float = 0.7
    rpn_bg_iou: float = 0.3
    rpn_samples: int = 256  # anchors a picture
    rpn_positive_fraction: float = 0.5
    rpn_pre_nms_train: int = 2000  # a level
    rpn_pre_nms_test: int = 1000
    rpn_post_nms_train: int = 2000  # a picture
    rpn_post_nms_test: int = 1000
    rpn_nms_iou: float = 0.7

    # RoIs (section 3, RoIAlign; section 3.1).
    roi_op: str = "align"  # "pool", "warp", "align"
    sampling_ratio: int = 2  # sampling points a bin = ratio x ratio; 0 = adaptive
    reduce: str = "mean"  # of the sampling points: "mean" or "max"
    half_pixel: bool = True  # a cell is a sample at its centre; torchvision's weights were trained with False
    canonical_size: float = 224.0  # FPN eq. 1: an RoI of this side ...
    canonical_level: int = 4  # ... goes to this level
    fg_iou: float = 0.5
    bg_iou: float = 0.5
    roi_samples: int = 512  # a picture (64 for C4)
    roi_positive_fraction: float = 0.25

    # Box head (Figure 4).
    box_size: int = 7
    box_convs: tuple[int, ...] = ()  # channels of 3x3 convolutions before the FCs
    box_fcs: tuple[int, ...] = (1024, 1024)  # C4 has res5 and an average instead
    box_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    head_norm: str = "none"  # norm of the convolutions in box and mask head

    # Mask head (Figure 4; Table 2b, 2e).
    mask_head: str = "fcn"  # "fcn" or "mlp"
    mask_layers: tuple[int, ...] = (256, 256, 256, 256)  # channels of convolutions (fcn) or FCs (mlp)
    mask_deconv: int = 256  # channels of the 2x2 stride-2 deconvolution
    mask_roi_size: int = 14  # the crop's side; the mask has twice that (fcn on FPN, C5), M = 28
    mask_size: int = 28  # M
    mask_loss: str = "sigmoid"  # "sigmoid" or "softmax"
    class_agnostic_mask: bool = False

    # Keypoint head (section 5).
    keypoint_layers: tuple[int, ...] = (512,) * 8
    keypoint_roi_size: int = 14  # heat maps have four times that, 56

    # Detections.
    score_threshold: float = 0.05
    nms_iou: float = 0.5
    max_detections: int = 100

    train: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        check_fields(self)
        require(self.num_classes >= 2, f"num_classes is {self.num_classes}: it counts the background, so at least 2")
        require(len(set(self.heads)) == len(self.heads), f"heads names one twice: {self.heads}")
        require("keypoint" not in self.heads or self.num_keypoints >= 1, f"num_keypoints is {self.num_keypoints}")
        for low, high in (("rpn_bg_iou", "rpn_fg_iou"), ("bg_iou", "fg_iou")):
            values = getattr(self, low), getattr(self, high)
            require(values[0] <= values[1], f"{low}, {high} are {values}, expected {low} <= {high}")
        require(self.max_size >= self.min_size, f"max_size {self.max_size} is below min_size {self.min_size}")
        levels = {"fpn": (4, 5), "c4": (1,), "c5": (1,)}[self.arch]
        found, maps = len(self.anchor_sizes), " or ".join(map(str, levels))
        require(found in levels, f"anchor_sizes has {found} levels, {self.arch} has {maps} maps")
        counts = {len(sizes) for sizes in self.anchor_sizes}
        require(len(counts) == 1 and 0 not in counts, "anchor_sizes: every level needs as many sizes, at least one")
        require(len(self.anchor_ratios) > 0, "anchor_ratios is empty, expected at least one")
        require(self.arch == "c4" or len(self.box_fcs) > 0, f"box_fcs is empty, {self.arch} needs at least one")
        # Figure 4: C4 masks come out of res5's 7x7 through one deconvolution, the FCN doubles its 14x14 crop.
        made = 2 * (self.box_size if self.arch == "c4" else self.mask_roi_size)
        fcn = "mask" in self.heads and self.mask_head == "fcn"
        require(not fcn or made == self.mask_size, f"mask_size is {self.mask_size}, this head makes {made} x {made}")

    def replace(self, **changes: Any) -> Config:
        """A copy with changed fields; `train__lr=…` reaches into `train`. Unknown names raise ValueError."""
        inner = {name.removeprefix("train__"): value for name, value in changes.items() if name.startswith("train__")}
        outer = {name: value for name, value in changes.items() if not name.startswith("train__")}
        train = outer.pop("train", self.train)
        require(isinstance(train, Training), f"train is {reprlib.repr(train)}, expected Training")
        train = dataclasses.replace(train, **known(Training, inner))
        return dataclasses.replace(self, train=train, **known(Config, outer))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able dictionary; `Config.from_dict` undoes it."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Config:
        """The inverse of `to_dict`; lists become tuples, unknown names and other kinds of values raise ValueError."""
        outer = known(Config, values)
        return Config(**outer | {"train": Training(**known(Training, outer.get("train", {})))})

    @staticmethod
    def tiny(num_classes: int = 7, **changes: Any) -> Config:
        """A Mask R-CNN that two CPU cores train in minutes on 128-pixel pictures. Changes as in `replace`."""
        return Config.from_dict(TINY).replace(num_classes=num_classes, **changes)

    @staticmethod
    def named(name: str) -> Config:
        """The configuration of a row of the paper's tables, or "tiny". Raises ValueError with the names there are."""
        require(name in NAMED, f"no configuration {name!r}; there are {', '.join(NAMED)}")
        return Config.from_dict(NAMED[name])

    @staticmethod
    def names() -> list[str]:
        return list(NAMED)


def known(cls: type, values: Any) -> dict[str, Any]:
    """The values with tuples for lists. Raises ValueError unless they are a dictionary of fields of `cls`."""
    require(isinstance(values, Mapping), f"{cls.__name__} is {reprlib.repr(values)}, expected a dictionary")
    unknown = [name for name in values if name not in types(cls)]
    require(not unknown, f"no field {reprlib.repr(unknown)} in {cls.__name__}")
    return {name: _tuples(value) for name, value in values.items()}


def _tuples(value: Any, depth: int = 3) -> Any:
    """Lists in lists become tuples in tuples, so deep and no deeper."""
    return tuple(_tuples(v, depth - 1) for v in value) if isinstance(value, (list, tuple)) and depth else value
