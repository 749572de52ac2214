"""`mrcnn-lite train`: from a configuration and a data set to a run of training in a folder.

What the command line leaves open is taken from the data, and said on the screen. Read next: `training/run.py`.
"""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from .data import add_data_options, open_data
from .settings import (
    add_command,
    device,
    fit_to_data,
    flat,
    is_first_process,
    pairs,
    positive,
    read_config,
    say,
    score,
    with_settings,
    without_pretraining,
)

ABOUT = """Train a model on a data set. The folder --output then holds model.safetensors, to evaluate and predict
with; metrics.csv and validation.csv; and last.pt, from which --resume goes on after any interruption,
to the same result. Control-C and SIGTERM finish the step and write it (exit status 130 and 143)."""

USAGE = "[--config NAME|JSON] [--data NAME|PATH] [--steps N | --minutes M] [--output DIR] [more options]"

EXAMPLES = """examples:
  mrcnn-lite train --minutes 6                     tiny on shapes, for two CPU cores
  mrcnn-lite train --data nuclei --minutes 20 --output runs/nuclei
  mrcnn-lite train --config r50-fpn --data coco    the paper's experiment (Table 2a)
  torchrun --nproc-per-node 8 -m mrcnn_lite train --config r50-fpn --data coco     on 8 GPUs
  mrcnn-lite train --config r50-fpn --data my/folder --init coco \\
      --batch-size 2 --lr 0.0025 --steps 5000      fine-tuning on data of your own

The numbers of classes and keypoints are the data set's. All other settings can be changed:
  --set heads=mask,keypoint train.milestones=0.66,0.88 train.ema=0.999
`mrcnn-lite info --config NAME --json` prints them, and --config takes such a file."""


def add_train(commands: Any) -> None:
    """The parser of `mrcnn-lite train`."""
    parser = add_command(commands, "train", run_train, "train a model on a data set", ABOUT, EXAMPLES, USAGE)
    what = parser.add_argument_group("what")
    add = what.add_argument
    add("--config", default="tiny", metavar="NAME|JSON", help="a name of `info`, or a file; default %(default)s")
    add(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change settings of the configuration",
    )
    add("--data", default="shapes", metavar="NAME|PATH", help="a name of `data list`, a folder or a COCO JSON file; "
        "default %(default)s")  # fmt: skip
    add("--val", metavar="NAME|PATH|none", help="data set to validate on (its val split); default: that of --data")
    add("--limit", type=positive, metavar="N", help="only the first N pictures, in training and in validation")
    add_data_options(what)
    add("--init", metavar="imagenet|coco|none|FILE", help="weights to begin with; default: ImageNet's in the backbone, "
        "for tiny none. From FILE or coco, torchvision's detector, all is taken that fits")  # fmt: skip
    add("--freeze", nargs="+", action="extend", default=[], metavar="PREFIX", help="layers to leave as they are, such "
        "as backbone.body.layer1")  # fmt: skip

    add("--skip-bad", nargs="?", type=score, const=True, default=False, metavar="SHARE", help="put others in the "
        "place of pictures that can't be read or whose objects are refused, and name them in bad_pictures.csv; more "
        "than SHARE of all, by default 0.1, stop the run")  # fmt: skip

    add = parser.add_argument_group("how long, how fast").add_argument
    add("--steps", type=positive, metavar="N", help="default: the paper's 160000, for tiny 1500")
    add("--minutes", type=float, metavar="M", help="instead of steps: the schedule then follows the clock")
    add("--batch-size", type=positive, metavar="N", help="pictures a step, over all processes; default: 16, for tiny "
        "8, for tiny-dense 4")  # fmt: skip
    add("--accumulate", type=positive, default=1, metavar="N", help="cut each batch into N parts, to save memory")
    add("--lr", type=float, help="learning rate, for that batch size; default: the paper's 0.02, for tiny 0.002, "
        "for tiny-dense 0.0015")  # fmt: skip
    add("--seed", type=int, default=0, help="of weights, order, augmentation and sampling; default %(default)s")
    add("--device", type=device, help="cuda, mps, cpu; default: the best there is")
    add("--precision", default="auto", choices=["auto", "float32", "bfloat16", "float16"], help="default %(default)s: "
        "what a GPU computes fastest, float32 on a CPU")  # fmt: skip
    add("--processes", default="auto", metavar="auto|N", help="that share each batch; default: one a CPU core or one "
        "GPU. Under torchrun: its own")  # fmt: skip
    add("--workers", type=int, metavar="N", help="processes that read pictures ahead; default: 0 on a CPU, 4 on a GPU")

    add = parser.add_argument_group("the folder").add_argument
    add("--output", type=Path, metavar="DIR", help="default runs/CONFIG-DATA")
    add("--resume", action="store_true", help="go on from the last checkpoint in --output, if there is one")
    add("--overwrite", action="store_true", help="begin anew where --output holds a run already")
    add("--validate-every", type=positive, metavar="N", help="steps; default: only at the end")
    add("--checkpoint-every", type=positive, metavar="N", help="steps; default: every five minutes, and at the end")
    add("--log-every", type=positive, default=20, metavar="N", help="steps between lines; default %(default)s")
    add("--tensorboard", action="store_true", help="also write TensorBoard's files")


def run_train(arguments: argparse.Namespace) -> int:
    settings = chosen_settings(arguments)
    config = with_settings(read_config(arguments.config), settings)
    output = arguments.output or Path("runs") / f"{Path(arguments.config).stem}-{Path(arguments.data).stem}"
    there = (output / "last.pt").exists()
    if there and not (arguments.resume or arguments.overwrite):
        raise FileExistsError(
            f"{output} holds a run: --resume goes on with it, --overwrite replaces it, --output is another"
        )
    if arguments.steps and arguments.minutes:
        raise ValueError("--steps and --minutes both say how long: give one of them")
    options = {"limit": arguments.limit, "options": arguments.data_options, "keypoints": "keypoint" in config.heads}
    dataset = open_data(arguments.data, "train", **options)
    config = fit_to_data(config, dataset, settings, arguments.config)
    if arguments.batch_size and config.train.optimizer == "sgd" and "train.lr" not in settings:
        usual = read_config(arguments.config).train
        fitting = usual.lr * arguments.batch_size / usual.batch_size
        say(f"note: lr {usual.lr:g} is for {usual.batch_size} pictures a step; --lr {fitting:g} would fit this batch")
    validation = open_validation(arguments, options)
    init = arguments.init or ("none" if config.backbone == "tiny" else "imagenet")
    if init == "none" and config.backbone != "tiny":
        config = without_pretraining(config, settings)

    import torch

    from ..build import build_model
    from ..devices import choose_device
    from ..training import train

    place = choose_device(arguments.device)
    torch.manual_seed(arguments.seed)
    model = build_model(config)
    if not (there and arguments.resume):  # otherwise the checkpoint brings the weights
        initialise(model, init)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    say(f"{arguments.config}, {parameters:,} parameters, on {place}; {len(dataset)} pictures of {arguments.data}")
    with redirect_stdout(sys.stderr):  # the progress line
        history = train(
            model,
            dataset,
            output=output,
            validation=validation,
            minutes=arguments.minutes,
            processes=int(arguments.processes) if arguments.processes.isdecimal() else arguments.processes,
            **{name: getattr(arguments, name) for name in PASSED_ON},
        )
    if history.interrupted:
        return 128 + (history.signal if history.signal == signal.SIGTERM else signal.SIGINT)
    if is_first_process():
        weights = output / "model.safetensors"
        print(history)
        print(f"weights: {weights}\nlosses: {output / 'metrics.csv'}")
        print(f"next: mrcnn-lite evaluate --weights {weights} --data {arguments.data}")
    return 0


PASSED_ON = (
    *("steps", "resume", "overwrite", "validate_every", "device", "accumulate", "precision", "workers"),
    *("checkpoint_every", "log_every", "seed", "tensorboard", "freeze", "skip_bad"),
)


def chosen_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything that the command line says of the configuration."""
    settings = pairs(arguments.set, "--set")
    for option, name in (("batch_size", "train.batch_size"), ("lr", "train.lr")):
        value = getattr(arguments, option)
        if value is not None:
            settings[name] = value
    return settings


def open_validation(arguments: argparse.Namespace, options: dict[str, Any]) -> Any:
    """The data set of --val, or the val split of --data if there is one; None for none."""
    # The length of a drawn set is that of the training pictures.
    options = options | {"options": [text for text in options["options"] if not text.startswith("length=")]}
    if arguments.val == "none":
        return None
    if arguments.val:
        return open_data(arguments.val, "val", **options)
    if Path(arguments.data).is_file():
        say("no validation: --val names a data set for it")
        return None
    try:
        return open_data(arguments.data, "val", **options)
    except FileNotFoundError as error:
        say(f"no validation: {error}")
        return None


def initialise(model: Any, init: str) -> None:
    """Weights to begin with: "imagenet", "none", "coco" or a file of ours, of which all is taken that fits."""
    if init == "none":
        return
    if init == "imagenet":
        from ..weights import load_imagenet

        try:
            load_imagenet(model)
        except ConnectionError as error:
            raise ConnectionError(f"{error}; or begin with random weights: --init none") from error
        say(f"backbone: ImageNet weights of {model.config.backbone}")
        return
    from ..prediction import load_model

    source = load_model(init)
    state, own = source.state_dict(), model.state_dict()
    fitting = {name: tensor for name, tensor in state.items() if name in own and tensor.shape == own[name].shape}
    # Frozen or not, a BatchNorm has the same numbers; the counter that only one of them has is not needed.
    lacking = [name for name in own.keys() - fitting.keys() if name.startswith("backbone.") and "batches" not in name]
    theirs, ours = ((c.arch, c.backbone, c.norm.removeprefix("frozen_")) for c in (source.config, model.config))
    if lacking or theirs != ours:
        example = f"; {min(lacking)} does not fit" if lacking else ""
        raise ValueError(f"--init {init}: its backbone is {', '.join(theirs)}, not {', '.join(ours)}{example}")
    model.load_state_dict(fitting, strict=False)
    random = sorted({name.rsplit(".", 1)[0] for name in own.keys() - fitting.keys()})
    say(f"{init}: {len(fitting)} of {len(own)} tensors taken" + (f"; anew: {', '.join(random)}" if random else ""))
    then, now = flat(source.config), flat(model.config)
    frame = ("half_pixel", "torchvision_anchors", "anchor_sizes", "anchor_ratios", "image_mean", "image_std", "roi_op")
    if other := [f"{name}={then[name]}" for name in frame if then[name] != now[name]]:
        say(f"note: those weights were trained with {', '.join(other)}; --set does the same")
