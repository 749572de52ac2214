"""data/cache_files.py: a file that is not whole is named; whole ones are mapped."""

from __future__ import annotations

import numpy as np
import pytest

from mrcnn_lite.data.cache_files import is_whole, open_arrays

SHAPES = {"counts": ((3,), "uint8"), "images": ((3, 2, 2, 3), "uint8")}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "shapes-3"
    folder.mkdir()
    for name, (shape, kind) in SHAPES.items():
        np.save(folder / f"{name}.npy", np.ones(shape, kind))
    return folder


def test_a_whole_cache_stays(folder):
    assert is_whole(folder, SHAPES) and folder.is_dir()


def test_a_shorter_file_is_named_and_the_cache_put_away(folder):
    path = folder / "images.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OSError, match=r"images\.npy is damaged: it can't be read"):
        open_arrays(folder)
    with pytest.warns(UserWarning, match=r"images\.npy is damaged.*drawn anew"):
        assert not is_whole(folder, SHAPES)
    assert not folder.exists() and list(folder.parent.iterdir()) == []


def test_another_shape_and_an_absent_file_are_named(folder):
    np.save(folder / "counts.npy", np.ones(4, np.uint8))
    with pytest.warns(UserWarning, match=r"counts\.npy is damaged: it holds uint8 \[4\], expected uint8 \[3\]"):
        assert not is_whole(folder, SHAPES)


def test_a_folder_that_cannot_be_moved_is_an_error(folder, monkeypatch):
    (folder / "images.npy").unlink()

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.rename", refuse)
    with pytest.raises(OSError, match=r"images\.npy is damaged.*its folder can't be moved.*remove it"):
        is_whole(folder, SHAPES)
