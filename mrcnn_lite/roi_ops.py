"""RoIPool, RoIWarp and RoIAlign: an S x S crop of the feature map for every box, each once to read and once to run.

They differ in what they round (Mask R-CNN, section 3 "RoIAlign", and 4.2; RoIPool is Fast R-CNN's, section 2.1):

    op      RoI           bins                the value of a bin
    pool    rounded       rounded, overlap    maximum of its cells
    warp    as in pool    not rounded         bilinear at regular points, then mean or maximum
    align   not rounded   not rounded         bilinear at regular points, then mean or maximum

`*_reference` are the texts to read: plain loops. `*_levels` (`ROI_OPS`) take all pyramid levels at once, check nothing
and are fast; a test holds the two equal. `roi_*` check their input, then call the fast form on one map. Features get
a gradient, boxes none ("approximate joint training", Faster R-CNN section 3.2). Read next: `fpn.py`.
Letters: N images, L levels, C channels, H W size of a map, R RoIs over the batch, S output side, n points along a side
of a bin, T = S (for a maximum S * n), B = R * T * T bins, E entries (bin, cell, weight), D rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# From how many channels on, by device, the mean of a fixed number of points is one `embedding_bag`; otherwise it is
# torchvision's kernel. A bag costs per entry, hardly per channel. To be measured on a GPU: benchmarks/roi_align.py.
TABLE_CHANNELS = {"cpu": 8}


def bilinear(feature: Tensor, y: float, x: float) -> Tensor:
    """The value [C] of `feature` [C, H, W] at (y, x), where the value of cell (i, j) sits at (i, j). Up to one cell
    outside the map the border's value holds, further out 0 (so in every common RoIAlign)."""
    height, width = feature.shape[-2:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return feature.new_zeros(feature.shape[0])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left  # 0..1: how far below the upper row, how far right of the left column
    rows = (1 - across) * feature[:, [top, bottom], left] + across * feature[:, [top, bottom], right]  # [C, 2]
    return (1 - down) * rows[:, 0] + down * rows[:, 1]


def roi_align_reference(features: Tensor, rois: Tensor, size: int, scale: float, *, sampling_ratio: int = 2,
                        reduce: str = "mean", half_pixel: bool = True) -> Tensor:  # fmt: skip
    """`roi_align` as a text to read: same arguments, same result."""
    crops = [features[:0, :, :1, :1].expand(-1, -1, size, size)]  # no RoI yet
    for image, *box in rois.tolist():
        x1, y1, x2, y2 = (side * scale - (0.5 if half_pixel else 0.0) for side in box)  # in cells, nothing rounded
        least = 0.0 if half_pixel else 1.0  # older code makes every RoI at least one cell large
        bin_width, bin_height = max(x2 - x1, least) / size, max(y2 - y1, least) / size
        across = sampling_ratio or math.ceil(bin_width)  # points a bin; 0 is adaptive: about one a cell
        down = sampling_ratio or math.ceil(bin_height)
        bins = []
        for i in range(size):
            for j in range(size):
                ys = [y1 + i * bin_height + (s + 0.5) * bin_height / down for s in range(down)]
                xs = [x1 + j * bin_width + (s + 0.5) * bin_width / across for s in range(across)]
                values = [bilinear(features[int(image)], y, x) for y in ys for x in xs]
                points = torch.stack(values or [features.new_zeros(features.shape[1])])  # [down * across, C]
                bins.append(points.mean(0) if reduce == "mean" else points.amax(0))
        crops.append(torch.stack(bins, 1).view(1, -1, size, size))  # S * S times [C] -> [1, C, S, S]
    return torch.cat(crops)  # [R, C, S, S]


def roi_warp_reference(features: Tensor, rois: Tensor, size: int, scale: float, **options: Any) -> Tensor:
    """`roi_warp` as a text to read: round the RoI to whole cells as RoIPool does, then align."""
    return roi_align_reference(features, snap_to_cells(rois, scale), size, 1.0, **options)


def roi_pool_reference(features: Tensor, rois: Tensor, size: int, scale: float) -> Tensor:
    """`roi_pool` as a text to read: same arguments, same result."""
    crops = [features[:0, :, :1, :1].expand(-1, -1, size, size)]  # no RoI yet
    for image, x1, y1, x2, y2 in snap_to_cells(rois, scale).to(torch.int64).tolist():
        bin_width, bin_height = (x2 - x1) / size, (y2 - y1) / size
        bins = []
        for i in range(size):
            for j in range(size):  # the second rounding goes outwards: neighbouring bins may share cells
                top, bottom = max(y1 + math.floor(i * bin_height), 0), max(y1 + math.ceil((i + 1) * bin_height), 0)
                left, right = max(x1 + math.floor(j * bin_width), 0), max(x1 + math.ceil((j + 1) * bin_width), 0)
                cells = features[image, :, top:bottom, left:right].flatten(1)  # [C, cells], none if off the map
                bins.append(cells.max(1).values if cells.numel() else features.new_zeros(features.shape[1]))
        crops.append(torch.stack(bins, 1).view(1, -1, size, size))  # S * S times [C] -> [1, C, S, S]
    return torch.cat(crops)  # [R, C, S, S]


def snap_to_cells(rois: Tensor, scale: float | Tensor) -> Tensor:
    """RoIPool's first rounding: RoIs [R, 5] in image pixels -> in whole cells, first to last, the last one included."""
    sides = rois[:, 1:] * scale
    whole = sides.trunc() + sides.sign() * ((sides - sides.trunc()).abs() >= 0.5)  # as in C: 4.5 -> 5
    return torch.cat([rois[:, :1], whole[:, :2], whole[:, 2:] + 1], dim=1)  # + 1: the end of the last cell


def align_levels(features: Sequence[Tensor], rois: Tensor, levels: Tensor, size: int, scales: Sequence[float], *,
                 sampling_ratio: int = 2, reduce: str = "mean", half_pixel: bool = True) -> Tensor:  # fmt: skip
    """RoIAlign of RoIs [R, 5], each on its level [R] of `features` (L maps [N, C, Hl, Wl]) -> [R, C, S, S].

    Sampling is linear: a bin is a weighted sum of a few cells. With every cell of every level and image as a row of one
    table, all bins are the bags of one `embedding_bag`, without a loop over levels, images or RoIs."""
    fewest = TABLE_CHANNELS.get(rois.device.type, math.inf)
    if reduce == "mean" and (not sampling_ratio or features[0].shape[1] < fewest):
        return _torchvision("roi_align", features, rois, levels, size, scales, sampling_ratio, half_pixel)
    rois = rois.detach().to(torch.promote_types(features[0].dtype, torch.float32))  # half cannot tell 2048 from 2049
    table = torch.cat([f.flatten(2).transpose(1, 2) for f in features], dim=1).flatten(0, 1).to(rois.dtype)  # [D, C]
    sizes = torch.tensor([f.shape[2:] for f in features], device=rois.device)  # [L, 2]
    first_rows = sizes.prod(1).cumsum(0) - sizes.prod(1)  # [L]: where a level starts among the cells of an image
    start = rois[:, :1].long() * (len(table) // len(features[0])) + first_rows[levels, None]  # [R, 1]
    place = torch.cat([start, sizes[levels]], dim=1).int()  # [R, 3]: row of the map's cell (0, 0), height and width
    box = rois[:, 1:] * rois.new_tensor(scales)[levels, None] - (0.5 if half_pixel else 0.0)  # in cells
    extent = (box[:, 2:] - box[:, :2]).clamp(min=0.0 if half_pixel else 1.0)  # [R, 2] (x, y)
    if sampling_ratio or not len(rois):
        crops = _crops(table, place, box, extent, size, [sampling_ratio or 1] * 2, reduce)
    else:  # adaptive: one call for all RoIs with equally many points
        points = (extent / size).ceil().clamp(min=1).int()  # [R, 2] (x, y)
        groups = [(points == pair).all(1).nonzero()[:, 0] for pair in points.unique(dim=0)]
        parts = [_crops(table, place[g], box[g], extent[g], size, points[g[0]].tolist(), reduce) for g in groups]
        crops = torch.cat(parts)[torch.cat(groups).argsort()] * (extent > 0).all(1)[:, None, None, None]
    return crops.permute(0, 3, 1, 2).to(features[0].dtype)  # [R, C, S, S]


def warp_levels(features: Sequence[Tensor], rois: Tensor, levels: Tensor, size: int, scales: Sequence[float],
                **options: Any) -> Tensor:  # fmt: skip
    """RoIWarp: `align_levels` of RoIs rounded to whole cells."""
    cells = snap_to_cells(rois, rois.new_tensor(scales)[levels, None])
    return align_levels(features, cells, levels, size, [1.0] * len(features), **options)


def _torchvision(name: str, features: Sequence[Tensor], rois: Tensor, levels: Tensor, size: int,
                 scales: Sequence[float], *options: Any, **unused: Any) -> Tensor:  # fmt: skip
    """An op of torchvision, summed over the levels; a RoI of another level is moved off the map, where every op is 0.
    WHY not choose a level's RoIs: for their number the host would wait for the GPU."""
    from torchvision import ops  # WHY here: importing it takes as long as torch

    rois = rois.detach().to(torch.promote_types(features[0].dtype, torch.float32))
    far = torch.cat([rois[:, :1], torch.full_like(rois[:, 1:], -1e4)], dim=1)
    mine = [torch.where((levels == level)[:, None], rois, far) for level in range(len(features))]
    crops = [getattr(ops, name)(f.to(r.dtype), r, size, s, *options) for f, r, s in zip(features, mine, scales)]
    return sum(crops[1:], crops[0]).to(features[0].dtype)


pool_levels = partial(_torchvision, "roi_pool")  # RoIPool samples no points: the options of the others are unused
ROI_OPS: dict[str, Callable[..., Tensor]] = {"pool": pool_levels, "warp": warp_levels, "align": align_levels}


class WeightedRows(torch.autograd.Function):
    """out[b] = sum of weights[e] * table[rows[e]] over the entries starts[b] <= e < starts[b + 1] of bin b.
    table [D, C]; rows, weights [E]; starts [B + 1] -> [B, C]. Backward is the same with rows and bins exchanged."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, weights: Tensor, starts: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weights, starts)
        ctx.num_rows = len(table)
        return F.embedding_bag(rows, table, starts, per_sample_weights=weights, mode="sum", include_last_offset=True)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        rows, weights, starts = ctx.saved_tensors
        bins = torch.arange(len(grad)).to(rows).repeat_interleave(starts.diff(), output_size=len(rows))  # [E]
        rows, order = rows.sort(stable=True)  # WHY: to gather by row is faster than to scatter into rows
        starts = F.pad(torch.bincount(rows, minlength=ctx.num_rows).cumsum(0), (1, 0)).int()
        return WeightedRows.apply(grad.contiguous(), bins[order], weights[order], starts), None, None, None


def _crops(table: Tensor, place: Tensor, box: Tensor, extent: Tensor, size: int, points: list[int],
           reduce: str) -> Tensor:  # fmt: skip
    """Crops [R, S, S, C] of RoIs `box` [R, 4], of `extent` [R, 2] (x, y), in cells; `points` (x, y) a bin."""
    row, height, width = place[:, :, None, None].unbind(1)  # [R, 1, 1]
    alone = reduce == "max"  # then every point is a bin of its own
    xs, x_weights = _axis(box[:, 0], extent[:, 0], width, size, points[0], alone)  # [R, T, 2n]
    ys, y_weights = _axis(box[:, 1], extent[:, 1], height, size, points[1], alone)
    rows = (row + ys * width)[:, :, None, :, None] + xs[:, None, :, None, :]
    weights = y_weights[:, :, None, :, None] * x_weights[:, None, :, None, :]  # [R, T, T, 2n, 2n], as rows
    entries = weights.flatten().nonzero()[:, 0]  # [E]
    starts = F.pad((weights != 0).flatten(3).sum(3).flatten().cumsum(0), (1, 0)).int()  # [B + 1]
    bins = WeightedRows.apply(table, rows.flatten()[entries], weights.flatten()[entries], starts)  # [B, C]
    bins = bins.view(len(rows), size, ys.shape[1] // size, size, xs.shape[1] // size, table.shape[1])
    return bins.amax((2, 4)) if alone else bins[:, :, 0, :, 0]


def _axis(start: Tensor, extent: Tensor, length: Tensor, size: int, n: int, alone: bool) -> tuple[Tensor, Tensor]:
    """Along one axis: the cells that a bin touches, each once, and their weights, [R, S, 2n] (alone [R, S * n, 2])."""
    step, (bins, points) = extent[:, None, None] / size, (torch.arange(k, device=start.device) for k in (size, n))
    position = start[:, None, None] + bins[:, None] * step + (points + 0.5) * step / n  # [R, S, n]
    share = ((position >= -1) & (position <= length)).to(start.dtype)  # nothing from far outside the map
    position = position.clamp(min=0).minimum(length - 1)
    if alone:
        position, share = position.flatten(1)[:, :, None], share.flatten(1)[:, :, None]
    low = position.floor()
    cells = torch.stack([low, low + 1], dim=-1)  # [R, S, n, 2]
    new = cells > F.pad(low[..., :-1] + 1, (1, 0), value=-1.0)[..., None]  # not touched by the point before
    hats = (1 - (cells[..., None] - position[:, :, None, None]).abs()).clamp(min=0)  # bilinear, [R, S, n, 2, n]
    weights = (hats * share[:, :, None, None]).sum(-1) / low.shape[2] * new
    return cells.flatten(2).int(), weights.flatten(2)


def roi_align(features: Tensor, rois: Tensor, size: int, scale: float, *, sampling_ratio: int = 2,
              reduce: str = "mean", half_pixel: bool = True) -> Tensor:  # fmt: skip
    """RoIAlign (Mask R-CNN, section 3) of features [N, C, H, W] -> [R, C, S, S] in their dtype, S = `size`.

    rois [R, 5]: image index, x1, y1, x2, y2 in image pixels. scale: cells per image pixel. sampling_ratio: points along
    a side of a bin, 0: about one a cell. reduce: "mean" or (in the paper's Table 2c) "max". half_pixel: cell i covers
    [i, i + 1), its value sits at i + 0.5 (torchvision's `aligned`); False, as in older code: at i, so that all crops
    are half a cell off, and RoIs have one cell at least. ValueError: the first wrong RoI, found, expected.
    """
    options: Any = {"sampling_ratio": sampling_ratio, "reduce": reduce, "half_pixel": half_pixel}
    return _on_one_map(align_levels, features, rois, size, scale, **options)


def roi_warp(features: Tensor, rois: Tensor, size: int, scale: float, **options: Any) -> Tensor:
    """RoIWarp as Mask R-CNN, section 4.2, describes it; arguments, result and errors as for `roi_align`."""
    return _on_one_map(warp_levels, features, rois, size, scale, **options)


def roi_pool(features: Tensor, rois: Tensor, size: int, scale: float) -> Tensor:
    """RoIPool (Fast R-CNN, section 2.1); arguments, result and errors as for `roi_align`, without its options."""
    return _on_one_map(pool_levels, features, rois, size, scale)


def _on_one_map(op: Callable[..., Tensor], features: Tensor, rois: Tensor, size: int, scale: float, *,
                sampling_ratio: int = 2, reduce: str = "mean", half_pixel: bool = True) -> Tensor:  # fmt: skip
    """Check the input, then call `op` with a list of one level."""
    if features.ndim != 4 or not features.is_floating_point() or rois.ndim != 2 or rois.shape[1] != 5:
        found = f"features {features.dtype} {list(features.shape)}, rois {list(rois.shape)}"
        raise ValueError(f"found {found}, expected floats [N, C, H, W] and [R, 5] (image index, x1, y1, x2, y2)")
    if size < 1 or scale <= 0 or sampling_ratio < 0 or reduce not in ("mean", "max"):
        found = f"size {size}, scale {scale}, sampling_ratio {sampling_ratio}, reduce {reduce!r}"
        raise ValueError(f"found {found}, expected size >= 1, scale > 0, sampling_ratio >= 0, reduce 'mean' or 'max'")
    rois = rois.to(torch.promote_types(features.dtype, torch.float32))
    image, last, ordered = rois[:, 0], len(features) - 1, (rois[:, 3:] >= rois[:, 1:3]).all(1)
    right = rois.isfinite().all(1) & ordered & (image >= 0) & (image <= last) & (image % 1 == 0)
    for r in (~right).nonzero()[:1, 0].tolist():
        expected = f"finite numbers, x1 <= x2, y1 <= y2 and an image index from 0 to {last}"
        raise ValueError(f"RoI {r}: found (image, x1, y1, x2, y2) = {rois[r].tolist()}, expected {expected}")
    options = {"sampling_ratio": sampling_ratio, "reduce": reduce, "half_pixel": half_pixel}
    return op([features], rois, torch.zeros_like(image, dtype=torch.int64), size, [scale], **options)


class RoIPooler(nn.Module):
    """One of `ROI_OPS` on that level of a pyramid which fits each RoI's size (FPN, eq. 1).
    scales: 1 / stride of each level, finest first. options: sampling_ratio, reduce, half_pixel."""

    def __init__(self, op: Callable[..., Tensor], size: int, scales: Sequence[float], *, canonical_size: float = 224.0,
                 canonical_level: int = 4, **options: Any) -> None:  # fmt: skip
        super().__init__()
        self.op, self.size, self.scales, self.options = op, size, tuple(scales), options
        self.canonical_size, self.canonical_level = canonical_size, canonical_level

    def levels(self, rois: Tensor) -> Tensor:
        """rois [R, 5] -> [R]: index of the level. A RoI of canonical_size is for level canonical_level (stride 2^k)."""
        width, height = (rois[:, 3:] - rois[:, 1:3]).unbind(1)
        k = self.canonical_level + torch.log2((width * height).sqrt() / self.canonical_size) + 1e-6
        lowest = round(-math.log2(self.scales[0]))
        return (k.floor().clamp(lowest, lowest + len(self.scales) - 1) - lowest).to(torch.int64)

    def forward(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        """features: L maps [N, C, Hl, Wl]; rois [R, 5] (image index, box in image pixels) -> [R, C, S, S]."""
        return self.op(features, rois, self.levels(rois), self.size, self.scales, **self.options)
