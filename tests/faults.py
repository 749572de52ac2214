"""Faults at many moments of a short run of training: whatever happens, nothing is lost and no bit differs in the end.

    python tests/faults.py                  30 moments, a minute on two cores: what pytest runs
    python tests/faults.py --moments 400    the long form: every write, flush and rename, and random times beside them

The run trains a small Mask R-CNN of ours on drawn pictures, one of them broken, and writes everything that a run can
write: the cache of pictures, checkpoints, tables, evaluations, the list of bad pictures, the weights. At one moment it
is killed with SIGKILL (before, in the middle of, or after a write, flush, rename …, or at a random time), or the disk
is full from then on, or the folder can no longer be written. Then it is resumed, which may be killed again. At the end
the weights, tables and names of files must be those of a run that was left in peace.

Each run is a process forked from this one, which has imported torch but never used it. POSIX only.
"""

from __future__ import annotations

import argparse
import builtins
import collections
import errno
import io
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import safetensors.torch
import torch
import torch._dynamo  # every optimizer brings it about, as NMS does torchvision: here once for all children
import torchvision  # noqa: F401

from mrcnn_lite.build import build_model
from mrcnn_lite.config import Config
from mrcnn_lite.data import open_dataset
from mrcnn_lite.data.wrappers import Subset, Wrapper
from mrcnn_lite.evaluation import evaluate  # noqa: F401  imported once, here, for all children
from mrcnn_lite.training import records, train
from mrcnn_lite.training.checkpoint import load_checkpoint

torch.set_num_threads(1)
PICTURES, STEPS = 6, 6
# What is watched beside the writes of open files: functions of `os` through which everything else goes.
WATCHED = ("open", "write", "ftruncate", "fsync", "replace", "rename", "unlink", "mkdir", "chmod")
FALLIBLE = ("open", "write", "fsync", "replace", "mkdir", "save_file")  # what a full disk makes fail
OPEN = io.open  # unwatched
Call = tuple[str, str]  # what, and of which file


class Moment(NamedTuple):
    """When something happens to a run: at its `count`-th watched call, or (count 0) after so many seconds."""

    count: int
    phase: str = "before"
    seconds: float = 0.0
    fault: int = 0  # 0: it is killed; else the errno of this and every later write

    def __str__(self) -> str:
        what = f"errno {errno.errorcode[self.fault]}" if self.fault else "killed"
        return f"{what} {self.phase} call {self.count}" if self.count else f"killed after {self.seconds:.3f} s"


class Watch:
    """Counts this process's calls that change files below `folder`, and acts at one of them."""

    def __init__(self, folder: Path, moment: Moment | None) -> None:
        self.folder, self.moment = str(folder), moment
        self.calls: list[Call] = []
        self.files: dict[int, str] = {}

    def start(self) -> None:
        for name in WATCHED:
            setattr(os, name, self.watched(name, getattr(os, name)))
        builtins.open = io.open = self.open  # type: ignore[assignment]
        safetensors.torch.save_file = self.watched_save(safetensors.torch.save_file)  # type: ignore[assignment]

    def call(self, what: str, path: str, do: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        """Do it, unless this is the moment."""
        if not path.startswith(self.folder):
            return do()
        # mkstemp's names are random: what is between the first - and the suffix does not count.
        name = Path(path).name
        self.calls.append((what, name.split("-")[0] + Path(name).suffix if name.startswith(".") else name))
        moment, number = self.moment, len(self.calls)
        if moment is None or moment.count == 0 or number < moment.count:
            return do()
        if moment.fault and what in FALLIBLE:
            if half is not None and number == moment.count:
                half()
            raise OSError(moment.fault, os.strerror(moment.fault), path)
        if not moment.fault and number == moment.count:
            if moment.phase == "half" and half is not None:
                half()
            try:
                if moment.phase == "after":
                    do()
            finally:  # also after a call that fails, such as the removal of what is not there
                os.kill(os.getpid(), signal.SIGKILL)
        return do()

    def watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            place = arguments[0]
            if name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR):
                return function(*arguments, **options)
            path = self.files.get(place, "") if isinstance(place, int) else os.path.abspath(os.fspath(place))
            half = None
            if name == "write":
                half = lambda: function(place, arguments[1][: len(arguments[1]) // 2])  # noqa: E731
            result = self.call(name, str(path), lambda: function(*arguments, **options), half)
            if name == "open":
                self.files[result] = str(path)
            return result

        return call

    def watched_save(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(tensors: Any, path: Any, **options: Any) -> None:
            def half() -> None:
                function(tensors, path, **options)
                with OPEN(path, "r+b") as file:
                    file.truncate(Path(path).stat().st_size // 2)

            self.call("save_file", os.path.abspath(path), lambda: function(tensors, path, **options), half)

        return call

    def open(self, path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if isinstance(path, int) or not set(mode) & set("wa+x"):
            return OPEN(path, mode, *arguments, **options)
        place = os.path.abspath(os.fspath(path))
        file = self.call("open", place, lambda: OPEN(path, mode, *arguments, **options))
        self.files[file.fileno()] = place
        return WatchedFile(self, place, file)


class WatchedFile:
    """An open file whose writes are watched."""

    def __init__(self, watch: Watch, path: str, file: Any) -> None:
        self._watch, self._path, self._file = watch, path, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> WatchedFile:
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)

    def write(self, data: Any) -> int:
        def half() -> None:
            self._file.write(data[: len(data) // 2])
            self._file.flush()

        return self._watch.call("write", self._path, lambda: self._file.write(data), half)


class OneBroken(Wrapper):
    """A data set whose third picture cannot be read."""

    def read(self, i: int) -> Any:
        if i == 2:
            raise OSError(f"picture {i} is broken")
        return super().read(i)


def small_model() -> Any:
    config = Config.tiny(
        num_classes=7,
        min_size=32,
        max_size=32,
        fpn_channels=8,
        box_fcs=(16,),
        mask_layers=(8,),
        mask_deconv=8,
        rpn_samples=16,
        roi_samples=8,
        rpn_pre_nms_train=20,
        rpn_post_nms_train=20,
        rpn_pre_nms_test=10,
        rpn_post_nms_test=10,
        max_detections=4,
        train__batch_size=2,
        train__warmup_steps=2,
        train__ema=0.9,
    )
    torch.manual_seed(0)
    return build_model(config)


def run(folder: Path, resume: bool) -> None:
    """The run that everything here is about, in folder/run, with its pictures in folder/cache."""
    from mrcnn_lite.data import cache

    cache._STALE = 0.2  # seconds after which a process that draws is taken for dead
    os.environ["MRCNN_LITE_CACHE"] = str(folder / "cache")
    shapes = open_dataset("shapes", length=PICTURES, size=32)
    train(
        small_model(),
        OneBroken(shapes),
        output=folder / "run",
        resume=resume,
        steps=STEPS,
        validation=Subset(shapes, 2),
        validate_every=4,
        checkpoint_every=2,
        log_every=2,
        skip_bad=0.5,
        device="cpu",
        progress=False,
    )


def attempt(folder: Path, moment: Moment | None, resume: bool) -> None:
    """In a process of its own: check what the one before has left, run, note each checkpoint when it is whole."""
    journal = os.open(folder / "journal", os.O_CREAT | os.O_RDWR)
    noted = [int(line) for line in os.read(journal, 10_000).split()]
    if noted:
        step = load_checkpoint(folder / "run" / "last.pt")["step"]
        assert step >= noted[-1], f"last.pt is of step {step}, but one of step {noted[-1]} was complete"
    write, save = os.write, records.save_checkpoint

    def save_and_note(path: Path, content: dict[str, Any]) -> None:
        save(path, content)
        write(journal, f"{content['step']}\n".encode())

    records.save_checkpoint = save_and_note
    watch = Watch(folder, moment)
    watch.start()
    try:
        run(folder, resume)
    except OSError as error:
        assert moment is not None and moment.fault, "an error out of nowhere"
        said = f"{error.filename or ''} {error}"
        words = [os.strerror(moment.fault), *(["the disk is full"] if moment.fault == errno.ENOSPC else [])]
        assert str(folder) in said and any(word in said for word in words), said
    with OPEN(folder / "calls.json", "w") as file:
        json.dump(watch.calls, file)


def in_a_child(folder: Path, function: Callable[..., None], *arguments: Any, seconds: float = 0.0) -> int:
    """Call it in a forked process, killed after so many seconds if they are given -> its exit code, -9 if killed."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            function(*arguments)
            code = 0
        except BaseException:
            with OPEN(folder / "error", "w") as file:
                file.write(traceback.format_exc())
        finally:
            os._exit(code)
    if seconds:
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def trial(folder: Path, reference: dict[str, Any], moments: list[Moment]) -> None:
    """A run, disturbed at the first moment, resumed, disturbed at the second …, and at last resumed in peace."""
    folder.mkdir()
    for number, moment in enumerate([*moments, None]):
        seconds = moment.seconds if moment else 0.0
        code = in_a_child(folder, attempt, folder, moment, number > 0, seconds=seconds)
        expected = [0] if moment is None or moment.fault else [-9, 0] if moment.seconds else [-9]
        assert code in expected, f"attempt {number}: exit code {code}\n{error_of(folder)}"
    code = in_a_child(folder, compare, folder, reference)
    assert code == 0, f"the end differs\n{error_of(folder)}"


def error_of(folder: Path) -> str:
    return (folder / "error").read_text() if (folder / "error").exists() else ""


def left_behind(folder: Path) -> dict[str, Any]:
    """What a finished run consists of, but for what tells the time."""
    output = folder / "run"
    timed = ("seconds", "images_per_second")
    tables = {}
    for name in ("metrics.csv", "validation.csv", "bad_pictures.csv"):
        head, *rows = [line.split(",") for line in (output / name).read_text().splitlines()]
        keep = [i for i, column in enumerate(head) if column not in timed]
        tables[name] = [[row[i] for i in keep] for row in (head, *rows)]
    state = load_checkpoint(output / "last.pt")
    return {
        "files": sorted(os.listdir(output)),
        "tables": tables,
        "weights": (output / "model.safetensors").read_bytes(),
        "state": {name: value for name, value in state.items() if name != "seconds"},
    }


def compare(folder: Path, reference: dict[str, Any]) -> None:
    found = left_behind(folder)
    os.environ["MRCNN_LITE_CACHE"] = str(folder / "cache")
    kept, drawn = (open_dataset("shapes", length=PICTURES, size=32, cached=cached) for cached in (True, False))
    for i in range(PICTURES):
        assert torch.equal(kept[i][0], drawn[i][0]) and torch.equal(kept[i][1]["masks"], drawn[i][1]["masks"]), "cache"
    assert found["files"] == reference["files"], found["files"]
    assert found["tables"] == reference["tables"], found["tables"]
    assert found["weights"] == reference["weights"], "model.safetensors"
    assert same(found["state"], reference["state"]), "last.pt"


def same(one: Any, other: Any) -> bool:
    """Whether two nested structures are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def chosen(calls: list[Call], number: int, draw: random.Random, faults: tuple[int, ...] = ()) -> list[Moment]:
    """So many moments of a run with these calls: to be killed, or, given errnos, to fail.

    First each call once, those that bring something to the disk before the others, one of each kind after the other, a
    write torn in the middle; then each in another phase.
    """
    kinds = collections.defaultdict(list)  # (what, file) -> for each such call, what may happen there
    for count, (what, name) in enumerate(calls, 1):
        if faults and what in FALLIBLE:
            kinds[what, name].append([Moment(count, fault=fault) for fault in draw.sample(faults, len(faults))])
        if not faults:
            phases = draw.sample(("before", "after"), 2)
            phases = ["half", *phases] if what in ("write", "save_file") else phases
            kinds[what, name].append([Moment(count, phase) for phase in phases])
    result: list[Moment] = []
    while len(result) < number and any(any(group) for group in kinds.values()):
        for writing in (True, False):
            groups = [group for (what, _), group in kinds.items() if (what in FALLIBLE) == writing]
            order = [draw.sample(group, len(group)) for group in draw.sample(groups, len(groups))]
            for row in itertools.zip_longest(*order, fillvalue=[]):
                result += [moments.pop(0) for moments in row if moments]
    return result[:number]


def plan(base: Path, number: int, draw: random.Random) -> tuple[dict[str, Any], list[list[Moment]]]:
    """The reference, and what is to happen in each trial: to the first attempt, or to a second one.

    number: how often a run is to be killed; a tenth of it at random times, the rest at calls, shared out by how many
    each of the two runs has that write. A fifth as many runs meet a full disk, or a folder that cannot be written.
    """

    def calls_of(folder: Path, before: list[Moment]) -> list[Call]:
        folder.mkdir()
        for count, moment in enumerate([*before, None]):
            code = in_a_child(folder, attempt, folder, moment, count > 0)
            assert code == (0 if moment is None else -9), error_of(folder)
        return [tuple(call) for call in json.loads((folder / "calls.json").read_text())]

    start = time.monotonic()
    first = calls_of(base / "reference", [])
    seconds = time.monotonic() - start
    replaces = [i for i, call in enumerate(first, 1) if call == ("replace", ".last.pt")]
    middle = Moment(replaces[1] + 2)  # killed a little after the second checkpoint
    second = calls_of(base / "resumed", [middle])
    random_times, failing = number // 10, number // 5
    writes = [sum(what in FALLIBLE for what, _ in calls) for calls in (first, second)]
    in_first = chosen(first, round((number - random_times) * writes[0] / sum(writes)), draw)
    in_second = chosen(second, number - random_times - len(in_first), draw)
    in_first += chosen(first, failing // 2, draw, (errno.ENOSPC, errno.EACCES))
    in_second += chosen(second, failing - failing // 2, draw, (errno.ENOSPC, errno.EACCES))
    moments = [[moment] for moment in in_first] + [[middle, moment] for moment in in_second]
    moments += [[Moment(0, seconds=draw.uniform(0.01, seconds))] for _ in range(random_times)]
    for calls, disturbed, name in ((first, in_first, "whole"), (second, in_second, "resumed")):
        writing = {count for count, (what, _) in enumerate(calls, 1) if what in FALLIBLE}
        killed = {moment.count for moment in disturbed if not moment.fault}
        print(f"a {name} run has {len(calls)} watched calls, {len(writing)} of them write, flush or rename: killed at "
              f"{len(writing & killed)} of these and {len(killed - writing)} others", flush=True)  # fmt: skip
    return left_behind(base / "reference"), moments


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=30, help="to be killed at; default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of moments; default %(default)s")
    parser.add_argument("--part", default="1/1", metavar="I/N", help="of N parts of the same moments, the I-th")
    parser.add_argument("--jobs", type=int, default=2, help="trials at once; default %(default)s")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="faults-"))
    start, failed = time.monotonic(), 0
    try:
        reference, trials = plan(base, options.moments, random.Random(options.seed))
        part, parts = map(int, options.part.split("/"))
        trials = trials[part - 1 :: parts]
        running: dict[int, tuple[Path, list[Moment]]] = {}
        for number, moments in enumerate([*trials, *[[]] * options.jobs]):
            if len(running) == options.jobs or not moments:
                if not running:
                    break
                process, status = os.wait()
                folder, done = running.pop(process)
                if status:
                    failed += 1
                    print(
                        f"FAILED: {', then '.join(map(str, done))}\n{error_of(folder.with_suffix('.trial'))}",
                        flush=True,
                    )
                shutil.rmtree(folder, ignore_errors=True)
            if moments:
                folder = base / str(number)
                folder.with_suffix(".trial").mkdir()
                process = os.fork()
                if process == 0:
                    code = in_this_process(folder, reference, moments)
                    os._exit(code)
                running[process] = (folder, moments)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    kinds = collections.Counter(
        "random time" if not m[-1].count else "error" if m[-1].fault else m[-1].phase for m in trials
    )
    print(f"{failed} of {len(trials)} failed ({dict(kinds)}), {time.monotonic() - start:.0f} s")
    return 1 if failed else 0


def in_this_process(folder: Path, reference: dict[str, Any], moments: list[Moment]) -> int:
    try:
        trial(folder, reference, moments)
        return 0
    except BaseException:
        Path(folder.with_suffix(".trial"), "error").write_text(traceback.format_exc())
        return 1


if __name__ == "__main__":
    sys.exit(main())
