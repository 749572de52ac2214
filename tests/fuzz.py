"""Fuzzing by the thousand: damaged input of eight kinds, each call in a process that may crash, hang or eat memory.

    python tests/fuzz.py                                    10,000 mutations, a table
    python tests/fuzz.py --kind results --mutations 500
    python tests/fuzz.py --kind results --number 17         one again, with its traceback
    python tests/fuzz.py --kind results --atheris           coverage-guided; needs atheris

Mutation n of a kind is the same on every run. Workers are forked (Linux, macOS) from a parent that has imported
everything; each has a limit of CPU time a call and, on Linux, of memory. Only `refused` and `accepted` may occur.
Read next: `fuzz_kinds.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "mrcnn_lite"
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

EXPECTED = (ValueError, TypeError, OSError)
CPU_SECONDS = 10.0  # of one call
WALL_SECONDS = 120.0  # without a sign of life, on however busy a machine
MEMORY = 2**30  # bytes that a worker may take beside what it has when it begins
BATCH = 250  # mutations a worker
OUT_OF_MEMORY = re.compile(r"can't allocate memory|not enough memory|Unable to allocate|bad_alloc")


class Outcome(NamedTuple):
    """What one mutation came to."""

    past: bool  # the first parser
    result: str  # "refused", "accepted", or what is wrong: "exception", "unnamed", "silent", "memory", "hang", "crash"
    kind: str = ""  # of the exception
    message: str = ""
    seconds: float = 0.0  # of CPU time


class Hang(BaseException):
    """No Exception: nobody who catches those may swallow it."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Hang is raised inside when so much CPU time is used up. Windows has no such clock: no limit there."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def tried(kind: Any, random: Random, folder: Path) -> Outcome:
    """One mutation of a kind, handed to the package, and judged."""
    mutant = kind.mutate(random, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        past = kind.past(mutant)
        started = time.process_time()
        try:
            with limited(CPU_SECONDS):
                result = kind.call(mutant)
            took = time.process_time() - started
            outcome = Outcome(past, "accepted", seconds=took)
        except Hang:
            return Outcome(past, "hang", message=where(sys.exc_info()[2]))
        except Exception as error:
            took = time.process_time() - started
            outcome = Outcome(past, verdict(kind, error), type(error).__name__, described(error), took)
        if outcome.result == "accepted":
            try:
                kind.check(mutant, result)
            except Exception as error:
                outcome = Outcome(past, "silent", type(error).__name__, described(error), took)
    if "evil" in mutant and mutant["evil"].exists():
        outcome = Outcome(past, "silent", message="code from the file was run")
    return outcome


def verdict(kind: Any, error: BaseException) -> str:
    """What an exception is: a refusal, or a mistake of ours."""
    chain: list[BaseException] = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None and len(chain) < 20:
        chain.append(before)
    if any(isinstance(one, MemoryError) or OUT_OF_MEMORY.search(str(one)) for one in chain):
        return "memory"
    if not isinstance(error, EXPECTED):
        return "exception"
    return "refused" if re.search(kind.named, str(error)) else "unnamed"


def described(error: BaseException) -> str:
    return f"{where(error.__traceback__)}: {str(error)[:300]}"


def where(trace: Any) -> str:
    """The last place of ours, and the last of all: "coco.py:55 > mask.py:20"."""
    frames = traceback.extract_tb(trace)
    ours = [frame for frame in frames if frame.filename.startswith((str(PACKAGE), str(TESTS)))] or frames
    places = dict.fromkeys(f"{Path(frame.filename).name}:{frame.lineno}" for frame in (ours[-1], frames[-1]))
    return " > ".join(places)


# ---- workers -----------------------------------------------------------------------------------------------------


def work(kind: Any, numbers: Sequence[int], connection: Connection) -> None:
    """In a process of its own: say which mutation begins, then what it came to and the memory taken so far."""
    import resource

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C libraries have to say of damaged pictures
    if sys.platform == "linux":
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    unit = 1 if sys.platform == "darwin" else 1024
    at_first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            connection.send((number, None, 0))
            try:
                outcome = tried(kind, seeded(kind, number), Path(folder))
            except Exception as error:  # the harness itself
                outcome = Outcome(False, "crash", type(error).__name__, described(error))
            peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - at_first) * unit
            connection.send((number, outcome, peak))
    connection.close()


def seeded(kind: Any, number: int) -> Random:
    return Random(f"{kind.name} {number}")


@dataclass
class Tally:
    """What the mutations of a kind came to."""

    name: str
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    peak: int = 0  # bytes that a worker took beside what it had

    def count(self, *results: str) -> int:
        return sum(outcome.result in results for outcome in self.outcomes.values())

    @property
    def past(self) -> int:
        return sum(outcome.past for outcome in self.outcomes.values())

    @property
    def bugs(self) -> dict[int, Outcome]:
        return {n: outcome for n, outcome in self.outcomes.items() if outcome.result not in ("refused", "accepted")}


def fuzzed(kind: Any, numbers: Iterable[int]) -> Tally:
    """Every mutation, in workers one after another; who dies takes one mutation along."""
    tally, waiting = Tally(kind.name), list(numbers)
    context = multiprocessing.get_context("fork")
    while waiting:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(kind, waiting[:BATCH], sender))
        process.start()
        sender.close()
        current, finished = waiting[0], True
        while True:
            if not receiver.poll(WALL_SECONDS):
                process.kill()
                tally.outcomes[current], finished = Outcome(True, "hang", message="no sign of life"), True
                break
            try:
                current, outcome, peak = receiver.recv()
            except EOFError:
                break
            finished = outcome is not None
            if finished:
                tally.outcomes[current] = outcome
                tally.peak = max(tally.peak, peak)
        process.join()
        if not finished or (process.exitcode and current not in tally.outcomes):
            tally.outcomes[current] = Outcome(True, "crash", message=f"the process ended with {process.exitcode}")
        waiting = [number for number in waiting if number > current]
    return tally


# ---- reports -----------------------------------------------------------------------------------------------------

WRONG = ["silent", "unnamed", "exception", "memory", "hang", "crash"]
COLUMNS = ["mutations", "past", "refused", "accepted", *WRONG, "slowest", "peak"]


def table(tallies: Sequence[Tally]) -> str:
    """One row a kind. past: the first parser; silent: accepted but wrong; unnamed: refused without saying what."""
    rows = [["kind", *COLUMNS]]
    for tally in tallies:
        slowest = max((outcome.seconds for outcome in tally.outcomes.values()), default=0)
        counts = [tally.count(column) for column in COLUMNS[2:-2]]
        numbers = [len(tally.outcomes), tally.past, *counts]
        rows.append([tally.name, *map(str, numbers), f"{slowest * 1000:.0f} ms", f"{tally.peak / 2**20:.0f} MB"])
    if len(tallies) > 1:
        sums = [sum(int(row[column]) for row in rows[1:]) for column in range(1, len(COLUMNS) - 1)]
        rows.append(["all", *map(str, sums), "", ""])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width) for n, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    )


def refusals(tally: Tally) -> str:
    kinds = Counter(outcome.kind for outcome in tally.outcomes.values() if outcome.result == "refused")
    return f"{tally.name}: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


def bugs(tally: Tally, most: int = 40) -> list[str]:
    """Each different bug once, with the first number that shows it."""
    groups: dict[str, list[int]] = {}
    for number, outcome in tally.bugs.items():
        place = outcome.message.split(": ")[0]
        groups.setdefault(f"{outcome.result} {outcome.kind} {place}", []).append(number)
    return [
        f"--kind {tally.name} --number {numbers[0]}: {len(numbers)} x {group}\n    {tally.outcomes[numbers[0]].message}"
        for group, numbers in list(groups.items())[:most]
    ]


def again(kind: Any, number: int) -> None:
    """One mutation in this process, with all there is to see."""
    with tempfile.TemporaryDirectory() as folder:
        mutant = kind.mutate(seeded(kind, number), Path(folder))
        for key, value in mutant.items():
            if isinstance(value, Path) and value.suffix == ".json":
                value = value.read_bytes().decode("utf-8", "backslashreplace")
            print(f"{key}: {value!s:.3000}")
        print(f"past the first parser: {kind.past(mutant)}")
        result = kind.call(mutant)
        print("accepted")
        kind.check(mutant, result)
        print("and right")


class FromBytes(Random):
    """Draws from bytes, zeros when they are used up: so a coverage-guided fuzzer makes the same mutations."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self.bits, self.left = int.from_bytes(data, "little"), 8 * len(data)

    def getrandbits(self, count: int) -> int:
        value, self.bits = self.bits & ((1 << count) - 1), self.bits >> count
        return value

    def random(self) -> float:
        return self.getrandbits(32) / 2**32


def with_atheris(name: str, mutations: int) -> None:
    """So many mutations of one kind in this process, led by what they reach in the package. Ends the process."""
    try:
        import atheris
    except ImportError as error:
        raise SystemExit(
            "atheris is not installed: pip install atheris (Linux, macOS). --mutations needs none"
        ) from error
    with atheris.instrument_imports(include=["mrcnn_lite"]):
        from fuzz_kinds import KINDS
    folder = Path(tempfile.mkdtemp())

    def one(data: bytes) -> None:
        outcome = tried(KINDS[name], FromBytes(data), folder)
        if outcome.result not in ("refused", "accepted"):
            raise RuntimeError(outcome)

    # Mutations draw many numbers: longer data than libFuzzer begins with. What it keeps of a finding stays out of here.
    atheris.Setup([sys.argv[0], f"-runs={mutations}", "-len_control=0", f"-artifact_prefix={folder}/"], one)
    atheris.Fuzz()


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit status: 0 where nothing but refused and accepted has occurred."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=10_000, help="over all kinds; default %(default)s")
    parser.add_argument("--kind", nargs="+", default=[], help="one of the kinds; default: all")
    parser.add_argument("--number", type=int, help="only this one, with its traceback")
    parser.add_argument("--first", type=int, default=0, help="begin with this number")
    parser.add_argument("--atheris", action="store_true", help="coverage-guided, one kind, in this process")
    options = parser.parse_args(arguments)
    name = " ".join(options.kind)
    if options.atheris:
        with_atheris(name, options.mutations)
    from fuzz_kinds import KINDS

    if name and name not in KINDS:
        parser.error(f"no kind {name!r}; there are {', '.join(KINDS)}")
    if options.number is not None:
        again(KINDS[name], options.number)
        return 0
    if not hasattr(os, "fork"):
        parser.error("the workers are forked: Linux or macOS; `pytest tests/test_fuzz.py` does without")
    tallies = []
    for kind in [KINDS[name]] if name else KINDS.values():
        count = options.mutations if name else -(-options.mutations // len(KINDS))
        tallies.append(fuzzed(kind, range(options.first, options.first + count)))
        print(refusals(tallies[-1]), *bugs(tallies[-1]), sep="\n", flush=True)
    print(table(tallies))
    return 1 if any(tally.bugs for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
