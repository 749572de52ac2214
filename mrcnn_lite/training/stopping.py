"""Asked to stop: Control-C and SIGTERM let a run finish its step; processes that share it are asked by a file.

Read next: `processes.py`, `run.py`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

STOP_FILE = "MRCNN_LITE_STOP_FILE"  # in the environment of processes that another one asks: it writes the signal there


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Callable[[], int]]:
    """`with asked_to_stop() as stop`: within, Control-C and SIGTERM only make stop() true, the number of the signal.

    A second one acts at once, as it would have done before.
    """
    if STOP_FILE in os.environ:
        yield partial(_number_in, Path(os.environ[STOP_FILE]))
        return
    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread alone
        yield lambda: 0
        return
    handlers = ((number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM))
    # A process that ignores a signal goes on ignoring it; None is a handler that Python does not know.
    before: dict[int, Any] = {number: one for number, one in handlers if one not in (None, signal.SIG_IGN)}
    asked: list[tuple[int, float]] = []  # signals, and when they came

    def handle(number: int, frame: Any) -> None:
        asked.append((number, time.monotonic()))
        if len(asked) == 1:
            again = b"Control-C" if number == signal.SIGINT else b"SIGTERM"
            os.write(2, b"\nstopping after this step; " + again + b" again stops at once\n")  # print may be at work
        elif "TORCHELASTIC_RUN_ID" not in os.environ or asked[-1][1] - asked[0][1] > 1:
            # torchrun passes on what the terminal has sent already: at once, that is no second time.
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else before[number])
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, handle)
    try:
        yield lambda: asked[0][0] if asked else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _number_in(path: Path) -> int:
    """The number in a file, 0 while there is none."""
    try:
        return int(path.read_text() or 0)
    except FileNotFoundError:
        return 0
