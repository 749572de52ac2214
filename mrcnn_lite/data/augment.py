"""Random views of a data set for training: the same for a seed, an epoch and a picture, whoever asks.

Each view's random numbers come from a generator of its own, seeded by (seed, epoch, index): they do not
depend on the number of worker processes, on the order, or on where a run was resumed.
Read next: transforms.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from .dataset import Dataset, Target
from .transforms import crop, flip, pad, relight, resize, rotate90
from .wrappers import Wrapper


class Augmented(Wrapper):
    """`dataset[i]` is picture i seen anew in each epoch; `dataset[epoch, i]` says the epoch itself.

    The pair is for samplers: unlike `set_epoch` it also reaches worker processes that live on from one
    epoch to the next (`persistent_workers`), and lets one epoch be fetched while another is used.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        flip: bool = True,
        rotate90: bool = False,
        scale_range: tuple[float, float] = (1.0, 1.0),
        crop: int | tuple[int, int] | None = None,
        same_size: bool = False,
        brightness: float = 0.0,
        contrast: float = 0.0,
        seed: int = 0,
    ) -> None:
        """flip: mirror half of the pictures. rotate90: by 0, 90, 180 or 270 degrees, equally often.

        scale_range: the factor of the size, logarithmically uniform (0.8, 1.25). crop: at most this
        (H, W) of the scaled picture, from a random place. same_size: zoom inside a picture of unchanged
        size, since a model that resizes its input would undo a mere change of size: what grows is cropped,
        what shrinks is surrounded by its mean colour. brightness, contrast: up to this share up or down.
        """
        super().__init__(dataset)
        low, high = scale_range
        if not 0 < low <= high:
            raise ValueError(f"scale_range must be 0 < smallest <= largest, got {scale_range}")
        if not (0 <= brightness < 1 and 0 <= contrast < 1):
            raise ValueError(f"brightness and contrast must be in [0, 1), got {brightness} and {contrast}")
        if same_size and crop is not None:
            raise ValueError("same_size and crop both say how large the pictures are: give one of them")
        if not isinstance(crop, int) and crop is not None and len(crop) != 2:
            raise ValueError(f"crop must be a size or (height, width), got {crop}")
        self.flip, self.rotate90, self.scale_range = flip, rotate90, (float(low), float(high))
        self.crop = (crop, crop) if isinstance(crop, int) else crop
        self.same_size, self.brightness, self.contrast, self.seed = same_size, brightness, contrast, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def coco_ground_truth(self) -> dict[str, Any]:
        raise TypeError("evaluate on the data set itself (`.dataset`): this one shows random views of it")

    def __getitem__(self, i: int | tuple[int, int]) -> tuple[Tensor, Target]:
        epoch, index = i if isinstance(i, tuple) else (self.epoch, i)
        index = self.checked_index(index)
        rng = np.random.default_rng((self.seed, epoch, index))
        image, target = self.dataset[index]
        image, target = self._scaled_and_cropped(rng, image, target)
        # The numbers are drawn in any case, so that one option does not change what another does.
        mirrored, turns = rng.random() < 0.5, int(rng.integers(4))
        if self.flip and mirrored:
            image, target = flip(image, target, self.keypoint_flip)
        if self.rotate90:
            image, target = rotate90(image, target, turns)
        brightness, contrast = rng.uniform(-1, 1, 2)
        if self.brightness or self.contrast:
            image = relight(image, 1 + self.brightness * brightness, 1 + self.contrast * contrast)
        return image.contiguous(), target

    def _scaled_and_cropped(self, rng: np.random.Generator, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        height, width = image.shape[1:]
        low, high = self.scale_range
        factor = low * (high / low) ** rng.random()
        place = rng.random(2)  # where the crop or the picture lies in the room there is, 0..1
        wanted = (height, width) if self.same_size else self.crop
        if wanted is not None:  # first crop, then resize: less to resize
            window = _at_least_1(wanted[0] / factor, height), _at_least_1(wanted[1] / factor, width)
            top, left = _place(place, height - window[0], width - window[1])
            image, target = crop(image, target, top, left, window)
        scaled = _at_least_1(image.shape[1] * factor), _at_least_1(image.shape[2] * factor)
        if wanted is not None:
            scaled = min(scaled[0], wanted[0]), min(scaled[1], wanted[1])
        image, target = resize(image, target, scaled)
        if self.same_size and scaled != (height, width):
            top, left = _place(place, height - scaled[0], width - scaled[1])
            image, target = pad(image, target, top, left, (height, width))
        return image, target


def _at_least_1(length: float, most: int | None = None) -> int:
    rounded = max(1, round(length))
    return rounded if most is None else min(rounded, most)


def _place(place: np.ndarray, free_height: int, free_width: int) -> tuple[int, int]:
    """A corner (top, left) such that every one with 0 <= top <= free_height is as likely."""
    return int(place[0] * (free_height + 1)), int(place[1] * (free_width + 1))
