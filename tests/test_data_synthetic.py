"""data/synthetic.py: the drawn data sets, the same from their cache as drawn on demand."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mrcnn_lite.data.synthetic import Synthetic


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MRCNN_LITE_CACHE", str(tmp_path))


def same(first, second):
    return all(
        (first[i][0] == second[i][0]).all()
        and all(np.array_equal(first[i][1][key], second[i][1][key]) for key in first[i][1])
        for i in range(len(first))
    )


@pytest.mark.parametrize("painter", ["shapes", "stick_figures"])
def test_cached_and_drawn_on_demand_are_the_same(painter):
    cached = Synthetic(painter, length=12, seed=4, size=96, progress=False)
    assert same(cached, Synthetic(painter, length=12, seed=4, size=96, cached=False))
    # Boxes come from a table, masks from the id map: they agree.
    for _, target in cached:
        for box, mask in zip(target["boxes"].tolist(), target["masks"]):
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            assert box == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_splits_and_lengths():
    train, val = (Synthetic("shapes", split, length=20, progress=False) for split in ("train", "val"))
    pictures = {dataset[i][0].numpy().tobytes() for dataset in (train, val) for i in range(20)}
    assert len(pictures) == 40
    longer = Synthetic("shapes", length=25, progress=False)
    assert (longer[19][0] == train[19][0]).all()
    assert len(Synthetic("shapes", length=25, limit=3, progress=False)) == 3
    with pytest.raises(ValueError, match="split"):
        Synthetic("shapes", "test")
    with pytest.raises(ValueError, match="length"):
        Synthetic("shapes", length=0)


@pytest.mark.parametrize("cached", [True, False])
def test_unknown_options_are_refused_by_name(cached):
    with pytest.raises(TypeError, match="shapes has no option 'sise'; it has kind, size"):
        Synthetic("shapes", sise=64, cached=cached)


def test_a_data_set_goes_to_another_process_without_its_pictures():
    dataset = Synthetic("stick_figures", length=8, size=64, progress=False)
    dataset[0]
    data = pickle.dumps(dataset)
    assert len(data) < 4000
    assert same(pickle.loads(data), dataset)
