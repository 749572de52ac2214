"""The backbone: ResNet and ResNeXt written out, stage by stage, with torchvision's parameter names.

A ResNet is a stem (stride 4) and four stages, res2 to res5, of residual blocks; their outputs C2 to C5 have strides 4,
8, 16, 32. ResNeXt splits the 3x3 convolution of each block into groups. `res5` can be had alone: the C4 head applies it
to every RoI.

Papers: ResNet (He et al. 2016) Table 1; ResNeXt (Xie et al. 2017) Table 1; Mask R-CNN section 3. Letters: N images, C
channels, H W size. Read next: `fpn.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

NormLayer = Callable[[int], nn.Module]


class FrozenBatchNorm2d(nn.Module):
    """BatchNorm whose statistics AND affine parameters never change: with one or two images a GPU they can't be learnt.

    A plain scale and shift of each channel, [N, C, H, W] -> the same. Buffers, not parameters: nothing trains them, and
    neither `train()` nor an optimiser can wake them up.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()  # [C]
        shift = self.bias - self.running_mean * scale
        return x * scale[:, None, None].to(x.dtype) + shift[:, None, None].to(x.dtype)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):  # type: ignore[no-untyped-def]
        state_dict.pop(prefix + "num_batches_tracked", None)  # ordinary BatchNorm's counter: of no use here
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def norm_layer(name: str, eps: float = 1e-5) -> NormLayer:
    """The function channels -> norm for "frozen_bn", "bn" and "gn" (32 groups, Wu & He 2018)."""
    norms: dict[str, NormLayer] = {
        "frozen_bn": lambda channels: FrozenBatchNorm2d(channels, eps=eps),
        "bn": lambda channels: nn.BatchNorm2d(channels, eps=eps),
        # WHY the largest fitting divisor: narrow models have fewer than 32 channels, or not a multiple of 32.
        "gn": lambda channels: nn.GroupNorm(max(g for g in range(1, 33) if channels % g == 0), channels, eps=eps),
    }
    return norms[name]


def optional_norm_layer(name: str) -> NormLayer | None:
    """`norm_layer`, or None for "none"."""
    return None if name == "none" else norm_layer(name)


def convolution(channels: int, out_channels: int, kernel: int, norm: NormLayer | None) -> nn.Sequential:
    """A convolution that keeps the size, and a norm where one is asked for (its bias then takes the place of ours)."""
    layers: list[nn.Module] = [nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2, bias=norm is None)]
    if norm is not None:
        layers.append(norm(out_channels))
    return nn.Sequential(*layers)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (ResNet-18, -34). [N, C, H, W] -> [N, width, H / stride, W / stride]."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, norm: NormLayer, groups: int, group_width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = norm(width)
        self.downsample = shortcut(channels, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + identity)


class Bottleneck(nn.Module):
    """1x1, 3x3 (in groups: ResNeXt), 1x1 beside a shortcut. [N, C, H, W] -> [N, 4 width, H / stride, W / stride].

    DIFFERS: the stride is in the 3x3, as in torchvision's weights; He et al. 2016 have it in the first 1x1.
    """

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, norm: NormLayer, groups: int, group_width: int) -> None:
        super().__init__()
        inner = groups * (width * group_width // 64)  # ResNet: width; ResNeXt-101 64x4d in res2: 64 groups of 4
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn1 = norm(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = norm(inner)
        self.conv3 = nn.Conv2d(inner, width * self.expansion, 1, bias=False)
        self.bn3 = norm(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(channels, width * self.expansion, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu(x + identity)


def shortcut(channels: int, out_channels: int, stride: int, norm: NormLayer) -> nn.Module | None:
    """The projection on the shortcut (ResNet's option B); None where the shapes agree and x itself goes through."""
    if stride == 1 and channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(channels, out_channels, 1, stride, bias=False), norm(out_channels))


# name: block, blocks a stage (res2..res5), width of res2, groups, group width
RESNETS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...], int, int, int]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2), 64, 1, 64),
    "resnet34": (BasicBlock, (3, 4, 6, 3), 64, 1, 64),
    "resnet50": (Bottleneck, (3, 4, 6, 3), 64, 1, 64),
    "resnet101": (Bottleneck, (3, 4, 23, 3), 64, 1, 64),
    "resnet152": (Bottleneck, (3, 8, 36, 3), 64, 1, 64),
    "resnext50_32x4d": (Bottleneck, (3, 4, 6, 3), 64, 32, 4),
    "resnext101_32x8d": (Bottleneck, (3, 4, 23, 3), 64, 32, 8),
    "resnext101_64x4d": (Bottleneck, (3, 4, 23, 3), 64, 64, 4),
    "tiny": (BasicBlock, (1, 1, 1, 1), 24, 1, 64),
}


def stage(name: str, number: int, norm: NormLayer, stride: int) -> nn.Sequential:
    """Stage res`number` (2..5) of the network called `name`; its first block carries the stride."""
    block, depths, base, groups, group_width = RESNETS[name]
    width = base * 2 ** (number - 2)
    channels = base if number == 2 else width // 2 * block.expansion
    blocks = []
    for i in range(depths[number - 2]):
        blocks.append(block(channels, width, stride if i == 0 else 1, norm, groups, group_width))
        channels = width * block.expansion
    return nn.Sequential(*blocks)


def stage_channels(name: str) -> list[int]:
    """Channels of C2, C3, C4, C5: [256, 512, 1024, 2048] for ResNet-50 and deeper."""
    block, _, base, _, _ = RESNETS[name]
    return [base * 2**i * block.expansion for i in range(4)]


class ResNet(nn.Module):
    """Stem and stages res2..res`last`: image [N, 3, H, W] -> the stages' outputs [C2, C3, ...], strides 4, 8, ...

    last=4 leaves res5 to the heads (C4). `frozen_stages` = n keeps the stem and the stages up to res`n` as they are
    loaded: no gradient reaches them (0: everything trains).
    """

    def __init__(self, name: str, norm: NormLayer, last: int = 5, frozen_stages: int = 0) -> None:
        super().__init__()
        base = RESNETS[name][2]
        self.conv1 = nn.Conv2d(3, base, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm(base)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        for number in range(2, last + 1):
            self.add_module(f"layer{number - 1}", stage(name, number, norm, stride=1 if number == 2 else 2))
        self.stages = [f"layer{number - 1}" for number in range(2, last + 1)]
        if frozen_stages:
            for part in ["conv1", "bn1", *self.stages[: frozen_stages - 1]]:
                self.get_submodule(part).requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # [N, base, H/4, W/4]
        outputs = []
        for name in self.stages:
            x = self.get_submodule(name)(x)  # C2, C3, ...
            outputs.append(x)
        return outputs


def initialise(module: nn.Module) -> None:
    """He et al. 2015 initialisation of every convolution, for training without ImageNet weights."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
