"""demo.py: the whole way from pictures to a line of results and a picture of them, ours and torchvision's."""

import re

import pytest
from PIL import Image

from mrcnn_lite import demo


@pytest.mark.parametrize("arguments", [[], ["--peer", "torchvision"]])
def test_it_ends_with_the_result_and_the_picture(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "TRAIN_PICTURES", 16)
    monkeypatch.setattr(demo, "VAL_PICTURES", 8)
    monkeypatch.setattr(demo, "SHOWN", 2)
    status = demo.main(["--minutes", "0.05", "--processes", "1", "--output", str(tmp_path / "out"), *arguments])
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert status == 0
    found = re.match(r"mask AP (\d\.\d{3})  box AP (\d\.\d{3})  .* (\d+) steps .*  (\S+\.png)$", last)
    assert found and int(found[3]) >= 1
    assert Image.open(found[4]).size[0] > 500
    assert (tmp_path / "out" / "model.safetensors").exists() == (arguments == [])  # torchvision's weights stay its own
