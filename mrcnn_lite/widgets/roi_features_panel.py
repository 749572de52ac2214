"""The panel of chapter 05: a box on a picture, the feature map that it is cut from, and the crop that the heads see.

The backbone runs once, when the panel is made; each move runs a RoI operation of `ROI_OPS` on its maps.
Letters: S side of the crop, C channels, H W size. Read next: `../roi_ops.py`, or `training_panel.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import ipywidgets
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ..checks import check_images
from ..images import scale_boxes
from ..model import rois_of
from ..roi_ops import ROI_OPS, snap_to_cells
from ..visualize import to_pixels
from .panel_frame import ROW, WIDE, Panel

BOX, ROUNDED = "#56b4e9", "#d55e00"  # as in the widgets: blue what is asked for, red and dashed what rounding makes
ROUNDING = ("pool", "warp")  # these cut out the box rounded to whole cells


class RoIFeaturesPanel(Panel):
    """`crop` [C, S, S] is what was cut out, `level` the map that it was cut from (0 is the finest)."""

    def __init__(self, model: Any, image: Tensor, box: Sequence[float] | None = None) -> None:
        check_images([image])
        with torch.no_grad():
            self.batch, _ = model.prepare([image])
            self.features = model.backbone(self.batch.images)
        self.model_pooler, self.pixels = model.heads["box"].pooler, to_pixels(image)
        self.crop, self.level = self.features[0][0, :, :0, :0], 0
        (height, width), channels = self.batch.original_sizes[0], self.features[0].shape[1]
        x1, y1, x2, y2 = box or (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
        if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
            where = f"in a picture of {width} x {height}"
            raise ValueError(f"box: {[x1, y1, x2, y2]} {where}, expected x1 < x2 and y1 < y2 inside it")
        varied = int(torch.stack([maps[0].flatten(1).std(1) for maps in self.features]).mean(0).argmax())
        names = {"RoIPool": "pool", "RoIWarp": "warp", "RoIAlign": "align"}
        own = next((name for name, op in ROI_OPS.items() if op is self.model_pooler.op), "align")
        side = {"style": WIDE, "layout": ROW}
        controls = {
            "x": ipywidgets.FloatRangeSlider(value=(x1, x2), max=width, step=0.5, description="x of the box", **side),
            "y": ipywidgets.FloatRangeSlider(value=(y1, y2), max=height, step=0.5, description="y of the box", **side),
            "op": ipywidgets.ToggleButtons(value=own, options=list(names.items()), description="operation", style=WIDE),
            "size": ipywidgets.IntSlider(
                value=self.model_pooler.size, min=1, max=28, description="side of the crop, S", **side
            ),
            "channel": ipywidgets.IntSlider(value=varied, max=channels - 1, description="channel", **side),
        }
        alt = "A picture with a box on it, one channel of the feature map of its level, and the crop of that map."
        super().__init__(self.drawn, controls, alt)

    def drawn(
        self, x: tuple[float, float], y: tuple[float, float], op: str, size: int, channel: int
    ) -> tuple[Figure, str]:
        """Picture, map and crop for this box, in pixels of the picture."""
        if x[0] == x[1] or y[0] == y[1]:
            raise ValueError(f"the box has no area: x {x[0]} to {x[1]}, y {y[0]} to {y[1]}")
        box = self.features[0].new_tensor([[x[0], y[0], x[1], y[1]]])
        old, new = self.batch.original_sizes[0], self.batch.sizes[0]
        rois = rois_of([scale_boxes(box, old, new)])
        # WHY a copy: operation and size are attributes of the pooler, and the model is to stay as it is.
        pooler = copy.copy(self.model_pooler)
        pooler.op, pooler.size = ROI_OPS[op], size
        with torch.no_grad():
            self.crop, self.level = pooler(self.features, rois)[0], int(pooler.levels(rois))
        scale = pooler.scales[self.level]
        rounded = scale_boxes(snap_to_cells(rois, scale)[:, 1:] / scale, new, old)[0]
        feature, values = self.features[self.level][0, channel], self.crop[channel]
        figure = Figure(figsize=(9.2, 3.3))
        figure.subplots_adjust(left=0.04, right=0.99, bottom=0.08, top=0.9, wspace=0.14)
        left, middle, right = figure.subplots(1, 3)
        left.imshow(self.pixels, extent=(0, old[1], old[0], 0))
        reach = (feature.shape[1] / scale * old[1] / new[1], feature.shape[0] / scale * old[0] / new[0])
        shades = {"vmin": float(feature.min()), "vmax": float(feature.max()), "cmap": "viridis"}
        middle.imshow(feature.cpu(), extent=(0, reach[0], reach[1], 0), **shades)
        for axes in (left, middle):
            _outline(axes, box[0], BOX, "-")
            if op in ROUNDING:
                _outline(axes, rounded, ROUNDED, "--")
            axes.set(xlim=(0, old[1]), ylim=(old[0], 0))
        right.imshow(values.cpu(), **shades)
        left.set_title("picture")
        middle.set_title(f"map of stride {1 / scale:g}, channel {channel}")
        right.set_title(f"crop, {size} x {size}")
        words = (
            f"The box is {x[1] - x[0]:g} x {y[1] - y[0]:g} pixels, {float(rois[0, 3] - rois[0, 1]) * scale:.2f} x "
            f"{float(rois[0, 4] - rois[0, 2]) * scale:.2f} cells of stride {1 / scale:g}. "
            f"Crop: mean {values.mean():.4f}, from {values.min():.4f} to {values.max():.4f}."
        )
        if op in ROUNDING:
            words += f" Dashed: the box rounded to cells, {[round(edge, 1) for edge in rounded.tolist()]}."
        return figure, words


def _outline(axes: Any, box: Tensor, colour: str, style: str) -> None:
    left, top, right, bottom = box.tolist()
    axes.add_patch(
        Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linestyle=style, linewidth=2)
    )


def roi_features_panel(model: Any, image: Tensor, box: Sequence[float] | None = None) -> RoIFeaturesPanel:
    """A panel to put at the end of a cell: what RoIPool, RoIWarp and RoIAlign cut out of a model's maps for a box.

    image: float [3, H, W] in 0..1, any picture. box: (x1, y1, x2, y2) in its pixels to start with; None: the middle.
    Raises ValueError for an image that does not fit and for a box outside it. The model is not changed.
    """
    return RoIFeaturesPanel(model, image, box)
