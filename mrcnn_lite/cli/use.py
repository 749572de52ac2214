"""`mrcnn-lite evaluate`, `predict` and `info`: what is done with a model, or known of one that is not built yet.

Read next: `evaluation.py`, `prediction.py`, `info.py`, which do it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from ..config import Config
from .data import add_data_options, open_data
from .settings import add_command, device, positive, read_config, score


def add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", type=device, help="cuda, mps, cpu; default: the best there is")
    command.add_argument("--threads", type=positive, metavar="N", help="on a CPU; default: one a core")


def on_device(arguments: argparse.Namespace) -> Any:
    """The device asked for; a CPU's threads are set as well."""
    import torch

    from ..devices import available_cores, choose_device

    if arguments.threads or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(arguments.threads or available_cores())
    return choose_device(arguments.device)


def add_evaluate(commands: Any) -> None:
    text = """Average precision of boxes, masks and keypoints by COCO's own code: of a model, or of COCO results in a
file. The model's classes are matched to the data set's by name."""
    examples = """examples:
  mrcnn-lite evaluate --weights runs/tiny-shapes/model.safetensors --data shapes
  mrcnn-lite evaluate --weights coco --data coco --limit 100
  mrcnn-lite evaluate --results results.json --data annotations/instances_val2017.json"""
    command = add_command(commands, "evaluate", run_evaluate, "average precision on a data set", text, examples)
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--weights", metavar="FILE|coco|coco-keypoints", help="a model of `train`, or torchvision's")
    what.add_argument("--results", metavar="JSON", help="detections in COCO's form instead of a model")
    command.add_argument("--data", required=True, metavar="NAME|PATH", help="a name of `data list`, a folder, or a "
                         "COCO JSON file")  # fmt: skip
    command.add_argument("--split", default="val", help="train or val; default %(default)s")
    command.add_argument("--limit", type=positive, metavar="N", help="only the first N pictures")
    command.add_argument("--batch-size", type=positive, default=4, metavar="N", help="default %(default)s")
    command.add_argument("--output", type=Path, metavar="JSON", help="write the figures there, too")
    command.add_argument("--picture", type=Path, metavar="PNG", help="draw eight predictions beside the truth")
    command.add_argument("--picture-score", type=score, default=0.3, metavar="S", help="those of at least this score, "
                         "0..1; default %(default)s")  # fmt: skip
    add_data_options(command)
    add_device(command)


def run_evaluate(arguments: argparse.Namespace) -> int:
    options: dict[str, Any] = {"limit": arguments.limit, "options": arguments.data_options}
    if arguments.results:
        results = of_results(arguments, options)
    else:
        from ..evaluation import evaluate
        from ..prediction import load_model

        model = load_model(arguments.weights, on_device(arguments))
        keypoints = "keypoint" in model.config.heads
        dataset = open_data(arguments.data, arguments.split, keypoints=keypoints, **options)
        results = evaluate(model, dataset, batch_size=arguments.batch_size)
        if arguments.picture:
            title = f"{arguments.data}, {arguments.split}: scores from {arguments.picture_score:g}"
            draw_predictions(model, dataset, arguments.picture, title, arguments.picture_score)
    if results.box is results.mask is results.keypoint is None:
        raise ValueError("the detections and the data set have neither boxes nor masks nor keypoints in common")
    print(results)
    if arguments.picture:
        print(f"\npicture: {arguments.picture}")
    if arguments.output:
        from ..files import atomic

        said = {"of": arguments.weights or arguments.results, "data": arguments.data, "split": arguments.split}
        with atomic(arguments.output) as temporary:
            temporary.write_text(json.dumps(said | results.to_dict(), indent=1) + "\n", encoding="utf-8")
    return 0


def of_results(arguments: argparse.Namespace, options: dict[str, Any]) -> Any:
    """The figures of detections in a file."""
    from ..coco_checks import check_entries
    from ..evaluation import evaluate_detections
    from ..files import naming, read_json

    if Path(arguments.data).is_file():
        return evaluate_detections(arguments.results, arguments.data)
    entries = read_json(arguments.results)
    with naming(arguments.results):
        check_entries(entries)
    keypoints = any("keypoints" in entry for entry in entries[:1])
    dataset = open_data(arguments.data, arguments.split, keypoints=keypoints, **options)
    return evaluate_detections(arguments.results, dataset)


def draw_predictions(model: Any, dataset: Any, path: Path, title: str, least: float, count: int = 8) -> None:
    """A sheet of the truth and, beside it, what the model has found with a score of at least `least`."""
    from ..evaluation import detecting
    from ..visualize import side_by_side

    count = min(count, len(dataset))
    samples = [dataset[i] for i in range(0, len(dataset), len(dataset) // count)][:count]
    with detecting(model) as detect:
        detections = [detect([image])[0] for image, _ in samples]
    detections = [{key: value[found["scores"] >= least].cpu() for key, value in found.items()} for found in detections]
    images, truths = [image for image, _ in samples], [target for _, target in samples]
    options: dict[str, Any] = {"skeleton": dataset.skeleton or None, "labels": len(model.class_names) > 2}
    side_by_side(images, detections, truths, model.class_names, path, title=title, **options)


def add_predict(commands: Any) -> None:
    text = """Find the objects in pictures. Writes one picture with masks, boxes and names for each, and results.json
(COCO results, which `evaluate --results` takes), and says what was found."""
    examples = """examples:
  mrcnn-lite predict --weights coco photo.jpg
  mrcnn-lite predict --weights runs/nuclei/model.safetensors my/pictures --output runs/found"""
    command = add_command(commands, "predict", run_predict, "find the objects in pictures", text, examples)
    command.add_argument("inputs", nargs="+", metavar="INPUT", help="a picture or a folder of pictures")
    command.add_argument("--weights", required=True, metavar="FILE|coco|coco-keypoints",
                         help="a model of `train`, or torchvision's")  # fmt: skip
    command.add_argument("--output", type=Path, default=Path("runs/predict"), metavar="DIR", help="default %(default)s")
    command.add_argument("--score-threshold", type=score, default=0.5, metavar="S", help="0..1; default %(default)s")
    command.add_argument("--batch-size", type=positive, default=1, metavar="N", help="default %(default)s")
    add_device(command)


def run_predict(arguments: argparse.Namespace) -> int:
    from ..prediction import load_model, predict

    threshold = arguments.score_threshold
    model = load_model(arguments.weights, on_device(arguments))
    # Masks of whole folders would fill the memory: what was found is read from the file.
    options = {"output": arguments.output, "score_threshold": threshold, "batch_size": arguments.batch_size}
    predict(model, arguments.inputs, keep=False, **options)
    entries = json.loads((arguments.output / "results.json").read_text(encoding="utf-8"))
    pictures = json.loads((arguments.output / "image_info.json").read_text(encoding="utf-8"))["images"]
    found: dict[str, Counter[str]] = {picture["file_name"]: Counter() for picture in pictures}
    for entry in entries:
        found[entry["file_name"]][entry.get("category_name", f"class {entry['category_id']}")] += 1
    for name, counts in found.items():
        print(f"{name}: {', '.join(f'{count} {kind}' for kind, count in counts.most_common()) or 'nothing'}")
    print(f"{len(found)} picture(s), {len(entries)} object(s) with a score from {threshold:g}: {arguments.output}")
    return 0


def add_info(commands: Any) -> None:
    text = """The named configurations; or of one of them, or of a model, the shapes, parameters and multiply-adds of
each part for one picture, with as many proposals and detections as it makes at most."""
    examples = """examples:
  mrcnn-lite info
  mrcnn-lite info --config r101-fpn --size 800 1333
  mrcnn-lite info --config tiny --json > mine.json    all settings; train --config mine.json"""
    command = add_command(commands, "info", run_info, "configurations: shapes, parameters, FLOPs", text, examples)
    what = command.add_mutually_exclusive_group()
    what.add_argument("--config", metavar="NAME|JSON", help="a name, or a file; default: list the names")
    what.add_argument("--weights", metavar="FILE|coco", help="the configuration of a model")
    command.add_argument("--size", type=positive, nargs=2, metavar=("H", "W"), help="of the picture, in pixels; "
                         "default: a square of the configuration's min_size")  # fmt: skip
    command.add_argument(
        "--rois", type=positive, metavar="N", help="in each head; default: what detection uses at most"
    )
    command.add_argument("--json", action="store_true", help="print the settings instead")


def run_info(arguments: argparse.Namespace) -> int:
    if arguments.weights:
        from ..prediction import load_model

        model = load_model(arguments.weights)
        config, name = model.config, arguments.weights
    elif arguments.config:
        config, name, model = read_config(arguments.config), arguments.config, None
    else:
        for name in Config.names():
            print(f"{name:<26}{in_short(Config.named(name))}")
        return 0
    if arguments.json:
        print(json.dumps(config.to_dict(), indent=1))
        return 0
    from ..info import describe

    print(f"{name}: {in_short(config)}")
    if model is not None:
        print(f"classes: {', '.join(model.class_names[1:])}")
    print(describe(config, tuple(arguments.size) if arguments.size else None, arguments.rois))
    return 0


def in_short(config: Config) -> str:
    """A configuration in one line: "ResNet-50-C4, RoIAlign, masks: FCN, softmax"."""
    backbone = config.backbone.replace("resnext", "ResNeXt-").replace("resnet", "ResNet-").replace("_", " ")
    operation = {"pool": "RoIPool", "warp": "RoIWarp", "align": "RoIAlign"}[config.roi_op]
    if config.reduce == "max" and config.roi_op != "pool":
        operation += " with maximum"
    layers = "FCN" if config.mask_head == "fcn" else f"MLP of {len(config.mask_layers) + 1} layers"
    masks = f"masks ({layers}, {config.mask_loss}{', class-agnostic' if config.class_agnostic_mask else ''})"
    heads = {"mask": masks, "keypoint": "keypoints"}
    return ", ".join([f"{backbone}-{config.arch.upper()}", operation, "boxes", *(heads[head] for head in config.heads)])
