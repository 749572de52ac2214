"""The command as a user meets it: help, errors, and the way from training to a picture."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import warnings
from contextlib import contextmanager

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mrcnn_lite import cli, devices
from mrcnn_lite.cli import data as cli_data
from mrcnn_lite.cli import main

COMMANDS = (
    "train",
    "evaluate",
    "predict",
    "info",
    "data list",
    "data get",
    "data show",
    "data check",
    "notebooks check",
)


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Drawn pictures and runs go to a folder of the test."""
    monkeypatch.setenv("MRCNN_LITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def refused(arguments, capsys):
    """What argparse says to arguments that it refuses."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    assert text.startswith(f"usage: mrcnn-lite {command}")
    assert command == "data list" or f"examples:\n  mrcnn-lite {command}" in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_examples_in_the_help_are_commands_that_exist(capsys):
    texts = []
    for command in ((), *map(str.split, COMMANDS)):
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        texts.append(capsys.readouterr().out.replace("\\\n", " "))
    examples = re.findall(r"^  (?:torchrun .* -m mrcnn_lite|mrcnn-lite) (.*)$", "\n".join(texts), re.MULTILINE)
    assert len(examples) > 15
    for example in examples:
        command = re.split(r"\s{2,}(?!\s*-)| > ", example)[0]  # what follows two spaces is a comment
        assert cli.parser().parse_args(shlex.split(command)).run


def test_help_waits_for_nothing_heavy():
    question = "import sys\nfrom mrcnn_lite.cli import main\ntry: main(['train', '--help'])\nexcept SystemExit: pass\n"
    question += "heavy = {'torch', 'torchvision', 'numpy', 'matplotlib', 'PIL', 'pycocotools'}\n"
    question += "print('loaded:', sorted(heavy & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "loaded: []"


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "mrcnn_lite", "info"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "r50-fpn " in answer.stdout and answer.stderr == ""
    answer = subprocess.run([*command, "--config", "r50fpn"], capture_output=True, text=True)
    assert answer.returncode == 2 and answer.stdout == ""
    assert answer.stderr.startswith("mrcnn-lite info: error: no configuration 'r50fpn' (did you mean r50-fpn")
    assert len(answer.stderr.splitlines()) == 1


def test_a_reader_that_went_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "mrcnn_lite", "info"]
    answer = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_what_argparse_refuses(capsys):
    assert "required: COMMAND" in refused([], capsys)
    assert "invalid choice: 'trian'" in refused(["trian"], capsys)
    assert "mrcnn-lite train: error: unknown option --tensorbord (did you mean --tensorboard?)" in refused(
        ["train", "--tensorbord"], capsys
    )
    assert "mrcnn-lite data show: error: unknown option extra" in refused(["data", "show", "shapes", "extra"], capsys)
    assert "'tpu' is none of cuda, cuda:N, mps, cpu" in refused(["train", "--device", "tpu"], capsys)
    for wrong in ("50", "-0.1", "x", "nan"):
        assert f"'{wrong}' is no number in 0..1" in refused(
            ["predict", "a", "--weights=b", f"--score-threshold={wrong}"], capsys
        )
    assert "'0' is no whole number from 1" in refused(["train", "--steps", "0"], capsys)
    assert "one of the arguments --weights --results is required" in refused(["evaluate", "--data", "shapes"], capsys)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ValueError("lr is -1"), 2, "mrcnn-lite data list: error: lr is -1\n"),
        (FileNotFoundError(2, "No such file or directory", "a.json"), 2, "error: a.json: No such file or directory\n"),
        (ConnectionError("no network"), 2, "error: no network\n"),
        (FloatingPointError("the loss of step 3"), 2, "error: the loss of step 3\n"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), 2, "a smaller --batch-size"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
    ],
)
def test_an_error_is_one_line(error, status, said, capsys, monkeypatch):
    def fails(arguments):
        raise error

    monkeypatch.setattr(cli_data, "run_list", fails)
    assert main(["data", "list"]) == status
    shown = capsys.readouterr()
    assert shown.out == "" and said in shown.err and len(shown.err.strip().splitlines()) == 1
    if status == 2:
        main(["--debug", "data", "list"])
        assert "Traceback" in capsys.readouterr().err


def test_a_mistake_of_ours_shows_where(capsys, monkeypatch):
    monkeypatch.setattr(cli_data, "run_list", lambda arguments: {}["missing"])
    assert main(["data", "list"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_warning_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(cli_data, "run_list", lambda arguments: warnings.warn("3 boxes left out", stacklevel=1) or 0)
    before = warnings.showwarning
    assert main(["data", "list"]) == 0
    assert capsys.readouterr().err == "warning: 3 boxes left out\n"
    assert warnings.showwarning is before


def test_openmp_is_told_to_be_patient_as_in_training():
    assert cli.PATIENT_OPENMP == devices.PATIENT_OPENMP


TRAIN = ["train", "--limit=8", "--steps=4", "--batch-size=4", "--processes=1", "--val=none", "--checkpoint-every=1"]


def tensors(folder):
    return load_file(f"{folder}/model.safetensors")


def test_from_training_to_a_picture(capsys, tmp_path):
    assert main([*TRAIN, "--log-every", "2"]) == 0
    shown = capsys.readouterr()
    assert "num_classes = 7 (the configuration has 81)" in shown.err and "step 4/4  loss" in shown.err
    weights = "runs/tiny-shapes/model.safetensors"
    assert shown.out.startswith("4 steps in") and f"weights: {weights}" in shown.out
    next_command = shown.out.split("next: mrcnn-lite ")[1].split()
    figures = tmp_path / "figures.json"
    assert main([*next_command, "--limit", "4", "--output", str(figures), "--picture", "sheet.png"]) == 0
    table = capsys.readouterr().out
    written = json.loads(figures.read_text())
    assert table.startswith("4 images") and written["images"] == 4
    assert f"{written['box']['AP']:.3f}" in table and set(written["per_class"]) >= {"circle", "cross"}
    assert Image.open("sheet.png").size[0] > 1000
    Image.new("RGB", (100, 80), "red").save("red.png")
    assert main(["predict", "--weights", weights, "red.png", "--score-threshold", "0"]) == 0
    said = capsys.readouterr().out
    entries = json.loads((tmp_path / "runs/predict/results.json").read_text())
    assert "red.png: " in said and f"1 picture(s), {len(entries)} object(s)" in said and entries
    assert Image.open("runs/predict/red.png").size == (500, 400)


def test_a_stopped_run_goes_on_to_the_same_weights(capsys, monkeypatch, tmp_path):
    assert main([*TRAIN, "--output", "whole"]) == 0
    train_module = importlib.import_module("mrcnn_lite.training.run")

    @contextmanager
    def stop_after_two():
        asked = iter([False, True])
        yield lambda: next(asked)

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "asked_to_stop", stop_after_two)
        assert main([*TRAIN, "--output", "stopped"]) == 130
    assert not (tmp_path / "stopped/model.safetensors").exists()
    capsys.readouterr()

    assert main([*TRAIN, "--output", "stopped"]) == 2
    assert "stopped holds a run: --resume goes on with it" in capsys.readouterr().err
    assert main([*TRAIN, "--output", "stopped", "--resume", "--seed", "1"]) == 2
    assert "seed was 0, is 1" in capsys.readouterr().err
    assert main([*TRAIN, "--output", "stopped", "--resume"]) == 0
    assert "going on after step 2" in capsys.readouterr().err
    whole, stopped = tensors("whole"), tensors("stopped")
    assert whole.keys() == stopped.keys() and all(torch.equal(whole[name], stopped[name]) for name in whole)
    assert main([*TRAIN, "--output", "stopped", "--overwrite", "--seed", "1"]) == 0
    other = tensors("stopped")
    assert not all(torch.equal(whole[name], other[name]) for name in whole)


def test_control_c_in_a_real_process(tmp_path):
    """The signal reaches the process that trains, which says how to go on."""
    import signal
    import time

    command = [sys.executable, "-m", "mrcnn_lite", *TRAIN, "--steps", "100000", "--log-every", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if line.startswith("step "):
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and out == "" and "last.pt is written" in err
    assert time.time() - os.path.getmtime(tmp_path / "runs/tiny-shapes/last.pt") < 60
