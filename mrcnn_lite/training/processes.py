"""Several processes that train one model: starting them, telling them apart, stopping them together.

Either `torchrun` starts them and says in the environment who is who, or `run_processes` does, from Python on any
system. Each process has its share of every batch; DistributedDataParallel averages their gradients.

Read next: `distributed.py` (what the losses must know of it), `run.py`.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..devices import PATIENT_OPENMP
from ..distributed import rank, world_size
from .stopping import STOP_FILE, asked_to_stop

STORE = "MRCNN_LITE_STORE"  # in the environment of processes that run_processes started: by it they find each other
PATIENCE = timedelta(hours=6)  # the others wait while the first process evaluates
GRACE = 10.0  # seconds that the others get to end by themselves when one has failed


def launched() -> int:
    """How many processes the environment speaks of (torchrun's WORLD_SIZE); 1 outside of any."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the other processes, if there are any, within the block: NCCL between GPUs, gloo between CPUs."""
    if launched() == 1 or dist.is_initialized():
        yield
        return
    # WHY here: its functions have the group of all processes as a default value, taken when it is imported. Imported
    # later, as the first optimizer brings about, it would keep the group alive until the interpreter is taken down.
    import torch.distributed.nn.functional

    backend = "nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    number, count = int(os.environ["RANK"]), launched()
    store = dist.FileStore(os.environ[STORE], count) if STORE in os.environ else None
    dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=PATIENCE)
    yield
    # Not after an exception: the others would complain before this one has said why.
    dist.destroy_process_group()
    # WHY: gloo's threads end with the last reference to the group. One that lets go of a tensor only when the
    # interpreter is being taken down aborts the process.
    gc.collect()


def gather(values: Tensor) -> Callable[[], Tensor]:
    """Send this process's numbers to all: [V] -> a function that waits and gives everybody's, [world size, V]."""
    if world_size() == 1:
        return lambda: values[None]
    rows = values.new_zeros(world_size(), len(values))
    rows[rank()] = values
    sending = dist.all_reduce(rows, async_op=True)  # WHY no all_gather: a sum with zeros does the same on every backend

    def wait_for_all() -> Tensor:
        sending.wait()
        return rows

    return wait_for_all


def average_in_order(state, bucket):  # type: ignore[no-untyped-def]  # torch compares annotations, which are strings here
    """Communication hook of DistributedDataParallel: the mean of all gradients, summed in the order of the ranks.

    WHY: with three and more processes gloo's own sum takes them in an order that depends on where in its bucket a
    gradient lies, and that changes after the first step: a resumed run would differ in the last bits.
    """
    parts = [torch.empty_like(bucket.buffer()) for _ in range(world_size())]
    future = dist.all_gather(parts, bucket.buffer(), async_op=True).get_future()

    def mean(_: torch.futures.Future[Any]) -> Tensor:
        total = parts[0]
        for part in parts[1:]:
            total += part
        return total.div_(len(parts))

    return future.then(mean)


def run_processes(count: int, threads: int, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
    """Call function(*args, **options) in `count` new processes of `threads` threads each -> what the first returned.

    The function (a module's, not a notebook's) finds the others in the environment, as under torchrun. Arguments and
    result travel as a file. On Control-C the processes are asked to stop and waited for. An exception in one of them
    ends all and is raised here; ChildProcessError if one is killed. No process outlives this one, however it ends.
    """
    with tempfile.TemporaryDirectory(prefix="mrcnn_lite-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            torch.save((function, args, options), folder / "call")
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            message = "the model or the data set cannot be sent to other processes"
            raise ValueError(f"{message} ({error}): train in one, or under torchrun") from error
        environment = {"OMP_NUM_THREADS": str(threads), **(PATIENT_OPENMP if threads > 1 else {})}
        loopback = {"linux": "lo", "darwin": "lo0"}.get(sys.platform)
        if loopback and "GLOO_SOCKET_IFNAME" not in os.environ:  # else gloo asks for this host's name: it may have none
            environment["GLOO_SOCKET_IFNAME"] = loopback
        spawn = multiprocessing.get_context("spawn")
        children = [spawn.Process(target=_child, args=(number, count, name)) for number in range(count)]
        with asked_to_stop() as stop:
            try:
                with _environment(environment):
                    for child in children:
                        child.start()
                codes = _wait(children, stop, folder / "stop")
            finally:
                for child in children:
                    if child.is_alive():
                        child.kill()
        errors = sorted(folder.glob("error-*"), key=lambda path: path.stat().st_mtime_ns)
        first, trace = pickle.loads(errors[0].read_bytes()) if errors else (None, "")
        for number, code in enumerate(codes):
            # Its end is the cause of the errors elsewhere; but an abort is what the end of another brings about.
            unsaid = not (folder / f"error-{number}").exists() and (first is None or code != -signal.SIGABRT)
            if code and unsaid:
                raise ChildProcessError(f"process {number} of {count} {_end_in_words(code)}") from first
        if first is not None:
            raise first from RuntimeError(f"in process {errors[0].name.split('-')[1]}:\n{trace}")
        return torch.load(folder / "result", weights_only=False)


def _wait(children: list[SpawnProcess], stop: Callable[[], int], stop_file: Path) -> list[int | None]:
    """Until all have ended -> their exit codes; once one has failed, the others get a moment to do so too."""
    deadline = None
    while running := [child for child in children if child.exitcode is None]:
        wait([child.sentinel for child in running], timeout=0.5)
        if stop() and not stop_file.exists():
            stop_file.write_text(str(int(stop())))
        if deadline is None and any(child.exitcode for child in children):
            deadline = time.monotonic() + GRACE
        if deadline is not None and time.monotonic() > deadline:
            break
    return [child.exitcode for child in children]


def _end_in_words(code: int) -> str:
    """What an exit code says: below 0 it is the signal that killed the process."""
    if code > 0:
        return f"ended with exit code {code}: see its output"
    why = "; the system kills so when memory runs out" if code == -9 else ""
    return f"was killed by {signal.Signals(-code).name}{why}"


@contextlib.contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    """These environment variables within the block: new processes inherit them before they load torch."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _child(number: int, count: int, folder: str) -> None:
    os.environ.update(RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE=str(count))
    os.environ.update({STORE: os.path.join(folder, "store"), STOP_FILE: os.path.join(folder, "stop")})
    for one in (signal.SIGINT, signal.SIGTERM):  # the parent alone hears them, and asks by the stop file
        signal.signal(one, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    try:
        function, args, options = torch.load(Path(folder, "call"), map_location="cpu", weights_only=False)
        result = function(*args, **options)
        if number == 0:
            torch.save(result, Path(folder, "result"))
    except BaseException as error:
        _tell_parent(error, Path(folder), number)
        _end(1)
    _end(0)


def _tell_parent(error: BaseException, folder: Path, number: int) -> None:
    trace = traceback.format_exc()
    try:
        content = pickle.dumps((error, trace))
        pickle.loads(content)
    except Exception:  # an exception of a shape that pickle does not know
        content = pickle.dumps((RuntimeError(f"{type(error).__name__}: {error}"), trace))
    part = folder / f"part-{number}"
    part.write_bytes(content)
    part.rename(folder / f"error-{number}")


def _end(exit_code: int) -> None:
    """End at once. WHY not return: torch's threads now and then abort an interpreter that is being taken down."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _end_with_parent(folder: str) -> None:
    """A parent that was killed can neither stop its children nor clean up: they see its end, and do both."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)
