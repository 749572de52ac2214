"""data/pictures.py: every kind of file comes out as the RGB that its pixels say."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from mrcnn_lite.data.pictures import TooLarge, max_pixels, opened, read_ids, read_picture

COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]], np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1", "CMYK", "LA"])
def test_modes(tmp_path, mode):
    picture = Image.fromarray(COLOURS).convert(mode, palette=Image.Palette.ADAPTIVE)
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    picture.save(path)
    found = read_picture(path)
    assert found.shape == (2, 2, 3) and found.dtype == np.uint8 and found.flags.writeable
    if mode in ("RGB", "RGBA", "P", "CMYK"):
        assert np.abs(found.astype(int) - COLOURS).max() <= 1
    else:
        assert (found == found[:, :, :1]).all() and found[1, 0, 0] < found[0, 1, 0]  # green is lighter than blue


def test_transparent_pixels_keep_their_colour(tmp_path):
    Image.fromarray(np.concatenate([COLOURS, np.zeros((2, 2, 1), np.uint8)], axis=2)).save(tmp_path / "x.png")
    assert (read_picture(tmp_path / "x.png") == COLOURS).all()


@pytest.mark.parametrize("high, divisor", [(255, 1), (1000, 4), (4095, 16), (65535, 256)])
def test_deep_grey_is_scaled_by_the_bits_it_uses(tmp_path, high, divisor):
    values = np.array([[0, high // 2], [high // 4, high]], np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    assert (read_picture(tmp_path / "x.png")[:, :, 1] == values // divisor).all()


def test_floats_are_taken_from_0_to_1_only(tmp_path):
    Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(tmp_path / "x.tif")
    assert read_picture(tmp_path / "x.tif")[0, :, 0].tolist() == [0, 128, 255]
    Image.fromarray(np.array([[0, 300.0]], np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(ValueError, match="floats from 0 to 300; expected 0 to 1"):
        read_picture(tmp_path / "x.tif")


def test_an_exif_orientation_is_not_applied(tmp_path):
    """COCO's annotations count in stored pixels."""
    picture = Image.fromarray(np.zeros((4, 8, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6  # "turn me by 90 degrees"
    picture.save(tmp_path / "x.jpg", exif=exif)
    assert read_picture(tmp_path / "x.jpg").shape == (4, 8, 3)


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "x.png").write_text("hello")
    with pytest.raises(ValueError, match=r"x\.png can't be read as a picture"):
        read_picture(tmp_path / "x.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(tmp_path / "y.png")
    (tmp_path / "y.png").write_bytes((tmp_path / "y.png").read_bytes()[:4000])
    with pytest.raises(ValueError, match=r"y\.png can't be read as a picture"):
        read_picture(tmp_path / "y.png")
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "absent.png")


def test_labels_keep_their_numbers(tmp_path):
    ids = np.array([[0, 300], [7, 65535]], np.uint16)
    Image.fromarray(ids).save(tmp_path / "x.png")
    assert (read_ids(tmp_path / "x.png") == ids).all()
    palette = Image.fromarray(np.array([[0, 2], [1, 0]], np.uint8)).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "x.png")
    assert read_ids(tmp_path / "x.png").tolist() == [[0, 2], [1, 0]]  # the palette's places, not its colours
    Image.fromarray(COLOURS).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match="one channel of whole numbers"):
        read_ids(tmp_path / "x.png")


def png_header(width, height):
    """A PNG of that size of which only the header is there: it breaks off where the pixels begin."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 1000) + b"IDAT"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("width, height", [(9460, 9460), (20_000, 20_000), (2_000_000_000, 2_000_000_000)])
def test_an_absurd_size_is_refused_by_its_header(tmp_path, width, height):
    """The file holds no pixel at all: whoever tried to decode it would say something else."""
    (tmp_path / "x.png").write_bytes(png_header(width, height))
    for read in (read_picture, read_ids):
        with pytest.raises(TooLarge, match=r"x\.png: .* pixels.*expected at most 89,478,485 \(\$MRCNN_LITE_MAX_PIXELS"):
            read(tmp_path / "x.png")


def test_the_limit_can_be_moved(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # put back afterwards
    Image.fromarray(COLOURS).save(tmp_path / "x.png")
    monkeypatch.setenv("MRCNN_LITE_MAX_PIXELS", "3")
    with pytest.raises(TooLarge, match="2 x 2 = 4 pixels by its header, expected at most 3"):
        read_picture(tmp_path / "x.png")
    assert read_picture(tmp_path / "x.png", limit=4).shape == (2, 2, 3)
    monkeypatch.setenv("MRCNN_LITE_MAX_PIXELS", "1e9")
    (tmp_path / "y.png").write_bytes(png_header(20_000, 20_000))
    with opened(tmp_path / "y.png", "y") as picture:  # Pillow alone refuses twice its limit
        assert picture.size == (20_000, 20_000) and max_pixels() == 10**9
    monkeypatch.setenv("MRCNN_LITE_MAX_PIXELS", "many")
    with pytest.raises(ValueError, match="MRCNN_LITE_MAX_PIXELS=many: expected a number of pixels"):
        read_picture(tmp_path / "x.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"])
def test_a_file_cut_short_is_named_wherever_it_is_cut(tmp_path, kind):
    """Every length either gives the whole picture (what is missing was no part of it) or is refused."""
    noise = np.random.default_rng(0).integers(0, 255, (24, 24, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole", format=kind)
    data, whole = (tmp_path / "whole").read_bytes(), read_picture(tmp_path / "whole")
    refused = 0
    for length in range(0, len(data), 37):
        (tmp_path / "x").write_bytes(data[:length])
        try:
            assert (read_picture(tmp_path / "x") == whole).all()
        except ValueError as error:
            assert "x can't be read as a picture" in str(error)
            refused += 1
    assert refused > 0.8 * len(data) / 37


def test_a_damaged_length_field_reserves_no_memory(tmp_path):
    """Its pixels' chunk claims 4 GB, as a flipped bit makes it; what is there is enough to see a whole picture."""
    Image.fromarray(COLOURS).save(tmp_path / "x.png")
    data = bytearray((tmp_path / "x.png").read_bytes())
    length = data.index(b"IDAT") - 4
    data[length : length + 4] = b"\xff\xff\xff\xf0"
    (tmp_path / "x.png").write_bytes(data)
    tracemalloc.start()
    try:
        read_picture(tmp_path / "x.png")
    except ValueError as error:
        assert "x.png can't be read as a picture" in str(error)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26
