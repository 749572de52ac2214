"""The keypoint head: human pose as masks with a single pixel on, one 56 x 56 heat map a joint.

Every heat map is a softmax over its positions (not over joints): "where is this joint?" has one answer. Layers, target
encoding, loss and decoding stand side by side.

Paper: Mask R-CNN section 5. Letters: R RoIs over the batch, J keypoints, C channels, S the crop's side, M = 4S the heat
map's. Keypoints are (x, y, visibility) in continuous pixels, visibility 0 = not labelled, 1 = hidden, 2 = visible.
Read next: `model.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .boxes import full_precision
from .distributed import mean_over_processes
from .matching import SampledRoIs
from .roi_ops import RoIPooler


class KeypointLayers(nn.Module):
    """3x3 convolutions, deconvolution, bilinear twofold: crop [R, C, S, S] -> heat-map logits [R, J, 4S, 4S]."""

    def __init__(self, channels: int, layers: Sequence[int], num_keypoints: int) -> None:
        super().__init__()
        convs: list[nn.Module] = []
        for width in layers:
            convs += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        self.convs = nn.Sequential(*convs)
        self.deconv = nn.ConvTranspose2d(channels, num_keypoints, 4, stride=2, padding=1)
        for part in self.modules():
            if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(part.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        x = self.deconv(self.convs(x))  # [R, J, 2S, 2S]
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def encode_heatmaps(keypoints: Tensor, boxes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The cell of the one-hot target of each keypoint, and whether it counts (labelled, and inside the box).

    keypoints [R, J, 3], boxes [R, 4] -> cell int64 [R, J] = row * size + column, counts bool [R, J].
    """
    x, y, visibility = keypoints.unbind(-1)  # [R, J]
    x1, y1, x2, y2 = (side[:, None] for side in boxes.unbind(1))  # [R, 1]
    column = ((x - x1) / (x2 - x1) * size).floor().long()
    row = ((y - y1) / (y2 - y1) * size).floor().long()
    column = torch.where(x == x2, size - 1, column)  # a point on the right or lower border is inside, as in torchvision
    row = torch.where(y == y2, size - 1, row)
    counts = (visibility > 0) & (column >= 0) & (column < size) & (row >= 0) & (row < size)
    return torch.where(counts, row * size + column, 0), counts


@torch.no_grad()
def decode_heatmaps(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse: logits [R, J, M, M], boxes [R, 4] -> keypoints [R, J, 3], scores [R, J] (the logit at the maximum).

    Each map is resized (bicubic) to the box's size in whole pixels; the centre of the best pixel is the point, its
    visibility 1. Detectron's procedure. The half pixel (+ 0.5) makes it the inverse of `encode_heatmaps`.
    """
    keypoints, scores = [logits.new_zeros(0, logits.shape[1], 3)], [logits.new_zeros(0, logits.shape[1])]
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)  # [R, 2] width, height
    whole = sides.ceil()
    step = sides / whole  # pixels of the image a pixel of the resized map
    for maps, box, (width, height), step_i in zip(logits, boxes, whole.long().tolist(), step):
        resized = F.interpolate(maps[None], size=(height, width), mode="bicubic", align_corners=False)[0]
        score, position = resized.flatten(1).max(dim=1)  # [J]
        x = (position % width + 0.5) * step_i[0] + box[0]
        y = (position.div(width, rounding_mode="floor") + 0.5) * step_i[1] + box[1]
        keypoints.append(torch.stack([x, y, torch.ones_like(x)], dim=1)[None])
        scores.append(score[None])
    return torch.cat(keypoints), torch.cat(scores)


class KeypointHead(nn.Module):
    """Pooler and layers. The crop is the head's own, 14x14, also on C4 and C5."""

    def __init__(self, pooler: RoIPooler, layers: KeypointLayers) -> None:
        super().__init__()
        self.pooler, self.layers = pooler, layers

    def forward(self, features: list[Tensor], rois: Tensor) -> Tensor:
        """features: L maps; rois [R, 5] -> heat-map logits [R, J, M, M]."""
        return full_precision(self.layers(self.pooler(features, rois)))

    def targets(self, sampled: SampledRoIs, targets: list[dict[str, Tensor]], size: int) -> tuple[Tensor, Tensor]:
        """`encode_heatmaps` of the matched objects of the positive RoIs: cell and counts, [positives, J] each."""
        offset, start = [], 0
        for target in targets:
            offset.append(start)
            start += len(target["boxes"])
        rois, index = sampled.rois[sampled.positive], sampled.gt_index[sampled.positive]
        of_batch = index + torch.tensor(offset, device=index.device)[rois[:, 0].long()]
        keypoints = torch.cat([target["keypoints"] for target in targets]).to(rois.dtype)[of_batch]
        return encode_heatmaps(keypoints, rois[:, 1:], size)

    def losses(self, logits: Tensor, cell: Tensor, counts: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of an M*M-way softmax, the mean over the keypoints that count. logits [positives, J, M, M]."""
        r, j, m, _ = logits.shape
        cross_entropy = F.cross_entropy(logits.reshape(r * j, m * m), cell.reshape(r * j), reduction="none")
        total = torch.where(counts.reshape(r * j), cross_entropy, 0.0).sum()
        return {"loss_keypoint": mean_over_processes(total, counts.sum())}
