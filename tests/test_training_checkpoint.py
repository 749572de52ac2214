"""Checkpoints: whole or not at all, plain data, and only for the run they are of."""

import subprocess
import sys
import textwrap

import pytest
import torch

from mrcnn_lite.training.checkpoint import (
    CheckpointError,
    check_same_run,
    load_checkpoint,
    save_checkpoint,
)


def test_what_is_saved_comes_back(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"model": {"w": torch.arange(3)}, "step": 4, "names": ["a"], "seconds": 1.5, "none": None})
    content = load_checkpoint(path)
    assert torch.equal(content["model"]["w"], torch.arange(3))
    assert (content["step"], content["names"], content["seconds"], content["none"]) == (4, ["a"], 1.5, None)
    assert torch.load(path, weights_only=True)["step"] == 4  # no code is run
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


FULL_DISK = """
    import resource, signal, sys
    from pathlib import Path
    import torch
    from mrcnn_lite.training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint

    path = Path(sys.argv[1])
    save_checkpoint(path, {"step": 1})
    # From here on the system refuses to write more than 64 kB into a file, as it does when a disk is full.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
    try:
        save_checkpoint(path, {"step": 2, "model": torch.zeros(100_000)})
    except CheckpointError as error:
        print(error)
    print("step", load_checkpoint(path)["step"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_a_disk_that_fills_up_leaves_the_checkpoint_before(tmp_path):
    path = tmp_path / "last.pt"
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    assert "the disk is full; the checkpoint written before is whole" in said.stdout
    assert said.stdout.endswith("step 1\n")
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match=r"last\.pt.*there is no earlier checkpoint"):
        save_checkpoint(tmp_path / "file" / "last.pt", {})


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "last.pt"
    with pytest.raises(FileNotFoundError):
        load_checkpoint(path)
    path.write_bytes(b"half of some")
    with pytest.raises(CheckpointError, match=r"last\.pt is no training checkpoint"):
        load_checkpoint(path)
    torch.save({"weights": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="format"):
        load_checkpoint(path)


def test_a_checkpoint_cut_short_is_refused_at_every_length(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"model": torch.arange(1000)})
    whole = path.read_bytes()
    for length in (0, 1, 30, 100, 1000, len(whole) // 2, len(whole) - 500, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"last\.pt is no training checkpoint, .*: put a copy"):
            load_checkpoint(path)


def test_no_flipped_bit_is_trained_on(tmp_path):
    """A flipped bit is found, or it lies where nothing is kept: what loads is what was saved."""
    path = tmp_path / "last.pt"
    content = {"model": {"w": torch.arange(300.0)}, "step": 4, "seconds": 1.5}
    save_checkpoint(path, content)
    whole = path.read_bytes()
    refused = 0
    generator = torch.Generator().manual_seed(0)
    for position in torch.randperm(len(whole), generator=generator)[:400].tolist():
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        try:
            found = load_checkpoint(path)
        except CheckpointError:
            refused += 1
        else:
            assert torch.equal(found["model"]["w"], content["model"]["w"]) and found["step"] == 4
            assert found["seconds"] == 1.5
    assert refused > 200  # the rest are paddings


def test_every_difference_between_two_runs_is_named():
    then = {"lr": 0.1, "steps": 100, "scale_range": [0.8, 1.0]}
    check_same_run("last.pt", then, {"lr": 0.1, "steps": 100, "scale_range": (0.8, 1.0)})
    with pytest.raises(
        ValueError, match=r"last\.pt.*lr was 0\.1, is 0\.2; minutes was None, is 3; steps was 100, is 50"
    ):
        check_same_run("last.pt", then, {"lr": 0.2, "steps": 50, "scale_range": (0.8, 1.0), "minutes": 3})
