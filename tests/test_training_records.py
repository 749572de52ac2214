"""The folder of a run: what is in it, who may go on in it, who may write over it."""

import math
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError

from mrcnn_lite.training.checkpoint import CheckpointError, load_checkpoint
from mrcnn_lite.training.records import Records, find_checkpoint
from mrcnn_lite.training.schedule import Clock

IDENTITY = {"seed": 0, "steps": 10}


def running_clock():
    clock = Clock(10)
    clock.start_step()
    clock.end_step()
    return clock


def records(folder, **options):
    options = {"active": True, "identity": IDENTITY, "progress": False} | options
    return Records(folder, **options)


def test_a_run_leaves_its_steps_evaluations_and_checkpoint(tmp_path):
    kept = records(tmp_path / "run", log_every=2, checkpoint_every=2)
    for step in (1, 2, 3):
        kept.step(step, 0.1, {"loss_box": 1.0, "loss_mask": step / 2}, running_clock(), 4)
        if kept.checkpoint_due(step):
            kept.checkpoint({"step": step, "model": {"w": torch.ones(1)}}, 12.5)
    assert kept.checkpoint_due(4) and not kept.checkpoint_due(5)
    figures = {"AP": 0.5, "AP50": 0.75, "AP75": None}
    kept.evaluation(3, SimpleNamespace(box=figures, mask=figures, keypoint=None))
    kept.close()
    lines = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert lines[0] == "step,lr,seconds,images_per_second,loss,loss_box,loss_mask"
    assert len(lines) == 4 and lines[3].endswith(",2.5,1,1.5")
    assert (tmp_path / "run" / "validation.csv").read_text() == (
        "step,box AP,box AP50,box AP75,mask AP,mask AP50,mask AP75\n3,0.5,0.75,nan,0.5,0.75,nan\n"
    )
    content = load_checkpoint(tmp_path / "run" / "last.pt")
    assert (content["step"], content["seconds"], content["finished"]) == (2, 12.5, False)
    history = kept.history(3, running_clock(), 4, False)
    assert list(history.losses["loss"]) == [1.5, 2.0, 2.5]
    assert list(history.lr) == [0.1] * 3
    assert history.validation[0]["mask AP"] == 0.5 and math.isnan(history.validation[0]["box AP75"])
    assert history.images_per_second > 0


def test_without_a_folder_nothing_is_written_but_the_history_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = records(None)
    kept.step(1, 0.1, {"loss_box": 1.0}, running_clock(), 4)
    kept.checkpoint({"step": 1}, 1.0, finished=True)
    kept.close()
    assert list(kept.history(1, running_clock(), 4, False).losses["loss_box"]) == [1.0]
    assert list(tmp_path.iterdir()) == []


def test_the_other_processes_keep_no_records(tmp_path):
    kept = records(tmp_path / "run", active=False, progress=True, tensorboard=True)
    kept.step(1, 0.1, {"loss_box": 1.0}, running_clock(), 4)
    kept.checkpoint({"step": 1}, 1.0, finished=True)
    kept.close()
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_due_after_five_minutes_if_nobody_says_when():
    kept = records(None)
    assert not kept.checkpoint_due(1000)
    kept._saved_at -= 301
    assert kept.checkpoint_due(1)


def test_who_goes_on(tmp_path):
    assert find_checkpoint(None, IDENTITY, False, False) is None
    assert find_checkpoint(tmp_path, IDENTITY, True, False) is None  # killed before its first checkpoint
    records(tmp_path).checkpoint({"step": 4}, 1.0)
    assert find_checkpoint(tmp_path, IDENTITY, True, False)["step"] == 4
    with pytest.raises(ValueError, match="steps was 10, is 20"):
        find_checkpoint(tmp_path, IDENTITY | {"steps": 20}, True, False)
    with pytest.raises(FileExistsError, match=re.escape(str(tmp_path / "last.pt"))):
        find_checkpoint(tmp_path, IDENTITY, False, False)
    assert find_checkpoint(tmp_path, IDENTITY, False, True) is None
    with pytest.raises(ValueError, match="output"):
        find_checkpoint(None, IDENTITY, True, False)


def test_a_new_run_in_an_old_folder_leaves_nothing_of_the_old(tmp_path):
    old = records(tmp_path, log_every=1)
    old.step(1, 0.1, {"loss_box": 1.0}, running_clock(), 4)
    old.checkpoint({"step": 1}, 1.0)
    (tmp_path / ".last-killed.pt").write_text("half")
    records(tmp_path)
    assert not (tmp_path / "last.pt").exists() and not (tmp_path / ".last-killed.pt").exists()
    assert (tmp_path / "metrics.csv").read_text() == ""


def test_the_line_on_the_screen(capsys):
    kept = records(None, progress=True, log_every=2)
    for step in (1, 2, 3):
        kept.step(step, 0.1, {"loss_box": float(step)}, running_clock(), 4)
    kept.history(3, running_clock(), 4, True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("step 2/10  loss 1.500 (loss_box 1.500)  lr 1.0e-01")
    assert lines[1] == "stopped after step 3. Without an output folder nothing is kept"


def test_tensorboard_gets_every_loss(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    kept = records(tmp_path, tensorboard=True)
    for step in (1, 2):
        kept.step(step, 0.1, {"loss_box": float(step)}, running_clock(), 4)
    kept.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss_box")] == [(1, 1.0), (2, 2.0)]


def test_tensorboard_keeps_what_is_before_the_checkpoint(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    kept = records(tmp_path, tensorboard=True)
    kept.step(1, 0.1, {"loss_box": 1.0}, running_clock(), 4)
    kept.checkpoint({"step": 1}, 1.0)  # a run that is killed now has lost nothing of the first step
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss_box")] == [1]
    kept.close()


def test_a_folder_that_was_removed_is_made_again_with_all_tables(tmp_path, capsys):
    kept = records(tmp_path / "run", progress=True)
    kept.step(1, 0.1, {"loss_box": 1.0}, running_clock(), 4)
    kept.evaluation(1, SimpleNamespace(box={"AP": 0.5, "AP50": 0.5, "AP75": 0.5}, mask=None, keypoint=None))
    before = {path.name: path.read_text() for path in (tmp_path / "run").glob("*.csv")}
    shutil.rmtree(tmp_path / "run")
    kept.checkpoint({"step": 1}, 1.0)
    assert {path.name: path.read_text() for path in (tmp_path / "run").glob("*.csv")} == before
    assert load_checkpoint(tmp_path / "run" / "last.pt")["step"] == 1
    assert "was gone: it is made again" in capsys.readouterr().out


@pytest.mark.parametrize("error", [SafetensorError("IoError: No space left"), OSError(28, "No space left")])
def test_weights_that_cannot_be_written_are_written_by_resuming(error, tmp_path, monkeypatch):
    def full(model, path):
        raise error

    monkeypatch.setattr("mrcnn_lite.weights.save", full)
    with pytest.raises(CheckpointError, match=r"model\.safetensors .*No space left.*last\.pt is whole: .* resume"):
        records(tmp_path).save_weights(None)
