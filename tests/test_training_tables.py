"""Tables in memory and in files: what is written, what is read back, what is mended after a fault."""

import errno
import os
import struct

import pytest

from mrcnn_lite.training import tables
from mrcnn_lite.training.tables import Table


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
    table = Table(path, 2, every_step=True)
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


def written(path, steps=3):
    table = Table(path)
    for step in range(1, steps + 1):
        table.add(row(step, step / 4))
    table.flush()
    return table


@pytest.mark.parametrize("fault", ["removed", "cut off", "longer", "its folder removed"])
def test_a_file_that_is_not_as_it_was_left_is_written_anew(tmp_path, fault):
    path = tmp_path / "run" / "t.csv"
    table = written(path)
    if fault == "cut off":
        path.write_bytes(path.read_bytes()[:-3])
    elif fault == "longer":
        path.write_bytes(path.read_bytes() + b"4,1\n")
    else:
        path.unlink()
    if fault == "its folder removed":
        path.parent.rmdir()
    table.add(row(4, 1.5))
    table.flush()
    assert path.read_text() == "step,loss\n1,0.25\n2,0.5\n3,0.75\n4,1.5\n"


def test_a_disk_that_is_full_for_a_while_costs_no_row_and_no_part_of_one(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    table = written(path)
    before = path.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    table.add(row(4, 1.5))
    with monkeypatch.context() as patch:
        patch.setattr(tables.os, "fsync", full)
        with pytest.raises(OSError, match=r"cannot write the log: No space left on device: .*t\.csv"):
            table.flush()
    assert path.read_bytes() == before
    table.add(row(5, 2.5))
    table.flush()
    assert path.read_bytes() == before + b"4,1.5\n5,2.5\n"
    assert os.listdir(tmp_path) == ["t.csv"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"step,loss\n1,0.1\n2,x\n3,0.3\n4,0.4\n", "line 3 is '2,x'"),
        (b"step,loss\n1,0.1\n2\n3,0.3\n4,0.4\n", "line 3 is '2,None'"),
        (b"step,loss\n1,0.1\n2,0.2,7\n3,0.3\n4,0.4\n", "line 3"),
        (b"step,loss\n1,0.1\n2,0.2\n", "a row for each step up to 3"),
        (b"step,loss\n1,0.1\n3,0.3\n", "a row for each step up to 3"),
        (b"step,loss\n1,0.1\n2,0.2\n3,0.3", "a row for each step up to 3"),
        (b"", "a row for each step up to 3"),
        (b"\x00\xff\xfe", "can't decode"),
    ],
)
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path, text, why):
    path = tmp_path / "metrics.csv"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=rf"metrics\.csv is damaged \(.*{why}.*\): put a copy of it back"):
        Table(path, 3, every_step=True)
    assert path.read_bytes() == text
    path.unlink()
    table = Table(path, 3, every_step=True)  # as the message says: without its past
    table.add(row(4))
    table.flush()
    assert path.read_text() == "step,loss\n4,0.5\n"
    assert len(Table(path, 4, every_step=True)) == 1
