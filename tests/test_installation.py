"""torch and torchvision as a pair: what this machine has passes, what does not belong together is named."""

from __future__ import annotations

import importlib.metadata

import pytest
import torch

from mrcnn_lite import installation
from mrcnn_lite.installation import check, described


def test_this_machine_has_a_pair():
    check()
    line = described(torch.device("cpu"))
    assert torch.__version__ in line and line.endswith("device: cpu")


@pytest.mark.parametrize(
    ("line", "found", "fits"),
    [
        ("torch (>=2.14.0)", "2.14.0", True),  # both ways in which a wheel writes it
        ("torch==2.6.0", "2.6.0+cu124", True),  # what stands behind "+" is the build
        ("torch==2.6.0", "2.6.1", False),
        ("torch>=2.14.0", "2.9.0", False),  # as text it would be the larger
        ("torch>=2.14.0", "2.15.0rc1", True),
        ("torchaudio==2.6.0", "2.15.0", True),
    ],
)
def test_what_torchvision_asks_of_torch(monkeypatch, line, found, fits):
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["numpy", line, "pillow (!=8.3.*,>=5.3.0)"])
    monkeypatch.setattr(importlib.metadata, "version", lambda name: found)
    if fits:
        return check()
    with pytest.raises(ImportError, match=rf"but torch is {found}: install both at once"):
        check()


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
