"""`mrcnn-lite notebooks check` and what is behind it, on notebooks of one or two cells."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import nbformat
import pytest

from mrcnn_lite import notebooks
from mrcnn_lite.cli import main
from mrcnn_lite.notebooks import choose, first_line, folder_of_notebooks, solve

SOUND = "from pathlib import Path\nassert (Path('../assets/x.txt')).read_text() == 'x'\nPath('left.txt').write_text('')"
EXERCISE = "def iou(a, b):\n    ...\n\n\nex.iou.check(iou)"


def write(folder, name, *sources, exercise=None):
    folder.mkdir(exist_ok=True)
    book = nbformat.v4.new_notebook()
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book.cells = [nbformat.v4.new_markdown_cell("# Title"), *map(nbformat.v4.new_code_cell, sources)]
    if exercise:
        book.cells[-1].metadata["exercise"] = exercise
    nbformat.write(book, folder / name)
    return folder


def test_each_notebook_gets_a_line_and_a_failure_its_cell(tmp_path, capsys):
    folder = write(tmp_path / "notebooks", "01_sound.ipynb", SOUND)
    write(folder, "02_broken.ipynb", "a = 1", "# why\nimport math\nmath.sqrt(a - 2)")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "x.txt").write_text("x")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(["notebooks", "check", "--folder", str(folder)]) == 1
    sound, broken, total = capsys.readouterr().out.splitlines()
    assert sound.split()[:2] == ["01_sound", "ok"] and sound.endswith(" s")
    assert broken.split()[:2] == ["02_broken", "FAILED"]
    assert "cell 3, `math.sqrt(a - 2)`: ValueError: " in broken
    assert total == "1 of 2 notebooks run on this machine"
    assert {path: path.read_bytes() for path in folder.iterdir()} == before  # also left.txt went to the copy


def test_one_of_them_and_a_cell_that_takes_too_long(tmp_path, capsys):
    folder = write(tmp_path / "notebooks", "01_slow.ipynb", "import time\ntime.sleep(600)")
    write(folder, "02_never.ipynb", "1 / 0")
    assert main(["notebooks", "check", "01", "--folder", str(folder), "--cell-timeout", "2"]) == 1
    slow, total = capsys.readouterr().out.splitlines()
    assert "cell 2, `time.sleep(600)`: the cell took longer than 2 seconds" in slow
    assert total == "0 of 1 notebooks run on this machine"


@pytest.mark.skipif(sys.platform == "win32", reason="no process is sent a Ctrl-C there")
def test_ctrl_c_stops_everything_and_leaves_no_kernel(tmp_path, capfd):
    source = "import os, time\nfrom pathlib import Path\nPath(os.environ['STARTED']).write_text(str(os.getpid()))"
    folder = write(tmp_path / "notebooks", "01_slow.ipynb", f"{source}\ntime.sleep(600)")
    write(folder, "02_never.ipynb", "1 / 0")
    started = tmp_path / "started"

    def press():
        while not started.exists() or not started.read_text():
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STARTED", str(started))
        thread.start()
        assert main(["notebooks", "check", "--folder", str(folder)]) == 130
    thread.join()
    out, err = capfd.readouterr()
    assert "FAILED" not in out and "02_never" not in out and err.strip() == "interrupted"
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_an_output_that_can_not_be_written_is_found_before_anything_runs(tmp_path, capsys):
    folder = write(tmp_path / "notebooks", "01_sound.ipynb", "1")
    (tmp_path / "file").write_text("")
    assert main(["notebooks", "check", "--folder", str(folder), "--output", str(tmp_path / "file")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "File exists" in err


def test_solved_puts_the_answers_in_and_the_checker_must_agree(tmp_path, capsys):
    folder = write(tmp_path / "notebooks", "02_a.ipynb", "from mrcnn_lite.exercises import ch02 as ex", EXERCISE,
                   exercise="iou")  # fmt: skip
    command = ["notebooks", "check", "--solved", "--folder", str(folder)]
    assert main([*command, "--output", str(tmp_path / "solutions")]) == 0
    assert "1 solutions accepted" in capsys.readouterr().out
    solved = nbformat.read(tmp_path / "solutions" / "02_a.ipynb", as_version=4)
    assert "def iou(a: Tensor" in solved.cells[-1].outputs[0].text  # the answer itself can be read
    assert nbformat.read(folder / "02_a.ipynb", as_version=4).cells[-1].source == EXERCISE
    assert main([*command, "--output", str(folder)]) == 2
    assert "is the folder of the notebooks themselves" in capsys.readouterr().err


def test_solving_leaves_other_cells_alone(tmp_path):
    write(tmp_path, "02_a.ipynb", "x = 1", EXERCISE, exercise="iou")
    book = nbformat.read(tmp_path / "02_a.ipynb", as_version=4)
    assert solve(book) == 1
    assert [cell.source for cell in book.cells[:2]] == ["# Title", "x = 1"]
    assert "ex.iou.answer" in book.cells[2].source and "judge(iou).status == 'right'" in book.cells[2].source


def test_nothing_to_run_is_said_clearly(tmp_path, capsys, monkeypatch):
    assert main(["notebooks", "check", "--folder", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"no notebook (NN_name.ipynb) in {tmp_path}" in error and "Traceback" not in error
    folder = write(tmp_path / "notebooks", "01_sound.ipynb", "1")
    assert main(["notebooks", "check", "07", "--folder", str(folder)]) == 2
    assert "no notebook starts with '07': there are 01_sound" in capsys.readouterr().err
    monkeypatch.setattr(notebooks.importlib.util, "find_spec", lambda name: None if name == "nbclient" else True)
    assert main(["notebooks", "check", "--folder", str(folder)]) == 2
    assert "running notebooks needs nbclient, which this Python lacks: pip install" in capsys.readouterr().err


def test_the_folder_is_found_here_or_beside_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder_of_notebooks().name == "notebooks" and choose(folder_of_notebooks(), ["02"])
    here = write(tmp_path / "notebooks", "01_sound.ipynb", "1")
    assert folder_of_notebooks() == here.resolve()
    assert choose(here, ["notebooks/01_sound.ipynb"]) == [here / "01_sound.ipynb"]


def test_the_first_line_is_one_that_tells_something():
    assert first_line("# a\nimport b\n\nc = b.d()\ne") == "c = b.d()"
    assert first_line("import b") == "import b" and first_line("") == ""
