"""What a training step does to the weights: learning rate, optimizer, frozen layers, and the moving average.

The learning rate is a pure function of where the run stands, so a run that is resumed, or one that is measured in
minutes instead of steps, needs no scheduler object with a state of its own.

Paper: Mask R-CNN section 3.1 (SGD, momentum 0.9, weight decay 1e-4, lr 0.02 divided by 10 at 3/4 of the run);
warm-up: Goyal et al. 2017, section 2.2. Read next: `batches.py`.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ..config import Training


def learning_rate(settings: Training, step: int, fraction: float) -> float:
    """The learning rate of one step.

    step: steps done before it (warm-up is counted in steps). fraction: the part of the run that is over, 0..1 (of
    the steps, or of the minutes).
    """
    if settings.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0)))
    else:
        factor = 0.1 ** sum(fraction >= milestone for milestone in settings.milestones)
    if step < settings.warmup_steps:
        factor *= settings.warmup_factor + (1 - settings.warmup_factor) * step / settings.warmup_steps
    return settings.lr * factor


class Clock:
    """How much of a run is over, measured in steps or in minutes, and how fast it goes.

    steps, minutes: its length; minutes goes before steps. seconds: what it has taken before it was resumed.
    """

    def __init__(self, steps: int, minutes: float | None = None, seconds: float = 0.0) -> None:
        if minutes is not None and minutes <= 0:
            raise ValueError(f"minutes is {minutes}, expected more than 0")
        self.steps = steps if minutes is None else None
        self.budget = math.inf if minutes is None else 60 * minutes
        self.pace = 0.0  # seconds a step, of late
        self.in_steps, self.steps_done = 0.0, 0  # of this process, evaluations and checkpoints left out
        self.started = seconds  # when the present step began, in seconds of the run
        self._begin = time.perf_counter() - seconds

    @property
    def seconds(self) -> float:
        """Since the run began, everything counted, the pause before a resumption not."""
        return time.perf_counter() - self._begin

    def start_step(self) -> None:
        self.started = self.seconds

    def end_step(self) -> None:
        took = self.seconds - self.started
        self.in_steps, self.steps_done = self.in_steps + took, self.steps_done + 1
        self.pace = took if self.pace == 0 else 0.9 * self.pace + 0.1 * took

    def is_last_in_time(self) -> bool:
        """Asked while a step runs: whether the one after it would end too late."""
        return self.started + 2 * self.pace > self.budget

    def fraction(self, step: int, seconds: float) -> float:
        """The part of the run that is over, 0..1, after so many steps and seconds."""
        return min(1.0, step / self.steps if self.steps is not None else seconds / self.budget)

    def is_over(self, step: int, was_last_in_time: bool) -> bool:
        return step >= self.steps if self.steps is not None else was_last_in_time

    def seconds_left(self, step: int) -> float:
        return (self.steps - step) * self.pace if self.steps is not None else self.budget - self.seconds


def make_optimizer(model: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """SGD or AdamW over the parameters that are not frozen. Raises ValueError if all are.

    Weight decay is for the weights of convolutions and fully connected layers only, the parameters of two and more
    dimensions. DIFFERS: the paper's code decays biases too; pulling a norm's scale or a bias towards zero
    regularises nothing that the next layer would not undo.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError("every parameter of the model is frozen: there is nothing to train")
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    # fused: one pass over all parameters instead of one small operation each, where the device has it.
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in trained)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr, fused=fused)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, fused=fused)


def take_step(optimizer: torch.optim.Optimizer, lr: float, grad_clip: float, scaler: torch.amp.GradScaler) -> None:
    """Clip the gradients' common norm to `grad_clip` (0 = off), change the weights, drop the gradients."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    if grad_clip > 0:
        scaler.unscale_(optimizer)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        nn.utils.clip_grad_norm_(parameters, grad_clip)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)


@contextlib.contextmanager
def training_mode(model: nn.Module, freeze: Sequence[str] = ()) -> Iterator[None]:
    """The model in train mode, but for the layers whose name starts with one of `freeze`.

    Those (as ("backbone.stem", "backbone.layer1")) get no gradient and, for BatchNorm, stay in eval mode. Afterwards
    every module and parameter is as it was before. Raises ValueError for a name that fits nothing.
    """
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]

    def fits(name: str, prefix: str) -> bool:
        return name == prefix or name.startswith(prefix + ".")

    for prefix in freeze:
        if not any(fits(name, prefix) for name, _ in model.named_parameters()):
            children = sorted({name.split(".")[0] for name, _ in model.named_parameters()})
            raise ValueError(f"freeze: no parameter of the model is called {prefix!r}…; it has {children}")
    try:
        model.train()
        for name, parameter in model.named_parameters():
            if any(fits(name, prefix) for prefix in freeze):
                parameter.requires_grad_(False)
        for name, module in model.named_modules():
            if any(fits(name, prefix) for prefix in freeze):
                module.training = False
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        for module, mode in modes:
            module.training = mode


class MovingAverage:
    """An exponential moving average of the weights (and of BatchNorm's statistics).

    average <- d * average + (1 - d) * weights after each step, with d = min(decay, (1 + t) / (10 + t)) at step t, so
    that a short run is not the average of its random start.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"ema is {decay}, expected a decay between 0 and 1, such as 0.999")
        self.decay = decay
        self.tensors = {name: tensor.clone() for name, tensor in _floats(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after `step` steps (the first is 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = _floats(model)
        torch._foreach_lerp_([self.tensors[name] for name in current], list(current.values()), 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """The average into the model."""
        for name, tensor in _floats(model).items():
            tensor.copy_(self.tensors[name])

    @contextlib.contextmanager
    def inside(self, model: nn.Module) -> Iterator[None]:
        """The model with the averaged weights within the block, with its own again after it."""
        own = {name: tensor.clone() for name, tensor in _floats(model).items()}
        self.copy_to(model)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in _floats(model).items():
                    tensor.copy_(own[name])


def _floats(model: nn.Module) -> dict[str, Tensor]:
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor.detach() for name, tensor in tensors if tensor.is_floating_point()}
