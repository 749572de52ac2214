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
# # 02 · Boxes, anchors, matching
#
# [![Open this chapter in Google Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mrcnn-lite/mrcnn_lite/blob/main/notebooks/02_boxes_anchors_matching.ipynb)
#
# **After this notebook you can** write the IoU of all pairs of boxes at once · build the anchors of a feature map and say how
# many there are · turn a box into the four numbers that a network predicts, and back · decide which anchors learn which
# object · find the objects that no anchor reaches.
#
# **You need** notebook 00. **Papers:** Ren et al., *Faster R-CNN*, NIPS 2015
# ([arXiv 1506.01497](https://arxiv.org/abs/1506.01497)), sections 3.1.1 and 3.1.2; Lin et al., *FPN*, CVPR 2017
# ([arXiv 1612.03144](https://arxiv.org/abs/1612.03144)), section 4.1.
#
# **Time:** 25 minutes to read, 60 for the exercises; under a minute to run on two CPU cores, on a Colab T4 about as long (an estimate, not measured).

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
from matplotlib.patches import Rectangle
from torch import Tensor

import mrcnn_lite as m
from mrcnn_lite import anchors, boxes, matching, widgets
from mrcnn_lite.exercises import ch02 as ex
from mrcnn_lite.exercises import quiz
from mrcnn_lite.visualize import show

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#767676"  # told apart by colour-blind readers too


def outline(axes, box, colour, width=2.0, style="-"):
    """Draw a box (x1, y1, x2, y2)."""
    x1, y1, x2, y2 = box
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, lw=width, ls=style))


# %% [markdown]
# ## One convention
#
# A box is `[x1, y1, x2, y2]` in **continuous pixels**. Pixel (row i, column j) covers the square `[j, j + 1) × [i, i + 1)`,
# so a box that covers the columns 3, 4, 5 reaches from x1 = 3 to x2 = 6. The width is `x2 − x1`, never `+ 1`.
#
# Four other conventions are in use, and every one of them fits into four floating-point numbers without an error. Mixing
# them up is the most frequent reason why a detector learns nothing:

# %%
H, W = 96, 128  # sizes are (height, width)
box = torch.tensor([16.0, 24.0, 80.0, 72.0])
x1, y1, x2, y2 = box.tolist()
print("x1, y1, x2, y2        ", [x1, y1, x2, y2])
print("x, y, width, height   ", [x1, y1, x2 - x1, y2 - y1], " COCO's files")
print("fractions of the image", [x1 / W, y1 / H, x2 / W, y2 / H], " YOLO's and TensorFlow's")
print("y1, x1, y2, x2        ", [y1, x1, y2, x2], " TensorFlow, matterport")
print("last pixel inclusive  ", [x1, y1, x2 - 1, y2 - 1], " Detectron, VOC: width = x2 - x1 + 1")

# %% [markdown]
# What happens when the wrong one goes into a network? Ours says so, since it compares each box with the box of its own
# mask. (torchvision's trains, in silence.)

# %%
shapes = m.open_dataset("shapes", split="val", length=200, progress=False)
image, target = next(shapes[i] for i in range(20) if len(shapes[i][1]["boxes"]) >= 4)
model = m.build_model(m.Config.tiny(num_classes=len(shapes.class_names)))
x, y, right, bottom = target["boxes"].unbind(1)
wrong = target | {"boxes": torch.stack([x, y, right - x, bottom - y], dim=1)}
try:
    model.losses([image], [wrong])
except ValueError as error:
    print(textwrap.fill(str(error), 96))

# %% [markdown]
# ## How much do two boxes agree?
#
# $$\mathrm{IoU}(a, b) = \frac{|a \cap b|}{|a \cup b|} = \frac{|a \cap b|}{|a| + |b| - |a \cap b|}$$
#
# 1 for equal boxes, 0 for disjoint ones, and independent of scale: a box and its copy, moved by a quarter of the width, have
# the same IoU at any size.

# %%
side = 40.0
figure = Figure(figsize=(9, 1.9))
for n, shift in enumerate((0, 4, 8, 16, 24)):
    pair = torch.tensor([[0.0, 0, side, side], [shift, 0, shift + side, side]])
    axes = figure.add_subplot(1, 5, n + 1)
    outline(axes, pair[0].tolist(), BLUE)
    outline(axes, pair[1].tolist(), ORANGE, style="--")
    axes.set(xlim=(-3, 69), ylim=(43, -3), aspect="equal", xticks=[], yticks=[])
    axes.set_title(f"IoU {boxes.iou(pair[:1], pair[1:]).item():.2f}", fontsize=11)
show(figure, "Five pairs of squares, one moved further each time: their IoU falls from 1.00 to 0.25")


# %% [markdown] exercise="iou"
# ### Exercise: `iou` (easy, 10 minutes)
#
# Write the **intersection over union** of every pair of boxes: `a [P, 4]`, `b [Q, 4]` → `[P, Q]`. No loop over boxes:
# broadcast `a[:, None]` against `b[None, :]`. Boxes that do not overlap give 0.


# %% exercise="iou"
def iou(a: Tensor, b: Tensor) -> Tensor:
    """a [P, 4], b [Q, 4], boxes (x1, y1, x2, y2) -> IoU [P, Q]."""
    ...


ex.iou.check(iou)
# Stuck? ex.iou.hint(), and at the end ex.iou.solution()

# %% [markdown]
# ## Anchors
#
# A network that looks at a feature map cannot answer "where is a box?" with absolute coordinates: a convolution does the same
# thing everywhere. So it answers **relative to fixed boxes**, a few at every cell: the *anchors*. Faster R-CNN has three
# areas and three aspect ratios, 3 × 3 = 9 anchors a cell. Mask R-CNN has five areas: 5 × 3 = 15 anchors a cell on a single
# map; on a pyramid each of five levels has one area, so 3 anchors a cell. Whatever the ratio, the area stays the same:

# %%
cells = anchors.cell_anchors([32.0], [0.5, 1.0, 2.0])
for ratio, anchor in zip((0.5, 1.0, 2.0), cells):
    width, height = (anchor[2:] - anchor[:2]).tolist()
    print(f"height / width {ratio}: {width:5.1f} x {height:5.1f}, area {width * height:.0f}")


# %% [markdown] exercise="cell_anchors"
# ### Exercise: `cell_anchors` (medium, 10 minutes)
#
# Write the anchors around (0, 0): for each aspect ratio (height / width), each size. **Every anchor of one size has the
# same area**, size², whatever its ratio. `sizes`, `ratios` → `[len(ratios) * len(sizes), 4]`, ratio by ratio.


# %% exercise="cell_anchors"
def cell_anchors(sizes: list[float], ratios: list[float]) -> Tensor:
    """sizes in pixels, ratios = height / width -> anchors [len(ratios) * len(sizes), 4]."""
    ...


ex.cell_anchors.check(cell_anchors)
# Stuck? ex.cell_anchors.hint(), and at the end ex.cell_anchors.solution()

# %% [markdown]
# Repeated at the centre of every cell, how many are there? For an input of 800 × 1344 pixels, first the pyramid (P2 to P6,
# strides 4 to 64, three anchors a cell), then the single map of stride 16 with fifteen:

# %%
pyramid = [(800 // stride if stride < 64 else 13, 1344 // stride) for stride in (4, 8, 16, 32, 64)]
fpn = anchors.AnchorGrid(((32,), (64,), (128,), (256,), (512,)), (0.5, 1.0, 2.0), (4, 8, 16, 32, 64))
counts = [len(level) for level in fpn(pyramid, (832, 1344))]
c4 = anchors.AnchorGrid(((32, 64, 128, 256, 512),), (0.5, 1.0, 2.0), (16,))
single = len(c4([(50, 84)], (800, 1344))[0])
print("FPN:", " + ".join(f"{count:,}" for count in counts), f"= {sum(counts):,}")
print(f"C4:  {single:,}")
assert (sum(counts), single) == (268_569, 63_000)

# %% [markdown]
# A quarter of a million boxes for one picture, of which a handful belong to an object. All that follows is about this
# imbalance.
#
# ## Deltas: what the network really predicts
#
# With centres (x, y) and sizes (w, h), the subscript *a* for the anchor (Faster R-CNN, equation 2):
#
# $$d_x = \frac{x - x_a}{w_a} \qquad d_y = \frac{y - y_a}{h_a} \qquad d_w = \log\frac{w}{w_a} \qquad d_h = \log\frac{h}{h_a}$$
#
# Shifts are measured in anchors and sizes on a logarithmic scale, so a small and a large object that lie alike in their
# anchors give the **same four numbers**:

# %%
anchor, thing = torch.tensor([[0.0, 0, 32, 32]]), torch.tensor([[4.0, -6, 52, 30]])
for scale in (1, 2, 8):
    deltas = boxes.encode(anchor * scale, thing * scale)[0]
    print(f"scale {scale}:", [round(delta, 3) for delta in deltas.tolist()])


# %% [markdown] exercise="encode"
# ### Exercise: `encode` (easy, 10 minutes)
#
# Write the **deltas** that turn anchors into boxes (Faster R-CNN, equation 2): `dx = (x − xₐ) / wₐ`, `dy` likewise, `dw
# = log(w / wₐ)`, `dh` likewise, where x, y are centres. `anchors [P, 4]`, `boxes [P, 4]` → `[P, 4]`, without weights.


# %% exercise="encode"
def encode(anchors: Tensor, boxes: Tensor) -> Tensor:
    """anchors [P, 4], boxes [P, 4] (x1, y1, x2, y2) -> deltas [P, 4] (dx, dy, dw, dh)."""
    ...


ex.encode.check(encode)
# Stuck? ex.encode.hint(), and at the end ex.encode.solution()


# %% [markdown] exercise="decode"
# ### Exercise: `decode` (easy, 10 minutes)
#
# Write the inverse: anchors and deltas → boxes. `decode(a, encode(a, b))` must be `b`. One addition for training: `dw`
# and `dh` are clamped **from above** at log(1000 / 16), since a wild early prediction would overflow in `exp`.


# %% exercise="decode"
def decode(anchors: Tensor, deltas: Tensor) -> Tensor:
    """anchors [P, 4], deltas [P, 4] (dx, dy, dw, dh) -> boxes [P, 4] (x1, y1, x2, y2)."""
    ...


ex.decode.check(decode)
# Stuck? ex.decode.hint(), and at the end ex.decode.solution()

# %% [markdown]
# ### A NaN on purpose
#
# One box without a width is enough: its logarithm is −∞, the loss is infinite, and after one step every weight is NaN. So
# "my loss is NaN" is a question about the data first
# ([pytorch/vision#2240](https://github.com/pytorch/vision/issues/2240) collects the reports).

# %%
flat = torch.tensor([[10.0, 10, 10, 30]])  # x2 == x1
print("deltas", boxes.encode(torch.tensor([[0.0, 0, 32, 32]]), flat).tolist())
try:
    model.losses([image], [target | {"boxes": torch.cat([flat, target["boxes"][1:]])}])
except ValueError as error:
    print(error)


# %% [markdown]
# ## Matching: who learns what
#
# Faster R-CNN, section 3.1.2: an anchor is **positive** if its IoU with some object is at least 0.7, **negative** if it is
# below 0.3 with all of them, and **ignored** in between. And because an object may lie so unluckily that no anchor reaches 0.7:
# the anchors that overlap it **most** are positive as well.

# %% [markdown] exercise="match"
# ### Exercise: `match` (hard, 20 minutes)
#
# Say for each anchor which object it belongs to. `objects [G, 4]`, `anchors [P, 4]` → whole numbers `[P]`: the number
# of the object that it overlaps most where that IoU is at least `fg_iou`; −1 (negative) where its IoU with **every**
# object is below `bg_iou`; −2 (ignored) in between. Then the **best-anchor rule**: the anchors that overlap an object
# more than all others do (all of them where several tie, none where the best IoU is 0) become positive too, however low
# their IoU; each belongs to the object that *it* overlaps most. Mind the picture without objects.


# %% exercise="match"
def match(objects: Tensor, anchors: Tensor, fg_iou: float, bg_iou: float) -> Tensor:
    """objects [G, 4], anchors [P, 4] -> each anchor's object, -1 negative or -2 ignored, [P]."""
    ...


ex.match.check(match)
# Stuck? ex.match.hint(), and at the end ex.match.solution()

# %% [markdown]
# On one picture of shapes, with the anchors of the tiny network:

# %%
config = m.Config.tiny(num_classes=len(shapes.class_names))
grid = anchors.AnchorGrid(config.anchor_sizes, config.anchor_ratios, (4, 8, 16, 32))
maps = [(128 // stride, 128 // stride) for stride in (4, 8, 16, 32)]
all_anchors = torch.cat(grid(maps, (128, 128)))
plain = matching.match(target["boxes"], all_anchors, 0.7, 0.3)
matched = matching.match(target["boxes"], all_anchors, 0.7, 0.3, best_anchor_rule=True)
for name, result in (("thresholds alone", plain), ("with the best-anchor rule", matched)):
    positive, ignored = int((result >= 0).sum()), int((result == matching.IGNORED).sum())
    without = len(target["boxes"]) - len(result[result >= 0].unique())
    print(f"{name:26} {positive:3} positive, {ignored:3} ignored of {len(result)};", end=" ")
    print(f"objects without an anchor: {without}")

# %%
figure = Figure(figsize=(8, 4))
parts = {"positive": matched >= 0, "ignored": matched == matching.IGNORED}
for n, (title, chosen) in enumerate(parts.items()):
    axes = figure.add_subplot(1, 2, n + 1)
    axes.imshow(image.permute(1, 2, 0) * 0.5 + 0.5, extent=(0, 128, 128, 0))  # paler: boxes stand out
    for anchor in all_anchors[chosen].tolist():
        outline(axes, anchor, ORANGE, width=1)
    for thing in target["boxes"].tolist():
        outline(axes, thing, "black")
    axes.set_title(f"{int(chosen.sum())} {title} anchors")
    axes.set(xlim=(0, 128), ylim=(128, 0), xticks=[], yticks=[])
show(
    figure,
    "A picture of shapes twice, objects in black: left the few positive anchors close to them, "
    "right the many ignored ones in orange",
)

# %% [markdown]
# With your own hands: drag the object until no anchor of any shape reaches the upper threshold, then switch the best-anchor
# rule off. Which object sizes are in danger?

# %%
widgets.show("anchors")

# %% [markdown]
# ## Experiment: do my anchors fit my objects?
#
# Before any training, and for any data set, one question says how hard the RPN's work will be: **what is the best IoU that any
# anchor has with each object?** Here for four sets of anchors, on shapes, on stick figures (tall and thin), and on the nuclei
# where they are on this machine.

# %%
RATIOS = (0.5, 1.0, 2.0)
SETS = {
    "one square a level": (((8,), (16,), (32,), (64,)), (1.0,)),
    "three ratios (tiny's)": (config.anchor_sizes, config.anchor_ratios),
    "twice as large": (((16,), (32,), (64,), (128,)), RATIOS),
    "two sizes a level": (((12, 17), (24, 34), (48, 68), (96, 136)), RATIOS),
}


def best_ious(dataset, sizes, ratios):
    """The best IoU of each object of a data set with any anchor."""
    grid, found = anchors.AnchorGrid(sizes, ratios, (4, 8, 16, 32)), []
    for i in range(len(dataset)):
        image, target = dataset[i]
        height, width = image.shape[1:]
        maps = [(-(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32)]
        every = torch.cat(grid(maps, (height, width)))
        for part in target["boxes"].split(50):  # not all objects at once: memory
            found.append(boxes.iou(part, every).amax(1))
    return torch.cat(found)


def table(name, dataset):
    """Print the shares, and give them back."""
    found = {key: best_ious(dataset, *given) for key, given in SETS.items()}
    count = len(next(iter(found.values())))
    print(f"{f'{name}, {count} objects: share whose best anchor reaches':59} 0.5    0.7")
    for key, values in found.items():
        half, most = ((values >= least).float().mean() for least in (0.5, 0.7))
        print(f"    {key:52} {half:6.0%} {most:6.0%}")
    return found


figures = m.open_dataset("stick-figures", split="val", length=60, progress=False)
few = m.open_dataset("shapes", split="val", length=60, progress=False)
ious = table("shapes", few)
tall = table("stick figures", figures)
share = lambda found, key: (found[key] >= 0.7).float().mean()  # noqa: E731
for found in (ious, tall):
    assert share(found, "two sizes a level") > share(found, "three ratios (tiny's)")
assert share(tall, "three ratios (tiny's)") > share(tall, "one square a level")

# %% tags=["nbval-ignore-output"]
try:
    table("nuclei", m.open_dataset("nuclei", split="val", limit=20))
except FileNotFoundError as error:
    print(error)

# %%
figure = Figure(figsize=(7, 2.8))
axes = figure.add_subplot()
looks = ((GREY, ":"), (BLUE, "-"), (ORANGE, "--"), ("black", "-."))
for (name, values), (colour, style) in zip(ious.items(), looks):
    above = torch.linspace(1, 0, len(values))
    axes.plot(values.sort().values, above, style, color=colour, label=name, linewidth=2)
axes.axvline(0.7, color="black", linewidth=0.8)
axes.set(xlabel="best IoU with any anchor", ylabel="share of the shapes above")
axes.set(xlim=(0.3, 1), ylim=(0, 1))
axes.legend(frameon=False, fontsize=9)
show(
    figure,
    "Share of objects whose best anchor exceeds each IoU, a curve for each of the four sets: "
    "with two sizes a level it lies far to the right",
)

# %% [markdown]
# Read the curve at 0.7: whatever lies left of it would have **no** positive anchor without the best-anchor rule. For a square
# object between two anchors of sides s and 2s the best IoU can be as low as 0.5, however well it is centred: sizes a factor of
# two apart leave gaps, and ratios do not close them. Nor do they help objects that are about as wide as high; for people they do.
#
# Does that mean that more anchors train a better detector? **Not by itself**: the box head moves each proposal once more, and
# what counts is the result after the same time. Such a comparison needs several seeds; chapter 10 shows how to make one.
#
# ## A picture without objects
#
# Boxes of shape `[0, 4]`, and no made-up box. Every anchor is negative, which teaches what is *no* object; the box loss is
# zero, and so is its gradient, not NaN:

# %%
nothing = {
    "boxes": torch.zeros(0, 4),
    "labels": torch.zeros(0, dtype=torch.int64),
    "masks": torch.zeros(0, H, W),
}
torch.manual_seed(0)
losses = model.losses([torch.rand(3, H, W)], [nothing])
for name, loss in losses.items():
    print(f"{name:18} {'zero' if loss == 0 else 'positive'}")
assert losses["loss_rpn_box_reg"] == losses["loss_mask"] == losses["loss_box_reg"] == 0
sum(losses.values()).backward()
assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

# %% [markdown]
# ## Five questions
#
# Nobody sees your answers; each is explained.

# %%
quiz("02")

# %% [markdown]
# ## Recap
#
# - A box has **one** convention in this course: corners, continuous pixels, width x2 − x1.
# - Anchors turn "where?" into "how far from here?"; deltas make the answer independent of scale.
# - Matching makes a few positives of a quarter of a million anchors; the best-anchor rule leaves no object out.
# - Measure the best IoU of your own objects before you train.
#
# **Glossary:** anchor 앵커 · intersection over union 교집합 대 합집합 비율 · aspect ratio 종횡비 · delta 변화량 ·
# positive / negative 양성 / 음성
#
# ## What the papers report and what we measured
#
# | | the papers | here |
# | --- | --- | --- |
# | positive, negative | IoU ≥ 0.7 or best, < 0.3 (Faster R-CNN, section 3.1.2) | the same |
# | anchors at 800 × 1344 | not said | 268,569 on FPN, 63,000 on C4, counted above |
# | ratios | 1:2, 1:1, 2:1 (Faster R-CNN, section 3.1.1) | the three of them against one square: see the table above |
