"""Asked to stop: what a signal does the first time, the second time, in a thread, in a child, under torchrun."""

import os
import signal
import sys
import threading

import pytest

from mrcnn_lite.training import stopping
from mrcnn_lite.training.stopping import STOP_FILE, asked_to_stop

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process instead of sending this signal")


def test_control_c_is_noted_and_the_second_interrupts():
    before = signal.getsignal(signal.SIGINT)
    with asked_to_stop() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@posix
def test_sigterm_is_noted_and_the_second_does_what_it_did_before():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with asked_to_stop() as stop:
            signal.raise_signal(signal.SIGTERM)
            assert stop() == signal.SIGTERM and heard == []
            signal.raise_signal(signal.SIGTERM)
            assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


@posix
def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with asked_to_stop() as stop:
            signal.raise_signal(signal.SIGTERM)
            assert not stop()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_torchrun_passes_on_at_once_is_not_a_second_time(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    now = [100.0]
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now[0])
    with asked_to_stop() as stop:
        signal.raise_signal(signal.SIGINT)
        now[0] += 0.2
        signal.raise_signal(signal.SIGINT)
        assert stop() == signal.SIGINT
        now[0] += 2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_child_reads_the_signal_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, STOP_FILE, str(tmp_path / "stop"))
    before = signal.getsignal(signal.SIGINT)
    with asked_to_stop() as stop:
        assert stop() == 0 and signal.getsignal(signal.SIGINT) is before
        (tmp_path / "stop").touch()  # made, but not written yet
        assert stop() == 0
        (tmp_path / "stop").write_text("15")
        assert stop() == 15


def test_in_another_thread_there_are_no_signals_to_hear():
    answers = []

    def ask():
        with asked_to_stop() as stop:
            answers.append(stop())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert answers == [False]
