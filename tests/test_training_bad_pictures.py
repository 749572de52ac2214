"""Bad pictures: who takes their place, what is kept of them, when it is too much. Whole runs are in test_faults.py."""

import pytest
import torch
from training_fakes import Squares

from mrcnn_lite.config import Config
from mrcnn_lite.training.bad_pictures import Bad, BadPicture, BadPictures, TooManyBadPictures, allowed_share
from mrcnn_lite.training.batches import Picture, Pictures


class Some(Squares):
    """Every fourth picture cannot be read."""

    def __getitem__(self, i):
        if i % 4 == 0:
            raise OSError(f"file {i}\nis broken")
        return super().__getitem__(i)


def test_the_replacement_depends_on_seed_epoch_and_index_only():
    one, again, other = (
        Pictures(Some(40), 1, skip=True),
        Pictures(Some(40), 1, skip=True),
        Pictures(Some(40), 2, skip=True),
    )
    keys = [(epoch, index) for epoch in range(4) for index in (0, 4, 8)]
    numbers = [one[key].number for key in keys]
    assert numbers == [again[key].number for key in reversed(keys)][::-1]
    assert numbers != [other[key].number for key in keys] and len(set(numbers)) > 6
    assert all(number % 4 for number in numbers)
    picture = one[0, 4]
    assert picture.skipped[0] == Bad(4, "grey-4.png", "file 4 is broken")
    assert all(bad.number % 4 == 0 for bad in picture.skipped)
    assert one[0, 5].skipped == () and one[0, 5].number == 5


def test_without_skipping_it_is_named():
    with pytest.raises(BadPicture, match=r"picture 4 of the data set \(grey-4\.png\): file 4 is broken") as caught:
        Pictures(Some(), 0)[2, 4]
    assert isinstance(caught.value.__cause__, OSError)


def test_a_target_that_is_refused_is_skipped_in_every_epoch():
    class Outside(Squares):
        def __getitem__(self, i):
            box = torch.tensor([[0.0, 0.0, 4.0 if i else 40.0, 4.0]])
            return super().__getitem__(i)[0], {"boxes": box, "labels": torch.ones(1, dtype=torch.int64)}

    for epoch in (0, 3):
        (bad, *_) = Pictures(Outside(), 0, Config(heads=()), skip=True)[epoch, 0].skipped
        assert bad.number == 0 and "outside the image" in bad.reason


def test_a_mistake_in_the_data_set_is_not_excused():
    class Mistaken(Squares):
        def __getitem__(self, i):
            return self.pictures[i]

    with pytest.raises(AttributeError):
        Pictures(Mistaken(), 0, skip=True)[0, 0]


@pytest.mark.parametrize(("skip_bad", "share"), [(False, 0.0), (True, 0.1), (0.3, 0.3), (1, 1.0)])
def test_the_share_that_is_allowed(skip_bad, share):
    assert allowed_share(skip_bad) == share


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_no_share_at_all(wrong):
    with pytest.raises(ValueError, match="skip_bad is"):
        allowed_share(wrong)


def batch(*bad):
    image = torch.zeros(3, 8, 8)
    return [Picture(image, {}, 0, 0, tuple(Bad(number, f"{number}.png", 'a, "b"') for number in bad))]


def test_each_is_counted_once_and_written_down_at_once(tmp_path):
    path = tmp_path / "bad_pictures.csv"
    kept = BadPictures(path, True, 0.5, 10)
    batches = kept.noted(iter([batch(3, 4), batch(), batch(4, 5)]))
    next(batches)
    assert kept.count() == 2
    kept.end_step(1, [2])
    text = 'step,number,name,reason\n1,3,3.png,"a, ""b"""\n1,4,4.png,"a, ""b"""\n'
    assert path.read_text() == text
    next(batches)
    kept.end_step(2, [0])
    next(batches)
    kept.end_step(3, [2])
    assert path.read_text() == text + '3,5,5.png,"a, ""b"""\n'
    assert list(kept.reasons()) == [3, 4, 5]
    # A run that goes on after the second step has not seen the third yet.
    resumed = BadPictures(path, True, 0.5, 10, first_step=2)
    assert list(resumed.reasons()) == [3, 4] and path.read_text() == text
    assert resumed.first_seen[4] == kept.first_seen[4]
    other = BadPictures(path, False, 0.5, 10, first_step=2)  # another process
    assert other.first_seen == resumed.first_seen
    BadPictures(path, True, 0.5, 10)  # a run that begins anew
    assert not path.exists()


def test_more_than_the_share_is_too_much():
    kept = BadPictures(None, True, 0.2, 10)
    list(kept.noted(iter([batch(3, 4), batch(4, 3)])))
    kept.end_step(1, [4])
    list(kept.noted(iter([batch(5)])))
    with pytest.raises(
        TooManyBadPictures, match=r"3 of 10 pictures are bad, more than the 20% .*first is picture 3 .*3\.png"
    ):
        kept.end_step(2, [1])


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "bad_pictures.csv"
    path.write_text("step,number,name,reason\nx,3,3.png,broken\n")
    with pytest.raises(ValueError, match=r"bad_pictures\.csv is damaged \(line 2 has no step"):
        BadPictures(path, True, 0.5, 10, first_step=2)
