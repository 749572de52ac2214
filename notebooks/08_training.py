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
# # 08 · Training it
#
# [![Open this chapter in Google Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mrcnn-lite/mrcnn_lite/blob/main/notebooks/08_training.ipynb)
#
# **After this notebook you can** assemble the five losses and say what each should be at the start · draw the RoIs 1:3 · overfit
# one picture before anything else · read each curve · diagnose four broken runs · write the learning rate with its warm-up, and
# scale it to another batch · stop a run and go on with it.
#
# **You need** notebooks 03, 04 and 06. **Paper:** *Mask R-CNN* ([arXiv 1703.06870](https://arxiv.org/abs/1703.06870)), section 3
# (the loss), section 3.1 "Training", appendix B; warm-up and linear scaling: Goyal et al. 2017
# ([1706.02677](https://arxiv.org/abs/1706.02677)).
#
# **Time:** 35 minutes to read, 65 for the exercises; about two minutes to run on two CPU cores, on a Colab T4 about as long (an estimate, not measured).

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
import json
import math
import tempfile

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

import mrcnn_lite as m
from mrcnn_lite import backbone, boxes, matching, roi_ops, widgets
from mrcnn_lite.config import Training
from mrcnn_lite.data.wrappers import Subset
from mrcnn_lite.exercises import ch08 as ex
from mrcnn_lite.exercises import quiz
from mrcnn_lite.training import memory, schedule, validation_loss
from mrcnn_lite.visualize import contact_sheet, draw, show

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#767676"]  # told apart by colour-blind readers too
sys.path.append(str(ASSETS))
import broken_runs

# %% [markdown]
# ## Five losses, one number
#
# $$L = \underbrace{L_{obj} + L_{rpn\,box}}_{\text{RPN}} + \underbrace{L_{cls} + L_{box} + L_{mask}}_{\text{heads}}$$
#
# | loss | of what | divided by |
# | --- | --- | --- |
# | `loss_objectness` | binary cross-entropy of the sampled anchors, up to half of them positive | sampled anchors |
# | `loss_rpn_box_reg` | smooth L1 of the positive anchors' deltas | sampled anchors |
# | `loss_classifier` | cross-entropy over K + 1 classes of the sampled RoIs | sampled RoIs |
# | `loss_box_reg` | smooth L1 of the positive RoIs' deltas, true class only | sampled RoIs |
# | `loss_mask` | binary cross-entropy of the positive RoIs, true class's plane only | positive RoIs · M² |
#
# The paper trained the RPN by itself first; its appendix B trains all at once and gains (+ 0.6 mask AP). So does this package.
# A network that knows nothing is predictable: a yes-or-no question costs ln 2, one of K + 1 classes ln (K + 1).

# %% tags=["nbval-ignore-output"]
shapes = m.open_dataset("shapes", length=400, progress=False)
images, targets = zip(*[shapes[i] for i in range(8)])
fresh = broken_runs.new_model(seed=0)  # a trained trunk, as from ImageNet; RPN and heads are new
with torch.no_grad():
    first = fresh.losses(images, targets, seeds=range(8))
expected = {"loss_objectness": math.log(2), "loss_classifier": math.log(7), "loss_mask": math.log(2)}
for name, loss in first.items():
    print(f"{name:17} {loss:6.3f}" + (f"   a guess costs {expected[name]:.3f}" if name in expected else ""))
assert all(value - 0.1 < first[name] < value + 0.6 for name, value in expected.items())


# %% [markdown]
# The mask starts above a guess: its last layer is not made small at first, those of the RPN and of the box head are.
# Look at these numbers before you train. A first `loss_mask` of 33 (torchvision's, with masks of 0 and
# 255) or a sum in the thousands (pictures of 0..255) is a mistake in the data.
#
# ## A batch is a list
#
# Pictures need not be of one size. `losses` takes a *list*, pads it inside to the largest, and the true size of each decides where
# its boxes end. And what moves a picture moves its boxes and masks **together**: mirrored twice, all three are what they were.

# %%
from mrcnn_lite.data.transforms import flip

wide, wide_target = images[0], targets[0]
narrow, narrow_target = images[1][:, :, :96], {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
narrow_target["masks"] = torch.zeros(0, *narrow.shape[1:], dtype=torch.uint8)
with torch.no_grad():
    of_two_sizes = fresh.losses([wide, narrow], [wide_target, narrow_target], seeds=[0, 1])
print("pictures of", [list(image.shape[1:]) for image in (wide, narrow)], "in one batch:", len(of_two_sizes), "losses")
assert all(loss.isfinite() for loss in of_two_sizes.values())

once = flip(wide, wide_target)
twice = flip(*once)
same = torch.equal(twice[0], wide) and all(torch.equal(twice[1][key], wide_target[key]) for key in ("boxes", "masks"))
print("a box before and after one flip:", wide_target["boxes"][0].tolist(), once[1]["boxes"][0].tolist())
print("flipped twice, picture, boxes and masks are as before:", same)
assert same

# %% [markdown] exercise="total_loss"
# ### Exercise: `total_loss` (easy, 5 minutes)
#
# **One number to go downhill on.** `losses` names the parts (five in Mask R-CNN), `weights` gives some of them a
# weight; all others count 1, as in the paper, where all do. Return the weighted sum. A weight for a part that is not
# there (a network without masks) is no mistake and changes nothing.


# %% exercise="total_loss"
def total_loss(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """losses: name -> a number; weights: name -> its weight, 1 if it has none -> the weighted sum."""
    ...


ex.total_loss.check(total_loss)
# Stuck? ex.total_loss.hint(), and at the end ex.total_loss.solution()

# %% [markdown]
# ## Which RoIs are trained on?
#
# Of the proposals of a picture nearly all are background. A quarter of the sampled ones may be positive, at IoU 0.5 or
# more (section 3.1).

# %% [markdown] exercise="sample_rois"
# ### Exercise: `sample_rois` (medium, 15 minutes)
#
# **Which RoIs are trained on?** `best_iou [P]` is each proposal's IoU with its best object; `0.5` and more is positive,
# all others are negative. Draw `num_samples`: at most a **quarter** positive, the rest negative, and fewer if there are
# not enough. The draw is random; `order [P]` are the random numbers, and who has a larger one comes first. Return the
# indices: the positives, then the negatives, each by falling `order`.


# %% exercise="sample_rois"
def sample_rois(best_iou: Tensor, order: Tensor, num_samples: int) -> Tensor:
    """best_iou, order [P] -> indices of the sampled proposals, positives first."""
    ...


ex.sample_rois.check(sample_rois)
# Stuck? ex.sample_rois.hint(), and at the end ex.sample_rois.solution()

# %%
with torch.no_grad():
    batch, objects = fresh.prepare(images[:1], targets[:1])
    features = fresh.backbone(batch.images)
    proposed = fresh.propose(fresh.rpn(features, batch.size), batch, train=True)
    draw_seed = matching.generators([0], 1, batch.images.device)
    sampled = fresh.sample(proposed, objects, draw_seed)
print(f"{len(objects[0]['boxes'])} objects, {len(proposed.boxes[0])} proposals of an untrained RPN")
print(f"{len(sampled.rois)} RoIs are sampled, {len(sampled.positive)} of them positive")
assert len(sampled.positive) <= len(sampled.rois) // 4 and len(sampled.positive) >= 1
nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "masks": torch.zeros(0, 128, 128)}
with torch.no_grad():
    empty = fresh.losses(images[:1], [nothing], seeds=[0])
print("a picture without objects; losses above 0:", ", ".join(name for name, loss in empty.items() if loss > 0.001))
assert empty["loss_mask"] == empty["loss_box_reg"] == empty["loss_rpn_box_reg"] == 0 < empty["loss_classifier"]


# %% [markdown]
# An untrained RPN hits nothing, so the objects' own boxes join the proposals: without them the heads would see no positive at
# first. A picture without objects is fine: pass boxes of shape (0, 4), and *no made-up box*. It teaches background; the losses on
# boxes and masks are 0.
#
# ## The learning rate

# %% [markdown] exercise="learning_rate"
# ### Exercise: `learning_rate` (medium, 15 minutes)
#
# **The learning rate of one step.** `settings` is the package's `Training`: "step" schedules divide by 10 at each of
# `milestones` (fractions of the run, `0.75` for the paper's 120k of 160k), "cosine" ones follow (1 + cos(π · fraction)) /
# 2. During the first `warmup_steps` steps the rate is **also** multiplied by a ramp from `warmup_factor` at step 0 to
# 1.


# %% exercise="learning_rate"
def learning_rate(settings: Training, step: int, fraction: float) -> float:
    """settings; step: how many steps are done; fraction: the part of the run that is over -> the learning rate."""
    ...


ex.learning_rate.check(learning_rate)
# Stuck? ex.learning_rate.hint(), and at the end ex.learning_rate.solution()

# %%
figure = Figure(figsize=(9, 2.4))
for n, (title, settings) in enumerate(
    (("the paper: SGD, 160,000 steps", Training()), ("tiny: AdamW, cosine", m.Config.tiny().train))
):
    axes = figure.add_subplot(1, 2, n + 1)
    steps = np.unique(np.concatenate([np.arange(0, 1000, 5), np.linspace(0, settings.steps - 1, 800).astype(int)]))
    steps = steps[steps < settings.steps]
    axes.plot(
        steps,
        [schedule.learning_rate(settings, int(s), s / settings.steps) for s in steps],
        color=COLOURS[n],
        linewidth=2,
    )
    axes.set(xlabel="step", title=title, ylim=(0, None))
    axes.set_ylabel("learning rate" if n == 0 else "")
figure.subplots_adjust(wspace=0.3)
show(
    figure,
    "Two learning rates: the paper's constant with one drop at 120,000, its warm-up too short to see; a cosine from a warm-up to 0",
)


# %% [markdown] exercise="recipe"
# ### Exercise: `recipe` (easy, 5 minutes)
#
# **Another batch size.** The paper's recipe is for 16 images a step: learning rate 0.02, 160,000 steps, divided by 10
# at 120,000. You have room for `batch_size` images. Keep the number of *pictures seen*, and scale the learning rate
# linearly (Goyal et al. 2017): give (learning rate, steps, step of the drop), the steps as whole numbers.


# %% exercise="recipe"
def recipe(batch_size: int) -> tuple[float, int, int]:
    """batch_size images a step -> (learning rate, steps, step of the drop)."""
    ...


ex.recipe.check(recipe)
# Stuck? ex.recipe.hint(), and at the end ex.recipe.solution()

# %% [markdown]
# "Loss is NaN" on one GPU has this cause more often than any other: 0.02 is for **16** pictures a step. With two it is `0.0025`. (The
# paper itself, for ResNeXt: one picture a GPU, learning rate 0.01, section 3.1.)
#
# ## First of all: overfit one picture
#
# Before an hour of training, a minute for the question whether the thing *can* learn. One picture, over and over, nothing else; a
# pipeline that can't learn it by heart won't learn anything. The whole loop:

# %% tags=["nbval-ignore-output"]
image, target = shapes[3]
model = broken_runs.new_model(seed=0)
settings = Training(
    optimizer="adamw", lr=2e-3, weight_decay=0, schedule="cosine", steps=70, warmup_steps=5, grad_clip=5.0
)
optimizer = schedule.make_optimizer(model, settings)
with torch.no_grad():
    before = model.eval().detect([image])[0]
curves = {}
model.train()
for step in range(settings.steps):
    losses = model.losses([image] * 2, [target] * 2, seeds=[2 * step, 2 * step + 1])
    sum(losses.values()).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip)
    for group in optimizer.param_groups:
        group["lr"] = schedule.learning_rate(settings, step, step / settings.steps)
    optimizer.step()
    optimizer.zero_grad()
    for name, loss in losses.items():
        curves.setdefault(name, []).append(loss.item())
total = [sum(values) for values in zip(*curves.values())]
after = model.eval().detect([image])[0]
good = {key: value[after["scores"] > 0.5] for key, value in after.items()}
found = boxes.iou(target["boxes"], good["boxes"]).amax(1)
print(f"loss {total[0]:.2f} -> {np.mean(total[-5:]):.2f}; {len(target['boxes'])} objects, {len(good['boxes'])} found")
print("IoU of each object with the best box:", [round(v, 2) for v in found.tolist()])
assert np.mean(total[-5:]) < 0.4 * total[0] and found.min() > 0.6

# %% tags=["nbval-ignore-output"]
figure = Figure(figsize=(7, 2.6))
axes = figure.add_subplot()
for (name, values), colour in zip(curves.items(), COLOURS):
    axes.plot(values, color=colour, label=name, linewidth=1.8)
axes.set(xlabel="step", ylabel="loss", yscale="log", ylim=(1e-4, 5))
axes.yaxis.set_major_formatter("{x:g}")
axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
show(
    figure,
    "The losses on one picture over 70 steps, on a logarithmic scale: the box loss rises first, the others fall, the RPN's furthest; a few steps leap",
)
few = {key: value[:12] for key, value in before.items()}
panels = [
    draw(image, target, model.class_names, scale=2),
    draw(image, few, scale=2, labels=False),
    draw(image, good, model.class_names, scale=2),
]
show(
    contact_sheet(panels, ["truth", "before: the first dozen of its boxes", "after 70 steps"], columns=3),
    "The picture three times: its true shapes; a dozen senseless boxes of the new heads; after 70 steps the shapes with masks",
)

# %% [markdown]
# ## Reading the curves
#
# The record of a run on 400 pictures: 240 steps of eight, the trunk trained before, RPN and heads new. (On a GPU, train it
# yourself: the next cell does.)

# %% tags=["nbval-ignore-output"]
record = json.loads((ASSETS / "broken_runs.json").read_text(encoding="utf-8"))
print(f"assets/broken_runs.json: `{record['command']}` at commit {record['commit']}")
if torch.cuda.is_available():
    mine = m.build_model(m.Config.tiny())
    history = m.train(mine, m.open_dataset("shapes", length=2000, progress=False), minutes=3)
    print(history)
    print(m.evaluate(mine, m.open_dataset("shapes", split="val", length=200, progress=False), progress=False))
else:
    print("no GPU here. By hand, in six minutes:")
    print("mrcnn-lite train --config tiny --data shapes --minutes 6 --output runs/shapes")

# %%
healthy = {name: np.array(values) for name, values in record["runs"]["healthy"]["losses"].items()}


def smooth(values: np.ndarray, width: int = 12) -> np.ndarray:
    return np.convolve(values, np.ones(width) / width, mode="valid")


figure = Figure(figsize=(9, 2.4))
for n, (name, values) in enumerate(healthy.items()):
    axes = figure.add_subplot(1, 5, n + 1)
    axes.plot(values, color=COLOURS[n], alpha=0.3, linewidth=0.8)
    axes.plot(np.arange(11, record["steps"]), smooth(values), color=COLOURS[n], linewidth=2)
    axes.set_title(name.removeprefix("loss_"), fontsize=10)
    axes.set(ylim=(0, None), xlabel="step")
    axes.tick_params(labelsize=8)
figure.subplots_adjust(wspace=0.55)
show(
    figure,
    "Five panels: objectness falls within 50 steps, classifier and mask fall steadily, the box loss rises first and then falls",
)
peak = int(smooth(healthy["loss_box_reg"]).argmax())
print(
    f"smoothed, the box loss is highest {'after' if peak > 5 else 'at'} the start: {smooth(healthy['loss_box_reg'])[0]:.2f} -> {smooth(healthy['loss_box_reg']).max():.2f} -> {smooth(healthy['loss_box_reg'])[-1]:.2f}"
)
assert peak > 5
wobble = {name: np.std(values[-40:]) / np.mean(values[-40:]) for name, values in healthy.items()}
print("spread of the last 40 steps, in shares of their mean:")
print(", ".join(f"{name} {share:.0%}" for name, share in wobble.items()))

# %% [markdown]
# - **objectness** falls first: it only has to tell object from background.
# - **box** *rises* at first. That is no fault: it is divided by *all* sampled RoIs, and only positive ones pay. A better RPN makes
#   more positives.
# - **classifier** falls steeply, since most of its RoIs are background and that is soon said; then slowly, since names need good
#   crops.
# - **mask** starts above ln 2 and ends at a third of it: a border is a row of pixels about which nobody can be sure.
# - From batch to batch the curves vary by 13% to 46% of their mean. Compare means, never two steps.
#
# And: the losses of two runs can be compared only if the RoIs are sampled alike. The score that counts is AP, on other pictures.
# `losses` works in `eval()` too, so a validation loss is one call; torchvision's model ignores targets there without a word.

# %%
trained = m.load(ASSETS / "shapes.safetensors")
kept = m.open_dataset("shapes", split="val", length=16, progress=False)
once, again = (validation_loss(trained, kept) for _ in range(2))
print(f"loss on 16 held-out pictures: {once['loss']:.2f}; called again, the same: {once == again}")
assert once == again  # the sampling is seeded by the picture's number

# %% [markdown]
# **Watch a run.** A real one, kept at 25 moments: press `The end`, then go back step by step with the arrow keys. Which comes first, the
# proposals or the masks?

# %% tags=["picture-only", "nbval-ignore-output"]
widgets.show("training_replay")

# %% [markdown]
# ## Four broken runs
#
# A, B, C and D are the same run with **one bug each**, and nothing warned: no exception, no NaN. They are recorded as above, and
# evaluated on 60 held-out pictures; drawn are the detections with a score of `0.5` or more, and the number says how many. (Don't
# open `assets/broken_runs.py` yet.)

# %%
runs = record["runs"]
figure = Figure(figsize=(9.5, 2.5))
styles = {
    "healthy": ("#000000", "-"),
    "A": (COLOURS[0], "-"),
    "B": (COLOURS[1], "--"),
    "C": (COLOURS[2], "-"),
    "D": (COLOURS[3], ":"),
}
for n, name in enumerate(healthy):
    axes = figure.add_subplot(1, 5, n + 1)
    for letter, (colour, style) in styles.items():
        values = smooth(np.array(runs[letter]["losses"][name]), 24)
        axes.plot(np.arange(23, record["steps"]), values, style, color=colour, label=letter, linewidth=1.8)
    axes.set_title(name.removeprefix("loss_"), fontsize=10)
    axes.set(ylim=(0, None), xlabel="step")
    axes.tick_params(labelsize=8)
axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
figure.subplots_adjust(wspace=0.55)
show(
    figure,
    "Losses of the five runs: A's box loss is four times the healthy one's; C's classifier stays high, its mask loss is the lowest; B and D look healthy",
)

# %%
columns = ("box AP", "box AP50", "box AP75", "mask AP", "mask AP50", "mask AP75", "detections a picture")
print(f"{'':8}" + "".join(f"{column:>11}" for column in columns[:-1]) + "   detections a picture")
for letter, run in runs.items():
    print(f"{letter:8}" + "".join(f"{run[column]:11.3f}" for column in columns[:-1]) + f"{run[columns[-1]]:23.1f}")

# %%
from pycocotools import mask as run_lengths

held_out = m.open_dataset("shapes", split="val", length=3, progress=False)
panels, captions = [], []
for i in (0, 2):
    panels.append(draw(held_out[i][0], held_out[i][1], trained.class_names, scale=1.5, labels=False))
    captions.append("truth")
    for letter in ("healthy", "A", "B", "C", "D"):
        seen = runs[letter]["seen"][i]
        masks = [run_lengths.decode({"size": [128, 128], "counts": counts.encode()}) for counts in seen["masks"]]
        stacked = torch.from_numpy(np.array(masks)) if masks else torch.zeros(0, 128, 128)
        found = {
            "boxes": torch.tensor(seen["boxes"]).view(-1, 4),
            "labels": torch.tensor(seen["labels"]),
            "masks": stacked,
        }
        panels.append(draw(held_out[i][0], found, scale=1.5, labels=False))
        captions.append(f"{letter}: {len(masks)}")
show(
    contact_sheet(panels, captions, columns=6),
    "Two pictures: truth, the healthy run, then A with dozens of boxes, B with sound boxes and odd masks, C with none, D with all of them shifted",
)


# %% [markdown]
# **Disturb a run.** With a kernel, this trains a model while you move the learning rate or switch a loss off. Press Start; at 0.02 it
# falls apart.

# %% tags=["nbval-ignore-output"]
from mrcnn_lite.widgets.panels import training_panel

training_panel(m.build_model(m.Config.tiny()), m.open_dataset("shapes", length=200, progress=False))

# %% [markdown] exercise="diagnose"
# ### Exercise: `diagnose` (hard, 15 minutes)
#
# **What is wrong with A, B, C and D?** Look at the curves, the table and the pictures above, and name the bug of each
# run: `"box order"` (boxes as y1, x1, y2, x2), `"half pixel"` (trained with it, used without), `"wrong class"` (the
# mask loss on another class's plane), `"no background"` (only positive RoIs are sampled). Give a dictionary of letters.


# %% exercise="diagnose"
def diagnose() -> dict[str, str]:
    """-> {"A": …, "B": …, "C": …, "D": …}, each one of the four names."""
    ...


ex.diagnose.check(diagnose)
# Stuck? ex.diagnose.hint(), and at the end ex.diagnose.solution()

# %% [markdown]
# ### Read on when you have answered
#
# How could each have been found on the first day, without a run?
#
# **Box order.** This is bad *input*, and the input can be checked: a box has to fit its own mask. The message says what it looks
# like.

# %%
image, target = shapes[0]
swapped = dict(target, boxes=target["boxes"][:, [1, 0, 3, 2]])
try:
    fresh.losses([image], [swapped])
except ValueError as error:
    print("checked:", error)
    assert "y1, x1, y2, x2" in str(error)
fresh.check_inputs = False
with torch.no_grad():
    silent = fresh.losses([image], [swapped], seeds=[0])
fresh.check_inputs = True
print(
    "with check_inputs=False:",
    "all losses are finite," if all(map(torch.isfinite, silent.values())) else "",
    "nobody says a word",
)
assert all(map(torch.isfinite, silent.values()))

# %% [markdown]
# torchvision's model takes it in silence (the table of 56 such cases: `python tests/bad_input.py`). The other three bugs are in the
# *network*, where no check of the input can see them. Each falls to a test of a few lines, which you know already:

# %%
labels, logits = torch.tensor([2]), torch.zeros(1, 6, 28, 28, requires_grad=True)
trained.heads["mask"].mask_loss.loss(logits, labels, torch.ones(1, 28, 28)).backward()
touched = logits.grad.abs().amax((0, 2, 3)).nonzero()[:, 0].tolist()
print("wrong class: the loss of label 2 gives a gradient to the planes", touched)
assert touched == [1]  # plane k - 1

ramp = torch.arange(12.0).expand(1, 1, 8, 12)
pooler = trained.heads["mask"].pooler
crop = pooler.op(
    [ramp], torch.tensor([[0.0, 4, 4, 8, 8]]), torch.zeros(1, dtype=torch.int64), 4, [1.0], **pooler.options
)
print("half pixel: the identity test of the pooler that is really in use", crop[0, 0, 0].tolist())
assert crop[0, 0, 0].tolist() == [4, 5, 6, 7]

share = (sampled.labels == 0).float().mean()
print(f"no background: of the sampled RoIs {share:.0%} are background")
assert share >= 0.75

# %% [markdown]
# What each looked like, in the record:

# %%
last = {letter: {name: np.mean(values[-30:]) for name, values in run["losses"].items()} for letter, run in runs.items()}
ratio = last["A"]["loss_box_reg"] / last["healthy"]["loss_box_reg"]
print(f"A: box loss {ratio:.1f} times the healthy one's, {runs['A']['detections a picture']} detections a picture")
print(
    f"B: box AP {runs['B']['box AP']} ({runs['healthy']['box AP']}), mask AP {runs['B']['mask AP']} ({runs['healthy']['mask AP']})"
)
print(
    f"C: classifier {last['C']['loss_classifier']:.2f} ({last['healthy']['loss_classifier']:.2f}), mask loss {last['C']['loss_mask']:.2f} ({last['healthy']['loss_mask']:.2f})"
)
print(
    f"D: box AP50 {runs['D']['box AP50']} ({runs['healthy']['box AP50']}), AP75 {runs['D']['box AP75']} ({runs['healthy']['box AP75']})"
)
assert 3 < ratio < 5 and runs["A"]["detections a picture"] > 90
assert (
    abs(runs["B"]["box AP"] - runs["healthy"]["box AP"]) < 0.05
    and runs["B"]["mask AP"] < runs["healthy"]["mask AP"] - 0.1
)
assert last["C"]["loss_mask"] < 0.6 * last["healthy"]["loss_mask"] and runs["C"]["box AP"] < 0.1
assert runs["D"]["box AP50"] > 0.8 and runs["D"]["box AP75"] < 0.1

# %% [markdown]
# - **A, no background:** nobody ever told the class branch what *no* object is, so every proposal becomes one. Its box loss is four
#   times as high for a dull reason: all of its RoIs are positive, not a quarter. A loss is a mean over something; ask over what.
# - **B, wrong class:** every curve is healthy, mask loss included. It *does* learn masks, on other planes than those that are read.
#   They are not senseless, since masks hardly depend on the class (section 4.2: 29.7 instead of 30.3 with one mask for all).
# - **C, box order:** its mask loss is the **lowest of all**. Cut out at the mirrored place, most targets are empty, and "nothing" is
#   easy to say. A low loss is no proof.
# - **D, half pixel:** the training was sound, the use is not, so no curve can show it. AP50 forgives a shift of half a cell, AP75
#   does not. Had it been *trained* without the half pixel as well, the convolutions would have learnt the constant shift.
#
# ## Warm-up: with and without
#
# New heads on a trained trunk, the paper's optimiser at its full rate. Predict: how much does the warm-up help?

# %%
from scipy.stats import ttest_rel

warm = json.loads((ASSETS / "warmup.json").read_text(encoding="utf-8"))
print(f"assets/warmup.json: `{warm['command']}` at commit {warm['commit']}")
print(f"SGD, learning rate {warm['lr']}, {warm['steps']} steps")
pair = [
    np.array([run["loss"] for run in warm["runs"] if run["warmup_steps"] == steps], dtype=float) for steps in (20, 0)
]
highest = [float(np.max(losses)) for losses in pair]
ends = [losses[:, -10:].mean(1) for losses in pair]
low, high = ttest_rel(*ends).confidence_interval(0.95)
verdict = "not shown at this scale" if low <= 0 <= high else "a difference"
print(
    f"highest loss of any step: with {highest[0]:.2f}, without {highest[1]:.2f}; steps that were not finite: {int(np.isnan(pair[1]).sum())}"
)
print(
    f"last ten steps, with minus without: {np.subtract(*ends).mean():+.3f}, 95 % interval [{low:+.3f}, {high:+.3f}]: {verdict}"
)
assert not np.isnan(pair[1]).any() and low <= 0 <= high

# %%
figure = Figure(figsize=(6.5, 2.5))
axes = figure.add_subplot()
for losses, colour, style, label in zip(pair, COLOURS, ("-", "--"), ("20 steps of warm-up", "none")):
    axes.plot(losses.T, style, color=colour, alpha=0.25, linewidth=0.9)
    axes.plot(losses.mean(0), style, color=colour, linewidth=2.2, label=label)
axes.set(xlabel="step", ylabel="sum of the five losses", ylim=(0, None))
axes.legend(frameon=False)
show(
    figure,
    "Five runs with and five without warm-up: those without fall sooner during the first 15 steps, from there on they are together",
)


# %% [markdown]
# Nothing blows up, and at the end the two are equal: **at this scale a benefit of the warm-up is not shown**. It costs a little at
# first, which is what a smaller learning rate does. It was made for large batches (Goyal et al.: 8192 pictures), and Detectron's
# 500 steps of 90,000 are an insurance that costs next to nothing. An absent effect in a small experiment is no proof of absence.
#
# ## When the batch does not fit

# %% [markdown] exercise="accumulated"
# ### Exercise: `accumulated` (medium, 10 minutes)
#
# **Gradient accumulation.** A batch does not fit into the memory, so it is cut into parts. Part i has `counts[i]` RoIs
# and gives `gradients[i]`, the gradient of the **mean** loss of *its* RoIs. What is the gradient of the mean over
# **all** RoIs, which the whole batch would have given?


# %% exercise="accumulated"
def accumulated(gradients: list[Tensor], counts: list[int]) -> Tensor:
    """gradients of the parts' mean losses, counts of their RoIs -> gradient of the mean over all RoIs."""
    ...


ex.accumulated.check(accumulated)
# Stuck? ex.accumulated.hint(), and at the end ex.accumulated.solution()

# %% [markdown]
# `m.train(…, accumulate=4)` cuts each batch in four, each part with *its own* means, so its gradient differs a little from that of
# the whole. Several processes in this package divide by the RoIs of *all* processes, and agree with one process.
#
# Where does the memory go? Told on the meta device, before a step is taken:

# %%
for name, pictures, size in (
    ("tiny", 8, (128, 128)),
    ("r50-fpn", 1, (800, 1333)),
    ("r50-fpn", 2, (800, 1333)),
    ("r101-fpn", 2, (800, 1333)),
):
    with torch.device("meta"):
        large = m.build_model(m.Config.named(name))
    print(
        f"{name:8} a batch of {pictures}, {size[0]} x {size[1]}: about {memory.step_memory(large.train(), pictures, size, objects=8) / 1e9:5.1f} GB a step"
    )

# %% [markdown]
# The next peak is one you do not see here: a picture with hundreds of objects, whose IoU with 268,569 anchors and whose full-size
# masks are as many.
#
# **Why the norms are frozen.** With one or two pictures a GPU the statistics of BatchNorm are noise, so detectors keep ImageNet's.
# *Frozen* means statistics **and** scales; `eval()` alone leaves the scales to the optimiser, and `train()` wakes the statistics:

# %%
torch.manual_seed(0)
x = torch.randn(2, 4, 8, 8) * 3 + 1
for kind in ("bn", "frozen_bn"):
    norm = backbone.norm_layer(kind)(4).train()
    before = norm.running_mean.clone()
    norm(x)
    print(
        f"{kind:9} parameters: {len(list(norm.parameters()))}; train() moved its statistics: {not torch.equal(before, norm.running_mean)}"
    )
    assert torch.equal(before, norm.running_mean) == (kind == "frozen_bn") == (not list(norm.parameters()))


# %% [markdown]
# ## Stop it, and go on
#
# A run writes everything that a step changes into `last.pt`: weights, optimiser, step. The draws are seeded by (seed, step). So a
# run that was killed ends as if nothing had happened, on a CPU bit for bit:


# %%
class PowerCut(Subset):
    """A data set that is unplugged after some pictures."""

    left = math.inf

    def read(self, i: int):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().read(i)


quick = {"steps": 4, "checkpoint_every": 1, "progress": False, "seed": 1}
ends = []
with tempfile.TemporaryDirectory() as folder:
    for name, unplugged in (("whole", math.inf), ("cut", 2 * 2 + 1)):
        data = PowerCut(shapes, 6)
        data.left = unplugged
        for resume in (False, True):
            torch.manual_seed(0)
            run = m.build_model(m.Config.tiny(train__batch_size=2))
            try:
                history = m.train(run, data, output=Path(folder) / name, resume=resume, device="cpu", **quick)
                break
            except KeyboardInterrupt:
                saved = torch.load(Path(folder) / name / "last.pt", weights_only=True)
                print(f"unplugged; the last checkpoint is of step {saved['step']}")
                data.left = math.inf
        ends.append(run.state_dict())
same = all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
print("the whole run and the one that was cut and resumed have the same weights:", same)
assert same

# %% [markdown]
# On a GPU the sums of RoIAlign's backward pass run in no fixed order, so two runs agree to a few digits only.
#
# On the command line: `mrcnn-lite train --config tiny --data shapes --output runs/shapes`, Control-C, and the same with `--resume`.
# There is a `metrics.csv`, and `--tensorboard`. With a GPU the same command uses it, with several `--processes`.
#
# ## What the paper reports and what we measured
#
# | | the paper | here |
# | --- | --- | --- |
# | schedule | 160k steps of 16, lr 0.02, / 10 at 120k | 240 steps of 8, AdamW 0.002, cosine |
# | time | R-50-FPN 32 hours on 8 GPUs | minutes on a CPU |
# | RoIs a picture | 64 (C4), 512 (FPN), 1 : 3 | 32, 1 : 3 |
# | all parts together instead of the RPN first | + 0.6 mask AP, + 1.2 box AP (appendix B) | together; not compared |
# | warm-up | not in the paper; 500 steps in its code | no effect shown |

# %% [markdown]
# ## Five questions
#
# Nobody sees your answers; each is explained.

# %%
quiz("08")

# %% [markdown]
# ## Recap
#
# - Five losses, one sum. Know what each is at the start, and over what it is a mean.
# - Overfit one picture first. Then look at *pictures*, not only at curves.
# - Two of four bugs left all curves healthy, one made a curve *better*.
# - Input can be checked; the network needs tests: identity, gradients, counts.
# - Batch, learning rate and steps go together. An effect that is not shown is to be called so.
#
# **Glossary:** learning rate 학습률 · warm-up 워밍업 · batch 배치 · overfitting 과적합 · gradient accumulation 기울기 누적 ·
# checkpoint 체크포인트 · background 배경 · validation loss 검증 손실
