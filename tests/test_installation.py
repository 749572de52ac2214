"""torch and torchvision as a pair: what this machine has passes, what does not belong together is named."""

from __future__ import annotations

import importlib.metadata

import pytest
import torch

from mrcnn_lite import installation
from mrcnn_lite.installation import check, described, requirement, satisfies


def test_this_machine_has_a_pair():
    check()
    line = described(torch.device("cpu"))
    assert torch.__version__ in line and line.endswith("device: cpu")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("torch (>=2.14.0)", [(">=", "2.14.0")]),
        ("torch (==2.6.0)", [("==", "2.6.0")]),
        ("torch==2.6.0", [("==", "2.6.0")]),
        ("torch ==2.6.0", [("==", "2.6.0")]),
        ("torch<3,>=2.14", [("<", "3"), (">=", "2.14")]),
        ("torch", []),
        ("torchaudio==2.6.0", []),
        ("torch==2.6.0 ; platform_system == 'Linux'", [("==", "2.6.0")]),
    ],
)
def test_what_torchvision_asks_of_torch(line, wanted):
    assert requirement(["numpy", line, "pillow (!=8.3.*,>=5.3.0)"]) == wanted


@pytest.mark.parametrize(
    ("found", "sign", "wanted", "answer"),
    [
        ("2.6.0+cu124", "==", "2.6.0", True),
        ("2.6", "==", "2.6.0", True),
        ("2.6.1", "==", "2.6.0", False),
        ("2.6.1", "==", "2.6.*", True),
        ("2.9.0", ">=", "2.14.0", False),  # as text it would be the larger
        ("2.14.0", ">=", "2.14.0", True),
        ("2.15.0rc1", ">=", "2.14.0", True),
        ("3.0", "<", "3", False),
        ("2.14.0", "~=", "9.0", True),  # not judged
    ],
)
def test_versions_are_compared_as_numbers(found, sign, wanted, answer):
    assert satisfies(found, sign, wanted) == answer


def test_a_torch_that_is_too_old_is_named_with_the_repair(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["numpy", "torch (==99.1.0)"])
    with pytest.raises(ImportError, match=r"was built for torch ==99\.1\.0, but torch is .*pip install --upgrade"):
        check()


def test_operations_that_do_not_load_are_named_with_the_repair(monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(installation.importlib, "import_module", broken)
    with pytest.raises(ImportError, match=r"do not work together \(operator torchvision::nms does not exist\)"):
        check()


def test_a_package_that_is_missing_is_named():
    with pytest.raises(ImportError, match="no-such-package is not installed"):
        installation.installed("no-such-package")
