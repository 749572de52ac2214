"""The benchmark scripts explain themselves and check what they compare, the quick ones run. No speed is tested."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
SHARED = ("timing", "pairs")
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem not in SHARED)


@pytest.fixture
def script(monkeypatch):
    """`script("nms")` is that file of benchmarks/ as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def rows(printed: str) -> list[dict[str, str]]:
    """The rows of all Markdown tables in a text, by column."""
    found, columns = [], []
    for line in printed.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            columns = []
        elif not columns:
            columns = cells
        elif not set(cells[0]) <= {"-"}:
            found.append(dict(zip(columns, cells, strict=True)))
    return found


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_explains_itself(name, script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        script(name).main()
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"python benchmarks/{name}.py" in text


def test_a_script_starts_as_a_program():
    command = [sys.executable, str(BENCHMARKS / "nms.py"), "--quick", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(rows(done.stdout)[0]["ratio"]) > 0


def test_the_readme_has_a_row_for_every_script():
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (\w+)\.py ", text, re.MULTILINE)) == set(SCRIPTS)


def test_nms_scenes_keep_the_same_boxes(script):
    nms = script("nms")
    for _, count, objects, threshold in nms.SCENES:
        boxes, scores = nms.make_boxes(count, objects)
        assert torch.equal(nms.nms_reference(boxes, scores, threshold), nms.nms(boxes, scores, threshold))


def test_paste_check_finds_a_wrong_pixel(script):
    paste = script("paste")
    probs, boxes = (tensor[:3] for tensor in paste.make_input(torch.device("cpu")))
    pasted = paste.paste(probs, boxes, (paste.HEIGHT, paste.WIDTH))
    paste.check_exact(pasted, probs, boxes)
    pasted[1, 0, 0] ^= True
    with pytest.raises(SystemExit, match="1 pixels"):
        paste.check_exact(pasted, probs, boxes)


def test_crop_and_paste_lose_nothing_and_torchvisions_do(script):
    paste = script("paste")
    dataset = paste.open_dataset("shapes", "val", length=12, cached=False)
    pictures = [dataset[i] for i in range(len(dataset))]
    assert paste.quality(pictures, 28, paste.crop_masks, paste.paste) > 99
    assert paste.quality(pictures, 28, paste.torchvision_crop, paste.torchvisions) < 95


def test_tiny_pair_gives_the_same_detections_and_losses(script):
    pairs = script("pairs")
    pair = pairs.tiny(batch=2)
    assert pairs.check_same_detections(pair) == 16
    assert pairs.check_same_detections(pairs.without_masks(pair)) == 16
    ours, theirs = pairs.trainer(pair.ours, pair)(), pairs.trainer(pair.theirs, pair)()
    assert ours.keys() == theirs.keys()
    assert all(bool(loss.isfinite()) for loss in [*ours.values(), *theirs.values()])
    with torch.no_grad():
        pair.ours.heads["box"].bbox_pred.weight.add_(0.1)
    with pytest.raises(SystemExit, match="detections are also ours"):
        pairs.check_same_detections(pair)


def test_input_checks_runs(script, capsys):
    script("input_checks").main(["--quick", "--device", "cpu"])
    (row,) = rows(capsys.readouterr().out)
    assert float(row["share"].rstrip("%")) > 0


def test_synchronisations_runs(script, capsys):
    script("synchronisations").main(["--quick", "--device", "cpu"])
    found = {(row["what"], row["whose"]): int(row["all"]) for row in rows(capsys.readouterr().out)}
    assert found["proposals", "ours"] <= found["proposals", "torchvision"]
    assert found["training step", "ours"] < found["training step", "torchvision"]
    assert found["step, inputs checked", "ours"] > found["training step", "ours"]


def test_synchronisations_are_counted_by_kind(script):
    synchronisations = script("synchronisations")
    numbers, cpu = torch.arange(4.0, requires_grad=True), torch.device("cpu")

    def call():
        numbers.sum().item()  # read
        numbers.tolist()  # read
        bool((numbers > 5).any())  # read
        torch.equal(numbers, numbers)  # read
        positive = numbers > 0
        numbers[positive]  # select
        torch.where(positive)  # select
        positive.nonzero()  # select
        torch.unique(numbers.detach())  # select
        numbers.new_tensor([1.0])  # copy
        torch.tensor([1.0], device=cpu)  # copy
        torch.tensor([1.0])  # stays on the CPU: none
        numbers[torch.tensor([0, 1])].clamp(min=2).sum().backward()  # none

    assert synchronisations.count(call, cpu) == {"read": 4, "select": 4, "copy": 2}


@pytest.mark.gpu
def test_synchronisations_on_a_gpu_are_seen(script):
    synchronisations = script("synchronisations")
    device = torch.device("cuda")
    numbers = torch.arange(4.0, device=device)
    assert synchronisations.count(lambda: numbers.sum(), device)["all"] == 0
    assert synchronisations.count(lambda: (numbers.sum().item(), numbers.nonzero()), device)["all"] >= 2


def test_widgets_runs(script, capsys):
    pytest.importorskip("playwright")
    if script("widgets").chromium() is None:
        pytest.skip("no Chromium on this machine")
    script("widgets").main(["--steps", "5", "--runs", "1"])
    found = rows(capsys.readouterr().out)
    assert len(found) == len(script("widgets").LAB_STATES)
    assert all(0 < float(row["step"]) < float(row["frame 4x slower"]) for row in found)
    assert all(float(row["CPU"]) > 0 and float(row["gap 4x slower"]) > 10 for row in found)


def test_whole_model_measures_memory_in_a_child(script):
    whole_model = script("whole_model")
    options = whole_model.make_parser().parse_args(["--quick", "--device", "cpu"])
    answer = whole_model.in_child(options, torch.device("cpu"), "tiny", "detect", "ours")
    assert 5 < answer["megabytes"] < 2000


def test_whole_model_gives_up_a_slow_compilation(script):
    whole_model = script("whole_model")
    options = whole_model.make_parser().parse_args(["--quick", "--compile-minutes", "0.001"])
    assert whole_model.compiled_times(options, torch.device("cpu"), "tiny", "detect") == ("too slow", "")


LINE = "mask AP {:.3f}  box AP 0.614  mask AP50 0.800  AP75 0.654  1606 steps in 6.0 min  runs/predictions.png"


@pytest.fixture
def training(script, monkeypatch, tmp_path) -> ModuleType:
    """The script with runs/ in an empty folder and a demo that says 0.6 for ours, 0.4 for torchvision's, at once."""
    module = script("training")
    commands = []

    def fake(kind, minutes, seed, rate, output):
        score = {"ours": 0.6, "torchvision": 0.4}[kind] - 10 * abs((rate or 0.002) - 0.002)
        commands.append((kind, minutes, seed, rate))
        return [sys.executable, "-c", f"print('a table'); print({LINE.format(score)!r})"]

    monkeypatch.setattr(module, "runs_folder", lambda: tmp_path / "runs")
    monkeypatch.setattr(module, "command_of", fake)
    monkeypatch.setattr(module, "commands", commands, raising=False)
    return module


def test_training_parses_the_demos_last_line(script):
    module = script("training")
    assert module.parse(LINE.format(0.573)) == {"mask_ap": 0.573, "box_ap": 0.614, "steps": 1606}
    with pytest.raises(ValueError, match="no mask_ap, steps"):
        module.parse("box AP 0.614")


def test_the_demo_still_prints_that_line_and_takes_these_options(script):
    from mrcnn_lite import demo

    module = script("training")
    source = Path(demo.__file__).read_text(encoding="utf-8")
    assert all(part in source for part in ("mask AP {", "  box AP {", " steps in "))
    for kind in module.KINDS:
        options = demo.parser().parse_args(module.command_of(kind, 6.0, 3, 0.004, Path("training-nuclei") / "out")[3:])
        expected = SimpleNamespace(minutes=6.0, seed=3, lr=0.004, peer=None if kind == "ours" else kind)
        assert {name: getattr(options, name) for name in vars(expected)} == vars(expected)
        assert options.data == "nuclei" and options.output == Path("training-nuclei") / "out"


def test_training_stores_each_run_and_goes_on(training, capsys, tmp_path):
    training.main(["--seeds", "0"])  # before a search: the demo's own rates
    assert training.commands == [("ours", 6.0, 0, None), ("torchvision", 6.0, 0, None)]
    training.main(["--seeds", "0", "1"])
    assert [command[2] for command in training.commands[2:]] == [1, 1]
    capsys.readouterr()
    training.main([])
    assert len(training.commands) == 4  # nothing was trained again
    table = [row for row in rows(capsys.readouterr().out) if "seed" in row]
    assert [row["seed"] for row in table] == ["0", "1"]
    assert all(float(row["ratio of mask AP"]) == pytest.approx(1.5) for row in table)
    (result,) = (tmp_path / "runs" / "training-shapes").glob("ours-6min-seed0-*.json")
    assert json.loads(result.read_text())["steps"] == 1606


def test_training_compares_with_the_rates_that_the_search_found(training, capsys):
    training.main(["--search", "--seeds", "0"])
    searched, compared = training.commands[:6], training.commands[6:]
    assert {(kind, rate) for kind, _, _, rate in searched} == {
        (kind, rate) for kind in training.KINDS for rate in training.RATES
    }
    assert compared == [("ours", 6.0, 0, 0.002), ("torchvision", 6.0, 0, 0.002)]
    assert "0.002 *" in capsys.readouterr().out
    training.main(["--seeds", "1", "--minutes", "20", "--search-minutes", "6"])
    assert training.commands[8:] == [("ours", 20.0, 1, 0.002), ("torchvision", 20.0, 1, 0.002)]


def test_training_stops_at_a_run_that_fails(training, monkeypatch):
    monkeypatch.setattr(training, "command_of", lambda *_: [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(SystemExit, match="status 3"):
        training.main(["--seeds", "0"])
