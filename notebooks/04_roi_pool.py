# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · The Fast R-CNN head and RoIPool
#
# [![Open this chapter in Google Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mrcnn-lite/mrcnn_lite/blob/main/notebooks/04_roi_pool.ipynb)
#
# **After this notebook you can** say where RoIPool rounds, twice · predict by how many image pixels a box is moved at stride 8,
# 16, 32 · implement RoIPool · show a box that it moves away from its object · write the head's box loss.
#
# **You need** notebook 02. **Papers:** Girshick, *Fast R-CNN*, ICCV 2015
# ([arXiv 1504.08083](https://arxiv.org/abs/1504.08083)), sections 2.1 and 2.3; *Mask R-CNN*
# ([arXiv 1703.06870](https://arxiv.org/abs/1703.06870)), section 3 "RoIAlign".
#
# **Time:** 20 minutes to read, 55 for the exercises; under a minute to run on two CPU cores, on a Colab T4 about as long (an estimate, not measured).

# %% setup=true tags=["nbval-ignore-output"]
# The same in every chapter (notebooks/setup_cell.py). On your own machine it installs nothing.
import importlib.util
import subprocess
import sys
from pathlib import Path

REPOSITORY = "https://github.com/mrcnn-lite/mrcnn_lite"
if "google.colab" in sys.modules:
    if not Path("mrcnn_lite").exists():  # what pip finds there already, torch above all, stays: floors and no pins
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", REPOSITORY, "mrcnn_lite"], check=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-e", "mrcnn_lite"], check=True)
    sys.path.insert(0, "mrcnn_lite")  # before the folder of that name, which Python would take for the package
if importlib.util.find_spec("mrcnn_lite") is None:
    raise ModuleNotFoundError("mrcnn_lite is not installed in this kernel: `python3 course.py lab` does it")

import torch

from mrcnn_lite import installation
from mrcnn_lite.devices import choose_device

installation.check()  # torch and torchvision belong together
ASSETS = next(p for p in (Path("assets"), Path("../assets"), Path("mrcnn_lite/assets")) if p.exists())
torch.set_num_threads(1)  # one thread: a busy neighbour can make two many times slower than one
device = choose_device()
print(installation.described(device))

# %%
import itertools

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from mrcnn_lite import boxes, roi_ops, widgets
from mrcnn_lite.exercises import ch04 as ex
from mrcnn_lite.exercises import quiz
from mrcnn_lite.visualize import show

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#767676"  # told apart by colour-blind readers too


def outline(axes, box, colour, width=2.0, style="-"):
    """Draw a box (x1, y1, x2, y2)."""
    x1, y1, x2, y2 = box
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, lw=width, ls=style))


# %% [markdown]
# ## One crop for every box
#
# The head of Fast R-CNN ends in fully connected layers, and these want one size of input. So each box, large or small, becomes
# a crop of S × S cells of the feature map: S = 7 in front of the fully connected layers. **RoIPool** makes it in two steps, and
# rounds in both:
#
# 1. the box, divided by the stride, is **rounded to whole cells**: [x / 16];
# 2. the rounded box is cut into S × S bins, whose edges are **rounded to whole cells** too; the value of a bin is the maximum
#    of its cells.
#
# For classification this was good enough: whether it is a dog does not change by half a cell. A mask is a statement about
# pixels.
#
# ## The first rounding

# %% [markdown] exercise="snap"
# ### Exercise: `snap` (easy, 5 minutes)
#
# RoIPool's **first rounding**, [x / 16]: `box` (x1, y1, x2, y2) in image pixels, `stride` → first and last cell, whole
# numbers (first column, first row, last column, last row). Halves go **away from zero**, as C's `round` does: `4.5` →
# `5`.


# %% exercise="snap"
def snap(box: list[float], stride: int) -> list[int]:
    """box (x1, y1, x2, y2) in image pixels -> [first column, first row, last column, last row]."""
    ...


ex.snap.check(snap)
# Stuck? ex.snap.hint(), and at the end ex.snap.solution()

# %% [markdown]
# How far is that in the image? Take the box (40, 24, 135, 120) at three strides:

# %%
box = torch.tensor([40.0, 24.0, 135.0, 120.0])
for stride in (8, 16, 32):
    first_x, first_y, last_x, last_y = ex.snap.answer(box.tolist(), stride)
    snapped = torch.tensor([first_x, first_y, last_x + 1.0, last_y + 1.0]) * stride  # the last, too
    agreement = boxes.iou(box[None], snapped[None]).item()
    print(f"stride {stride:2}: becomes {snapped.int().tolist()}, IoU with the box {agreement:.2f}")

# %% [markdown]
# Note the `+ 1`: RoIPool's last cell is *included*, so the snapped box is up to a whole cell larger than the rounded corners
# suggest.

# %%
figure = Figure(figsize=(9, 3.2))
for n, stride in enumerate((8, 16, 32)):
    axes = figure.add_subplot(1, 3, n + 1)
    for line in range(0, 193, stride):
        axes.axhline(line, color=GREY, linewidth=0.4)
        axes.axvline(line, color=GREY, linewidth=0.4)
    first_x, first_y, last_x, last_y = ex.snap.answer(box.tolist(), stride)
    snapped = [side * stride for side in (first_x, first_y, last_x + 1, last_y + 1)]
    outline(axes, box.tolist(), BLUE)
    outline(axes, snapped, ORANGE, style="--")
    axes.set(xlim=(0, 192), ylim=(192, 0), aspect="equal", xticks=[], yticks=[])
    axes.set_title(f"stride {stride}")
show(
    figure,
    "A box in blue on the grids of strides 8, 16 and 32, and in dashed orange what RoIPool "
    "makes of it: further off each time",
)


# %% [markdown] exercise="shift_in_pixels"
# ### Exercise: `shift_in_pixels` (easy, 5 minutes)
#
# What does the first rounding cost? `x` is a side of a box in image pixels: by how many **image pixels** does RoIPool
# move it (positive: to the right)? Predict first: how large can it be at stride 16, and at stride 32?


# %% exercise="shift_in_pixels"
def shift_in_pixels(x: float, stride: int) -> float:
    """A side in image pixels, the stride -> its shift in image pixels."""
    ...


ex.shift_in_pixels.check(shift_in_pixels)
# Stuck? ex.shift_in_pixels.hint(), and at the end ex.shift_in_pixels.solution()

# %% [markdown]
# ## Experiment: how large is the error?
#
# 10,000 random sides of boxes, and by how many image pixels each is moved:

# %%
torch.manual_seed(0)
sides = torch.rand(10_000, dtype=torch.float64) * 800
figure = Figure(figsize=(7, 2.4))
axes = figure.add_subplot()
for stride, colour, style in ((8, BLUE, "-"), (16, ORANGE, "--"), (32, GREY, ":")):
    shift = (sides / stride + 0.5).floor() * stride - sides
    mean, largest = shift.abs().mean(), shift.abs().max()
    print(f"stride {stride:2}: mean of the magnitude {mean:5.2f} px, largest {largest:5.2f} px")
    assert largest <= stride / 2
    counts, edges = torch.histogram(shift, bins=64, range=(-16, 16))
    axes.stairs(counts, edges, color=colour, linestyle=style, linewidth=2, label=f"stride {stride}")
axes.set(xlabel="image pixels by which a side is moved", ylabel="how many sides", yticks=[])
axes.legend(frameon=False)
show(
    figure,
    "Histograms of the shift: even between minus and plus half a stride, so four times as wide "
    "at stride 32 as at stride 8",
)


# %% [markdown]
# Evenly spread between minus and plus half a stride, and **different for every box**: nothing that comes after can undo it,
# since nothing knows it. (A shift that is the same for all boxes would do no harm: the layers behind would learn it. That is
# chapter 05's half pixel.)
#
# ## The second rounding

# %% [markdown] exercise="bin_edges"
# ### Exercise: `bin_edges` (medium, 10 minutes)
#
# The **second rounding**: a snapped RoI covers the cells from `first` to `last`, the last one **included**, along one
# axis. Its `size` bins are to take whole cells: bin i reaches from floor(i · w / size) to ceil((i + 1) · w / size),
# counted from `first`. Give [start, end) of every bin. Neighbouring bins may share cells.


# %% exercise="bin_edges"
def bin_edges(first: int, last: int, size: int) -> list[list[int]]:
    """First and last cell of a RoI along one axis -> [[start, end), ...] of its `size` bins."""
    ...


ex.bin_edges.check(bin_edges)
# Stuck? ex.bin_edges.hint(), and at the end ex.bin_edges.solution()

# %%
for size in (2, 4, 7):
    edges = ex.bin_edges.answer(0, 9, size)
    shared = sum(end > start for (_, end), (start, _) in itertools.pairwise(edges))
    print(f"10 cells in {size} bins, neighbours that share a cell: {shared}\n    {edges}")


# %% [markdown]
# ## RoIPool

# %% [markdown] exercise="roi_pool"
# ### Exercise: `roi_pool` (hard, 20 minutes)
#
# Put both together: **RoIPool** of one box. `feature [C, H, W]`, `box` in image pixels, `size` S, `stride` → `[C, S,
# S]`, the maximum of each bin's cells, which are cut at the border of the map; a bin without any cell is 0. The
# exercises before are at hand as `ex.snap.answer` and `ex.bin_edges.answer`.


# %% exercise="roi_pool"
def roi_pool(feature: Tensor, box: list[float], size: int, stride: int) -> Tensor:
    """feature [C, H, W], box (x1, y1, x2, y2) in image pixels -> crop [C, size, size]."""
    ...


ex.roi_pool.check(roi_pool)
# Stuck? ex.roi_pool.hint(), and at the end ex.roi_pool.solution()

# %% [markdown]
# Both roundings at once: find a box at stride 32 whose worst bin lies more than a whole cell off. Then one that is not off
# at all.

# %%
widgets.show("roi_pool")

# %% [markdown]
# ### Two boxes, one crop; one pixel, another crop
#
# A box may move by up to a whole stride without any change of its crop. And at the threshold a single pixel makes it jump:

# %%
noise = torch.rand(1, 1, 20, 20)
moved = [torch.tensor([[0.0, 40 + shift, 40, 168 + shift, 168]]) for shift in range(17)]
crops = [roi_ops.roi_pool(noise, one, 7, 1 / 16) for one in moved]
change = [int((after != before).sum()) for before, after in itertools.pairwise(crops)]
print("cells of 49 that change when the box moves by one more pixel:")
print(change)
assert sum(number > 0 for number in change) == 1

# %% [markdown]
# ### A box that RoIPool moves off its object
#
# A thin object of 6 pixels at stride 16: one bright column of the image, and a box that fits it exactly.

# %%
image = torch.zeros(1, 1, 128, 128)
image[..., 40:88, 57:63] = 1.0
# What a perfect backbone might say: the share of each cell that the object covers.
features = torch.nn.functional.avg_pool2d(image, 16)
thin = torch.tensor([[0.0, 57, 40, 63, 88]])
first_x, _, last_x, _ = ex.snap.answer(thin[0, 1:].tolist(), 16)
print(f"columns 57 to 63 lie in cell {57 // 16}; RoIPool takes the cells {first_x} to {last_x}")
pooled = roi_ops.roi_pool(features, thin, 2, 1 / 16).max().item()
aligned = roi_ops.roi_align(features, thin, 2, 1 / 16).max().item()
print(f"RoIPool  sees at most {pooled:.3f}")
print(f"RoIAlign sees at most {aligned:.3f}")
assert pooled == 0 < aligned


# %% [markdown]
# The object lies in one cell; both sides are rounded up, and RoIPool looks at the cell beside it. Nothing is there.
#
# ## The head and its loss
#
# 7 × 7 × C → two fully connected layers → K + 1 class scores and, for **each class**, four numbers. The box loss is paid by
# the true class's four alone, and only by positives: boxes with an IoU of 0.5 or more with an object, a quarter of those
# that are sampled (section 2.3).

# %% [markdown] exercise="head_box_loss"
# ### Exercise: `head_box_loss` (medium, 15 minutes)
#
# The head predicts a box **for each class**: `deltas [R, K + 1, 4]`, `labels [R]` (0 = background), `gt_deltas [R, 4]`
# → smooth L1 (β = 1/9) of the **true class's** box, positives only, summed and divided by R. Which four of a
# RoI's numbers learn?


# %% exercise="head_box_loss"
def head_box_loss(deltas: Tensor, labels: Tensor, gt_deltas: Tensor) -> Tensor:
    """deltas [R, K + 1, 4], labels int64 [R] (0 = background), gt_deltas [R, 4] -> the loss."""
    ...


ex.head_box_loss.check(head_box_loss)
# Stuck? ex.head_box_loss.hint(), and at the end ex.head_box_loss.solution()

# %% [markdown]
# ## Five questions
#
# Nobody sees your answers; each is explained.

# %%
quiz("04")

# %% [markdown]
# ## Recap
#
# - RoIPool rounds the box, then the bins; the result is a staircase in the box's position.
# - The error is up to half a stride a side, and another one for each box.
# - The head predicts a box for each class; one of them learns.
#
# **Glossary:** region of interest 관심 영역 · pooling 풀링 · quantisation 양자화 · stride 보폭 · fully connected layer 완전 연결층
#
# ## What the papers report and what we measured
#
# | | the papers | here |
# | --- | --- | --- |
# | largest shift of a side | half a cell, by the definition of [x / 16] | 4, 8, 16 px at stride 8, 16, 32: the histogram |
# | cost in mask AP, C4 (stride 16) | 26.9 instead of 30.3 (Mask R-CNN, Table 2c) | not at this scale; chapter 10 |
# | cost in mask AP, C5 (stride 32) | 23.6 instead of 30.9 (Table 2d) | not at this scale; chapter 10 |
