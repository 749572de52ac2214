"""The panel trains by what its controls stand at, with the model's losses, stops when asked, and loses no error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import torch

pytest.importorskip("ipywidgets")

from mrcnn_lite import Config, build_model, open_dataset
from mrcnn_lite.training.batches import mix
from mrcnn_lite.widgets.panels import training_panel


@pytest.fixture(scope="module")
def shapes():
    return open_dataset("shapes", length=6, progress=False)


@pytest.fixture
def model():
    return build_model(Config.tiny())


@pytest.fixture
def panel(model, shapes) -> Iterator:
    made = training_panel(model, shapes, lr=1e-3)
    yield made
    made.stop()


def wait(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)


def weights(model, part: str = "") -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.named_parameters() if name.startswith(part)}


def differ(then: dict[str, torch.Tensor], now: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(then[name], now[name]) for name in then)


def test_before_the_first_step_the_picture_shows_where_each_curve_begins(panel):
    figure, words = panel.drawn(**panel.values())
    (axes,) = figure.axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_ydata()[0] for line in dots] == list(panel.first_losses.values())
    assert "before the first step" in axes.get_title() and words.startswith("Not started: press Start.")
    panel.step(1e-3, panel.names)
    (axes,) = panel.drawn(**panel.values())[0].axes
    assert not axes.get_title() and not [line for line in axes.lines if line.get_marker() == "o"]


def test_making_a_panel_changes_nothing(model, shapes):
    then = {name: value.clone() for name, value in model.train().state_dict().items()}
    training_panel(model, shapes)
    assert not differ(then, model.state_dict())


def test_the_first_numbers_are_the_models_losses(panel, model, shapes):
    pictures = panel.pictures(0)
    images, targets = zip(*(shapes[i] for i in pictures))
    model.train()
    with torch.no_grad():
        expected = model.losses(images, targets, seeds=[mix(0, 0, i) for i in pictures])
    panel.start_over()  # BatchNorm has taken note of the pictures
    assert panel.first_losses == pytest.approx({k: float(v) for k, v in expected.items()})
    assert all(f"{name} {value:.4f}" in panel.words for name, value in panel.first_losses.items())
    step = panel.step(1e-3, panel.names)
    assert step.pictures == pictures and step.losses == pytest.approx({k: float(v) for k, v in expected.items()})
    panel.update()
    assert all(f"{name} {value:.4f}" in panel.words for name, value in step.losses.items())
    assert f"on {sum(step.losses.values()):.4f}" in panel.words


def test_every_picture_comes_once_an_epoch(panel, shapes):
    epoch = [i for step in range(3) for i in panel.pictures(step)]
    assert sorted(epoch) == list(range(len(shapes)))
    assert epoch != [i for step in range(3, 6) for i in panel.pictures(step)]


def test_only_what_a_chosen_loss_reaches_learns(panel, model):
    mask, box = weights(model, "heads.mask"), weights(model, "heads.box")
    panel.step(1e-3, ["loss_classifier", "loss_box_reg"])
    assert differ(box, weights(model, "heads.box")) and not differ(mask, weights(model, "heads.mask"))
    panel.step(1e-3, ["loss_mask"])
    assert differ(mask, weights(model, "heads.mask"))
    everything = weights(model)
    assert panel.step(1e-3, []).losses  # measured all the same
    assert not differ(everything, weights(model))


def test_start_stop_and_start_over(panel, model):
    then, before = weights(model), panel.picture.value
    training = model.training
    panel.button.click()
    assert panel.running and panel.button.description == "Stop"
    wait(lambda: len(panel.history) >= 3)
    panel.controls["loss_mask"].value = False
    panel.controls["lr"].value = 1e-4
    seen = len(panel.history)
    wait(lambda: len(panel.history) >= seen + 2)
    panel.button.click()
    assert not panel.running and panel.button.description == "Start" and model.training == training
    count = len(panel.history)
    assert panel.error is None and panel.words.startswith(f"{count} steps; last: ")
    assert panel.picture.value != before and differ(then, weights(model))
    first, last = panel.history[0], panel.history[-1]
    assert first.lr == pytest.approx(1e-3) and set(first.chosen) == set(panel.names)
    assert last.lr == pytest.approx(1e-4) and set(last.chosen) == set(panel.names) - {"loss_mask"}
    time.sleep(0.2)
    assert len(panel.history) == count
    panel.start_over()
    assert not panel.history and not differ(then, weights(model)) and panel.words.startswith("Not started")


def test_two_runs_from_the_start_are_alike(panel):
    rows = []
    for _ in range(2):
        panel.start_over()
        rows.append([panel.step(1e-3, panel.names).losses for _ in range(2)])
    assert rows[0] == [pytest.approx(row, rel=1e-4) for row in rows[1]]


def test_a_rate_that_is_too_high_is_said_and_stops(panel, model):
    panel.start_over()
    with torch.no_grad():
        next(model.heads["mask"].parameters()).fill_(float("nan"))
    panel.start()
    wait(lambda: not panel.running)
    assert panel.words.startswith("FloatingPointError: loss_mask is nan in step 0 at a learning rate of 0.001")
    assert isinstance(panel.error, FloatingPointError) and panel.button.description == "Start"
    panel.start_over()
    panel.step(1e-3, panel.names)


def test_an_error_in_the_thread_stands_in_the_panel(panel, shapes, monkeypatch):
    def broken(i: int):
        image, target = shapes[i]
        return image, {**target, "labels": target["labels"] * 0}

    class Broken:
        __len__ = lambda self: len(shapes)  # noqa: E731
        __getitem__ = staticmethod(broken)

    panel.dataset = Broken()
    panel.start()
    wait(lambda: not panel.running)
    assert "label" in panel.words and "ValueError" in panel.words and isinstance(panel.error, ValueError)


def test_a_second_panel_on_the_model_stops_the_first(panel, model, shapes):
    panel.start()
    second = training_panel(model, shapes)
    assert not panel.running and not second.running
    second.start()
    panel.start()
    assert panel.running and not second.running


def test_a_batch_or_a_rate_that_does_not_fit_is_refused(model, shapes):
    with pytest.raises(ValueError, match="batch_size: 7 of 6 pictures"):
        training_panel(model, shapes, batch_size=7)
    with pytest.raises(ValueError, match=r"lr: 3\.0, expected 1e-06 to 1\.0"):
        training_panel(model, shapes, lr=3.0)
