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
# # 00 · Start here
#
# [![Open this chapter in Google Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mrcnn-lite/mrcnn_lite/blob/main/notebooks/00_start_here.ipynb)
#
# **After this notebook you can** run the course on this machine · load a trained Mask R-CNN and see what it finds · read
# the dictionary that describes a picture's objects, and the one that a detector answers with · turn polygons and run lengths
# into masks and back, and an entry of a COCO file into a target · find wrong labels.
#
# **You need** Python and a little PyTorch. **Paper:** He, Gkioxari, Dollár, Girshick, *Mask R-CNN*, ICCV 2017
# ([arXiv 1703.06870](https://arxiv.org/abs/1703.06870)), section 1.
#
# **Time:** 15 minutes to read, 70 for the exercises; under a minute to run on two CPU cores, on a Colab T4 about as long (an estimate, not measured).

# %% [markdown]
# ## Set-up
#
# On your own machine `python3 course.py lab` has installed everything and the next cell only looks around. On Colab it
# fetches the course first.

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
import numpy as np
import torch.nn.functional as F
from matplotlib.figure import Figure
from pycocotools import mask as rle
from torch import Tensor

import mrcnn_lite as m
from mrcnn_lite import widgets
from mrcnn_lite.checks import check_batch
from mrcnn_lite.exercises import ch00 as ex
from mrcnn_lite.exercises import quiz
from mrcnn_lite.visualize import contact_sheet, draw, show, side_by_side

ORANGE, BLUE = "#d55e00", "#0072b2"  # told apart by colour-blind readers too

# %% [markdown]
# ## Does interaction work here?
#
# Each chapter has something to drag. Try it: the two marks turn green once mouse and keyboard have moved the dot.

# %%
widgets.show("self_test")

# %% [markdown]
# ## A trained model
#
# Six geometric shapes, rotated, textured, covering one another: a data set that is drawn here, so nothing has to be
# downloaded. The model below was trained on 8,000 such pictures for six minutes on two CPU cores; it has not seen these.

# %%
model = m.load(ASSETS / "shapes.safetensors", device)
shapes = m.open_dataset("shapes", split="val", length=200, progress=False)
print(model.class_names)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters, heads: {list(model.heads)}")

# %% tags=["nbval-ignore-output"]
pictures, truths = zip(*[shapes[i] for i in range(6)])
found = model.detect([picture.to(device) for picture in pictures])
sure = [{name: values[d["scores"] > 0.5].cpu() for name, values in d.items()} for d in found]
show(
    side_by_side(pictures, sure, truths, shapes.class_names, columns=2, panel=160),
    "Six pairs of pictures of coloured shapes, masks outlined: the truth left, the prediction right",
)

# %% [markdown]
# Left of each pair is the truth, right what the model says. Look for three things: a shape **partly hidden** by another
# has a mask of its visible part only; **touching** shapes of one class are told apart; the outline follows the shape to
# about a pixel. A classifier could do none of this, a box detector only the second.

# %% [markdown]
# ## What a target is
#
# A picture is a tensor of numbers in 0..1, shape `[3, H, W]`. Its *target* says what is in it, object by object.

# %%
picture, target = shapes[0]
print("picture", tuple(picture.shape), picture.dtype)
for name, value in target.items():
    print(f"{name:10}", tuple(value.shape) if hasattr(value, "shape") else value)

# %% [markdown]
# With G objects:
#
# | key | shape | meaning |
# | --- | --- | --- |
# | `boxes` | `[G, 4]` | x1, y1, x2, y2 in pixels; the width is x2 − x1 |
# | `labels` | `[G]` | classes 1, 2, …; 0 is the background and never an object |
# | `masks` | `[G, H, W]` | 1 where the object is visible |
# | `image_id`, `area`, `iscrowd` | | what the COCO evaluation needs |
#
# The box is the smallest that holds the mask. Check it on the first object:

# %%
rows, columns = target["masks"][0].nonzero().T
# + 1, since pixel j covers [j, j + 1)
box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
print("from the mask:", [int(side) for side in box])
print("in the target:", [int(side) for side in target["boxes"][0]])

# %% [markdown]
# ## From a file to a target
#
# Nobody stores masks as they are. A **COCO file** is JSON: `images`, `categories`, and `annotations`, an entry an object. Its
# `segmentation` is either a list of polygons or run lengths; its `bbox` is x, y, width, height:

# %%
categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
dog = {"image_id": 7, "category_id": 18, "iscrowd": 0, "bbox": [1.5, 1.2, 9.0, 5.4], "area": 28.2}
dog["segmentation"] = [[1.5, 5.1, 5.2, 1.2, 10.5, 2.4, 8.1, 6.6]]
for key, value in dog.items():
    print(f"{key:13} {value}")

# %% [markdown]
# **A polygon has no pixels.** Which does it cover? A side cuts through some; the rule of this course is that a pixel belongs to
# the object if its centre does.

# %% tags=["nbval-ignore-output"]
height, width = 8, 12
corners = np.reshape(dog["segmentation"][0], (-1, 2))
covered = ex.polygon_mask.answer(dog["segmentation"], height, width)
rows, columns = (covered >= 0).nonzero().T
figure = Figure(figsize=(5.4, 3.4), layout="constrained")
axes = figure.add_subplot()
axes.imshow(covered, extent=(0, width, height, 0), cmap="Blues", vmin=0, vmax=2)
axes.fill(*corners.T, fill=False, edgecolor=ORANGE, linewidth=2)
axes.plot(columns + 0.5, rows + 0.5, ".", color="black", markersize=3)
axes.set(xticks=range(width + 1), yticks=range(height + 1), xlabel="x", ylabel="y")
axes.grid(color="0.8", linewidth=0.6)
show(
    figure,
    "A polygon on a grid of pixels, a dot in each centre: pixels whose dot is inside are blue",
)


# %% [markdown] exercise="polygon_mask"
# ### Exercise: `polygon_mask` (medium, 20 minutes)
#
# **From polygons to a mask.** COCO draws an object as a list of polygons, `[x1, y1, x2, y2, …]` each, in pixels; an
# object that is hidden in the middle has several. A pixel is the object's where its **centre** lies inside one of them:
# give `[height, width]`, 1 there and 0 elsewhere.


# %% exercise="polygon_mask"
def polygon_mask(polygons: list[list[float]], height: int, width: int) -> Tensor:
    """polygons [x1, y1, x2, y2, …] in pixels -> mask [height, width] of 0 and 1."""
    ...


ex.polygon_mask.check(polygon_mask)
# Stuck? ex.polygon_mask.hint(), and at the end ex.polygon_mask.solution()

# %% [markdown]
# COCO's own tool draws with a rule of its own (it walks along the sides in fifths of a pixel), which differs at the outline. On
# fifty random polygons:

# %%
random, counted = torch.Generator().manual_seed(0), np.zeros(3)
for _ in range(50):
    polygons = [ex.random_polygon(7, 60, 80, random)]
    ours = ex.polygon_mask.answer(polygons, 60, 80).numpy()
    theirs = rle.decode(rle.merge(rle.frPyObjects(polygons, 60, 80))) > 0
    counted += (ours & theirs).sum(), (ours & ~theirs).sum(), (theirs & ~ours).sum()
both, only_ours, only_theirs = counted / counted.sum()
print(f"pixels in both {both:.1%}, only in ours {only_ours:.1%}, only in COCO's {only_theirs:.1%}")
assert counted[1:].max() < 0.01 * counted[0]

# %% [markdown]
# Little, but a mask that is drawn again by another tool is not the mask that was: draw a data set **once**.


# %% [markdown]
# **Run lengths.** A mask of 0 and 1 has long runs, so their lengths are a short way to write it. COCO uses them for crowds and
# for results. They go **down the columns**, and zeros come first.

# %% [markdown] exercise="run_lengths"
# ### Exercise: `run_lengths` (easy, 15 minutes)
#
# **From a mask to run lengths** (RLE): `mask [H, W]` of 0 and 1 → a list of whole numbers. Read the mask **down its
# first column**, then down the second, and so on, and count: so many 0, so many 1, so many 0 … The first number counts
# **zeros**, also where there are none; together they are H · W.


# %% exercise="run_lengths"
def run_lengths(mask: Tensor) -> list[int]:
    """mask [H, W] of 0 and 1 -> lengths of its runs, down the columns, zeros first."""
    ...


ex.run_lengths.check(run_lengths)
# Stuck? ex.run_lengths.hint(), and at the end ex.run_lengths.solution()

# %% [markdown] exercise="mask_of_runs"
# ### Exercise: `mask_of_runs` (medium, 10 minutes)
#
# **And back:** `segmentation` is a dictionary as a COCO file holds it for crowds, `{"size": [height, width], "counts":
# [zeros, ones, zeros, …]}` → the mask `[height, width]` of 0 and 1. The numbers go down the columns.


# %% exercise="mask_of_runs"
def mask_of_runs(segmentation: dict[str, list[int]]) -> Tensor:
    """{"size": [height, width], "counts": [zeros, ones, …]} -> mask [height, width] of 0 and 1."""
    ...


ex.mask_of_runs.check(mask_of_runs)
# Stuck? ex.mask_of_runs.hint(), and at the end ex.mask_of_runs.solution()

# %% [markdown]
# There and back nothing is lost. In results the numbers are packed into text as well, five bits a character; it is the same
# list:

# %%
counts = ex.run_lengths.answer(covered)
again = ex.mask_of_runs.answer({"size": [height, width], "counts": counts})
print(f"{height * width} pixels in {len(counts)} numbers: {counts}")
print("there and back, the same:", bool((again == covered).all()))
print("as text:", rle.encode(np.asfortranarray(covered, np.uint8))["counts"].decode())


# %% [markdown]
# **The rest of the entry.** Here most conversions go wrong without a word: four numbers that pass as another kind of box,
# ids with gaps (COCO's 80 classes are numbered up to 90), and crowds. `iscrowd` is not "stored as run lengths": it marks a region
# of many, which is no object to learn, and which counts neither for nor against you in the evaluation (chapter 09).

# %% [markdown] exercise="coco_objects"
# ### Exercise: `coco_objects` (medium, 15 minutes)
#
# **Read a COCO file's entries**: `annotations` of one picture → `(boxes [G, 4], labels [G])` of its target. Three things
# to mind: `bbox` is **x, y, width, height**; `category_id` has gaps, and becomes 1, 2, … in the order of the **ids** in
# `categories`; entries with `iscrowd` 1 are regions and no objects: leave them out. A picture without objects gives
# `[0, 4]` and `[0]`.


# %% exercise="coco_objects"
def coco_objects(annotations: list[dict], categories: list[dict]) -> tuple[Tensor, Tensor]:
    """annotations of bbox, category_id, iscrowd; categories of id -> boxes [G, 4], labels [G]."""
    ...


ex.coco_objects.check(coco_objects)
# Stuck? ex.coco_objects.hint(), and at the end ex.coco_objects.solution()

# %% [markdown]
# `m.open_dataset("coco")` does all of this, and `mrcnn-lite data check FILE` says what is wrong with yours.

# %% [markdown]
# ## What is refused
#
# Most first hours with a detector are lost to input that is wrong and passes in silence. Here it is refused with a sentence:
# which image, which object, what was found, what was expected. Five of the usual ones:

# %%
learner = m.build_model(m.Config.tiny(num_classes=len(shapes.class_names)))
wrong = {
    "a class too many": ([picture], target | {"labels": target["labels"] + 6}),
    "masks of 0 and 255": ([picture], target | {"masks": target["masks"] * 255}),
    "numbers of 0 to 255": ([picture * 255], target),
    "rows, columns, colours": ([picture.permute(1, 2, 0)], target),
    "grey": ([picture[:1]], target),
}
for name, (images, its_target) in wrong.items():
    try:
        learner.losses(images, [its_target])
        raise AssertionError(f"{name}: not refused")
    except ValueError as error:
        print(f"{name}:\n    {error}")

# %% [markdown]
# All of them, with what they usually mean: [docs/what_went_wrong.md](../docs/what_went_wrong.md).
#
# ## What only eyes find
#
# A label can have the right shape and the wrong content. Nine pictures with their labels drawn on them; box, mask and name of
# an object have one colour. **Draw a dozen of your own pictures before every first training**: it costs a minute.

# %% tags=["nbval-ignore-output"]
nine, their_targets = ex.planted()
# So that the labels stand out.
pale = [0.4 + 0.6 * F.avg_pool2d(one, 9, 1, 4, count_include_pad=False) for one in nine]
panels = [draw(one, target, shapes.class_names, scale=1.5) for one, target in zip(pale, their_targets)]
show(
    contact_sheet(panels, [str(number) for number in range(9)], columns=3),
    "Nine pictures of coloured shapes, numbered 0 to 8, each with boxes, masks and names drawn on",
)


# %% [markdown] exercise="label_errors"
# ### Exercise: `label_errors` (medium, 10 minutes)
#
# **Find three wrong labels.** Three of the nine pictures above have one error each. Say which, and what it is: `"box"`
# (a box as x, y, width, height), `"masks"` (two masks in another order than their boxes), `"class"` (a wrong name) or
# `"missing"` (an object without a label). Give a dictionary from the picture's number to the error.


# %% exercise="label_errors"
def label_errors() -> dict[int, str]:
    """-> {number of the picture: "box", "masks", "class" or "missing", …}, three of them."""
    ...


ex.label_errors.check(label_errors)
# Stuck? ex.label_errors.hint(), and at the end ex.label_errors.solution()

# %% [markdown]
# How many of the three does the package refuse? It compares each box with its own mask:

# %%
refused = 0
for one, target in zip(nine, their_targets):
    try:
        check_batch([one], [target], len(shapes.class_names), ["mask"])
    except ValueError:
        refused += 1
print(f"{refused} of 9 refused")
assert refused == 2

# %% [markdown]
# The third passes every check; only eyes find it.

# %% [markdown]
# ## What a detector answers
#
# The same keys, a `score` for each object, and the small mask that the network really predicts: M × M numbers inside the
# box, enlarged to the picture at the very end. So masks are not shares of one picture: those of two objects may overlap.

# %%
detection = model.detect([picture.to(device)])[0]
best = [int(label) for label in detection["labels"][:3].cpu()]
print("the three surest:", [model.class_names[label] for label in best])
print("each has", {name: tuple(values.shape[1:]) for name, values in detection.items()})

# %% tags=["nbval-ignore-output"]
prob = detection["mask_probs"][0].cpu()
small = (prob[None].expand(3, -1, -1) * 255).byte()
show(
    small.permute(1, 2, 0).numpy().repeat(8, 0).repeat(8, 1),
    "The 28 by 28 mask of the surest object, enlarged, in grey",
)

# %% [markdown]
# ## Real pictures
#
# The same kind of network, trained for 20 minutes on 403 microscopy pictures with one class, *nucleus*. Most of them show
# bright nuclei on a dark ground. The two pictures below ship with scikit-image and are of other kinds: a single living cell,
# and stained tissue.

# %%
from skimage import data

nuclei_model = m.load(ASSETS / "nuclei.safetensors", device)
cell = torch.from_numpy(data.cell().copy())[None].expand(3, -1, -1) / 255
shrink = torch.nn.functional.interpolate
cell = shrink(cell[None], scale_factor=0.5, mode="bilinear", antialias=True)[0]
tissue = torch.from_numpy(data.immunohistochemistry()[256:, 256:].copy()).permute(2, 0, 1) / 255
print(nuclei_model.class_names, tuple(cell.shape), tuple(tissue.shape))


# %%
def surer_than(score, picture):
    """The nuclei found in a picture with at least this score."""
    found = nuclei_model.detect([picture.to(device)])[0]
    return {name: values[found["scores"] > score].cpu() for name, values in found.items()}


# %% tags=["nbval-ignore-output"]
found = surer_than(0.5, cell)
print(f"a single cell: {len(found['boxes'])} found")
drawn = draw(cell, found, boxes=False, labels=False, scale=1.25)
show(drawn, "Microscopy picture of a round cell, its mask in orange")

# %% tags=["nbval-ignore-output"]
for score in (0.5, 0.3):
    found = surer_than(score, tissue)
    print(f"stained tissue, score above {score}: {len(found['boxes'])} found")
show(
    draw(tissue, found, boxes=False, labels=False, scale=1.25),
    "Brown and blue stained tissue with about twenty-five masks, few over nuclei, most over nothing",
)

# %% [markdown]
# The cell is found, though it is none like those of the training pictures: bright and round is enough; the mask leaves
# out a strip at its left. The tissue is another matter. With the threshold lowered to 0.3 a few of the blue ovals between
# the brown walls are found, most are missed, and there are more inventions than finds, pieces of bright ground among them:
# few of the pictures that it learnt from were of tissue. **A detector knows what it has seen.** Chapter 12
# trains it on pictures of your own.

# %% [markdown]
# ## With a network: the nuclei themselves
#
# This cell uses the nuclei (BBBC038, the 2018 Data Science Bowl; Caicedo et al., Nature Methods 2019) if they are on this
# machine, downloads them if there is a network, and otherwise says what is missing. Everything before works without.

# %% tags=["nbval-ignore-output"]
from mrcnn_lite.data import DownloadError, sources

try:
    sources.get("nuclei", progress=False)
    nuclei = m.open_dataset("nuclei", split="val", limit=10)
    print(m.evaluate(nuclei_model, nuclei, progress=False))
except DownloadError as error:
    print(error)

# %% [markdown]
# ## How good is it, in one number?
#
# COCO's **average precision** of the masks, 1 at best, on shapes that the model has not seen. Chapter 09 computes it by hand.

# %% tags=["nbval-ignore-output"]
few = m.open_dataset("shapes", split="val", length=200, limit=40, progress=False)
results = m.evaluate(model, few, progress=False)
print(f"{len(few)} pictures: mask AP {results.mask['AP']:.2f}, box AP {results.box['AP']:.2f}")
assert results.mask["AP"] > 0.5

# %% [markdown]
# ## Five questions
#
# Nobody sees your answers; each is explained.

# %%
quiz("00")

# %% [markdown]
# ## Recap
#
# - Instance segmentation answers with one **mask, class, box and score for each object**.
# - A target is a dictionary of boxes, labels and masks, object by object; a detection has the same keys and scores.
# - In files masks are polygons (centres decide) or run lengths (down the columns, zeros first), boxes x, y, width, height.
# - Mask R-CNN predicts a small mask inside each box. How, is what the next chapters build.
#
# **Glossary:** instance 인스턴스 · mask 마스크 · bounding box 경계 상자 · score 점수 · background 배경 · polygon 다각형 ·
# run-length encoding 런 길이 부호화 · annotation 주석
#
# ## What the paper reports and what we measured
#
# | | the paper | here |
# | --- | --- | --- |
# | pictures and classes | COCO: 80 classes, about 115,000 pictures to train on (section 4) | shapes: 6 classes, 8,000 pictures, drawn |
# | training | 32 hours on 8 GPUs (ResNet-50-FPN, section 4.4) | six minutes on two CPU cores |
# | mask AP | 33.6 (Table 2a, ResNet-50-FPN) | printed above |
#
# The two figures of the last row **can't be compared**: other pictures, other classes, other difficulty. What can be compared
# with the paper is a *difference* between two models that were trained alike; chapter 10 is about that.
