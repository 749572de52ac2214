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
# # 01 · Four tasks, one picture
#
# [![Open this chapter in Google Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mrcnn-lite/mrcnn_lite/blob/main/notebooks/01_four_tasks.ipynb)
#
# **After this notebook you can** tell classification, semantic segmentation, detection and instance segmentation apart by the
# shapes of their outputs · turn masks into the answer of each · train a small fully convolutional network that names every pixel ·
# say where its answer cannot count, and measure it · compare two counters fairly, with intervals.
#
# **You need** notebook 00. **Papers:** *Mask R-CNN* ([arXiv 1703.06870](https://arxiv.org/abs/1703.06870)), sections 1 and 2,
# Tables 3 and 7; Long, Shelhamer, Darrell, *Fully Convolutional Networks for Semantic Segmentation*, CVPR 2015
# ([arXiv 1411.4038](https://arxiv.org/abs/1411.4038)).
#
# **Time:** 25 minutes to read, 80 for the exercises; about a minute to run on two CPU cores, on a Colab T4 about as long (an estimate, not measured).

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
import inspect
import itertools
import json

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

import mrcnn_lite as m
from mrcnn_lite import widgets
from mrcnn_lite.exercises import ch01 as ex
from mrcnn_lite.exercises import quiz
from mrcnn_lite.visualize import show

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#767676"  # told apart by colour-blind readers too
OF_CLASS = ListedColormap(["#e8e8e8", BLUE, ORANGE])
OF_OBJECT = ListedColormap(["#e8e8e8", "#56b4e9", "#e69f00", "#009e73", "#cc79a7", BLUE, ORANGE, "#f0e442", "#000000"])

# %% [markdown]
# ## One scene, four answers
#
# Drag the objects over one another, and switch the task. Which answer still knows how many discs there are?

# %%
widgets.show("tasks")

# %% [markdown]
# | task | its question | its answer, for K classes and a picture of H × W |
# | --- | --- | --- |
# | classification | *what* is in the picture? | `[K]`: one number a class |
# | semantic segmentation | which *class* has each pixel? | `[K + 1, H, W]` logits, with a plane for the background; the largest gives `[H, W]` |
# | detection | where is each *object*? | `boxes [N, 4]`, `labels [N]`, `scores [N]` |
# | instance segmentation | which *pixels* has each object? | the same, and `masks [N, H, W]` |
#
# Look at what stands in front. The first two have the same shape for every picture of a size; the other two have an **N that
# depends on the picture**. A plain convolutional network answers in a fixed shape. It is for the N that a detector needs anchors,
# proposals, and most of this course. Instance segmentation asks for "the correct detection of all objects in an image while
# also precisely segmenting each instance" (section 1): both at once.
#
# The scenes of this notebook are circles and crosses, some apart, some in heaps. Here is one:

# %%
sys.path.append(str(ASSETS))
import counting

NAMES = counting.class_names()  # the background first
training = counting.scenes(*counting.TRAIN)


def is_telling(number: int) -> bool:
    """Both classes, and four objects, two of one class that touch?"""
    ids, labels = training.ids[number], training.labels[number]
    return len(labels.unique()) == 2 and len(labels) == 4 and ex.touching_pairs.answer(ids, labels) > 0


chosen = next(number for number in range(len(training.ids)) if is_telling(number))
picture, ids, labels = training.pictures[chosen], training.ids[chosen], training.labels[chosen]
masks = ids == torch.arange(1, len(labels) + 1)[:, None, None]
print(f"{len(training.ids)} scenes; in this one: {', '.join(NAMES[k] for k in labels)}")
answers = {
    "classification": ex.class_vector.answer(labels, len(NAMES) - 1),
    "semantic segmentation": ex.semantic_map.answer(masks, labels),
    "detection": ex.boxes_of_masks.answer(masks.numpy()),
    "instance segmentation": masks,
}
for task, answer in answers.items():
    print(f"{task:22} {list(answer.shape)}")


# %%
def panel(axes, shown, title: str, **options) -> None:
    axes.imshow(shown, interpolation="nearest", **options)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=14)


figure = Figure(figsize=(6.6, 7.4))
axes = figure.subplots(2, 2).flatten()
there = "  ".join(f"{name} {'✓' if k in labels else '✗'}" for k, name in enumerate(NAMES) if k)
panel(axes[0], picture.permute(1, 2, 0), f"classification:\n{there}")
panel(
    axes[1], answers["semantic segmentation"], "semantic segmentation:\na class a pixel", cmap=OF_CLASS, vmin=0, vmax=2
)
panel(axes[2], picture.permute(1, 2, 0), "detection:\na box an object")
for (x1, y1, x2, y2), k in zip(answers["detection"].tolist(), labels.tolist()):
    for colour, width in (("white", 7), ((BLUE, ORANGE)[k - 1], 3.5)):
        place = (x1 - 0.5, y1 - 0.5)
        axes[2].add_patch(Rectangle(place, x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=width))
panel(axes[3], ids, "instance segmentation:\na mask an object", cmap=OF_OBJECT, vmin=0, vmax=8)
figure.tight_layout(h_pad=2.5)
show(
    figure,
    "One scene of circles and crosses four times: with ticks for its classes, coloured by class, with boxes, coloured by object",
)


# %% [markdown]
# In the semantic map two objects that touch have become one patch of colour. Remember it.
#
# ## From masks to each answer
#
# Masks and labels hold everything; the other answers follow from them. Write the converters.

# %% [markdown] exercise="class_vector"
# ### Exercise: `class_vector` (easy, 5 minutes)
#
# **Classification**: what is in the picture? `labels [G]` in 1..K of its objects and `num_classes` = K → `[K]`, 1 for
# each class of which there is at least one object, else 0. (The background has no place in it: it is always there, and
# nobody asks.)


# %% exercise="class_vector"
def class_vector(labels: Tensor, num_classes: int) -> Tensor:
    """labels int64 [G] in 1..K, K -> [K], 1 where the class is present."""
    ...


ex.class_vector.check(class_vector)
# Stuck? ex.class_vector.hint(), and at the end ex.class_vector.solution()

# %% [markdown] exercise="semantic_map"
# ### Exercise: `semantic_map` (easy, 10 minutes)
#
# **Semantic segmentation**: which class has each pixel? `masks [G, H, W]` of 0 and 1 (the visible part of each object)
# and `labels [G]` in 1..K → `[H, W]`, the class of each pixel, 0 for the background, which is all there is without
# objects.


# %% exercise="semantic_map"
def semantic_map(masks: Tensor, labels: Tensor) -> Tensor:
    """masks [G, H, W] of 0 and 1, labels int64 [G] in 1..K -> the class of each pixel, [H, W]."""
    ...


ex.semantic_map.check(semantic_map)
# Stuck? ex.semantic_map.hint(), and at the end ex.semantic_map.solution()

# %% [markdown] exercise="instance_map"
# ### Exercise: `instance_map` (medium, 10 minutes)
#
# **Instances in one map**: `masks [G, H, W]` of 0 and 1 → `[H, W]` with 0 for the background and g for the pixels of
# object g = 1..G, in the order of the masks. Unlike the visible parts of before, these masks **may overlap**: then the
# **later** mask lies on top.


# %% exercise="instance_map"
def instance_map(masks: Tensor) -> Tensor:
    """masks [G, H, W] of 0 and 1 -> the number of the object at each pixel, [H, W]."""
    ...


ex.instance_map.check(instance_map)
# Stuck? ex.instance_map.hint(), and at the end ex.instance_map.solution()

# %% [markdown] exercise="boxes_of_masks"
# ### Exercise: `boxes_of_masks` (medium, 15 minutes)
#
# **Detection**: where is each object? `masks [G, H, W]` of 0 and 1 → the smallest box around each, `[G, 4]` as x1, y1,
# x2, y2 in pixels. Pixel j covers j to j + 1, so the width x2 − x1 of a mask of one pixel is 1. An empty mask gives
# zeros.


# %% exercise="boxes_of_masks"
def boxes_of_masks(masks: Tensor) -> Tensor:
    """masks [G, H, W] of 0 and 1 -> boxes [G, 4]: x1, y1, x2, y2."""
    ...


ex.boxes_of_masks.check(boxes_of_masks)
# Stuck? ex.boxes_of_masks.hint(), and at the end ex.boxes_of_masks.solution()

# %% [markdown]
# An id map is compact, but it is *not* what Mask R-CNN predicts: its masks are made object by object, and may overlap.
#
# ## Boxes alone, masks alone
#
# You just made boxes from masks. People with a data set of **boxes alone** ask for the way back
# ([matterport/Mask_RCNN#110](https://github.com/matterport/Mask_RCNN/issues/110)), and fill their boxes to get masks. How good
# a mask is a filled box?

# %%
fits = {name: [] for name in NAMES[1:]}
for ids_i, labels_i in zip(training.ids, training.labels):
    masks_i = ids_i == torch.arange(1, len(labels_i) + 1)[:, None, None]
    for mask, (x1, y1, x2, y2), k in zip(masks_i, ex.boxes_of_masks.answer(masks_i.numpy()).tolist(), labels_i):
        fits[NAMES[k]].append(mask.sum().item() / ((x2 - x1) * (y2 - y1)))  # the mask lies inside: this is the IoU
for name, values in fits.items():
    print(f"{name}: IoU of the filled box with the mask {np.mean(values):.2f}")
print(f"a whole circle: π / 4 = {np.pi / 4:.2f}")
assert np.mean(fits["cross"]) < np.mean(fits["circle"]) < np.pi / 4


# %% [markdown]
# A mask branch that is trained on rectangles **predicts rectangles**
# ([matterport/Mask_RCNN#2516](https://github.com/matterport/Mask_RCNN/issues/2516) is somebody's experience of it). Leave the
# branch away instead: without it Mask R-CNN is Faster R-CNN with RoIAlign, and a good detector, 37.3 box AP. With masks to learn
# from it is 38.2 (Table 3, ResNet-101-FPN): masks help even those who want boxes only. So: masks give boxes, boxes give no masks.
#
# ## And back?
#
# From a semantic map to a class vector is one step. To get **objects** out of it, the usual way is to take its connected parts.

# %% [markdown] exercise="parts"
# ### Exercise: `parts` (medium, 20 minutes)
#
# **Back from a semantic map to objects, as well as it goes**: `classes [H, W]` (0 background) → how many **connected
# parts** there are, those of each class counted on their own. Pixels are connected through sides and corners, and only
# with pixels of their own class.


# %% exercise="parts"
def parts(classes: Tensor) -> int:
    """classes int64 [H, W], 0 for the background -> the number of connected parts."""
    ...


ex.parts.check(parts)
# Stuck? ex.parts.hint(), and at the end ex.parts.solution()

# %% [markdown]
# That goes wrong in two ways. Open *Touching*, then *Cut in two*:

# %%
widgets.show("tasks", state="split")


# %% [markdown]
# Two objects of one class touch: one part, two objects. Something stands in front of one: two parts, one object. An instance may
# well have several parts; nothing asks a mask to hang together. How often does the first happen?

# %% [markdown] exercise="touching_pairs"
# ### Exercise: `touching_pairs` (hard, 20 minutes)
#
# **Count touching objects.** `ids [H, W]` (0 background, objects 1..G) and `labels [G]` → how many **pairs** of objects
# **of the same class** touch, that is, have pixels side by side (left and right, or above and below). These are the pairs
# that a semantic map melts into one part.


# %% exercise="touching_pairs"
def touching_pairs(ids: Tensor, labels: Tensor) -> int:
    """ids int64 [H, W], labels int64 [G] in 1..K -> the number of touching pairs of one class."""
    ...


ex.touching_pairs.check(touching_pairs)
# Stuck? ex.touching_pairs.hint(), and at the end ex.touching_pairs.solution()

# %% [markdown]
# ## A network that names every pixel
#
# What should it answer? A plane for each class, the background first, and at each pixel the true class's plane highest:

# %%
figure = Figure(figsize=(6.6, 2.6))
for axes, (k, name) in zip(figure.subplots(1, 3), enumerate(NAMES)):
    panel(axes, answers["semantic segmentation"] == k, f"{k}: {name}", cmap="gray")
figure.tight_layout(h_pad=2.5)
show(
    figure,
    "The same scene as three planes in black and white: where the background is, where circles are, where crosses are",
)

# %% [markdown]
# A **fully convolutional network** (FCN) has no dense layer, so its output is a map again. Let $z_{k,ij}$ be its logit for class k
# at pixel (i, j), and $c_{ij}$ the true class. Each pixel is a classification of its own:
#
# $$p_{k,ij} = \frac{e^{z_{k,ij}}}{\sum_{l=0}^{K} e^{z_{l,ij}}}, \qquad
# L = -\frac{1}{HW} \sum_{i,j} \log p_{c_{ij},ij}$$
#
# A softmax over the classes: they compete for the pixel. (Mask R-CNN's mask branch has a sigmoid instead, chapter 06.) It is
# judged by the **mean IoU**: for each class, the pixels that have it in both maps over those that have it in either; then the mean.

# %%
print(inspect.getsource(counting.FCN))

# %% [markdown]
# ## Experiment: can it count?
#
# One trunk, that of the Mask R-CNN of notebook 00, and two answers of it. Its own: **masks**. The FCN's, whose few layers are
# trained here on the trunk's frozen features: a map, whose **parts** are counted. (Long et al. begin with a trained trunk as
# well, their section 4.) And for comparison the parts of the *true* map, which no network can better. Same 400 pictures of 128 × 128 for
# all. What was fixed before, and how:
#
# - **The scenes.** Two of the trunk's six shapes, large and in clearly different colours, so that naming their pixels is easy and
#   what fails is not the naming. This kind was chosen by trying, on scenes of drawing seed 0.
# - **The settings.** On 100 scenes of that seed: the lowest of three learning rates whose *worst* of three training seeds is as good
#   as the best; the least pixels a part must have to be counted (specks are none) and the least score of a detection, each the
#   best of four. Of two detections on one object the surer counts (chapter 03).
# - **The test.** 400 scenes of drawing seed 3, looked at once, when all of that was settled. (Two earlier rounds, on seeds 1 and
#   2, ended with one of five FCNs that had not learnt a class. The first led to the rule for the rate, the second to the norm
#   after the FCN's deconvolution, found on scenes of seed 0; both rounds' scenes were given up.)
#
# Predict: from which overlap on do the masks count better than the parts of a *perfect* map?

# %% tags=["nbval-ignore-output"]
stored = json.loads((ASSETS / "counting.json").read_text(encoding="utf-8"))
settings = stored["chosen"]
mask_rcnn = m.load(ASSETS / "shapes.safetensors")
shown = counting.features_of(mask_rcnn, training.pictures)
fcn = counting.train(shown, training.classes, len(NAMES), settings["lr"], seed=0)
test = counting.scenes(*counting.TEST)
assert [len(k) for k in test.labels] == stored["objects"]  # these are the scenes that the stored runs saw
named = counting.predict(fcn, counting.features_of(mask_rcnn, test.pictures))
live = counting.mean_ious(named, test, len(NAMES))
apart = test.overlap == 0
each = counting.class_ious(named[apart], test.classes[apart], len(NAMES))
print(f"features {list(shown.shape)}; {sum(p.numel() for p in fcn.parameters()):,} parameters; chosen: {settings}")
print(f"seed 0, {int(apart.sum())} scenes in which no two boxes overlap: mean IoU {live['apart']:.3f}")
print("   ", ", ".join(f"{name} {iou:.3f}" for name, iou in zip(NAMES, each.tolist())))
print(f"all {len(apart)} scenes: mean IoU {live['all']:.3f}")
assert live["apart"] > 0.85 and live["apart"] > live["all"]

# %% [markdown]
# Without overlap it names pixels well; in heaps, where of some shapes only a corner is seen, less so. Now let it count. The same
# functions ran five seeds before; their zeroth gives way to the one that you just saw. The degree of overlap is the largest IoU of
# two objects' boxes in the scene.

# %% tags=["nbval-ignore-output"]
from scipy.stats import ttest_rel

seen = counting.judged([counting.parts_of(one, settings["least"]) for one in named], test)
runs = [live | seen] + [run["mean_iou"] | run for run in stored["runs"] if run["seed"] > 0]
objects = np.array(stored["objects"])
miss, own = {}, {}  # of each scene: objects miscounted; objects with a mask of their own
for name, these in (("FCN", runs), ("true map", [stored["true map"]]), ("Mask R-CNN", [stored["Mask R-CNN"]])):
    miss[name] = np.mean([np.abs(np.array(run["count"]) - objects) for run in these], axis=0)
    own[name] = np.mean([run["own"] for run in these], axis=0)
print(f"assets/counting.json: `{stored['command']}` at commit {stored['commit']}")
print("five seeds, mean IoU without overlap:", " ".join(f"{run['apart']:.3f}" for run in runs))
print("five seeds, miscounted a scene:      ", " ".join(f"{np.abs(run['count'] - objects).mean():.3f}" for run in runs))
assert all(run["apart"] > 0.85 for run in runs)  # good by its own measure

touching = np.array([ex.touching_pairs.answer(i, k) for i, k in zip(test.ids, test.labels)])
overlap = test.overlap.numpy()
LIMITS = (0.0, 0.2, 0.4, 1.0)
groups = {"none": overlap == 0}
groups |= {f"to {high:g}": (overlap > low) & (overlap <= high) for low, high in itertools.pairwise(LIMITS)}
print("\nlargest IoU   scenes  touching pairs    miscounted, a scene         objects with a mask of their own")
print("of two boxes          of one class      " + "".join(f"{name:>11}" for name in (*miss, *own)))
for name, group in groups.items():
    cells = [f"{miss[who][group].mean():11.2f}" for who in miss]
    cells += [f"{own[who][group].sum() / objects[group].sum():11.0%}" for who in own]
    print(f"{name:12}{group.sum():8}{touching[group].mean():14.2f}      " + "".join(cells))

differences = {}
print("\nmiscounted by parts of the map minus by Mask R-CNN, a scene, with 95 % interval")
for who in ("FCN", "true map"):
    for name, group in groups.items():
        pair = miss[who][group], miss["Mask R-CNN"][group]
        low, high = ttest_rel(*pair).confidence_interval(0.95)
        verdict = "not shown at this scale" if low <= 0 <= high else "masks count better" if low > 0 else "parts do"
        differences[who, name] = (np.subtract(*pair).mean(), low, high)
        print(f"{who:9}{name:8}{differences[who, name][0]:+6.2f} [{low:+.2f}, {high:+.2f}]  {verdict}")
low = {name: differences["true map", name][1] for name in groups}
assert low["to 0.2"] > 0 and low["to 0.4"] > 0 > max(low["none"], low["to 1"])  # what the text below says

# %% tags=["nbval-ignore-output"]
figure = Figure(figsize=(6.4, 6.6))
above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
places = np.arange(len(groups))
STYLES = {"FCN": (ORANGE, "s--"), "true map": (GREY, "^:"), "Mask R-CNN": (BLUE, "o-")}
for who, (colour, style) in STYLES.items():
    means = [miss[who][group].mean() for group in groups.values()]
    label = who if who == "Mask R-CNN" else f"parts, {who}"
    above.plot(places, means, style, color=colour, linewidth=2.2, markersize=9, label=label)
above.set_ylabel("miscounted\nobjects, a scene", fontsize=13)
above.set_ylim(bottom=-0.06)
above.legend(frameon=False, fontsize=13)
below.axhline(0, color="black", linewidth=1)
for shift, who in ((-0.08, "FCN"), (0.08, "true map")):
    mean, low, high = np.array([differences[who, name] for name in groups]).T
    colour, style = STYLES[who]
    below.errorbar(places + shift, mean, (mean - low, high - mean), fmt=style[0], color=colour, markersize=8, capsize=4)
below.set_ylabel("minus\nMask R-CNN's", fontsize=13)
below.set_xticks(places, [f"{name}\n{group.sum()} scenes" for name, group in groups.items()])
below.set_xlabel("largest IoU of two boxes in the scene", fontsize=13)
for axes in (above, below):
    axes.tick_params(labelsize=12)
    axes.spines[["top", "right"]].set_visible(False)
figure.tight_layout(h_pad=2.5)
show(
    figure,
    "Miscounted objects against overlap: parts of both semantic maps miscount soon, masks later; below, the differences with intervals",
)

# %% [markdown]
# Read the grey line first. Those are parts of the **true** map: right where nothing overlaps, and wrong from the first overlap on,
# since where two objects of one class touch the answer's *form* has no room for the border. No training mends that line. The FCN's
# parts follow it: what it lacks is not pixels.
#
# Without overlap the detector gains nothing on the perfect map. At overlaps up to 0.4 the masks of the same trunk count better
# than the parts of even a perfect map. Above it an advantage is **not shown at this scale**: where boxes lie on one another
# the detector loses objects too, by its NMS (chapter 03) and where of a shape only a corner is seen.
#
# Counts can be right by chance: two objects melt, a third is cut in two. So the table's other half asks how many objects have a mask
# of their own, of the right class and with an IoU above a half. There perfect pixels, which outline exactly whatever stands
# free, beat the detector in the denser scenes; the FCN's stay below both.
#
# What this shows is one trunk, trained with masks, on drawn scenes. The intervals are over scenes, with the mean of the five FCNs in
# each; of eight intervals at 95 % one may well miss.
#
# Here is one of the scenes where the true map is furthest off:

# %% tags=["nbval-ignore-output"]
worst = int((np.abs(np.array(stored["true map"]["count"]) - objects) * 10 + miss["FCN"]).argmax())
(found,) = counting.detected(mask_rcnn, test.pictures[worst, None], settings["score"])
figure = Figure(figsize=(6.6, 7.4))
axes = figure.subplots(2, 2).flatten()
panel(axes[0], test.pictures[worst].permute(1, 2, 0), f"the scene:\nobjects: {objects[worst]}")
panel(axes[1], named[worst], f"FCN:\nparts: {seen['count'][worst]}", cmap=OF_CLASS, vmin=0, vmax=2)
panel(
    axes[2],
    test.classes[worst],
    f"the true map:\nparts: {stored['true map']['count'][worst]}",
    cmap=OF_CLASS,
    vmin=0,
    vmax=2,
)
by_score = ex.instance_map.answer(found.masks.flip(0))  # the surest on top
panel(axes[3], by_score, f"Mask R-CNN:\nmasks: {len(found.masks)}", cmap=OF_OBJECT, vmin=0, vmax=8)
figure.tight_layout(h_pad=2.5)
show(
    figure,
    "A heap of shapes; the FCN's map, in which they melt into few parts; the true map, no better; Mask R-CNN's masks in a colour each",
)

# %% [markdown]
# ## Instance first
#
# This is where the paper sets out. Methods that start "from per-pixel classification results (e.g., FCN outputs)" must cut the pixels
# of a class into objects afterwards; Mask R-CNN's is an "*instance-first* strategy" (section 2): find the objects, then ask, in
# each box, which pixels are its own. The FCN is still there: the mask branch is a small one, in each box. How, the
# next chapters show. It begins with boxes.
#
# ## Five questions
#
# Nobody sees your answers; each is explained.

# %%
quiz("01")

# %% [markdown]
# ## Recap
#
# - Classification `[K]`, semantic `[K + 1, H, W]`, detection `[N, 4]` with labels and scores, instances `[N, H, W]` besides.
# - From masks and labels the others follow; from none of the others do masks.
# - A semantic map has no border between touching objects of one class. Its parts miscount there, however good the map.
# - An instance may have several parts, and masks may overlap.
#
# **Glossary:** classification 분류 · semantic segmentation 의미 분할 · object detection 객체 검출 · instance segmentation 인스턴스 분할 ·
# fully convolutional network 완전 합성곱 신경망 · connected component 연결 요소 · mask 마스크
#
# ## What the paper reports and what we measured
#
# | | the paper | here |
# | --- | --- | --- |
# | detection and semantic segmentation at once | section 1, as the definition of the task | the converters: all answers follow from masks and labels |
# | per-pixel maps cut into instances | Cityscapes test: InstanceCut 13.0 AP, DWT 15.6; Mask R-CNN 26.2 (Table 7; DWT and Mask R-CNN on fine annotations alone) | miscounted objects against overlap: the table and its intervals |
# | overlapping objects | FCIS+++ has artefacts on them, Mask R-CNN none such (section 4.1, Figure 6) | objects with a mask of their own: the table |
# | masks as a second task help the boxes | 37.3 → 38.2 box AP (Table 3) | not measured |
