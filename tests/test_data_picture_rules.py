"""data/picture_rules.py: what a picture file is found to be, and turning one upright."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mrcnn_lite.data.picture_rules import is_turned, look, save_upright
from mrcnn_lite.data.pictures import read_picture

PIXELS = np.random.default_rng(0).integers(0, 255, (12, 20, 3)).astype(np.uint8)


def looked(path, **options):
    told = []
    seen = look(
        path, lambda kind, found, *rest, cause="", **more: told.append((kind, found, cause)), "dropped", **options
    )
    return seen, told


def save(path, orientation=None, pixels=PIXELS, **options):
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    if orientation is not None:
        exif[0x0112] = orientation
    picture.save(path, exif=exif, **options)
    return path


def test_a_sound_picture(tmp_path):
    seen, told = looked(save(tmp_path / "x.png"))
    assert told == [] and seen.size == (12, 20) and seen.orientation == 1
    again, _ = looked(save(tmp_path / "y.tif"))
    assert again.digest == seen.digest  # of the pixels, whatever the file
    other, _ = looked(save(tmp_path / "z.png", pixels=PIXELS[::-1].copy()))
    assert other.digest != seen.digest
    assert looked(save(tmp_path / "flat.png", pixels=np.full((5, 5, 3), 9, np.uint8)))[0].digest is None


def test_faults(tmp_path):
    path = save(tmp_path / "x.png")
    path.write_bytes(path.read_bytes()[:200])
    assert [kind for kind, *_ in looked(path)[1]] == ["picture-unreadable"]
    assert looked(path, decode=False)[0].size == (12, 20)  # its header is whole
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    for name in ("empty.png", "folder.png"):
        seen, told = looked(tmp_path / name)
        assert seen is None and told[0][0] == "picture-unreadable" and name in told[0][1]


def test_a_missing_picture_and_one_of_nearly_that_name(tmp_path):
    save(tmp_path / "Photo.JPG", pixels=PIXELS, format="JPEG")
    for name in ("photo.jpg", "Photo.png"):
        if not (tmp_path / name).exists():  # a disk may not care for capitals
            assert looked(tmp_path / name)[1] == [
                ("picture-missing", f"{tmp_path / name} is missing", "Photo.JPG is there")
            ]
    assert looked(tmp_path / "nothing.png")[1][0][2] == ""
    assert looked(tmp_path / "no folder" / "x.png")[1][0][0] == "picture-missing"


def test_floats_without_a_range_are_unreadable(tmp_path):
    Image.fromarray(np.full((3, 3), np.nan, np.float32)).save(tmp_path / "x.tif")
    assert [kind for kind, *_ in looked(tmp_path / "x.tif")[1]] == ["picture-unreadable"]


def test_over_the_limit(tmp_path, monkeypatch):
    monkeypatch.setenv("MRCNN_LITE_MAX_PIXELS", "239")
    assert [kind for kind, *_ in looked(save(tmp_path / "x.png"))[1]] == ["absurd-size"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_upright_as_pillow_does(tmp_path, orientation):
    from PIL import ImageOps

    path = save(tmp_path / "x.png", orientation)
    seen, _ = looked(path)
    assert seen.orientation == orientation and seen.size == (12, 20)
    assert is_turned(orientation) == (orientation > 4)
    if orientation == 1:
        return
    save_upright(path, tmp_path / "y.png", orientation)
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    assert (read_picture(tmp_path / "y.png") == expected).all()
    assert looked(tmp_path / "y.png")[0].orientation == 1  # it does not ask to be turned once more


def test_a_photograph_loses_little_by_being_turned(tmp_path):
    smooth = np.stack(np.meshgrid(np.arange(64), np.arange(48), [60])[:3], axis=-1).reshape(48, 64, 3).astype(np.uint8)
    path = save(tmp_path / "x.jpg", 6, smooth, quality=95)
    save_upright(path, tmp_path / "y.jpg", 6)
    with Image.open(tmp_path / "y.jpg") as turned:
        assert turned.format == "JPEG" and turned.size == (48, 64)
    difference = read_picture(tmp_path / "y.jpg").astype(int) - np.rot90(read_picture(path), -1)
    assert np.abs(difference).mean() < 2


def test_a_strange_orientation_counts_as_none(tmp_path):
    assert looked(save(tmp_path / "x.png", 77))[0].orientation == 1
