"""What the benchmarks share: options, the line that names the machine, runs that take turns, and the table.

Contestants take turns (A B A B ...), so that a busy neighbour disturbs all of them, and what is printed is the median
over the turns and the median of each turn's ratio. On a CPU with one thread a turn costs CPU seconds, which hardly
depend on neighbours; with more threads, and on a GPU, seconds by the clock, from one idle device to the next.

    python benchmarks/timing.py     prints the line that names this machine
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torchvision


def parser(about: str | None) -> argparse.ArgumentParser:
    """The options of every script; `about` is its docstring."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU; default %(default)s")
    parser.add_argument("--quick", action="store_true", help="small and few: to see that it runs, not to quote")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], help="only the rows of this device; default: all there are"
    )
    return parser


def begin(options: argparse.Namespace) -> list[torch.device]:
    """Set the number of threads, print the machine's line; -> the devices to measure on."""
    torch.set_num_threads(options.threads)
    print(machine())
    if options.quick:
        print("--quick: small and few, these figures are not to be quoted")
    if options.device != "cpu" and not torch.cuda.is_available():
        if options.device == "cuda":
            raise SystemExit("no GPU: there is nothing to measure")
        print("no GPU: its rows are left out")
    names = [name for name in ("cpu", "cuda") if options.device in (None, name)]
    return [torch.device(name) for name in names if name == "cpu" or torch.cuda.is_available()]


def machine() -> str:
    """Versions, processor, threads and GPU, as one line."""
    processor = torch.backends.cpu.get_cpu_capability()
    parts = [f"torch {torch.__version__}", f"torchvision {torchvision.__version__}"]
    parts += [f"Python {platform.python_version()}", f"{platform.machine()} {processor}, {os.cpu_count()} cores"]
    parts += [f"{torch.get_num_threads()} CPU thread{'s' * (torch.get_num_threads() > 1)}"]
    if torch.cuda.is_available():
        parts += [torch.cuda.get_device_name()]
    return ", ".join(parts)


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """What one call takes."""
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = clock()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


class Times(dict[str, list[float]]):
    """Seconds of every turn, by contestant."""

    def ms(self, name: str) -> float:
        """The median in milliseconds."""
        return 1e3 * statistics.median(self[name])

    def ratio(self, name: str, other: str) -> float:
        """How many times as long `name` takes as `other`: the median over the turns."""
        return statistics.median(a / b for a, b in zip(self[name], self[other]))


def take_turns(contestants: Mapping[str, Callable[[], object]], device: torch.device, turns: int) -> Times:
    """Each contestant once to warm up, then `turns` times one after the other."""
    for call in contestants.values():
        call()
    times = Times({name: [] for name in contestants})
    for _ in range(turns):
        for name, call in contestants.items():
            times[name].append(seconds(call, device))
    return times


class Table:
    """A Markdown table, printed row by row as the figures come in. columns: name -> least width."""

    def __init__(self, columns: Mapping[str, int]) -> None:
        self.widths = [max(len(name), width) for name, width in columns.items()]
        print()
        self._print([name.ljust(width) for name, width in zip(columns, self.widths)])
        self._print(["-" * width for width in self.widths])

    def row(self, *cells: object) -> None:
        """Texts stand left, numbers right, a float with the digits that matter."""
        aligned = []
        for cell, width in zip(cells, self.widths, strict=True):
            text = cell if isinstance(cell, str) else number(cell)
            aligned.append(text.ljust(width) if isinstance(cell, str) else text.rjust(width))
        self._print(aligned)

    @staticmethod
    def _print(cells: list[str]) -> None:
        print("| " + " | ".join(cells) + " |", flush=True)


def number(value: object) -> str:
    """About 3 digits of a float, all of an int: 0.0123 -> "0.0123", 1234.5 -> "1,234"."""
    if not isinstance(value, float):
        return f"{value:,}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 4
    return f"{value:,.{digits}f}"


def runs_folder() -> Path:
    """Where results that took long are kept: runs/ in the project's root."""
    return Path(__file__).resolve().parent.parent / "runs"


if __name__ == "__main__":
    print(machine())
