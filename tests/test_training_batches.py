"""The order of pictures: every one once an epoch, the same for any number of processes and after a resumption."""

from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_fakes import SETTINGS, Squares

from mrcnn_lite.config import Config, Training
from mrcnn_lite.training.batches import Pictures, Shares, augmented, load, mix, order_of_epoch, to_device

pictures_batch_seed = st.tuples(st.integers(1, 20), st.integers(1, 12), st.integers(0, 2**31))


@given(pictures_batch_seed)
def test_an_epoch_holds_every_picture_once(case):
    num_images, batch_size, seed = case
    keys = [key for keys in islice(Shares(num_images, batch_size, seed=seed), 3 * num_images) for key in keys]
    for epoch in range(2):
        seen = [index for e, index in keys[epoch * num_images : (epoch + 1) * num_images]]
        assert seen == order_of_epoch(num_images, seed, epoch)
        assert sorted(seen) == list(range(num_images))


@given(pictures_batch_seed, st.integers(0, 30))
def test_a_run_that_starts_late_sees_the_same_pictures(case, first_step):
    num_images, batch_size, seed = case
    whole = list(islice(Shares(num_images, batch_size, seed=seed), first_step + 3))
    assert list(islice(Shares(num_images, batch_size, seed=seed, first_step=first_step), 3)) == whole[first_step:]


@given(st.integers(1, 20), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 4))
def test_processes_and_accumulation_share_the_same_batches(num_images, share, world_size, accumulate, first_step):
    batch_size = share * world_size * accumulate
    whole = list(islice(Shares(num_images, batch_size, seed=3, first_step=first_step), 2))
    options = {"seed": 3, "first_step": first_step, "accumulate": accumulate, "world_size": world_size}
    parts = [islice(Shares(num_images, batch_size, rank=rank, **options), 2 * accumulate) for rank in range(world_size)]
    in_turn = [key for shares in zip(*parts) for keys in shares for key in keys]
    assert in_turn == [key for keys in whole for key in keys]


@pytest.mark.parametrize(("batch_size", "accumulate", "world_size"), [(8, 3, 1), (8, 1, 3), (8, 4, 4), (8, 0, 1)])
def test_unequal_shares_are_refused(batch_size, accumulate, world_size):
    with pytest.raises(ValueError, match="a batch of 8 pictures cannot be shared equally"):
        Shares(10, batch_size, seed=0, accumulate=accumulate, world_size=world_size)


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match="empty"):
        Shares(0, 1, seed=0)


def test_seeds_depend_on_every_number_and_fit_63_bits():
    numbers = [mix(a, b, c) for a in range(10) for b in range(10) for c in range(10)]
    assert len(set(numbers)) == 1000
    assert mix(1, 23) != mix(12, 3) and mix(1) != mix(1, 0)
    assert all(0 <= number < 2**63 for number in numbers)


@pytest.mark.parametrize("workers", [0, 2])
def test_pictures_carry_their_number_and_a_seed_that_changes_with_the_epoch(workers):
    dataset = Squares(4)
    batches = list(islice(load(Pictures(dataset, seed=5), Shares(4, 2, seed=5), workers), 4))
    pictures = [picture for batch in batches for picture in batch]
    assert [picture.number for picture in pictures] == order_of_epoch(4, 5, 0) + order_of_epoch(4, 5, 1)
    for picture in pictures:
        assert torch.equal(picture.image, dataset[picture.number][0])
        assert picture.target["image_id"] == picture.number
    assert len({picture.seed for picture in pictures}) == 8


class Twice(Squares):
    """A data set with views: brighter by 1 in each epoch."""

    def set_epoch(self, epoch):
        raise AssertionError("the epoch comes with the index")

    def __getitem__(self, key):
        epoch, index = key
        image, target = super().__getitem__(index)
        return image + epoch, target


def test_a_data_set_of_views_is_asked_by_epoch():
    picture = Pictures(Twice(), seed=0)[3, 2]
    assert picture.number == 2
    assert torch.equal(picture.image, torch.full((3, 8, 8), 3 + 2 / 16))


def test_pictures_for_a_model_of_ours_are_checked_in_the_first_epoch_only():
    class Inside(Squares):
        def __getitem__(self, i):
            box = torch.tensor([[0.0, 0.0, 4.0 + i, 4.0]])  # the image is 8 pixels wide
            return super().__getitem__(0)[0], {"boxes": box, "labels": torch.ones(1, dtype=torch.int64)}

    pictures = Pictures(Inside(), seed=0, config=Config(heads=()))
    assert pictures[0, 2].number == 2
    with pytest.raises(ValueError, match=r"picture 7 of the data set \(grey-7.png\).*outside the image"):
        pictures[0, 7]
    assert pictures[1, 7].number == 7


def test_tensors_move_to_the_device_and_the_rest_stays():
    pictures = [Pictures(Squares(), seed=0)[0, i] for i in (1, 2)]
    images, targets, seeds = to_device(pictures, torch.device("meta"))
    assert all(image.is_meta for image in images) and targets[1]["boxes"].is_meta
    assert [target["image_id"] for target in targets] == [1, 2]
    assert seeds == [picture.seed for picture in pictures]


def test_only_data_sets_of_ours_are_augmented_and_only_if_the_settings_say_so():
    from mrcnn_lite.data import open_dataset

    squares = Squares()
    assert augmented(squares, SETTINGS, 0) is squares
    shapes = open_dataset("shapes", length=2, cached=False)
    assert augmented(shapes, Training(flip=False), 0) is shapes
    views = augmented(shapes, Training(flip=True, rotate90=True), 1)
    assert augmented(views, Training(), 0) is views
    seen = [Pictures(views, 1)[epoch, 0].image for epoch in range(6)]
    assert any(not torch.equal(seen[0], image) for image in seen[1:])
    assert torch.equal(seen[3], Pictures(augmented(shapes, Training(rotate90=True), 1), 1)[3, 0].image)
    zoomed = augmented(shapes, Training(scale_range=(0.5, 0.6)), 1)[0, 0][0]
    assert zoomed.shape == shapes[0][0].shape
