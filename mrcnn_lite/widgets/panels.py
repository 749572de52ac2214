"""Panels that drive a live model: sliders and switches, in a notebook with a kernel; one for each of three chapters.

    from mrcnn_lite.widgets.panels import proposals_panel, roi_features_panel, training_panel
    proposals_panel(model, image, target)    # chapter 03: NMS threshold, top-k, how many are kept
    roi_features_panel(model, image)         # chapter 05: what RoIPool, RoIWarp and RoIAlign cut out of a box
    training_panel(model, dataset)           # chapter 08: learning rate, losses on and off, start, stop, start over

Unlike the widgets of `show`, which compute in the page and work without Python, these ask the model itself each time.
They are plain ipywidgets (7.7 and 8), and import them, so this file is not part of `mrcnn_lite.widgets`' face.
Read next: `panel_frame.py`.
"""

from __future__ import annotations

from .proposals_panel import proposals_panel
from .roi_features_panel import roi_features_panel
from .training_panel import training_panel

__all__ = ["proposals_panel", "roi_features_panel", "training_panel"]
