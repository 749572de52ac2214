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
# # 09 · Inference and COCO evaluation
#
# [![Open this chapter in Google Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mrcnn-lite/mrcnn_lite/blob/main/notebooks/09_inference_and_evaluation.ipynb)
#
# **After this notebook you can** say in which order a trained model works, and why masks come last · match detections to objects ·
# compute AP from scratch, equal to pycocotools · read AP, AP50, AP75 and the sizes, and build a case where they disagree · say
# what a crowd is, and what −1 · find out which errors cost a model most.
#
# **You need** notebooks 02, 03 and 06. **Paper:** *Mask R-CNN* ([arXiv 1703.06870](https://arxiv.org/abs/1703.06870)), section 3.1
# ("Inference"), section 4 (the metrics), Tables 1 and 3.
#
# **Time:** 40 minutes to read, 95 for the exercises; about two minutes to run on two CPU cores, on a Colab T4 about as long (an estimate, not measured).

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
import json

from matplotlib.figure import Figure
from torch import Tensor

import mrcnn_lite as m
from mrcnn_lite import average_precision as readable
from mrcnn_lite import widgets
from mrcnn_lite.coco_results import encode_mask, to_coco_results
from mrcnn_lite.data import locate
from mrcnn_lite.evaluation import evaluate_detections
from mrcnn_lite.exercises import ch09 as ex
from mrcnn_lite.exercises import quiz
from mrcnn_lite.visualize import draw, show

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#767676"  # told apart by colour-blind readers too

# %% [markdown]
# ## In use it is a cascade
#
# In training the box and the mask branch work side by side on the same RoIs. In use they work **one after the other** (section
# 3.1): the box branch sees the proposals, 300 of them with C4 and 1000 with FPN; NMS; and "the mask branch is then applied to the
# highest scoring 100 detection boxes". The package's walk says the same, line by line:

# %%
print(inspect.getsource(m.MaskRCNN.detect).split('"""')[2])

# %% [markdown]
# Two things to see. Masks are made for what is left, so they cost little. And the features for a mask are pooled **again, from
# the refined box**, not from the proposal: what the mask branch sees in use is better placed than what it was trained on.
#
# What would it cost to do it the other way round? The mask head of Figure 4, right, at the paper's sizes:

# %%
per_roi = {
    "four convolutions 3 × 3": 4 * (14 * 14) * 256 * 256 * 9,
    "deconvolution 2 × 2": (28 * 28) * 256 * 256,
    "convolution 1 × 1": (28 * 28) * 256 * 80,
}
each = sum(per_roi.values())
for name, count in per_roi.items():
    print(f"{name:25} {count / 1e6:6.1f} million multiplications")
print(
    f"one RoI {each / 1e9:.2f} billion; 100 detections {100 * each / 1e9:.0f}, 1000 proposals {1000 * each / 1e9:.0f} billion"
)
assert round(100 * each / 1e9) == 53 and round(1000 * each / 1e9) == 530

# %% [markdown]
# The paper calls the overhead of the mask branch "∼20% on typical models" (section 3.1), and the whole 195 ms a picture, and 15 ms more to
# resize the masks (section 4.4; ResNet-101-FPN on a Tesla M40, a card of 2015: "5 fps" is a property of that card).
#
# Now stage by stage, on a picture that the model has not seen:

# %% tags=["nbval-ignore-output"]
model = m.load(ASSETS / "shapes.safetensors")
names = model.class_names
shapes = m.open_dataset("shapes", split="val", length=100, progress=False)
image, target = shapes[max(range(len(shapes)), key=lambda i: len(shapes[i][1]["labels"]))]  # the fullest picture
with torch.no_grad():
    batch, _ = model.prepare([image])
    features = model.backbone(batch.images)
    output = model.rpn(features, batch.size)
    proposals = model.propose(output, batch, train=False)
    boxes_only = model.detect_boxes(features, proposals, batch)
    with_small_masks = model.detect_masks_and_keypoints(features, boxes_only)
    (detection,) = model.paste_masks(model.image_transform.undo(with_small_masks, batch), batch)
print(
    f"{output.logits.shape[1]} anchors -> {len(proposals.boxes[0])} proposals -> {len(boxes_only[0]['boxes'])} detections"
)
print("keys after the box branch: ", *boxes_only[0])
print("keys after the mask branch:", *with_small_masks[0], list(with_small_masks[0]["mask_probs"].shape))
print("keys at the end:           ", *detection, list(detection["masks"].shape))
print(f"objects in the picture: {len(target['labels'])}; scores: {[round(s, 2) for s in detection['scores'].tolist()]}")
assert "masks" not in boxes_only[0] and len(proposals.boxes[0]) > 3 * len(detection["boxes"]) > 0


# %% [markdown] exercise="predicted_masks"
# ### Exercise: `predicted_masks` (easy, 10 minutes)
#
# In use, "we only use the k-th mask, where k is the predicted class by the classification branch" (section 3.1).
# `logits [D, K, M, M]` of the detected boxes and their predicted `labels [D]` in **1..K** → the probability of each cell,
# `[D, M, M]`.


# %% exercise="predicted_masks"
def predicted_masks(logits: Tensor, labels: Tensor) -> Tensor:
    """logits [D, K, M, M], labels int64 [D] in 1..K -> probabilities [D, M, M]."""
    ...


ex.predicted_masks.check(predicted_masks)
# Stuck? ex.predicted_masks.hint(), and at the end ex.predicted_masks.solution()

# %% [markdown]
# Then the M × M probabilities are resized to the box and "binarized at a threshold of 0.5" (section 3.1): resize **first**
# (notebook 06). Masks stay small as long as they can:

# %%
count, height, width = 100, 3000, 4000
print(f"100 masks of a {width} x {height} photograph as float32: {count * height * width * 4 / 2**30:.1f} GiB")
print(f"the same as 28 x 28 probabilities:                 {count * 28 * 28 * 4 / 2**20:.1f} MiB")

# %% [markdown]
# Hence masks are bool here, pasted box by box, and an evaluation keeps run lengths only. (torchvision's are float32 in 0..1, of
# shape [N, 1, H, W], although a docstring of theirs says uint8; you threshold them.)
#
# **At most 100.** The cap comes from COCO's evaluation, which reads no more. If your pictures hold 300 cells, raise it, and the
# number of proposals with it.
#
# Now the whole validation set, 100 pictures:

# %% tags=["nbval-ignore-output"]
found, targets = [], [shapes[i][1] for i in range(len(shapes))]
for start in range(0, len(shapes), 10):
    found += model.detect([shapes[i][0] for i in range(start, start + 10)])
results = evaluate_detections(found, shapes)
print(results)
twice = sum(
    int(((readable.mask_iou(d["masks"], d["masks"]) > 0.5) & (d["labels"][:, None] != d["labels"])).triu(1).sum())
    for d in found
)
fullest = max(len(d["labels"]) for d in found)
print(f"\nmost detections in a picture: {fullest}, of 100 allowed")
print(f"pairs of detections on one object that differ in class: {twice}")
assert 0.6 < results.mask["AP"] < 0.8 and results.mask["APl"] is None and twice > 10 and fullest < 100


# %% [markdown]
# The rest of this notebook explains that table. The pairs: NMS works within a class (notebook 03), so one object may be reported as a
# *square* and, less surely, as a *triangle*. That is not a bug; whoever draws the result cuts at a score, of 0.5 say. The evaluation
# must **not** be cut, as you'll see.
#
# ## How good is a mask?
#
# By its intersection over union with the true one, the same measure as for boxes:
#
# $$\mathrm{IoU}(A, B) = \frac{|A \cap B|}{|A \cup B|}$$

# %% [markdown] exercise="mask_iou"
# ### Exercise: `mask_iou` (easy, 10 minutes)
#
# The **IoU of masks**, every detection with every object: `masks [N, H, W]` and `true_masks [G, H, W]` of 0 and 1 →
# `[N, G]`. Two empty masks give 0.


# %% exercise="mask_iou"
def mask_iou(masks: Tensor, true_masks: Tensor) -> Tensor:
    """masks [N, H, W], true_masks [G, H, W] of 0 and 1 -> IoU [N, G]."""
    ...


ex.mask_iou.check(mask_iou)
# Stuck? ex.mask_iou.hint(), and at the end ex.mask_iou.solution()

# %% [markdown]
# ### Box and mask are two measures
#
# Move every true mask to the right by 1, 2, 3 pixels. Its box moves along. Predict: which IoU falls faster, and for which shapes?

# %%
masks = torch.cat([t["masks"] for t in targets]).bool()
kinds = torch.cat([t["labels"] for t in targets])
corners = torch.cat([t["boxes"] for t in targets])
ious = {}
for shift in (1, 2, 3):
    moved = torch.zeros_like(masks)
    moved[:, :, shift:] = masks[:, :, :-shift]
    overlap = torch.cat([readable.mask_iou(a[None], b[None])[0] for a, b in zip(moved, masks)])
    by_box = readable.box_iou(corners + torch.tensor([shift, 0, shift, 0]), corners).diagonal()
    ious[shift] = by_box, overlap
    by_kind = {names[k]: f"{by_box[kinds == k].mean():.2f} {overlap[kinds == k].mean():.2f}" for k in (2, 1, 5, 6)}
    print(f"moved by {shift}, box IoU and mask IoU:", ", ".join(f"{name} {pair}" for name, pair in by_kind.items()))
assert all((overlap < by_box).float().mean() > 0.75 for by_box, overlap in ious.values())
figure = Figure(figsize=(4.6, 4.2))
axes = figure.add_subplot()
by_box, overlap = ious[2]
thin = (kinds == 5) | (kinds == 6)
for chosen, colour, marker, label in ((~thin, BLUE, "o", "solid shapes"), (thin, ORANGE, "^", "rings and crosses")):
    axes.plot(by_box[chosen], overlap[chosen], marker, color=colour, markersize=5, alpha=0.7, label=label)
axes.plot([0.2, 1], [0.2, 1], "--", color=GREY, linewidth=1)
axes.set(xlabel="box IoU", ylabel="mask IoU", title="moved by 2 pixels", xlim=(0.6, 1), ylim=(0.2, 1))
axes.legend(frameon=False, loc="upper left")
show(
    figure,
    "Mask IoU against box IoU of shapes that moved two pixels: most lie below the diagonal, rings and crosses far below",
)


# %% [markdown]
# A mask is the harder test, and harder for thin things: a ring has two borders to miss. In the paper's best single models box AP
# is 39.8 and mask AP 37.1 (Tables 3 and 1).
#
# ## Hit or miss
#
# Whether a detection is right is decided **within one picture and one class**, for one threshold: detections choose objects in
# the order of their scores, and each object is found once.

# %% [markdown] exercise="matching"
# ### Exercise: `matching` (medium, 15 minutes)
#
# **Is it a hit?** `iou [N, G]` of the detections of one class in one image, **best score first**, and a threshold → for
# each detection the number of the object that it finds, −1 for none, `[N]`. Each in turn takes, of the objects **that are
# left**, the one that it overlaps most, if their IoU **reaches** the threshold. An object is found once: who comes later
# is false, however well it fits.


# %% exercise="matching"
def matching(iou: Tensor, threshold: float) -> Tensor:
    """iou [N, G], detections best first -> the object that each finds, -1 for none: int64 [N]."""
    ...


ex.matching.check(matching)
# Stuck? ex.matching.hint(), and at the end ex.matching.solution()

# %% [markdown]
# ## Precision, recall, AP
#
# Now put the detections of a class from *all* pictures in one list, best score first. After n of them, h hits:
#
# $$\text{precision} = \frac{h}{n}, \qquad \text{recall} = \frac{h}{\text{objects}}, \qquad
# AP = \frac{1}{101} \sum_{r \in \{0, 0.01, \dots, 1\}} \max_{\text{recall} \ge r} \text{precision}$$
#
# Drag the detections, and both thresholds. What does the *score* line do to AP?

# %% tags=["nbval-ignore-output"]
widgets.show("precision_recall")


# %% [markdown]
# Nothing: AP is over all scores. (State *Sure and wrong* shows what does matter: the order.)

# %% [markdown] exercise="average_precision"
# ### Exercise: `average_precision` (hard, 20 minutes)
#
# **AP of one class at one threshold.** `right [N]` says of each detection, **best score first**, whether it is a hit;
# `count` is how many objects there are. After n detections, h of them hits: precision h / n, recall h / count. At each of
# the 101 recalls `0, 0.01, … 1` take the **best precision at that recall or a higher one**, 0 where no detection gets so
# far; AP is their mean.


# %% exercise="average_precision"
def average_precision(right: Tensor, count: int) -> float:
    """right bool [N], best detections first; count of objects, at least 1 -> AP in 0..1."""
    ...


ex.average_precision.check(average_precision)
# Stuck? ex.average_precision.hint(), and at the end ex.average_precision.solution()

# %% [markdown]
# One class of our model, at two thresholds. Orange: precision and recall after each detection; blue: what COCO reads, the best
# precision from here on.

# %% tags=["nbval-ignore-output"]
truth = shapes.coco_ground_truth()
entries = [entry for i, d in zip(truth["image_ids"], found) for entry in to_coco_results(d, i)]
groups = {task: readable.groups_of(truth, entries, task) for task in ("box", "mask")}
figure = Figure(figsize=(9, 3.4))
ring, aps = names.index("ring"), []
for n, threshold in enumerate((0.5, 0.75)):
    right, count = readable.class_hits(groups["mask"][ring], threshold)
    recall, precision = readable.curve(right, count)
    aps.append(readable.average_precision(right, count))
    axes = figure.add_subplot(1, 2, n + 1)
    best = precision.flip(0).cummax(0).values.flip(0)
    axes.step([0, *recall], [best[0], *best], where="pre", color=BLUE, linewidth=2, label="best from here on")
    axes.plot(recall, precision, ".-", color=ORANGE, linewidth=1, markersize=3, label="precision after each")
    axes.set(title=f"rings, mask IoU ≥ {threshold}: AP {aps[-1]:.3f}", xlabel="recall", xlim=(0, 1), ylim=(0, 1.03))
    axes.set_ylabel("precision" if n == 0 else "")
    axes.legend(frameon=False, loc="lower left")
    print(f"IoU {threshold}: {count} rings, {len(right)} detections, {int(right.sum())} hits, AP {aps[-1]:.3f}")
assert aps[0] > aps[1] > 0.1
show(
    figure,
    "Two precision-recall curves of rings, saw-toothed, under their falling envelopes; at an IoU of 0.75 it falls earlier",
)


# %% [markdown]
# ## AP, AP50, AP75
#
# COCO takes ten thresholds, `0.50, 0.55, … 0.95`, computes AP of each class at each, and takes the mean of all: that is **AP**, without a
# number. (It is *not* "AP above 0.5", and that 0.5 has nothing to do with two others: the mask's threshold, and the IoU from
# which a RoI is positive in training.)

# %% [markdown] exercise="loose_boxes"
# ### Exercise: `loose_boxes` (medium, 15 minutes)
#
# **AP50 high and AP75 low, on purpose.** Move each of the true `boxes [G, 4]` to the right until its IoU with where it
# was is exactly `iou` (between 0 and 1). A detector that answers so has, for `iou = 0.62`, an AP50 of 1 and an AP75 of 0.
# And what AP?


# %% exercise="loose_boxes"
def loose_boxes(boxes: Tensor, iou: float) -> Tensor:
    """boxes [G, 4] -> the same, moved to the right until their IoU with the old ones is `iou`."""
    ...


ex.loose_boxes.check(loose_boxes)
# Stuck? ex.loose_boxes.hint(), and at the end ex.loose_boxes.solution()

# %%
loose = [
    {"boxes": ex.loose_boxes.answer(t["boxes"], 0.62), "labels": t["labels"], "scores": torch.ones(len(t["labels"]))}
    for t in targets
]
loose_results = evaluate_detections(loose, shapes)
loose_groups = readable.groups_of(
    truth, [e for i, d in zip(truth["image_ids"], loose) for e in to_coco_results(d, i)], "box"
)
print({key: round(loose_results.box[key], 3) for key in ("AP", "AP50", "AP75")})
assert loose_results.box["AP50"] == 1 and loose_results.box["AP75"] == 0 and abs(loose_results.box["AP"] - 0.3) < 1e-9


# %% tags=["nbval-ignore-output"]
def ap_at(classes: dict, threshold: float) -> float:
    """The mean AP of the classes at one threshold."""
    return sum(readable.class_ap(group, threshold) for group in classes.values()) / len(classes)


lines = {"our boxes": (groups["box"], BLUE, "o-"), "our masks": (groups["mask"], ORANGE, "^-"),
         "true boxes, moved": (loose_groups, GREY, "s--")}  # fmt: skip
figure = Figure(figsize=(6, 3.3))
axes = figure.add_subplot()
for name, (classes, colour, style) in lines.items():
    values = [ap_at(classes, threshold) for threshold in readable.THRESHOLDS]
    axes.plot(readable.THRESHOLDS, values, style, color=colour, label=f"{name}: AP {sum(values) / 10:.3f}")
axes.set(xlabel="IoU threshold", ylabel="AP at it", ylim=(0, 1.03))
axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
show(
    figure,
    "AP against the IoU threshold: our boxes and masks fall slowly at first, steeply at the end; moved boxes drop from 1 to 0",
)


# %% [markdown]
# AP50 asks "found?", AP75 "found well?", AP all of it at once. A detector whose every box is off by a fifth of its width is perfect by
# AP50. It is no accident that RoIAlign shows in AP75 most: on a stride of 32 it brings +10.5 points of AP75, and +5.3 of AP50
# (Table 2d).
#
# ## Sizes, crowds, and what counts for nothing
#
# **APs, APm, APl**: objects under 32² pixels of *area*, up to 96², and over. Take small: an object that is not small is no miss, and
# a detection that finds one is no hit; both are **ignored**. A large detection that finds nothing is ignored too: it did not
# try to be small.
#
# **Crowds.** Where there are too many to outline one by one, COCO's annotators drew one region and marked it `iscrowd` = 1. It says
# "somewhere here are many". What lies inside is neither hit nor false alarm, and not to be found is no miss. For a crowd IoU is
# the share *of the detection* that lies inside: one apple of a heap can't fill the heap. (The mark does not mean "is
# stored as run lengths", although crowds are.)

# %% [markdown] exercise="crowd_and_ignore"
# ### Exercise: `crowd_and_ignore` (hard, 25 minutes)
#
# **Neither hit nor miss.** Now some objects are `ignored` (bool `[G]`): of another size than is asked for, or a crowd.
# A detection looks among the others first, and takes an ignored one only if it **reaches no other**. An ignored object is
# taken once as well, but a `crowd` (bool `[G]`, ignored too) by **any number** of detections. `iou [N, G]`, best score
# first → the object of each, −1 for none, `[N]`.


# %% exercise="crowd_and_ignore"
def crowd_and_ignore(iou: Tensor, threshold: float, ignored: Tensor, crowd: Tensor) -> Tensor:
    """iou [N, G], a threshold, bool [G], bool [G] -> the object that each detection finds, -1 for none: [N]."""
    ...


ex.crowd_and_ignore.check(crowd_and_ignore)
# Stuck? ex.crowd_and_ignore.hint(), and at the end ex.crowd_and_ignore.solution()


# %%
def rectangle(x: int, y: int, w: int, h: int, **more) -> dict:
    """An entry of COCO whose mask is a rectangle, in a picture of 100 x 200."""
    mask = torch.zeros(100, 200)
    mask[y : y + h, x : x + w] = 1
    return {"image_id": 1, "category_id": 1, "bbox": [x, y, w, h], "segmentation": encode_mask(mask), **more}


people = [rectangle(10, 20, 20, 50), rectangle(50, 20, 20, 50)]
queue = rectangle(90, 15, 100, 60)  # too many to outline
seen = [dict(person, score=0.5) for person in people]
seen += [rectangle(x, 20, 20, 50, score=0.9) for x in (95, 120, 145)]  # three people of the queue
aps = {}
for crowd in (1, 0):
    objects = [dict(p, id=n + 1, area=1000, iscrowd=0) for n, p in enumerate(people)]
    objects.append(dict(queue, id=3, area=6000, iscrowd=crowd))
    scene = {"images": [{"id": 1, "height": 100, "width": 200}], "categories": [{"id": 1, "name": "person"}]}
    aps[crowd] = evaluate_detections(seen, scene | {"annotations": objects}).mask["AP"]
    print(f"iscrowd = {crowd}: AP {aps[crowd]:.3f}")
assert aps[1] == 1 and aps[0] < 0.5

# %% [markdown]
# Both people found, and three more who really stand there: perfect, as long as the evaluation knows about the crowd.
#
# ## All of it, held against pycocotools
#
# What you have written is `mrcnn_lite/average_precision.py`, put together. It has to give pycocotools' figures, sizes
# and crowds included:

# %% tags=["nbval-ignore-output"]
worst = 0.0
for task in ("box", "mask"):
    mine, theirs = readable.figures(groups[task]), getattr(results, task)
    print(f"shapes, {task:4}:", "  ".join(f"{key} {'-' if v is None else format(v, '.4f')}" for key, v in mine.items()))
    worst = max(worst, *(abs(v - theirs[key]) for key, v in mine.items() if v is not None))
    assert [key for key, v in mine.items() if v is None] == [key for key in mine if theirs[key] is None] == ["APl"]
print(f"largest difference from pycocotools: {worst:.1e}")
assert worst < 1e-6

# %% [markdown]
# And on COCO itself, where that is on this machine: 100 pictures, 839 objects, 9 crowds, with the figures that COCO's authors published
# for a set of made-up detections.

# %% tags=["nbval-ignore-output"]
folder = locate("coco_eval_oracle")
if folder is None:
    print("not on this machine: the shapes above have to do")
else:
    coco = json.loads((folder / "instances_val2014_100.json").read_text())
    for task, name in (("box", "bbox"), ("mask", "segm")):
        fake = json.loads((folder / f"instances_val2014_fake{name}100_results.json").read_text())
        mine = readable.figures(readable.groups_of(coco, fake, task))
        theirs = getattr(evaluate_detections(fake, coco, tasks=[task]), task)
        published = json.loads((folder / "expected.json").read_text())[name]["stats"][:6]
        print(f"COCO, {task:4}:", "  ".join(f"{key} {value:.4f}" for key, value in mine.items()))
        assert all(abs(mine[key] - theirs[key]) < 1e-6 for key in mine)
        assert all(abs(a - b) < 1e-6 for a, b in zip(mine.values(), published))
    print("equal to pycocotools, and to the published figures, to 1e-6")

# %% [markdown]
# ## When the figure is odd
#
# **First test of any evaluation: feed it the truth.** It must say 1. Then break it on purpose, and remember what each fault looks like:


# %%
def as_found(**change) -> list[dict[str, Tensor]]:
    """The truth as detections, with one thing changed."""
    return [
        {"scores": torch.ones(len(t["labels"]))}
        | {key: change.get(key, lambda v: v)(t[key]) for key in ("boxes", "labels", "masks")}
        for t in targets
    ]


turned = [dict(d, masks=d["masks"].flip(0)) for d in as_found()]
cases = {
    "the truth itself": as_found(),
    "class numbers off by one": as_found(labels=lambda labels: labels % 6 + 1),
    "boxes of a picture twice as large": as_found(boxes=lambda boxes: boxes * 2, masks=lambda masks: masks),
    "masks in another order than boxes": turned,
    "every second picture forgotten": [
        d if i % 2 else {k: v[:0] for k, v in d.items()} for i, d in enumerate(as_found())
    ],
}
odd = {}
for name, detections in cases.items():
    try:
        odd[name] = evaluate_detections(detections, shapes)
        print(f"{name:34} box AP {odd[name].box['AP']:.3f}  mask AP {odd[name].mask['AP']:.3f}")
    except ValueError as error:
        print(f"{name:34} refused: {str(error)[:75]}…")
perfect = odd["the truth itself"]
print(f"and large objects, of which there are none: {perfect.mask['APl']}")
assert perfect.box["AP"] == perfect.mask["AP"] == 1 and odd["class numbers off by one"].mask["AP"] == 0

# %% [markdown]
# (pycocotools prints −1 where there is nothing to find; the package says None, since a −1 has been averaged by mistake before.) COCO's
# category ids have gaps, 80 ids in 1..90, which is how most people get their classes off by some; `open_dataset` keeps the map both ways.
#
# Three bugs that do not show as 0, in evaluations written by hand, and the habit of cutting scores first:


# %% tags=["nbval-ignore-output"]
def mean(values: list) -> float:
    defined = [v for v in values if v is not None]
    return sum(defined) / len(defined)


def without_envelope(right: Tensor, count: int) -> float:
    recall, precision = readable.curve(right, count)
    first = torch.searchsorted(recall, readable.RECALLS)
    return precision[first[first < len(recall)]].sum().item() / 101


def hit_again(group: readable.Group) -> Tensor:
    """Whoever overlaps an object enough is right, also the second and the third."""
    return group.iou.max(1).values >= 0.75 if group.iou.shape[1] else torch.zeros(len(group.iou), dtype=torch.bool)


def with_doubles(classes: list[readable.Group]) -> float:
    order = torch.cat([g.scores for g in classes]).argsort(descending=True, stable=True)
    right = torch.cat([hit_again(g) for g in classes])[order]
    return readable.average_precision(right, sum(g.iou.shape[1] for g in classes))


def cut(group: readable.Group) -> readable.Group:
    sure = group.scores > 0.5
    return group._replace(scores=group.scores[sure], areas=group.areas[sure], iou=group.iou[sure])


by_class = list(groups["mask"].values())
versions = {
    "right": mean([readable.class_ap(g, 0.75) for g in by_class]),
    "without the envelope": mean([without_envelope(*readable.class_hits(g, 0.75)) for g in by_class]),
    "picture by picture, then the mean": mean([readable.class_ap([one], 0.75) for g in by_class for one in g]),
    "an object may be found twice": mean([with_doubles(g) for g in by_class]),
    "scores under 0.5 cut off first": mean([readable.class_ap([cut(one) for one in g], 0.75) for g in by_class]),
}
doubles = sum(int(hit_again(one).sum()) for g in by_class for one in g)
doubles -= sum(int(readable.class_hits(g, 0.75)[0].sum()) for g in by_class)
for name, value in versions.items():
    print(f"{name:34} AP75 {value:.3f}  ({value - versions['right']:+.3f})")
print(f"objects found twice or more: {doubles}")
assert (
    versions["without the envelope"] < versions["right"]
    and versions["scores under 0.5 cut off first"] < versions["right"]
)

# %% [markdown]
# None moves the figure by more than two points, up or down: nothing that one would notice, and enough to make a comparison
# worthless. To count an object twice is harmless here, by luck: NMS has left no two detections of a class on one object. The cut
# costs all hits that would have come after it; the last detections of a list cost nothing, since precision is read before them.
#
# ## Experiment: which errors cost most?
#
# One number hides several kinds of error. An *oracle* separates them: take a model's detections, **replace one thing by the
# truth**, and see how much AP comes back (the idea of TIDE: Bolya et al. 2020,
# [arXiv 2008.08115](https://arxiv.org/abs/2008.08115)). Each detection is *about* the object whose box it overlaps most, whatever
# the class, from an IoU of 0.1 on.
#
# Predict the order: true **classes**, true **boxes** (and the masks that the model predicts in them), true **masks**, true **scores** (each
# detection's score is its mask's IoU with the object, 0 if the class is wrong), **no detection of nothing**, **no object missed**.


# %%
def about_what(d: dict, t: dict) -> Tensor:
    """The object that each detection is about, -1 for none: [N]."""
    best = readable.box_iou(d["boxes"], t["boxes"]).max(1)
    return torch.where(best.values >= 0.1, best.indices, -1)


@torch.no_grad()
def in_true_boxes(network: m.MaskRCNN, images: list[Tensor], truths: list[dict], about: list[Tensor]) -> list[dict]:
    """The detections, their boxes replaced by the true ones before the mask branch sees them."""
    batch, objects = network.prepare(images, truths)
    features = network.backbone(batch.images)
    proposals = network.propose(network.rpn(features, batch.size), batch, train=False)
    detections = network.detect_boxes(features, proposals, batch)
    for d, truth_i, a in zip(detections, objects, about):
        d["boxes"] = torch.where((a >= 0)[:, None], truth_i["boxes"][a], d["boxes"])
    detections = network.detect_masks_and_keypoints(features, detections)
    return network.paste_masks(network.image_transform.undo(detections, batch), batch)


def with_one_thing_true(d: dict, t: dict, a: Tensor) -> dict[str, dict]:
    """Fix -> the detections of a picture with that one thing replaced by the truth; all fixes but the boxes'."""
    known, object_ = a >= 0, a.clamp(min=0)
    true_labels, true_masks = t["labels"][object_], t["masks"][object_].bool()
    iou = readable.mask_iou(d["masks"], t["masks"])
    reached = ((iou >= 0.5) & (d["labels"][:, None] == t["labels"])).any(0)
    missed = {"boxes": t["boxes"][~reached], "labels": t["labels"][~reached], "masks": t["masks"][~reached].bool()}
    missed["scores"] = torch.ones(len(missed["labels"]))
    return {
        "classes": d | {"labels": torch.where(known, true_labels, d["labels"])},
        "masks": d | {"masks": torch.where(known[:, None, None], true_masks, d["masks"])},
        "scores": d | {"scores": iou[torch.arange(len(a)), object_] * (known & (d["labels"] == true_labels))},
        "no detection of nothing": {key: value[known] for key, value in d.items()},
        "no object missed": {key: torch.cat([d[key], missed[key]]) for key in missed},
    }


def oracles(network: m.MaskRCNN, dataset) -> dict[str, float]:
    """The mask AP "as it is", and what each fix adds to it."""
    found: dict[str, list] = {}
    for start in range(0, len(dataset), 10):
        images, truths = zip(*[dataset[i] for i in range(start, min(start + 10, len(dataset)))])
        detections = network.detect(images)
        about = [about_what(d, t) for d, t in zip(detections, truths)]
        found.setdefault("as it is", []).extend(detections)
        found.setdefault("boxes", []).extend(in_true_boxes(network, images, truths, about))
        for d, t, a in zip(detections, truths, about):
            for fix, changed in with_one_thing_true(d, t, a).items():
                found.setdefault(fix, []).append(changed)
    aps = {fix: evaluate_detections(some, dataset, tasks=["mask"]).mask["AP"] for fix, some in found.items()}
    base = aps.pop("as it is")
    return {"as it is": base} | {fix: ap - base for fix, ap in aps.items()}


# %% [markdown]
# Once for the shapes; once for the same model on heaps of shapes that cover each other, which it was not trained on; and, where the
# nuclei of notebook 00 are on this machine, for the model and the pictures of those.

# %% tags=["nbval-ignore-output"]
tables = {"shapes": oracles(model, shapes)}
tables["heaps"] = oracles(model, m.open_dataset("shapes-overlap", split="val", length=60, progress=False))
if locate("nuclei"):
    nuclei = m.open_dataset("nuclei", split="val", limit=20)
    tables["nuclei"] = oracles(m.load(ASSETS / "nuclei.safetensors"), nuclei)
fixes = sorted(tables["shapes"].keys() - {"as it is"}, key=tables["shapes"].get, reverse=True)
print(f"{'mask AP':24}" + "".join(f"{name:>9}" for name in tables))
print(f"{'as it is':24}" + "".join(f"{table['as it is']:9.3f}" for table in tables.values()))
for fix in fixes:
    print(f"{fix:24}" + "".join(f"{table[fix]:+9.3f}" for table in tables.values()))
assert abs(tables["shapes"]["as it is"] - results.mask["AP"]) < 1e-9 and results.mask["AP50"] > 0.9
gains = tables["shapes"]  # what the text below says
assert fixes[0] == "masks" and gains["masks"] > 2 * gains[fixes[1]] and gains["boxes"] < 0.06
assert tables["heaps"]["no object missed"] == max(tables["heaps"].values())
assert all(table["no detection of nothing"] < 0.01 for table in tables.values())
if "nuclei" in tables:
    assert tables["nuclei"]["masks"] == max(tables["nuclei"].values())
    assert tables["nuclei"]["boxes"] > gains["boxes"] and tables["nuclei"]["classes"] == 0

# %% tags=["nbval-ignore-output"]
figure = Figure(figsize=(9, 2.6))
widest = max(table[fix] for table in tables.values() for fix in fixes)
for n, (name, table) in enumerate(tables.items()):
    axes = figure.add_subplot(1, len(tables), n + 1)
    bars = axes.barh(fixes[::-1], [table[fix] for fix in fixes[::-1]], color=BLUE)
    axes.bar_label(bars, fmt="%+.3f", padding=3, fontsize=9)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set(xlim=(-0.02, widest * 1.35), title=f"{name}: AP {table['as it is']:.3f}", xlabel="mask AP gained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", labelleft=n == 0)
figure.subplots_adjust(wspace=0.08)
show(
    figure,
    "Bars of the mask AP that comes back when one thing is replaced by the truth, a panel for each set of pictures",
)

# %% [markdown]
# On its own shapes the **masks** cost this model most by far: with true outlines on the very same detections nearly all would be
# well. It finds and names these objects (AP50 is above 0.9); what it loses, it loses at the strict thresholds, where a pixel counts
# on a shape of 20. That is the drop of the curve above. On the heaps the same model has **another order**: objects that are *missed*
# cost most. Were they never proposed, or suppressed as copies of the shape that covers them (notebook 03)? This table does not
# say. On the nuclei, with another model, the masks come first again, and true boxes bring more than on the shapes; classes bring
# nothing, since there is only one.
#
# **No detection of nothing** brings next to nothing anywhere: there are some, but their scores are low, and what comes after the
# hits does no harm. (A *sure* false alarm would: state *Sure and wrong* of the widget.)
#
# Read such a table with care: the gains do not add up, for one fix may be worthless without another; and each column is one
# checkpoint on 20 to 100 pictures. What holds for all three columns is worth remembering, what holds for one is about that one.
#
# ## What the paper reports and what we measured
#
# | | the paper | here |
# | --- | --- | --- |
# | proposals in use | 300 (C4), 1000 (FPN), section 3.1 | the tiny preset's, printed above |
# | detections that get a mask | 100, section 3.1 | 100 |
# | NMS of detections | 0.3, later 0.5 (appendix B) | 0.5 |
# | multiplications of the mask head | not given; follow from Figure 4 | 0.53 billion a RoI, 53 billion for 100 |
# | overhead of the mask branch | about 20 % (section 3.1) | not measured |
# | box AP, mask AP | 39.8, 37.1 (Tables 3 and 1: ResNeXt-101-FPN, COCO test-dev) | shapes: the table above |
# | AP from scratch | | equal to pycocotools to 1e-6, on shapes and on COCO |

# %% [markdown]
# ## Five questions
#
# Nobody sees your answers; each is explained.

# %%
quiz("09")

# %% [markdown]
# ## Recap
#
# - Boxes first, masks on the best 100 refined boxes: the plane of the *predicted* class, resized, then thresholded at 0.5.
# - A hit is an object found first, in its class, with enough IoU. Only the order of the scores counts, never their size.
# - AP at a threshold: the mean of the best precision at 101 recalls. AP: the mean of that over ten thresholds and all classes.
# - Crowds and other sizes are ignored: neither hit nor miss. None, COCO's −1, means "nothing to find".
# - First test of an evaluator: the truth as detections gives 1.
#
# **Glossary:** inference 추론 · precision 정밀도 · recall 재현율 · average precision 평균 정밀도 · threshold 임계값 · ground truth 정답 ·
# crowd region 군집 영역 · oracle 오라클(정답 대입 실험)
