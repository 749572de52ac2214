"""anchors.py: cell anchors, the grid, and torchvision's variant."""

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from mrcnn_lite.anchors import AnchorGrid, cell_anchors, grid_anchors


def test_cell_anchors_as_a_table():
    expected = torch.tensor(
        [[-22.6274, -11.3137, 22.6274, 11.3137], [-16, -16, 16, 16], [-11.3137, -22.6274, 11.3137, 22.6274]]
    )
    assert torch.allclose(cell_anchors([32], [0.5, 1, 2]), expected, atol=1e-4)


def test_every_ratio_has_the_same_area():
    anchors = cell_anchors([32, 64], [0.25, 0.5, 1, 2, 4])
    area = (anchors[:, 2] - anchors[:, 0]) * (anchors[:, 3] - anchors[:, 1])
    assert torch.allclose(area, torch.tensor([32.0**2, 64.0**2]).repeat(5))


def test_grid_runs_row_by_row_around_cell_centres():
    grid = grid_anchors(torch.tensor([[-1.0, -2, 1, 2]]), (2, 3), (10.0, 20.0))
    centres = (grid[:, :2] + grid[:, 2:]) / 2
    assert centres.tolist() == [[10, 5], [30, 5], [50, 5], [10, 15], [30, 15], [50, 15]]


@pytest.mark.parametrize("size", [(128, 160), (800, 1088), (224, 96)])
def test_torchvision_anchors(size):
    sizes, ratios, strides = ((32,), (64,), (128,), (256,), (512,)), (0.5, 1.0, 2.0), [4, 8, 16, 32, 64]
    grids = [(size[0] // s, size[1] // s) for s in strides[:4]]
    grids.append(((grids[3][0] + 1) // 2, (grids[3][1] + 1) // 2))
    features = [torch.zeros(1, 1, *grid) for grid in grids]
    theirs = AnchorGenerator(sizes, (ratios,) * 5)(ImageList(torch.zeros(1, 3, *size), [size]), features)[0]
    ours = torch.cat(AnchorGrid(sizes, ratios, strides, torchvision=True)(grids, size))
    assert torch.equal(ours, theirs)


def test_the_numbers_at_800_by_1344():
    """FPN 268,569 and C4 63,000 anchors, as counted in Detectron's set-up."""
    grids = [(200, 336), (100, 168), (50, 84), (25, 42), (13, 21)]
    fpn = AnchorGrid(((32,), (64,), (128,), (256,), (512,)), (0.5, 1, 2), [4, 8, 16, 32, 64])(grids, (800, 1344))
    assert [len(level) for level in fpn] == [201600, 50400, 12600, 3150, 819]
    c4 = AnchorGrid(((32, 64, 128, 256, 512),), (0.5, 1, 2), [16])([(50, 84)], (800, 1344))
    assert len(c4[0]) == 63000


def test_wrong_number_of_maps_names_both():
    with pytest.raises(ValueError, match=r"1 levels of anchors, but 2 feature maps"):
        AnchorGrid(((32,),), (1.0,), [16])([(4, 4), (2, 2)], (64, 64))
