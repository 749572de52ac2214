"""Tables, the progress line and the history: what is written, what is read back after a run was cut off."""

import io
import struct
import sys

import pytest

from mrcnn_lite.training import logs
from mrcnn_lite.training.logs import History, ProgressLine, Table, clock, progress_text


def row(step, loss=0.5):
    return {"step": step, "loss": loss}


def test_a_table_is_in_memory_and_in_its_file(tmp_path):
    table = Table(tmp_path / "metrics.csv", 0)
    for step in (1, 2, 3):
        table.add(row(step, step / 4))
    assert len(table) == 3
    assert list(table.columns["loss"]) == [0.25, 0.5, 0.75]
    assert table.mean_of_last("loss", 2) == 0.625
    assert table.rows()[0] == row(1, 0.25)
    table.flush()
    assert (tmp_path / "metrics.csv").read_text() == "step,loss\n1,0.25\n2,0.5\n3,0.75\n"


def test_without_a_file_a_table_is_in_memory():
    table = Table()
    table.add(row(1))
    table.flush()
    assert table.rows() == [row(1)]


def test_every_float32_comes_back_exactly(tmp_path):
    values = [struct.unpack("f", struct.pack("f", value))[0] for value in (0.1, 1 / 3, 1e-30, 16777217.0)]
    table = Table(tmp_path / "t.csv", 0)
    for step, value in enumerate(values, 1):
        table.add(row(step, value))
    table.flush()
    again = Table(tmp_path / "t.csv", len(values)).columns["loss"]
    assert [struct.unpack("f", struct.pack("f", value))[0] for value in again] == values


def test_a_resumed_table_drops_the_rows_after_the_checkpoint(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("step,loss\n1,0.1\n2,0.2\n3,0.3\n4,0.")  # killed in the middle of a line
    table = Table(path, 2)
    table.add(row(3, 0.25))
    table.flush()
    assert path.read_text() == "step,loss\n1,0.1\n2,0.2\n3,0.25\n"
    assert list(table.columns["step"]) == [1, 2, 3]
    assert Table(path, 0).rows() == []
    assert path.read_text() == ""


def test_a_line_cut_off_is_dropped(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("step,loss\n1,0.1\n2")
    assert Table(path, 100).rows() == [row(1, 0.1)]


def test_a_row_of_other_names_is_refused():
    table = Table()
    table.add(row(1))
    with pytest.raises(ValueError, match="loss_mask"):
        table.add({"step": 2, "loss_mask": 1.0})


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
