"""backbone.py: names and numbers as torchvision's, frozen norms frozen."""

import pytest
import torch
import torchvision

from mrcnn_lite.backbone import RESNETS, FrozenBatchNorm2d, ResNet, norm_layer, stage, stage_channels

SMALL = ["resnet18", "resnet50", "resnext50_32x4d"]


@pytest.mark.parametrize("name", [n for n in RESNETS if n != "tiny"])
def test_names_and_shapes_are_torchvisions(name):
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name, weights=None).state_dict()
        ours = ResNet(name, norm_layer("bn")).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items() if not k.startswith("fc.")}


@pytest.mark.parametrize("name", SMALL)
def test_same_features_as_torchvision(name):
    theirs = torchvision.models.get_model(name, weights=None).eval()
    ours = ResNet(name, norm_layer("frozen_bn")).eval()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")})
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = theirs.layer1(theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x)))))
        found = ours(x)
        assert torch.allclose(found[0], expected, rtol=1e-4, atol=1e-5)
        for layer, feature in zip((theirs.layer2, theirs.layer3, theirs.layer4), found[1:]):
            expected = layer(expected)
            assert torch.allclose(feature, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("name", ["tiny", "resnet50"])
def test_strides_and_channels(name):
    features = ResNet(name, norm_layer("gn"))(torch.rand(1, 3, 64, 96))
    shapes = [(1, c, 64 // s, 96 // s) for c, s in zip(stage_channels(name), (4, 8, 16, 32))]
    assert [tuple(f.shape) for f in features] == shapes


def test_res5_alone_keeps_the_size_of_an_roi():
    res5 = stage("resnet50", 5, norm_layer("frozen_bn"), stride=1)
    assert res5(torch.rand(2, 1024, 7, 7)).shape == (2, 2048, 7, 7)


def test_frozen_batchnorm_is_batchnorm_in_eval_and_has_no_parameters():
    bn = torch.nn.BatchNorm2d(4)
    torch.nn.init.uniform_(bn.weight)
    bn(torch.rand(8, 4, 5, 5))  # moves its statistics
    frozen = FrozenBatchNorm2d(4)
    frozen.load_state_dict(bn.state_dict())
    x = torch.rand(2, 4, 3, 3)
    assert torch.allclose(frozen.train()(x), bn.eval()(x), atol=1e-6)
    assert list(frozen.parameters()) == []


def test_frozen_stages_get_no_gradient():
    body = ResNet("resnet18", norm_layer("bn"), frozen_stages=2)
    sum(f.sum() for f in body(torch.rand(2, 3, 64, 64))).backward()
    with_gradient = {n.split(".")[0] for n, p in body.named_parameters() if p.grad is not None}
    assert with_gradient == {"layer2", "layer3", "layer4"}
