"""data/__init__.py: the public names, loaded when they are used."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import mrcnn_lite.data


def test_every_public_name_exists():
    for name in mrcnn_lite.data.__all__:
        assert getattr(mrcnn_lite.data, name) is not None
    assert set(dir(mrcnn_lite.data)) >= {"open_dataset", "locate", "names", "Augmented", "export_coco", "get"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mrcnn_lite.data.nothing
    with pytest.raises(ImportError):
        importlib.import_module("mrcnn_lite.data.nothing")


def test_locate_and_the_painters_load_no_torch():
    code = "import sys; from mrcnn_lite.data import locate; import mrcnn_lite.data.shapes, mrcnn_lite.data.cache; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
