"""The panel of chapter 08: training that one watches and disturbs, by its learning rate and by losses on and off.

The steps run in a background thread, since a loop in a callback would keep the kernel from hearing the next click.
torch lets other threads run while it computes, so cells and sliders answer between and during steps; but it is one
process: a cell that computes much slows the training down, and one that uses the model meanwhile sees weights that
change under it. Stop first. Interrupting the kernel does not reach the thread: the stop button does, after the step
that is being done; and making another panel on the same model does too. A picture is drawn once a second at most.

Read next: `../training/trainer.py`, the step of a real run, which also has precision, accumulation and processes.
"""

from __future__ import annotations

import copy
import math
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import ipywidgets
import torch
from matplotlib.figure import Figure

from ..training.batches import mix, order_of_epoch
from ..training.schedule import make_optimizer, take_step, training_mode
from .panel_frame import ROW, WIDE, Panel

LEAST_RATE, MOST_RATE = 1e-6, 1.0
SECONDS_BETWEEN_PICTURES = 1.0
SMOOTHING = 0.1  # share of a new value in the running mean that is drawn
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))  # colour is not the only sign

# One model is trained by one panel: a cell that runs again leaves a panel behind, whose thread would go on.
_OWNERS: weakref.WeakKeyDictionary[Any, weakref.ref[TrainingPanel]] = weakref.WeakKeyDictionary()


class Step(NamedTuple):
    """One step: which pictures, what was learned from, and every loss, also those that were off."""

    pictures: tuple[int, ...]
    lr: float
    chosen: tuple[str, ...]
    losses: dict[str, float]


class TrainingPanel(Panel):
    """`history` has a `Step` for each step, `running` says whether it trains; `start`, `stop` and `start_over` are the
    buttons'."""

    def __init__(self, model: Any, dataset: Any, batch_size: int, lr: float | None, seed: int) -> None:
        if not 1 <= batch_size <= len(dataset):
            raise ValueError(f"batch_size: {batch_size} of {len(dataset)} pictures, expected 1 to {len(dataset)}")
        lr = model.config.train.lr if lr is None else lr
        if not LEAST_RATE <= lr <= MOST_RATE:
            raise ValueError(f"lr: {lr}, expected {LEAST_RATE} to {MOST_RATE}")
        self.model, self.dataset, self.batch_size, self.seed = model, dataset, batch_size, seed
        self._take_model()
        self.first_state = copy.deepcopy(model.state_dict())
        self.history: list[Step] = []
        self.thread: threading.Thread | None = None
        self.asked_to_stop = threading.Event()
        self.drawing = threading.RLock()  # a moved slider and the thread may both want to draw
        self.optimizer = make_optimizer(model, model.config.train)
        with training_mode(model), torch.no_grad():
            self.first_losses = {name: float(loss) for name, loss in self.losses(0).items()}
        self.names = list(self.first_losses)
        model.load_state_dict(self.first_state)  # BatchNorm has taken note of those pictures
        rates = {"min": math.log10(LEAST_RATE), "max": math.log10(MOST_RATE), "step": 0.1}
        controls = {
            "lr": ipywidgets.FloatLogSlider(value=lr, description="learning rate", style=WIDE, layout=ROW, **rates),
            **{name: ipywidgets.Checkbox(value=True, description=name, indent=False) for name in self.names},
        }
        self.button = ipywidgets.Button(description="Start", icon="play", button_style="primary")
        over = ipywidgets.Button(description="Start over", icon="undo", tooltip="the weights of the beginning")
        self.button.on_click(lambda _: self.stop() if self.running else self.start())
        over.on_click(lambda _: self.start_over())
        super().__init__(
            self.drawn, controls, "The training losses by step, one line each.", [ipywidgets.HBox([self.button, over])]
        )

    @property
    def running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def start(self) -> None:
        """Train on, from where the weights are, until `stop`. Nothing happens if it trains already."""
        if not self.running:
            self._take_model()
            self.asked_to_stop.clear()
            self.thread = threading.Thread(target=self._train, name="training_panel", daemon=True)
            self.button.description, self.button.icon = "Stop", "stop"
            self.thread.start()

    def stop(self) -> None:
        """End the training after the step that is being done, and wait for that."""
        self.asked_to_stop.set()
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join()

    def start_over(self) -> None:
        """Stop, and give the model back the weights that it had when the panel was made."""
        self.stop()
        self.model.load_state_dict(self.first_state)
        self.optimizer = make_optimizer(self.model, self.model.config.train)
        self.history.clear()
        self.update()

    def update(self) -> None:
        with self.drawing:
            super().update()

    def losses(self, step: int) -> dict[str, torch.Tensor]:
        """`model.losses` on the pictures of a step; the sampling depends on seed, step and picture alone."""
        pictures = self.pictures(step)
        images, targets = zip(*(self.dataset[i] for i in pictures))
        device = next(self.model.parameters()).device
        seeds = [mix(self.seed, step, i) for i in pictures]
        return self.model.losses([image.to(device) for image in images], targets, seeds)

    def pictures(self, step: int) -> tuple[int, ...]:
        """The data set's indices in a step: every picture once an epoch, in an order of its own."""
        steps = len(self.dataset) // self.batch_size
        order = order_of_epoch(len(self.dataset), self.seed, step // steps)
        first = step % steps * self.batch_size
        return tuple(order[first : first + self.batch_size])

    def step(self, lr: float, chosen: Sequence[str]) -> Step:
        """One step with the sum of the chosen losses; without any it only measures. FloatingPointError if one of them
        is not finite: then the weights are left as they were."""
        number = len(self.history)
        with torch.set_grad_enabled(bool(chosen)):
            losses = self.losses(number)
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        bad = [f"{name} is {values[name]}" for name in chosen if not math.isfinite(values[name])]
        if bad:
            raise FloatingPointError(
                f"{', '.join(bad)} in step {number} at a learning rate of {lr:.2g}: start over with a lower one"
            )
        if chosen:
            torch.stack([losses[name] for name in chosen]).sum().backward()
            take_step(self.optimizer, lr, self.model.config.train.grad_clip, torch.amp.GradScaler(enabled=False))
        self.history.append(Step(self.pictures(number), lr, tuple(chosen), values))
        return self.history[-1]

    def drawn(self, lr: float, **on: bool) -> tuple[Figure, str]:
        """The losses so far; controls that move say what comes next."""
        history = list(self.history)  # WHY a copy: the thread may add to it meanwhile
        figure = Figure(figsize=(9.2, 3.3), layout="constrained")
        axes = figure.add_subplot()
        for name, colour, style in zip(self.names, COLOURS, STYLES):
            values = smoothed([step.losses[name] for step in history])
            axes.plot(values, color=colour, linestyle=style, label=name if on[name] else f"{name} (off)", linewidth=1.8)
            if not history:  # where each curve will begin
                axes.plot(0, self.first_losses[name], "o", color=colour)
        axes.set(xlabel="step", ylabel="loss, running mean", yscale="log")
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        chosen = [name for name in self.names if on[name]]
        if not history:
            axes.set(xlim=(-1, 50), title="not started: the losses before the first step")
            first = ", ".join(f"{name} {value:.4f}" for name, value in self.first_losses.items())
            words = f"Not started: press Start. Before the first step: {first}. "
            return figure, f"{words}Learning rate {lr:.2g}, {len(chosen)} of {len(self.names)} losses on."
        last = history[-1].losses
        words = f"{len(history)} steps; last: " + ", ".join(f"{name} {value:.4f}" for name, value in last.items())
        total = sum(last[name] for name in chosen)
        summed = f"sum of the {len(chosen)} that are on {total:.4f}" if chosen else "none is on: measured, not trained"
        return figure, f"{words}; {summed}. Learning rate {lr:.2g}."

    def _take_model(self) -> None:
        """Stop another panel that trains the same model."""
        owner = _OWNERS.get(self.model, lambda: None)()
        if owner is not None and owner is not self:
            owner.stop()
        _OWNERS[self.model] = weakref.ref(self)

    def _train(self) -> None:
        """The thread's work: steps by what the controls stand at, a picture from time to time."""
        problem, drawn_at = None, 0.0
        try:
            with training_mode(self.model):
                while not self.asked_to_stop.is_set():
                    values = self.values()
                    self.step(values.pop("lr"), [name for name, on in values.items() if on])
                    if time.monotonic() - drawn_at > SECONDS_BETWEEN_PICTURES:
                        self.update()
                        drawn_at = time.monotonic()
        except Exception as error:  # WHY all: nobody else hears of what a thread raises
            problem = error
        self.button.description, self.button.icon = "Start", "play"
        self.update()
        if problem is not None:
            self.fail(problem)


def smoothed(values: Sequence[float]) -> list[float]:
    """The running mean of a noisy curve, each value as long as the ones before it weigh less and less."""
    means: list[float] = []
    for n, value in enumerate(values):
        weight = max(SMOOTHING, 1 / (n + 1))
        means.append(value if not means else means[-1] + weight * (value - means[-1]))
    return means


def training_panel(
    model: Any, dataset: Any, *, batch_size: int = 2, lr: float | None = None, seed: int = 0
) -> TrainingPanel:
    """A panel to put at the end of a cell: trains the model on a data set, with what its controls stand at.

    model: a `MaskRCNN`, on its device; its weights change. dataset: a sequence of (image, target), as `open_dataset`
    gives it, with at least `batch_size` pictures. lr: to start with; None: the configuration's. seed: decides the order
    of the pictures and the sampling. The optimizer and its other settings are `model.config.train`'s, without its
    schedule. ValueError for a batch size that does not fit and for targets that do not; a panel that trains the same
    model already is stopped.
    """
    return TrainingPanel(model, dataset, batch_size, lr, seed)
