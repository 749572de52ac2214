"""One run in one folder: a lock that the system itself takes back when the process that holds it dies, however it dies.

What is locked is an open file, and not its name: what a killed run leaves behind stops nobody. The file says who holds
it, for the message. Read next: `records.py`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
import warnings
from pathlib import Path

NAME = "run.lock"
PATIENCE = 2.0  # seconds: the children of a run that was killed see its end, and end, a moment later
FAR = 2**30  # on Windows nobody else can read a byte that is locked: it is one far behind the text
# What the system says of a file that another process has locked; of a file system that has no locks.
HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


class FolderInUse(FileExistsError):
    """Another run, still alive, writes into this folder; the message says which."""


class Lock:
    """This process's right to write a run into `folder` (made if missing), from here to `release`.

    Raises FolderInUse. On a file system without locks (some network ones) it warns and goes on. It keeps other
    processes out, not other threads of this one.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._handle: int | None = None
        self._take()

    def renew(self) -> None:
        """Take the lock again if its file is gone, with the whole folder say. Raises FolderInUse."""
        if self._handle is not None and not self._is_ours(self._handle):
            os.close(self._handle)
            self._handle = None
            self._take()

    def release(self) -> None:
        """Let the next run in. The file is removed, unless another has the name by now."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        ours = self._is_ours(handle)
        if sys.platform == "win32":  # which removes no open file, be it open here or in the run that waits
            os.close(handle)
        with contextlib.suppress(OSError):
            if ours:
                self.path.unlink()
        if sys.platform != "win32":
            os.close(handle)

    def _take(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._handle is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(handle)
            except OSError as error:
                holder = os.read(handle, 500).decode(errors="replace").strip()
                os.close(handle)
                if error.errno in NO_LOCKS:
                    message = f"{self.path.parent} is on a file system without locks ({error.strerror}): nobody will "
                    warnings.warn(message + "notice if a second run writes into it", stacklevel=2)
                    return
                if error.errno not in HELD:
                    raise
                if time.monotonic() > deadline:
                    raise FolderInUse(
                        f"{self.path.parent} is in use by another run ({holder or 'no more is known of it'}): wait "
                        "for its end or stop it, or choose another folder"
                    ) from error
                time.sleep(0.1)
                continue
            if self._is_ours(handle):
                self._handle = handle
            else:  # the run before removed the file when it ended, between our opening and our locking
                os.close(handle)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError):  # a full disk: only the message lacks it
            os.ftruncate(self._handle, 0)
            os.write(self._handle, f"process {os.getpid()} on {socket.gethostname()}, since {since}\n".encode())

    def _is_ours(self, handle: int) -> bool:
        """Whether the open file is still the one that has the name."""
        try:
            return os.path.samestat(os.fstat(handle), self.path.stat())
        except FileNotFoundError:
            return False


def _lock(handle: int) -> None:
    """Lock the open file, or raise OSError at once.

    WHY lockf and not flock: processes that read pictures ahead are forked, and a lock of flock would live on in them.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, FAR, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
