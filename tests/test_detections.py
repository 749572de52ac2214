"""detections.py: what a model finds in one image, with image and detection in every refusal."""

from __future__ import annotations

import pytest
import torch

from mrcnn_lite.detections import check_detection

SIZE = (12, 16)


def good() -> dict[str, torch.Tensor]:
    masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    masks[0, 1:5, 2:9], masks[1, 6:9, 3:7] = True, True
    return {
        "boxes": torch.tensor([[2.0, 1, 9, 5], [3, 6, 7, 9]]),
        "labels": torch.tensor([1, 2]),
        "scores": torch.tensor([0.9, 0.3]),
        "masks": masks,
        "keypoints": torch.ones(2, 3, 3),
        "mask_probs": torch.rand(2, 28, 28),  # other keys pass
    }


NONE = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "scores": torch.zeros(0)}


@pytest.mark.parametrize(
    "detection",
    [
        good(),
        NONE,
        NONE | {"masks": torch.zeros(0, 1, *SIZE)},
        {key: torch.tensor([]) for key in good()},
        good() | {"masks": good()["masks"][:, None] * 0.7},  # torchvision's
        good() | {"boxes": torch.tensor([[2, 1, 90, 5], [3, 6, 3, 9]])},  # whole numbers, outside, no area
        {key: value.repeat(200, *[1] * (value.dim() - 1)) for key, value in good().items()},
    ],
)
def test_what_is_harmless_passes(detection):
    check_detection(detection, "image 7", SIZE)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"scores": None}, "has no scores; it has"),
        ({"scores": [0.9, 0.3]}, "scores are list, expected a tensor"),
        ({"scores": torch.ones(1)}, r"scores of shape \[1\], expected \[2\]"),
        ({"scores": torch.tensor([0.9, float("nan")])}, "detection 1: scores nan, expected finite"),
        ({"labels": torch.ones(2)}, "labels are torch.float32"),
        ({"labels": torch.ones(2, 1).long()}, r"labels of shape \[2, 1\], expected \[2\]"),
        ({"boxes": torch.tensor([[2.0, 1, 7, 4], [3, 6, 1, 2]])}, r"detection 1: box \[3.0, .*looks like x, y, width"),
        ({"boxes": torch.full((2, 4), float("inf"))}, "detection 0: boxes .*finite"),
        ({"boxes": torch.zeros(2, 5)}, r"boxes of shape \[2, 5\], expected \[2, 4\]"),
        ({"masks": torch.zeros(2, 16, 12)}, r"masks of shape \[2, 16, 12\], expected \[2, 12, 16\]"),
        ({"masks": torch.zeros(1, *SIZE)}, r"masks of shape \[1, 12, 16\], expected \[2"),
        ({"masks": torch.full((2, *SIZE), 255.0)}, "detection 0: mask values from 255 to 255, expected 0..1"),
        ({"masks": torch.full((2, *SIZE), float("nan"))}, "detection 0: mask values from nan"),
        ({"keypoints": torch.ones(2, 3, 2)}, r"keypoints of shape \[2, 3, 2\], expected \[2, J, 3\]"),
        ({"keypoints": torch.full((2, 3, 3), float("nan"))}, "detection 0: keypoints"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    detection = {key: value for key, value in (good() | change).items() if value is not None}
    with pytest.raises((ValueError, TypeError), match=f"^image 7.*{message}"):
        check_detection(detection, "image 7", SIZE)


def test_no_dict():
    with pytest.raises(TypeError, match="image 7: list, expected a dict"):
        check_detection([], "image 7")
