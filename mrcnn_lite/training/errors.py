"""What can go wrong in a step, in words: a loss that is not finite, memory that does not suffice, and whose pictures.

Read next: `trainer.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .batches import Picture


class NonFiniteLoss(FloatingPointError):
    """A loss was infinite or not a number; the weights are those before the step.

    found: (index in the data set, names of its losses) of each picture that alone gives such a loss. looked_at: all
    indices of the batch.
    """

    def __init__(
        self, step: int, where: str, weights: bool, found: list[tuple[int, list[str]]], looked_at: list[int]
    ) -> None:
        super().__init__(step, where, weights, found, looked_at)  # so that it can be pickled
        self.step, self.where, self.finite_weights = step, where, weights
        self.found, self.looked_at = found, looked_at
        self.image_names: dict[int, str] = {}

    def name_images(self, dataset: Any) -> None:
        """Let the message speak of the data set's names for its pictures, where it has any."""
        if hasattr(dataset, "image_name"):
            self.image_names = {index: dataset.image_name(index) for index in self.looked_at}

    def __str__(self) -> str:
        text = f"the loss of step {self.step + 1} is not finite: {self.where}. "
        if not self.finite_weights:
            return text + (
                "The weights themselves are not: the step before overflowed. A lower learning rate, a longer "
                "warm-up or grad_clip helps"
            )
        if self.found:
            each = [f"{self._name(index)} ({', '.join(names)})" for index, names in self.found]
            return text + "By itself, so does each of: " + "; ".join(each)
        return text + "Only together, pictures: " + "; ".join(map(self._name, self.looked_at))

    def _name(self, index: int) -> str:
        name = self.image_names.get(index)
        return f"number {index}" if name is None else f"{name} (number {index})"


class OutOfMemory(MemoryError):
    """A step needs more memory than there is; the weights are those of the checkpoint before.

    pictures: (name, (H, W), objects) of each that was being worked on. less: what to lower, in words.
    """

    def __init__(
        self, step: int, device: str, said: str, pictures: list[tuple[str, tuple[int, int], int]], less: str
    ) -> None:
        super().__init__(step, device, said, pictures, less)  # so that it can be pickled
        self.step, self.device, self.said, self.pictures, self.less = step, device, said, pictures, less

    def __str__(self) -> str:
        largest = sorted(self.pictures, key=lambda picture: picture[1][0] * picture[1][1] * (1 + picture[2]))[::-1]
        each = [f"{name} ({height} x {width} pixels, {n} objects)" for name, (height, width), n in largest[:4]]
        more = f" and {len(largest) - 4} more" if len(largest) > 4 else ""
        return (
            f"out of memory on {self.device} in step {self.step + 1} ({self.said}), with {'; '.join(each)}{more}. "
            f"Less is needed with {self.less}"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host had no memory left: torch says it in many ways."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def what_to_lower(batch_size: int, accumulate: int, pictures: int) -> str:
    """Advice on memory: from what changes nothing in the result to what does. pictures: worked on at once."""
    parts = [f"more accumulation steps (--accumulate, now {accumulate})"] if pictures > 1 else []
    parts += [f"a smaller batch_size (--batch-size, now {batch_size})"] if batch_size > 1 else []
    return ", ".join([*parts, "smaller pictures (--set min_size=… max_size=…)", "fewer RoIs (--set roi_samples=…)"])


@contextlib.contextmanager
def in_words(trainer: Any, dataset: Any, less: str) -> Iterator[None]:
    """Within the block the errors of a step name its pictures; what is out of memory becomes OutOfMemory."""
    try:
        yield
    except NonFiniteLoss as error:
        error.name_images(dataset)
        raise
    except (RuntimeError, MemoryError) as error:
        at_work: Sequence[Picture] = trainer.at_work
        if not at_work or not is_out_of_memory(error):
            raise
        pictures = []
        for picture in at_work:
            name = dataset.image_name(picture.number) if hasattr(dataset, "image_name") else f"number {picture.number}"
            height, width = picture.image.shape[1:]
            pictures.append((name, (height, width), len(picture.target.get("boxes", ()))))
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        error.__traceback__ = None  # its frames hold what fills the memory: in a notebook one may want to go on
        raise OutOfMemory(trainer.step, str(trainer.device), said.rstrip("."), pictures, less) from error
