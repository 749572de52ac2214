"""The RoI operations: against numbers worked out by hand, against torchvision in float64, readable against fast."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
import torchvision.ops as tv
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mrcnn_lite import roi_ops
from mrcnn_lite.roi_ops import ROI_OPS, RoIPooler, roi_align, roi_pool, roi_warp

REFERENCE: dict[Callable[..., Tensor], Callable[..., Tensor]] = {
    roi_align: roi_ops.roi_align_reference,
    roi_warp: roi_ops.roi_warp_reference,
    roi_pool: roi_ops.roi_pool_reference,
}
SAMPLERS = [roi_align, roi_warp]


@pytest.fixture(autouse=True, scope="module", params=["table", "kernel"])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test runs on both fast paths: the table, and torchvision's kernel (which other devices use)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roi_ops, "TABLE_DEVICES", ("cpu",) if request.param == "table" else ())
        patch.setattr(roi_ops, "TABLE_CHANNELS", 1)
        yield request.param


def random_rois(count: int, images: int, height: float, width: float, outside: float = 0.0) -> Tensor:
    """RoIs [count, 5] in float64 on a map of height x width pixels; `outside`: how far beyond it they may lie."""
    area = torch.tensor([width, height], dtype=torch.float64)
    corners = torch.rand(count, 2, 2, dtype=torch.float64) * (area + 2 * outside) - outside
    box = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
    return torch.cat([torch.randint(images, (count, 1)).double(), box], dim=1)


def gradient(op: Callable[..., Tensor], features: Tensor, *arguments: object, **options: object) -> tuple[Tensor, Tensor]:
    """The output of op, and the features' gradient of a weighted sum of it."""
    features = features.detach().requires_grad_()
    crops = op(features, *arguments, **options)
    weights = torch.linspace(0.5, 1.5, crops.numel(), dtype=crops.dtype).view(crops.shape)
    (grad,) = torch.autograd.grad((crops * weights).sum(), features)
    return crops.detach(), grad


def assert_same(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor], atol: float = 1e-9) -> None:
    for one, other in zip(ours, theirs):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=atol)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor, int, float]:
    """features, rois, size, scale of many shapes: RoIs inside, across the border, far outside, empty, on whole cells."""
    images, channels = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    scale = draw(st.sampled_from([1.0, 1 / 2, 1 / 16, 1 / 3, 2.0]))
    torch.manual_seed(draw(st.integers(0, 2**16)))
    features = torch.randn(images, channels, height, width, dtype=torch.float64)
    outside = draw(st.sampled_from([0.0, 2.0, 8.0])) / scale
    rois = random_rois(draw(st.integers(0, 6)), images, height / scale, width / scale, outside)
    if draw(st.booleans()):  # corners on whole or half cells: where roundings decide
        rois[:, 1:] = (rois[:, 1:] * scale * 2).round() / 2 / scale
    if draw(st.booleans()):
        rois[:, 3:] = torch.maximum(rois[:, 3:], rois[:, 1:3])
        rois[::2, 3] = rois[::2, 1]  # no width
    return features, rois, draw(st.integers(1, 5)), scale


# ------------------------------------------------------------------------------------------------------------ by hand
def ramp() -> Tensor:
    """f[y, x] = x: a crop reads its own x coordinates."""
    return torch.arange(16, dtype=torch.float64).expand(1, 1, 16, 16).contiguous()


BOX = torch.tensor([[0.0, 4, 4, 8, 8]])


@pytest.mark.parametrize(
    "op, options, expected",
    [
        (roi_align, {}, [4, 5, 6, 7]),
        (roi_align, {"half_pixel": False}, [4.5, 5.5, 6.5, 7.5]),
        (roi_align, {"reduce": "max"}, [4.25, 5.25, 6.25, 7.25]),
        (roi_align, {"sampling_ratio": 0}, [4, 5, 6, 7]),
        (roi_warp, {}, [4.125, 5.375, 6.625, 7.875]),  # the RoI is cells 4..8: five wide, bins of 1.25
        (roi_warp, {"half_pixel": False, "sampling_ratio": 1}, [4.625, 5.875, 7.125, 8.375]),
        (roi_pool, {}, [5, 6, 7, 8]),
    ],
)
def test_a_ramp_by_hand(op, options, expected):
    for form in (op, REFERENCE[op]):
        crop = form(ramp(), BOX, 4, 1.0, **options)
        assert crop[0, 0].tolist() == [expected] * 4


def test_bilinear_by_hand():
    feature = torch.tensor([[[0.0, 10], [20, 30]]])  # [1, 2, 2]
    for y, x, expected in [
        (0, 0, 0), (1, 1, 30), (0.5, 0.5, 15), (0, 0.25, 2.5), (0.25, 0, 5),
        (-1, -1, 0), (-0.5, 1, 10), (2, 2, 30), (2.01, 1, 0), (1, -1.01, 0),
    ]:  # fmt: skip
        assert bilinear_value(feature, y, x) == expected


def bilinear_value(feature: Tensor, y: float, x: float) -> float:
    return float(roi_ops.bilinear(feature, y, x))


def test_halves_round_away_from_zero_and_the_last_cell_belongs_to_the_roi():
    rois = torch.tensor([[0, 4.5, -4.5, 5.4999, 2.5], [1, 0.5, -0.5, 1.5, 0.49], [0, 0, 0, 0, 0]], dtype=torch.float64)
    assert roi_ops.snap_to_cells(rois, 1.0).tolist() == [[0, 5, -5, 6, 4], [1, 1, -1, 3, 1], [0, 0, 0, 1, 1]]
    almost = 0.49999999999999994  # adding 0.5 and flooring would make it 1
    assert roi_ops.snap_to_cells(torch.full((1, 5), almost, dtype=torch.float64), 1.0)[0, 1:].tolist() == [0, 0, 1, 1]


def test_a_one_cell_map_is_its_value():
    features = torch.full((1, 2, 1, 1), 7.0)
    for op in REFERENCE:
        assert (op(features, torch.tensor([[0.0, 0.1, 0.1, 0.4, 0.4]]), 3, 1.0) == 7).all()


# ------------------------------------------------------------------------------------------------------- the oracle
@settings(max_examples=60)
@given(case=cases(), ratio=st.integers(0, 3), half_pixel=st.booleans())
def test_align_is_torchvisions(case, ratio, half_pixel):
    features, rois, size, scale = case
    ours = gradient(roi_align, features, rois, size, scale, sampling_ratio=ratio, half_pixel=half_pixel)
    theirs = gradient(tv.roi_align, features, rois, size, scale, ratio, half_pixel)
    assert_same(ours, theirs)
    assert_same((roi_ops.roi_align_reference(features, rois, size, scale, sampling_ratio=ratio, half_pixel=half_pixel),), (theirs[0],))


@settings(max_examples=80)
@given(case=cases())
def test_pool_is_torchvisions(case):
    features, rois, size, scale = case
    theirs = gradient(tv.roi_pool, features, rois, size, scale)
    assert_same(gradient(roi_pool, features, rois, size, scale), theirs)
    assert_same(gradient(roi_ops.roi_pool_reference, features, rois, size, scale), theirs)


# ------------------------------------------------------------------------------------------- readable against fast
@settings(max_examples=40)
@given(
    case=cases(),
    op=st.sampled_from(SAMPLERS),
    reduce=st.sampled_from(["mean", "max"]),
    ratio=st.integers(0, 3),
    half_pixel=st.booleans(),
)
def test_readable_is_fast(case, op, reduce, ratio, half_pixel):
    features, rois, size, scale = case
    options = {"sampling_ratio": ratio, "reduce": reduce, "half_pixel": half_pixel}
    ours = gradient(op, features, rois, size, scale, **options)
    assert_same(ours, gradient(REFERENCE[op], features, rois, size, scale, **options))
