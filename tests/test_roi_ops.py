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
        patch.setattr(roi_ops, "TABLE_CHANNELS", {"cpu": 1} if request.param == "table" else {})
        yield request.param


def random_rois(count: int, images: int, height: float, width: float, outside: float = 0.0) -> Tensor:
    """RoIs [count, 5] in float64 on a map of height x width pixels; `outside`: how far beyond it they may lie."""
    area = torch.tensor([width, height], dtype=torch.float64)
    corners = torch.rand(count, 2, 2, dtype=torch.float64) * (area + 2 * outside) - outside
    box = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
    return torch.cat([torch.randint(images, (count, 1)).double(), box], dim=1)


def gradient(
    op: Callable[..., Tensor], features: Tensor, *arguments: object, **options: object
) -> tuple[Tensor, Tensor]:
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
    """features, rois, size, scale of many shapes: RoIs inside, across the border, outside, empty, on cells."""
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
    assert_same(
        (roi_ops.roi_align_reference(features, rois, size, scale, sampling_ratio=ratio, half_pixel=half_pixel),),
        (theirs[0],),
    )


@settings(max_examples=80)
@given(case=cases())
def test_pool_is_torchvisions(case):
    features, rois, size, scale = case
    theirs = gradient(tv.roi_pool, features, rois, size, scale)
    assert_same(gradient(roi_pool, features, rois, size, scale), theirs)
    assert_same(gradient(roi_ops.roi_pool_reference, features, rois, size, scale), theirs)


# ---------------------------------------------------------------------------------------------- readable against fast
@settings(max_examples=40)
@given(case=cases(), op=st.sampled_from(SAMPLERS), reduce=st.sampled_from(["mean", "max"]), ratio=st.integers(0, 3))
def test_readable_is_fast(case, op, reduce, ratio):
    features, rois, size, scale = case
    for half_pixel in (True, False):
        options = {"sampling_ratio": ratio, "reduce": reduce, "half_pixel": half_pixel}
        ours = gradient(op, features, rois, size, scale, **options)
        assert_same(ours, gradient(REFERENCE[op], features, rois, size, scale, **options))


# ----------------------------------------------------------------------------------------------------- several levels
STRIDES = [4, 8, 16, 32]
SCALES = [1 / stride for stride in STRIDES]


def pyramid(images: int = 2, channels: int = 3, side: int = 128) -> list[Tensor]:
    shapes = [(images, channels, side // stride, side // stride + 1) for stride in STRIDES]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("name", ROI_OPS)
@pytest.mark.parametrize(
    "options", [{}, {"sampling_ratio": 0, "half_pixel": False}, {"reduce": "max", "sampling_ratio": 1}]
)
def test_all_levels_at_once_are_the_levels_one_by_one(name, options):
    features, rois, levels = pyramid(), random_rois(30, 2, 128, 128, outside=9), torch.randint(4, (30,))
    single = {"align": roi_align, "warp": roi_warp, "pool": roi_pool}[name]
    ours = ROI_OPS[name](features, rois, levels, 3, SCALES, **options)
    weights = torch.randn_like(ours)
    theirs = torch.zeros_like(ours)
    for level, (feature, scale) in enumerate(zip(features, SCALES)):
        mine = levels == level
        theirs[mine] = single(feature, rois[mine], 3, scale, **(options if single is not roi_pool else {}))
    torch.testing.assert_close(ours, theirs)
    grads = [torch.autograd.grad((crops * weights).sum(), features) for crops in (ours, theirs)]
    torch.testing.assert_close(*grads)


def test_memory_layout_does_not_matter():
    features, rois, levels = pyramid(channels=8), random_rois(20, 2, 128, 128), torch.randint(4, (20,))
    last = [feature.detach().contiguous(memory_format=torch.channels_last).requires_grad_() for feature in features]
    crops = [ROI_OPS["align"](maps, rois, levels, 4, SCALES) for maps in (features, last)]
    torch.testing.assert_close(*crops)
    grads = [torch.autograd.grad(crop.square().sum(), maps) for crop, maps in zip(crops, (features, last))]
    torch.testing.assert_close(*grads)


def test_pooler_is_torchvisions_over_four_levels():
    features = [feature.detach().float().requires_grad_() for feature in pyramid(side=512)]
    features = [feature[..., :-1] for feature in features]  # torchvision reads the strides off the shapes
    rois = random_rois(200, 2, 512, 512).float()
    rois = rois[rois[:, 0].argsort(stable=True)]  # torchvision takes a list for each image
    theirs = tv.MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
    boxes = [rois[rois[:, 0] == image, 1:] for image in (0, 1)]
    expected = theirs({str(i): feature for i, feature in enumerate(features)}, boxes, [(512, 512)] * 2)
    pooler = RoIPooler(ROI_OPS["align"], 7, SCALES, sampling_ratio=2, half_pixel=False)
    torch.testing.assert_close(pooler(features, rois), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(pooler.levels(rois), theirs.map_levels(boxes))
    assert pooler.levels(rois).unique().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("strides", [[4, 8, 16, 32], [8, 16], [16]])
@pytest.mark.parametrize("canonical", [(224.0, 4), (56.0, 3)])
def test_level_rule_is_torchvisions(strides, canonical):
    from torchvision.ops.poolers import LevelMapper

    size, level = canonical
    pooler = RoIPooler(ROI_OPS["align"], 7, [1 / s for s in strides], canonical_size=size, canonical_level=level)
    lowest = int(math.log2(strides[0]))
    theirs = LevelMapper(lowest, lowest + len(strides) - 1, size, level)
    sides = torch.tensor([0, 1e-3, 13.99, 14, 28, 55.999, 56, 111.9999, 112, 112.0001, 224, 447.9998, 448, 896, 5000])
    square = torch.stack([torch.zeros(15), torch.zeros(15), sides, sides], dim=1)
    rois = torch.cat([torch.cat([torch.zeros(15, 1), square], dim=1), random_rois(300, 1, 900, 900).float()])
    assert torch.equal(pooler.levels(rois), theirs([rois[:, 1:]]))


def test_level_rule_by_hand():
    rois = torch.tensor([[0.0, 0, 0, side, side] for side in (32, 111, 112, 223, 224, 447, 448, 1000)])
    assert RoIPooler(ROI_OPS["align"], 7, SCALES).levels(rois).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert RoIPooler(ROI_OPS["pool"], 7, [1 / 16]).levels(rois).tolist() == [0] * 8


# -------------------------------------------------------------------------------------------- gradients and precision
@pytest.mark.parametrize("op", REFERENCE)
@pytest.mark.parametrize("ratio, reduce", [(2, "mean"), (0, "mean"), (1, "max"), (0, "max")])
def test_gradcheck(op, ratio, reduce):
    features = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    rois = random_rois(4, 2, 10, 12, outside=3)
    options = {} if op is roi_pool else {"sampling_ratio": ratio, "reduce": reduce}
    for form in (op, REFERENCE[op]):
        assert torch.autograd.gradcheck(lambda maps, form=form: form(maps, rois, 2, 0.5, **options), features)


def test_the_table_can_be_differentiated_twice():
    table = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    rows, starts = torch.tensor([0, 4, 4, 1, 0, 2], dtype=torch.int32), torch.tensor([0, 2, 2, 5, 6], dtype=torch.int32)
    weights = torch.randn(6, dtype=torch.float64)
    dense = torch.zeros(4, 5, dtype=torch.float64)
    bins = torch.tensor([0, 0, 2, 2, 2, 3])
    dense.index_put_((bins, rows.long()), weights, accumulate=True)

    def sums(t: Tensor) -> Tensor:
        return roi_ops.WeightedRows.apply(t, rows, weights, starts)

    torch.testing.assert_close(sums(table), dense @ table)
    assert torch.autograd.gradcheck(sums, table)
    assert torch.autograd.gradgradcheck(sums, table)


@pytest.mark.parametrize("op", REFERENCE)
def test_boxes_get_no_gradient(op):
    features = torch.randn(1, 2, 8, 8, requires_grad=True)
    rois = torch.tensor([[0.0, 1, 1, 6, 7]], requires_grad=True)
    op(features, rois, 2, 1.0).sum().backward()
    assert rois.grad is None
    assert features.grad is not None and features.grad.abs().sum() > 0


@pytest.mark.parametrize("op", REFERENCE)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_dtype_and_exact_coordinates(op, dtype):
    """In half precision the box (1025, 1, 1027, 3) would be (1024, 1, 1028, 3): positions stay in float32."""
    features = torch.randn(1, 2, 4, 1100).to(dtype)
    rois = torch.tensor([[0.0, 1025, 1, 1027, 3]])
    crops = op(features, rois, 2, 1.0)
    assert crops.dtype == dtype
    torch.testing.assert_close(crops, op(features.float(), rois, 2, 1.0).to(dtype))


@pytest.mark.parametrize("op", REFERENCE)
def test_rois_of_any_dtype(op):
    features = torch.randn(1, 2, 8, 8)
    rois = torch.tensor([[0, 1, 2, 7, 6]])
    expected = op(features, rois.float(), 2, 0.5)
    for dtype in (torch.int64, torch.float16, torch.float64):
        torch.testing.assert_close(op(features, rois.to(dtype), 2, 0.5), expected)


# ------------------------------------------------------------------------------------------------- borders and empties
def test_rois_partly_and_wholly_outside():
    features = torch.ones(1, 1, 8, 8)
    rois = torch.tensor([[0.0, -40, -40, -20, -20], [0, 100, 2, 120, 4], [0, -8, 0, 8, 8], [0, 0, 0, 8, 8]])
    crops = roi_align(features, rois, 4, 1.0, sampling_ratio=1)
    assert crops[:2].abs().sum() == 0
    assert crops[2, 0].tolist() == [[0, 0, 1, 1]] * 4  # points at x = -6, -2, 2, 6
    assert (crops[3] == 1).all()
    pooled = roi_pool(features, rois, 4, 1.0)
    assert pooled[:2].abs().sum() == 0
    assert pooled[2, 0, 0].tolist() == [0, 1, 1, 1]  # seventeen cells, -8..8: the second bin reaches cell 0


@pytest.mark.parametrize("name", ROI_OPS)
@pytest.mark.parametrize(
    "options", [{}, {"sampling_ratio": 0}, {"reduce": "max", "sampling_ratio": 0}, {"half_pixel": False}]
)
def test_no_rois_give_an_empty_crop_with_a_graph(name, options):
    features = pyramid()
    crops = RoIPooler(ROI_OPS[name], 7, SCALES, **options)(features, torch.zeros(0, 5))
    assert crops.shape == (0, 3, 7, 7) and crops.dtype == features[0].dtype
    crops.sum().backward()
    assert all(feature.grad is not None and (feature.grad == 0).all() for feature in features)


def test_a_shift_by_the_stride_shifts_the_features():
    """The same RoI on a map moved by one cell (16 pixels) gives the same crop."""
    features = torch.randn(1, 3, 12, 12, dtype=torch.float64)
    moved = torch.zeros(1, 3, 13, 13, dtype=torch.float64)
    moved[:, :, 1:, 1:] = features
    rois = random_rois(20, 1, 12 * 16 - 64, 12 * 16 - 64)
    rois[:, 1:] += 32  # two cells from the border, whose neighbours differ
    step = torch.tensor([0.0, 16, 16, 16, 16], dtype=torch.float64)
    for op in REFERENCE:
        torch.testing.assert_close(op(moved, rois + step, 3, 1 / 16), op(features, rois, 3, 1 / 16))


def test_align_follows_the_box_where_pool_and_warp_stand_still():
    """What the roundings cost: move the box by two pixels at stride 16 and only RoIAlign notices."""
    box, step = torch.tensor([[0.0, 33, 33, 129, 129]]), torch.tensor([[0.0, 2, 2, 2, 2]])
    ramp_in_pixels = ramp() * 16
    for op, expected in ((roi_align, 2.0), (roi_warp, 0.0), (roi_pool, 0.0)):
        shift = op(ramp_in_pixels, box + step, 7, 1 / 16) - op(ramp_in_pixels, box, 7, 1 / 16)
        torch.testing.assert_close(shift, torch.full_like(shift, expected))


# ----------------------------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize("op", REFERENCE)
@pytest.mark.parametrize(
    "roi, expected",
    [
        ([2, 0, 0, 4, 4], "image index from 0 to 1"),
        ([-1, 0, 0, 4, 4], "image index from 0 to 1"),
        ([0.5, 0, 0, 4, 4], "image index from 0 to 1"),
        ([0, 0, 0, math.inf, 4], "finite"),
        ([0, math.nan, 0, 4, 4], "finite"),
        ([0, 4, 0, 3, 4], "x1 <= x2"),
        ([0, 0, 4, 4, 3.5], "y1 <= y2"),
    ],
)
def test_a_wrong_roi_is_named(op, roi, expected):
    rois = torch.tensor([[0, 0, 0, 4, 4], [1, 1, 1, 2, 2], roi], dtype=torch.float64)
    with pytest.raises(ValueError, match=rf"RoI 2: found .*{rois[2, 0].item():g}.*expected .*{expected}"):
        op(torch.zeros(2, 1, 8, 8), rois, 2, 1.0)


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"rois": torch.zeros(3, 4)}, r"rois \[3, 4\], expected .*\[R, 5\]"),
        ({"rois": torch.zeros(5)}, r"rois \[5\], expected .*\[R, 5\]"),
        ({"features": torch.zeros(1, 8, 8)}, r"\[1, 8, 8\].*\[N, C, H, W\]"),
        ({"features": torch.zeros(1, 1, 8, 8, dtype=torch.uint8)}, r"torch.uint8.*expected floats"),
        ({"size": 0}, r"size 0.*size >= 1"),
        ({"scale": 0.0}, r"scale 0.0.*scale > 0"),
        ({"sampling_ratio": -1}, r"sampling_ratio -1.*sampling_ratio >= 0"),
        ({"reduce": "average"}, r"'average'.*'mean' or 'max'"),
    ],
)
@pytest.mark.parametrize("op", SAMPLERS)
def test_wrong_arguments_are_named(op, change, expected):
    arguments = {"features": torch.zeros(1, 1, 8, 8), "rois": torch.zeros(1, 5), "size": 2, "scale": 1.0, **change}
    with pytest.raises(ValueError, match=expected):
        op(**arguments)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ROI_OPS)
@pytest.mark.parametrize("options", [{}, {"sampling_ratio": 0}, {"reduce": "max"}, {"half_pixel": False}])
def test_a_gpu_gives_the_same(name, options, monkeypatch):
    features = [feature.detach().float() for feature in pyramid(channels=16)]
    rois, levels = random_rois(40, 2, 128, 128, outside=9).float(), torch.randint(4, (40,))
    expected = ROI_OPS[name](features, rois, levels, 7, SCALES, **options)
    for table in ({}, {"cuda": 1}):
        monkeypatch.setattr(roi_ops, "TABLE_CHANNELS", table)
        crops = ROI_OPS[name]([f.cuda() for f in features], rois.cuda(), levels.cuda(), 7, SCALES, **options)
        torch.testing.assert_close(crops.cpu(), expected, rtol=1e-4, atol=1e-4)
