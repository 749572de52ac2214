"""Training: the demo with our model and with torchvision's of the same size, same budget, same evaluation.

    python benchmarks/training.py --search            the learning rate of each model: six runs
    python benchmarks/training.py --seeds 0 1 2       the comparison: two runs a seed, at the best rates
    python benchmarks/training.py --rate 0.002 --seeds 0 1 2        the same, at this rate for both
    python benchmarks/training.py                     only the tables of what is there
    python benchmarks/training.py --data nuclei --minutes 20 --seeds 0

Every run is `python -m mrcnn_lite.demo` in a process of its own, one after the other, --minutes of training each and
then the held-out pictures. Both models get the same search (0.001, 0.002, 0.004, seed 100, which the comparison does
not use) and the best rate by mask AP; without a search, the demo's own. A run is stored as runs/training-*/*.json
with its command and commit, and not repeated. Let nothing else run beside it: minutes are by the clock.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from timing import Table, machine, runs_folder

KINDS = ("ours", "torchvision")
RATES = (0.001, 0.002, 0.004)
SEARCH_SEED = 100

Result = dict[str, Any]


def command_of(kind: str, minutes: float, seed: int, rate: float | None, output: Path) -> list[str]:
    """The demo as a program; the data set is the folder's: training-nuclei/ours-20min-… trains on nuclei."""
    command = [sys.executable, "-m", "mrcnn_lite.demo", "--minutes", f"{minutes:g}", "--seed", str(seed)]
    command += ["--data", output.parent.name.removeprefix("training-")]
    command += ["--output", str(output)]
    command += ["--peer", "torchvision"] if kind == "torchvision" else []
    return command + (["--lr", f"{rate:g}"] if rate is not None else [])


def parse(line: str) -> Result:
    """The demo's last line: "mask AP 0.573  box AP 0.614  ...  1606 steps in 6.0 min  ..." -> its numbers."""
    patterns = {"mask_ap": r"mask AP ([\d.]+)", "box_ap": r"box AP ([\d.]+)", "steps": r"(\d+) steps"}
    found = {name: re.search(pattern, line) for name, pattern in patterns.items()}
    missing = [name for name, match in found.items() if match is None]
    if missing:
        raise ValueError(f"the demo's last line has no {', '.join(missing)}: {line!r}")
    numbers = {name: float(match.group(1)) for name, match in found.items() if match is not None}
    return {**numbers, "steps": int(numbers["steps"])}


def name_of(kind: str, minutes: float, seed: int, rate: float | None) -> str:
    return f"{kind}-{minutes:g}min-seed{seed}-lr{'own' if rate is None else f'{rate:g}'}"


def stored(folder: Path, kind: str, minutes: float, seed: int, rate: float | None) -> Result | None:
    path = folder / f"{name_of(kind, minutes, seed, rate)}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def run(folder: Path, kind: str, minutes: float, seed: int, rate: float | None) -> Result:
    """The result of one run: the stored one, or a new one, stored. SystemExit where the demo fails."""
    known = stored(folder, kind, minutes, seed, rate)
    if known is not None:
        return known
    name = name_of(kind, minutes, seed, rate)
    command = command_of(kind, minutes, seed, rate, folder / name)
    print(f"\n{name}: {' '.join(command)}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(command, cwd=runs_folder().parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    if process.returncode != 0:
        raise SystemExit(f"{name} ended with status {process.returncode}; run the same command again to go on")
    result = {**parse(last), "command": command[1:], "commit": commit(), "machine": machine()}
    path = folder / f"{name}.json"
    path.with_suffix(".part").write_text(json.dumps(result, indent=1), encoding="utf-8")
    path.with_suffix(".part").replace(path)
    return result


def commit() -> str:
    """The commit that is checked out, "+" where files differ from it; "" without git."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        done = subprocess.run(command, cwd=runs_folder().parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def best_rate(folder: Path, kind: str, minutes: float) -> float | None:
    """The rate with the highest mask AP, once the search is complete; None before."""
    results = {rate: stored(folder, kind, minutes, SEARCH_SEED, rate) for rate in RATES}
    scores = {rate: result["mask_ap"] for rate, result in results.items() if result is not None}
    return max(scores, key=scores.__getitem__) if len(scores) == len(RATES) else None


def print_search(folder: Path, minutes: float) -> None:
    print(f"\nlearning rate, {minutes:g} minutes each, seed {SEARCH_SEED}; * the best by mask AP")
    table = Table({"model": 11, "rate": 7, "mask AP": 7, "box AP": 7, "steps": 6})
    for kind in KINDS:
        best = best_rate(folder, kind, minutes)
        for rate in RATES:
            result = stored(folder, kind, minutes, SEARCH_SEED, rate)
            if result is not None:
                mark = " *" * (rate == best)
                table.row(kind, f"{rate:g}{mark}", *points(result), result["steps"])


def print_seeds(folder: Path, minutes: float, seeds: list[int], rates: dict[str, float | None]) -> None:
    """A row a seed that has both runs; ours ahead means a ratio above 1."""
    print(f"\n{minutes:g} minutes of training each; ratio = ours / torchvision")
    columns = {"seed": 6, "ours: mask AP": 7, "box AP": 7, "steps": 6}
    table = Table({**columns, "torchvision: mask AP": 7, "box AP ": 7, "steps ": 6, "ratio of mask AP": 6})
    ratios = []
    for seed in seeds:
        results = [stored(folder, kind, minutes, seed, rates[kind]) for kind in KINDS]
        if None in results:
            continue
        ours, theirs = (result for result in results if result is not None)
        ratios.append(ours["mask_ap"] / max(theirs["mask_ap"], 1e-3))
        table.row(str(seed), *points(ours), ours["steps"], *points(theirs), theirs["steps"], ratios[-1])
    if ratios:
        print(f"\nratio of mask AP: median {statistics.median(ratios):.2f}, least {min(ratios):.2f}")


def points(result: Result) -> tuple[str, str]:
    return f"{result['mask_ap']:.3f}", f"{result['box_ap']:.3f}"


def main(arguments: list[str] | None = None) -> None:
    about = argparse.RawDescriptionHelpFormatter
    options_parser = argparse.ArgumentParser(description=__doc__, formatter_class=about)
    options_parser.add_argument("--quick", action="store_true", help="twelve seconds a run: to see that it runs")
    options_parser.add_argument("--data", default="shapes", choices=["shapes", "nuclei"], help="default %(default)s")
    options_parser.add_argument("--search", action="store_true", help="find both learning rates")
    options_parser.add_argument("--seeds", type=int, nargs="+", help="compare with these seeds")
    options_parser.add_argument("--minutes", type=float, default=6.0, help="of training a run; default %(default)s")
    options_parser.add_argument(
        "--search-minutes", type=float, help="of training a run of the search; default --minutes"
    )
    options_parser.add_argument("--rate", type=float, help="the learning rate of both models, whatever a search found")
    options = options_parser.parse_args(arguments)
    minutes = 0.2 if options.quick else options.minutes
    search_minutes = minutes if options.quick else options.search_minutes or minutes
    folder = runs_folder() / f"training-{options.data}"
    print(machine())
    if options.search:
        for rate in RATES:
            for kind in KINDS:
                run(folder, kind, search_minutes, SEARCH_SEED, rate)
    rates = {kind: options.rate or best_rate(folder, kind, search_minutes) for kind in KINDS}
    for seed in options.seeds or []:
        for kind in KINDS:
            run(folder, kind, minutes, seed, rates[kind])
    if not folder.exists():
        print("nothing has been trained yet: see --help for --search and --seeds")
        return
    print_search(folder, search_minutes)
    print_seeds(folder, minutes, options.seeds or [0, 1, 2], rates)


if __name__ == "__main__":
    main()
