"""Prediction: every form of input, what is written, and what is never overwritten."""

from __future__ import annotations

import json
import struct
import urllib.error
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from torch import nn

from mrcnn_lite.evaluation import evaluate_detections
from mrcnn_lite.prediction import load_model, predict, read_image

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own


class Finder(nn.Module):
    """Finds what is bright: one box and mask over it, surely, and the whole image, unsurely."""

    class_names = ("background", "bright", "everything")

    def __init__(self):
        super().__init__()
        self.batches = []

    def detect(self, images):
        assert not self.training
        self.batches.append(len(images))
        found = []
        for image in images:
            mask = image.mean(dim=0) > 0.5
            y, x = torch.nonzero(mask, as_tuple=True)
            height, width = mask.shape
            box = [x.min(), y.min(), x.max() + 1, y.max() + 1] if len(x) else [0, 0, 1, 1]
            found.append(
                {
                    "boxes": torch.tensor([box, [0, 0, width, height]], dtype=torch.float32),
                    "labels": torch.tensor([1, 2]),
                    "scores": torch.tensor([0.9 if len(x) else 0.1, 0.3]),
                    "masks": torch.stack([mask, torch.ones_like(mask)]),
                }
            )
        return found


def picture(left: int = 10, height: int = 40, width: int = 60) -> np.ndarray:
    """Dark, with a bright rectangle from column ``left``, 20 wide and 15 high."""
    pixels = np.full((height, width, 3), 30, dtype=np.uint8)
    pixels[5:20, left : left + 20] = 220
    return pixels


def save(path, pixels=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture() if pixels is None else pixels).save(path, **options)
    return path


def test_a_file_with_everything_written(tmp_path):
    path = save(tmp_path / "photo.jpg", quality=95)
    output = tmp_path / "new" / "out"
    (found,) = predict(Finder().train(), path, output=output)
    assert found["name"] == path.as_posix()
    assert found["labels"].tolist() == [1]
    assert found["boxes"].tolist() == [[10, 5, 30, 20]]
    assert sorted(file.name for file in output.iterdir()) == ["image_info.json", "photo.png", "results.json"]
    assert Image.open(output / "photo.png").size == (60 * 9, 40 * 9)
    (entry,) = json.loads((output / "results.json").read_text())
    assert entry["bbox"] == [10, 5, 20, 15]
    assert entry["score"] == found["scores"][0].item()
    assert (entry["file_name"], entry["category_name"]) == (path.as_posix(), "bright")
    assert np.array_equal(coco_mask.decode(entry["segmentation"]), found["masks"][0].numpy())


def test_the_written_files_are_coco_s(tmp_path):
    paths = [save(tmp_path / f"{n}.png", picture(left=n)) for n in (3, 25)]
    predict(Finder(), paths, output=tmp_path / "out", score_threshold=0.2)
    table = COCO(tmp_path / "out" / "image_info.json")
    loaded = table.loadRes(str(tmp_path / "out" / "results.json"))
    assert len(loaded.anns) == 4
    assert [image["height"] for image in table.loadImgs([1, 2])] == [40, 40]
    assert loaded.annToMask(loaded.loadAnns(loaded.getAnnIds(2, 1))[0])[5:20, 25:45].all()


def test_results_of_a_folder_can_be_evaluated_by_file_name(tmp_path):
    """The ids of results.json and of a ground truth differ; the names agree."""
    for n in (3, 25):
        save(tmp_path / "photos" / f"{n}.png", picture(left=n))
    predict(Finder(), tmp_path / "photos", output=tmp_path / "out", overlays=False)
    names = [(40, "25.png", 25), (50, "3.png", 3)]
    truth = {
        "images": [{"id": i, "file_name": name, "height": 40, "width": 60} for i, name, _ in names],
        "categories": [{"id": 90, "name": "bright"}],
        "annotations": [
            {
                **{"id": n, "image_id": i, "category_id": 90, "iscrowd": 0, "area": 300},
                **{"bbox": [left, 5, 20, 15], "segmentation": [[left, 5, left + 20, 5, left + 20, 20, left, 20]]},
            }
            for n, (i, _, left) in enumerate(names, start=1)
        ],
    }
    results = evaluate_detections(tmp_path / "out" / "results.json", truth)
    assert results.box["AP"] == results.mask["AP"] == pytest.approx(1)


def test_arrays_tensors_files_and_folders_mixed(tmp_path):
    folder = tmp_path / "folder"
    for name in ("b.png", "a.tif", ".hidden.png", "sub/c.png"):
        save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    tensor = torch.from_numpy(picture()).permute(2, 0, 1)
    inputs = [picture(), tensor, tensor.float() / 255, folder, str(folder / "b.png")]
    model = Finder()
    found = predict(model, inputs, batch_size=4)
    names = [detection["name"].removeprefix(f"{folder.as_posix()}/") for detection in found]
    assert names == ["image-0001", "image-0002", "image-0003", "a.tif", "b.png", "b.png"]
    assert model.batches == [4, 2]
    assert all(detection["boxes"].tolist() == [[10, 5, 30, 20]] for detection in found)
    for single in (picture(), tensor, np.stack([picture()]), folder / "b.png"):
        assert len(predict(model, single)) == 1


def test_low_scores_are_dropped_and_pictures_without_objects_kept(tmp_path):
    dark = np.zeros((20, 30, 3), dtype=np.uint8)
    (found,) = predict(Finder(), dark, output=tmp_path)
    assert found["boxes"].shape == (0, 4)
    assert found["masks"].shape == (0, 20, 30)
    assert json.loads((tmp_path / "results.json").read_text()) == []
    assert (tmp_path / "image-0001.png").exists()
    assert len(predict(Finder(), dark, score_threshold=0.05)[0]["scores"]) == 2


def test_outputs_can_be_left_out(tmp_path):
    predict(Finder(), picture(), output=tmp_path / "a", overlays=False)
    assert not list((tmp_path / "a").glob("*.png"))
    predict(Finder(), picture(), output=tmp_path / "b", results=False)
    assert [file.name for file in (tmp_path / "b").iterdir()] == ["image-0001.png"]
    assert predict(Finder(), [picture()] * 3, output=tmp_path / "c", keep=False) == []
    assert len(json.loads((tmp_path / "c" / "results.json").read_text())) == 3


def test_equal_names_get_different_files_and_inputs_stay(tmp_path):
    inputs = [save(tmp_path / name, picture(left=n)) for n, name in enumerate(("one/x.png", "two/X.jpg", "x.png"))]
    before = [path.read_bytes() for path in inputs]
    predict(Finder(), inputs, output=tmp_path)  # where the third input lies
    assert [path.read_bytes() for path in inputs] == before
    written = sorted(file.name for file in tmp_path.glob("*.png"))
    assert len(written) == 4
    assert len({name.lower() for name in written}) == 4
    predict(Finder(), inputs, output=tmp_path)  # again: the same names
    assert sorted(file.name for file in tmp_path.glob("*.png")) == written
    assert [path.read_bytes() for path in inputs] == before


def test_a_link_to_an_input_is_that_input(tmp_path):
    original = save(tmp_path / "real" / "x.png")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    before = original.read_bytes()
    predict(Finder(), original, output=tmp_path / "link")
    assert original.read_bytes() == before


# ---- reading -----------------------------------------------------------------------------------------


def test_grey_palette_alpha_and_sixteen_bits(tmp_path):
    grey = picture()[..., 0]
    for name, content in {
        "grey.png": Image.fromarray(grey),
        "palette.png": Image.fromarray(grey).convert("RGB").quantize(4),
        "alpha.png": Image.fromarray(picture()).convert("RGBA"),
        "one.png": Image.fromarray(grey > 100),
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "deep.tif": Image.fromarray(grey.astype(np.uint16) * 257),
        "float.tif": Image.fromarray(grey.astype(np.float32) / 255),
        "cmyk.jpg": Image.fromarray(picture()).convert("CMYK"),
    }.items():
        content.save(tmp_path / name)
        pixels = read_image(tmp_path / name)
        assert pixels.shape == (40, 60, 3), name
        assert pixels.dtype == np.uint8, name
        assert np.abs(pixels[10, 15].astype(int) - (255 if name == "one.png" else 220)).max() <= 3, name
        assert predict(Finder(), tmp_path / name)[0]["boxes"].tolist() == [[10, 5, 30, 20]], name


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_picture_upright(tmp_path, orientation):
    """Against Pillow's own transposition."""
    from PIL import ImageOps

    pixels = np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "turned.png", pixels, exif=exif)
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    assert np.array_equal(read_image(path), expected)
    assert (read_image(path).shape[:2] == (9, 6)) == (orientation >= 5)


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    path = tmp_path / "bomb.png"
    header = struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    model = Finder()
    with pytest.raises(ValueError, match=r"bomb\.png: 9000 x 9000 = 81,000,000 pixels .* 64,000,000 \(max_pixels\)"):
        predict(model, [picture(), path])
    assert model.batches == []
    with pytest.raises(ValueError, match=r"bomb\.png: .*, expected at most 100 \(max_pixels\)"):
        read_image(path, max_pixels=100)


def test_broken_files_are_named_before_anything_is_detected(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "broken.png").write_bytes(b"no picture at all")
    model = Finder()
    with pytest.raises(ValueError, match=r"broken\.png can't be read as a picture"):
        predict(model, tmp_path, output=tmp_path / "out")
    assert model.batches == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "webp"])
def test_cut_off_files_are_named(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"cut.{suffix}", pixels)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(ValueError, match=rf"cut\.{suffix}"):
        predict(Finder(), path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((4, 5, 3)), r"image-0001 is float64 \[4, 5, 3\], expected an array uint8 \[H,W,3\]"),
        (np.zeros((3, 4, 5), dtype=np.uint8), r"image-0001 is uint8 \[3, 4, 5\]"),
        (torch.zeros(4, 5, 3), r"image-0001 is torch.float32 \[4, 5, 3\]"),
        ([None], "image-0001 is NoneType"),
    ],
)
def test_what_is_no_image_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        predict(Finder(), wrong)


def test_missing_inputs_and_impossible_outputs(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*nowhere\.png"):
        predict(Finder(), tmp_path / "nowhere.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no pictures in the folder .*empty"):
        predict(Finder(), tmp_path / "empty")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        predict(Finder(), picture(), output=tmp_path / "file")


# ---- models ------------------------------------------------------------------------------------------


def test_a_model_that_gives_nonsense_is_told_for_which_picture(tmp_path):
    path = save(tmp_path / "photo.png")
    boxes = torch.tensor([[0.0, 0, 5, 5]])
    whole = {"boxes": boxes, "labels": torch.tensor([1]), "scores": torch.ones(1), "masks": torch.ones(1, 40, 60)}
    for change, message in (
        ({"scores": None}, "has no scores"),
        ({"scores": torch.tensor([float("nan")])}, "detection 0: scores nan"),
        ({"masks": torch.ones(1, 60, 40)}, r"masks of shape \[1, 60, 40\], expected \[1, 40, 60\]"),
    ):
        detection = {key: value for key, value in (whole | change).items() if value is not None}
        with pytest.raises(ValueError, match=rf"photo\.png.*{message}"):
            predict(lambda images, detection=detection: [detection], path)


def test_load_model_reads_what_save_wrote(tmp_path):
    from mrcnn_lite import Config, build_model
    from mrcnn_lite.weights import save as save_weights

    model = build_model(Config.tiny(num_classes=3))
    model.class_names = ("background", "cat", "dog")
    save_weights(model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.class_names == model.class_names
    (found,) = predict(loaded, picture(height=64, width=64), output=tmp_path / "out", score_threshold=0.0)
    assert found["masks"].shape[1:] == (64, 64)
    entries = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(entries) == len(found["scores"])
    for entry, mask in zip(entries, found["masks"]):
        assert np.array_equal(coco_mask.decode(entry["segmentation"]), mask.numpy())


def test_unknown_weights_and_no_network(monkeypatch, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights cocoa: expected a file .* one of coco, coco-keypoints"):
        load_model("cocoa")

    def offline(*args, **kwargs):
        raise urllib.error.URLError("Temporary failure in name resolution")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for weights in ("coco", "coco-keypoints"):
        with pytest.raises(
            ConnectionError, match=r"can't be reached .*name resolution.*: put http.* into .*checkpoints"
        ):
            load_model(weights)
