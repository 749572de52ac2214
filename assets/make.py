"""Makes what is shipped from a finished run: weights in half precision and, for shapes, the README's picture.

python assets/make.py shapes runs/demo-ours-seed0
python assets/make.py nuclei runs/training-nuclei/ours-20min-seed0-lrown
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image

from mrcnn_lite import load, open_dataset, save
from mrcnn_lite.visualize import side_by_side

HERE = Path(__file__).parent
SHOWN = (0, 2, 4, 6, 9, 10)  # of the held-out shapes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["shapes", "nuclei"])
    parser.add_argument("run", type=Path, help="the folder of the run")
    options = parser.parse_args()
    target = HERE / f"{options.name}.safetensors"
    save(load(options.run / "model.safetensors"), target, dtype=torch.float16)
    if options.name == "shapes":  # of the nuclei no pixel is shipped
        model, shapes = load(target), open_dataset("shapes", split="val", length=200)
        images, truths = zip(*[shapes[i] for i in SHOWN])
        found = [{k: v[d["scores"] > 0.5] for k, v in d.items()} for d in model.detect(images)]
        sheet = side_by_side(images, found, truths, shapes.class_names, columns=3, panel=256)
        Image.fromarray(sheet).quantize(192).save(HERE / "predictions.png", optimize=True)


if __name__ == "__main__":
    main()
