"""One step: its gradients against plain autograd, its state, what it says of a loss that is not finite."""

import pickle
from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import nn
from training_fakes import SETTINGS, Sampler, Squares, Unseeded, make, same

from mrcnn_lite.training.batches import Pictures, Shares, load, to_device
from mrcnn_lite.training.errors import NonFiniteLoss
from mrcnn_lite.training.trainer import Trainer

CPU = torch.device("cpu")


def batches(dataset=None, accumulate=1, first_step=0):
    dataset = dataset or Squares()
    shares = Shares(len(dataset), 4, seed=1, accumulate=accumulate, first_step=first_step)
    return load(Pictures(dataset, seed=1), shares, workers=0)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradients_are_the_mean_of_the_micro_batches(accumulate):
    trainer = Trainer(make(), SETTINGS, device=CPU, accumulate=accumulate)
    report = trainer.gradients(batches(accumulate=accumulate), lambda: [3.0, 4.0])
    reference = make()
    total = {"loss_first": 0.0, "loss_second": 0.0}
    for pictures in islice(batches(accumulate=accumulate), accumulate):
        losses = reference(*to_device(pictures, CPU))
        (sum(losses.values()) / accumulate).backward()
        total = {name: total[name] + loss.item() / accumulate for name, loss in losses.items()}
    assert report.losses == pytest.approx(total)
    assert report.notes == [[3.0, 4.0]]
    for (name, mine), other in zip(trainer.model.named_parameters(), reference.parameters()):
        assert torch.allclose(mine.grad, other.grad, rtol=1e-5, atol=1e-7), name


def test_models_are_asked_with_seeds_only_if_they_take_them():
    assert Trainer(make(Sampler), SETTINGS, device=CPU).takes_seeds
    unseeded = Trainer(make(Unseeded), SETTINGS, device=CPU)
    assert not unseeded.takes_seeds
    assert set(unseeded.gradients(batches()).losses) == {"loss_first", "loss_second"}


def steps(trainer, count, first_step=0):
    data = batches(first_step=first_step)
    for _ in range(count):
        trainer.gradients(data)
        trainer.update(0.05)
    return trainer


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_state_goes_on_as_if_nothing_had_happened(optimizer):
    settings = replace(SETTINGS, optimizer=optimizer, ema=0.9)
    whole = steps(Trainer(make(), settings, device=CPU), 6)
    half = pickle.loads(pickle.dumps(steps(Trainer(make(), settings, device=CPU), 3).state()))
    other = Trainer(Sampler(), settings, device=CPU)
    other.load_state(half)
    steps(other, 3, first_step=3)
    assert same(whole.model, other.model) and other.step == 6
    assert all(torch.equal(tensor, other.average.tensors[name]) for name, tensor in whole.average.tensors.items())


def test_training_makes_the_loss_smaller():
    trainer = Trainer(make(), SETTINGS, device=CPU)
    first = sum(trainer.gradients(batches()).losses.values())
    steps(trainer, 40)
    assert sum(trainer.gradients(batches()).losses.values()) < 0.6 * first


def test_the_averaged_model_is_another_and_only_within_the_block():
    trainer = steps(Trainer(make(), replace(SETTINGS, ema=0.99), device=CPU), 5)
    weight = trainer.model.head.weight.detach().clone()
    with trainer.averaged() as model:
        assert not torch.equal(model.head.weight, weight)
    assert torch.equal(trainer.model.head.weight, weight)
    plain = Trainer(make(), SETTINGS, device=CPU)
    with plain.averaged() as model:
        assert model is plain.model


def test_a_picture_that_breaks_the_loss_is_named_and_the_weights_are_those_before():
    dataset = Squares(broken=5)
    trainer = Trainer(make(), SETTINGS, device=CPU)
    data = batches(dataset)
    before = None
    with pytest.raises(FloatingPointError) as caught:
        for _ in range(2):  # two steps are an epoch
            before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
            trainer.gradients(data)
            trainer.update(0.01)
    error = caught.value
    assert [number for number, _ in error.found] == [5]
    assert len(error.looked_at) == 4
    error = pickle.loads(pickle.dumps(error))  # as it comes from another process
    error.name_images(dataset)
    assert f"the loss of step {trainer.step + 1} is not finite: loss_first is nan, loss_second is nan" in str(error)
    assert str(error).endswith("each of: grey-5.png (number 5) (loss_first, loss_second)")
    assert all(torch.equal(before[name], tensor) for name, tensor in trainer.model.state_dict().items())


class Together(Sampler):
    """Infinite only for more than one picture."""

    def forward(self, images, targets, seeds=None):
        losses = super().forward(images, targets, seeds)
        return losses | {"loss_second": losses["loss_second"] / (0.0 if len(images) > 1 else 1.0)}


def test_pictures_that_break_the_loss_only_together_are_all_named():
    with pytest.raises(NonFiniteLoss, match=r"loss_second is inf.*Only together.*number 1.*number 2") as caught:
        Trainer(make(Together), SETTINGS, device=CPU).gradients(batches(Squares(4)))
    assert sorted(caught.value.looked_at) == [0, 1, 2, 3]


def test_weights_that_are_not_finite_are_to_blame():
    model = make()
    nn.init.constant_(model.head.weight, torch.inf)
    with pytest.raises(NonFiniteLoss, match="weights themselves"):
        Trainer(model, SETTINGS, device=CPU).gradients(batches())
