"""Anchors: the boxes that the RPN scores and moves, a few of them around every cell of every feature map.

A cell anchor has an area (the square of its size) and an aspect ratio (height / width); the grid repeats it at the
centre of each cell.

Paper: Faster R-CNN section 3.1.1; FPN section 4.1 (one scale a level). Letters: A anchors a cell, H W size of a map, P
anchors of one image. Read next: `matching.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def cell_anchors(sizes: Sequence[float], ratios: Sequence[float], rounded: bool = False) -> Tensor:
    """The A = len(ratios) * len(sizes) anchors around (0, 0), ratio by ratio: float32 [A, 4] in pixels.

    Every anchor of one size has the same area: width = size / sqrt(ratio), height = size * sqrt(ratio). `rounded`
    rounds the corners to whole pixels, as torchvision does.
    """
    size = torch.tensor(sizes, dtype=torch.float32)  # [sizes]
    root = torch.tensor(ratios, dtype=torch.float32).sqrt()  # [ratios]
    height = (root[:, None] * size[None, :]).flatten()  # [A]
    width = ((1 / root)[:, None] * size[None, :]).flatten()  # [A]
    anchors = torch.stack([-width, -height, width, height], dim=1) / 2  # [A, 4]
    return anchors.round() if rounded else anchors


def grid_anchors(anchors: Tensor, grid: tuple[int, int], stride: tuple[float, float], offset: float = 0.5) -> Tensor:
    """The cell anchors [A, 4] on every cell of a map: [H * W * A, 4], row by row, all A of a cell together.

    grid (H, W); stride (down, right) in pixels; the centre of cell (i, j) is ((j + offset) * stride, ...).
    """
    (height, width), (down, right) = grid, stride
    y = (torch.arange(height, dtype=torch.float32, device=anchors.device) + offset) * down  # [H]
    x = (torch.arange(width, dtype=torch.float32, device=anchors.device) + offset) * right  # [W]
    y, x = torch.meshgrid(y, x, indexing="ij")  # [H, W] each
    centres = torch.stack([x, y, x, y], dim=-1)  # [H, W, 4]
    return (centres[:, :, None] + anchors).reshape(-1, 4)  # [H, W, A, 4] -> [P, 4]


class AnchorGrid(nn.Module):
    """The anchors of all levels for one size of input.

    sizes: one tuple a level; ratios: height / width; strides: pixels a cell, a level. `torchvision` reproduces
    torchvision's anchors, which its weights were trained with: centres on the cells' corners, sides rounded, and stride
    = image size // map size (61, not 64, for P6 of an 800-pixel image).
    """

    def __init__(
        self,
        sizes: Sequence[Sequence[float]],
        ratios: Sequence[float],
        strides: Sequence[int],
        torchvision: bool = False,
    ) -> None:
        super().__init__()
        self.strides, self.torchvision = list(strides), torchvision
        self.offset = 0.0 if torchvision else 0.5
        self.num_anchors = len(sizes[0]) * len(ratios)  # A
        for level, level_sizes in enumerate(sizes):
            cell = cell_anchors(level_sizes, ratios, rounded=torchvision)
            self.register_buffer(f"cell_{level}", cell, persistent=False)

    def forward(self, grids: Sequence[tuple[int, int]], image_size: tuple[int, int]) -> list[Tensor]:
        """grids: (H, W) of each map; image_size: (H, W) of the padded input -> a list of [Pl, 4], one a level."""
        if len(grids) != len(self.strides):
            raise ValueError(
                f"{len(self.strides)} levels of anchors, but {len(grids)} feature maps: give one tuple of sizes a map, "
                "((32,), (64,), ...) for a pyramid, ((32, 64, ...),) for a single map"
            )
        levels = []
        for level, (grid, stride) in enumerate(zip(grids, self.strides)):
            step = (float(stride), float(stride))
            if self.torchvision:
                step = (float(image_size[0] // grid[0]), float(image_size[1] // grid[1]))
            levels.append(grid_anchors(self.get_buffer(f"cell_{level}"), grid, step, self.offset))
        return levels
