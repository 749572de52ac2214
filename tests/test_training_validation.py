"""The losses on pictures that a model is not trained on. Evaluations during a run are test_training_run.py's."""

import pytest
import torch
from training_fakes import Squares, Unseeded, make, same

from mrcnn_lite.training import validation_loss


def test_it_is_the_mean_over_the_pictures_and_changes_nothing():
    model, before = make(), make()
    whole = validation_loss(model, Squares(8), batch_size=3)
    each = [validation_loss(model, [Squares(8)[i]]) for i in range(8)]
    assert whole["loss_second"] == pytest.approx(sum(one["loss_second"] for one in each) / 8)
    assert whole["loss"] == pytest.approx(whole["loss_first"] + whole["loss_second"])
    assert whole == validation_loss(model, Squares(8), batch_size=3)
    assert validation_loss(model, Squares(8), limit=2) == validation_loss(model, Squares(2))
    assert same(model, before) and model.training


def test_models_without_seeds_are_asked_as_torchvisions():
    torch.manual_seed(0)
    assert set(validation_loss(make(Unseeded), Squares(2))) == {"loss_first", "loss_second", "loss"}
