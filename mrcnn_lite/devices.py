"""Which device, how many processes and threads, and in which precision: what fits the machine at hand.

Every decision is a small function of plain facts, so that a table can test it; the functions that gather the facts
(`cpu_units`, `available_cores`) stand beside them. Nothing here knows of models. Read next: `training/processes.py`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import torch

PRECISIONS = ("float32", "bfloat16", "float16")
MOST_PROCESSES = 8  # on a CPU; each holds the interpreter, torch and a copy of the model: 0.5 GB and more
# What makes OpenMP's idle threads sleep at once instead of spinning. Read by libgomp, MSVC and libiomp when they are
# loaded, so it helps only where it stands in the environment before torch is imported.
PATIENT_OPENMP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}


def choose_device(wanted: str | torch.device | None = None) -> torch.device:
    """The device that was asked for, or else CUDA, or Apple's MPS where it can do what is needed, or the CPU.

    Raises ValueError where this machine lacks the device. One of several processes gets the GPU of its LOCAL_RANK.
    """
    if wanted is None:
        wanted = "cuda" if torch.cuda.is_available() else "mps" if _mps_suffices() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ValueError(f"device {wanted!r} is none that torch knows; expected 'cpu', 'cuda' or 'mps'") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"device {str(device)!r} was asked for, but this torch finds no CUDA device")
        index = int(os.environ.get("LOCAL_RANK", device.index or 0))
        if index >= torch.cuda.device_count():
            raise ValueError(f"no GPU {index}: this machine has {torch.cuda.device_count()}, one a process needed")
        return torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device 'mps' was asked for, but this torch finds none")
    return device


def _mps_suffices() -> bool:
    """Whether Apple's GPU has the operations that are not in every release: tried out, forward and backward."""
    if not torch.backends.mps.is_available():
        return False
    try:
        from torchvision.ops import nms

        table = torch.ones(4, 2, device="mps", requires_grad=True)
        rows = torch.zeros(1, 4, dtype=torch.int64, device="mps")
        weights = torch.ones(1, 4, device="mps")
        bag = torch.nn.functional.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)
        bag.sum().backward()
        nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]], device="mps"), torch.ones(1, device="mps"), 0.5)
    except (NotImplementedError, RuntimeError, ImportError):
        return False
    return True


def choose_precision(
    device_type: str, capability: tuple[int, int], cpu_units: Collection[str], wanted: str = "auto"
) -> str:
    """One of PRECISIONS: the fastest that this hardware computes itself, or the one that was asked for.

    device_type: "cuda", "cpu", "mps". capability: CUDA compute capability, (0, 0) elsewhere. cpu_units: `cpu_units()`.
    "auto" is bfloat16 from capability 8.0, float16 from 7.0 (tensor cores without bfloat16: V100, T4), else float32.
    WHY not torch.cuda.is_bf16_supported(): on a T4 it says yes, through emulation. On a CPU "auto" is float32, and
    bfloat16 is refused where no unit computes it: emulated, a step took 11 times as long. Raises ValueError.
    """
    offered = {"float32"}
    if device_type == "cuda":
        offered |= {"bfloat16"} if capability >= (8, 0) else set()
        offered |= {"float16"} if capability >= (7, 0) else set()
    if device_type == "cpu" and cpu_units:
        offered |= {"bfloat16"}
    if wanted == "auto":
        fast = "bfloat16" if "bfloat16" in offered else "float16" if "float16" in offered else "float32"
        return fast if device_type == "cuda" else "float32"
    if wanted not in PRECISIONS:
        raise ValueError(f"precision is {wanted!r}, expected 'auto' or one of {PRECISIONS}")
    if wanted not in offered:
        what = f"{device_type} {capability[0]}.{capability[1]}" if device_type == "cuda" else device_type
        raise ValueError(f"precision {wanted} is not computed by this hardware ({what}); it has {sorted(offered)}")
    return wanted


def cpu_units() -> set[str]:
    """The units of this CPU that compute in bfloat16: of "amx_tile" and "avx512_bf16"."""
    names = ("amx_tile", "avx512_bf16")
    return {name for name in names if getattr(torch.cpu, f"_is_{name}_supported", lambda: False)()}


def precision_on(device: torch.device, wanted: str = "auto") -> str:
    """`choose_precision` with the facts of this device."""
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)
    return choose_precision(device.type, capability, cpu_units(), wanted)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """The context for a forward pass in this precision."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, precision))


def available_cores() -> int:
    """Cores that this process may use: of its affinity mask, its container's quota, and, on Apple, the fast ones."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    if sys.platform == "darwin":  # a step waits for its slowest process: leave the efficiency cores out
        command = ["sysctl", "-n", "hw.perflevel0.physicalcpu"]
        with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
            cores = min(cores, int(subprocess.run(command, capture_output=True, timeout=5, check=True).stdout))
    with contextlib.suppress(OSError, ValueError):
        cores = min(cores, cores_of_quota(Path("/sys/fs/cgroup/cpu.max").read_text(), cores))
    return max(1, cores)


def cores_of_quota(cpu_max: str, otherwise: int) -> int:
    """Whole cores in a container's `cpu.max`: "200000 100000" (microseconds a period) is 2, "max 100000" no limit."""
    quota, period = cpu_max.split()
    return otherwise if quota == "max" else max(1, int(quota) // int(period))


def available_memory() -> int | None:
    """Bytes of main memory that this process can still have, swap left out, a container's limit included.

    None where the system does not say.
    """
    found = [_free_memory_of_the_system()]
    with contextlib.suppress(OSError, ValueError):
        control = Path("/sys/fs/cgroup")
        limit = int((control / "memory.max").read_text())  # "max" where there is none
        statistics = dict(line.split() for line in (control / "memory.stat").read_text().splitlines())
        cached = int(statistics["inactive_file"])  # of files, given back when it is needed
        found.append(limit - int((control / "memory.current").read_text()) + cached)
    known = [max(0, count) for count in found if count is not None]
    return min(known) if known else None


def _free_memory_of_the_system() -> int | None:
    with contextlib.suppress(OSError, ValueError, StopIteration, subprocess.SubprocessError):
        if sys.platform == "win32":
            status = (ctypes.c_ulonglong * 8)(64)  # MEMORYSTATUSEX: its length and the load share the first eight bytes
            ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
            return int(status[2]) or None  # total, then available physical memory
        if sys.platform == "darwin":
            text = subprocess.run(["vm_stat"], capture_output=True, text=True, timeout=5, check=True).stdout
            return free_in_vm_stat(text)
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    return None


def free_in_vm_stat(text: str) -> int:
    """Bytes that macOS could give away at once, of what its `vm_stat` prints: free, inactive and speculative pages."""
    page = int(text.split("page size of ")[1].split()[0])
    counts = dict(line.rstrip(".").split(":") for line in text.splitlines()[1:] if ":" in line)
    return page * sum(int(counts[f"Pages {kind}"]) for kind in ("free", "inactive", "speculative"))


def choose_processes_and_threads(device_type: str, cores: int, images: int) -> tuple[int, int]:
    """How many processes, and OpenMP threads in each, train fastest: `processes="auto"`.

    device_type: "cuda" and "mps" take one process ("auto" never takes a second GPU; ask for processes=N). cores:
    `available_cores()`. images: of a step, batch_size / accumulate; the processes share them equally.

    On a CPU: as many processes of one thread as there are cores and equal shares of the images, then threads for the
    cores left over. Measured with the tiny preset, batch 8, two cores: step time relative to one thread alone, calm and
    beside one busy process.

                                  calm   busy
        one thread                1.00   0.95
        two threads               0.77   53     (spinning, each waits for the one that is not running)
        two threads, PATIENT      1.11   2.3
        two processes             0.72   1.38

    Threads meet some thousand times a step, after each operation; processes meet a few times, and sleep while they
    wait. With fewer, longer operations (torchvision's model of this size) two threads, calm, reach 0.60 and two
    processes 0.52.
    """
    if device_type != "cpu":
        return 1, 1
    most = min(cores, MOST_PROCESSES, images)
    processes = max(n for n in range(1, most + 1) if images % n == 0)
    return processes, max(1, cores // processes)


def processes_and_threads(wanted: int | str, device_type: str, images: int) -> tuple[int, int]:
    """`choose_processes_and_threads` for "auto"; for a number of processes the threads that are left for each."""
    cores = available_cores()
    if wanted == "auto":
        return choose_processes_and_threads(device_type, cores, images)
    if not isinstance(wanted, int) or wanted < 1:
        raise ValueError(f"processes is {wanted!r}, expected 'auto' or a number from 1")
    return wanted, max(1, cores // wanted)


@contextlib.contextmanager
def thread_limit(threads: int | None) -> Iterator[None]:
    """Run the block with so many OpenMP threads; None leaves them as they are."""
    before = torch.get_num_threads()
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads is {threads}, expected at least 1")
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
