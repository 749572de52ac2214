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
# # 05 · RoIAlign
#
# [![Open this chapter in Google Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mrcnn-lite/mrcnn_lite/blob/main/notebooks/05_roi_align.ipynb)
#
# **After this notebook you can** sample a feature map between its cells · write RoIAlign in 25 lines and hold it against the
# compiled one · derive the half pixel and say when it matters · show where the gradient goes · explain why RoIAlign is *not*
# "RoIPool with bilinear interpolation".
#
# **You need** notebook 02; notebook 04 shows what goes wrong without it. **Paper:** *Mask R-CNN*
# ([arXiv 1703.06870](https://arxiv.org/abs/1703.06870)), section 3 "RoIAlign", section 4.2, Tables 2c, 2d and 6.
#
# **Time:** 20 minutes to read, 65 for the exercises; under a minute to run on two CPU cores, on a Colab T4 about as long (an estimate, not measured).

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
import textwrap

from matplotlib.figure import Figure
from torch import Tensor

from mrcnn_lite import roi_ops, widgets
from mrcnn_lite.exercises import ch05 as ex
from mrcnn_lite.exercises import quiz
from mrcnn_lite.visualize import show

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"  # told apart by colour-blind readers too

# %% [markdown]
# ## The problem in one line
#
# A box of the image has to become a crop of the feature map, 7 × 7 or 14 × 14, whatever the size of the box. The map is 4, 8,
# 16 or 32 times coarser than the image. The one test that tells right from wrong is the **identity test**: a map whose value
# *is* the column number, `f[x] = x`, and a box from 4 to 8. Cut into four bins, the answer must be 4, 5, 6, 7: each bin's value
# is that of the cell that it covers.

# %%
ramp = torch.arange(12.0).expand(1, 1, 8, 12)  # [N, C, H, W]
box = torch.tensor([[0.0, 4, 4, 8, 8]])  # image number, x1, y1, x2, y2
row = lambda crops: [round(value, 2) for value in crops[0, 0, 0].tolist()]  # noqa: E731
print("RoIPool                      ", row(roi_ops.roi_pool(ramp, box, 4, 1.0)))
print("RoIAlign                     ", row(roi_ops.roi_align(ramp, box, 4, 1.0)))
print("RoIAlign without half a pixel", row(roi_ops.roi_align(ramp, box, 4, 1.0, half_pixel=False)))
assert row(roi_ops.roi_align(ramp, box, 4, 1.0)) == [4, 5, 6, 7]


# %% [markdown]
# ## Three ideas, one after the other
#
# 1. **Do not round the box.** RoIPool computes [x / 16], where [·] is rounding; RoIAlign uses x / 16.
# 2. **Sample at regular points** inside each bin, wherever they fall: four of them, 2 × 2.
# 3. **Interpolate bilinearly** between the four cells around each point, and average the points.
#
# Two different fours, which many explanations merge: four *points* a bin, and four *cells* around each point.

# %% [markdown] exercise="bilinear"
# ### Exercise: `bilinear` (medium, 15 minutes)
#
# Write **bilinear interpolation**: the value `[C]` of a map `feature [C, H, W]` at the point (y, x), where the value of
# cell (i, j) sits at exactly (i, j). Up to one cell outside the map (`-1 <= y <= H`, `-1 <= x <= W`) the value of the
# border holds; further outside it is 0.


# %% exercise="bilinear"
def bilinear(feature: Tensor, y: float, x: float) -> Tensor:
    """feature [C, H, W], a point (y, x) in cells -> the value there, [C]."""
    ...


ex.bilinear.check(bilinear)
# Stuck? ex.bilinear.hint(), and at the end ex.bilinear.solution()


# %% [markdown] exercise="sample_points"
# ### Exercise: `sample_points` (medium, 10 minutes)
#
# Where does RoIAlign look? Along one axis a RoI reaches from `start` to `end`, in cells, and has `size` bins with `n`
# **regular** points each: give their positions, `size * n` of them. Nothing is rounded, and no point lies on a bin's
# border.


# %% exercise="sample_points"
def sample_points(start: float, end: float, size: int, n: int) -> Tensor:
    """start, end of a RoI on one axis, in cells; size bins of n points -> positions [size * n]."""
    ...


ex.sample_points.check(sample_points)
# Stuck? ex.sample_points.hint(), and at the end ex.sample_points.solution()


# %% [markdown] exercise="roi_align"
# ### Exercise: `roi_align` (hard, 30 minutes)
#
# Write **RoIAlign** of one box: `feature [C, H, W]`, `box` = (x1, y1, x2, y2) in **image pixels**, `size` S, `scale` in
# cells a pixel (1/16 for stride 16) → `[C, S, S]`. Four points a bin (2 × 2), bilinear, averaged. Mind the **half
# pixel**: cell i covers [i, i + 1), its value sits at `i + 0.5`. `bilinear(feature, y, x)` of the exercise before is at
# hand as `ex.bilinear.answer`.


# %% exercise="roi_align"
def roi_align(feature: Tensor, box: list[float], size: int, scale: float) -> Tensor:
    """feature [C, H, W], box in image pixels, scale = 1 / stride -> crop [C, size, size]."""
    ...


ex.roi_align.check(roi_align)
# Stuck? ex.roi_align.hint(), and at the end ex.roi_align.solution()

# %% [markdown]
# The three side by side: move the box by a hair's breadth and see which crops follow; choose a bin to see its formula with
# numbers; on the ramp find a box at which RoIPool is right by accident.

# %%
widgets.show("roi_align")

# %% [markdown]
# ## The half pixel, derived
#
# Cell i of a map covers [i, i + 1). Its value is a statement about that whole square, so if it has to sit at one point, that
# is the centre, `i + 0.5`. `bilinear` above has the value of cell i at `i`. A point p of the continuous axis is therefore
# asked for at `p - 0.5`: that is all.
#
# Forget it, and every crop is half a cell off: always the same way, whatever the box.

# %%
for stride in (4, 8, 16, 32):
    print(f"stride {stride:2}: half a cell is {stride / 2:4.0f} image pixels")

# %% [markdown]
# So is that a disaster? The error is **constant**, and a convolution that comes after learns to look half a cell further.
# RoIPool's error differs from box to box, and no convolution can learn around that. This is why torchvision's released models
# live with the constant one (their `aligned=False`), and why the rounding costs three points of AP.
#
# ## Experiment: move the box by half a pixel
#
# A good crop follows the box. Below, a box on a smooth map of stride 16 moves to the right in steps of half a pixel; each curve
# is the value of one bin.

# %%
torch.manual_seed(0)
coarse = torch.randn(1, 1, 5, 7)
smooth = torch.nn.functional.interpolate(coarse, size=(20, 30), mode="bicubic", align_corners=True)
shifts = torch.arange(0, 64, 0.5)
moved = torch.stack([torch.tensor([0.0, 96 + s, 96, 256 + s, 224]) for s in shifts])
ops = {"RoIPool": roi_ops.roi_pool, "RoIWarp": roi_ops.roi_warp, "RoIAlign": roi_ops.roi_align}
curves = {name: op(smooth, moved, 7, 1 / 16)[:, 0, 3, 3] for name, op in ops.items()}
still = {}
for name, values in curves.items():
    steps = values.diff().abs()
    still[name] = (steps == 0).float().mean()
    print(f"{name:9} largest step {steps.max():.3f}; steps without a change: {still[name]:.0%}")
assert still["RoIAlign"] == 0 and still["RoIWarp"] > 0.8

# %%
figure = Figure(figsize=(7, 2.8))
axes = figure.add_subplot()
for (name, values), colour, style in zip(curves.items(), (ORANGE, GREEN, BLUE), (":", "--", "-")):
    axes.plot(shifts, values, style, color=colour, label=name, linewidth=2)
axes.set(xlabel="image pixels by which the box is moved", ylabel="value of the middle bin")
axes.legend(frameon=False)
show(
    figure,
    "Value of one bin while the box moves: RoIPool and RoIWarp are staircases with steps every 16 pixels, "
    "RoIAlign is smooth",
)

# %% [markdown]
# RoIWarp interpolates bilinearly just as RoIAlign does, and is a staircase all the same: **the rounding is what hurts, not the
# lack of interpolation**. The paper says so with figures (Table 2c, ResNet-50-C4, mask AP): RoIPool 26.9, RoIWarp 27.2 (maximum)
# and 27.1 (average), RoIAlign 30.2 and 30.3. Bilinear sampling alone is worth 0.2 to 0.3; not rounding is worth 3.
#
# **The same on a trained network.** The sliders need a kernel, since they cut a box out of its feature maps at every move; without
# one you see the first crop. Move an end of x by half a pixel, again and again: with RoIPool, when does the crop change at all?
# Then make the box larger, until the stride doubles.

# %% tags=["nbval-ignore-output"]
import mrcnn_lite as m
from mrcnn_lite.widgets.panels import roi_features_panel

picture = m.open_dataset("shapes", split="val", length=4, progress=False)[3][0]
roi_features_panel(m.load(ASSETS / "shapes.safetensors"), picture, box=(80.5, 7.5, 122.5, 58.5))

# %% [markdown]
# ## How many points?
#
# On a ramp any number of points gives the same mean, so "not sensitive to […] how many points" (section 3) cannot be seen there. On pure
# noise it can: compared with many points, how far off are one, four and nine?

# %%
noise = torch.rand(1, 1, 64, 64)
wide = torch.tensor([[0.0, 5.3, 4.1, 54.7, 53.9]])  # a box of 49 cells: 7 bins of 7 cells
exact = roi_ops.roi_align(noise, wide, 7, 1.0, sampling_ratio=32)
errors = {}
for n in (1, 2, 3, 4, 7):
    crop = roi_ops.roi_align(noise, wide, 7, 1.0, sampling_ratio=n)
    errors[n] = (crop - exact).abs().max().item()
    print(f"{n} x {n} points: largest difference {errors[n]:.2f}")
assert errors[1] > errors[2] > errors[4]


# %% [markdown]
# Real feature maps are smoother than noise and RoIs seldom have bins of 7 cells (the pyramid takes care of that), so two by two
# is enough. Detectron and torchvision take 2 × 2 on FPN; detectron2 takes as many as there are cells.
#
# ## Where does the gradient go?
#
# To the features always; to the box never, though mathematically it could (the "approximate" version of joint training, appendix B).

# %% [markdown] exercise="gradient_of_point"
# ### Exercise: `gradient_of_point` (medium, 10 minutes)
#
# Where does the gradient go? One point (y, x) inside a map of H × W cells is sampled bilinearly, and its value has the
# gradient 1. Give the gradient of the map, `[H, W]`: who gets how much? (No autograd: write it by hand, then compare.)


# %% exercise="gradient_of_point"
def gradient_of_point(y: float, x: float, height: int, width: int) -> Tensor:
    """A point (y, x) in cells, inside the map -> d value / d feature, [height, width]."""
    ...


ex.gradient_of_point.check(gradient_of_point)
# Stuck? ex.gradient_of_point.hint(), and at the end ex.gradient_of_point.solution()

# %%
for name, op in (("RoIPool", roi_ops.roi_pool), ("RoIAlign", roi_ops.roi_align)):
    features = torch.rand(1, 1, 12, 12, requires_grad=True)
    rois = torch.tensor([[0.0, 2.3, 2.3, 9.1, 9.1]], requires_grad=True)
    op(features, rois, 2, 1.0).sum().backward()
    reached = int((features.grad != 0).sum())
    print(f"{name:9} the gradient reaches {reached:2} cells; the box gets {rois.grad}")

# %% [markdown]
# With RoIPool one cell a bin learns, the one that happened to be largest; with RoIAlign all that were looked at.
#
# ## Held against the compiled one
#
# The 25 lines that you wrote, the package's fast form, torchvision's C++: one answer, in float64 to the last digits.

# %%
from torchvision.ops import roi_align as compiled

features = torch.rand(2, 3, 25, 34, dtype=torch.float64)
corner = torch.rand(20, 2, dtype=torch.float64) * 300
opposite = corner + 20 + torch.rand(20, 2) * 200
rois = torch.cat([torch.randint(0, 2, (20, 1)).double(), corner, opposite], dim=1)
theirs = compiled(features, rois, 7, 1 / 16, sampling_ratio=2, aligned=True)
forms = {"the 25 lines": roi_ops.roi_align_reference, "the fast form": roi_ops.roi_align}
for name, op in forms.items():
    largest = (op(features, rois, 7, 1 / 16) - theirs).abs().max()
    print(f"{name} and torchvision's differ by less than 1e-12: {bool(largest < 1e-12)}")
    assert largest < 1e-12

# %% [markdown]
# ## What is not RoIAlign
#
# TensorFlow's `crop_and_resize` is often taken for it. It has one point a bin, and puts the outer points *on* the box's border:
# its grid is aligned to the corners ([tensorpack#542](https://github.com/tensorpack/tensorpack/issues/542) works out what has
# to be done to the box first). On the ramp, with the box of the identity test:

# %%
on_the_corners = torch.linspace(4, 8, 4)
values = [ex.bilinear.answer(ramp[0], 0.0, float(x)).item() for x in on_the_corners]
print("corner-aligned:", [round(value, 2) for value in values])

# %% [markdown]
# Not 4, 5, 6, 7: the step is a third too long. And a compiled RoIAlign trusts its input: a batch index that does not exist makes
# it read memory that is not its own ([pytorch/vision#9273](https://github.com/pytorch/vision/issues/9273)). Ours looks first:

# %%
for roi in ([1.0, 4, 4, 8, 8], [0.0, 8, 4, 4, 8], [0.0, 4, 4, float("nan"), 8]):
    try:
        roi_ops.roi_align(ramp, torch.tensor([roi]), 4, 1.0)
        raise AssertionError("not refused")
    except ValueError as error:
        print(textwrap.fill(str(error), 96, subsequent_indent="    "))

# %% [markdown]
# ## Five questions
#
# Nobody sees your answers; each is explained.

# %%
quiz("05")

# %% [markdown]
# ## Recap
#
# - Round nothing; sample regular points; interpolate; average.
# - The half pixel is a constant shift; the rounding is a different one for each box. The second is what costs.
# - RoIWarp proves it: bilinear and yet rounded, it is hardly better than RoIPool.
#
# **Glossary:** region of interest 관심 영역 · bilinear interpolation 쌍선형 보간 · quantisation 양자화 · stride 보폭 ·
# sampling point 표본점
#
# ## What the paper reports and what we measured
#
# | | the paper | here |
# | --- | --- | --- |
# | RoIPool → RoIAlign, C4 (stride 16) | 26.9 → 30.3 mask AP (Table 2c) | the staircase above; training at this size is chapter 10's |
# | the same, C5 (stride 32) | 23.6 → 30.9 mask AP (Table 2d) | the same |
# | with FPN | + 1.5 mask AP, + 0.5 box AP (section 4.2, text) | not measured |
# | keypoints, FPN | 59.8 → 64.2 (Table 6) | not measured |
# | maximum or average | 30.2, 30.3 (Table 2c): no matter | not measured |
