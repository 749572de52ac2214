"""Writing files so that nothing half-written is ever taken for whole; reading files that others wrote.

A file is written beside its place under another name, flushed to the disk, and moved to its place in one step; whoever
reads it finds the old content or the new, never a part. Read next: whatever brought you here.
"""

from __future__ import annotations

import glob
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path in the folder of `path` (made if missing) which takes its place when the block ends well.

    with atomic("model.safetensors") as temporary: write(temporary). When the block raises (a full disk, Ctrl-C), the
    temporary file is removed and `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # WHY the suffix stays: libraries choose the format by it.
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
        flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def flush_folder(folder: str | os.PathLike[str]) -> None:
    """Bring a folder's list of names to the disk, so that a new name outlives a power failure too.

    Does nothing where the system has no such thing (Windows, some network file systems).
    """
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Delete what killed processes left of `path` half-written. Only for who knows that nobody is writing it now."""
    path = Path(path)
    for part in path.parent.glob(f".{glob.escape(path.stem)}-*{glob.escape(path.suffix)}"):
        part.unlink(missing_ok=True)


def inside(folder: str | os.PathLike[str], name: str) -> Path:
    """The path of `name`, read from an untrusted file, in `folder`.

    A name may go through folders ("val2017/1.jpg") but not out of them. Raises ValueError for one that is absolute
    (on any system), contains "..", a backslash or a NUL, or is no text.
    """
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    if not parts or ".." in parts or any(sign in name for sign in "\\\0") or PurePosixPath(name).is_absolute():
        raise ValueError(f"the name {name!r:.200} does not stay in its folder: expected one such as 'images/1.jpg'")
    if PureWindowsPath(name).drive:
        raise ValueError(f"the name {name!r:.200} names a drive: expected one such as 'images/1.jpg'")
    return Path(folder, *parts)


def read_json(path: str | os.PathLike[str]) -> Any:
    """The content of a JSON file. Raises ValueError that names the file if it is no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))  # Windows' editors begin with a mark
    except (ValueError, RecursionError) as error:  # also bytes that are no text, and brackets in brackets in …
        raise ValueError(f"{path} is not JSON: {error}") from error


@contextmanager
def naming(source: Any) -> Iterator[None]:
    """A ValueError inside begins with `source` afterwards, where that is a path."""
    try:
        yield
    except ValueError as error:
        if not isinstance(source, (str, os.PathLike)) or str(error).startswith(str(source)):
            raise
        raise ValueError(f"{source}: {error}") from error
