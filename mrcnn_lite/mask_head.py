"""The mask head: a small M x M mask of every class for each RoI, its loss, and the way back to the image's pixels.

Layers, targets (crop), losses and `paste` stand side by side: crop and paste are inverses, exact to a fraction of a
pixel. Masks are logits until `MASK_LOSSES[...].probability`.

Paper: Mask R-CNN section 3 ("Mask Representation", L_mask), Figure 4, Tables 2b and 2e. Letters: R RoIs over the batch,
K foreground classes, C channels, S the crop's side, M the mask's side, H W image size. Read next: `keypoint_head.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import NormLayer, convolution
from .boxes import full_precision
from .distributed import mean_over_processes
from .matching import SampledRoIs
from .roi_ops import RoIPooler, align_levels


class MaskFCN(nn.Module):
    """Convolutions, deconvolution, 1x1: crop [R, C, S, S] -> mask logits [R, num_masks, 2S, 2S] (Figure 4).

    On FPN four 3x3 convolutions on 14x14 come first; on C4 none, the crop is res5's output, 7x7x2048.
    """

    def __init__(
        self, channels: int, layers: Sequence[int], deconv: int, num_masks: int, norm: NormLayer | None = None
    ) -> None:
        super().__init__()
        convs: list[nn.Module] = []
        for width in layers:
            convs.append(nn.Sequential(convolution(channels, width, 3, norm), nn.ReLU()))
            channels = width
        self.convs = nn.Sequential(*convs)
        self.deconv = nn.ConvTranspose2d(channels, deconv, 2, stride=2)
        self.mask_logits = nn.Conv2d(deconv, num_masks, 1)
        for part in self.modules():
            if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convs(x)  # [R, C, S, S]
        x = F.relu(self.deconv(x))  # [R, C, 2S, 2S]
        return self.mask_logits(x)


class MaskMLP(nn.Module):
    """Table 2e's comparison: crop [R, C, S, S] -> FCs -> [R, num_masks, M, M]. It has to learn the layout of pixels."""

    def __init__(self, channels: int, crop: int, layers: Sequence[int], mask_size: int, num_masks: int) -> None:
        super().__init__()
        self.num_masks, self.mask_size = num_masks, mask_size
        width = channels * crop * crop
        fcs: list[nn.Module] = []
        for hidden in layers:
            fcs += [nn.Linear(width, hidden), nn.ReLU()]
            width = hidden
        self.fcs = nn.Sequential(nn.Flatten(), *fcs)
        self.mask_logits = nn.Linear(width, num_masks * mask_size**2)

    def forward(self, x: Tensor) -> Tensor:
        return self.mask_logits(self.fcs(x)).view(len(x), self.num_masks, self.mask_size, self.mask_size)


def sigmoid_loss(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Sum of binary cross-entropies on the true class's mask; no other class's mask takes part.

    logits [R, K, M, M] (or one agnostic mask), labels [R] in 1..K, targets [R, M, M] in 0..1 -> scalar.
    """
    return F.binary_cross_entropy_with_logits(_mask_of_class(logits, labels), targets, reduction="sum")


def sigmoid_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """[R, K, M, M], labels [R] -> [R, M, M]: each class's mask stands for itself."""
    return _mask_of_class(logits, labels).sigmoid()


def softmax_loss(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Table 2b's comparison: every pixel chooses ONE of background and K classes, as an FCN for semantic segmentation.

    logits [R, K + 1, M, M], channel 0 = background; the rest as in `sigmoid_loss`. A pixel that the object covers in
    part (0 < target < 1) is shared between its class and the background.
    """
    log_prob = logits.log_softmax(dim=1)
    of_class = _mask_of_class(log_prob[:, 1:], labels)
    return -(targets * of_class + (1 - targets) * log_prob[:, 0]).sum()


def softmax_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """[R, K + 1, M, M], labels [R] -> [R, M, M]: the class against the background, > 0.5 where p_class > p_background.

    WHY not the bare softmax: with other classes in the race a pixel of the object seldom passes 0.5, which would punish
    softmax for the threshold and not for the loss.
    """
    return (_mask_of_class(logits[:, 1:], labels) - logits[:, 0]).sigmoid()


def _mask_of_class(masks: Tensor, labels: Tensor) -> Tensor:
    """masks [R, K, M, M], labels [R] in 1..K -> [R, M, M]; an agnostic head has one mask for all classes."""
    channel = labels - 1 if masks.shape[1] > 1 else torch.zeros_like(labels)
    return masks[torch.arange(len(labels), device=labels.device), channel]


class MaskLoss(NamedTuple):
    """A mask loss and what belongs to it."""

    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    probability: Callable[[Tensor, Tensor], Tensor]
    extra_masks: int  # channels beside the K (or the one) of the classes


MASK_LOSSES = {
    "sigmoid": MaskLoss(sigmoid_loss, sigmoid_probability, 0),
    "softmax": MaskLoss(softmax_loss, softmax_probability, 1),
}


def crop_masks(masks: Tensor, index: Tensor, boxes: Tensor, size: int, half_pixel: bool = True) -> Tensor:
    """The part of a mask inside a box, resampled to `size` x `size`: the mask target (section 3.1).

    masks [G, H, W] of one image; index int64 [R] which of them; boxes [R, 4] -> float32 [R, size, size] in 0..1.
    RoIAlign at the image's own resolution, with as many points as the box has pixels; soft at the border, not rounded.
    `half_pixel=False` shifts by half an image pixel, as torchvision's targets are.
    """
    rois = torch.cat([index[:, None].to(boxes.dtype), boxes], dim=1)  # [R, 5]
    levels = torch.zeros_like(index)
    features = [masks[:, None].to(boxes.dtype)]  # a map with one channel
    crops = align_levels(features, rois, levels, size, [1.0], sampling_ratio=0, reduce="mean", half_pixel=half_pixel)
    return crops[:, 0]


def paste(mask_probs: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float = 0.5) -> Tensor:
    """The inverse of `crop_masks`: mask_probs [R, M, M], boxes [R, 4] -> bool [R, H, W] in an image of `size` (H, W).

    A pixel belongs to the object if its centre lies in the box and the probability there, bilinear between the centres
    of the mask's cells, is above the threshold: first resized, then thresholded. Nothing is rounded to whole pixels.

    Interpolation is separable, so each box needs two small matrix products: columns @ mask @ rows. On a CPU only the
    pixels under the box are computed; on a GPU all pixels of a few masks at once, which saves the loop.
    """
    if mask_probs.device.type == "cpu":
        return _paste_boxwise(mask_probs, boxes, size, threshold)
    height, width = size
    y = interpolation_weights(boxes[:, 1], boxes[:, 3], height, mask_probs.shape[-2])  # [R, H, M]
    x = interpolation_weights(boxes[:, 0], boxes[:, 2], width, mask_probs.shape[-1])  # [R, W, M]
    pasted = torch.empty(len(boxes), height, width, dtype=torch.bool, device=boxes.device)
    some = max(1, 2**26 // max(1, height * width))  # at most 256 MiB of float32 at a time
    for part in torch.arange(len(boxes), device=boxes.device).split(some):
        pasted[part] = y[part] @ mask_probs[part] @ x[part].transpose(1, 2) > threshold
    return pasted


def interpolation_weights(low: Tensor, high: Tensor, length: int, cells: int) -> Tensor:
    """Linear interpolation along one axis: [R, length, cells], rows sum to 1 inside [low, high] and are 0 outside.

    low, high [R]: the box's sides; length: pixels of the image; cells: M. Pixel i is a sample at i + 0.5. Between the
    border of the box and the centre of the outermost cell that cell alone counts (as RoIAlign does at a border).
    """
    centre = torch.arange(length, device=low.device, dtype=low.dtype) + 0.5  # [length]
    inside = (centre >= low[:, None]) & (centre < high[:, None])  # [R, length]
    position = (centre - low[:, None]) / (high - low).clamp(min=1e-6)[:, None] * cells - 0.5  # in cells
    position = position.clamp(0, cells - 1)
    distance = position[:, :, None] - torch.arange(cells, device=low.device, dtype=low.dtype)
    return (1 - distance.abs()).clamp(min=0) * inside[:, :, None]


def _paste_boxwise(mask_probs: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float) -> Tensor:
    """`paste`, one box at a time and only the pixels that it covers."""
    height, width = size
    pasted = torch.zeros(len(boxes), height, width, dtype=torch.bool)
    corners = torch.cat([boxes[:, :2].floor(), boxes[:, 2:].ceil()], dim=1).long()
    corners[:, 0::2].clamp_(0, width)
    corners[:, 1::2].clamp_(0, height)
    for i, (x1, y1, x2, y2) in enumerate(corners.tolist()):
        origin = boxes.new_tensor([x1, y1, x1, y1])
        box = boxes[i : i + 1] - origin
        y = interpolation_weights(box[:, 1], box[:, 3], y2 - y1, mask_probs.shape[-2])[0]  # [h, M]
        x = interpolation_weights(box[:, 0], box[:, 2], x2 - x1, mask_probs.shape[-1])[0]  # [w, M]
        pasted[i, y1:y2, x1:x2] = y @ mask_probs[i] @ x.T > threshold
    return pasted


class MaskHead(nn.Module):
    """Pooler, body (res5 on C4, nothing else), layers, and one of `MASK_LOSSES`."""

    def __init__(
        self,
        pooler: RoIPooler,
        body: nn.Module,
        layers: MaskFCN | MaskMLP,
        mask_loss: MaskLoss,
        mask_size: int,
        half_pixel: bool = True,
    ) -> None:
        super().__init__()
        self.pooler, self.body, self.layers = pooler, body, layers
        self.mask_loss, self.mask_size, self.half_pixel = mask_loss, mask_size, half_pixel

    def forward(self, features: list[Tensor], rois: Tensor) -> Tensor:
        """features: L maps; rois [R, 5] -> mask logits [R, K (1 if agnostic, + 1 for softmax), M, M]."""
        return full_precision(self.layers(self.body(self.pooler(features, rois))))

    def targets(self, sampled: SampledRoIs, targets: list[dict[str, Tensor]]) -> Tensor:
        """The matched object's mask inside each positive RoI: float32 [positives, M, M]."""
        rois, index = sampled.rois[sampled.positive], sampled.gt_index[sampled.positive]
        counts = rois[:, 0].long().bincount(minlength=len(targets)).tolist()  # one synchronisation, not one an image
        crops = [
            crop_masks(target["masks"], index_i, boxes_i, self.mask_size, self.half_pixel)
            for target, index_i, boxes_i in zip(targets, index.split(counts), rois[:, 1:].split(counts))
        ]
        return torch.cat(crops)  # the RoIs are sorted by image

    def losses(self, logits: Tensor, sampled: SampledRoIs, targets: Tensor) -> dict[str, Tensor]:
        """L_mask: the mean over positive RoIs and pixels. logits of the positive RoIs, targets from `targets`."""
        total = self.mask_loss.loss(logits, sampled.labels[sampled.positive], targets)
        return {"loss_mask": mean_over_processes(total, targets.numel())}

    @torch.no_grad()
    def probabilities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The predicted class's mask in 0..1: logits [R, ...], labels [R] -> [R, M, M]."""
        return self.mask_loss.probability(logits, labels)
