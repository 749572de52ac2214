"""How well a model does on pictures that it is not trained on: its losses, and its average precision during a run.

Read next: `run.py`, `../evaluation.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .batches import Pictures, to_device
from .records import Records
from .trainer import Trainer, takes_seeds


@torch.no_grad()
def validation_loss(
    model: nn.Module, dataset: Any, *, batch_size: int = 4, limit: int | None = None
) -> dict[str, float]:
    """The mean of each loss over a data set (its first `limit` pictures), and of their sum, "loss".

    The sampling is seeded by the picture's index, so two calls compare. The model's mode is left as it is: eval
    for ours, whose BatchNorm would learn otherwise; torchvision's gives losses in train mode only.
    """
    count = len(dataset) if limit is None else min(limit, len(dataset))
    device = next(model.parameters()).device
    pictures = Pictures(dataset, seed=0)
    most = 3 if takes_seeds(model) else 2
    sums: dict[str, float] = {}
    for start in range(0, count, batch_size):
        part = [pictures[0, i] for i in range(start, min(start + batch_size, count))]
        for name, loss in model(*to_device(part, device)[:most]).items():
            sums[name] = sums.get(name, 0.0) + float(loss) * len(part) / count
    return sums | {"loss": sum(sums.values())}


def score(trainer: Trainer, dataset: Any, records: Records) -> None:
    """Score the model (the average, where one is kept); the first process does, the others wait at the next step."""
    if records.active:
        from ..evaluation import evaluate

        with trainer.averaged() as model:
            records.evaluation(trainer.step, evaluate(model, dataset, progress=records.line.show))
