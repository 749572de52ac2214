"""What the losses must know of other processes: how many there are, and how to average over all of them.

With DistributedDataParallel every process has a part of the batch and gradients are averaged over processes. A mean
over sampled RoIs is then the mean of all only if its denominator counts the RoIs of all processes. Read next: `rpn.py`.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes that train together; 1 outside torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, 0 for the first or only one."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def mean_over_processes(total: Tensor, count: Tensor | int) -> Tensor:
    """`total` / count, so that averaging the gradients of all processes gives the gradient of sum(total) / sum(count).

    total: a sum over this process's RoIs or anchors (scalar, carries the gradient); count: how many it sums, no
    gradient. -> scalar: total * world_size / (count of all processes, at least 1). Without a gradient (a validation
    loss, which one process may compute alone) the mean is this process's own.
    """
    count = torch.as_tensor(count, dtype=torch.float32, device=total.device).detach()
    if world_size() == 1 or not total.requires_grad:
        return total / count.clamp(min=1)
    count = count.clone()
    dist.all_reduce(count)
    return total * world_size() / count.clamp(min=1)
