"""Training checkpoints: written whole or not at all, and refused where a run of other settings would go on.

A checkpoint is one dictionary of tensors and plain values, read with `torch.load(weights_only=True)`: no code is run.
The weights alone, to use and to hand on, are written by `weights.save`. Read next: `run.py`.
"""

from __future__ import annotations

import errno
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from ..files import atomic

FORMAT = "mrcnn_lite training 1"
# What the system says of a full disk, a used-up quota (Windows has no such code), a file over the limit.
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}


class CheckpointError(OSError):
    """A checkpoint could not be written or read; the message says which, why, and what is still there."""


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a training checkpoint atomically: at every moment the old one or the new one is there, whole.

    Raises CheckpointError if the disk is full or the folder gone; nothing half-written stays behind.
    WHY through memory: torch.save on a disk that fills up may end the whole process from its C++ destructor.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    try:
        with atomic(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())
    except OSError as error:
        why = "the disk is full" if error.errno in FULL else error.strerror or str(error)
        kept = "the checkpoint written before is whole" if path.exists() else "there is no earlier checkpoint"
        size = f"{buffer.getbuffer().nbytes / 1e6:.1f} MB"
        raise CheckpointError(f"cannot write {path} ({size}): {why}; {kept}") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a training checkpoint onto the CPU. Raises FileNotFoundError, or CheckpointError for another file."""
    try:
        # WHY: torch compares no checksums when it loads; one bit that flipped on the disk would be trained on.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"the checksum of {damaged} differs")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # zip, pickle and C++ errors of many types: all mean the same
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{path} is no training checkpoint, or not a whole one ({why}): put a copy of it back, or begin anew "
            "(overwrite)"
        ) from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise CheckpointError(f"{path} is no training checkpoint: its format is {found!r}, expected {FORMAT!r}")
    return content


def check_same_run(path: str | os.PathLike[str], then: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise ValueError, with every difference, unless the checkpoint's run was of these settings.

    then, now: flat dictionaries of plain values; lists and tuples are alike.
    """
    differences = [
        f"{name} was {then.get(name)!r}, is {now.get(name)!r}"
        for name in sorted(then.keys() | now.keys())
        if _plain(then.get(name)) != _plain(now.get(name))
    ]
    if differences:
        raise ValueError(f"cannot resume {path}, it belongs to another run: " + "; ".join(differences))


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
