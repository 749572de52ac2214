"""How much memory a training step takes on a CPU, told before it is taken: running out of it there ends the process.

The network runs once on torch's meta device, where tensors have a shape and no numbers, and what the backward pass
would keep is added up. Letters: C channels, R RoIs, S the crop's side. Read next: `run.py`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..build import build_model
from ..devices import available_memory
from ..images import resized_size
from .batches import Picture

# Beside what the backward pass keeps there are its own gradients, the losses, the pictures; and what the libraries take
# for themselves in the first step. Fitted to six configurations from 0.2 to 1.5 GB: it misses none by more than
# an eighth, see tests/test_training_memory.py.
OVERHEAD = 1.35
LIBRARIES = 60_000_000  # bytes


class _Crop(nn.Module):
    """Stands in for a RoI operation: the right shape, with a gradient."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, features: list[Tensor], rois: Tensor) -> Tensor:
        crops = features[0].new_empty(len(rois), features[0].shape[1], self.size, self.size)
        return crops.requires_grad_(features[0].requires_grad)


def step_memory(model: Any, num_pictures: int, size: tuple[int, int], objects: int = 0) -> int:
    """Bytes that a step takes beyond the weights, with our `model` as it is set up for training.

    num_pictures: in the memory at once. size: (H, W) of a picture in pixels, before it is resized. objects: of a
    picture. As many RoIs are taken to be positive as can be.
    """
    config = model.config
    resized = resized_size(size, config.min_size, config.max_size)
    height, width = (math.ceil(edge / config.size_divisor) * config.size_divisor for edge in resized)
    trained = [p for p in model.parameters() if p.requires_grad]
    slots = 1 + (2 if config.train.optimizer == "adamw" else 1)  # the gradient, and the optimizer's averages
    of_weights = slots * sum(p.numel() * p.element_size() for p in trained)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        alive.append(tensor)  # else the next tensor could get the same address
        return tensor

    alive: list[Tensor] = []
    with torch.device("meta"):
        network: Any = build_model(config)
    for parameter, own in zip(network.parameters(), model.parameters()):
        parameter.requires_grad_(own.requires_grad)
    weights = {tensor.untyped_storage()._cdata for tensor in network.state_dict().values()}
    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = network.backbone(torch.empty(num_pictures, 3, height, width))
        outputs = [network.rpn.head(feature) for feature in features]
        for name, head in network.heads.items():
            count = config.roi_samples if name == "box" else round(config.roi_samples * config.roi_positive_fraction)
            head.pooler = _Crop(head.pooler.size)
            outputs.append(head(features, torch.empty(num_pictures * count, 5)))
            # A RoI operation keeps the maps it crops from once more, as one table.
            kept[-len(outputs)] = sum(feature.numel() * feature.element_size() for feature in features)
    # Masks: a byte a pixel as they are and as resized; one picture's at a time as float32, twice.
    of_masks = num_pictures * (math.prod(size) + math.prod(resized) * (resized != size)) + 8 * math.prod(resized)
    of_masks *= objects * ("mask" in config.heads)
    activations = sum(size for name, size in kept.items() if name not in weights)
    return LIBRARIES + of_weights + of_masks + round(OVERHEAD * activations)


def warn_before(batches: Iterator[list[Picture]], model: Any, processes: int, less: str) -> Iterator[list[Picture]]:
    """The batches as they come; before one that is likely to need more memory than there is, a warning, once.

    model: ours, on the CPU. processes: so many with such a batch each share the memory. less: what to lower.
    """
    largest, warned = 0.0, False
    for pictures in batches:
        height, width = max((picture.image.shape[1:] for picture in pictures), key=math.prod)
        if not warned and height * width > 1.2 * largest:
            largest = height * width
            objects = max(len(picture.target.get("boxes", ())) for picture in pictures)
            needed = processes * step_memory(model, len(pictures), (height, width), objects)
            there = available_memory()
            if there is not None and needed > there:
                warned = True
                each = f" in each of {processes} processes" if processes > 1 else ""
                warnings.warn(
                    f"a training step with {len(pictures)} picture(s) of {height} x {width} pixels at once{each} takes "
                    f"about {_gigabytes(needed)} of memory, and {_gigabytes(there)} are free: the system may kill this "
                    f"run. Less is needed with {less}",
                    stacklevel=2,
                )
        yield pictures


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
