"""The memory of a step: the estimate beside what real steps take, and the warning before it is too late."""

import json
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
import torch

from mrcnn_lite.build import build_model
from mrcnn_lite.config import Config
from mrcnn_lite.training import memory, train
from mrcnn_lite.training.batches import Picture
from mrcnn_lite.training.memory import step_memory, warn_before

CPU = torch.device("cpu")

# Two steps of a real run: the memory before them, and the most that there was until they were over.
STEPS = """
    import json, sys
    from pathlib import Path
    import torch
    from mrcnn_lite.build import build_model
    from mrcnn_lite.config import Config
    from mrcnn_lite.training.batches import Pictures, Shares, load
    from mrcnn_lite.training.memory import step_memory
    from mrcnn_lite.training.schedule import training_mode
    from mrcnn_lite.training.trainer import Trainer

    torch.set_num_threads(1)
    name, changes, size, batch = json.loads(sys.argv[1])

    class Pieces:
        def __len__(self):
            return 4

        def __getitem__(self, i):
            height, width = size
            n = 12  # rows and columns of objects: as many RoIs are positive as can be
            boxes = [[x * width / n, y * height / n, (x + 0.9) * width / n, (y + 0.9) * height / n]
                     for x in range(n) for y in range(n)]
            boxes = torch.tensor(boxes).round()
            masks = torch.zeros(n * n, height, width, dtype=torch.uint8)
            for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
                mask[y1:y2, x1:x2] = 1
            return torch.rand(3, height, width), {"boxes": boxes, "labels": torch.ones(n * n).long(), "masks": masks}

    def memory(line):
        status = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(text for text in status if text.startswith(line)).split()[1])

    changes = {key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()}
    config = Config.named(name).replace(**changes, train__batch_size=batch)
    model = build_model(config)
    with training_mode(model):
        estimate = step_memory(model, batch, size, objects=144)
        trainer = Trainer(model, config.train, device=torch.device("cpu"))
        batches = load(Pictures(Pieces(), 0), Shares(4, batch, seed=0), 0)
        before = memory("VmRSS")
        for _ in range(2):
            trainer.gradients(batches)
            trainer.update(0.0001)
        print(json.dumps([estimate, memory("VmHWM") - before]))
"""
SMALLER = {
    "backbone": "resnet18",
    "min_size": 256,
    "max_size": 416,
    "roi_samples": 128,
    "norm": "gn",
    "frozen_stages": 0,
}
CONFIGURATIONS = [
    ("tiny", {}, (128, 128), 8),
    ("tiny", {"min_size": 384, "max_size": 512}, (384, 512), 2),
    ("r50-fpn", SMALLER, (256, 384), 4),
    ("r50-c4", {"min_size": 256, "max_size": 416, "roi_samples": 32}, (256, 384), 1),
]


def measured(configuration):
    """-> bytes as estimated, bytes as measured."""
    command = [sys.executable, "-c", textwrap.dedent(STEPS), json.dumps(configuration)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the memory that was taken")
@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=[f"{c[0]}-{c[2]}-x{c[3]}" for c in CONFIGURATIONS])
def test_the_estimate_is_near_what_real_steps_take(configuration):
    estimate, truth = measured(configuration)
    assert 0.7 < estimate / truth < 1.4, f"estimated {estimate / 1e6:.0f} MB, measured {truth / 1e6:.0f} MB"


def test_it_grows_with_the_pictures_and_their_size_and_shrinks_with_what_is_frozen():
    model = build_model(Config.tiny())
    small = step_memory(model, 2, (128, 128))
    twice = step_memory(model, 4, (128, 128))
    assert 1.1 < twice / small < 2 and step_memory(model, 8, (128, 128)) - twice == pytest.approx(
        2 * (twice - small), rel=0.01
    )
    assert step_memory(model, 2, (64, 64)) == small  # resized to 128 pixels all the same
    larger = build_model(Config.tiny(min_size=256, max_size=256))
    more = step_memory(larger, 4, (128, 128)) - step_memory(larger, 2, (128, 128))
    assert 2 < more / (twice - small) < 4  # the RoIs are as many
    for parameter in model.backbone.body.parameters():
        parameter.requires_grad_(False)
    assert step_memory(model, 2, (128, 128)) < 0.9 * small
    assert step_memory(model, 2, (128, 128), objects=10) - step_memory(model, 2, (128, 128)) == 100 * 128**2
    assert all(tensor.device == CPU for tensor in model.state_dict().values())


def batches(*sizes):
    for height, width in sizes:
        yield [Picture(torch.zeros(3, height, width), {}, 0, 0)] * 8


def test_it_warns_with_numbers_and_says_what_to_lower(monkeypatch):
    model = build_model(Config.tiny())
    needed = step_memory(model, 8, (8, 8))
    monkeypatch.setattr(memory, "available_memory", lambda: needed // 2)
    said = rf"8 picture\(s\) of 8 x 8 pixels at once takes about {needed / 1e9:.1f} GB .* free: .*with less RoIs"
    with pytest.warns(UserWarning, match=said) as caught:
        assert len(list(warn_before(batches((8, 8), (16, 16)), model, 1, "less RoIs"))) == 2
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for enough in (int(1.01 * needed), None):
            monkeypatch.setattr(memory, "available_memory", lambda enough=enough: enough)
            list(warn_before(batches((8, 8)), model, 1, ""))
    monkeypatch.setattr(memory, "available_memory", lambda: int(1.01 * needed))
    with pytest.warns(UserWarning, match="in each of 2 processes"):
        list(warn_before(batches((8, 8)), model, 2, ""))


def test_a_larger_picture_later_is_noticed_before_its_step(monkeypatch):
    model = build_model(Config.tiny(min_size=128, max_size=512))
    needed = step_memory(model, 8, (128, 512))
    monkeypatch.setattr(memory, "available_memory", lambda: int(0.9 * needed))
    coming = warn_before(batches((128, 128), (128, 130), (128, 512)), model, 1, "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        next(coming), next(coming)
    with pytest.warns(UserWarning, match="128 x 512 pixels"):
        next(coming)


def test_train_asks_before_the_first_step(monkeypatch):
    from mrcnn_lite.data import open_dataset

    shapes = open_dataset("shapes", length=2, size=64, cached=False)
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    with pytest.warns(UserWarning, match=r"2 picture\(s\) of 64 x 64 pixels at once .*--batch-size, now 2"):
        train(build_model(Config.tiny(train__batch_size=2)), shapes, steps=1, progress=False, device="cpu")
