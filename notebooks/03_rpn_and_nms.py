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
# # 03 · RPN and NMS
#
# [![Open this chapter in Google Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mrcnn-lite/mrcnn_lite/blob/main/notebooks/03_rpn_and_nms.ipynb)
#
# **After this notebook you can** compute both losses of the region proposal network · say why 256 anchors are sampled, and how ·
# go from deltas to proposals: top-k, decode, clip, suppress · write non-maximum suppression and say when it must not compare two
# boxes · show two true objects of which it loses one · choose its threshold by a measurement.
#
# **You need** notebook 02. **Papers:** Ren et al., *Faster R-CNN*, NIPS 2015
# ([arXiv 1506.01497](https://arxiv.org/abs/1506.01497)), section 3.1; *Mask R-CNN*
# ([arXiv 1703.06870](https://arxiv.org/abs/1703.06870)), section 3.1 and appendix B.
#
# **Time:** 25 minutes to read, 45 for the exercises; under a minute to run on two CPU cores, on a Colab T4 about as long (an estimate, not measured).

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
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

import mrcnn_lite as m
from mrcnn_lite import boxes, matching, widgets
from mrcnn_lite.exercises import ch03 as ex
from mrcnn_lite.exercises import quiz
from mrcnn_lite.visualize import show

# Told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#767676"

# %% [markdown]
# ## What the RPN says
#
# A small network slides over every feature map. At each cell it gives each anchor two things: a number for "is there an object,
# of whatever class?" and four deltas for "where exactly?". Nothing is chosen yet.

# %%
model = m.load(ASSETS / "shapes.safetensors")
shapes = m.open_dataset("shapes-overlap", split="val", length=200, progress=False)
image, target = shapes[8]
with torch.no_grad():
    batch, (objects,) = model.prepare([image], [target])
    features = model.backbone(batch.images)
    output = model.rpn(features, batch.size)
for feature, count in zip(features, output.level_sizes):
    print(f"map {list(feature.shape[2:])!s:9} -> {count:5} anchors")
for name in ("logits", "deltas", "anchors"):
    print(f"{name:7} {list(getattr(output, name).shape)}")

# %% [markdown]
# ## Which anchors learn
#
# Matching (notebook 02) calls an anchor positive at an IoU of 0.7 or more with an object, or where it is the object's best;
# negative below 0.3 with all; ignored between. On this picture:

# %%
matched = matching.match(objects["boxes"], output.anchors, 0.7, 0.3, best_anchor_rule=True)
positives, negatives, ignored = (int(x.sum()) for x in (matched >= 0, matched == -1, matched == -2))
print(f"{positives} positive, {negatives} negative, {ignored} ignored:", end=" ")
print(f"{negatives / positives:.0f} negatives for each positive")

# %% [markdown]
# Were all of them to learn, the answer "no object" would be nearly always right and nearly all of the gradient. So **256 anchors
# of each image are sampled, up to half of them positive** (Faster R-CNN, section 3.1.3). Where there are fewer positives, as
# here, negatives fill the rest.

# %%
index, keep = matching.sample(matched, 256, 0.5, torch.Generator().manual_seed(0))
drawn = index[keep]
right, useless = int((matched[drawn] >= 0).sum()), int((matched[drawn] == -2).sum())
print(f"{len(drawn)} sampled, {right} of them positive; ignored ones: {useless}")
assert len(drawn) == 256 and right == min(positives, 128) and useless == 0


# %% [markdown]
# ## The first loss: object or not

# %% [markdown] exercise="objectness_loss"
# ### Exercise: `objectness_loss` (medium, 10 minutes)
#
# The first RPN loss: `logits [P]` of all anchors, `matched [P]` as in chapter 02 (an object's number, −1 negative, −2
# ignored), and `sampled [R]`, the indices of the anchors drawn → the mean binary cross-entropy of the **sampled**
# anchors, 1 for positive and 0 for negative.


# %% exercise="objectness_loss"
def objectness_loss(logits: Tensor, matched: Tensor, sampled: Tensor) -> Tensor:
    """logits [P], matched int64 [P] (object, -1, -2), sampled int64 [R] -> the loss, a number."""
    ...


ex.objectness_loss.check(objectness_loss)
# Stuck? ex.objectness_loss.hint(), and at the end ex.objectness_loss.solution()

# %% [markdown]
# ### Sigmoid or softmax?
#
# Faster R-CNN has *two* outputs for each anchor and a softmax over them; this package, as most code since, has one and a sigmoid.
# They are the same model, since only the difference of two logits matters:
#
# $$\frac{e^{a}}{e^{a} + e^{b}} = \frac{1}{1 + e^{-(a - b)}} = \sigma(a - b)$$
#
# Two outputs have one parameter too many; nothing is lost by one. (For three classes and more this is not so: that is
# notebook 06's experiment.)

# %%
torch.manual_seed(0)
pair = torch.randn(1000, 2, dtype=torch.float64) * 3  # no object, object
answer = torch.randint(0, 2, (1000,))
two = F.cross_entropy(pair, answer)
one = F.binary_cross_entropy_with_logits(pair[:, 1] - pair[:, 0], answer.double())
print(f"softmax of two {two:.6f}, sigmoid of their difference {one:.6f}")
assert (two - one).abs() < 1e-12


# %% [markdown]
# ## The second loss: where
#
# Only positive anchors have a box to aim at. Smooth L1 is quadratic below β and linear above; with β = 1/9, as Detectron and
# torchvision have it in the RPN, it is linear nearly everywhere.

# %% [markdown] exercise="rpn_box_loss"
# ### Exercise: `rpn_box_loss` (medium, 10 minutes)
#
# The second: `deltas [R, 4]` predicted for the sampled anchors, `gt_deltas [R, 4]`, `positive [R]` (bool) → smooth L1
# with β = 1/9, **summed over the positives and divided by ALL sampled anchors** (so that one number weighs both
# losses). A picture without positives gives 0, not NaN.


# %% exercise="rpn_box_loss"
def rpn_box_loss(deltas: Tensor, gt_deltas: Tensor, positive: Tensor) -> Tensor:
    """deltas, gt_deltas [R, 4], positive bool [R] -> the loss, a number."""
    ...


ex.rpn_box_loss.check(rpn_box_loss)
# Stuck? ex.rpn_box_loss.hint(), and at the end ex.rpn_box_loss.solution()

# %% [markdown]
# Faster R-CNN's equation 1 has a weight λ = 10 for the box loss, and divides it by the number of *places*, about 2,400; the first
# loss is divided by 256. As 10 / 2,400 is about 1 / 256, both losses weigh about the same: one may as well divide both by the
# number of sampled anchors and leave λ out.
#
# ## From deltas to proposals
#
# 1. **Top-k**: the best anchors by score, so many on each level (the paper's released code: 2,000 a level in training and 1,000
#    in use, with FPN).
# 2. **Decode**: anchor and deltas make a box (notebook 02).
# 3. **Clip** at the border of the image.
# 4. **Suppress** what overlaps a better one, IoU above 0.7; keep the best 1,000 (FPN) or 300 (C4; section 3.1).

# %% tags=["nbval-ignore-output"]
scores = output.logits[0].sigmoid()
best = scores.topk(40).indices
decoded = boxes.decode(output.anchors[best], output.deltas[0, best])
inside = boxes.clip(decoded, batch.size)
stay = boxes.nms_reference(inside, scores[best], 0.7)
crossing = int((decoded != inside).any(1).sum())
print(f"40 best anchors; {crossing} boxes cross the border; {len(stay)} stay after NMS at 0.7")


def mean_best_iou(candidates: Tensor) -> float:
    """How well the best of the candidates [P, 4] fits an object, on average over the objects."""
    return boxes.iou(objects["boxes"], candidates).amax(1).mean().item()


stages = {
    "40 best anchors": output.anchors[best],
    "decoded and clipped": inside,
    "after NMS": inside[stay],
}
for name, candidates in stages.items():
    fit = mean_best_iou(candidates)
    print(f"{name:20} {len(candidates):2} boxes; best IoU of each object, on average {fit:.2f}")
assert mean_best_iou(inside) > mean_best_iou(output.anchors[best])

# %%
figure = Figure(figsize=(9, 3.3))
for n, (name, candidates) in enumerate(stages.items()):
    axes = figure.add_subplot(1, 3, n + 1)
    axes.imshow(image.permute(1, 2, 0) * 0.5 + 0.5, extent=(0, 128, 128, 0))  # paler: to see lines
    for colour, width, many in ((ORANGE, 0.9, candidates), ("black", 1.8, objects["boxes"])):
        for x1, y1, x2, y2 in many.tolist():
            sides = (x1, y1), x2 - x1, y2 - y1
            axes.add_patch(Rectangle(*sides, fill=False, edgecolor=colour, linewidth=width))
    axes.set(title=name, xlim=(-12, 140), ylim=(140, -12), xticks=[], yticks=[])
show(
    figure,
    "True boxes in black and in thin orange the forty best anchors, the same decoded and clipped, "
    "and those that stay after NMS",
)


# %% [markdown]
# ## Non-maximum suppression

# %% [markdown] exercise="nms"
# ### Exercise: `nms` (medium, 15 minutes)
#
# Write greedy **non-maximum suppression**: `boxes [P, 4]`, `scores [P]`, a threshold → the indices of the boxes that
# stay, best first. The best box stays; every other whose IoU with it is **above** the threshold goes; the best of the
# rest stays …


# %% exercise="nms"
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """boxes [P, 4], scores [P] -> indices of the boxes that stay, by falling score."""
    ...


ex.nms.check(nms)
# Stuck? ex.nms.hint(), and at the end ex.nms.solution()

# %% [markdown]
# It is greedy: a box that is gone suppresses nobody. In a row of three, where each overlaps only its neighbour, it matters who is
# best:

# %%
row = torch.tensor([[0.0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]])
print(
    "IoU of neighbours",
    round(boxes.iou(row[:1], row[1:2]).item(), 2),
    "and of the outer two",
    round(boxes.iou(row[:1], row[2:]).item(), 2),
)
for best_one, scores in (("middle", [0.8, 0.9, 0.7]), ("left", [0.9, 0.8, 0.7])):
    stays = boxes.nms_reference(row, torch.tensor(scores), 0.5)
    print(f"the {best_one} one is best: {stays.tolist()} stay")


# %% [markdown]
# ## Groups that do not compare
#
# A rider and a horse have much the same box. Both are right, so NMS of *detections* runs **within a class**. In a batch it runs
# within an image. And NMS of *proposals* runs **within a level**: each level's anchors stand for a size, and what a coarse level
# says should not silence a fine one.

# %% [markdown] exercise="nms_by_class"
# ### Exercise: `nms_by_class` (medium, 10 minutes)
#
# NMS must not let a person suppress the horse under them. `boxes [P, 4]`, `scores [P]`, `groups [P]` (classes, or
# levels of the pyramid, or images), a threshold → the kept indices, best first, where boxes of **different groups never
# suppress each other**.


# %% exercise="nms_by_class"
def nms_by_class(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """boxes [P, 4], scores [P], groups int64 [P] -> indices of what stays, by falling score."""
    ...


ex.nms_by_class.check(nms_by_class)
# Stuck? ex.nms_by_class.hint(), and at the end ex.nms_by_class.solution()

# %%
rider_and_horse = torch.tensor([[20.0, 10, 90, 100], [15, 25, 95, 105]])
sure, classes = torch.tensor([0.9, 0.8]), torch.tensor([1, 2])
print("IoU", round(boxes.iou(rider_and_horse[:1], rider_and_horse[1:]).item(), 2))
print("all together:  ", boxes.nms_reference(rider_and_horse, sure, 0.5).tolist())
print("within classes:", boxes.batched_nms(rider_and_horse, sure, classes, 0.5).tolist())

# %% [markdown]
# The price: one object that is found as two classes stays twice. That is a choice, and some detectors choose otherwise.
#
# ## Two people hugging
#
# Groups do not help where both objects are of **one** class. Two true boxes, IoU above the threshold: one of them goes, and no
# score, however high, can save it.

# %%
hug = torch.tensor([[20.0, 10, 70, 110], [35, 12, 85, 112]])
agreement = boxes.iou(hug[:1], hug[1:]).item()
for threshold in (0.3, 0.5, 0.7):
    stays = boxes.nms_reference(hug, torch.tensor([0.99, 0.98]), threshold)
    print(f"threshold {threshold}: {len(stays)} of two people with IoU {agreement:.2f} stay")
assert len(boxes.nms_reference(hug, torch.tensor([0.99, 0.98]), 0.5)) == 1

# %% [markdown]
# Step back to the beginning and through it again; then raise the threshold until both people stay, and look what else stays.

# %%
widgets.show("nms", state="hug")

# %% [markdown]
# How often does that happen? Take a **perfect detector**, whose boxes are the true ones, and let NMS have its way. Whatever is
# lost here no training can bring back:

# %%
lost = {}
for threshold in (0.3, 0.5, 0.7):
    lost[threshold] = {"within classes": 0, "all together": 0}
    count = 0
    for i in range(len(shapes)):
        truth = shapes[i][1]
        count += len(truth["boxes"])
        visible = truth["area"]  # the more is seen of it, the surer the detector
        labels = truth["labels"]
        for name, groups in (("within classes", labels), ("all together", torch.zeros_like(labels))):
            stays = boxes.batched_nms(truth["boxes"], visible, groups, threshold)
            lost[threshold][name] += len(groups) - len(stays)
    print(
        f"threshold {threshold}: of {count} objects lost "
        + ", ".join(f"{n} {name}" for name, n in lost[threshold].items())
    )
assert all(row["within classes"] < row["all together"] for row in lost.values())
assert lost[0.3]["within classes"] > lost[0.5]["within classes"] > lost[0.7]["within classes"]

# %% [markdown]
# So a *high* threshold loses fewer true objects, and lets more duplicates through: each a false positive. **Soft-NMS** (Bodla et
# al., 2017, [arXiv 1704.04503](https://arxiv.org/abs/1704.04503)) takes nobody out of the race: it lowers the score of a box the
# more, the more it overlaps a better one, and lets the score threshold at the end decide. Mask R-CNN has plain NMS: at 0.3 for
# detections, later 0.5 (appendix B).
#
# ## Experiment: recall against the threshold and the number kept
#
# What is the RPN good for? For **recall**: the share of the objects that some proposal reaches, since the head can refine and
# refuse a proposal, but not invent one. Two dials decide it: the NMS threshold, and how many proposals are kept.
#
# Predict first: few proposals, low or high threshold? Many proposals?

# %% tags=["nbval-ignore-output"]
thresholds, numbers = (0.3, 0.5, 0.7, 0.9), (3, 5, 10, 20, 50, 100)
hits = torch.zeros(2, len(thresholds), len(numbers))  # for IoU >= 0.5, for IoU >= 0.75
usual, count = model.rpn.nms_iou, 0
for start in range(0, 100, 10):
    images, truths = zip(*[shapes[i] for i in range(start, start + 10)])
    with torch.no_grad():
        batch, truths = model.prepare(images, truths)
        output = model.rpn(model.backbone(batch.images), batch.size)
    count += sum(len(truth["boxes"]) for truth in truths)
    for t, threshold in enumerate(thresholds):
        model.rpn.nms_iou = threshold
        proposals = model.rpn.proposals(output, batch.sizes, 200, 100).boxes
        for candidates, truth in zip(proposals, truths):
            overlap = boxes.iou(truth["boxes"], candidates)
            for n, number in enumerate(numbers):
                reach = overlap[:, :number].amax(1)
                hits[:, t, n] += torch.stack([(reach >= 0.5).sum(), (reach >= 0.75).sum()])
model.rpn.nms_iou = usual
recall = hits / count
for half, least in enumerate((0.5, 0.75)):
    print(f"share of {count} objects reached with IoU >= {least}, by the number of proposals kept:")
    print("NMS at " + "".join(f"{number:7}" for number in numbers))
    for threshold, shares in zip(thresholds, recall[half].tolist()):
        print(f"{threshold:6} " + "".join(f"{share:7.2f}" for share in shares))
assert recall[0, 2, -1] > 0.9 and recall[0, 0, -1] < recall[0, 1:, -1].min()  # 0.3 stops early
assert recall[0, 3, 2] < recall[0, :3, 2].min() and recall[1, 2, -1] > recall[1, 1, -1]


# %% tags=["nbval-ignore-output"]
figure = Figure(figsize=(9, 3.2))
for half, least in enumerate((0.5, 0.75)):
    axes = figure.add_subplot(1, 2, half + 1)
    for threshold, shares, colour, style in zip(
        thresholds, recall[half], (GREY, GREEN, BLUE, ORANGE), (":", "-.", "-", "--")
    ):
        (line,) = axes.plot(numbers, shares, f"o{style}", color=colour, markersize=4, linewidth=2)
        line.set_label(f"NMS at {threshold}")
    axes.set(xscale="log", xlabel="proposals kept", ylabel="share of the objects", ylim=(0, 1))
    axes.set_title(f"objects reached with IoU ≥ {least}")
    axes.set_xticks(numbers, [str(number) for number in numbers])
    axes.minorticks_off()
axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
show(
    figure,
    "Recall against the number of proposals for four thresholds: at IoU 0.5 a low one stops early "
    "and 0.9 starts late; at 0.75 high ones win",
)

# %% [markdown]
# Read it in both directions:
#
# - **A low threshold saturates.** At 0.3 more proposals soon bring nothing: the neighbours of an object are gone together with
#   its duplicates, and so is every second, better-fitting box of the same object.
# - **A high threshold wastes places.** At 0.9 the first ten proposals are near copies of one another, and fewer objects are
#   reached.
# - **It depends on how many are kept.** 0.7, the released code's choice, loses next to nothing with many proposals, and is ahead
#   of 0.5 where a close fit is asked for.
#
# With 1,000 proposals (FPN) of a whole photograph there is room for duplicates; a head that scores them, and a second NMS behind
# it, deal with those.
#
# **Turn the dials yourself**, on the picture of the beginning. The sliders need a kernel, since they ask the model at every move;
# without one you see where they stand at first. Keep 10 proposals and raise the threshold from 0.7 to 0.9: how many of the six
# objects are still reached? Then keep 100 and lower it to 0.3.

# %% tags=["nbval-ignore-output"]
from mrcnn_lite.widgets.panels import proposals_panel

picture, target = shapes[8]
proposals_panel(model, picture, target)

# %% [markdown]
# ## Five questions
#
# Nobody sees your answers; each is explained.

# %%
quiz("03")

# %% [markdown]
# ## Recap
#
# - Two losses on 256 sampled anchors: binary cross-entropy on all of them, smooth L1 on the positive ones.
# - A sigmoid of one output is a softmax of two.
# - Top-k, decode, clip, NMS; the proposals carry no gradient.
# - NMS compares boxes of one group only, is greedy, and cannot tell a duplicate from a second object.
#
# **Glossary:** region proposal network 영역 제안 네트워크 · objectness 객체성 · non-maximum suppression 비최대 억제 ·
# recall 재현율 · threshold 임계값 · sampling 표본 추출
#
# ## What the papers report and what we measured
#
# | | the papers | here |
# | --- | --- | --- |
# | sampled anchors, positive share | 256, up to 1:1 (Faster R-CNN, section 3.1.3) | the same |
# | proposals in use | 300 (C4), 1,000 (FPN) (Mask R-CNN, section 3.1) | 3 to 100, small pictures |
# | NMS of detections | 0.3, later 0.5 (Mask R-CNN, appendix B) | what a perfect detector loses, counted above |
# | average recall of 1,000 proposals, COCO | not in the paper; 51.6 (C4), 57.2 (FPN) in Detectron's model zoo | recall at one IoU each: not comparable |
