"""Pictures: the right pixels are touched, the input is not, and what is written is whole."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from mrcnn_lite.visualize import contact_sheet, draw, save_png, show, side_by_side, to_pixels

NAMES = ("background", "circle", "square")


def scene(height: int = 96, width: int = 128) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A grey picture with a disc and a square, and its target."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    disc = (x - 40) ** 2 + (y - 40) ** 2 < 20**2
    square = (x > 70) & (x < 110) & (y > 50) & (y < 80)
    masks = torch.stack([disc, square])
    boxes = torch.tensor([[20.0, 20, 60, 60], [70, 50, 110, 80]])
    return torch.full((3, height, width), 0.5), {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": masks.byte()}


def detections(target: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**target, "masks": target["masks"].bool(), "scores": torch.tensor([0.91, 0.62])}


def test_small_pictures_are_enlarged_by_a_whole_number_and_huge_ones_reduced():
    image, target = scene()
    assert draw(image, target, NAMES).shape == (4 * 96, 4 * 128, 3)
    assert draw(image, target, NAMES, scale=1.5).shape == (144, 192, 3)
    no_objects = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    assert draw(torch.zeros(3, 600, 700), no_objects).shape == (600, 700, 3)
    assert draw(torch.zeros(3, 20, 4096), no_objects).shape == (10, 2048, 3)
    assert draw(torch.zeros(3, 1, 1), no_objects).shape == (512, 512, 3)


def test_masks_are_tinted_and_the_rest_is_left():
    image, target = scene()
    picture = draw(image, target, NAMES, boxes=False, labels=False, scale=1).astype(int)
    grey = 128
    assert np.ptp(picture[40, 40]) > 40  # tinted
    assert np.ptp(picture[65, 90]) > 40
    assert np.abs(picture[40, 40] - picture[65, 90]).max() > 40  # in different colours
    assert (picture[85:, :60] == grey).all()
    assert (picture[:12] == grey).all()


def test_each_part_can_be_left_out():
    image, target = scene()
    found = detections(target) | {"keypoints": torch.tensor([[[40.0, 40, 1]], [[90, 65, 1]]])}
    off = {"masks": False, "boxes": False, "labels": False, "keypoints": False}
    plain = draw(image, found, NAMES, **off)
    assert (plain == 128).all()
    for part in off:
        assert (draw(image, found, NAMES, **{**off, part: True}) != 128).any(), part
    names_alone = draw(image, found, NAMES, **{**off, "labels": True})
    assert (names_alone != draw(image, found, NAMES, **{**off, "labels": True}, scores=False)).any()


def test_all_forms_of_input_give_one_picture():
    image, target = scene()
    image = torch.randint(0, 256, image.shape, dtype=torch.uint8)
    expected = draw(image, target, NAMES)
    forms = [image.float() / 255, image.permute(1, 2, 0).numpy()]
    for form in forms:
        assert np.array_equal(draw(form, target, NAMES), expected)
    arrays = {key: value.numpy() for key, value in target.items()}
    assert np.array_equal(draw(image, arrays, NAMES), expected)
    theirs = {**target, "masks": target["masks"][:, None] * 0.8}  # torchvision's float [N,1,H,W]
    assert np.array_equal(draw(image, theirs, NAMES), expected)


def test_the_input_is_not_drawn_on():
    image, target = scene()
    array = to_pixels(image)
    copies = array.copy(), {key: value.clone() for key, value in target.items()}
    draw(array, target, NAMES, scale=1)
    assert np.array_equal(array, copies[0])
    assert all(torch.equal(target[key], copies[1][key]) for key in target)


def test_small_objects_lie_on_top():
    image, _ = scene()
    masks = torch.zeros(2, 96, 128, dtype=torch.bool)
    masks[0, 40:50, 50:60] = True
    masks[1, 10:90, 10:120] = True
    boxes = torch.tensor([[50.0, 40, 60, 50], [10, 10, 120, 90]])
    both = {"boxes": boxes, "masks": masks}
    reversed_both = {"boxes": boxes.flip(0), "masks": masks.flip(0)}
    first = draw(image, both, scale=1, boxes=False)
    assert np.array_equal(first, draw(image, reversed_both, scale=1, boxes=False, colours=[1, 0]))
    assert np.abs(first[45, 55].astype(int) - first[80, 30]).max() > 30


def test_hidden_joints_are_rings_in_a_target_alone():
    image, target = scene()
    for visibility, scored, ring in ((1.0, False, True), (2.0, False, False), (1.0, True, False)):
        instances = dict(target, keypoints=torch.tensor([[[40.0, 40, visibility]], [[0, 0, 0]]]))
        if scored:
            instances["scores"] = torch.ones(2)
        centre = draw(image, instances, NAMES, scale=1, masks=False, boxes=False, labels=False)[40, 40]
        assert (np.ptp(centre) < 30) == ring  # the ring's middle is grey, a disc coloured


def test_the_skeleton_of_coco_is_known_and_another_is_taken():
    image, target = scene()
    one = {key: value[:1] for key, value in target.items()}
    persons = one | {"keypoints": torch.rand(1, 17, 3) * 60 + 20}
    assert (draw(image, persons) != draw(image, persons, skeleton=())).any()
    sticks = one | {"keypoints": torch.tensor([[[20.0, 20, 2], [100, 90, 2]]])}
    without, limb = draw(image, sticks, scale=1), draw(image, sticks, scale=1, skeleton=[(0, 1)])
    assert (without[55, 60] != limb[55, 60]).any()


def test_no_objects_and_labels_without_names():
    image, target = scene()
    empty = {key: value[:0] for key, value in detections(target).items()}
    assert (draw(image, empty, NAMES) == 128).all()
    assert (draw(image, dict(target, labels=torch.tensor([1, 99])), NAMES) != 128).any()
    many = {"boxes": torch.tensor([[20.0, 20, 60, 60]]).repeat(41, 1), "labels": torch.ones(41, dtype=torch.int64)}
    assert np.array_equal(draw(image, many, NAMES), draw(image, many, NAMES, labels=False))


@pytest.mark.parametrize(
    "image", [torch.zeros(1, 4, 4), torch.zeros(4, 4), np.zeros((3, 4, 4)), torch.zeros(2, 3, 4, 4)]
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ValueError, match=r"expected a tensor \[3,H,W\] or an array \[H,W,3\], got \("):
        to_pixels(image)


def test_a_found_object_has_the_colour_of_the_true_one(tmp_path):
    image, target = scene()
    found = {key: value.flip(0) for key, value in detections(target).items()}  # in another order
    path = tmp_path / "new" / "pairs.png"
    options = {"panel": 128, "labels": False}
    sheet = side_by_side([image], [found], [target], NAMES, path, title="shapes", **options)
    assert np.array_equal(np.asarray(Image.open(path)), sheet)
    truth = draw(image, target, NAMES, scale=1, labels=False)
    places = [
        x for x in range(sheet.shape[1] - 128) for y in (72,) if np.array_equal(sheet[y : y + 96, x : x + 128], truth)
    ]
    assert len(places) == 2, "truth and prediction look alike but for their order"
    stranger = dict(found, boxes=found["boxes"] + torch.tensor([30.0, 0, 30, 0]))
    other = side_by_side([image], [stranger], [target], NAMES, **options)
    assert other.shape[1] == sheet.shape[1]


def test_pairs_of_no_objects_and_unequal_lists():
    image, target = scene()
    nothing = {"boxes": torch.zeros(0, 4), "scores": torch.zeros(0)}
    assert side_by_side([image] * 3, [nothing] * 3, [target] * 3, NAMES, columns=2, panel=64).ndim == 3
    with pytest.raises(ValueError, match="shorter"):
        side_by_side([image], [], [target], NAMES)


def test_a_sheet_holds_every_panel_whole():
    panels = [np.full((h, w, 3), 10 * n, dtype=np.uint8) for n, (h, w) in enumerate([(30, 40), (50, 20), (20, 60)], 1)]
    sheet = contact_sheet(panels, columns=2)
    for panel in panels:
        assert (sheet == panel[0, 0]).all(axis=2).sum() == panel.shape[0] * panel.shape[1]
    captioned = contact_sheet(panels, ["one", "two", "three"], columns=2, title="a title")
    assert captioned.shape[0] > sheet.shape[0]
    assert contact_sheet(panels[:1], columns=9).shape[1] < 80
    with pytest.raises(ValueError, match="at least one panel"):
        contact_sheet([])


def test_a_picture_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    save_png(np.zeros((4, 5, 3), dtype=np.uint8), path)
    before = path.read_bytes()

    def full_disk(self, file, format=None):
        raise OSError("no space left")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_png(np.ones((4, 5, 3), dtype=np.uint8), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_show_puts_the_picture_and_its_text_into_a_notebooks_output(monkeypatch):
    display = pytest.importorskip("IPython.display")
    shown = []
    monkeypatch.setattr(display, "display", shown.append)
    show(np.zeros((4, 6, 3), np.uint8), "a black rectangle: 2 * 3 of [4, 6]")
    data, metadata = shown[0]._repr_mimebundle_()
    assert Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).size == (6, 4)
    assert metadata == {"image/png": {"alt": "a black rectangle: 2 * 3 of [4, 6]"}}
    assert shown[1].data == r"*a black rectangle: 2 \* 3 of \[4, 6\]*"  # seen by everybody
