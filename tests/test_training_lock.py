"""Two runs in one folder: the second is refused while the first lives, whatever the first has left behind."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

from mrcnn_lite.training import lock
from mrcnn_lite.training.lock import NAME, FolderInUse, Lock

HOLDER = """
    import sys, time
    from pathlib import Path
    from mrcnn_lite.training.lock import Lock

    lock = Lock(Path(sys.argv[1]))
    print("locked", flush=True)
    time.sleep(600)
"""
FORKING = """
    import os, sys, time
    from pathlib import Path
    from mrcnn_lite.training.lock import Lock

    lock = Lock(Path(sys.argv[1]))
    if os.fork() == 0:
        print("locked", os.getpid(), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder's lock."""
    processes = []

    def start(program=HOLDER):
        command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        said = processes[-1].stdout.readline().split()
        assert said[0] == "locked"
        return processes[-1], said

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_second_is_refused_and_told_of_the_first(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.3)
    process, _ = holder()
    with pytest.raises(FolderInUse, match=rf"{tmp_path.name} is in use .*process {process.pid} on .+, since \d{{4}}-"):
        Lock(tmp_path)
    process.kill()  # kill -9: nothing is cleaned up
    process.wait()
    assert (tmp_path / NAME).exists()
    mine = Lock(tmp_path)
    assert f"process {os.getpid()} on" in (tmp_path / NAME).read_text()
    mine.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_forked_child_does_not_hold_the_lock_of_a_parent_that_was_killed(tmp_path, holder):
    process, (_, child) = holder(FORKING)
    process.kill()
    process.wait()
    try:
        Lock(tmp_path).release()
    finally:
        os.kill(int(child), signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no folder that is in use")
def test_a_folder_that_is_removed_is_locked_anew(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.3)
    mine = Lock(tmp_path)
    shutil.rmtree(tmp_path)
    mine.renew()
    assert (tmp_path / NAME).exists()
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    holder()  # another run has come in between
    with pytest.raises(FolderInUse):
        mine.renew()


def test_without_locks_it_warns_and_goes_on(tmp_path, monkeypatch):
    def unable(handle):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_lock", unable)
    with pytest.warns(UserWarning, match=r"without locks \(No locks available\)"):
        mine = Lock(tmp_path)
    mine.renew()
    mine.release()
