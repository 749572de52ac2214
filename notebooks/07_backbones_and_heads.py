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
# # 07 · Backbones and heads: C4 and FPN
#
# [![Open this chapter in Google Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mrcnn-lite/mrcnn_lite/blob/main/notebooks/07_backbones_and_heads.ipynb)
#
# **After this notebook you can** trace every tensor of both networks of Figure 4 · tell C4's 14 × 14 from FPN's · count the
# parameters of a ResNet and of a ResNeXt block by hand · build the top-down path of the FPN and say from which level a box is
# cropped · say what C4 and FPN cost, and where.
#
# **You need** notebooks 05 and 06. **Paper:** *Mask R-CNN* ([arXiv 1703.06870](https://arxiv.org/abs/1703.06870)), section 3
# ("Network Architecture"), Figure 4, Table 2a; *FPN* ([1612.03144](https://arxiv.org/abs/1612.03144)), section 3 and eq. 1;
# *ResNeXt* ([1611.05431](https://arxiv.org/abs/1611.05431)), Table 1.
#
# **Time:** 25 minutes to read, 70 for the exercises; about a minute to run on two CPU cores, on a Colab T4 about as long (an estimate, not measured).

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
import time
from functools import partial

from matplotlib.figure import Figure
from torch import Tensor, nn

import mrcnn_lite as m
from mrcnn_lite import backbone, fpn, roi_ops, widgets
from mrcnn_lite.exercises import ch07 as ex
from mrcnn_lite.exercises import quiz
from mrcnn_lite.info import describe
from mrcnn_lite.visualize import show

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#767676"  # told apart by colour-blind readers too
PICTURE = (800, 1344)  # height and width of the network's input: a picture of 800 x 1333, padded to a multiple of 32
print("Shapes are traced without numbers, on torch's meta device: no GPU, hardly any memory")


# %% [markdown]
# ## Two questions, two networks
#
# A **backbone** turns the picture into maps, once. A **head** turns the crop of each box into a class, a box and a mask, hundreds
# of times a picture. Where does one end and the other begin?
#
# - **C4** (Figure 4, left) cuts the ResNet after its fourth stage: one map of stride 16. The fifth stage, res5, belongs to the
#   *heads* and runs once a RoI.
# - **FPN** (Figure 4, right) keeps all five stages in the backbone, makes four maps of them that are equally wide, and has light
#   heads.
#
# ## How large is each map?
#
# $$\text{size}' = \left\lfloor \frac{\text{size} + 2 \cdot \text{padding} - \text{kernel}}{\text{stride}} \right\rfloor + 1$$

# %% [markdown] exercise="output_sizes"
# ### Exercise: `output_sizes` (easy, 5 minutes)
#
# **How large is each map?** A layer with a kernel of `kernel` cells, a stride of `stride` and `padding` cells on either
# side turns `size` cells into ⌊(size + 2 · padding − kernel) / stride⌋ + 1. Give the sizes after each of `layers`, a list
# of (kernel, stride, padding), one after the other.


# %% exercise="output_sizes"
def output_sizes(size: int, layers: list[tuple[int, int, int]]) -> list[int]:
    """size in cells, layers as (kernel, stride, padding) -> the size after each of them."""
    ...


ex.output_sizes.check(output_sizes)
# Stuck? ex.output_sizes.hint(), and at the end ex.output_sizes.solution()

# %% [markdown]
# A ResNet halves five times. Its stem (7 × 7 of stride 2, then a 3 × 3 maximum of stride 2) makes stride 4, and each of res3,
# res4, res5 halves once more. By the formula, and by running it:

# %%
halving = [(7, 2, 3), (3, 2, 1), (3, 1, 1), (3, 2, 1), (3, 2, 1), (3, 2, 1)]  # conv1, pooling, res2, res3, res4, res5
rows, columns = (ex.output_sizes.answer(side, halving) for side in PICTURE)
with torch.device("meta"), torch.no_grad():
    body = backbone.ResNet("resnet50", backbone.norm_layer("frozen_bn"))
    maps = body(torch.empty(1, 3, *PICTURE))
for number, feature, row, column in zip((2, 3, 4, 5), maps, rows[2:], columns[2:]):
    print(f"C{number}: {list(feature.shape)}, stride {PICTURE[0] // feature.shape[2]}")
    assert feature.shape[2:] == (row, column)
assert [f.shape[1] for f in maps] == [256, 512, 1024, 2048]


# %% [markdown]
# ## Inside a stage: ResNet and ResNeXt blocks
#
# A **bottleneck** block works on few channels and adds its result to what came in:
#
# $$y = \text{ReLU}\big(x + W_3 * \text{ReLU}(W_2 * \text{ReLU}(W_1 * x))\big)$$
#
# $W_1$ is 1 × 1 and leads down to the inner width, $W_2$ is 3 × 3, $W_3$ is 1 × 1 and leads up again. **ResNeXt** cuts $W_2$ into
# groups, each of which sees its own channels only. That saves weights, which buy a larger inner width. "64 × 4d" means 64 groups
# of 4 channels in res2.

# %% [markdown] exercise="block_parameters"
# ### Exercise: `block_parameters` (medium, 15 minutes)
#
# **Count by hand.** A bottleneck block takes `channels` and gives 4 · `width`: a 1×1 convolution to an inner width, a 3×3
# from inner to inner, a 1×1 from inner to 4 · width. In ResNet the inner width is `width`; in ResNeXt the 3×3 has
# `groups` groups and the inner width is groups · (width · `group_width` / 64). A group sees only its own channels. Where
# `channels` is not 4 · width, the shortcut is a 1×1 convolution too. No convolution has a bias (a norm follows): how many
# weights?


# %% exercise="block_parameters"
def block_parameters(channels: int, width: int, groups: int, group_width: int) -> int:
    """channels in; width, groups and group width of the block (ResNet: 1 and 64) -> its weights."""
    ...


ex.block_parameters.check(block_parameters)
# Stuck? ex.block_parameters.hint(), and at the end ex.block_parameters.solution()

# %% [markdown]
# Sum over all blocks, and compare with what torchvision publishes for the whole classifiers (less its last layer and less its
# norms, which are frozen here and no parameters):

# %%
from torchvision.models import ResNet50_Weights, ResNeXt50_32X4D_Weights


def by_hand(name: str) -> int:
    _, depths, base, groups, group_width = backbone.RESNETS[name]
    weights, channels = 3 * base * 7 * 7, base  # the stem
    for stage, depth in enumerate(depths):
        for _ in range(depth):
            weights += ex.block_parameters.answer(channels, base * 2**stage, groups, group_width)
            channels = 4 * base * 2**stage
    return weights


published = {"resnet50": ResNet50_Weights.IMAGENET1K_V1.meta["num_params"],
             "resnext50_32x4d": ResNeXt50_32X4D_Weights.IMAGENET1K_V1.meta["num_params"]}  # fmt: skip
for name in ("resnet50", "resnet101", "resnext50_32x4d", "resnext101_64x4d"):
    with torch.device("meta"):
        net = backbone.ResNet(name, nn.BatchNorm2d)
    convolutions = sum(p.numel() for p in net.parameters() if p.ndim == 4)
    norms = sum(p.numel() for p in net.parameters() if p.ndim == 1)
    assert by_hand(name) == convolutions
    assert name not in published or published[name] == convolutions + norms + 2048 * 1000 + 1000
    print(f"{name:17} {convolutions:>11,} weights in convolutions, {norms:>8,} scales and shifts of norms")


# %% [markdown] exercise="resnext_block"
# ### Exercise: `resnext_block` (medium, 10 minutes)
#
# A **ResNeXt block**, its norms left out: 1×1 (`w1 [D, C, 1, 1]`), ReLU, 3×3 in `groups` groups that keeps the size (`w2
# [D, D / groups, 3, 3]`), ReLU, 1×1 (`w3 [C, D, 1, 1]`); then the input is **added**, and a ReLU comes last. With one
# group it is a ResNet block. `F.conv2d(x, weight, padding=…, groups=…)` is at hand.


# %% exercise="resnext_block"
def resnext_block(x: Tensor, w1: Tensor, w2: Tensor, w3: Tensor, groups: int) -> Tensor:
    """x [N, C, H, W]; w1 [D, C, 1, 1], w2 [D, D / groups, 3, 3], w3 [C, D, 1, 1] -> [N, C, H, W]."""
    ...


ex.resnext_block.check(resnext_block)
# Stuck? ex.resnext_block.hint(), and at the end ex.resnext_block.solution()

# %% [markdown]
# The package's block is the same with a norm after each convolution:

# %%
print(inspect.getsource(backbone.Bottleneck.forward))

# %% [markdown]
# ## C4's heads, tensor by tensor
#
# Now run the heads of the paper's ResNet-50-C4 on 64 crops, with a hook on every layer that changes the shape:


# %%
def trace(parts: dict[str, nn.Module], run, x: Tensor) -> dict[str, list[int]]:
    """Run something and note the shape that comes out of each of the named modules."""
    shapes = {"crop": list(x.shape)}
    hooks = [
        part.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: list(out.shape)}))
        for name, part in parts.items()
    ]
    run(x)
    for hook in hooks:
        hook.remove()
    for name, shape in shapes.items():
        print(f"  {name:16} {shape}")
    return shapes


with torch.device("meta"), torch.no_grad():
    c4 = m.build_model(m.Config.named("r50-c4"))
    box, mask = c4.heads["box"], c4.heads["mask"]
    crop = torch.empty(64, 1024, 7, 7)
    print("box head")
    res5, average, flat = box.body
    parts = {"res5": res5, "average": average, "flat": flat, "classes": box.cls_score, "boxes": box.bbox_pred}
    of_box = trace(parts, lambda x: [layer(box.body(x)) for layer in (box.cls_score, box.bbox_pred)], crop)
    print("mask head")
    parts = {"res5": mask.body, "deconvolution": mask.layers.deconv, "masks": mask.layers.mask_logits}
    of_mask = trace(parts, lambda x: mask.layers(mask.body(x)), crop)
assert of_mask["res5"] == of_box["res5"] == [64, 2048, 7, 7] and of_box["flat"] == [64, 2048]
assert of_mask["deconvolution"] == [64, 256, 14, 14] and of_mask["masks"] == [64, 80, 14, 14]
print("one res5 for both:", mask.body is res5)

# %% [markdown]
# Three things that are often told wrongly:
#
# - The 14 × 14 × 256 is **not a second crop**. It is a 2 × 2 deconvolution of res5's 7 × 7 × 2048, so the mask branch begins
#   *after* res5 and shares it with the box branch.
# - res5 keeps 7 × 7 because the paper sets its stride to 1; in a classifier it is 2. Detectron and detectron2 crop 14 × 14 and
#   keep the stride. Both give 7 × 7 × 2048, and K. He reports about the same accuracy (Detectron issue 118).
# - In *use* the mask branch runs after the box branch, on other boxes, the refined ones: res5 is shared as weights, and computed
#   a second time.

# %%
with torch.device("meta"), torch.no_grad():
    detectron = backbone.stage("resnet50", 5, backbone.norm_layer("frozen_bn"), stride=2)
    print("14 x 14 with stride 2:", list(detectron(torch.empty(64, 1024, 14, 14)).shape))
own = sum(p.numel() for p in mask.layers.parameters())
print(f"parameters of the mask branch's own: {own:,}; of res5: {sum(p.numel() for p in res5.parameters()):,}")
assert own == (2048 * 256 * 2 * 2 + 256) + (256 * 80 + 80)


# %% [markdown] exercise="c4_heads"
# ### Exercise: `c4_heads` (medium, 15 minutes)
#
# **Both heads of C4** (Figure 4, left) start from the *same* output of res5, `x [R, 2048, 7, 7]` (fewer channels here).
# Box branch: the **average** over the cells, then a fully connected layer, `classes [K + 1, C]` (its bias and the boxes
# are left out). Mask branch: a 2×2 **deconvolution** of stride 2 (`deconv [C, D, 2, 2]`, which doubles the sides), ReLU,
# a 1×1 convolution (`masks [K, D, 1, 1]`). Return both as logits: `[R, K + 1]` and `[R, K, 14, 14]`.


# %% exercise="c4_heads"
def c4_heads(x: Tensor, classes: Tensor, deconv: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """x [R, C, S, S]; classes [K + 1, C], deconv [C, D, 2, 2], masks [K, D, 1, 1]
    -> class logits [R, K + 1], mask logits [R, K, 2S, 2S]."""
    ...


ex.c4_heads.check(c4_heads)
# Stuck? ex.c4_heads.hint(), and at the end ex.c4_heads.solution()

# %% [markdown]
# ## FPN: meaning from above, places from below
#
# C5 knows *what* is there and only roughly where; C2 knows where every edge is and not what it belongs to. The pyramid adds the
# two from the top down:
#
# $$S_5 = W_5 * C_5, \qquad S_l = W_l * C_l + \text{enlarged}(S_{l+1}), \qquad P_l = V_l * S_l$$
#
# with 1 × 1 convolutions $W_l$ to 256 channels and 3 × 3 convolutions $V_l$.

# %% [markdown] exercise="top_down"
# ### Exercise: `top_down` (medium, 15 minutes)
#
# The **top-down path** of the FPN. `laterals` are C2 … C5 after their 1×1 convolutions, finest first, all of C channels.
# From the coarsest to the finest: **enlarge** what has been summed so far to the size of the next map (each cell
# repeated, "nearest"), **add**. Give all sums, finest first (the 3×3 convolutions that smooth them come afterwards).


# %% exercise="top_down"
def top_down(laterals: list[Tensor]) -> list[Tensor]:
    """laterals: L maps [N, C, Hl, Wl], finest first -> the sums, the same shapes."""
    ...


ex.top_down.check(top_down)
# Stuck? ex.top_down.hint(), and at the end ex.top_down.solution()

# %%
print(inspect.getsource(fpn.FPN.forward))
with torch.device("meta"), torch.no_grad():
    pyramid = fpn.FPN([256, 512, 1024, 2048], 256)(maps)
for number, feature in zip((2, 3, 4, 5, 6), pyramid):
    print(f"P{number}: {list(feature.shape)}")
assert {p.shape[1] for p in pyramid} == {256} and pyramid[-1].shape[2:] == (13, 21)

# %% [markdown]
# P6 is every second cell of P5, for the largest anchors of the RPN alone; no crop is taken from it. Where do meaning and place
# show? Below, one picture of shapes in the trained tiny network, and the strongest response in each cell: of C2 and C5, the two
# ends of the body; of P5, where the pyramid starts; and of P2, where it ends and has both.

# %%
model = m.load(ASSETS / "shapes.safetensors")
image, _ = m.open_dataset("shapes", split="val", length=5, progress=False)[4]
with torch.no_grad():
    batch, _ = model.prepare([image])
    from_body = model.backbone.body(batch.images)
    from_pyramid = model.backbone(batch.images)
figure = Figure(figsize=(9, 2.4))
panels = {"picture": None, "C2": from_body[0], "C5": from_body[-1], "P5": from_pyramid[3], "P2": from_pyramid[0]}
for n, (title, feature) in enumerate(panels.items()):
    axes = figure.add_subplot(1, 5, n + 1)
    if feature is None:
        axes.imshow(image.permute(1, 2, 0).clamp(0, 1))
    else:
        axes.imshow(feature[0].abs().amax(0), cmap="magma")
        title += f": {feature.shape[2]} × {feature.shape[3]}"
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=10)
show(
    figure,
    "A picture of shapes and its maps: C2 shows edges everywhere, C5 and P5 are blocks of 4 by 4 cells, P2 shows the objects finely",
)


# %% [markdown]
# ## From which level is a box cropped?
#
# $$k = \left\lfloor k_0 + \log_2 \frac{\sqrt{wh}}{224} \right\rfloor, \qquad k_0 = 4$$
#
# *Why 224 and 4?* The body was trained on pictures of 224 × 224, whole objects. A box of that size is such a picture, and single
# map networks crop it from C4: so it goes to P4. A box of half the side has the same number of cells one level lower. *Must it
# change with the size of the picture?* No: it counts pixels of the network's input.

# %% [markdown] exercise="pyramid_level"
# ### Exercise: `pyramid_level` (easy, 10 minutes)
#
# **From which level is a box cropped?** FPN eq. 1: k = ⌊4 + log2(√(w · h) / 224)⌋, kept within 2 … 5. `boxes [R, 4]` in
# pixels of the network's input → k, `[R]`. A box of 224 × 224, the size of the pictures of ImageNet, belongs to P4; one
# of half its side is exactly P3's smallest.


# %% exercise="pyramid_level"
def pyramid_level(boxes: Tensor) -> Tensor:
    """boxes [R, 4] (x1, y1, x2, y2) in pixels -> the level of each, 2..5, [R]."""
    ...


ex.pyramid_level.check(pyramid_level)
# Stuck? ex.pyramid_level.hint(), and at the end ex.pyramid_level.solution()

# %%
sides = torch.logspace(1, 3, 400, base=10)
figure = Figure(figsize=(7, 2.6))
axes = figure.add_subplot()
square = torch.stack([torch.zeros_like(sides), torch.zeros_like(sides), sides, sides], 1)
thin = torch.stack([torch.zeros_like(sides), torch.zeros_like(sides), 4 * sides, sides], 1)
axes.step(sides, ex.pyramid_level.answer(square), color=BLUE, where="post", linewidth=2.4, label="square")
axes.step(
    sides, ex.pyramid_level.answer(thin), "--", color=ORANGE, where="post", linewidth=2, label="four times as wide"
)
for side in (112, 224, 448):
    axes.axvline(side, color=GREY, linewidth=0.8, linestyle=":")
axes.set(xscale="log", xlabel="height of the box, pixels", yticks=[2, 3, 4, 5], yticklabels=["P2", "P3", "P4", "P5"])
axes.set_xticks([10, 28, 56, 112, 224, 448, 1000], ["10", "28", "56", "112", "224", "448", "1000"])
axes.minorticks_off()
axes.legend(frameon=False, loc="upper left")
show(
    figure,
    "Level against height: steps up at 112, 224 and 448 pixels for squares, at half of those for boxes four times as wide",
)
examples = torch.tensor([[0.0, 0, side, side] for side in (20, 111, 112, 160, 224, 448, 900)])
levels = roi_ops.RoIPooler(roi_ops.align_levels, 7, [1 / 4, 1 / 8, 1 / 16, 1 / 32]).levels(
    torch.nn.functional.pad(examples, (1, 0))
)
print({int(box[2]): f"P{level + 2}" for box, level in zip(examples, levels.tolist())})
assert (levels + 2).tolist() == [2, 2, 3, 3, 4, 5, 5]

# %% [markdown]
# What it does *not* know is your data. The shapes of this course are 10 to 60 pixels wide. With 224 nearly all would be cropped
# from P2, and three levels would be idle; the tiny configuration puts 56 in its place.

# %%
targets = [m.open_dataset("shapes", split="val", length=200, progress=False)[i][1] for i in range(200)]
rois = torch.nn.functional.pad(torch.cat([target["boxes"] for target in targets]), (1, 0))
shares = {}
for canonical in (224, 56):
    pooler = roi_ops.RoIPooler(
        roi_ops.align_levels, 7, [1 / 4, 1 / 8, 1 / 16, 1 / 32], canonical_size=canonical, canonical_level=4
    )
    shares[canonical] = torch.bincount(pooler.levels(rois), minlength=4) / len(rois)
    print(f"{canonical:3}: " + ", ".join(f"P{n + 2} {share:.0%}" for n, share in enumerate(shares[canonical].tolist())))
assert shares[224][0] > 0.95 and shares[56].max() < 0.7

# %% [markdown]
# The levels are for the RPN too: FPN has **one** anchor size a level, C4 **five** on its one map. `((32, 64, …),)` and `((32,),
# (64,), …)` are not the same, and the wrong one is the usual cause of "number of anchors does not match".

# %%
for name in ("r50-fpn", "r50-c4"):
    with torch.device("meta"):
        grid = m.build_model(m.Config.named(name)).rpn.anchor_grid
    sizes = [tuple(p.shape[2:]) for p in pyramid] if name == "r50-fpn" else [tuple(maps[2].shape[2:])]
    counts = [h * w * grid.num_anchors for h, w in sizes]
    print(f"{name}: {' + '.join(map(str, counts))} = {sum(counts):,} anchors, {grid.num_anchors} a cell")
    assert sum(counts) == {"r50-fpn": 268_569, "r50-c4": 63_000}[name]

# %% [markdown]
# ## FPN's heads, tensor by tensor
#
# Two **different crops** of the same boxes: 7 × 7 for the box head, 14 × 14 for the mask head.

# %%
with torch.device("meta"), torch.no_grad():
    network = m.build_model(m.Config.named("r50-fpn"))
    box, mask = network.heads["box"], network.heads["mask"]
    print("box head")
    flat, first, _, second, _ = box.body
    parts = {"flat": flat, "FC 1": first, "FC 2": second, "classes": box.cls_score, "boxes": box.bbox_pred}
    of_box = trace(
        parts, lambda x: [layer(box.body(x)) for layer in (box.cls_score, box.bbox_pred)], torch.empty(512, 256, 7, 7)
    )
    print("mask head")
    parts = {f"convolution {n + 1}": layer for n, layer in enumerate(mask.layers.convs)}
    parts |= {"deconvolution": mask.layers.deconv, "masks": mask.layers.mask_logits}
    of_mask = trace(parts, lambda x: mask.layers(mask.body(x)), torch.empty(128, 256, 14, 14))
assert of_box["flat"] == [512, 12544] and of_box["FC 1"] == of_box["FC 2"] == [512, 1024]
assert of_mask["convolution 4"] == [128, 256, 14, 14] and of_mask["masks"] == [128, 80, 28, 28]

# %% [markdown]
# So there are **two 14 × 14**, and they have nothing to do with each other: C4's is the *result*, its masks are 14 × 14; FPN's is
# the *crop*, its masks are 28 × 28.
#
# Click through four networks; press `C4's cost` and `12.8 million`:

# %%
widgets.show("architecture", state="deconv")

# %% [markdown]
# ## What it costs
#
# Work is counted in GMAC here: billions of multiply-adds (multiply and accumulate). Predict first: which has more parameters,
# ResNet-50-C4 or ResNet-50-FPN? Which computes more for a picture? And which layer has most of the parameters of FPN's heads?

# %%
networks = {
    f"{title}-{arch}": describe(m.Config.named(f"r50-{arch.lower()}").replace(backbone=body_name), PICTURE)
    for title, body_name in (("R50", "resnet50"), ("R101", "resnet101"), ("X101", "resnext101_64x4d"))
    for arch in ("C4", "FPN")
}
print(f"{'':9}{'parameters':>12}{'GMAC':>7}   of which trunk and RPN, box head, mask head (GMAC)")
for name, network in networks.items():
    heads = [network.part(f"{head} head").macs / 1e9 for head in ("box", "mask")]
    trunk = network.macs / 1e9 - sum(heads)
    print(f"{name:9}{network.parameters:12,}{network.macs / 1e9:7.0f}   {trunk:5.0f} {heads[0]:5.0f} {heads[1]:5.0f}")
assert (
    networks["R50-C4"].parameters < networks["R50-FPN"].parameters
    and networks["R50-C4"].macs > networks["R50-FPN"].macs
)

# %%
figure = Figure(figsize=(8, 3))
axes = figure.add_subplot()
names = list(networks)[::-1]
left = [0.0] * len(names)
for parts, label, colour in (
    (("backbone", "FPN", "RPN"), "backbone, FPN, RPN", BLUE),
    (("box head",), "box head (C4: 300 RoIs, FPN: 1000)", ORANGE),
    (("mask head",), "mask head (100 RoIs)", GREEN),
):
    widths = [sum(part.macs for part in networks[name].parts if part.name in parts) / 1e9 for name in names]
    axes.barh(names, widths, left=left, color=colour, label=label, edgecolor="white")
    left = [a + b for a, b in zip(left, widths)]
axes.set_xlabel("billions of multiply-adds for a picture of 800 × 1344")
axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=9)
show(
    figure,
    "Bars of six networks: each C4 network is longer than its FPN twin, and about half of it is the box head's, in FPN a sliver",
)

# %% [markdown]
# C4 has *fewer* parameters and computes *more*: its res5 runs 300 times on 7 × 7 × 1024, FPN's two layers are one matrix product
# each. In FPN's box head 90 % of the parameters are in one layer, 12,544 × 1024. That is why C4 gets 300 proposals in use and 64
# RoIs in training, FPN 1000 and 512.
#
# Are these figures right? Against those that others have published:

# %%
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

with torch.device("meta"):
    torchvisions = describe(m.Config.named("r50-fpn").replace(num_classes=91), (800, 800))
masks = torchvisions.part("mask head")
meta = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta  # 44,401,393 parameters, "134.38" in torchvision's table
unused = 256 + 1  # its mask head has a plane for the background too
print(f"parameters: {torchvisions.parameters + unused:,}, torchvision says {meta['num_params']:,}")
print(f"without masks, 1000 RoIs: {(torchvisions.macs - masks.macs) / 1e9:.2f} GMAC, torchvision says {meta['_ops']}")
assert torchvisions.parameters + unused == meta["num_params"] == 44_401_393
assert round((torchvisions.macs - masks.macs) / 1e9, 2) == meta["_ops"] == 134.38
of_mask = networks["R50-FPN"].part("mask head")
print(f"the mask head: {of_mask.parameters:,} parameters, {of_mask.macs / 1e9 / 100:.2f} GMAC a RoI")
assert of_mask.parameters == 2_643_280 and round(of_mask.macs / 1e9 / 100, 2) == 0.53

# %% [markdown]
# Equal to the last digit, and it tells what torchvision's "134.38 GFLOPS" is: *multiply-adds*, of a picture of 800 × 800, of a
# network with random weights that detects nothing, so that no mask is computed. A hundred masks are 53 GMAC more; a mask for
# each of 1000 proposals would be 530. That is the reason for the cascade.
#
# ## Time is something else
#
# Multiply-adds are not seconds. Below, the parts run on one core of this processor, on a picture of 256 × 256 and a few RoIs;
# look at the ratios.


# %% tags=["nbval-ignore-output"]
def seconds(run, times: int = 2) -> float:
    """Of the processor, for one run: the least of some, after one that does not count."""
    run()
    took = []
    for _ in range(times):
        start = time.thread_time()
        run()
        took.append(time.thread_time() - start)
    return min(took)


small, few = (256, 256), 16
corner = torch.rand(few, 2, generator=torch.Generator().manual_seed(0)) * 100
rois = torch.cat([torch.zeros(few, 1), corner, corner + 100], 1)
part_times, part_macs = {}, {}
with torch.inference_mode():
    picture = torch.rand(1, 3, *small)
    for name in ("r50-c4", "r50-fpn"):
        config = m.Config.named(name)
        network = m.build_model(config).eval()
        features = network.backbone(picture)
        told = describe(config.replace(min_size=256), small, num_rois=few)
        runs = {
            "trunk": lambda network=network: network.rpn(network.backbone(picture), small),
            "box head": partial(network.heads["box"], features, rois),
            "mask head": partial(network.heads["mask"], features, rois),
        }
        for part, run in runs.items():
            part_times[name, part] = seconds(run)
            names = (part,) if "head" in part else ("backbone", "FPN", "RPN")
            part_macs[name, part] = sum(p.macs for p in told.parts if p.name in names)
    for name in ("resnet50", "resnet101", "resnext101_64x4d"):
        net = backbone.ResNet(name, backbone.norm_layer("frozen_bn")).eval()
        part_times[name, "body"] = seconds(partial(net, picture))
        with torch.device("meta"):
            body_name = describe(m.Config.named("r50-fpn").replace(backbone=name, min_size=256), small)
        part_macs[name, "body"] = body_name.part("backbone").macs
unit, unit_macs = part_times["resnet50", "body"], part_macs["resnet50", "body"]
print(f"{'relative to the body of ResNet-50':36}{'time':>6}{'multiply-adds':>15}")
for key in part_times:
    print(f"{' '.join(key):36}{part_times[key] / unit:6.2f}{part_macs[key] / unit_macs:15.2f}")
assert part_times["r50-c4", "box head"] > 3 * part_times["r50-fpn", "box head"]
assert part_times["resnet101", "body"] > 1.2 * unit

# %% tags=["nbval-ignore-output"]
whole = {}
for name, proposals in (("r50-c4", 300), ("r50-fpn", 1000)):
    area = PICTURE[0] * PICTURE[1] / (small[0] * small[1])
    each = [
        part_times[name, "trunk"] * area,
        part_times[name, "box head"] / few * proposals,
        part_times[name, "mask head"] / few * 100,
    ]
    whole[name] = sum(each)
    print(f"{name}: " + ", ".join(f"{part} {t / sum(each):.0%}" for part, t in zip(("trunk", "boxes", "masks"), each)))
print(f"put together for 800 x 1344: C4 takes {whole['r50-c4'] / whole['r50-fpn']:.1f} times as long as FPN")
print(f"in multiply-adds it is {networks['R50-C4'].macs / networks['R50-FPN'].macs:.1f}")
assert whole["r50-c4"] > whole["r50-fpn"]

# %% [markdown]
# The paper measured 195 ms for ResNet-101-FPN and about 400 ms for ResNet-101-C4 on a Tesla M40, a ratio of 2.05, and says: "we do
# not recommend using the C4 variant in practice" (section 4.4). The multiply-adds of those two differ by a factor of 1.4 only: what
# is not counted, and how well a processor can be kept busy, makes the rest. Grouped convolutions show it best. Compare, in the
# table, how ResNeXt-101's time and its multiply-adds relate to those of ResNet-50: it depends on the library, on the processor, and
# on nothing in the paper.
#
# ## What the paper reports and what we measured
#
# | | mask AP, paper | parameters, here | GMAC, here |
# | --- | --- | --- | --- |
# | ResNet-50-C4 | 30.3 (Table 2a) | 35.9 M | 414 |
# | ResNet-101-C4 | 32.7 (Table 2a) | 54.9 M | 494 |
# | ResNet-50-FPN | 33.6 (Table 2a) | 44.3 M | 269 |
# | ResNet-101-FPN | 35.4 (Table 2a) | 63.3 M | 348 |
# | ResNeXt-101-FPN (64 × 4d here) | 36.7 (Table 2a) | 102.1 M | 513 |
#
# FPN instead of C4 is worth 3.3 points at ResNet-50 *and* computes less; ResNet-101 instead of ResNet-50 is worth 1.8 to 2.4
# points (Table 2a).
# The accuracy at COCO's size is not measured here: that takes 8 GPUs for one to two days.

# %%
told = {
    "R50-C4": (35.9, 414),
    "R101-C4": (54.9, 494),
    "R50-FPN": (44.3, 269),
    "R101-FPN": (63.3, 348),
    "X101-FPN": (102.1, 513),
}
for name, (millions, macs) in told.items():
    assert round(networks[name].parameters / 1e6, 1) == millions and round(networks[name].macs / 1e9) == macs
    print(f"{name}: {networks[name].parameters / 1e6:.1f} M parameters, {networks[name].macs / 1e9:.0f} GMAC")
layer = networks["R50-FPN"].part("box head").steps[2]
print(
    f"of the parameters of FPN's box head {layer.parameters / networks['R50-FPN'].part('box head').parameters:.0%} are in the first FC"
)
ratio = networks["R101-C4"].macs / networks["R101-FPN"].macs
print(f"R101: C4 computes {ratio:.1f} times as much as FPN; the paper's times: {400 / 195:.2f}")
assert round(ratio, 1) == 1.4

# %% [markdown]
# ## Five questions
#
# Nobody sees your answers; each is explained.

# %%
quiz("07")

# %% [markdown]
# ## Recap
#
# - C4: one map, res5 in the heads: 7 × 7 × 1024 → 7 × 7 × 2048 → average; the same 2048 → deconvolution → 14 × 14 × 256 →
#   14 × 14 × 80.
# - FPN: 7 × 7 × 256 → 1024 → 1024, and another crop, 14 × 14 × 256 four times → 28 × 28 × 256 → 28 × 28 × 80.
# - ResNeXt is a ResNet whose 3 × 3 is cut into groups and made wider.
# - The pyramid sums from the top down; the level follows from √(wh), rounded *down*.
# - Parameters, multiply-adds and time are three different orders.
#
# **Glossary:** backbone 백본 · head 헤드 · feature pyramid 특징 피라미드 · residual block 잔차 블록 · group convolution 그룹
# 합성곱 · deconvolution (transposed convolution) 전치 합성곱 · fully connected layer 완전 연결 층
