"""fpn.py: equal to torchvision's pyramid."""

import pytest
import torch
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from mrcnn_lite.fpn import FPN


@pytest.mark.parametrize("height,width", [(32, 48), (25, 42)])
def test_equals_torchvision(height, width):
    c = [torch.rand(2, ch, max(1, height >> i), max(1, width >> i)) for i, ch in enumerate((8, 16, 32))]
    theirs = FeaturePyramidNetwork([8, 16, 32], 12, LastLevelMaxPool())
    ours = FPN([8, 16, 32], 12)
    ours.load_state_dict(theirs.state_dict())
    expected = list(theirs(dict(enumerate(c))).values())
    found = ours(c)
    assert len(found) == 4
    for a, b in zip(found, expected):
        assert torch.allclose(a, b, atol=1e-6)


def test_without_extra_level():
    assert len(FPN([4, 8], 6, extra_level=False)([torch.rand(1, 4, 8, 8), torch.rand(1, 8, 4, 4)])) == 2
