"""A model and a data set that train in milliseconds, with the calls and the names of the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mrcnn_lite.config import Training
from mrcnn_lite.distributed import mean_over_processes

SETTINGS = Training(optimizer="sgd", lr=0.05, batch_size=4, warmup_steps=3, schedule="cosine", steps=10)


class Squares:
    """Picture i is grey of brightness i / 16; picture i has i % 3 objects."""

    def __init__(self, length: int = 8, broken: int | None = None, stop_at: Path | None = None) -> None:
        self.length, self.broken, self.stop_at = length, broken, stop_at
        self.reads = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> tuple[Tensor, dict[str, Any]]:
        self.reads += 1
        image = torch.full((3, 8, 8), i / 16)
        if i == self.broken:
            image[0, 0, 0] = torch.nan
        return image, {"boxes": torch.zeros(i % 3, 4), "labels": torch.ones(i % 3, dtype=torch.int64), "image_id": i}

    def image_name(self, i: int) -> str:
        return f"grey-{i}.png"


class Sampler(nn.Module):
    """Two losses; one is the mean over a number of samples that differs from picture to picture, drawn by its seed."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.norm = nn.GroupNorm(2, 4)
        self.head = nn.Linear(4, 2)

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[dict], seeds: Sequence[int] | None = None
    ) -> dict[str, Tensor]:
        features = self.norm(self.stem(torch.stack(list(images)))).relu().mean((2, 3))  # [N, 4]
        outputs = self.head(features)  # [N, 2]
        seeds = [int(torch.randint(2**40, ())) for _ in images] if seeds is None else seeds
        draws = [torch.rand(2, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        counts = torch.tensor([1.0 + len(target["boxes"]) for target in targets])
        errors = ((outputs - torch.stack(draws).to(outputs)) ** 2).sum(1)
        first = mean_over_processes((errors * counts.to(errors)).sum(), counts.sum())
        return {"loss_first": first, "loss_second": mean_over_processes((outputs - 1).abs().sum(), len(outputs))}


class Unseeded(Sampler):
    """Called as torchvision's models are: its sampling follows torch's global generator."""

    def forward(self, images, targets):  # type: ignore[no-untyped-def, override]
        return super().forward(images, targets)


def make(kind: type[nn.Module] = Sampler) -> nn.Module:
    torch.manual_seed(7)
    return kind()


def same(first: nn.Module, second: nn.Module) -> bool:
    """Whether all weights are equal, bit for bit."""
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
