"""What every test gets: one thread, the same random numbers each time, shared data by name, no GPU tests without one.

The seeds are set before each test, so that a test that fails once fails again, alone as in company. Hypothesis
draws the same examples on every run for the same reason.
"""

from __future__ import annotations

import os

# Before torch starts: a second thread gains little and, beside a busy neighbour, costs a lot.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # course.py stands beside the package, not in it
torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it to what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
hypothesis.settings.register_profile("reproducible", deadline=None, derandomize=True, print_blob=False)
hypothesis.settings.load_profile("reproducible")


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """`shared_data("nuclei")` is the folder of a data set that the project does not carry; skips where it is absent."""

    def find(name: str) -> Path:
        from mrcnn_lite.data import locate

        path = locate(name)
        if path is None:
            pytest.skip(f"the data set '{name}' is not on this machine (MRCNN_LITE_DATA can say where it is)")
        return Path(path)

    return find


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="fuzz and kill as often as the long form does (most of an hour)"
    )


@pytest.fixture(scope="session")
def long_form(request: pytest.FixtureRequest) -> bool:
    """Whether `--long` was given: `python3 course.py test --long -k "fuzz or faults"`."""
    return bool(request.config.getoption("--long"))


# The files that take longest. They begin first, so that at the end no worker waits for another.
LONGEST = ("test_model.py", "test_torchvision_models.py", "test_faults.py", "test_training_memory.py")
LONGEST += ("test_browser_axe.py", "test_browser_widgets.py", "test_browser_jupyterlab.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
