"""The progress line and the history: what a run says, and where."""

import io
import sys

import pytest

from mrcnn_lite.training import logs
from mrcnn_lite.training.logs import History, ProgressLine, clock, progress_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Notebook(io.StringIO):
    __module__ = "ipykernel.iostream"


@pytest.mark.parametrize("kind", [Terminal, Notebook])
def test_on_a_terminal_and_in_a_notebook_one_line_is_rewritten(kind):
    stream = kind()
    line = ProgressLine(True, stream)
    assert line.due(False)
    line.write("a long line of text")
    assert not line.due(True)  # four times a second is enough
    line.write("short")
    line.say("a message")
    assert stream.getvalue() == "\ra long line of text\rshort              \na message\n"


def test_a_line_that_would_wrap_is_cut(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    ProgressLine(True, stream).write("x" * 50)
    assert stream.getvalue() == "\r" + "x" * 19


def test_elsewhere_there_is_a_line_each_milestone():
    stream = io.StringIO()
    line = ProgressLine(True, stream)
    assert line.due(True) and not line.due(False)
    line.write("one")
    line.write("two")
    assert stream.getvalue() == "one\ntwo\n"
    silent = ProgressLine(False, stream)
    silent.say("not to be heard")
    assert not silent.due(True) and stream.getvalue() == "one\ntwo\n"


def test_the_progress_text():
    losses = {"loss": 1.5, "loss_mask": 1.0, "loss_rpn_box_reg": 0.5}
    assert progress_text(120, 1500, losses, 0.002, 41.26, 201) == (
        "step 120/1500  loss 1.500 (mask 1.000, rpn box 0.500)  lr 2.0e-03  41.3 images/s  3:21 left"
    )
    assert progress_text(7, None, losses, 0.002, 41.26, 5).startswith("step 7  loss")


@pytest.mark.parametrize(("seconds", "text"), [(-3, "0:00"), (75.2, "1:15"), (59.7, "1:00"), (7325, "2:02:05")])
def test_a_clock(seconds, text):
    assert clock(seconds) == text


def test_a_history_says_how_it_went():
    history = History(losses={"loss": [2.0, 1.0], "loss_mask": [1.0, 0.5]}, step=2, seconds=61, images_per_second=8.0)
    history.validation = [{"step": 2, "mask AP": 0.25}]
    assert str(history) == "2 steps in 1:01 (8.0 images/s), last losses: loss 1.000, mask 0.500\nmask AP 0.250"


def test_tensorboard_where_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="pip install"):
        logs.tensorboard_writer(tmp_path, 1)
