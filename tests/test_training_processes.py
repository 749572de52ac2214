"""Processes: started, told apart, ended together. Their functions are here, since the children import this file."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import torch

from mrcnn_lite.distributed import rank, world_size
from mrcnn_lite.training.processes import (
    average_in_order,
    gather,
    launched,
    process_group,
    run_processes,
)
from mrcnn_lite.training.stopping import asked_to_stop


def meet(values, fail_in=None):
    """Every process tells its number and its threads."""
    assert launched() == 2
    with process_group(torch.device("cpu")):
        if rank() == fail_in:
            raise LookupError(f"process {rank()} of {world_size()} gives up")
        everyone = gather(torch.tensor([float(rank()), *values, float(torch.get_num_threads())]))()
        # A number that is not finite stays in its process's row.
        broken = gather(torch.tensor([float("nan") if rank() else 1.0]))()
        return rank(), everyone, broken


def test_two_processes_meet():
    number, everyone, broken = run_processes(2, 1, meet, [5.0])
    assert number == 0  # the first one's result
    assert everyone.tolist() == [[0, 5, 1], [1, 5, 1]]
    assert broken[0].item() == 1 and broken[1].isnan()
    assert launched() == 1 and world_size() == 1  # nothing is left in this process


def test_an_exception_in_one_ends_all_and_is_raised_here():
    start = time.monotonic()
    with pytest.raises(LookupError, match="process 1 of 2 gives up") as caught:
        run_processes(2, 1, meet, [], fail_in=1)
    assert "in process 1" in str(caught.value.__cause__)
    assert time.monotonic() - start < 60


class Bucket:
    """Gradients of two parameters, in either order, as DistributedDataParallel lays them out."""

    def __init__(self, first, second):
        self.flat = torch.cat([first, second])

    def buffer(self):
        return self.flat


def average_in_two_layouts():
    with process_group(torch.device("cpu")):
        generator = torch.Generator().manual_seed(rank())
        small, large = torch.randn(7, generator=generator), torch.randn(1000, generator=generator) * 1e4
        own = torch.cat([small, large])
        one = average_in_order(None, Bucket(small, large)).wait()
        other = average_in_order(None, Bucket(large, small)).wait()
        return own, one, torch.cat([other[1000:], other[:1000]])


def test_the_average_of_three_does_not_depend_on_the_layout_of_the_bucket():
    own, one, other = run_processes(3, 1, average_in_two_layouts)
    assert torch.equal(one, other)
    draws = [torch.Generator().manual_seed(number) for number in range(3)]
    all_three = [torch.cat([torch.randn(7, generator=g), torch.randn(1000, generator=g) * 1e4]) for g in draws]
    assert torch.equal(own, all_three[0])
    assert torch.equal(one, (all_three[0] + all_three[1] + all_three[2]) / 3)


def alone():
    return torch.get_num_threads(), os.environ.get("GOMP_SPINCOUNT")


def test_processes_of_several_threads_do_not_spin():
    assert run_processes(1, 2, alone) == (2, "0")
    assert "GOMP_SPINCOUNT" not in os.environ


def test_what_cannot_be_sent_is_said():
    with pytest.raises(ValueError, match="cannot be sent to other processes"):
        run_processes(2, 1, lambda: None)


def test_one_process_gathers_itself_and_needs_no_group():
    with process_group(torch.device("cpu")):
        assert world_size() == 1
        assert gather(torch.tensor([1.0, 2.0]))().tolist() == [[1, 2]]


def until_stopped(folder):
    """Says its process id, waits until it is asked to stop."""
    Path(folder, f"pid-{os.environ['RANK']}").write_text(str(os.getpid()))
    with asked_to_stop() as stop:
        while not stop():
            time.sleep(0.05)
    return stop()


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process instead of sending these signals")
def test_a_signal_reaches_the_children_as_a_question(number, tmp_path):
    both = [tmp_path / "pid-0", tmp_path / "pid-1"]

    def interrupt():
        wait_for(lambda: all(path.exists() for path in both))
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    assert run_processes(2, 1, until_stopped, tmp_path) == number


ORPHANS = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from mrcnn_lite.training.processes import run_processes
    from test_training_processes import until_stopped

    if __name__ == "__main__":
        run_processes(2, 1, until_stopped, sys.argv[2])
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")  # a zombie is dead


@pytest.mark.skipif(sys.platform == "win32", reason="asks the system by POSIX signals")
def test_no_child_outlives_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "orphans.py"
    script.write_text(textwrap.dedent(ORPHANS))
    parent = subprocess.Popen([sys.executable, script, str(Path(__file__).parent), str(tmp_path)])
    paths = [tmp_path / "pid-0", tmp_path / "pid-1"]
    wait_for(lambda: all(path.exists() and path.read_text() for path in paths))
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(is_alive(int(path.read_text())) for path in paths), 20)
