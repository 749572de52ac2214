"""One training step: losses of a batch, their gradients, the change of the weights; alone or with other processes.

`Trainer` holds everything that a step changes and nothing else: what it has after a step is what a checkpoint keeps.
It takes any module that returns a dictionary of losses for (images, targets), torchvision's detectors as well as ours.

Read next: `run.py`, which makes a run of such steps.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..config import Training
from ..devices import autocast
from ..distributed import world_size
from .batches import Picture, to_device
from .errors import NonFiniteLoss
from .processes import average_in_order, gather
from .schedule import MovingAverage, make_optimizer, take_step

# DistributedDataParallel's argument, renamed on the way.
PARAMETERS = inspect.signature(DistributedDataParallel).parameters
SYNC_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in PARAMETERS else "broadcast_buffers"


class Report(NamedTuple):
    """What the processes know of a step after its losses are computed, the same in each of them."""

    losses: dict[str, float]  # each part, mean over processes and accumulation steps
    notes: list[list[float]]  # what each process added


class Trainer:
    """A model, its optimizer, its moving average: `gradients`, then `update`, is a step.

    model: on `device` already, in train mode, what is frozen frozen. precision: as `devices.precision_on` gave it.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: Training,
        *,
        device: torch.device,
        precision: str = "float32",
        accumulate: int = 1,
    ) -> None:
        self.model, self.settings = model, settings
        self.device, self.precision, self.accumulate = device, precision, accumulate
        self.takes_seeds = takes_seeds(model)
        self.optimizer = make_optimizer(model, settings)
        # float16 overflows at 65504 and loses gradients under 6e-8: the scaler keeps them between.
        self.scaler = torch.amp.GradScaler("cuda", enabled=precision == "float16")
        self.average = MovingAverage(model, settings.ema) if settings.ema else None
        self.step = 0
        self.at_work: list[Picture] = []  # of the step that is being done
        self.parallel: nn.Module = model
        if world_size() > 1:
            # Of 1x1 convolutions, whose memory formats are all the same: not worth a word.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
            self.parallel = DistributedDataParallel(
                model,
                device_ids=[device.index] if device.type == "cuda" else None,
                gradient_as_bucket_view=True,
                # BatchNorm's statistics are not used in training; the first process's are the ones that are kept.
                **{SYNC_BUFFERS: False},  # type: ignore[arg-type]
            )
            if device.type == "cpu" and world_size() > 2:
                self.parallel.register_comm_hook(None, average_in_order)

    def gradients(self, batches: Iterator[list[Picture]], notes: Callable[[], Sequence[float]] = tuple) -> Report:
        """The losses of the next `accumulate` micro-batches and, in the parameters, their averaged gradients.

        notes: asked, when the work is done, for numbers to tell the other processes. There is one host synchronisation,
        at the end. Raises NonFiniteLoss, in all processes, if a loss is not finite: which part, and which pictures.
        """
        rows, seen, names = [], [], []
        for part in range(self.accumulate):
            self.at_work = pictures = next(batches)
            last = part == self.accumulate - 1
            with contextlib.nullcontext() if last or world_size() == 1 else self.parallel.no_sync():  # type: ignore[operator]
                losses = self._losses(self.parallel, pictures)
                rows.append(torch.stack([loss.detach().float() for loss in losses.values()]))
                if last:  # told while the backward pass runs: nobody waits for it
                    told = torch.tensor(list(notes()), dtype=torch.float32, device=self.device)
                    gathering = gather(torch.cat([*rows, told]))
                total = sum(loss.float() for loss in losses.values()) / self.accumulate
                self.scaler.scale(torch.as_tensor(total)).backward()
            seen.append(pictures)
            names = list(losses)
        everyone = gathering().tolist()  # the one synchronisation
        count = len(names)
        parts = [row[count * a : count * (a + 1)] for row in everyone for a in range(self.accumulate)]
        mean = {name: sum(values) / len(parts) for name, values in zip(names, zip(*parts))}
        if not all(math.isfinite(value) for value in mean.values()):
            self._stop_at(mean, seen)
        return Report(mean, [row[count * self.accumulate :] for row in everyone])

    def update(self, lr: float) -> None:
        """Change the weights by the gradients that are there, with this learning rate."""
        take_step(self.optimizer, lr, self.settings.grad_clip, self.scaler)
        self.step += 1
        if self.average is not None:
            self.average.update(self.model, self.step)
        self.at_work = []

    @contextlib.contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The model as it is to be used: with the average of its weights, where one is kept, within the block."""
        with self.average.inside(self.model) if self.average else contextlib.nullcontext():
            yield self.model

    def state(self) -> dict[str, Any]:
        """Everything that a step changes, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.tensors if self.average else {},
            "step": self.step,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.tensors = {name: tensor.to(self.device) for name, tensor in state["average"].items()}
        self.step = state["step"]

    def leave(self) -> None:
        """Let go of the other processes: there are no more steps. Their group can end only when nobody uses it."""
        self.parallel = self.model

    def _losses(self, model: nn.Module, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        inputs = to_device(pictures, self.device)
        with autocast(self.device, self.precision):
            return model(*inputs) if self.takes_seeds else model(*inputs[:2])

    def _stop_at(self, losses: dict[str, float], seen: list[list[Picture]]) -> None:
        """Raise FloatingPointError: each picture is tried alone, so that the message names the right ones."""
        where = ", ".join(f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value))
        weights = all(bool(parameter.isfinite().all()) for parameter in self.model.parameters())
        found, looked_at = [], []
        with torch.no_grad():  # without gradients the losses ask no other process
            for picture in (picture for pictures in seen for picture in pictures):
                looked_at.append(picture.number)
                alone = self._losses(self.model, [picture])
                bad = [name for name, loss in alone.items() if not bool(loss.isfinite())]
                if bad:
                    found.append((picture.number, bad))
        if world_size() > 1:
            gathered: list[Any] = [None] * world_size()
            dist.all_gather_object(gathered, (found, looked_at))
            found = [item for part in gathered for item in part[0]]
            looked_at = [index for part in gathered for index in part[1]]
        raise NonFiniteLoss(self.step, where, weights, found, looked_at)


def takes_seeds(model: nn.Module) -> bool:
    """Whether model(images, targets, seeds) is possible: ours says so in its signature, torchvision's can't."""
    return "seeds" in inspect.signature(model.forward).parameters
