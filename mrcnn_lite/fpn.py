"""Feature Pyramid Network: from C2..C5, rich below and meaningful above, to P2..P6, equally wide and meaningful.

Each C goes through a 1x1 convolution; from the top down, each map is enlarged twofold and added to the next; a 3x3
convolution smooths the sum. P6, for the RPN's largest anchors only, is every second cell of P5.

Paper: Lin et al. 2017 (FPN) section 3, Figure 3. Letters: N images, C channels, H W size. Read next: `anchors.py`.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import NormLayer, convolution


class FPN(nn.Module):
    """[C2, C3, C4, C5] of `in_channels` -> [P2, P3, P4, P5] and, with `extra_level`, P6; all of `out_channels`."""

    def __init__(
        self,
        in_channels: list[int],
        out_channels: int,
        norm: NormLayer | None = None,
        extra_level: bool = True,
    ) -> None:
        super().__init__()
        self.inner_blocks = nn.ModuleList(convolution(c, out_channels, 1, norm) for c in in_channels)
        self.layer_blocks = nn.ModuleList(convolution(out_channels, out_channels, 3, norm) for _ in in_channels)
        self.extra_level = extra_level
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_uniform_(part.weight, a=1)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, c: list[Tensor]) -> list[Tensor]:
        top_down = self.inner_blocks[-1](c[-1])  # [N, C, H5, W5]
        p = [self.layer_blocks[-1](top_down)]
        for level in range(len(c) - 2, -1, -1):  # C4, C3, C2
            lateral = self.inner_blocks[level](c[level])
            enlarged = F.interpolate(top_down, size=lateral.shape[-2:], mode="nearest")
            top_down = lateral + enlarged  # [N, C, Hl, Wl]
            p.insert(0, self.layer_blocks[level](top_down))
        if self.extra_level:
            p.append(F.max_pool2d(p[-1], kernel_size=1, stride=2))  # P6: just every second cell
        return p


class Pyramid(nn.Module):
    """Backbone and FPN as one part: images [N, 3, H, W] -> [P2, ...]."""

    def __init__(self, body: nn.Module, fpn: FPN) -> None:
        super().__init__()
        self.body, self.fpn = body, fpn

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.fpn(self.body(images))


class LastMap(nn.Module):
    """The C4 and C5 backbones: only the last stage's output, as a list of length one."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.body(images)[-1:]
