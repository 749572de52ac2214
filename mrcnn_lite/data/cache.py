"""Draws a synthetic data set once, with several processes, into files that are then memory-mapped.

One folder per recipe (painter, options, length, and a digest of the drawing code): pictures as uint8, masks
as one id map each, plus small tables. It is written beside its place and renamed into it when complete, so
that no process ever sees half of one, whatever dies when. The processes load neither torch nor the caller's
script. Letters: N pictures, S size, G most objects in a picture, J keypoints. Read next: cache_files.py, synthetic.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .cache_files import is_whole, open_arrays
from .drawing import Drawing
from .places import cache_folder

_SMALL = 100  # fewer pictures are drawn by the calling process: starting another costs 0.3 s
_STALE = 30.0  # seconds without a sign of life after which a drawing process is taken for dead


class Recipe:
    """A painter (module of this package) and its options: all that determines the pictures."""

    def __init__(self, painter: str, options: dict[str, Any]) -> None:
        self.painter = painter
        parameters = inspect.signature(self.module.draw).parameters
        unknown = [name for name in options if name not in parameters or name == "index"]
        if unknown:
            known = ", ".join(name for name in parameters if name not in ("index", "split"))
            raise TypeError(f"{painter} has no option {unknown[0]!r}; it has {known}")
        defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
        self.options: dict[str, Any] = defaults | options

    @property
    def module(self) -> Any:
        return importlib.import_module(f"{__package__}.{self.painter}")

    def draw(self, index: int) -> Drawing:
        return self.module.draw(index, **self.options)

    def folder_name(self, length: int) -> str:
        """Says the painter and the number of pictures; two digests stand for the options and the code."""
        options = json.dumps(self.options, sort_keys=True)
        names = (
            __name__ if __name__ != "__main__" else f"{__package__}.cache",
            f"{__package__}.cache_files",
            f"{__package__}.drawing",
        )
        sources = [importlib.import_module(name) for name in names] + [self.module]
        code = b"".join(Path(str(source.__file__)).read_bytes() for source in sources)
        return f"{self.painter}-{length}-{_digest(options.encode())}-{_digest(code)}"

    def array_shapes(self, length: int) -> dict[str, tuple[tuple[int, ...], str]]:
        """Name -> (shape, type) of the files of the cache."""
        size, most = int(self.options["size"]), int(self.module.MAX_OBJECTS)
        shapes: dict[str, tuple[tuple[int, ...], str]] = {
            "images": ((length, size, size, 3), "uint8"),
            "ids": ((length, size, size), "uint8"),
            "counts": ((length,), "uint8"),  # objects of each picture
            "labels": ((length, most), "uint8"),
            "boxes": ((length, most, 4), "uint16"),
        }
        joints = len(self.module.KEYPOINT_NAMES)
        if joints:
            shapes["keypoints"] = ((length, most, joints, 3), "float32")
        return shapes


def drawn(recipe: Recipe, length: int, workers: int | None = None, progress: bool = True) -> Path | None:
    """The folder with pictures 0..length-1 of the recipe, drawn now if this is the first time.

    None, with a warning that says why, where the cache folder can't be written or the disk is full: then
    pictures are to be drawn one by one. Several processes may ask at once: one draws, the others wait.
    """
    root = cache_folder() / "drawn"
    folder = root / recipe.folder_name(length)
    shapes = recipe.array_shapes(length)
    if folder.is_dir() and is_whole(folder, shapes):
        with contextlib.suppress(OSError):  # a cache that may only be read is as good
            os.utime(folder)  # it was used now: see _remove_leftovers
        return folder
    needed = sum(int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in shapes.values())
    lock = root / f"{folder.name}.lock"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(root)
        if needed > 0.95 * shutil.disk_usage(root).free:
            raise OSError(f"{needed / 1e9:.1f} GB are needed and the disk has not that much left")
        _wait_for_turn(lock, folder)
        if folder.is_dir():
            lock.unlink(missing_ok=True)
            return folder
        work = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=root))
    except OSError as error:
        message = f"the pictures can't be kept in {root} ({error}), so each is drawn whenever it is used, "
        message += "which is slower; set MRCNN_LITE_CACHE to a folder that can be written"
        warnings.warn(message, stacklevel=2)
        return None
    try:
        (work / "recipe.json").write_text(json.dumps({"painter": recipe.painter, "options": recipe.options}))
        for name, (shape, kind) in shapes.items():
            np.lib.format.open_memmap(work / f"{name}.npy", mode="w+", dtype=kind, shape=shape).flush()
        _draw_all(recipe, work, length, workers, progress, alive=lock.touch)
        for path in work.iterdir():  # on the disk, before the name says that all is there
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        _move_into_place(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        lock.unlink(missing_ok=True)
    return folder


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]


def _wait_for_turn(lock: Path, folder: Path) -> None:
    """Returns with the lock taken, or when another process has finished the folder.

    The lock only saves work: should two processes draw at once, each has its own files and one is kept.
    """
    while not folder.is_dir():
        try:
            lock.touch(exist_ok=False)
            return
        except FileExistsError:
            try:
                age = time.time() - lock.stat().st_mtime
            except FileNotFoundError:  # given back just now
                continue
            if age > _STALE:
                lock.unlink(missing_ok=True)
            else:
                time.sleep(0.1)


def _move_into_place(work: Path, folder: Path) -> None:
    try:
        work.rename(folder)
    except OSError:  # another process was faster: its pictures are the same
        if not folder.is_dir():
            raise


def _remove_leftovers(root: Path) -> None:
    """Removes what processes left half drawn a day ago or earlier, and what nobody used for 30 days."""
    for path in root.iterdir():
        days = (time.time() - path.stat().st_mtime) / 86_400
        if path.suffix == ".part" and days > 1:
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_dir() and days > 30:
            with contextlib.suppress(OSError):  # open in another process (Windows)
                shutil.rmtree(path.rename(path.with_suffix(".part")), ignore_errors=True)


def _draw_all(
    recipe: Recipe, folder: Path, length: int, workers: int | None, progress: bool, alive: Callable[[], None]
) -> None:
    from tqdm import tqdm

    if workers is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        workers = min(cores, 16)
    workers = max(1, min(workers, length // _SMALL)) if sys.executable else 1
    hidden = None if progress else True  # None: shown on a terminal only
    with tqdm(total=length, desc=f"drawing {recipe.painter}", unit=" pictures", disable=hidden) as bar:
        if workers == 1:
            arrays = open_arrays(folder, "r+")
            for i in range(length):
                arrays.store(i, recipe.draw(i))
                bar.update()
                if i % 20 == 0:
                    alive()
            return
        package_root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        reading, writing = os.pipe()
        program = [sys.executable, "-m", f"{__package__}.cache", str(folder)]
        processes = []
        try:
            for start in range(workers):
                command = [*program, str(start), str(workers)]
                processes.append(subprocess.Popen(command, stdout=writing, env=environment))
            os.close(writing)
            with os.fdopen(reading) as lines:  # ends when the last process does
                for line in lines:
                    bar.update(int(line))
                    alive()
            codes = [process.wait() for process in processes]
        finally:
            for process in processes:
                process.terminate()
                process.wait()
    if any(codes):
        raise RuntimeError(f"processes that drew pictures into {folder} ended with the codes {codes}")


def _draw_part(folder: Path, start: int, step: int) -> None:
    """What each process does: pictures start, start + step, …; says on its output how many are done.

    Should the process that reads this be gone, the next line fails and ends this one too.
    """
    description = json.loads((folder / "recipe.json").read_text())
    recipe = Recipe(description["painter"], description["options"])
    arrays = open_arrays(folder, "r+")
    indices = range(start, len(arrays.counts), step)
    for done, i in enumerate(indices, start=1):
        arrays.store(i, recipe.draw(i))
        if done % 10 == 0 or done == len(indices):
            os.write(1, f"{(done - 1) % 10 + 1}\n".encode())  # one write: lines of processes don't mix


if __name__ == "__main__":
    _draw_part(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
