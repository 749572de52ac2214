"""Which pictures a training step sees, in which order, with which random seeds: a pure function of (seed, step).

An epoch is a random permutation of the data set; steps take `batch_size` pictures after one another, across the end
of an epoch too. Nothing is remembered, so a resumed run goes on exactly where the other stopped, and any number of
processes and accumulation steps shares the very same pictures.

Read next: `run.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import signal
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ..checks import check_batch
from ..config import Config, Training
from .bad_pictures import MOST_IN_A_ROW, REASONS, Bad, BadPicture, TooManyBadPictures

Target = dict[str, Any]
SECONDS_TO_STOP = 30  # that a process reading ahead lives on after SIGTERM, for the step to be finished


class Picture(NamedTuple):
    """One picture as the model sees it in one epoch."""

    image: Tensor  # float [3, H, W], 0..1
    target: Target
    seed: int  # for the sampling of anchors and RoIs
    number: int  # its index in the data set
    skipped: tuple[Bad, ...] = ()  # in whose place it is


def mix(*numbers: int) -> int:
    """A 63-bit seed from several numbers: all of them matter, neighbours are unrelated, no machine differs."""
    text = ",".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def order_of_epoch(num_images: int, seed: int, epoch: int) -> list[int]:
    """The permutation of the data set's indices in one epoch."""
    generator = torch.Generator().manual_seed(mix(seed, epoch))
    return torch.randperm(num_images, generator=generator).tolist()


class Shares(Sampler[list[tuple[int, int]]]):
    """For ever: the (epoch, index) of each picture of one process's next micro-batch.

    A step's pictures are cut into `accumulate` parts, each part into one equal share a process; so what is normalised
    together does not depend on the number of processes.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        *,
        seed: int,
        first_step: int = 0,
        accumulate: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if num_images < 1:
            raise ValueError("the data set is empty: there is nothing to train on")
        if accumulate < 1 or batch_size % (accumulate * world_size):
            raise ValueError(
                f"a batch of {batch_size} pictures cannot be shared equally by {world_size} process(es) x "
                f"{accumulate} accumulation step(s): batch_size must be a multiple of {accumulate * world_size}"
            )
        self.num_images, self.seed, self.accumulate = num_images, seed, accumulate
        self.rank, self.world_size = rank, world_size
        self.first = first_step * batch_size
        self.share = batch_size // (accumulate * world_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, order = -1, []
        # The first picture of this process, then one share out of every `world_size`.
        position = self.first + self.rank * self.share
        while True:
            keys = []
            for number in range(position, position + self.share):
                if number // self.num_images != epoch:
                    epoch = number // self.num_images
                    order = order_of_epoch(self.num_images, self.seed, epoch)
                keys.append((epoch, order[number % self.num_images]))
            yield keys
            position += self.share * self.world_size


class Pictures(Dataset[Picture]):
    """The data set by (epoch, index); one with `set_epoch` (data.Augmented) shows another view in each epoch.

    config: of the model that is to be trained, if it is ours: every picture is checked once, in the first epoch, here,
    where the data are still on the CPU. skip: put another in the place of one that is bad, and check in every epoch.
    Raises BadPicture by its name, TooManyBadPictures.
    """

    def __init__(self, dataset: Any, seed: int, config: Config | None = None, skip: bool = False) -> None:
        self.dataset, self.seed, self.config, self.skip = dataset, seed, config, skip
        self.by_epoch = hasattr(dataset, "set_epoch")

    def __getitem__(self, key: tuple[int, int]) -> Picture:
        epoch, index = key
        skipped: list[Bad] = []
        while len(skipped) <= MOST_IN_A_ROW:
            try:
                image, target = self._read(epoch, index)
            except REASONS as error:
                skipped.append(Bad(index, self._name(index), " ".join(str(error).split()) or type(error).__name__))
                if not self.skip:
                    raise BadPicture(str(skipped[0])) from error
                index = mix(self.seed, *key, len(skipped)) % len(self.dataset)
            else:
                return Picture(image, target, mix(self.seed, *key), index, tuple(skipped))
        each = "; ".join(map(str, skipped[:3]))
        raise TooManyBadPictures(f"{len(skipped)} pictures drawn at random one after another are bad: {each}; …")

    def _read(self, epoch: int, index: int) -> tuple[Tensor, Target]:
        image, target = self.dataset[(epoch, index) if self.by_epoch else index]
        if self.config is not None and (epoch == 0 or self.skip):
            check_batch([image], [target], self.config.num_classes, self.config.heads, self.config.num_keypoints)
        return image, target

    def _name(self, index: int) -> str:
        return self.dataset.image_name(index) if hasattr(self.dataset, "image_name") else "no name"


def augmented(dataset: Any, settings: Training, seed: int) -> Any:
    """The data set seen through random flips, rotations and sizes, as the settings say.

    Only one of `mrcnn_lite.data` can be: any other sequence, and one that is augmented already, stays as it is.
    """
    from ..data.augment import Augmented
    from ..data.dataset import Dataset as OurDataset

    wanted = settings.flip or settings.rotate90 or settings.scale_range != (1.0, 1.0)
    if not wanted or not isinstance(dataset, OurDataset) or isinstance(dataset, Augmented):
        return dataset
    return Augmented(
        dataset,
        flip=settings.flip,
        rotate90=settings.rotate90,
        scale_range=settings.scale_range,
        same_size=settings.scale_range != (1.0, 1.0),  # the model resizes its input: a mere resize would be undone
        seed=seed,
    )


def load(
    pictures: Pictures, shares: Shares, workers: int, pin_memory: bool = False, ending: Any = None
) -> Iterator[list[Picture]]:
    """Micro-batches without end. workers: processes that read ahead, 0 = read in this one.

    ending: a number in shared memory, not 0 from when on they may be terminated (see `reading`).
    """
    return iter(
        DataLoader(
            pictures,
            batch_sampler=shares,
            num_workers=workers,
            collate_fn=list,
            pin_memory=pin_memory,
            worker_init_fn=partial(_start_worker, ending),
        )
    )


@contextlib.contextmanager
def reading(
    pictures: Pictures, shares: Shares, workers: int, pin_memory: bool = False
) -> Iterator[Iterator[list[Picture]]]:
    """`with reading(…) as batches`: what `load` gives. Raises ChildProcessError when a process that reads dies.

    WHY the signal: torch raises its own error about it wherever this process is, in the middle of a write say.
    """
    here = workers > 0 and threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGCHLD")
    others = set(multiprocessing.active_children())
    ending = multiprocessing.RawValue("b", 0) if workers else None
    batches = load(pictures, shares, workers, pin_memory, ending)
    readers = [child for child in multiprocessing.active_children() if child not in others]
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL) if here else None
    try:
        yield batches
    except (BadPicture, TooManyBadPictures) as error:
        text = str(error).strip()  # from a process that reads it comes within torch's words: the last line is ours
        if "\n" not in text:
            raise
        raise type(error)(text.splitlines()[-1].split(": ", 1)[1]) from error
    except Exception as error:  # what of its end is noticed first: a broken connection, a wait that was in vain
        for reader in readers:
            reader.join(0.5 / len(readers))
        dead = [reader for reader in readers if reader.exitcode]
        if not dead:
            raise
        raise ChildProcessError(
            f"a process that reads pictures ahead (process {dead[0].pid}) has died, exit code {dead[0].exitcode}. If "
            f"the system killed it because memory ran out (code -9), fewer of them (workers, now {workers}) or smaller "
            "pictures help"
        ) from error
    finally:
        if ending is not None:
            ending.value = 1
            # WHY not left to the garbage collector: there it is too late for the question to end, and torch waits for
            # five seconds for each process. It has no public name.
            getattr(batches, "_shutdown_workers", lambda: None)()
        if here and before is not None:
            signal.signal(signal.SIGCHLD, before)


def _start_worker(ending: Any, number: int) -> None:
    # Control-C reaches every process of a terminal, SIGTERM every process of a batch job: the training process alone
    # decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if ending is not None and hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, partial(_terminated, ending))
    torch.set_num_threads(1)


def _terminated(ending: Any, number: int, frame: Any) -> None:
    """A process that reads gets SIGTERM: from the run that is over, or from somebody else."""
    if ending.value:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    else:
        signal.alarm(SECONDS_TO_STOP)  # the step can still be finished


def to_device(pictures: Sequence[Picture], device: torch.device) -> tuple[list[Tensor], list[Target], list[int]]:
    """Images, targets and seeds, as the model takes them; tensors of a target move, the rest of it stays."""
    images = [picture.image.to(device, non_blocking=True) for picture in pictures]
    targets = [
        {
            key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for key, value in picture.target.items()
        }
        for picture in pictures
    ]
    return images, targets, [picture.seed for picture in pictures]
