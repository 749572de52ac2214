"""Whole models: detecting and a training step, ours against torchvision's eager and compiled model, with peak memory.

    python benchmarks/whole_model.py [--quick] [--no-compile] [--only tiny]

Both have the same weights (`pairs.py`), and first both must give the same detections: the tiny preset, eight pictures
of 128 x 128, and ResNet-50-FPN, one picture of 800 x 1088, 91 classes. Every picture fills its detections (8 and 100),
all masks pasted. "compiled" is torch.compile of torchvision's whole model: it is tried in a process of its own, where
it takes turns with ours, and given up after --compile-minutes.

Peak memory is that of a process of its own for each model, over what torch and torchvision need when they are loaded:
weights, what a step keeps, and the allocator's waste. On a GPU it is torch.cuda.max_memory_allocated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pairs
import torch
from timing import Table, Times, begin, parser, take_turns

TASKS = {"detect": pairs.detector, "train": pairs.trainer}


def make_pair(model: str, quick: bool) -> pairs.Pair:
    if model == "tiny":
        return pairs.tiny(batch=2) if quick else pairs.tiny()
    return pairs.resnet50(height=320, width=416) if quick else pairs.resnet50()


def main(arguments: list[str] | None = None) -> None:
    options = make_parser().parse_args(arguments)
    if options.child:
        print(json.dumps(child(options)))
        return
    devices = begin(options)
    if options.quick and not options.no_compile:
        print("--quick: nothing is compiled")
        options.no_compile = True
    turns = 1 if options.quick else options.turns
    columns = {"device": 6, "model": 8, "task": 6, "ours, ms": 8, "torchvision, ms": 8, "ratio": 6}
    columns |= {"compiled, ms": 8, "ours / compiled": 8, "ours, MB": 6, "torchvision, MB": 6}
    table = Table(columns)
    for device in devices:
        for model in options.only:
            pair = make_pair(model, options.quick).to(device)
            pairs.check_same_detections(pair)
            for task, make_call in TASKS.items():
                contestants = {name: make_call(each, pair) for name, each in pair.models().items()}
                times = take_turns(contestants, device, turns)
                medians = [times.ms(name) for name in contestants]
                compiled = compiled_times(options, device, model, task)
                peaks = [in_child(options, device, model, task, who)["megabytes"] for who in contestants]
                table.row(device.type, model, task, *medians, times.ratio("ours", "torchvision"), *compiled, *peaks)
            del pair, contestants


def compiled_times(options: argparse.Namespace, device: torch.device, model: str, task: str) -> tuple[Any, Any]:
    """torchvision's compiled model in milliseconds and ours against it; or a word why not."""
    if options.no_compile:
        return "left out", ""
    answer = in_child(options, device, model, task, "compiled", limit_s=60 * options.compile_minutes)
    if "error" in answer:
        return answer["error"], ""
    times = Times(answer["times"])
    return times.ms("compiled"), times.ratio("ours", "compiled")


def in_child(
    options: argparse.Namespace, device: torch.device, model: str, task: str, who: str, limit_s: float | None = None
) -> dict[str, Any]:
    """What `child` returns in a process of its own, or {"error": a few words}."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", who, "--only", model, "--task", task]
    command += ["--device", device.type, "--threads", str(options.threads), "--turns", str(options.turns)]
    command += ["--quick"] if options.quick else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return {"error": "too slow"}
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        raise SystemExit(f"a process that measured {who} failed: its own words stand above")
    return json.loads(done.stdout.splitlines()[-1])


def child(options: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own: the peak memory of one model, or the times of ours and the compiled one."""
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    make_call = TASKS[options.task]
    before = memory(device, peak=False)
    pair = make_pair(options.only[0], options.quick).to(device)
    if options.child != "compiled":
        model = pair.models()[options.child]
        del pair.ours, pair.theirs
        if device.type == "cpu" and sys.platform == "win32":
            return {"megabytes": "unknown"}
        make_call(model, pair)()
        return {"megabytes": round((memory(device, peak=True) - before) / 2**20)}
    try:
        compiled: Any = torch.compile(pair.theirs.train(options.task == "train"))
        calls = {"ours": make_call(pair.ours, pair), "compiled": make_call(compiled, pair)}
        calls["compiled"]()  # a second run of the warm-up: shapes that changed are compiled then
        return {"times": take_turns(calls, device, options.turns)}
    except Exception as error:  # a compiler that is missing, or that fails: there are too many kinds to name
        print(error, file=sys.stderr)
        return {"error": f"fails: {type(error).__name__}"}


def memory(device: torch.device, peak: bool) -> int:
    """Bytes that this process holds on the device, now or at its peak."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():  # WHY not ru_maxrss on Linux: a process begins with its parent's peak
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM" if peak else "VmRSS"].split()[0])
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def make_parser() -> argparse.ArgumentParser:
    result = parser(__doc__)
    result.add_argument("--turns", type=int, default=3, help="of which the median is taken; default %(default)s")
    result.add_argument("--only", nargs="+", choices=["tiny", "resnet50"], default=["tiny", "resnet50"], help="models")
    result.add_argument("--no-compile", action="store_true", help="leave the compiled model out")
    result.add_argument("--compile-minutes", type=float, default=10.0, help="patience a row; default %(default)s")
    for name in ("--child", "--task"):
        result.add_argument(name, help=argparse.SUPPRESS)  # how the script calls itself
    return result


if __name__ == "__main__":
    main()
