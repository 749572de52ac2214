"""The panel of chapter 03: a model's proposals on a picture, while the NMS threshold and the numbers kept move.

The network runs once, when the panel is made; each move runs `RPN.proposals` on what it said.
Letters: P proposals, G objects. Read next: `../rpn.py`, whose method does the work, or `roi_features_panel.py`.
"""

from __future__ import annotations

import copy
from typing import Any

import ipywidgets
import numpy as np
import torch
from torch import Tensor

from ..boxes import iou
from ..canvas import draw_rectangle
from ..checks import check_images
from .panel_frame import ROW, WIDE, Panel, enlarged

TOP_K = (5, 10, 20, 50, 100, 200, 500, 1000, 2000)
KEPT = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
REACHED = 0.5  # IoU from which on an object counts as reached
PROPOSAL, OBJECT = np.array([213.0, 94, 0]), np.array([0.0, 114, 178])  # orange, blue


class ProposalsPanel(Panel):
    """`proposals` are those on the picture, in its pixels: boxes [P, 4] and scores [P], best first."""

    def __init__(self, model: Any, image: Tensor, target: dict[str, Tensor] | None = None) -> None:
        check_images([image])
        with torch.no_grad():
            self.batch, _ = model.prepare([image])
            self.output = model.rpn(model.backbone(self.batch.images), self.batch.size)
        # WHY a copy: the threshold is an attribute of the RPN, and the model is to stay as it is.
        self.rpn, self.undo = copy.copy(model.rpn), model.image_transform.undo
        self.canvas, self.scale = enlarged(image)
        self.objects = None if target is None else target["boxes"].to(self.output.anchors)
        self.proposals: dict[str, Tensor] = {}
        controls = {
            "threshold": ipywidgets.FloatSlider(
                value=self.rpn.nms_iou, min=0.0, max=1.0, step=0.05, description="NMS threshold (IoU)",
                style=WIDE, layout=ROW,
            ),
            "top_k": ipywidgets.SelectionSlider(
                value=200, options=TOP_K, description="best anchors a level", style=WIDE, layout=ROW
            ),
            "kept": ipywidgets.SelectionSlider(
                value=20, options=KEPT, description="proposals kept", style=WIDE, layout=ROW
            ),
        }  # fmt: skip
        objects = "" if target is None else ", its objects blue"
        super().__init__(self.drawn, controls, f"A picture with the RPN's proposals on it in orange{objects}.")

    def drawn(self, threshold: float, top_k: int, kept: int) -> tuple[np.ndarray, str]:
        """The picture for these settings: the surer a proposal, the stronger its line."""
        self.rpn.nms_iou = threshold
        found = self.rpn.proposals(self.output, self.batch.sizes, top_k, kept)
        (self.proposals,) = self.undo([{"boxes": found.boxes[0], "scores": found.scores[0]}], self.batch)
        boxes, scores = self.proposals["boxes"], self.proposals["scores"]
        canvas = self.canvas.copy()
        if self.objects is not None:
            for box in self.objects.cpu().numpy():
                draw_rectangle(canvas, box * self.scale, OBJECT, line=3.5)
        for box, score in reversed(list(zip(boxes.cpu().numpy(), scores.tolist()))):  # the best lie on top
            draw_rectangle(canvas, box * self.scale, PROPOSAL, line=1.8, alpha=0.3 + 0.7 * score)
        candidates = sum(min(top_k, size) for size in self.output.level_sizes)
        words = f"{candidates} anchors taken, {len(boxes)} proposals kept"
        if len(boxes):
            words += f", scores {scores[0]:.3f} to {scores[-1]:.3f}"
        return canvas.clip(0, 255).astype(np.uint8), f"{words}. {self._reached()}"

    def _reached(self) -> str:
        if self.objects is None or not len(self.objects):
            return ""
        overlap = iou(self.objects, self.proposals["boxes"])  # [G, P]
        best = overlap.amax(1) if overlap.shape[1] else overlap.new_zeros(len(overlap))
        hits = int((best >= REACHED).sum())
        return f"{hits} of {len(best)} objects reached at an IoU of {REACHED}; best IoU on average {best.mean():.3f}."


def proposals_panel(model: Any, image: Tensor, target: dict[str, Tensor] | None = None) -> ProposalsPanel:
    """A panel to put at the end of a cell: the model's proposals on a picture, against threshold, top-k and number.

    image: float [3, H, W] in 0..1. target: its objects, if known; then the panel says how many of them are reached.
    Only `target["boxes"]` [G, 4] is read. Raises ValueError for an image that does not fit. The model is not changed.
    """
    return ProposalsPanel(model, image, target)
