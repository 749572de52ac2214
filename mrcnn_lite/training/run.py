"""Training: a run of steps with its schedule, evaluations, logs and checkpoints, on one process or several.

`train(model, data set)` is all there is to call. Everything random in a step is seeded by (seed, step), so a run that
was stopped, by whatever, goes on from its last checkpoint as if nothing had happened: on a CPU, bit for bit.

Paper: Mask R-CNN section 3.1, "Training". Read next: `trainer.py` (one step), `batches.py`, `schedule.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..config import Config, Training
from ..devices import available_cores, choose_device, precision_on, processes_and_threads, thread_limit
from ..distributed import rank, world_size
from .bad_pictures import FILE, BadPictures, allowed_share
from .batches import Picture, Pictures, Shares, augmented, mix, reading
from .errors import in_words, what_to_lower
from .lock import Lock
from .logs import History
from .memory import warn_before
from .processes import launched, process_group, run_processes
from .records import Records, find_checkpoint
from .schedule import Clock, learning_rate, training_mode
from .stopping import asked_to_stop
from .trainer import Trainer
from .validation import score


def train(
    model: nn.Module,
    dataset: Any,
    *,
    output: str | os.PathLike[str] | None = None,
    settings: Training | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    validation: Any = None,
    validate_every: int | None = None,
    device: str | torch.device | None = None,
    processes: int | str = 1,
    accumulate: int = 1,
    precision: str = "auto",
    workers: int | None = None,
    checkpoint_every: int | None = None,
    log_every: int = 20,
    seed: int = 0,
    threads: int | None = None,
    tensorboard: bool = False,
    freeze: Sequence[str] = (),
    skip_bad: bool | float = False,
    progress: bool = True,
) -> History:
    """Train `model`, in place, on `dataset`, and say how it went.

    Args:
        model: ours, torchvision's, or any module that gives a dict of losses for (images, targets).
        dataset: a sequence of (image, target); its class names are given to our model.
        output: a folder for last.pt (to resume), model.safetensors (our model, to use), metrics.csv and
            validation.csv. Without it nothing is written.
        settings: else `model.config.train`.
        steps, minutes: the length, instead of settings.steps; in minutes the schedule follows the clock, and
            evaluations and checkpoints count,
            but for the evaluation at the end.
        resume: go on from output/last.pt if it exists. On a CPU, with as many processes, a run in steps ends bit for
            bit as if it had not been stopped; one in minutes goes on where it was.
        overwrite: allow `output` to hold another run.
        validation, validate_every: a data set and how many steps lie between evaluations; there is one at the end.
        device: else CUDA, MPS, CPU (`devices.choose_device`).
        processes: start so many that share each batch, one a GPU; "auto" is what suits the CPU. Under torchrun, 1.
        accumulate: cut each batch into so many parts, one after another: less memory. Each part's losses are means
            of their own, so the result differs a little.
        precision: "auto", "float32", "bfloat16" or "float16" (`devices.choose_precision`).
        workers: processes that read pictures ahead; else 0 on a CPU, 4 on a GPU.
        checkpoint_every: steps; else once in five minutes.
        threads: of OpenMP; else 1 on a CPU unless OMP_NUM_THREADS is set (why: `choose_processes_and_threads`).
        freeze: prefixes of the names of layers to leave as they are, such as "backbone.body.layer1".
        skip_bad: put others in the place of pictures that cannot be read or whose target is refused, up to this share
            of them all (True: a tenth); they are named in output/bad_pictures.csv. Else the first one stops the run.

    Control-C or SIGTERM finishes the step, writes the checkpoint and returns with history.interrupted; a second one
    acts at once. Where settings.ema is on, the average is what is evaluated, what `model` holds afterwards and
    model.safetensors. Raises NonFiniteLoss (a FloatingPointError), OutOfMemory (a MemoryError), BadPicture and
    TooManyBadPictures (ValueErrors), which name the pictures; ValueError for arguments that contradict each other or
    the run to be resumed; FileExistsError, FolderInUse, CheckpointError (OSErrors) for a folder that holds a run, that
    another run is writing into, that cannot be written; ChildProcessError if one of the run's processes is killed.
    """
    options = {name: value for name, value in locals().items() if name not in ("model", "dataset", "processes")}
    if settings is None:
        settings = getattr(getattr(model, "config", None), "train", None)
        if settings is None:
            raise ValueError("this model has no config.train: pass settings=Training(…)")
    if steps is not None and minutes is not None:
        raise ValueError(f"the length of the run is given twice: steps={steps} and minutes={minutes}")
    settings = replace(settings, steps=settings.steps if steps is None else steps)
    freeze = (freeze,) if isinstance(freeze, str) else tuple(freeze)
    place = choose_device(device)
    if launched() > 1 and processes not in (1, "auto", launched()):
        raise ValueError(f"processes={processes}, but torchrun has started {launched()}")
    if launched() == 1 and processes != 1:
        count, each = processes_and_threads(processes, place.type, settings.batch_size // max(accumulate, 1))
        if count > 1:
            _name_classes(model, dataset)
            state, history = run_processes(count, threads or each, _in_a_child, model, dataset, **options)
            model.load_state_dict(state)
            return history
    if threads is None and place.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        threads = 1
    if workers is None:
        workers = min(4, available_cores() // launched()) if place.type == "cuda" else 0

    with ExitStack() as stack:
        stack.enter_context(thread_limit(threads))
        stack.enter_context(process_group(place))
        stop = stack.enter_context(asked_to_stop())
        stack.enter_context(training_mode(model.to(place), freeze))
        config = _name_classes(model, dataset)
        if config is not None:  # the pictures are checked as they are read, once each
            stack.callback(setattr, model, "check_inputs", model.check_inputs)
            model.check_inputs = False  # type: ignore[assignment]
        precision = precision_on(place, precision)
        trainer = Trainer(model, settings, device=place, precision=precision, accumulate=accumulate)
        stack.callback(trainer.leave)

        # What must be the same for a run to go on; processes, threads and device may change.
        identity = {f"settings.{name}": value for name, value in asdict(settings).items()}
        identity |= {"seed": seed, "minutes": minutes, "accumulate": accumulate, "precision": precision}
        identity |= {"freeze": list(freeze), "pictures": len(dataset)}
        identity |= _network(model) if config else {}
        folder = None if output is None else Path(output)
        lock = None
        if folder is not None and rank() == 0:
            lock = Lock(folder)
            stack.callback(lock.release)
        found = find_checkpoint(folder, identity, resume, overwrite)
        if found is not None:
            trainer.load_state(found)
        clock = Clock(settings.steps, minutes, found["seconds"] if found else 0.0)
        bad_file = folder / FILE if folder else None
        bad = BadPictures(bad_file, rank() == 0, allowed_share(skip_bad), len(dataset), trainer.step)
        records = Records(
            folder,
            active=rank() == 0,
            identity=identity,
            lock=lock,
            bad=bad,
            first_step=trainer.step,
            checkpoint_every=checkpoint_every,
            log_every=log_every,
            tensorboard=tensorboard,
            progress=progress,
        )
        stack.callback(records.close)

        shares = Shares(
            len(dataset),
            settings.batch_size,
            seed=seed,
            first_step=trainer.step,
            accumulate=accumulate,
            rank=rank(),
            world_size=world_size(),
        )
        pictures = Pictures(augmented(dataset, settings, seed), seed, config, skip=allowed_share(skip_bad) > 0)
        less = what_to_lower(settings.batch_size, accumulate, shares.share)
        over = bool(found and found["finished"])
        with (
            reading(pictures, shares, workers, pin_memory=place.type == "cuda") as batches,
            in_words(trainer, dataset, less),
        ):
            batches = bad.noted(batches)
            if config and place.type == "cpu" and rank() == 0:
                batches = warn_before(batches, model, world_size(), less)
            signal = _run(trainer, batches, clock, records, bad, stop, seed, validation, validate_every, over)
        if trainer.average is not None:
            trainer.average.copy_to(model)
        if config and not signal:
            records.save_weights(model)
        return records.history(trainer.step, clock, settings.batch_size, signal)


def _run(
    trainer: Trainer,
    batches: Iterator[list[Picture]],
    clock: Clock,
    records: Records,
    bad: BadPictures,
    stop: Callable[[], int],
    seed: int,
    validation: Any,
    validate_every: int | None,
    over: bool,
) -> int:
    """Steps until the run is over -> 0, or until somebody asks to stop -> the number of the signal.

    over: all steps are done already. The checkpoint is written before an evaluation, which may fail; whether that was
    done is told by its row in validation.csv.
    """

    def evaluation_due() -> bool:
        step = trainer.step
        return validation is not None and (over or bool(step and validate_every and step % validate_every == 0))

    if evaluation_due() and not records.evaluated(trainer.step):
        score(trainer, validation, records)
    asked = 0
    while not over and not asked:
        torch.manual_seed(mix(seed, trainer.step, rank()))  # for what the model itself draws, dropout say
        clock.start_step()
        report = trainer.gradients(batches, lambda: [stop(), clock.started, clock.is_last_in_time(), bad.count()])
        asked = max(int(notes[0]) for notes in report.notes)
        _, seconds, last, _ = report.notes[0]  # the first process's clock is everybody's
        bad.end_step(trainer.step + 1, [notes[3] for notes in report.notes])
        lr = learning_rate(trainer.settings, trainer.step, clock.fraction(trainer.step, seconds))
        trainer.update(lr)
        clock.end_step()
        step = trainer.step
        over = clock.is_over(step, bool(last))
        records.step(step, lr, report.losses, clock, trainer.settings.batch_size)
        if over or asked or evaluation_due() or records.checkpoint_due(step):
            records.checkpoint(trainer.state(), clock.seconds, finished=over)
        if evaluation_due():
            score(trainer, validation, records)
    return 0 if over else asked


def _network(model: Any) -> dict[str, Any]:
    config = model.config.to_dict().items()
    return {f"config.{name}": value for name, value in config if name != "train"} | {"classes": model.class_names}


def _in_a_child(model: nn.Module, dataset: Any, **options: Any) -> tuple[dict[str, Tensor], History]:
    history = train(model, dataset, **options)
    return {name: tensor.cpu() for name, tensor in model.state_dict().items()}, history


def _name_classes(model: Any, dataset: Any) -> Config | None:
    """A model of ours learns what its classes are called -> its configuration, None for any other model.

    Raises ValueError if it has fewer classes than the data set.
    """
    config = getattr(model, "config", None)
    if not isinstance(config, Config):
        return None
    names = tuple(getattr(dataset, "class_names", ()))
    if len(names) > config.num_classes:
        raise ValueError(f"the data set has {len(names)} classes with the background, the model {config.num_classes}")
    if len(names) == config.num_classes:
        model.class_names = names
    return config
