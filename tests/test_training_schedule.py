"""Learning rate and clock by hand; the optimizer's groups, frozen layers and the moving average by what they do."""

import pytest
import torch
from torch import nn
from training_fakes import SETTINGS, make, same

from mrcnn_lite.config import Training
from mrcnn_lite.training import schedule
from mrcnn_lite.training.schedule import Clock, MovingAverage, learning_rate, make_optimizer, take_step, training_mode

NO_SCALER = torch.amp.GradScaler("cuda", enabled=False)


def test_the_papers_schedule():
    paper = Training()  # 160k steps, 0.02, divided by 10 at 120k, 500 steps of warm-up from a third
    rates = {step: learning_rate(paper, step, step / 160_000) for step in (0, 250, 500, 119_999, 120_000, 159_999)}
    expected = {0: 0.02 / 3, 250: 0.02 * 2 / 3, 500: 0.02, 119_999: 0.02, 120_000: 0.002, 159_999: 0.002}
    assert rates == pytest.approx(expected)


def test_cosine_starts_at_the_learning_rate_and_ends_at_zero():
    settings = Training(schedule="cosine", warmup_steps=0, lr=1.0)
    rates = [learning_rate(settings, 10, part) for part in (0, 1 / 3, 0.5, 1, 1.2)]
    assert rates == pytest.approx([1, 0.75, 0.5, 0, 0])


def test_several_milestones():
    settings = Training(milestones=(0.5, 0.75), warmup_steps=0, lr=1.0)
    assert [learning_rate(settings, 9, part) for part in (0.4, 0.5, 0.8)] == pytest.approx([1, 0.1, 0.01])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weight_decay_is_for_weights_not_for_norms_and_biases(optimizer):
    model = make()
    settings = Training(optimizer=optimizer, lr=0.1, weight_decay=0.5)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    take_step(make_optimizer(model, settings), 0.1, 0.0, NO_SCALER)
    for name, parameter in model.named_parameters():
        decayed = name in ("stem.weight", "head.weight")
        assert torch.allclose(parameter, before[name] * (0.95 if decayed else 1.0)), name


def test_a_step_clips_the_common_norm_sets_the_rate_and_drops_the_gradients():
    model = nn.Linear(2, 1)
    optimizer = make_optimizer(model, Training(momentum=0.0, weight_decay=0.0))
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    model.weight.grad, model.bias.grad = torch.tensor([[3.0, 0.0]]), torch.tensor([4.0])  # together of norm 5
    take_step(optimizer, 0.5, 1.0, NO_SCALER)
    assert torch.allclose(model.weight, weight - 0.5 * torch.tensor([[0.6, 0.0]]), atol=1e-5)
    assert torch.allclose(model.bias, bias - 0.5 * 0.8, atol=1e-5)
    assert model.weight.grad is None


def test_frozen_layers_keep_their_weights_and_everything_is_as_before_afterwards():
    model = nn.ModuleDict(
        {"stem": nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)), "stem2": nn.Conv2d(2, 1, 1)}
    ).eval()
    model["stem2"].bias.requires_grad_(False)
    with training_mode(model, ["stem"]):
        assert model["stem2"].training and not model["stem"][1].training
        names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        assert names == ["stem2.weight"]  # "stem" is not a prefix of the name "stem2"
        assert sum(len(group["params"]) for group in make_optimizer(model, SETTINGS).param_groups) == 1
    assert not any(module.training for module in model.modules())
    assert [parameter.requires_grad for parameter in model.parameters()] == [True] * 5 + [False]


def test_a_name_that_freezes_nothing_is_refused():
    model = make()
    with pytest.raises(ValueError, match=r"'steam'.*'stem'"), training_mode(model, ["steam"]):
        pass
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_there_must_be_something_to_train():
    model = make()
    with training_mode(model, ["stem", "norm", "head"]), pytest.raises(ValueError, match="frozen"):
        make_optimizer(model, SETTINGS)


def test_the_moving_average_by_hand():
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    average = MovingAverage(model, 0.5)
    expected = 1.0
    for step, value in enumerate((2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0), start=1):
        model.weight.data.fill_(value)
        average.update(model, step)
        decay = min(0.5, (1 + step) / (10 + step))  # 2/11, 3/12, … 0.5 from step 8 on
        expected = decay * expected + (1 - decay) * value
        assert average.tensors["weight"].item() == pytest.approx(expected)
    with average.inside(model):
        assert model.weight.item() == pytest.approx(expected)
    assert model.weight.item() == 1024
    average.copy_to(model)
    assert model.weight.item() == pytest.approx(expected)


def test_the_moving_average_takes_batch_norm_along():
    model = nn.BatchNorm2d(1)
    average = MovingAverage(model, 0.9)
    model(torch.full((2, 1, 2, 2), 10.0))
    average.update(model, 1)
    assert average.tensors["running_mean"].item() == pytest.approx(9 / 11 * model.running_mean.item())
    other = nn.BatchNorm2d(1)
    average.copy_to(other)
    assert not same(model, other)
    assert torch.equal(other.running_mean, average.tensors["running_mean"])


@pytest.mark.parametrize("decay", [0, 1, 1.5])
def test_a_decay_outside_0_to_1_is_refused(decay):
    with pytest.raises(ValueError, match="ema"):
        MovingAverage(nn.Linear(1, 1), decay)


class Watch:
    """A clock that is set by hand, in place of the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


def test_a_run_in_minutes_ends_with_the_last_step_that_ends_in_time(monkeypatch):
    watch = Watch()
    monkeypatch.setattr(schedule, "time", watch)
    clock = Clock(steps=10, minutes=1, seconds=20)  # 20 of 60 seconds are used up; 40 are left for steps of 3 seconds
    step, over = 5, False
    while not over:
        clock.start_step()
        last = clock.is_last_in_time()
        watch.now += 3
        clock.end_step()
        step += 1
        over = clock.is_over(step, last)
    assert step == 5 + 13
    assert clock.seconds == pytest.approx(59)
    assert clock.pace == pytest.approx(3)
    assert clock.seconds_left(step) == pytest.approx(1)
    assert clock.fraction(3, 30.0) == 0.5
    assert (clock.in_steps, clock.steps_done) == (39, 13)


def test_a_run_in_steps_ends_after_them(monkeypatch):
    watch = Watch()
    monkeypatch.setattr(schedule, "time", watch)
    clock = Clock(steps=10)
    clock.start_step()
    watch.now += 2
    clock.end_step()
    assert not clock.is_last_in_time()
    assert clock.seconds_left(4) == pytest.approx(12)
    assert clock.fraction(4, 1e9) == 0.4
    assert [clock.is_over(step, False) for step in (9, 10)] == [False, True]


def test_a_run_of_no_minutes_is_refused():
    with pytest.raises(ValueError, match="minutes"):
        Clock(10, 0)
